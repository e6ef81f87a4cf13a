package link

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// small makes numbers on a circle from 1 to top, in grains of 10.
func small(t *testing.T, store *circle, block int, window time.Duration, top uint32) *Numbers {
	t.Helper()
	store.mu.Lock()
	store.top = top
	store.mu.Unlock()
	n, err := NewNumbers("issuer", store, block, window)
	if err != nil {
		t.Fatal(err)
	}
	n.top, n.grain = top, 10
	t.Cleanup(n.Close)
	return n
}

func next(t *testing.T, n *Numbers) uint32 {
	t.Helper()
	v, err := n.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestNumbersComeInOrderAndWrap(t *testing.T) {
	n := small(t, &circle{}, 30, 0, 100)
	for lap := range 3 {
		for want := uint32(1); want <= 100; want++ {
			if got := next(t, n); got != want {
				t.Fatalf("lap %d: got %d, want %d", lap, got, want)
			}
		}
	}
}

func TestNumbersReachTheHighestAndWrap(t *testing.T) {
	store := &circle{next: STANMax - 3}
	n, err := NewNumbers("issuer", store, 5, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	for _, want := range []uint32{STANMax - 2, STANMax - 1, STANMax, 1, 2} {
		if got := next(t, n); got != want {
			t.Fatalf("got %d, want %d", got, want)
		}
	}
}

func TestNumbersAreNotUsedAgainWithinTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := small(t, &circle{}, 20, time.Minute, 100)
		for range 50 {
			next(t, n)
		}
		<-time.After(30 * time.Second)
		for range 50 {
			next(t, n)
		}
		if v, err := n.Next(t.Context()); !errors.Is(err, ErrNumbers) {
			t.Fatalf("got %d, %v after a lap of 30 s", v, err)
		}
		<-time.After(30 * time.Second) // 1 to 50 are a minute old, 51 to 100 half a minute
		for want := uint32(1); want <= 50; want++ {
			if got := next(t, n); got != want {
				t.Fatalf("got %d, want %d", got, want)
			}
		}
		if v, err := n.Next(t.Context()); !errors.Is(err, ErrNumbers) {
			t.Fatalf("got %d, %v within the window", v, err)
		}
	})
}

func TestNumbersInFlightAreSkipped(t *testing.T) {
	n := small(t, &circle{}, 20, 0, 100)
	n.busy = func(v uint32) bool { return v%2 == 0 }
	for want := uint32(1); want < 100; want += 2 {
		if got := next(t, n); got != want {
			t.Fatalf("got %d, want %d", got, want)
		}
	}
	n.busy = func(uint32) bool { return true }
	if v, err := n.Next(t.Context()); !errors.Is(err, ErrNumbers) {
		t.Errorf("got %d, %v with all in flight", v, err)
	}
}

func TestNumbersGoOnAfterARestart(t *testing.T) {
	store := &circle{}
	seen := make(map[uint32]bool)
	for life := range 5 {
		n, err := NewNumbers("issuer", store, 50, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		for range 10 + 30*life {
			v := next(t, n)
			if seen[v] {
				t.Fatalf("life %d: %d came twice", life, v)
			}
			seen[v] = true
		}
		n.Close()
	}
}

func TestNumbersWithAFailingStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("disk full")
		store := &circle{}
		n := small(t, store, 10, 0, 100)
		next(t, n)
		store.fail(broken)
		for range 9 {
			next(t, n)
			synctest.Wait() // blocks ahead fail
		}
		if _, err := n.Next(t.Context()); !errors.Is(err, ErrNumbers) || !errors.Is(err, broken) {
			t.Fatalf("got %v", err)
		}
		store.fail(nil)
		if got := next(t, n); got != 11 {
			t.Errorf("got %d, want 11", got)
		}
	})
}

// odd is a Reserver that returns what it must not, or waits.
type odd struct {
	first uint32
	wait  bool
}

func (o odd) Reserve(ctx context.Context, _ string, _ int) (uint32, error) {
	if o.wait {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	return o.first, nil
}

func TestNumbersDoNotBelieveTheStore(t *testing.T) {
	for _, first := range []uint32{0, STANMax + 1, 1 << 31} {
		n, err := NewNumbers("issuer", odd{first: first}, 10, 0)
		if err != nil {
			t.Fatal(err)
		}
		if v, err := n.Next(t.Context()); !errors.Is(err, ErrNumbers) {
			t.Errorf("first %d: got %d, %v", first, v, err)
		}
		n.Close()
	}
}

func TestNumbersDoNotOutwaitTheirCaller(t *testing.T) {
	n, err := NewNumbers("issuer", odd{wait: true}, 10, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	var all sync.WaitGroup
	for range 3 { // one reserves, the others wait for it
		all.Go(func() {
			if _, err := n.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
		})
	}
	all.Wait()
}

func TestNumbersAreUniqueToConcurrentCallers(t *testing.T) {
	store := &circle{}
	one, err := NewNumbers("issuer", store, 100, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	two, err := NewNumbers("issuer", store, 70, time.Minute) // another process
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	seen := make(map[uint32]bool)
	for i := range 8 {
		n := one
		if i%2 == 1 {
			n = two
		}
		all.Go(func() {
			for range 1000 {
				v, err := n.Next(context.Background())
				mu.Lock()
				if err != nil || seen[v] {
					t.Errorf("%d came twice, or %v", v, err)
				}
				seen[v] = true
				mu.Unlock()
			}
		})
	}
	all.Wait()
	one.Close()
	two.Close()
	if len(seen) != 8000 {
		t.Errorf("%d numbers", len(seen))
	}
}
