package engine_test

import (
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/txn"
)

func TestEnrol(t *testing.T) {
	w := newWallet(t)
	enrol := w.request(txn.Enrol, func(r *txn.Request) {
		r.Enrolment = txn.Enrolment{Apps: txn.AppTransit, Rider: txn.RiderStudent,
			Issuer: "SZT", ExpiresOn: 20261121}
	})
	if d := w.must(enrol); d.BalanceAfter != 0 {
		t.Fatalf("%+v", d)
	}
	got := w.card()
	if got.Status != card.Active || got.Apps != txn.AppTransit || got.Rider != txn.RiderStudent ||
		got.Issuer != "SZT" || got.Currency != txn.CNY || got.Last4.String() != "1234" ||
		len(got.Recent) != 1 {
		t.Fatalf("state %+v", got)
	}
	if rec := w.last(); rec.CardVersion != 1 || rec.Kind != txn.Enrol || rec.Issuer != "SZT" {
		t.Fatalf("record %+v", rec)
	}
	if d := w.do(enrol); !d.Replay || d.Outcome != txn.Approved {
		t.Fatalf("the same again: %+v", d)
	}
	w.refused(w.request(txn.Enrol), txn.CardExists)
	w.refused(w.purchase(1), txn.ApplicationClosed)
}

// A card is good until local midnight after its last day, to the millisecond.
func TestExpiryAtLocalMidnight(t *testing.T) {
	w := newWallet(t)
	w.must(w.request(txn.Enrol, func(r *txn.Request) {
		r.Enrolment = txn.Enrolment{Apps: txn.AppTransit, ExpiresOn: 20261121}
	}))
	shenzhen := time.FixedZone("", 8*3600)
	midnight := txn.MillisOf(time.Date(2026, 11, 22, 0, 0, 0, 0, shenzhen))
	w.now = midnight + minute
	w.must(w.request(txn.BusBoarding, place(bus), fareGiven(0, 0), serviceAt(midnight-1)))
	w.refused(w.request(txn.BusBoarding, place(bus), fareGiven(0, 0), serviceAt(midnight)),
		txn.CardExpired)
}

// Every reason of a freeze closes what its scope names, and nothing else.
func TestFrozenCard(t *testing.T) {
	reasons := []txn.FreezeReason{txn.Lost, txn.PreReported, txn.Suspended, txn.Risk,
		txn.Replaced, txn.Cancelled}
	for _, reason := range reasons {
		for _, scope := range []txn.App{txn.AppAll, txn.AppTransit, txn.AppPurse, txn.AppSocial} {
			t.Run(reason.String()+"/"+txn.App.Names(scope)[0], func(t *testing.T) {
				frozenCard(t, reason, scope)
			})
		}
	}
}

func frozenCard(t *testing.T, reason txn.FreezeReason, scope txn.App) {
	t.Helper()
	w := enrolled(t, 1000)
	bought, returned := w.purchase(100), w.purchase(1)
	w.must(bought)
	w.must(returned)
	w.must(w.entry("Futian"))
	w.now += hour
	version := w.version
	w.must(w.freeze(reason, scope))
	if w.version != version {
		t.Fatal("a freeze wrote the card's state")
	}
	closed := scope
	want := txn.CardFrozen
	if reason.Terminal() {
		closed = txn.AppAll
		want = txn.CardReplaced
		if reason == txn.Cancelled {
			want = txn.CardCancelled
		}
	}
	rec := w.last()
	if rec.Kind != txn.Freeze || rec.CardVersion != version || rec.Listing.Actor != "desk/7" ||
		rec.Listing.Note != "case 12" || rec.Listing.Mark != (txn.Mark{Reason: reason, Scope: closed}) {
		t.Fatalf("record %+v", rec)
	}
	if w.result.List.Entry.Since != w.now || !w.result.Reserve {
		t.Fatalf("list change %+v, reserve %v", w.result.List, w.result.Reserve)
	}
	for _, r := range []*txn.Request{
		w.exit("Luohu"), w.entry("Luohu"), w.board("FREE"), w.purchase(1), w.load(1),
		w.refund(returned, 1), w.request(txn.Balance),
	} {
		if closed&closedBy(r.Kind) != 0 {
			w.refused(r, want)
		} else {
			w.must(r)
		}
	}
	if d := w.do(bought); !d.Replay || d.Outcome != txn.Approved {
		t.Fatalf("what was approved before the freeze: %+v", d)
	}
	if !closed.Has(txn.AppPurse) {
		return
	}
	before := w.card().Balance
	w.must(w.reversal(bought)) // what was done is undone
	w.wantBalance(before + 100)
}

