package storetest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

func lifeTests() []test {
	return []test{
		{name: "ReopenKeepsEverything", run: reopenKeepsEverything},
		{name: "ReopenKeepsTrimmed", run: reopenKeepsTrimmed},
		{name: "CrashKeepsWhatWasAnswered", run: crashKeepsWhatWasAnswered},
		{name: "OpenEpochFencesOthers", run: openEpochFencesOthers},
		{name: "FencedWhileCommitting", run: fencedWhileCommitting},
		{name: "ClosedStore", run: closedStore},
		{name: "CloseWaits", run: closeWaits},
	}
}

// reopen closes the store, if it is open, and opens its data again; it opens no epoch.
func (w *world) reopen() {
	w.Helper()
	w.s.Close()
	w.s = w.f.Reopen(w.tb, w.s)
}

// content is what a store must have after it was opened again.
type content struct {
	loaded  []store.Loaded
	entries []store.Entry
	infos   []store.BucketInfo
	due     string
	outbox  []store.OutboxEntry
	listed  map[pan.Token]txn.Mark
}

const contentBucket txn.Bucket = 44

// content reads back cards and everything in contentBucket.
func (w *world) content(cards []pan.Token) content {
	w.Helper()
	c := content{loaded: w.loadAll(cards), infos: w.infos(), due: w.dueKeys(contentBucket, farAhead),
		outbox: w.bucketEntries(contentBucket), listed: w.follow(contentBucket)}
	for _, card := range cards {
		e, _ := w.entry(card)
		c.entries = append(c.entries, e)
	}
	return c
}

// sameContent fails the test unless both are equal.
func (w *world) sameContent(want, got content) {
	w.Helper()
	for i := range want.loaded {
		w.same(want.loaded[i], got.loaded[i])
	}
	if !slices.Equal(want.infos, got.infos) {
		w.Errorf("buckets are %+v, want %+v", got.infos, want.infos)
	}
	if !slices.Equal(want.entries, got.entries) || !maps.Equal(want.listed, got.listed) {
		w.Errorf("the blacklist is %+v (%v), want %+v (%v)", got.entries, got.listed, want.entries,
			want.listed)
	}
	if want.due != got.due {
		w.Errorf("due are %q, want %q", got.due, want.due)
	}
	if !slices.EqualFunc(want.outbox, got.outbox, func(a, b store.OutboxEntry) bool {
		return a.Position == b.Position && a.Date == b.Date && string(a.Record) == string(b.Record)
	}) {
		w.Errorf("the outbox has %d entries, want %d", len(got.outbox), len(want.outbox))
	}
}

// furnish writes something of every kind and returns the cards.
func (w *world) furnish() []pan.Token {
	w.Helper()
	w.check(w.s.CutOver(w.ctx, contentBucket, 20260301, testAt))
	cards := make([]pan.Token, 60)
	for i := range cards {
		if cards[i] = w.card(); i%2 == 0 {
			cards[i] = w.cardIn(contentBucket)
		}
		for range i % 4 {
			w.write(cards[i], "state of "+cards[i].String())
		}
		if mark := []txn.Mark{notFrozen, lost, risk, replaced, lost}[i%5]; mark != notFrozen {
			w.list(cards[i], mark)
		}
		if i%5 == 4 {
			w.list(cards[i], notFrozen)
		}
	}
	for i := range 10 {
		key := []byte{'k', byte('0' + i)}
		w.changeDue(contentBucket, store.DueChange{Key: key, At: testAt + txn.Millis(i)},
			store.DueChange{Key: []byte{'k', byte('0' + i/2)}, Remove: i%3 == 2, At: testAt})
	}
	w.check(w.s.CutOver(w.ctx, contentBucket, 20260302, testAt))
	w.records(contentBucket, 5)
	w.put("registry/key", "value", 0)
	w.put("registry/key", "value two", 1)
	return cards
}

func reopenKeepsEverything(w *world) {
	cards := w.furnish()
	want := w.content(cards)
	for range 2 {
		w.reopen()
		w.sameContent(want, w.content(cards))
		w.get("registry/key", "value two", 2)
	}
	w.openEpoch()
	w.write(cards[0], "after reopening")
	w.records(contentBucket, 3)
	w.bucketEntries(contentBucket)
}

