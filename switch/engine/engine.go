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
	ListSeq  store.ListSeq // of the change of the blacklist, when there was one
	// Bank is the bank transaction that the request is about, when it is about one.
	Bank *card.BankTxn
	// BankOriginal is the one that Bank refers to, where the card remembers it.
	BankOriginal *card.BankTxn
	// BankAhead: Bank waits, since its bank is to hear of another one of the card before.
	BankAhead bool
	Err       error // ErrInDoubt, ErrContended, or a fatal store error
}

// Options make an Engine.
type Options struct {
	Cards     store.Cards
	Blacklist Blacklist
	Policy    Policy
	// Now is the switch's wall clock.
	Now func() txn.Millis
	// Shares is how many goroutines share a long list, at best one a processor; 0 is 1.
	Shares int
}

// Engine runs decisions against a store. It is safe for concurrent use.
type Engine struct {
	cards     store.Cards
	blacklist Blacklist
	policy    atomic.Pointer[Policy]
	now       func() txn.Millis
	shares    int
	scratches sync.Pool // *scratch
	works     sync.Pool // *work
	lots      sync.Pool // *lot
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
	e := &Engine{cards: o.Cards, blacklist: o.Blacklist, now: o.Now, shares: max(1, o.Shares)}
	policy := o.Policy
	e.policy.Store(&policy)
	e.scratches.New = func() any { return new(scratch) }
	e.works.New = func() any { return new(work) }
	e.lots.New = func() any { return &lot{last: make(map[pan.Token]*work)} }
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

// scratch is what one decision needs for its own time only. A list decides with one, so
// that it stays in the processor's cache.
type scratch struct {
	now    txn.Millis // of the decision
	view   View
	result Result
	loaded []byte
}

// work is what one request keeps on its way, from its decision to the store's answer.
type work struct {
	commit store.Commit
	list   [1]*store.Commit
	state  []byte
	record []byte
	extras *extras

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

// extras are those parts of a commit that few have.
type extras struct {
	list store.ListChange
	due  [2]store.DueChange
	keys [2 * store.DueKeyMax]byte
}

// begin starts the work on r, whose answer goes to a.
func (w *work) begin(e *Engine, r *txn.Request, a *Answer) {
	w.request, w.answer, w.next = r, a, nil
	w.known, w.done, w.tries, w.doubts = false, false, 0, 0
	w.mark = e.blacklist.Mark(r.Card)
}

// end lets go of what is not the work's own and reports whether its memory is free: a
// commit in doubt may still be read by a call that was abandoned.
func (w *work) end() bool {
	w.request, w.answer, w.next, w.current.State = nil, nil, nil, nil
	return w.commit.Err == nil
}

// Authorize decides one request and returns when the answer is durable. A decline is an
// answer; Answer.Err is set when there is none. ctx bounds the whole call.
func (e *Engine) Authorize(ctx context.Context, r *txn.Request) Answer {
	s := e.scratches.Get().(*scratch)
	w := e.works.Get().(*work)
	w.own = Answer{}
	w.begin(e, r, &w.own)
	for !w.done {
		s.now = e.now()
		if !e.prepare(ctx, s, w) {
			break
		}
		w.list[0] = &w.commit
		_ = e.cards.Commit(ctx, w.list[:]) // the fault stands in the commit
		e.conclude(ctx, w)
	}
	a := w.own
	e.scratches.Put(s)
	if w.end() {
		e.works.Put(w)
	}
	return a
}

// prepare loads the card unless the last conflict told it, decides as of s.now, and fills the
// commit. It returns false when the answer is there without one.
func (e *Engine) prepare(ctx context.Context, s *scratch, w *work) bool {
	w.tries++
	if w.tries > triesMax {
		if w.doubts > 0 {
			return e.fail(w, fmt.Errorf("%w: %w", ErrInDoubt, ErrContended))
		}
		return e.fail(w, ErrContended)
	}
	if !w.known {
		loaded, err := e.cards.Load(ctx, w.request.Card, s.loaded)
		if err != nil {
			return e.fail(w, doubt(err))
		}
		s.loaded, w.current = loaded.State, loaded
	}
	v := &s.view
	v.Known, v.Version, v.Mark = w.current.Version > 0, w.current.Version, w.mark
	if v.Version == 0 {
		v.Card = stateless(v)
	} else if err := v.Card.Decode(w.current.State); err != nil {
		return e.fail(w, fmt.Errorf("%w: card %s: %w", store.ErrDamaged, w.request.Card, err))
	}
	v.Known = v.Version > 0 && v.Card.Status != card.Guest
	Decide(v, w.request, e.policy.Load(), s.now, &s.result)
	if s.result.Damaged {
		return e.fail(w, fmt.Errorf("%w: card %s: its rides", store.ErrDamaged, w.request.Card))
	}
	w.answer.Decision = s.result.Decision
	w.answer.Bank, w.answer.BankOriginal, w.answer.BankAhead = nil, nil, s.result.BankAhead
	if b := s.result.Bank; b != nil {
		about := *b
		w.answer.Bank = &about
		if !s.result.BankOriginal.ID.IsZero() {
			original := s.result.BankOriginal // few have one: no copy for the others
			w.answer.BankOriginal = &original
		}
	}
	if s.result.Final {
		w.commit.Err = nil
		w.done = true
		return false
	}
	w.fillCommit(s)
	return true
}

// fillCommit takes over from s what the commit needs.
func (w *work) fillCommit(s *scratch) {
	out := &s.result
	w.commit = store.Commit{
		Card: w.request.Card, Version: s.view.Version, Mark: s.view.Mark,
		Deadline: w.request.Deadline, Reserve: out.Reserve || w.request.Kind == txn.Reversal,
		AnyVersion: out.List != nil,
	}
	if out.Write {
		w.state = out.Next.Append(w.state[:0])
		w.commit.State = w.state
	}
	if out.Settle {
		w.record = txn.AppendRecord(w.record[:0], &out.Record)
		w.commit.Record = w.record
	}
	if out.List != nil || len(out.Due) > 0 {
		w.fillExtras(out)
	}
}

func (w *work) fillExtras(out *Result) {
	if w.extras == nil {
		w.extras = new(extras)
	}
	x := w.extras
	if out.List != nil {
		x.list = *out.List
		w.commit.List = &x.list
	}
	keys := x.keys[:0]
	w.commit.Due = append(x.due[:0], out.Due...)
	for i := range w.commit.Due {
		d := &w.commit.Due[i]
		at := len(keys)
		keys = append(keys, d.Key...)
		d.Key = keys[at:len(keys):len(keys)]
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
		w.answer.Position, w.answer.Date, w.answer.ListSeq = c.Position, c.Date, c.ListSeq
		w.done = true
		if w.answer.Decision.Replay {
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
	w.state, w.record, w.extras, w.known = nil, nil, nil, false
}

func (w *work) refuse(reason txn.Reason) {
	w.answer.Decision = txn.Decision{Outcome: txn.Declined, Reason: reason}
	w.answer.Bank = nil
	w.done = true
}

func (e *Engine) fail(w *work, err error) bool {
	w.answer.Decision, w.answer.Bank, w.answer.Err = txn.Decision{}, nil, err
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
	s.Recent, s.Bank = v.Card.Recent[:0], v.Card.Bank[:0]
	return s
}
