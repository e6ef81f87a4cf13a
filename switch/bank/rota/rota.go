// Package rota does what the bank edge has to do by the clock: changes of key, reconciliations.
// A Task is done when it is due, again after a pause that grows when it fails, and at once when
// somebody asks. It owns the registry keys below bank/rota/.
//
// When a task is due is durable: a process that starts goes on where the last one stopped, and
// does at once what fell due meanwhile. A process that dies in the middle of a task does it
// again. Tasks are done side by side, each by one goroutine at a time; Close waits for them.
// Times are the switch's clock, which may be put back: a task is then done later, not twice.
// Safe for concurrent use.
//
// Two processes on one registry would both do what is due: a link belongs to one process.
package rota

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tapswitch/tapswitch/switch/bank/audit"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// tickEvery is how often the clock is looked at.
const tickEvery = 250 * time.Millisecond

// doMax bounds one try of a task, so that a process can stop.
const doMax = 5 * time.Minute

var (
	// ErrBusy reports a task that is being done already.
	ErrBusy = errors.New("it is being done already: ask again in a moment")
	// ErrUnknown reports a task that there is not.
	ErrUnknown = errors.New("the configuration has no such task")
)

// Task is something to do again and again.
type Task struct {
	// Name is part of a registry key: letters, digits, '.', '_', '-' and '/'.
	Name string
	// Next returns when the task is due after it was done; the zero time leaves it until
	// somebody asks. At first it is asked with the time of the start.
	Next func(done time.Time) time.Time
	// Retry is the pause after so many failures in a row, from 1.
	Retry func(tries int) time.Duration
	// Do does it. It must keep to ctx.
	Do func(ctx context.Context, by audit.Actor) error
}

// State says where a task stands.
type State struct {
	// Due is when it is done next, 0 for when somebody asks.
	Due txn.Millis `json:"due,omitempty"`
	// Tries are the failures since it was last done, Problem is the last one.
	Tries   int    `json:"tries,omitempty"`
	Problem string `json:"problem,omitempty"`
	// DoneAt is when it was last done, By for whom.
	DoneAt txn.Millis  `json:"done_at,omitempty"`
	By     audit.Actor `json:"by"`
}

// Options make a Rota.
type Options struct {
	Registry store.Registry
	Now      func() txn.Millis
	// Tick, where it is set, is called whenever the clock is looked at. It must not block.
	Tick func()
	Log  *slog.Logger
}

// Rota keeps tasks.
type Rota struct {
	o      Options
	tasks  map[string]*kept
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup
}

// kept is a task with its state.
type kept struct {
	Task
	wanted atomic.Pointer[string] // why it is to be done soon

	mu      sync.Mutex // guards the fields below
	state   State
	version uint64
	busy    bool
}

const prefix = "bank/rota/"

