package list_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/blacklist/list"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// directory is a fixed list of devices.
type directory []list.Device

func (d directory) Devices(_ context.Context, yield func(list.Device) bool) error {
	for _, device := range d {
		if !yield(device) {
			break
		}
	}
	return nil
}

// gates returns n registered gates of two operators, four lines and ten stations.
func gates(t testing.TB, n int) directory {
	t.Helper()
	all := make(directory, n)
	for i := range all {
		all[i] = list.Device{Terminal: terminal(t, i), Operator: fmt.Sprint("op", i%2),
			Line: fmt.Sprint("line", i%4), Station: fmt.Sprint("station", i%10), Active: true}
	}
	return all
}

func newTracker(t testing.TB, c *clock, o list.TrackerOptions) *list.Tracker {
	t.Helper()
	o.Now = c.Now
	tr := list.NewTracker(o)
	if err := tr.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := tr.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	return tr
}

func publish(t *list.Tracker, e list.Epoch, at txn.Millis) {
	t.Published(list.Publication{Epoch: e, At: at, Freezes: 1})
}

// Taps only raise what a device holds; polls are believed either way; nobody is believed who
// shows what was never made.
func TestWhatADeviceHolds(t *testing.T) {
	c := newClock()
	claimed := list.Epoch(0)
	tr := newTracker(t, c, list.TrackerOptions{Directory: gates(t, 1),
		Claimed: func(e list.Epoch) { claimed = e }})
	gate := terminal(t, 0)
	covers := func(e list.Epoch) bool { return tr.Coverage(e, c.Millis()).Covered == 1 }
	tr.Seen(gate, 5, c.Millis())
	if covers(5) || tr.Stats().Strange != 0 {
		t.Error("believed before anything was published")
	}
	publish(tr, 10, c.Millis())
	publish(tr, 20, c.Millis())
	for i, s := range []struct {
		poll  bool
		epoch list.Epoch
		holds list.Epoch
	}{
		{false, 0, 0}, {false, 10, 10}, {false, 20, 20}, {false, 10, 20}, {false, 0, 20},
		{false, 21, 20}, {true, 21, 20}, {true, 10, 10}, {true, 10, 10}, {false, 20, 20},
		{true, 0, 0}, {false, 20, 20},
	} {
		if s.poll {
			tr.Polled(gate, s.epoch, c.Millis())
		} else {
			tr.Seen(gate, s.epoch, c.Millis())
		}
		if s.holds > 0 && !covers(s.holds) || covers(s.holds+1) {
			t.Errorf("step %d: want %d", i, s.holds)
		}
	}
	if tr.Stats().Strange != 2 || claimed != 21 {
		t.Errorf("strange %d, claimed %d", tr.Stats().Strange, claimed)
	}
}

func TestCoverageByPlace(t *testing.T) {
	c := newClock()
	devices := gates(t, 100)
	devices[7].Active = false
	tr := newTracker(t, c, list.TrackerOptions{Directory: devices})
	publish(tr, 10, c.Millis())
	for i := range 50 {
		c.move(time.Second)
		tr.Polled(terminal(t, i), 10, c.Millis())
	}
	tr.Polled(terminal(t, 500), 10, c.Millis()) // not registered
	tr.Seen(terminal(t, 60), 0, c.Millis())     // behind, but alive
	cov := tr.Coverage(10, c.Millis())
	if cov.Covered != 49 || cov.Total != 99 || cov.Share < 0.49 || cov.Share > 0.5 || cov.Restored != 0 {
		t.Errorf("coverage %+v", cov)
	}
	if len(cov.Operators) != 2 || len(cov.Lines) != 4 || len(cov.Stations) != 10 ||
		cov.Lines[3] != (list.Group{Name: "line3", Covered: 11, Total: 24}) {
		t.Errorf("groups %+v %+v", cov.Operators, cov.Lines)
	}
	if len(cov.Behind) != 50 || cov.More != 0 || cov.Behind[49].Terminal != terminal(t, 60) ||
		cov.Behind[49].Seen != c.Millis() || cov.Behind[0].Operator == "" {
		t.Errorf("behind %+v", cov.Behind[49])
	}
	if none := list.NewTracker(list.TrackerOptions{}).Coverage(1, 0); none.Share != 0 || none.Total != 0 {
		t.Errorf("coverage of nothing %+v", none)
	}
}

