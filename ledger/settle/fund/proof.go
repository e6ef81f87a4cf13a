package fund

import (
	"errors"
	"fmt"
	"slices"

	"github.com/tapswitch/tapswitch/ledger/settle/chart"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// ErrShort reports that the money at the bank is not what the books say.
var ErrShort = errors.New("the money at the bank is not what cards are owed")

// Posting says what an entry of a statement posts: the bank's account against the party that
// the reference names. parties gives the party of a payment order's number; a reference that is
// an account of the chart is that account; everything else is suspense, for a person to place.
func Posting(
	s *Statement, e Entry, c *chart.Chart, parties map[string]string,
) [2]txn.Posting {
	other := txn.Account("suspense")
	if party, ok := parties[e.Ref]; ok {
		other = txn.Account("transit/" + party)
	} else if class, err := c.ClassOf(txn.Account(e.Ref)); err == nil && class.Role == chart.Others {
		other = txn.Account(e.Ref)
	}
	return [2]txn.Posting{{Account: txn.Account("bank/" + s.Account), Amount: txn.Minor(-e.Amount)},
		{Account: other, Amount: txn.Minor(e.Amount)}}
}

// Proof holds what cards are owed against the money at the bank, in one currency:
// Purse = Held + DueIn - Owed - Difference. DueIn is money on its way to the bank, Owed what the
// account holds for others. Difference is what the bank's statements say less what the books
// say, and must be zero.
type Proof struct {
	Date       string       `json:"business_date"`
	Currency   txn.Currency `json:"currency"`
	Purse      int64        `json:"purse_liability"`
	Held       int64        `json:"held_by_statements"`
	Books      int64        `json:"held_by_books"`
	DueIn      int64        `json:"due_in"`
	Owed       int64        `json:"owed_to_others"`
	Difference int64        `json:"difference"`
	// Missing are accounts at the bank that the books have and no statement of the day.
	Missing []string `json:"missing_statements"`
	Proven  bool     `json:"proven"`
}

// Prove makes the proof of a day from its trial balance and the statements of that day. The error
// is ErrShort when it does not hold, with the proof all the same.
func Prove(
	date txn.BusinessDate, c *chart.Chart, trial []chart.Balance, statements []Statement,
) ([]Proof, error) {
	proofs := map[txn.Currency]*Proof{}
	for _, l := range trial {
		p := proofs[l.Currency]
		if p == nil {
			p = &Proof{Date: date.String(), Currency: l.Currency, Missing: []string{}}
			proofs[l.Currency] = p
		}
		class, err := c.ClassOf(l.Account)
		if err != nil {
			return nil, err
		}
		p.add(class, l, statements)
	}
	var all []Proof
	var short error
	for _, p := range proofs {
		p.Difference = p.Held - p.Books
		p.Proven = p.Difference == 0 && len(p.Missing) == 0 && p.Purse == p.Held+p.DueIn-p.Owed
		if !p.Proven {
			short = errors.Join(short, fmt.Errorf("%w: currency %d: cards are owed %d; the bank holds %d, "+
				"the books say %d; statements missing: %v", ErrShort, p.Currency, p.Purse, p.Held, p.Books,
				p.Missing))
		}
		all = append(all, *p)
	}
	slices.SortFunc(all, func(a, b Proof) int { return int(a.Currency) - int(b.Currency) })
	return all, short
}

// add takes one account into the proof.
func (p *Proof) add(class chart.Class, l chart.Balance, statements []Statement) {
	switch {
	case class.Role == chart.Purse:
		p.Purse += l.Closing
	case class.Role == chart.Bank:
		p.Books -= l.Closing
		i := slices.IndexFunc(statements, func(s Statement) bool {
			return s.Currency == l.Currency && "bank/"+s.Account == string(l.Account)
		})
		if i < 0 {
			p.Missing = append(p.Missing, string(l.Account))
			return
		}
		p.Held += statements[i].Closing
	case l.Closing < 0:
		p.DueIn -= l.Closing
	default:
		p.Owed += l.Closing
	}
}
