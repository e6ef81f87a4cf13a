package szt

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/tapswitch/tapswitch/switch/sim"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// note keeps the error code of a refused row.
func (p *replay) note(line int32, code string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.codes[line] = code
}

// spend follows the purse of a row's card.
func (p *replay) spend(row int, a *sim.Answer) {
	if !a.Approved() || a.Charged == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.purses[p.window[row].Card] -= a.Charged
}

// Day is what the ledger's own totals say about the taps of a business date.
type Day struct {
	Approved, Declined int64
	FullFare, Charged  txn.Minor
	// Clean says that every record balances and no request is booked twice.
	Clean bool
}

// Causes of differences that no reason or error code names.
const (
	CauseDuplicate   = "duplicate_row"    // the row stands twice; the tap is booked once
	CauseRejected    = "row_not_readable" // the row is malformed
	CauseMissing     = "not_in_ledger"    // approved, and not booked
	CauseUnanswered  = "unanswered"       // the outcome is not known
	CauseAmounts     = "amounts_differ"   // booked with other amounts or another operator
	CauseTwice       = "booked_twice"     // one tap, two records
	CauseForeign     = "not_in_file"      // a record that no row explains
	CauseOperatorSum = "operator_sum"     // an operator's sums differ by more than its rows
	CauseTotals      = "totals_disagree"  // the ledger's totals are not those of its records
	CauseUnclean     = "ledger_not_clean" // postings do not balance, or an id is booked twice
)

// Difference is one line of the file, or one figure, where file and ledger differ. Amounts
// are the ledger's less the file's.
type Difference struct {
	Line     int       `json:"line,omitempty"`
	OfLine   int       `json:"of_line,omitempty"`
	Cause    string    `json:"cause"`
	Detail   string    `json:"detail,omitempty"`
	Operator string    `json:"operator,omitempty"`
	FullFare txn.Minor `json:"full_fare"`
	Charged  txn.Minor `json:"charged"`
	// Explained says that the cause is known and lies in the file or in a rule.
	Explained bool `json:"explained"`
}

// OperatorLine compares one operator.
type OperatorLine struct {
	Operator string    `json:"operator"`
	Approved int64     `json:"approved"`
	Declined int64     `json:"declined"`
	FullFare txn.Minor `json:"full_fare"`
	Charged  txn.Minor `json:"charged"`
	Sums
}

// DayLine is one business date as the ledger has it.
type DayLine struct {
	Date     string    `json:"date"`
	Approved int64     `json:"approved"`
	Declined int64     `json:"declined"`
	FullFare txn.Minor `json:"full_fare"`
	Charged  txn.Minor `json:"charged"`
}

// Report compares the file with the ledger. All figures but those that begin with "file"
// are the ledger's; amounts are fen.
type Report struct {
	// Rows counts the file's rows: taps, duplicates, rejected, refused and unanswered ones.
	Rows         int `json:"rows"`
	RejectedRows int `json:"rejected_rows"`
	Duplicates   int `json:"duplicates"`
	Refused      int `json:"refused"`
	Unanswered   int `json:"unanswered"`
	// Taps counts what was decided: approved and declined.
	Taps     int              `json:"taps"`
	Approved int              `json:"approved"`
	Declined map[string]int   `json:"declined"`
	Kinds    map[string]int64 `json:"approved_by_kind"`
	// Journeys counts exits that closed an entry.
	Journeys int `json:"journeys"`
	Cards    int `json:"cards"`
	Loads    int `json:"loads"`

	FullFare     txn.Minor `json:"full_fare"`
	Charged      txn.Minor `json:"charged"`
	FileFullFare txn.Minor `json:"file_full_fare"`
	FileCharged  txn.Minor `json:"file_charged"`
	// Unexplained counts the differences without an explanation.
	Unexplained int `json:"unexplained"`

	Operators   []OperatorLine `json:"operators"`
	Days        []DayLine      `json:"days"`
	Differences []Difference   `json:"differences"`
}

// comparison is the work of compare.
type comparison struct {
	*replay
	byID      []int32 // entries in the order of their ids, duplicates left out
	operators map[string]*OperatorLine
	days      map[txn.BusinessDate]*DayLine
}

