package blacklist

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Source is the list that a replica follows; a store.List is one. Each method is as
// described there.
type Source interface {
	// Snapshot yields every listed card of the bucket.
	Snapshot(ctx context.Context, b txn.Bucket, yield func(pan.Token, txn.Mark)) (store.ListSeq, error)
	// Changes returns what followed after; store.ErrGap asks for a snapshot.
	Changes(ctx context.Context, b txn.Bucket, after store.ListSeq, max int) ([]store.Change, error)
	// Entry returns one card's entry.
	Entry(ctx context.Context, card pan.Token) (store.Entry, bool, error)
	// Tails returns the list sequence of every bucket: the heartbeat.
	Tails(ctx context.Context) ([txn.BucketCount]store.ListSeq, error)
}

// Limits of a replica.
const (
	// changesMax is how many changes are asked for at once.
	changesMax = 1000
	// aheadMax bounds the changes of a bucket that were applied before they came from
	// the store, and the marks learned that are not yet verified. Beyond it the bucket
	// takes a new snapshot, which needs neither.
	aheadMax = 4096
)

// ReplicaOptions set up a Replica. Only Source is needed.
type ReplicaOptions struct {
	Source Source
	// Poll is how often the source is asked for news; 0 for 100 ms.
	Poll time.Duration
	// Lease is how long an answer of the source holds; 0 for 2 s.
	Lease time.Duration
	// CallMax bounds one call to the source except a snapshot; 0 for 1 s. SnapshotMax
	// bounds a snapshot of one bucket; 0 for 30 s.
	CallMax     time.Duration
	SnapshotMax time.Duration
	// Now reads a monotonic clock; nil for the system's, which goes on while the
	// process is stopped. It does not go on while the whole machine is suspended.
	Now func() time.Duration
	// Report, when not nil, is told each fault of the source. It is called from Run's
	// goroutines.
	Report func(error)
}

// Replica is a copy of the store's blacklist in memory that knows how old it is. It
// answers Unknown until Run has taken the first snapshot of the card's bucket. Buckets
// are followed, age and are repaired each on its own.
//
// Two failures of a store cannot be seen by numbers alone: one that loses changes and
// grows beyond their number again between two polls, and one that reports wrong marks.
// Commit in the store is the defence against both.
type Replica struct {
	o       ReplicaOptions
	set     *Set
	buckets [txn.BucketCount]follower
	running atomic.Bool

	changes  atomic.Int64
	resyncs  atomic.Int64
	gaps     atomic.Int64
	failures atomic.Int64
}

// Stats are figures for metrics; counters grow from the start of the process.
type Stats struct {
	Cards     int
	Bytes     int64
	Freshness Freshness     // of the bucket that is worst off
	Age       time.Duration // since the source confirmed the oldest bucket; 0 when Unknown
	Unknown   int           // buckets without a snapshot yet
	Changes   int64         // changes applied
	Resyncs   int64         // snapshots completed, the first of each bucket included
	Gaps      int64         // gaps found
	Failures  int64         // calls to the source that failed
}

