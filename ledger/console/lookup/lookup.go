// Package lookup finds records for pages that must not wait.
//
// A search reads whole columns of days and may take seconds, so it is a job: Start answers at
// once with the job's id, Get tells how far it is. One job runs at a time, for at most JobMax,
// and ends at ResultMax records; results are kept in memory for KeepFor and shown to the person
// who asked, to nobody else. Safe for concurrent use; the one goroutine ends with Close. It
// takes tokens and ids, never a card number, and writes nothing.
package lookup

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Limits.
const (
	// ResultMax is how many records a job returns; whoever needs more asks more narrowly.
	ResultMax = 200
	// WaitingMax bounds the jobs that wait to run.
	WaitingMax = 16
	// JobsMax bounds the jobs that are kept; the oldest that is done goes first.
	JobsMax = 128
	// DaysMax is the longest span of business dates of one job.
	DaysMax = 31
	// JobMax bounds the time of one job.
	JobMax = 2 * time.Minute
	// KeepFor is how long a result is kept.
	KeepFor = 15 * time.Minute
)

// Refusals of Start.
var (
	// ErrBusy reports that WaitingMax jobs wait: try again when some have run.
	ErrBusy = errors.New("too many searches wait: try again in a moment")
	// ErrSpan reports dates that are in the wrong order or more than DaysMax.
	ErrSpan = errors.New("want 1 to 31 days")
)

// Source is the warehouse.
type Source interface {
	// Records is that of warehouse.Reader; it may take long.
	Records(ctx context.Context, f warehouse.Filter, yield func(*txn.Record) error) error
}

// Query is what to look for. Filter.From and Filter.To are needed.
type Query struct {
	Filter warehouse.Filter
	// Match sifts further what the filter chooses; nil takes all.
	Match func(*txn.Record) bool
}

// Job is a copy of what is known of a search.
type Job struct {
	ID, Owner string
	// Title and Purpose are what the person asked for and why.
	Title, Purpose string
	Records        []txn.Record
	// More says that there are more than ResultMax.
	More  bool
	Done  bool
	Err   error
	Began time.Time
	Took  time.Duration
}

// Finder runs jobs.
type Finder struct {
	source Source
	now    func() time.Time
	stop   context.CancelFunc
	work   sync.WaitGroup
	queue  chan *task

	mu   sync.Mutex // guards jobs and what their tasks hold
	jobs map[string]*task
}

// task is a job under way.
type task struct {
	Job
	query Query
	done  chan struct{}
}

// New starts the finder; a nil clock is the system's.
func New(source Source, now func() time.Time) *Finder {
	if now == nil {
		now = time.Now
	}
	ctx, stop := context.WithCancel(context.Background())
	f := &Finder{source: source, now: now, stop: stop, queue: make(chan *task, WaitingMax),
		jobs: make(map[string]*task)}
	f.work.Go(func() { f.run(ctx) })
	return f
}

// Close gives up what is under way.
func (f *Finder) Close() {
	f.stop()
	f.work.Wait()
}

// Start begins a search with the id, owner, title and purpose of job. Its errors are ErrBusy
// and ErrSpan.
func (f *Finder) Start(job Job, q Query) error {
	from, to := q.Filter.From, q.Filter.To
	days := int(to.Time().Sub(from.Time())/(24*time.Hour)) + 1
	if !from.Valid() || !to.Valid() || days < 1 || days > DaysMax {
		return fmt.Errorf("%w, got %s to %s", ErrSpan, from, to)
	}
	t := &task{Job: Job{ID: job.ID, Owner: job.Owner, Title: job.Title, Purpose: job.Purpose, Began: f.now()},
		query: q, done: make(chan struct{})}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sweepLocked()
	if len(f.jobs) >= JobsMax {
		return ErrBusy
	}
	select {
	case f.queue <- t:
	default:
		return ErrBusy
	}
	f.jobs[t.ID] = t
	return nil
}

// sweepLocked drops results that are old, and the oldest when there are JobsMax.
func (f *Finder) sweepLocked() {
	var oldest *task
	for id, t := range f.jobs {
		if !t.Done {
			continue
		}
		if f.now().Sub(t.Began) >= KeepFor {
			delete(f.jobs, id)
		} else if oldest == nil || t.Began.Before(oldest.Began) {
			oldest = t
		}
	}
	if oldest != nil && len(f.jobs) >= JobsMax {
		delete(f.jobs, oldest.ID)
	}
}

// Get returns a job of its owner. It waits up to wait for the end, so that a quick search needs
// no second page. The records are shared: do not change them.
func (f *Finder) Get(ctx context.Context, id, owner string, wait time.Duration) (Job, bool) {
	f.mu.Lock()
	t := f.jobs[id]
	f.mu.Unlock()
	if t == nil || t.Owner != owner {
		return Job{}, false
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-t.done:
	case <-timer.C:
	case <-ctx.Done():
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return t.Job, true
}

func (f *Finder) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case t := <-f.queue:
			f.search(ctx, t)
		}
	}
}

// errEnough ends a reading that found what it may show.
var errEnough = errors.New("enough")

// search runs one job.
func (f *Finder) search(ctx context.Context, t *task) {
	ctx, cancel := context.WithTimeout(ctx, JobMax)
	defer cancel()
	var found []txn.Record
	more := false
	begun := time.Now()
	err := f.source.Records(ctx, t.query.Filter, func(r *txn.Record) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if r.Kind.IsMarker() || t.query.Match != nil && !t.query.Match(r) {
			return nil
		}
		if len(found) == ResultMax {
			more = true
			return errEnough
		}
		found = append(found, *r)
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	t.Records, t.More, t.Err, t.Done, t.Took = found, more, err, true, time.Since(begun)
	close(t.done)
}
