package day

import (
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/ledger/settle/chart"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// books are the office's, as balances read them.
func (o *office) books() *Books {
	return &Books{Reader: o.memory, Dir: o.o.Dir, Events: o.desk.journal.Events()}
}

// of returns the closing balance of an account at a moment.
func (o *office) of(a txn.Account, m Moment) int64 {
	o.t.Helper()
	trial, err := o.books().BalancesAt(o.t.Context(), m)
	if err != nil {
		o.t.Fatal(err)
	}
	for _, l := range trial {
		if l.Account == a {
			return l.Closing
		}
	}
	return 0
}

// equal compares trial balances by their closing lines.
func equal(t *testing.T, what string, got, want []chart.Balance) {
	t.Helper()
	sums := map[txn.Account]int64{}
	for _, l := range got {
		sums[l.Account] += l.Closing
	}
	for _, l := range want {
		sums[l.Account] -= l.Closing
	}
	for account, off := range sums {
		if off != 0 {
			t.Errorf("%s: %s is off by %d", what, account, off)
		}
	}
}

// TestBalancesHoldWhatFinancePosted: an adjustment counts from the moment of its approval, once,
// before and after the run that settles it; after a run the balances are those of its trial
// balance; and one that comes after a run is there before the correction is.
func TestBalancesHoldWhatFinancePosted(t *testing.T) {
	const tick = time.Second
	now := time.Unix(1_800_000_000, 0)
	o := newOffice(t, 33, 900)
	_ = o.desk.Close()
	o.o.Now = func() time.Time { now = now.Add(tick); return now }
	o.open()
	at := func() Moment { return Moment{At: txn.MillisOf(now)} }
	adjust := func(amount txn.Minor) {
		t.Helper()
		a, err := o.desk.Propose(t.Context(), Adjustment{Date: theDay, Maker: "li.na", Text: "a tap that was charged twice",
			Currency: 156, Postings: []txn.Posting{{Account: "suspense", Amount: amount},
				{Account: "income/fees", Amount: -amount}}})
		if err != nil {
			t.Fatal(err)
		}
		proposed := at()
		if _, err := o.desk.Decide(a.Seq, "wang.wei", true); err != nil {
			t.Fatal(err)
		}
		before, after := o.of("suspense", proposed), o.of("suspense", at())
		if after-before != int64(amount) {
			t.Errorf("the approval moved suspense by %d, want %d", after-before, amount)
		}
	}
	adjust(700)
	approved := at()
	o.close(theDay)
	o.settle(theDay)
	settled := at()
	adjust(-250)
	if got := o.of("suspense", settled) - o.of("suspense", approved); got != 0 {
		t.Errorf("the run booked the adjustment once more: suspense moved by %d", got)
	}
	for _, of := range []string{"first run", "correction"} {
		trial, err := Trial(o.o.Dir, o.desk.journal.Events(), theDay)
		if err != nil {
			t.Fatal(err)
		}
		m := settled
		if of == "correction" {
			m = at()
			end, err := o.books().BalancesAt(t.Context(), Moment{Date: theDay})
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "the end of the date", end, trial)
		}
		got, err := o.books().BalancesAt(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, of, got, trial)
		o.settle(theDay)
	}
	if got := o.of("suspense", Moment{Position: o.memory.All()[0].Position}); got != 0 {
		t.Errorf("suspense was %d at the first record", got)
	}
}