// NewReplica returns a replica that knows nothing yet.
func NewReplica(o ReplicaOptions) *Replica {
	o.Poll = orDefault(o.Poll, 100*time.Millisecond)
	o.Lease = orDefault(o.Lease, 2*time.Second)
	o.CallMax = orDefault(o.CallMax, time.Second)
	o.SnapshotMax = orDefault(o.SnapshotMax, 30*time.Second)
	if o.Now == nil {
		start := time.Now()
		o.Now = func() time.Duration { return time.Since(start) }
	}
	if o.Report == nil {
		o.Report = func(error) {}
	}
	r := &Replica{o: o, set: NewSet()}
	for i := range r.buckets {
		r.buckets[i].init()
	}
	return r
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// Check implements Checker. The order counts: what the source confirmed is read before
// the mark, so that the mark is at least as new, and the clock last, so that a process
// that was stopped in between sees its lease expired.
func (r *Replica) Check(card pan.Token) (txn.Mark, Freshness) {
	confirmed := r.buckets[txn.BucketOf(card)].confirmed.Load()
	mark := r.set.Get(card)
	return mark, r.freshness(confirmed)
}

func (r *Replica) freshness(confirmed int64) Freshness {
	switch {
	case confirmed == never:
		return Unknown
	case r.o.Now()-time.Duration(confirmed) > r.o.Lease:
		return Stale
	default:
		return Fresh
	}
}

// Mark returns the card's mark alone, for callers whose Commit compares it.
func (r *Replica) Mark(card pan.Token) txn.Mark { return r.set.Get(card) }

// Apply takes over a change that this process committed itself, before it comes from
// the source: the freeze holds here at once. Changes may be applied in any order.
func (r *Replica) Apply(c store.Change) {
	r.buckets[txn.BucketOf(c.Card)].ahead(r.set, c)
}

// Learn takes over a mark that the store told without its number. It holds at once and
// is verified with the store on the next poll, since a later change may have come first.
func (r *Replica) Learn(card pan.Token, mark txn.Mark) {
	r.buckets[txn.BucketOf(card)].learn(r.set, card, mark)
}

// Freshness returns that of the bucket that is worst off.
func (r *Replica) Freshness() Freshness { return r.Stats().Freshness }

// Stats returns the figures as they are now.
func (r *Replica) Stats() Stats {
	s := Stats{Cards: r.set.Len(), Bytes: r.set.Bytes(), Freshness: Fresh,
		Changes: r.changes.Load(), Resyncs: r.resyncs.Load(), Gaps: r.gaps.Load(),
		Failures: r.failures.Load()}
	for i := range r.buckets {
		confirmed := r.buckets[i].confirmed.Load()
		s.Freshness = min(s.Freshness, r.freshness(confirmed))
		if confirmed == never {
			s.Unknown++
			continue
		}
		s.Age = max(s.Age, r.o.Now()-time.Duration(confirmed))
	}
	return s
}

// Run follows the source until ctx ends and returns when both of its goroutines have
// ended: one polls, one takes snapshots. A source that fails is asked again on the next
// poll. Run may be called once.
func (r *Replica) Run(ctx context.Context) {
	if r.running.Swap(true) {
		panic("blacklist: internal error: Run was called twice")
	}
	var snapshots sync.WaitGroup
	snapshots.Go(func() { r.every(ctx, r.repair) })
	r.every(ctx, r.poll)
	snapshots.Wait()
}

// every calls step at once and then on every poll tick until ctx ends.
func (r *Replica) every(ctx context.Context, step func(context.Context)) {
	tick := time.NewTicker(r.o.Poll)
	defer tick.Stop()
	for ctx.Err() == nil {
		step(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

func (r *Replica) failed(ctx context.Context, err error) {
	if ctx.Err() == nil {
		r.failures.Add(1)
		r.o.Report(err)
	}
}

// poll brings every bucket that has a snapshot up to date. A bucket is confirmed as of
// the moment before the source was asked.
func (r *Replica) poll(ctx context.Context) {
	var before [txn.BucketCount]int
	for b := range r.buckets {
		before[b], _ = r.buckets[b].generation()
	}
	asked := r.o.Now()
	call, cancel := context.WithTimeout(ctx, r.o.CallMax)
	tails, err := r.o.Source.Tails(call)
	cancel()
	if err != nil {
		r.failed(ctx, fmt.Errorf("blacklist: the replica cannot learn where the list ends: %w", err))
		return
	}
	for b := range txn.Bucket(txn.BucketCount) {
		if now, ok := r.buckets[b].generation(); !ok || now != before[b] {
			continue
		}
		if err := r.catchUp(ctx, b, tails[b]); err != nil {
			r.failed(ctx, fmt.Errorf("blacklist: the replica cannot follow bucket %s: %w", b, err))
			continue
		}
		r.buckets[b].confirm(asked, tails[b])
	}
}

// catchUp applies the changes of a bucket up to tail at least and verifies what was
// learned.
func (r *Replica) catchUp(ctx context.Context, b txn.Bucket, tail store.ListSeq) error {
	f := &r.buckets[b]
	for {
		applied, ok := f.position()
		if !ok {
			return nil
		}
		if tail < applied {
			r.gap(f)
			return nil
		}
		if tail == applied {
			return r.verify(ctx, f)
		}
		call, cancel := context.WithTimeout(ctx, r.o.CallMax)
		changes, err := r.o.Source.Changes(call, b, applied, changesMax)
		cancel()
		if err := r.follow(f, changes, err); err != nil {
			return err
		}
	}
}

// verify reads the entries of the cards that were learned.
func (r *Replica) verify(ctx context.Context, f *follower) error {
	for _, card := range f.unverified() {
		call, cancel := context.WithTimeout(ctx, r.o.CallMax)
		e, _, err := r.o.Source.Entry(call, card)
		cancel()
		if err != nil {
			return err
		}
		f.verified(r.set, card, e.Mark)
	}
	return nil
}

// repair takes a snapshot of each bucket that needs one. The old entries stay until it
// is complete.
func (r *Replica) repair(ctx context.Context) {
	for b := range txn.Bucket(txn.BucketCount) {
		f := &r.buckets[b]
		if _, ok := f.position(); ok || ctx.Err() != nil {
			continue
		}
		f.begin()
		asked := r.o.Now()
		built := NewBuilder(r.set.ShardLen(b))
		call, cancel := context.WithTimeout(ctx, r.o.SnapshotMax)
		seq, err := r.o.Source.Snapshot(call, b, built.Put)
		cancel()
		if err != nil {
			r.failed(ctx, fmt.Errorf("blacklist: the replica cannot take a snapshot of bucket %s: %w",
				b, err))
			continue
		}
		f.replace(r.set, b, built, seq)
		f.confirmedAt(asked)
		r.resyncs.Add(1)
	}
}

// follow applies what Changes returned and turns what cannot be followed into a gap.
func (r *Replica) follow(f *follower, changes []store.Change, err error) error {
	switch {
	case errors.Is(err, store.ErrGap):
		r.gap(f)
		return nil
	case err != nil:
		return err
	case len(changes) == 0:
		r.gap(f) // the source has a tail beyond and no changes up to it
		return nil
	}
	if err := f.apply(r.set, changes); err != nil {
		r.gap(f)
		return nil
	}
	r.changes.Add(int64(len(changes)))
	return nil
}

func (r *Replica) gap(f *follower) {
	r.gaps.Add(1)
	f.lose()
}
