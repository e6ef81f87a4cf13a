package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/tapswitch/tapswitch/switch/store"
)

var errDisk = errors.New("the disk says no")

// effect is something that a disk does for the journal, as the fault tests name it.
type effect string

const (
	effectWrite  effect = "write"  // of a batch
	effectSync   effect = "sync"   // of a batch
	effectHead   effect = "head"   // write of a segment's head
	effectZero   effect = "zero"   // a new segment full of zeros
	effectRename effect = "rename" // of a segment
	effectOpen   effect = "open"
	effectRemove effect = "remove"
)

// faultyDisk fails where fail says so: the effect is left out, or it happens and is
// reported as failed.
type faultyDisk struct {
	osDisk
	fail func(effect) (applied bool, err error)
}

func (d faultyDisk) do(is effect, f func() error) error {
	applied, err := d.fail(is)
	if err == nil {
		return f()
	}
	if applied {
		_ = f()
	}
	return err
}

func (d faultyDisk) Open(name string, create bool) (f file, err error) {
	err = d.do(effectOpen, func() (err error) {
		f, err = d.osDisk.Open(name, create)
		return err
	})
	return d.wrap(f, err)
}

func (d faultyDisk) Zeroed(name string, size int64) (f file, err error) {
	err = d.do(effectZero, func() (err error) {
		f, err = d.osDisk.Zeroed(name, size)
		return err
	})
	return d.wrap(f, err)
}

func (d faultyDisk) wrap(f file, err error) (file, error) {
	if err != nil {
		if f != nil {
			_ = f.Close()
		}
		return nil, err
	}
	return &faultyFile{file: f, disk: d}, nil
}

func (d faultyDisk) Rename(from, to string) error {
	return d.do(effectRename, func() error { return d.osDisk.Rename(from, to) })
}

func (d faultyDisk) Remove(name string) error {
	return d.do(effectRemove, func() error { return d.osDisk.Remove(name) })
}

type faultyFile struct {
	file
	disk faultyDisk
	head bool // the last write was a segment's head
}

func (f *faultyFile) WriteAt(b []byte, at int64) (n int, err error) {
	is := effectWrite
	if f.head = at == 0; f.head {
		is = effectHead
	}
	err = f.disk.do(is, func() (err error) {
		n, err = f.file.WriteAt(b, at)
		return err
	})
	return n, err
}

func (f *faultyFile) Sync() error {
	if f.head {
		return f.file.Sync()
	}
	return f.disk.do(effectSync, f.file.Sync)
}

// TestDiskFaults lets each effect of the journal's writing fail, left out or applied
// but reported as failed, while six goroutines commit; afterwards nobody was told of a
// commit that is not there.
func TestDiskFaults(t *testing.T) {
	for _, is := range []effect{effectWrite, effectSync} {
		for _, applied := range []bool{false, true} {
			for _, after := range []int64{1, 2, 40} {
				t.Run(fmt.Sprintf("%s-%v-%d", is, applied, after), func(t *testing.T) {
					diskFault(t, is, applied, after)
				})
			}
		}
	}
}

func diskFault(t *testing.T, is effect, applied bool, after int64) {
	var armed atomic.Bool
	var count, fatals atomic.Int64
	o := testOptions(t)
	o.OnFatal = func(error) { fatals.Add(1) }
	o.disk = faultyDisk{fail: func(e effect) (bool, error) {
		if armed.Load() && e == is && count.Add(1) >= after {
			return applied, errDisk
		}
		return false, nil
	}}
	s := opened(t, o)
	armed.Store(true)
	w := &truth{}
	var workers sync.WaitGroup
	for i := range 6 {
		workers.Go(func() {
			err := work(t.Context(), s, i, 6, w.acked)
			if !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, errDisk) {
				t.Errorf("a commit ended with %v", err)
			}
		})
	}
	workers.Wait()
	deadStore(t, s)
	if n := fatals.Load(); n != 1 {
		t.Errorf("OnFatal was called %d times", n)
	}
	mustClose(t, s)
	armed.Store(false)
	w.check(t, open(t, o))
}

