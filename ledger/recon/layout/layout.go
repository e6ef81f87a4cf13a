package layout

import (
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/tapswitch/tapswitch/ledger/recon"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Limits of a layout and of what is read by it.
const (
	// RecordsMax and ColumnsMax bound the kinds of lines and their columns.
	RecordsMax, ColumnsMax = 16, 200
	// mapMax bounds the values that a column translates.
	mapMax = 500
	// LineMax is the longest line in bytes.
	LineMax = 16 << 10
	// HeldMax is how many lines of a file may be held back. A file with more is not in this
	// layout, and is refused.
	HeldMax = 10_000
)

// Layout is one format of files. It is immutable.
type Layout struct {
	name     string
	format   string
	encoding string
	zone     *time.Location
	currency txn.Currency
	hold     bool
	length   int // of a line of fixed width, 0 for any
	comma    byte
	header   bool // CSV: the first line holds the names of columns
	skip     int  // lines before that
	offset   int  // the file's own date is so many days after the day it is about
	negative []string
	records  []*record
	balance  bool // camt.053: opening plus entries is closing
}

// Name returns the layout's name.
func (l *Layout) Name() string { return l.name }

// record is one kind of line.
type record struct {
	name, role string
	when       condition
	columns    []*column
}

// condition tells kinds of lines apart; without a value it takes what no other takes.
type condition struct {
	at    int // first byte from 1, or number of the CSV column from 1
	value string
	raw   []byte // in the encoding of the file
}

// column is where a value stands, and what becomes of it.
type column struct {
	to       string
	field    recon.Field // where to names one
	isField  bool
	at       int
	width    int
	name     string // CSV: of the column; camt: its path
	index    int    // CSV: resolved from name or at, from 0
	format   pattern
	decimals int
	point    bool
	mark     string // before the decimals; empty for a point
	group    string
	pad      string
	last     int
	first    int
	optional bool
	is       string
	words    map[string]string
	node     *yaml.Node
}

// The roles of lines, and the values other than fields that a column may give.
const (
	roleHeader, roleDetail, roleTrailer = "header", "detail", "trailer"

	toAmount, toPlus, toMinus, toSign     = "amount", "plus", "minus", "sign"
	toAt, toReceived, toDate, toCurrency  = "at", "received", "date", "currency"
	toCheck, toDay, toCount               = "check", "day", "count"
	toTotal, toGross, toDebits, toCredits = "total", "gross", "debits", "credits"
	toDebitCount, toCreditCount           = "debit_count", "credit_count"
	// Of claims: the numbers of rows and sums of a batch.
	toClaimDebits, toClaimDebit   = "claim_debits", "claim_debit"
	toClaimCredits, toClaimCredit = "claim_credits", "claim_credit"
)

// moneys are the targets that are amounts, moments those that are dates or times, counts those
// that are numbers.
var (
	moneys = []string{toAmount, toPlus, toMinus, toTotal, toGross, toDebits, toCredits, toClaimDebit,
		toClaimCredit}
	moments = []string{toAt, toReceived, toDate, toDay}
	counts  = []string{toCount, toDebitCount, toCreditCount, toClaimDebits, toClaimCredits}
	others  = []string{toSign, toCurrency, toCheck}
	ofEnds  = []string{toDay, toCount, toTotal, toGross, toDebits, toCredits, toDebitCount, toCreditCount,
		toCheck}
)

// Read reads a layout and checks it as a whole. Its error is all faults, each a *Fault.
func Read(file string, text []byte) (*Layout, error) {
	d := &reading{file: file}
	l := &Layout{zone: time.UTC, currency: txn.CNY, comma: ','}
	root := d.root(text)
	if root == nil {
		return nil, d.err()
	}
	var comma, onError, ccy string
	currency := 156
	d.mapping(root, "a layout", keys{
		"layout":   d.text(&l.name),
		"note":     d.text(&ccy), // for people
		"format":   d.oneOf(&l.format, "fixed", "csv", "camt.053"),
		"encoding": d.oneOf(&l.encoding, "utf-8", "gbk", "gb18030"),
		"zone":     d.zone(&l.zone),
		"currency": d.integer(&currency, 1, 999),
		"on_error": d.oneOf(&onError, "refuse", "hold"),
		"length":   d.integer(&l.length, 1, LineMax),
		"comma":    d.oneOf(&comma, ",", ";", "|", "\t"),
		"header":   d.boolean(&l.header),
		"skip":     d.integer(&l.skip, 0, 1000),
		"day_offset": d.integer(&l.offset, -7,
			7),
		"negative": d.texts(&l.negative, 40),
		"balance":  d.boolean(&l.balance),
		"records":  func(n *yaml.Node) { d.list(n, RecordsMax, func(e *yaml.Node) { d.record(l, e) }) },
	})
	l.currency, l.hold = txn.Currency(currency), onError == "hold"
	if comma != "" {
		l.comma = comma[0]
	}
	whole := len(d.faults) == 0
	for _, must := range [...][2]string{{"layout", l.name}, {"format", l.format},
		{"encoding", l.encoding}, {"on_error", onError}} {
		if must[1] == "" && whole {
			d.fault(root, "%s is missing", must[0])
		}
	}
	d.whole(root, l)
	if err := d.err(); err != nil {
		return nil, err
	}
	return l, nil
}

func (d *reading) record(l *Layout, n *yaml.Node) {
	r := &record{}
	d.mapping(n, "a record", keys{
		"name": d.text(&r.name),
		"role": d.oneOf(&r.role, roleHeader, roleDetail, roleTrailer),
		"when": func(n *yaml.Node) {
			d.mapping(n, "when", keys{"at": d.integer(&r.when.at, 1, LineMax),
				"is": d.text(&r.when.value)})
		},
		"columns": func(n *yaml.Node) {
			d.list(n, ColumnsMax, func(e *yaml.Node) { r.columns = append(r.columns, d.column(e)) })
		},
	})
	if r.role == "" {
		d.fault(n, "record %q has no role", r.name)
	}
	if r.when.value != "" && r.when.at == 0 {
		r.when.at = 1
	}
	l.records = append(l.records, r)
}

func (d *reading) column(n *yaml.Node) *column {
	c := &column{node: n, decimals: 2}
	var format string
	d.mapping(n, "a column", keys{
		"to": d.text(&c.to), "at": d.integer(&c.at, 1, LineMax),
		"width":    d.integer(&c.width, 1, LineMax),
		"name":     d.text(&c.name),
		"path":     d.text(&c.name),
		"format":   d.text(&format),
		"decimals": d.integer(&c.decimals, 0, 2),
		"point":    d.boolean(&c.point), "group": d.text(&c.group), "pad": d.text(&c.pad),
		"mark": d.oneOf(&c.mark, ".", ","),
		"last": d.integer(&c.last, 1, 100), "first": d.integer(&c.first, 1, 100),
		"optional": d.boolean(&c.optional), "is": d.text(&c.is),
		"map": d.dictionary(&c.words, mapMax),
	})
	f, err := recon.ParseField(c.to)
	c.isField = err == nil && f < recon.TextCount
	c.field = f
	known := slices.Concat(moneys, moments, counts, others)
	switch {
	case !c.isField && !slices.Contains(known, c.to):
		d.fault(n, "column to %q: want a field (id, kind, status, terminal, …) or one of %s", c.to,
			strings.Join(known, ", "))
	case c.isField && c.field == recon.Last4 && c.last == 0:
		c.last = 4 // whatever stands there, no more of a card number is kept
	case c.isField && c.field == recon.Card && c.last == 0:
		d.fault(n, "column to card: a file has no token; give last4 instead")
	case slices.Contains(moments, c.to):
		var what string
		if c.format, what = compile(format); what != "" {
			d.fault(n, "format %q: %s", format, what)
		}
	case format != "":
		d.fault(n, "column to %s has no format: it is no date or time", c.to)
	}
	if c.mark != "" {
		c.point = true
	}
	if c.point && c.group == c.markOf() {
		d.fault(n, "column to %s: %q stands before the decimals and between groups", c.to, c.group)
	}
	for from, to := range c.words {
		if c.to == toSign && to != "+" && to != "-" {
			d.fault(n, "sign %q becomes %q; want + or -", from, to)
		}
	}
	return c
}

// whole checks what no single line shows.
func (d *reading) whole(root *yaml.Node, l *Layout) {
	roles := map[string]int{}
	type mark struct {
		at    int
		value string
	}
	taken := map[mark]bool{}
	for _, r := range l.records {
		roles[r.role]++
		if taken[mark{r.when.at, r.when.value}] {
			d.fault(root, "record %s is told apart from another by nothing; give it another when", r.name)
		}
		taken[mark{r.when.at, r.when.value}] = true
		var err error
		if r.when.raw, err = l.encode(r.when.value); err != nil {
			d.fault(root, "when of record %s: %q %v", r.name, r.when.value, err)
		}
		d.ofRecord(root, l, r)
	}
	switch {
	case roles[roleDetail] == 0:
		d.fault(root, "no record is a detail: nothing would be read")
	case roles[roleHeader] > 1 || roles[roleTrailer] > 1:
		d.fault(root, "more than one header or trailer")
	case l.format == "camt.053" && len(l.records) != 1:
		d.fault(root, "camt.053 has one record, its entries")
	}
}

func (d *reading) ofRecord(root *yaml.Node, l *Layout, r *record) {
	money := false
	for i, c := range r.columns {
		ofEnd := slices.Contains(ofEnds, c.to)
		money = money || c.to == toAmount || c.to == toPlus || c.to == toMinus ||
			strings.HasPrefix(c.to, "claim_")
		switch {
		case r.role == roleDetail && ofEnd && c.to != toCheck:
			d.fault(c.node, "column to %s belongs to a header or trailer", c.to)
		case r.role != roleDetail && !ofEnd:
			d.fault(c.node, "column to %s belongs to a detail", c.to)
		}
		d.placed(l, c, r.columns[:i])
	}
	if r.role == roleDetail && !money {
		d.fault(root, "record %q has no amount", r.name)
	}
}

// placed checks where a column stands; before are those of the same line that stand before it in the
// description.
func (d *reading) placed(l *Layout, c *column, before []*column) {
	switch l.format {
	case "fixed":
		if c.at == 0 || c.width == 0 {
			d.fault(c.node, "column to %s needs at and width", c.to)
		}
		if last := c.at + c.width - 1; l.length > 0 && last > l.length {
			d.fault(c.node, "column to %s ends at %d, beyond the line of %d", c.to, last, l.length)
		}
		for _, o := range before {
			if c.at < o.at+o.width && o.at < c.at+c.width && (c.at != o.at || c.width != o.width) {
				d.fault(c.node, "column to %s overlaps another: bytes %d to %d", c.to, c.at, c.at+c.width-1)
			}
		}
	case "csv":
		if (c.name == "") == (c.at == 0) || c.name != "" && !l.header || c.width > 0 {
			d.fault(c.node, "column to %s needs a name (with header: true) or at, and no width", c.to)
		}
	case "camt.053":
		if c.name == "" {
			d.fault(c.node, "column to %s needs a path", c.to)
		}
	}
}
