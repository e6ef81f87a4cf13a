package list_test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/blacklist/list"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// pastCity is a city whose publisher keeps its history in a directory.
type pastCity struct {
	*city
	options list.Options
	faults  []error
	held    []*gate // at each epoch of interest
}

func newPastCity(t *testing.T) *pastCity {
	t.Helper()
	c := &pastCity{}
	c.options = list.Options{HistoryDir: t.TempDir(), FullEvery: 1, Scopes: []txn.App{txn.AppTransit, txn.AppPurse},
		Report: func(err error) { c.faults = append(c.faults, err) }}
	c.city = newCity(t, storetest.MemoryOptions{}, c.options)
	return c
}

func (c *pastCity) path() string { return filepath.Join(c.options.HistoryDir, list.PastFile) }

// live publishes n epochs and has a gate of each kind stay at each.
func (c *pastCity) live(n int) {
	c.t.Helper()
	for i := range uint64(n) {
		c.set(spread(uint64(len(c.held))*100+i), lost(txn.AppAll))
		if i%2 == 1 {
			c.set(spread(uint64(len(c.held))*100+i-1), txn.Mark{})
		}
		c.step()
		for _, scope := range c.options.Scopes {
			for _, width := range []int{list.Wide, list.Narrow} {
				g := &gate{kind: list.Kind{Format: list.Exact, Width: width}, scope: scope}
				g.follow(c.city, true)
				c.held = append(c.held, g)
			}
		}
	}
}

// deltas asks for a delta from every epoch that a gate holds. What is given must make the gate's
// list the model's. It returns how many were given and how many gates were sent to full files.
func (c *pastCity) deltas() (given, refused int) {
	c.t.Helper()
	for _, g := range c.held {
		held := *g
		data, _, err := c.pub.Delta(g.scope, g.width(), g.held.Epoch())
		switch {
		case errors.Is(err, list.ErrTooOld) || errors.Is(err, list.ErrUnknownEpoch):
			refused++
			continue
		case err != nil:
			c.t.Fatal(err)
		}
		given++
		if data != nil { // else it is the current epoch
			if held.held, err = g.held.Apply(data, nil); err != nil {
				c.t.Fatalf("delta from %d: %v", g.held.Epoch(), err)
			}
		}
		held.check(c.city, nil)
		full, _ := c.full(g.scope, g.kind)
		if want := open(c.t, full).Header(); want.Check != held.held.Header().Check ||
			want.Count != held.held.Header().Count {
			c.t.Fatalf("the delta from %d leads to %+v, the full file is %+v", g.held.Epoch(),
				held.held.Header(), want)
		}
	}
	return given, refused
}

// again starts the next process; the one before is gone as if killed.
func (c *pastCity) again() {
	c.t.Helper()
	c.restart(c.options)
	c.set(spread(900_000+uint64(len(c.marks))), lost(txn.AppAll)) // while nobody published
	c.step()
}

// TestDeltasOutliveRestarts: through any history, with restarts at any moment and changes that
// no publisher saw, a gate that held an epoch gets a delta from it, and holds the list then.
func TestDeltasOutliveRestarts(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 5))
			c := newPastCity(t)
			cards := make([]pan.Token, 80)
			for i := range cards {
				cards[i] = card(uint64(r.IntN(40))<<58|uint64(r.IntN(2)), r.Uint64())
			}
			c.live(1)
			for range 40 {
				for range r.IntN(10) {
					k := cards[r.IntN(len(cards))]
					c.set(k, randomMark(r, c.marks[k]))
				}
				if r.IntN(5) == 0 {
					c.restart(c.options)
				}
				c.step()
				if g := c.held[r.IntN(len(c.held))]; r.IntN(2) == 0 {
					g.follow(c.city, false)
				}
			}
			if given, refused := c.deltas(); refused > 0 || len(c.faults) > 0 {
				t.Errorf("%d deltas, %d refused, %v", given, refused, c.faults)
			}
		})
	}
}

// TestPastFaults: whatever became of the file or of the store, a delta that is given is exact.
// What is known to be good is used, and what is not is refused.
func TestPastFaults(t *testing.T) {
	const epochs = 5
	for name, f := range map[string]struct {
		harm func(c *pastCity)
		kept bool
	}{
		"none":    {func(*pastCity) {}, true},
		"missing": {func(c *pastCity) { c.check(os.Remove(c.path())) }, false},
		"empty":   {func(c *pastCity) { c.check(os.Truncate(c.path(), 0)) }, false},
		"something behind": {func(c *pastCity) {
			c.check(os.WriteFile(c.path(), append(c.bytes(), "not a frame"...), 0o600))
		}, true},
		"of another store": {func(c *pastCity) {
			other := newPastCity(t)
			other.live(epochs)
			c.check(os.WriteFile(c.path(), other.bytes(), 0o600))
		}, false},
		"of an earlier process": {func(c *pastCity) {
			old := c.bytes()
			c.again()
			c.check(os.WriteFile(c.path(), old, 0o600))
		}, false},
		"of other scopes": {func(c *pastCity) {
			c.options.Scopes = []txn.App{txn.AppTransit, txn.AppPurse, txn.AppBank}
		}, false},
		"another node took over": {func(c *pastCity) {
			mine := c.options.HistoryDir
			c.options.HistoryDir = t.TempDir()
			c.again()
			c.options.HistoryDir = mine
		}, false},
		"the registry is lost":    {(*pastCity).loseEpoch, false},
		"the store is a new one":  {(*pastCity).loseStore, false},
		"the store is an old one": {(*pastCity).oldStore, true},
	} {
		t.Run(name, func(t *testing.T) {
			c := newPastCity(t)
			c.live(epochs)
			before, _ := c.pub.Current()
			f.harm(c)
			c.again()
			if now, _ := c.pub.Current(); now <= before {
				t.Errorf("epoch %d after %d", now, before)
			}
			given, refused := c.deltas()
			if f.kept != (refused == 0) || f.kept == (given == 0) {
				t.Errorf("%d deltas given, %d refused", given, refused)
			}
			c.live(1) // and it is kept again
			c.held = c.held[len(c.held)-1:]
			c.again()
			if given, _ := c.deltas(); given != 1 {
				t.Errorf("no delta over the next restart: %v", c.faults)
			}
		})
	}
}

