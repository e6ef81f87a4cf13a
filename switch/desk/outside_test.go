package desk

import (
	"testing"

	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// A release that is asked for beside the desk lifts nothing that the account closes, and what
// risk control froze by itself it lifts.
func TestAReleaseBesideTheDeskLiftsNothingOfTheAccount(t *testing.T) {
	r := newRig(t, "handan")
	token := r.open(1)
	release := func() txn.Reason {
		t.Helper()
		a := r.desk.Release(t.Context(), r.request(txn.Release, cardToken(1), 0))
		if a.Err != nil {
			t.Fatal(a.Err)
		}
		return a.Decision.Reason
	}
	r.wants(r.request(txn.Freeze, cardToken(1), 0, func(q *txn.Request) {
		q.Listing = txn.Listing{Mark: txn.Mark{Reason: txn.Risk, Scope: txn.AppAll}, Actor: "zhao"}
	}), txn.ReasonNone)
	if got := release(); got != txn.ReasonNone || r.listed(cardToken(1)) != (txn.Mark{}) {
		t.Errorf("a freeze that the account does not know: %s", got)
	}
	if got := release(); got != txn.NotListed {
		t.Errorf("%s", got)
	}
	lost := txn.Mark{Reason: txn.Lost, Scope: txn.AppAll}
	r.must(token, "li.lei", lossReport)
	if got := release(); got != txn.HeldElsewhere || r.listed(cardToken(1)) != lost {
		t.Errorf("%s, bears %+v", got, r.listed(cardToken(1)))
	}
	r.replace(token)
	if got := release(); got != txn.ReleaseClosed {
		t.Errorf("a dead number: %s", got)
	}
	// A card without an account is the engine's alone.
	if a := r.desk.Release(t.Context(), r.request(txn.Release, cardToken(9), 0)); a.Decision.Reason != txn.NotListed {
		t.Errorf("%s", a.Decision.Reason)
	}
	if k, err := r.desk.Known(t.Context(), cardToken(2)); err != nil || !k.Home || k.Mark.Reason != txn.NotFrozen {
		t.Errorf("%+v, %v", k, err)
	}
}

// ZZ19: where the bank function comes after the bank account's activation, a card says so from
// its first day: a till is answered "not activated", and not that there is no such function.
// Once activated, the function is what the holder opened.
func TestABankCardSaysThatItAwaitsItsActivation(t *testing.T) {
	r := newRig(t, "zhengzhou")
	token := r.open(1)
	if s := r.card(cardToken(1)); !s.Life.BankWaiting || !s.Apps.Has(txn.AppBank) {
		t.Errorf("before the activation: %v, %v", s.Life.BankWaiting, s.Apps)
	}
	r.must(token, "bank", account.ActivateBank{})
	r.settle()
	if s := r.card(cardToken(1)); s.Life.BankWaiting || s.Apps.Has(txn.AppBank) {
		t.Errorf("activated, and not opened: %v, %v", s.Life.BankWaiting, s.Apps)
	}
}
