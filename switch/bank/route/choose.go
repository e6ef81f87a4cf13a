package route

import (
	"fmt"
	"strings"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Query is a transaction whose issuer is looked for.
type Query struct {
	PAN   pan.Number
	Class Class
	// Amount is in minor units; 0 where the transaction has none.
	Amount txn.Minor
	// At is the time of the transaction, in any zone.
	At time.Time
}

// Choice is what a rule leads to. It is the table's: callers do not change it.
type Choice struct {
	Rule    string
	Issuer  string
	Links   []string // in the order in which they are tried
	StandIn *StandIn // nil for none
}

// Route returns what the best rule that takes the transaction leads to; false when none does
// (response code 92, or 15). It allocates nothing.
func (t *Table) Route(q Query) (Choice, bool) {
	f := t.look(&q)
	for at := t.innermost(f.bin); at >= 0; at = t.nodes[at].parent {
		for _, e := range t.nodes[at].entries {
			if r := &t.rules[e.rule]; f.misses(e, &r.condition) == nothing {
				return r.choice(), true
			}
		}
	}
	return Choice{}, false
}

func (r *compiled) choice() Choice {
	return Choice{Rule: r.Name, Issuer: r.Issuer, Links: r.Links, StandIn: r.StandIn}
}

// facts is a query as rules are compared with it.
type facts struct {
	bin      uint64 // the first digits, filled up with zeros
	digits   int
	families uint8 // a bit a pan.Family whose form the number has
	class    Class
	amount   txn.Minor
	day      time.Weekday
	minute   int32
}

// look works out what the table's rules ask for.
func (t *Table) look(q *Query) facts {
	digits := q.PAN.Digits()
	f := facts{digits: len(digits), class: q.Class, amount: q.Amount}
	for i := range binDigitsMax {
		f.bin *= 10
		if i < len(digits) {
			f.bin += uint64(digits[i] - '0')
		}
	}
	if t.families {
		f.families = familiesOf(digits, q.PAN)
	}
	if t.timed {
		at := q.At.In(t.zone)
		hour, minute, _ := at.Clock()
		f.day, f.minute = at.Weekday(), int32(hour*60+minute)
	}
	return f
}

// familiesOf is pan.Family.Check for all families at once, without its errors, which cost an
// allocation.
func familiesOf(digits string, n pan.Number) (set uint8) {
	length := len(digits)
	if length == 19 && (digits[:4] == "3104" || digits[:4] == "3105") {
		set |= 1 << pan.TUnion
	}
	if length == 16 {
		set |= 1 << pan.CJT166
	}
	if length >= 16 && length <= 19 && n.Luhn() {
		set |= 1 << pan.Bank
	}
	if length >= 16 {
		set |= 1 << pan.ECard
	}
	return set
}

// innermost returns the narrowest node that a number lies in.
func (t *Table) innermost(v uint64) int32 {
	low, high := 0, len(t.starts)
	for high-low > 1 {
		if middle := int(uint(low+high) / 2); t.starts[middle] <= v {
			low = middle
		} else {
			high = middle
		}
	}
	return t.inner[low]
}

// miss is why a rule does not take a transaction.
type miss uint8

const (
	nothing miss = iota
	missDigits
	missLength
	missFamily
	missClass
	missAmount
	missTime
	missEnd
)

func (m miss) String() string {
	return [missEnd]string{"taken", "the card number is shorter than the BIN",
		"not for card numbers of this length", "not for this family of cards",
		"not for this class of transaction", "not for this amount", "not at this time"}[m]
}

func (f *facts) misses(e entry, c *condition) miss {
	switch {
	case f.digits < int(e.digits):
		return missDigits
	case c.lengths&(1<<f.digits) == 0:
		return missLength
	case c.family != pan.FamilyUnknown && f.families&(1<<c.family) == 0:
		return missFamily
	case !c.classes.has(f.class):
		return missClass
	case f.amount < c.min || f.amount > c.max:
		return missAmount
	case c.timed && !c.atTime(f.day, f.minute):
		return missTime
	}
	return nothing
}

// Explain says for people which rules were looked at, in which order, and why each does or
// does not take the transaction. Of the card number it shows the last four digits, and of
// BINs at most the first six.
func (t *Table) Explain(q Query) string {
	var b strings.Builder
	fmt.Fprintf(&b, "card %v (%d digits), %v, amount %d", q.PAN, len(q.PAN.Digits()), q.Class,
		q.Amount)
	if t.timed {
		b.WriteString(q.At.In(t.zone).Format(", Mon 15:04 MST"))
	}
	b.WriteByte('\n')
	f := t.look(&q)
	number := 0
	for at := t.innermost(f.bin); at >= 0; at = t.nodes[at].parent {
		n := &t.nodes[at]
		for _, e := range n.entries {
			r := &t.rules[e.rule]
			why := f.misses(e, &r.condition)
			number++
			fmt.Fprintf(&b, "%d. %q, BIN %v: %v\n", number, r.Name, n.shown(), why)
			if why == nothing {
				fmt.Fprintf(&b, "=> issuer %s, links %s; %v\n", r.Issuer, strings.Join(r.Links, ", "),
					r.StandIn)
				return b.String()
			}
		}
	}
	b.WriteString("=> no rule takes it\n")
	return b.String()
}
