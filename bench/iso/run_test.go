package iso

import (
	"context"
	"testing"
	"time"
)

// A target rests after each of its loads, the warming one too, before the next one is loaded.
func TestRunRests(t *testing.T) {
	needLinux(t)
	rests := 0
	busy := Direct()
	busy.Name, busy.Rest = "busy", func(context.Context) { rests++ }
	seen := make([]int, 0, 2)
	next := Direct()
	next.Load = func(*Load) { seen = append(seen, rests) }
	r, err := Run(t.Context(), Options{Targets: []Target{busy, next}, Rounds: 2,
		Modes:    []Mode{{Connections: 1, InFlight: 2}},
		Duration: 20 * time.Millisecond, Warmup: time.Millisecond,
		WarmFirst: 20 * time.Millisecond})
	if err != nil || len(r.Rows) != 2 || len(r.Rows[1].Rounds) != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	for i, n := range seen {
		if n != i+1 {
			t.Errorf("load %d of the other: %d rests before it", i, n)
		}
	}
	if rests != 3 || len(seen) != 3 {
		t.Errorf("%d rests, %d loads of the other", rests, len(seen))
	}
}
