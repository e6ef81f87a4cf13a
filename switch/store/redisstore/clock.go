package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const (
	// dueMax bounds the entries of one read of the due queue.
	dueMax = 4096
	// compareMax bounds how often a marker is made again because its bucket moved on
	// while it was: once is seldom, this many is a fault.
	compareMax = 64
)

// DueBefore implements store.Clock.
func (s *Store) DueBefore(ctx context.Context, b txn.Bucket, now txn.Millis,
	p store.Page) ([]store.Due, error) {
	if err := s.begin(); err != nil {
		return nil, fmt.Errorf("redisstore: due: %w", err)
	}
	defer s.end()
	if p.Max <= 0 {
		return nil, nil
	}
	r := s.askRead(place(b), s.keys.bucket[b].due, "ZRANGEBYSCORE", "-inf", int64(now),
		"WITHSCORES", "LIMIT", max(p.Skip, 0), min(p.Max, dueMax))
	if err := s.query(ctx, r); err != nil {
		return nil, err
	}
	list := r.list(0)
	dues := make([]store.Due, 0, len(list)/2)
	for i := 0; i+1 < len(list); i += 2 {
		at, err := strconv.ParseFloat(textOf(list, i+1), 64)
		if err != nil || at != float64(int64(at)) {
			return nil, fmt.Errorf("redisstore: %s: %w: due time %q", b, store.ErrDamaged,
				textOf(list, i+1))
		}
		dues = append(dues, store.Due{Bucket: b, Key: []byte(textOf(list, i)), At: txn.Millis(at)})
	}
	return dues, nil
}

// Buckets implements store.Clock.
func (s *Store) Buckets(ctx context.Context) ([]store.BucketInfo, error) {
	if err := s.begin(); err != nil {
		return nil, fmt.Errorf("redisstore: buckets: %w", err)
	}
	defer s.end()
	reqs := make([]*request, txn.BucketCount)
	for b := range reqs {
		reqs[b] = s.askInfo(txn.Bucket(b))
	}
	if err := s.query(ctx, reqs...); err != nil {
		return nil, err
	}
	infos := make([]store.BucketInfo, txn.BucketCount)
	for b, r := range reqs {
		i, err := r.info(txn.Bucket(b))
		if err != nil {
			return nil, err
		}
		infos[b] = i.BucketInfo
	}
	return infos, nil
}

func (s *Store) askInfo(b txn.Bucket) *request {
	k := &s.keys.bucket[b]
	return s.ask(place(b), s.scripts.info, []string{k.meta, k.out, k.frozen, k.due})
}

// bucketInfo is the numbering with the epoch in meta.
type bucketInfo struct {
	store.BucketInfo
	epoch uint64
}

// info reads a reply of info.lua.
func (r *request) info(b txn.Bucket) (bucketInfo, error) {
	var n [8]uint64
	last, err1 := parseID(b, r.text(4))
	confirmed, err2 := parseID(b, r.text(3))
	err := errors.Join(err1, err2)
	for _, i := range []int{0, 1, 2, 5, 6, 7} {
		v, numErr := strconv.ParseUint(r.text(i), 10, 64)
		n[i], err = v, errors.Join(err, numErr)
	}
	if err != nil {
		return bucketInfo{}, fmt.Errorf("redisstore: %s: %w: meta: %w", b, store.ErrDamaged, err)
	}
	return bucketInfo{epoch: n[0], BucketInfo: store.BucketInfo{
		Bucket: b, Last: last, Confirmed: confirmed, Date: txn.BusinessDate(n[1]),
		ListSeq: store.ListSeq(n[2]), Pending: int(n[5]), Frozen: int(n[6]), Due: int(n[7]),
	}}, nil
}

// CutOver implements store.Clock.
func (s *Store) CutOver(ctx context.Context, b txn.Bucket, date txn.BusinessDate,
	at txn.Millis) error {
	if err := s.begin(); err != nil {
		return fmt.Errorf("redisstore: cut-over: %w", err)
	}
	defer s.end()
	if !date.Valid() {
		return fmt.Errorf("redisstore: cut-over: business date %d is no day", date)
	}
	return s.owner[b].crew.do(ctx, func(ctx context.Context) error {
		return s.compare(ctx, b, func(i bucketInfo) *request {
			if date <= i.Date {
				return nil
			}
			k := &s.keys.bucket[b]
			return s.ask(place(b), s.scripts.cutover, []string{k.meta, k.out},
				s.epochs[b].Load(), uint32(i.Date), uint32(date), store.DayRecord(b, i.Date, at))
		})
	})
}

// compare makes a request from a bucket's numbering and sends it, again when the bucket
// moved on meanwhile. No request means that there is nothing to do.
func (s *Store) compare(ctx context.Context, b txn.Bucket,
	make func(bucketInfo) *request) error {
	for range compareMax {
		info := s.askInfo(b)
		if err := s.query(ctx, info); err != nil {
			return err
		}
		i, err := info.info(b)
		if err != nil {
			return err
		}
		r := make(i)
		if r == nil {
			return nil
		}
		if err := s.query(ctx, r); err != nil {
			return err
		}
		if r.status() == "fenced" {
			return fmt.Errorf("redisstore: %s: %w", b, fenced(s.epochs[b].Load(), r.text(1)))
		}
		if err := r.refusal(); !errors.Is(err, errChanged) {
			s.nudges[b].wake()
			return err
		}
	}
	return fmt.Errorf("redisstore: %s: %w: changed %d times while a marker was made", b,
		store.ErrUnavailable, compareMax)
}

// OpenEpoch implements store.Clock, bucket after bucket. After an error some buckets have
// their next epoch and others not; this handle writes on in both, and opening again is
// right. A bucket whose answer was lost may be fenced for this handle too.
func (s *Store) OpenEpoch(ctx context.Context, at txn.Millis) error {
	return s.OpenEpochAfter(ctx, at, nil)
}

// OpenEpochAfter implements store.Successor, as OpenEpoch does.
func (s *Store) OpenEpochAfter(ctx context.Context, at txn.Millis, held []txn.Position) error {
	if err := s.begin(); err != nil {
		return fmt.Errorf("redisstore: open epoch: %w", err)
	}
	defer s.end()
	for b := range txn.Bucket(txn.BucketCount) {
		err := s.owner[b].crew.do(ctx, func(ctx context.Context) error {
			return s.openEpoch(ctx, b, at, held)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// openEpoch runs while no commit of this handle is under way: one sent with the old epoch while the next one
// opens would be told that another writer fenced this one.
func (s *Store) openEpoch(ctx context.Context, b txn.Bucket, at txn.Millis, held []txn.Position) error {
	var next uint64
	err := s.compare(ctx, b, func(i bucketInfo) *request {
		k := &s.keys.bucket[b]
		after := store.Furthest(b, i.Last, held)
		next = max(i.epoch, uint64(after.Epoch)) + 1
		last := fmt.Sprintf("%d-%d", i.Last.Epoch, i.Last.Seq)
		return s.ask(place(b), s.scripts.advance, []string{k.meta, k.out}, i.epoch, last, next,
			store.EpochRecord(after, at))
	})
	if err == nil {
		s.epochs[b].Store(next)
	}
	return err
}
