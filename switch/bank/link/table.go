package link

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// How far the frame of an exchange is on its way.
const (
	// stateQueued: waiting for the writer, can be taken back.
	stateQueued uint32 = iota
	// stateCopying: the writer is about to hand it to the network.
	stateCopying
	// stateSent: handed to the network, as far as we know.
	stateSent
	// stateGone: the exchange ended before the writer came to it, or has been answered.
	stateGone
)

// errEnded says that an exchange ended before it had a connection: the answer to the
// request that it repeats came just now.
var errEnded = errors.New("the exchange has ended")

// entry is one exchange, from its registration until its answer, or until a late answer
// would not be known as one any more.
type entry struct {
	state atomic.Uint32
	done  chan struct{} // capacity 1: one token when the table ended the exchange
	timer *time.Timer

	// The table's lock guards the fields below. Whoever takes the exchange out of flight
	// sets the outcome; the caller reads it after the token.
	key     Key
	gen     uint64 // counts the uses of this memory
	c       *conn
	repeat  bool
	manages bool // link management
	heir    bool // repeats one that was remembered: an answer may come in any case
	flying  bool // in flight: the caller waits
	late    bool // ended unanswered, remembered
	chain   *entry
	expires time.Time
	prev    *entry // of the late ones, oldest first
	next    *entry // of the late ones, or of the free ones

	outcome Sent
	answer  []byte
	err     error
	// loose says that no queue holds the entry any more, so its memory can be used again.
	loose bool
}

// table matches answers to requests, for all connections of a link.
type table struct {
	limits   *Limits
	counters *Counters

	mu     sync.Mutex // guards the fields below
	closed error      // why no new exchange is taken; nil while they are
	// by holds the exchanges in flight and the late ones by trace number; those with the
	// same number are chained.
	by       map[uint32]*entry
	flying   int
	free     *entry
	freeLen  int
	lateHead *entry
	lateTail *entry
	lateLen  int
}

func newTable(l *Limits, n *Counters) *table {
	return &table{limits: l, counters: n, by: make(map[uint32]*entry)}
}

// add registers an exchange, without a connection yet. Management passes limits and is
// taken while the link drains.
func (t *table) add(q *call, now time.Time) (*entry, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !q.management {
		if t.closed != nil {
			return nil, t.closed
		}
		if t.flying >= t.limits.InFlightMax {
			return nil, ErrInFlightFull
		}
	}
	t.expireLocked(now)
	heir, err := t.vacateLocked(q)
	if err != nil {
		return nil, err
	}
	e := t.freshLocked()
	e.key, e.repeat, e.heir, e.flying = q.key, q.repeat, heir, true
	e.manages = q.management
	e.chain = t.by[q.key.STAN]
	t.by[q.key.STAN] = e
	t.flying++
	return e, nil
}

// vacateLocked makes sure that no other exchange could get the same answer. A repeat takes
// the place of the exchange that it repeats, and heir says that there was one.
func (t *table) vacateLocked(q *call) (heir bool, err error) {
	var before *entry
	for e := t.by[q.key.STAN]; e != nil; e = e.chain {
		if !e.key.overlaps(q.key) {
			continue
		}
		if !e.late || !q.repeat || e.key != q.key {
			return false, ErrDuplicate
		}
		before = e
	}
	if before != nil {
		t.forgetLocked(before)
	}
	return before != nil, nil
}

// freshLocked returns an entry whose timer is stopped and whose channel is empty.
func (t *table) freshLocked() *entry {
	e := t.free
	if e == nil {
		e = &entry{done: make(chan struct{}, 1), timer: time.NewTimer(time.Hour)}
		e.timer.Stop()
		return e
	}
	t.free, e.next = e.next, nil
	t.freeLen--
	return e
}

// recycle gives the entry back after its caller has read the outcome.
func (t *table) recycle(e *entry) {
	e.timer.Stop()
	t.mu.Lock()
	defer t.mu.Unlock()
	if e.late || !e.loose || t.freeLen >= t.limits.InFlightMax {
		return
	}
	e.gen++
	e.state.Store(stateQueued)
	e.c, e.answer, e.err, e.loose, e.outcome = nil, nil, nil, false, Unknown
	e.next, t.free = t.free, e
	t.freeLen++
}

// place puts the exchange on a connection unless that has too many.
func (t *table) place(e *entry, c *conn, management bool) (gen uint64, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case !e.flying:
		return 0, errEnded
	case management:
	case c.retired:
		return 0, ErrDown
	case c.pending >= t.limits.InFlightPerConnMax:
		return 0, ErrInFlightFull
	}
	c.pending++
	e.c = c
	return e.gen, nil
}

// retire places no more exchanges on a connection.
func (t *table) retire(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c.retired = true
}

// displace undoes place; the connection did not take the frame.
func (t *table) displace(e *entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e.flying { // otherwise it has landed, and was counted off
		e.c.pending--
		e.c = nil
	}
}

