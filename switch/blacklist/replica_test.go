package blacklist

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

var replaced = txn.Mark{Reason: txn.Replaced, Scope: txn.AppAll}

// desk is a store with the calls that change its list, and a source whose calls can be
// made to fail or to hang.
type desk struct {
	*storetest.Memory
	t testing.TB

	silent   atomic.Bool   // every call hangs until its context ends
	snapshot chan struct{} // when not nil, a snapshot waits here half way
	changes  func([]store.Change) []store.Change
	tails    func([txn.BucketCount]store.ListSeq) [txn.BucketCount]store.ListSeq
	asked    func() // called after Tails was answered
	read     func() // called after Entry was answered
	began    func() // called when a snapshot begins
}

func newDesk(t testing.TB, o storetest.MemoryOptions) *desk {
	d := &desk{Memory: storetest.NewMemory(o), t: t}
	if err := d.OpenEpoch(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	return d
}

// set lists the card with mark, or takes it off, and returns the change.
func (d *desk) set(card pan.Token, mark txn.Mark) store.Change {
	d.t.Helper()
	e, _, err := d.Memory.Entry(d.t.Context(), card)
	if err != nil {
		d.t.Fatal(err)
	}
	c := &store.Commit{Card: card, AnyVersion: true, Mark: e.Mark,
		List: &store.ListChange{Entry: store.Entry{Mark: mark}}}
	err = d.Memory.Commit(d.t.Context(), []*store.Commit{c})
	if err != nil || c.Status != store.Committed {
		d.t.Fatalf("freeze: status %s, error %v", c.Status, err)
	}
	return store.Change{Seq: c.ListSeq, Card: card, Mark: mark}
}

func (d *desk) hang(ctx context.Context) error {
	if !d.silent.Load() {
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

func (d *desk) Tails(ctx context.Context) ([txn.BucketCount]store.ListSeq, error) {
	if err := d.hang(ctx); err != nil {
		return [txn.BucketCount]store.ListSeq{}, err
	}
	tails, err := d.Memory.Tails(ctx)
	if d.tails != nil {
		tails = d.tails(tails)
	}
	if d.asked != nil {
		d.asked()
	}
	return tails, err
}

func (d *desk) Entry(ctx context.Context, card pan.Token) (store.Entry, bool, error) {
	e, ok, err := d.Memory.Entry(ctx, card)
	if d.read != nil {
		d.read()
	}
	return e, ok, err
}

func (d *desk) Changes(ctx context.Context, b txn.Bucket, after store.ListSeq,
	max int) ([]store.Change, error) {
	if err := d.hang(ctx); err != nil {
		return nil, err
	}
	changes, err := d.Memory.Changes(ctx, b, after, max)
	if d.changes != nil {
		changes = d.changes(changes)
	}
	return changes, err
}

func (d *desk) Snapshot(ctx context.Context, b txn.Bucket,
	yield func(pan.Token, txn.Mark)) (store.ListSeq, error) {
	if err := d.hang(ctx); err != nil {
		return 0, err
	}
	if d.began != nil {
		d.began()
	}
	n := 0
	seq, err := d.Memory.Snapshot(ctx, b, func(card pan.Token, mark txn.Mark) {
		if n++; n > 1 {
			return // half way: the first card was given, the others come below
		}
		yield(card, mark)
	})
	if d.snapshot != nil {
		select {
		case <-d.snapshot:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	if err != nil {
		return 0, err
	}
	_, err = d.Memory.Snapshot(ctx, b, yield)
	return seq, err
}

// run starts a replica in the bubble of a synctest test and stops it in the end.
func run(t *testing.T, r *Replica) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.Run(ctx)
	}()
	return func() {
		cancel()
		<-ended
	}
}

func expect(t *testing.T, c Checker, card pan.Token, mark txn.Mark, f Freshness) {
	t.Helper()
	if gotMark, got := c.Check(card); gotMark != mark || got != f {
		t.Fatalf("Check gives %v, %s; want %v, %s", gotMark, got, mark, f)
	}
}

// after lets time pass and everything that happens in it end.
func after(d time.Duration) {
	timer := time.NewTimer(d)
	<-timer.C
	synctest.Wait()
}

func TestReplicaFollowsTheDesk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, storetest.MemoryOptions{})
		before, later := tokenAt(1), tokenAt(2)
		d.set(before, lost)
		r := NewReplica(ReplicaOptions{Source: d})
		expect(t, r, before, txn.Mark{}, Unknown)
		defer run(t, r)()
		synctest.Wait()
		expect(t, r, before, lost, Fresh)
		expect(t, r, later, txn.Mark{}, Fresh)
		d.set(later, risk)
		d.set(before, txn.Mark{})
		after(100 * time.Millisecond)
		expect(t, r, later, risk, Fresh)
		expect(t, r, before, txn.Mark{}, Fresh)
		if s := r.Stats(); s.Cards != 1 || s.Changes != 2 || s.Resyncs != txn.BucketCount ||
			s.Gaps != 0 || s.Failures != 0 || s.Unknown != 0 || s.Freshness != Fresh || s.Bytes == 0 {
			t.Fatalf("stats %+v", s)
		}
	})
}

