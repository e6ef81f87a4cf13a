package storetest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Commit implements store.Cards.
func (m *Memory) Commit(ctx context.Context, commits []*store.Commit) error {
	var first error
	for _, c := range commits {
		c.Status, c.Current, c.Position, c.Date, c.ListSeq = 0, store.Loaded{}, txn.Position{}, 0, 0
		if len(commits) > store.CommitListMax {
			c.Err = fmt.Errorf("%w: list of %d commits", store.ErrTooLarge, len(commits))
		} else if c.Err = c.Check(); c.Err == nil {
			c.Err = m.do(ctx, OpCommit, func() error { return m.commitLocked(c) })
		}
		if c.Err != nil {
			c.Status, c.Current, c.Position, c.Date, c.ListSeq = 0, store.Loaded{}, txn.Position{}, 0, 0
		}
		if first == nil {
			first = c.Err
		}
	}
	return first
}

func (m *Memory) commitLocked(c *store.Commit) error {
	if err := m.fencedLocked(); err != nil {
		return err
	}
	b := m.bucket(c.Card)
	now := b.load(c.Card, nil)
	switch {
	case c.Deadline != 0 && m.o.Now() > c.Deadline:
		c.Status = store.DeadlinePassed
	case !c.AnyVersion && c.Version != now.Version:
		c.Status, c.Current = store.VersionConflict, now
	case c.Mark != now.Mark:
		c.Status, c.Current = store.MarkConflict, now
	case c.List != nil && !c.List.Allowed(now.Mark):
		c.Status = store.ListClosed
	case len(c.Record) > 0 && !c.Reserve && m.o.OutboxMax > 0 && len(b.outbox) >= m.o.OutboxMax:
		c.Status = store.OutboxFull
	default:
		m.applyLocked(b, c)
		c.Status = store.Committed
	}
	return nil
}

func (m *Memory) applyLocked(b *memoryBucket, c *store.Commit) {
	if len(c.State) > 0 {
		b.cards[c.Card] = memoryCard{state: slices.Clone(c.State), version: c.Version + 1}
	}
	if len(c.Record) > 0 {
		c.Position, c.Date = m.data.appendLocked(b, c.Record), b.date
	}
	if c.List != nil {
		b.list(c, m.o.ListLogMax)
		c.ListSeq = b.listSeq
	}
	for _, d := range c.Due {
		if d.Remove {
			delete(b.due, string(d.Key))
		} else {
			b.due[string(d.Key)] = d.At
		}
	}
}

func (b *memoryBucket) list(c *store.Commit, logMax int) {
	if c.List.Removes() {
		delete(b.entries, c.Card)
	} else {
		b.entries[c.Card] = c.List.Entry
	}
	b.listSeq++
	b.log = append(b.log, store.Change{Seq: b.listSeq, Card: c.Card, Mark: c.List.Entry.Mark})
	if logMax > 0 && len(b.log) > logMax {
		b.log = slices.Clone(b.log[len(b.log)-logMax:])
	}
}

// appendLocked appends a record with the next number of the bucket's epoch.
func (d *memoryData) appendLocked(b *memoryBucket, record []byte) txn.Position {
	b.last.Seq++
	return d.placeLocked(b, record)
}

// placeLocked puts a record at b.last into the outbox.
func (d *memoryData) placeLocked(b *memoryBucket, record []byte) txn.Position {
	placed := txn.AppendPosition(slices.Clone(record), b.last, b.date)
	b.outbox = append(b.outbox, store.OutboxEntry{Position: b.last, Date: b.date, Record: placed})
	d.wakeLocked()
	return b.last
}

func (d *memoryData) wakeLocked() {
	close(d.appended)
	d.appended = make(chan struct{})
}

// OpenEpoch implements store.Clock.
func (m *Memory) OpenEpoch(ctx context.Context, at txn.Millis) error {
	return m.OpenEpochAfter(ctx, at, nil)
}

// OpenEpochAfter implements store.Successor.
func (m *Memory) OpenEpochAfter(ctx context.Context, at txn.Millis, held []txn.Position) error {
	return m.do(ctx, OpOpenEpoch, func() error {
		for i := range m.data.buckets {
			b := &m.data.buckets[i]
			after := store.Furthest(txn.Bucket(i), b.last, held)
			marker := store.EpochRecord(after, at)
			b.last.Epoch, b.last.Seq = after.Epoch+1, 0
			m.data.placeLocked(b, marker)
		}
		m.data.writer = m
		return nil
	})
}

