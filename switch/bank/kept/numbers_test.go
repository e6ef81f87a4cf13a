package kept

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/tapswitch/tapswitch/switch/bank/link"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
)

const stanKey = "bank/stan/icbc"

func newKeeper() (Numbers, *storetest.Memory) {
	m := storetest.NewMemory(storetest.MemoryOptions{})
	return Numbers{m}, m
}

// Blocks follow each other, also in another process on the same registry, and each link has
// its own.
func TestStanKeeperGoesOn(t *testing.T) {
	k, m := newKeeper()
	other := Numbers{m}
	for i, keeper := range []Numbers{k, other, k} {
		first, err := keeper.Reserve(t.Context(), "icbc", 2000)
		if want := uint32(1 + 2000*i); err != nil || first != want {
			t.Errorf("block %d begins with %d: %v, want %d", i, first, err, want)
		}
	}
	if first, err := k.Reserve(t.Context(), "ccb", 10); err != nil || first != 1 {
		t.Errorf("another link begins with %d: %v", first, err)
	}
}

// 1 follows 999999, also in the middle of a block.
func TestStanKeeperWraps(t *testing.T) {
	for _, c := range []struct {
		at          string
		block       int
		first, next uint32
	}{
		{"999999", 1, 999_999, 1}, {"999998", 2, 999_998, 1}, {"999000", 2_000, 999_000, 1_001},
		{"1", link.STANMax, 1, 1},
	} {
		k, m := newKeeper()
		if err := m.Put(t.Context(), stanKey, []byte(c.at), 0); err != nil {
			t.Fatal(err)
		}
		first, err := k.Reserve(t.Context(), "icbc", c.block)
		next, err2 := k.Reserve(t.Context(), "icbc", 1)
		if err != nil || err2 != nil || first != c.first || next != c.next {
			t.Errorf("%d from %s: %d, then %d (%v %v), want %d and %d", c.block, c.at, first, next, err,
				err2, c.first, c.next)
		}
	}
}

// What is no number is an error: to begin anew would give numbers out twice.
func TestStanKeeperDamaged(t *testing.T) {
	for _, text := range []string{"x", "0", "1000000", "-1", "99999999999"} {
		k, m := newKeeper()
		if err := m.Put(t.Context(), stanKey, []byte(text), 0); err != nil {
			t.Fatal(err)
		}
		if first, err := k.Reserve(t.Context(), "icbc", 1); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("%q: %d, %v", text, first, err)
		}
	}
}

// rival is a registry in which another process is always a little faster.
type rival struct {
	store.Registry
	left int // times that it wins
}

func (r *rival) Put(ctx context.Context, key string, value []byte, version uint64) error {
	if r.left--; r.left >= 0 {
		if _, err := (Numbers{r.Registry}).Reserve(ctx, "icbc", 10); err != nil {
			return err
		}
	}
	return r.Registry.Put(ctx, key, value, version)
}

// A reservation that lost against others is tried again behind theirs; in the end it gives up
// and says why.
func TestStanKeeperConflict(t *testing.T) {
	_, m := newKeeper()
	first, err := Numbers{&rival{m, 3}}.Reserve(t.Context(), "icbc", 5)
	if err != nil || first != 31 {
		t.Errorf("behind three rivals: %d %v, want 31", first, err)
	}
	if _, err := (Numbers{&rival{m, TriesMax}}).Reserve(t.Context(), "icbc", 5); !errors.Is(err,
		store.ErrConflict) {
		t.Errorf("against %d rivals: %v", TriesMax, err)
	}
}

// Many at once: no number twice. And link.Numbers on it hands out none twice over restarts.
func TestStanKeeperTogether(t *testing.T) {
	_, m := newKeeper()
	var mu sync.Mutex
	seen := map[uint32]bool{}
	note := func(n uint32) {
		mu.Lock()
		defer mu.Unlock()
		if seen[n] {
			t.Errorf("number %d twice", n)
		}
		seen[n] = true
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 3 { // lives of a process
				numbers, err := link.NewNumbers("icbc", Numbers{m}, 50, 0)
				if err != nil {
					t.Error(err)
					return
				}
				for range 120 {
					n, err := numbers.Next(t.Context())
					if err != nil {
						t.Error(err)
						return
					}
					note(n)
				}
				numbers.Close()
			}
		})
	}
	all.Wait()
	if len(seen) != 4*3*120 {
		t.Errorf("%d numbers, want %d", len(seen), 4*3*120)
	}
}
