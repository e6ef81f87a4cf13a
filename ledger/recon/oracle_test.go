package recon_test

import (
	"math/big"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tapswitch/tapswitch/ledger/recon"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// The matcher against counting by brute force: slow, without groups, hashes or an order.

// drawTolerant makes rows under few keys whose amounts, times and dates lie close together.
func drawTolerant(t *rapid.T, name string) rowsOf {
	var all rowsOf
	for i := range rapid.IntRange(0, 7).Draw(t, name) {
		all = append(all, row(uint64(i+1), rapid.SampledFrom([]string{"a", "b"}).Draw(t, "rrn"),
			rapid.Int64Range(98, 104).Draw(t, "amount"),
			at(time.Duration(rapid.IntRange(0, 4).Draw(t, "minutes"))*time.Minute),
			on([]txn.BusinessDate{day, day.Next(), day.Next().Next()}[rapid.IntRange(0, 2).Draw(t, "date")]),
			with(recon.Status, rapid.SampledFrom([]string{"", "approved", "declined"}).Draw(t, "status"))))
	}
	return all
}

// may is what a rule allows of a pair, written down anew with big numbers.
func may(rule *recon.Rule, o, t *recon.Row) bool {
	apart := func(a, b int64) *big.Int {
		d := new(big.Int).Sub(big.NewInt(a), big.NewInt(b))
		return d.Abs(d)
	}
	days := apart(o.Date.Time().Unix(), t.Date.Time().Unix())
	status := o.Text[recon.Status] == "" || t.Text[recon.Status] == "" || o.Text[recon.Status] == t.Text[recon.Status]
	return o.Text[recon.RRN] == t.Text[recon.RRN] && status &&
		apart(o.Amount, t.Amount).Cmp(big.NewInt(rule.Amount)) <= 0 &&
		days.Cmp(big.NewInt(int64(rule.Days)*24*3600)) <= 0 &&
		(rule.Time == 0 || apart(int64(o.At), int64(t.At)).Cmp(big.NewInt(rule.Time.Milliseconds())) <= 0)
}

// most is the greatest number of pairs that fits allows, by augmenting paths.
func most(ours, theirs rowsOf, fits func(o, t *recon.Row) bool) (n int) {
	of := map[*recon.Row]*recon.Row{}
	var try func(o *recon.Row, seen map[*recon.Row]bool) bool
	try = func(o *recon.Row, seen map[*recon.Row]bool) bool {
		for _, t := range theirs {
			if seen[t] || !fits(o, t) {
				continue
			}
			seen[t] = true
			if of[t] == nil || try(of[t], seen) {
				of[t] = o
				return true
			}
		}
		return false
	}
	for _, o := range ours {
		if try(o, map[*recon.Row]bool{}) {
			n++
		}
	}
	return n
}

// TestTolerancesAgainstBruteForce: every pair is allowed, no allowed pair is left over, exact pairs
// are as many as there can be, and all together at least half of what the best choice would give.
func TestTolerancesAgainstBruteForce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rule := recon.Rule{Name: "r", Key: []recon.Field{recon.RRN}, Amount: rapid.Int64Range(0, 3).Draw(rt, "amount"),
			Time: time.Duration(rapid.IntRange(0, 3).Draw(rt, "time")) * time.Minute,
			Days: rapid.IntRange(0, 2).Draw(rt, "days")}
		ours, theirs := drawTolerant(rt, "ours"), drawTolerant(rt, "theirs")
		same := func(o, t *recon.Row) bool {
			return may(&rule, o, t) && o.Amount == t.Amount && o.Date == t.Date && o.At == t.At
		}
		best, exact := most(ours, theirs, func(o, t *recon.Row) bool { return may(&rule, o, t) }), 0
		var pairs int
		taken := map[*recon.Row]bool{}
		m := recon.Matcher{Rule: &rule, Matched: func(a, b []*recon.Row) {
			if len(a) != 1 || len(b) != 1 || !may(&rule, a[0], b[0]) || taken[a[0]] || taken[b[0]] {
				rt.Fatalf("%+v with %+v", a, b)
			}
			taken[a[0]], taken[b[0]] = true, true
			pairs++
			if same(a[0], b[0]) {
				exact++
			}
		}}
		left, err := m.Match(ours, theirs)
		if err != nil {
			rt.Fatal(err)
		}
		for _, o := range left[recon.Ours] {
			for _, t := range left[recon.Theirs] {
				if may(&rule, o, t) {
					rt.Fatalf("%+v and %+v are left", o, t)
				}
			}
		}
		if exact != most(ours, theirs, same) || 2*pairs < best || pairs > best {
			rt.Fatalf("%d pairs, %d exact, the best choice has %d", pairs, exact, best)
		}
		if len(left[recon.Ours]) != len(ours)-pairs || len(left[recon.Theirs]) != len(theirs)-pairs {
			rt.Fatalf("%d and %d left of %d and %d", len(left[0]), len(left[1]), len(ours), len(theirs))
		}
	})
}

// TestSumsAgainstBruteForce: under one-to-many and its mirror a key matches as a whole or not at
// all: one row against all of the other side, when they are alike one by one and their sum is
// within the tolerance. Nothing is guessed of a part.
func TestSumsAgainstBruteForce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		shape := rapid.SampledFrom([]recon.Shape{recon.OneToMany, recon.ManyToOne}).Draw(rt, "shape")
		rule := recon.Rule{Name: "r", Key: []recon.Field{recon.RRN}, Shape: shape,
			Amount: rapid.Int64Range(0, 2).Draw(rt, "amount"), Days: 2}
		many := drawTolerant(rt, "many")
		var one rowsOf
		for i := range rapid.IntRange(0, 3).Draw(rt, "one") {
			rrn := rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "key")
			var sum int64
			for _, r := range many {
				if r.Text[recon.RRN] == rrn {
					sum += r.Amount
				}
			}
			one = append(one, row(uint64(i+1), rrn, sum+rapid.Int64Range(-3, 3).Draw(rt, "off")))
		}
		sides := [2]rowsOf{one, many}
		if shape == recon.ManyToOne {
			sides = [2]rowsOf{many, one}
		}
		want := map[string]bool{}
		for _, rrn := range []string{"a", "b"} {
			var sums [2]int64
			var counts [2]int
			for side, rows := range [2]rowsOf{one, many} {
				for _, r := range rows {
					if r.Text[recon.RRN] == rrn {
						sums[side] += r.Amount
						counts[side]++
					}
				}
			}
			off := sums[0] - sums[1]
			want[rrn] = counts[0] == 1 && counts[1] > 0 && max(off, -off) <= rule.Amount
		}
		got := map[string]bool{}
		m := recon.Matcher{Rule: &rule, Matched: func(a, _ []*recon.Row) {
			if rrn := a[0].Text[recon.RRN]; got[rrn] {
				rt.Fatalf("key %s is matched twice", rrn)
			}
			got[a[0].Text[recon.RRN]] = true
		}}
		left, err := m.Match(sides[0], sides[1])
		if err != nil {
			rt.Fatal(err)
		}
		for rrn, matches := range want {
			if got[rrn] != matches {
				rt.Fatalf("key %s: matched %v, want %v", rrn, got[rrn], matches)
			}
			for _, rows := range left {
				for _, r := range rows {
					if matches && r.Text[recon.RRN] == rrn {
						rt.Fatalf("key %s matched and left a row", rrn)
					}
				}
			}
		}
	})
}
