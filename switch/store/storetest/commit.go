package storetest

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

func commitTests() []test {
	return []test{
		{name: "LoadAbsent", run: loadAbsent},
		{name: "LoadIntoDst", run: loadIntoDst},
		{name: "CreateAndUpdate", run: createAndUpdate},
		{name: "VersionConflict", run: versionConflict},
		{name: "AbsentConflict", run: absentConflict},
		{name: "MarkConflict", run: markConflict},
		{name: "NoStateKeepsVersion", run: noStateKeepsVersion},
		{name: "AnyVersion", run: anyVersion},
		{name: "Deadline", run: deadline},
		{name: "CheckOnly", run: checkOnly},
		{name: "BuffersAreTheCallers", run: buffersAreTheCallers},
		{name: "AnswerIsOverwritten", run: answerIsOverwritten},
	}
}

func loadAbsent(w *world) {
	if l := w.load(w.card()); l.Version != 0 || len(l.State) != 0 || l.Mark != notFrozen {
		w.Fatalf("an absent card is %+v", l)
	}
}

func loadIntoDst(w *world) {
	card := w.card()
	w.write(card, "state one")
	dst := append(make([]byte, 0, 64), "old content"...)
	l, err := w.s.Load(w.ctx, card, dst)
	w.check(err)
	if string(l.State) != "state one" {
		w.Fatalf("Load into a used buffer gave %q", l.State)
	}
	if &l.State[0] != &dst[:1][0] {
		w.Fatal("Load did not use the room of dst")
	}
	clear(l.State)
	if l := w.load(card); string(l.State) != "state one" {
		w.Fatalf("after the caller cleared its state the store has %q", l.State)
	}
}

func createAndUpdate(w *world) {
	card := w.card()
	for version := range uint64(5) {
		state := fmt.Sprintf("state %d", version)
		c := w.write(card, state)
		if c.Position.Bucket != txn.BucketOf(card) || c.Position.Seq == 0 || c.Position.Epoch == 0 {
			w.Fatalf("record has position %s", c.Position)
		}
		w.same(store.Loaded{State: []byte(state), Version: version + 1}, w.load(card))
	}
}

func versionConflict(w *world) {
	card := w.card()
	w.write(card, "one")
	w.write(card, "two")
	for _, version := range []uint64{0, 1, 3, 1 << 40} {
		c := w.refused(store.VersionConflict, &store.Commit{Card: card, Version: version,
			State: []byte("lost update"), Record: recordOf(card, 9)})
		w.same(store.Loaded{State: []byte("two"), Version: 2}, c.Current)
	}
}

func absentConflict(w *world) {
	card := w.card()
	c := w.refused(store.VersionConflict, &store.Commit{Card: card, Version: 1, State: []byte("x")})
	w.same(store.Loaded{}, c.Current)
}

func markConflict(w *world) {
	card := w.card()
	w.write(card, "one")
	c := w.refused(store.MarkConflict, &store.Commit{Card: card, Version: 1, Mark: lost,
		State: []byte("x"), Record: recordOf(card, 1)})
	w.same(store.Loaded{State: []byte("one"), Version: 1}, c.Current)
	w.list(card, risk)
	for _, mark := range []txn.Mark{notFrozen, lost, {Reason: txn.Risk, Scope: txn.AppAll}} {
		c := w.refused(store.MarkConflict, &store.Commit{Card: card, Version: 1, Mark: mark,
			State: []byte("x"), Record: recordOf(card, 2)})
		w.same(store.Loaded{State: []byte("one"), Version: 1, Mark: risk}, c.Current)
	}
	w.must(&store.Commit{Card: card, Version: 1, Mark: risk, State: []byte("two")})
	w.same(store.Loaded{State: []byte("two"), Version: 2, Mark: risk}, w.load(card))
}

func noStateKeepsVersion(w *world) {
	card := w.card()
	w.write(card, "one")
	c := w.must(&store.Commit{Card: card, Version: 1, Record: recordOf(card, 1),
		Due: []store.DueChange{{Key: []byte("k"), At: 1}}})
	if c.Position.Seq == 0 {
		w.Fatal("a commit with only a record got no position")
	}
	w.same(store.Loaded{State: []byte("one"), Version: 1}, w.load(card))
}

