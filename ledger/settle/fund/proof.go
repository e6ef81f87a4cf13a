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
	other := Suspense
	if party, ok := parties[e.Ref]; ok {
		other = txn.Account("transit/" + party)
	} else if class, err := c.ClassOf(txn.Account(e.Ref)); err == nil && class.Role == chart.Others {
		other = txn.Account(e.Ref)
	}
	return [2]txn.Posting{{Account: txn.Account("bank/" + s.Account), Amount: txn.Minor(-e.Amount)},
		{Account: other, Amount: txn.Minor(e.Amount)}}
}

// Suspense is the account of what nobody has placed yet.
const Suspense = txn.Account("suspense")

// Unplaced is an entry of the bank that named no party: it lies in suspense until a person places
// it by an adjustment.
type Unplaced struct {
	Date    string `json:"business_date"`
	Account string `json:"account"`
	Entry
}

// NamedMax is how many entries without a party a proof names; it counts and sums all.
const NamedMax = 100

// Parked is what lies in suspense: neither the holders' nor ours until a person says whose it is.
// In and Out are the bank's entries without a party, less what adjustments placed of them.
type Parked struct {
	Balance int64      `json:"balance"`
	In      int64      `json:"unplaced_in"`
	Out     int64      `json:"unplaced_out"`
	Count   int        `json:"entries"`
	Named   []Unplaced `json:"named"`
}

// Booked is what stands beside the trial balance of a day: the statements of that day, what lies in
// suspense at its end by currency, and how many entries came after the trial balance was made.
type Booked struct {
	Statements []Statement
	Suspense   map[txn.Currency]Parked
	Unsettled  int
}

// Place takes a statement's entry that its reference placed nowhere into what lies in suspense.
func (s *Parked) Place(of *Statement, ref string, amount int64) error {
	to := &s.In
	if amount < 0 {
		to = &s.Out
	}
	sum, err := chart.Sum(*to, amount)
	if err != nil {
		return err
	}
	*to = sum
	if s.Count++; len(s.Named) < NamedMax {
		s.Named = append(s.Named, Unplaced{of.Date.String(), of.Account, Entry{Ref: ref, Amount: amount}})
	}
	return nil
}

// Settle takes out of it what adjustments moved out of suspense: what came in against in, which is
// below zero, and what went out against out. Nothing is named once all is placed.
func (s *Parked) Settle(in, out int64) {
	s.In, s.Out = max(s.In+min(in, 0), 0), min(s.Out+max(out, 0), 0)
	if s.In == 0 && s.Out == 0 {
		s.Named, s.Count = nil, 0
	}
}

// Proof holds what cards are owed against the money at the bank, in one currency:
// Purse = Held + DueIn - Owed - Suspense - Difference. DueIn is money on its way to the bank, Owed
// what the account holds for others. Difference is what the bank's statements say less what the
// books say, and must be zero. It is Proven only when nothing went out that nobody has placed, and
// no entry came after the run that it rests on.
type Proof struct {
	Date       string       `json:"business_date"`
	Currency   txn.Currency `json:"currency"`
	Purse      int64        `json:"purse_liability"`
	Held       int64        `json:"held_by_statements"`
	Books      int64        `json:"held_by_books"`
	DueIn      int64        `json:"due_in"`
	Owed       int64        `json:"owed_to_others"`
	Difference int64        `json:"difference"`
	Suspense   Parked       `json:"suspense"`
	// Unsettled is how many entries are in no run yet: settle the day again.
	Unsettled int `json:"unsettled_entries"`
	// Missing are accounts at the bank that the books have and no statement of the day.
	Missing []string `json:"missing_statements"`
	Proven  bool     `json:"proven"`
}

// Prove makes the proof of a day from its trial balance and what was booked beside it. The error
// is ErrShort when it does not hold, with the proof all the same.
func Prove(
	date txn.BusinessDate, c *chart.Chart, trial []chart.Balance, booked Booked,
) ([]Proof, error) {
	proofs := map[txn.Currency]*Proof{}
	of := func(currency txn.Currency) *Proof {
		if proofs[currency] == nil {
			proofs[currency] = &Proof{Date: date.String(), Currency: currency, Missing: []string{},
				Unsettled: booked.Unsettled, Suspense: booked.Suspense[currency]}
		}
		return proofs[currency]
	}
	for _, l := range trial {
		class, err := c.ClassOf(l.Account)
		if err != nil {
			return nil, err
		}
		of(l.Currency).add(class, l, booked.Statements)
	}
	for _, s := range booked.Statements {
		if !slices.ContainsFunc(trial, s.keeps) {
			of(s.Currency).Held += s.Closing // the books do not know the account: it shows as a difference
		}
	}
	all := make([]Proof, 0, len(proofs))
	var short error
	for _, p := range proofs {
		short = errors.Join(short, p.conclude())
		all = append(all, *p)
	}
	slices.SortFunc(all, func(a, b Proof) int { return int(a.Currency) - int(b.Currency) })
	return all, short
}

// keeps reports whether the statement is of the account of a line of the trial balance.
func (s *Statement) keeps(l chart.Balance) bool {
	return s.Currency == l.Currency && "bank/"+s.Account == string(l.Account)
}

// conclude says whether the proof holds, and what is missing.
func (p *Proof) conclude() error {
	p.Difference = p.Held - p.Books
	if p.Suspense.Named == nil {
		p.Suspense.Named = []Unplaced{}
	}
	why := ""
	switch gone := min(p.Suspense.Out, p.Suspense.Balance); {
	case p.Unsettled > 0:
		why = fmt.Sprintf("%d entries came after the run: settle the day again", p.Unsettled)
	case len(p.Missing) > 0:
		why = fmt.Sprintf("statements missing: %v", p.Missing)
	case p.Difference != 0 || p.Purse != p.Held+p.DueIn-p.Owed-p.Suspense.Balance:
		why = "the bank and the books differ"
	case gone < 0:
		why = fmt.Sprintf("%s went out and lies in suspense: place it by an adjustment", p.decimal(-gone))
	default:
		p.Proven = true
		return nil
	}
	return fmt.Errorf("%w: currency %d: %s; cards are owed %s, the bank holds %s, the books say %s",
		ErrShort, p.Currency, why, p.decimal(p.Purse), p.decimal(p.Held), p.decimal(p.Books))
}

func (p *Proof) decimal(amount int64) string { return decimal(amount, p.Currency) }

// add takes one account into the proof.
func (p *Proof) add(class chart.Class, l chart.Balance, statements []Statement) {
	switch {
	case class.Role == chart.Purse:
		p.Purse += l.Closing
	case class.Role == chart.Bank:
		p.Books -= l.Closing
		i := slices.IndexFunc(statements, func(s Statement) bool { return s.keeps(l) })
		if i < 0 {
			p.Missing = append(p.Missing, string(l.Account))
			return
		}
		p.Held += statements[i].Closing
	case l.Account == Suspense:
		p.Suspense.Balance += l.Closing
	case l.Closing < 0:
		p.DueIn -= l.Closing
	default:
		p.Owed += l.Closing
	}
}
