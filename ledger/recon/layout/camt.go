package layout

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/text/encoding/simplifiedchinese"

	"github.com/tapswitch/tapswitch/ledger/recon"
)

// Limits of a camt.053 document beside LineMax, which bounds one text.
const (
	// depthMax is how deep elements may be nested, leavesMax how many texts one entry may hold,
	// tokenMax how many bytes one token may take.
	depthMax, leavesMax, tokenMax = 40, 20_000, 1 << 20
)

// errToken reports XML that no bank writes.
var errToken = errors.New("one token is longer than a whole entry")

// meter stops a reader that is asked for more and more for one token.
type meter struct {
	in   io.Reader
	left int
}

func (m *meter) Read(b []byte) (int, error) {
	if m.left <= 0 {
		return 0, errToken
	}
	n, err := m.in.Read(b)
	m.left -= n
	return n, err
}

func charset(label string, in io.Reader) (io.Reader, error) {
	switch strings.ToLower(label) {
	case "gb18030":
		return simplifiedchinese.GB18030.NewDecoder().Reader(in), nil
	case "gbk", "gb2312":
		return simplifiedchinese.GBK.NewDecoder().Reader(in), nil
	}
	return nil, fmt.Errorf("unknown encoding %q", label)
}

// entry gathers the texts of one Ntry, Bal or TxsSummry by their paths in it.
type entry struct {
	leaves  map[string]string
	details []map[string]string // of each TxDtls
}

// statement is what the balances and the summary of a document say.
type statement struct {
	opening, closing *int64
	entries, count   int64
	declared         *int64
	booked           int64 // sum of entries, credits positive
}

// camt reads a document: entries as rows, then balances and summary against them.
func (p *parser) camt(in io.Reader) error {
	m := &meter{in: in, left: tokenMax}
	d := xml.NewDecoder(m)
	d.CharsetReader = charset
	var path []string
	var e *entry
	var s statement
	var text strings.Builder
	documents := 0
	for {
		m.left = tokenMax
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("%w: not XML: %w", ErrRefused, err)
		}
		if p.ctx.Err() != nil {
			return p.ctx.Err()
		}
		switch t := tok.(type) {
		case xml.Directive:
			return fmt.Errorf("%w: a document type is declared", ErrRefused)
		case xml.StartElement:
			path = append(path, t.Name.Local)
			text.Reset()
			if len(path) > depthMax {
				return fmt.Errorf("%w: nested deeper than %d", ErrRefused, depthMax)
			}
			if t.Name.Local == "Stmt" {
				documents++
			}
			e = e.open(path, t)
		case xml.CharData:
			if text.Len()+len(t) > LineMax {
				return fmt.Errorf("%w: a text %w", ErrRefused, errLong)
			}
			text.Write(t)
		case xml.EndElement:
			if err := p.close(&e, &s, path, text.String()); err != nil {
				return err
			}
			path = path[:len(path)-1]
			text.Reset()
		}
	}
	if documents != 1 {
		return fmt.Errorf("%w: %d statements, want one in a file", ErrControl, documents)
	}
	return p.balance(&s)
}

// groups are the elements whose texts are gathered.
func grouped(name string) bool { return name == "Ntry" || name == "Bal" || name == "TxsSummry" }

// open begins an entry, or notes attributes within one.
func (e *entry) open(path []string, t xml.StartElement) *entry {
	name := path[len(path)-1]
	if e == nil {
		if grouped(name) {
			return &entry{leaves: map[string]string{}}
		}
		return nil
	}
	if name == "TxDtls" {
		e.details = append(e.details, map[string]string{})
	}
	for _, a := range t.Attr {
		if a.Name.Local == "Ccy" {
			e.put(within(path)+"@Ccy", a.Value)
		}
	}
	return e
}

// within is the path inside the innermost group.
func within(path []string) string {
	for i := len(path) - 1; i >= 0; i-- {
		if grouped(path[i]) {
			return strings.Join(path[i+1:], "/")
		}
	}
	return ""
}

// put keeps the first text of a path; of a detail in the detail.
func (e *entry) put(path, text string) {
	to := e.leaves
	if strings.HasPrefix(path, "NtryDtls/TxDtls/") && len(e.details) > 0 {
		to = e.details[len(e.details)-1]
	}
	if _, ok := to[path]; !ok {
		to[path] = text
	}
}

// close ends an element.
func (p *parser) close(e **entry, s *statement, path []string, text string) error {
	name := path[len(path)-1]
	if *e == nil {
		return nil
	}
	if !grouped(name) {
		size := len((*e).leaves)
		for _, d := range (*e).details {
			size += 1 + len(d)
		}
		if size > leavesMax {
			return fmt.Errorf("%w: an entry of more than %d texts", ErrRefused, leavesMax)
		}
		if text = strings.TrimSpace(text); text != "" {
			(*e).put(within(path), text)
		}
		return nil
	}
	done := *e
	*e = nil
	switch name {
	case "Bal":
		return s.bal(done)
	case "TxsSummry":
		if text := done.leaves["TtlNtries/NbOfNtries"]; text != "" {
			n, err := parseCount(text)
			if err != nil {
				return fmt.Errorf("%w: NbOfNtries %w", ErrControl, err)
			}
			s.declared = &n
		}
		return nil
	}
	return p.ntry(s, done)
}

