package clearing

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// drawTerms makes terms that the test's chart allows: fees of every shape, concessions,
// agreements with and without routes, and parties of one or several accounts.
func drawTerms(t *rapid.T) *Terms {
	operators := []txn.Account{"operator/A", "operator/B", "operator/C"}
	terms := &Terms{Scheme: "city", Lag: rapid.IntRange(0, 3).Draw(t, "lag")}
	for i := range rapid.IntRange(0, 4).Draw(t, "fees") {
		f := Fee{Name: fmt.Sprint("fee", i), Classes: []string{rapid.SampledFrom([]string{"operator",
			"merchant"}).Draw(t, "class")}, PerItem: rapid.Bool().Draw(t, "item"),
			BPS: rapid.Int64Range(0, 900).Draw(t, "bps"), Fixed: rapid.Int64Range(0, 7).Draw(t, "fixed"),
			TaxBPS: rapid.SampledFrom([]int64{0, 600, 1300}).Draw(t, "tax"), To: "income/fees", TaxTo: "tax/vat"}
		if rapid.Bool().Draw(t, "tiered") {
			f.Tiers = []Tier{{UpTo: rapid.Int64Range(1, 900).Draw(t, "tier"), BPS: 77}, {BPS: 13}}
		}
		if f.Min = rapid.Int64Range(0, 5).Draw(t, "min"); rapid.Bool().Draw(t, "capped") {
			f.Max = f.Min + rapid.Int64Range(1, 40).Draw(t, "max")
		}
		terms.Fees = append(terms.Fees, f)
	}
	if rapid.Bool().Draw(t, "concession") {
		terms.Concessions = []Concession{{Cause: "rider", Funder: "subsidy/school",
			BPS: rapid.Int64Range(1, 10_000).Draw(t, "funded")}}
	}
	if rapid.Bool().Draw(t, "agreement") {
		terms.Agreements = []Agreement{drawAgreement(t, operators)}
	}
	if rapid.Bool().Draw(t, "party") {
		terms.Parties = []Party{{Name: "metro", Accounts: operators[:2], Lag: -1,
			Bank: BankAccount{"ICBC", "6222", "Metro"}}}
	}
	return terms
}

func drawAgreement(t *rapid.T, operators []txn.Account) Agreement {
	weights := func(name string) (list []Weight) {
		for _, o := range operators {
			list = append(list, Weight{o, rapid.Int64Range(0, 9999).Draw(t, name)})
		}
		list[rapid.IntRange(0, 2).Draw(t, "not zero")].Parts += 1
		return list
	}
	a := Agreement{Name: "through", Kinds: []txn.Kind{txn.MetroExit}, Between: operators,
		Residual: rapid.SampledFrom([]txn.Account{"", "operator/A", "operator/C"}).Draw(t, "residual")}
	if rapid.Bool().Draw(t, "route") {
		a.Routes = []Route{{"S1", "S2", weights("route weight")}}
	}
	if rapid.Bool().Draw(t, "default") {
		a.Default = weights("default weight")
	}
	return a
}

// drawRecords makes rides, purchases, refunds and declines in two currencies.
func drawRecords(t *rapid.T) []txn.Record {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) txn.Record {
		amount := txn.Minor(rapid.Int64Range(-3000, 9000).Draw(t, "amount"))
		to := rapid.SampledFrom([]txn.Account{"operator/A", "operator/B", "operator/C", "merchant/1",
			"merchant/2"}).Draw(t, "to")
		r := ride(to, amount)
		r.EntryStation, r.Place.Station = rapid.SampledFrom([]string{"S1", "S3"}).Draw(t, "entry"), "S2"
		if r.Currency = txn.CNY; rapid.IntRange(0, 9).Draw(t, "hk") == 0 {
			r.Currency = 344
		}
		if rapid.IntRange(0, 3).Draw(t, "discounted") == 0 {
			r.Discounts = []txn.Discount{{Cause: "rider", Amount: txn.Minor(rapid.Int64Range(1,
				999).Draw(t, "discount"))}}
		}
		if rapid.IntRange(0, 9).Draw(t, "declined") == 0 {
			r.Outcome, r.Postings, r.Discounts = txn.Declined, nil, nil
		}
		return r
	}), 0, 40).Draw(t, "records")
}

