package list

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Device is a registered gate, POS or other terminal that works with a list.
type Device struct {
	Terminal                txn.TerminalID
	Operator, Line, Station string
	// Active devices count in a coverage; one that is in store or under repair does not.
	Active bool
}

// Directory knows the registered devices.
type Directory interface {
	// Devices yields every registered device until yield returns false. It is called every few
	// seconds, from one goroutine.
	Devices(ctx context.Context, yield func(Device) bool) error
}

// Limits of a tracker.
const (
	// DevicesMax is the default of TrackerOptions.DevicesMax: ten times a large city.
	DevicesMax = 200_000
	// forgetAfter is how long a device that is not registered is remembered.
	forgetAfter = 7 * 24 * time.Hour
	saveEvery   = time.Minute
	// refreshEvery is how soon a gate that was just registered counts.
	refreshEvery = 3 * time.Second
	saveMax      = 10 * time.Second
)

// TrackerOptions set up a Tracker. All may be left out.
type TrackerOptions struct {
	Directory Directory // nil: no device is registered, and every coverage is of none
	// Registry keeps what the devices hold over a restart, a minute old at worst; nil keeps
	// nothing. Node tells apart the switches that share it: letters and digits.
	Registry store.Registry
	Node     string
	// DevicesMax bounds the devices remembered; 0 for 200,000. More are not tracked, and
	// counted in Refused.
	DevicesMax int
	// WatchBytes bounds the memory for when freezes became effective: 2 bytes a device for
	// each epoch with freezes; 0 for 64 MB. Beyond it the oldest are given up.
	WatchBytes int
	// Claimed, when not nil, is told of an epoch beyond the current: Publisher.Claimed.
	Claimed func(Epoch)
	// Now is the clock; nil for the system's. Report is told each fault of Run.
	Now    func() time.Time
	Report func(error)
}

const shardCount = 64

// Tracker knows which epoch each device holds, as it showed itself: by its polls, its
// acknowledgements and the epoch on its taps. Safe for concurrent use.
//
// If two locks are held, mu is taken before that of a shard.
type Tracker struct {
	o      TrackerOptions
	shards [shardCount]shard

	strange atomic.Int64
	refused atomic.Int64
	// watched says that another epoch is followed: to be saved at once.
	watched chan struct{}

	mu      sync.Mutex // guards what follows, and writes of a device's epoch
	latest  Epoch
	all     []*device // by their index; nil for one that was forgotten
	free    []int     // indexes to be used again
	watches []*watch  // by epoch
	saved   map[string]savedValue
}

type shard struct {
	mu      sync.RWMutex
	devices map[txn.TerminalID]*device
}

// device is what is known of one.
type device struct {
	terminal txn.TerminalID
	index    int

	epoch    atomic.Uint64 // shown last; written under Tracker.mu
	since    atomic.Int64  // when it was shown first; written under Tracker.mu
	seen     atomic.Int64  // when the device was heard of last
	restored atomic.Bool   // known only from before the process began

	registered bool   // guarded by Tracker.mu
	place      Device // guarded by Tracker.mu
}

// NewTracker returns a tracker that knows no device. Load brings back what was saved.
func NewTracker(o TrackerOptions) *Tracker {
	o.DevicesMax = cmp.Or(o.DevicesMax, DevicesMax)
	o.WatchBytes = cmp.Or(o.WatchBytes, 64<<20)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Claimed == nil {
		o.Claimed = func(Epoch) {}
	}
	if o.Report == nil {
		o.Report = func(error) {}
	}
	t := &Tracker{o: o, saved: map[string]savedValue{}, watched: make(chan struct{}, 1)}
	for i := range t.shards {
		t.shards[i].devices = map[txn.TerminalID]*device{}
	}
	return t
}

// shardOf spreads terminal ids, which often differ in their last characters only.
func (t *Tracker) shardOf(id txn.TerminalID) *shard {
	h := uint32(2166136261)
	for _, c := range id {
		h = (h ^ uint32(c)) * 16777619
	}
	return &t.shards[(h^h>>16)%shardCount]
}

func (t *Tracker) find(id txn.TerminalID) *device {
	s := t.shardOf(id)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.devices[id]
}

// Seen notes the epoch on a tap that came in at the given moment; 0 when the tap bears none.
// Taps may come late, so that an earlier epoch than the one held is no news. It takes some
// tens of nanoseconds and allocates nothing for a device that is known.
func (t *Tracker) Seen(id txn.TerminalID, e Epoch, at txn.Millis) {
	d := t.find(id)
	if d == nil {
		if d = t.admit(id); d == nil {
			return
		}
	}
	d.heard(at)
	held := Epoch(d.epoch.Load())
	if e == held && e > 0 && d.restored.Load() {
		d.restored.Store(false)
	}
	if e > held {
		t.change(d, e, at, false)
	}
}