// deadStore proves that nothing is answered any more.
func deadStore(t *testing.T, s *Store) {
	t.Helper()
	ctx := t.Context()
	c := workCommit(workCard(0), 0)
	if err := s.Commit(ctx, []*store.Commit{c}); !errors.Is(err, store.ErrUnavailable) ||
		c.Status != store.Unanswered || !errors.Is(c.Err, store.ErrUnavailable) {
		t.Errorf("a dead store commits: %v, %s, %v", err, c.Status, c.Err)
	}
	_, loadErr := s.Load(ctx, workCard(0), nil)
	_, _, readErr := s.Read(ctx, 0, store.Cursor{}, 1)
	_, bucketsErr := s.Buckets(ctx)
	for _, err := range []error{loadErr, readErr, bucketsErr, s.OpenEpoch(ctx, 1),
		s.CutOver(ctx, 1, 20990101, 1), s.Put(ctx, "k", []byte("v"), 0)} {
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("a dead store answers %v", err)
		}
	}
}

// TestShortWrite: half a batch on the disk is a torn tail.
func TestShortWrite(t *testing.T) {
	o := testOptions(t)
	s := opened(t, o)
	w := &truth{}
	c := workCommit(workCard(1), 0)
	if err := s.Commit(t.Context(), []*store.Commit{c}); err != nil {
		t.Fatal(err)
	}
	w.acked(1, c)
	g := s.journal.active
	end, lsn := s.journal.offset, s.journal.durable.Load()
	o = abandon(t, s)
	b := sealBatch(bytes.Repeat([]byte{7}, 3*blockBytes), batchInfo{
		store: s.journal.store, segment: g.number, lsn: lsn + 1,
	})
	f, err := osDisk{}.Open(g.name, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(b[:blockBytes+100], end); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	s = opened(t, o)
	w.check(t, s)
	if got := s.journal.durable.Load(); got < lsn+1 {
		t.Fatalf("after the cut and a new epoch the last batch is %d, before %d", got, lsn)
	}
	mustClose(t, s)
	w.check(t, open(t, o))
}

// TestDiskFull: when the next segment cannot be made, commits are refused before they
// begin, freezes go on while there is room, and all is well once there is room again.
func TestDiskFull(t *testing.T) {
	for _, is := range []effect{effectZero, effectHead, effectRename} {
		t.Run(string(is), func(t *testing.T) {
			var full atomic.Bool
			o := testOptions(t)
			o.disk = faultyDisk{fail: func(e effect) (bool, error) {
				if full.Load() && e == is {
					return false, syscall.ENOSPC
				}
				return false, nil
			}}
			s := opened(t, o)
			full.Store(true)
			w := &truth{}
			err := work(t.Context(), s, 0, 1, w.acked)
			if !errors.Is(err, store.ErrUnavailable) || s.fault.Load() != nil {
				t.Fatalf("with a full disk commits end with %v, fault %v", err, s.fault.Load())
			}
			freeze := workCommit(tokenAt(1), 0)
			freeze.Reserve = true
			if err := s.Commit(t.Context(), []*store.Commit{freeze}); err != nil {
				t.Fatalf("a commit that may use the reserve: %v", err)
			}
			full.Store(false)
			eventually(t, "the journal has room", func() bool { return !s.journal.starved.Load() })
			w.check(t, s)
		})
	}
}

// TestDiskFullForGood: who goes on into the reserve until the last segment is full gets
// errors, and a start after room was made finds everything that was answered.
func TestDiskFullForGood(t *testing.T) {
	var full atomic.Bool
	o := testOptions(t)
	o.disk = faultyDisk{fail: func(e effect) (bool, error) {
		if full.Load() && e == effectZero {
			return false, syscall.ENOSPC
		}
		return false, nil
	}}
	s := opened(t, o)
	full.Store(true)
	w := &truth{}
	var err error
	for version := uint64(0); err == nil; version++ {
		c := workCommit(workCard(0), version)
		c.Reserve = true
		if err = s.Commit(t.Context(), []*store.Commit{c}); err == nil {
			w.acked(0, c)
		}
	}
	if !errors.Is(err, syscall.ENOSPC) || !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("a full journal ends with %v", err)
	}
	mustClose(t, s)
	full.Store(false)
	w.check(t, open(t, o))
}

// TestCheckpointFault: a checkpoint that cannot be written stops the store; nothing is
// lost, since the journal has it.
func TestCheckpointFault(t *testing.T) {
	o := testOptions(t)
	o.CheckpointEvery = 1 << 40
	fatal := make(chan error, 1)
	o.OnFatal = func(err error) { fatal <- err }
	s := opened(t, o)
	w := &truth{}
	ctx, cancel := context.WithCancel(t.Context())
	if err := work(ctx, s, 0, 1, func(card int, c *store.Commit) {
		if w.acked(card, c); c.Version == 10 {
			cancel()
		}
	}); err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	s.fail(fmt.Errorf("checkpoint: %w", errDisk))
	if err := <-fatal; !errors.Is(err, errDisk) {
		t.Fatal(err)
	}
	deadStore(t, s)
	mustClose(t, s)
	w.check(t, open(t, o))
}

