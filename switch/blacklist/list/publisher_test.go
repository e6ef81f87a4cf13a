package list_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/blacklist/list"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// gate is one way to follow the list.
type gate struct {
	kind  list.Kind
	scope txn.App
	held  *list.List
}

func (g *gate) width() int {
	if g.kind.Format == list.Exact && g.kind.Width == list.Wide {
		return list.Wide
	}
	return list.Narrow
}

// follow brings the gate to the current epoch, by a delta if it can.
func (g *gate) follow(c *city, wholesale bool) {
	c.t.Helper()
	if g.held == nil || wholesale {
		data, _ := c.full(g.scope, g.kind)
		g.held = open(c.t, data)
	}
	data, epoch, err := c.pub.Delta(g.scope, g.width(), g.held.Epoch())
	if errors.Is(err, list.ErrTooOld) || errors.Is(err, list.ErrUnknownEpoch) {
		if wholesale {
			c.t.Fatalf("no delta from the full file: %v", err)
		}
		g.follow(c, true)
		return
	}
	if err != nil {
		c.t.Fatal(err)
	}
	if data != nil {
		if g.held, err = g.held.Apply(data, nil); err != nil {
			c.t.Fatalf("gate %v at %d: %v", g.kind, g.held.Epoch(), err)
		}
	}
	if g.held.Epoch() != epoch {
		c.t.Fatalf("gate is at %d, current is %d", g.held.Epoch(), epoch)
	}
}

// check compares what the gate holds with the model.
func (g *gate) check(c *city, never []pan.Token) {
	c.t.Helper()
	want := c.frozen(g.scope)
	for _, card := range want {
		if !g.held.Contains(card) {
			c.t.Fatalf("gate %v of %v misses %s at %d", g.kind, g.scope.Names(), card, g.held.Epoch())
		}
	}
	if int(g.held.Header().Count) != len(want) {
		c.t.Fatalf("gate %v counts %d, want %d", g.kind, g.held.Header().Count, len(want))
	}
	if g.kind.Format != list.Exact {
		return
	}
	if g.kind.Width == list.Narrow {
		for i := range want {
			clear(want[i][8:])
		}
		want = slices.Compact(want)
	}
	if got := slices.Collect(g.held.All()); !slices.Equal(got, want) {
		c.t.Fatalf("gate %v holds %d cards, want %d", g.kind, len(got), len(want))
	}
	for _, card := range never {
		if g.held.Contains(card) {
			c.t.Fatalf("gate %v has a card that was never frozen", g.kind)
		}
	}
}

// randomMark draws a mark that the store allows after the one before.
func randomMark(r *rand.Rand, before txn.Mark) txn.Mark {
	scopes := []txn.App{txn.AppTransit, txn.AppPurse, txn.AppSocial, txn.AppAll,
		txn.AppTransit | txn.AppPurse}
	m := txn.Mark{Reason: txn.FreezeReason(1 + r.IntN(6)), Scope: scopes[r.IntN(len(scopes))]}
	if before.Reason.Terminal() {
		m.Reason = txn.Replaced
		return m
	}
	if m.Reason.Terminal() && r.IntN(4) > 0 || before.Reason != 0 && r.IntN(2) == 0 {
		return txn.Mark{}
	}
	return m
}

// TestAnyHistory: through any sequence of freezes, releases, gaps, restarts, takeovers and
// losses of the registry, every gate that follows by deltas holds exactly what a full list
// of its epoch holds, filters miss no card, and no epoch comes twice or goes back.
func TestAnyHistory(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) { anyHistory(t, seed) })
	}
}

