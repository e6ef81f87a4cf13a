package local

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

var errKilled = errors.New("killed by the test")

// The workload of the crash and fault tests: every card is a counter, and everything
// that a commit writes follows from the card and its version. So after a crash state,
// record, blacklist and due queue can each be told to be of one version.
const workCards = 48

func workCard(i int) pan.Token { return tokenAt(1_000_000 + i) }

// workState has another size at every version, so that cards move between slots.
func workState(card pan.Token, version uint64) []byte {
	state := binary.BigEndian.AppendUint64(card[:], version)
	return append(state, bytes.Repeat([]byte{byte(version)}, int(version*37%300))...)
}

func workRecord(card pan.Token, version uint64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte("record"), card[:]...), version)
}

// workMark is the mark after a version: on the list from 4n to 4n+1, off else.
func workMark(version uint64) txn.Mark {
	if version%4 < 2 && version >= 4 {
		return txn.Mark{Reason: txn.Lost, Scope: txn.AppAll}
	}
	return txn.Mark{}
}

// workCommit returns the commit that makes version+1.
func workCommit(card pan.Token, version uint64) *store.Commit {
	next := version + 1
	c := &store.Commit{
		Card: card, Version: version, Mark: workMark(version), State: workState(card, next),
		Record: workRecord(card, next),
		Due:    []store.DueChange{{Key: card[:], At: txn.Millis(next)}},
	}
	if workMark(next) != workMark(version) {
		entry := store.Entry{Mark: workMark(next)}
		if entry.Mark.Reason != txn.NotFrozen {
			entry.Since, entry.Actor, entry.Note = txn.Millis(next), "desk", "case"
		}
		c.List = &store.ListChange{Entry: entry}
	}
	return c
}

// work commits on the cards of share i of n until ctx ends or a commit fails, telling
// acked of each that the store answered. It returns the first error.
func work(ctx context.Context, s *Store, i, n int, acked func(card int, c *store.Commit)) error {
	versions := map[int]uint64{}
	for card := i; card < workCards; card += n {
		l, err := s.Load(ctx, workCard(card), nil)
		if err != nil {
			return err
		}
		versions[card] = l.Version
	}
	for ctx.Err() == nil {
		for card := i; card < workCards; card += n {
			c := workCommit(workCard(card), versions[card])
			if err := s.Commit(ctx, []*store.Commit{c}); err != nil {
				return err
			}
			if c.Status != store.Committed {
				return fmt.Errorf("card %d at %d: %s", card, versions[card], c.Status)
			}
			versions[card]++
			acked(card, c)
		}
	}
	return nil
}

// truth is what the store has answered.
type truth struct {
	mu        sync.Mutex
	versions  [workCards]uint64
	confirmed [txn.BucketCount]txn.Position // the most that was ever confirmed
}

func (w *truth) acked(card int, c *store.Commit) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.versions[card] = max(w.versions[card], c.Version+1)
}

// check proves that everything that was answered is in the store, that nothing is
// half there, and that the outbox has no hole.
func (w *truth) check(t *testing.T, s *Store) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	infos, err := s.Buckets(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for b, is := range infos {
		if w.confirmed[b].Before(is.Confirmed) {
			t.Fatalf("%v is confirmed, no more than %v ever was", is.Confirmed, w.confirmed[b])
		}
	}
	records := readAll(t, s, infos)
	for i := range workCards {
		version := w.checkCard(t, s, i)
		if last, found := records[workCard(i)]; found && last != version {
			t.Fatalf("card %d has version %d, its last record %d", i, version, last)
		}
	}
	if n := s.Listed().Len(); n != countListed(infos) {
		t.Fatalf("%d cards in the set, %d by bucket", n, countListed(infos))
	}
}

func countListed(infos []store.BucketInfo) (n int) {
	for _, is := range infos {
		n += is.Frozen
	}
	return n
}

func (w *truth) checkCard(t *testing.T, s *Store, i int) uint64 {
	t.Helper()
	card := workCard(i)
	l, err := s.Load(t.Context(), card, nil)
	if err != nil {
		t.Fatal(err)
	}
	// A worker has one commit under way, which may be there without an answer.
	if l.Version < w.versions[i] || l.Version > w.versions[i]+1 {
		t.Fatalf("card %d has version %d, answered was %d", i, l.Version, w.versions[i])
	}
	w.versions[i] = l.Version
	if l.Version == 0 {
		return 0
	}
	if !bytes.Equal(l.State, workState(card, l.Version)) || l.Mark != workMark(l.Version) {
		t.Fatalf("card %d of version %d has mark %v, state %x", i, l.Version, l.Mark, l.State)
	}
	e, listed, err := s.Entry(t.Context(), card)
	if err != nil || listed != (l.Mark != txn.Mark{}) || e.Mark != l.Mark {
		t.Fatalf("card %d of version %d has entry %+v %v %v", i, l.Version, e, listed, err)
	}
	due, err := s.DueBefore(t.Context(), txn.BucketOf(card), 1<<60, store.Page{Max: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range due {
		if bytes.Equal(d.Key, card[:]) && d.At == txn.Millis(l.Version) {
			return l.Version
		}
	}
	t.Fatalf("card %d of version %d is not due at it: %v", i, l.Version, due)
	return 0
}

// readAll reads the whole outbox, proves that it goes on without a hole from what is
// confirmed to the last entry of each bucket and that each card's records follow each
// other, and returns the version of each card's last record.
func readAll(t *testing.T, s *Store, infos []store.BucketInfo) map[pan.Token]uint64 {
	t.Helper()
	var at [txn.BucketCount]txn.Position
	pending := 0
	for b, is := range infos {
		at[b] = is.Confirmed
		pending += is.Pending
	}
	versions := map[pan.Token]uint64{}
	for cursor := (store.Cursor{}); pending > 0; {
		entries, next, err := s.Read(t.Context(), 0, cursor, 500)
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) == 0 {
			t.Fatalf("the outbox ends %d entries before what Buckets says", pending)
		}
		cursor, pending = next, pending-len(entries)
		for _, e := range entries {
			p, last := e.Position, at[e.Position.Bucket]
			sameEpoch := p.Epoch == last.Epoch && p.Seq == last.Seq+1
			if !sameEpoch && !(last.Before(p) && p.Epoch > last.Epoch && p.Seq == 0) {
				t.Fatalf("outbox entry %v follows %v", p, last)
			}
			at[p.Bucket] = p
			noteRecord(t, versions, e)
		}
	}
	for b, is := range infos {
		if at[b] != is.Last {
			t.Fatalf("the outbox of %v ends at %v, the last is %v", is.Bucket, at[b], is.Last)
		}
	}
	return versions
}

func noteRecord(t *testing.T, versions map[pan.Token]uint64, e store.OutboxEntry) {
	t.Helper()
	rest, found := bytes.CutPrefix(e.Record, []byte("record"))
	if !found {
		return // a marker
	}
	card, version := pan.Token(rest[:pan.TokenSize]), binary.BigEndian.Uint64(rest[pan.TokenSize:])
	if last, seen := versions[card]; seen && version != last+1 {
		t.Fatalf("record %v is of version %d after %d", e.Position, version, last)
	}
	versions[card] = version
}

// eventually waits until ok says yes.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	limit := time.NewTimer(20 * time.Second)
	defer limit.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-limit.C:
			t.Fatal("still not: " + what)
		case <-tick.C:
		}
	}
}
