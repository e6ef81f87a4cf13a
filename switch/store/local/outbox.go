package local

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// placeMax bounds the bytes that say in a record where it stands: four numbers.
const placeMax = 4 * (1 + binary.MaxVarintLen64)

// positions is a position for every bucket.
type positions [txn.BucketCount]txn.Position

// outboxReader reads batches of the journal back. It keeps the last one, which a
// reader with a small limit asks for several times.
type outboxReader struct {
	mu  sync.Mutex // also held while segments are removed
	lsn uint64     // of the batch in buf; 0 for none
	buf []byte
}

// Shards returns 1: the journal is one sequence.
func (s *Store) Shards() int { return 1 }

// Read returns the next durable entries; see store.Outbox. The cursor is a batch number
// and a byte offset in the batch; it outlives a restart.
func (s *Store) Read(ctx context.Context, shard int, after store.Cursor, limit int) (
	[]store.OutboxEntry, store.Cursor, error,
) {
	if err := s.enter(); err != nil {
		return nil, after, err
	}
	defer s.leave()
	if shard != 0 {
		return nil, after, fmt.Errorf("local store: outbox shard %d: there is only 0", shard)
	}
	timer := time.NewTimer(store.OutboxWait)
	defer timer.Stop()
	for {
		upcoming := s.journal.upcoming()
		entries, next, err := s.readOutbox(after, limit)
		if err != nil || len(entries) > 0 || limit <= 0 {
			return entries, next, err
		}
		after = next
		select {
		case <-upcoming.done:
			if upcoming.err != nil {
				return nil, after, upcoming.err
			}
		case <-timer.C:
			return nil, after, nil
		case <-ctx.Done():
			return nil, after, nil
		case <-s.ending:
			return nil, after, store.ErrClosed
		}
	}
}

// readOutbox returns what is there.
func (s *Store) readOutbox(after store.Cursor, limit int) (
	[]store.OutboxEntry, store.Cursor, error,
) {
	var confirmed positions
	for i := range s.buckets {
		b := &s.buckets[i]
		b.mu.Lock()
		confirmed[i] = b.outbox.confirmed
		b.mu.Unlock()
	}
	durable := s.journal.durable.Load()
	if after.Hi > durable+1 {
		return nil, after, fmt.Errorf("local store: outbox cursor %d/%d is beyond the end %d: "+
			"it belongs to another store", after.Hi, after.Lo, durable)
	}
	r := &s.reader
	r.mu.Lock()
	defer r.mu.Unlock()
	if oldest := s.journal.oldest(); after.Hi < oldest {
		after = store.Cursor{Hi: oldest}
	}
	var entries []store.OutboxEntry
	for len(entries) < limit && after.Hi <= durable {
		if err := r.load(s.journal, after.Hi); err != nil {
			return nil, after, err
		}
		var err error
		if entries, after, err = r.take(entries, after, limit, &confirmed); err != nil {
			return nil, after, err
		}
	}
	return entries, after, nil
}

// take appends entries of the loaded batch from the cursor on, leaving out what is
// confirmed, and moves the cursor. The records are copied together, each with its
// place and business date.
func (r *outboxReader) take(entries []store.OutboxEntry, at store.Cursor, limit int,
	confirmed *positions) ([]store.OutboxEntry, store.Cursor, error) {
	is := peekBatch(r.buf)
	if at.Lo == 0 {
		at.Lo = batchHead
	}
	if at.Lo > uint64(is.size) {
		return nil, at, fmt.Errorf("local store: outbox cursor %d/%d is none of this store",
			at.Hi, at.Lo)
	}
	first, size := len(entries), 0
	var e entry
	for at.Lo < uint64(is.size) && len(entries) < limit {
		n, err := decodeEntry(r.buf[at.Lo:is.size], &e)
		if err != nil {
			return nil, at, fmt.Errorf("local store: outbox cursor %d/%d: %w", at.Hi, at.Lo, err)
		}
		at.Lo += uint64(n)
		if e.has(hasRecord) && confirmed[e.bucket].Before(e.position()) {
			entries = append(entries, store.OutboxEntry{
				Position: e.position(), Date: e.date, Record: e.record,
			})
			size += len(e.record) + placeMax
		}
	}
	if at.Lo == uint64(is.size) {
		at = store.Cursor{Hi: at.Hi + 1}
	}
	records := make([]byte, 0, size)
	for i := first; i < len(entries); i++ {
		begin := len(records)
		records = append(records, entries[i].Record...)
		records = txn.AppendPosition(records, entries[i].Position, entries[i].Date)
		entries[i].Record = records[begin:len(records):len(records)]
	}
	return entries, at, nil
}

