package recon_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tapswitch/tapswitch/ledger/recon"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// inquired is a plan for rows of the tests.
func inquired(t testing.TB) *recon.Plan {
	t.Helper()
	p := &recon.Plan{Name: "p", Owner: "desk", Zone: time.FixedZone("", 8*60*60), CutOff: 23 * time.Hour,
		Rules:    []recon.Rule{{Name: "rrn", Key: []recon.Field{recon.RRN}}},
		Identity: [][]recon.Field{{recon.RRN}, {recon.Terminal, recon.STAN}}}
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	return p
}

// drawSide makes rows of one side that may share keys, content, batches and trace numbers.
func drawSide(t *rapid.T, name string) rowsOf {
	var all rowsOf
	for i := range rapid.IntRange(0, 14).Draw(t, name) {
		all = append(all, row(uint64(i+1), rapid.SampledFrom([]string{"", "a", "b", "c", "d"}).Draw(t, "rrn"),
			rapid.Int64Range(1, 3).Draw(t, "amount"),
			at(time.Duration(rapid.IntRange(0, 3).Draw(t, "at"))*7*time.Minute),
			with(recon.Terminal, rapid.SampledFrom([]string{"T1", "T2"}).Draw(t, "terminal")),
			with(recon.Batch, rapid.SampledFrom([]string{"", "000001"}).Draw(t, "batch")),
			with(recon.STAN, rapid.SampledFrom([]string{"", "000007", "000008"}).Draw(t, "stan")),
			with(recon.Status, rapid.SampledFrom([]string{"", "approved", "declined"}).Draw(t, "status")),
			on(rapid.SampledFrom([]txn.BusinessDate{day, day.Next()}).Draw(t, "date"))))
	}
	return all
}

// concluded shows an inquiry all rows in the orders that are given, and returns its breaks.
func concluded(t *rapid.T, plan *recon.Plan, left [2]rowsOf, order [2]rowsOf) []*recon.Break {
	t.Helper()
	q := recon.NewInquiry(recon.Facts{Plan: plan, Day: day, Names: [2][]string{{"ledger"}, {"file"}}, Left: left})
	for side, rows := range order {
		for _, r := range rows {
			q.See(recon.Side(side), r)
		}
	}
	breaks, err := q.Conclude()
	if err != nil {
		t.Fatal(err)
	}
	return breaks
}

// TestConclusionsDoNotDependOnTheOrder: partitions are looked at by several workers; the breaks,
// their causes and their numbers are the same in whatever order rows are seen.
func TestConclusionsDoNotDependOnTheOrder(t *testing.T) {
	plan := inquired(t)
	rapid.Check(t, func(rt *rapid.T) {
		all := [2]rowsOf{drawSide(rt, "ours"), drawSide(rt, "theirs")}
		// Some of the rows matched; the others are left.
		var left [2]rowsOf
		for side := range all {
			for _, r := range all[side] {
				if rapid.Bool().Draw(rt, "left") {
					left[side] = append(left[side], r)
				}
			}
		}
		other := [2]rowsOf{rapid.Permutation(all[0]).Draw(rt, "ours order"),
			rapid.Permutation(all[1]).Draw(rt, "theirs order")}
		a, err := json.Marshal(concluded(rt, plan, left, all))
		if err != nil {
			rt.Fatal(err)
		}
		b, err := json.Marshal(concluded(rt, plan, left, other))
		if err != nil || string(a) != string(b) {
			rt.Fatalf("%s\n%s\n%v", a, b, err)
		}
	})
}

// TestEveryRowLeftIsInOneBreak: no row that is left is forgotten or told twice; breaks have numbers
// of their own; what has a cause has evidence; and the gaps are the difference of the sides.
func TestEveryRowLeftIsInOneBreak(t *testing.T) {
	plan := inquired(t)
	rapid.Check(t, func(rt *rapid.T) {
		left := [2]rowsOf{drawSide(rt, "ours"), drawSide(rt, "theirs")}
		breaks := concluded(rt, plan, left, left)
		told, ids := map[string]int{}, map[string]bool{}
		var gap int64
		for _, b := range breaks {
			if ids[b.ID] || b.ID == "" {
				rt.Fatalf("break %q is there twice", b.ID)
			}
			ids[b.ID] = true
			gap += b.Gap
			for side, r := range []*recon.Row{b.Ours, b.Theirs} {
				if r != nil {
					told[fmt.Sprint(side, r.Place)]++
				}
			}
			if b.Cause != recon.Unknown && len(b.Evidence) == 0 {
				rt.Fatalf("%s without evidence", b.Cause)
			}
			if b.Cause == recon.Unknown && len(b.Evidence) > 0 {
				rt.Fatalf("unknown in spite of %v", b.Evidence)
			}
			alone := b.Ours == nil || b.Theirs == nil
			if alone != (b.Carries() || b.Difference == recon.Repeated) || b.Where == "" {
				rt.Fatalf("%+v", b)
			}
		}
		var want int64
		for side := range left {
			for _, r := range left[side] {
				if n := told[fmt.Sprint(side, r.Place)]; n != 1 {
					rt.Fatalf("row %d of side %d is in %d breaks", r.Line, side, n)
				}
				want += []int64{1, -1}[side] * r.Amount
			}
		}
		// A row that is there twice is a gap of its own, as one that the other side does not have.
		if gap != want {
			rt.Fatalf("gaps of %d, the sides differ by %d", gap, want)
		}
	})
}

