package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// TestColdCards: with room for few cards in memory, many more are written, read and
// written again, at once, and memory stays within its bound.
func TestColdCards(t *testing.T) {
	o := testOptions(t)
	o.HotStatesMax = hotStatesMin * txn.BucketCount
	s := opened(t, o)
	const cards, workers, rounds = 5_000, 4, 3
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 7))
			for round := range uint64(rounds) {
				for _, k := range random.Perm(cards / workers) {
					card := tokenAt(k*workers + i)
					c := &store.Commit{Card: card, Version: round, State: workState(card, round+1)}
					if k%2 == 0 { // as the engine does when its cache has no state
						l, err := s.Load(t.Context(), card, nil)
						if err != nil || l.Version != round {
							t.Errorf("card %d of round %d has version %d: %v", k, round, l.Version, err)
							return
						}
					}
					err := s.Commit(t.Context(), []*store.Commit{c})
					if err != nil || c.Status != store.Committed {
						t.Errorf("card %d of round %d: %s, %v", k, round, c.Status, err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	checkpointed(t, s)
	inMemory := 0
	for i := range s.buckets {
		s.buckets[i].mu.Lock()
		inMemory += s.buckets[i].states.count()
		s.buckets[i].mu.Unlock()
	}
	if inMemory > o.HotStatesMax {
		t.Errorf("%d cards in memory, limit %d", inMemory, o.HotStatesMax)
	}
	checkCards(t, s, cards, rounds)
	mustClose(t, s)
	checkCards(t, open(t, o), cards, rounds)
}

func checkCards(t *testing.T, s *Store, cards int, version uint64) {
	t.Helper()
	var buf []byte
	for i := range cards {
		card := tokenAt(i)
		l, err := s.Load(t.Context(), card, buf)
		want := workState(card, version)
		if err != nil || l.Version != version || !bytes.Equal(l.State, want) {
			t.Fatalf("card %d: version %d, %v", i, l.Version, err)
		}
		buf = l.State
	}
}

// TestColdReadIsOld: while a cold card is being read, another goroutine reads it, writes
// it, and it gets cold again. What was read first must not come into memory.
func TestColdReadIsOld(t *testing.T) {
	for _, commit := range []bool{false, true} {
		t.Run(fmt.Sprintf("commit=%v", commit), func(t *testing.T) { coldReadIsOld(t, commit) })
	}
}

func coldReadIsOld(t *testing.T, commit bool) {
	o := testOptions(t)
	var first atomic.Bool
	reading, goOn := make(chan struct{}), make(chan struct{})
	o.Failpoint = func(name string) {
		if name == FailColdRead && first.CompareAndSwap(true, false) {
			close(reading)
			<-goOn
		}
	}
	s := opened(t, o)
	card := tokenAt(1)
	b := &s.buckets[txn.BucketOf(card)]
	write := func(version uint64) {
		t.Helper()
		c := &store.Commit{Card: card, Version: version, State: workState(card, version+1)}
		if err := s.Commit(t.Context(), []*store.Commit{c}); err != nil || c.Status != store.Committed {
			t.Fatal(err, c.Status)
		}
	}
	chill := func() {
		t.Helper()
		eventually(t, "the card is cold", func() bool {
			checkpointed(t, s)
			b.mu.Lock()
			defer b.mu.Unlock()
			b.evictLocked(1)
			_, _, hot := b.states.locate(&card)
			return !hot
		})
	}
	write(0)
	chill()
	first.Store(true)
	done := make(chan uint64)
	go func() {
		if commit {
			c := &store.Commit{Card: card, Version: 1, State: []byte("from version 1")}
			_ = s.Commit(context.Background(), []*store.Commit{c})
			done <- c.Current.Version
			return
		}
		l, _ := s.Load(context.Background(), card, nil)
		done <- l.Version
	}()
	<-reading
	write(1)
	chill()
	close(goOn)
	if version := <-done; version != 2 {
		t.Errorf("the slow reader saw version %d", version)
	}
	if l := must(s.Load(t.Context(), card, nil)); l.Version != 2 ||
		!bytes.Equal(l.State, workState(card, 2)) {
		t.Errorf("the card has version %d", l.Version)
	}
}

// TestFullMemoryWaits: when all that is in memory is dirty, a commit on a further card
// waits for a checkpoint.
func TestFullMemoryWaits(t *testing.T) {
	o := testOptions(t)
	o.CheckpointEvery = 1 << 40
	o.HotStatesMax = hotStatesMin * txn.BucketCount
	s := opened(t, o)
	inBucket := func(i int) pan.Token {
		card := tokenAt(i)
		card[0] = card[0]&3 | 5<<2
		return card
	}
	for i := range 10 * hotStatesMin {
		c := &store.Commit{Card: inBucket(i), State: []byte("s")}
		if err := s.Commit(t.Context(), []*store.Commit{c}); err != nil {
			t.Fatal(err)
		}
		if n := s.buckets[5].states.count(); n > 2*hotStatesMin {
			t.Fatalf("%d cards in memory, limit %d", n, 2*hotStatesMin)
		}
	}
	mustClose(t, s)
	s = open(t, o)
	for i := range 10 * hotStatesMin {
		if l := must(s.Load(t.Context(), inBucket(i), nil)); l.Version != 1 {
			t.Fatalf("card %d has version %d", i, l.Version)
		}
	}
}

// TestBacklogWaits: list and due changes that wait for a checkpoint are bounded.
func TestBacklogWaits(t *testing.T) {
	o := testOptions(t)
	o.CheckpointEvery = 1 << 40
	s := opened(t, o)
	b := &s.buckets[7]
	for i := range 3 {
		list := make([]*store.Commit, listOverlayMax)
		for k := range list {
			card := tokenAt(i*len(list) + k)
			card[0] = card[0]&3 | 7<<2
			list[k] = &store.Commit{Card: card, AnyVersion: true, List: &store.ListChange{
				Entry: store.Entry{Mark: txn.Mark{Reason: txn.Lost, Scope: txn.AppAll}}}}
		}
		if err := s.Commit(t.Context(), list); err != nil {
			t.Fatal(err)
		}
		b.mu.Lock()
		n := b.fresh.changes
		b.mu.Unlock()
		if n > listOverlayMax {
			t.Fatalf("%d list changes wait, limit %d", n, listOverlayMax)
		}
	}
	if n := s.Listed().ShardLen(7); n != 3*listOverlayMax {
		t.Fatalf("%d cards listed", n)
	}
	mustClose(t, s)
	s = open(t, o)
	if n := s.Listed().ShardLen(7); n != 3*listOverlayMax {
		t.Fatalf("%d cards listed after a start", n)
	}
	if _, err := s.Changes(t.Context(), 7, 0, 1); !errors.Is(err, store.ErrGap) {
		t.Fatalf("the oldest of %d changes: %v", 3*listOverlayMax, err)
	}
	seq, n := must(s.Snapshot(t.Context(), 7, func(pan.Token, txn.Mark) {})), 0
	if seq != 3*listOverlayMax {
		t.Fatalf("snapshot at %d, %d", seq, n)
	}
}

// TestSnapshotWhileChanging: a snapshot is the list at its sequence, whatever
// checkpoints do meanwhile.
func TestSnapshotWhileChanging(t *testing.T) {
	s := opened(t, testOptions(t))
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			card := tokenAt(i % 500)
			card[0] &= 3
			mark := s.Listed().Get(card)
			e := store.Entry{}
			if mark == (txn.Mark{}) {
				e.Mark = txn.Mark{Reason: txn.Risk, Scope: txn.AppPurse}
			}
			c := &store.Commit{Card: card, AnyVersion: true, Mark: mark,
				List: &store.ListChange{Entry: e}}
			err := s.Commit(t.Context(), []*store.Commit{c})
			if err != nil || c.Status != store.Committed {
				t.Error(c.Status, err)
				return
			}
		}
	})
	model, at := map[pan.Token]bool{}, store.ListSeq(0)
	for range 60 {
		got := map[pan.Token]bool{}
		seq := must(s.Snapshot(t.Context(), 0, func(card pan.Token, _ txn.Mark) {
			if got[card] {
				t.Error("a card came twice")
			}
			got[card] = true
		}))
		for at < seq {
			for _, c := range must(s.Changes(t.Context(), 0, at, int(seq-at))) {
				if at = c.Seq; c.Mark == (txn.Mark{}) {
					delete(model, c.Card)
				} else {
					model[c.Card] = true
				}
			}
		}
		if fmt.Sprint(len(got)) != fmt.Sprint(len(model)) {
			t.Fatalf("snapshot at %d has %d cards, the changes give %d", seq, len(got), len(model))
		}
		for card := range model {
			if !got[card] {
				t.Fatalf("card %v is not in the snapshot at %d", card, seq)
			}
		}
	}
	cancel()
	wg.Wait()
}