// When a freeze became effective where, and how the share grew.
func TestEffectAndTimeline(t *testing.T) {
	c := newClock()
	tr := newTracker(t, c, list.TrackerOptions{Directory: gates(t, 40)})
	start := c.Millis()
	publish(tr, 10, start)
	tr.Published(list.Publication{Epoch: 11, At: start}) // without a freeze
	at := func(d time.Duration) txn.Millis { return start + txn.Millis(d.Milliseconds()) }
	for i := range 10 {
		tr.Polled(terminal(t, i), 10, at(30*time.Second))
	}
	for i := range 20 {
		tr.Seen(terminal(t, i), 11, at(4*time.Minute))
	}
	tr.Polled(terminal(t, 3), 0, at(5*time.Minute)) // restored: it had the freeze all the same
	tr.Polled(terminal(t, 3), 11, at(6*time.Minute))
	tr.Polled(terminal(t, 20), 11, at(70*time.Minute+time.Millisecond))
	tr.Polled(terminal(t, 21), 11, at(20*time.Hour+time.Second))
	shares, ok := tr.Timeline(10, at(100*time.Minute))
	got := ""
	for _, s := range shares {
		got += fmt.Sprintf("%v %d/%d, ", s.After, s.Covered, s.Total)
	}
	const wantShares = "1m0s 10/40, 5m0s 20/40, 15m0s 20/40, 30m0s 20/40, 1h0m0s 20/40, 1h30m0s 21/40, "
	if !ok || got != wantShares {
		t.Errorf("timeline %s", got)
	}
	e, ok := tr.EffectiveAt(10)
	if !ok || e.Epoch != 10 || e.PublishedAt != start || e.Approximate || len(e.Devices) != 40 {
		t.Fatalf("effect %+v", e)
	}
	for i, want := range map[int]time.Duration{3: 30 * time.Second, 15: 4 * time.Minute,
		20: 70*time.Minute + time.Second, 21: 20*time.Hour + time.Minute} {
		if e.Devices[i].Terminal != terminal(t, i) || e.Devices[i].At != at(want) {
			t.Errorf("device %d effective at %v, want %v", i, e.Devices[i].At-start, want)
		}
	}
	if e.Devices[30].At != 0 {
		t.Error("a device that showed nothing is effective")
	}
	if l := e.Lines[0]; l.Operator != "op0" || l.Line != "line0" || l.Covered != 6 || l.Total != 10 ||
		l.First != at(30*time.Second) || l.Last != at(70*time.Minute+time.Second) {
		t.Errorf("line %+v", l)
	}
	if _, ok := tr.EffectiveAt(12); ok {
		t.Error("an epoch that was never published has an effect")
	}
	if _, ok := tr.Timeline(12, 0); ok {
		t.Error("and a time line")
	}
}

// What is followed is bounded in time and memory; the newest is always there.
func TestWatchesAreBounded(t *testing.T) {
	c := newClock()
	tr := newTracker(t, c, list.TrackerOptions{Directory: gates(t, 100), WatchBytes: 2500})
	for e := range list.Epoch(50) {
		publish(tr, e+1, c.Millis())
		c.move(time.Minute)
	}
	if n := tr.Stats().Watches; n < 5 || n > 12 {
		t.Errorf("%d epochs followed in 2500 bytes", n)
	}
	if e, ok := tr.EffectiveAt(1); !ok || e.Epoch < 35 {
		t.Errorf("followed from %d on", e.Epoch)
	}
	c.move(list.WatchMax)
	publish(tr, 60, c.Millis())
	if n := tr.Stats().Watches; n != 1 {
		t.Errorf("%d followed after two days", n)
	}
	small := newTracker(t, c, list.TrackerOptions{Directory: gates(t, 100), WatchBytes: 1})
	publish(small, 1, c.Millis())
	publish(small, 2, c.Millis())
	if e, ok := small.EffectiveAt(1); !ok || e.Epoch != 2 {
		t.Errorf("the newest is not followed: %+v", e)
	}
}

