package storetest

import (
	"bytes"
	"fmt"

	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

func clockTests() []test {
	return []test{
		{name: "DueAddMoveRemove", run: dueAddMoveRemove},
		{name: "DueOldestFirst", run: dueOldestFirst},
		{name: "DueOfTheBucket", run: dueOfTheBucket},
		{name: "DueOnlyWhenCommitted", run: dueOnlyWhenCommitted},
		{name: "CutOver", run: cutOver},
		{name: "CutOverNeverBack", run: cutOverNeverBack},
		{name: "EpochsFollow", run: epochsFollow},
		{name: "EpochAfterALedgerThatHoldsMore", run: epochAfterLedger},
	}
}

func (w *world) due(b txn.Bucket, now txn.Millis, p store.Page) []store.Due {
	w.Helper()
	due, err := w.s.DueBefore(w.ctx, b, now, p)
	w.check(err)
	for _, d := range due {
		if d.Bucket != b || d.At > now {
			w.Fatalf("due before %d in %s: %+v", now, b, d)
		}
	}
	return due
}

// dueKeys returns the keys due as text.
func (w *world) dueKeys(b txn.Bucket, now txn.Millis) string {
	w.Helper()
	var keys [][]byte
	for _, d := range w.due(b, now, store.Page{Max: 100}) {
		keys = append(keys, d.Key)
	}
	return string(bytes.Join(keys, []byte(" ")))
}

// changeDue commits due changes, "key" at an instant or removed.
func (w *world) changeDue(b txn.Bucket, changes ...store.DueChange) {
	w.Helper()
	w.must(&store.Commit{Card: w.cardIn(b), Due: changes})
}

func dueAddMoveRemove(w *world) {
	const b = 2
	if got := w.dueKeys(b, farAhead); got != "" {
		w.Fatalf("an empty queue has %q", got)
	}
	k := []byte("k")
	w.changeDue(b, store.DueChange{Key: k, At: testAt})
	for range 2 { // they stay until a commit removes them
		if before, at := w.dueKeys(b, testAt-1), w.dueKeys(b, testAt); before != "" || at != "k" {
			w.Fatalf("due just before %q, at the instant %q", before, at)
		}
	}
	w.changeDue(b, store.DueChange{Key: k, At: testAt + 1000})
	if got := w.dueKeys(b, testAt+999) + "|" + w.dueKeys(b, testAt+1000); got != "|k" {
		w.Fatalf("after moving later: %q", got)
	}
	w.changeDue(b, store.DueChange{Key: k, At: testAt - 1000})
	if got := w.dueKeys(b, testAt-1001) + "|" + w.dueKeys(b, testAt-1000); got != "|k" {
		w.Fatalf("after moving earlier: %q", got)
	}
	if n := w.info(b).Due; n != 1 {
		w.Fatalf("the bucket counts %d due entries, want 1", n)
	}
	w.changeDue(b, store.DueChange{Key: k, Remove: true})
	w.changeDue(b, store.DueChange{Key: []byte("never there"), Remove: true})
	if got := w.dueKeys(b, farAhead); got != "" || w.info(b).Due != 0 {
		w.Fatalf("after removing: %q, %d counted", got, w.info(b).Due)
	}
}

func dueOldestFirst(w *world) {
	const b = 3
	for i := range 20 {
		n := i * 7 % 20
		w.changeDue(b, store.DueChange{Key: fmt.Appendf(nil, "k%d", n), At: testAt + txn.Millis(n)})
	}
	for _, p := range []store.Page{{Max: 1}, {Max: 5}, {Max: 20}, {Max: 100}, {Skip: 1, Max: 5},
		{Skip: 14, Max: 5}, {Skip: 15, Max: 5}, {Skip: 100, Max: 100}, {Skip: 3}} {
		got := w.due(b, testAt+14, p)
		if want := max(0, min(p.Max, 15-p.Skip)); len(got) != want {
			w.Fatalf("%+v: %d entries due, want %d", p, len(got), want)
		}
		for i, d := range got {
			i += p.Skip
			if d.At != testAt+txn.Millis(i) || string(d.Key) != fmt.Sprintf("k%d", i) {
				w.Fatalf("place %d has %q at %d", i, d.Key, d.At)
			}
		}
	}
}

// dueOfTheBucket: the same key in two buckets is two entries; keys are any bytes.
func dueOfTheBucket(w *world) {
	key := []byte{0, 0xff, '"', '\n', ' ', 0x80}
	w.changeDue(4, store.DueChange{Key: key, At: 1})
	w.changeDue(5, store.DueChange{Key: key, At: 2})
	w.changeDue(5, store.DueChange{Key: key, Remove: true})
	if got := w.due(4, 10, store.Page{Max: 10}); len(got) != 1 || !bytes.Equal(got[0].Key, key) || got[0].At != 1 {
		w.Fatalf("bucket 4 has %+v", got)
	}
	if got := w.due(5, 10, store.Page{Max: 10}); len(got) != 0 {
		w.Fatalf("bucket 5 has %+v", got)
	}
}

func dueOnlyWhenCommitted(w *world) {
	card := w.cardIn(6)
	w.must(&store.Commit{Card: card, State: []byte("s"),
		Due: []store.DueChange{{Key: []byte("a"), At: 1}, {Key: []byte("b"), At: 2}}})
	w.refused(store.VersionConflict, &store.Commit{Card: card, State: []byte("s"),
		Due: []store.DueChange{{Key: []byte("a"), Remove: true}, {Key: []byte("c"), At: 3}}})
	if got := w.dueKeys(6, 10); got != "a b" {
		w.Fatalf("after a refused commit: %q", got)
	}
	w.must(&store.Commit{Card: card, Version: 1, State: []byte("t"),
		Due: []store.DueChange{{Key: []byte("a"), Remove: true}, {Key: []byte("c"), At: 3}}})
	if got := w.dueKeys(6, 10); got != "b c" {
		w.Fatalf("after a commit that removes and adds: %q", got)
	}
}

// cutOver: records before bear the old date, records after the new one, and between
// them stands a marker that closes the old date and bears it.
func cutOver(w *world) {
	const b = 7
	dates := []txn.BusinessDate{20260228, 20260301, 20260303}
	for i, date := range dates {
		w.check(w.s.CutOver(w.ctx, b, date, testAt))
		if got := w.info(b).Date; got != date {
			w.Fatalf("date %d after CutOver to %d", got, date)
		}
		for _, c := range w.records(b, 2+i) {
			if c.Date != date {
				w.Fatalf("record %s has date %d, want %d", c.Position, c.Date, date)
			}
		}
	}
	if got := w.info(b + 1).Date; got == dates[2] {
		w.Fatal("CutOver of one bucket changed another")
	}
	var closed []txn.BusinessDate
	date := txn.BusinessDate(0)
	for _, e := range w.bucketEntries(b) {
		r, err := txn.DecodeRecord(e.Record)
		w.check(err)
		if e.Date < date {
			w.Fatalf("entry %s has date %d after %d", e.Position, e.Date, date)
		}
		if date = e.Date; r.Kind != txn.DayMarker || r.ClosedDate == 0 {
			continue
		}
		if r.ClosedDate != e.Date {
			w.Fatalf("marker %s closes %d and has date %d", e.Position, r.ClosedDate, e.Date)
		}
		closed = append(closed, r.ClosedDate)
	}
	if len(closed) != 2 || closed[0] != dates[0] || closed[1] != dates[1] {
		w.Fatalf("markers close %v, want %v", closed, dates[:2])
	}
}

func cutOverNeverBack(w *world) {
	const b = 8
	w.check(w.s.CutOver(w.ctx, b, 20260301, testAt))
	before := w.info(b)
	for _, date := range []txn.BusinessDate{20260301, 20260228, 20251231} {
		w.check(w.s.CutOver(w.ctx, b, date, testAt))
		if after := w.info(b); after != before {
			w.Fatalf("CutOver to %d changed the bucket from %+v to %+v", date, before, after)
		}
	}
}

// epochsFollow: each epoch begins at number 0 and names where the one before ended.
func epochsFollow(w *world) {
	const b = 12
	w.check(w.s.CutOver(w.ctx, b, 20260301, testAt))
	for round := range 3 {
		w.records(b, round*2)
		before := w.infos()
		w.openEpoch()
		for i, after := range w.infos() {
			if after.Last.Epoch != before[i].Last.Epoch+1 || after.Last.Seq != 0 ||
				after.Date != before[i].Date || after.Pending != before[i].Pending+1 {
				w.Fatalf("OpenEpoch took bucket %d from %+v to %+v", i, before[i], after)
			}
		}
	}
	w.records(b, 3)
	entries := w.bucketEntries(b)
	if last := entries[len(entries)-1]; last.Date != 20260301 || last.Position.Seq != 3 {
		w.Fatalf("the last record is %s of %d", last.Position, last.Date)
	}
}

// epochAfterLedger: a copy that is older than the ledger goes on behind what the ledger holds,
// in the same epoch or a later one, and as ever where the ledger holds no more.
func epochAfterLedger(w *world) {
	const same, later, behind = 13, 14, 15
	s, ok := w.s.(store.Successor)
	if !ok {
		w.Fatalf("%T is no store.Successor", w.s)
	}
	for _, b := range []txn.Bucket{same, later, behind} {
		w.records(b, 3)
	}
	before := w.infos()
	held := []txn.Position{before[same].Last, before[later].Last, before[behind].Last}
	held[0].Seq += 90
	held[1].Epoch += 4
	held[2].Seq--
	w.check(s.OpenEpochAfter(w.ctx, testAt, held))
	want := map[txn.Bucket]txn.Position{same: held[0], later: held[1], behind: before[behind].Last}
	for b, after := range want {
		last := w.info(b).Last
		if last.Epoch != after.Epoch+1 || last.Seq != 0 {
			w.Fatalf("bucket %s goes on at %s behind %s", b, last, after)
		}
		entries := w.readTo(last)[b]
		marker, err := txn.DecodeRecord(entries[len(entries)-1].Record)
		w.check(err)
		if marker.Kind != txn.EpochMarker || marker.Previous.Epoch != after.Epoch || marker.Previous.Seq != after.Seq {
			w.Fatalf("the marker of %s is a %s that names %s, want %s", b, marker.Kind, marker.Previous, after)
		}
		w.records(b, 2)
		last = w.info(b).Last
		w.check(w.s.Confirm(w.ctx, []txn.Position{last}))
		if i := w.info(b); i.Pending != 0 || last.Seq != 2 {
			w.Fatalf("%+v after it was confirmed to %s", i, last)
		}
	}
	w.check(w.s.Close())
	w.s = w.f.Reopen(w.tb, w.s)
	if got := w.info(later).Last; got.Epoch != held[1].Epoch+1 || got.Seq != 2 {
		w.Fatalf("opened again it ends at %s", got)
	}
}
