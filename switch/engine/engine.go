package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// triesMax bounds how often one request is decided. Every lost try means that another
// request of the same card was committed, so a card must be in use from this many places
// at once before a request gives up, undecided.
const triesMax = 100

// doubtsMax bounds how often a request is tried again after a commit without an answer. In
// an outage every try adds load, and the client comes again by itself.
const doubtsMax = 3

var (
	// ErrInDoubt reports that the store did not answer: the request may have been
	// executed. Sent again with the same id it is executed at most once.
	ErrInDoubt = errors.New("outcome unknown")
	// ErrContended reports that the card kept changing; nothing was executed.
	ErrContended = errors.New("card in use from too many places at once")
)

// Blacklist tells a card's mark from memory. It only saves work: Commit compares.
type Blacklist interface {
	// Mark returns the card's mark as far as it is known here. It does not block.
	Mark(card pan.Token) txn.Mark
	// Learn tells the replica what Commit said.
	Learn(card pan.Token, mark txn.Mark)
}

// Answer is what became of one request.
type Answer struct {
	Decision txn.Decision
	Position txn.Position // of the settled record; zero when there is none
	Date     txn.BusinessDate
	Err      error // ErrInDoubt, ErrContended, or a fatal store error
}

// Options make an Engine.
type Options struct {
	Cards     store.Cards
	Blacklist Blacklist
	Policy    Policy
	// Now is the switch's wall clock.
	Now func() txn.Millis
}

// Engine runs decisions against a store. It is safe for concurrent use.
type Engine struct {
	cards     store.Cards
	blacklist Blacklist
	policy    atomic.Pointer[Policy]
	now       func() txn.Millis
	pool      sync.Pool // *work
	stats     Stats
}

// Stats count what the engine did. All are safe to read at any time.
type Stats struct {
	Conflicts atomic.Int64 // decisions made again because the card had changed
	Marks     atomic.Int64 // decisions made again because the blacklist had changed
	InDoubt   atomic.Int64 // commits without an answer
	Replays   atomic.Int64 // requests answered from the card's memory
}

// New returns an Engine.
func New(o Options) (*Engine, error) {
	if err := o.Policy.Check(); err != nil {
		return nil, err
	}
	e := &Engine{cards: o.Cards, blacklist: o.Blacklist, now: o.Now}
	policy := o.Policy
	e.policy.Store(&policy)
	e.pool.New = func() any { return new(work) }
	return e, nil
}

// Stats returns the engine's counters.
func (e *Engine) Stats() *Stats { return &e.stats }

// Policy returns the policy in force.
func (e *Engine) Policy() Policy { return *e.policy.Load() }

// SetPolicy puts another policy in force for requests that are decided from now on.
func (e *Engine) SetPolicy(p Policy) error {
	if err := p.Check(); err != nil {
		return err
	}
	e.policy.Store(&p)
	return nil
}

// work is the memory of one request on its way.
type work struct {
	view   View
	result Result
	commit store.Commit
	list   [1]*store.Commit
	loaded []byte
	state  []byte
	record []byte

	request *txn.Request
	answer  *Answer
	own     Answer // what answer points to, unless it is one of a list
	next    *work  // in a list, the request of the same card after this one
	mark    txn.Mark
	known   bool // current holds the card, no Load is needed
	current store.Loaded
	tries   int
	doubts  int
	done    bool
}

// take starts the work on r, whose answer goes to a, or to the work's own when a is nil.
func (e *Engine) take(r *txn.Request, a *Answer) *work {
	w := e.pool.Get().(*work)
	w.own = Answer{}
	if a == nil {
		a = &w.own
	}
	w.request, w.answer, w.next = r, a, nil
	w.known, w.done, w.tries, w.doubts = false, false, 0, 0
	w.mark = e.blacklist.Mark(r.Card)
	return w
}

// give puts w back unless the store may still hold its buffers: a commit in doubt may
// be read by a call that was abandoned.
func (e *Engine) give(w *work) {
	if w.commit.Err != nil {
		return
	}
	w.request, w.answer, w.next, w.current.State = nil, nil, nil, nil
	e.pool.Put(w)
}

// Authorize decides one request and returns when the answer is durable. A decline is an
// answer; Answer.Err is set when there is none. ctx bounds the whole call.
func (e *Engine) Authorize(ctx context.Context, r *txn.Request) Answer {
	w := e.take(r, nil)
	for !w.done {
		if !e.prepare(ctx, w) {
			break
		}
		w.list[0] = &w.commit
		_ = e.cards.Commit(ctx, w.list[:]) // the fault stands in the commit
		e.conclude(ctx, w)
	}
	a := w.own
	e.give(w)
	return a
}

// AuthorizeAll decides requests as one list: one durable write for all whose cards
// differ, and as many rounds as the busiest card has requests, which keep their order.
// Answers are in the order of the requests.
func (e *Engine) AuthorizeAll(ctx context.Context, requests []*txn.Request) []Answer {
	answers := make([]Answer, len(requests))
	open := make([]*work, 0, len(requests)) // the first request of every card
	last := make(map[pan.Token]*work, len(requests))
	for i, r := range requests {
		w := e.take(r, &answers[i])
		if before, ok := last[r.Card]; ok {
			before.next = w
		} else {
			open = append(open, w)
		}
		last[r.Card] = w
	}
	for len(open) > 0 {
		open = e.round(ctx, open)
	}
	return answers
}

