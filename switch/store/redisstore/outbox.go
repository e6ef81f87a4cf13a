package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// readMax bounds the entries of one read of the outbox: some 400 kB.
const readMax = 1024

// errShard reports a shard that is none.
var errShard = errors.New("no such shard")

// Shards implements store.Outbox: one sequence a bucket.
func (s *Store) Shards() int { return txn.BucketCount }

// Read implements store.Outbox. A cursor is the id to go on from: epoch, and sequence plus
// one. Entries are checked to follow each other without a hole. Position and date, which
// Redis decided, are appended to the records here.
func (s *Store) Read(ctx context.Context, shard int, after store.Cursor,
	max int) ([]store.OutboxEntry, store.Cursor, error) {
	if err := s.begin(); err != nil {
		return nil, after, fmt.Errorf("redisstore: read: %w", err)
	}
	defer s.end()
	if shard < 0 || shard >= txn.BucketCount {
		return nil, after, fmt.Errorf("redisstore: read: %w: %d of %d", errShard, shard,
			txn.BucketCount)
	}
	if max <= 0 {
		return nil, after, nil
	}
	timer := time.NewTimer(store.OutboxWait)
	defer timer.Stop()
	for {
		woken := s.nudges[shard].wait()
		entries, err := s.readOnce(ctx, txn.Bucket(shard), after, min(max, readMax))
		if err != nil || len(entries) > 0 {
			return entries, cursorAfter(entries, after), err
		}
		select {
		case <-woken:
		case <-timer.C:
			return nil, after, nil
		case <-s.stop:
			return nil, after, nil
		case <-ctx.Done():
			return nil, after, nil
		}
	}
}

func cursorAfter(entries []store.OutboxEntry, before store.Cursor) store.Cursor {
	if len(entries) == 0 {
		return before
	}
	last := entries[len(entries)-1].Position
	return store.Cursor{Hi: uint64(last.Epoch), Lo: uint64(last.Seq) + 1}
}

func (s *Store) readOnce(ctx context.Context, b txn.Bucket, after store.Cursor,
	max int) ([]store.OutboxEntry, error) {
	from := strconv.FormatUint(after.Hi, 10) + "-" + strconv.FormatUint(after.Lo, 10)
	r := s.askRead(place(b), s.keys.bucket[b].out, "XRANGE", from, "+", "COUNT", max)
	if err := s.query(ctx, r); err != nil {
		if ctx.Err() != nil && errors.Is(err, store.ErrUnavailable) {
			return nil, nil // the caller's time is over, as when there is nothing to read
		}
		return nil, err
	}
	entries, err := r.entries(b)
	if err != nil || len(entries) == 0 || s.opt.Replicas == 0 {
		return entries, err
	}
	// What the replicas do not hold yet is not durable: it must not reach the ledger.
	return entries, s.query(ctx, s.ask(place(b), s.scripts.touch, []string{s.keys.bucket[b].meta}))
}

// entries reads a reply of XRANGE over an outbox.
func (r *request) entries(b txn.Bucket) ([]store.OutboxEntry, error) {
	list := r.list(0)
	entries := make([]store.OutboxEntry, 0, len(list))
	for _, e := range list {
		entry, _ := e.([]any)
		id, fields := textOf(entry, 0), listOf(entry, 1)
		p, err := parseID(b, id)
		if err != nil {
			return nil, fmt.Errorf("redisstore: %s: %w", b, err)
		}
		date, err := strconv.ParseUint(textOf(fields, 1), 10, 32)
		if err != nil || textOf(fields, 0) != "d" || textOf(fields, 2) != "r" {
			return nil, fmt.Errorf("redisstore: %w: outbox entry %s: fields", store.ErrDamaged, p)
		}
		if n := len(entries); n > 0 && !follows(entries[n-1].Position, p) {
			return nil, fmt.Errorf("redisstore: %w: outbox entry %s follows %s", store.ErrDamaged,
				p, entries[n-1].Position)
		}
		day := txn.BusinessDate(date)
		entries = append(entries, store.OutboxEntry{Position: p, Date: day,
			Record: txn.AppendPosition([]byte(textOf(fields, 3)), p, day)})
	}
	return entries, nil
}

// follows reports whether q may come next after p: the next number, or the marker that
// opens a later epoch.
func follows(p, q txn.Position) bool {
	return q.Epoch == p.Epoch && q.Seq == p.Seq+1 || q.Epoch > p.Epoch && q.Seq == 0
}

// Confirm implements store.Outbox. Buckets are confirmed each on its own; after an error
// some may be and others not, and confirming again is right.
func (s *Store) Confirm(ctx context.Context, upTo []txn.Position) error {
	if err := s.begin(); err != nil {
		return fmt.Errorf("redisstore: confirm: %w", err)
	}
	defer s.end()
	var last [txn.BucketCount]txn.Position
	for _, p := range upTo {
		if p.Bucket >= txn.BucketCount {
			return fmt.Errorf("redisstore: confirm %s: %w", p, errShard)
		}
		if last[p.Bucket].Before(p) {
			last[p.Bucket] = p
		}
	}
	var reqs []*request
	for b, p := range last {
		if p.Epoch == 0 {
			continue // the zero position is before everything
		}
		k := &s.keys.bucket[b]
		next := fmt.Sprintf("%d-%d", p.Epoch, p.Seq+1)
		reqs = append(reqs, s.ask(place(b), s.scripts.confirm, []string{k.meta, k.out},
			uint64(p.Epoch), uint64(p.Seq), next))
	}
	if err := s.query(ctx, reqs...); err != nil {
		return err
	}
	for _, r := range reqs {
		if r.status() == "beyond" {
			return fmt.Errorf("redisstore: confirm %s: %w: last is %s", last[r.place], errBeyond,
				r.text(1))
		}
		if err := r.refusal(); err != nil {
			return err
		}
	}
	return nil
}

// errBeyond reports a confirmation of what was never written.
var errBeyond = errors.New("position beyond the last entry")
