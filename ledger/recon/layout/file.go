package layout

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"path/filepath"

	"github.com/tapswitch/tapswitch/ledger/recon"
	"github.com/tapswitch/tapswitch/switch/txn"
)

var (
	// ErrRefused reports a file that is not in its layout: a line that cannot be read under
	// on_error refuse, or too many of them. Nothing of it may be used.
	ErrRefused = errors.New("file refused")
	// ErrControl reports a header or trailer that does not fit what was read, or is missing:
	// the file is cut off, or was changed. Nothing of it may be used.
	ErrControl = errors.New("control totals do not fit")
)

// File is a source of rows in a layout.
type File struct {
	Layout *Layout
	// Path names it; only its base name goes into reports.
	Path string
	// Day is what the file is about; a date in its header must be it.
	Day txn.BusinessDate
	// Open opens it for reading from its beginning.
	Open func() (io.ReadCloser, error)

	sum string
}

var _ recon.Source = (*File)(nil)

// Name implements recon.Source.
func (f *File) Name() string { return filepath.Base(f.Path) }

// SHA256 returns the hash of the whole file once it was read, in hexadecimal digits.
func (f *File) SHA256() string { return f.sum }

// Rows implements recon.Source. Lines that are held back come as unreadable rows, in their
// place. The error wraps ErrRefused or ErrControl where the file is at fault; rows that were
// yielded before must not be used then.
func (f *File) Rows(ctx recon.Context, yield func(*recon.Row) error) error {
	return f.read(ctx, func(p *parser) error { return yield(&p.row) })
}

