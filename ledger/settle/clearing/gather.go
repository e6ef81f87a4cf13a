package clearing

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/tapswitch/tapswitch/ledger/settle/chart"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// GroupsMax is the most sums that a day is gathered in. A day has a few thousand, and every pair
// of stations at most.
const GroupsMax = 1 << 20

// sum is a count and an amount.
type sum struct{ count, amount int64 }

type grossKey struct {
	account  txn.Account
	kind     txn.Kind
	currency txn.Currency
}

type positionKey struct {
	party    string
	account  txn.Account
	currency txn.Currency
	day      txn.BusinessDate // of the party
}

type concessionKey struct {
	index    int
	account  txn.Account // who is given it
	currency txn.Currency
}

type shareKey struct {
	agreement, route int // route -1 is the default
	account          txn.Account
	currency         txn.Currency
}

type feeKey struct {
	index    int
	account  txn.Account
	currency txn.Currency
}

type lateKey struct {
	account  txn.Account
	currency txn.Currency
	service  txn.BusinessDate
}

// routeKey finds a route of an agreement.
type routeKey struct {
	agreement int
	from, to  string
}

// Day says what is gathered.
type Day struct {
	Chart *chart.Chart
	Terms *Terms
	Date  txn.BusinessDate
	// DateOf is the scheme's calendar: a record whose service belongs to an earlier date is
	// late. It is booked on the open date that the switch gave it, and shown apart.
	DateOf func(txn.Millis) txn.BusinessDate
}

// Gatherer sums the records of a day.
type Gatherer struct {
	day         Day
	owner       map[txn.Account]*Party
	routes      map[routeKey]int
	records     int64
	approved    int64
	gross       map[grossKey]*sum
	positions   map[positionKey]*sum
	concessions map[concessionKey]*sum
	shared      map[shareKey]*sum
	feeBase     map[feeKey]*sum // of fees for the day
	feeItem     map[feeKey]*sum // of fees for each record: base
	feeDue      map[feeKey]*sum // … and the fees
	late        map[lateKey]*sum
	groups      int
}

// NewGatherer returns a Gatherer for terms that were checked.
func NewGatherer(d Day) *Gatherer {
	g := &Gatherer{day: d, owner: map[txn.Account]*Party{}, routes: map[routeKey]int{},
		gross: map[grossKey]*sum{}, positions: map[positionKey]*sum{},
		concessions: map[concessionKey]*sum{}, shared: map[shareKey]*sum{},
		feeBase: map[feeKey]*sum{}, feeItem: map[feeKey]*sum{}, feeDue: map[feeKey]*sum{},
		late: map[lateKey]*sum{}}
	for i := range d.Terms.Parties {
		p := &d.Terms.Parties[i]
		for _, a := range p.Accounts {
			g.owner[a] = p
		}
	}
	for i, a := range d.Terms.Agreements {
		for n, r := range a.Routes {
			g.routes[routeKey{i, r.From, r.To}] = n
		}
	}
	return g
}

// into adds to the sum of key.
func into[K comparable](g *Gatherer, m map[K]*sum, key K, amount int64) error {
	s := m[key]
	if s == nil {
		if g.groups++; g.groups > GroupsMax {
			return fmt.Errorf("clearing of %s: more than %d different sums: stations or parties "+
				"that no registry has", g.day.Date, GroupsMax)
		}
		s = &sum{}
		m[key] = s
	}
	var err error
	s.count++
	s.amount, err = chart.Sum(s.amount, amount)
	return err
}

// Records returns how many records were added, and how many of them are approvals.
func (g *Gatherer) Records() (all, approved int64) { return g.records, g.approved }

// Add takes one record. Its postings must have passed chart.Check.
func (g *Gatherer) Add(r *txn.Record) error { return g.add(r, r) }

// AddReversal takes the reversal of a ride, with the ride's record: what others gave to the ride,
// and how it was shared, is undone as it was, of which the reversal itself knows nothing.
func (g *Gatherer) AddReversal(r, ride *txn.Record) error {
	as := *ride
	as.Discounts = slices.Clone(ride.Discounts)
	for i := range as.Discounts {
		as.Discounts[i].Amount = -as.Discounts[i].Amount
	}
	return g.add(r, &as)
}

// Undoes reports whether r is the reversal of a ride, to be taken with AddReversal, under terms
// where that makes a difference.
func (g *Gatherer) Undoes(r *txn.Record) bool {
	return r.Kind == txn.Reversal && r.Outcome == txn.Approved && r.FullFare != 0 &&
		len(g.day.Terms.Concessions)+len(g.day.Terms.Agreements) > 0
}

// add takes the money of r, with the concessions and the sharing of as.
func (g *Gatherer) add(r, as *txn.Record) error {
	g.records++
	if r.Outcome != txn.Approved || r.Kind.IsMarker() {
		return nil
	}
	g.approved++
	payee := g.payeeOf(r)
	for i := range r.Postings {
		p := &r.Postings[i]
		if err := g.addPosting(r, p.Account, int64(p.Amount)); err != nil {
			return err
		}
		if err := g.addShared(as, p.Account, int64(p.Amount)); err != nil {
			return err
		}
		if payee != "" && p.Account != payee {
			continue // the concession is of the ride, and he had another
		}
		if err := g.addConcessions(as, p.Account); err != nil {
			return err
		}
	}
	return nil
}

