package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// recovery reads the journal at start: it proves that nothing is missing and enters in
// memory what the checkpoint does not cover.
type recovery struct {
	s       *Store
	j       *journal
	covered uint64 // the checkpoint's batch
	lsn     uint64 // the last good batch; 0 before the first
	buf     []byte // a whole segment
	spares  []*segment

	active int   // index of the segment with the last good batch
	end    int64 // where that batch ends
	torn   bool  // neither zeros nor the rest of a recycled file follows there

	seen   [txn.BucketCount]txn.Position // the last outbox entry read
	unsent [txn.BucketCount]uint64       // entries after confirmed, up to the checkpoint
	upTo   [txn.BucketCount]txn.Position // the last outbox entry of the checkpoint
	want   [txn.BucketCount]uint64       // what unsent must come to
	due    []store.DueChange
}

// recoverJournal reads the journal, cuts its torn tail and opens it for writing.
func (s *Store) recoverJournal(ctx context.Context, id, covered uint64) error {
	s.journal = &journal{
		disk: s.opts.disk, dir: s.opts.Dir, store: id, segmentBytes: s.opts.SegmentBytes,
		failpoint: s.opts.Failpoint, log: s.opts.Logger, onFail: s.condemn,
		onFilled: s.checkpoints.kick,
	}
	r := &recovery{s: s, j: s.journal, covered: covered}
	for b := range s.buckets {
		n := &s.buckets[b].outbox
		r.upTo[b], r.want[b] = n.last, n.appended-n.settled
	}
	err := r.run(ctx)
	if err == nil {
		err = s.journal.start(r.lsn, r.end, r.spares)
	}
	if err != nil {
		for _, g := range append(s.journal.segments, r.spares...) {
			err = errors.Join(err, g.f.Close())
		}
		return err
	}
	s.opts.Logger.Info("local store: journal recovered", "dir", s.opts.Dir, "batch", r.lsn,
		"checkpoint", covered, "segments", len(s.journal.segments))
	return nil
}

func (r *recovery) run(ctx context.Context) error {
	if err := r.read(ctx); err != nil {
		return err
	}
	return r.cut()
}

// read reads all segments and changes nothing on disk.
func (r *recovery) read(ctx context.Context) error {
	numbers, err := listSegments(r.j.dir)
	if err != nil {
		return err
	}
	for i, n := range numbers {
		if err := ctx.Err(); err != nil {
			return err
		}
		if i > 0 && n != numbers[i-1]+1 {
			return fmt.Errorf("%w: journal segment %s is missing", store.ErrDamaged,
				filepath.Join(r.j.dir, segmentName(numbers[i-1]+1)))
		}
		if err := r.segment(n); err != nil {
			return err
		}
	}
	return r.complete()
}

// findSpares opens the files that the last process kept to be overwritten, and removes
// one that it had not finished.
func (r *recovery) findSpares() error {
	entries, err := os.ReadDir(r.j.dir)
	if err != nil {
		return fmt.Errorf("local store: cannot list %s: %w", r.j.dir, err)
	}
	for _, e := range entries {
		name := filepath.Join(r.j.dir, e.Name())
		if e.Name() == spareName {
			if err := r.j.disk.Remove(name); err != nil {
				return fmt.Errorf("local store: cannot remove a spare segment: %w", err)
			}
		}
		if !strings.HasPrefix(e.Name(), usedPrefix) {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return fmt.Errorf("local store: cannot read a spare segment: %w", err)
		}
		f, err := r.j.disk.Open(name, false)
		if err != nil {
			return fmt.Errorf("local store: cannot read a spare segment: %w", err)
		}
		r.spares = append(r.spares, &segment{name: name, f: f, size: info.Size()})
		var n uint64
		if _, err := fmt.Sscanf(e.Name(), usedPrefix+"%d", &n); err == nil {
			r.j.retired = max(r.j.retired, n)
		}
	}
	return nil
}

