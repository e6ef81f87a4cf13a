package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// batch is what one write and one sync make durable. Waiters hold on to it; done is
// closed when it is durable or, with err set, never will be.
type batch struct {
	lsn  uint64
	done chan struct{}
	err  error // set before done is closed
}

// gathered is a buffer of entries on the way to the disk.
type gathered struct {
	batch   *batch
	buf     []byte // begins with room for the head
	entries int
	touched uint64 // buckets with outbox entries, a bit each
	last    [txn.BucketCount]txn.Position
}

// reset empties g for batch lsn.
func (g *gathered) reset(lsn uint64) {
	var head [batchHead]byte
	g.batch, g.buf = &batch{lsn: lsn, done: make(chan struct{})}, append(g.buf[:0], head[:]...)
	g.entries, g.touched = 0, 0
}

// journal appends entries: append gathers, the committer goroutine writes and syncs.
type journal struct {
	disk         disk
	dir          string
	store        uint64 // id of the store
	segmentBytes int64
	failpoint    func(string)
	log          *slog.Logger
	onFail       func(error) (tell func())
	retired      uint64 // the greatest number of a used-up file at start
	onFilled     func() // many segments were filled since the last checkpoint

	durable atomic.Uint64 // number of the last durable batch
	filled  atomic.Int32  // segments filled since the last checkpoint
	starved atomic.Bool   // no next segment: refuse commits that can be refused
	alloc   *allocator
	wake    chan struct{} // one token: something was gathered
	stopped chan struct{} // the committer has returned

	mu struct { // taken inside a bucket's mutex
		sync.Mutex
		room    sync.Cond // the gathering buffer was taken
		gather  *gathered
		spare   *gathered // the other buffer; nil while it is being written
		writing *batch    // what is being written; nil between two writes
		err     error     // why nothing can be written any more
		closed  bool
	}

	segMu    sync.RWMutex // guards segments and what is in them; no I/O under it
	segments []*segment   // oldest first; the last is the one written to

	// The committer's own.
	active *segment
	offset int64
}

// checkpointSegments is how many segments may be filled before a checkpoint is made
// before its time: it bounds what a start has to replay.
const checkpointSegments = 16

// start opens the journal for writing after batch lsn at offset of the last segment;
// spares are files to be overwritten.
func (j *journal) start(lsn uint64, offset int64, spares []*segment) error {
	j.durable.Store(lsn)
	j.mu.room.L = &j.mu.Mutex
	j.mu.gather, j.mu.spare = &gathered{}, &gathered{}
	j.mu.gather.reset(lsn + 1)
	j.wake, j.stopped = make(chan struct{}, 1), make(chan struct{})
	next := uint64(1)
	if n := len(j.segments); n > 0 {
		j.active, j.offset = j.segments[n-1], offset
		next = j.active.number + 1
	}
	j.alloc = newAllocator(j, next)
	j.alloc.retired = j.retired
	for _, g := range spares {
		if err := j.alloc.retire(g); err != nil {
			return err
		}
	}
	go j.alloc.run()
	if j.active == nil {
		if err := j.rotate(); err != nil {
			j.alloc.stop()
			return err
		}
	}
	go j.run()
	return nil
}

// append gathers an entry and returns the batch to wait for. The caller holds the
// entry's bucket, so entries of one bucket stand in the order of their numbers.
func (j *journal) append(e *entry) (*batch, error) {
	j.mu.Lock()
	for j.mu.err == nil && len(j.mu.gather.buf)+entryMax > j.batchLimit() {
		j.mu.room.Wait()
	}
	if j.mu.err != nil {
		defer j.mu.Unlock()
		return nil, j.mu.err
	}
	g := j.mu.gather
	first := g.entries == 0
	g.buf = appendEntry(g.buf, e)
	g.entries++
	if e.has(hasRecord) {
		g.touched |= 1 << e.bucket
		g.last[e.bucket] = e.position()
	}
	b := g.batch
	j.mu.Unlock()
	if first {
		select {
		case j.wake <- struct{}{}:
		default:
		}
	}
	return b, nil
}

// batchLimit bounds a batch so that it fits into a segment.
func (j *journal) batchLimit() int { return int(min(batchMax, j.segmentBytes-blockBytes)) }

// wait returns when the batch is durable, with an error when it is not or ctx ends.
func (j *journal) wait(ctx context.Context, b *batch) error {
	if b == nil || b.lsn <= j.durable.Load() {
		return nil
	}
	if cancelled := ctx.Done(); cancelled != nil {
		select {
		case <-b.done:
		case <-cancelled:
			return fmt.Errorf("%w: the disk did not answer in time: %w",
				store.ErrUnavailable, context.Cause(ctx))
		}
	} else {
		<-b.done
	}
	return b.err
}

