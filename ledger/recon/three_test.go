package recon

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tapswitch/tapswitch/switch/txn"
)

const claimDay txn.BusinessDate = 20261120

func claimPlan() *Plan {
	return &Plan{Name: "p", Owner: "desk", Zone: time.FixedZone("", 8*3600)}
}

// claimed returns the breaks of one claim beside rows that both sides have.
func claimed(t *testing.T, c Claim, both []int64, day txn.BusinessDate) []*Break {
	t.Helper()
	a, err := NewAccounts([]Claim{c})
	if err != nil {
		t.Fatal(err)
	}
	for _, amount := range both {
		r := &Row{Amount: amount, Currency: txn.Currency(344)}
		r.Text[Terminal], r.Text[Batch] = "T1", "000007"
		if err := a.Matched([]*Row{r}, []*Row{r}); err != nil {
			t.Fatal(err)
		}
	}
	breaks, err := a.Breaks(claimPlan(), day)
	if err != nil {
		t.Fatal(err)
	}
	return breaks
}

// A claim that no row explains is a break with its cause and with who stands alone; one that is
// explained is none.
func TestClaimsThatDiffer(t *testing.T) {
	const settled = txn.Millis(1795168800000) // 2026-11-20 18:00 in China
	ten := Tally{Debits: 2, Debit: 1000}
	of := func(claimed Tally, known *Tally) Claim {
		c := Claim{Terminal: "T1", Batch: "000007", Tally: claimed, Known: known}
		if known != nil {
			c.Settled = settled
		}
		return c
	}
	more := Tally{Debits: 3, Debit: 1400}
	for name, tt := range map[string]struct {
		claim Claim
		both  []int64
		day   txn.BusinessDate
		cause Cause
		odd   Party
		gap   int64
	}{
		"agrees":                   {of(ten, nil), []int64{400, 600}, claimDay, "", "", 0},
		"one tap too many":         {of(more, nil), []int64{400, 600}, claimDay, Unknown, Claims, -400},
		"one of no amount":         {of(Tally{Debits: 3, Debit: 1000}, nil), []int64{400, 600}, claimDay, Unknown, Claims, 0},
		"too many, 0500":           {of(more, &ten), []int64{400, 600}, claimDay, Unknown, Claims, -400},
		"over midnight":            {of(ten, &ten), []int64{400}, claimDay, "", "", 0},
		"over midnight, too many":  {of(more, &ten), []int64{400}, claimDay, Unknown, Claims, -400},
		"came after":               {of(more, &ten), []int64{400, 600, 400}, claimDay, "", "", 0},
		"lost batch of a file":     {of(ten, nil), nil, claimDay, MissingBatch, Claims, -1000},
		"lost batch, 0500":         {of(ten, &Tally{}), nil, claimDay, MissingBatch, Claims, -1000},
		"lost batch, its next day": {of(ten, &Tally{}), nil, claimDay.Next(), MissingBatch, Claims, -1000},
		"lost batch, long ago":     {of(ten, &Tally{}), nil, claimDay.Next().Next(), "", "", 0},
		"another day's, wrong":     {of(more, &ten), nil, claimDay.Next().Next(), "", "", 0},
		"refunds":                  {of(Tally{Credits: 1, Credit: 5}, nil), []int64{-5, -5}, claimDay, Unknown, Claims, -5},
	} {
		got := claimed(t, tt.claim, tt.both, tt.day)
		if tt.cause == "" {
			if len(got) != 0 {
				t.Errorf("%s: %+v", name, got[0])
			}
			continue
		}
		if len(got) != 1 {
			t.Errorf("%s: %d breaks", name, len(got))
			continue
		}
		b := got[0]
		if b.Difference != OtherClaim || b.Cause != tt.cause || b.Odd != tt.odd || b.Gap != tt.gap ||
			b.Owner != "desk" || b.Where != "claim:T1/000007" || b.Opened != tt.day || b.Carries() ||
			b.Ours != nil || b.Theirs != nil || b.Row() != b.Claim || b.Claim.Text[Batch] != "000007" {
			t.Errorf("%s: %+v", name, b)
		}
		if want := txn.Currency(344); len(tt.both) > 0 && b.Currency() != want {
			t.Errorf("%s: currency %d", name, b.Currency())
		}
	}
}