// Devices are bounded; those behind are named up to a bound, and counted.
func TestDevicesAreBounded(t *testing.T) {
	c := newClock()
	tr := newTracker(t, c, list.TrackerOptions{Directory: gates(t, 5), DevicesMax: 10})
	publish(tr, 1, c.Millis())
	for i := range 20 {
		tr.Seen(terminal(t, i), 1, c.Millis())
		tr.Polled(terminal(t, i), 1, c.Millis())
	}
	if s := tr.Stats(); s.Devices != 10 || s.Refused != 20 || s.Registered != 5 || s.Active != 5 {
		t.Errorf("stats %+v", s)
	}
	// A week later the strangers are forgotten, and their room is free.
	c.move(8 * 24 * time.Hour)
	publish(tr, 2, c.Millis())
	if err := tr.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	tr.Seen(terminal(t, 30), 2, c.Millis())
	if s := tr.Stats(); s.Devices != 6 {
		t.Errorf("stats %+v", s)
	}
	if e, ok := tr.EffectiveAt(2); !ok || len(e.Devices) != 5 || e.Devices[4].At != 0 {
		t.Errorf("effect %+v", e)
	}
	many := newTracker(t, c, list.TrackerOptions{Directory: gates(t, list.BehindMax+7)})
	if cov := many.Coverage(1, 0); len(cov.Behind) != list.BehindMax || cov.More != 7 {
		t.Errorf("%d behind and %d more", len(cov.Behind), cov.More)
	}
}

// brokenDirectory fails.
type brokenDirectory struct{ err error }

func (b brokenDirectory) Devices(context.Context, func(list.Device) bool) error { return b.err }

func TestDirectoryFails(t *testing.T) {
	gone := errors.New("gone")
	tr := list.NewTracker(list.TrackerOptions{Directory: brokenDirectory{gone}})
	if err := tr.Refresh(t.Context()); !errors.Is(err, gone) {
		t.Errorf("error %v", err)
	}
}

// After a restart the coverage is what it was, and says that it is from before; each device
// that shows itself is as good as before.
func TestCoverageSurvivesARestart(t *testing.T) {
	c := newClock()
	mem := storetest.NewMemory(storetest.MemoryOptions{})
	o := list.TrackerOptions{Directory: gates(t, 4000), Registry: mem, Node: "a"}
	before := newTracker(t, c, o)
	start := c.Millis()
	publish(before, 10, start)
	for i := range 3900 {
		before.Polled(terminal(t, i), 10, start+5000)
	}
	if err := before.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
	puts := 0
	mem.SetFault(func(op storetest.Op) storetest.Fault {
		if op == storetest.OpPut {
			puts++
		}
		return storetest.NoFault
	})
	if err := before.Save(t.Context()); err != nil || puts != 0 {
		t.Errorf("saving again what did not change: %d writes, %v", puts, err)
	}
	after := newTracker(t, c, o)
	if cov := after.Coverage(10, c.Millis()); cov.Covered != 3900 || cov.Restored != 3900 {
		t.Errorf("coverage %d, restored %d", cov.Covered, cov.Restored)
	}
	e, ok := after.EffectiveAt(10)
	if !ok || !e.Approximate || e.PublishedAt != start || e.Devices[5].At != start+5000 {
		t.Errorf("effect %+v", e.Devices[5])
	}
	publish(after, 20, c.Millis())
	after.Seen(terminal(t, 0), 10, c.Millis())
	after.Polled(terminal(t, 1), 20, c.Millis())
	after.Polled(terminal(t, 2), 10, c.Millis())
	if cov := after.Coverage(10, c.Millis()); cov.Covered != 3900 || cov.Restored != 3897 {
		t.Errorf("coverage %d, restored %d", cov.Covered, cov.Restored)
	}
	// Another node sees them too; fewer devices leave no old parts behind; a conflict is
	// written over.
	o.Node, o.Directory = "b", gates(t, 10)
	other := newTracker(t, c, o)
	if s := other.Stats(); s.Devices != 3900 || s.Registered != 10 {
		t.Errorf("the other node has %+v", s)
	}
	if err := errors.Join(other.Save(t.Context()), before.Save(t.Context()),
		after.Save(t.Context()), before.Save(t.Context())); err != nil {
		t.Error(err)
	}
	c.move(8 * 24 * time.Hour)
	if err := errors.Join(other.Refresh(t.Context()), other.Save(t.Context())); err != nil {
		t.Error(err)
	}
	keys, err := mem.Keys(t.Context(), "list/devices/b")
	if err != nil || len(keys) != 1 {
		t.Errorf("node b keeps %v, %v", keys, err)
	}
}

