package redisstore

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

func clockBehaviours() []behaviour {
	return []behaviour{
		{"due queue", testDue},
		{"cut-over", testCutOver},
		{"cut-over under commits", testCutOverUnderCommits},
		{"buckets", testBuckets},
		{"epoch opens under commits", testEpochUnderCommits},
	}
}

func testDue(t *testing.T, newOptions func() Options) {
	s := open(t, newOptions())
	ctx, b := context.Background(), txn.Bucket(11)
	at := txn.Millis(1_763_700_000_123)
	c := write(cardIn(b, 1), 0, "a")
	c.Due = []store.DueChange{{Key: []byte("late"), At: at + 10}, {Key: []byte{0, 255}, At: at},
		{Key: []byte("moved"), At: at + 99}, {Key: []byte("gone"), At: 1}}
	mustCommit(t, s, c)
	mustCommit(t, s, &store.Commit{Card: cardIn(b, 1), Version: 1, Due: []store.DueChange{
		{Key: []byte("moved"), At: at + 5}, {Key: []byte("gone"), Remove: true}}})
	want := []store.Due{{Bucket: b, Key: []byte{0, 255}, At: at},
		{Bucket: b, Key: []byte("moved"), At: at + 5}, {Bucket: b, Key: []byte("late"), At: at + 10}}
	for _, test := range []struct {
		now       txn.Millis
		skip, max int
		want      int
	}{{at - 1, 0, 10, 0}, {at, 0, 10, 1}, {at + 9, 0, 10, 2}, {at + 10, 0, 10, 3},
		{at + 10, 0, 2, 2}, {at, 0, 0, 0}, {at + 10, 1, 10, 2}, {at + 10, 3, 10, 0}} {
		got, err := s.DueBefore(ctx, b, test.now, store.Page{Skip: test.skip, Max: test.max})
		if err != nil || len(got) != test.want {
			t.Fatalf("due before %d: %v, %v; want %d", test.now, got, err, test.want)
		}
		for i := range got {
			if string(got[i].Key) != string(want[i+test.skip].Key) || got[i].At != want[i+test.skip].At ||
				got[i].Bucket != b {
				t.Fatalf("due %d is %v, want %v", i, got[i], want[i+test.skip])
			}
		}
	}
	stale := write(cardIn(b, 1), 0, "b")
	stale.Due = []store.DueChange{{Key: []byte("never"), At: 1}}
	wantStatus(t, commit(t, s, stale), store.VersionConflict)
	if got, err := s.DueBefore(ctx, b, 5, store.Page{Max: 10}); err != nil || len(got) != 0 {
		t.Fatalf("a refused commit left due entries: %v %v", got, err)
	}
}

func testCutOver(t *testing.T, newOptions func() Options) {
	s := open(t, newOptions())
	ctx, b := context.Background(), txn.Bucket(12)
	mustCommit(t, s, write(cardIn(b, 1), 0, "a"))
	for _, date := range []txn.BusinessDate{testDate, testDate - 1} {
		if err := s.CutOver(ctx, b, date, 5); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(outbox(t, s, b)); n != 2 {
		t.Fatalf("%d entries after a cut-over to no later date, want 2", n)
	}
	for range 2 { // the second changes nothing
		if err := s.CutOver(ctx, b, testDate.Next(), 5); err != nil {
			t.Fatal(err)
		}
	}
	c := mustCommit(t, s, write(cardIn(b, 1), 1, "b"))
	if c.Date != testDate.Next() || c.Position.Seq != 3 {
		t.Fatalf("after the cut-over: %v %v", c.Date, c.Position)
	}
	entries := outbox(t, s, b)
	marker, err := txn.DecodeRecord(entries[2].Record)
	if err != nil || marker.Kind != txn.DayMarker || marker.ClosedDate != testDate ||
		entries[2].Date != testDate || entries[3].Date != testDate.Next() {
		t.Fatalf("day marker %+v of %v, %v", marker, entries[2].Date, err)
	}
	if err := s.CutOver(ctx, b, 20261399, 5); err == nil {
		t.Fatal("a date that is no day was taken")
	}
}

// whileCommitting runs act while four goroutines commit in the bucket, and returns the
// outbox afterwards; it must be without a hole.
func whileCommitting(t *testing.T, s *Store, b txn.Bucket, act func()) []store.OutboxEntry {
	t.Helper()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for v := uint64(0); ; v++ {
				select {
				case <-stop:
					return
				default:
				}
				c := write(cardIn(b, g), v, fmt.Sprint(v))
				if err := s.Commit(context.Background(), []*store.Commit{c}); err != nil ||
					c.Status != store.Committed {
					t.Errorf("commit: %v %v", c.Status, err)
					return
				}
			}
		})
	}
	act()
	close(stop)
	wg.Wait()
	return outbox(t, s, b)
}

