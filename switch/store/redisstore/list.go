package redisstore

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// snapshotPage is about how many entries of the blacklist one read asks for: 20 kB, and
// half a millisecond in which the server does nothing else.
const snapshotPage = 1024

// changesMax bounds the changes of one read.
const changesMax = 4096

// Snapshot implements store.List. The sequence is read before the first page, and a card
// that was listed all the time appears at least once; one may appear twice.
func (s *Store) Snapshot(ctx context.Context, b txn.Bucket,
	yield func(pan.Token, txn.Mark)) (store.ListSeq, error) {
	if err := s.begin(); err != nil {
		return 0, fmt.Errorf("redisstore: snapshot: %w", err)
	}
	defer s.end()
	tail, err := s.tail(ctx, b)
	if err != nil {
		return 0, err
	}
	for cursor := "0"; ; {
		r := s.ask(place(b), s.scripts.snapshot, []string{s.keys.bucket[b].frozen}, cursor,
			snapshotPage)
		if err := s.query(ctx, r); err != nil {
			return 0, err
		}
		if cursor, err = r.yieldPage(yield); err != nil {
			return 0, err
		}
		if cursor == "0" {
			return tail, nil
		}
	}
}

// tail reads the list sequence of one bucket.
func (s *Store) tail(ctx context.Context, b txn.Bucket) (store.ListSeq, error) {
	r := s.ask(place(b), s.scripts.tails, []string{s.keys.bucket[b].meta})
	if err := s.query(ctx, r); err != nil {
		return 0, err
	}
	return r.listSeq(0)
}

func (r *request) listSeq(i int) (store.ListSeq, error) {
	n, err := strconv.ParseUint(r.text(i), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("redisstore: %s: %w: list sequence %q", r.place, store.ErrDamaged,
			r.text(i))
	}
	return store.ListSeq(n), nil
}

// list returns value i of a reply as a list, nil when it is none.
func (r *request) list(i int) []any { return listOf(r.values, i) }

func listOf(values []any, i int) []any {
	if i >= len(values) {
		return nil
	}
	l, _ := values[i].([]any)
	return l
}

func textOf(values []any, i int) string {
	if i >= len(values) {
		return ""
	}
	t, _ := values[i].(string)
	return t
}

// yieldPage reads a page of the blacklist: the next cursor, and the cards.
func (r *request) yieldPage(yield func(pan.Token, txn.Mark)) (cursor string, err error) {
	cursor, packed := r.text(0), r.text(1)
	if _, err := strconv.ParseUint(cursor, 10, 64); err != nil || len(packed)%changeSize != 0 {
		return "", fmt.Errorf("redisstore: %s: %w: page of the blacklist: cursor %q, %d bytes",
			r.place, store.ErrDamaged, cursor, len(packed))
	}
	for ; packed != ""; packed = packed[changeSize:] {
		var card pan.Token
		copy(card[:], packed)
		yield(card, markOf(packed[pan.TokenSize:]))
	}
	return cursor, nil
}

// Changes implements store.List. A sequence beyond the last change is a gap as well: the
// list that it was read from is not this one.
func (s *Store) Changes(ctx context.Context, b txn.Bucket, after store.ListSeq,
	max int) ([]store.Change, error) {
	if err := s.begin(); err != nil {
		return nil, fmt.Errorf("redisstore: changes: %w", err)
	}
	defer s.end()
	if max <= 0 {
		return nil, nil
	}
	k := &s.keys.bucket[b]
	r := s.ask(place(b), s.scripts.changes, []string{k.freezes, k.meta},
		"0-"+strconv.FormatUint(uint64(after)+1, 10), min(max, changesMax))
	if err := s.query(ctx, r); err != nil {
		return nil, err
	}
	tail, err := r.listSeq(0)
	if err != nil || tail == after {
		return nil, err
	}
	changes, err := r.changes()
	if err != nil {
		return nil, err
	}
	if tail < after || len(changes) == 0 || changes[0].Seq != after+1 {
		return nil, fmt.Errorf("redisstore: %s: %w: after %d, last is %d", b, store.ErrGap,
			after, tail)
	}
	return changes, nil
}

// changes reads a reply of XRANGE over the blacklist log.
func (r *request) changes() ([]store.Change, error) {
	var changes []store.Change
	for _, e := range r.list(1) {
		entry, _ := e.([]any)
		id, fields := textOf(entry, 0), listOf(entry, 1)
		seq, err := strconv.ParseUint(strings.TrimPrefix(id, "0-"), 10, 64)
		value := textOf(fields, 1)
		if err != nil || len(value) != changeSize {
			return nil, fmt.Errorf("redisstore: %s: %w: blacklist change %q", r.place,
				store.ErrDamaged, id)
		}
		c := store.Change{Seq: store.ListSeq(seq), Mark: markOf(value[pan.TokenSize:])}
		copy(c.Card[:], value)
		if n := len(changes); n > 0 && changes[n-1].Seq+1 != c.Seq {
			return nil, fmt.Errorf("redisstore: %s: %w: blacklist change %d follows %d", r.place,
				store.ErrDamaged, c.Seq, changes[n-1].Seq)
		}
		changes = append(changes, c)
	}
	return changes, nil
}

// Entry implements store.List.
func (s *Store) Entry(ctx context.Context, card pan.Token) (store.Entry, bool, error) {
	if err := s.begin(); err != nil {
		return store.Entry{}, false, fmt.Errorf("redisstore: entry: %w", err)
	}
	defer s.end()
	b := txn.BucketOf(card)
	r := s.askRead(place(b), s.keys.bucket[b].frozen, "HGET", card[:])
	if err := s.query(ctx, r); err != nil {
		return store.Entry{}, false, err
	}
	if r.text(0) == "" {
		return store.Entry{}, false, nil
	}
	e, err := decodeEntry(r.text(0))
	if err != nil {
		return store.Entry{}, false, fmt.Errorf("redisstore: %s: %w", b, err)
	}
	return e, true, nil
}

// Tails implements store.List: one script on one node, one pipeline a node in a cluster.
func (s *Store) Tails(ctx context.Context) ([txn.BucketCount]store.ListSeq, error) {
	var tails [txn.BucketCount]store.ListSeq
	if err := s.begin(); err != nil {
		return tails, fmt.Errorf("redisstore: tails: %w", err)
	}
	defer s.end()
	each := txn.BucketCount // keys of one request
	if s.opt.Cluster {
		each = 1
	}
	var reqs []*request
	for b := 0; b < txn.BucketCount; b += each {
		var keys []string
		for i := range each {
			keys = append(keys, s.keys.bucket[b+i].meta)
		}
		reqs = append(reqs, s.ask(place(b), s.scripts.tails, keys))
	}
	if err := s.query(ctx, reqs...); err != nil {
		return tails, err
	}
	for b := range tails {
		var err error
		if tails[b], err = reqs[b/each].listSeq(b % each); err != nil {
			return tails, err
		}
	}
	return tails, nil
}