// landLocked ends the flight of an exchange.
func (t *table) landLocked(e *entry) {
	e.flying = false
	t.flying--
	if e.c != nil {
		e.c.pending--
	}
}

// unlinkLocked removes an entry from its chain.
func (t *table) unlinkLocked(e *entry) {
	first := t.by[e.key.STAN]
	switch {
	case first == e && e.chain == nil:
		delete(t.by, e.key.STAN)
	case first == e:
		t.by[e.key.STAN] = e.chain
	default:
		for first.chain != e {
			first = first.chain
		}
		first.chain = e.chain
	}
	e.chain = nil
}

// verdict is what became of an answer.
type verdict uint8

const (
	matched verdict = iota
	matchedLate
	matchedManagement // late too, and of no use to anyone
	wrongAnswer
	unmatched
)

// answer gives an answer to the exchange that it belongs to. With matchedLate the key is
// that of the request.
func (t *table) answer(key Key, frame []byte) (verdict, Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	result := unmatched
	for e := t.by[key.STAN]; e != nil; e = e.chain {
		if e.key.Class != key.Class {
			continue
		}
		result = wrongAnswer
		if !e.key.Accepts(key) {
			continue
		}
		if e.late {
			t.forgetLocked(e)
			if e.manages {
				return matchedManagement, e.key
			}
			return matchedLate, e.key
		}
		if e.state.Load() != stateSent && !e.repeat {
			continue // nobody can answer what was not sent
		}
		e.loose = e.state.Swap(stateGone) == stateSent
		e.answer = frame
		t.endLocked(e, Answered, nil)
		return matched, key
	}
	return result, Key{}
}

// endLocked ends an exchange with the given outcome and tells its caller.
func (t *table) endLocked(e *entry, outcome Sent, err error) {
	t.landLocked(e)
	if outcome == Unknown || (outcome == NotSent && e.heir) {
		t.rememberLocked(e)
	} else {
		t.unlinkLocked(e)
	}
	e.outcome, e.err = outcome, err
	e.done <- struct{}{} // has room: an exchange ends once
}

// giveUp ends an exchange whose caller waits no longer, unless it has ended already. Either
// way its token is in the channel. queued says that a writer knows the exchange.
func (t *table) giveUp(e *entry, queued bool, cause error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !e.flying {
		return
	}
	outcome := Unknown
	if e.state.CompareAndSwap(stateQueued, stateGone) {
		outcome = NotSent
		e.loose = !queued
	}
	t.endLocked(e, outcome, cause)
}

// unsent ends an exchange of which no byte left.
func (t *table) unsent(it *item, cause error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if it.e.gen != it.gen || !it.e.flying {
		return
	}
	it.e.state.Store(stateGone)
	it.e.loose = true
	t.endLocked(it.e, NotSent, cause)
}

// lost ends the exchanges that were sent over a connection that has ended. Those that
// wait in a queue elsewhere, or are about to be refused by it, are not touched.
func (t *table) lost(c *conn, cause error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.pending == 0 {
		return
	}
	gone := make([]*entry, 0, c.pending) // apart: ending one changes the chains
	for _, e := range t.by {
		for ; e != nil; e = e.chain {
			if e.flying && e.c == c && e.state.Load() == stateSent {
				gone = append(gone, e)
			}
		}
	}
	for _, e := range gone {
		t.endLocked(e, Unknown, cause)
	}
}

// rememberLocked keeps an exchange that ended as Unknown, so that its answer is known as a
// late one. Above LateMax the oldest is forgotten.
func (t *table) rememberLocked(e *entry) {
	if t.lateLen >= t.limits.LateMax {
		t.counters.LateForgotten.Add(1)
		t.forgetLocked(t.lateHead)
	}
	e.late, e.c = true, nil
	e.expires = time.Now().Add(t.limits.LateKeep)
	e.prev, e.next = t.lateTail, nil
	if t.lateTail != nil {
		t.lateTail.next = e
	} else {
		t.lateHead = e
	}
	t.lateTail = e
	t.lateLen++
}

// forgetLocked removes a late entry.
func (t *table) forgetLocked(e *entry) {
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		t.lateHead = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	} else {
		t.lateTail = e.prev
	}
	e.prev, e.next = nil, nil
	t.lateLen--
	t.unlinkLocked(e)
	// late stays true: the memory is never used again, its caller may still hold it.
}

// expireLocked forgets what is too old to be answered.
func (t *table) expireLocked(now time.Time) {
	for t.lateHead != nil && !now.Before(t.lateHead.expires) {
		t.counters.LateForgotten.Add(1)
		t.forgetLocked(t.lateHead)
	}
}

// busy reports whether an exchange with the trace number is in flight or remembered.
func (t *table) busy(stan uint32) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expireLocked(time.Now())
	return t.by[stan] != nil
}

// shut refuses new exchanges from now on; link management still passes.
func (t *table) shut(why error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = why
}

// inFlight returns how many exchanges wait for an answer on c, or on all with nil.
func (t *table) inFlight(c *conn) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c != nil {
		return c.pending
	}
	return t.flying
}
