package engine_test

import (
	"testing"

	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/txn"
)

func TestLoadAndPurchase(t *testing.T) {
	w := enrolled(t, 0)
	if d := w.must(w.load(1000)); d.Charged != -1000 || d.BalanceAfter != 1000 {
		t.Fatalf("load: %+v", d)
	}
	rec := w.last()
	if rec.Application != txn.AppPurse || len(rec.Postings) != 2 ||
		rec.Postings[0] != (txn.Posting{Account: engine.AccountPurse, Amount: 1000}) ||
		rec.Postings[1] != (txn.Posting{Account: "acquirer/SZT", Amount: -1000}) {
		t.Fatalf("load record: %+v", rec)
	}
	if d := w.must(w.purchase(1000)); d.Charged != 1000 || d.BalanceAfter != 0 || d.FullFare != 0 {
		t.Fatalf("purchase: %+v", d)
	}
	w.refused(w.purchase(1), txn.InsufficientFunds)
	if rec := w.last(); rec.Outcome != txn.Declined || rec.Reason != txn.InsufficientFunds ||
		len(rec.Postings) != 0 || rec.Charged != 0 || rec.Auth.String() != "" {
		t.Fatalf("record of a decline: %+v", rec)
	}
}

func TestPurseLimits(t *testing.T) {
	w := enrolled(t, 0)
	w.policy.BalanceMax = w.policy.LoadMax + 50
	w.refused(w.load(w.policy.LoadMax+1), txn.LimitExceeded)
	w.must(w.load(w.policy.LoadMax))
	w.refused(w.load(51), txn.BalanceTooHigh)
	w.must(w.load(50))
	w.refused(w.purchase(w.policy.PurchaseMax+1), txn.LimitExceeded)
	w.must(w.purchase(w.policy.PurchaseMax))
	w.wantBalance(w.policy.LoadMax + 50 - w.policy.PurchaseMax)
}

// Money of a place without a payee waits on the suspense account.
func TestPlaceWithoutPayee(t *testing.T) {
	w := enrolled(t, 1000)
	w.must(w.request(txn.Purchase, amountOf(10), place(txn.Place{})))
	if p := w.last().Postings; p[1].Account != engine.AccountSuspense || p[1].Amount != 10 {
		t.Fatalf("postings %+v", p)
	}
	w.must(w.request(txn.Load, amountOf(10), place(txn.Place{})))
	if p := w.last().Postings; p[1].Account != engine.AccountSuspense || p[1].Amount != -10 {
		t.Fatalf("postings %+v", p)
	}
}

func TestRefunds(t *testing.T) {
	w := enrolled(t, 5000)
	bought := w.purchase(1000)
	w.must(bought)
	w.refused(w.refund(bought, 1001), txn.RefundTooLarge)
	part := w.refund(bought, 400)
	if d := w.must(part); d.Charged != -400 || d.BalanceAfter != 4400 {
		t.Fatalf("partial refund: %+v", d)
	}
	if rec := w.last(); rec.Original != bought.ID || rec.Postings[0].Amount != 400 ||
		rec.Postings[1] != (txn.Posting{Account: "operator/metro", Amount: -400}) {
		t.Fatalf("refund record: %+v", rec)
	}
	w.refused(w.refund(bought, 601), txn.RefundTooLarge)
	w.must(w.refund(bought, 600))
	w.refused(w.refund(bought, 1), txn.RefundTooLarge)
	w.wantBalance(5000)
	w.refused(w.reversal(bought), txn.OriginalNotRefundable)
	w.refused(w.refund(part, 1), txn.OriginalNotRefundable)

	loaded := w.load(100)
	w.must(loaded)
	w.refused(w.refund(loaded, 1), txn.OriginalNotRefundable)
	never := w.purchase(1)
	w.refused(w.refund(never, 1), txn.OriginalUnknown)
	w.must(never) // a refund leaves no tombstone

	ride := w.board("M1")
	w.must(ride)
	w.must(w.refund(ride, 300))
	declined := w.purchase(90_000)
	w.refused(declined, txn.InsufficientFunds)
	w.refused(w.refund(declined, 1), txn.OriginalDeclined)
}

