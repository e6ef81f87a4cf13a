package engine_test

import (
	"testing"

	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// The reversal of a card's last tap leaves the card as if it had not been, for the price of all
// that follows; that of an older one gives back the money alone.
func TestReversalRestoresRides(t *testing.T) {
	w := rider(t, 5000)
	w.must(w.board("M1"))
	w.now += 10 * minute
	before := w.card().Rides
	second := w.board("M2")
	w.pays(w.must(second), 200, 160, cause("transfer", 40))
	w.must(w.purchase(5)) // is no ride
	w.must(w.reversal(second))
	if string(w.card().Rides) != string(before) || w.card().Undo.Set {
		t.Fatalf("rides %x, want %x", w.card().Rides, before)
	}
	w.pays(w.must(w.board("M2")), 200, 160, cause("transfer", 40))
	third := w.board("M3")
	w.must(third)
	w.must(w.board("M4"))
	after := w.card().Rides
	w.must(w.reversal(third))
	if string(w.card().Rides) != string(after) {
		t.Fatal("the reversal of an older ride changed the rides")
	}
	w.wantBalance(5000 - 5 - 200 - 160 - 160)
}

// A reversed exit opens its journey again, which ends at another station; but not once it
// would have lapsed, when the card has been used since, or for one that was replaced.
func TestReversedExitGoesOn(t *testing.T) {
	for name, tt := range map[string]struct {
		since func(*wallet)
		open  bool
	}{
		"at once":     {func(*wallet) {}, true},
		"a purchase":  {func(w *wallet) { w.must(w.purchase(5)) }, true},
		"refused tap": {func(w *wallet) { w.refused(w.request(txn.MetroEntry, fareGiven(1, 1)), txn.FareMismatch) }, true},
		"late":        {func(w *wallet) { w.now += w.policy.JourneyLapse }, false},
		"a bus":       {func(w *wallet) { w.must(w.board("M1")) }, false},
		"an entry":    {func(w *wallet) { w.now += hour; w.must(w.entry("Airport")) }, false},
		"replaced": {func(w *wallet) {
			w.must(w.request(txn.Amend, func(r *txn.Request) {
				r.Change = &txn.CardChange{Set: txn.ChangeSuccessor, Successor: token(9)}
			}))
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := rider(t, 5000)
			w.must(w.request(txn.MetroEntry, business))
			entered := w.card().Journey
			w.now += 30 * minute
			out := w.exit("Luohu")
			w.must(out)
			tt.since(w)
			w.must(w.reversal(out))
			j := w.card().Journey
			if (j == entered) != tt.open {
				t.Fatalf("journey %+v, want open: %v", j, tt.open)
			}
			if tt.open {
				if len(w.due) != 1 {
					t.Fatalf("due %v", w.due)
				}
				w.now += 10 * minute
				w.pays(w.must(w.exit("Airport")), 2100, 1500, cause("cap", 600)) // of the class in which it began
			}
		})
	}
}

// A reversed entry that gave up a journey opens that one again and pays its price back, to
// whom it was taken from.
func TestReversedEntryGivesBackTheJourneyBefore(t *testing.T) {
	w := rider(t, 5000)
	w.must(w.entry("Futian"))
	first := w.card().Journey
	w.now += hour
	again := w.request(txn.MetroEntry, func(r *txn.Request) { r.Place.Payee = "operator/south" })
	w.pays(w.must(again), 0, 700, cause("incomplete", -700))
	w.must(w.reversal(again))
	if w.card().Journey != first || len(w.due) != 1 || w.last().Postings[1].Account != "operator/metro" {
		t.Fatalf("journey %+v, due %v, record %+v", w.card().Journey, w.due, w.last())
	}
	w.wantBalance(5000)
	w.pays(w.must(w.exit("Luohu")), 300, 300)
	w.refused(w.request(txn.Correction, place(at(metro, "Luohu"))), txn.OriginalUnknown)
}

func correction(w *wallet, station string) *txn.Request {
	return w.request(txn.Correction, place(txn.Place{Operator: "metro", Station: station}))
}

// The holder names the station that is missing and gets back what the journey cost more than
// the ride: once, as often a month as the tariff lets, and in time.
func TestCorrections(t *testing.T) {
	w := rider(t, 5000)
	w.refused(correction(w, "Luohu"), txn.OriginalUnknown)
	w.must(w.entry("Futian"))
	w.now += hour
	w.must(w.entry("Futian"))
	w.must(w.exit("Luohu"))
	w.refused(w.request(txn.Correction, place(txn.Place{Operator: "bus", Station: "Luohu"})), txn.OriginalUnknown)
	w.refused(correction(w, "Nowhere"), txn.UnknownFare)
	w.refused(correction(w, ""), txn.OriginalUnknown)
	right := correction(w, "Luohu")
	w.pays(w.must(right), 0, -400, cause("correction", 400))
	if p := w.last().Postings; p[1].Account != "operator/metro" || p[1].Amount != -400 {
		t.Fatalf("postings %v", p)
	}
	if d := w.do(right); !d.Replay || d.Charged != -400 {
		t.Fatalf("again: %+v", d)
	}
	w.wantBalance(5000 - 700 - 300 + 400)
	w.refused(correction(w, "Luohu"), txn.OriginalUnknown)
	// Undone as the last thing that happened, it may be asked for again.
	w.must(w.reversal(right))
	w.wantBalance(5000 - 700 - 300)
	w.must(correction(w, "Luohu"))
	// Another one is one too many this month, and too late after a week.
	w.must(w.exit("Futian"))
	w.refused(correction(w, "Luohu"), txn.LimitExceeded)
	w.now += 8 * day
	w.refused(correction(w, "Luohu"), txn.OriginalNotRefundable)
	w.must(w.board("M1"))
	w.refused(correction(w, "Luohu"), txn.OriginalUnknown)
	w.must(w.freeze(txn.Lost, txn.AppAll))
	w.refused(correction(w, "Luohu"), txn.CardFrozen)
}

// A correction after the tap that followed it stands.
func TestCorrectionsStand(t *testing.T) {
	w := rider(t, 5000)
	w.must(w.exit("Futian"))
	right := correction(w, "Luohu")
	w.must(right)
	w.must(w.board("M1"))
	w.refused(w.reversal(right), txn.OriginalNotRefundable)
	w.wantBalance(5000 - 300 - 200)
}

func pass(name string, amount txn.Minor) func(*txn.Request) {
	return func(r *txn.Request) { r.Pass, r.Amount = name, amount }
}

// A pass is bought from the purse, once, and makes rides free.
func TestPassSales(t *testing.T) {
	w := rider(t, 3000)
	w.refused(w.request(txn.PassSale, pass("year", 0)), txn.UnknownFare)
	w.refused(w.request(txn.PassSale, pass("ten", 1199)), txn.FareMismatch)
	w.refused(w.request(txn.PassSale, pass("ten", -1)), txn.InvalidAmount)
	ten := w.request(txn.PassSale, pass("ten", 1200))
	w.pays(w.must(ten), 0, 1200)
	if rec := w.last(); rec.Application != txn.AppTransit || len(rec.Postings) != 2 {
		t.Fatalf("record %+v", rec)
	}
	if d := w.do(ten); !d.Replay || d.Charged != 1200 {
		t.Fatalf("again: %+v", d)
	}
	w.wantBalance(1800)
	w.must(w.reversal(ten))
	w.pays(w.must(w.board("M1")), 200, 200)
	w.must(w.reversal(w.boarded()))
	ten = w.request(txn.PassSale, pass("ten", 0))
	w.must(ten)
	w.pays(w.must(w.board("FREE")), 200, 0, cause("pass", 200))
	w.refused(w.reversal(ten), txn.OriginalNotRefundable) // it was used
	w.refused(w.refund(ten, 100), txn.OriginalNotRefundable)
	for range 9 {
		w.now += 2 * hour
		w.pays(w.must(w.board("M1")), 200, 0, cause("pass", 200))
	}
	w.now += 2 * hour
	w.pays(w.must(w.board("M1")), 200, 200)
	w.must(w.purchase(1000))
	w.refused(w.request(txn.PassSale, pass("day", 0)), txn.InsufficientFunds)
	w.must(w.load(8000))
	for range 4 {
		w.must(w.request(txn.PassSale, pass("ten", 0)))
	}
	w.refused(w.request(txn.PassSale, pass("ten", 0)), txn.UnknownFare) // no room for another
	w.must(w.freeze(txn.Lost, txn.AppPurse))
	w.refused(w.request(txn.PassSale, pass("ten", 0)), txn.CardFrozen)
}

// boarded names the last record's request.
func (w *wallet) boarded() *txn.Request {
	return &txn.Request{ID: w.last().Request}
}

// A card's passes and what its day has cost go to its successor, once and with nothing else to
// move; a successor that has been used takes the passes.
func TestRidesGoToTheSuccessor(t *testing.T) {
	for name, tt := range map[string]struct {
		used func(*wallet)
		rest txn.Minor // of the cap
	}{
		"new":  {func(*wallet) {}, 1500 - 200},
		"used": {func(w *wallet) { w.must(w.load(5000)); w.must(w.board("M9")) }, 1500 - 200},
	} {
		t.Run(name, func(t *testing.T) {
			old := rider(t, 1400)
			next := wallet2(t)
			next.policy.Tariff = old.policy.Tariff
			old.must(old.board("M1"))
			old.must(old.request(txn.PassSale, pass("ten", 0)))
			old.wantBalance(0)
			tt.used(next)
			replaced(old, next)
			if len(old.due) != 1 {
				t.Fatalf("due %v: the pass is not on its way", old.due)
			}
			old.must(old.out(1, next))
			next.must(next.in(old))
			next.must(next.in(old))
			old.must(old.arrived(1, next))
			if s := old.card(); len(s.Rides) != 0 || s.Undo.Set || s.Owed() {
				t.Fatalf("left behind: %+v", s)
			}
			next.must(next.load(5000))
			next.now += 2 * hour
			for range 10 {
				next.pays(next.must(next.board("M1")), 200, 0, cause("pass", 200))
			}
			next.now += 2 * hour
			sum := txn.Minor(0)
			for range 9 {
				sum += next.must(next.board("M1")).Charged
			}
			if sum != tt.rest {
				t.Errorf("paid %d up to the cap, want %d", sum, tt.rest)
			}
			damaged := next.in(old)
			damaged.Move.Seq, damaged.Move.Rides = 2, []byte{9}
			view := engine.View{Card: next.card(), Known: true, Version: next.version}
			var out engine.Result
			if engine.Decide(&view, damaged, &next.policy, next.now, &out); !out.Damaged {
				t.Errorf("rides that cannot be read: %+v", out.Decision)
			}
		})
	}
}
