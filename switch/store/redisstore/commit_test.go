package redisstore

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

func commitBehaviours() []behaviour {
	return []behaviour{
		{"commit then load", testCommitLoad},
		{"conflicts tell the current card", testConflicts},
		{"check only", testCheckOnly},
		{"deadline of a commit", testDeadline},
		{"terminal entries stay", testTerminal},
		{"outbox high-water mark", testOutboxFull},
		{"limits", testLimits},
		{"long list keeps the order of a bucket", testLongList},
		{"an ended context begins nothing", testEndedContext},
		{"closed store", testClosed},
		{"handles race on one card", testRace},
		{"fencing", testFencing},
	}
}

func testCommitLoad(t *testing.T, newOptions func() Options) {
	s := open(t, newOptions())
	if l := load(t, s, card(1)); l.Version != 0 || len(l.State) != 0 || l.Mark != (txn.Mark{}) {
		t.Fatalf("absent card loaded as %+v", l)
	}
	for v := range uint64(3) {
		c := mustCommit(t, s, write(card(1), v, fmt.Sprint(v)))
		want := txn.Position{Bucket: txn.BucketOf(card(1)), Epoch: 1, Seq: txn.Seq(v + 1)}
		if c.Position != want || c.Date != testDate || c.ListSeq != 0 {
			t.Fatalf("answer %v %v %v, want %v", c.Position, c.Date, c.ListSeq, want)
		}
	}
	dst := make([]byte, 2, 64)
	l, err := s.Load(context.Background(), card(1), dst)
	if err != nil || l.Version != 3 || string(l.State) != "state 2" || &l.State[0] != &dst[0] {
		t.Fatalf("loaded %+v, %v", l, err)
	}
	if err := s.Commit(context.Background(), nil); err != nil {
		t.Fatalf("empty list: %v", err)
	}
}

func testConflicts(t *testing.T, newOptions func() Options) {
	s := open(t, newOptions())
	mustCommit(t, s, write(card(1), 0, "a"))
	stale := commit(t, s, write(card(1), 0, "b"))
	wantStatus(t, stale, store.VersionConflict)
	if stale.Current.Version != 1 || string(stale.Current.State) != "state a" {
		t.Fatalf("current is %+v", stale.Current)
	}
	wantStatus(t, commit(t, s, write(card(2), 7, "b")), store.VersionConflict)

	mustCommit(t, s, freeze(card(1), txn.Mark{}, txn.Lost))
	unaware := commit(t, s, write(card(1), 1, "c"))
	wantStatus(t, unaware, store.MarkConflict)
	lost := txn.Mark{Reason: txn.Lost, Scope: txn.AppAll}
	if unaware.Current.Mark != lost || unaware.Current.Version != 1 {
		t.Fatalf("current is %+v", unaware.Current)
	}
	if l := load(t, s, card(1)); l.Mark != lost || l.Version != 1 {
		t.Fatalf("loaded %+v", l)
	}
	aware := write(card(1), 1, "d")
	aware.Mark = lost
	mustCommit(t, s, aware)
	if entries := outbox(t, s, txn.BucketOf(card(1))); len(entries) != 4 {
		t.Fatalf("%d outbox entries, want marker and 3", len(entries))
	}
}

func testCheckOnly(t *testing.T, newOptions func() Options) {
	s := open(t, newOptions())
	mustCommit(t, s, write(card(1), 0, "a"))
	ok := mustCommit(t, s, &store.Commit{Card: card(1), Version: 1})
	if ok.Position != (txn.Position{}) {
		t.Fatalf("check-only commit got position %v", ok.Position)
	}
	wantStatus(t, commit(t, s, &store.Commit{Card: card(1), Version: 2}), store.VersionConflict)
	mustCommit(t, s, &store.Commit{Card: card(2)})
	if entries := outbox(t, s, txn.BucketOf(card(1))); len(entries) != 2 {
		t.Fatalf("%d outbox entries, want 2", len(entries))
	}
}

func testDeadline(t *testing.T, newOptions func() Options) {
	s := open(t, newOptions())
	late := write(card(1), 0, "late")
	late.Deadline = 1
	wantStatus(t, commit(t, s, late), store.DeadlinePassed)
	if l := load(t, s, card(1)); l.Version != 0 {
		t.Fatalf("written after its deadline: %+v", l)
	}
	for _, at := range []txn.Millis{txn.MillisOf(time.Now().Add(time.Hour)), 1<<63 - 1} {
		c := write(card(2), load(t, s, card(2)).Version, "in time")
		c.Deadline = at
		mustCommit(t, s, c)
	}
}

func testTerminal(t *testing.T, newOptions func() Options) {
	s := open(t, newOptions())
	mustCommit(t, s, freeze(card(1), txn.Mark{}, txn.Cancelled))
	cancelled := txn.Mark{Reason: txn.Cancelled, Scope: txn.AppAll}
	wantStatus(t, commit(t, s, freeze(card(1), cancelled, txn.Lost)), store.ListClosed)
	release := freeze(card(1), cancelled, txn.NotFrozen)
	release.List.Entry = store.Entry{}
	wantStatus(t, commit(t, s, release), store.ListClosed)
	mustCommit(t, s, freeze(card(1), cancelled, txn.Replaced))
	e, ok, err := s.Entry(context.Background(), card(1))
	if err != nil || !ok || e.Mark.Reason != txn.Replaced {
		t.Fatalf("entry %+v %v %v", e, ok, err)
	}
}