// segment opens and reads one segment.
func (r *recovery) segment(number uint64) error {
	g := &segment{number: number, name: filepath.Join(r.j.dir, segmentName(number))}
	info, err := os.Stat(g.name)
	if err != nil {
		return fmt.Errorf("local store: cannot read journal: %w", err)
	}
	if g.f, err = r.j.disk.Open(g.name, false); err != nil {
		return fmt.Errorf("local store: cannot read journal: %w", err)
	}
	r.j.segments = append(r.j.segments, g)
	g.size = info.Size()
	if g.size < segmentBytesMin || g.size > segmentBytesMax || g.size%blockBytes != 0 {
		return fmt.Errorf("%w: %s has %d bytes: it was cut", store.ErrDamaged, g.name, g.size)
	}
	if int64(cap(r.buf)) < g.size {
		r.buf = make([]byte, g.size)
	}
	r.buf = r.buf[:g.size]
	if _, err := g.f.ReadAt(r.buf, 0); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("local store: cannot read %s: %w", g.name, err)
	}
	if !bytes.Equal(r.buf[:blockBytes], segmentHead(r.j.store, number)) {
		return fmt.Errorf("%w: %s: bytes 0 to %d are not the head of this segment",
			store.ErrDamaged, g.name, blockBytes)
	}
	return r.batches(g)
}

// batches reads the batches of the segment in r.buf, and proves that none follows
// behind the first place without one.
func (r *recovery) batches(g *segment) error {
	at := blockBytes
	for at < len(r.buf) {
		is, ok := openBatch(r.buf[at:], r.j.store, g.number)
		if !ok {
			break
		}
		if err := r.follows(g, is, at); err != nil {
			return err
		}
		g.noteLocked(is.lsn, int64(at))
		if err := r.entries(g, is, at); err != nil {
			return err
		}
		r.lsn = is.lsn
		at += padded(is.size)
		r.active, r.end = len(r.j.segments)-1, int64(at)
	}
	for later := at + blockBytes; later < len(r.buf); later += blockBytes {
		if is, ok := openBatch(r.buf[later:], r.j.store, g.number); ok {
			return fmt.Errorf("%w: %s: bytes %d to %d are no good batch, batch %d follows: "+
				"restore the file from a copy", store.ErrDamaged, g.name, at, later, is.lsn)
		}
	}
	if r.active == len(r.j.segments)-1 && r.lsn > 0 {
		r.torn = dirtyTail(r.buf[at:min(len(r.buf), at+batchMax)], r.j.store, g.number)
	}
	return nil
}

// dirtyTail reports whether b, where the next batch will go, holds anything but zeros
// or a batch from the file's earlier life as another segment.
func dirtyTail(b []byte, store, number uint64) bool {
	zeros := make([]byte, blockBytes)
	for ; len(b) >= blockBytes; b = b[blockBytes:] {
		if is := peekBatch(b); is.store == store && is.segment != number {
			return false
		}
		if !bytes.Equal(b[:blockBytes], zeros) {
			return true
		}
	}
	return false
}

// follows proves that a batch is the next one.
func (r *recovery) follows(g *segment, is batchInfo, at int) error {
	switch {
	case r.lsn == 0 && is.lsn > r.covered+1:
		return fmt.Errorf("%w: %s begins with batch %d, but the checkpoint ends at %d: an "+
			"earlier segment is missing", store.ErrDamaged, g.name, is.lsn, r.covered)
	case r.lsn == 0 && is.lsn == 0, r.lsn > 0 && is.lsn != r.lsn+1:
		return fmt.Errorf("%w: %s: bytes %d to %d are batch %d where %d must stand",
			store.ErrDamaged, g.name, at, at+is.size, is.lsn, r.lsn+1)
	}
	return nil
}

// entries enters the entries of one batch.
func (r *recovery) entries(g *segment, is batchInfo, at int) error {
	b := r.buf[at+batchHead : at+is.size]
	e := entry{due: r.due}
	for range is.entries {
		n, err := decodeEntry(b, &e)
		if err == nil {
			err = r.enter(g, &e, is.lsn)
		}
		if err != nil {
			return fmt.Errorf("%w: %s: batch %d at byte %d: %w", store.ErrDamaged, g.name,
				is.lsn, at, err)
		}
		b = b[n:]
	}
	r.due = e.due
	if len(b) > 0 {
		return fmt.Errorf("%w: %s: batch %d at byte %d: %d bytes too many", store.ErrDamaged,
			g.name, is.lsn, at, len(b))
	}
	return nil
}

