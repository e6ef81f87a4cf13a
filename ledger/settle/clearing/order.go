package clearing

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/tapswitch/tapswitch/ledger/settle/chart"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// WorkDays tells working days; switch/scheme has the calendar.
type WorkDays interface {
	// AddWorkingDays returns the n-th working day after a day; with n = 0 the day itself.
	AddWorkingDays(day txn.BusinessDate, n int) (txn.BusinessDate, error)
}

// Run is what one run settles with.
type Run struct {
	Number int
	Work   WorkDays
	// Prior are the orders of the runs of this day before: a correction orders the difference.
	Prior []Order
	// Carried are orders of certified days before that were held and that no other day carries.
	Carried []Order
	// Adjustments are approved entries of the finance journal for the day.
	Adjustments []Entry
}

// The directions of an order.
const (
	Pay     = "pay"     // from the scheme to the party
	Collect = "collect" // from the party to the scheme
)

// Order asks a bank to move money once. Amount is positive.
type Order struct {
	Number    string       `json:"number"`
	Direction string       `json:"direction"`
	Party     string       `json:"party"`
	PartyDay  string       `json:"party_day"`
	Currency  txn.Currency `json:"currency"`
	Amount    int64        `json:"amount"`
	ValueDate string       `json:"value_date"`
	// Held says why it must not be sent; empty for one to send. The next run orders the whole
	// of what it held.
	Held string      `json:"held,omitempty"`
	Bank BankAccount `json:"account"`
	// Carries is the order of a certified day that was held and that this one stands for: no run
	// of that day could order it again.
	Carries string `json:"carries,omitempty"`
}

// signed returns the amount as the party sees it.
func (o *Order) signed() int64 {
	if o.Direction == Collect {
		return -o.Amount
	}
	return o.Amount
}

// netKey is a party's day.
type netKey struct {
	party    string
	currency txn.Currency
	day      txn.BusinessDate
}

// net sums the positions of each party, orders what is not ordered yet, and books the net as in
// transit.
func (s *settling) net() error {
	lines := map[netKey]*NetLine{}
	accounts := map[netKey][]txn.Posting{}
	for _, key := range sorted(s.positions) {
		n := netKey{key.party, key.currency, key.day}
		l := lines[n]
		if l == nil {
			l = &NetLine{Party: key.party, Currency: key.currency, PartyDay: key.day.String()}
			lines[n] = l
		}
		var err error
		if l.Net, err = chart.Sum(l.Net, s.positions[key]); err != nil {
			return err
		}
		l.Adjusted += s.adjusted[key]
		l.Gross = l.Net - l.Adjusted
		accounts[n] = append(accounts[n], txn.Posting{Account: key.account,
			Amount: txn.Minor(-s.positions[key])})
	}
	keys := sorted(lines)
	slices.SortFunc(keys, func(a, b netKey) int {
		return cmp.Or(cmp.Compare(a.party, b.party), cmp.Compare(a.day, b.day),
			cmp.Compare(a.currency, b.currency))
	})
	for _, n := range keys {
		s.out.Net = append(s.out.Net, *lines[n])
		if err := s.order(n, lines[n].Net); err != nil {
			return err
		}
	}
	for _, n := range keys {
		if err := s.transit(n, lines[n].Net, accounts[n]); err != nil {
			return err
		}
	}
	if err := s.forgotten(lines); err != nil {
		return err
	}
	return s.before()
}

// before tells what earlier runs of the day ordered and this one leaves as it is.
func (s *settling) before() error {
	sums := map[netKey]int64{}
	for i := range s.run.Prior {
		o := &s.run.Prior[i]
		if !o.counts() {
			continue
		}
		day, err := txn.ParseBusinessDate(o.PartyDay)
		if err != nil {
			return fmt.Errorf("order %s: %w", o.Number, err)
		}
		n := netKey{o.Party, o.Currency, day}
		if sums[n], err = chart.Sum(sums[n], o.signed()); err != nil {
			return err
		}
	}
	for _, n := range sorted(sums) {
		s.out.Before = append(s.out.Before, NetLine{Party: n.party, Currency: n.currency,
			PartyDay: n.day.String(), Net: sums[n]})
	}
	return nil
}

