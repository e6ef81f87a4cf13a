package storetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// waitMax bounds how long a test waits for what must happen in the end.
const waitMax = 20 * time.Second

// Instants and marks that the tests use. The instants are far in the past; only
// deadlines are compared with a clock.
const (
	testAt   txn.Millis = 1_700_000_000_000
	farAhead txn.Millis = 4_000_000_000_000
)

var (
	notFrozen = txn.Mark{}
	lost      = txn.Mark{Reason: txn.Lost, Scope: txn.AppAll}
	risk      = txn.Mark{Reason: txn.Risk, Scope: txn.AppPurse}
	replaced  = txn.Mark{Reason: txn.Replaced, Scope: txn.AppAll}
	cancelled = txn.Mark{Reason: txn.Cancelled, Scope: txn.AppAll}
)

// reporter is what a test needs of *testing.T; the model test brings another.
type reporter interface {
	Helper()
	Name() string
	Error(args ...any)
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Skip(args ...any)
}

// world is one test's store and what it needs to talk to it.
type world struct {
	reporter
	tb  testing.TB // for the factory
	f   Factory
	s   store.Store
	ctx context.Context

	cards uint64        // how many made
	wait  time.Duration // for what must happen in the end
}

// newWorld returns a world with a new store and its first epoch open. The caller closes
// w.s in the end.
func newWorld(r reporter, tb testing.TB, f Factory, o Options) *world {
	r.Helper()
	w := &world{reporter: r, tb: tb, f: f, ctx: tb.Context(), wait: waitMax,
		s: f.Open(tb, o)}
	w.openEpoch()
	return w
}

// check fails the test when err is not nil.
func (w *world) check(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) openEpoch() {
	w.Helper()
	w.check(w.s.OpenEpoch(w.ctx, testAt))
}

// tokenOf returns the n-th of the tokens that belong to a name.
func tokenOf(name string, n uint64) pan.Token {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(name), n))
	return pan.Token(sum[:pan.TokenSize])
}

// card returns a card that no other test uses, in any bucket.
func (w *world) card() pan.Token {
	w.cards++
	return tokenOf(w.Name(), w.cards)
}

// cardIn returns such a card in bucket b.
func (w *world) cardIn(b txn.Bucket) pan.Token {
	card := w.card()
	card[0] = byte(b)<<2 | card[0]&3
	return card
}

// recordOf returns an encoded record of a card with a number to know it by.
func recordOf(card pan.Token, n int) []byte {
	r := txn.Record{Version: txn.RecordVersion, Kind: txn.Purchase, Outcome: txn.Approved,
		Card: card, Currency: txn.CNY, Charged: txn.Minor(n), ServiceAt: testAt, ReceivedAt: testAt}
	r.Request.Counter = uint32(n)
	copy(r.Request.Terminal[:], "SUITE")
	return txn.AppendRecord(nil, &r)
}

// commit commits one and fails the test on a fault.
func (w *world) commit(c *store.Commit) *store.Commit {
	w.Helper()
	w.check(w.s.Commit(w.ctx, []*store.Commit{c}))
	w.check(c.Err)
	return c
}

// must commits one that the store must accept.
func (w *world) must(c *store.Commit) *store.Commit {
	w.Helper()
	if w.commit(c); c.Status != store.Committed {
		w.Fatalf("status %s, want committed; current version %d, mark %v",
			c.Status, c.Current.Version, c.Current.Mark)
	}
	return c
}

// refused commits one that the store must refuse with status, writing nothing.
func (w *world) refused(status store.Status, c *store.Commit) *store.Commit {
	w.Helper()
	before, was := w.load(c.Card), w.info(c.Bucket())
	w.commit(c)
	if c.Status != status {
		w.Fatalf("status %s, want %s", c.Status, status)
	}
	if c.Position != (txn.Position{}) || c.ListSeq != 0 {
		w.Fatalf("a refused commit has position %s, list sequence %d", c.Position, c.ListSeq)
	}
	w.same(before, w.load(c.Card))
	if is := w.info(c.Bucket()); is != was {
		w.Fatalf("a refused commit changed the bucket from %+v to %+v", was, is)
	}
	return c
}

func (w *world) load(card pan.Token) store.Loaded {
	w.Helper()
	l, err := w.s.Load(w.ctx, card, nil)
	w.check(err)
	return l
}

// same fails the test when two loaded cards differ.
func (w *world) same(want, got store.Loaded) {
	w.Helper()
	if want.Version != got.Version || want.Mark != got.Mark || !bytes.Equal(want.State, got.State) {
		w.Fatalf("card has version %d, mark %v, state %q; want %d, %v, %q",
			got.Version, got.Mark, got.State, want.Version, want.Mark, want.State)
	}
}

// write writes a state on the card as it is, with a record.
func (w *world) write(card pan.Token, state string) *store.Commit {
	w.Helper()
	now := w.load(card)
	return w.must(&store.Commit{Card: card, Version: now.Version, Mark: now.Mark,
		State: []byte(state), Record: recordOf(card, int(now.Version)+1)})
}

// list changes the card's blacklist entry, whatever it is.
func (w *world) list(card pan.Token, to txn.Mark) *store.Commit {
	w.Helper()
	return w.must(w.listing(card, to))
}

