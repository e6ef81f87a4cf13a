package redisstore

import (
	"context"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

func listBehaviours() []behaviour {
	return []behaviour{
		{"entry is what was set", testEntry},
		{"changes and tails", testChanges},
		{"changes are kept up to a limit", testChangesKept},
		{"snapshot of many pages", testSnapshot},
	}
}

func release(c pan.Token, old txn.Mark) *store.Commit {
	return &store.Commit{Card: c, AnyVersion: true, Mark: old, Reserve: true,
		Record: []byte("release"), List: &store.ListChange{}}
}

func testEntry(t *testing.T, newOptions func() Options) {
	s := open(t, newOptions())
	ctx := context.Background()
	if _, ok, err := s.Entry(ctx, card(1)); ok || err != nil {
		t.Fatalf("entry of a card that is not listed: %v %v", ok, err)
	}
	want := store.Entry{Mark: txn.Mark{Reason: txn.Suspended, Scope: txn.AppParking},
		Since: 1<<41 + 3, Actor: "", Note: "case 12"}
	mustCommit(t, s, &store.Commit{Card: card(1), AnyVersion: true,
		List: &store.ListChange{Entry: want}})
	got, ok, err := s.Entry(ctx, card(1))
	if err != nil || !ok || got != want {
		t.Fatalf("entry %+v %v %v, want %+v", got, ok, err, want)
	}
	mustCommit(t, s, release(card(1), want.Mark))
	if _, ok, err := s.Entry(ctx, card(1)); ok || err != nil {
		t.Fatalf("entry after release: %v %v", ok, err)
	}
}

func testChanges(t *testing.T, newOptions func() Options) {
	s := open(t, newOptions())
	ctx, b := context.Background(), txn.Bucket(33)
	lost := txn.Mark{Reason: txn.Lost, Scope: txn.AppAll}
	first := mustCommit(t, s, freeze(cardIn(b, 1), txn.Mark{}, txn.Lost))
	second := mustCommit(t, s, freeze(cardIn(b, 2), txn.Mark{}, txn.Lost))
	third := mustCommit(t, s, release(cardIn(b, 1), lost))
	if first.ListSeq != 1 || second.ListSeq != 2 || third.ListSeq != 3 {
		t.Fatalf("list sequences %d %d %d", first.ListSeq, second.ListSeq, third.ListSeq)
	}
	got, err := s.Changes(ctx, b, 0, 10)
	want := []store.Change{{Seq: 1, Card: cardIn(b, 1), Mark: lost},
		{Seq: 2, Card: cardIn(b, 2), Mark: lost}, {Seq: 3, Card: cardIn(b, 1)}}
	if err != nil || len(got) != 3 || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
		t.Fatalf("changes %v %v, want %v", got, err, want)
	}
	if got, err = s.Changes(ctx, b, 1, 1); err != nil || len(got) != 1 || got[0] != want[1] {
		t.Fatalf("one change after 1: %v %v", got, err)
	}
	if got, err = s.Changes(ctx, b, 3, 10); err != nil || len(got) != 0 {
		t.Fatalf("changes after the last: %v %v", got, err)
	}
	_, err = s.Changes(ctx, b, 4, 10)
	wantErr(t, err, store.ErrGap)
	tails, err := s.Tails(ctx)
	if err != nil || tails[b] != 3 || tails[0] != 0 {
		t.Fatalf("tails %v %v", tails, err)
	}
}

func testChangesKept(t *testing.T, newOptions func() Options) {
	opt := newOptions()
	opt.ChangesKept = 5
	s := open(t, opt)
	ctx, b := context.Background(), txn.Bucket(1)
	for i := range 20 {
		mustCommit(t, s, freeze(cardIn(b, i), txn.Mark{}, txn.Lost))
	}
	_, err := s.Changes(ctx, b, 14, 10)
	wantErr(t, err, store.ErrGap)
	got, err := s.Changes(ctx, b, 15, 10)
	if err != nil || len(got) != 5 || got[0].Seq != 16 {
		t.Fatalf("changes after 15: %v %v", got, err)
	}
}

func testSnapshot(t *testing.T, newOptions func() Options) {
	s := open(t, newOptions())
	ctx, b := context.Background(), txn.Bucket(60)
	const frozen = 3 * snapshotPage
	commits := make([]*store.Commit, frozen)
	for i := range commits {
		commits[i] = freeze(cardIn(b, i), txn.Mark{}, txn.Risk)
	}
	if err := s.Commit(ctx, commits); err != nil {
		t.Fatal(err)
	}
	seen := map[pan.Token]txn.Mark{}
	seq, err := s.Snapshot(ctx, b, func(c pan.Token, m txn.Mark) { seen[c] = m })
	if err != nil || seq != frozen || len(seen) != frozen {
		t.Fatalf("snapshot of %d at %d: %v", len(seen), seq, err)
	}
	for i := range frozen {
		if seen[cardIn(b, i)].Reason != txn.Risk {
			t.Fatalf("card %d has mark %v", i, seen[cardIn(b, i)])
		}
	}
	if seq, err = s.Snapshot(ctx, 0, func(pan.Token, txn.Mark) { t.Error("frozen?") }); seq != 0 ||
		err != nil {
		t.Fatalf("empty snapshot: %v %v", seq, err)
	}
}
