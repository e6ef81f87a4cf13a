package engine_test

import (
	"testing"

	"github.com/tapswitch/tapswitch/switch/disruption"
	"github.com/tapswitch/tapswitch/switch/fare/price"
	"github.com/tapswitch/tapswitch/switch/passback"
	"github.com/tapswitch/tapswitch/switch/txn"
	"pgregory.net/rapid"
)

func terminalNamed(name string) func(*txn.Request) {
	return func(r *txn.Request) {
		id, err := txn.ParseTerminalID(name)
		if err != nil {
			panic(err)
		}
		r.ID.Terminal = id
	}
}

// with applies changes to a request.
func with(r *txn.Request, change ...func(*txn.Request)) *txn.Request {
	for _, c := range change {
		c(r)
	}
	return r
}

// rule gives the scheme narrower windows: an hour at a station, two minutes at a line of gates.
func rule(w *wallet) *wallet {
	w.policy.PassBack = passback.Rules{Station: hour, Gate: 2 * minute, GateDigits: 2}
	return w
}

// A card that has just entered at a station does not enter there again, longer than elsewhere.
func TestPassBackAtOneStation(t *testing.T) {
	w := rule(rider(t, 5000))
	w.must(w.entry("Futian"))
	w.now += w.policy.PassBackWindow
	w.refused(with(w.entry("Futian"), terminalNamed("WEST07")), txn.CardJustUsed)
	w.must(with(w.entry("Luohu"), terminalNamed("EAST01")))
}

// The same tap is not made twice in a moment at one line of gates, whatever became of the ride: an
// exit would be charged as one without an entry. Others may follow, and so may the next tap.
func TestPassBackAtOneLineOfGates(t *testing.T) {
	w := rule(rider(t, 5000))
	w.must(w.entry("Futian"))
	w.now += 20 * minute
	w.must(with(w.exit("Luohu"), terminalNamed("EAST01")))
	left := w.card().Balance
	w.now += minute
	w.refused(with(w.exit("Luohu"), terminalNamed("EAST02")), txn.CardJustUsed)
	w.wantBalance(left)
	w.must(with(w.entry("Luohu"), terminalNamed("EAST02"))) // back in
	w.now += 20 * minute
	w.must(with(w.board("M1"), terminalNamed("BUS001")))
	w.refused(with(w.board("M1"), terminalNamed("BUS001")), txn.CardJustUsed)
	w.must(with(w.board("M1"), terminalNamed("TRAM01")))
	w.now += 2 * minute
	w.must(with(w.board("M1"), terminalNamed("TRAM01")))
}

// A reversed tap was none: who was not let through taps again.
func TestPassBackAfterAReversal(t *testing.T) {
	w := rule(rider(t, 5000))
	first := w.board("M1")
	w.must(first)
	w.refused(w.board("M1"), txn.CardJustUsed)
	w.must(w.reversal(first))
	w.must(w.board("M1"))
}

// What a gate tells late is judged by when it served the card, and what it decided itself is
// booked with a mark for the desk.
func TestPassBackOffLine(t *testing.T) {
	w := rule(rider(t, 5000))
	w.now += 5 * hour
	served := w.now - 4*hour
	w.must(with(w.entry("Futian"), offline(1), serviceAt(served)))
	w.refused(with(w.entry("Futian"), offline(2), serviceAt(served+30*minute)), txn.CardJustUsed)
	w.refused(with(w.entry("Luohu"), offline(3), serviceAt(served+minute)), txn.CardJustUsed) // one gate
	w.must(with(w.entry("Futian"), offline(4), serviceAt(served+2*hour)))

	w = rule(rider(t, 5000))
	w.now += 5 * hour
	w.must(with(w.entry("Futian"), offline(1), serviceAt(served), fareGiven(0, 0)))
	w.must(with(w.entry("Futian"), offline(2), serviceAt(served+minute), fareGiven(0, 0)))
	if got := w.last().Discounts; len(got) != 1 || got[0] != cause("pass_back", 0) {
		t.Errorf("the record tells %v", got)
	}
	w.must(with(w.entry("Futian"), offline(3), serviceAt(served+2*hour), fareGiven(0, 0)))
	if got := w.last().Discounts; len(got) != 0 {
		t.Errorf("two hours later the record tells %v", got)
	}
	w.must(with(w.board("M1"), offline(4), serviceAt(served+3*hour), fareGiven(200, 150)))
	w.must(with(w.board("M1"), offline(5), serviceAt(served+3*hour+1), fareGiven(200, 150)))
	w.pays(txn.Decision{FullFare: 200, Charged: 150}, 200, 150, cause("terminal", 50),
		cause("pass_back", 0))
}

