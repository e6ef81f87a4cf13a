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

// TestBalancesHoldFeesAndCompensation: the trial balance at any past moment holds what the desk took
// as card fees and what holders were given as compensation, each from its own record on, in every
// account and to the fen, before the day is settled and after it.
func TestBalancesHoldFeesAndCompensation(t *testing.T) {
	const tick = time.Hour
	now := theDay.Time().Add(24 * time.Hour)
	o := newOffice(t, 41, 300)
	_ = o.desk.Close()
	o.o.Now = func() time.Time { now = now.Add(tick); return now }
	o.open()
	if o.chain.Last(3).Epoch == 0 {
		o.append([]txn.Record{o.chain.Epoch(3)})
	}
	life := o.chain.Life(3)
	o.append(life)
	look := func(when string) {
		t.Helper()
		for _, r := range life {
			if r.Kind != txn.Fee && r.Kind != txn.Compensation {
				continue
			}
			before := txn.Position{Bucket: 3, Epoch: r.Position.Epoch, Seq: r.Position.Seq - 1}
			for _, m := range []struct {
				moment Moment
				with   bool
			}{{Moment{Position: before}, false}, {Moment{At: r.ReceivedAt - 1}, false},
				{Moment{Position: r.Position}, true}, {Moment{At: r.ReceivedAt}, true}} {
				o.byHand(when, &r, m.moment, m.with)
			}
		}
	}
	look("open")
	a, err := o.desk.Propose(t.Context(), Adjustment{Date: theDay, Maker: "li.na", Currency: txn.CNY,
		Text: "a holder waited", Postings: []txn.Posting{{Account: "loss/M1", Amount: -2000},
			{Account: "purse", Amount: 2000}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.desk.Decide(a.Seq, "wang.wei", true); err != nil {
		t.Fatal(err)
	}
	approved := Moment{At: txn.MillisOf(now)}
	o.close(theDay)
	run := o.settle(theDay)
	look("settled")
	early := Moment{At: approved.At - txn.Millis(tick.Milliseconds())}
	if got := o.of("purse", approved) - o.of("purse", early); got != 2000 {
		t.Errorf("the compensation by finance moved purses by %d", got)
	}
	trial, err := Trial(o.o.Dir, o.desk.journal.Events(), theDay)
	if err != nil {
		t.Fatal(err)
	}
	end, err := o.books().BalancesAt(t.Context(), Moment{Date: theDay})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "the end of the date in "+run.Dir, end, trial)
	if got := o.of("income/cards", Moment{Date: theDay}); got != 1800 {
		t.Errorf("card fees %d", got)
	}
}

// byHand counts every account at a moment over all records, and wants the record in it or not.
func (o *office) byHand(when string, of *txn.Record, m Moment, with bool) {
	o.t.Helper()
	sums := map[txn.Account]int64{}
	found := false
	for _, r := range o.memory.All() {
		until := m.At
		if m.Position.Epoch > 0 {
			until = of.ReceivedAt
			if !with {
				until-- // a chain's instants are one apart, and the record before has the one before
			}
		}
		if r.ReceivedAt > until {
			continue
		}
		found = found || r.Position == of.Position
		for _, p := range r.Postings {
			sums[p.Account] += int64(p.Amount)
		}
	}
	if found != with {
		o.t.Fatalf("%s: %s of %s: the test counts wrongly", when, of.Kind, of.Position)
	}
	trial, err := o.books().BalancesAt(o.t.Context(), m)
	if err != nil {
		o.t.Fatal(err)
	}
	for _, l := range trial {
		sums[l.Account] -= l.Closing
	}
	for account, off := range sums {
		if off != 0 {
			o.t.Errorf("%s: %s of %s, with it %v: %s is off by %d", when, of.Kind, of.Position, with, account,
				-off)
		}
	}
}
