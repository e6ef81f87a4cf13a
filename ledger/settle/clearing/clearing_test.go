package clearing

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/ledger/settle/chart"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const theDay txn.BusinessDate = 20260301

// everyDay has no holidays.
type everyDay struct{}

// AddWorkingDays implements WorkDays.
func (everyDay) AddWorkingDays(d txn.BusinessDate, n int) (txn.BusinessDate, error) {
	for ; n > 0; n-- {
		d = d.Next()
	}
	return d, nil
}

func testChart(t testing.TB) *chart.Chart {
	t.Helper()
	var list []chart.Class
	for i, name := range []string{"operator", "merchant", "issuer", "acquirer", "funds", "subsidy",
		"transit", "income", "tax"} {
		list = append(list, chart.Class{Name: name, Type: chart.Liability, Role: chart.Others, Party: true,
			Settle: i < 6, GL: fmt.Sprint(i)})
	}
	for _, name := range []string{"purse", "suspense"} {
		list = append(list, chart.Class{Name: name, Type: chart.Liability, Role: chart.Purse, GL: "9"})
	}
	c, err := chart.New(list, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func testTerms() *Terms {
	return &Terms{Scheme: "city", Lag: 1,
		Fees: []Fee{{Name: "service", Classes: []string{"operator"}, BPS: 30, TaxBPS: 600,
			To: "income/fees", TaxTo: "tax/vat"},
			{Name: "item", Classes: []string{"merchant"}, PerItem: true, BPS: 38, Fixed: 1, Min: 2, Max: 50,
				To: "income/fees"}},
		Concessions: []Concession{{Cause: "rider", Riders: []txn.RiderCategory{txn.RiderStudent},
			Funder: "subsidy/school", BPS: 7500}},
		Agreements: []Agreement{{Name: "through", Kinds: []txn.Kind{txn.MetroExit},
			Between: []txn.Account{"operator/M1", "operator/M5"},
			Routes:  []Route{{"S1", "S2", []Weight{{"operator/M1", 3200}, {"operator/M5", 5400}}}},
			Default: []Weight{{"operator/M1", 1}, {"operator/M5", 1}}}},
		Parties: []Party{{Name: "metro", Accounts: []txn.Account{"operator/M1", "operator/M5"}, Lag: -1,
			Bank: BankAccount{"ICBC", "6222", "Metro"}}}}
}

func ride(operator txn.Account, amount txn.Minor) txn.Record {
	return txn.Record{Kind: txn.MetroExit, Outcome: txn.Approved, Currency: txn.CNY, Charged: amount,
		ServiceAt: txn.MillisOf(theDay.Time()), Postings: []txn.Posting{{Account: "purse", Amount: -amount},
			{Account: operator, Amount: amount}}}
}

func gather(t testing.TB, terms *Terms, records []txn.Record) *Gatherer {
	t.Helper()
	c := testChart(t)
	if err := terms.Check(c); err != nil {
		t.Fatal(err)
	}
	g := NewGatherer(Day{Chart: c, Terms: terms, Date: theDay,
		DateOf: func(at txn.Millis) txn.BusinessDate { return txn.DateOf(at.Time(), time.UTC, 0) }})
	for i := range records {
		if err := g.Add(&records[i]); err != nil {
			t.Fatal(err)
		}
	}
	return g
}

func settle(t testing.TB, terms *Terms, records []txn.Record, run Run) *Statement {
	t.Helper()
	run.Work = everyDay{}
	s, err := gather(t, terms, records).Settle(run)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestFee(t *testing.T) {
	tiers := []Tier{{1000, 100}, {5000, 50}, {0, 10}}
	for _, tt := range []struct {
		f           Fee
		base, count int64
		want        int64
	}{
		{Fee{BPS: 30}, 10_000, 3, 30}, {Fee{BPS: 30}, 166, 1, 0}, {Fee{BPS: 30}, 167, 1, 1},
		{Fee{BPS: 50}, 100, 1, 1}, {Fee{BPS: 50}, 99, 1, 0}, {Fee{BPS: 50}, -100, 1, -1},
		{Fee{Fixed: 5}, 0, 7, 35}, {Fee{Fixed: 5}, -3, 1, -5}, {Fee{BPS: 30, Fixed: 2}, 10_000, 1, 32},
		{Fee{BPS: 1, Min: 4}, 100, 1, 4}, {Fee{BPS: 100, Max: 7}, 10_000, 1, 7}, {Fee{Min: 4}, 100, 0, 0},
		{Fee{Tiers: tiers}, 1000, 1, 10}, {Fee{Tiers: tiers}, 5000, 1, 30},
		{Fee{Tiers: tiers}, 15_000, 1, 40}, {Fee{Tiers: tiers}, -15_000, 1, -40},
	} {
		if got, err := tt.f.Compute(tt.base, tt.count); err != nil || got != tt.want {
			t.Errorf("%+v of %d in %d: %d %v, want %d", tt.f, tt.base, tt.count, got, err, tt.want)
		}
	}
	huge := Fee{BPS: ScaleMax}
	if _, err := huge.Compute(math.MaxInt64, 1); !errors.Is(err, chart.ErrOverflow) {
		t.Errorf("overflow: %v", err)
	}
}

func TestShare(t *testing.T) {
	w := func(parts ...int64) (list []Weight) {
		for i, p := range parts {
			list = append(list, Weight{txn.Account(fmt.Sprint("operator/", i)), p})
		}
		return list
	}
	for _, tt := range []struct {
		amount   int64
		weights  []Weight
		residual txn.Account
		want     []int64
	}{
		{100, w(1, 1, 1), "", []int64{34, 33, 33}}, {-100, w(1, 1, 1), "", []int64{-34, -33, -33}},
		{100, w(1, 1, 1), "operator/2", []int64{33, 33, 34}}, {101, w(50, 25, 25), "", []int64{51, 25, 25}},
		{10, w(0, 7), "", []int64{0, 10}}, {0, w(1, 2), "", []int64{0, 0}},
		{8600, w(3200, 5400), "", []int64{3200, 5400}}, {7, w(2, 3, 5), "", []int64{1, 2, 4}},
	} {
		if got, err := Share(tt.amount, tt.weights, tt.residual); err != nil ||
			!slices.Equal(got, tt.want) {
			t.Errorf("%d by %v: %v %v, want %v", tt.amount, tt.weights, got, err, tt.want)
		}
	}
	if _, err := Share(1, w(0, 0), ""); !errors.Is(err, ErrTerms) {
		t.Errorf("no weights: %v", err)
	}
}

// TestShareProperty: shares sum to the amount and none is more than a unit from its part.
func TestShareProperty(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		amount := rng.Int64N(1<<40) - 1<<39
		var weights []Weight
		var whole int64
		for i := range 1 + rng.IntN(8) {
			weights = append(weights, Weight{txn.Account(fmt.Sprint(i)), rng.Int64N(10_000)})
			whole += weights[i].Parts
		}
		if whole == 0 {
			continue
		}
		shares, err := Share(amount, weights, "")
		if err != nil {
			t.Fatal(err)
		}
		var sum int64
		for i, s := range shares {
			sum += s
			exact := float64(amount) * float64(weights[i].Parts) / float64(whole)
			if math.Abs(float64(s)-exact) > 1.001 {
				t.Fatalf("%d by %v: %v", amount, weights, shares)
			}
		}
		if sum != amount {
			t.Fatalf("%d by %v: %v sum to %d", amount, weights, shares, sum)
		}
	}
}

// TestSettleByHand follows one small day with a pencil.
func TestSettleByHand(t *testing.T) {
	through := ride("operator/M5", 860)
	through.EntryStation, through.Place.Station = "S1", "S2"
	student := ride("operator/M1", 500)
	student.Rider, student.FullFare = txn.RiderStudent, 1000
	student.Discounts = []txn.Discount{{Cause: "rider", Amount: 500}, {Cause: "transfer", Amount: 10}}
	s := settle(t, testTerms(), []txn.Record{through, student}, Run{Number: 1})
	if len(s.Shares) != 4 || s.Shares[0].Gross != 500 && s.Shares[2].Gross != 500 {
		t.Errorf("shares %+v", s.Shares)
	}
	if len(s.Concessions) != 1 || s.Concessions[0].Funded != 375 {
		t.Errorf("concessions %+v", s.Concessions)
	}
	// Fees: 860 * 30 bp = 2.58 -> 3, 500 * 30 bp = 1.5 -> 2; tax 6 %: 0.18 and 0.12 -> 0.
	if len(s.Fees) != 2 || s.Fees[0].Amount+s.Fees[1].Amount != 5 || s.Fees[0].Tax != 0 {
		t.Errorf("fees %+v", s.Fees)
	}
	want := map[string]int64{"metro": 860 + 500 + 375 - 5, "subsidy/school": -375}
	for _, l := range s.Net {
		if l.Net != want[l.Party] || l.Gross+l.Adjusted != l.Net {
			t.Errorf("net %+v, want %d", l, want[l.Party])
		}
	}
	if len(s.Orders) != 2 || s.Orders[0].Number != "20260301-001-0001" || s.Orders[0].Held != "" ||
		s.Orders[0].ValueDate != "2026-03-02" || s.Orders[0].Bank.Number != "6222" ||
		s.Orders[1].Direction != Collect || s.Orders[1].Held == "" {
		t.Errorf("orders %+v", s.Orders)
	}
}

// randomDay makes rides, loads, refunds and bank purchases.
func randomDay(rng *rand.Rand, n int) []txn.Record {
	var records []txn.Record
	for range n {
		amount := txn.Minor(1 + rng.IntN(5000))
		operator := txn.Account(fmt.Sprint("operator/M", 1+rng.IntN(6)))
		r := ride(operator, amount)
		r.ServiceAt -= txn.Millis(rng.IntN(3) * 86_400_000)
		r.EntryStation, r.Place.Station = fmt.Sprint("S", rng.IntN(4)), fmt.Sprint("S", rng.IntN(4))
		switch rng.IntN(6) {
		case 0:
			r.Kind, r.Postings[1].Account = txn.Purchase, "merchant/1"
		case 1:
			r.Kind, r.Charged = txn.Refund, -amount
			r.Postings = []txn.Posting{{Account: "purse", Amount: amount},
				{Account: "merchant/1", Amount: -amount}}
		case 2:
			r.Kind = txn.Load
			r.Postings = []txn.Posting{{Account: "purse", Amount: amount},
				{Account: "funds/A1", Amount: -amount}}
		case 3:
			r.Kind = txn.BankPurchase
			r.Postings = []txn.Posting{{Account: "issuer/ICBC", Amount: -amount},
				{Account: "acquirer/A1", Amount: amount}}
		case 4:
			r.Outcome, r.Postings = txn.Declined, nil
		default:
			r.Rider = txn.RiderCategory(rng.IntN(3))
			r.Discounts = []txn.Discount{{Cause: "rider", Amount: txn.Minor(rng.IntN(300))}}
		}
		records = append(records, r)
	}
	return records
}

// TestRandomDays: entries sum to zero, shares to what was shared, nets to positions, orders to
// nets; the order of records changes nothing, nor does settling again.
func TestRandomDays(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 1))
		records := randomDay(rng, 400)
		terms := testTerms()
		s := settle(t, terms, records, Run{Number: 1})
		checkStatement(t, records, s)
		rng.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
		if again := settle(t, terms, records, Run{Number: 1}); !reflect.DeepEqual(s, again) {
			t.Fatalf("seed %d: the order of the records matters", seed)
		}
		for i := range s.Orders {
			s.Orders[i].Held = "" // all were sent
		}
		second := settle(t, terms, records, Run{Number: 2, Prior: s.Orders})
		if len(second.Orders) != 0 {
			t.Fatalf("seed %d: a second run orders again: %+v", seed, second.Orders)
		}
		more := append(slices.Clone(records), ride("operator/M9", 70))
		third := settle(t, terms, more, Run{Number: 2, Prior: s.Orders})
		if len(third.Orders) != 1 || third.Orders[0].Amount != 70 {
			t.Fatalf("seed %d: a correction orders %+v", seed, third.Orders)
		}
		back := settle(t, terms, nil, Run{Number: 2, Prior: s.Orders})
		for i := range back.Orders {
			if back.Orders[i].Direction == s.Orders[i].Direction {
				t.Fatalf("seed %d: an empty correction takes nothing back", seed)
			}
		}
	}
}