// Polled notes the epoch that a device says it holds, in a poll or an acknowledgement. It is
// believed also when it is earlier than before: the device was restored or exchanged. 0 says
// that it holds none.
func (t *Tracker) Polled(id txn.TerminalID, e Epoch, at txn.Millis) {
	d := t.find(id)
	if d == nil {
		if d = t.admit(id); d == nil {
			return
		}
	}
	d.heard(at)
	d.restored.Store(false)
	if e != Epoch(d.epoch.Load()) {
		t.change(d, e, at, true)
	}
}

// heard notes that the device was heard of.
func (d *device) heard(at txn.Millis) {
	for {
		seen := d.seen.Load()
		if int64(at) <= seen || d.seen.CompareAndSwap(seen, int64(at)) {
			return
		}
	}
}

// change writes the epoch of a device. One that was not made here is not taken for a proof
// of anything.
func (t *Tracker) change(d *device, e Epoch, at txn.Millis, lower bool) {
	t.mu.Lock()
	held := Epoch(d.epoch.Load())
	if e > t.latest {
		early := t.latest == 0 // nothing is published yet: it may be right
		t.mu.Unlock()
		if !early {
			t.strange.Add(1)
			t.o.Claimed(e)
		}
		return
	}
	defer t.mu.Unlock()
	if e == held || e < held && !lower {
		return
	}
	d.epoch.Store(uint64(e))
	d.since.Store(int64(at))
	d.restored.Store(false)
	t.effectiveLocked(d, held, e, at)
}

// admit makes room for a device that was not known; nil when there is none.
func (t *Tracker) admit(id txn.TerminalID) *device {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.admitLocked(id)
}

func (t *Tracker) admitLocked(id txn.TerminalID) *device {
	s := t.shardOf(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.devices[id]; d != nil {
		return d
	}
	d := &device{terminal: id, index: len(t.all), place: Device{Terminal: id}}
	switch n := len(t.free); {
	case n > 0:
		d.index, t.free = t.free[n-1], t.free[:n-1]
		t.all[d.index] = d
	case len(t.all) >= t.o.DevicesMax:
		t.refused.Add(1)
		return nil
	default:
		t.all = append(t.all, d)
	}
	s.devices[id] = d
	return d
}

// Refresh reads the directory anew. When it fails, what was read before goes on to count.
// Devices that are not registered and were not heard of for a week are forgotten.
func (t *Tracker) Refresh(ctx context.Context) error {
	if t.o.Directory == nil {
		return nil
	}
	var places []Device
	err := t.o.Directory.Devices(ctx, func(d Device) bool {
		places = append(places, d)
		return len(places) < t.o.DevicesMax
	})
	if err != nil {
		return fmt.Errorf("list: the devices cannot be read from their directory: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, d := range t.all {
		if d != nil {
			d.registered = false
		}
	}
	for _, place := range places {
		if d := t.admitLocked(place.Terminal); d != nil {
			d.registered, d.place = true, place
		}
	}
	t.forgetLocked()
	return nil
}

func (t *Tracker) forgetLocked() {
	before := t.o.Now().Add(-forgetAfter).UnixMilli()
	for i, d := range t.all {
		if d == nil || d.registered || d.seen.Load() >= before {
			continue
		}
		s := t.shardOf(d.terminal)
		s.mu.Lock()
		delete(s.devices, d.terminal)
		s.mu.Unlock()
		t.all[i], t.free = nil, append(t.free, i)
		for _, w := range t.watches {
			w.clear(i)
		}
	}
}

// Run reads the directory every few seconds, saves which epochs are followed as soon as there
// is another and everything every minute, and saves once more when ctx ends.
func (t *Tracker) Run(ctx context.Context) {
	save, refresh := time.NewTicker(saveEvery), time.NewTicker(refreshEvery)
	defer save.Stop()
	defer refresh.Stop()
	t.report(ctx, t.Refresh(ctx))
	for ctx.Err() == nil {
		select {
		case <-refresh.C:
			t.report(ctx, t.Refresh(ctx))
		case <-save.C:
			t.report(ctx, t.Save(ctx))
		case <-t.watched:
			t.report(ctx, t.saveWatches(ctx))
		case <-ctx.Done():
		}
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveMax)
	defer cancel()
	t.report(end, t.Save(end))
}

func (t *Tracker) report(ctx context.Context, err error) {
	if err != nil && (ctx.Err() == nil || !errors.Is(err, context.Canceled)) {
		t.o.Report(err)
	}
}

// TrackerStats are figures for metrics.
type TrackerStats struct {
	Devices, Registered, Active int
	Restored                    int   // not heard of since the process began
	Watches                     int   // epochs with freezes whose effect is followed
	Strange                     int64 // epochs shown that were never made here
	Refused                     int64 // sightings of devices for which there was no room
}

// Stats returns the figures as they are now.
func (t *Tracker) Stats() TrackerStats {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := TrackerStats{Watches: len(t.watches), Strange: t.strange.Load(), Refused: t.refused.Load()}
	for _, d := range t.all {
		if d == nil {
			continue
		}
		s.Devices++
		if d.registered {
			s.Registered++
		}
		if d.active() {
			s.Active++
		}
		if d.restored.Load() {
			s.Restored++
		}
	}
	return s
}

func (d *device) active() bool { return d.registered && d.place.Active }