// TestMatchingDoesNotDependOnTheOrder: rows of a partition are loaded in the order of places;
// whatever the order in memory, the same rows are left.
func TestMatchingDoesNotDependOnTheOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rule := recon.Rule{Name: "r", Key: []recon.Field{recon.RRN}, Shape: recon.Shape(rapid.IntRange(0,
			2).Draw(rt, "shape")), Amount: rapid.Int64Range(0, 2).Draw(rt, "tolerance"), Days: 1}
		var left [2][2][]recon.Place
		ours, theirs := drawSide(rt, "ours"), drawSide(rt, "theirs")
		for i := range left {
			a, b := clones(ours), clones(theirs)
			if i == 1 {
				a, b = rapid.Permutation(a).Draw(rt, "a"), rapid.Permutation(b).Draw(rt, "b")
			}
			_, rest := match(t, rule, a, b)
			for side := range rest {
				for _, r := range rest[side] {
					left[i][side] = append(left[i][side], r.Place)
				}
				slices.SortFunc(left[i][side], func(p, q recon.Place) int { return int(p.Line) - int(q.Line) })
			}
		}
		for side := range left[0] {
			if !slices.Equal(left[0][side], left[1][side]) {
				rt.Fatalf("side %d: %v and %v are left", side, left[0][side], left[1][side])
			}
		}
	})
}

// clones are copies that a match may consume.
func clones(rows rowsOf) (all rowsOf) {
	for _, r := range rows {
		c := *r
		all = append(all, &c)
	}
	return all
}

// TestToleranceOnlyEverMatchesMore: what matches exactly matches under a tolerance too.
func TestToleranceOnlyEverMatchesMore(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		ours, theirs := drawSide(rt, "ours"), drawSide(rt, "theirs")
		key := []recon.Field{recon.RRN, recon.Terminal}
		exact, _ := match(t, recon.Rule{Key: key}, clones(ours), clones(theirs))
		wide, left := match(t, recon.Rule{Key: key, Amount: 5, Days: 2}, clones(ours), clones(theirs))
		if wide < exact || wide*2+len(left[0])+len(left[1]) != len(ours)+len(theirs) {
			rt.Fatalf("%d exact pairs, %d with a tolerance; %d and %d left of %d and %d", exact, wide, len(left[0]),
				len(left[1]), len(ours), len(theirs))
		}
	})
}

// TestAccountsOfThreeSides: whatever three sides say of a batch, the one that stands alone is
// named, and nobody when they agree.
func TestAccountsOfThreeSides(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(0, 6).Draw(rt, "rows")
		claimed, theirs := rapid.IntRange(0, 6).Draw(rt, "claimed"), rapid.IntRange(0, 6).Draw(rt, "theirs")
		claim := recon.Claim{Terminal: "T1", Batch: "000001", Tally: recon.Tally{Debits: int64(claimed),
			Debit: 100 * int64(claimed)}}
		a, err := recon.NewAccounts([]recon.Claim{claim})
		if err != nil {
			rt.Fatal(err)
		}
		ours := func(i int) *recon.Row { return row(uint64(i), fmt.Sprint(i), 100, with(recon.Batch, "000001")) }
		for i := range max(n, theirs) {
			switch {
			case i < n && i < theirs:
				err = a.Matched(rowsOf{ours(i)}, rowsOf{ours(i)})
			case i < n:
				err = a.Break(&recon.Break{Difference: recon.OursOnly, Ours: ours(i)})
			default:
				err = a.Break(&recon.Break{Difference: recon.TheirsOnly, Theirs: ours(i)})
			}
			if err != nil {
				rt.Fatal(err)
			}
		}
		got := a.All()[0]
		want := recon.Everyone
		switch {
		case n == theirs && n == claimed:
			want = recon.NoParty
		case n == theirs:
			want = recon.Claims
		case n == claimed:
			want = recon.Counterparty
		case theirs == claimed:
			want = recon.Ledger
		}
		if got.Odd != want || got.Ledger.Debits != int64(n) || got.Theirs.Debit != int64(theirs)*100 {
			rt.Fatalf("%+v, want %q", got, want)
		}
	})
}

// TestKeysTellRowsApart: two rows have one key only when all its fields are equal, whatever the
// texts hold.
func TestKeysTellRowsApart(t *testing.T) {
	text := rapid.StringMatching(`[a-c]{1,3}`)
	rapid.Check(t, func(rt *rapid.T) {
		draw := func() *recon.Row {
			return row(1, text.Draw(rt, "rrn"), rapid.Int64Range(0, 2).Draw(rt, "amount"),
				with(recon.Terminal, text.Draw(rt, "terminal")), with(recon.STAN, text.Draw(rt, "stan")))
		}
		a, b := draw(), draw()
		key := []recon.Field{recon.RRN, recon.Terminal, recon.STAN, recon.Amount, recon.Date, recon.Currency}
		ka, okA := a.AppendKey(nil, key)
		kb, okB := b.AppendKey(nil, key)
		same := a.Text == b.Text && a.Amount == b.Amount
		if !okA || !okB || (string(ka) == string(kb)) != same {
			rt.Fatalf("%q and %q of %v and %v", ka, kb, a.Text, b.Text)
		}
		if same && recon.HashKey(ka) != recon.HashKey(kb) {
			rt.Fatal("equal keys with two hashes")
		}
		a.Text[recon.STAN] = ""
		if _, ok := a.AppendKey(nil, key); ok {
			rt.Fatal("a key without one of its fields")
		}
	})
}