func anyVersion(w *world) {
	card, absent := w.card(), w.card()
	w.write(card, "one")
	w.write(card, "two")
	w.must(&store.Commit{Card: card, AnyVersion: true, Version: 77,
		List: &store.ListChange{Entry: entryOf(lost)}, Record: recordOf(card, 1)})
	w.same(store.Loaded{State: []byte("two"), Version: 2, Mark: lost}, w.load(card))
	w.must(&store.Commit{Card: absent, AnyVersion: true,
		List: &store.ListChange{Entry: entryOf(lost)}})
	w.same(store.Loaded{Mark: lost}, w.load(absent))
	w.refused(store.MarkConflict, &store.Commit{Card: card, AnyVersion: true,
		List: &store.ListChange{Entry: entryOf(risk)}})
	bad := &store.Commit{Card: card, AnyVersion: true, Mark: lost, State: []byte("x")}
	if err := w.s.Commit(w.ctx, []*store.Commit{bad}); err == nil || bad.Err == nil {
		w.Fatalf("a commit with state and AnyVersion gave %v, %v", err, bad.Err)
	}
	w.same(store.Loaded{State: []byte("two"), Version: 2, Mark: lost}, w.load(card))
}

func deadline(w *world) {
	card := w.card()
	w.refused(store.DeadlinePassed, &store.Commit{Card: card, Deadline: testAt,
		State: []byte("late"), Record: recordOf(card, 1)})
	w.must(&store.Commit{Card: card, Deadline: farAhead, State: []byte("in time")})
}

func checkOnly(w *world) {
	card := w.card()
	before := w.info(txn.BucketOf(card))
	c := w.must(&store.Commit{Card: card})
	if c.Position != (txn.Position{}) || c.ListSeq != 0 {
		w.Fatalf("a commit that only checks has position %s, list sequence %d", c.Position, c.ListSeq)
	}
	w.same(store.Loaded{}, w.load(card))
	if after := w.info(txn.BucketOf(card)); after != before {
		w.Fatalf("a commit that only checks changed the bucket from %+v to %+v", before, after)
	}
	w.write(card, "one")
	w.must(&store.Commit{Card: card, Version: 1})
	w.refused(store.VersionConflict, &store.Commit{Card: card})
	w.refused(store.MarkConflict, &store.Commit{Card: card, Version: 1, Mark: lost})
	w.list(card, lost)
	w.must(&store.Commit{Card: card, Version: 1, Mark: lost})
	w.must(&store.Commit{Card: card, AnyVersion: true, Mark: lost})
}

// buffersAreTheCallers: a commit's slices may be used again when Commit has returned.
func buffersAreTheCallers(w *world) {
	card := w.card()
	record := recordOf(card, 1)
	c := &store.Commit{Card: card, State: []byte("mine"), Record: bytes.Clone(record),
		Due: []store.DueChange{{Key: []byte("due key"), At: 5}}}
	w.must(c)
	clear(c.State)
	clear(c.Record)
	clear(c.Due[0].Key)
	w.same(store.Loaded{State: []byte("mine"), Version: 1}, w.load(card))
	entries := w.bucketEntries(txn.BucketOf(card))
	if last := entries[len(entries)-1]; !bytes.HasPrefix(last.Record, record) {
		w.Fatalf("the outbox has record %x, want %x", last.Record, record)
	}
	due, err := w.s.DueBefore(w.ctx, txn.BucketOf(card), 10, store.Page{Max: 10})
	w.check(err)
	if len(due) != 1 || string(due[0].Key) != "due key" {
		w.Fatalf("the due queue has %+v", due)
	}
}

// answerIsOverwritten: a Commit may be used again; no part of an old answer stays.
func answerIsOverwritten(w *world) {
	card := w.card()
	c := w.must(&store.Commit{Card: card, State: []byte("one"), Record: recordOf(card, 1),
		List: &store.ListChange{Entry: entryOf(lost)}})
	c.Err = errors.New("an old fault")
	w.refused(store.VersionConflict, c)
	c.Version, c.Mark, c.State, c.Record, c.List = 1, lost, nil, nil, nil
	w.must(c)
	if c.Position != (txn.Position{}) || c.ListSeq != 0 || c.Date != 0 || c.Current.Version != 0 {
		w.Fatalf("a used commit kept parts of its old answers: %+v", c)
	}
}

