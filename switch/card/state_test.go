package card_test

import (
	"math"
	"testing"

	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/txn"
	"pgregory.net/rapid"
)

func id(n int) txn.RequestID { return txn.RequestID{Counter: uint32(n) + 1} }

const (
	now    txn.Millis = 1795219200000
	minute txn.Millis = 60_000
)

func TestRemember(t *testing.T) {
	var s card.State
	for i := range 3 * card.RecentKeep {
		s.Remember(card.Recent{ID: id(i), ServiceAt: now + txn.Millis(i)*10*minute},
			now+txn.Millis(i)*10*minute)
	}
	if len(s.Recent) != card.RecentKeep || s.Find(id(3*card.RecentKeep-1)) != card.RecentKeep-1 {
		t.Fatalf("%d remembered", len(s.Recent))
	}
	gone := 2*card.RecentKeep - 1
	if want := now + txn.Millis(gone)*10*minute; s.Floor != want || s.Find(id(gone)) >= 0 {
		t.Fatalf("floor %d, want %d", s.Floor, want)
	}
}

// What is young by its service time or by its arrival stays, and so does everything that
// was served after it, so that the floor stays below.
func TestRememberKeepsTheYoung(t *testing.T) {
	for name, r := range map[string]card.Recent{
		"served just now":      {ServiceAt: now - card.RecentYoung + 1},
		"served in the future": {ServiceAt: now + 5*minute},
		"arrived late":         {ServiceAt: now - 600*minute},
	} {
		var s card.State
		for i := range card.RecentMax {
			r.ID = id(i)
			s.Remember(r, now)
		}
		if len(s.Recent) != card.RecentMax || s.Floor != 0 {
			t.Errorf("%s: %d remembered, floor %d", name, len(s.Recent), s.Floor)
		}
	}
}

func TestRememberWhenFull(t *testing.T) {
	var s card.State
	for i := range card.RecentMax {
		s.Remember(card.Recent{ID: id(i), ServiceAt: now + txn.Millis(i)}, now)
	}
	late := card.Recent{ID: id(1000), ServiceAt: now - minute}
	s.Remember(late, now)
	if len(s.Recent) != card.RecentMax || s.Find(late.ID) < 0 || s.Find(id(0)) >= 0 || s.Floor != now {
		t.Fatalf("%d remembered, floor %d: the newest must stay, whenever it was served",
			len(s.Recent), s.Floor)
	}
}

// Whatever comes in whatever order: bounded, the newest is in, and what has gone is at or
// below the floor.
func TestRememberProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s card.State
		clock := now
		served := map[txn.RequestID]txn.Millis{}
		for i := range rapid.IntRange(1, 150).Draw(t, "requests") {
			clock += rapid.SampledFrom([]txn.Millis{0, 1, minute, 3 * minute, -minute}).Draw(t, "pass")
			r := card.Recent{ID: id(i), ServiceAt: clock - rapid.SampledFrom([]txn.Millis{0, 1,
				minute, 500 * minute, -5 * minute}).Draw(t, "age")}
			served[r.ID] = r.ServiceAt
			floor := s.Floor
			s.Remember(r, clock)
			at := s.Find(r.ID)
			if at < 0 || s.Recent[at].DecidedAt != clock {
				t.Fatal("the newest is not remembered")
			}
			if len(s.Recent) > card.RecentMax || s.Floor < floor {
				t.Fatalf("%d remembered, floor from %d to %d", len(s.Recent), floor, s.Floor)
			}
			for id, m := range served {
				if s.Find(id) < 0 && m > s.Floor {
					t.Fatalf("%s served at %d is forgotten above the floor %d", id, m, s.Floor)
				}
			}
		}
	})
}

func TestCounterWindow(t *testing.T) {
	var w card.CounterWindow
	for _, step := range []struct {
		n    uint32
		want card.CounterVerdict
	}{
		{0, card.CounterNew}, {0, card.CounterBooked}, {1, card.CounterNew},
		{63, card.CounterNew}, {0, card.CounterBooked}, {64, card.CounterNew},
		{0, card.CounterTooOld}, {1, card.CounterBooked}, {2, card.CounterNew},
		{2, card.CounterBooked}, {127, card.CounterNew}, {64, card.CounterBooked},
		{63, card.CounterTooOld}, {65, card.CounterNew}, {191, card.CounterNew},
		{127, card.CounterTooOld}, {128, card.CounterNew},
		{math.MaxUint32, card.CounterNew}, {math.MaxUint32, card.CounterBooked},
		{math.MaxUint32 - 63, card.CounterNew}, {math.MaxUint32 - 64, card.CounterTooOld},
		{0, card.CounterTooOld},
	} {
		if got := w.Check(step.n); got != step.want {
			t.Fatalf("%d in %+v: %d, want %d", step.n, w, got, step.want)
		}
		if step.want == card.CounterNew {
			w = w.Mark(step.n)
		}
	}
	if again := w.Mark(0); again != w {
		t.Errorf("a counter below the window changed %+v to %+v", w, again)
	}
}

// The window agrees with a set of all counters ever booked.
func TestCounterWindowAgainstASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w card.CounterWindow
		booked := map[uint32]bool{}
		high := rapid.SampledFrom([]uint32{0, 1, 63, 64, 1000, math.MaxUint32 - 100}).Draw(t, "start")
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			n := high
			switch d := rapid.SampledFrom([]uint32{0, 1, 2, 31, 62, 63, 64, 65, 127, 128, 500}).
				Draw(t, "distance"); {
			case rapid.Bool().Draw(t, "below") && d <= high:
				n = high - d
			case d <= math.MaxUint32-high:
				n = high + d
			}
			want := card.CounterNew
			switch {
			case booked[n] && high-n < 64:
				want = card.CounterBooked
			case len(booked) > 0 && n < high && high-n >= 64:
				want = card.CounterTooOld
			}
			if got := w.Check(n); got != want {
				t.Fatalf("%d with highest %d: %d, want %d", n, high, got, want)
			}
			if want == card.CounterNew {
				w = w.Mark(n)
				booked[n] = true
				if n > high || len(booked) == 1 {
					high = n
				}
				if w.High != high || w.Check(n) != card.CounterBooked {
					t.Fatalf("%d is not marked in %+v", n, w)
				}
			}
		}
	})
}

func TestStatusNames(t *testing.T) {
	for s, want := range map[card.Status]string{card.StatusNone: "none", card.Active: "active",
		card.Inactive: "inactive", 9: "unknown"} {
		if s.String() != want {
			t.Errorf("%d: %s", s, s)
		}
	}
}
