package local

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// checkpointer makes a checkpoint now and then, in its own goroutine.
type checkpointer struct {
	s       *Store
	kicks   chan struct{} // one token: make one now
	stopped chan struct{}

	mu     sync.Mutex
	passed chan struct{} // closed and replaced after each checkpoint

	covered   uint64 // the last batch that the last checkpoint covers
	confirmed bool   // something was confirmed since, guarded by mu
}

func (p *checkpointer) init(s *Store) {
	p.s = s
	p.kicks, p.stopped = make(chan struct{}, 1), make(chan struct{})
	p.passed = make(chan struct{})
}

// run ends when the store closes or dies.
func (p *checkpointer) run() {
	defer close(p.stopped)
	ticks := time.NewTicker(p.s.opts.CheckpointEvery)
	defer ticks.Stop()
	for {
		asked := false
		select {
		case <-ticks.C:
		case <-p.kicks:
			asked = true
		case <-p.s.ending:
			return
		case <-p.s.dead:
			return
		}
		if p.s.journal.durable.Load() == p.covered && !p.takeConfirmed() {
			if asked {
				p.s.tidy()
			}
			p.pass()
			continue
		}
		if err := p.s.checkpoint(); err != nil {
			p.s.fail(fmt.Errorf("local store: checkpoint: %w", err))
			return
		}
		p.pass()
	}
}

func (p *checkpointer) stop() { <-p.stopped }

const (
	// restTimes is how many times as long as the work before it a rest is.
	restTimes = 3
	// restMax bounds a rest, so that a slow disk does not draw a checkpoint out.
	restMax = 10 * time.Millisecond
)

// rest waits some times as long as the work before it took, unless somebody waits for the
// checkpoint or the store closes.
func (p *checkpointer) rest(worked time.Duration) {
	timer := time.NewTimer(min(restTimes*worked, restMax))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.s.ending:
	case <-p.s.dead:
	case <-p.kicks:
		p.kick() // it goes on being urgent
	}
}

// kick asks for a checkpoint before its time.
func (p *checkpointer) kick() {
	select {
	case p.kicks <- struct{}{}:
	default:
	}
}

func (p *checkpointer) pass() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.passed)
	p.passed = make(chan struct{})
}

func (p *checkpointer) noteConfirmed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.confirmed = true
}

func (p *checkpointer) takeConfirmed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.confirmed
	p.confirmed = false
	return was
}

// waitFor asks for a checkpoint and waits for the next one to end.
func (p *checkpointer) waitFor(ctx context.Context) error {
	p.mu.Lock()
	passed := p.passed
	p.mu.Unlock()
	p.kick()
	select {
	case <-passed:
		return nil
	case <-p.s.dead:
		return p.s.fault.Load().err
	case <-p.s.ending:
		return store.ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("%w: no room in memory before the next checkpoint: %w",
			store.ErrUnavailable, context.Cause(ctx))
	}
}

// checkpoint writes to Pebble what changed since the last one. The numbering, list
// changes and due changes of all buckets and the number of the journal batch that they
// cover go in one synced batch; the states go ahead of it, see captureStates. That is safe
// because a start replays the journal over whatever states it finds, and the journal ends
// later than any of them: nothing is written here that the journal does not hold durably.
func (s *Store) checkpoint() error {
	s.opts.Failpoint(FailCheckpointBegin)
	covered := s.journal.durable.Load()
	s.journal.filled.Store(0)
	last := s.db.NewBatch()
	defer last.Close()
	var confirmed positions
	for b := range txn.Bucket(txn.BucketCount) {
		position, err := s.captureBucket(last, b)
		if err != nil {
			return err
		}
		confirmed[b] = position
	}
	if err := s.captureStates(); err != nil {
		return err
	}
	s.opts.Failpoint(FailCheckpointStates)
	number := binary.LittleEndian.AppendUint64(nil, covered)
	if err := last.Set([]byte{keyCovered}, number, nil); err != nil {
		return err
	}
	if err := s.journal.wait(context.Background(), s.journal.barrier()); err != nil {
		return err
	}
	if err := s.write(last, pebble.Sync); err != nil {
		return err
	}
	s.tidy()
	s.checkpoints.covered = covered
	s.opts.Failpoint(FailCheckpointEnd)
	s.reader.mu.Lock()
	defer s.reader.mu.Unlock()
	return s.journal.trim(covered, &confirmed)
}

