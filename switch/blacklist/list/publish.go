package list

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// RegistryKey is where the last epoch is kept.
const RegistryKey = "list/epoch"

// record is what the registry keeps: the last epoch, and up to where it held each bucket.
type record struct {
	epoch Epoch
	at    txn.Millis
	tails [txn.BucketCount]store.ListSeq
	by    processID // who made the epoch; zero before version 2
}

const (
	recordVersion = 2
	recordSize    = 1 + 8 + 8 + 8*txn.BucketCount // of version 1, which ends here
)

func (r record) append(dst []byte) []byte {
	dst = append(dst, recordVersion)
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.epoch))
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.at))
	for _, t := range r.tails {
		dst = binary.BigEndian.AppendUint64(dst, uint64(t))
	}
	return append(dst, r.by[:]...)
}

// readRecord reads a value of the registry. One that cannot be read counts as lost: the
// clock and the other witnesses then give the number.
func readRecord(b []byte) (r record, ok bool) {
	switch {
	case len(b) == recordSize && b[0] == 1:
	case len(b) == recordSize+len(r.by) && b[0] == recordVersion:
		copy(r.by[:], b[recordSize:])
	default:
		return r, false
	}
	r.epoch = Epoch(binary.BigEndian.Uint64(b[1:]))
	r.at = txn.Millis(binary.BigEndian.Uint64(b[9:]))
	for i := range r.tails {
		r.tails[i] = store.ListSeq(binary.BigEndian.Uint64(b[17+8*i:]))
	}
	return r, r.epoch <= Epoch(txn.MinorMax)
}

// Step asks the source for news once and publishes an epoch when something changed and the
// interval since the last has passed. Run calls it; tests may. The error is of the first
// fault; buckets that did not fail are published all the same. The first epoch waits until
// every bucket is read: an empty list must never stand for "nobody is frozen".
func (p *Publisher) Step(ctx context.Context) error {
	p.step.Lock()
	defer p.step.Unlock()
	if !p.started {
		if err := p.start(ctx); err != nil {
			return err
		}
	}
	fault := p.news(ctx)
	if !p.due() {
		return errors.Join(fault, p.past.rest())
	}
	return errors.Join(fault, p.publish(ctx))
}

// start reads the registry before the list: what is published under a version that the
// registry still has cannot be older than what another published.
func (p *Publisher) start(ctx context.Context) error {
	r, err := p.register(ctx)
	if err != nil {
		return err
	}
	p.started, p.recovery, p.doubt = true, r, true
	p.recall(r)
	return nil
}

// register reads the registry's value and takes its number for used.
func (p *Publisher) register(ctx context.Context) (record, error) {
	call, cancel := context.WithTimeout(ctx, p.o.CallMax)
	defer cancel()
	value, version, err := p.o.Registry.Get(call, RegistryKey)
	if err != nil {
		return record{}, fmt.Errorf("list: the last epoch cannot be read from the registry: %w", err)
	}
	r, ok := readRecord(value)
	if len(value) > 0 && !ok {
		p.o.Report(fmt.Errorf("%w: registry value %s of %d bytes", ErrDamaged, RegistryKey, len(value)))
	}
	if !ok {
		r = record{}
	}
	p.version, p.last = version, max(p.last, r.epoch)
	return r, nil
}

// due reports whether an epoch is to be published now.
func (p *Publisher) due() bool {
	changed := p.doubt || p.claimed.Load() > uint64(p.last)
	for i := range p.follow {
		f := &p.follow[i]
		if !f.loaded && p.view.Load() == nil {
			return false
		}
		changed = changed || len(f.pending) > 0 || f.resync
	}
	return changed && (p.view.Load() == nil || p.o.Now().Sub(p.lastAt) >= p.o.Interval ||
		p.o.Now().Before(p.lastAt))
}

// news brings every bucket as far as the source is and returns the first fault.
func (p *Publisher) news(ctx context.Context) error {
	asked := p.o.Now()
	call, cancel := context.WithTimeout(ctx, p.o.CallMax)
	tails, err := p.o.Source.Tails(call)
	cancel()
	if err != nil {
		return fmt.Errorf("list: the publisher cannot learn where the list ends: %w", err)
	}
	pending, complete := 0, true
	for i := range p.follow {
		pending += len(p.follow[i].pending)
	}
	for b := range txn.Bucket(txn.BucketCount) {
		room := pendingMax - pending
		n, done, e := p.bucketNews(ctx, b, tails[b], room)
		pending, complete = pending+n, complete && done && e == nil
		if e != nil && err == nil {
			err = fmt.Errorf("list: the publisher cannot follow bucket %s: %w", b, e)
		}
	}
	if complete {
		p.confirmed.Store(asked.UnixMilli())
	}
	return err
}