func testOutboxFull(t *testing.T, newOptions func() Options) {
	opt := newOptions()
	opt.OutboxMax = 3 // the marker and two
	s := open(t, opt)
	b := txn.Bucket(9)
	mustCommit(t, s, write(cardIn(b, 1), 0, "a"))
	last := mustCommit(t, s, write(cardIn(b, 2), 0, "b"))
	wantStatus(t, commit(t, s, write(cardIn(b, 3), 0, "c")), store.OutboxFull)
	if l := load(t, s, cardIn(b, 3)); l.Version != 0 {
		t.Fatalf("state written although the outbox was full: %+v", l)
	}
	mustCommit(t, s, &store.Commit{Card: cardIn(b, 1), Version: 1}) // writes no record
	mustCommit(t, s, freeze(cardIn(b, 3), txn.Mark{}, txn.Lost))    // has Reserve
	if err := s.Confirm(context.Background(), []txn.Position{last.Position}); err != nil {
		t.Fatal(err)
	}
	mustCommit(t, s, write(cardIn(b, 4), 0, "d"))
}

func testLimits(t *testing.T, newOptions func() Options) {
	s := open(t, newOptions())
	big := write(card(1), 0, "")
	big.State = make([]byte, store.StateMax+1)
	note := freeze(card(1), txn.Mark{}, txn.Lost)
	note.List.Entry.Note = strings.Repeat("n", noteMax+1)
	due := write(card(1), 0, "")
	due.Due = []store.DueChange{{Key: []byte("k"), At: dueMillisMax + 1}}
	fits := write(card(2), 0, "")
	fits.State, fits.Record = make([]byte, store.StateMax), make([]byte, store.RecordMax)
	err := s.Commit(context.Background(), []*store.Commit{big, fits, note, due})
	wantErr(t, err, store.ErrTooLarge)
	for _, c := range []*store.Commit{big, note, due} {
		wantErr(t, c.Err, store.ErrTooLarge)
	}
	wantStatus(t, fits, store.Committed)
	if l := load(t, s, card(1)); l.Version != 0 {
		t.Fatalf("too large, yet written: %+v", l)
	}

	many := make([]*store.Commit, store.CommitListMax+1)
	for i := range many {
		many[i] = write(card(i), 0, "")
	}
	wantErr(t, s.Commit(context.Background(), many), store.ErrTooLarge)
	wantErr(t, many[0].Err, store.ErrTooLarge)
}

// testLongList sends as many commits as one call may hold, with the versions of few cards
// in sequence: a list that overtook another would conflict.
func testLongList(t *testing.T, newOptions func() Options) {
	s := open(t, newOptions())
	const cards = 16
	commits := make([]*store.Commit, store.CommitListMax)
	for i := range commits {
		commits[i] = write(card(i%cards), uint64(i/cards), fmt.Sprint(i))
	}
	if err := s.Commit(context.Background(), commits); err != nil {
		t.Fatal(err)
	}
	last := map[txn.Bucket]txn.Seq{}
	for i, c := range commits {
		wantStatus(t, c, store.Committed)
		if last[c.Bucket()]++; c.Position.Seq != last[c.Bucket()] {
			t.Fatalf("commit %d has %v, want seq %d", i, c.Position, last[c.Bucket()])
		}
	}
}

func testEndedContext(t *testing.T, newOptions func() Options) {
	s := open(t, newOptions())
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	c := write(card(1), 0, "a")
	wantErr(t, s.Commit(ctx, []*store.Commit{c}), store.ErrUnavailable)
	wantErr(t, c.Err, context.Canceled)
	if l := load(t, s, card(1)); l.Version != 0 {
		t.Fatalf("begun after its context ended: %+v", l)
	}
}

func testClosed(t *testing.T, newOptions func() Options) {
	s := open(t, newOptions())
	mustCommit(t, s, write(card(1), 0, "a"))
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatalf("close: %v", err)
		}
	}
	ctx, c := context.Background(), write(card(1), 1, "b")
	wantErr(t, s.Commit(ctx, []*store.Commit{c}), store.ErrClosed)
	wantErr(t, c.Err, store.ErrClosed)
	_, err := s.Load(ctx, card(1), nil)
	wantErr(t, err, store.ErrClosed)
	_, _, err = s.Read(ctx, 0, store.Cursor{}, 1)
	wantErr(t, err, store.ErrClosed)
	_, err = s.Tails(ctx)
	wantErr(t, err, store.ErrClosed)
	_, err = s.Buckets(ctx)
	wantErr(t, err, store.ErrClosed)
	wantErr(t, s.OpenEpoch(ctx, 1), store.ErrClosed)
	wantErr(t, s.Put(ctx, "k", nil, 0), store.ErrClosed)
}