// captureBucket copies everything of a bucket but its states, and returns how far its
// outbox was confirmed then.
func (s *Store) captureBucket(to *pebble.Batch, b txn.Bucket) (txn.Position, error) {
	k := &s.buckets[b]
	k.mu.Lock()
	k.flying = k.fresh
	k.fresh = overlay{list: map[pan.Token]store.Entry{}}
	meta := bucketMeta{
		outbox: k.outbox, date: k.date, listSeq: k.listSeq, frozen: s.listed.ShardLen(b),
	}
	value := meta.append(nil)
	changes := k.changes.latest(k.flying.changes)
	flying := k.flying
	k.mu.Unlock()
	if err := to.Set([]byte{keyBucket, byte(b)}, value, nil); err != nil {
		return txn.Position{}, err
	}
	if err := captureList(to, flying.list); err != nil {
		return txn.Position{}, err
	}
	if err := captureChanges(to, b, changes, s.opts.ChangesKept); err != nil {
		return txn.Position{}, err
	}
	return meta.outbox.confirmed, k.captureDue(to, b, flying.due)
}

// captureList writes list entries. Nobody writes to a flying overlay.
func captureList(to *pebble.Batch, list map[pan.Token]store.Entry) error {
	var key, value []byte
	for token, e := range list {
		key = tokenKey(key[:0], keyListed, &token)
		var err error
		if e.Mark == (txn.Mark{}) {
			err = to.Delete(key, nil)
		} else {
			value = appendListEntry(value[:0], &e)
			err = to.Set(key, value, nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// captureChanges writes list changes and drops those that are older than the kept.
func captureChanges(to *pebble.Batch, b txn.Bucket, changes []store.Change, kept int) error {
	var value []byte
	for _, c := range changes {
		value = binary.LittleEndian.AppendUint32(append(value[:0], c.Card[:]...), c.Mark.Uint32())
		if err := to.Set(changeKey(b, c.Seq), value, nil); err != nil {
			return err
		}
	}
	n := len(changes)
	if n == 0 || changes[n-1].Seq <= store.ListSeq(kept) {
		return nil
	}
	oldest := changes[n-1].Seq - store.ListSeq(kept) + 1
	return to.DeleteRange(changeKey(b, 0), changeKey(b, oldest), nil)
}

// captureDue writes the noted due entries as they are now, which may be later than the rest
// of the bucket: a start replays the journal over them, as over the states.
func (b *bucket) captureDue(to *pebble.Batch, number txn.Bucket, noted []byte) (err error) {
	var key []byte
	named := func(k []byte) []byte {
		key = append(append(key[:0], keyDue, byte(number)), k...)
		return key
	}
	set := func(k []byte, at txn.Millis) error {
		return to.Set(named(k), binary.LittleEndian.AppendUint64(nil, uint64(at)), nil)
	}
	remove := func(k []byte) error { return to.Delete(named(k), nil) }
	for len(noted) > 0 && err == nil {
		b.mu.Lock()
		noted, err = b.due.capture(noted, set, remove)
		b.mu.Unlock()
	}
	return err
}

// eachBlock calls f for the blocks of all classes, from the first of each class until f
// says that there is none.
func (b *bucket) eachBlock(f func(class, block int) (more bool, err error)) error {
	for class := range classCount {
		for block := 0; ; block++ {
			more, err := f(class, block)
			if err != nil {
				return err
			}
			if !more {
				break
			}
		}
	}
	return nil
}

// tidy does what follows a checkpoint that is durable, in every bucket.
func (s *Store) tidy() {
	for b := range s.buckets {
		s.tidyBucket(&s.buckets[b])
	}
}

// tidyBucket marks what the checkpoint has made durable as clean, forgets cards beyond
// the limit, and gives memory back.
func (s *Store) tidyBucket(b *bucket) {
	b.mu.Lock()
	b.flying = overlay{}
	b.mu.Unlock()
	_ = b.eachBlock(func(class, block int) (bool, error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.states.slab.each(class, block, func(_ uint32, slot []byte) {
			slot[0] &^= slotCaptured
		}), nil
	})
	for round := 0; b.shrink() && round < shrinkRoundsMax; round++ {
	}
	for class := range classCount {
		for b.compact(class) {
		}
	}
}

// shrinkRoundsMax bounds the blocks that a checkpoint looks at for cards to forget in
// one bucket: twice as many as there can be, since the first look only notes who was
// seen.
const shrinkRoundsMax = 1 << 16

// shrink forgets cards of one block and reports whether there are still too many.
func (b *bucket) shrink() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	over := b.states.count() - b.hotMax
	if over > 0 {
		b.evictLocked(over)
	}
	return b.states.count() > b.hotMax
}

func (b *bucket) compact(class int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	gone := b.states.compact(class)
	return b.due.compact(class) || gone
}