// bucketNews reads a bucket up to tail, at most room changes of it. done says that tail was
// reached.
func (p *Publisher) bucketNews(ctx context.Context, b txn.Bucket, tail store.ListSeq,
	room int) (n int, done bool, err error) {
	f := &p.follow[b]
	if f.applied > tail {
		f.loaded = false // the store lost changes, or was restored
	}
	for f.loaded && f.applied < tail && n < room {
		call, cancel := context.WithTimeout(ctx, p.o.CallMax)
		changes, err := p.o.Source.Changes(call, b, f.applied, changesMax)
		cancel()
		if errors.Is(err, store.ErrGap) || err == nil && !follows(changes, f.applied) {
			f.loaded = false
			break
		}
		if err != nil {
			return n, false, err
		}
		f.pending = append(f.pending, changes...)
		f.applied += store.ListSeq(len(changes))
		n += len(changes)
	}
	if f.loaded {
		return n, f.applied >= tail, nil
	}
	return n, true, p.snapshot(ctx, b)
}

// follows reports whether changes are numbered on from after.
func follows(changes []store.Change, after store.ListSeq) bool {
	for i, c := range changes {
		if c.Seq != after+1+store.ListSeq(i) {
			return false
		}
	}
	return len(changes) > 0
}

// snapshot reads a bucket anew. What it held stays published until the new content is.
func (p *Publisher) snapshot(ctx context.Context, b txn.Bucket) error {
	call, cancel := context.WithTimeout(ctx, p.o.SnapshotMax)
	defer cancel()
	fresh := make([]entry, 0, len(p.master.buckets[b].tokens)) // only Step writes the master
	seq, err := p.o.Source.Snapshot(call, b, func(card pan.Token, m txn.Mark) {
		if scope := scopeOf(m); scope != 0 {
			fresh = append(fresh, entry{card, scope})
		}
	})
	if err != nil {
		return err
	}
	fresh = distinct(fresh)
	p.follow[b] = follower{loaded: true, applied: seq, fresh: fresh, resync: true}
	return nil
}

// publish takes the next number from the registry and makes what waits the current epoch.
// When the registry has changed, another publisher is at work: its number is learnt, and
// the next Step tries with what the source says then.
func (p *Publisher) publish(ctx context.Context) error {
	now := p.o.Now()
	next := record{epoch: p.next(), at: txn.MillisOf(now), by: p.past.id}
	for b := range p.follow {
		next.tails[b] = p.follow[b].applied
	}
	call, cancel := context.WithTimeout(ctx, p.o.CallMax)
	err := p.o.Registry.Put(call, RegistryKey, next.append(nil), p.version)
	cancel()
	if err != nil {
		// It may have been written: the number counts as used either way.
		p.last, p.doubt = max(p.last, next.epoch), true
		_, again := p.register(ctx)
		return errors.Join(fmt.Errorf("list: epoch %d cannot be written to the registry: %w",
			next.epoch, err), again)
	}
	p.version++
	p.last, p.lastAt, p.doubt = next.epoch, now, false
	p.become(next)
	if err := p.past.settle(&p.history, &p.master); err != nil {
		p.o.Report(err) // the epoch is published all the same
	}
	return nil
}

// next returns a number beyond every one that may have been used. In doubt it is also beyond
// what the clock and the changes of the list could have given.
func (p *Publisher) next() Epoch {
	n := max(p.last, Epoch(p.claimed.Load()))
	if p.doubt {
		changes := Epoch(0)
		for b := range p.follow {
			changes += Epoch(p.follow[b].applied)
		}
		n = max(n, p.clockEpoch(), changes)
	}
	return n + 1
}