// Claims reads totals of terminals and operators. A line that cannot be read refuses the file:
// a claim that is left out would look like one that was never made.
func (f *File) Claims(ctx recon.Context) ([]recon.Claim, error) {
	var all []recon.Claim
	err := f.read(ctx, func(p *parser) error {
		if p.row.Marks&recon.Unreadable != 0 {
			return fmt.Errorf("%w: line %d: %s", ErrRefused, p.row.Line, p.row.Text[recon.Note])
		}
		if len(all) >= recon.ClaimsMax {
			return fmt.Errorf("%w: more than %d claims", ErrRefused, recon.ClaimsMax)
		}
		claim := p.claim
		claim.Terminal, claim.Batch = p.row.Text[recon.Terminal], p.row.Text[recon.Batch]
		all = append(all, claim)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return all, nil
}

func (f *File) read(ctx recon.Context, emit func(*parser) error) (err error) {
	in, err := f.Open()
	if err != nil {
		return fmt.Errorf("cannot open: %w", err)
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	p := &parser{l: f.Layout, day: f.Day, emit: emit, ctx: ctx}
	h := sha256.New()
	if f.Layout.format == "csv" && !f.Layout.header {
		err = p.resolve(nil)
	}
	if err != nil {
		return err
	}
	if f.Layout.format == "camt.053" {
		err = p.camt(io.TeeReader(in, h))
	} else {
		err = p.lines(in, h)
	}
	if err == nil {
		f.sum = hex.EncodeToString(h.Sum(nil))
	}
	return err
}

// parser reads one file.
type parser struct {
	l    *Layout
	day  txn.BusinessDate
	emit func(*parser) error
	ctx  recon.Context

	row   recon.Row // the current one
	claim recon.Claim
	at    [2]moment // service time, time of receipt
	date  moment
	minus bool
	ccy   bool

	sums      sums
	held      int
	heldFirst uint64
	seen      [3]bool // header, detail, trailer
	cells     [][]byte
	columns   int // of CSV, from its header
	quoted    []byte
}

// sums are what a trailer is held against.
type sums struct{ count, total, gross, debits, credits, debitCount, creditCount int64 }

func (s *sums) add(v int64) error {
	abs := max(v, -v)
	if s.gross > math.MaxInt64-abs {
		return fmt.Errorf("%w: %w", ErrRefused, recon.ErrOverflow)
	}
	s.count, s.total, s.gross = s.count+1, s.total+v, s.gross+abs
	if v < 0 {
		s.credits, s.creditCount = s.credits+abs, s.creditCount+1
	} else {
		s.debits, s.debitCount = s.debits+abs, s.debitCount+1
	}
	return nil
}

// errLong stands for a line beyond LineMax.
var errLong = fmt.Errorf("is longer than %d bytes", LineMax)

// lines reads a file line by line.
func (p *parser) lines(in io.Reader, h hash.Hash) error {
	r := bufio.NewReaderSize(in, 256<<10)
	for n := uint64(1); ; n++ {
		if n%1024 == 0 && p.ctx.Err() != nil {
			return p.ctx.Err()
		}
		line, tooLong, err := readLine(r, h)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("cannot read line %d: %w", n, err)
		}
		if err != nil && len(line) == 0 {
			return p.finish(n)
		}
		if n == 1 {
			line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
		}
		var fault error
		if tooLong {
			fault = errLong
		} else {
			fault = p.line(n, line)
		}
		if fault != nil {
			if fault = p.refuse(n, fault); fault != nil {
				return fault
			}
		}
	}
}

// readLine returns a line without its end, at most LineMax bytes of it. The slice is valid
// until the next call.
func readLine(r *bufio.Reader, h hash.Hash) (line []byte, tooLong bool, err error) {
	line, err = r.ReadSlice('\n')
	h.Write(line) //nolint:errcheck // a hash never fails
	for errors.Is(err, bufio.ErrBufferFull) {
		var more []byte
		tooLong = true
		more, err = r.ReadSlice('\n')
		h.Write(more) //nolint:errcheck // a hash never fails
		line = more
	}
	if n := len(line); n > 0 && line[n-1] == '\n' {
		line = line[:n-1]
	} else if n > 0 && err != nil {
		err = nil // the last line has no end; the next call finds nothing
	}
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	if len(line) > LineMax {
		return line[:LineMax], true, err
	}
	return line, tooLong, err
}

// lineFault is a line that cannot be read; other errors end the file.
type lineFault struct {
	column string
	err    error
}

func (f *lineFault) Error() string {
	if f.column == "" {
		return f.err.Error()
	}
	return f.column + " " + f.err.Error()
}

func (f *lineFault) Unwrap() error { return f.err }

func fault(format string, args ...any) error {
	return &lineFault{err: fmt.Errorf(format, args...)}
}

// refuse holds a line back, or refuses the file.
func (p *parser) refuse(n uint64, err error) error {
	var f *lineFault
	if !errors.As(err, &f) && !errors.Is(err, errLong) {
		return err // of emit, or of the controls
	}
	if !p.l.hold {
		return fmt.Errorf("%w: line %d: %w", ErrRefused, n, err)
	}
	if p.held++; p.held > HeldMax {
		return fmt.Errorf("%w: more than %d lines cannot be read, the first is %d; another layout?",
			ErrRefused, HeldMax, p.heldFirst)
	}
	if p.held == 1 {
		p.heldFirst = n
	}
	p.row = recon.Row{Place: recon.Place{Line: n}, Marks: recon.Unreadable, Currency: p.l.currency}
	p.row.Text[recon.Note] = fmt.Sprintf("line %d: %v", n, err)
	return p.emit(p)
}

// line reads one line.
func (p *parser) line(n uint64, line []byte) error {
	if n <= uint64(p.l.skip) || len(bytes.TrimSpace(line)) == 0 {
		return nil
	}
	if p.l.format == "csv" {
		if err := p.split(line); err != nil {
			return err
		}
		if p.l.header && p.columns == 0 {
			return p.head(n)
		}
	}
	r := p.recordOf(line)
	if r == nil {
		return fault("is no kind of line that the layout knows")
	}
	if p.seen[2] {
		return fmt.Errorf("%w: line %d comes after the trailer", ErrControl, n)
	}
	if r.role != roleDetail {
		return p.end(n, r, line)
	}
	if p.l.length > 0 && len(line) != p.l.length {
		return fault("has %d bytes, want %d", len(line), p.l.length)
	}
	if p.columns > 0 && len(p.cells) != p.columns {
		return fault("has %d columns, want %d", len(p.cells), p.columns)
	}
	p.seen[1] = true
	p.begin(n)
	for _, c := range r.columns {
		if err := p.cell(c, line); err != nil {
			return &lineFault{c.to, err}
		}
	}
	return p.complete()
}

// recordOf finds the kind of a line: the first whose condition holds, or the one without.
func (p *parser) recordOf(line []byte) (found *record) {
	for _, r := range p.l.records {
		if r.when.value == "" {
			if found == nil {
				found = r
			}
			continue
		}
		at := []byte(nil)
		switch {
		case p.l.format == "csv" && r.when.at <= len(p.cells):
			at = bytes.TrimSpace(p.cells[r.when.at-1])
		case p.l.format == "fixed" && r.when.at <= len(line):
			at = line[r.when.at-1:]
		}
		if bytes.HasPrefix(at, r.when.raw) {
			return r
		}
	}
	return found
}

// raw cuts a column out of a line.
func (p *parser) raw(c *column, line []byte) ([]byte, bool) {
	if p.l.format == "csv" {
		if c.index >= len(p.cells) {
			return nil, false
		}
		return p.cells[c.index], true
	}
	if c.at-1+c.width > len(line) {
		return nil, c.at-1 <= len(line) && c.optional
	}
	return line[c.at-1 : c.at-1+c.width], true
}

func (p *parser) cell(c *column, line []byte) error {
	raw, ok := p.raw(c, line)
	if !ok {
		return errors.New("is beyond the end of the line")
	}
	text, err := p.l.decode(raw)
	if err != nil {
		return err
	}
	return p.set(c, text)
}

// end reads a header or trailer; whatever is wrong there refuses the file.
func (p *parser) end(n uint64, r *record, line []byte) error {
	if r.role == roleHeader {
		if p.seen[0] || p.seen[1] {
			return fmt.Errorf("%w: line %d: a header in the middle", ErrControl, n)
		}
		p.seen[0] = true
	} else {
		p.seen[2] = true
	}
	for _, c := range r.columns {
		raw, ok := p.raw(c, line)
		if !ok {
			return fmt.Errorf("%w: line %d: %s is beyond the end of the %s", ErrControl, n, c.to, r.role)
		}
		text, err := p.l.decode(raw)
		if err == nil {
			text, err = c.refine(text)
		}
		if err == nil {
			err = p.control(c, text)
		}
		if err != nil {
			return fmt.Errorf("%w: line %d: %s of the %s: %w", ErrControl, n, c.to, r.role, err)
		}
	}
	return nil
}

// control holds one value of a header or trailer against what was read.
func (p *parser) control(c *column, text string) error {
	if text == "" || c.to == toCheck {
		return nil
	}
	if c.to == toDay {
		return p.checkDay(c, text)
	}
	s := &p.sums
	have, what := map[string]int64{toCount: s.count + int64(p.held), toDebitCount: s.debitCount,
		toCreditCount: s.creditCount, toTotal: s.total, toGross: s.gross, toDebits: s.debits,
		toCredits: s.credits}[c.to], "rows"
	want, err := parseCount(text)
	if c.to != toCount && c.to != toDebitCount && c.to != toCreditCount {
		what = "minor units"
		want, err = c.parseAmount(text)
	}
	if err != nil {
		return err
	}
	if want == have {
		return nil
	}
	if p.held > 0 && c.to != toCount { // the held lines must make up for it: told, not hidden
		return p.missing(fmt.Sprintf("%s is %d, what could be read makes %d: the %d lines held back must "+
			"be %d %s", c.to, want, have, p.held, want-have, what))
	}
	return fmt.Errorf("says %d, what was read makes %d %s", want, have, what)
}

// missing emits a note about lines held back, as one more thing to look at.
func (p *parser) missing(note string) error {
	p.row = recon.Row{Marks: recon.Unreadable, Currency: p.l.currency}
	p.row.Text[recon.Note] = note
	return p.emit(p)
}

func (p *parser) checkDay(c *column, text string) error {
	var m moment
	if err := c.format.parse(text, &m); err != nil {
		return err
	}
	m.near(p.day)
	date, err := m.date()
	if err != nil || p.day == 0 {
		return err
	}
	want := txn.DateOf(p.day.Time().AddDate(0, 0, p.l.offset), p.day.Time().Location(), 0)
	if date != want {
		return fmt.Errorf("is %v, want %v: the file of another day", date, want)
	}
	return nil
}

// finish checks that the file has both its ends; n is the line after the last.
func (p *parser) finish(n uint64) error {
	for i, role := range []string{roleHeader, roleDetail, roleTrailer} {
		for _, r := range p.l.records {
			if r.role == role && role != roleDetail && !p.seen[i] {
				return fmt.Errorf("%w: no %s in %d lines: the file is cut off", ErrControl, role, n-1)
			}
		}
	}
	if p.l.format == "csv" && p.l.header && p.columns == 0 {
		return fmt.Errorf("%w: no line with the names of columns", ErrControl)
	}
	return nil
}
