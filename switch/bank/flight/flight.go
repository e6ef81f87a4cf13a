// Package flight knows what a process is working on and what it has just answered, so that a
// message that comes twice is worked on once. It is memory only: what must hold across
// processes and restarts stands in the cards' states. All of it is safe for concurrent use.
package flight

import (
	"hash/maphash"
	"sync"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// idsSeen is how many request ids are remembered with their card, about: 8 MB.
const idsSeen = 1 << 19

// Table holds the transactions that this process works on, so that a repeat waits for the
// first copy instead of being worked on beside it. They also remember which card an id came
// with: a card knows its own ids only, and one id for two cards would be executed twice.
type Table struct {
	seed maphash.Seed

	mu   sync.Mutex                      // guards the fields below
	open map[txn.RequestID]chan struct{} // nil until a copy waits
	seen []sighting                      // by the hash of an id; a later one takes the place
}

// sighting is an id with the card that it came with, both digested.
type sighting struct{ id, card uint64 }

// New returns an empty Table.
func New() *Table {
	return &Table{seed: maphash.MakeSeed(), open: map[txn.RequestID]chan struct{}{},
		seen: make([]sighting, idsSeen)}
}

// First notes that id came with a card, and reports whether it came with another before, as
// far as this process remembers.
func (f *Table) First(id txn.RequestID, card pan.Token) bool {
	s := sighting{maphash.Comparable(f.seed, id), maphash.Comparable(f.seed, card) | 1}
	f.mu.Lock()
	defer f.mu.Unlock()
	at := &f.seen[s.id%idsSeen]
	if at.card != 0 && at.id == s.id && at.card != s.card {
		return false
	}
	*at = s
	return true
}

// Enter begins id, or returns what is closed when the copy that is under way has ended.
func (f *Table) Enter(id txn.RequestID) (under <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	done, busy := f.open[id]
	if busy && done == nil {
		done = make(chan struct{})
	}
	f.open[id] = done
	return done
}

// Leave ends id and lets its copies go on.
func (f *Table) Leave(id txn.RequestID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if done := f.open[id]; done != nil {
		close(done)
	}
	delete(f.open, id)
}

// Busy reports whether id is under way.
func (f *Table) Busy(id txn.RequestID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, busy := f.open[id]
	return busy
}