func (c *pastCity) check(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *pastCity) bytes() []byte {
	c.t.Helper()
	b, err := os.ReadFile(c.path())
	c.check(err)
	return b
}

func (c *pastCity) loseEpoch() { c.loseRegistry() }

// loseStore puts an empty store in place.
func (c *pastCity) loseStore() {
	c.mem, c.marks = storetest.NewMemory(storetest.MemoryOptions{}), map[pan.Token]txn.Mark{}
	c.check(c.mem.OpenEpoch(c.t.Context(), 0))
}

// oldStore puts a copy of the store in place that has what it had two epochs before.
func (c *pastCity) oldStore() {
	c.t.Helper()
	value, _, err := c.mem.Get(c.t.Context(), list.RegistryKey)
	c.check(err)
	marks := maps.Clone(c.marks)
	c.live(2)
	c.loseStore()
	for _, k := range slices.SortedFunc(maps.Keys(marks), compareTokens) {
		c.set(k, marks[k])
	}
	c.check(c.mem.Put(c.t.Context(), list.RegistryKey, value, 0))
}

// A file that was torn at any byte, or in which any bit changed, gives what is whole and no
// wrong delta.
func TestPastTornAndFlipped(t *testing.T) {
	c := newPastCity(t)
	c.live(4)
	whole, exact := c.bytes(), 0
	value, _, err := c.mem.Get(t.Context(), list.RegistryKey)
	c.check(err)
	for at := range whole {
		for _, flip := range []bool{false, true} {
			harmed := slices.Clone(whole[:at])
			if flip {
				harmed = slices.Clone(whole)
				harmed[at] ^= 1 << (at % 8)
			}
			c.check(os.WriteFile(c.path(), harmed, 0o600))
			_, version, err := c.mem.Get(t.Context(), list.RegistryKey)
			c.check(err)
			c.check(c.mem.Put(t.Context(), list.RegistryKey, value, version))
			c.restart(c.options)
			c.step()
			given, _ := c.deltas()
			exact += given
		}
	}
	if exact == 0 {
		t.Error("nothing was ever recalled")
	}
}

// full disks refuse what is written after a number of bytes.
type fullDisk struct {
	w    io.Writer
	left int
}

func (d *fullDisk) Write(b []byte) (int, error) {
	if len(b) > d.left {
		n, _ := d.w.Write(b[:d.left])
		d.left = 0
		return n, syscall.ENOSPC
	}
	d.left -= len(b)
	return d.w.Write(b)
}

// A disk that is full at any byte stops no epoch, leaves nothing behind that is wrong, and the
// fault is told.
func TestPastFullDisk(t *testing.T) {
	for room := 0; room < 3000; room += 37 {
		c := newPastCity(t)
		c.pub.PastThrough(func(w io.Writer) io.Writer { return &fullDisk{w, room} })
		c.live(6)
		full := len(c.faults) > 0
		if _, err := os.Stat(c.path()); full != errors.Is(err, os.ErrNotExist) {
			t.Fatalf("room %d: faults %v and the file: %v", room, c.faults, err)
		}
		if full && !errors.Is(c.faults[0], syscall.ENOSPC) {
			t.Fatal(c.faults)
		}
		c.again()
		if given, refused := c.deltas(); full != (given == 0) || full != (refused > 0) {
			t.Fatalf("room %d: %d deltas, %d refused, %v", room, given, refused, c.faults)
		}
	}
}

// What is older than the limits is dropped, in the file as well, so that it does not grow.
func TestPastLimits(t *testing.T) {
	c := newPastCity(t)
	c.options.HistoryAge = time.Hour
	c.restart(c.options)
	c.live(3)
	c.clock.move(2 * time.Hour)
	c.live(1)
	if given, refused := c.deltas(); given != 4 || refused != 12 {
		t.Errorf("by age: %d given, %d refused", given, refused)
	}
	c.options.HistoryEpochs = 3
	c.restart(c.options)
	c.step()
	c.live(4)
	c.again()
	epochs, stats := c.held[len(c.held)-1].held.Epoch(), c.pub.Stats()
	if stats.Epochs != 3 || stats.Oldest >= epochs {
		t.Errorf("by epochs: %+v", stats)
	}
}