// barrier returns the batch after which everything appended until now is durable, nil
// when it is.
func (j *journal) barrier() *batch {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.mu.gather.entries > 0 {
		return j.mu.gather.batch
	}
	return j.mu.writing
}

// upcoming returns the batch that becomes durable next, maybe one without entries yet.
func (j *journal) upcoming() *batch {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.mu.writing != nil {
		return j.mu.writing
	}
	return j.mu.gather.batch
}

// run is the committer. It ends when the journal is closed and everything is written,
// or when a write failed.
func (j *journal) run() {
	defer close(j.stopped)
	for range j.wake {
		for {
			// Handlers that were just woken append now, so that the next sync is theirs too.
			runtime.Gosched()
			g, closed := j.take()
			if g == nil {
				if closed {
					return
				}
				break
			}
			if err := j.write(g); err != nil {
				j.fail(g, err)
				return
			}
			j.finish(g)
		}
	}
}

// take swaps the buffers and returns the full one, nil when nothing was gathered.
func (j *journal) take() (g *gathered, closed bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.mu.gather.entries == 0 {
		return nil, j.mu.closed
	}
	g = j.mu.gather
	j.mu.gather, j.mu.spare = j.mu.spare, nil
	j.mu.gather.reset(g.batch.lsn + 1)
	j.mu.writing = g.batch
	j.mu.room.Broadcast()
	return g, false
}

// write makes the batch durable.
func (j *journal) write(g *gathered) error {
	j.failpoint(FailBeforeWrite)
	if j.offset+int64(padded(len(g.buf))) > j.active.size {
		if err := j.rotate(); err != nil {
			return err
		}
	}
	g.buf = sealBatch(g.buf, batchInfo{
		store: j.store, segment: j.active.number, lsn: g.batch.lsn, entries: g.entries,
	})
	if _, err := j.active.f.WriteAt(g.buf, j.offset); err != nil {
		return fmt.Errorf("cannot write journal segment %s: %w", j.active.name, err)
	}
	j.failpoint(FailAfterWrite)
	if err := j.active.f.Sync(); err != nil {
		return fmt.Errorf("cannot sync journal segment %s: %w", j.active.name, err)
	}
	j.failpoint(FailAfterSync)
	return nil
}

// finish tells everybody that the batch is durable.
func (j *journal) finish(g *gathered) {
	j.segMu.Lock()
	j.active.noteLocked(g.batch.lsn, j.offset)
	for touched := g.touched; touched != 0; touched &= touched - 1 {
		b := bits.TrailingZeros64(touched)
		j.active.last[b] = g.last[b]
	}
	j.segMu.Unlock()
	j.offset += int64(len(g.buf))
	j.durable.Store(g.batch.lsn)
	done := g.batch.done
	j.mu.Lock()
	j.mu.writing, j.mu.spare = nil, g
	j.mu.Unlock()
	close(done)
}

// rotate goes on to the next segment.
func (j *journal) rotate() error {
	j.failpoint(FailSegmentRotate)
	g, err := j.alloc.take()
	if err != nil {
		return err
	}
	j.segMu.Lock()
	j.segments = append(j.segments, g)
	j.segMu.Unlock()
	j.active, j.offset = g, blockBytes
	if j.filled.Add(1) >= checkpointSegments {
		j.onFilled()
	}
	return nil
}

// fail ends the journal: what was being written and what was gathered is in doubt,
// and nothing more is taken.
func (j *journal) fail(g *gathered, cause error) {
	err := fmt.Errorf("%w: the journal failed, start the process again: %w",
		store.ErrUnavailable, cause)
	j.mu.Lock()
	j.mu.err = err
	waiting := j.mu.gather.batch
	j.mu.room.Broadcast()
	j.mu.Unlock()
	tell := j.onFail(err)
	for _, b := range []*batch{g.batch, waiting} {
		b.err = err
		close(b.done)
	}
	tell()
}

// refuse makes every later append fail with err, unless it fails already.
func (j *journal) refuse(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.mu.err == nil {
		j.mu.err = err
		j.mu.room.Broadcast()
	}
}

// stop writes what is gathered and ends the goroutines. Nobody appends any more.
func (j *journal) stop() error {
	j.mu.Lock()
	j.mu.closed = true
	j.mu.Unlock()
	select {
	case j.wake <- struct{}{}:
	default:
	}
	<-j.stopped
	j.alloc.stop()
	j.segMu.Lock()
	defer j.segMu.Unlock()
	var errs []error
	for _, g := range j.segments {
		errs = append(errs, g.f.Close())
	}
	return errors.Join(errs...)
}

// discard removes a segment that nobody needs.
func (j *journal) discard(g *segment) {
	if err := errors.Join(g.f.Close(), j.disk.Remove(g.name)); err != nil {
		j.log.Warn("local store: cannot remove a used-up journal segment", "file", g.name,
			"error", err)
	}
}
