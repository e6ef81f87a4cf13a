package collector

import (
	"context"
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

func TestPercent(t *testing.T) {
	for live, want := range map[uint64]int{
		0: shareMax, 1 << 20: shareMax, 64 << 20: 200, 128 << 20: 100, 256 << 20: 50, 4 << 30: 50,
	} {
		if got := percent(live); got != want {
			t.Errorf("%d MiB live: %d %%, want %d", live>>20, got, want)
		}
	}
}

// The room follows the heap, and an operator's GOGC is left alone.
func TestRun(t *testing.T) {
	was := debug.SetGCPercent(77)
	defer debug.SetGCPercent(was)
	t.Setenv("GOGC", "77")
	Run(t.Context())
	if now := debug.SetGCPercent(77); now != 77 {
		t.Errorf("GOGC of the environment became %d", now)
	}
	t.Setenv("GOGC", "")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		Run(ctx)
	}()
	held := make([]byte, 600<<20)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); ; <-tick.C {
		runtime.GC()
		now := debug.SetGCPercent(shareMax)
		debug.SetGCPercent(now)
		if now == share {
			break
		}
		if time.Since(began) > time.Minute {
			t.Fatalf("a heap of 600 MiB has a room of %d %%", now)
		}
	}
	runtime.KeepAlive(held)
	cancel()
	<-ended
}
