package clearing

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tapswitch/tapswitch/ledger/settle/chart"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// ErrTerms reports terms that contradict themselves or the chart.
var ErrTerms = errors.New("settlement terms")

// Limits of terms.
const (
	// ListMax is the most fees, concessions, agreements or parties.
	ListMax = 4096
	// RoutesMax is the most routes of one agreement: every pair of 400 stations.
	RoutesMax = 160_000
	// ScaleMax bounds basis points and weights, so that their sums are exact.
	ScaleMax = 1_000_000_000
	// LagMax is the most working days between a business day and its payment.
	LagMax = 30
)

// Terms are the agreements of a scheme.
type Terms struct {
	Scheme      string // the payer's name in orders
	Fees        []Fee
	Concessions []Concession
	Agreements  []Agreement
	Parties     []Party
	// Lag is how many working days after the business day parties without terms of their own
	// are paid.
	Lag int
}

// Tier is one band of a fee: BPS on what lies at or below UpTo and above the band before. UpTo 0
// is without end and stands last.
type Tier struct {
	UpTo int64
	BPS  int64
}

// Fee is what a party pays to the scheme or to another party.
type Fee struct {
	Name string
	// Classes are the classes of accounts that pay it; Accounts, when given, these only.
	Classes  []string
	Accounts []txn.Account
	Kinds    []txn.Kind // of records; none for all
	PerItem  bool       // computed for each record, otherwise once for the day's sum
	BPS      int64
	Fixed    int64 // for each record
	Tiers    []Tier
	Min, Max int64 // of one computation; 0 for none
	TaxBPS   int64 // on top of the fee
	To       txn.Account
	TaxTo    txn.Account
}

// Concession says who pays for a discount: the accounts of Funder, in basis points of the
// discount; the rest stays with who granted it.
type Concession struct {
	Cause  string
	Riders []txn.RiderCategory // none for all
	Funder txn.Account
	BPS    int64
}

// Weight is one party's part of a shared amount: basis points, metres or legs alike.
type Weight struct {
	Account txn.Account
	Parts   int64
}

// Route is a pair of stations with the weights of those who carry the rider.
type Route struct {
	From, To string
	Weights  []Weight
}

// Agreement shares what one operator collects between several. Routes come first; a ride on
// none of them goes by Default, and stays with who collected it where that is empty too.
type Agreement struct {
	Name    string
	Kinds   []txn.Kind
	Between []txn.Account
	Routes  []Route
	Default []Weight
	// Residual gets the units that do not divide; empty gives them by largest remainder.
	Residual txn.Account
}

// Party is a counterparty: its accounts are settled together.
type Party struct {
	Name     string
	Accounts []txn.Account
	// CutOff, after local midnight in Zone, ends the party's day: later is of the next one. 0 is
	// midnight. A nil Zone is the scheme's day.
	Zone   *time.Location
	CutOff time.Duration
	// Lag is in working days; negative takes that of the terms.
	Lag  int
	Bank BankAccount
}

// BankAccount is where a party is paid. One without a number cannot be paid: its orders are held.
type BankAccount struct {
	Bank   string `json:"bank"`
	Number string `json:"number"`
	Name   string `json:"name"`
}

// Check refuses terms that contradict themselves or the chart, with ErrTerms.
func (t *Terms) Check(c *chart.Chart) error {
	if max(len(t.Fees), len(t.Concessions), len(t.Agreements), len(t.Parties)) > ListMax {
		return fmt.Errorf("%w: a list of more than %d", ErrTerms, ListMax)
	}
	if t.Scheme == "" || t.Lag < 0 || t.Lag > LagMax {
		return fmt.Errorf("%w: no name of the scheme, or a lag of %d working days", ErrTerms, t.Lag)
	}
	names := map[string]bool{}
	for i := range t.Fees {
		if err := t.Fees[i].check(c, names); err != nil {
			return fmt.Errorf("%w: fee %s: %w", ErrTerms, t.Fees[i].Name, err)
		}
	}
	for i := range t.Concessions {
		if err := t.Concessions[i].check(c); err != nil {
			return fmt.Errorf("%w: concession %s: %w", ErrTerms, t.Concessions[i].Cause, err)
		}
	}
	for i := range t.Agreements {
		if err := t.Agreements[i].check(c); err != nil {
			return fmt.Errorf("%w: agreement %s: %w", ErrTerms, t.Agreements[i].Name, err)
		}
	}
	return t.checkParties(c)
}