// CutOver implements store.Clock. The first date of a bucket closes none, and so has
// no marker.
func (m *Memory) CutOver(ctx context.Context, b txn.Bucket, date txn.BusinessDate,
	at txn.Millis) error {
	return m.do(ctx, OpCutOver, func() error {
		if err := m.fencedLocked(); err != nil {
			return err
		}
		k := &m.data.buckets[b]
		if date <= k.date {
			return nil
		}
		if k.date != 0 {
			m.data.appendLocked(k, store.DayRecord(b, k.date, at))
		}
		k.date = date
		return nil
	})
}

// DueBefore implements store.Clock.
func (m *Memory) DueBefore(ctx context.Context, b txn.Bucket, now txn.Millis,
	p store.Page) (due []store.Due, err error) {
	err = m.do(ctx, OpDueBefore, func() error {
		for key, at := range m.data.buckets[b].due {
			if at <= now {
				due = append(due, store.Due{Bucket: b, Key: []byte(key), At: at})
			}
		}
		return nil
	})
	slices.SortFunc(due, func(x, y store.Due) int {
		if x.At != y.At {
			return int(x.At - y.At)
		}
		return bytes.Compare(x.Key, y.Key)
	})
	due = due[min(max(p.Skip, 0), len(due)):]
	return due[:min(p.Max, len(due))], err
}

// Buckets implements store.Clock.
func (m *Memory) Buckets(ctx context.Context) (infos []store.BucketInfo, err error) {
	err = m.do(ctx, OpBuckets, func() error {
		for i := range m.data.buckets {
			b := &m.data.buckets[i]
			infos = append(infos, store.BucketInfo{Bucket: txn.Bucket(i), Last: b.last,
				Confirmed: b.confirmed, Date: b.date, ListSeq: b.listSeq, Frozen: len(b.entries),
				Due: len(b.due), Pending: len(b.outbox)})
		}
		return nil
	})
	return infos, err
}

// Shards implements store.Outbox: one a bucket.
func (m *Memory) Shards() int { return txn.BucketCount }

// Read implements store.Outbox. A cursor holds the epoch and, plus one, the number of
// the entry it stands behind.
func (m *Memory) Read(ctx context.Context, shard int, after store.Cursor,
	max int) ([]store.OutboxEntry, store.Cursor, error) {
	timer := time.NewTimer(store.OutboxWait)
	defer timer.Stop()
	for {
		var got []store.OutboxEntry
		var appended chan struct{}
		err := m.do(ctx, OpRead, func() error {
			got, appended = m.data.buckets[shard].after(after, max), m.data.appended
			return nil
		})
		if err != nil && ctx.Err() == nil {
			return nil, after, err
		}
		if n := len(got); n > 0 {
			last := got[n-1].Position
			return got, store.Cursor{Hi: uint64(last.Epoch), Lo: uint64(last.Seq) + 1}, nil
		}
		select {
		case <-ctx.Done():
			return nil, after, nil
		case <-timer.C:
			return nil, after, nil
		case <-appended:
		}
	}
}

func (b *memoryBucket) after(c store.Cursor, max int) []store.OutboxEntry {
	for i, e := range b.outbox {
		p := e.Position
		if uint64(p.Epoch) > c.Hi || uint64(p.Epoch) == c.Hi && uint64(p.Seq) >= c.Lo {
			return slices.Clone(b.outbox[i:min(len(b.outbox), i+max)])
		}
	}
	return nil
}

// Confirm implements store.Outbox. A list with a refused position confirms nothing.
func (m *Memory) Confirm(ctx context.Context, upTo []txn.Position) error {
	return m.do(ctx, OpConfirm, func() error {
		for _, p := range upTo {
			if last := m.data.buckets[p.Bucket].last; last.Before(p) {
				return fmt.Errorf("storetest: confirm %s: the last entry is %s", p, last)
			}
		}
		for _, p := range upTo {
			m.data.buckets[p.Bucket].confirm(p)
		}
		return nil
	})
}

func (b *memoryBucket) confirm(p txn.Position) {
	if !b.confirmed.Before(p) {
		return
	}
	b.confirmed = p
	n := slices.IndexFunc(b.outbox, func(e store.OutboxEntry) bool { return p.Before(e.Position) })
	if n < 0 {
		n = len(b.outbox)
	}
	b.outbox = slices.Clone(b.outbox[n:])
}
