package local

import (
	"context"
	"fmt"

	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// DueBefore returns due entries; see store.Clock.
func (s *Store) DueBefore(_ context.Context, b txn.Bucket, now txn.Millis, p store.Page) (
	[]store.Due, error,
) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	k := &s.buckets[b]
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.due.before(b, now, p), nil
}

// CutOver closes the bucket's business date; see store.Clock.
func (s *Store) CutOver(ctx context.Context, b txn.Bucket, date txn.BusinessDate,
	at txn.Millis) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if !s.writer.Load() {
		return fmt.Errorf("%w: this handle has opened no epoch yet", store.ErrFenced)
	}
	if !date.Valid() {
		return fmt.Errorf("local store: cannot cut over to %d: no day of the calendar", date)
	}
	after, err := s.cutOver(b, date, at)
	if err != nil {
		return err
	}
	return s.journal.wait(ctx, after)
}

func (s *Store) cutOver(b txn.Bucket, date txn.BusinessDate, at txn.Millis) (*batch, error) {
	k := &s.buckets[b]
	k.mu.Lock()
	defer k.mu.Unlock()
	if date <= k.date {
		return k.appended, nil
	}
	e := entry{
		flags: hasNextDate, bucket: b, nextDate: date, record: store.DayRecord(b, k.date, at),
	}
	e.placeLocked(k)
	err := s.gatherLocked(k, &e)
	return k.appended, err
}

// Buckets returns the numbering of every bucket; all of it is durable.
func (s *Store) Buckets(ctx context.Context) ([]store.BucketInfo, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	infos := make([]store.BucketInfo, txn.BucketCount)
	for i := range s.buckets {
		infos[i] = s.bucketInfo(txn.Bucket(i))
	}
	return infos, s.journal.wait(ctx, s.journal.barrier())
}

func (s *Store) bucketInfo(b txn.Bucket) store.BucketInfo {
	k := &s.buckets[b]
	k.mu.Lock()
	defer k.mu.Unlock()
	return store.BucketInfo{
		Bucket: b, Last: k.outbox.last, Confirmed: k.outbox.confirmed, Date: k.date,
		ListSeq: k.listSeq, Frozen: s.listed.ShardLen(b), Due: k.due.count(),
		Pending: k.outbox.pending(),
	}
}

// OpenEpoch opens the next epoch of every bucket; see store.Clock. Before the first
// one this handle commits nothing (store.ErrFenced). No other handle can exist, since
// the directory is locked.
func (s *Store) OpenEpoch(ctx context.Context, at txn.Millis) error {
	return s.OpenEpochAfter(ctx, at, nil)
}

// OpenEpochAfter implements store.Successor.
func (s *Store) OpenEpochAfter(ctx context.Context, at txn.Millis, held []txn.Position) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	for b := range txn.Bucket(txn.BucketCount) {
		if err := s.openEpoch(b, at, held); err != nil {
			return err
		}
	}
	if err := s.journal.wait(ctx, s.journal.barrier()); err != nil {
		return err
	}
	s.writer.Store(true)
	return nil
}

func (s *Store) openEpoch(b txn.Bucket, at txn.Millis, held []txn.Position) error {
	k := &s.buckets[b]
	k.mu.Lock()
	defer k.mu.Unlock()
	last := store.Furthest(b, k.outbox.last, held)
	e := entry{
		flags: hasRecord, bucket: b, date: k.date, epoch: last.Epoch + 1,
		record: store.EpochRecord(last, at),
	}
	return s.gatherLocked(k, &e)
}
