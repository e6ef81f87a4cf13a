package engine_test

import (
	"slices"
	"testing"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// A metro ride: nothing is charged at the entry, the fare at the exit, and the due entry
// of the journey comes and goes.
func TestMetroRide(t *testing.T) {
	w := enrolled(t, 5000)
	entry := w.entry("Futian")
	if d := w.must(entry); d.Charged != 0 || d.FullFare != 0 || d.BalanceAfter != 5000 {
		t.Fatalf("entry: %+v", d)
	}
	if rec := w.last(); len(rec.Postings) != 0 || rec.Application != txn.AppTransit {
		t.Fatalf("entry record: %+v", rec)
	}
	j := w.card().Journey
	if !j.Open() || j.Station != "Futian" || j.Line != "L1" || j.Operator != "metro" ||
		j.EnteredAt != w.now || j.Request != entry.ID {
		t.Fatalf("journey %+v", j)
	}
	if len(w.due) != 1 {
		t.Fatalf("due entries %v, want one", w.due)
	}
	for _, when := range w.due {
		if when != w.now+w.policy.JourneyLapse {
			t.Fatalf("journey lapses at %d, want %d", when, w.now+w.policy.JourneyLapse)
		}
	}

	enteredAt := w.now
	w.now += 30 * minute
	if d := w.must(w.exit("Luohu")); d.Charged != 500 || d.FullFare != 500 || d.BalanceAfter != 4500 {
		t.Fatalf("exit: %+v", d)
	}
	rec := w.last()
	if rec.EntryStation != "Futian" || rec.EntryAt != enteredAt || len(rec.Discounts) != 0 {
		t.Fatalf("exit record: %+v", rec)
	}
	if len(rec.Postings) != 2 || rec.Postings[1].Account != "operator/metro" ||
		rec.Postings[1].Amount != 500 {
		t.Fatalf("exit postings: %+v", rec.Postings)
	}
	if w.card().Journey.Open() || len(w.due) != 0 {
		t.Fatalf("after the exit: journey %+v, due %v", w.card().Journey, w.due)
	}
	w.refused(w.exit("Luohu"), txn.NoEntry)
}

func TestPairFaresHoldBothWays(t *testing.T) {
	w := enrolled(t, 5000)
	w.must(w.entry("Luohu"))
	w.now += hour
	if d := w.must(w.exit("Futian")); d.Charged != 500 {
		t.Fatalf("charged %d, want 500", d.Charged)
	}
	w.must(w.entry("Luohu"))
	w.now += hour
	w.refused(w.exit("Nowhere"), txn.UnknownFare)
	if !w.card().Journey.Open() || len(w.due) != 1 {
		t.Fatal("a refused exit closed the journey")
	}
}

func TestBusFares(t *testing.T) {
	w := enrolled(t, 5000)
	for _, tt := range []struct {
		line string
		fare txn.Minor
	}{{"M1", 300}, {"N7", 200}, {"FREE", 0}} {
		d := w.must(w.board(tt.line))
		if d.Charged != tt.fare || d.FullFare != tt.fare {
			t.Errorf("line %s: %+v, want %d", tt.line, d, tt.fare)
		}
		if rec := w.last(); (len(rec.Postings) != 0) != (tt.fare != 0) {
			t.Errorf("line %s: postings %+v", tt.line, rec.Postings)
		}
	}
	w.wantBalance(4500)
}

// A share is rounded down to the fen, and the record tells what was given.
func TestRiderShares(t *testing.T) {
	for _, tt := range []struct {
		rider   txn.RiderCategory
		charged txn.Minor
	}{
		{txn.RiderOrdinary, 901}, {txn.RiderStudent, 450}, {txn.RiderSenior, 0},
		{txn.RiderVeteran, 901},
	} {
		w := newWallet(t)
		w.must(w.request(txn.Enrol, func(r *txn.Request) {
			r.Enrolment = txn.Enrolment{Apps: txn.AppTransit | txn.AppPurse, Rider: tt.rider}
		}))
		w.must(w.load(1000))
		w.must(w.entry("Futian"))
		w.now += hour
		d := w.must(w.exit("Airport"))
		if d.FullFare != 901 || d.Charged != tt.charged {
			t.Errorf("%s: %+v, want %d of 901", tt.rider, d, tt.charged)
		}
		rec := w.last()
		if rec.Rider != tt.rider {
			t.Errorf("%s: record says rider %s", tt.rider, rec.Rider)
		}
		gap := 901 - tt.charged
		switch {
		case gap == 0 && len(rec.Discounts) != 0:
			t.Errorf("%s: discounts %+v, want none", tt.rider, rec.Discounts)
		case gap > 0 && (len(rec.Discounts) != 1 || rec.Discounts[0] != txn.Discount{
			Cause: "rider", Amount: gap}):
			t.Errorf("%s: discounts %+v, want rider %d", tt.rider, rec.Discounts, gap)
		}
	}
}

// Two people with one card: the second entry is refused within the window. After it the
// open journey is given up, its due entry with it.
func TestPassBack(t *testing.T) {
	w := enrolled(t, 5000)
	w.must(w.entry("Futian"))
	w.now += w.policy.PassBackWindow - 1
	w.refused(w.entry("Futian"), txn.PassBack)
	w.now++
	second := w.entry("Luohu")
	w.must(second)
	if j := w.card().Journey; j.Request != second.ID || j.Station != "Luohu" {
		t.Fatalf("journey %+v, want the second entry", j)
	}
	if len(w.due) != 1 {
		t.Fatalf("due entries %v, want one", w.due)
	}
}

func TestJourneyTooLong(t *testing.T) {
	w := enrolled(t, 5000)
	w.must(w.entry("Futian"))
	w.now += w.policy.JourneyMax
	late := w.exit("Luohu")
	late.ServiceAt++
	w.refused(late, txn.JourneyTooLong)
	w.must(w.exit("Luohu"))
}

// What was never left is closed by the switch, once, and says so in the ledger.
func TestLapse(t *testing.T) {
	w := enrolled(t, 5000)
	entry := w.entry("Futian")
	w.must(entry)
	enteredAt := w.now
	w.now += w.policy.JourneyLapse
	lapse := func() *txn.Request {
		return w.request(txn.JourneyLapse, original(entry.ID), func(r *txn.Request) {
			r.ID, r.Place = txn.RequestID{}, txn.Place{}
		})
	}
	w.must(lapse())
	rec := w.last()
	if rec.Kind != txn.JourneyLapse || rec.EntryStation != "Futian" || rec.EntryAt != enteredAt ||
		rec.Original != entry.ID || len(rec.Postings) != 0 {
		t.Fatalf("lapse record: %+v", rec)
	}
	if w.card().Journey.Open() || len(w.due) != 0 {
		t.Fatalf("after the lapse: %+v, due %v", w.card().Journey, w.due)
	}
	records := len(w.records)
	w.due["left over"] = 1
	w.refused(lapse(), txn.NoEntry)
	if len(w.records) != records {
		t.Error("a lapse that found nothing to close left a record")
	}
	if out := &w.result; len(out.Due) != 1 || !out.Due[0].Remove || out.Write {
		t.Errorf("a lapse that found nothing must only take the due entry away: %+v", out.Due)
	}
	w.refused(w.exit("Luohu"), txn.NoEntry)
}

// The lapse of an old journey does not close the one that came after it.
func TestLapseOfAnEarlierJourney(t *testing.T) {
	w := enrolled(t, 5000)
	first := w.entry("Futian")
	w.must(first)
	w.now += hour
	w.must(w.entry("Luohu"))
	w.now += 5 * hour
	w.refused(w.request(txn.JourneyLapse, original(first.ID), func(r *txn.Request) {
		r.ID = txn.RequestID{}
	}), txn.NoEntry)
	if !w.card().Journey.Open() {
		t.Fatal("the second journey was closed")
	}
}

// A terminal that computed the fare has read the card: its entry and exit are booked as
// they came, and the difference to the full fare is named.
func TestTerminalFares(t *testing.T) {
	w := enrolled(t, 5000)
	exit := w.request(txn.MetroExit, fareGiven(600, 570))
	if d := w.must(exit); d.FullFare != 600 || d.Charged != 570 {
		t.Fatalf("exit without entry: %+v", d)
	}
	if rec := w.last(); len(rec.Discounts) != 1 || rec.Discounts[0].Cause != "terminal" ||
		rec.Discounts[0].Amount != 30 || rec.EntryStation != "" {
		t.Fatalf("record %+v", rec)
	}
	w.must(w.request(txn.MetroEntry, fareGiven(0, 0)))
	w.now += minute
	w.must(w.request(txn.MetroEntry, fareGiven(0, 0)))
	w.refused(w.request(txn.MetroEntry, fareGiven(10, 0)), txn.FareMismatch)
	w.now += 5 * hour
	w.must(w.request(txn.MetroExit, fareGiven(600, 600)))
	if w.card().Journey.Open() || len(w.due) != 0 {
		t.Fatal("the exit left the journey open")
	}
	w.must(w.request(txn.BusBoarding, place(bus), fareGiven(200, 0)))
	w.refused(w.request(txn.BusBoarding, place(bus), fareGiven(200, 201)), txn.FareMismatch)
	w.refused(w.request(txn.BusBoarding, place(bus), fareGiven(99_999, 99_999)),
		txn.InsufficientFunds)
	w.wantBalance(5000 - 570 - 600)
}

// Where the scheme does not take fares from terminals, the flag opens nothing: neither
// the pass-back window nor an exit without an entry.
func TestTerminalFaresNotAccepted(t *testing.T) {
	w := enrolled(t, 5000)
	w.policy.AcceptTerminalFare = false
	w.refused(w.request(txn.MetroExit, fareGiven(0, 0)), txn.NoEntry)
	w.refused(w.request(txn.MetroEntry, fareGiven(0, 0)), txn.FareMismatch)
	w.must(w.entry("Futian"))
	w.now += minute
	w.refused(w.request(txn.MetroEntry, fareGiven(0, 0)), txn.PassBack)
	w.refused(w.request(txn.MetroExit, fareGiven(500, 0)), txn.FareMismatch)
	w.refused(w.request(txn.BusBoarding, place(bus), fareGiven(200, 0)), txn.FareMismatch)
	w.wantBalance(5000)
}

// Off-line taps are booked in any order, each counter once, and even if the purse is
// short: the card has paid already.
func TestOfflineCounterWindow(t *testing.T) {
	w := enrolled(t, 500)
	late := func(counter uint32, age txn.Millis) *txn.Request {
		return w.request(txn.BusBoarding, place(bus), offline(counter), serviceAt(w.now-age))
	}
	for i, tt := range []struct {
		counter uint32
		reason  txn.Reason
	}{
		{100, txn.ReasonNone}, {100, txn.CounterSeen}, {98, txn.ReasonNone},
		{99, txn.ReasonNone}, {99, txn.CounterSeen}, {37, txn.ReasonNone},
		{36, txn.IDTooOld}, {101, txn.ReasonNone}, {37, txn.IDTooOld},
		{100, txn.CounterSeen}, {1000, txn.ReasonNone}, {937, txn.ReasonNone},
		{936, txn.IDTooOld},
	} {
		r := late(tt.counter, 3*day+txn.Millis(i))
		if tt.reason == txn.ReasonNone {
			w.must(r)
			if rec := w.last(); !rec.Offline || rec.OfflineCounter != tt.counter ||
				rec.TAC != txn.TACUnchecked {
				t.Fatalf("record %+v", rec)
			}
		} else {
			w.refused(r, tt.reason)
		}
	}
	w.wantBalance(500 - 7*300)
	w.refused(late(1001, w.policy.OfflineAgeMax+1), txn.TimeTooOld)
	w.must(late(1002, w.policy.OfflineAgeMax))
	w.refused(w.board("M1"), txn.InsufficientFunds)
}

// A refused off-line record leaves its counter free for the record that comes again.
func TestRefusedOfflineRecordLeavesItsCounter(t *testing.T) {
	w := enrolled(t, 500)
	w.refused(w.request(txn.MetroExit, offline(5)), txn.NoEntry)
	w.must(w.request(txn.BusBoarding, place(bus), offline(5)))
}

// A ride and its reversal come to nothing in every sum that finance makes: full fare,
// discounts and what was charged.
func TestReversedRideComesToNothing(t *testing.T) {
	w := enrolled(t, 1000)
	ride := w.board("M1")
	ride.FareGiven, ride.FullFare, ride.Amount = true, 200, 160
	w.must(ride)
	booked := w.last()
	w.must(w.reversal(ride))
	undone := w.last()
	if booked.FullFare != 200 || undone.FullFare != -200 || booked.Charged+undone.Charged != 0 {
		t.Errorf("full fare %d and %d, charged %d and %d", booked.FullFare, undone.FullFare,
			booked.Charged, undone.Charged)
	}
	sum := txn.Minor(0)
	for _, d := range append(slices.Clone(booked.Discounts), undone.Discounts...) {
		sum += d.Amount
	}
	if len(undone.Discounts) != 1 || sum != 0 {
		t.Errorf("discounts %v and %v", booked.Discounts, undone.Discounts)
	}
	// A purchase has no fare, and neither has its reversal.
	bought := w.purchase(100)
	w.must(bought)
	w.must(w.reversal(bought))
	if r := w.last(); r.FullFare != 0 || len(r.Discounts) != 0 {
		t.Errorf("reversed purchase: full fare %d, discounts %v", r.FullFare, r.Discounts)
	}
}

// An exit that was served before the entry, by more than clocks may differ, is not the end
// of that ride.
func TestExitBeforeEntry(t *testing.T) {
	w := enrolled(t, 1000)
	w.must(w.entry("Futian"))
	exit := w.exit("Luohu")
	exit.ServiceAt -= w.policy.FutureMax + 1
	w.refused(exit, txn.NoEntry)
	exit = w.exit("Luohu")
	exit.ServiceAt -= w.policy.FutureMax
	w.must(exit)
}

// Gates that work off line tell what they have in any order: an entry that comes after its exit
// opens nothing that would lapse at the price of a missed exit, whatever the order is.
func TestEntryToldAfterItsExit(t *testing.T) {
	offline := func(r *txn.Request, counter uint32, at txn.Millis) *txn.Request {
		r.Offline, r.OfflineCounter, r.ServiceAt = true, counter, at
		return r
	}
	for _, told := range [][]int{{0, 1}, {1, 0}} {
		w := enrolled(t, 5000)
		at := w.now
		w.now += hour
		ride := []*txn.Request{offline(w.request(txn.MetroEntry, fareGiven(0, 0)), 1, at),
			offline(w.request(txn.MetroExit, fareGiven(600, 600)), 2, at+20*minute)}
		for _, i := range told {
			w.must(ride[i])
		}
		if w.card().Journey.Open() || len(w.due) != 0 {
			t.Errorf("told as %v: a journey is open, %d entries are due", told, len(w.due))
		}
		w.must(offline(w.request(txn.MetroEntry, fareGiven(0, 0)), 3, at+30*minute))
		if !w.card().Journey.Open() || len(w.due) != 1 {
			t.Errorf("told as %v: the next ride is not open", told)
		}
		w.wantBalance(4400)
	}
	w := enrolled(t, 5000) // a reversed exit has ended nothing
	at := w.now
	w.now += hour
	exit := offline(w.request(txn.MetroExit, fareGiven(600, 600)), 2, at+20*minute)
	w.must(exit)
	w.must(w.request(txn.Reversal, func(q *txn.Request) { q.Original = exit.ID }))
	w.must(offline(w.request(txn.MetroEntry, fareGiven(0, 0)), 1, at))
	if !w.card().Journey.Open() {
		t.Error("the entry of a reversed exit opens nothing")
	}
}