// TestRecoveryFaults: a start that cannot read, cut or prepare says so and leaves
// everything as it was.
func TestRecoveryFaults(t *testing.T) {
	o := testOptions(t)
	s := opened(t, o)
	w := &truth{}
	ctx, cancel := context.WithCancel(t.Context())
	_ = work(ctx, s, 0, 1, func(card int, c *store.Commit) {
		if w.acked(card, c); c.Version == 3 {
			cancel()
		}
	})
	o = abandon(t, s)
	for _, is := range []effect{effectOpen, effectRename} {
		bad := o
		bad.disk = faultyDisk{fail: func(e effect) (bool, error) {
			if e == is {
				return false, errDisk
			}
			return false, nil
		}}
		if s, err := Open(t.Context(), bad); !errors.Is(err, errDisk) {
			t.Errorf("%s: Open gave %v, %v", is, s, err)
		}
	}
	w.check(t, open(t, o))
}

// TestSecondOpen: one directory, one process, one handle.
func TestSecondOpen(t *testing.T) {
	o := testOptions(t)
	s := open(t, o)
	_, err := Open(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "open in another process") {
		t.Fatalf("a second Open gave %v", err)
	}
	mustClose(t, s)
	open(t, o)
}

// TestIdentity: a directory of another kind is refused.
func TestIdentity(t *testing.T) {
	f := func(text string, want string) {
		t.Helper()
		o := testOptions(t)
		mustClose(t, open(t, o))
		if err := writeWhole(osDisk{}, filepath.Join(o.Dir, "STORE"), []byte(text)); err != nil {
			t.Fatal(err)
		}
		if s, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: Open gave %v, %v", text, s, err)
		}
	}
	f("tapswitch local store\nformat 2\nbuckets 64\nid 00000000000000aa\n", "format 2")
	f("tapswitch local store\nformat 1\nbuckets 128\nid 00000000000000aa\n", "128 buckets")
	f("tapswitch local store\nformat 1\nbuckets 64\nid 00000000000000aa\nmore\n", "was changed")
	f("tapswitch local store\nformat 1\nbuckets 64\nid 00000000000000aa\n", "not the head of this")
	f("something else", "no identity file")
}

// TestForeignSegments: segments without their identity file are not overwritten.
func TestForeignSegments(t *testing.T) {
	o := testOptions(t)
	mustClose(t, open(t, o))
	if err := (osDisk{}).Remove(filepath.Join(o.Dir, "STORE")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), o); !errors.Is(err, store.ErrDamaged) {
		t.Fatalf("Open gave %v", err)
	}
}

// TestOptions: what cannot work is refused before anything is made.
func TestOptions(t *testing.T) {
	f := func(change func(*Options), want string) {
		t.Helper()
		o := testOptions(t)
		change(&o)
		if s, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open gave %v, %v; want %q", s, err, want)
		}
	}
	f(func(o *Options) { o.Dir = "" }, "no directory")
	f(func(o *Options) { o.SegmentBytes = segmentBytesMin - blockBytes }, "segment size")
	f(func(o *Options) { o.SegmentBytes = segmentBytesMin + 1 }, "segment size")
	f(func(o *Options) { o.SegmentBytes = segmentBytesMax + blockBytes }, "segment size")
	f(func(o *Options) { o.OutboxMax = -1 }, "negative")
	f(func(o *Options) { o.HotStatesMax = -1 }, "negative")
	f(func(o *Options) { o.Date = 20260231 }, "business date")
	f(func(o *Options) { o.Date = 0 }, "business date")
}

// TestNoEpochNoCommit: a handle that has opened no epoch writes nothing.
func TestNoEpochNoCommit(t *testing.T) {
	s := open(t, testOptions(t))
	c := workCommit(workCard(0), 0)
	if err := s.Commit(t.Context(), []*store.Commit{c}); !errors.Is(err, store.ErrFenced) {
		t.Errorf("Commit gave %v", err)
	}
	if err := s.CutOver(t.Context(), 0, 20990101, 1); !errors.Is(err, store.ErrFenced) {
		t.Errorf("CutOver gave %v", err)
	}
}
