package local

import (
	"context"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// What List answers is durable: a gate that was told of change 10 must never meet
// another change 10 after a power cut.

// Snapshot yields the listed cards of a bucket; see store.List. Here it is exact at
// the sequence that it returns.
func (s *Store) Snapshot(ctx context.Context, b txn.Bucket,
	yield func(pan.Token, txn.Mark)) (store.ListSeq, error) {
	if err := s.enter(); err != nil {
		return 0, err
	}
	defer s.leave()
	is := s.snapshot(b)
	defer func() { _ = is.base.Close() }()
	if err := s.journal.wait(ctx, is.after); err != nil {
		return 0, err
	}
	lower, upper := tokenRange(keyListed, b)
	err := s.scan(is.base, lower, upper, func(k, v []byte) error {
		token, mark, err := decodeListed(k, v)
		if _, newer := is.recent[token]; err == nil && !newer {
			yield(token, mark)
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	for token, mark := range is.recent {
		if mark != (txn.Mark{}) {
			yield(token, mark)
		}
	}
	return is.seq, ctx.Err()
}

// listSnapshot is a bucket's list at one moment: what a checkpoint has and what changed
// since.
type listSnapshot struct {
	base   *pebble.Snapshot
	recent map[pan.Token]txn.Mark
	seq    store.ListSeq
	after  *batch // durable when this is
}

func (s *Store) snapshot(b txn.Bucket) listSnapshot {
	k := &s.buckets[b]
	k.mu.Lock()
	defer k.mu.Unlock()
	recent := make(map[pan.Token]txn.Mark, len(k.flying.list)+len(k.fresh.list))
	for _, o := range []*overlay{&k.flying, &k.fresh} {
		for token, e := range o.list {
			recent[token] = e.Mark
		}
	}
	return listSnapshot{s.db.NewSnapshot(), recent, k.listSeq, k.listed}
}

// Changes returns list changes; see store.List.
func (s *Store) Changes(ctx context.Context, b txn.Bucket, after store.ListSeq,
	limit int) ([]store.Change, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	k := &s.buckets[b]
	k.mu.Lock()
	changes, ok := k.changes.after(after, limit)
	listed := k.listed
	k.mu.Unlock()
	if !ok {
		return nil, store.ErrGap
	}
	return changes, s.journal.wait(ctx, listed)
}

// Entry returns a card's blacklist entry; see store.List.
func (s *Store) Entry(ctx context.Context, token pan.Token) (store.Entry, bool, error) {
	if err := s.enter(); err != nil {
		return store.Entry{}, false, err
	}
	defer s.leave()
	k := &s.buckets[txn.BucketOf(token)]
	k.mu.Lock()
	e, recent := k.fresh.list[token]
	if !recent {
		e, recent = k.flying.list[token]
	}
	listed := k.listed
	k.mu.Unlock()
	if recent {
		return e, e.Mark != txn.Mark{}, s.journal.wait(ctx, listed)
	}
	found, err := s.get(tokenKey(nil, keyListed, &token), func(v []byte) (err error) {
		e, err = decodeListEntry(v)
		return err
	})
	return e, found, err
}

// Tails returns the list sequence of every bucket.
func (s *Store) Tails(ctx context.Context) (tails [txn.BucketCount]store.ListSeq, err error) {
	if err := s.enter(); err != nil {
		return tails, err
	}
	defer s.leave()
	var last *batch
	for i := range s.buckets {
		k := &s.buckets[i]
		k.mu.Lock()
		tails[i] = k.listSeq
		if k.listed != nil && (last == nil || k.listed.lsn > last.lsn) {
			last = k.listed
		}
		k.mu.Unlock()
	}
	return tails, s.journal.wait(ctx, last)
}
