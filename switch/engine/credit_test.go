package engine_test

import (
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/txn"
	"pgregory.net/rapid"
)

// owing is a card of an account with the balance, in a scheme with post-paid riding: 10.00 owed
// at most, 5.00 a tap, three taps in a row.
func owing(t tb, balance txn.Minor) *wallet {
	t.Helper()
	w := newWallet(t)
	w.policy.PostPaid = engine.PostPaid{Limit: 1000, TapMax: 500, RidesMax: 3, WidenMax: 2000}
	w.must(w.request(txn.Enrol, func(r *txn.Request) {
		r.Enrolment = txn.Enrolment{Apps: txn.AppTransit | txn.AppPurse, Account: pan.Token{7}}
	}))
	if balance > 0 {
		w.must(w.load(balance))
	}
	return w
}

func (w *wallet) trust(widen txn.Minor, until txn.Millis) *txn.Request {
	return w.request(txn.Amend, func(r *txn.Request) {
		r.Change = &txn.CardChange{Set: txn.ChangeTrust, Widen: widen, WidenUntil: until}
	})
}

// ZZ14: a card rides when its balance is used up, under limits that a trust flag only widens; the
// next load pays what it owes; a frozen card gets none.
func TestDuty_ZZ14_RidesArePaidLater(t *testing.T) {
	w := owing(t, 100)
	w.must(w.board("M1"))
	w.wantBalance(-200)
	w.refused(w.purchase(1), txn.InsufficientFunds) // rides, not shops
	w.must(w.board("M1"))
	w.must(w.board("M1"))
	w.wantBalance(-800)
	w.refused(w.board("M100"), txn.InsufficientFunds) // three in a row
	w.must(w.load(1000))
	w.wantBalance(200)
	w.must(w.board("M1"))
	w.wantBalance(-100)
	w.must(w.freeze(txn.Lost, txn.AppAll))
	w.refused(w.board("M1"), txn.CardFrozen)
}

func TestPostPaidLimits(t *testing.T) {
	w := owing(t, 0)
	w.policy.PostPaid.RidesMax = 100
	dear := func(fare txn.Minor) *txn.Request {
		return w.request(txn.BusBoarding, place(bus), fareGiven(fare, fare))
	}
	w.refused(dear(501), txn.InsufficientFunds) // of one tap
	w.must(dear(500))
	w.must(dear(400))
	w.refused(dear(101), txn.InsufficientFunds) // of all
	w.must(dear(100))
	w.wantBalance(-1000)
	w.refused(w.entry("Futian"), txn.InsufficientFunds) // nothing is left for what it would cost
	w.must(w.load(1))
	w.must(w.entry("Futian"))
	w.now += minute
	w.refused(w.exit("Luohu"), txn.InsufficientFunds)

	for name, change := range map[string]func(*wallet){
		"no post-paid riding": func(w *wallet) { w.policy.PostPaid = engine.PostPaid{} },
		"a card of nobody": func(w *wallet) {
			s := w.card()
			s.Life.Account = pan.Token{}
			w.state = s.Append(nil)
		},
	} {
		w := owing(t, 0)
		change(w)
		if d := w.do(w.board("M1")); d.Reason != txn.InsufficientFunds {
			t.Errorf("%s: %s", name, d.Reason)
		}
	}
}

func TestTrustOnlyWidens(t *testing.T) {
	w := owing(t, 0)
	w.policy.PostPaid.RidesMax = 100
	can := func() (n int) {
		own := *w
		own.records = nil
		for own.do(own.board("M1")).Outcome == txn.Approved {
			n++
		}
		return n
	}
	if n := can(); n != 3 {
		t.Errorf("%d rides", n)
	}
	for _, step := range []struct {
		widen txn.Minor
		until txn.Millis
		want  int
	}{{600, morning + hour, 5}, {-600, morning + hour, 3}, {600, morning, 3}, {99_999, morning + hour, 10}} {
		w.must(w.trust(step.widen, step.until))
		if n := can(); n != step.want {
			t.Errorf("trust of %d: %d rides, want %d", step.widen, n, step.want)
		}
	}
	c := card.Credit{Widen: 5, Until: 10}
	if c.Limit(0, 1) != 0 || c.Limit(-3, 1) != 0 || c.Limit(7, 1) != 12 || c.Limit(7, 10) != 7 ||
		(&card.Credit{Widen: txn.MinorMax, Until: 10}).Limit(7, 1) != txn.MinorMax {
		t.Error("limits")
	}
	w.policy.PostPaid = engine.PostPaid{}
	if n := can(); n != 0 {
		t.Errorf("%d rides where there is none", n)
	}
}

// Whatever a card does: it rides as a second reckoning of its debt says, and owes no more than
// the limit.
func TestPostPaidProperty(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := owing(rt, txn.Minor(rapid.IntRange(0, 900).Draw(rt, "money")))
		balance, unpaid := w.card().Balance, 0
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			amount := txn.Minor(rapid.IntRange(1, 700).Draw(rt, "amount"))
			if rapid.IntRange(0, 4).Draw(rt, "load") == 0 {
				w.must(w.load(amount))
				balance += amount
			} else {
				after := balance - amount
				want := after >= 0 || after >= -1000 && amount <= 500 && unpaid < 3
				d := w.do(w.request(txn.BusBoarding, place(bus), fareGiven(amount, amount)))
				if (d.Outcome == txn.Approved) != want {
					rt.Fatalf("%d from %d after %d unpaid: %s", amount, balance, unpaid, d.Reason)
				}
				if want {
					balance = after
					unpaid++
				}
			}
			if balance >= 0 {
				unpaid = 0
			}
			w.wantBalance(balance)
			if balance < -1000 {
				rt.Fatalf("owes %d", -balance)
			}
		}
	})
}

func TestPostPaidPolicies(t *testing.T) {
	for _, bad := range []engine.PostPaid{{Limit: -1}, {Limit: 1}, {Limit: 1, TapMax: 1}, {Limit: 1, RidesMax: 1},
		{TapMax: -1}, {WidenMax: -1}, {Limit: txn.MinorMax + 1, TapMax: 1, RidesMax: 1}} {
		p := policy(t)
		p.PostPaid = bad
		if p.Check() == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}