// TestAllocations holds the store to its budget: nothing for a hot Load, and for a
// commit what its batch needs, shared by all in it.
func TestAllocations(t *testing.T) {
	o := testOptions(t)
	o.CheckpointEvery, o.SegmentBytes = 1<<40, 32<<20
	s := opened(t, o)
	card := tokenAt(1)
	c := &store.Commit{Card: card, State: workState(card, 1), Record: workRecord(card, 1)}
	list := []*store.Commit{c}
	if err := s.Commit(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	dst := make([]byte, 0, store.StateMax)
	ctx := context.Background()
	if n := testing.AllocsPerRun(1000, func() { _, _ = s.Load(ctx, card, dst) }); n != 0 {
		t.Errorf("Load allocates %v times", n)
	}
	if n := testing.AllocsPerRun(1000, func() {
		c.Version++
		_ = s.Commit(ctx, list)
	}); n > 2 || c.Status != store.Committed {
		t.Errorf("a commit alone in its batch allocates %v times, %s", n, c.Status)
	}
	many := make([]*store.Commit, 1000)
	for i := range many {
		card := tokenAt(10 + i)
		many[i] = &store.Commit{Card: card, State: workState(card, 1), Record: workRecord(card, 1)}
	}
	if n := testing.AllocsPerRun(20, func() {
		_ = s.Commit(ctx, many)
		for _, c := range many {
			c.Version++
		}
	}); n > 40 {
		t.Errorf("a list of %d commits allocates %v times", len(many), n)
	}
}

// TestCancelledWait: a commit whose context ends while the disk is slow is in doubt,
// and safe to try again.
func TestCancelledWait(t *testing.T) {
	o := testOptions(t)
	slow := make(chan struct{})
	var once sync.Once
	started := make(chan struct{})
	o.Failpoint = func(name string) {
		if name == FailAfterWrite {
			select {
			case <-started:
				<-slow
			default:
			}
		}
	}
	s := opened(t, o)
	close(started)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	card := workCard(0)
	c := workCommit(card, 0)
	err := s.Commit(ctx, []*store.Commit{c})
	once.Do(func() { close(slow) })
	if !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, context.Canceled) ||
		c.Status != store.Unanswered {
		t.Fatalf("%v, %s", err, c.Status)
	}
	again := workCommit(card, 0)
	if err := s.Commit(t.Context(), []*store.Commit{again}); err != nil ||
		again.Status != store.VersionConflict || again.Current.Version != 1 {
		t.Fatalf("%v, %s, version %d", err, again.Status, again.Current.Version)
	}
}