// TestUnknownUntilComplete: half a snapshot is nothing; nobody is taken for free.
func TestUnknownUntilComplete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, storetest.MemoryOptions{})
		a, b := inBucket(tokenAt(1), 0), inBucket(tokenAt(2), 0)
		d.set(a, lost)
		d.set(b, lost)
		d.snapshot = make(chan struct{})
		r := NewReplica(ReplicaOptions{Source: d, SnapshotMax: 3 * time.Second})
		defer run(t, r)()
		for range 5 {
			after(time.Second)
			expect(t, r, a, txn.Mark{}, Unknown)
		}
		if s := r.Stats(); s.Unknown != txn.BucketCount || s.Freshness != Unknown || s.Failures == 0 {
			t.Fatalf("stats %+v", s)
		}
		close(d.snapshot)
		after(time.Second)
		expect(t, r, a, lost, Fresh)
		expect(t, r, b, lost, Fresh)
	})
}

// TestSilentSource: a source that hangs without an error makes the replica stale after
// the lease; who is listed stays listed, and when it answers again all is caught up.
func TestSilentSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, storetest.MemoryOptions{})
		card, later := tokenAt(1), tokenAt(2)
		d.set(card, lost)
		r := NewReplica(ReplicaOptions{Source: d})
		defer run(t, r)()
		after(time.Second)
		d.silent.Store(true)
		d.set(later, lost)
		after(1900 * time.Millisecond)
		expect(t, r, later, txn.Mark{}, Fresh)
		after(200 * time.Millisecond)
		expect(t, r, later, txn.Mark{}, Stale)
		expect(t, r, card, lost, Stale)
		if s := r.Stats(); s.Age < 2*time.Second || s.Freshness != Stale || s.Unknown != 0 {
			t.Fatalf("stats %+v", s)
		}
		d.silent.Store(false)
		after(1200 * time.Millisecond)
		expect(t, r, later, lost, Fresh)
	})
}

// TestFailingSource is the same with errors instead of silence.
func TestFailingSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, storetest.MemoryOptions{})
		var told atomic.Int64
		r := NewReplica(ReplicaOptions{Source: d, Report: func(err error) {
			if errors.Is(err, store.ErrUnavailable) {
				told.Add(1)
			}
		}})
		defer run(t, r)()
		after(time.Second)
		d.SetFault(func(storetest.Op) storetest.Fault { return storetest.NotApplied })
		after(2500 * time.Millisecond)
		expect(t, r, tokenAt(1), txn.Mark{}, Stale)
		if s := r.Stats(); s.Failures == 0 || told.Load() != s.Failures {
			t.Fatalf("%d faults reported, %d counted", told.Load(), s.Failures)
		}
		d.SetFault(nil)
		after(200 * time.Millisecond)
		expect(t, r, tokenAt(1), txn.Mark{}, Fresh)
	})
}