// settleDrawn settles drawn records by drawn terms.
func settleDrawn(t *rapid.T, tb testing.TB, terms *Terms, records []txn.Record, run Run) *Statement {
	t.Helper()
	run.Work = everyDay{}
	s, err := gather(tb, terms, records).Settle(run)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// sums adds amounts up by currency.
type sums map[txn.Currency]int64

func (s sums) add(c txn.Currency, amount int64) { s[c] += amount }

// TestNoTermsLoseAFen: whatever the terms and the records, every entry of settlement sums to
// zero; the lines of fees, taxes, shares and concessions are what was posted; and what all
// parties are owed is what the records gave them, less what settlement gave to others.
func TestNoTermsLoseAFen(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		terms, records := drawTerms(rt), drawRecords(rt)
		s := settleDrawn(rt, t, terms, records, Run{Number: 1})
		given, elsewhere, posted := sums{}, sums{}, map[txn.Account]int64{}
		for _, r := range records {
			for _, p := range r.Postings {
				if p.Account != "purse" {
					given.add(r.Currency, int64(p.Amount))
				}
			}
		}
		settles := func(a txn.Account) bool {
			return slices.Contains([]string{"operator", "merchant", "subsidy"}, classOf(a))
		}
		for _, e := range s.Entries {
			var sum txn.Minor
			for _, p := range e.Postings {
				sum += p.Amount
				if classOf(p.Account) == "transit" || !strings.HasPrefix(e.ID, "net-") {
					posted[p.Account] += int64(p.Amount) // without what clears an account into transit
				}
				if !settles(p.Account) && classOf(p.Account) != "transit" {
					elsewhere.add(e.Currency, int64(p.Amount))
				}
			}
			if sum != 0 {
				rt.Fatalf("entry %s sums to %d", e.ID, sum)
			}
		}
		net := sums{}
		moving := map[txn.Account]int64{}
		for _, n := range s.Net {
			moving[txn.Account("transit/"+n.Party)] += n.Net
			if n.Net != n.Gross+n.Adjusted {
				rt.Fatalf("%+v does not add up", n)
			}
			net.add(n.Currency, n.Net)
		}
		for c := range given {
			if net[c]+elsewhere[c] != given[c] {
				rt.Fatalf("currency %d: parties are owed %d, fees and taxes took %d, the records gave %d", c, net[c],
					elsewhere[c], given[c])
			}
		}
		for a, amount := range posted {
			if classOf(a) == "transit" && amount != moving[a] {
				rt.Fatalf("%s holds %d of %d", a, amount, moving[a])
			}
		}
		var due, tax int64
		for _, f := range s.Fees {
			due, tax = due+f.Amount, tax+f.Tax
		}
		if posted["income/fees"] != due || posted["tax/vat"] != tax {
			rt.Fatalf("fees %d and tax %d in the lines, %d and %d posted", due, tax, posted["income/fees"],
				posted["tax/vat"])
		}
		var funded int64
		for _, c := range s.Concessions {
			funded += c.Funded
			if c.Funded < 0 || c.Funded > c.Discounts {
				rt.Fatalf("%+v: more than the discount", c)
			}
		}
		if posted["subsidy/school"] != -funded {
			rt.Fatalf("funded %d, posted %d", funded, posted["subsidy/school"])
		}
	})
}

// TestSharesAreTheWhole: the shares of every group are what was collected, the collector's own
// included, and no share has the other sign.
func TestSharesAreTheWhole(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 9).Draw(rt, "parties")
		var weights []Weight
		for i := range n {
			weights = append(weights, Weight{txn.Account(fmt.Sprint("operator/", i)),
				rapid.Int64Range(0, ScaleMax).Draw(rt, "parts")})
		}
		weights[rapid.IntRange(0, n-1).Draw(rt, "some")].Parts++
		residual := txn.Account(fmt.Sprint("operator/", rapid.IntRange(0, n+1).Draw(rt, "residual")))
		amount := rapid.Int64Range(-1<<52, 1<<52).Draw(rt, "amount")
		shares, err := Share(amount, weights, residual)
		if err != nil {
			rt.Fatal(err)
		}
		var sum, whole int64
		for _, w := range weights {
			whole += w.Parts
		}
		for i, share := range shares {
			sum += share
			exact := float64(amount) * (float64(weights[i].Parts) / float64(whole))
			own := weights[i].Account == residual
			if off := float64(share) - exact; !own && (off > 1.5 || off < -1.5) && amount < 1<<40 && amount > -1<<40 {
				rt.Fatalf("%d by %v: share %d of %s, exactly %.2f", amount, weights, share, weights[i].Account, exact)
			}
			if amount > 0 && share < 0 || amount < 0 && share > 0 {
				rt.Fatalf("%d by %v gives %v", amount, weights, shares)
			}
		}
		if sum != amount {
			rt.Fatalf("%d by %v gives %v, %d in all", amount, weights, shares, sum)
		}
	})
}