func checkStatement(t *testing.T, records []txn.Record, s *Statement) {
	t.Helper()
	var positions, net, ordered int64
	for _, r := range records {
		for _, p := range r.Postings {
			if p.Account != "purse" {
				positions += int64(p.Amount)
			}
		}
	}
	for _, e := range s.Entries {
		var sum txn.Minor
		for _, p := range e.Postings {
			sum += p.Amount
			if class := classOf(p.Account); class == "income" || class == "tax" {
				positions -= int64(p.Amount)
			}
		}
		if sum != 0 {
			t.Fatalf("entry %+v", e)
		}
	}
	for _, l := range s.Net {
		net += l.Net
	}
	for i := range s.Orders {
		ordered += s.Orders[i].signed()
	}
	if net != positions || ordered != net {
		t.Fatalf("positions %d, net %d, ordered %d", positions, net, ordered)
	}
	shares := map[string][2]int64{}
	for _, l := range s.Shares {
		key := l.Route + string(l.Collector)
		shares[key] = [2]int64{l.Gross, shares[key][1] + l.Share}
	}
	for key, got := range shares {
		if got[0] != got[1] {
			t.Fatalf("shares of %s sum to %d of %d", key, got[1], got[0])
		}
	}
}

// TestPartyDays: a bank whose day ends at 23:00 in its zone gets the last hour on its next day;
// a late tap is not put back into a day of the party that is over.
func TestPartyDays(t *testing.T) {
	terms := testTerms()
	terms.Parties = append(terms.Parties, Party{Name: "bank", Accounts: []txn.Account{"issuer/ICBC"},
		Zone: time.FixedZone("", 8*3600), CutOff: 23 * time.Hour, Lag: 0})
	at := func(hour int) txn.Record {
		r := ride("issuer/ICBC", 100)
		r.Kind = txn.BankRefund
		local := time.Date(2026, 3, 1, hour, 30, 0, 0, time.FixedZone("", 8*3600))
		r.ServiceAt = txn.MillisOf(local)
		return r
	}
	s := settle(t, terms, []txn.Record{at(22), at(23), at(22 - 24), at(24)}, Run{Number: 1})
	days := map[string]int64{}
	for _, l := range s.Net {
		days[l.PartyDay] += l.Net
	}
	if !reflect.DeepEqual(days, map[string]int64{"2026-03-01": 200, "2026-03-02": 200}) {
		t.Errorf("days %v", days)
	}
}

