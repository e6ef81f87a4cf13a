package list

import (
	"cmp"
	"slices"
	"sort"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// summary is what a list of one scope adds up to.
type summary struct {
	count uint64
	check Check
}

// after returns the summary after ops, for the scope.
func (s summary) after(ops []op, app txn.App) summary {
	for _, o := range ops {
		was, is := o.old&app != 0, o.new&app != 0
		switch {
		case is && !was:
			s.count++
			s.check.Wide += wideCheck(o.card)
		case was && !is:
			s.count--
			s.check.Wide -= wideCheck(o.card)
		}
	}
	for _, c := range net(slices.Clone(ops), Narrow, app) {
		if k := narrowCheck(prefix(c.card)); c.added {
			s.check.Narrow += k
		} else {
			s.check.Narrow -= k
		}
	}
	return s
}

// state is one epoch of the history.
type state struct {
	epoch     Epoch
	at        txn.Millis
	summaries []summary // by scope, in the order of the options
	ops       []op      // what changed since the state before; of the oldest, nothing
	total     int       // ops of all states up to this one since the process began
}

// history is the epochs from which deltas can be made, the oldest first.
type history struct {
	states            []state
	epochsMax, opsMax int
	ageMax            time.Duration
}

// push appends an epoch and drops the oldest beyond the limits; the last one stays.
func (h *history) push(s state) {
	if n := len(h.states); n > 0 {
		s.total = h.states[n-1].total + len(s.ops)
	}
	h.states = append(h.states, s)
	drop, before := 0, s.at-txn.Millis(h.ageMax.Milliseconds())
	for drop < len(h.states)-1 && (len(h.states)-drop > h.epochsMax ||
		s.total-h.states[drop].total > h.opsMax || h.states[drop].at < before) {
		drop++
	}
	if drop == 0 {
		return
	}
	clear(h.states[:drop]) // the array behind goes on until it is full: let the ops go
	h.states = h.states[drop:]
	h.states[0].ops = nil
}

// find returns the place of an epoch.
func (h *history) find(e Epoch) (int, bool) {
	return slices.BinarySearchFunc(h.states, e, func(s state, e Epoch) int {
		return cmp.Compare(s.epoch, e)
	})
}

// since returns how many ops followed the state at place i.
func (h *history) since(i int) int { return h.states[len(h.states)-1].total - h.states[i].total }

// collect returns all ops after the state at place i up to that at place j, in order.
func (h *history) collect(i, j int) []op {
	ops := make([]op, 0, h.states[j].total-h.states[i].total)
	for _, s := range h.states[i+1 : j+1] {
		ops = append(ops, s.ops...)
	}
	return ops
}

// netChange is a key that is there after a number of ops and was not before, or the reverse.
type netChange struct {
	card  pan.Token
	added bool
}

// net returns what ops come to in the end, for keys of a width, in the order of keys. It
// sorts ops; those of one epoch are in order already.
func net(ops []op, width int, app txn.App) (changes []netChange) {
	same := func(a, b pan.Token) int { return compare(a, b) }
	if width != Wide {
		same = func(a, b pan.Token) int { return cmp.Compare(prefix(a), prefix(b)) }
	}
	byKey := func(a, b op) int { return same(a.card, b.card) }
	if !slices.IsSortedFunc(ops, byKey) {
		slices.SortStableFunc(ops, byKey)
	}
	for first := 0; first < len(ops); {
		end := first + 1
		for end < len(ops) && same(ops[first].card, ops[end].card) == 0 {
			end++
		}
		was, is := ops[first].old&app != 0, ops[end-1].new&app != 0
		if width != Wide {
			was, is = ops[first].prefixOld&app != 0, ops[end-1].prefixNew&app != 0
		}
		if was != is {
			changes = append(changes, netChange{ops[first].card, is})
		}
		first = end
	}
	return changes
}

// split parts changes for a delta file.
func split(changes []netChange, width int) (c Changes) {
	for _, n := range changes {
		key := tokenOf(n.card[:width])
		if n.added {
			c.Adds = append(c.Adds, key)
		} else {
			c.Removes = append(c.Removes, key)
		}
	}
	return c
}

// First is the first epoch known to hold a change of the list.
type First struct {
	Epoch Epoch
	At    txn.Millis
	// Exact is false when an earlier epoch may have held it already: the change is from
	// before the process began, or older than what is remembered.
	Exact bool
}

// point says that from an epoch on a bucket's changes up to seq are published.
type point struct {
	seq store.ListSeq
	First
}

// pointsMax is how many epochs are remembered for each bucket: at 2000 freezes a day over
// 64 buckets this is four months, and a bucket that changes every second has an hour.
const pointsMax = 4096

// index finds the epoch of a change, per bucket.
type index [txn.BucketCount][]point

// add notes that a bucket is published up to seq.
func (x *index) add(b txn.Bucket, seq store.ListSeq, f First) {
	points := x[b]
	if n := len(points); n > 0 && seq < points[n-1].seq {
		points, f.Exact = nil, false // the store was restored: its numbers mean other changes
	}
	if len(points) == 0 {
		f.Exact = false
	}
	if len(points) == pointsMax {
		points = slices.Clone(points[pointsMax/2:])
		points[0].Exact = false
	}
	x[b] = append(points, point{seq, f})
}

// find returns the first epoch that holds the change, false when none does yet.
func (x *index) find(b txn.Bucket, seq store.ListSeq) (First, bool) {
	points := x[b]
	i := sort.Search(len(points), func(i int) bool { return points[i].seq >= seq })
	if i == len(points) {
		return First{}, false
	}
	return points[i].First, true
}
