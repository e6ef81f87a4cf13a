package engine_test

import (
	"testing"

	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// A bank hears of a card's transactions in the order in which they came to be told, not in
// that of their purchase, and another bank's wait for none of them.
func TestBankHearsInOrder(t *testing.T) {
	w := newWallet(t)
	elsewhere := func(r *txn.Request) { r.Bank.Link = "abc" }
	first, second, foreign := w.paid(txn.BankPurchase), w.paid(txn.BankPurchase),
		w.paid(txn.BankPurchase, elsewhere)
	for _, r := range []*txn.Request{second, first, foreign} {
		w.doBank(w.bankReversal(r))
	}
	again := func(r *txn.Request, due txn.Millis) bool {
		w.doBank(w.bankStep(r, txn.BankAgain, func(r *txn.Request) { r.Bank.Due = due }))
		return w.result.BankAhead
	}
	if again(second, w.now+2*minute) || again(foreign, w.now) {
		t.Error("the first reversal of a link waits")
	}
	if !again(first, w.now+minute) {
		t.Error("a reversal overtakes another one that the bank has not answered")
	}
	if b := w.bankTxn(first); b.Tries != 0 || b.Due != w.now+2*minute {
		t.Errorf("it was told %d times and is due in %d ms", b.Tries, b.Due-w.now)
	}
	if again(second, w.now) {
		t.Error("a repeat waits for one behind it")
	}
	w.doBank(w.bankStep(second, txn.BankDone))
	w.wantBank(second, card.Reversed, txn.OriginalReversed)
	if again(first, w.now) {
		t.Error("the second reversal waits for one that is done")
	}
}
