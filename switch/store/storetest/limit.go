package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

func limitTests() []test {
	return []test{
		{name: "AtTheLimits", run: atTheLimits},
		{name: "BeyondTheLimits", run: beyondTheLimits},
		{name: "TooLargeAmongOthers", run: tooLargeAmongOthers},
		{name: "ListTooLong", run: listTooLong},
	}
}

func fullDue() []store.DueChange {
	due := make([]store.DueChange, store.DueChangesMax)
	for i := range due {
		due[i] = store.DueChange{Key: bytes.Repeat([]byte{byte(i)}, store.DueKeyMax), At: 1}
	}
	return due
}

func fullRecord(w *world, size int) []byte {
	r := txn.Record{Version: txn.RecordVersion, Kind: txn.Freeze, Outcome: txn.Approved}
	head := len(txn.AppendRecord(nil, &r))
	r.Listing.Note = strings.Repeat("n", size-head-4)
	for b := txn.AppendRecord(nil, &r); ; b = txn.AppendRecord(nil, &r) {
		if len(b) == size {
			return b
		}
		if len(b) > size {
			w.Fatalf("no record of %d bytes", size)
		}
		r.Listing.Note += "n"
	}
}

func atTheLimits(w *world) {
	card := w.card()
	state := bytes.Repeat([]byte{0, 0xff}, store.StateMax/2)
	entry := store.Entry{Mark: lost, Since: testAt, Actor: strings.Repeat("a", 64),
		Note: strings.Repeat("n", 128)}
	c := w.must(&store.Commit{Card: card, State: state, Record: fullRecord(w, store.RecordMax),
		Due: fullDue(), List: &store.ListChange{Entry: entry}})
	w.same(store.Loaded{State: state, Version: 1, Mark: lost}, w.load(card))
	got, ok, err := w.s.Entry(w.ctx, card)
	w.check(err)
	if !ok || got != entry {
		w.Fatalf("entry %+v, want %+v", got, entry)
	}
	due, err := w.s.DueBefore(w.ctx, c.Bucket(), 1, store.Page{Max: 100})
	w.check(err)
	if len(due) != store.DueChangesMax || len(due[0].Key) != store.DueKeyMax {
		w.Fatalf("%d due entries", len(due))
	}
	entries := w.bucketEntries(c.Bucket())
	if last := entries[len(entries)-1]; !bytes.HasPrefix(last.Record, c.Record) {
		w.Fatalf("a record of %d bytes came out with %d", len(c.Record), len(last.Record))
	}
}

func beyondTheLimits(w *world) {
	long := bytes.Repeat([]byte{'k'}, store.DueKeyMax+1)
	for name, c := range map[string]*store.Commit{
		"state":       {State: make([]byte, store.StateMax+1)},
		"record":      {Record: fullRecord(w, store.RecordMax+1)},
		"due changes": {Due: append(fullDue(), store.DueChange{Key: []byte("k")})},
		"due key":     {Due: []store.DueChange{{Key: long, At: 1}}},
		"no due key":  {Due: []store.DueChange{{At: 1}}},
	} {
		c.Card = w.card()
		before := w.info(c.Bucket())
		err := w.s.Commit(w.ctx, []*store.Commit{c})
		if !errors.Is(err, store.ErrTooLarge) || !errors.Is(c.Err, store.ErrTooLarge) ||
			c.Status != store.Unanswered {
			w.Errorf("%s: %v, %v, status %s; want ErrTooLarge", name, err, c.Err, c.Status)
		}
		w.same(store.Loaded{}, w.load(c.Card))
		if after := w.info(c.Bucket()); after != before {
			w.Errorf("%s: the bucket changed from %+v to %+v", name, before, after)
		}
	}
}

// tooLargeAmongOthers: each commit of a list stands on its own.
func tooLargeAmongOthers(w *world) {
	list := []*store.Commit{
		{Card: w.card(), State: []byte("a")},
		{Card: w.card(), State: make([]byte, store.StateMax+1)},
		{Card: w.card(), State: []byte("c")},
	}
	if err := w.s.Commit(w.ctx, list); !errors.Is(err, store.ErrTooLarge) {
		w.Fatalf("Commit returned %v, want ErrTooLarge", err)
	}
	for i, want := range []store.Status{store.Committed, store.Unanswered, store.Committed} {
		if list[i].Status != want || (list[i].Err != nil) != (want == store.Unanswered) {
			w.Errorf("commit %d: status %s, error %v; want %s", i, list[i].Status, list[i].Err, want)
		}
	}
}

// listTooLong: it panics or is refused, and nothing is written.
func listTooLong(w *world) {
	list := make([]*store.Commit, store.CommitListMax+1)
	for i := range list {
		list[i] = &store.Commit{Card: w.card(), State: []byte("x")}
	}
	err := func() (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("%w: %v", store.ErrTooLarge, p)
			}
		}()
		return w.s.Commit(w.ctx, list)
	}()
	if !errors.Is(err, store.ErrTooLarge) {
		w.Fatalf("a list of %d commits gave %v, want ErrTooLarge", len(list), err)
	}
	for _, c := range []*store.Commit{list[0], list[len(list)-1]} {
		w.same(store.Loaded{}, w.load(c.Card))
	}
}