func testCutOverUnderCommits(t *testing.T, newOptions func() Options) {
	s := open(t, newOptions())
	b, date := txn.Bucket(13), testDate
	entries := whileCommitting(t, s, b, func() {
		for range 5 {
			date = date.Next()
			if err := s.CutOver(context.Background(), b, date, 5); err != nil {
				t.Error(err)
			}
		}
	})
	days := 0
	for i := 1; i < len(entries); i++ {
		if entries[i].Date < entries[i-1].Date {
			t.Fatalf("date goes back at %v", entries[i].Position)
		}
		if entries[i].Date > entries[i-1].Date {
			days++
			marker, err := txn.DecodeRecord(entries[i-1].Record)
			if err != nil || marker.Kind != txn.DayMarker {
				t.Fatalf("%v closes a day without a marker: %v", entries[i-1].Position, err)
			}
		}
	}
	if last := entries[len(entries)-1]; days < 4 || last.Date < testDate {
		t.Fatalf("%d days passed", days)
	}
}

func testEpochUnderCommits(t *testing.T, newOptions func() Options) {
	s := open(t, newOptions())
	b := txn.Bucket(14)
	entries := whileCommitting(t, s, b, func() {
		for i := range 3 {
			// The handle that opens an epoch goes on writing in it.
			if err := s.OpenEpoch(context.Background(), txn.Millis(i)); err != nil {
				t.Error(err)
			}
		}
	})
	for i, e := range entries {
		if e.Position.Seq != 0 || i == 0 {
			continue
		}
		marker, err := txn.DecodeRecord(e.Record)
		before := entries[i-1].Position
		if err != nil || marker.Previous.Epoch != before.Epoch || marker.Previous.Seq != before.Seq {
			t.Fatalf("marker %v names %v, before it stands %v: %v", e.Position, marker.Previous,
				before, err)
		}
	}
	if last := entries[len(entries)-1].Position; last.Epoch != 4 {
		t.Fatalf("last entry is %v, want epoch 4", last)
	}
}

func testBuckets(t *testing.T, newOptions func() Options) {
	s := open(t, newOptions())
	b := txn.Bucket(15)
	c := write(cardIn(b, 1), 0, "a")
	c.Due = []store.DueChange{{Key: []byte("k"), At: 5}}
	mustCommit(t, s, c)
	mustCommit(t, s, freeze(cardIn(b, 2), txn.Mark{}, txn.Lost))
	infos, err := s.Buckets(context.Background())
	if err != nil || len(infos) != txn.BucketCount {
		t.Fatalf("%d buckets: %v", len(infos), err)
	}
	for i, got := range infos {
		want := store.BucketInfo{Bucket: txn.Bucket(i), Date: testDate, Pending: 1,
			Last: txn.Position{Bucket: txn.Bucket(i), Epoch: 1}}
		want.Confirmed.Bucket = txn.Bucket(i)
		if txn.Bucket(i) == b {
			want.Last.Seq, want.Pending, want.Frozen, want.Due, want.ListSeq = 2, 3, 1, 1, 1
		}
		if got != want {
			t.Fatalf("bucket %d is %+v, want %+v", i, got, want)
		}
	}
}

func TestServerTime(t *testing.T) {
	c := newServerTime()
	if c.deadline(time.Second) != "9007199254740991" {
		t.Fatalf("deadline without a stamp is %s", c.deadline(time.Second))
	}
	base := c.start
	at := func(ms int) time.Time { return base.Add(time.Duration(ms) * time.Millisecond) }
	const server = 1_763_700_000_000_000 // microseconds, at base
	for _, step := range []struct {
		name           string
		sent, received int
		stamp          int64
		low, high      int64 // bounds of the offset afterwards
	}{
		{"first", 0, 50, server + 20_000, server - 30_000, server + 20_000},
		{"narrow", 100, 102, server + 101_000, server - 1_000, server + 1_000},
		{"wide keeps what fits", 200, 300, server + 299_000, server - 1_000, server + 1_000},
		{"step forward is followed", 400, 401, server + 10_000_000, server + 9_599_000,
			server + 9_600_000},
		{"step back is followed", 500, 501, server + 501_000, server, server + 1_000},
	} {
		c.observe(at(step.sent), at(step.received), step.stamp)
		if got := c.offset.Load(); got < step.low || got > step.high {
			t.Fatalf("%s: offset %d, want %d to %d", step.name, got, step.low, step.high)
		}
	}
}
