package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/tapswitch/tapswitch/switch/txn"
)

const (
	// workersMax bounds the parallel scripts; each holds one connection.
	workersMax = 1024
	// mismatchesMax is how many answers that were not as expected an Outcome quotes; it
	// counts all.
	mismatchesMax = 100
)

// Hook is something that happens once a share of the steps is done: a kill, a restart.
type Hook struct {
	// At is the share, 0 to 1.
	At float64
	// Do runs beside the workers, which go on meanwhile.
	Do func(context.Context) error
}

// Driver plays a plan. The fields are set before Run and not changed after.
type Driver struct {
	Plan      *Plan
	Client    *Client
	Terminals []*Terminal // in the order of Plan.Terminals
	// Lossy is a client whose replies are all cut off, for lost replies; nil skips them.
	Lossy *Client
	// Desk and Second are the tokens of two persons.
	Desk, Second string
	// Base is when the morning began; Span before the present.
	Base time.Time
	// Workers is how many cards are served at once.
	Workers int
	Hooks   []Hook
	// Progress is told how many steps are done, often and from many goroutines; may be nil.
	Progress func(done int)
}

// Outcome is what the client saw.
type Outcome struct {
	// Figures are those of the answers, each request once.
	Figures *Figures
	// Approvals are the requests that the client saw approved, in no order.
	Approvals []Approval
	// Answers counts transactions that got a final answer, copies not counted.
	Answers int
	// Copies counts requests sent again on purpose, Absorbed those that came back with the
	// first answer and no second record.
	Copies, Absorbed int
	// Lost counts replies that were cut off on purpose, Resolved those whose request, sent
	// again, was answered.
	Lost, Resolved int
	// FrozenTried counts uses of frozen cards, FrozenRefused those that were refused.
	FrozenTried, FrozenRefused int
	// BadTried counts requests that were none, BadRefused those that were refused as such.
	BadTried, BadRefused int
	// Interrupted counts requests that were tried more than once for want of an answer;
	// LongestOutage is the longest that one of them took.
	Interrupted   int
	LongestOutage time.Duration
	// Latency is of requests that were answered at the first try, in microseconds.
	Latency *hdrhistogram.Histogram
	Took    time.Duration
	// Mismatches quotes answers that were not as expected; MismatchCount counts them.
	Mismatches    []string
	MismatchCount int
}

// Approval is one approved request.
type Approval struct {
	ID      txn.RequestID
	Kind    txn.Kind
	Charged txn.Minor
}

// latencyMax bounds what the histogram tells apart, in microseconds.
const latencyMax = 120_000_000

// NewLatency returns an empty histogram of the kind that an Outcome has.
func NewLatency() *hdrhistogram.Histogram { return hdrhistogram.New(1, latencyMax, 3) }

func newOutcome() *Outcome {
	return &Outcome{Figures: NewFigures(), Latency: NewLatency()}
}

func (o *Outcome) merge(p *Outcome) {
	o.Figures.Merge(p.Figures)
	o.Approvals = append(o.Approvals, p.Approvals...)
	o.Answers += p.Answers
	o.Copies += p.Copies
	o.Absorbed += p.Absorbed
	o.Lost += p.Lost
	o.Resolved += p.Resolved
	o.FrozenTried += p.FrozenTried
	o.FrozenRefused += p.FrozenRefused
	o.BadTried += p.BadTried
	o.BadRefused += p.BadRefused
	o.Interrupted += p.Interrupted
	o.LongestOutage = max(o.LongestOutage, p.LongestOutage)
	o.Latency.Merge(p.Latency)
	o.MismatchCount += p.MismatchCount
	room := max(0, mismatchesMax-len(o.Mismatches))
	o.Mismatches = append(o.Mismatches, p.Mismatches[:min(room, len(p.Mismatches))]...)
}

func (o *Outcome) mismatch(format string, args ...any) {
	o.MismatchCount++
	if len(o.Mismatches) < mismatchesMax {
		o.Mismatches = append(o.Mismatches, fmt.Sprintf(format, args...))
	}
}

