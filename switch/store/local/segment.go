package local

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tapswitch/tapswitch/switch/txn"
)

const (
	segmentPrefix = "journal-"
	spareName     = "spare"
	usedPrefix    = "used-" // and a number: a file that waits to be overwritten

	// spareMax is how many used-up segments are kept to be overwritten, which is several
	// times as fast as filling a new file: as many as one checkpoint may set free.
	spareMax = checkpointSegments + 8
	// readyMax is how many segments are prepared ahead, besides the one in hand.
	readyMax = 1
	// allocateRetry is the time between tries to make a segment on a full disk.
	allocateRetry = time.Second
)

// segment is one journal file. What is in it is described in memory: where each batch
// begins and how far each bucket's outbox entries go.
type segment struct {
	number uint64
	name   string
	f      file
	size   int64

	// guarded by journal.segMu
	first   uint64   // number of the first batch; 0 while there is none
	offsets []uint32 // of the batches, in blocks
	last    [txn.BucketCount]txn.Position
}

// end returns the number after the segment's last batch; only with batches.
func (g *segment) endLocked() uint64 { return g.first + uint64(len(g.offsets)) }

// noteLocked remembers a batch at offset.
func (g *segment) noteLocked(lsn uint64, offset int64) {
	if len(g.offsets) == 0 {
		g.first = lsn
	}
	g.offsets = append(g.offsets, uint32(offset/blockBytes))
}

func segmentName(number uint64) string { return fmt.Sprintf("%s%016d", segmentPrefix, number) }

// listSegments returns the numbers of the segments in dir, in order.
func listSegments(dir string) ([]uint64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("local store: cannot list %s: %w", dir, err)
	}
	var numbers []uint64
	for _, e := range entries {
		name, found := strings.CutPrefix(e.Name(), segmentPrefix)
		var n uint64
		if !found {
			continue
		}
		if _, err := fmt.Sscanf(name, "%016d", &n); err == nil && segmentName(n) == e.Name() {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// allocator makes segments ahead of need, in its own goroutine: the journal's writer
// finds the next one ready when it needs it.
type allocator struct {
	j       *journal
	ready   chan *segment
	failure chan error    // taken by a writer that cannot wait any longer
	recycle chan *segment // used-up segments, to be overwritten
	closing chan struct{}
	done    chan struct{}
	next    uint64
	retired uint64 // the greatest number of a used-up file
}

func newAllocator(j *journal, next uint64) *allocator {
	return &allocator{
		j: j, next: next, ready: make(chan *segment, readyMax), failure: make(chan error),
		recycle: make(chan *segment, spareMax),
		closing: make(chan struct{}), done: make(chan struct{}),
	}
}

// run makes one segment after the other until stop. While the disk is full it tries
// again and again and the journal is starved: commits are refused before they begin.
func (a *allocator) run() {
	defer close(a.done)
	for {
		g, err := a.prepare()
		if err != nil {
			if !a.waitForRoom(err) {
				return
			}
			continue
		}
		a.j.starved.Store(false)
		select {
		case a.ready <- g:
			a.next++
		case <-a.closing:
			_ = g.f.Close()
			return
		}
	}
}

func (a *allocator) waitForRoom(err error) bool {
	if !a.j.starved.Swap(true) {
		a.j.log.Error("local store: cannot make the next journal segment; commits are refused "+
			"until there is room", "error", err)
	}
	timer := time.NewTimer(allocateRetry)
	defer timer.Stop()
	select {
	case <-timer.C:
	case a.failure <- err:
	case <-a.closing:
		return false
	}
	return true
}

// prepare returns segment a.next: durable on disk, full of zeros or of batches that
// bear another segment's number.
func (a *allocator) prepare() (*segment, error) {
	spare := filepath.Join(a.j.dir, spareName)
	f, size, err := a.blank(spare)
	if err != nil {
		return nil, err
	}
	if _, err := f.WriteAt(segmentHead(a.j.store, a.next), 0); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := f.Sync(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	name := filepath.Join(a.j.dir, segmentName(a.next))
	if err := a.j.disk.Rename(spare, name); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &segment{number: a.next, name: name, f: f, size: size}, nil
}

// blank returns a file named spare of the size of a segment: a used-up one when there
// is one of that size, else a new one full of zeros.
func (a *allocator) blank(spare string) (file, int64, error) {
	for {
		select {
		case g := <-a.recycle:
			if g.size != a.j.segmentBytes {
				a.j.discard(g)
				continue
			}
			if err := a.j.disk.Rename(g.name, spare); err != nil {
				return nil, 0, errors.Join(err, g.f.Close())
			}
			return g.f, g.size, nil
		default:
			f, err := a.j.disk.Zeroed(spare, a.j.segmentBytes)
			return f, a.j.segmentBytes, err
		}
	}
}

// take returns the next segment, or an error when the disk has no room for it.
func (a *allocator) take() (*segment, error) {
	select {
	case g := <-a.ready:
		return g, nil
	case err := <-a.failure:
		return nil, fmt.Errorf("no room for journal segment %d: %w", a.next, err)
	}
}

func (a *allocator) stop() {
	close(a.closing)
	<-a.done
	close(a.recycle)
	for g := range a.recycle {
		_ = g.f.Close()
	}
	close(a.ready)
	for g := range a.ready {
		_ = g.f.Close()
	}
}

// retire takes a segment that nobody needs any more, to be overwritten or removed. Only
// one goroutine retires: first the one that opens the store, then the checkpointer.
func (a *allocator) retire(g *segment) error {
	if !strings.HasPrefix(filepath.Base(g.name), usedPrefix) {
		a.retired++
		used := filepath.Join(a.j.dir, fmt.Sprintf("%s%d", usedPrefix, a.retired))
		if err := a.j.disk.Rename(g.name, used); err != nil {
			return errors.Join(fmt.Errorf("cannot retire journal segment: %w", err), g.f.Close())
		}
		g.name = used
	}
	select {
	case a.recycle <- g:
	default:
		a.j.discard(g)
	}
	return nil
}
