package storetest

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

func outboxTests() []test {
	return []test{
		{name: "EpochMarkerFirst", run: epochMarkerFirst},
		{name: "EveryRecordInOrder", run: everyRecordInOrder},
		{name: "CursorGoesOn", run: cursorGoesOn},
		{name: "ReadWaitsBounded", run: readWaitsBounded},
		{name: "ReadEndsWithContext", run: readEndsWithContext},
		{name: "ConfirmTrimsNoFurther", run: confirmTrimsNoFurther},
		{name: "ConfirmBeyondLast", run: confirmBeyondLast},
		{name: "ConfirmOlder", run: confirmOlder},
		{name: "ConfirmManyBuckets", run: confirmManyBuckets},
		{name: "OldCursorAfterTrim", run: oldCursorAfterTrim},
		{name: "OutboxFull", run: outboxFull, options: Options{OutboxMax: 64}},
	}
}

func epochMarkerFirst(w *world) {
	for b, info := range w.infos() {
		if info.Last.Epoch == 0 || info.Last.Seq != 0 || info.Pending == 0 {
			w.Fatalf("bucket %d begins with %+v", b, info)
		}
	}
	entries := w.bucketEntries(0)
	first := entries[0]
	r, err := txn.DecodeRecord(first.Record)
	w.check(err)
	if first.Position.Seq != 0 || r.Kind != txn.EpochMarker || r.Previous.Seq != 0 ||
		first.Position.Epoch == 1 && r.Previous.Epoch != 0 {
		w.Fatalf("the outbox begins at %s with a %s after %s", first.Position, r.Kind, r.Previous)
	}
}

// records commits n records in one bucket and returns the commits.
func (w *world) records(b txn.Bucket, n int) []*store.Commit {
	w.Helper()
	var commits []*store.Commit
	for i := range n {
		card := w.cardIn(b)
		commits = append(commits, &store.Commit{Card: card, State: []byte("s"),
			Record: recordOf(card, i+1)})
	}
	w.check(w.s.Commit(w.ctx, commits))
	for i, c := range commits {
		if c.Status != store.Committed {
			w.Fatalf("record %d: status %s", i, c.Status)
		}
	}
	return commits
}

func everyRecordInOrder(w *world) {
	var last []txn.Position
	want := map[txn.Position]*store.Commit{}
	for b := range txn.Bucket(4) {
		for _, n := range []int{1, 30} {
			for _, c := range w.records(b*21, n) {
				want[c.Position] = c
			}
		}
		w.list(w.cardIn(b*21), lost) // no record: takes no number
		w.must(&store.Commit{Card: w.cardIn(b * 21)})
		for _, c := range w.records(b*21, 2) {
			want[c.Position] = c
		}
		last = append(last, w.info(b*21).Last)
	}
	for b, entries := range w.readTo(last...) {
		w.sequence(entries)
		for _, e := range entries {
			if c := want[e.Position]; c != nil {
				if !bytes.HasPrefix(e.Record, c.Record) || e.Date != c.Date {
					w.Errorf("entry %s: record %x of %d, want %x of %d", e.Position, e.Record, e.Date,
						c.Record, c.Date)
				}
				delete(want, e.Position)
			}
		}
		if info := w.info(b); info.Pending != len(entries) {
			w.Errorf("bucket %s: %d entries read, %d pending", b, len(entries), info.Pending)
		}
	}
	if len(want) != 0 {
		w.Errorf("%d records never came out", len(want))
	}
}

// shardOf returns a shard that holds the bucket.
func (w *world) shardOf(b txn.Bucket) int {
	if w.s.Shards() == 1 {
		return 0
	}
	return int(b)
}

// drain reads a shard from a cursor until nothing comes within ctx's or the store's
// bound.
func (w *world) drain(shard int, from store.Cursor) ([]store.OutboxEntry, store.Cursor) {
	w.Helper()
	var all []store.OutboxEntry
	for {
		got, next, err := w.s.Read(w.ctx, shard, from, 50)
		w.check(err)
		if len(got) == 0 {
			return all, next
		}
		all, from = append(all, got...), next
	}
}