// become makes what waits the content of the epoch.
func (p *Publisher) become(r record) {
	p.mu.Lock()
	ops := p.takeOver()
	s := state{epoch: r.epoch, at: r.at, ops: ops}
	if n := len(p.history.states); n == 0 {
		s.summaries, s.ops = p.master.summaries(p.o.Scopes), nil
	} else {
		for i, app := range p.o.Scopes {
			s.summaries = append(s.summaries, p.history.states[n-1].summaries[i].after(ops, app))
		}
	}
	freezes := gained(s.ops, p.o.Scopes)
	first := p.view.Load() == nil
	if first {
		p.began = r.epoch
		p.prove(&s)
	}
	p.history.push(s)
	for b := range txn.Bucket(txn.BucketCount) {
		p.note(b, r, first)
	}
	p.mu.Unlock()

	if err := p.past.add(&p.history); err != nil {
		p.o.Report(err)
	}
	p.o.Published(Publication{Epoch: r.epoch, At: r.at, Freezes: freezes})
	v := &view{epoch: r.epoch, at: r.at, changed: make(chan struct{}),
		deltas: map[deltaKey]*deltaFile{}, currents: map[txn.App]*currentFile{}}
	if old := p.view.Swap(v); old != nil {
		close(old.changed)
	}
}

// takeOver works everything that waits into the master and returns what it changed. Buckets
// are apart, and in the order of their cards.
func (p *Publisher) takeOver() []op {
	var parts [txn.BucketCount][]op
	workers := min(takeOverMax, runtime.GOMAXPROCS(0))
	if !p.much() {
		workers = 1
	}
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for b := w; b < txn.BucketCount; b += workers {
				parts[b] = p.takeOverBucket(b)
			}
		})
	}
	group.Wait()
	return slices.Concat(parts[:]...)
}

// takeOverMax bounds the goroutines of takeOver, which get more than one when that many
// changes wait.
const (
	takeOverMax  = 4
	takeOverMany = 2000
)

// much reports whether more waits than one goroutine does in a moment.
func (p *Publisher) much() bool {
	n := 0
	for b := range p.follow {
		n += len(p.follow[b].pending) + len(p.follow[b].fresh)
	}
	return n > takeOverMany
}

func (p *Publisher) takeOverBucket(b int) (ops []op) {
	f, c := &p.follow[b], &p.master.buckets[b]
	switch {
	case f.resync && len(p.history.states) == 0:
		c.fill(f.fresh) // nobody asks what changed before the first epoch
	case f.resync:
		ops = c.apply(c.replaceBy(f.fresh), ops)
	}
	if len(f.pending) > 0 {
		ops = c.apply(last(f.pending), slices.Grow(ops, len(f.pending)))
	}
	f.pending, f.fresh, f.resync = f.pending[:0], nil, false
	if cap(f.pending) > pendingKept {
		f.pending = nil
	}
	return ops
}

// pendingKept is how much room for changes a bucket keeps from one epoch to the next.
const pendingKept = 1024

// fill makes a snapshot the content.
func (c *content) fill(fresh []entry) {
	c.tokens, c.scopes = make([]pan.Token, len(fresh)), make([]txn.App, len(fresh))
	for i, e := range fresh {
		c.tokens[i], c.scopes[i] = e.card, e.scope
	}
}

// prove drops what was recalled of the process before if it does not lead to what the store
// says: then, deltas begin anew.
func (p *Publisher) prove(s *state) {
	sums := p.master.summaries(p.o.Scopes)
	if slices.Equal(s.summaries, sums) {
		return
	}
	p.o.Report(fmt.Errorf("%w: the history does not lead to the list of epoch %d and is dropped",
		ErrDamaged, s.epoch))
	s.summaries, s.ops, p.history.states = sums, nil, nil
}

// note enters the epoch into the index where the bucket has moved. With the first epoch,
// what the process before had published is entered first.
func (p *Publisher) note(b txn.Bucket, r record, first bool) {
	seq := p.follow[b].applied
	if first && p.recovery.epoch > 0 && p.recovery.tails[b] <= seq {
		p.index.add(b, p.recovery.tails[b], First{Epoch: p.recovery.epoch, At: p.recovery.at})
	}
	points := p.index[b]
	if len(points) > 0 && points[len(points)-1].seq == seq {
		return
	}
	p.index.add(b, seq, First{Epoch: r.epoch, At: r.at, Exact: !first})
}

// gained counts the cards that a list of any scope gained.
func gained(ops []op, scopes []txn.App) (n int) {
	all := txn.App(0)
	for _, app := range scopes {
		all |= app
	}
	for _, o := range ops {
		if o.new&^o.old&all != 0 {
			n++
		}
	}
	return n
}
