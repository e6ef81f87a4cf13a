package local

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/blacklist"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// written makes a store with a journal of few batches and no checkpoint, and returns
// its directory, its id and the offsets at which the batches end.
func written(t *testing.T, commits int) (o Options, id uint64, ends []int64) {
	t.Helper()
	o = testOptions(t)
	o.CheckpointEvery = 1 << 40
	s := opened(t, o)
	ends = append(ends, s.journal.offset)
	for i := range commits {
		if err := s.Commit(t.Context(), []*store.Commit{workCommit(workCard(i), 0)}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the committer is through", func() bool {
			s.journal.mu.Lock()
			defer s.journal.mu.Unlock()
			return s.journal.mu.writing == nil
		})
		ends = append(ends, s.journal.offset)
	}
	id = s.journal.store
	return abandon(t, s), id, ends
}

// scan reads the journal of a directory as a start does, without the rest of a store.
func scan(o Options, id, covered uint64) (*recovery, error) {
	s := &Store{opts: o, listed: blacklist.NewSet()}
	for b := range s.buckets {
		s.buckets[b] = newBucket(&s.opts)
		s.buckets[b].outbox.last.Bucket = txn.Bucket(b)
		s.buckets[b].outbox.confirmed.Bucket = txn.Bucket(b)
	}
	s.journal = &journal{disk: o.disk, dir: o.Dir, store: id, segmentBytes: o.SegmentBytes,
		failpoint: func(string) {}, log: slog.New(slog.DiscardHandler)}
	r := &recovery{s: s, j: s.journal, covered: covered}
	for b := range s.buckets {
		r.upTo[b].Bucket = txn.Bucket(b)
	}
	err := r.read(context.Background())
	for _, g := range append(s.journal.segments, r.spares...) {
		_ = g.f.Close()
	}
	return r, err
}

// TestFlipEveryByte changes each byte of a small journal in turn. The head of the
// segment and every batch but the last must be found damaged; the last batch is cut,
// for it may be torn, unless the checkpoint knows that it was there; and what follows
// it is not read at all.
func TestFlipEveryByte(t *testing.T) {
	o, id, ends := written(t, 2)
	name := filepath.Join(o.Dir, segmentName(1))
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	last, end := ends[len(ends)-2], ends[len(ends)-1]
	lsn := uint64(len(ends))
	whole := make([]byte, end+blockBytes)
	if _, err := f.ReadAt(whole, 0); err != nil {
		t.Fatal(err)
	}
	flip := func(at int64) {
		var b [1]byte
		if _, err := f.ReadAt(b[:], at); err != nil {
			t.Fatal(err)
		}
		b[0] ^= byte(1 << (at % 8))
		if _, err := f.WriteAt(b[:], at); err != nil {
			t.Fatal(err)
		}
	}
	for at := int64(0); at < end+blockBytes; at++ {
		line := whole[at/32*32 : at/32*32+32]
		if at%32 != 0 && bytes.Equal(line, make([]byte, 32)) || testing.Short() && at%61 != 0 {
			continue // of 32 zeros in a row the first is enough
		}
		flip(at)
		r, err := scan(o, id, 0)
		covered := store.ErrDamaged
		if at >= last && at < end {
			_, covered = scan(o, id, lsn)
		}
		flip(at)
		switch {
		case at < last:
			if !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), name) {
				t.Fatalf("byte %d changed: %v", at, err)
			}
		case at < end:
			if err != nil || r.lsn != lsn-1 {
				t.Fatalf("byte %d of the last batch changed: %v, last batch %d", at, err, r.lsn)
			}
			if !errors.Is(covered, store.ErrDamaged) {
				t.Fatalf("byte %d of a batch that the checkpoint covers changed: %v", at, covered)
			}
		default:
			if err != nil || r.lsn != lsn || !r.torn {
				t.Fatalf("byte %d behind the end changed: %v, last batch %d", at, err, r.lsn)
			}
		}
	}
	if r, err := scan(o, id, 0); err != nil || r.lsn != lsn || r.torn {
		t.Fatalf("the journal as it was: %v, last batch %d of %d", err, r.lsn, lsn)
	}
}