// reopenKeepsTrimmed: what was confirmed stays confirmed, numbers never come twice, and
// everything not confirmed is still there, also when all of the outbox was trimmed.
func reopenKeepsTrimmed(w *world) {
	const b = 45
	commits := w.records(b, 10)
	w.check(w.s.Confirm(w.ctx, []txn.Position{commits[6].Position}))
	w.reopen()
	info := w.info(b)
	if info.Confirmed != commits[6].Position || info.Pending != 3 {
		w.Fatalf("after reopening: %+v", info)
	}
	if entries := w.bucketEntries(b); commits[7].Position.Before(entries[0].Position) {
		w.Fatalf("the oldest entry is %s, unconfirmed is %s", entries[0].Position, commits[7].Position)
	}
	w.check(w.s.Confirm(w.ctx, []txn.Position{info.Last}))
	w.reopen()
	if again := w.info(b); again.Last != info.Last || again.Pending != 0 {
		w.Fatalf("after trimming all and reopening: %+v, last was %s", again, info.Last)
	}
	w.openEpoch()
	if next := w.records(b, 1)[0].Position; !info.Last.Before(next) || next.Epoch == info.Last.Epoch {
		w.Fatalf("after %s and reopening comes %s", info.Last, next)
	}
	w.bucketEntries(b)
}

// crashKeepsWhatWasAnswered: Committed means durable.
func crashKeepsWhatWasAnswered(w *world) {
	if w.f.Crash == nil {
		w.Skip("the factory makes no crashes")
	}
	cards := w.furnish()
	for range 3 {
		want := w.content(cards)
		w.s = w.f.Crash(w.tb, w.s)
		w.sameContent(want, w.content(cards))
		w.get("registry/key", "value two", 2)
		w.openEpoch()
		w.write(cards[1], "after the crash")
		w.records(contentBucket, 3)
	}
}

func openEpochFencesOthers(w *world) {
	if w.f.Second == nil {
		w.Skip("the factory opens no second handle")
	}
	const b = 46
	first := w.s
	commits := w.records(b, 3)
	second := w.f.Second(w.tb, first)
	defer second.Close()
	w.check(second.OpenEpoch(w.ctx, testAt))
	card := w.cardIn(b)
	c := &store.Commit{Card: card, State: []byte("fenced"), Record: recordOf(card, 1), Reserve: true}
	for range 2 {
		err := first.Commit(w.ctx, []*store.Commit{c})
		if !errors.Is(err, store.ErrFenced) || !errors.Is(c.Err, store.ErrFenced) ||
			c.Status != store.Unanswered {
			w.Fatalf("a fenced handle's commit gave %v, %v, status %s", err, c.Err, c.Status)
		}
	}
	if err := first.CutOver(w.ctx, b, 20260301, testAt); !errors.Is(err, store.ErrFenced) {
		w.Fatalf("a fenced handle's CutOver gave %v", err)
	}
	w.s = second
	w.same(store.Loaded{}, w.load(card))
	entries := w.bucketEntries(b)
	if last := entries[len(entries)-1].Position; last.Epoch != commits[0].Position.Epoch+1 ||
		last.Seq != 0 {
		w.Fatalf("the second handle's epoch begins at %s", last)
	}
	w.records(b, 2)
	w.bucketEntries(b)
	w.s = first
	w.openEpoch() // a handle may take over again
	w.records(b, 2)
	w.bucketEntries(b)
}

