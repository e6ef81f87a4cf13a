package gate

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// lane says how a request is treated when there is too much to do.
type lane uint8

const (
	// laneFree is for answers from memory, which are not counted.
	laneFree lane = iota
	// lanePriority always passes: freezes and reversals.
	lanePriority
	// laneMoney is shed at InFlightMax.
	laneMoney
	// laneQuery is shed first, at QueriesMax.
	laneQuery
	// laneBatch is bounded by the number of batches.
	laneBatch
)

// admission counts what is under way. A request over the bound is refused at once rather
// than queued: the terminal asks again, or decides by itself.
type admission struct {
	inFlight atomic.Int64
	max      [laneBatch + 1]int64
	readers  chan struct{} // batches arriving
	batches  chan struct{} // batches at work
}

func newAdmission(l Limits) *admission {
	a := &admission{
		readers: make(chan struct{}, l.BatchReadersMax),
		batches: make(chan struct{}, l.BatchesMax),
	}
	a.max[laneMoney], a.max[laneQuery] = int64(l.InFlightMax), int64(l.QueriesMax)
	return a
}

// enter counts a request in and reports whether it may go on; leave must follow then.
func (a *admission) enter(l lane) bool {
	switch l {
	case laneFree:
		return true
	case laneBatch:
		select {
		case a.readers <- struct{}{}:
			return true
		default:
			return false
		}
	}
	n := a.inFlight.Add(1)
	if limit := a.max[l]; limit > 0 && n > limit {
		a.inFlight.Add(-1)
		return false
	}
	return true
}

func (a *admission) leave(l lane) {
	switch l {
	case laneFree:
	case laneBatch:
		<-a.readers
	default:
		a.inFlight.Add(-1)
	}
}

// workOnBatch waits for one of the few places where batches are worked on, until ctx
// ends; leaveBatch must follow when it reports true.
func (a *admission) workOnBatch(ctx context.Context) bool {
	select {
	case a.batches <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (a *admission) leaveBatch() { <-a.batches }

// deadlines hands out contexts that end when a request's time is over. Requests that come
// within deadlineSlot share one, which costs a timer a slot rather than one a request; the
// exact deadline stands in the request and is checked in the commit.
type deadlines struct {
	base   context.Context
	cancel context.CancelFunc
	slots  [laneBatch + 1]atomic.Pointer[slot]
}

type slot struct {
	ends time.Time // requests up to then share the context
	ctx  context.Context
	// cancel frees the context's timer; it is called once nobody can use it any more.
	cancel context.CancelFunc
}

const deadlineSlot = 50 * time.Millisecond

func newDeadlines() *deadlines {
	d := &deadlines{}
	d.base, d.cancel = context.WithCancel(context.Background())
	return d
}

// within returns a context for the lane that ends no sooner than budget from now, and at
// most one slot later. A lane has one budget.
func (d *deadlines) within(l lane, budget time.Duration) context.Context {
	now := time.Now()
	if c := d.slots[l].Load(); c != nil && now.Before(c.ends) {
		return c.ctx
	}
	fresh := &slot{ends: now.Add(deadlineSlot)}
	fresh.ctx, fresh.cancel = context.WithDeadline(d.base, fresh.ends.Add(budget))
	context.AfterFunc(fresh.ctx, fresh.cancel)
	d.slots[l].Store(fresh)
	return fresh.ctx
}

// close ends all contexts: what is still under way is given up.
func (d *deadlines) close() { d.cancel() }

// budgetOf returns the time that a request of the lane may take.
func (s *Server) budgetOf(l lane) time.Duration {
	switch l {
	case lanePriority:
		return s.limits.PriorityBudget
	case laneBatch:
		return s.limits.BatchBudget
	default:
		return s.limits.Budget
	}
}

// deadlineOf returns the last instant at which a request received at may be executed.
func (s *Server) deadlineOf(l lane, at txn.Millis) txn.Millis {
	return at + txn.Millis(s.budgetOf(l).Milliseconds())
}