// listing returns the commit that list commits.
func (w *world) listing(card pan.Token, to txn.Mark) *store.Commit {
	w.Helper()
	return &store.Commit{Card: card, AnyVersion: true, Mark: w.load(card).Mark, Reserve: true,
		List: &store.ListChange{Entry: entryOf(to)}}
}

// entryOf returns an entry with the mark; none for the zero mark.
func entryOf(mark txn.Mark) store.Entry {
	if mark == notFrozen {
		return store.Entry{}
	}
	return store.Entry{Mark: mark, Since: testAt, Actor: "desk-7", Note: "by telephone, 挂失"}
}

func (w *world) infos() []store.BucketInfo {
	w.Helper()
	infos, err := w.s.Buckets(w.ctx)
	w.check(err)
	if len(infos) != txn.BucketCount {
		w.Fatalf("Buckets returned %d, want %d", len(infos), txn.BucketCount)
	}
	for i, info := range infos {
		if info.Bucket != txn.Bucket(i) || info.Last.Bucket != info.Bucket ||
			info.Confirmed.Bucket != info.Bucket {
			w.Fatalf("Buckets has at place %d: %+v", i, info)
		}
	}
	return infos
}

func (w *world) info(b txn.Bucket) store.BucketInfo {
	w.Helper()
	return w.infos()[b]
}

// readTo reads the outbox from its oldest entry until it has, for each position in
// upTo, the entry there, and returns the entries of those buckets.
func (w *world) readTo(upTo ...txn.Position) map[txn.Bucket][]store.OutboxEntry {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, w.wait)
	defer cancel()
	want := map[txn.Bucket]txn.Position{}
	for _, p := range upTo {
		want[p.Bucket] = p
	}
	got := map[txn.Bucket][]store.OutboxEntry{}
	shards := w.s.Shards()
	for shard := range shards {
		if _, ok := want[txn.Bucket(shard)]; shards == txn.BucketCount && !ok {
			continue // one shard a bucket, and nobody asks for this one
		}
		w.readShard(ctx, shard, func(e store.OutboxEntry) bool {
			b := e.Position.Bucket
			if _, ok := want[b]; ok {
				got[b] = append(got[b], e)
			}
			return reached(got, want, shard, shards)
		})
	}
	return got
}

// reached reports whether a shard has given all that is wanted of it.
func reached(got map[txn.Bucket][]store.OutboxEntry, want map[txn.Bucket]txn.Position,
	shard, shards int) bool {
	for b, p := range want {
		n := len(got[b])
		if (shards == 1 || int(b) == shard) && (n == 0 || got[b][n-1].Position.Before(p)) {
			return false
		}
	}
	return true
}

// readShard reads a shard in small steps until done reports that it has all.
func (w *world) readShard(ctx context.Context, shard int, done func(store.OutboxEntry) bool) {
	w.Helper()
	var cursor store.Cursor
	for {
		entries, next, err := w.s.Read(ctx, shard, cursor, 7)
		w.check(err)
		if len(entries) > 7 {
			w.Fatalf("Read returned %d entries, the limit was 7", len(entries))
		}
		for _, e := range entries {
			if done(e) {
				return
			}
		}
		if ctx.Err() != nil {
			w.Fatalf("shard %d: not all entries could be read within %v", shard, w.wait)
		}
		cursor = next
	}
}

// bucketEntries returns all kept entries of one bucket, checked to be without holes.
func (w *world) bucketEntries(b txn.Bucket) []store.OutboxEntry {
	w.Helper()
	info := w.info(b)
	if info.Pending == 0 {
		return nil
	}
	entries := w.readTo(info.Last)[b]
	w.sequence(entries)
	return entries
}

// sequence proves that entries of one bucket follow each other without a hole: the
// next number in the same epoch, or number 0 of a later one whose marker names the
// entry before.
func (w *world) sequence(entries []store.OutboxEntry) {
	w.Helper()
	for i, e := range entries {
		r, err := txn.DecodeRecord(e.Record)
		w.check(err)
		if r.Position != (txn.Position{}) && (r.Position != e.Position || r.BusinessDate != e.Date) {
			w.Fatalf("entry %s of %d has a record that says %s of %d",
				e.Position, e.Date, r.Position, r.BusinessDate)
		}
		if (e.Position.Seq == 0) != (r.Kind == txn.EpochMarker) {
			w.Fatalf("entry %s is a %s", e.Position, r.Kind)
		}
		if i == 0 {
			continue
		}
		before := entries[i-1].Position
		next := txn.Position{Bucket: before.Bucket, Epoch: before.Epoch, Seq: before.Seq + 1}
		if e.Position.Seq == 0 && e.Position.Epoch > before.Epoch {
			if r.Previous.Epoch != before.Epoch || r.Previous.Seq != before.Seq {
				w.Fatalf("epoch marker %s names %d-%d, the entry before is %s",
					e.Position, r.Previous.Epoch, r.Previous.Seq, before)
			}
			continue
		}
		if e.Position != next {
			w.Fatalf("after entry %s comes %s", before, e.Position)
		}
	}
}

// eventually asks until ok, which may take a moment, and fails the test if it does not
// come true.
func (w *world) eventually(what string, ok func() bool) {
	w.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	end := time.NewTimer(w.wait)
	defer end.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-end.C:
			w.Fatal(fmt.Sprintf("%s: not within %v", what, w.wait))
		}
	}
}