// round takes the first request of every card one step further, as many as one call of
// the store takes, and returns what is open then.
func (e *Engine) round(ctx context.Context, open []*work) []*work {
	now := open[:min(len(open), store.CommitListMax)]
	commits := make([]*store.Commit, 0, len(now))
	taken := make([]*work, 0, len(now))
	for _, w := range now {
		for w != nil && !e.prepare(ctx, w) {
			w = e.leave(w)
		}
		if w != nil {
			commits, taken = append(commits, &w.commit), append(taken, w)
		}
	}
	_ = e.cards.Commit(ctx, commits)
	again := open[len(now):]
	for _, w := range taken {
		e.conclude(ctx, w)
		if w.done {
			w = e.leave(w)
		}
		if w != nil {
			again = append(again, w)
		}
	}
	return again
}

// leave puts w back and returns the next request of its card, nil when there is none.
func (e *Engine) leave(w *work) *work {
	next := w.next
	e.give(w)
	if next != nil {
		next.mark = e.blacklist.Mark(next.request.Card)
	}
	return next
}

// prepare loads the card unless the last conflict told it, decides, and fills the
// commit. It returns false when the answer is there without one.
func (e *Engine) prepare(ctx context.Context, w *work) bool {
	w.tries++
	if w.tries > triesMax {
		if w.doubts > 0 {
			return e.fail(w, fmt.Errorf("%w: %w", ErrInDoubt, ErrContended))
		}
		return e.fail(w, ErrContended)
	}
	if !w.known {
		loaded, err := e.cards.Load(ctx, w.request.Card, w.loaded)
		if err != nil {
			return e.fail(w, doubt(err))
		}
		w.loaded, w.current = loaded.State, loaded
	}
	v := &w.view
	v.Known, v.Version, v.Mark = w.current.Version > 0, w.current.Version, w.mark
	if !v.Known {
		v.Card = stateless(v)
	} else if err := v.Card.Decode(w.current.State); err != nil {
		return e.fail(w, fmt.Errorf("%w: card %s: %w", store.ErrDamaged, w.request.Card, err))
	}
	Decide(v, w.request, e.policy.Load(), e.now(), &w.result)
	w.answer.Decision = w.result.Decision
	if w.result.Final {
		w.commit.Err = nil
		w.done = true
		return false
	}
	w.fillCommit()
	return true
}

func (w *work) fillCommit() {
	out := &w.result
	w.commit = store.Commit{
		Card: w.request.Card, Version: w.view.Version, Mark: w.view.Mark,
		Deadline: w.request.Deadline, Reserve: out.Reserve || w.request.Kind == txn.Reversal,
		List: out.List, Due: out.Due, AnyVersion: out.List != nil,
	}
	if out.Write {
		w.state = out.Next.Append(w.state[:0])
		w.commit.State = w.state
	}
	if out.Settle {
		w.record = txn.AppendRecord(w.record[:0], &out.Record)
		w.commit.Record = w.record
	}
}

// conclude reads the store's answer: done, or decided once more.
func (e *Engine) conclude(ctx context.Context, w *work) {
	c := &w.commit
	if c.Err != nil {
		e.doubtful(ctx, w)
		return
	}
	switch c.Status {
	case store.Committed:
		w.answer.Position, w.answer.Date = c.Position, c.Date
		w.done = true
		if w.result.Decision.Replay {
			e.stats.Replays.Add(1)
		}
		if c.List != nil {
			e.blacklist.Learn(c.Card, c.List.Entry.Mark)
		}
	case store.VersionConflict, store.MarkConflict:
		if c.Status == store.MarkConflict {
			e.stats.Marks.Add(1)
			e.blacklist.Learn(c.Card, c.Current.Mark)
		} else {
			e.stats.Conflicts.Add(1)
		}
		w.current, w.mark, w.known = c.Current, c.Current.Mark, true
	case store.DeadlinePassed:
		w.refuse(txn.DeadlinePassed)
	case store.ListClosed:
		w.refuse(txn.ReleaseClosed)
	case store.OutboxFull:
		w.refuse(txn.StoreUnavailable)
	default:
		panic("engine: internal error: commit answered with status " + c.Status.String())
	}
}

// doubtful handles a commit without an answer: it looks again as long as there is time,
// since a commit that was applied shows in the card's memory.
func (e *Engine) doubtful(ctx context.Context, w *work) {
	err := w.commit.Err
	e.stats.InDoubt.Add(1)
	w.doubts++
	if w.doubts > doubtsMax || ctx.Err() != nil || errors.Is(err, store.ErrFenced) || errors.Is(err, store.ErrDamaged) ||
		errors.Is(err, store.ErrTooLarge) || errors.Is(err, store.ErrClosed) {
		e.fail(w, doubt(err))
		return
	}
	// The abandoned call may still read these buffers.
	w.state, w.record, w.known = nil, nil, false
}

func (w *work) refuse(reason txn.Reason) {
	w.answer.Decision = txn.Decision{Outcome: txn.Declined, Reason: reason}
	w.done = true
}

func (e *Engine) fail(w *work, err error) bool {
	w.answer.Decision, w.answer.Err = txn.Decision{}, err
	w.done = true
	return false
}

func doubt(err error) error {
	if errors.Is(err, store.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, context.Canceled) {
		return fmt.Errorf("%w: %w", ErrInDoubt, err)
	}
	return err
}

// stateless returns the zero state with the view's memory kept for reuse.
func stateless(v *View) (s card.State) {
	s.Recent = v.Card.Recent[:0]
	return s
}