// Saved values that are not ours are reported and left out.
func TestDamagedSaving(t *testing.T) {
	mem := storetest.NewMemory(storetest.MemoryOptions{})
	for _, key := range []string{"list/devices/x/0000", "list/watches/x"} {
		if err := mem.Put(t.Context(), key, []byte{1, 2, 3}, 0); err != nil {
			t.Fatal(err)
		}
	}
	reports := 0
	tr := list.NewTracker(list.TrackerOptions{Registry: mem, Report: func(error) { reports++ }})
	if err := tr.Load(t.Context()); err != nil || reports != 2 {
		t.Errorf("load %v, %d reports", err, reports)
	}
	mem.SetFault(func(storetest.Op) storetest.Fault { return storetest.NotApplied })
	publish(tr, 1, 0)
	if tr.Load(t.Context()) == nil || tr.Save(t.Context()) == nil {
		t.Error("a registry that fails is no error")
	}
}

// Run refreshes, and saves when it ends.
func TestTrackerRun(t *testing.T) {
	mem := storetest.NewMemory(storetest.MemoryOptions{})
	read := make(chan struct{}, 1)
	tr := list.NewTracker(list.TrackerOptions{Registry: mem, Node: "a",
		Directory: signalDirectory{gates(t, 3), read}, Report: func(err error) { t.Error(err) }})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { tr.Run(ctx); close(ended) }()
	<-read
	publish(tr, 1, txn.MillisOf(time.Now()))
	tr.Polled(terminal(t, 0), 1, txn.MillisOf(time.Now()))
	cancel()
	<-ended
	keys, err := mem.Keys(t.Context(), "list/")
	if err != nil || len(keys) != 2 {
		t.Errorf("saved %v, %v", keys, err)
	}
}

// A freeze is followed after a crash right behind it: which epochs are watched is saved when
// they change, not with the next minute.
func TestWatchesAreSavedAtOnce(t *testing.T) {
	mem := storetest.NewMemory(storetest.MemoryOptions{})
	tr := list.NewTracker(list.TrackerOptions{Registry: mem, Node: "a", Report: func(err error) { t.Error(err) }})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { tr.Run(ctx); close(ended) }()
	publish(tr, 1, txn.MillisOf(time.Now()))
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	limit := time.After(50 * time.Second) // less than the minute
	for saved := false; !saved; {
		select {
		case <-tick.C:
			value, _, err := mem.Get(t.Context(), "list/watches/a")
			saved = err == nil && len(value) > 1
		case <-limit:
			t.Fatal("not saved")
		}
	}
	next := list.NewTracker(list.TrackerOptions{Registry: mem, Node: "a"}) // after a crash
	if err := next.Load(t.Context()); err != nil || next.Stats().Watches != 1 {
		t.Errorf("%+v, %v", next.Stats(), err)
	}
	cancel()
	<-ended
}

// A gate that is registered later counts by itself.
func TestANewGateIsFoundByRun(t *testing.T) {
	read := make(chan struct{})
	growing := &growingDirectory{first: gates(t, 1), then: gates(t, 2), read: read}
	tr := list.NewTracker(list.TrackerOptions{Directory: growing, Report: func(err error) { t.Error(err) }})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { tr.Run(ctx); close(ended) }()
	for range 3 { // when the third reading begins, the second has been taken in
		<-read
	}
	if s := tr.Stats(); s.Registered != 2 {
		t.Errorf("%+v", s)
	}
	cancel()
	<-ended
}