func cursorGoesOn(w *world) {
	const b = 17
	shard := w.shardOf(b)
	_, cursor := w.drain(shard, store.Cursor{})
	for round := 1; round <= 3; round++ {
		commits := w.records(b, round)
		var got []store.OutboxEntry
		got, cursor = w.drain(shard, cursor)
		if len(got) != round || got[0].Position != commits[0].Position {
			w.Fatalf("%d entries after the cursor, want the %d new ones", len(got), round)
		}
	}
}

func readWaitsBounded(w *world) {
	_, cursor := w.drain(0, store.Cursor{})
	start := time.Now()
	got, next, err := w.s.Read(w.ctx, 0, cursor, 10)
	w.check(err)
	if len(got) != 0 || next != cursor {
		w.Fatalf("Read at the end gave %d entries and cursor %v, had %v", len(got), next, cursor)
	}
	if waited := time.Since(start); waited > store.OutboxWait+2*time.Second {
		w.Fatalf("Read with nothing to return waited %v, limit %v", waited, store.OutboxWait)
	}
}

func readEndsWithContext(w *world) {
	_, cursor := w.drain(0, store.Cursor{})
	ctx, cancel := context.WithCancel(w.ctx)
	cancel()
	start := time.Now()
	got, _, _ := w.s.Read(ctx, 0, cursor, 10) // an error or none, both are right
	if len(got) != 0 || time.Since(start) > store.OutboxWait+2*time.Second {
		w.Fatalf("Read with an ended context gave %d entries after %v", len(got), time.Since(start))
	}
}

func confirmTrimsNoFurther(w *world) {
	const b = 23
	commits := w.records(b, 20)
	before := w.info(b)
	for i, c := range commits[:len(commits)-1] {
		w.check(w.s.Confirm(w.ctx, []txn.Position{c.Position}))
		info := w.info(b)
		if info.Confirmed != c.Position || info.Last != before.Last ||
			info.Pending != len(commits)-1-i {
			w.Fatalf("after confirming %s: %+v", c.Position, info)
		}
		if i%6 != 0 {
			continue
		}
		entries := w.bucketEntries(b)
		if first := entries[0].Position; commits[i+1].Position.Before(first) {
			w.Fatalf("confirmed up to %s, the oldest kept is %s", c.Position, first)
		}
	}
	w.check(w.s.Confirm(w.ctx, []txn.Position{before.Last}))
	if info := w.info(b); info.Pending != 0 || info.Confirmed != info.Last {
		w.Fatalf("after confirming all: %+v", info)
	}
	next := w.records(b, 1)[0].Position
	if next.Seq != before.Last.Seq+1 {
		w.Fatalf("after trimming everything up to %s comes %s", before.Last, next)
	}
}

func confirmBeyondLast(w *world) {
	last := w.records(29, 3)[2].Position
	beyond := []txn.Position{last, last}
	beyond[0].Seq++
	beyond[1].Epoch++
	for _, p := range beyond {
		before := w.info(29)
		if err := w.s.Confirm(w.ctx, []txn.Position{p}); err == nil {
			w.Fatalf("confirming %s was accepted, the last is %s", p, last)
		}
		if after := w.info(29); after != before {
			w.Fatalf("a refused Confirm changed the bucket from %+v to %+v", before, after)
		}
	}
}

func confirmOlder(w *world) {
	commits := w.records(31, 5)
	w.check(w.s.Confirm(w.ctx, []txn.Position{commits[3].Position}))
	for _, p := range []txn.Position{commits[1].Position, commits[3].Position, {Bucket: 31}} {
		w.check(w.s.Confirm(w.ctx, []txn.Position{p}))
		if got := w.info(31).Confirmed; got != commits[3].Position {
			w.Fatalf("after confirming %s again, confirmed is %s", p, got)
		}
	}
	w.check(w.s.Confirm(w.ctx, nil))
}

