package redisstore

import (
	"sync"
	"sync/atomic"
)

// nudge wakes whoever waits for entries of a bucket's outbox when this process committed
// one. Entries of other processes are found by asking again.
type nudge struct {
	waited atomic.Bool // somebody may wait: spares commits the lock

	mu sync.Mutex // guards ch
	ch chan struct{}
}

// wait returns a channel that the next wake closes.
func (n *nudge) wait() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ch == nil {
		n.ch = make(chan struct{})
	}
	n.waited.Store(true)
	return n.ch
}

func (n *nudge) wake() {
	if !n.waited.Load() {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.waited.Store(false)
	if n.ch != nil {
		close(n.ch)
		n.ch = nil
	}
}