// payeeOf returns who is paid for the ride of a told end, where somebody else gives back what the
// incomplete journey cost, and for its reversal who gives that price back; empty for all other
// records. What the holder gets back may be more than either.
func (g *Gatherer) payeeOf(r *txn.Record) (payee txn.Account) {
	if len(r.Postings) < 3 {
		return ""
	}
	most := txn.Minor(math.MinInt64)
	for _, p := range r.Postings {
		if r.Kind == txn.Reversal {
			p.Amount = -p.Amount
		}
		if c, err := g.day.Chart.ClassOf(p.Account); err == nil && c.Settle && p.Amount > most {
			payee, most = p.Account, p.Amount
		}
	}
	return payee
}

// addPosting takes one posting of a record into the sums of money that it belongs to.
func (g *Gatherer) addPosting(r *txn.Record, a txn.Account, amount int64) error {
	class, err := g.day.Chart.ClassOf(a)
	if err != nil {
		return err
	}
	if !class.Settle {
		return nil
	}
	if err := into(g, g.gross, grossKey{a, r.Kind, r.Currency}, amount); err != nil {
		return err
	}
	if err := into(g, g.positions, g.position(r, a), amount); err != nil {
		return err
	}
	if at := g.day.DateOf(r.ServiceAt); r.ServiceAt != 0 && at < g.day.Date {
		if err := into(g, g.late, lateKey{a, r.Currency, at}, amount); err != nil {
			return err
		}
	}
	return g.addFees(r, a, amount)
}

// position is where a posting is netted: its party on the party's own day.
func (g *Gatherer) position(r *txn.Record, a txn.Account) positionKey {
	p := g.owner[a]
	key := positionKey{party: string(a), account: a, currency: r.Currency, day: g.day.Date}
	if p == nil {
		return key
	}
	key.party = p.Name
	if p.Zone != nil && r.ServiceAt != 0 {
		// A late tap is not put back into a day of the party that is over.
		key.day = max(key.day, p.dateOf(r.ServiceAt))
	}
	return key
}

// dateOf returns the party's day of an instant: what comes at its cut-off or later is of the
// next one.
func (p *Party) dateOf(at txn.Millis) txn.BusinessDate {
	begin := p.CutOff
	if begin > 0 {
		begin -= 24 * time.Hour
	}
	return txn.DateOf(at.Time(), p.Zone, begin)
}

func (f *Fee) on(kind txn.Kind, a txn.Account) bool {
	return slices.Contains(f.Classes, classOf(a)) &&
		(len(f.Accounts) == 0 || slices.Contains(f.Accounts, a)) &&
		(len(f.Kinds) == 0 || slices.Contains(f.Kinds, kind))
}

func (g *Gatherer) addFees(r *txn.Record, a txn.Account, amount int64) error {
	for i := range g.day.Terms.Fees {
		f := &g.day.Terms.Fees[i]
		if !f.on(r.Kind, a) {
			continue
		}
		key := feeKey{i, a, r.Currency}
		if !f.PerItem {
			if err := into(g, g.feeBase, key, amount); err != nil {
				return err
			}
			continue
		}
		due, err := f.Compute(amount, 1)
		if err != nil {
			return err
		}
		if err := into(g, g.feeItem, key, amount); err != nil {
			return err
		}
		if err := into(g, g.feeDue, key, due); err != nil {
			return err
		}
	}
	return nil
}

// addShared takes a posting to the first agreement that covers it.
func (g *Gatherer) addShared(r *txn.Record, a txn.Account, amount int64) error {
	if class, err := g.day.Chart.ClassOf(a); err != nil || !class.Settle {
		return err
	}
	for i := range g.day.Terms.Agreements {
		t := &g.day.Terms.Agreements[i]
		if !slices.Contains(t.Kinds, r.Kind) || !slices.Contains(t.Between, a) {
			continue
		}
		n, ok := g.routes[routeKey{i, r.EntryStation, r.Place.Station}]
		if !ok {
			n = -1
		}
		if n < 0 && len(t.Default) == 0 {
			return nil
		}
		return into(g, g.shared, shareKey{i, n, a, r.Currency}, amount)
	}
	return nil
}

// addConcessions takes the discounts of a record whose payee is a.
func (g *Gatherer) addConcessions(r *txn.Record, a txn.Account) error {
	if class, err := g.day.Chart.ClassOf(a); err != nil || !class.Settle {
		return err
	}
	for _, d := range r.Discounts {
		for i := range g.day.Terms.Concessions {
			c := &g.day.Terms.Concessions[i]
			if c.Cause != d.Cause || len(c.Riders) > 0 && !slices.Contains(c.Riders, r.Rider) {
				continue
			}
			if err := into(g, g.concessions, concessionKey{i, a, r.Currency}, int64(d.Amount)); err != nil {
				return err
			}
		}
	}
	return nil
}