// TestMissingSegments: a segment that was removed or cut is found missing.
func TestMissingSegments(t *testing.T) {
	f := func(what string, change func(dir string) error) {
		t.Helper()
		o := testOptions(t)
		o.CheckpointEvery = 1 << 40
		s := opened(t, o)
		if err := fillSegments(t, s, 4); err != nil {
			t.Fatal(err)
		}
		mustClose(t, s)
		if err := change(o.Dir); err != nil {
			t.Fatal(err)
		}
		if s, err := Open(t.Context(), o); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("%s: Open gave %v, %v", what, s, err)
		}
	}
	remove := func(n uint64) func(string) error {
		return func(dir string) error { return os.Remove(filepath.Join(dir, segmentName(n))) }
	}
	f("first", remove(1))
	f("middle", remove(2))
	f("cut short", func(dir string) error {
		return os.Truncate(filepath.Join(dir, segmentName(2)), segmentBytesMin/2)
	})
	f("not whole blocks", func(dir string) error {
		return os.Truncate(filepath.Join(dir, segmentName(2)), segmentBytesMin-1)
	})
	f("swapped", func(dir string) error {
		a, b := filepath.Join(dir, segmentName(1)), filepath.Join(dir, segmentName(2))
		return errors.Join(os.Rename(a, a+"x"), os.Rename(b, a), os.Rename(a+"x", b))
	})
	f("all", func(dir string) error {
		numbers, err := listSegments(dir)
		for _, n := range numbers {
			err = errors.Join(err, remove(n)(dir))
		}
		return err
	})
	f("checkpoint", func(dir string) error {
		return errors.Join(remove(1)(dir), os.RemoveAll(filepath.Join(dir, "cards")))
	})
	f("last ones", func(dir string) error {
		numbers, err := listSegments(dir)
		for _, n := range numbers[2:] {
			err = errors.Join(err, remove(n)(dir))
		}
		return err
	})
}

// fillSegments commits records until the journal has n segments with batches.
func fillSegments(t testing.TB, s *Store, n int) error {
	t.Helper()
	for i := 0; ; i++ {
		s.journal.segMu.RLock()
		have := len(s.journal.segments)
		s.journal.segMu.RUnlock()
		if have > n {
			return nil
		}
		list := make([]*store.Commit, 16)
		for k := range list {
			list[k] = &store.Commit{Card: tokenAt(i*16 + k), AnyVersion: true,
				Record: bytes.Repeat([]byte{byte(i)}, 2000)}
		}
		if err := s.Commit(t.Context(), list); err != nil {
			return err
		}
	}
}

// TestWithoutCheckpoint: a journal from its first batch on is enough.
func TestWithoutCheckpoint(t *testing.T) {
	o, _, _ := written(t, 5)
	if err := os.RemoveAll(filepath.Join(o.Dir, "cards")); err != nil {
		t.Fatal(err)
	}
	w := &truth{}
	for i := range 5 {
		w.versions[i] = 1
	}
	w.check(t, open(t, o))
}

