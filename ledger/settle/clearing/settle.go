package clearing

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tapswitch/tapswitch/ledger/settle/chart"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// GrossLine is what the records of one kind moved on one account.
type GrossLine struct {
	Account  txn.Account  `json:"account"`
	Kind     string       `json:"kind"`
	Currency txn.Currency `json:"currency"`
	Count    int64        `json:"count"`
	Amount   int64        `json:"amount"`
}

// LateLine is the part of gross whose service belongs to an earlier business date.
type LateLine struct {
	Account     txn.Account  `json:"account"`
	Currency    txn.Currency `json:"currency"`
	ServiceDate string       `json:"service_date"`
	Count       int64        `json:"count"`
	Amount      int64        `json:"amount"`
}

// ConcessionLine is what a funder pays for discounts that an account gave.
type ConcessionLine struct {
	Cause     string       `json:"cause"`
	Funder    txn.Account  `json:"funder"`
	Account   txn.Account  `json:"account"`
	Currency  txn.Currency `json:"currency"`
	Count     int64        `json:"count"`
	Discounts int64        `json:"discounts"`
	Funded    int64        `json:"funded"`
}

// ShareLine is one party's share of what another collected. The lines of a group sum to Gross.
type ShareLine struct {
	Agreement string       `json:"agreement"`
	Route     string       `json:"route"` // "from-to", empty for the default
	Collector txn.Account  `json:"collector"`
	Currency  txn.Currency `json:"currency"`
	Count     int64        `json:"count"`
	Gross     int64        `json:"gross"`
	Account   txn.Account  `json:"account"`
	Share     int64        `json:"share"`
}

// FeeLine is a fee with its tax.
type FeeLine struct {
	Fee      string       `json:"fee"`
	Account  txn.Account  `json:"account"`
	Currency txn.Currency `json:"currency"`
	Count    int64        `json:"count"`
	Base     int64        `json:"base"`
	Amount   int64        `json:"amount"`
	Tax      int64        `json:"tax"`
}

// Entry is an entry that settlement makes: its postings sum to zero.
type Entry struct {
	ID       string        `json:"id"`
	Text     string        `json:"text"`
	Currency txn.Currency  `json:"currency"`
	Postings []txn.Posting `json:"postings"`
}

// NetLine is what one party is owed (positive) or owes after everything, on its own day.
type NetLine struct {
	Party    string       `json:"party"`
	Currency txn.Currency `json:"currency"`
	PartyDay string       `json:"party_day"`
	Gross    int64        `json:"gross"`
	Adjusted int64        `json:"adjusted"` // concessions, shares and fees
	Net      int64        `json:"net"`
}

// Statement is the settlement of a day. Lists are sorted and never nil.
type Statement struct {
	Date        txn.BusinessDate `json:"-"`
	Records     int64            `json:"records"`
	Approved    int64            `json:"approved"`
	Gross       []GrossLine      `json:"gross"`
	Late        []LateLine       `json:"late"`
	Concessions []ConcessionLine `json:"concessions"`
	Shares      []ShareLine      `json:"shares"`
	Fees        []FeeLine        `json:"fees"`
	Entries     []Entry          `json:"entries"`
	Net         []NetLine        `json:"net"`
	Orders      []Order          `json:"orders"`
	// Before is what earlier runs of this day ordered and this one leaves ordered, by party.
	Before []NetLine `json:"before,omitempty"`
}

// settling is a settlement under way.
type settling struct {
	g         *Gatherer
	run       Run
	out       *Statement
	adjusted  map[positionKey]int64
	positions map[positionKey]int64
}

// Settle settles what was gathered. It is for one call.
func (g *Gatherer) Settle(run Run) (*Statement, error) {
	s := &settling{g: g, run: run, adjusted: map[positionKey]int64{},
		positions: map[positionKey]int64{},
		out: &Statement{Date: g.day.Date, Records: g.records, Approved: g.approved,
			Gross: []GrossLine{}, Late: []LateLine{}, Concessions: []ConcessionLine{},
			Shares: []ShareLine{}, Fees: []FeeLine{}, Entries: []Entry{}, Net: []NetLine{},
			Orders: []Order{}}}
	s.gross()
	for key, sum := range g.positions {
		s.positions[key] = sum.amount
	}
	for _, step := range []func() error{s.concessions, s.shares, s.fees, s.adjustments, s.net, s.carry} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("settling %s: %w", g.day.Date, err)
		}
	}
	return s.out, nil
}

// sorted returns the keys of a map in an order of their text.
func sorted[K comparable, V any](m map[K]V) []K {
	keys := slices.Collect(maps.Keys(m))
	texts := make(map[K]string, len(keys))
	for _, k := range keys {
		texts[k] = fmt.Sprintf("%v", k)
	}
	slices.SortFunc(keys, func(a, b K) int { return strings.Compare(texts[a], texts[b]) })
	return keys
}