// TestStoppedProcess: a process that was stopped for 30 s sees its lease expired in the
// first answer it gives, before any of its goroutines has run again.
func TestStoppedProcess(t *testing.T) {
	d := newDesk(t, storetest.MemoryOptions{})
	var clock atomic.Int64
	r := NewReplica(ReplicaOptions{Source: d,
		Now: func() time.Duration { return time.Duration(clock.Load()) }})
	r.repair(t.Context())
	r.poll(t.Context())
	expect(t, r, tokenAt(1), txn.Mark{}, Fresh)
	clock.Add(int64(2 * time.Second))
	expect(t, r, tokenAt(1), txn.Mark{}, Fresh)
	clock.Add(1)
	expect(t, r, tokenAt(1), txn.Mark{}, Stale)
	clock.Add(int64(28 * time.Second))
	expect(t, r, tokenAt(1), txn.Mark{}, Stale)
	r.poll(t.Context())
	expect(t, r, tokenAt(1), txn.Mark{}, Fresh)
}

// TestStoppedWhileAsking: what a source said is worth as much as when it was asked.
func TestStoppedWhileAsking(t *testing.T) {
	d := newDesk(t, storetest.MemoryOptions{})
	var clock atomic.Int64
	r := NewReplica(ReplicaOptions{Source: d,
		Now: func() time.Duration { return time.Duration(clock.Load()) }})
	r.repair(t.Context())
	d.asked = func() { clock.Add(int64(30 * time.Second)) }
	r.poll(t.Context())
	expect(t, r, tokenAt(1), txn.Mark{}, Stale)
	d.began = d.asked
	r.buckets[txn.BucketOf(tokenAt(1))].lose()
	r.repair(t.Context())
	expect(t, r, tokenAt(1), txn.Mark{}, Stale)
}

// TestGapKeepsOldEntries: when changes were trimmed the old entries stay, and their age
// goes on, until the new snapshot is complete.
func TestGapKeepsOldEntries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, storetest.MemoryOptions{ListLogMax: 4})
		old, other := inBucket(tokenAt(1), 9), inBucket(tokenAt(2), 10)
		d.set(old, lost)
		d.set(other, lost)
		r := NewReplica(ReplicaOptions{Source: d})
		defer run(t, r)()
		after(time.Second)
		d.snapshot = make(chan struct{})
		for i := range uint64(10) {
			d.set(inBucket(tokenAt(100+i), 9), risk)
		}
		d.set(old, txn.Mark{})
		after(time.Second)
		expect(t, r, old, lost, Fresh) // within the lease of the last confirmation
		after(1500 * time.Millisecond)
		expect(t, r, old, lost, Stale)
		expect(t, r, other, lost, Fresh) // other buckets go on
		close(d.snapshot)
		after(200 * time.Millisecond)
		expect(t, r, old, txn.Mark{}, Fresh)
		for i := range uint64(10) {
			expect(t, r, inBucket(tokenAt(100+i), 9), risk, Fresh)
		}
		if s := r.Stats(); s.Gaps != 1 || s.Resyncs != txn.BucketCount+1 {
			t.Fatalf("stats %+v", s)
		}
	})
}

// TestEveryKindOfGap: numbers that go back, jump, or are promised and not given.
func TestEveryKindOfGap(t *testing.T) {
	const b = 9
	for name, plant := range map[string]func(d *desk){
		"tail goes back": func(d *desk) {
			d.tails = func(t [txn.BucketCount]store.ListSeq) [txn.BucketCount]store.ListSeq {
				t[b] = 1
				return t
			}
		},
		"tail without changes": func(d *desk) {
			d.changes = func([]store.Change) []store.Change { return nil }
		},
		"changes jump": func(d *desk) {
			d.changes = func(c []store.Change) []store.Change { return c[1:] }
		},
		"changes come twice": func(d *desk) {
			d.changes = func(c []store.Change) []store.Change { return append(c[:1:1], c...) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, storetest.MemoryOptions{})
			d.set(inBucket(tokenAt(1), b), lost)
			d.set(inBucket(tokenAt(2), b), lost)
			r := NewReplica(ReplicaOptions{Source: d})
			r.repair(t.Context())
			r.poll(t.Context())
			d.set(inBucket(tokenAt(3), b), lost)
			d.set(inBucket(tokenAt(4), b), lost)
			plant(d)
			r.poll(t.Context())
			if s := r.Stats(); s.Gaps != 1 || s.Resyncs != txn.BucketCount {
				t.Fatalf("stats %+v", s)
			}
			expect(t, r, inBucket(tokenAt(1), b), lost, Fresh)
			d.changes, d.tails = nil, nil
			r.repair(t.Context())
			r.poll(t.Context())
			for i := range uint64(4) {
				expect(t, r, inBucket(tokenAt(i+1), b), lost, Fresh)
			}
			if s := r.Stats(); s.Gaps != 1 || s.Resyncs != txn.BucketCount+1 {
				t.Fatalf("stats %+v", s)
			}
		})
	}
}

