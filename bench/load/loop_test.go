//go:build linux

package load

import (
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Due times lie on a grid that does not drift.
func TestDueTimes(t *testing.T) {
	l := loop{o: Options{Rate: 3000}, total: 9000}
	for i, want := range map[int]time.Duration{0: 0, 3: time.Millisecond, 3000: time.Second,
		9000: 3 * time.Second} {
		if got := l.dueAt(i); got < want-time.Microsecond || got > want+time.Microsecond {
			t.Errorf("request %d is due at %s, want %s", i, got, want)
		}
	}
	if l.lastDue() != 3*time.Second {
		t.Errorf("the last is due at %s", l.lastDue())
	}
	closed := loop{o: Options{Duration: time.Minute}}
	if closed.lastDue() != time.Minute {
		t.Errorf("a closed loop ends at %s", closed.lastDue())
	}
}

// Free connections are taken in turn, so that all of them are in use at any rate.
func TestConnectionsTakeTurns(t *testing.T) {
	var mu sync.Mutex
	s := serve(t, 10, func(int64) string {
		mu.Lock()
		defer mu.Unlock()
		return answerOf(good)
	})
	l := loop{idle: make([]int, 3)}
	for i := range 3 {
		l.release(i)
	}
	var order []int
	for range 6 {
		i := l.idle[l.first]
		l.first = (l.first + 1) % len(l.idle)
		l.free--
		order = append(order, i)
		l.release(i)
	}
	for i, c := range order {
		if c != i%3 {
			t.Fatalf("connections were taken in the order %v", order)
		}
	}
	r, err := Run(t.Context(), Options{Addr: s.addr, Connections: 7, Rate: 200,
		Duration: 200 * time.Millisecond, Requests: same(40, 10), Wire: HTTP(good)})
	if err != nil || r.Good != 40 || s.conns.Load() != 7 {
		t.Errorf("%d connections, %+v, %v", s.conns.Load(), r, err)
	}
}

// A wait is exact to a fraction of a millisecond: epoll in milliseconds would put requests
// of a high rate into heaps.
func TestWaitIsShorterThanAMillisecond(t *testing.T) {
	poll, err := syscall.EpollCreate1(0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(poll)
	events := make([]syscall.EpollEvent, 1)
	shortest := time.Hour
	for range 50 {
		began := time.Now()
		if n, err := epollWait(poll, events, 200*time.Microsecond); n != 0 || err != nil {
			t.Fatalf("%d events, %v", n, err)
		}
		took := time.Since(began)
		if took < 190*time.Microsecond {
			t.Fatalf("a wait of 200µs took %s", took)
		}
		shortest = min(shortest, took)
	}
	if shortest > 900*time.Microsecond {
		t.Errorf("the shortest of 50 waits of 200µs took %s", shortest)
	}
}

func TestThreadCPUGrows(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// The thread's own time, not the wall's: a busy machine may leave it none for long.
	before, sum := threadCPU(), 0
	for began := time.Now(); threadCPU() == before; {
		if time.Since(began) > time.Minute {
			t.Fatal("a minute of work used no time")
		}
		for i := range 1000 {
			sum += i * i
		}
	}
	if used := threadCPU() - before; used < 0 || sum == 0 {
		t.Errorf("work used %s", used)
	}
}
