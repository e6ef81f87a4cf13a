package list

import (
	"cmp"
	"slices"
	"sort"
	"time"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// WatchMax is how long it is remembered when a freeze became effective where.
const WatchMax = 48 * time.Hour

// BehindMax is how many devices that are behind a coverage names; the rest is counted.
const BehindMax = 1000

// watch is an epoch with freezes: when each device first showed it or a later one.
type watch struct {
	epoch   Epoch
	at      txn.Millis
	offsets []uint16 // by the device's index; see offsetOf
	// restored says that the process began after the epoch: offsets are then upper bounds.
	restored bool
}

// none is the offset of a device that has not shown the epoch.
const none = ^uint16(0)

// coarse marks an offset in minutes, from nine hours on; below it they are seconds.
const coarse = 0x8000

// offsetOf rounds up: an effect is never said to be earlier than it was.
func offsetOf(from, at txn.Millis) uint16 {
	seconds := max(0, int64(at)-int64(from)+999) / 1000
	if seconds < coarse {
		return uint16(seconds)
	}
	return uint16(min(coarse+(seconds+59)/60, int64(none)-1))
}

// moment is the inverse of offsetOf.
func (w *watch) moment(offset uint16) txn.Millis {
	if offset < coarse {
		return w.at + txn.Millis(offset)*1000
	}
	return w.at + txn.Millis(offset-coarse)*60_000
}

// get returns when the device first showed the epoch.
func (w *watch) get(index int) (txn.Millis, bool) {
	if index >= len(w.offsets) || w.offsets[index] == none {
		return 0, false
	}
	return w.moment(w.offsets[index]), true
}

func (w *watch) set(index int, at txn.Millis) {
	for len(w.offsets) <= index {
		w.offsets = append(w.offsets, none)
	}
	if w.offsets[index] == none {
		w.offsets[index] = offsetOf(w.at, at)
	}
}

func (w *watch) clear(index int) {
	if index < len(w.offsets) {
		w.offsets[index] = none
	}
}

// Published notes a new epoch; it belongs to Options.Published. One with freezes is watched.
func (t *Tracker) Published(p Publication) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.latest = max(t.latest, p.Epoch)
	if p.Freezes > 0 {
		w := &watch{epoch: p.Epoch, at: p.At, offsets: make([]uint16, len(t.all))}
		for i := range w.offsets {
			w.offsets[i] = none
		}
		t.watches = append(t.watches, w)
		select {
		case t.watched <- struct{}{}:
		default: // it is on its way
		}
	}
	t.trimLocked()
}

// trimLocked gives up the watches that are too old or too much; the newest stays.
func (t *Tracker) trimLocked() {
	before, bytes := txn.MillisOf(t.o.Now().Add(-WatchMax)), 0
	keep := len(t.watches)
	for keep > 0 && t.watches[keep-1].at >= before {
		bytes += 2 * cap(t.watches[keep-1].offsets)
		if bytes > t.o.WatchBytes && keep < len(t.watches) {
			break
		}
		keep--
	}
	t.watches = slices.Delete(t.watches, 0, keep)
}

// effectiveLocked notes a device's step from one epoch to a later one.
func (t *Tracker) effectiveLocked(d *device, from, to Epoch, at txn.Millis) {
	for i := t.watchLocked(from + 1); i < len(t.watches) && t.watches[i].epoch <= to; i++ {
		t.watches[i].set(d.index, at)
	}
}

// watchLocked returns the place of the first watch at or after an epoch.
func (t *Tracker) watchLocked(e Epoch) int {
	return sort.Search(len(t.watches), func(i int) bool { return t.watches[i].epoch >= e })
}

// Group is a part of the devices.
type Group struct {
	Name           string
	Covered, Total int
}

// Behind is a device that does not hold an epoch yet.
type Behind struct {
	Device
	Epoch Epoch      // what it showed last; 0 for nothing
	Seen  txn.Millis // when it was heard of last; 0 for never
}

// Coverage says which of the active registered devices hold an epoch or a later one.
type Coverage struct {
	Epoch          Epoch
	At             txn.Millis
	Covered, Total int
	// Share is Covered / Total, 0 when there are no devices.
	Share float64
	// Restored counts those of Covered that were not heard of since the process began.
	Restored int
	// Behind are up to BehindMax of the others, the longest silent first; More counts the rest.
	Behind []Behind
	More   int
	// By operator, by line and by station, each by name.
	Operators, Lines, Stations []Group
}