func commitListTests() []test {
	return []test{
		{name: "Empty", run: emptyList},
		{name: "MixedAnswers", run: mixedAnswers},
		{name: "InOrderOnOneCard", run: inOrderOnOneCard},
		{name: "AllBuckets", run: allBuckets},
		{name: "Longest", run: longestList},
	}
}

func emptyList(w *world) {
	w.check(w.s.Commit(w.ctx, nil))
	w.check(w.s.Commit(w.ctx, []*store.Commit{}))
}

func mixedAnswers(w *world) {
	cards := make([]pan.Token, 5)
	for i := range cards {
		cards[i] = w.cardIn(txn.Bucket(i % 2))
	}
	w.list(cards[2], lost)
	w.list(cards[4], replaced)
	list := []*store.Commit{
		{Card: cards[0], State: []byte("a"), Record: recordOf(cards[0], 1)},
		{Card: cards[1], Version: 4, State: []byte("b")},
		{Card: cards[2], State: []byte("c")},
		{Card: cards[3], Deadline: 1, State: []byte("d")},
		{Card: cards[4], AnyVersion: true, Mark: replaced, List: &store.ListChange{}},
		{Card: cards[0], Version: 1, State: []byte("e"), Record: recordOf(cards[0], 2)},
	}
	want := []store.Status{store.Committed, store.VersionConflict, store.MarkConflict,
		store.DeadlinePassed, store.ListClosed, store.Committed}
	w.check(w.s.Commit(w.ctx, list))
	for i, c := range list {
		if c.Err != nil || c.Status != want[i] {
			w.Errorf("commit %d: status %s, error %v; want %s", i, c.Status, c.Err, want[i])
		}
	}
	w.same(store.Loaded{State: []byte("e"), Version: 2}, w.load(cards[0]))
	if list[2].Current.Mark != lost {
		w.Errorf("mark conflict says the mark is %v", list[2].Current.Mark)
	}
}

// inOrderOnOneCard: commits of one bucket are applied in the order of the list.
func inOrderOnOneCard(w *world) {
	card := w.card()
	var list []*store.Commit
	for i := range 100 {
		c := &store.Commit{Card: card, Version: uint64(i), State: fmt.Appendf(nil, "s%d", i+1),
			Record: recordOf(card, i+1)}
		twin := *c
		list = append(list, c, &twin)
	}
	w.check(w.s.Commit(w.ctx, list))
	var before txn.Position
	for i, c := range list {
		if i%2 == 1 {
			if c.Status != store.VersionConflict || c.Current.Version != uint64(i/2)+1 {
				w.Fatalf("twin %d: status %s, current %d", i/2, c.Status, c.Current.Version)
			}
			continue
		}
		if c.Status != store.Committed || i > 0 && c.Position.Seq != before.Seq+1 {
			w.Fatalf("commit %d: status %s at %s after %s", i/2, c.Status, c.Position, before)
		}
		before = c.Position
	}
	w.same(store.Loaded{State: []byte("s100"), Version: 100}, w.load(card))
}

func allBuckets(w *world) {
	var list []*store.Commit
	for b := range txn.Bucket(txn.BucketCount) {
		card := w.cardIn(b)
		list = append(list, &store.Commit{Card: card, State: []byte{byte(b), 1},
			Record: recordOf(card, int(b))})
	}
	w.check(w.s.Commit(w.ctx, list))
	for b, c := range list {
		if c.Status != store.Committed || c.Position.Bucket != txn.Bucket(b) || c.Position.Seq != 1 {
			w.Fatalf("bucket %d: status %s at %s", b, c.Status, c.Position)
		}
		w.same(store.Loaded{State: []byte{byte(b), 1}, Version: 1}, w.load(c.Card))
	}
}

func longestList(w *world) {
	list := make([]*store.Commit, store.CommitListMax)
	for i := range list {
		list[i] = &store.Commit{Card: w.card(), State: []byte("x")}
	}
	w.check(w.s.Commit(w.ctx, list))
	for i, c := range list {
		if c.Status != store.Committed || c.Err != nil {
			w.Fatalf("commit %d: status %s, error %v", i, c.Status, c.Err)
		}
	}
}