// enter enters one entry. What the checkpoint has already is passed over; a checkpoint
// is taken while commits go on, so it may have more than it says it covers.
func (r *recovery) enter(g *segment, e *entry, lsn uint64) error {
	b := &r.s.buckets[e.bucket]
	if e.has(hasRecord) {
		if err := r.outboxEntry(b, e); err != nil {
			return err
		}
		g.last[e.bucket] = e.position()
	}
	if lsn <= r.covered {
		return nil
	}
	if e.has(hasNextDate) {
		b.date = max(b.date, e.nextDate)
	}
	if e.has(hasState) {
		if c := b.states.find(&e.card); c != nil && e.version != c.version()+1 {
			return fmt.Errorf("card state version %d follows %d", e.version, c.version())
		}
		b.insertLocked(&e.card, e.version, e.state, slotDirty)
	}
	if e.has(hasList) && e.listSeq > b.listSeq {
		if e.listSeq != b.listSeq+1 {
			return fmt.Errorf("list change %d follows %d", e.listSeq, b.listSeq)
		}
		b.changeListLocked(r.s.listed, e)
	}
	b.changeDueLocked(e.due)
	return nil
}

// outboxEntry proves that an outbox entry follows the one read before, and takes it
// over when the checkpoint does not have it.
func (r *recovery) outboxEntry(b *bucket, e *entry) error {
	p := e.position()
	last := r.seen[e.bucket]
	r.seen[e.bucket] = p
	next := last.Epoch == p.Epoch && last.Seq+1 == p.Seq || last.Epoch < p.Epoch && p.Seq == 0
	if last.Epoch > 0 && !next {
		return fmt.Errorf("outbox entry %v follows %v", p, last)
	}
	if r.upTo[e.bucket].Before(p) {
		return b.outbox.advance(p)
	}
	if b.outbox.confirmed.Before(p) {
		r.unsent[e.bucket]++
	}
	return nil
}

// complete proves that the journal reaches as far as the checkpoint and holds every
// outbox entry that the warehouse has not confirmed.
func (r *recovery) complete() error {
	if r.lsn < r.covered {
		return fmt.Errorf("%w: the journal in %s ends with batch %d, but the checkpoint has "+
			"seen %d: its end is missing", store.ErrDamaged, r.j.dir, r.lsn, r.covered)
	}
	for b := range r.unsent {
		if r.unsent[b] != r.want[b] {
			return fmt.Errorf("%w: the journal holds %d unconfirmed entries of %v, the "+
				"checkpoint says %d", store.ErrDamaged, r.unsent[b], txn.Bucket(b), r.want[b])
		}
	}
	return nil
}

// cut zeroes a torn tail and takes the segments prepared behind it for spares.
func (r *recovery) cut() error {
	if err := r.findSpares(); err != nil {
		return err
	}
	if r.lsn == 0 {
		r.active = -1
	}
	r.spares = append(r.spares, r.j.segments[r.active+1:]...)
	r.j.segments = r.j.segments[:r.active+1]
	if r.lsn == 0 || !r.torn {
		return nil
	}
	g := r.j.segments[r.active]
	size := min(g.size-r.end, batchMax)
	r.s.opts.Logger.Warn("local store: cutting a torn tail that was never acknowledged",
		"file", g.name, "from", r.end, "to", r.end+size)
	if _, err := g.f.WriteAt(make([]byte, size), r.end); err != nil {
		return fmt.Errorf("local store: cannot cut the tail of %s: %w", g.name, err)
	}
	if err := g.f.Sync(); err != nil {
		return fmt.Errorf("local store: cannot cut the tail of %s: %w", g.name, err)
	}
	return nil
}