// point reads the decimals of ISO 20022.
func point(s string) (int64, error) { return (&column{point: true, decimals: 2}).parseAmount(s) }

// signed is an amount with its indicator, credits positive.
func signed(leaves map[string]string, prefix string) (int64, error) {
	v, err := point(leaves[prefix+"Amt"])
	if err != nil {
		return 0, fmt.Errorf("amt %w", err)
	}
	switch leaves[prefix+"CdtDbtInd"] {
	case "CRDT":
		return v, nil
	case "DBIT":
		return -v, nil
	}
	return 0, errors.New("CdtDbtInd is neither CRDT nor DBIT")
}

func (s *statement) bal(e *entry) error {
	code := e.leaves["Tp/CdOrPrtry/Cd"]
	if code != "OPBD" && code != "CLBD" && code != "PRCD" {
		return nil
	}
	v, err := signed(e.leaves, "")
	if err != nil {
		return fmt.Errorf("%w: balance %s: %w", ErrControl, code, err)
	}
	if code == "CLBD" {
		s.closing = &v
	} else {
		s.opening = &v
	}
	return nil
}

// ntry makes rows of an entry: one, or one of each detail that has an amount.
func (p *parser) ntry(s *statement, e *entry) error {
	s.entries++
	status := e.leaves["Sts"] + e.leaves["Sts/Cd"]
	if status == "PDNG" || status == "INFO" {
		return nil // not booked: in no balance
	}
	err := p.booked(s, e)
	if err != nil {
		return p.refuse(uint64(s.entries), err)
	}
	return nil
}

func (p *parser) booked(s *statement, e *entry) error {
	v, err := signed(e.leaves, "")
	if err != nil {
		return &lineFault{err: err}
	}
	s.booked += v
	rows := []map[string]string{e.leaves}
	if len(e.details) == 1 {
		rows = []map[string]string{merged(e.leaves, e.details[0])}
	} else if len(e.details) > 1 {
		if rows, err = split(e, max(v, -v)); err != nil {
			return &lineFault{err: err}
		}
	}
	for _, leaves := range rows {
		s.count++
		if err := p.leaves(uint64(s.count), leaves); err != nil {
			return err
		}
	}
	return nil
}

func merged(a, b map[string]string) map[string]string {
	m := make(map[string]string, len(a)+len(b))
	for k, v := range a {
		m[k] = v
	}
	for k, v := range b {
		m[k] = v
	}
	return m
}

// split makes a row of each detail; their amounts must be the entry's.
func split(e *entry, total int64) (rows []map[string]string, err error) {
	const detail = "NtryDtls/TxDtls/"
	sum := int64(0)
	for _, d := range e.details {
		text := d[detail+"Amt"]
		if text == "" {
			text = d[detail+"AmtDtls/TxAmt/Amt"]
		}
		if text == "" {
			return []map[string]string{e.leaves}, nil // booked as one, without amounts
		}
		v, err := point(text)
		if err != nil {
			return nil, fmt.Errorf("amount of a detail %w", err)
		}
		sum += v
		row := merged(e.leaves, d)
		row["Amt"] = text
		rows = append(rows, row)
	}
	if sum != total {
		return nil, fmt.Errorf("details make %d, the entry is %d", sum, total)
	}
	return rows, nil
}

// leaves makes a row of texts by path.
func (p *parser) leaves(n uint64, leaves map[string]string) error {
	p.begin(n)
	for _, c := range p.l.records[0].columns {
		text := leaves[c.name]
		for _, r := range text {
			if r < ' ' && r != '\t' && r != '\n' && r != '\r' {
				return &lineFault{c.to, errEncoding}
			}
		}
		if err := p.set(c, strings.Join(strings.Fields(text), " ")); err != nil {
			return &lineFault{c.to, err}
		}
	}
	return p.complete()
}

// balance checks the document as a whole. An entry that was held back makes up the difference,
// and that is told.
func (p *parser) balance(s *statement) error {
	if s.declared != nil && *s.declared != s.entries {
		return fmt.Errorf("%w: the summary says %d entries, there are %d", ErrControl, *s.declared, s.entries)
	}
	if !p.l.balance {
		return nil
	}
	if s.opening == nil || s.closing == nil {
		return fmt.Errorf("%w: no opening or closing balance: the file is cut off", ErrControl)
	}
	gap := *s.closing - *s.opening - s.booked
	switch {
	case gap == 0:
		return nil
	case p.held > 0:
		return p.missing(fmt.Sprintf("the balance moves by %d more than the entries that could be read: "+
			"the %d held back must be that", gap, p.held))
	}
	return fmt.Errorf("%w: the balance moves by %d, the entries make %d", ErrControl,
		*s.closing-*s.opening, s.booked)
}

var _ recon.Source = (*File)(nil)

func trimmed(s string) string { return strings.Trim(s, " \t\u3000\ufeff") }