// TestSnapshotBetweenTailsAndChanges: a tail asked for before a snapshot is no gap.
func TestSnapshotBetweenTailsAndChanges(t *testing.T) {
	d := newDesk(t, storetest.MemoryOptions{})
	r := NewReplica(ReplicaOptions{Source: d})
	d.asked = func() {
		d.set(tokenAt(1), lost)
		r.repair(t.Context())
	}
	r.poll(t.Context())
	if s := r.Stats(); s.Gaps != 0 {
		t.Fatalf("stats %+v", s)
	}
	expect(t, r, tokenAt(1), lost, Fresh)
}

func TestApplyHoldsAtOnce(t *testing.T) {
	d := newDesk(t, storetest.MemoryOptions{})
	card := tokenAt(1)
	r := NewReplica(ReplicaOptions{Source: d})
	r.repair(t.Context())
	one, two, three := d.set(card, lost), d.set(card, txn.Mark{}), d.set(card, risk)
	d.changes = func(c []store.Change) []store.Change { return c[:min(1, len(c))] }
	d.tails = func(t [txn.BucketCount]store.ListSeq) [txn.BucketCount]store.ListSeq {
		t[txn.BucketOf(card)] = min(t[txn.BucketOf(card)], r.buckets[txn.BucketOf(card)].applied+1)
		return t
	}
	r.Apply(three)
	expect(t, r, card, risk, Fresh)
	r.Apply(one)
	r.Apply(two)
	expect(t, r, card, risk, Fresh)
	for range 3 { // the source sends the older changes one by one
		r.poll(t.Context())
		expect(t, r, card, risk, Fresh)
	}
	if n := len(r.buckets[txn.BucketOf(card)].early); n != 0 {
		t.Fatalf("%d early changes are remembered after they came", n)
	}
	r.Apply(two)
	expect(t, r, card, risk, Fresh)
	four := d.set(card, txn.Mark{})
	r.Apply(four)
	expect(t, r, card, txn.Mark{}, Fresh)
}

// TestApplyDuringSnapshot: what was applied while a snapshot was taken that does not
// have it yet is not lost.
func TestApplyDuringSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, storetest.MemoryOptions{})
		d.snapshot = make(chan struct{})
		r := NewReplica(ReplicaOptions{Source: d})
		r.Apply(store.Change{Seq: 7, Card: tokenAt(1), Mark: lost})
		expect(t, r, tokenAt(1), lost, Unknown)
		defer run(t, r)()
		synctest.Wait()
		close(d.snapshot)
		after(200 * time.Millisecond)
		expect(t, r, tokenAt(1), lost, Fresh)
	})
}

// TestLearnIsVerified: a mark learned late, after a change that undid it, is put right.
func TestLearnIsVerified(t *testing.T) {
	d := newDesk(t, storetest.MemoryOptions{})
	card := tokenAt(1)
	r := NewReplica(ReplicaOptions{Source: d})
	r.repair(t.Context())
	d.set(card, lost)
	r.poll(t.Context())
	r.Learn(card, txn.Mark{}) // from a commit before the freeze
	expect(t, r, card, txn.Mark{}, Fresh)
	r.poll(t.Context())
	expect(t, r, card, lost, Fresh)
	change := d.set(card, replaced)
	r.Apply(change)
	r.Learn(card, lost)
	r.poll(t.Context())
	r.poll(t.Context())
	expect(t, r, card, replaced, Fresh)
	if n := len(r.buckets[txn.BucketOf(card)].learned); n != 0 {
		t.Fatalf("%d cards are still to be verified", n)
	}
}