// The break of a batch that the switch settled is the same on both days that it touches; that of a
// whole day is another one each day, and so is that of another claim.
func TestIDsOfClaims(t *testing.T) {
	known := Tally{Debits: 1, Debit: 5}
	batch := Claim{Terminal: "T1", Batch: "000007", Tally: Tally{Debits: 2, Debit: 9}, Known: &known,
		Settled: 1795168800000}
	id := func(c Claim, day txn.BusinessDate) string { return claimed(t, c, []int64{5}, day)[0].ID }
	if a, b := id(batch, claimDay), id(batch, claimDay.Next()); a != b || len(a) != 16 {
		t.Errorf("%s on the first day, %s on the second", a, b)
	}
	whole := Claim{Terminal: "T1", Tally: Tally{Debits: 2, Debit: 9}}
	if a, b := id(whole, claimDay), id(whole, claimDay.Next()); a == b {
		t.Errorf("claims of two days are both %s", a)
	}
	other := batch
	other.Debit++
	if a, b := id(batch, claimDay), id(other, claimDay); a == b {
		t.Errorf("two claims are both %s", a)
	}
}

// TestClaimsAgainstCounting holds claims against a count by hand: of terminals whose rows are lost
// on either side at random, those that claim what a side has, or what is on any side, are
// explained, and the others are named, each once.
func TestClaimsAgainstCounting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type sum struct{ n, amount int64 }
		ours, theirs, union := map[string]sum{}, map[string]sum{}, map[string]sum{}
		count := func(m map[string]sum, terminal string, amount int64) {
			m[terminal] = sum{m[terminal].n + 1, m[terminal].amount + amount}
		}
		terminals := []string{"T1", "T2", "T3"}
		var pairs [][2]*Row
		for range rapid.IntRange(0, 12).Draw(t, "rows") {
			terminal, amount := rapid.SampledFrom(terminals).Draw(t, "terminal"), rapid.Int64Range(1, 3).Draw(t, "amount")
			r := &Row{Amount: amount}
			r.Text[Terminal] = terminal
			in := rapid.IntRange(1, 3).Draw(t, "where")
			pair := [2]*Row{}
			if in&1 != 0 {
				pair[Ours] = r
				count(ours, terminal, amount)
			}
			if in&2 != 0 {
				pair[Theirs] = r
				count(theirs, terminal, amount)
			}
			count(union, terminal, amount)
			pairs = append(pairs, pair)
		}
		var claims []Claim
		want := map[string]bool{}
		for _, terminal := range terminals {
			s := sum{rapid.Int64Range(0, 4).Draw(t, "claimed"), rapid.Int64Range(0, 6).Draw(t, "sum")}
			if rapid.Bool().Draw(t, "right") {
				s = union[terminal]
			}
			claims = append(claims, Claim{Terminal: terminal, Tally: Tally{Debits: s.n, Debit: s.amount}})
			want[terminal] = s != ours[terminal] && s != theirs[terminal] && s != union[terminal]
		}
		a, err := NewAccounts(claims)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range pairs {
			switch {
			case p[Ours] != nil && p[Theirs] != nil:
				err = a.Matched(p[:1], p[1:])
			case p[Ours] != nil:
				err = a.Break(&Break{Difference: OursOnly, Ours: p[Ours]})
			default:
				err = a.Break(&Break{Difference: TheirsOnly, Theirs: p[Theirs]})
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		breaks, err := a.Breaks(claimPlan(), claimDay)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range breaks {
			terminal := b.Claim.Text[Terminal]
			if !want[terminal] {
				t.Fatalf("%s is invented, or told twice: %+v", terminal, b)
			}
			want[terminal] = false
		}
		for terminal, missing := range want {
			if missing {
				t.Fatalf("%s is not found", terminal)
			}
		}
	})
}
