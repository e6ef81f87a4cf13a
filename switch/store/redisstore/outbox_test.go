package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

func outboxBehaviours() []behaviour {
	return []behaviour{
		{"outbox is read in order", testRead},
		{"outbox read wakes up", testReadWakes},
		{"outbox read waits a bounded time", testReadWaits},
		{"confirm trims up to there", testConfirm},
		{"numbers go on after everything was trimmed", testTrimmedAll},
	}
}

func testRead(t *testing.T, newOptions func() Options) {
	s := open(t, newOptions())
	ctx, b := context.Background(), txn.Bucket(5)
	for i := range 10 {
		mustCommit(t, s, write(cardIn(b, i), 0, fmt.Sprint(i)))
	}
	if s.Shards() != txn.BucketCount {
		t.Fatalf("%d shards", s.Shards())
	}
	var all []store.OutboxEntry
	var at store.Cursor
	for len(all) < 11 {
		entries, next, err := s.Read(ctx, int(b), at, 4)
		if err != nil || len(entries) == 0 || len(entries) > 4 {
			t.Fatalf("read %d entries after %v: %v", len(entries), at, err)
		}
		all, at = append(all, entries...), next
	}
	marker, err := txn.DecodeRecord(all[0].Record)
	if err != nil || marker.Kind != txn.EpochMarker || marker.Previous.Epoch != 0 {
		t.Fatalf("first entry is %+v, %v", marker, err)
	}
	for i, e := range all {
		want := txn.Position{Bucket: b, Epoch: 1, Seq: txn.Seq(i)}
		if e.Position != want || e.Date != testDate {
			t.Fatalf("entry %d is %v of %v", i, e.Position, e.Date)
		}
		if i > 0 && !strings.HasPrefix(string(e.Record), fmt.Sprintf("record %d", i-1)) {
			t.Fatalf("entry %d is %q", i, e.Record)
		}
	}
	for _, shard := range []int{-1, txn.BucketCount} {
		_, _, err = s.Read(ctx, shard, store.Cursor{}, 1)
		wantErr(t, err, errShard)
	}
}

func testReadWakes(t *testing.T, newOptions func() Options) {
	s := open(t, newOptions())
	b := txn.Bucket(6)
	_, at, err := s.Read(context.Background(), int(b), store.Cursor{}, 10)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan int)
	go func() {
		for {
			entries, _, err := s.Read(context.Background(), int(b), at, 10)
			if len(entries) > 0 || err != nil {
				got <- len(entries)
				return
			}
		}
	}()
	mustCommit(t, s, write(cardIn(b, 1), 0, "a"))
	if n := <-got; n != 1 {
		t.Fatalf("read %d entries, want 1", n)
	}
}

func testReadWaits(t *testing.T, newOptions func() Options) {
	s := open(t, newOptions())
	_, at, err := s.Read(context.Background(), 7, store.Cursor{}, 10)
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	entries, next, err := s.Read(context.Background(), 7, at, 10)
	if len(entries) != 0 || next != at || err != nil {
		t.Fatalf("read %d entries, cursor %v, %v", len(entries), next, err)
	}
	if took := time.Since(begun); took < store.OutboxWait/2 || took > 20*store.OutboxWait {
		t.Fatalf("waited %v, want about %v", took, store.OutboxWait)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if entries, next, err = s.Read(ctx, 7, at, 10); len(entries) != 0 || next != at || err != nil {
		t.Fatalf("with an ended context: %d entries, cursor %v, %v", len(entries), next, err)
	}
}

func testConfirm(t *testing.T, newOptions func() Options) {
	s := open(t, newOptions())
	ctx, b := context.Background(), txn.Bucket(8)
	for i := range 6 {
		mustCommit(t, s, write(cardIn(b, i), 0, fmt.Sprint(i)))
	}
	at := func(seq txn.Seq) txn.Position { return txn.Position{Bucket: b, Epoch: 1, Seq: seq} }
	_, behind, err := s.Read(ctx, int(b), store.Cursor{}, 2)
	if err != nil {
		t.Fatal(err)
	}
	err = s.Confirm(ctx, []txn.Position{at(7)})
	wantErr(t, err, errBeyond)
	if n := len(outbox(t, s, b)); n != 7 {
		t.Fatalf("%d entries after a refused confirmation, want 7", n)
	}
	if err := s.Confirm(ctx, []txn.Position{at(2), at(4), at(3)}); err != nil {
		t.Fatal(err)
	}
	if err := s.Confirm(ctx, []txn.Position{at(1), {}}); err != nil {
		t.Fatalf("an older position: %v", err)
	}
	entries, _, err := s.Read(ctx, int(b), behind, 10)
	if err != nil || len(entries) != 2 || entries[0].Position != at(5) {
		t.Fatalf("after confirming 4 a cursor behind reads %v, %v", entries, err)
	}
	infos, err := s.Buckets(ctx)
	if i := infos[b]; err != nil || i.Confirmed != at(4) || i.Last != at(6) || i.Pending != 2 {
		t.Fatalf("numbering %+v, %v", i, err)
	}
}

func testTrimmedAll(t *testing.T, newOptions func() Options) {
	opt := newOptions()
	s := open(t, opt)
	ctx, b := context.Background(), txn.Bucket(2)
	c := mustCommit(t, s, write(cardIn(b, 1), 0, "a"))
	if err := s.Confirm(ctx, []txn.Position{c.Position}); err != nil {
		t.Fatal(err)
	}
	if n := len(outbox(t, s, b)); n != 0 {
		t.Fatalf("%d entries left", n)
	}
	again := open(t, opt)
	c = mustCommit(t, again, write(cardIn(b, 1), 1, "b"))
	if c.Position.Seq != 2 {
		t.Fatalf("position %v after trimming all, want seq 2", c.Position)
	}
	if err := again.Confirm(ctx, []txn.Position{c.Position}); err != nil {
		t.Fatal(err)
	}
	if err := again.OpenEpoch(ctx, 1); err != nil {
		t.Fatal(err)
	}
	marker, err := txn.DecodeRecord(outbox(t, again, b)[0].Record)
	if err != nil || marker.Previous.Seq != 2 || marker.Previous.Epoch != 1 {
		t.Fatalf("marker names %v, %v", marker.Previous, err)
	}
}

// TestReadRefusesHole: an outbox with a hole is damage, and never passed on.
func TestReadRefusesHole(t *testing.T) {
	server := startSingle(t)
	s := open(t, options(server.Addr()))
	b := txn.Bucket(4)
	for i := range 4 {
		mustCommit(t, s, write(cardIn(b, i), 0, "a"))
	}
	client(t, server.Addr()).XDel(context.Background(), s.keys.bucket[b].out, "1-2")
	_, _, err := s.Read(context.Background(), int(b), store.Cursor{}, 10)
	if !errors.Is(err, store.ErrDamaged) {
		t.Fatalf("read over a hole: %v", err)
	}
}
