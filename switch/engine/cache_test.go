package engine_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// inBucket returns card n of bucket 5.
func inBucket(n int) pan.Token { return pan.Token{5 << 2, byte(n), byte(n >> 8), 1} }

// fill writes a state of version 1 for cards 0 to n-1 of bucket 5.
func fill(t *testing.T, s *storetest.Memory, n int) {
	t.Helper()
	for i := range n {
		c := &store.Commit{Card: inBucket(i), State: fmt.Appendf(nil, "card %d", i)}
		if err := s.Commit(t.Context(), []*store.Commit{c}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCacheHoldsAndForgets(t *testing.T) {
	r := newRig(t, storetest.MemoryOptions{})
	fill(t, r.store, 10)
	// Four cards a bucket.
	cache := engine.NewCache(r.cards, 4*txn.BucketCount)
	load := func(i int) bool {
		t.Helper()
		before := r.cards.loads.Load()
		l, err := cache.Load(t.Context(), inBucket(i), nil)
		if err != nil || l.Version != 1 || string(l.State) != fmt.Sprintf("card %d", i) {
			t.Fatalf("card %d: %+v, %v", i, l, err)
		}
		return r.cards.loads.Load() == before
	}
	for i := range 4 {
		if load(i) {
			t.Errorf("card %d came from nowhere", i)
		}
	}
	for i := range 4 {
		if !load(i) {
			t.Errorf("card %d was forgotten below the limit", i)
		}
	}
	for i := 4; i < 10; i++ {
		load(i)
	}
	hits := 0
	for i := range 10 {
		if load(i) {
			hits++
		}
	}
	if hits > 4 {
		t.Errorf("%d cards held, limit 4", hits)
	}
	// A card in use survives a stream of strangers.
	load(0)
	lost := 0
	for i := 1; i < 10; i++ {
		load(i)
		if !load(0) {
			lost++
		}
	}
	if lost > 1 {
		t.Errorf("the card in use was forgotten %d times", lost)
	}
}

func TestCacheKeepsNoAbsentCard(t *testing.T) {
	r := newRig(t, storetest.MemoryOptions{})
	cache := engine.NewCache(r.cards, 1)
	for range 2 {
		if l, err := cache.Load(t.Context(), inBucket(0), nil); err != nil || l.Version != 0 {
			t.Fatalf("%+v, %v", l, err)
		}
	}
	if n := r.cards.loads.Load(); n != 2 {
		t.Errorf("%d loads, want 2: a card may be enrolled elsewhere", n)
	}
}

// A later version is never replaced by an earlier one, in whatever order answers come.
func TestCacheKeepsTheLatest(t *testing.T) {
	r := newRig(t, storetest.MemoryOptions{})
	fill(t, r.store, 1)
	cache := engine.NewCache(r.cards, 64)
	version := func() uint64 {
		l, err := cache.Load(t.Context(), inBucket(0), nil)
		if err != nil {
			t.Fatal(err)
		}
		return l.Version
	}
	commit := func(v uint64) *store.Commit {
		c := &store.Commit{Card: inBucket(0), Version: v, State: fmt.Appendf(nil, "v%d", v+1)}
		if err := cache.Commit(t.Context(), []*store.Commit{c}); err != nil {
			t.Fatal(err)
		}
		return c
	}
	if commit(1).Status != store.Committed || version() != 2 {
		t.Fatalf("version %d, want 2", version())
	}
	other := &store.Commit{Card: inBucket(0), Version: 2, State: []byte("elsewhere")}
	if err := r.store.Commit(t.Context(), []*store.Commit{other}); err != nil {
		t.Fatal(err)
	}
	if version() != 2 {
		t.Fatal("the cache asked the store")
	}
	if c := commit(2); c.Status != store.VersionConflict || version() != 3 {
		t.Fatalf("%s, version %d: a conflict must bring the current state", c.Status, version())
	}
	if c := commit(1); c.Status != store.VersionConflict || version() != 3 {
		t.Fatalf("%s, version %d", c.Status, version())
	}
}

// After a commit in doubt the card is asked for again.
func TestCacheDropsWhatIsInDoubt(t *testing.T) {
	r := newRig(t, storetest.MemoryOptions{})
	fill(t, r.store, 3)
	cache := engine.NewCache(r.cards, 2*txn.BucketCount)
	for i := range 2 {
		if _, err := cache.Load(t.Context(), inBucket(i), nil); err != nil {
			t.Fatal(err)
		}
	}
	r.store.SetFault(failing(storetest.OpCommit, 1, 1, storetest.AppliedUnreported))
	c := &store.Commit{Card: inBucket(0), Version: 1, State: []byte("applied")}
	if err := cache.Commit(t.Context(), []*store.Commit{c}); !errors.Is(err, store.ErrUnavailable) {
		t.Fatal(err)
	}
	r.store.SetFault(nil)
	l, err := cache.Load(t.Context(), inBucket(0), nil)
	if err != nil || l.Version != 2 || string(l.State) != "applied" {
		t.Fatalf("%+v, %v; want what was applied", l, err)
	}
	for i := range 3 {
		if _, err := cache.Load(t.Context(), inBucket(i), nil); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCacheInParallel(t *testing.T) {
	r := newRig(t, storetest.MemoryOptions{})
	const cards = 12
	fill(t, r.store, cards)
	cache := engine.NewCache(r.cards, 4*txn.BucketCount)
	var all sync.WaitGroup
	for part := range 8 {
		all.Go(func() {
			var buf []byte
			for i := range 300 {
				card := inBucket((i*7 + part) % cards)
				l, err := cache.Load(t.Context(), card, buf)
				if err != nil {
					t.Error(err)
					return
				}
				buf = l.State
				c := &store.Commit{Card: card, Version: l.Version,
					State: fmt.Appendf(nil, "%x %d", card[:3], l.Version+1)}
				if err := cache.Commit(t.Context(), []*store.Commit{c}); err != nil {
					t.Error(err)
				}
				if c.Status == store.VersionConflict && c.Current.Version <= l.Version {
					t.Errorf("conflict of %d with %d", l.Version, c.Current.Version)
				}
			}
		})
	}
	all.Wait()
	for i := range cards {
		held, err := cache.Load(t.Context(), inBucket(i), nil)
		if err != nil {
			t.Fatal(err)
		}
		if truth, _ := r.store.Load(t.Context(), inBucket(i), nil); held.Version > truth.Version ||
			held.Version == truth.Version && string(held.State) != string(truth.State) {
			t.Errorf("card %d: cache %d %q, store %d %q", i, held.Version, held.State,
				truth.Version, truth.State)
		}
	}
}

// Two commits of one card come back in another order than they were applied.
func TestCacheWithAnswersOutOfOrder(t *testing.T) {
	cache := engine.NewCache(&still{}, 64)
	for _, version := range []uint64{5, 3} {
		c := &store.Commit{Card: inBucket(0), Version: version, State: fmt.Appendf(nil, "v%d", version+1)}
		if err := cache.Commit(t.Context(), []*store.Commit{c}); err != nil {
			t.Fatal(err)
		}
	}
	if l, err := cache.Load(t.Context(), inBucket(0), nil); err != nil || l.Version != 6 ||
		string(l.State) != "v6" {
		t.Fatalf("%+v, %v; want version 6", l, err)
	}
}