// Run plays the plan to the end and returns what the client saw. It stops at the first
// request that gets no answer at all, at a failed hook, and when ctx ends; the Outcome
// then tells how far it came.
func (d *Driver) Run(ctx context.Context) (*Outcome, error) {
	if d.Workers < 1 || d.Workers > workersMax {
		return nil, fmt.Errorf("driver: %d workers: want 1 to %d", d.Workers, workersMax)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	began := time.Now()
	hooks := d.startHooks(ctx, cancel)
	total := newOutcome()
	var mu sync.Mutex // guards total
	var wg sync.WaitGroup
	for i := range d.Workers {
		wg.Go(func() {
			w := &worker{d: d, out: newOutcome(), hooks: hooks, first: map[at]Reply{}}
			if err := w.run(ctx, i); err != nil {
				cancel(err)
			}
			mu.Lock()
			defer mu.Unlock()
			total.merge(w.out)
		})
	}
	wg.Wait()
	hooks.wait()
	total.Took = time.Since(began)
	if ctx.Err() != nil {
		return total, context.Cause(ctx)
	}
	return total, nil
}

// hookRun starts hooks when their share of the steps is done.
type hookRun struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	done   atomic.Int64
	at     []int64 // step counts, in order
	hooks  []Hook
	work   sync.WaitGroup
	tell   func(int)
}

func (d *Driver) startHooks(ctx context.Context, cancel context.CancelCauseFunc) *hookRun {
	h := &hookRun{ctx: ctx, cancel: cancel, hooks: slices.Clone(d.Hooks), tell: d.Progress}
	slices.SortFunc(h.hooks, func(a, b Hook) int { return cmp.Compare(a.At, b.At) })
	for _, hook := range h.hooks {
		h.at = append(h.at, int64(hook.At*float64(d.Plan.Steps)))
	}
	return h
}

// step counts a step and starts the hooks whose turn it is.
func (h *hookRun) step() {
	n := h.done.Add(1)
	for i, at := range h.at {
		if n == at {
			h.work.Go(func() {
				if err := h.hooks[i].Do(h.ctx); err != nil {
					h.cancel(fmt.Errorf("hook at %.0f %%: %w", 100*h.hooks[i].At, err))
				}
			})
		}
	}
	if h.tell != nil {
		h.tell(int(n))
	}
}

func (h *hookRun) wait() { h.work.Wait() }

// at names a step of a card.
type at struct{ card, step int }

// worker plays the scripts of its cards, all of them side by side in the order of time.
type worker struct {
	d     *Driver
	out   *Outcome
	hooks *hookRun
	// first keeps the first answers that later copies are compared with.
	first map[at]Reply
}

func (w *worker) run(ctx context.Context, number int) error {
	var mine []at
	for card := number; card < len(w.d.Plan.Cards); card += w.d.Workers {
		for step := range w.d.Plan.Cards[card].Steps {
			mine = append(mine, at{card, step})
		}
	}
	when := func(a at) time.Duration { return w.d.Plan.Cards[a.card].Steps[a.step].At }
	slices.SortStableFunc(mine, func(a, b at) int { return cmp.Compare(when(a), when(b)) })
	for _, a := range mine {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := w.step(ctx, a); err != nil {
			return fmt.Errorf("card %d, step %d: %w", a.card, a.step, err)
		}
		w.hooks.step()
	}
	return nil
}

func (w *worker) step(ctx context.Context, a at) error {
	c := &w.d.Plan.Cards[a.card]
	s := &c.Steps[a.step]
	switch s.Action {
	case Request:
		return w.request(ctx, a, c, s)
	case Again:
		return w.again(ctx, a, c, s)
	case Freeze:
		return w.freeze(ctx, c, s)
	case Release:
		return w.release(ctx, c, s)
	default:
		return w.bad(ctx, c, s)
	}
}