// TestFreezeWhileVerifying: a freeze that comes between the answer of the store and its
// use is not undone by it.
func TestFreezeWhileVerifying(t *testing.T) {
	d := newDesk(t, storetest.MemoryOptions{})
	card := tokenAt(1)
	r := NewReplica(ReplicaOptions{Source: d})
	r.repair(t.Context())
	r.Learn(card, risk)
	d.read = func() { r.Apply(d.set(card, lost)) }
	r.poll(t.Context())
	d.read = nil
	expect(t, r, card, lost, Fresh)
	r.poll(t.Context())
	expect(t, r, card, lost, Fresh)
}

// TestAheadFull: more than can be remembered costs a snapshot, not a card.
func TestAheadFull(t *testing.T) {
	for name, tell := range map[string]func(*Replica, store.Change){
		"Apply": func(r *Replica, c store.Change) { r.Apply(c) },
		"Learn": func(r *Replica, c store.Change) { r.Learn(c.Card, c.Mark) },
	} {
		d := newDesk(t, storetest.MemoryOptions{})
		r := NewReplica(ReplicaOptions{Source: d})
		r.repair(t.Context())
		for i := range uint64(aheadMax + 10) {
			tell(r, d.set(inBucket(tokenAt(i), 9), lost))
		}
		if _, ok := r.buckets[9].position(); ok {
			t.Errorf("%s: no snapshot is asked for after %d changes", name, aheadMax+10)
		}
		r.repair(t.Context())
		r.poll(t.Context())
		for i := range uint64(aheadMax + 10) {
			expect(t, r, inBucket(tokenAt(i), 9), lost, Fresh)
		}
		if s := r.Stats(); s.Resyncs != txn.BucketCount+1 || s.Gaps != 0 {
			t.Errorf("%s: stats %+v", name, s)
		}
	}
}

// TestReplicaModel runs changes, faults, polls and pauses in random order and holds the
// promise of Fresh: the mark is one that the card had within the lease. In the end the
// replica has what the store has.
func TestReplicaModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := newDesk(t, storetest.MemoryOptions{ListLogMax: 3})
		var clock time.Duration
		r := NewReplica(ReplicaOptions{Source: d, Now: func() time.Duration { return clock }})
		type was struct {
			mark  txn.Mark
			until time.Duration
		}
		const cards = 4
		now, past := [cards]txn.Mark{}, [cards][]was{}
		token := func(i int) pan.Token { return inBucket(tokenAt(uint64(i)), txn.Bucket(i%2)) }
		draw := func(rt *rapid.T) (int, txn.Mark) {
			return rapid.IntRange(0, cards-1).Draw(rt, "card"),
				rapid.SampledFrom([]txn.Mark{{}, lost, risk}).Draw(rt, "mark")
		}
		change := func(rt *rapid.T) store.Change {
			i, mark := draw(rt)
			past[i] = append(past[i], was{now[i], clock})
			now[i] = mark
			d.SetFault(nil)
			return d.set(token(i), mark)
		}
		rt.Repeat(map[string]func(*rapid.T){
			"change": func(rt *rapid.T) { change(rt) },
			"apply":  func(rt *rapid.T) { r.Apply(change(rt)) },
			"learn": func(rt *rapid.T) {
				i, _ := draw(rt)
				r.Learn(token(i), now[i])
			},
			"poll":   func(*rapid.T) { r.poll(t.Context()) },
			"repair": func(*rapid.T) { r.repair(t.Context()) },
			"wait": func(rt *rapid.T) {
				clock += time.Duration(rapid.IntRange(1, 3000).Draw(rt, "ms")) * time.Millisecond
			},
			"faults": func(rt *rapid.T) {
				bad := rapid.SampledFrom(storetest.Ops()).Draw(rt, "op")
				d.SetFault(func(op storetest.Op) storetest.Fault {
					if op == bad {
						return storetest.NotApplied
					}
					return storetest.NoFault
				})
			},
			"": func(rt *rapid.T) {
				for i := range cards {
					mark, f := r.Check(token(i))
					ok := mark == now[i] || f != Fresh
					for _, w := range past[i] {
						ok = ok || mark == w.mark && clock-w.until <= r.o.Lease
					}
					if !ok {
						rt.Fatalf("card %d is FRESH with %v, is %v, was %v; clock %v", i, mark, now[i],
							past[i], clock)
					}
				}
			},
		})
		d.SetFault(nil)
		for range 3 {
			r.repair(t.Context())
			r.poll(t.Context())
		}
		for i := range cards {
			if mark, f := r.Check(token(i)); mark != now[i] || f != Fresh {
				rt.Fatalf("in the end card %d is %v, %s; want %v", i, mark, f, now[i])
			}
		}
	})
}