func (t *Terms) checkParties(c *chart.Chart) error {
	owner, names := map[txn.Account]string{}, map[string]bool{}
	for i := range t.Parties {
		p := &t.Parties[i]
		fail := func(format string, args ...any) error {
			return fmt.Errorf("%w: party %q: %s", ErrTerms, p.Name, fmt.Sprintf(format, args...))
		}
		if p.Name == "" || names[p.Name] || len(p.Accounts) == 0 || p.Lag > LagMax ||
			p.CutOff < 0 || p.CutOff >= 24*time.Hour {
			return fail("no name, a name that is there twice, no accounts, or a bad lag or cut-off")
		}
		names[p.Name] = true
		for _, a := range p.Accounts {
			if class, err := c.ClassOf(a); err != nil {
				return fail("%v", err)
			} else if !class.Settle {
				return fail("class %s is not settled", class.Name)
			}
			if owner[a] != "" {
				return fail("%s belongs to %s", a, owner[a])
			}
			owner[a] = p.Name
		}
	}
	return nil
}

var errScale = errors.New("a rate or amount is negative or too great")

func scaled(values ...int64) error {
	for _, v := range values {
		if v < 0 || v > ScaleMax {
			return fmt.Errorf("%w: %d", errScale, v)
		}
	}
	return nil
}

func (f *Fee) check(c *chart.Chart, names map[string]bool) error {
	if f.Name == "" || names[f.Name] {
		return errors.New("no name, or one that is there twice")
	}
	names[f.Name] = true
	if err := scaled(f.BPS, f.Fixed, f.Min, f.Max, f.TaxBPS); err != nil {
		return err
	}
	if f.Max > 0 && f.Max < f.Min {
		return fmt.Errorf("the maximum %d is below the minimum %d", f.Max, f.Min)
	}
	var below int64
	for i, tier := range f.Tiers {
		last := i == len(f.Tiers)-1
		if scaled(tier.UpTo, tier.BPS) != nil || (tier.UpTo == 0) != last || !last && tier.UpTo <= below {
			return fmt.Errorf("tier %d: want rising bounds, and the last without one", i+1)
		}
		below = tier.UpTo
	}
	accounts := append([]txn.Account{f.To}, f.Accounts...)
	if f.TaxBPS > 0 {
		accounts = append(accounts, f.TaxTo)
	}
	for _, a := range accounts {
		if _, err := c.ClassOf(a); err != nil {
			return err
		}
	}
	if len(f.Classes) == 0 {
		return errors.New("no class of accounts pays it")
	}
	return settled(c, f.Classes)
}

// settled wants classes that are there and are settled.
func settled(c *chart.Chart, names []string) error {
	for _, name := range names {
		if !slices.ContainsFunc(c.Classes(), func(class chart.Class) bool {
			return class.Name == name && class.Settle
		}) {
			return fmt.Errorf("class %q is not settled", name)
		}
	}
	return nil
}

func (d *Concession) check(c *chart.Chart) error {
	class, err := c.ClassOf(d.Funder)
	if err != nil {
		return err
	}
	if !class.Settle || d.Cause == "" || d.BPS < 1 || d.BPS > 10_000 {
		return fmt.Errorf("%s is not settled, no cause, or %d of 10000", d.Funder, d.BPS)
	}
	return nil
}

func (a *Agreement) check(c *chart.Chart) error {
	if a.Name == "" || len(a.Between) < 2 || len(a.Kinds) == 0 || len(a.Routes) > RoutesMax {
		return errors.New("no name, no kinds, too many routes, or fewer than two parties")
	}
	for _, account := range a.Between {
		if class, err := c.ClassOf(account); err != nil || !class.Settle {
			return fmt.Errorf("%s cannot share", account)
		}
	}
	if a.Residual != "" && !slices.Contains(a.Between, a.Residual) {
		return fmt.Errorf("the residual goes to %s, which is no party", a.Residual)
	}
	seen := map[string]bool{}
	for _, r := range a.Routes {
		key := r.From + "\x00" + r.To
		if seen[key] || r.From == "" || r.To == "" || len(r.Weights) == 0 {
			return fmt.Errorf("route %s-%s is double or empty", r.From, r.To)
		}
		seen[key] = true
		if err := a.weights(r.Weights); err != nil {
			return fmt.Errorf("route %s-%s: %w", r.From, r.To, err)
		}
	}
	if len(a.Default) == 0 {
		return nil
	}
	return a.weights(a.Default)
}

func (a *Agreement) weights(list []Weight) error {
	var sum int64
	seen := map[txn.Account]bool{}
	for _, w := range list {
		if err := scaled(w.Parts); err != nil {
			return err
		}
		if seen[w.Account] || !slices.Contains(a.Between, w.Account) {
			return fmt.Errorf("%s is double or no party", w.Account)
		}
		seen[w.Account] = true
		sum += w.Parts
	}
	if sum == 0 {
		return errors.New("weights sum to zero")
	}
	return nil
}

// classOf returns the class of an account without looking at the chart.
func classOf(a txn.Account) string {
	name, _, _ := strings.Cut(string(a), "/")
	return name
}
