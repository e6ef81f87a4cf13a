package feed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const (
	// readMax is how many outbox entries are read at a time.
	readMax = 4096
	// chunksMax is how many reads wait for the intake; with readMax it bounds memory.
	chunksMax = 4
	// readPause is the rest after a read that found little: records come one by one, and a
	// reader that asks after each of them takes the store's time from those who pay. It is
	// short against the time that a batch gathers.
	readPause = 100 * time.Millisecond
	// gatherPause is how long a flush that was asked for waits for the next read. Reads that are
	// under way come within it; an insert costs several of it, however few its rows.
	gatherPause = 10 * time.Millisecond
)

// DirectOptions set up a Direct. Source and Warehouse are required.
type DirectOptions struct {
	Source    Source
	Warehouse warehouse.Appender
	// FlushEvery is the longest time that a record waits to be written; default 1 s.
	FlushEvery time.Duration
	// FlushRows is how many records are written at once; default 50,000, at most
	// FlushRowsMax.
	FlushRows int
	Counters  *Counters
	Log       *slog.Logger
}

// Direct hands the outbox to the warehouse without Kafka, for one machine.
type Direct struct {
	source Source
	in     *intake
	kick   kicker
}

// NewDirect returns a Direct that does nothing before Run.
func NewDirect(o DirectOptions) *Direct {
	return &Direct{source: o.Source, kick: newKicker(), in: newIntake(intakeOptions{
		warehouse: o.Warehouse, buckets: o.Source.Buckets, confirm: o.Source.Confirm, flushRows: o.FlushRows,
		flushEvery: o.FlushEvery, counters: o.Counters, log: o.Log,
	})}
}

// Run feeds until ctx ends, and then returns nil after a last flush. Other faults are
// tried again; an error means that the process must stop: the store is fenced or an older
// copy (ErrRestored), or one of both is damaged or closed. Call it once.
func (d *Direct) Run(ctx context.Context) error {
	for {
		err := d.session(ctx)
		switch {
		case errors.Is(err, errResync):
			d.in.log.Error("beginning anew", "error", err)
			if !wait(ctx, backoffFirst) {
				return nil
			}
		case err == nil || ctx.Err() != nil && !isFatal(err):
			return nil
		default:
			return err
		}
	}
}

// Drain waits until everything that the store had committed when Drain was called is in
// the warehouse and confirmed. It returns ErrStopped when a bucket waits for missing
// records. Run must be running. Safe for concurrent use.
func (d *Direct) Drain(ctx context.Context) error {
	return drain(ctx, d.source, d.kick.kick, d.in.stoppedBucket)
}

// session reads the outbox from its oldest entry, which is the first one that was not
// confirmed.
func (d *Direct) session(ctx context.Context) error {
	if err := d.in.begin(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	chunks := make(chan []item, chunksMax)
	faults := make(chan error, d.source.Shards())
	var readers sync.WaitGroup
	for shard := range d.source.Shards() {
		readers.Go(func() {
			if err := d.read(ctx, shard, chunks); err != nil {
				faults <- err
			}
		})
	}
	err := d.collect(ctx, chunks, faults)
	cancel()
	readers.Wait()
	return err
}

// read sends the entries of one shard to the intake until ctx ends.
func (d *Direct) read(ctx context.Context, shard int, chunks chan<- []item) error {
	var cursor store.Cursor
	records := txn.NewRecordReader()
	for ctx.Err() == nil {
		var entries []store.OutboxEntry
		err := retry(ctx, d.in.log, "cannot read the outbox", func() (err error) {
			entries, cursor, err = readOutbox(ctx, d.source, shard, cursor)
			return err
		})
		if err != nil {
			return err
		}
		if len(entries) == 0 {
			continue
		}
		items := make([]item, len(entries))
		for i := range entries {
			items[i] = entryItem(records, &entries[i])
		}
		select {
		case chunks <- items:
			rest(ctx, len(entries))
		case <-ctx.Done():
		}
	}
	return nil
}

// rest pauses after a read of n entries unless it was a large one.
func rest(ctx context.Context, n int) {
	if n < readMax/2 {
		wait(ctx, readPause)
	}
}

// readOutbox reads once; after an error the cursor is the one before.
func readOutbox(
	ctx context.Context, s store.Outbox, shard int, cursor store.Cursor,
) ([]store.OutboxEntry, store.Cursor, error) {
	entries, next, err := s.Read(ctx, shard, cursor, readMax)
	if err != nil {
		return nil, cursor, fmt.Errorf("shard %d: %w", shard, err)
	}
	return entries, next, nil
}

// collect feeds the intake and flushes it by rows, by time and when asked.
func (d *Direct) collect(ctx context.Context, chunks <-chan []item, faults <-chan error) error {
	ticker := time.NewTicker(d.in.flushEvery)
	defer ticker.Stop()
	for {
		select {
		case items := <-chunks:
			if err := d.takeAll(ctx, items); err != nil {
				return err
			}
			if !d.in.full() {
				continue
			}
		case err := <-faults:
			if isFatal(err) {
				return err
			}
			continue // ctx has ended: the case below sees it
		case <-ticker.C:
			if err := d.in.watch(ctx); err != nil {
				return unlessEnded(ctx, err)
			}
		case <-d.kick:
			if err := d.gather(ctx, chunks); err != nil {
				return err
			}
		case <-ctx.Done():
			return d.last(ctx)
		}
		if err := d.settle(ctx); err != nil {
			return err
		}
	}
}

// gather takes what the readers have until they rest or the batch is full, so that who asks for an
// early flush gets one of all that there is, and not one for every read.
func (d *Direct) gather(ctx context.Context, chunks <-chan []item) error {
	timer := time.NewTimer(gatherPause)
	defer timer.Stop()
	for !d.in.full() {
		select {
		case items := <-chunks:
			if err := d.takeAll(ctx, items); err != nil {
				return err
			}
			timer.Reset(gatherPause)
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return nil // the caller sees it
		}
	}
	return nil
}

// takeAll judges every item of a read, in order.
func (d *Direct) takeAll(ctx context.Context, items []item) error {
	for i := range items {
		if _, err := d.in.take(ctx, &items[i]); err != nil {
			return err
		}
	}
	return nil
}

// settle makes what was taken durable and only then tells the outbox, which may trim it.
func (d *Direct) settle(ctx context.Context) error {
	if err := d.in.flush(ctx); err != nil {
		return err
	}
	return d.in.confirmHeld(ctx)
}

// last writes what was taken although ctx has ended.
func (d *Direct) last(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushLast)
	defer cancel()
	return d.settle(ctx)
}
