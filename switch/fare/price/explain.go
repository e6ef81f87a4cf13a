package price

import (
	"fmt"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// Part is one step from the full fare to the charge.
type Part struct {
	// What is full, surcharge, charged, or the cause of a discount; Amount is what it adds:
	// below 0 for a discount. Rule names the entry of the tariff and Line where it stands.
	What   string    `json:"what"`
	Amount txn.Minor `json:"amount_minor"`
	Rule   string    `json:"rule,omitempty"`
	Line   int       `json:"line,omitempty"`
}

// Explain tells how a quote of this tariff came about: the parts sum up to the last, which is
// what is charged. It allocates; pricing does not.
func (t *Tariff) Explain(q *Quote) []Part {
	var parts []Part
	if q.Fare >= 0 && (q.Ride || q.Full > 0) {
		f := &t.file.Fares[q.Fare]
		parts = append(parts, Part{"full", q.Full, "fare " + f.Name, f.Line})
	}
	for c := range causeEnd {
		if d := q.Discounts[c]; d != 0 {
			p := Part{What: c.String(), Amount: -d}
			p.Rule, p.Line = t.ruleOf(c, q)
			parts = append(parts, p)
		}
	}
	if q.Surcharge != 0 {
		rule, line := t.surchargeOf(q)
		parts = append(parts, Part{"surcharge", q.Surcharge, rule, line})
	}
	return append(parts, Part{What: "charged", Amount: q.Charged})
}

// ruleOf names the entry of the tariff behind a discount.
func (t *Tariff) ruleOf(c Cause, q *Quote) (rule string, line int) {
	f := &t.file
	switch {
	case c == ByRider && q.Rider >= 0:
		r := &f.Riders[q.Rider]
		if r.Pays != nil {
			return fmt.Sprintf("%s riders pay %s", r.Rider, r.Pays), r.Line
		}
		return fmt.Sprintf("%s riders pay %s", r.Rider, sliceText(r.Slices)), r.Line
	case c == ByTier && q.Tier >= 0:
		e := &f.Tiers[q.Tier]
		return fmt.Sprintf("%s from %d a month", e.Pays, e.From), e.Line
	case c == ByPass && q.Pass >= 0:
		return "pass " + f.Passes[q.Pass].Name, f.Passes[q.Pass].Line
	case c == ByTransfer && q.Transfer >= 0:
		e := &f.Transfers[q.Transfer]
		return fmt.Sprintf("transfer %s within %v", e.Name, e.Window), e.Line
	case c == ByCap && q.Capped != NoPeriod:
		for i := range f.Caps {
			if f.Caps[i].Period == q.Capped.String() {
				return fmt.Sprintf("at most %d a %s", f.Caps[i].Amount, q.Capped), f.Caps[i].Line
			}
		}
	case c == ByCorrection && f.Incomplete != nil && f.Incomplete.Correction != nil:
		return "the missing station was named", f.Incomplete.Correction.Line
	}
	return "", 0
}

// sliceText is "80% up to 300, 75% up to 600, 65% above".
func sliceText(all []Slice) string {
	text := ""
	for i, s := range all {
		if i == len(all)-1 {
			return text + s.Pays.String() + " above"
		}
		text += fmt.Sprintf("%s up to %d, ", s.Pays, s.Upto)
	}
	return text
}

func (t *Tariff) surchargeOf(q *Quote) (rule string, line int) {
	f := &t.file
	switch {
	case q.Overtime && f.Overtime != nil:
		return fmt.Sprintf("longer than %v in the paid area", f.Overtime.After), f.Overtime.Line
	case q.Incomplete && f.Incomplete != nil:
		return "incomplete journey", f.Incomplete.Line
	case q.Pass >= 0:
		return "pass " + f.Passes[q.Pass].Name, f.Passes[q.Pass].Line
	}
	return "", 0
}