// load reads a durable batch into the reader's buffer.
func (r *outboxReader) load(j *journal, lsn uint64) error {
	if r.lsn == lsn {
		return nil
	}
	r.lsn = 0
	g, offset := j.locate(lsn)
	if g == nil {
		return fmt.Errorf("%w: journal batch %d is not there", store.ErrDamaged, lsn)
	}
	var head [batchHead]byte
	if _, err := g.f.ReadAt(head[:], offset); err != nil {
		return fmt.Errorf("local store: cannot read %s: %w", g.name, err)
	}
	is := peekBatch(head[:])
	if is.lsn != lsn || offset+int64(padded(is.size)) > g.size {
		return fmt.Errorf("%w: %s: no batch %d at byte %d", store.ErrDamaged, g.name, lsn, offset)
	}
	if cap(r.buf) < padded(is.size) {
		r.buf = make([]byte, padded(is.size))
	}
	r.buf = r.buf[:padded(is.size)]
	if _, err := g.f.ReadAt(r.buf, offset); err != nil {
		return fmt.Errorf("local store: cannot read %s: %w", g.name, err)
	}
	if _, ok := openBatch(r.buf, j.store, g.number); !ok {
		return fmt.Errorf("%w: %s: batch %d at byte %d was changed on disk", store.ErrDamaged,
			g.name, lsn, offset)
	}
	r.lsn = lsn
	return nil
}

// oldest returns the number of the oldest batch kept, or of the first to come.
func (j *journal) oldest() uint64 {
	j.segMu.RLock()
	defer j.segMu.RUnlock()
	if first := j.segments[0].first; first > 0 {
		return first
	}
	return j.durable.Load() + 1
}

// locate returns where a batch stands.
func (j *journal) locate(lsn uint64) (*segment, int64) {
	j.segMu.RLock()
	defer j.segMu.RUnlock()
	for _, g := range j.segments {
		if g.first > 0 && g.first <= lsn && lsn < g.endLocked() {
			return g, int64(g.offsets[lsn-g.first]) * blockBytes
		}
	}
	return nil, 0
}

// trim removes segments that nobody needs: the checkpoint covers them and everything
// in them is confirmed. The one with the last batch stays, so that a start can tell a
// journal that was removed from one that is empty. The reader is locked out.
func (j *journal) trim(covered uint64, confirmed *positions) error {
	for {
		g := j.takeTrimmable(covered, confirmed)
		if g == nil {
			return nil
		}
		if err := j.alloc.retire(g); err != nil {
			return err
		}
	}
}

// takeTrimmable takes the oldest segment out of the list when nobody needs it.
func (j *journal) takeTrimmable(covered uint64, confirmed *positions) *segment {
	j.segMu.Lock()
	defer j.segMu.Unlock()
	if len(j.segments) < 2 || j.segments[1].first == 0 {
		return nil
	}
	g := j.segments[0]
	if g.endLocked() > covered+1 {
		return nil
	}
	for b := range g.last {
		if confirmed[b].Before(g.last[b]) {
			return nil
		}
	}
	j.segments = j.segments[1:]
	return g
}

// Confirm notes what the warehouse holds; see store.Outbox. It is durable with the
// next checkpoint: a confirmation lost in a crash only repeats entries. Nothing is
// confirmed when any position is refused.
func (s *Store) Confirm(_ context.Context, upTo []txn.Position) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	for _, dry := range [...]bool{true, false} {
		for _, p := range upTo {
			if err := s.confirm(p, dry); err != nil {
				return err
			}
		}
	}
	s.checkpoints.noteConfirmed()
	return nil
}

func (s *Store) confirm(p txn.Position, dry bool) error {
	if p.Bucket >= txn.BucketCount {
		return fmt.Errorf("local store: cannot confirm %v: no such bucket", p)
	}
	b := &s.buckets[p.Bucket]
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.outbox
	if err := n.confirm(p); err != nil {
		return fmt.Errorf("local store: %w", err)
	}
	if !dry {
		b.outbox = n
	}
	return nil
}
