package link

import (
	"sync"
	"time"
)

// State is the state of a connection to a bank.
type State uint8

// The states of a connection.
const (
	// Down: not connected, and waiting for the next attempt or for ever.
	Down State = iota
	// Connecting: TCP and TLS are being established.
	Connecting
	// SigningOn: connected, no traffic yet.
	SigningOn
	// Up: takes traffic.
	Up
	// Draining: takes no more requests, waits for the answers to the last ones.
	Draining
)

// String returns the state's name.
func (s State) String() string {
	switch s {
	case Connecting:
		return "connecting"
	case SigningOn:
		return "signing on"
	case Up:
		return "up"
	case Draining:
		return "draining"
	}
	return "down"
}

// Change is one step in the life of a connection.
type Change struct {
	State State
	// Since is when the state began, by Config.Now.
	Since time.Time
	// Cause says why in words; empty when the state follows from the one before.
	Cause string
}

// Status describes one connection of a link.
type Status struct {
	// Address is the other side as configured.
	Address string
	// Change is the present state.
	Change
	// History holds the last changes, the present one at the end.
	History []Change
	// InFlight is the number of unanswered requests, Queued of frames not yet written.
	InFlight, Queued int
}

// history remembers the last changes of one connection.
type history struct {
	mu      sync.Mutex // guards changes
	changes []Change
}

// add notes a change and forgets the oldest above historyMax.
func (h *history) add(c Change) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.changes) == historyMax {
		h.changes = append(h.changes[:0], h.changes[1:]...)
	}
	h.changes = append(h.changes, c)
}

// all returns a copy.
func (h *history) all() []Change {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]Change(nil), h.changes...)
}
