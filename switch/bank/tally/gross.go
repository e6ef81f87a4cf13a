package tally

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// Gross are the totals of a reconciliation as ISO 8583:1987 has them (fields 74 to 77, 86 to
// 89 and 97): debits are purchases, completions, offline sales and loads, credits are refunds.
// What was reversed or voided stands in both, gross and reversed, each in the period in which it
// was done. A void that was reversed in its own period does not count; one of a former period,
// whose totals are told, makes a debit of its original again.
type Gross struct {
	Debits  Side `json:"debits"`
	Credits Side `json:"credits"`
}

// Side is one side of them.
type Side struct {
	Count          int64 `json:"count"`
	Amount         int64 `json:"amount"`
	ReversedCount  int64 `json:"reversed_count"`
	ReversedAmount int64 `json:"reversed_amount"`
}

// Net returns what is left of the totals.
func (g *Gross) Net() Sums {
	return Sums{DebitAmount: g.Debits.Amount - g.Debits.ReversedAmount,
		DebitCount:   int(g.Debits.Count - g.Debits.ReversedCount),
		CreditAmount: g.Credits.Amount - g.Credits.ReversedAmount,
		CreditCount:  int(g.Credits.Count - g.Credits.ReversedCount)}
}

// Field is a field of a message with its content.
type Field struct {
	Number int
	Digits string
}

// netField is field 97, FieldOfVerdict field 66: 1 in balance, 2 out of balance, 3 error.
const (
	netField       = 97
	FieldOfVerdict = 66
)

// fields are the totals in the order of their fields.
func (g *Gross) fields() [8]struct {
	n, width int
	v        *int64
} {
	return [8]struct {
		n, width int
		v        *int64
	}{
		{74, 10, &g.Credits.Count}, {75, 10, &g.Credits.ReversedCount},
		{76, 10, &g.Debits.Count}, {77, 10, &g.Debits.ReversedCount},
		{86, 16, &g.Credits.Amount}, {87, 16, &g.Credits.ReversedAmount},
		{88, 16, &g.Debits.Amount}, {89, 16, &g.Debits.ReversedAmount},
	}
}

// Fields returns the totals as fields of a message, in ascending order. A total below zero,
// which a void of a former period can make, is told as zero: the net sum shows it.
func (g *Gross) Fields() []Field {
	all := make([]Field, 0, 9)
	for _, f := range g.fields() {
		all = append(all, Field{f.n, fmt.Sprintf("%0*d", f.width, max(*f.v, 0))})
	}
	return append(all, Field{netField, g.net()})
}

// net is field 97: C or D, and credits and reversed debits less debits and reversed credits.
func (g *Gross) net() string {
	sum := g.Credits.Amount + g.Debits.ReversedAmount - g.Debits.Amount - g.Credits.ReversedAmount
	if sum < 0 {
		return fmt.Sprintf("D%016d", -sum)
	}
	return fmt.Sprintf("C%016d", sum)
}

// ReadGross reads the totals of a message; digits returns a field, "" for one that is not
// there, which is zero. ok is false when none is there. agrees says that field 97, where there
// is one, is what the others make.
func ReadGross(digits func(n int) string) (g Gross, ok, agrees bool) {
	for _, f := range g.fields() {
		text := digits(f.n)
		if text == "" {
			continue
		}
		v, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return Gross{}, false, false
		}
		*f.v, ok = v, true
	}
	net := digits(netField)
	return g, ok, net == "" || net == g.net()
}

// Counter adds up the records of a period. The zero Counter is ready.
type Counter struct {
	// OfBank counts what a bank knows of: what it refused afterwards is taken out again.
	OfBank bool

	gross   Gross
	kinds   map[txn.RequestID]txn.Kind
	earlier map[txn.RequestID]bool // voids of a former period
	undoing []undoing
}

type undoing struct {
	original txn.RequestID
	kind     txn.Kind
	amount   int64
}

// Earlier notes a record of a former period, which one of this period may undo.
func (c *Counter) Earlier(r *txn.Record) {
	if r.Outcome != txn.Approved || r.Kind != txn.BankVoid && r.Kind != txn.BankRefund {
		return
	}
	if c.kinds == nil {
		c.kinds = map[txn.RequestID]txn.Kind{}
	}
	if c.earlier == nil {
		c.earlier = map[txn.RequestID]bool{}
	}
	c.kinds[r.Request], c.earlier[r.Request] = r.Kind, true
}

// Add counts a record of the period. Order does not matter.
func (c *Counter) Add(r *txn.Record) {
	if r.Application != txn.AppBank && r.Kind != txn.Load || r.Outcome != txn.Approved {
		return
	}
	if c.kinds == nil {
		c.kinds = map[txn.RequestID]txn.Kind{}
	}
	amount := int64(r.Charged)
	switch r.Kind {
	case txn.BankPurchase, txn.BankCompletion, txn.BankLoad, txn.Load:
		c.gross.Debits.Count++
		c.gross.Debits.Amount += max(amount, -amount)
	case txn.BankRefund:
		c.gross.Credits.Count++
		c.gross.Credits.Amount += max(amount, -amount)
	case txn.BankVoid, txn.BankReversal:
		if amount != 0 { // what held money only moves none
			c.undoing = append(c.undoing, undoing{r.Original, r.Kind, amount})
		}
	case txn.BankAdjustment:
		c.adjust(r)
		return
	default:
		return
	}
	c.kinds[r.Request] = r.Kind
}

// adjust counts a difference to an earlier transaction: of its amount, or all of it where the
// bank refused what was approved for it.
func (c *Counter) adjust(r *txn.Record) {
	if r.Charged != 0 {
		c.gross.Debits.Amount += int64(r.Charged)
		return
	}
	if !c.OfBank {
		return
	}
	for _, p := range r.Postings {
		if r.Issuer != "" && strings.HasSuffix(string(p.Account), "/"+r.Issuer) {
			c.undoing = append(c.undoing, undoing{r.Original, r.Kind, int64(p.Amount)})
		}
	}
}

// Gross returns the totals of what was added.
func (c *Counter) Gross() Gross {
	g := c.gross
	for _, u := range c.undoing {
		amount := max(u.amount, -u.amount)
		kind, known := c.kinds[u.original]
		switch {
		case u.kind == txn.BankAdjustment && kind == txn.BankRefund:
			g.Credits.Count += sign(u.amount)
			g.Credits.Amount += u.amount
		case u.kind == txn.BankAdjustment:
			g.Debits.Count -= sign(u.amount)
			g.Debits.Amount -= u.amount
		case kind == txn.BankVoid && c.earlier[u.original]:
			g.Debits.Count++
			g.Debits.Amount += amount
		case known && kind == txn.BankVoid: // its void is undone
			g.Debits.ReversedCount--
			g.Debits.ReversedAmount -= amount
		case known && kind == txn.BankRefund, !known && u.amount > 0:
			g.Credits.ReversedCount++
			g.Credits.ReversedAmount += amount
		default:
			g.Debits.ReversedCount++
			g.Debits.ReversedAmount += amount
		}
	}
	return g
}

func sign(v int64) int64 {
	if v < 0 {
		return -1
	}
	return 1
}