func TestReversalOfEachKind(t *testing.T) {
	for _, tt := range []struct {
		name  string
		make  func(*wallet) *txn.Request
		moved txn.Minor // what the reversal gives back
		other txn.Account
	}{
		{"purchase", func(w *wallet) *txn.Request { return w.purchase(700) }, 700, "operator/metro"},
		{"bus", func(w *wallet) *txn.Request { return w.board("M1") }, 300, "operator/metro"},
		{"load", func(w *wallet) *txn.Request { return w.load(700) }, -700, "acquirer/SZT"},
		{"entry", func(w *wallet) *txn.Request { return w.entry("Futian") }, 0, ""},
		{"exit", func(w *wallet) *txn.Request {
			w.must(w.entry("Futian"))
			return w.exit("Luohu")
		}, 500, "operator/metro"},
		{"refund", func(w *wallet) *txn.Request {
			bought := w.purchase(700)
			w.must(bought)
			return w.refund(bought, 200)
		}, -200, "operator/metro"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := enrolled(t, 5000)
			done := tt.make(w)
			w.must(done)
			before := w.card().Balance
			back := w.reversal(done)
			if d := w.must(back); d.Charged != -tt.moved || d.BalanceAfter != before+tt.moved {
				t.Fatalf("reversal: %+v, want %d back", d, tt.moved)
			}
			rec := w.last()
			if rec.Original != done.ID || rec.Application != 0 {
				t.Fatalf("record %+v", rec)
			}
			if tt.moved != 0 && rec.Postings[1] != (txn.Posting{Account: tt.other,
				Amount: -tt.moved}) {
				t.Fatalf("postings %+v", rec.Postings)
			}
			// The ride of an exit that was not one goes on.
			open := tt.name == "exit"
			if w.card().Journey.Open() != open || len(w.due) == 1 != open {
				t.Fatalf("journey %+v, due %v left", w.card().Journey, w.due)
			}
			w.refused(w.reversal(done), txn.OriginalReversed)
			if d := w.do(back); !d.Replay || d.Outcome != txn.Approved {
				t.Fatalf("the same reversal again: %+v", d)
			}
			if d := w.do(done); !d.Replay || d.Outcome != txn.Approved {
				t.Fatalf("the original again: %+v", d)
			}
			w.refused(w.reversal(back), txn.OriginalNotRefundable)
			if done.Kind == txn.Purchase {
				w.refused(w.refund(done, 1), txn.OriginalReversed)
			}
			w.wantBalance(before + tt.moved)
		})
	}
}

// An entry is reversed after the exit: the ride stands.
func TestReversalOfAnEntryThatWasLeft(t *testing.T) {
	w := enrolled(t, 5000)
	first := w.entry("Futian")
	w.must(first)
	w.now += hour
	w.must(w.exit("Luohu"))
	w.must(w.entry("Luohu"))
	w.must(w.reversal(first))
	if !w.card().Journey.Open() {
		t.Fatal("the reversal closed another journey")
	}
}

// Undoing a refund puts the purchase back where it was: it can be refunded or reversed.
func TestReversedRefundCanBeMadeAgain(t *testing.T) {
	w := enrolled(t, 5000)
	bought := w.purchase(1000)
	w.must(bought)
	back := w.refund(bought, 1000)
	w.must(back)
	w.must(w.reversal(back))
	w.wantBalance(4000)
	w.must(w.refund(bought, 1000))
	w.wantBalance(5000)
	w.refused(w.refund(bought, 1), txn.RefundTooLarge)

	other := w.purchase(600)
	w.must(other)
	part := w.refund(other, 100)
	w.must(part)
	w.must(w.reversal(part))
	w.must(w.reversal(other))
	w.wantBalance(5000)
}

// The reversal comes first: the original that arrives late is refused, whatever it says.
func TestReversalBeforeItsOriginal(t *testing.T) {
	w := enrolled(t, 5000)
	late := w.purchase(700)
	back := w.reversal(late)
	w.refused(back, txn.OriginalUnknown)
	d := w.refused(late, txn.OriginalReversed)
	if d.BalanceAfter != 5000 {
		t.Fatalf("balance after %d", d.BalanceAfter)
	}
	changed := *late
	changed.Amount = 1
	w.refused(&changed, txn.OriginalReversed)
	if d := w.do(back); !d.Replay || d.Reason != txn.OriginalUnknown {
		t.Fatalf("the reversal again: %+v", d)
	}
	w.refused(w.reversal(late), txn.OriginalReversed)
	w.wantBalance(5000)
}