// counts reports whether an order of an earlier run of the day stands: a held one was never to be
// sent, so that its money is still to be ordered, and a carried one is of another day.
func (o *Order) counts() bool { return o.Held == "" && o.Carries == "" }

// transit clears the party's accounts against what is on its way to or from it. It must come
// after all orders: from here on positions say nothing.
func (s *settling) transit(n netKey, net int64, postings []txn.Posting) error {
	postings = append(postings, txn.Posting{Account: "transit/" + txn.Account(n.party),
		Amount: txn.Minor(net)})
	return s.enter("net", "net of "+n.party+" on "+n.day.String(), n.currency, postings)
}

// order orders what the runs before have not.
func (s *settling) order(n netKey, net int64) error {
	for i := range s.run.Prior {
		o := &s.run.Prior[i]
		if !o.counts() {
			continue
		}
		if o.Party == n.party && o.Currency == n.currency && o.PartyDay == n.day.String() {
			net -= o.signed()
		}
	}
	if net == 0 {
		return nil
	}
	o := Order{Number: fmt.Sprintf("%d-%03d-%04d", s.g.day.Date, s.run.Number, len(s.out.Orders)+1),
		Direction: Pay, Party: n.party, PartyDay: n.day.String(), Currency: n.currency, Amount: net}
	if net < 0 {
		o.Direction, o.Amount = Collect, -net
	}
	return s.send(o, n.day)
}

// carry orders what certified days before held, as long as no run of this day sent it. Its money is
// in transit since its own day: nothing is booked.
func (s *settling) carry() error {
	for _, held := range s.run.Carried {
		if slices.ContainsFunc(s.run.Prior, func(o Order) bool {
			return o.Carries == held.Number && o.Held == ""
		}) {
			continue
		}
		o := Order{Number: fmt.Sprintf("%d-%03d-%04d", s.g.day.Date, s.run.Number, len(s.out.Orders)+1),
			Direction: held.Direction, Party: held.Party, PartyDay: held.PartyDay, Currency: held.Currency,
			Amount: held.Amount, Carries: held.Number}
		if err := s.send(o, s.g.day.Date); err != nil {
			return err
		}
	}
	return nil
}

// send dates an order from a day, with the account of its party; without one it is held.
func (s *settling) send(o Order, from txn.BusinessDate) error {
	lag := s.g.day.Terms.Lag
	if i := slices.IndexFunc(s.g.day.Terms.Parties, func(p Party) bool {
		return p.Name == o.Party
	}); i >= 0 {
		p := &s.g.day.Terms.Parties[i]
		o.Bank = p.Bank
		if p.Lag >= 0 {
			lag = p.Lag
		}
	}
	if o.Bank.Number == "" {
		o.Held = "no bank account is known"
	}
	value, err := s.run.Work.AddWorkingDays(from, lag)
	if err != nil {
		return fmt.Errorf("value date of %s: %w", o.Party, err)
	}
	o.ValueDate = value.String()
	s.out.Orders = append(s.out.Orders, o)
	return nil
}

// forgotten takes back what runs before ordered for parties that have no net any more.
func (s *settling) forgotten(lines map[netKey]*NetLine) error {
	left := map[netKey]bool{}
	for _, o := range s.run.Prior {
		if o.Carries != "" {
			continue
		}
		day, err := txn.ParseBusinessDate(o.PartyDay)
		if err != nil {
			return fmt.Errorf("order %s: %w", o.Number, err)
		}
		if n := (netKey{o.Party, o.Currency, day}); lines[n] == nil {
			left[n] = true
		}
	}
	for _, n := range sorted(left) {
		if err := s.order(n, 0); err != nil {
			return err
		}
	}
	return nil
}
