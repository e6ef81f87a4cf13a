package feed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// FlushRowsMax bounds FlushRows, so that a batch and what arrived with it fit into one
// Append.
const FlushRowsMax = warehouse.AppendMax / 2

// rowsFirst is how many rows an intake has room for at first.
const rowsFirst = 4096

const (
	flushRowsDefault  = 50_000
	flushEveryDefault = time.Second
	// flushLast is how long the last flush may take when Run is told to end.
	flushLast = 5 * time.Second
	// backoffFirst and backoffMax bound the pause before a fault is tried again.
	backoffFirst = 50 * time.Millisecond
	backoffMax   = 5 * time.Second
)

// ErrStopped reports that a bucket is stopped because records are missing before those
// that arrived.
var ErrStopped = errors.New("bucket is stopped: records are missing")

// errResync reports that the warehouse holds something else than the intake believes:
// ask it again and begin anew.
var errResync = errors.New("warehouse holds other positions than expected")

// intakeOptions is what an intake works with.
type intakeOptions struct {
	warehouse warehouse.Appender
	// buckets tells how far the store is; nil when there is none to ask.
	buckets func(context.Context) ([]store.BucketInfo, error)
	// confirm tells the outbox; nil when there is none to tell.
	confirm    func(context.Context, []txn.Position) error
	flushRows  int
	flushEvery time.Duration
	counters   *Counters
	log        *slog.Logger
	now        func() txn.Millis
}

// setDefaults fills in what the caller left out and holds the limits.
func (o *intakeOptions) setDefaults() {
	if o.flushRows <= 0 {
		o.flushRows = flushRowsDefault
	}
	o.flushRows = min(o.flushRows, FlushRowsMax)
	if o.flushEvery <= 0 {
		o.flushEvery = flushEveryDefault
	}
	if o.counters == nil {
		o.counters = &Counters{}
	}
	if o.log == nil {
		o.log = slog.New(slog.DiscardHandler)
	}
	if o.now == nil {
		o.now = func() txn.Millis { return txn.MillisOf(time.Now()) }
	}
}

// intake decides what goes into the warehouse: it is the same for Direct and Sink. It
// belongs to one goroutine, but for stoppedBucket.
type intake struct {
	intakeOptions
	seq       warehouse.Sequence
	rows      []txn.Record
	confirmed warehouse.Positions
	compared  time.Time // when the store was last compared with the warehouse

	mu      sync.Mutex
	stopped [txn.BucketCount]bool // written by the owner, read by Drain
}

// newIntake returns an intake that knows nothing; begin asks the warehouse.
func newIntake(o intakeOptions) *intake {
	o.setDefaults()
	return &intake{intakeOptions: o}
}

// begin asks the warehouse what it holds, until it answers.
func (in *intake) begin(ctx context.Context) error {
	in.rows = in.rows[:0]
	for b := range in.stopped {
		in.setStopped(txn.Bucket(b), false)
	}
	var held warehouse.Positions
	err := retry(ctx, in.log, "cannot read the positions of the warehouse", func() (err error) {
		held, err = in.warehouse.Positions(ctx)
		return err
	})
	if err != nil {
		return err
	}
	in.seq = warehouse.NewSequence(held)
	in.confirmed = warehouse.Positions{}
	if err := in.compare(ctx); err != nil {
		return err
	}
	return in.confirmHeld(ctx)
}

// outcome says what the intake did with an item.
type outcome uint8

const (
	// passed: the item is, or will be with the next flush, in the warehouse.
	passed outcome = iota
	// waiting: its bucket is stopped and the item must come again.
	waiting
	// stoppedNow: the item itself stopped its bucket.
	stoppedNow
)

// take judges one item. Errors are fatal or errResync.
func (in *intake) take(ctx context.Context, it *item) (outcome, error) {
	in.counters.Read.Add(1)
	if it.fault != nil {
		return in.takeFault(ctx, it)
	}
	b := it.record.Position.Bucket
	switch in.seq.Take(&it.record) {
	case warehouse.Next:
		in.setStopped(b, false)
		in.counters.Taken.Add(1)
		if len(in.rows) == cap(in.rows) {
			in.rows = slices.Grow(in.rows, max(rowsFirst, len(in.rows))) // fewer copies than append
		}
		in.rows = append(in.rows, it.record)
		return passed, nil
	case warehouse.Duplicate:
		in.counters.Duplicates.Add(1)
		return passed, nil
	default:
		return in.stop(it, "records are missing"), nil
	}
}

// takeFault puts an item that is no record into the dead letters, in its place.
func (in *intake) takeFault(ctx context.Context, it *item) (outcome, error) {
	if it.placed() {
		try := in.seq
		switch v := try.TakePlace(it.position); {
		case v == warehouse.Duplicate:
			in.counters.Duplicates.Add(1)
			return passed, nil
		case it.later():
			return in.stop(it, "a record is of a later version; upgrade this program"), nil
		case v == warehouse.Gap:
			return in.stop(it, "records are missing"), nil
		}
	}
	if err := in.flush(ctx); err != nil {
		return waiting, err
	}
	letter := it.letter(in.now())
	err := in.retryWrite(ctx, func() error { return in.warehouse.DeadLetter(ctx, letter) })
	if errors.Is(err, warehouse.ErrTooMany) && it.placed() {
		return in.stop(it, "too many dead letters are open"), nil
	}
	if err != nil && !errors.Is(err, warehouse.ErrTooMany) {
		return waiting, err
	}
	in.counters.DeadLetters.Add(1)
	in.log.Error("a record cannot be read and was put aside; its date cannot be closed",
		"record", it.position.String(), "source", it.source, "reason", it.fault)
	if it.placed() {
		in.seq.TakePlace(it.position)
		in.setStopped(it.position.Bucket, false)
	}
	return passed, nil
}