func confirmManyBuckets(w *world) {
	var all []txn.Position
	for b := range txn.Bucket(txn.BucketCount) {
		commits := w.records(b, 2)
		all = append(all, commits[0].Position)
	}
	w.check(w.s.Confirm(w.ctx, all))
	for b, info := range w.infos() {
		if info.Confirmed != all[b] || info.Pending != 1 {
			w.Fatalf("bucket %d: %+v, want confirmed %s and 1 pending", b, info, all[b])
		}
	}
}

// oldCursorAfterTrim: a reader that stood still while others confirmed goes on at the
// oldest entry kept, and misses none that is not confirmed.
func oldCursorAfterTrim(w *world) {
	const b = 37
	shard := w.shardOf(b)
	first, cursor, err := w.s.Read(w.ctx, shard, store.Cursor{}, 1)
	w.check(err)
	if len(first) != 1 {
		w.Fatalf("Read gave %d entries, want 1", len(first))
	}
	commits := w.records(b, 12)
	w.check(w.s.Confirm(w.ctx, []txn.Position{commits[5].Position}))
	for _, from := range []store.Cursor{cursor, {}} {
		entries, _ := w.drain(shard, from)
		seen := map[txn.Position]bool{}
		for _, e := range entries {
			seen[e.Position] = true
		}
		for _, c := range commits[6:] {
			if !seen[c.Position] {
				w.Fatalf("from cursor %v, unconfirmed entry %s is missing", from, c.Position)
			}
		}
	}
}

// outboxFull: at the high-water mark commits with a record are refused unless they may
// use the reserve, and are taken again when room was confirmed.
func outboxFull(w *world) {
	const b, mark = 41, 64
	n, c := w.fill(b, mark*2)
	if c.Status != store.OutboxFull || n < mark/2-1 {
		w.Fatalf("after %d records: status %s, the high-water mark is %d", n, c.Status, mark)
	}
	w.same(store.Loaded{}, w.load(c.Card))
	card := w.cardIn(b)
	for i := range 10 {
		w.must(&store.Commit{Card: card, Version: uint64(i), Reserve: true,
			State: fmt.Appendf(nil, "reserve %d", i), Record: recordOf(card, i)})
	}
	freeze := w.listing(w.cardIn(b), lost)
	freeze.Record = recordOf(freeze.Card, 1)
	w.must(freeze)
	w.check(w.s.CutOver(w.ctx, b, 20260101, testAt))
	w.check(w.s.CutOver(w.ctx, b, 20260102, testAt))
	w.openEpoch()
	w.sequence(w.readTo(w.info(b).Last)[b])
	w.check(w.s.Confirm(w.ctx, w.lasts()))
	w.eventually("commits are taken again", func() bool {
		card := w.cardIn(b)
		c := w.commit(&store.Commit{Card: card, State: []byte("x"), Record: recordOf(card, 1)})
		return c.Status == store.Committed
	})
}

// fill commits records in a bucket until one is refused or max are taken.
func (w *world) fill(b txn.Bucket, max int) (n int, last *store.Commit) {
	w.Helper()
	for {
		card := w.cardIn(b)
		last = w.commit(&store.Commit{Card: card, State: []byte("x"), Record: recordOf(card, n)})
		if last.Status != store.Committed || n == max {
			return n, last
		}
		n++
	}
}

// lasts returns the last position of every bucket.
func (w *world) lasts() []txn.Position {
	w.Helper()
	var all []txn.Position
	for _, info := range w.infos() {
		all = append(all, info.Last)
	}
	return all
}

// loadAll loads every card given.
func (w *world) loadAll(cards []pan.Token) []store.Loaded {
	w.Helper()
	all := make([]store.Loaded, len(cards))
	for i, card := range cards {
		all[i] = w.load(card)
	}
	return all
}