func TestTermsRefused(t *testing.T) {
	c := testChart(t)
	for name, alter := range map[string]func(*Terms){
		"scheme":    func(t *Terms) { t.Scheme = "" },
		"lag":       func(t *Terms) { t.Lag = LagMax + 1 },
		"fee name":  func(t *Terms) { t.Fees[1].Name = "service" },
		"fee rate":  func(t *Terms) { t.Fees[0].BPS = -1 },
		"fee max":   func(t *Terms) { t.Fees[1].Max = 1 },
		"fee to":    func(t *Terms) { t.Fees[0].To = "income" },
		"fee tax":   func(t *Terms) { t.Fees[0].TaxTo = "" },
		"fee class": func(t *Terms) { t.Fees[0].Classes = []string{"purse"} },
		"no class":  func(t *Terms) { t.Fees[0].Classes = nil },
		"tiers":     func(t *Terms) { t.Fees[0].Tiers = []Tier{{10, 1}, {5, 1}, {0, 1}} },
		"last tier": func(t *Terms) { t.Fees[0].Tiers = []Tier{{10, 1}} },
		"funder":    func(t *Terms) { t.Concessions[0].Funder = "purse" },
		"funded":    func(t *Terms) { t.Concessions[0].BPS = 10_001 },
		"residual":  func(t *Terms) { t.Agreements[0].Residual = "operator/M9" },
		"alone":     func(t *Terms) { t.Agreements[0].Between = t.Agreements[0].Between[:1] },
		"weights":   func(t *Terms) { t.Agreements[0].Default = []Weight{{"operator/M1", 0}} },
		"stranger":  func(t *Terms) { t.Agreements[0].Default = []Weight{{"operator/M9", 1}} },
		"route":     func(t *Terms) { t.Agreements[0].Routes = append(t.Agreements[0].Routes, t.Agreements[0].Routes[0]) },
		"party":     func(t *Terms) { t.Parties[0].Accounts = nil },
		"two owners": func(t *Terms) {
			t.Parties = append(t.Parties, Party{Name: "x", Accounts: []txn.Account{"operator/M1"}})
		},
		"unsettled": func(t *Terms) { t.Parties[0].Accounts = []txn.Account{"purse"} },
		"cut-off":   func(t *Terms) { t.Parties[0].CutOff = 24 * time.Hour },
		"too many":  func(t *Terms) { t.Fees = make([]Fee, ListMax+1) },
	} {
		terms := testTerms()
		alter(terms)
		if err := terms.Check(c); !errors.Is(err, ErrTerms) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestGroupsFull: more sums than a city can have end the run with a word why.
func TestGroupsFull(t *testing.T) {
	g := gather(t, testTerms(), nil)
	g.groups = GroupsMax
	r := ride("operator/M1", 1)
	if err := g.Add(&r); err == nil {
		t.Error("taken beyond the limit")
	}
}

// TestNoAccount: a settlement that would post outside the chart fails.
func TestNoAccount(t *testing.T) {
	g := gather(t, testTerms(), nil)
	r := ride("nobody/1", 1)
	if err := g.Add(&r); !errors.Is(err, chart.ErrAccount) {
		t.Errorf("%v", err)
	}
	_, err := gather(t, testTerms(), nil).Settle(Run{Number: 1, Work: everyDay{},
		Adjustments: []Entry{{ID: "a", Currency: txn.CNY, Postings: []txn.Posting{
			{Account: "operator/M1", Amount: 1}}}}})
	if !errors.Is(err, chart.ErrUnbalanced) {
		t.Errorf("an adjustment that does not balance: %v", err)
	}
}

// TestToldEndIsSettled: the end of a journey that is told late is paid to who ran the ride and given
// back by who was paid for the incomplete one; the concession is funded once, to the former, also
// when the holder gets back more than the ride costs. A reversal makes it as it was.
func TestToldEndIsSettled(t *testing.T) {
	for name, c := range map[string]struct{ price, concession, funded int64 }{
		"a dear ride":  {500, 500, 375},
		"a cheap ride": {200, 200, 150},
	} {
		t.Run(name, func(t *testing.T) {
			terms := testTerms()
			terms.Fees, terms.Agreements, terms.Parties = nil, nil, nil
			told := ride("operator/M5", txn.Minor(c.price-700))
			told.Rider, told.FullFare = txn.RiderStudent, txn.Minor(c.price+c.concession)
			told.Discounts = []txn.Discount{{Cause: "rider", Amount: txn.Minor(c.concession)}}
			told.Postings = []txn.Posting{{Account: "purse", Amount: txn.Minor(700 - c.price)},
				{Account: "operator/M5", Amount: txn.Minor(c.price)}, {Account: "operator/M1", Amount: -700}}
			records := []txn.Record{ride("operator/M1", 700), told}
			net := func(s *Statement) map[string]int64 {
				all := map[string]int64{}
				for _, l := range s.Net {
					if l.Net != 0 {
						all[l.Party] = l.Net
					}
				}
				return all
			}
			s := settle(t, terms, records, Run{Number: 1})
			want := map[string]int64{"operator/M5": c.price + c.funded, "subsidy/school": -c.funded}
			if got := net(s); len(s.Concessions) != 1 || s.Concessions[0].Funded != c.funded || !maps.Equal(got, want) {
				t.Errorf("%v, want %v; concessions %+v", got, want, s.Concessions)
			}
			undone := told
			undone.Kind, undone.Charged, undone.FullFare = txn.Reversal, -told.Charged, -told.FullFare
			undone.Discounts = []txn.Discount{{Cause: "reversal", Amount: undone.FullFare - undone.Charged}}
			undone.Postings = slices.Clone(told.Postings)
			for i := range undone.Postings {
				undone.Postings[i].Amount *= -1
			}
			want = map[string]int64{"operator/M1": 700}
			g := gather(t, terms, records)
			if err := g.AddReversal(&undone, &told); err != nil {
				t.Fatal(err)
			}
			if s, err := g.Settle(Run{Number: 1, Work: everyDay{}}); err != nil || !maps.Equal(net(s), want) {
				t.Errorf("reversed: %v, want %v, %v", net(s), want, err)
			}
		})
	}
}
