package book

import (
	"context"
	"testing"

	"github.com/tapswitch/tapswitch/switch/disruption"
	"github.com/tapswitch/tapswitch/switch/passback"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// metro lets the gate send entries and exits, and gives its scheme the rules of pass-back.
func metro(t *testing.T) *rig {
	r := newRig(t, func(o *Options) {
		o.Source = func(context.Context, txn.TerminalID) (Source, error) {
			return Source{Place: txn.Place{Operator: "METRO", Payee: "operator/METRO"},
				Kinds: []txn.Kind{txn.MetroEntry, txn.MetroExit, txn.BusBoarding}}, nil
		}
	})
	policy := r.engine.Policy()
	policy.PassBack = passback.Rules{Station: hour}
	if err := r.engine.SetPolicy(policy); err != nil {
		t.Fatal(err)
	}
	r.enrol(1, 5000)
	return r
}

// noted returns the rides and the last causes of what was booked of taps, by their numbers.
func (r *rig) noted() (rides map[uint32]txn.Ride, causes map[uint32]string) {
	rides, causes = map[uint32]txn.Ride{}, map[uint32]string{}
	for _, record := range r.memoryRecords() {
		if n := len(record.Discounts); record.Kind.IsTap() && n > 0 {
			causes[record.Request.Counter] = record.Discounts[n-1].Cause
		}
		if record.Kind.IsTap() {
			rides[record.Request.Counter] = record.Ride
		}
	}
	return rides, causes
}

// What a record of a gate tells of its ride is booked with it; a degraded mode that nobody ordered
// takes nothing from the record and is told to the desk.
func TestRidesOfRecords(t *testing.T) {
	r := metro(t)
	tram := tap(0, 101, 8, 5000, 60)
	tram.Mode, tram.Travel, tram.Metres = "tram", "business", 4200
	degraded := tap(0, 102, 9, 4810, 50)
	degraded.Flags = []string{"train_fault", "time_waived"}
	var g gate
	r.expect(r.take(g.next(tram, degraded)), "accepted accepted")
	r.balance(0, 5000-2*190)
	rides, causes := r.noted()
	modes := disruption.Flags(0).With(disruption.TrainFault).With(disruption.TimeWaived)
	if rides[101] != (txn.Ride{Mode: txn.ModeTram, Business: true, Metres: 4200}) ||
		rides[102] != (txn.Ride{Degraded: uint8(modes)}) {
		t.Errorf("rides %+v", rides)
	}
	if causes[101] != "terminal" || causes[102] != txn.CauseUnordered {
		t.Errorf("causes %v", causes)
	}
	line, err := disruption.ParseScope("line:M1")
	if err != nil {
		t.Fatal(err)
	}
	policy := r.engine.Policy()
	for i, mode := range []disruption.Mode{disruption.TrainFault, disruption.TimeWaived} {
		policy.Orders = append(policy.Orders, disruption.Order{ID: string(rune('a' + i)), Mode: mode,
			Scope: line, From: noon - hour, Until: noon, By: "anna", Second: "ben"})
	}
	if err := r.engine.SetPolicy(policy); err != nil {
		t.Fatal(err)
	}
	ordered := degraded
	ordered.TermSeq, ordered.Counter, ordered.Before = 103, 10, 4620
	r.expect(r.take(g.next(ordered)), "accepted")
	if _, causes = r.noted(); causes[103] != "terminal" {
		t.Errorf("within the orders: %v", causes)
	}
}

// A second entry at a station within the window is booked, since the gate let it pass, and found:
// by when the card was served, however late and in whatever order the gate tells it.
func TestPassBackOfRecords(t *testing.T) {
	for name, minutes := range map[string][2]int{"in order": {300, 270}, "the later one first": {270, 300},
		"an hour apart": {300, 240}} {
		r := metro(t)
		first, second := tap(0, 101, 8, 5000, minutes[0]), tap(0, 102, 9, 5000, minutes[1])
		for _, x := range []*string{&first.Kind, &second.Kind} {
			*x = "metro_entry"
		}
		first.Amount, first.Fare, first.Station = 0, 0, "Futian"
		second.Amount, second.Fare, second.Station = 0, 0, "Futian"
		var g gate
		r.expect(r.take(g.next(first)), "accepted")
		r.at += 3 * hour
		g.sentAt = int64(3 * hour)
		r.expect(r.take(g.next(second)), "accepted")
		r.balance(0, 5000)
		_, causes := r.noted()
		want := txn.CausePassBack
		if name == "an hour apart" {
			want = ""
		}
		if causes[102] != want || causes[101] != "" {
			t.Errorf("%s: causes %v", name, causes)
		}
	}
}

// A line of gates counts what a gate uploads, though its records are named by the security module,
// together with what the gates of the line ask on line.
func TestUploadedTapCountsAtItsLineOfGates(t *testing.T) {
	r := metro(t)
	policy := r.engine.Policy()
	policy.PassBack = passback.Rules{Gate: 10 * 60 * second, GateDigits: 2}
	if err := r.engine.SetPolicy(policy); err != nil {
		t.Fatal(err)
	}
	var g gate
	r.expect(r.take(g.next(tap(0, 101, 8, 5000, 5))), "accepted")
	for i, name := range []string{"GATE08", "WEST08"} {
		id, err := txn.ParseTerminalID(name)
		if err != nil {
			t.Fatal(err)
		}
		q := txn.Request{ID: txn.RequestID{Terminal: id, Boot: 1, Counter: uint32(201 + i)}, Kind: txn.BusBoarding,
			Card: r.tokenOf(0), Currency: txn.CNY, ServiceAt: r.at, ReceivedAt: r.at, FareGiven: true,
			FullFare: 200, Amount: 190}
		if a := r.engine.Authorize(t.Context(), &q); a.Err != nil || a.Decision.Outcome != txn.Approved {
			t.Fatalf("%s: %s, %v", name, a.Decision.Reason, a.Err)
		}
	}
	if _, causes := r.noted(); causes[201] != txn.CausePassBack || causes[202] == txn.CausePassBack {
		t.Errorf("causes %v, want the rule broken at the same line of gates alone", causes)
	}
}