// groups lets two persons ride on the card of a disabled rider.
func groups(f *price.File) {
	f.Groups = []price.Group{{Riders: []string{"disabled"}, Persons: 2}}
}

// Where the tariff lets two persons ride on one card both enter, both leave, and both pay; a third
// does not pass.
func TestCompanions(t *testing.T) {
	w := rule(rider(t, 5000, groups))
	w.must(w.request(txn.Amend, func(r *txn.Request) {
		r.Change = &txn.CardChange{Set: txn.ChangeRider, Rider: txn.RiderDisabled}
	}))
	w.must(w.entry("Futian"))
	opened := w.card().Journey
	w.now += 5 * second
	second := w.entry("Futian")
	w.must(second)
	if w.card().Journey != opened || w.last().Discounts[0] != cause("companion", 0) {
		t.Errorf("journey %+v, record %v", w.card().Journey, w.last().Discounts)
	}
	w.refused(w.entry("Futian"), txn.CardJustUsed)
	w.now += 20 * minute
	a := w.must(w.exit("Luohu"))
	w.now += minute
	b := w.must(w.exit("Luohu"))
	if a.FullFare != 300 || b.FullFare != 300 || a.Charged != b.Charged || w.last().EntryStation != "Futian" {
		t.Errorf("the first %+v, the second %+v", a, b)
	}
	w.refused(w.exit("Luohu"), txn.CardJustUsed)
	if len(w.due) != 0 || w.card().Journey.Open() {
		t.Errorf("due %v, journey %+v", w.due, w.card().Journey)
	}
	w.now += 10 * minute
	if w.do(w.exit("Luohu")); w.last().EntryStation != "" {
		t.Error("a third person left a ride of two")
	}
	w.now += day
	w.must(w.board("M1"))
	w.must(w.board("M1"))
	w.refused(w.board("M1"), txn.CardJustUsed)
}

// An attendant is exempt by the scheme's policy.
func TestExemptRiders(t *testing.T) {
	w := rule(rider(t, 5000))
	w.policy.PassBack.Exempt = passback.ExemptOf(txn.RiderOrdinary)
	w.must(w.entry("Futian"))
	for range 3 {
		w.must(w.entry("Futian"))
	}
	w.now += 10 * minute
	for range 4 {
		w.must(w.exit("Luohu"))
	}
	w.wantBalance(5000 - 4*300)
}

// A gate's claim of a degraded mode counts within an order, and a clock's error around it; without
// one the tap is kept and the record tells the desk.
func TestClaimedModes(t *testing.T) {
	waived := func(r *txn.Request) {
		r.Degraded = uint8(disruption.Flags(0).With(disruption.EntryExitWaived))
	}
	w := graced(t, disruption.EntryExitWaived, "station:Futian", "ben")
	w.must(w.entry("Futian"))
	w.now += minute
	w.must(with(w.entry("Futian"), waived))
	if got := w.last(); len(got.Discounts) != 1 || got.Discounts[0].Cause != "grace" || got.Degraded != 8 {
		t.Errorf("within the order: %+v", got.Discounts)
	}
	for late, claims := range map[txn.Millis]bool{5 * minute: true, 6 * minute: false} {
		w = graced(t, disruption.EntryExitWaived, "station:Futian", "ben")
		w.now = w.policy.Orders[0].Until - 2*minute
		w.must(w.entry("Luohu"))
		w.now = w.policy.Orders[0].Until + late - 1
		tap := with(w.entry("Futian"), waived)
		w.policy.FutureMax = 5 * minute
		if w.do(tap).Outcome == txn.Approved != claims {
			t.Errorf("%d min after the order: %+v", late/minute, w.last().Reason)
		}
	}
	w = graced(t, disruption.EntryExitWaived, "station:Futian", "ben")
	w.must(with(w.entry("Luohu"), waived)) // the order is of another station
	if got := w.last().Discounts; len(got) != 1 || got[0] != cause("mode_unordered", 0) {
		t.Errorf("without an order: %v", got)
	}
	w.refused(with(w.entry("Airport"), waived), txn.PassBack)
}