// stop stops the item's bucket until the record that it waits for arrives.
func (in *intake) stop(it *item, why string) outcome {
	b := it.position.Bucket
	in.counters.Skipped.Add(1)
	if in.stopped[b] {
		return waiting
	}
	in.setStopped(b, true)
	in.counters.Gaps.Add(1)
	in.log.Error("bucket stopped", "why", why, "bucket", b.String(),
		"held", in.seq.At(b).String(), "arrived", it.position.String())
	return stoppedNow
}

// setStopped notes whether a bucket waits for a missing record, and keeps the gauge. Only the
// owner calls it, so it may look without the lock; the lock is for Drain, which reads.
func (in *intake) setStopped(b txn.Bucket, stopped bool) {
	if in.stopped[b] == stopped {
		return
	}
	in.mu.Lock()
	in.stopped[b] = stopped
	in.mu.Unlock()
	if stopped {
		in.counters.StoppedBuckets.Add(1)
		return
	}
	in.counters.StoppedBuckets.Add(-1)
	in.log.Info("bucket goes on", "bucket", b.String())
}

// stoppedBucket reports whether bucket b is stopped. Safe for concurrent use.
func (in *intake) stoppedBucket(b txn.Bucket) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.stopped[b]
}

// full reports whether it is time to flush for want of room.
func (in *intake) full() bool { return len(in.rows) >= in.flushRows }

// flush makes what was taken durable, however often that must be tried: the same records
// again are harmless. It does not confirm.
func (in *intake) flush(ctx context.Context) error {
	if len(in.rows) == 0 {
		return nil
	}
	err := in.retryWrite(ctx, func() error { return in.warehouse.Append(ctx, in.rows) })
	if err != nil {
		return err
	}
	in.counters.Flushes.Add(1)
	in.counters.FlushedRows.Add(int64(len(in.rows)))
	clear(in.rows)
	in.rows = in.rows[:0]
	return nil
}

// confirmHeld tells the outbox what the warehouse holds. A failure is tried again with
// the next call, unless it is fatal. Call it only when nothing is waiting for a flush.
func (in *intake) confirmHeld(ctx context.Context) error {
	if in.confirm == nil {
		return nil
	}
	held := in.seq.Held()
	var upTo []txn.Position
	for b, p := range held {
		if p.Epoch > 0 && p != in.confirmed[b] {
			upTo = append(upTo, p)
		}
	}
	if len(upTo) == 0 {
		return nil
	}
	err := in.confirm(ctx, upTo)
	if isFatal(err) {
		return fmt.Errorf("cannot confirm to the outbox: %w", err)
	}
	if err != nil {
		in.counters.ConfirmErrors.Add(1)
		in.log.Warn("cannot confirm to the outbox; trying again with the next flush", "error", err)
		return nil
	}
	in.counters.Confirmed.Add(1)
	in.confirmed = held
	return nil
}

// retryWrite repeats a write to the warehouse until it succeeds, ctx ends or repeating
// it cannot help.
func (in *intake) retryWrite(ctx context.Context, write func() error) error {
	return retry(ctx, in.log, "cannot write to the warehouse", func() error {
		err := write()
		switch {
		case err == nil:
			return nil
		case errors.Is(err, warehouse.ErrGap), errors.Is(err, warehouse.ErrRow):
			return final{fmt.Errorf("%w: %w", errResync, err)}
		case errors.Is(err, warehouse.ErrTooMany):
			return final{err}
		}
		in.counters.FlushErrors.Add(1)
		return err
	})
}

// isFatal reports whether an error of the store or the warehouse ends the process.
func isFatal(err error) bool {
	for _, fatal := range []error{ErrRestored, store.ErrFenced, store.ErrDamaged, store.ErrClosed,
		warehouse.ErrDamaged, warehouse.ErrClosed} {
		if errors.Is(err, fatal) {
			return true
		}
	}
	return false
}

// final marks an error that is not to be tried again.
type final struct{ error }

// Unwrap returns the error itself.
func (f final) Unwrap() error { return f.error }

// retry calls do until it succeeds, with growing pauses. It returns the error when ctx
// ends, or when it is fatal or final.
func retry(ctx context.Context, log *slog.Logger, what string, do func() error) error {
	pause := backoffFirst
	for {
		err := do()
		if err == nil {
			return nil
		}
		var last final
		if errors.As(err, &last) {
			return last.error
		}
		if isFatal(err) || ctx.Err() != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		log.Warn(what+"; trying again", "error", err, "pause", pause)
		if !wait(ctx, pause) {
			return fmt.Errorf("%s: %w", what, err)
		}
		pause = min(2*pause, backoffMax)
	}
}

// wait pauses and reports whether ctx is still alive.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
