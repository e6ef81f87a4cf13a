package local

import (
	"bytes"
	"container/heap"
	"encoding/binary"
	"hash/maphash"

	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// The layout of a due entry's slot: in-use u8, key length u8, flags u8, zero u8, place in
// the heap u32, instant u64, key.
const dueSlotHead = 16

// Flags of a due entry's slot.
const (
	dueDirty  = 1 << iota // it has changed since it was last captured
	dueStored             // the checkpoint has it, maybe with another instant
)

// dueQueue is the due queue of one bucket: slots found by key, and a heap of them by
// time and key. It is guarded by the bucket's mutex.
type dueQueue struct {
	slab  slab
	index index
	heap  []uint32
	seed  maphash.Seed
}

type dueSlot []byte

func (d dueSlot) at() txn.Millis { return txn.Millis(binary.LittleEndian.Uint64(d[8:])) }
func (d dueSlot) key() []byte    { return d[dueSlotHead : dueSlotHead+int(d[1])] }
func (d dueSlot) is(f byte) bool { return d[2]&f != 0 }
func (d dueSlot) place() int     { return int(binary.LittleEndian.Uint32(d[4:])) }
func (d dueSlot) setPlace(i int) { binary.LittleEndian.PutUint32(d[4:], uint32(i)) }
func (d dueSlot) setAt(at txn.Millis) {
	binary.LittleEndian.PutUint64(d[8:], uint64(at))
}

func (q *dueQueue) hash(key []byte) uint32 { return uint32(maphash.Bytes(q.seed, key)) }

func (q *dueQueue) slot(ref uint32) dueSlot { return q.slab.slot(ref) }

func (q *dueQueue) locate(key []byte) (at int, ref uint32, ok bool) {
	return q.index.find(q.hash(key), func(ref uint32) bool {
		return bytes.Equal(q.slot(ref).key(), key)
	})
}

// apply adds, moves or removes one entry. It reports whether the next checkpoint must look
// at the key, which it need not for what comes and goes between two checkpoints, nor twice
// for what changes twice.
func (q *dueQueue) apply(c *store.DueChange) (look bool) {
	at, ref, found := q.locate(c.Key)
	switch {
	case c.Remove && found:
		look = q.slot(ref).is(dueStored)
		heap.Remove((*dueHeap)(q), q.slot(ref).place())
		q.index.remove(at)
		q.slab.give(ref)
	case c.Remove:
	case found:
		look = !q.slot(ref).is(dueDirty)
		q.slot(ref)[2] |= dueDirty
		q.slot(ref).setAt(c.At)
		heap.Fix((*dueHeap)(q), q.slot(ref).place())
	default:
		look = true
		ref = q.slab.take(dueSlotHead + len(c.Key))
		d := q.slot(ref)
		d[0], d[1], d[2] = 1, byte(len(c.Key)), dueDirty
		copy(d[dueSlotHead:], c.Key)
		d.setAt(c.At)
		q.index.add(q.hash(c.Key), ref)
		d.setPlace(len(q.heap))
		q.heap = append(q.heap, ref)
		heap.Fix((*dueHeap)(q), len(q.heap)-1)
	}
	return look
}

// load adds an entry that the checkpoint has.
func (q *dueQueue) load(key []byte, at txn.Millis) {
	q.apply(&store.DueChange{Key: key, At: at})
	if _, ref, ok := q.locate(key); ok {
		q.slot(ref)[2] = dueStored
	}
}

// appendDueKey notes the key of a change that apply said to look at: whether it removed an
// entry that the checkpoint has, the key's length, the key.
func appendDueKey(dst []byte, c *store.DueChange) []byte {
	var gone byte
	if c.Remove {
		gone = 1
	}
	return append(append(dst, gone, byte(len(c.Key))), c.Key...)
}

// cutDueKey cuts what appendDueKey has appended from the front of b.
func cutDueKey(b []byte) (key []byte, gone bool, rest []byte) {
	n := 2 + int(b[1])
	return b[2:n], b[0] != 0, b[n:]
}

// capture brings the checkpoint up to date with as many of the noted keys as are looked at
// with the bucket held, and returns the others. set and remove write to the checkpoint.
func (q *dueQueue) capture(
	noted []byte, set func(key []byte, at txn.Millis) error, remove func(key []byte) error,
) (rest []byte, err error) {
	for n := 0; n < dueCaptureMax && len(noted) > 0 && err == nil; n++ {
		var key []byte
		var gone bool
		key, gone, noted = cutDueKey(noted)
		_, ref, ok := q.locate(key)
		switch {
		case ok && q.slot(ref).is(dueDirty):
			d := q.slot(ref)
			d[2] = dueStored
			err = set(key, d.at())
		case !ok && gone:
			err = remove(key)
		}
	}
	return noted, err
}

// dueCaptureMax bounds for how long capture keeps commits of the bucket waiting.
const dueCaptureMax = 128

func (q *dueQueue) count() int { return len(q.heap) }

// before returns a page of the entries at or before now, oldest first. It walks the heap
// from its top through a small heap of candidates and changes nothing.
func (q *dueQueue) before(b txn.Bucket, now txn.Millis, p store.Page) []store.Due {
	var due []store.Due
	walk := dueWalk{q: q}
	walk.offer(0, now)
	for len(walk.places) > 0 && len(due) < p.Max {
		i := heap.Pop(&walk).(int)
		if p.Skip--; p.Skip < 0 {
			d := q.slot(q.heap[i])
			due = append(due, store.Due{Bucket: b, Key: bytes.Clone(d.key()), At: d.at()})
		}
		walk.offer(2*i+1, now)
		walk.offer(2*i+2, now)
	}
	return due
}

func (q *dueQueue) less(a, b uint32) bool {
	x, y := q.slot(a), q.slot(b)
	if x.at() != y.at() {
		return x.at() < y.at()
	}
	return bytes.Compare(x.key(), y.key()) < 0
}

// compact gives memory back, one block at most.
func (q *dueQueue) compact(class int) bool {
	return q.slab.compact(class, func(from, to uint32) {
		d := q.slot(to)
		q.heap[d.place()] = to
		at, _, ok := q.index.find(q.hash(d.key()), func(r uint32) bool { return r == from })
		if ok {
			q.index.set(at, to)
		}
	})
}

// dueHeap orders a queue for container/heap.
type dueHeap dueQueue

func (h *dueHeap) Len() int           { return len(h.heap) }
func (h *dueHeap) Less(i, j int) bool { return (*dueQueue)(h).less(h.heap[i], h.heap[j]) }

func (h *dueHeap) Swap(i, j int) {
	h.heap[i], h.heap[j] = h.heap[j], h.heap[i]
	q := (*dueQueue)(h)
	q.slot(h.heap[i]).setPlace(i)
	q.slot(h.heap[j]).setPlace(j)
}

// Push is never called: apply appends by itself.
func (h *dueHeap) Push(any) { panic("local: internal error: push on a due heap") }

// Pop removes the last entry, as container/heap wants it.
func (h *dueHeap) Pop() any {
	h.heap = h.heap[:len(h.heap)-1]
	return nil
}

// dueWalk is a heap of places in a due heap.
type dueWalk struct {
	q      *dueQueue
	places []int
}

func (w *dueWalk) offer(place int, now txn.Millis) {
	if place < len(w.q.heap) && w.q.slot(w.q.heap[place]).at() <= now {
		heap.Push(w, place)
	}
}

func (w *dueWalk) Len() int      { return len(w.places) }
func (w *dueWalk) Swap(i, j int) { w.places[i], w.places[j] = w.places[j], w.places[i] }
func (w *dueWalk) Push(x any)    { w.places = append(w.places, x.(int)) }

func (w *dueWalk) Less(i, j int) bool {
	return w.q.less(w.q.heap[w.places[i]], w.q.heap[w.places[j]])
}

func (w *dueWalk) Pop() any {
	last := len(w.places) - 1
	p := w.places[last]
	w.places = w.places[:last]
	return p
}