// TestTrim: a segment goes when the checkpoint covers it and everything in it is
// confirmed, and only then; its file is used again.
func TestTrim(t *testing.T) {
	o := testOptions(t)
	s := opened(t, o)
	if err := fillSegments(t, s, 3); err != nil {
		t.Fatal(err)
	}
	infos, err := s.Buckets(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var all []txn.Position
	for _, is := range infos {
		all = append(all, is.Last)
	}
	checkpointed(t, s)
	if first := firstSegment(s); first != 1 {
		t.Fatalf("with nothing confirmed the first segment is %d", first)
	}
	if err := s.Confirm(t.Context(), all[1:]); err != nil {
		t.Fatal(err)
	}
	checkpointed(t, s)
	if first := firstSegment(s); first != 1 {
		t.Fatalf("with one bucket not confirmed the first segment is %d", first)
	}
	if err := s.Confirm(t.Context(), all[:1]); err != nil {
		t.Fatal(err)
	}
	eventually(t, "only segments that are needed", func() bool { return firstSegment(s) >= 3 })
	if err := fillSegments(t, s, 3); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	s = open(t, o)
	readAll(t, s, must(s.Buckets(t.Context())))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func firstSegment(s *Store) uint64 {
	s.journal.segMu.RLock()
	defer s.journal.segMu.RUnlock()
	return s.journal.segments[0].number
}

// checkpointed returns after a checkpoint that began after the call.
func checkpointed(t testing.TB, s *Store) {
	t.Helper()
	for range 2 {
		s.checkpoints.noteConfirmed()
		if err := s.checkpoints.waitFor(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTrimOnlyWhatIsCovered: confirmed entries stay while the checkpoint has not seen
// them, for their batches hold states too.
func TestTrimOnlyWhatIsCovered(t *testing.T) {
	o := testOptions(t)
	o.CheckpointEvery = 1 << 40
	s := opened(t, o)
	if err := fillSegments(t, s, 3); err != nil {
		t.Fatal(err)
	}
	var all positions
	for b, is := range must(s.Buckets(t.Context())) {
		all[b] = is.Last
	}
	s.journal.segMu.RLock()
	end := s.journal.segments[0].endLocked()
	s.journal.segMu.RUnlock()
	for _, covered := range []uint64{0, 1, end - 2} {
		if err := s.journal.trim(covered, &all); err != nil || firstSegment(s) != 1 {
			t.Fatalf("covered up to %d of %d the first segment is %d: %v", covered, end-1,
				firstSegment(s), err)
		}
	}
	if err := s.journal.trim(end-1, &all); err != nil || firstSegment(s) != 2 {
		t.Fatalf("covered up to its end the first segment is %d: %v", firstSegment(s), err)
	}
	s.fail(errKilled) // without its first segment the directory cannot be opened again
}

// TestFollows: batches are numbered without holes, from where the checkpoint ends or
// before.
func TestFollows(t *testing.T) {
	f := func(last, covered, lsn uint64, ok bool) {
		t.Helper()
		r := &recovery{lsn: last, covered: covered}
		err := r.follows(&segment{}, batchInfo{lsn: lsn}, blockBytes)
		if (err == nil) != ok || err != nil && !errors.Is(err, store.ErrDamaged) {
			t.Errorf("batch %d after %d, checkpoint %d: %v", lsn, last, covered, err)
		}
	}
	f(0, 0, 1, true)
	f(0, 0, 0, false)
	f(0, 0, 2, false)
	f(0, 7, 3, true)
	f(0, 7, 8, true)
	f(0, 7, 9, false)
	f(5, 7, 6, true)
	f(5, 0, 7, false)
	f(5, 9, 5, false)
	f(5, 9, 4, false)
}

// TestCheckpointWaitsForJournal: a state gets into the checkpoint only after the
// journal holds it; else a power cut would leave a state without its record.
func TestCheckpointWaitsForJournal(t *testing.T) {
	o := testOptions(t)
	o.CheckpointEvery = 1 << 40
	var hold atomic.Bool
	release, ended := make(chan struct{}), make(chan struct{}, 8)
	o.Failpoint = func(name string) {
		switch {
		case name == FailBeforeWrite && hold.Load():
			<-release
		case name == FailCheckpointEnd:
			ended <- struct{}{}
		}
	}
	s := opened(t, o)
	hold.Store(true)
	committed := make(chan error, 1)
	c := workCommit(workCard(0), 0)
	go func() { committed <- s.Commit(t.Context(), []*store.Commit{c}) }()
	eventually(t, "the state is in memory", func() bool {
		return must(s.Load(t.Context(), workCard(0), nil)).Version == 1
	})
	s.checkpoints.kick()
	select {
	case <-ended:
		t.Error("the checkpoint ended before the journal was written")
	case <-time.After(100 * time.Millisecond):
	}
	card := workCard(0)
	if _, version, err := s.fetch(&card, nil); err != nil || version != 0 {
		t.Errorf("Pebble has version %d, which the journal has not: %v", version, err)
	}
	hold.Store(false)
	close(release)
	if err := <-committed; err != nil {
		t.Fatal(err)
	}
	<-ended
}

// TestRecycledSegments: batches of a file's earlier life are never taken for new ones,
// also after a crash at every state of the files.
func TestRecycledSegments(t *testing.T) {
	o := testOptions(t)
	w := &truth{}
	for round := range 6 {
		s := opened(t, o)
		for range 3 {
			if err := fillSegments(t, s, 2); err != nil {
				t.Fatal(err)
			}
			var all []txn.Position
			for b, is := range must(s.Buckets(t.Context())) {
				all = append(all, is.Last)
				w.confirmed[b] = is.Last
			}
			if err := s.Confirm(t.Context(), all); err != nil {
				t.Fatal(err)
			}
			checkpointed(t, s)
		}
		if round%2 == 0 {
			abandon(t, s)
		} else {
			mustClose(t, s)
		}
	}
	w.check(t, open(t, o))
	used, err := filepath.Glob(filepath.Join(o.Dir, usedPrefix+"*"))
	if err != nil || len(used) > spareMax {
		t.Fatalf("%d used-up files are kept: %v", len(used), err)
	}
}

// TestReadFindsDamage: a batch that changed on disk after the start is not handed on.
func TestReadFindsDamage(t *testing.T) {
	s := opened(t, testOptions(t))
	if err := fillSegments(t, s, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := s.journal.segments[0].f.WriteAt([]byte("x"), 2*blockBytes+100); err != nil {
		t.Fatal(err)
	}
	var err error
	for cursor := (store.Cursor{}); err == nil; {
		var got []store.OutboxEntry
		if got, cursor, err = s.Read(t.Context(), 0, cursor, 10); err == nil && len(got) == 0 {
			t.Fatal("the damage was not found")
		}
	}
	if !errors.Is(err, store.ErrDamaged) {
		t.Fatal(err)
	}
}

// TestForeignCursor: cursors of another store are refused, not waited for.
func TestForeignCursor(t *testing.T) {
	s := opened(t, testOptions(t))
	for _, c := range []store.Cursor{{Hi: 1 << 40}, {Hi: 1, Lo: 1 << 40}, {Hi: 1, Lo: 41}} {
		if got, _, err := s.Read(t.Context(), 0, c, 10); err == nil {
			t.Errorf("cursor %v gave %d entries", c, len(got))
		}
	}
	if _, _, err := s.Read(t.Context(), 1, store.Cursor{}, 10); err == nil {
		t.Error("shard 1 can be read")
	}
}
