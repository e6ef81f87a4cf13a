package engine_test

import (
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/disruption"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/fare"
	"github.com/tapswitch/tapswitch/switch/fare/price"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// graced is a card in a scheme whose tariff charges 7.00 for what is incomplete, under one order
// from 08:00 to 10:00.
func graced(t tb, mode disruption.Mode, scope string, second string) *wallet {
	t.Helper()
	w := enrolled(t, 5000)
	most := txn.Minor(700)
	v, err := price.Compile(price.File{Tariff: "t", Version: "1", Effective: price.Effective{From: 20260101},
		Fares: []price.Fare{{Name: "metro", Mode: "metro", Pairs: &price.Pairs{Otherwise: &most,
			Fares: []price.PairFare{{From: "Futian", To: "Luohu", Fare: 500}}}}},
		Incomplete: &price.Incomplete{MissingExit: "maximum", MissingEntry: "maximum"}})
	if err != nil {
		t.Fatal(err)
	}
	w.policy.Tariff = fare.Of(v)
	s, err := disruption.ParseScope(scope)
	if err != nil {
		t.Fatal(err)
	}
	w.policy.Orders = []disruption.Order{{ID: "o1", Mode: mode, Scope: s, From: morning, Until: morning + 2*hour,
		By: "anna", Second: second}}
	return w
}

// What began or ended under a mode is never charged as incomplete; what did not is.
func TestGraceOfIncompleteJourneys(t *testing.T) {
	for name, c := range map[string]struct {
		mode   disruption.Mode
		scope  string
		second string
		want   txn.Minor
	}{
		"a closed station":      {disruption.StationClosed, "station:Futian", "ben", 0},
		"another station":       {disruption.StationClosed, "station:Luohu", "ben", 700},
		"doors open elsewhere":  {disruption.EmergencyRelease, "station:Luohu", "ben", 0},
		"not confirmed":         {disruption.StationClosed, "station:Futian", "", 700},
		"its terminal":          {disruption.TrainFault, "terminal:GATE01", "ben", 0},
		"order of taps, waived": {disruption.EntryExitWaived, "line:L1", "ben", 0},
	} {
		w := graced(t, c.mode, c.scope, c.second)
		first := w.entry("Futian")
		w.must(first)
		w.now += 3 * hour
		if d := w.must(w.entry("Airport")); d.Charged != c.want {
			t.Errorf("%s, given up: %d", name, d.Charged)
		}
		w = graced(t, c.mode, c.scope, c.second)
		w.must(w.entry("Futian"))
		entered := w.counter
		w.now += 6 * hour
		w.must(w.request(txn.JourneyLapse, func(r *txn.Request) {
			r.Original = txn.RequestID{Terminal: r.ID.Terminal, Boot: 1, Counter: entered}
		}))
		if got := w.last(); got.Charged != c.want {
			t.Errorf("%s, lapsed: %d", name, got.Charged)
		} else if c.want == 0 && (len(got.Discounts) != 1 || got.Discounts[0].Cause != "grace") {
			t.Errorf("%s: %+v", name, got.Discounts)
		}
	}
}

func TestGraceOfAMissingEntry(t *testing.T) {
	w := graced(t, disruption.EntryExitWaived, "station:Luohu", "ben")
	exit := w.exit("Luohu")
	if d := w.must(exit); d.Charged != 0 {
		t.Errorf("charged %d", d.Charged)
	}
	if d := w.must(w.exit("Airport")); d.Charged != 700 {
		t.Errorf("elsewhere: charged %d", d.Charged)
	}
	w.policy.Orders = nil
	if d := w.must(exit); !d.Replay || d.Charged != 0 {
		t.Errorf("a copy after the mode: %+v", d)
	}
	w.wantBalance(4300)
}

// A long journey under a mode is charged as a ride, by tariffs with a limit and with none.
func TestGraceOfOvertime(t *testing.T) {
	w := graced(t, disruption.TimeWaived, "all", "ben")
	w.must(w.entry("Futian"))
	w.now += 270 * minute // more than JourneyMax
	if d := w.must(w.exit("Luohu")); d.Charged != 500 {
		t.Errorf("charged %d", d.Charged)
	}
	w = graced(t, disruption.TimeWaived, "line:L9", "ben")
	w.must(w.entry("Futian"))
	w.now += 270 * minute
	w.refused(w.exit("Luohu"), txn.JourneyTooLong)
}

// What a tariff charges for overtime is taken back by the mode, and both stand in the record.
func TestGraceOfASurcharge(t *testing.T) {
	for scope, want := range map[string]txn.Minor{"line:L1": 200, "line:L9": 350} {
		w := graced(t, disruption.TrainFault, scope, "ben")
		flat := txn.Minor(200)
		v, err := price.Compile(price.File{Tariff: "t", Version: "1", Effective: price.Effective{From: 20260101},
			Fares:    []price.Fare{{Name: "metro", Mode: "metro", Flat: &flat}},
			Overtime: &price.Overtime{After: time.Hour, Charge: 150}})
		if err != nil {
			t.Fatal(err)
		}
		w.policy.Tariff = fare.Of(v)
		w.must(w.entry("Futian"))
		w.now += 90 * minute
		if d := w.must(w.exit("Luohu")); d.Charged != want || d.FullFare != 200 {
			t.Errorf("%s: charged %d of %d, want %d", scope, d.Charged, d.FullFare, want)
		}
		if n := len(w.last().Discounts); n != map[txn.Minor]int{200: 2, 350: 1}[want] {
			t.Errorf("%s: %+v", scope, w.last().Discounts)
		}
	}
}

func TestPassBackWhereTheOrderIsWaived(t *testing.T) {
	w := graced(t, disruption.EntryExitWaived, "station:Futian", "ben")
	w.must(w.entry("Futian"))
	w.now += minute
	if d := w.must(w.entry("Futian")); d.Charged != 0 {
		t.Errorf("charged %d", d.Charged)
	}
	w.policy.Orders = []disruption.Order{}
	w.refused(w.entry("Futian"), txn.PassBack)
}

// An order that the engine is told of while it serves counts from the next request on.
func TestOrdersInForce(t *testing.T) {
	w := graced(t, disruption.StationClosed, "station:Futian", "ben")
	if err := w.policy.Check(); err != nil {
		t.Fatal(err)
	}
	var none engine.Policy
	if none.Check() == nil {
		t.Error("no policy is a policy")
	}
}