// Open reads the states of the tasks. Start begins to do them.
func Open(ctx context.Context, o Options, tasks []Task) (*Rota, error) {
	r := &Rota{o: o, tasks: map[string]*kept{}}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	for _, t := range tasks {
		k := &kept{Task: t}
		if r.tasks[t.Name] != nil {
			return nil, fmt.Errorf("rota: task %s stands twice", t.Name)
		}
		r.tasks[t.Name] = k
		value, version, err := o.Registry.Get(ctx, prefix+t.Name)
		if err != nil {
			return nil, fmt.Errorf("rota: %s: %w", t.Name, err)
		}
		if len(value) > 0 {
			if err := json.Unmarshal(value, &k.state); err != nil {
				return nil, fmt.Errorf("%w: %s%s: %w", store.ErrDamaged, prefix, t.Name, err)
			}
			k.version = version
		}
		if err := r.begin(ctx, k); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// begin gives a task its first due time, or one that a changed configuration makes earlier.
func (r *Rota) begin(ctx context.Context, k *kept) error {
	from := r.o.Now()
	if k.state.DoneAt != 0 {
		from = k.state.DoneAt
	}
	due := millis(k.Next(from.Time()))
	old := k.state.Due
	switch {
	case k.state.Tries > 0: // what failed is tried again in any case
	case due == 0 || old == 0 || due < old:
		k.state.Due = due
	}
	if k.state.Due == old {
		return nil
	}
	return r.keep(ctx, k)
}

func millis(t time.Time) txn.Millis {
	if t.IsZero() {
		return 0
	}
	return txn.MillisOf(t)
}

// keep writes the state of a task; its lock is held, or nobody else knows it yet.
func (r *Rota) keep(ctx context.Context, k *kept) error {
	text, err := json.Marshal(k.state)
	if err == nil {
		err = r.o.Registry.Put(ctx, prefix+k.Name, text, k.version)
	}
	if errors.Is(err, store.ErrConflict) {
		if _, k.version, err = r.o.Registry.Get(ctx, prefix+k.Name); err == nil {
			err = r.o.Registry.Put(ctx, prefix+k.Name, text, k.version)
		}
	}
	if err != nil {
		return fmt.Errorf("rota: %s is not kept: %w", k.Name, err)
	}
	k.version++
	return nil
}

// Start begins to look at the clock.
func (r *Rota) Start() { r.work.Go(r.run) }

// Close ends what is being done and waits for it.
func (r *Rota) Close() {
	r.cancel()
	r.work.Wait()
}

func (r *Rota) run() {
	t := time.NewTicker(tickEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-r.ctx.Done():
			return
		}
		r.tick()
	}
}

// tick begins everything that is due.
func (r *Rota) tick() {
	if r.o.Tick != nil {
		r.o.Tick()
	}
	now := r.o.Now()
	for _, k := range r.tasks {
		why := "schedule"
		if w := k.wanted.Load(); w != nil {
			why = *w
		}
		k.mu.Lock()
		if k.state.Tries > 0 && why == "schedule" {
			why = "again"
		}
		soon := k.wanted.Load() != nil && k.state.Tries == 0
		ready := !k.busy && (soon || k.state.Due != 0 && k.state.Due <= now)
		k.busy = k.busy || ready
		k.mu.Unlock()
		if ready {
			k.wanted.Store(nil)
			r.work.Go(func() { _ = r.do(r.ctx, k, audit.Itself(why)) }) // kept in the state
		}
	}
}

// do does a task that has been marked as busy, and keeps what came of it.
func (r *Rota) do(ctx context.Context, k *kept, by audit.Actor) error {
	tried, cancel := context.WithTimeout(ctx, doMax)
	err := k.Do(tried, by)
	cancel()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.busy = false
	now := r.o.Now()
	if err != nil && r.ctx.Err() != nil {
		return err // the process stops: it stays due as it was
	}
	if err != nil {
		k.state.Tries++
		k.state.Problem = err.Error()
		k.state.Due = now + txn.Millis(k.Retry(k.state.Tries)/time.Millisecond)
		r.o.Log.Error("bank: "+k.Name+" failed and is tried again", "tries", k.state.Tries,
			"at", k.state.Due.Time(), "error", err)
	} else {
		k.state = State{DoneAt: now, By: by, Due: millis(k.Next(now.Time()))}
	}
	// Whoever asked may be gone; what was done is kept all the same.
	if kept := r.keep(context.WithoutCancel(ctx), k); kept != nil {
		r.o.Log.Error("bank: "+k.Name, "error", kept)
	}
	return err
}

// Now does a task at once and returns what came of it. What fails is tried again by the clock.
func (r *Rota) Now(ctx context.Context, name string, by audit.Actor) error {
	k := r.tasks[name]
	if k == nil {
		return fmt.Errorf("%w: %s", ErrUnknown, name)
	}
	k.mu.Lock()
	busy := k.busy
	k.busy = true
	k.mu.Unlock()
	if busy {
		return fmt.Errorf("%s: %w", name, ErrBusy)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(r.ctx, cancel)
	defer stop()
	return r.do(ctx, k, by)
}

// Soon has a task done at the next tick, unless it has failed and waits for its next try. It
// does not block.
func (r *Rota) Soon(name, why string) {
	if k := r.tasks[name]; k != nil {
		k.wanted.Store(&why)
	}
}

// State returns where a task stands; ok is false when there is none of the name.
func (r *Rota) State(name string) (s State, ok bool) {
	k := r.tasks[name]
	if k == nil {
		return s, false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state, true
}

// Every returns a Next of a fixed pause; 0 is never.
func Every(pause time.Duration) func(time.Time) time.Time {
	return func(done time.Time) time.Time {
		if pause <= 0 {
			return time.Time{}
		}
		return done.Add(pause)
	}
}

// Daily returns a Next of a time of day in a zone, as the duration since midnight.
func Daily(at time.Duration, zone *time.Location) func(time.Time) time.Time {
	return func(done time.Time) time.Time {
		y, m, d := done.In(zone).Date()
		for day := 0; ; day++ {
			next := time.Date(y, m, d+day, 0, int(at/time.Minute), 0, 0, zone)
			if next.After(done) {
				return next
			}
		}
	}
}
