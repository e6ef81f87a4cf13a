package clearing

import (
	"fmt"
	"math/big"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// Fees and shares against fractions of any size: the same rule, written with big.Rat.

// rounded is amount*parts/whole, half away from zero.
func rounded(amount, parts, whole int64) int64 {
	n := new(big.Int).Mul(big.NewInt(amount), big.NewInt(parts))
	n.Mul(n, big.NewInt(2))
	if n.Sign() < 0 {
		n.Sub(n, big.NewInt(whole))
	} else {
		n.Add(n, big.NewInt(whole))
	}
	return n.Quo(n, new(big.Int).Mul(big.NewInt(whole), big.NewInt(2))).Int64()
}

// owed is a fee on a base that is not negative: each band of the tiers by itself.
func owed(f *Fee, base, count int64) int64 {
	fee, below := rounded(base, f.BPS, bpsUnit), int64(0)
	for _, tier := range f.Tiers {
		top := base
		if tier.UpTo > 0 && tier.UpTo < base {
			top = tier.UpTo
		}
		if top > below {
			fee += rounded(top-below, tier.BPS, bpsUnit)
			below = top
		}
	}
	fee = max(fee+f.Fixed*count, f.Min)
	if f.Max > 0 {
		fee = min(fee, f.Max)
	}
	return fee
}

// TestTiersAtTheirEdges: one fen below, on and above every edge of any tiers the fee is that of the
// fractions; a purchase and its refund cost nothing together.
func TestTiersAtTheirEdges(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := Fee{BPS: rapid.Int64Range(0, 200).Draw(rt, "bps"), Fixed: rapid.Int64Range(0, 9).Draw(rt, "fixed"),
			Min: rapid.Int64Range(0, 30).Draw(rt, "min")}
		if rapid.Bool().Draw(rt, "capped") {
			f.Max = f.Min + rapid.Int64Range(1, 500).Draw(rt, "max")
		}
		edge, edges := int64(0), []int64{1, 2}
		for range rapid.IntRange(0, 4).Draw(rt, "tiers") {
			edge += rapid.Int64Range(1, 40_000).Draw(rt, "band")
			f.Tiers = append(f.Tiers, Tier{UpTo: edge, BPS: rapid.Int64Range(0, bpsUnit).Draw(rt, "tier")})
			edges = append(edges, edge)
		}
		f.Tiers = append(f.Tiers, Tier{BPS: rapid.Int64Range(0, 300).Draw(rt, "last")})
		edges = append(edges, rapid.Int64Range(1, 1<<40).Draw(rt, "any"))
		for _, at := range edges {
			for base := at - 1; base <= at+1; base++ {
				count := rapid.Int64Range(1, 50).Draw(rt, "count")
				got, err := f.Compute(base, count)
				if want := owed(&f, base, count); err != nil || got != want {
					rt.Fatalf("%+v of %d in %d: %d %v, want %d", f, base, count, got, err, want)
				}
				if back, err := f.Compute(-base, count); base > 0 && (err != nil || back != -got) {
					rt.Fatalf("%+v: %d of %d, and %d back, %v", f, got, base, back, err)
				}
			}
		}
	})
}

// TestResidualCents: without a residual party each share is its fraction cut off or one unit more,
// and the units go to the greatest fractions, of equal ones to the first; with one all of them
// are its own.
func TestResidualCents(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var weights []Weight
		var whole int64
		for i := range rapid.IntRange(1, 8).Draw(rt, "parties") {
			parts := rapid.SampledFrom([]int64{0, 1, 1, 2, 3, 3333, 3334, ScaleMax}).Draw(rt, "parts")
			weights = append(weights, Weight{txn.Account(fmt.Sprint("operator/", i)), parts})
			whole += parts
		}
		weights[0].Parts, whole = weights[0].Parts+1, whole+1
		amount := rapid.Int64Range(-100_000, 100_000).Draw(rt, "amount")
		residual := txn.Account(fmt.Sprint("operator/", rapid.IntRange(0, 12).Draw(rt, "residual")))
		sign := int64(1)
		if amount < 0 {
			sign = -1
		}
		type part struct {
			index int
			cut   int64
			rest  *big.Rat
		}
		parts, left := make([]part, len(weights)), amount*sign
		for i, w := range weights {
			exact := new(big.Rat).SetFrac(new(big.Int).Mul(big.NewInt(amount*sign), big.NewInt(w.Parts)), big.NewInt(whole))
			cut := new(big.Int).Quo(exact.Num(), exact.Denom())
			parts[i] = part{i, cut.Int64(), exact.Sub(exact, new(big.Rat).SetInt(cut))}
			left -= cut.Int64()
		}
		want := make([]int64, len(weights))
		named := slices.IndexFunc(weights, func(w Weight) bool { return w.Account == residual })
		slices.SortStableFunc(parts, func(a, b part) int { return b.rest.Cmp(a.rest) })
		for n, p := range parts {
			want[p.index] = sign * p.cut
			if named < 0 && int64(n) < left {
				want[p.index] += sign
			}
		}
		if named >= 0 {
			want[named] += sign * left
		}
		got, err := Share(amount, weights, residual)
		if err != nil || !slices.Equal(got, want) {
			rt.Fatalf("%d by %v, the rest to %s: %v %v, want %v", amount, weights, residual, got, err, want)
		}
	})
}

// TestControlTotalsOfAnyCorrections: over any terms and records, with entries that come between the
// runs of a day and orders of days before that are carried, what a run orders of its own and what
// stands of the runs before is the net, party by party.
func TestControlTotalsOfAnyCorrections(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		terms, records := drawTerms(rt), drawRecords(rt)
		var prior []Order
		sent := map[netKey]int64{} // what a bank was asked for of the day's own net
		for number := 1; number <= 3; number++ {
			run := Run{Number: number, Prior: prior, Carried: []Order{{Number: "20260101-001-0001", Direction: Pay,
				Party: carriedTo(terms), PartyDay: "2026-01-01", Currency: txn.CNY, Amount: 77}}}
			s := settleDrawn(rt, t, terms, records, run)
			sums := map[netKey]int64{}
			key := func(party, day string, currency txn.Currency) netKey {
				date, err := txn.ParseBusinessDate(day)
				if err != nil {
					rt.Fatal(err)
				}
				return netKey{party, currency, date}
			}
			for _, l := range s.Net {
				sums[key(l.Party, l.PartyDay, l.Currency)] += l.Net
			}
			for _, l := range s.Before {
				n := key(l.Party, l.PartyDay, l.Currency)
				sums[n] -= l.Net
				if l.Net != sent[n] {
					rt.Fatalf("run %d: %+v stands with %d, sent were %d", number, n, l.Net, sent[n])
				}
			}
			for _, o := range s.Orders {
				if o.Carries != "" {
					continue
				}
				n := key(o.Party, o.PartyDay, o.Currency)
				sums[n] -= o.signed()
				if o.Held == "" {
					sent[n] += o.signed()
				}
			}
			for n, off := range sums {
				if off != 0 {
					rt.Fatalf("run %d: %+v lacks %d", number, n, off)
				}
			}
			prior = append(prior, s.Orders...)
			records = append(records, drawRecords(rt)...)
		}
	})
}

// carriedTo is a party whose orders are sent, where the terms have one.
func carriedTo(terms *Terms) string {
	if len(terms.Parties) > 0 {
		return terms.Parties[0].Name
	}
	return "operator/A"
}
