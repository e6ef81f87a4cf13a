package link

import "sync"

// idleMax bounds the goroutines that wait for requests between two of them.
const idleMax = 1024

// crew runs requests on goroutines that are used again: a stack that has grown to what a
// Handler needs is worth more than the goroutine.
type crew struct {
	offered chan *Request
	ended   chan struct{}
	members sync.WaitGroup

	mu     sync.Mutex // guards the fields below
	idle   int
	closed bool
}

func newCrew() *crew {
	return &crew{offered: make(chan *Request), ended: make(chan struct{})}
}

// take runs r on a goroutine that waits, or on a new one.
func (w *crew) take(r *Request) {
	select {
	case w.offered <- r:
		return
	default:
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed { // a shutdown gave up waiting; the request is run all the same
		go r.run()
		return
	}
	w.members.Go(func() { w.work(r) })
}

// work runs r, and what is offered after it.
func (w *crew) work(r *Request) {
	for {
		r.run()
		if !w.rest(+1) {
			return
		}
		select {
		case r = <-w.offered:
			w.rest(-1)
		case <-w.ended:
			return
		}
	}
}

// rest counts who waits; false when there are enough.
func (w *crew) rest(change int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if change > 0 && w.idle >= idleMax {
		return false
	}
	w.idle += change
	return true
}

// close ends the goroutines that wait and returns when they have; those that work are waited
// for too, so call it when none does.
func (w *crew) close() {
	w.mu.Lock()
	first := !w.closed
	w.closed = true
	w.mu.Unlock()
	if first {
		close(w.ended)
	}
	w.members.Wait()
}
