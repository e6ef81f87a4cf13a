package blacklist

import (
	"sync"
	"sync/atomic"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Set maps frozen cards to their marks. It is one table a bucket; a table compares
// 78 bits of a token: 6 that choose the bucket and 72 that mix the rest. Tokens are
// HMAC outputs, so with 10 million cards listed an unlisted card is taken for a
// listed one with probability 3e-17, and any two listed cards share an entry with
// probability 2e-10. The Redis store compares the exact token in Commit and is not
// affected; the local store commits by this set.
//
// Get takes no lock and allocates nothing: it reads under a sequence number and
// reads again when a writer was at work in the same bucket. Writers of one bucket
// wait for each other, also while a table grows; readers use the old table until
// the larger one is complete.
//
// There is no greatest number of cards: to refuse a freeze for want of room would be
// worse than to use more memory. The zero Set is not usable; call NewSet.
type Set struct {
	shards [txn.BucketCount]shard
}

type shard struct {
	table atomic.Pointer[table] // replaced under mu, read without

	mu sync.Mutex // one writer at a time
}

// NewSet returns an empty set.
func NewSet() *Set {
	s := &Set{}
	for i := range s.shards {
		s.shards[i].table.Store(newTable(0))
	}
	return s
}

// Get returns the card's mark, zero when it is not listed. A Get that begins after a
// Put returned sees what was put.
func (s *Set) Get(token pan.Token) txn.Mark {
	sh := &s.shards[txn.BucketOf(token)]
	k := keyOf(token)
	for range readTriesMax {
		t := sh.table.Load()
		seq := t.seq.Load()
		if seq&1 != 0 {
			continue
		}
		mark := t.find(k)
		if t.seq.Load() == seq {
			return txn.MarkOf(mark)
		}
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return txn.MarkOf(sh.table.Load().find(k))
}

// readTriesMax bounds how often Get reads again before it waits for the writer: a
// writer that lost its processor half way must not keep readers spinning.
const readTriesMax = 32

// Put lists the card with mark, or changes its mark. A zero mark deletes.
func (s *Set) Put(token pan.Token, mark txn.Mark) {
	sh := &s.shards[txn.BucketOf(token)]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	t := sh.table.Load()
	if mark == (txn.Mark{}) {
		t.write(func() { t.remove(keyOf(token)) })
		return
	}
	if t.full() {
		t = t.resized(t.grown())
		sh.table.Store(t)
	}
	t.write(func() { t.put(keyOf(token), mark.Uint32()) })
}

// Delete takes the card off the list; a card that is not listed is no error.
func (s *Set) Delete(token pan.Token) { s.Put(token, txn.Mark{}) }

// Len returns the number of cards listed.
func (s *Set) Len() int {
	n := 0
	for i := range s.shards {
		n += s.shards[i].table.Load().len()
	}
	return n
}

// ShardLen returns the number of cards listed in one bucket.
func (s *Set) ShardLen(b txn.Bucket) int { return s.shards[b].table.Load().len() }

// Reserve makes room for n cards in bucket b, so that loading them does not grow the
// table again and again. It never makes a table smaller.
func (s *Set) Reserve(b txn.Bucket, n int) {
	sh := &s.shards[b]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	t := sh.table.Load()
	if want := linesFor(n); want > len(t.lines) {
		sh.table.Store(t.resized(want))
	}
}

// Bytes returns the memory that the tables occupy. Deleted cards leave room that is
// used again; ReplaceShard gives it back.
func (s *Set) Bytes() int64 {
	n := int64(0)
	for i := range s.shards {
		n += s.shards[i].table.Load().bytes()
	}
	return n
}

// ReplaceShard makes what was built the whole content of bucket b in one step: a
// reader sees all of the old content or all of the new. Room that the builder does not
// need is given back. The builder is used up.
func (s *Set) ReplaceShard(b txn.Bucket, built *Builder) {
	if built.table == nil {
		panic("blacklist: internal error: a Builder was used twice")
	}
	t := built.table
	built.table = nil
	if want := linesFor(t.len()); len(t.lines) > want+want/growth {
		t = t.resized(want)
	}
	sh := &s.shards[b]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.table.Store(t)
}

// Builder collects the content of one bucket for ReplaceShard. It is for one
// goroutine.
type Builder struct {
	table *table
}

// NewBuilder returns an empty builder with room for n cards; it grows beyond.
func NewBuilder(n int) *Builder { return &Builder{table: newTable(linesFor(n))} }

// Put lists a card of the bucket, or changes its mark. A zero mark deletes.
func (b *Builder) Put(token pan.Token, mark txn.Mark) {
	if mark == (txn.Mark{}) {
		b.table.remove(keyOf(token))
		return
	}
	if b.table.full() {
		b.table = b.table.resized(2 * len(b.table.lines)) // ReplaceShard makes it fit
	}
	b.table.put(keyOf(token), mark.Uint32())
}

// Len returns the number of cards collected.
func (b *Builder) Len() int { return b.table.len() }