// TestGroupsOfShares: the lines of one agreement, route and collector sum to what was collected.
func TestGroupsOfShares(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		terms := &Terms{Scheme: "city", Agreements: []Agreement{drawAgreement(rt,
			[]txn.Account{"operator/A", "operator/B", "operator/C"})}}
		s := settleDrawn(rt, t, terms, drawRecords(rt), Run{Number: 1})
		type group struct {
			route     string
			collector txn.Account
			currency  txn.Currency
		}
		sum, gross := map[group]int64{}, map[group]int64{}
		for _, l := range s.Shares {
			g := group{l.Route, l.Collector, l.Currency}
			sum[g] += l.Share
			gross[g] = l.Gross
		}
		for g, amount := range gross {
			if sum[g] != amount {
				rt.Fatalf("%+v: shares of %d sum to %d", g, amount, sum[g])
			}
		}
	})
}

// TestFeesAreMonotonous: more turnover is never a smaller fee, a refund gives back what its
// purchase cost, and a bound holds.
func TestFeesAreMonotonous(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		terms := drawTerms(rt)
		base := rapid.Int64Range(1, 1<<40).Draw(rt, "base")
		more := base + rapid.Int64Range(0, 1<<40).Draw(rt, "more")
		count := rapid.Int64Range(1, 1000).Draw(rt, "count")
		for i := range terms.Fees {
			f := &terms.Fees[i]
			low, err := f.Compute(base, count)
			high, err2 := f.Compute(more, count)
			back, err3 := f.Compute(-base, count)
			if err != nil || err2 != nil || err3 != nil {
				rt.Fatal(err, err2, err3)
			}
			if low > high || back != -low || low < f.Min || f.Max > 0 && high > f.Max {
				rt.Fatalf("%+v: %d of %d, %d of %d, %d back", f, low, base, high, more, back)
			}
		}
	})
}

// TestTheOrderOfRecordsDoesNotMatter: both warehouses may hand the same day over in other
// orders; the statement has the same bytes.
func TestTheOrderOfRecordsDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		terms, records := drawTerms(rt), drawRecords(rt)
		first, err := json.Marshal(settleDrawn(rt, t, terms, records, Run{Number: 1}))
		if err != nil {
			rt.Fatal(err)
		}
		second, err := json.Marshal(settleDrawn(rt, t, terms, rapid.Permutation(records).Draw(rt, "order"),
			Run{Number: 1}))
		if err != nil || string(first) != string(second) {
			rt.Fatalf("%s\n%s\n%v", first, second, err)
		}
	})
}

// TestCorrectionsOrderTheDifference: whatever a first run ordered, those of its orders that were
// sent and those of the correction together pay each party what the correction owes it.
func TestCorrectionsOrderTheDifference(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		terms, records := drawTerms(rt), drawRecords(rt)
		first := settleDrawn(rt, t, terms, records, Run{Number: 1})
		amount := txn.Minor(rapid.Int64Range(-5000, 5000).Draw(rt, "adjusted"))
		run := Run{Number: 2, Prior: first.Orders, Adjustments: []Entry{{ID: "a", Text: "form", Currency: txn.CNY,
			Postings: []txn.Posting{{Account: "suspense", Amount: -amount}, {Account: "operator/A", Amount: amount}}}}}
		second := settleDrawn(rt, t, terms, records, run)
		paid := map[string]int64{}
		sent := slices.DeleteFunc(slices.Clone(first.Orders), func(o Order) bool { return o.Held != "" })
		for _, o := range slices.Concat(sent, second.Orders) {
			signed := o.Amount
			if o.Direction != Pay {
				signed = -signed
			}
			if o.Amount <= 0 {
				rt.Fatalf("an order of %d", o.Amount)
			}
			paid[fmt.Sprint(o.Party, o.Currency)] += signed
		}
		owed := map[string]int64{}
		for _, n := range second.Net {
			owed[fmt.Sprint(n.Party, n.Currency)] += n.Net
		}
		for key, net := range owed {
			if paid[key] != net {
				rt.Fatalf("%s is owed %d and ordered %d", key, net, paid[key])
			}
		}
	})
}