// fencedWhileCommitting: of commits under way while another handle takes over, each was
// applied before or is refused; none is lost and none is applied after.
func fencedWhileCommitting(w *world) {
	if w.f.Second == nil {
		w.Skip("the factory opens no second handle")
	}
	const b = 47
	first := w.s
	second := w.f.Second(w.tb, first)
	defer second.Close()
	var committed atomic.Int64
	var writers sync.WaitGroup
	for k := range uint64(8) {
		writers.Go(func() {
			card := tokenOf(w.Name()+"/writer", k)
			card[0] = b << 2
			for version := uint64(0); ; version++ {
				c := &store.Commit{Card: card, Version: version, State: []byte("s"),
					Record: recordOf(card, int(version))}
				if err := first.Commit(w.ctx, []*store.Commit{c}); err != nil {
					if !errors.Is(err, store.ErrFenced) {
						w.Errorf("commit gave %v, want ErrFenced", err)
					}
					return
				}
				committed.Add(1)
			}
		})
	}
	w.eventually("commits under way", func() bool { return committed.Load() > 100 })
	w.check(second.OpenEpoch(w.ctx, testAt))
	writers.Wait()
	w.s = second
	entries := w.bucketEntries(b)
	last, marker := entries[len(entries)-1].Position, 0
	for _, e := range entries {
		if e.Position.Seq == 0 {
			marker++
		}
	}
	if last.Seq != 0 || len(entries)-marker != int(committed.Load()) {
		w.Fatalf("%d commits were answered, the outbox has %d and ends at %s",
			committed.Load(), len(entries)-marker, last)
	}
}

// calls returns every method of a store as a function of its error.
func calls(ctx context.Context, s store.Store, card pan.Token) map[string]func() error {
	return map[string]func() error{
		"Load": func() error { _, err := s.Load(ctx, card, nil); return err },
		"Commit": func() error {
			return s.Commit(ctx, []*store.Commit{{Card: card, State: []byte("x")}})
		},
		"Snapshot": func() error {
			_, err := s.Snapshot(ctx, 0, func(pan.Token, txn.Mark) {})
			return err
		},
		"Changes":   func() error { _, err := s.Changes(ctx, 0, 0, 1); return err },
		"Entry":     func() error { _, _, err := s.Entry(ctx, card); return err },
		"Tails":     func() error { _, err := s.Tails(ctx); return err },
		"Read":      func() error { _, _, err := s.Read(ctx, 0, store.Cursor{}, 1); return err },
		"Confirm":   func() error { return s.Confirm(ctx, []txn.Position{{}}) },
		"DueBefore": func() error { _, err := s.DueBefore(ctx, 0, 1, store.Page{Max: 1}); return err },
		"CutOver":   func() error { return s.CutOver(ctx, 0, 20990101, testAt) },
		"Buckets":   func() error { _, err := s.Buckets(ctx); return err },
		"OpenEpoch": func() error { return s.OpenEpoch(ctx, testAt) },
		"Get":       func() error { _, _, err := s.Get(ctx, "k"); return err },
		"Put":       func() error { return s.Put(ctx, "k", []byte("v"), 0) },
		"Keys":      func() error { _, err := s.Keys(ctx, ""); return err },
	}
}

func closedStore(w *world) {
	card := w.card()
	w.write(card, "one")
	w.check(w.s.Close())
	for name, call := range calls(w.ctx, w.s, card) {
		if err := call(); !errors.Is(err, store.ErrClosed) {
			w.Errorf("%s on a closed store gave %v, want ErrClosed", name, err)
		}
	}
	if err := w.s.Close(); err != nil && !errors.Is(err, store.ErrClosed) {
		w.Errorf("the second Close gave %v", err)
	}
}

// closeWaits: a commit under way at Close is answered, and what was answered Committed
// is there afterwards.
func closeWaits(w *world) {
	var committed [8]atomic.Uint64
	var writers sync.WaitGroup
	for k := range uint64(len(committed)) {
		writers.Go(func() {
			for version := uint64(0); ; version++ {
				c := &store.Commit{Card: tokenOf(w.Name()+"/writer", k), Version: version,
					State: []byte("s")}
				if err := w.s.Commit(w.ctx, []*store.Commit{c}); err != nil {
					if !errors.Is(err, store.ErrClosed) || !errors.Is(c.Err, store.ErrClosed) {
						w.Errorf("commit during Close gave %v, %v", err, c.Err)
					}
					return
				}
				committed[k].Store(version + 1)
			}
		})
	}
	w.eventually("commits under way", func() bool { return committed[7].Load() > 10 })
	w.check(w.s.Close())
	writers.Wait()
	w.s = w.f.Reopen(w.tb, w.s)
	for k := range committed {
		got := w.load(tokenOf(w.Name()+"/writer", uint64(k))).Version
		if want := committed[k].Load(); got != want {
			w.Errorf("card %d has version %d, %d commits were answered", k, got, want)
		}
	}
}