func TestFreezeAgain(t *testing.T) {
	w := enrolled(t, 1000)
	w.must(w.freeze(txn.PreReported, txn.AppTransit))
	records := len(w.records)
	w.refused(w.freeze(txn.PreReported, txn.AppTransit), txn.AlreadyListed)
	w.refused(w.freeze(txn.Suspended, txn.AppTransit), txn.AlreadyListed)
	if len(w.records) != records || w.result.Final {
		t.Fatal("a freeze that changes nothing must be compared and leave no record")
	}
	w.must(w.freeze(txn.Lost, txn.AppPurse))
	if want := (txn.Mark{Reason: txn.Lost, Scope: txn.AppTransit | txn.AppPurse}); w.mark != want {
		t.Fatalf("mark %+v, want %+v", w.mark, want)
	}
	w.must(w.freeze(txn.Replaced, txn.AppTransit))
	if want := (txn.Mark{Reason: txn.Replaced, Scope: txn.AppAll}); w.mark != want {
		t.Fatalf("mark %+v, want %+v", w.mark, want)
	}
	w.refused(w.freeze(txn.Lost, txn.AppAll), txn.AlreadyListed)
	w.refused(w.freeze(txn.Cancelled, txn.AppAll), txn.AlreadyListed)
}

// A freeze that names no scope closes everything: it must never be approved and do
// nothing.
func TestFreezeWithoutScope(t *testing.T) {
	w := enrolled(t, 1000)
	w.must(w.freeze(txn.Lost, 0))
	w.refused(w.purchase(1), txn.CardFrozen)
	w.refused(w.board("FREE"), txn.CardFrozen)

	other := enrolled(t, 1000)
	other.refused(other.freeze(txn.NotFrozen, txn.AppAll), txn.AlreadyListed)
	if other.mark != (txn.Mark{}) {
		t.Fatalf("mark %+v after a freeze without a reason", other.mark)
	}
}

func TestRelease(t *testing.T) {
	w := enrolled(t, 1000)
	w.refused(w.request(txn.Release), txn.NotListed)
	w.must(w.freeze(txn.Lost, txn.AppAll))
	w.refused(w.purchase(1), txn.CardFrozen)
	w.must(w.request(txn.Release, func(r *txn.Request) { r.Listing.Actor = "desk/8" }))
	if rec := w.last(); rec.Kind != txn.Release || rec.Listing.Actor != "desk/8" ||
		rec.Listing.Mark != (txn.Mark{}) {
		t.Fatalf("record %+v", rec)
	}
	if !w.result.List.Removes() {
		t.Fatalf("list change %+v", w.result.List)
	}
	w.must(w.purchase(1))
	for _, reason := range []txn.FreezeReason{txn.Cancelled, txn.Replaced} {
		w.must(w.freeze(reason, txn.AppAll))
		w.refused(w.request(txn.Release), txn.ReleaseClosed)
	}
}

// Somebody reports a card that was never enrolled, or was enrolled elsewhere: the list
// takes it, and what is answered about the list is always compared with the store.
func TestFreezeOfAnUnknownCard(t *testing.T) {
	w := newWallet(t)
	w.must(w.freeze(txn.Lost, txn.AppAll))
	if rec := w.last(); rec.CardVersion != 0 || rec.Card != w.token {
		t.Fatalf("record %+v", rec)
	}
	w.refused(w.freeze(txn.Lost, txn.AppAll), txn.AlreadyListed)
	if w.result.Final {
		t.Error("\"already frozen\" was answered from memory")
	}
	w.refused(w.request(txn.Enrol), txn.CardFrozen)
	if w.result.Final {
		t.Error("\"frozen\" was answered from memory")
	}
	w.must(w.request(txn.Enrol, func(r *txn.Request) { r.Enrolment.Account = token(9) }))
	w.refused(w.request(txn.Balance), txn.CardFrozen) // a carrier of a frozen account stays frozen
	w.must(w.request(txn.Release))
	w.refused(w.request(txn.Release), txn.NotListed)
	if w.result.Final {
		t.Error("\"not frozen\" was answered from memory")
	}
}
