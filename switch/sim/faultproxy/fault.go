package faultproxy

import (
	"sync"
	"time"
)

// Kind says what goes wrong.
type Kind uint8

// The kinds of faults. "Applied" tells whether the server gets the request.
const (
	// None forwards faithfully.
	None Kind = iota
	// DropRequest closes the connection before anything is forwarded. Not applied.
	DropRequest
	// DropReply forwards the request, waits for the reply, throws it away and closes
	// the connection. Applied, the client does not know.
	DropReply
	// CutReply hands on the first half of the reply's first bytes, then closes. Applied.
	CutReply
	// Reset is DropReply with a TCP reset in place of an orderly close. Applied.
	Reset
	// Delay holds the reply for Wait. Applied.
	Delay
	// DelayRequest holds the request for Wait.
	DelayRequest
	// Duplicate sends the request's bytes a second time, after Wait, over a connection of
	// its own, the replies of which are thrown away. Applied twice if the server lets it.
	// It fits protocols without a handshake.
	Duplicate
	// HalfClose forwards the request and then closes the writing side to the server.
	HalfClose
	// Split forwards request and reply in pieces of Size bytes, Wait apart.
	Split
	// Stall forwards nothing until the fault is cleared; the connection stays open.
	Stall
	kindEnd
)

var kindNames = [kindEnd]string{"none", "drop_request", "drop_reply", "cut_reply", "reset",
	"delay", "delay_request", "duplicate", "half_close", "split", "stall"}

// String returns the kind's name.
func (k Kind) String() string {
	if k >= kindEnd {
		return "unknown"
	}
	return kindNames[k]
}

// Fault is one thing that goes wrong, and how often.
type Fault struct {
	Kind Kind
	// Wait is how long Delay, DelayRequest and Duplicate hold, and the pause of Split.
	Wait time.Duration
	// Size is the length of Split's pieces in bytes; 0 means 1.
	Size int
	// Every takes each n-th exchange that reaches this fault; 0 and 1 take each one.
	Every int
	// Times ends the fault after so many exchanges; 0 keeps it until it is cleared.
	Times int
}

// plan decides the fault of each exchange.
type plan struct {
	mu     sync.Mutex // guards the fields below
	faults []*armed
	counts [kindEnd]int64
	// cleared is closed and replaced by every clear, which frees stalled exchanges.
	cleared chan struct{}
}

type armed struct {
	Fault
	seen, done int
}

func newPlan() *plan { return &plan{cleared: make(chan struct{})} }

func (p *plan) inject(f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, &armed{Fault: f})
}

func (p *plan) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = nil
	close(p.cleared)
	p.cleared = make(chan struct{})
}

// draw returns the fault of the next exchange: of the first injected that is due. The
// channel closes when the plan is cleared.
func (p *plan) draw() (Fault, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.faults {
		if f.Times > 0 && f.done == f.Times {
			continue
		}
		f.seen++
		if f.Every > 1 && f.seen%f.Every != 0 {
			continue
		}
		f.done++
		p.counts[f.Kind]++
		return f.Fault, p.cleared
	}
	p.counts[None]++
	return Fault{}, p.cleared
}

func (p *plan) count(k Kind) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if k >= kindEnd {
		return 0
	}
	return p.counts[k]
}
