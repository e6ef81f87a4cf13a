package engine_test

import (
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/fare"
	"github.com/tapswitch/tapswitch/switch/fare/price"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// correctable is a card in a scheme that charges 7.00 for what is incomplete and lets holders
// correct it within a day.
func correctable(t tb) *wallet {
	t.Helper()
	w := enrolled(t, 5000)
	most := txn.Minor(700)
	v, err := price.Compile(price.File{Tariff: "t", Version: "1", Effective: price.Effective{From: 20260101},
		Fares: []price.Fare{{Name: "metro", Mode: "metro", Pairs: &price.Pairs{Otherwise: &most,
			Fares: []price.PairFare{{From: "Futian", To: "Luohu", Fare: 500}}}}},
		Incomplete: &price.Incomplete{MissingExit: "maximum", MissingEntry: "maximum",
			Correction: &price.Correction{Within: 24 * time.Hour, PerMonth: 9}}})
	if err != nil {
		t.Fatal(err)
	}
	w.policy.Tariff = fare.Of(v)
	return w
}

// forgiving asks the office's correction of what was charged by original at an instant.
func (w *wallet) forgiving(original *txn.Request, f txn.Forgiven, amount txn.Minor) *txn.Request {
	return w.request(txn.Correction, func(r *txn.Request) {
		r.Original, r.Amount, r.Forgiven = original.ID, amount, &f
		r.Place.Payee = "operator/metro"
		r.Listing = txn.Listing{Actor: "anna+ben", Note: "grace o1"}
	})
}

// bySelf asks the holder's own correction.
func (w *wallet) bySelf(station string) *txn.Request {
	return w.request(txn.Correction, func(r *txn.Request) { r.Place.Station = station })
}

func TestForgivenAfterwards(t *testing.T) {
	w := correctable(t)
	exit := w.exit("Luohu")
	w.must(exit)
	w.wantBalance(4300)
	f := txn.Forgiven{At: exit.ServiceAt, Station: "Luohu", Open: true}
	w.refused(w.forgiving(exit, f, 701), txn.RefundTooLarge)
	back := w.forgiving(exit, f, 700)
	if d := w.must(back); d.Charged != -700 {
		t.Fatalf("%+v", d)
	}
	w.wantBalance(5000)
	got := w.last()
	if got.Kind != txn.Correction || got.Original != exit.ID || got.Listing.Note != "grace o1" ||
		len(got.Discounts) != 1 || got.Discounts[0] != (txn.Discount{Cause: "grace", Amount: 700}) {
		t.Errorf("%+v", got)
	}
	if d := w.must(back); !d.Replay {
		t.Errorf("a copy: %+v", d)
	}
	w.refused(w.forgiving(exit, txn.Forgiven{At: exit.ServiceAt, Station: "Luohu"}, 700), txn.RefundTooLarge)
	w.refused(w.bySelf("Futian"), txn.OriginalUnknown)
	w.refused(w.request(txn.Reversal, func(r *txn.Request) { r.Original = exit.ID }), txn.OriginalNotRefundable)
	w.refused(w.request(txn.Refund, func(r *txn.Request) { r.Original, r.Amount = exit.ID, 1 }), txn.RefundTooLarge)
	w.wantBalance(5000)
}

// What the holder has corrected since the office looked is not forgiven on top.
func TestCorrectedByTheHolderFirst(t *testing.T) {
	w := correctable(t)
	exit := w.exit("Luohu")
	w.must(exit)
	if d := w.must(w.bySelf("Futian")); d.Charged != -200 {
		t.Fatalf("%+v", d)
	}
	w.refused(w.forgiving(exit, txn.Forgiven{At: exit.ServiceAt, Station: "Luohu", Open: true}, 700),
		txn.OriginalNotRefundable)
	w.wantBalance(4500)
}

// The reversal of a later tap does not bring the journey back for its holder to correct.
func TestForgivenStaysForgiven(t *testing.T) {
	w := correctable(t)
	exit := w.exit("Luohu")
	w.must(exit)
	w.now += minute
	entry := w.entry("Futian")
	w.must(entry)
	w.now += 11 * minute
	again := w.exit("Luohu")
	w.must(again)
	w.must(w.forgiving(exit, txn.Forgiven{At: exit.ServiceAt, Station: "Luohu", Open: true}, 700))
	w.must(w.request(txn.Reversal, func(r *txn.Request) { r.Original = again.ID }))
	w.refused(w.bySelf("Airport"), txn.OriginalUnknown)
}

func TestForgivenLapse(t *testing.T) {
	w := correctable(t)
	entry := w.entry("Futian")
	w.must(entry)
	w.now += 6 * hour
	w.must(w.request(txn.JourneyLapse, func(r *txn.Request) { r.Original = entry.ID }))
	w.wantBalance(4300)
	f := txn.Forgiven{At: w.now, Station: "Futian", Lapsed: true, Open: true}
	w.must(w.forgiving(entry, f, 700))
	w.wantBalance(5000)
	w.refused(w.forgiving(entry, f, 700), txn.OriginalNotRefundable)
	w.refused(w.bySelf("Luohu"), txn.OriginalUnknown)
}

// What was taken wrongly is owed to a frozen card and one that has ended, not to one whose
// balance was paid out, and for a replaced card a person decides.
func TestForgivenWhateverBecameOfTheCard(t *testing.T) {
	for name, c := range map[string]struct {
		mark txn.FreezeReason
		want txn.Reason
	}{"frozen": {txn.Lost, txn.ReasonNone}, "cancelled": {txn.Cancelled, txn.CardCancelled}} {
		w := correctable(t)
		exit := w.exit("Luohu")
		w.must(exit)
		w.must(w.request(txn.Freeze, func(r *txn.Request) {
			r.Listing.Mark = txn.Mark{Reason: c.mark, Scope: txn.AppAll}
		}))
		q := w.forgiving(exit, txn.Forgiven{At: exit.ServiceAt, Station: "Luohu", Open: true}, 700)
		if d := w.do(q); d.Reason != c.want {
			t.Errorf("%s: %s", name, d.Reason)
		}
	}
	w := correctable(t)
	exit := w.exit("Luohu")
	w.must(exit)
	w.must(w.request(txn.Amend, func(r *txn.Request) {
		r.Change = &txn.CardChange{Set: txn.ChangeSuccessor, Successor: token(9)}
	}))
	w.refused(w.forgiving(exit, txn.Forgiven{At: exit.ServiceAt, Station: "Luohu", Open: true}, 700), txn.CardReplaced)
	w = correctable(t)
	w.refused(w.forgiving(w.exit("Luohu"), txn.Forgiven{}, 0), txn.InvalidAmount)
}