// The mode that a terminal names prices the ride: of a boarding, and of a ride between two gates by
// where it began.
func TestModesOfRides(t *testing.T) {
	tram, ferry := txn.Minor(120), txn.Minor(900)
	modes := func(f *price.File) {
		f.Fares = append(f.Fares, price.Fare{Name: "tram", Mode: "tram", Flat: &tram},
			price.Fare{Name: "ferry", Mode: "ferry", Flat: &ferry})
		f.Caps, f.Transfers = nil, []price.Transfer{{Name: "tram to bus", From: []string{"tram"},
			To: []string{"bus"}, Window: f.Transfers[0].Window, Off: ptr(txn.Minor(50))}}
	}
	by := func(m txn.Mode) func(*txn.Request) { return func(r *txn.Request) { r.Mode = m } }
	w := rider(t, 5000, modes)
	w.pays(w.must(w.board("M1")), 200, 200)
	w.pays(w.must(with(w.board("T1"), by(txn.ModeTram))), 120, 120)
	w.pays(w.must(w.board("M2")), 200, 150, cause("transfer", 50))
	if w.last().Mode != txn.ModeOfKind {
		t.Errorf("mode %s", w.last().Mode)
	}
	w.must(with(w.entry("Pier"), by(txn.ModeFerry)))
	w.now += 10 * minute
	w.pays(w.must(w.exit("Island")), 900, 900)
	if w.last().Mode != txn.ModeFerry {
		t.Errorf("the exit's record is of %q", w.last().Mode)
	}
	w.must(with(w.entry("Pier"), by(txn.ModeFerry)))
	w.now += w.policy.JourneyLapse
	w.refused(with(w.board("R1"), by(txn.ModeRail)), txn.UnknownFare)
}

// No tap of a person who leaves each station before he enters again is refused by the rule, and
// the rule never takes money: what it refuses leaves the card as it was.
func TestPassBackProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := rule(rider(t, 50_000))
		inside := false
		for range rapid.IntRange(1, 20).Draw(t, "taps") {
			w.now += rapid.SampledFrom([]txn.Millis{second, minute, 30 * minute}).Draw(t, "pass")
			tap, honest := w.entry("Futian"), !inside
			if rapid.Bool().Draw(t, "exit") {
				tap, honest = w.exit("Luohu"), inside
			}
			before := w.card()
			d := w.do(tap)
			by := d.Reason == txn.CardJustUsed || d.Reason == txn.PassBack
			if by && (honest || w.card().Balance != before.Balance || w.card().Journey != before.Journey) {
				t.Fatalf("%s refused with %s, inside %v", tap.Kind, d.Reason, inside)
			}
			if d.Outcome == txn.Approved {
				inside = tap.Kind == txn.MetroEntry
			}
		}
	})
}

// A line of gates counts a record that is named by its gate's security module as it counts what the
// gate asks on line, in either order.
func TestPassBackKnowsAGateByOneName(t *testing.T) {
	uploaded := func(r *txn.Request) {
		fareGiven(200, 200)(r)
		terminalNamed("000000000101")(r)
		r.Offline, r.OfflineCounter, r.Gate = true, 7, with(&txn.Request{}, terminalNamed("EAST01")).ID.Terminal
	}
	w := rule(rider(t, 5000))
	w.must(with(w.board("M1"), uploaded))
	w.now += minute
	w.refused(with(w.board("M1"), terminalNamed("EAST02")), txn.CardJustUsed)
	w.must(with(w.board("M1"), terminalNamed("WEST02")))
	w = rule(rider(t, 5000))
	w.must(with(w.board("M1"), terminalNamed("EAST02")))
	w.now += minute
	w.must(with(w.board("M1"), uploaded)) // the gate has let him in: the record says that it was wrong
	if d := w.last().Discounts; len(d) != 1 || d[0] != cause(txn.CausePassBack, 0) {
		t.Errorf("discounts %v", d)
	}
}