// TestReplicaConcurrently changes the list from several goroutines, tells the replica of
// half of it, and looks at the end.
func TestReplicaConcurrently(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	d := newDesk(t, storetest.MemoryOptions{ListLogMax: 8})
	r := NewReplica(ReplicaOptions{Source: d, Poll: time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.Run(ctx)
	}()
	const writers, cards = 4, 20
	var all sync.WaitGroup
	for k := range uint64(writers) {
		all.Go(func() {
			for round := range uint64(30) {
				for i := range uint64(cards) {
					card := inBucket(tokenAt(k*cards+i), txn.Bucket(i%3))
					mark := []txn.Mark{lost, risk, {}}[(round+i)%3]
					switch c := d.set(card, mark); i % 3 {
					case 0:
						r.Apply(c)
					case 1:
						r.Learn(card, mark)
					}
					r.Check(card)
				}
			}
		})
	}
	all.Wait()
	same := func() error {
		for i := range uint64(writers * cards) {
			card := inBucket(tokenAt(i), txn.Bucket(i%cards%3))
			e, _, err := d.Memory.Entry(t.Context(), card)
			if got, f := r.Check(card); err != nil || got != e.Mark || f != Fresh {
				return fmt.Errorf("card %d is %v, %s; want %v", i, got, f, e.Mark)
			}
		}
		return nil
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(10 * time.Second); same() != nil; <-tick.C {
		if time.Now().After(end) {
			t.Fatal(same())
		}
	}
	cancel()
	<-ended
	t.Logf("%+v", r.Stats())
}

func TestRunTwicePanics(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := NewReplica(ReplicaOptions{Source: newDesk(t, storetest.MemoryOptions{})})
	r.Run(ctx)
	defer func() {
		if recover() == nil {
			t.Fatal("Run could be called twice")
		}
	}()
	r.Run(ctx)
}

func TestCheckAllocations(t *testing.T) {
	d := newDesk(t, storetest.MemoryOptions{})
	r := NewReplica(ReplicaOptions{Source: d})
	r.repair(t.Context())
	live := Live(r.set)
	if n := testing.AllocsPerRun(1000, func() {
		r.Check(tokenAt(1))
		live.Check(tokenAt(1))
	}); n != 0 {
		t.Fatalf("Check allocates %v times, want 0", n)
	}
}

func TestLive(t *testing.T) {
	set := NewSet()
	live := Live(set)
	set.Put(tokenAt(1), lost)
	expect(t, live, tokenAt(1), lost, Fresh)
	live.Learn(tokenAt(1), txn.Mark{}) // the store owns the set
	if live.Mark(tokenAt(1)) != lost {
		t.Fatal("Learn changed a set that its store owns")
	}
	if s := live.Stats(); s.Cards != 1 || s.Freshness != Fresh || s.Bytes == 0 {
		t.Fatalf("stats %+v", s)
	}
}

// TestManyChangesAtOnce: more changes than one call brings are all applied in one poll.
func TestManyChangesAtOnce(t *testing.T) {
	d := newDesk(t, storetest.MemoryOptions{})
	r := NewReplica(ReplicaOptions{Source: d})
	r.repair(t.Context())
	calls := 0
	d.changes = func(c []store.Change) []store.Change {
		calls++
		return c
	}
	const n = changesMax*2 + 500
	for i := range uint64(n) {
		d.set(inBucket(tokenAt(i), 9), lost)
	}
	r.poll(t.Context())
	if s := r.Stats(); s.Cards != n || s.Changes != n || calls != 3 {
		t.Fatalf("%d calls brought %+v", calls, s)
	}
}