func (s *settling) gross() {
	for key, sum := range s.g.gross {
		s.out.Gross = append(s.out.Gross, GrossLine{key.account, key.kind.String(), key.currency,
			sum.count, sum.amount})
	}
	slices.SortFunc(s.out.Gross, func(a, b GrossLine) int {
		return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Kind, b.Kind),
			cmp.Compare(a.Currency, b.Currency))
	})
	for key, sum := range s.g.late {
		s.out.Late = append(s.out.Late, LateLine{key.account, key.currency, key.service.String(),
			sum.count, sum.amount})
	}
	slices.SortFunc(s.out.Late, func(a, b LateLine) int {
		return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.ServiceDate, b.ServiceDate),
			cmp.Compare(a.Currency, b.Currency))
	})
}

// enter makes an entry of settlement; postings of zero are left out, and so is an entry of none.
func (s *settling) enter(id, text string, currency txn.Currency, postings []txn.Posting) error {
	postings = slices.DeleteFunc(postings, func(p txn.Posting) bool { return p.Amount == 0 })
	if len(postings) == 0 {
		return nil
	}
	var sum txn.Minor
	for _, p := range postings {
		if !p.Amount.Valid() {
			return fmt.Errorf("%w: entry %s: %s %d", chart.ErrOverflow, id, p.Account, p.Amount)
		}
		sum += p.Amount
	}
	if sum != 0 {
		return fmt.Errorf("%w: entry %s sums to %d", chart.ErrUnbalanced, id, sum)
	}
	s.out.Entries = append(s.out.Entries, Entry{fmt.Sprintf("%s-%04d", id, len(s.out.Entries)+1),
		text, currency, postings})
	for _, p := range postings {
		class, err := s.g.day.Chart.ClassOf(p.Account)
		if err != nil {
			return err
		}
		if !class.Settle {
			continue
		}
		key := s.g.position(&txn.Record{Currency: currency}, p.Account)
		if s.positions[key], err = chart.Sum(s.positions[key], int64(p.Amount)); err != nil {
			return err
		}
		if s.adjusted[key], err = chart.Sum(s.adjusted[key], int64(p.Amount)); err != nil {
			return err
		}
	}
	return nil
}

func (s *settling) concessions() error {
	for _, key := range sorted(s.g.concessions) {
		sum, c := s.g.concessions[key], &s.g.day.Terms.Concessions[key.index]
		funded, err := portion(sum.amount, c.BPS, bpsUnit)
		if err != nil {
			return err
		}
		s.out.Concessions = append(s.out.Concessions, ConcessionLine{c.Cause, c.Funder, key.account,
			key.currency, sum.count, sum.amount, funded})
		if c.Funder == key.account {
			continue
		}
		err = s.enter("concession", c.Cause+" funded by "+string(c.Funder), key.currency, []txn.Posting{
			{Account: c.Funder, Amount: txn.Minor(-funded)},
			{Account: key.account, Amount: txn.Minor(funded)}})
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *settling) shares() error {
	for _, key := range sorted(s.g.shared) {
		sum, a := s.g.shared[key], &s.g.day.Terms.Agreements[key.agreement]
		weights, route := a.Default, ""
		if key.route >= 0 {
			r := &a.Routes[key.route]
			weights, route = r.Weights, r.From+"-"+r.To
		}
		shares, err := Share(sum.amount, weights, a.Residual)
		if err != nil {
			return err
		}
		postings := []txn.Posting{{Account: key.account, Amount: txn.Minor(-sum.amount)}}
		for i, w := range weights {
			s.out.Shares = append(s.out.Shares, ShareLine{a.Name, route, key.account, key.currency,
				sum.count, sum.amount, w.Account, shares[i]})
			if w.Account == key.account {
				postings[0].Amount += txn.Minor(shares[i])
				continue
			}
			postings = append(postings, txn.Posting{Account: w.Account, Amount: txn.Minor(shares[i])})
		}
		if err := s.enter("share", a.Name+" "+route, key.currency, postings); err != nil {
			return err
		}
	}
	return nil
}

func (s *settling) fees() error {
	for _, key := range sorted(s.g.feeBase) {
		base := s.g.feeBase[key]
		due, err := s.g.day.Terms.Fees[key.index].Compute(base.amount, base.count)
		if err != nil {
			return err
		}
		if err := s.fee(key, base, due); err != nil {
			return err
		}
	}
	for _, key := range sorted(s.g.feeItem) {
		if err := s.fee(key, s.g.feeItem[key], s.g.feeDue[key].amount); err != nil {
			return err
		}
	}
	return nil
}

// fee charges an account, with tax on top.
func (s *settling) fee(key feeKey, base *sum, due int64) error {
	f := &s.g.day.Terms.Fees[key.index]
	tax, err := portion(due, f.TaxBPS, bpsUnit)
	if err != nil {
		return err
	}
	s.out.Fees = append(s.out.Fees, FeeLine{f.Name, key.account, key.currency, base.count, base.amount,
		due, tax})
	return s.enter("fee", f.Name, key.currency, []txn.Posting{
		{Account: key.account, Amount: txn.Minor(-due - tax)},
		{Account: f.To, Amount: txn.Minor(due)}, {Account: f.TaxTo, Amount: txn.Minor(tax)}})
}

// adjustments takes the approved entries of the finance journal for this day.
func (s *settling) adjustments() error {
	for _, e := range s.run.Adjustments {
		if err := s.enter("adjust", e.Text+" ("+e.ID+")", e.Currency, slices.Clone(e.Postings)); err != nil {
			return err
		}
	}
	return nil
}