// Coverage returns who holds epoch e now. For a freeze, e is what Publisher.EpochOf says.
func (t *Tracker) Coverage(e Epoch, now txn.Millis) Coverage {
	c := Coverage{Epoch: e, At: now}
	operators, lines, stations := groups{}, groups{}, groups{}
	t.mu.Lock()
	for _, d := range t.all {
		if d == nil || !d.active() {
			continue
		}
		held := Epoch(d.epoch.Load())
		covered := held >= e && held > 0
		c.Total++
		if covered {
			c.Covered++
			if d.restored.Load() {
				c.Restored++
			}
		} else {
			c.Behind = append(c.Behind, Behind{d.place, held, txn.Millis(d.seen.Load())})
		}
		operators.count(d.place.Operator, covered)
		lines.count(d.place.Line, covered)
		stations.count(d.place.Station, covered)
	}
	t.mu.Unlock()
	c.Share = share(c.Covered, c.Total)
	c.Operators, c.Lines, c.Stations = operators.sorted(), lines.sorted(), stations.sorted()
	slices.SortFunc(c.Behind, func(a, b Behind) int {
		return cmp.Or(cmp.Compare(a.Seen, b.Seen), slices.Compare(a.Terminal[:], b.Terminal[:]))
	})
	if c.More = max(0, len(c.Behind)-BehindMax); c.More > 0 {
		c.Behind = slices.Clone(c.Behind[:BehindMax])
	}
	return c
}

func share(covered, total int) float64 {
	if total == 0 {
		return 0
	}
	return float64(covered) / float64(total)
}

type groups map[string]*Group

func (g groups) count(name string, covered bool) {
	if g[name] == nil {
		g[name] = &Group{Name: name}
	}
	g[name].Total++
	if covered {
		g[name].Covered++
	}
}

func (g groups) sorted() []Group {
	list := make([]Group, 0, len(g))
	for _, group := range g {
		list = append(list, *group)
	}
	slices.SortFunc(list, func(a, b Group) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// Effect says when a freeze became effective where, as far as the devices showed it.
type Effect struct {
	Epoch       Epoch // the epoch that is followed: the freeze's, or the first followed after it
	PublishedAt txn.Millis
	// Approximate says that the process began after the epoch: moments are then the latest
	// that they can have been.
	Approximate bool
	Devices     []EffectiveDevice // by terminal; active registered ones
	Lines       []EffectiveLine   // by operator and line
}

// EffectiveDevice is one device; At is 0 while it has not shown the epoch.
type EffectiveDevice struct {
	Terminal txn.TerminalID
	At       txn.Millis
}

// EffectiveLine is the devices of one line of an operator.
type EffectiveLine struct {
	Operator, Line string
	Covered, Total int
	// First and Last are when the first and the last of Covered showed the epoch, 0 when
	// none did. The line has the freeze since Last when Covered is Total.
	First, Last txn.Millis
}

// EffectiveAt returns the effect of the freezes of an epoch; false when it is not followed
// any more. Moments are to the second, rounded up, and to the minute after nine hours.
func (t *Tracker) EffectiveAt(e Epoch) (Effect, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := t.watchLocked(e)
	if i == len(t.watches) {
		return Effect{}, false
	}
	w := t.watches[i]
	effect := Effect{Epoch: w.epoch, PublishedAt: w.at, Approximate: w.restored}
	lines := map[[2]string]*EffectiveLine{}
	for _, d := range t.all {
		if d == nil || !d.active() {
			continue
		}
		at, ok := w.get(d.index)
		effect.Devices = append(effect.Devices, EffectiveDevice{d.terminal, at})
		key := [2]string{d.place.Operator, d.place.Line}
		if lines[key] == nil {
			lines[key] = &EffectiveLine{Operator: key[0], Line: key[1]}
		}
		lines[key].count(at, ok)
	}
	for _, l := range lines {
		effect.Lines = append(effect.Lines, *l)
	}
	slices.SortFunc(effect.Devices, func(a, b EffectiveDevice) int {
		return slices.Compare(a.Terminal[:], b.Terminal[:])
	})
	slices.SortFunc(effect.Lines, func(a, b EffectiveLine) int {
		return cmp.Or(cmp.Compare(a.Operator, b.Operator), cmp.Compare(a.Line, b.Line))
	})
	return effect, true
}

func (l *EffectiveLine) count(at txn.Millis, covered bool) {
	l.Total++
	if !covered {
		return
	}
	if l.Covered == 0 || at < l.First {
		l.First = at
	}
	l.Covered++
	l.Last = max(l.Last, at)
}

// Share is how many of the active devices had shown an epoch at a moment.
type Share struct {
	After          time.Duration // since the epoch was published
	At             txn.Millis
	Covered, Total int
}

// Timeline returns the shares at 1, 5, 15, 30, 60, 90 and 120 minutes after the epoch of a
// freeze was published, as far as they have passed; false when it is not followed any more.
// Total is of the devices that are active now.
func (t *Tracker) Timeline(e Epoch, now txn.Millis) ([]Share, bool) {
	effect, ok := t.EffectiveAt(e)
	if !ok {
		return nil, false
	}
	var shares []Share
	for _, minutes := range [...]int{1, 5, 15, 30, 60, 90, 120} {
		after := time.Duration(minutes) * time.Minute
		s := Share{After: after, At: effect.PublishedAt + txn.Millis(after.Milliseconds()),
			Total: len(effect.Devices)}
		if s.At > now {
			break
		}
		for _, d := range effect.Devices {
			if d.At > 0 && d.At <= s.At {
				s.Covered++
			}
		}
		shares = append(shares, s)
	}
	return shares, true
}