// request sends a transaction, with a lost reply first where the plan says so, and then
// its copies.
func (w *worker) request(ctx context.Context, a at, c *Card, s *Step) error {
	t, path := w.d.Terminals[s.Terminal], pathOf(s.Kind)
	body := s.encode(c.Number.Digits(), w.d.Base)
	lost := s.Lost && w.d.Lossy != nil
	if lost {
		w.out.Lost++
		if _, err := w.d.Lossy.Send(ctx, t, path, body); !errors.Is(err, ErrGaveUp) {
			w.out.mismatch("%s: a reply that should be lost came through: %v", s.ID, err)
		}
	}
	r, err := w.d.Client.Send(ctx, t, path, body)
	if err != nil {
		return err
	}
	if lost {
		w.out.Resolved++
	}
	w.measure(r, lost)
	answer, ok := w.check(s, r)
	if !ok {
		return nil
	}
	w.out.Answers++
	w.account(s, &answer)
	if s.Want.Recorded {
		w.first[a] = r
	}
	for range s.Copies {
		if err := w.repeat(ctx, s, body, r, false); err != nil {
			return err
		}
	}
	return nil
}

func (w *worker) measure(r Reply, lost bool) {
	switch {
	case r.Tries == 1 && !lost:
		_ = w.out.Latency.RecordValue(min(r.Took.Microseconds(), latencyMax))
	case r.Unanswered > 0:
		w.out.Interrupted++
		w.out.LongestOutage = max(w.out.LongestOutage, r.Took)
	}
}

// check compares an answer with the expected one; ok is false when it cannot be counted.
func (w *worker) check(s *Step, r Reply) (a Answer, ok bool) {
	if r.Refused != nil {
		w.out.mismatch("%s %s: refused with %d %s, want %s %s",
			s.ID, s.Kind, r.Status, r.Refused, s.Want.Outcome, s.Want.Reason)
		return a, false
	}
	a, err := ParseAnswer(r.Body)
	if err != nil {
		w.out.mismatch("%s %s: %v", s.ID, s.Kind, err)
		return a, false
	}
	reason := ""
	if s.Want.Reason != txn.ReasonNone {
		reason = s.Want.Reason.String()
	}
	if a.Outcome != s.Want.Outcome.String() || a.Reason != reason ||
		a.FullFare != s.Want.FullFare || a.Charged != s.Want.Charged ||
		a.Balance != s.Want.Balance {
		w.out.mismatch("%s %s: got %s %s full fare %d charged %d balance %d, "+
			"want %s %s %d %d %d", s.ID, s.Kind, a.Outcome, a.Reason, a.FullFare, a.Charged,
			a.Balance, s.Want.Outcome, reason, s.Want.FullFare, s.Want.Charged, s.Want.Balance)
	}
	return a, true
}

// account counts what the switch answered, not what the plan expected.
func (w *worker) account(s *Step, a *Answer) {
	frozen := func(r txn.Reason) bool {
		return r == txn.CardFrozen || r == txn.CardCancelled || r == txn.CardReplaced
	}
	reason := txn.ReasonNone
	if a.Reason != "" {
		var err error
		if reason, err = txn.ParseReason(a.Reason); err != nil {
			w.out.mismatch("%s: %v", s.ID, err)
			return
		}
	}
	if frozen(s.Want.Reason) {
		w.out.FrozenTried++
		if frozen(reason) && !a.Approved() {
			w.out.FrozenRefused++
		}
	}
	if a.Approved() && s.Kind != txn.Balance {
		w.out.Approvals = append(w.out.Approvals, Approval{s.ID, s.Kind, a.Charged})
	}
	if s.Want.Recorded {
		it := w.d.Plan.Item(s)
		it.Outcome, it.Reason = txn.Declined, reason
		if a.Approved() {
			it.Outcome = txn.Approved
		}
		it.FullFare, it.Charged = a.FullFare, a.Charged
		w.out.Figures.Add(it)
	}
}
