package engine_test

import (
	"testing"

	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// within bounds the age of what a request may name by its id.
func within(age txn.Millis) func(*txn.Request) {
	return func(r *txn.Request) { r.RepeatMax = age }
}

// A repeat gets its answer again as long as the original is young enough; an older equal id is
// refused, moves nothing and leaves the old transaction as it is.
func TestBankRepeatOfAnOldID(t *testing.T) {
	w := newWallet(t)
	first := w.paid(txn.BankPurchase, within(day))
	again := func(want txn.Reason) settling {
		t.Helper()
		got := w.doBank(w.bankStep(first, txn.BankBegin))
		if got.Reason != want || got.wrote || got.settled || got.Replay != (want == 0) ||
			got.phase != card.Approved {
			t.Fatalf("%v after it: %+v", w.now-first.ReceivedAt, got)
		}
		return got
	}
	w.now += day - 1
	again(txn.ReasonNone)
	w.now++
	again(txn.IDTooOld)
	if got := w.owed(); got != 100 {
		t.Errorf("the bank owes %d, want 100", got)
	}
	first.RepeatMax = 0
	again(txn.ReasonNone) // without a limit there is none
}

// A reversal undoes no transaction that is older than an id can mean.
func TestBankReversalOfAnOldID(t *testing.T) {
	w := newWallet(t)
	first := w.paid(txn.BankPurchase, within(day))
	w.now += day
	w.wantBank(w.bankReversal(first), card.Approved, txn.IDTooOld)
	w.now--
	w.wantBank(w.bankReversal(first), card.Reversing, txn.ReasonNone)
}

// The same of a purse that is loaded against cash, whose request tells no time.
func TestCashLoadOfAnOldID(t *testing.T) {
	w := enrolled(t, 0)
	r := w.load(500)
	r.Untimed, r.RepeatMax = true, day
	w.must(r)
	again := func(want txn.Reason) {
		t.Helper()
		c := *r
		c.ServiceAt, c.ReceivedAt = w.now, w.now
		if got := w.do(&c); got.Reason != want || got.Replay != (want == 0) {
			t.Fatalf("%v after it: %+v", w.now-r.ServiceAt, got)
		}
		w.wantBalance(500)
	}
	w.now += day - 1
	again(txn.ReasonNone)
	w.now++
	again(txn.IDTooOld)
}
