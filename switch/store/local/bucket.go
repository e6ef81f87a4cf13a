package local

import (
	"fmt"
	"hash/maphash"
	"sync"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// bucket is what one Commit touches.
type bucket struct {
	mu sync.Mutex

	states  states
	hotMax  int    // states in memory; twice that with dirty ones
	cold    bool   // Pebble may hold cards that are not in memory
	evicted uint64 // counts evictions: who read Pebble unlocked compares it

	outbox  numbering
	date    txn.BusinessDate
	due     dueQueue
	listSeq store.ListSeq
	changes changeLog

	// fresh is what the next checkpoint will write, flying what the one under way is
	// writing. A card on the list is looked for in fresh, flying, Pebble in this order.
	fresh, flying overlay

	appended *batch // the last batch that this bucket appended to
	listed   *batch // the last batch with a list change of this bucket
}

// overlay is what changed of list and due queue since a checkpoint.
type overlay struct {
	list    map[pan.Token]store.Entry // zero mark: taken off the list
	changes int                       // list changes
	due     []byte                    // due entries to look at, see appendDueKey
}

// A bucket's changes of list and due queue that wait for a checkpoint. At half of
// this one is made before its time, beyond it commits wait for one.
const (
	listOverlayMax = 8192
	dueOverlayMax  = 1 << 20 // bytes
)

func (o *overlay) overdue() bool {
	return o.changes >= listOverlayMax || len(o.due) >= dueOverlayMax
}

func (o *overlay) large() bool {
	return o.changes >= listOverlayMax/2 || len(o.due) >= dueOverlayMax/2
}

func newBucket(o *Options) bucket {
	return bucket{
		due:     dueQueue{seed: maphash.MakeSeed()},
		hotMax:  max(hotStatesMin, o.HotStatesMax/txn.BucketCount),
		changes: changeLog{kept: o.ChangesKept},
		fresh:   overlay{list: map[pan.Token]store.Entry{}},
	}
}

// span is an epoch of a bucket's outbox; before counts the entries ahead of it.
type span struct {
	epoch  txn.Epoch
	before uint64
}

// numbering places the outbox entries of a bucket and counts them.
type numbering struct {
	last      txn.Position
	confirmed txn.Position
	appended  uint64 // entries ever appended, up to last
	settled   uint64 // entries up to confirmed
	spans     []span // epochs from confirmed's on
}

func (n *numbering) pending() int { return int(n.appended - n.settled) }

// next returns the position of the next entry of the epoch that is open.
func (n *numbering) next() txn.Position {
	p := n.last
	p.Seq++
	return p
}

// advance makes p the last position. It must be the next one, or open an epoch.
func (n *numbering) advance(p txn.Position) error {
	switch {
	case n.last.Epoch > 0 && p == n.next():
	case p.Epoch > n.last.Epoch && p.Seq == 0:
		n.spans = append(n.spans, span{p.Epoch, n.appended})
	default:
		return fmt.Errorf("%w: outbox entry %v follows %v", store.ErrDamaged, p, n.last)
	}
	n.last = p
	n.appended++
	return nil
}

// confirm moves the confirmed position up to p. An older one is no error, one that
// was never given is.
func (n *numbering) confirm(p txn.Position) error {
	if !n.confirmed.Before(p) {
		return nil
	}
	i := len(n.spans) - 1
	for i >= 0 && n.spans[i].epoch != p.Epoch {
		i--
	}
	if i < 0 {
		return fmt.Errorf("cannot confirm %v: that epoch was never open", p)
	}
	end := n.appended
	if i+1 < len(n.spans) {
		end = n.spans[i+1].before
	}
	before := n.spans[i].before
	if uint64(p.Seq) >= end-before {
		return fmt.Errorf("cannot confirm %v: the last entry is %v", p, n.last)
	}
	n.confirmed, n.settled = p, before+uint64(p.Seq)+1
	n.spans = n.spans[i:]
	return nil
}

// changeLog keeps the last changes of a bucket's list in a ring; the oldest stands at
// start.
type changeLog struct {
	kept  int // size of the ring when full
	ring  []store.Change
	start int
	last  store.ListSeq
}

func (l *changeLog) add(c store.Change) {
	l.last = c.Seq
	if len(l.ring) < l.kept {
		l.ring = append(l.ring, c)
		return
	}
	l.ring[l.start] = c
	l.start = (l.start + 1) % l.kept
}

// after returns up to limit changes after seq; ok is false when they are not kept.
func (l *changeLog) after(seq store.ListSeq, limit int) (changes []store.Change, ok bool) {
	if seq >= l.last {
		return nil, seq == l.last
	}
	missed := int(min(l.last-seq, store.ListSeq(l.kept)+1))
	if missed > len(l.ring) {
		return nil, false
	}
	first := l.start + len(l.ring) - missed
	for i := range min(missed, limit) {
		changes = append(changes, l.ring[(first+i)%len(l.ring)])
	}
	return changes, true
}

// latest returns the last n changes, or as many as are kept.
func (l *changeLog) latest(n int) []store.Change {
	n = min(n, len(l.ring))
	changes, _ := l.after(l.last-store.ListSeq(n), n)
	return changes
}

// changeListLocked enters a list change that has its number.
func (b *bucket) changeListLocked(set listing, e *entry) {
	b.listSeq = e.listSeq
	set.Put(e.card, e.list.Mark)
	b.fresh.list[e.card] = e.list
	b.fresh.changes++
	b.changes.add(store.Change{Seq: e.listSeq, Card: e.card, Mark: e.list.Mark})
}

// changeDueLocked enters the due changes of an entry.
func (b *bucket) changeDueLocked(due []store.DueChange) {
	for i := range due {
		if c := &due[i]; b.due.apply(c) {
			b.fresh.due = appendDueKey(b.fresh.due, c)
		}
	}
}
