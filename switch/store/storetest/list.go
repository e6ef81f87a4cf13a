package storetest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

func listTests() []test {
	return []test{
		{name: "EntryKeepsEverything", run: entryKeepsEverything},
		{name: "FreezeAndRelease", run: freezeAndRelease},
		{name: "TerminalStays", run: terminalStays},
		{name: "Numbering", run: listNumbering},
		{name: "ChangesInOrder", run: changesInOrder},
		{name: "SnapshotAndChanges", run: snapshotAndChanges},
		{name: "SnapshotWhileChanging", run: snapshotWhileChanging},
		{name: "Tails", run: tails},
		{name: "Gap", run: gap, options: Options{ListLogMax: 16}},
		{name: "RefusedChangesNothing", run: refusedChangesNothing},
	}
}

func (w *world) entry(card pan.Token) (store.Entry, bool) {
	w.Helper()
	e, ok, err := w.s.Entry(w.ctx, card)
	w.check(err)
	return e, ok
}

func entryKeepsEverything(w *world) {
	card := w.card()
	if e, ok := w.entry(card); ok || e != (store.Entry{}) {
		w.Fatalf("an unlisted card has entry %+v, %v", e, ok)
	}
	for _, want := range []store.Entry{
		entryOf(lost),
		{Mark: risk, Since: testAt + 1, Actor: "a", Note: `quote " slash \ newline` + "\n\x00end"},
		{Mark: txn.Mark{Reason: txn.Suspended, Scope: txn.AppBank | txn.AppSocial}, Since: 1},
	} {
		w.must(&store.Commit{Card: card, Mark: w.load(card).Mark,
			List: &store.ListChange{Entry: want}})
		if got, ok := w.entry(card); !ok || got != want {
			w.Fatalf("entry %+v, want %+v", got, want)
		}
		if l := w.load(card); l.Mark != want.Mark || l.Version != 0 {
			w.Fatalf("Load gives mark %v at version %d, want %v at 0", l.Mark, l.Version, want.Mark)
		}
	}
}

func freezeAndRelease(w *world) {
	card := w.card()
	w.write(card, "one")
	w.list(card, lost)
	w.refused(store.MarkConflict, &store.Commit{Card: card, Version: 1, State: []byte("tap")})
	w.list(card, notFrozen)
	if e, ok := w.entry(card); ok {
		w.Fatalf("a released card has entry %+v", e)
	}
	w.same(store.Loaded{State: []byte("one"), Version: 1}, w.load(card))
	w.must(&store.Commit{Card: card, Version: 1, State: []byte("tap")})
}

func terminalStays(w *world) {
	for _, terminal := range []txn.Mark{replaced, cancelled} {
		card := w.card()
		w.list(card, lost)
		w.list(card, terminal)
		for _, to := range []txn.Mark{notFrozen, lost, risk} {
			w.refused(store.ListClosed, w.listing(card, to))
			c := w.listing(card, to)
			c.AnyVersion, c.State, c.Record = false, []byte("x"), recordOf(card, 1)
			w.refused(store.ListClosed, c)
		}
		if e, ok := w.entry(card); !ok || e.Mark != terminal {
			w.Fatalf("entry %+v, want mark %v", e, terminal)
		}
		w.list(card, cancelled)
		if e, _ := w.entry(card); e.Mark != cancelled {
			w.Fatalf("a terminal entry could not become cancelled: %+v", e)
		}
	}
}

func listNumbering(w *world) {
	a, b := w.cardIn(9), w.cardIn(9)
	for i, step := range []struct {
		card pan.Token
		to   txn.Mark
	}{{a, lost}, {b, risk}, {a, risk}, {a, notFrozen}, {b, cancelled}} {
		c := w.list(step.card, step.to)
		if c.ListSeq != store.ListSeq(i+1) {
			w.Fatalf("change %d has sequence %d", i+1, c.ListSeq)
		}
	}
	info := w.info(9)
	if info.ListSeq != 5 || info.Frozen != 1 {
		w.Fatalf("bucket has list sequence %d with %d cards, want 5 with 1", info.ListSeq, info.Frozen)
	}
	if other := w.info(10); other.ListSeq != 0 || other.Frozen != 0 {
		w.Fatalf("another bucket has list sequence %d with %d cards", other.ListSeq, other.Frozen)
	}
}

func (w *world) changes(b txn.Bucket, after store.ListSeq, max int) []store.Change {
	w.Helper()
	changes, err := w.s.Changes(w.ctx, b, after, max)
	w.check(err)
	return changes
}

func changesInOrder(w *world) {
	if got := w.changes(3, 0, 10); len(got) != 0 {
		w.Fatalf("an empty list has changes %+v", got)
	}
	var want []store.Change
	marks := []txn.Mark{lost, risk, notFrozen, lost, cancelled}
	for range 4 {
		card := w.cardIn(3)
		for _, mark := range marks {
			c := w.list(card, mark)
			want = append(want, store.Change{Seq: c.ListSeq, Card: card, Mark: mark})
		}
	}
	for after := range len(want) + 1 {
		for _, max := range []int{1, 7, 100} {
			got := w.changes(3, store.ListSeq(after), max)
			if !slices.Equal(got, want[after:min(len(want), after+max)]) {
				w.Fatalf("at most %d changes after %d: %+v", max, after, got)
			}
		}
	}
}