// compare drains the feed and holds every record of the ledger against its row.
func (p *replay) compare(ctx context.Context) error {
	if err := p.o.Switch.Drain(ctx); err != nil {
		return fmt.Errorf("draining the feed: %w", err)
	}
	c := &comparison{replay: p, operators: map[string]*OperatorLine{},
		days: map[txn.BusinessDate]*DayLine{}}
	p.report.Declined, p.report.Kinds = map[string]int{}, map[string]int64{}
	p.report.Differences, p.report.Operators, p.report.Days = []Difference{}, []OperatorLine{},
		[]DayLine{}
	c.index()
	err := p.o.Switch.Records(ctx, func(r *txn.Record) error {
		if r.Kind.IsTap() {
			c.record(r)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading the ledger: %w", err)
	}
	c.rows()
	c.rejects()
	c.sums()
	if err := c.totals(ctx); err != nil {
		return err
	}
	c.finish()
	return nil
}

func (c *comparison) index() {
	for i := range c.entries {
		if c.entries[i].state != duplicate {
			c.byID = append(c.byID, int32(i))
		}
	}
	slices.SortFunc(c.byID, func(a, b int32) int {
		return compareIDs(&c.entries[a].id, &c.entries[b].id)
	})
}

func compareIDs(a, b *txn.RequestID) int {
	return cmp.Or(slices.Compare(a.Terminal[:], b.Terminal[:]), cmp.Compare(a.Boot, b.Boot),
		cmp.Compare(a.Counter, b.Counter))
}

// record counts one tap of the ledger and compares it with its row.
func (c *comparison) record(r *txn.Record) {
	c.day(r)
	at, found := slices.BinarySearchFunc(c.byID, r.Request, func(i int32, id txn.RequestID) int {
		return compareIDs(&c.entries[i].id, &id)
	})
	if !found {
		if c.o.Fresh {
			c.tally(r)
			c.differ(Difference{Cause: CauseForeign, Detail: r.Request.String(),
				Operator: r.Place.Operator, FullFare: r.FullFare, Charged: r.Charged})
		}
		return
	}
	c.tally(r)
	e := &c.entries[c.byID[at]]
	company := c.file.names.text[e.company]
	switch {
	case e.booked:
		c.differ(Difference{Line: int(e.line), Cause: CauseTwice, Detail: r.Position.String(),
			Operator: r.Place.Operator, FullFare: r.FullFare, Charged: r.Charged})
	case r.Outcome != txn.Approved:
		c.lacks(e, r.Reason.String(), true)
	case r.FullFare != e.fullFare || r.Charged != e.charged || r.Place.Operator != company:
		c.differ(Difference{Line: int(e.line), Cause: CauseAmounts, Operator: company,
			Detail: r.Place.Operator, FullFare: r.FullFare - e.fullFare,
			Charged: r.Charged - e.charged})
	}
	e.booked = true
}

// tally adds a tap of the ledger to the report's figures.
func (c *comparison) tally(r *txn.Record) {
	op := c.operator(r.Place.Operator)
	if r.Outcome != txn.Approved {
		op.Declined++
		c.report.Declined[r.Reason.String()]++
		return
	}
	op.Approved++
	op.FullFare += r.FullFare
	op.Charged += r.Charged
	c.report.Approved++
	c.report.Kinds[r.Kind.String()]++
	c.report.FullFare += r.FullFare
	c.report.Charged += r.Charged
	if r.Kind == txn.MetroExit && r.EntryAt != 0 {
		c.report.Journeys++
	}
}

func (c *comparison) day(r *txn.Record) {
	d := c.days[r.BusinessDate]
	if d == nil {
		d = &DayLine{Date: r.BusinessDate.String()}
		c.days[r.BusinessDate] = d
	}
	if r.Outcome != txn.Approved {
		d.Declined++
		return
	}
	d.Approved++
	d.FullFare += r.FullFare
	d.Charged += r.Charged
}

func (c *comparison) operator(name string) *OperatorLine {
	op := c.operators[name]
	if op == nil {
		op = &OperatorLine{Operator: name}
		c.operators[name] = op
	}
	return op
}

func (c *comparison) differ(d Difference) {
	c.report.Differences = append(c.report.Differences, d)
}

// lacks says that the ledger did not book what the row says.
func (c *comparison) lacks(e *entry, cause string, explained bool) {
	c.differ(Difference{Line: int(e.line), OfLine: int(e.of), Cause: cause,
		Operator: c.file.names.text[e.company], FullFare: -e.fullFare, Charged: -e.charged,
		Explained: explained})
}

// rows looks at the rows that the ledger has no record of.
func (c *comparison) rows() {
	for i := range c.entries {
		e := &c.entries[i]
		switch {
		case e.state == duplicate:
			c.report.Duplicates++
			c.lacks(e, CauseDuplicate, true)
		case e.booked:
		case e.state == refused:
			c.report.Refused++
			c.lacks(e, c.codes[e.line], true)
		case e.state == answered && e.reason != txn.ReasonNone:
			// Declined without a record: the card is not known or the request too old.
			c.report.Declined[e.reason.String()]++
			c.operator(c.file.names.text[e.company]).Declined++
			c.lacks(e, e.reason.String(), true)
		case e.state == answered:
			c.lacks(e, CauseMissing, false)
		default:
			c.report.Unanswered++
			c.lacks(e, CauseUnanswered, false)
		}
	}
}

func (c *comparison) rejects() {
	c.report.RejectedRows = len(c.file.Rejects)
	for i := range c.file.Rejects {
		r := &c.file.Rejects[i]
		detail := r.Reason
		if r.Column != "" {
			detail = r.Column + ": " + r.Reason
		}
		c.differ(Difference{Line: r.Line, Cause: CauseRejected, Detail: detail,
			Operator: r.Company, FullFare: -r.FullFare, Charged: -r.Charged, Explained: true})
	}
}

// sums holds each operator's sums against the file's; what differs must be what the
// differences of its rows come to.
func (c *comparison) sums() {
	explained := map[string]Sums{}
	for _, d := range c.report.Differences {
		s := explained[d.Operator]
		s.FullFare += d.FullFare
		s.Charged += d.Charged
		explained[d.Operator] = s
	}
	for name, file := range c.file.ByCompany {
		c.operator(name).Sums = *file
	}
	for name, op := range c.operators {
		full := op.FullFare - op.Sums.FullFare - explained[name].FullFare
		charged := op.Charged - op.Sums.Charged - explained[name].Charged
		if full != 0 || charged != 0 {
			c.differ(Difference{Cause: CauseOperatorSum, Operator: name, FullFare: full,
				Charged: charged})
		}
	}
}

// totals holds the ledger's own totals against its records.
func (c *comparison) totals(ctx context.Context) error {
	for date, line := range c.days {
		d, err := c.o.Switch.Day(ctx, date)
		if err != nil {
			return fmt.Errorf("totals of %s: %w", date, err)
		}
		if d.Approved != line.Approved || d.Declined != line.Declined ||
			d.FullFare != line.FullFare || d.Charged != line.Charged {
			c.differ(Difference{Cause: CauseTotals, Detail: date.String(),
				FullFare: d.FullFare - line.FullFare, Charged: d.Charged - line.Charged})
		}
		if !d.Clean {
			c.differ(Difference{Cause: CauseUnclean, Detail: date.String()})
		}
	}
	return nil
}

// finish puts everything in order and counts what is not explained.
func (c *comparison) finish() {
	r := &c.report
	r.Rows = c.file.File.Rows
	r.FileFullFare, r.FileCharged = c.file.File.FullFare, c.file.File.Charged
	r.Taps = r.Approved
	for _, n := range r.Declined {
		r.Taps += n
	}
	for _, op := range c.operators {
		r.Operators = append(r.Operators, *op)
	}
	slices.SortFunc(r.Operators, func(a, b OperatorLine) int {
		return cmp.Compare(a.Operator, b.Operator)
	})
	for _, day := range c.days {
		r.Days = append(r.Days, *day)
	}
	slices.SortFunc(r.Days, func(a, b DayLine) int { return cmp.Compare(a.Date, b.Date) })
	slices.SortFunc(r.Differences, func(a, b Difference) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Cause, b.Cause),
			cmp.Compare(a.Operator, b.Operator), cmp.Compare(a.Detail, b.Detail))
	})
	for i := range r.Differences {
		if !r.Differences[i].Explained {
			r.Unexplained++
		}
	}
}