// A reversal that names nothing or itself must not mark an id that others need.
func TestReversalOfNothing(t *testing.T) {
	w := enrolled(t, 5000)
	entry := w.entry("Futian")
	w.must(entry)
	w.refused(w.request(txn.Reversal), txn.OriginalUnknown)
	self := w.request(txn.Reversal)
	self.Original = self.ID
	w.refused(self, txn.OriginalUnknown)
	if d := w.do(self); !d.Replay || d.Reason != txn.OriginalUnknown {
		t.Fatalf("a reversal of itself again: %+v", d)
	}
	seen := map[txn.RequestID]bool{}
	for _, m := range w.card().Recent {
		if seen[m.ID] || m.ID.IsZero() {
			t.Fatalf("id %q remembered twice or zero", m.ID)
		}
		seen[m.ID] = true
	}
	w.now += w.policy.JourneyLapse
	w.must(w.request(txn.JourneyLapse, original(entry.ID), func(r *txn.Request) {
		r.ID = txn.RequestID{}
	}))
}

// A load that was spent is undone all the same; what is missing is owed, and the next
// load pays it.
func TestReversalOfASpentLoad(t *testing.T) {
	w := enrolled(t, 0)
	loaded := w.load(1000)
	w.must(loaded)
	w.must(w.purchase(900))
	if d := w.must(w.reversal(loaded)); d.BalanceAfter != -900 {
		t.Fatalf("%+v, want -900", d)
	}
	w.refused(w.purchase(1), txn.InsufficientFunds)
	w.must(w.board("FREE"))
	w.must(w.load(901))
	w.wantBalance(1)
}

func TestBalanceLeavesNothing(t *testing.T) {
	w := enrolled(t, 1234)
	records, version := len(w.records), w.version
	if d := w.must(w.request(txn.Balance)); d.BalanceAfter != 1234 || d.Charged != 0 {
		t.Fatalf("%+v", d)
	}
	if len(w.records) != records || w.version != version || w.result.Final {
		t.Fatal("a balance query must compare and change nothing")
	}
	w.mark = txn.Mark{Reason: txn.Lost, Scope: txn.AppPurse}
	w.refused(w.request(txn.Balance), txn.CardFrozen)
	if len(w.records) != records || w.version != version {
		t.Fatal("a refused balance query left a record")
	}
}

// Amounts near the end of their range refuse instead of wrapping.
func TestAmountsAtTheEndOfTheirRange(t *testing.T) {
	w := enrolled(t, 0)
	w.policy.LoadMax, w.policy.BalanceMax = txn.MinorMax, txn.MinorMax
	w.must(w.load(txn.MinorMax))
	w.refused(w.load(1), txn.BalanceTooHigh)
	w.wantBalance(txn.MinorMax)

	poor := enrolled(t, 0)
	poor.must(poor.request(txn.BusBoarding, place(bus), offline(1),
		fareGiven(txn.MinorMax, txn.MinorMax)))
	poor.wantBalance(-txn.MinorMax)
	poor.refused(poor.request(txn.BusBoarding, place(bus), offline(2), fareGiven(1, 1)),
		txn.InvalidAmount)
	poor.wantBalance(-txn.MinorMax)
}

// The state never outgrows the store, however large the amounts that fill the memory.
func TestStateAtItsGreatest(t *testing.T) {
	long := string(make([]byte, 4*card.PlaceNameMax))
	w := newWallet(t)
	w.must(w.request(txn.Enrol, func(r *txn.Request) {
		r.Enrolment = txn.Enrolment{Apps: txn.AppAll, Issuer: long, ExpiresOn: 99991231}
	}))
	for i := range uint32(4 * card.RecentMax) {
		w.must(w.request(txn.BusBoarding, offline(1_000_000+2*i),
			fareGiven(txn.MinorMax, txn.MinorMax-txn.Minor(i))))
		back := w.reversal(w.request(txn.Balance))
		back.Original = w.card().Recent[len(w.card().Recent)-1].ID
		w.must(back)
	}
	w.now += second
	w.must(w.request(txn.MetroEntry, place(txn.Place{Operator: long, Line: long, Station: long})))
	if n := len(w.card().Recent); n != card.RecentMax {
		t.Fatalf("%d remembered requests, want %d", n, card.RecentMax)
	}
	t.Logf("state of %d bytes", len(w.state))
}