func anyHistory(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 11))
	options := list.Options{Scopes: []txn.App{txn.AppTransit, txn.AppPurse},
		HistoryEpochs: 3 + r.IntN(10), FullEvery: time.Duration(1+r.IntN(20)) * time.Second}
	if seed%2 == 0 {
		options.Dir = t.TempDir()
	}
	c := newCity(t, storetest.MemoryOptions{ListLogMax: 2 + r.IntN(8)}, options)
	// Cards whose first halves are often the same, in few buckets.
	cards := make([]pan.Token, 120)
	for i := range cards {
		cards[i] = card(uint64(r.IntN(40))<<58|uint64(r.IntN(2)), r.Uint64())
	}
	var gates []*gate
	for _, scope := range options.Scopes {
		for _, k := range []list.Kind{{Format: list.Exact, Width: list.Wide},
			{Format: list.Exact, Width: list.Narrow}, {Format: list.Filter8}, {Format: list.Filter16}} {
			gates = append(gates, &gate{kind: k, scope: scope})
		}
	}
	never := []pan.Token{card(1<<50, 1), card(3<<58|1<<40, 2)}
	epoch := list.Epoch(0)
	for range 60 {
		for range r.IntN(12) {
			k := cards[r.IntN(len(cards))]
			c.set(k, randomMark(r, c.marks[k]))
		}
		switch r.IntN(12) {
		case 0:
			c.restart(options)
		case 1:
			c.loseRegistry()
			c.restart(options)
		case 2:
			c.loseRegistry()
			c.set(never[0], lost(txn.AppSocial))
			c.clock.move(time.Second)
			if err := c.pub.Step(t.Context()); err == nil || c.pub.Stats().Epoch > epoch {
				t.Fatal("published over a registry that is not the one known")
			}
		}
		now := c.step()
		if now < epoch {
			t.Fatalf("epoch %d after %d", now, epoch)
		}
		epoch = now
		for _, g := range gates {
			if r.IntN(3) == 0 {
				g.follow(c, r.IntN(5) == 0)
				g.check(c, never)
			}
		}
	}
}

