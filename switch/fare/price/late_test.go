package price_test

import (
	"testing"

	"github.com/tapswitch/tapswitch/switch/fare/price"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// A ride that is told late has the fare of its time without a transfer, counts for the caps,
// and leaves the chains of the rides that were told before it.
func TestLateRides(t *testing.T) {
	f := passed()
	f.Caps = []price.Cap{{Period: "day", Amount: 500}, {Period: "week", Amount: 900}}
	tariff := compile(t, f)
	day := 24 * 60 * minute
	for name, tt := range map[string]struct {
		tap  price.Tap
		late txn.Minor
		next txn.Minor // of another bus 20 minutes after noon
	}{
		"a bus of the same day":             {board(noon-30*minute, "2"), 160, 120},
		"up to the cap of the day":          {board(noon-30*minute, "E1"), 340, 0},
		"of the day before":                 {board(noon-day, "E1"), 500, 120},
		"of the week before":                {board(noon-5*day, "E1"), 500, 120},
		"free for seniors":                  {with(board(noon-minute, "2"), senior), 0, 120},
		"an exit without an entry":          {exit(noon-minute, price.Metro, "A"), 400, 120},
		"what is no ride":                   {enter(noon-minute, price.Metro, "A"), -1, 120},
		"before the tariff":                 {board(1, "2"), -1, 120},
		"a class that is not sold in buses": {with(board(noon-minute, "2"), business), -1, 120},
	} {
		t.Run(name, func(t *testing.T) {
			var s price.State
			first := board(noon, "1")
			if q := tariff.Price(&s, &first); q.Charged != 160 {
				t.Fatalf("first ride: %+v", q)
			}
			before := s
			if q := tariff.Price(&s, &tt.tap); q.Reason == price.OK || s != before {
				t.Fatalf("in order: %+v", q)
			}
			q := tariff.Late(&s, &tt.tap)
			switch {
			case tt.late < 0 && (q.Reason == price.OK || s != before):
				t.Fatalf("%+v, want a refusal that changes nothing", q)
			case tt.late >= 0 && (q.Reason != price.OK || q.Charged != tt.late || q.Transfer >= 0):
				t.Fatalf("%+v, want %d without a transfer", q, tt.late)
			}
			if s.Last() != noon {
				t.Errorf("the last tap is of %d", s.Last())
			}
			next := board(noon+20*minute, "2")
			if q := tariff.Price(&s, &next); q.Charged != tt.next {
				t.Errorf("the next ride costs %d, want %d", q.Charged, tt.next)
			}
		})
	}
}

func senior(tap *price.Tap) { tap.Rider = txn.RiderSenior }

// A late ride uses a pass of its own day, and one of so many rides loses one.
func TestLateRidesUsePasses(t *testing.T) {
	tariff := compile(t, passed())
	var s price.State
	buy := price.Tap{Kind: price.Buy, At: noon - 60*minute, Pass: 0}
	tariff.Price(&s, &buy)
	for i := range 12 {
		ride := board(noon+txn.Millis(i)*minute, "1")
		if i%2 == 1 {
			ride.At = noon - 30*minute
			if q := tariff.Late(&s, &ride); (q.Charged == 0) != (i < 10) {
				t.Errorf("late ride %d: %+v", i, q)
			}
		} else if q := tariff.Price(&s, &ride); (q.Charged == 0) != (i < 10) {
			t.Errorf("ride %d: %+v", i, q)
		}
	}
}

// Fares by pairs of stations hold in both directions; the others have one fare, or none.
func TestPairs(t *testing.T) {
	table := &price.Pairs{Fares: []price.PairFare{{From: "A", To: "B", Fare: 300}}, Otherwise: ptr(txn.Minor(700))}
	f := price.File{Tariff: "pairs", Version: "1", Effective: price.Effective{From: 20260101},
		Fares:      []price.Fare{{Name: "metro", Mode: "metro", Pairs: table}},
		Incomplete: &price.Incomplete{MissingExit: "maximum", MissingEntry: "none"}}
	tariff := compile(t, f)
	if tariff.LooksBack() || tariff.Overtime() {
		t.Error("fares alone look at rides before")
	}
	ride := func(from, to string) price.Quote {
		var s price.State
		in, out := enter(noon, price.Metro, from), exit(noon+minute, price.Metro, to)
		tariff.Price(&s, &in)
		return tariff.Price(&s, &out)
	}
	for _, tt := range []struct {
		from, to string
		want     txn.Minor
	}{{"A", "B", 300}, {"B", "A", 300}, {"A", "A", 700}, {"A", "Z", 700}} {
		if q := ride(tt.from, tt.to); q.Charged != tt.want {
			t.Errorf("%s to %s: %+v, want %d", tt.from, tt.to, q, tt.want)
		}
	}
	var s price.State
	in, lost := enter(noon, price.Metro, "A"), price.Tap{Kind: price.Lapse, At: noon + 300*minute}
	tariff.Price(&s, &in)
	if q := tariff.Price(&s, &lost); q.Charged != 700 || s.Incomplete().At != 0 {
		t.Errorf("the dearest ride is %d, to correct %+v", q.Charged, s.Incomplete())
	}
	table.Otherwise = nil
	table.Fares = append(table.Fares, price.PairFare{From: "A", To: "A"}, price.PairFare{From: "B", To: "B"})
	tariff = compile(t, f)
	if q := ride("A", "Z"); q.Reason != price.NoStation {
		t.Errorf("a station that no pair names: %+v", q)
	}
}
