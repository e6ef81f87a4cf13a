package engine_test

import (
	"testing"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// ZS11, HD3, WZ10, SY3, ZZ7: the purse pays after loading, for shops and for rides, and tells
// its balance; what it does not hold it does not pay; a freeze stops it.
func TestDuty_ZS11_PurseLoadsAndPays(t *testing.T) {
	w := enrolled(t, 0)
	w.refused(w.purchase(100), txn.InsufficientFunds)
	w.must(w.load(1000))
	w.must(w.purchase(300))
	if d := w.must(w.board("M100")); d.Charged <= 0 || d.BalanceAfter != 700-d.Charged {
		t.Fatalf("a ride: %+v", d)
	} else if b := w.must(w.request(txn.Balance)); b.BalanceAfter != 700-d.Charged {
		t.Fatalf("the balance: %+v", b)
	}
	var sum txn.Minor
	for _, p := range w.last().Postings {
		sum += p.Amount
	}
	if sum != 0 {
		t.Errorf("postings of the last record sum to %d", sum)
	}
	w.must(w.freeze(txn.Lost, txn.AppAll))
	w.refused(w.purchase(1), txn.CardFrozen)
}

// A product rule: a purchase is given back once and no more than was paid, and a request is
// undone once.
func TestDuty_RefundsAndReversals(t *testing.T) {
	w := enrolled(t, 1000)
	bought := w.purchase(400)
	w.must(bought)
	w.refused(w.refund(bought, 401), txn.RefundTooLarge)
	w.must(w.refund(bought, 400))
	w.refused(w.refund(bought, 1), txn.RefundTooLarge)
	w.wantBalance(1000)
	again := w.purchase(250)
	w.must(again)
	w.must(w.reversal(again))
	w.wantBalance(1000)
	w.refused(w.reversal(again), txn.OriginalReversed)
	w.wantBalance(1000)
}