const (
	raceHandles = 3
	raceWriters = 4
	raceEach    = 40
)

// testRace lets several processes' handles count up one card at the same time.
func testRace(t *testing.T, newOptions func() Options) {
	if lost := race(t, newOptions(), nil); lost != 0 {
		t.Fatalf("%d updates lost", lost)
	}
}

// TestRaceSeesMissingCompare proves that the race would show it if the script did not
// compare versions.
func TestRaceSeesMissingCompare(t *testing.T) {
	opt := options(startSingle(t).Addr())
	mutate := func(s *Store) {
		text := strings.ReplaceAll(commitLua, "have ~= version", "false")
		s.scripts.commit = writing("", text)
	}
	if lost := race(t, opt, mutate); lost == 0 {
		t.Fatal("no update lost although versions were not compared")
	}
}

// race returns how many committed increments the card does not show.
func race(t *testing.T, opt Options, mutate func(*Store)) int64 {
	t.Helper()
	var committed atomic.Int64
	var wg sync.WaitGroup
	for range raceHandles {
		s := open(t, opt)
		if mutate != nil {
			mutate(s)
		}
		for range raceWriters {
			wg.Go(func() { committed.Add(countUp(t, s)) })
		}
	}
	wg.Wait()
	l := load(t, open(t, opt), card(1))
	return committed.Load() - int64(len(l.State))
}

// countUp appends one byte at a time to a card's state, loading again on conflict.
func countUp(t *testing.T, s *Store) (committed int64) {
	have, err := s.Load(context.Background(), card(1), nil)
	for err == nil && committed < raceEach {
		c := &store.Commit{Card: card(1), Version: have.Version, Record: []byte("+1"),
			State: append(bytes.Clone(have.State), 'x')}
		err = s.Commit(context.Background(), []*store.Commit{c})
		switch c.Status {
		case store.Committed:
			committed++
			have = store.Loaded{State: c.State, Version: have.Version + 1}
		case store.VersionConflict:
			have = c.Current
		}
	}
	if err != nil {
		t.Errorf("count up: %v", err)
	}
	return committed
}

func testFencing(t *testing.T, newOptions func() Options) {
	opt := newOptions()
	ctx := context.Background()
	old := open(t, opt)
	mustCommit(t, old, write(card(1), 0, "a"))
	next := open(t, opt)
	mustCommit(t, next, write(card(1), 1, "b")) // joined the same epoch
	if err := next.OpenEpoch(ctx, 77); err != nil {
		t.Fatal(err)
	}
	fenced := write(card(1), 2, "c")
	wantErr(t, old.Commit(ctx, []*store.Commit{fenced}), store.ErrFenced)
	wantErr(t, old.CutOver(ctx, txn.BucketOf(card(1)), testDate.Next(), 1), store.ErrFenced)
	c := mustCommit(t, next, write(card(1), 2, "d"))
	if c.Position.Epoch != 2 || c.Position.Seq != 1 {
		t.Fatalf("position %v in the new epoch", c.Position)
	}
	entries := outbox(t, next, c.Bucket())
	marker, err := txn.DecodeRecord(entries[3].Record)
	want := txn.Position{Bucket: c.Bucket(), Epoch: 1, Seq: 2}
	if err != nil || marker.Kind != txn.EpochMarker || marker.Previous.Epoch != want.Epoch ||
		marker.Previous.Seq != want.Seq || entries[3].Position.Seq != 0 {
		t.Fatalf("epoch marker %+v at %v, %v", marker, entries[3].Position, err)
	}
	if err := old.OpenEpoch(ctx, 78); err != nil { // taking over again is a decision
		t.Fatal(err)
	}
	mustCommit(t, old, write(card(1), 3, "e"))
	wantErr(t, next.Commit(ctx, []*store.Commit{write(card(1), 4, "f")}), store.ErrFenced)
}

// TestQueueFull: what does not fit the queue is refused at once and not begun.
func TestQueueFull(t *testing.T) {
	server := startSingle(t)
	opt := options(server.Addr())
	opt.ReadTimeout = time.Second
	s := open(t, opt)
	if err := server.Pause(); err != nil {
		t.Fatal(err)
	}
	b := cardIn(3, 1)
	var wg sync.WaitGroup
	var full atomic.Int64
	for range queueMax/store.CommitListMax + 2 {
		wg.Go(func() {
			commits := make([]*store.Commit, store.CommitListMax)
			for i := range commits {
				commits[i] = &store.Commit{Card: b}
			}
			ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
			defer cancel()
			err := s.Commit(ctx, commits)
			wantErrIn(t, err, store.ErrUnavailable)
			if err != nil && strings.Contains(err.Error(), "wait already") {
				full.Add(1)
			}
		})
	}
	wg.Wait()
	if full.Load() == 0 {
		t.Error("the queue took more than its limit")
	}
	if err := server.Resume(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "commits work again", func() bool {
		return s.Commit(context.Background(), []*store.Commit{{Card: b}}) == nil
	})
}
