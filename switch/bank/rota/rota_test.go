package rota_test

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapswitch/tapswitch/switch/bank/audit"
	"github.com/tapswitch/tapswitch/switch/bank/rota"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// chore counts how often it was done, and fails as often as it is told.
type chore struct {
	done  atomic.Int32
	fails atomic.Int32
	by    atomic.Value
}

var errChore = errors.New("the bank says no")

func (c *chore) do(_ context.Context, by audit.Actor) error {
	c.done.Add(1)
	c.by.Store(by)
	if c.fails.Add(-1) >= 0 {
		return errChore
	}
	return nil
}

func (c *chore) task(pause time.Duration) rota.Task {
	return rota.Task{Name: "keys/icbc", Next: rota.Every(pause), Do: c.do,
		Retry: func(tries int) time.Duration { return time.Duration(tries) * time.Minute }}
}

func open(t *testing.T, m *storetest.Memory, tasks ...rota.Task) *rota.Rota {
	t.Helper()
	r, err := rota.Open(t.Context(), rota.Options{Registry: m, Log: slog.New(slog.DiscardHandler),
		Now: func() txn.Millis { return txn.MillisOf(time.Now()) }}, tasks)
	if err != nil {
		t.Fatal(err)
	}
	r.Start()
	return r
}

// pass lets simulated time go on.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// A task is done every so often; the due time outlives its process, and what fell due while
// there was none is done once at the start of the next.
func TestDueSurvivesRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := storetest.NewMemory(storetest.MemoryOptions{})
		var c chore
		r := open(t, m, c.task(time.Hour))
		pass(59 * time.Minute)
		if n := c.done.Load(); n != 0 {
			t.Fatalf("done %d times too early", n)
		}
		pass(2 * time.Minute)
		r.Close()
		if n := c.done.Load(); n != 1 || c.by.Load() != audit.Itself("schedule") {
			t.Fatalf("done %d times by %v", n, c.by.Load())
		}
		pass(30 * time.Minute)
		r = open(t, m, c.task(time.Hour))
		pass(25 * time.Minute)
		if n := c.done.Load(); n != 1 {
			t.Errorf("a restart began the hour anew, or ended it: done %d times", n)
		}
		pass(10 * time.Minute)
		if n := c.done.Load(); n != 2 {
			t.Errorf("done %d times", n)
		}
		r.Close()
		pass(10 * time.Hour)
		r = open(t, m, c.task(time.Hour))
		pass(time.Second)
		if n := c.done.Load(); n != 3 {
			t.Errorf("after ten hours without a process done %d times, want 3", n)
		}
		r.Close()
	})
}

// What fails is tried again after longer and longer pauses, also over a restart, and says so.
func TestRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := storetest.NewMemory(storetest.MemoryOptions{})
		var c chore
		c.fails.Store(2)
		r := open(t, m, c.task(0)) // only when somebody asks
		pass(48 * time.Hour)
		li := audit.Actor{Name: "li", Role: "admin"}
		if err := r.Now(t.Context(), "keys/icbc", li); !errors.Is(err, errChore) || c.done.Load() != 1 {
			t.Fatalf("%v, done %d times", err, c.done.Load())
		}
		s, _ := r.State("keys/icbc")
		if s.Tries != 1 || s.Problem != errChore.Error() || s.Due == 0 || s.DoneAt != 0 {
			t.Errorf("%+v", s)
		}
		r.Soon("keys/icbc", "bad MACs") // does not shorten the pause
		r.Close()
		r = open(t, m, c.task(0))
		pass(50 * time.Second)
		if n := c.done.Load(); n != 1 {
			t.Errorf("tried %d times within the pause", n)
		}
		pass(15 * time.Second)
		if n := c.done.Load(); n != 2 {
			t.Errorf("tried %d times after the pause", n)
		}
		pass(100 * time.Second)
		if n := c.done.Load(); n != 2 {
			t.Errorf("the second pause is no longer than the first")
		}
		pass(30 * time.Second)
		s, _ = r.State("keys/icbc")
		if n := c.done.Load(); n != 3 || s.Tries != 0 || s.Problem != "" || s.Due != 0 || s.DoneAt == 0 {
			t.Errorf("done %d times, %+v", n, s)
		}
		r.Soon("keys/icbc", "bad MACs")
		pass(time.Second)
		if c.done.Load() != 4 || c.by.Load() != audit.Itself("bad MACs") {
			t.Errorf("done %d times by %v", c.done.Load(), c.by.Load())
		}
		r.Close()
	})
}

// A task is done by one at a time; Close ends what is being done and leaves it due.
func TestOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := storetest.NewMemory(storetest.MemoryOptions{})
		slow := rota.Task{Name: "slow", Next: rota.Every(time.Minute),
			Retry: func(int) time.Duration { return time.Hour },
			Do: func(ctx context.Context, _ audit.Actor) error {
				<-ctx.Done()
				return ctx.Err()
			}}
		r := open(t, m, slow)
		pass(61 * time.Second)
		if err := r.Now(t.Context(), "slow", audit.Actor{}); !errors.Is(err, rota.ErrBusy) {
			t.Errorf("%v", err)
		}
		if err := r.Now(t.Context(), "none", audit.Actor{}); !errors.Is(err, rota.ErrUnknown) {
			t.Errorf("%v", err)
		}
		r.Close()
		if s, ok := r.State("slow"); !ok || s.Tries != 0 || s.Due > txn.MillisOf(time.Now()) {
			t.Errorf("a stop counts as a failure: %+v", s)
		}
	})
}

func TestDaily(t *testing.T) {
	zone := time.FixedZone("", 8*3600)
	next := rota.Daily(23*time.Hour, zone)
	for _, c := range []struct{ done, want string }{
		{"2026-11-22T22:59:59+08:00", "2026-11-22T23:00:00+08:00"},
		{"2026-11-22T23:00:00+08:00", "2026-11-23T23:00:00+08:00"},
		{"2026-11-22T16:30:00Z", "2026-11-23T23:00:00+08:00"},
	} {
		done, _ := time.Parse(time.RFC3339, c.done)
		if got := next(done).Format(time.RFC3339); got != c.want {
			t.Errorf("after %s: %s, want %s", c.done, got, c.want)
		}
	}
}