// growingDirectory has more devices from the second reading on.
type growingDirectory struct {
	first, then directory
	read        chan struct{}
	times       int
}

func (g *growingDirectory) Devices(ctx context.Context, yield func(list.Device) bool) error {
	select {
	case g.read <- struct{}{}:
	case <-ctx.Done():
	}
	if g.times++; g.times == 1 {
		return g.first.Devices(ctx, yield)
	}
	return g.then.Devices(ctx, yield)
}

type signalDirectory struct {
	directory
	read chan struct{}
}

func (s signalDirectory) Devices(ctx context.Context, yield func(list.Device) bool) error {
	select {
	case s.read <- struct{}{}:
	default:
	}
	return s.directory.Devices(ctx, yield)
}

// TestTrackerAgainstModel: any mix of taps, polls and epochs gives what a plain map gives.
func TestTrackerAgainstModel(t *testing.T) {
	for seed := range uint64(10) {
		r := rand.New(rand.NewPCG(seed, 3))
		c := newClock()
		tr := newTracker(t, c, list.TrackerOptions{Directory: gates(t, 20)})
		held := map[int]list.Epoch{}
		shown := map[int]map[list.Epoch]txn.Millis{} // when a device first showed an epoch or more
		latest := list.Epoch(0)
		for range 2000 {
			c.move(time.Second)
			n, e := r.IntN(20), list.Epoch(r.IntN(int(latest)+2))
			switch r.IntN(6) {
			case 0:
				latest += list.Epoch(1 + r.IntN(3))
				publish(tr, latest, c.Millis())
				continue
			case 1:
				tr.Polled(terminal(t, n), e, c.Millis())
			default:
				if tr.Seen(terminal(t, n), e, c.Millis()); e < held[n] {
					e = held[n]
				}
			}
			if e > latest {
				continue
			}
			if shown[n] == nil {
				shown[n] = map[list.Epoch]txn.Millis{}
			}
			for k := list.Epoch(1); k <= e; k++ {
				if _, ok := shown[n][k]; !ok {
					shown[n][k] = c.Millis()
				}
			}
			held[n] = e
		}
		for e := list.Epoch(1); e <= latest; e++ {
			covered := 0
			for _, h := range held {
				if h >= e {
					covered++
				}
			}
			if cov := tr.Coverage(e, c.Millis()); cov.Covered != covered {
				t.Fatalf("seed %d: %d cover %d, want %d", seed, cov.Covered, e, covered)
			}
			effect, ok := tr.EffectiveAt(e)
			for i, d := range effect.Devices {
				if d.At != shown[i][effect.Epoch] {
					t.Fatalf("seed %d: device %d has %d since %d, want %d", seed, i, effect.Epoch, d.At,
						shown[i][effect.Epoch])
				}
			}
			if !ok {
				t.Fatalf("seed %d: epoch %d is not followed", seed, e)
			}
		}
	}
}

// Many devices at once: no update is lost, and nothing is torn.
func TestTrackerConcurrently(t *testing.T) {
	c := newClock()
	tr := newTracker(t, c, list.TrackerOptions{Directory: gates(t, 64)})
	var running sync.WaitGroup
	for w := range 8 {
		running.Go(func() {
			for e := range list.Epoch(500) {
				if w == 0 {
					publish(tr, e+1, c.Millis())
					tr.Coverage(e+1, c.Millis())
				}
				for i := range 8 {
					tr.Seen(terminal(t, w*8+i), e/2, c.Millis())
				}
			}
		})
	}
	running.Wait()
	for i := range 64 {
		tr.Seen(terminal(t, i), 500, c.Millis())
	}
	if cov := tr.Coverage(500, c.Millis()); cov.Covered != 64 {
		t.Errorf("coverage %d", cov.Covered)
	}
}

// Seen is on the way of every tap.
func TestSeenAllocatesNothing(t *testing.T) {
	c := newClock()
	tr := newTracker(t, c, list.TrackerOptions{Directory: gates(t, 10)})
	publish(tr, 5, c.Millis())
	gate, at := terminal(t, 3), c.Millis()
	if n := testing.AllocsPerRun(1000, func() { at++; tr.Seen(gate, 5, at) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
