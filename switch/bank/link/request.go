package link

import (
	"sync"
	"sync/atomic"
	"time"
)

// Request is a request of the other side.
type Request struct {
	// Peer sent it.
	Peer Peer
	// Frame is the request; it belongs to the Handler.
	Frame []byte
	// Key is what the Protocol read from it.
	Key Key
	// Received is when its last byte came, by Config.Now.
	Received time.Time

	c        *conn
	answered atomic.Bool

	// The desk's lock guards these.
	at         time.Time
	listed     bool
	prev, next *Request
}

// Answer sends the answer over the connection that the request came from. frame belongs to
// the link from now on. An error (ErrGone, ErrQueueFull, ErrFrame) says that the answer was
// not sent, and Config.Undelivered has been told; nil says that it waits for the writer, and
// Undelivered is told if the connection ends before it is written. A second call returns
// ErrAnswered.
func (r *Request) Answer(frame []byte) error {
	if !r.answered.CompareAndSwap(false, true) {
		return ErrAnswered
	}
	return r.send(frame)
}

func (r *Request) send(frame []byte) error {
	err := r.c.enqueue(item{frame: frame, req: r}, 0)
	r.c.settle(r)
	if err != nil {
		r.c.st.lostAnswer(r, frame)
		return err
	}
	r.c.st.counters.Answers.Add(1)
	return nil
}

// Drop says that no answer will be sent.
func (r *Request) Drop() error {
	if !r.answered.CompareAndSwap(false, true) {
		return ErrAnswered
	}
	r.c.settle(r)
	return nil
}

func (r *Request) run() {
	defer r.c.st.handlers.Done()
	r.c.st.handler.Handle(r)
}

// desk is the list of requests that are being worked on, oldest first.
type desk struct {
	mu         sync.Mutex // guards the fields below and those of Request and conn that say so
	total      int
	head, tail *Request
}

// enter puts a request on the desk unless its connection or the desk is full.
func (d *desk) enter(r *Request, now time.Time) (connFull, full bool) {
	l := &r.c.st.limits
	d.mu.Lock()
	defer d.mu.Unlock()
	if r.c.working >= l.InFlightPerConnMax {
		return true, false
	}
	if d.total >= l.InFlightMax {
		return false, true
	}
	d.total++
	r.c.working++
	r.at, r.listed, r.prev = now, true, d.tail
	if d.tail != nil {
		d.tail.next = r
	} else {
		d.head = r
	}
	d.tail = r
	return false, false
}

// leaveLocked takes a request from the desk; false when it is not there.
func (d *desk) leaveLocked(r *Request) bool {
	if !r.listed {
		return false
	}
	r.listed = false
	d.total--
	r.c.working--
	if r.prev != nil {
		r.prev.next = r.next
	} else {
		d.head = r.next
	}
	if r.next != nil {
		r.next.prev = r.prev
	} else {
		d.tail = r.prev
	}
	r.prev, r.next = nil, nil
	return true
}

// leave takes a request from the desk and reports whether its connection was waiting for
// this last one.
func (d *desk) leave(r *Request) (last bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.leaveLocked(r) && r.c.eof && r.c.working == 0
}

// lastRequest notes that the peer sends no more and reports whether nothing is left to
// answer.
func (d *desk) lastRequest(c *conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	c.eof = true
	return c.working == 0
}

// busy returns how many requests of a connection are worked on.
func (d *desk) busy(c *conn) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return c.working
}

// abandon takes every request from the desk that came before since, and returns them.
func (d *desk) abandon(since time.Time) (gone []*Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.head != nil && d.head.at.Before(since) {
		gone = append(gone, d.head)
		d.leaveLocked(d.head)
	}
	return gone
}

// settle takes a request from the desk and wakes who waits for that.
func (c *conn) settle(r *Request) {
	if c.st.desk.leave(r) {
		c.finish()
	}
	signal(c.room)
}

// request hands a request to the Handler or refuses it.
func (c *conn) request(frame []byte, key Key) {
	r := &Request{Peer: c.peer, Frame: frame, Key: key, Received: c.st.now(), c: c}
	why := c.own.admit(c)
	if why == nil {
		why = c.enter(r)
	}
	if why == nil {
		c.st.counters.Requests.Add(1)
		c.st.handlers.Add(1)
		c.st.crew.take(r)
		return
	}
	c.st.counters.RequestsRefused.Add(1)
	r.answered.Store(true)
	if answer := c.st.handler.Refuse(r, why); len(answer) > 0 {
		_ = r.send(answer) // a failure is counted there
	}
}

// enter puts a request on the desk. At its limit an inbound connection waits, which stops
// the peer from sending more.
func (c *conn) enter(r *Request) error {
	for {
		connFull, full := c.st.desk.enter(r, time.Now())
		if !connFull && !full {
			return nil
		}
		if c.st.sweep() {
			continue
		}
		if full || !c.inbound {
			return ErrInFlightFull
		}
		if !c.pause() {
			return ErrDraining
		}
	}
}

// pause waits until a request of the connection left the desk, or may have been given up.
func (c *conn) pause() bool {
	t := time.NewTimer(c.st.limits.AnswerTimeout)
	defer t.Stop()
	select {
	case <-c.room:
	case <-t.C:
	case <-c.done:
		return false
	}
	return true
}

// sweep gives up the requests that a Handler has kept for longer than AnswerTimeout. They
// can still be answered; they only stop counting.
func (s *station) sweep() bool {
	gone := s.desk.abandon(time.Now().Add(-s.limits.AnswerTimeout))
	for _, r := range gone {
		s.counters.Abandoned.Add(1)
		s.complain("request given up: neither answered nor dropped", "peer", r.Peer.Name,
			"message", r.Key.String())
		signal(r.c.room)
	}
	return len(gone) > 0
}