// follow applies a bucket's snapshot and then its changes, as a replica does.
func (w *world) follow(b txn.Bucket) map[pan.Token]txn.Mark {
	w.Helper()
	listed := map[pan.Token]txn.Mark{}
	seq, err := w.s.Snapshot(w.ctx, b, func(card pan.Token, mark txn.Mark) {
		if mark == notFrozen {
			w.Errorf("snapshot has card %v with no mark", card)
		}
		listed[card] = mark
	})
	w.check(err)
	for {
		changes := w.changes(b, seq, 10)
		if len(changes) == 0 {
			return listed
		}
		for _, c := range changes {
			if c.Seq != seq+1 {
				w.Fatalf("after change %d comes %d", seq, c.Seq)
			}
			seq = c.Seq
			if listed[c.Card] = c.Mark; c.Mark == notFrozen {
				delete(listed, c.Card)
			}
		}
	}
}

func snapshotAndChanges(w *world) {
	want := map[pan.Token]txn.Mark{}
	if got := w.follow(5); len(got) != 0 {
		w.Fatalf("an empty bucket has %v", got)
	}
	for i := range 50 {
		card := w.cardIn(5)
		want[card] = []txn.Mark{lost, risk, cancelled}[i%3]
		w.list(card, want[card])
		w.list(w.cardIn(6), lost)
		if i%4 == 0 {
			w.list(card, want[card])
		}
		if i%6 == 1 {
			w.list(card, notFrozen)
			delete(want, card)
		}
	}
	if got := w.follow(5); !maps.Equal(got, want) {
		w.Fatalf("a replica has %d cards, want %d: %v", len(got), len(want), got)
	}
}

// snapshotWhileChanging: a replica built while the list changes ends with the list.
func snapshotWhileChanging(w *world) {
	cards := make([]pan.Token, 40)
	for i := range cards {
		cards[i] = w.cardIn(5)
		w.list(cards[i], risk)
	}
	var writers sync.WaitGroup
	fault := make(chan error, 4)
	for k := range 4 {
		writers.Go(func() { fault <- w.flip(cards[k*10:(k+1)*10], 15) })
	}
	for range 10 {
		w.follow(5)
	}
	writers.Wait()
	for range 4 {
		w.check(<-fault)
	}
	got := w.follow(5)
	for _, card := range cards {
		e, _ := w.entry(card)
		if got[card] != e.Mark {
			w.Errorf("card %v: replica has %v, list has %v", card, got[card], e.Mark)
		}
		delete(got, card)
	}
	if len(got) != 0 {
		w.Errorf("the replica has cards that were never listed: %v", got)
	}
}

// flip releases and freezes cards again and again. It is the only one to touch them.
func (w *world) flip(cards []pan.Token, rounds int) error {
	for round := range rounds {
		for i, card := range cards {
			from, to := risk, notFrozen
			if (round+i)%2 == 1 {
				from, to = to, from
			}
			if i%2 == 1 && round == 0 {
				continue
			}
			c := &store.Commit{Card: card, AnyVersion: true, Mark: from,
				List: &store.ListChange{Entry: entryOf(to)}}
			if err := w.s.Commit(w.ctx, []*store.Commit{c}); err != nil {
				return err
			}
			if c.Status != store.Committed {
				return fmt.Errorf("round %d, card %d: status %s, current %v", round, i, c.Status,
					c.Current.Mark)
			}
		}
	}
	return nil
}

func tails(w *world) {
	for i := range 100 {
		w.list(w.card(), []txn.Mark{lost, risk}[i%2])
	}
	got, err := w.s.Tails(w.ctx)
	w.check(err)
	sum := store.ListSeq(0)
	for b, info := range w.infos() {
		if got[b] != info.ListSeq {
			w.Errorf("bucket %d: tail %d, Buckets says %d", b, got[b], info.ListSeq)
		}
		sum += got[b]
	}
	if sum != 100 {
		w.Errorf("the tails sum to %d, want 100", sum)
	}
}

// gap: changes no longer kept are reported, never left out.
func gap(w *world) {
	const b = 11
	written := store.ListSeq(0)
	w.eventually("the oldest changes are dropped", func() bool {
		_, err := w.s.Changes(w.ctx, b, 0, 10)
		if errors.Is(err, store.ErrGap) {
			return true
		}
		w.check(err)
		list := make([]*store.Commit, 0, 64)
		for range cap(list) {
			card := w.cardIn(b)
			list = append(list, &store.Commit{Card: card, AnyVersion: true,
				List: &store.ListChange{Entry: entryOf(lost)}})
		}
		if written < 4*16+2000 {
			w.check(w.s.Commit(w.ctx, list))
			written += 64
		}
		return false
	})
	if got := w.follow(b); len(got) != int(written) {
		w.Fatalf("after a gap the snapshot gives %d cards, want %d", len(got), written)
	}
	if got := w.changes(b, written, 10); len(got) != 0 {
		w.Fatalf("changes after the last: %+v", got)
	}
	if got := w.changes(b, written-1, 10); len(got) != 1 || got[0].Seq != written {
		w.Fatalf("changes after the last but one: %+v", got)
	}
}

func refusedChangesNothing(w *world) {
	card := w.card()
	w.write(card, "one")
	w.refused(store.VersionConflict, &store.Commit{Card: card, Version: 9,
		List: &store.ListChange{Entry: entryOf(lost)}})
	w.refused(store.DeadlinePassed, &store.Commit{Card: card, Version: 1, Deadline: 1,
		List: &store.ListChange{Entry: entryOf(lost)}})
	if _, ok := w.entry(card); ok {
		w.Fatal("a refused freeze listed the card")
	}
}