// loseRegistry takes the last epoch away, as the restore of an old backup does.
func (c *city) loseRegistry() {
	c.t.Helper()
	_, version, err := c.mem.Get(c.t.Context(), list.RegistryKey)
	if err == nil && version > 0 {
		err = c.mem.Put(c.t.Context(), list.RegistryKey, nil, version)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// TestEpochNeverFalls: whichever one witness is left, the next epoch is beyond the last.
func TestEpochNeverFalls(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct {
		registry, dir, clock, claim bool
	}{
		"registry": {registry: true}, "directory": {dir: true}, "clock": {clock: true},
		"claim": {claim: true},
	} {
		t.Run(name, func(t *testing.T) {
			options := list.Options{Dir: filepath.Join(dir, name)}
			city := newCity(t, storetest.MemoryOptions{}, options)
			city.set(spread(1), lost(txn.AppAll))
			var last list.Epoch
			for i := range uint64(5) {
				city.set(spread(i+2), lost(txn.AppAll))
				last = city.step()
			}
			city.full(txn.AppTransit, list.Kind{Format: list.Filter8})
			if !c.registry {
				city.loseRegistry()
			}
			if !c.dir {
				options.Dir = ""
			}
			if !c.clock {
				city.clock.move(-10 * time.Hour)
			}
			city.restart(options)
			next := city.step()
			if c.claim {
				city.clock.move(10*time.Hour + time.Minute) // a claim is believed a day ahead
				city.pub.Claimed(last)
				next = city.step()
			}
			if next <= last {
				t.Errorf("epoch %d after %d", next, last)
			}
		})
	}
}

// A gate that shows what cannot be an epoch moves nothing.
func TestStrangeClaims(t *testing.T) {
	c := newCity(t, storetest.MemoryOptions{}, list.Options{})
	c.pub.Claimed(5)
	now := c.step()
	c.pub.Claimed(1 << 52)
	c.pub.Claimed(now)
	if next := c.step(); next != now {
		t.Errorf("epoch %d after %d, and nothing had changed", next, now)
	}
	c.pub.Claimed(now + 100)
	if next := c.step(); next != now+101 {
		t.Errorf("epoch %d, want %d", next, now+101)
	}
}

// Two publishers on one registry: numbers never meet, and a greater epoch is never an older
// list.
func TestTwoPublishers(t *testing.T) {
	c := newCity(t, storetest.MemoryOptions{}, list.Options{FullEvery: 1})
	first := c.pub
	c.restart(list.Options{FullEvery: 1})
	second := c.pub
	r := rand.New(rand.NewPCG(4, 4))
	held := map[list.Epoch]int{}
	for i := range uint64(200) {
		c.set(spread(i), lost(txn.AppAll))
		c.clock.move(time.Second)
		p := []*list.Publisher{first, second}[r.IntN(2)]
		before, _ := p.Current()
		err := p.Step(t.Context()) // may be refused when the other was there
		now, _ := p.Current()
		if now == before {
			if err == nil {
				t.Fatal("nothing published and no error")
			}
			continue
		}
		data, f, err := fullOf(t, p)
		if err != nil {
			t.Fatal(err)
		}
		if held[now] != 0 {
			t.Fatalf("epoch %d was published twice", now)
		}
		held[now] = int(open(t, data).Header().Count) + 1
		if f.Epoch != now {
			t.Fatalf("the full file is of epoch %d, current is %d", f.Epoch, now)
		}
	}
	epochs := slices.Sorted(maps.Keys(held))
	if len(epochs) < 50 {
		t.Fatalf("%d epochs", len(epochs))
	}
	for i := 1; i < len(epochs); i++ {
		if held[epochs[i]] < held[epochs[i-1]] {
			t.Errorf("epoch %d holds less than %d", epochs[i], epochs[i-1])
		}
	}
}

func fullOf(t *testing.T, p *list.Publisher) ([]byte, *list.Full, error) {
	f, err := p.Full(t.Context(), txn.AppTransit, list.Kind{Format: list.Exact})
	if err != nil {
		return nil, nil, err
	}
	r, err := f.Open()
	if err != nil {
		return nil, nil, err
	}
	data := make([]byte, f.Size)
	_, err = r.Read(data)
	return data, f, errors.Join(err, r.Close())
}

// Nothing is published before every bucket was read: "nobody is frozen" must be true.
func TestNothingBeforeEveryBucketIsRead(t *testing.T) {
	c := newCity(t, storetest.MemoryOptions{}, list.Options{})
	c.set(spread(1), lost(txn.AppAll))
	calls := 0
	c.mem.SetFault(func(op storetest.Op) storetest.Fault {
		if op == storetest.OpSnapshot {
			if calls++; calls == 40 {
				return storetest.NotApplied
			}
		}
		return storetest.NoFault
	})
	if err := c.pub.Step(t.Context()); err == nil {
		t.Error("no error")
	}
	if e, _ := c.pub.Current(); e != 0 {
		t.Errorf("epoch %d was published", e)
	}
	_, err := c.pub.Full(t.Context(), txn.AppTransit, list.Kind{Format: list.Exact})
	_, _, err2 := c.pub.Delta(txn.AppTransit, list.Wide, 1)
	if !errors.Is(err, list.ErrNotReady) || !errors.Is(err2, list.ErrNotReady) {
		t.Errorf("errors %v, %v", err, err2)
	}
	if c.step() == 0 {
		t.Error("nothing was published in the end")
	}
}

// Each call of a step fails, before or after it had its effect: nothing is lost, no epoch is
// used twice, and the next step that works publishes all.
func TestEveryCallFails(t *testing.T) {
	ops := []storetest.Op{storetest.OpTails, storetest.OpChanges, storetest.OpSnapshot,
		storetest.OpGet, storetest.OpPut}
	for _, fault := range []storetest.Fault{storetest.NotApplied, storetest.AppliedUnreported} {
		for _, failing := range ops {
			c := newCity(t, storetest.MemoryOptions{ListLogMax: 3}, list.Options{})
			g := &gate{kind: list.Kind{Format: list.Exact}, scope: txn.AppTransit}
			g.kind.Width = list.Wide
			used := c.step()
			g.follow(c, false)
			for i := range uint64(20) {
				for j := range 1 + i%6 {
					c.set(card(5, i*10+j), lost(txn.AppAll)) // sometimes a gap
				}
				c.mem.SetFault(func(op storetest.Op) storetest.Fault {
					if op == failing {
						return fault
					}
					return storetest.NoFault
				})
				c.clock.move(time.Second)
				_ = c.pub.Step(t.Context()) // fails, or does not make the call
				c.mem.SetFault(nil)
				now := c.step()
				if now <= used {
					t.Fatalf("%v: epoch %d after %d", failing, now, used)
				}
				used = now
				g.follow(c, false)
				g.check(c, nil)
			}
		}
	}
}

// The epoch of a freeze is the first that holds it, and is told when it is known exactly.
func TestEpochOf(t *testing.T) {
	c := newCity(t, storetest.MemoryOptions{}, list.Options{})
	old := c.set(spread(1), lost(txn.AppAll))
	b := txn.BucketOf(spread(1))
	if _, ok := c.pub.EpochOf(b, old); ok {
		t.Error("an epoch before the first")
	}
	first := c.step()
	var seqs []store.ListSeq
	var epochs []list.Epoch
	for i := range uint64(5) {
		seqs = append(seqs, c.set(card(uint64(b)<<58, i), lost(txn.AppAll)))
		if f, ok := c.pub.EpochOf(b, seqs[i]); ok {
			t.Errorf("freeze %d is in %d before it was published", i, f.Epoch)
		}
		epochs = append(epochs, c.step())
	}
	if f, ok := c.pub.EpochOf(b, old); !ok || f.Epoch != first || f.Exact {
		t.Errorf("old freeze: %+v %v", f, ok)
	}
	for i, seq := range seqs {
		if f, ok := c.pub.EpochOf(b, seq); !ok || f.Epoch != epochs[i] || !f.Exact || f.At == 0 {
			t.Errorf("freeze %d: %+v %v, want %d", i, f, ok, epochs[i])
		}
	}
	// After a restart the last epoch of before is known to hold them all.
	c.restart(list.Options{})
	now := c.step()
	if f, ok := c.pub.EpochOf(b, seqs[1]); !ok || f.Epoch != epochs[4] || f.Exact || now <= f.Epoch {
		t.Errorf("after the restart: %+v %v, want %d", f, ok, epochs[4])
	}
	// With the registry lost, the first epoch of the new process.
	c.loseRegistry()
	c.restart(list.Options{})
	now = c.step()
	if f, ok := c.pub.EpochOf(b, seqs[1]); !ok || f.Epoch != now || f.Exact {
		t.Errorf("after the loss: %+v %v, want %d", f, ok, now)
	}
}

// Epochs are made no faster than the interval, and a freeze waits no longer than that.
func TestInterval(t *testing.T) {
	var published []list.Publication
	c := newCity(t, storetest.MemoryOptions{}, list.Options{
		Published: func(p list.Publication) { published = append(published, p) }})
	c.step()
	for i := range uint64(100) {
		c.set(spread(i), lost(txn.AppTransit))
		c.clock.move(100 * time.Millisecond)
		if err := c.pub.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(published) != 11 {
		t.Errorf("%d epochs in ten seconds, want 10 and the first", len(published))
	}
	sum := 0
	for i, p := range published {
		if sum += p.Freezes; i > 0 && p.At-published[i-1].At < 1000 {
			t.Errorf("epoch %d came %d ms after the one before", p.Epoch, p.At-published[i-1].At)
		}
	}
	if sum < 90 || c.pub.Confirmed() != c.clock.Millis() {
		t.Errorf("%d freezes told; confirmed %d", sum, c.pub.Confirmed())
	}
}

// A freeze is in a published delta within two seconds, with the default settings.
func TestFreezeIsPublishedInTime(t *testing.T) {
	mem := storetest.NewMemory(storetest.MemoryOptions{})
	if err := mem.OpenEpoch(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	pub, err := list.NewPublisher(list.Options{Source: mem, Registry: mem,
		Report: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { pub.Run(ctx); close(ended) }()
	defer func() { cancel(); <-ended }()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for e, _ := pub.Current(); e == 0; e, _ = pub.Current() {
		<-tick.C
	}
	c := &city{t: t, mem: mem, marks: map[pan.Token]txn.Mark{}}
	for i := range uint64(3) {
		before, _ := pub.Current()
		start := time.Now()
		seq := c.set(spread(i), lost(txn.AppAll))
		if i == 1 {
			pub.Wake()
		}
		wait, done := context.WithTimeout(ctx, 5*time.Second)
		pub.Wait(wait, before)
		done()
		data, _, err := pub.Delta(txn.AppTransit, list.Wide, before)
		took := time.Since(start)
		if err != nil || data == nil || took > 2*time.Second {
			t.Errorf("freeze %d: delta of %d bytes after %v, %v", i, len(data), took, err)
		}
		if _, ok := pub.EpochOf(txn.BucketOf(spread(i)), seq); !ok {
			t.Errorf("freeze %d has no epoch", i)
		}
	}
}

// What a delta is made from is bounded; beyond it a gate is sent for a full file.
func TestHistoryIsBounded(t *testing.T) {
	c := newCity(t, storetest.MemoryOptions{}, list.Options{HistoryEpochs: 10, HistoryChanges: 30})
	first := c.step()
	for i := range uint64(12) {
		c.set(spread(i), lost(txn.AppAll))
		c.step()
	}
	if s := c.pub.Stats(); s.Epochs != 10 || s.Oldest <= first || s.Cards != 12 {
		t.Errorf("stats %+v", s)
	}
	if _, _, err := c.pub.Delta(txn.AppTransit, list.Wide, first); !errors.Is(err, list.ErrTooOld) {
		t.Errorf("delta from the first epoch: %v", err)
	}
	for i := range uint64(40) {
		c.set(spread(100+i), lost(txn.AppAll))
	}
	c.step()
	if s := c.pub.Stats(); s.Changes > 30 {
		t.Errorf("%d changes are kept", s.Changes)
	}
	now, _ := c.pub.Current()
	if _, _, err := c.pub.Delta(txn.AppTransit, list.Wide, now+1); !errors.Is(err, list.ErrUnknownEpoch) {
		t.Errorf("delta from a later epoch: %v", err)
	}
}

// A full file is made again when it is old or far behind, and not before.
func TestFullFilesAreKept(t *testing.T) {
	dir := t.TempDir()
	for _, place := range []string{"", dir} {
		c := newCity(t, storetest.MemoryOptions{}, list.Options{Dir: place})
		c.set(spread(1), lost(txn.AppAll))
		c.step()
		k := list.Kind{Format: list.Filter8}
		_, f1 := c.full(txn.AppTransit, k)
		c.set(spread(2), lost(txn.AppAll))
		c.step()
		_, f2 := c.full(txn.AppTransit, k)
		if f1 != f2 || c.pub.Stats().Builds != 1 {
			t.Error("a young file was made again")
		}
		held, err := f1.Open()
		if err != nil {
			t.Fatal(err)
		}
		c.clock.move(11 * time.Minute)
		_, f3 := c.full(txn.AppTransit, k)
		if f3.Epoch <= f1.Epoch || f3.ETag == f1.ETag {
			t.Error("an old file was not made again")
		}
		if n, err := held.Read(make([]byte, f1.Size)); err != nil || int64(n) != f1.Size {
			t.Errorf("who had the old file open reads %d bytes, %v", n, err)
		}
		if err := held.Close(); err != nil {
			t.Error(err)
		}
		if _, err := f1.Open(); (err != nil) != (place != "") {
			t.Errorf("the old file in %q: %v", place, err)
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 || !strings.HasSuffix(files[0].Name(), ".list") {
		t.Errorf("the directory holds %v, %v", files, err)
	}
}

func TestFullRefuses(t *testing.T) {
	c := newCity(t, storetest.MemoryOptions{}, list.Options{})
	c.set(spread(1), lost(txn.AppAll))
	c.step()
	for name, f := range map[string]struct {
		scope txn.App
		kind  list.Kind
		want  error
	}{
		"scope":   {txn.AppBank, list.Kind{Format: list.Exact}, list.ErrScope},
		"width":   {txn.AppTransit, list.Kind{Format: list.Exact, Width: 9}, list.ErrFormat},
		"delta":   {txn.AppTransit, list.Kind{Format: list.Delta}, list.ErrFormat},
		"nothing": {txn.AppTransit, list.Kind{}, list.ErrFormat},
		"numbers": {txn.AppTransit, list.Kind{Format: list.Numbers}, list.ErrFormat},
	} {
		if _, err := c.pub.Full(t.Context(), f.scope, f.kind); !errors.Is(err, f.want) {
			t.Errorf("%s: error %v, want %v", name, err, f.want)
		}
	}
	if _, _, err := c.pub.Delta(txn.AppTransit, 9, 1); !errors.Is(err, list.ErrFormat) {
		t.Errorf("delta of another width: %v", err)
	}
	if _, _, err := c.pub.Delta(txn.AppBank, 8, 1); !errors.Is(err, list.ErrScope) {
		t.Errorf("delta of another scope: %v", err)
	}
}

// Numbers are given only by who has them, and then all of them.
func TestNumbersNeedAResolver(t *testing.T) {
	number, err := pan.Parse("3104123456789012")
	if err != nil {
		t.Fatal(err)
	}
	known := spread(1)
	c := newCity(t, storetest.MemoryOptions{}, list.Options{
		Resolver: func(card pan.Token) (pan.Number, bool) { return number, card == known }})
	c.set(known, lost(txn.AppAll))
	c.step()
	data, _ := c.full(txn.AppTransit, list.Kind{Format: list.Numbers})
	if !open(t, data).ContainsNumber(number) {
		t.Error("the number is missing")
	}
	c.set(spread(2), lost(txn.AppAll))
	c.step()
	c.clock.move(time.Hour)
	c.set(spread(3), lost(txn.AppAll))
	c.restart(list.Options{Resolver: func(card pan.Token) (pan.Number, bool) { return number, card == known }})
	c.step()
	_, err = c.pub.Full(t.Context(), txn.AppTransit, list.Kind{Format: list.Numbers})
	if !errors.Is(err, list.ErrFormat) || strings.Contains(err.Error(), "3104") {
		t.Errorf("a list with a card left out: %v", err)
	}
}

func TestNewPublisherRefuses(t *testing.T) {
	mem := storetest.NewMemory(storetest.MemoryOptions{})
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]list.Options{
		"nothing": {}, "no registry": {Source: mem}, "long scheme": {Source: mem, Registry: mem,
			Scheme: strings.Repeat("x", 17)},
		"blank key": {Source: mem, Registry: mem, KeyID: "a b"},
		"scopes":    {Source: mem, Registry: mem, Scopes: make([]txn.App, 9)},
		"no scope":  {Source: mem, Registry: mem, Scopes: make([]txn.App, 1)},
		"fast":      {Source: mem, Registry: mem, Interval: time.Millisecond},
		"slow":      {Source: mem, Registry: mem, Interval: time.Hour},
		"directory": {Source: mem, Registry: mem, Dir: file},
	} {
		if _, err := list.NewPublisher(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// A registry value that is not one of ours is reported and counts as lost.
func TestDamagedRegistryValue(t *testing.T) {
	mem := storetest.NewMemory(storetest.MemoryOptions{})
	if err := mem.Put(t.Context(), list.RegistryKey, []byte("epoch 7"), 0); err != nil {
		t.Fatal(err)
	}
	var reported error
	pub, err := list.NewPublisher(list.Options{Source: mem, Registry: mem,
		Report: func(err error) { reported = err }})
	if err != nil {
		t.Fatal(err)
	}
	if err := pub.Step(t.Context()); err != nil || !errors.Is(reported, list.ErrDamaged) {
		t.Errorf("step %v, reported %v", err, reported)
	}
	if e, _ := pub.Current(); e == 0 {
		t.Error("nothing was published")
	}
}

// A store that was restored from a backup has other changes under the same numbers: the
// bucket is read anew and gates are led to what it holds now.
func TestStoreGoesBack(t *testing.T) {
	c := newCity(t, storetest.MemoryOptions{}, list.Options{})
	g := &gate{kind: list.Kind{Format: list.Exact, Width: list.Wide}, scope: txn.AppTransit}
	for i := range uint64(10) {
		c.set(card(0, i), lost(txn.AppAll))
	}
	c.step()
	g.follow(c, false)
	other := newCity(t, storetest.MemoryOptions{}, list.Options{})
	for i := range uint64(4) {
		other.set(card(0, 50+i), lost(txn.AppAll))
	}
	source := &swapped{List: c.mem}
	c.restart(list.Options{Source: source})
	before := c.step()
	source.List = other.mem
	if now := c.step(); now <= before {
		t.Errorf("epoch %d after %d", now, before)
	}
	g.follow(c, false)
	other.pub = c.pub
	g.check(other, nil)
}

// swapped is a list that can be replaced by another.
type swapped struct{ store.List }
