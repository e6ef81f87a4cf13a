package local

import (
	"bytes"
	"container/heap"
	"encoding/binary"
	"hash/maphash"

	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// The layout of a due entry's slot: in-use u8, key length u8, zero u16, place in the
// heap u32, instant u64, key.
const dueSlotHead = 16

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

// apply adds, moves or removes one entry.
func (q *dueQueue) apply(c *store.DueChange) {
	at, ref, found := q.locate(c.Key)
	switch {
	case c.Remove && found:
		heap.Remove((*dueHeap)(q), q.slot(ref).place())
		q.index.remove(at)
		q.slab.give(ref)
	case c.Remove:
	case found:
		q.slot(ref).setAt(c.At)
		heap.Fix((*dueHeap)(q), q.slot(ref).place())
	default:
		ref = q.slab.take(dueSlotHead + len(c.Key))
		d := q.slot(ref)
		d[0], d[1] = 1, byte(len(c.Key))
		copy(d[dueSlotHead:], c.Key)
		d.setAt(c.At)
		q.index.add(q.hash(c.Key), ref)
		d.setPlace(len(q.heap))
		q.heap = append(q.heap, ref)
		heap.Fix((*dueHeap)(q), len(q.heap)-1)
	}
}

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
