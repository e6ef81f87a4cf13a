package flight

import (
	"sync"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// How long an answer is recalled, and how many are: what a terminal's repeats need, which come
// within its time-out.
const (
	RecallFor txn.Millis = 60_000
	RecallMax            = 8192
)

// recollection is an answer with a digest of what it answered.
type recollection[A any] struct {
	sum uint64
	at  txn.Millis
	a   A
}

// Recall is a window of answers to messages that leave nothing behind elsewhere. It lives in
// memory only: such a message moves no money, so that after a restart, or from another
// process, the worst is that the bank is asked once more. The zero Recall is empty.
type Recall[A any] struct {
	mu   sync.Mutex // guards the fields below
	by   map[txn.RequestID]recollection[A]
	ring []txn.RequestID // in the order they came, RecallMax at most
	next int
}

// Find returns the answer to the message with an id and digest.
func (r *Recall[A]) Find(id txn.RequestID, sum uint64, now txn.Millis) (a A, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m, ok := r.by[id]
	if !ok || m.sum != sum || now-m.at >= RecallFor {
		return a, false
	}
	return m.a, true
}

// Keep remembers an answer in place of the oldest.
func (r *Recall[A]) Keep(id txn.RequestID, sum uint64, now txn.Millis, a A) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.by == nil {
		r.by = map[txn.RequestID]recollection[A]{}
	}
	if _, ok := r.by[id]; !ok {
		if len(r.ring) < RecallMax {
			r.ring = append(r.ring, id)
		} else {
			delete(r.by, r.ring[r.next])
			r.ring[r.next] = id
		}
		r.next = (r.next + 1) % RecallMax
	}
	r.by[id] = recollection[A]{sum, now, a}
}
