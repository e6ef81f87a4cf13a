package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/tapswitch/tapswitch/ledger/lock"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// ErrInUse reports a folder that another process has open.
var ErrInUse = lock.ErrHeld

var _ warehouse.Warehouse = (*Warehouse)(nil)

// Options say where the warehouse lies.
type Options struct {
	// Dir is the folder; it is made when it is not there.
	Dir string
	// Log receives what happens in the background; nil discards it.
	Log *slog.Logger
	// KeepParts leaves small parts as they are.
	KeepParts bool
}

// Warehouse is the ledger on local disk. Safe for concurrent use.
type Warehouse struct {
	dir  string
	disk *disk
	log  *slog.Logger
	lock *os.File

	// writer serialises everything that changes the manifest.
	writer   sync.Mutex
	manifest manifest
	// suspect are parts of an edit whose line may or may not be in the log; they go
	// when the log has been written anew without it.
	suspect []part

	// mu guards what readers see. It is held for memory only.
	mu     sync.Mutex
	state  state
	refs   map[uint64]int  // readers of a part
	leaves map[uint64]part // dropped parts that still have readers
	closed bool

	readers sync.WaitGroup
	joiner  joiner
}

// Open opens or makes the warehouse. It returns ErrInUse or warehouse.ErrDamaged when
// it must not be opened.
func Open(o Options) (*Warehouse, error) { return open(o, &disk{}) }

// open is Open with a disk that a test may make fail.
func open(o Options, d *disk) (*Warehouse, error) {
	if err := os.MkdirAll(o.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("cannot make the warehouse folder: %w", err)
	}
	held, err := lock.Take(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("warehouse: %w", err)
	}
	w := &Warehouse{dir: o.Dir, disk: d, lock: held, log: o.Log,
		refs: make(map[uint64]int), leaves: make(map[uint64]part)}
	if w.log == nil {
		w.log = slog.New(slog.DiscardHandler)
	}
	w.manifest = manifest{disk: d, path: filepath.Join(o.Dir, manifestName)}
	if err := w.load(); err != nil {
		return nil, errors.Join(err, w.manifest.close(), held.Close())
	}
	if !o.KeepParts {
		w.joiner.start(w)
	}
	return w, nil
}

// load brings the folder to exactly what the manifest says.
func (w *Warehouse) load() error {
	s, found, err := readManifest(w.dir)
	if err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(w.dir, "*", "part-*"))
	if err != nil {
		return fmt.Errorf("cannot list the warehouse %s: %w", w.dir, err)
	}
	if !found && slices.ContainsFunc(files, isPart) {
		return fmt.Errorf("%w: %s has parts and no manifest; restore the folder from a copy",
			warehouse.ErrDamaged, w.dir)
	}
	known := make(map[string]bool, len(s.parts))
	for _, p := range s.parts {
		known[p.path(w.dir)] = true
		if err := checkPart(p.path(w.dir), &p); err != nil {
			return err
		}
	}
	s.number = max(s.number, 1)
	w.state = s
	if err := w.manifest.rewrite(&w.state); err != nil {
		return err
	}
	for _, path := range files {
		if known[path] {
			continue
		}
		w.log.Info("removing a part that was never confirmed", "file", filepath.Base(path))
		if err := w.disk.remove(path); err != nil {
			return fmt.Errorf("cannot remove an unconfirmed part: %w", err)
		}
	}
	return nil
}

// isPart tells finished parts from what a crash left under a temporary name.
func isPart(path string) bool { return strings.HasSuffix(path, ".parquet") }

// checkPart compares a part with what the manifest confirmed, without reading it: pages have
// checksums of their own.
func checkPart(path string, p *part) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("%w: a confirmed part is gone: %w", warehouse.ErrDamaged, err)
	}
	if info.Size() != p.Bytes {
		return fmt.Errorf("%w: %s has %d bytes, confirmed were %d",
			warehouse.ErrDamaged, path, info.Size(), p.Bytes)
	}
	return nil
}

// Close waits for readers and the background, and frees the folder.
func (w *Warehouse) Close() error {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return warehouse.ErrClosed
	}
	w.closed = true
	w.mu.Unlock()
	w.joiner.stop()
	w.readers.Wait()
	w.writer.Lock()
	defer w.writer.Unlock()
	return errors.Join(w.manifest.close(), w.lock.Close())
}

// enter counts a call under way; leave ends it.
func (w *Warehouse) enter(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return warehouse.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	w.readers.Add(1)
	return nil
}

// leave ends a call that enter counted.
func (w *Warehouse) leave() { w.readers.Done() }

// Positions implements warehouse.Appender. The lock makes this process the only writer,
// so the manifest in memory is the one on disk.
func (w *Warehouse) Positions(ctx context.Context) (warehouse.Positions, error) {
	if err := w.enter(ctx); err != nil {
		return warehouse.Positions{}, err
	}
	defer w.leave()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state.seq.Held(), nil
}

// DeadLetters implements warehouse.Reader.
func (w *Warehouse) DeadLetters(ctx context.Context) ([]warehouse.DeadLetter, error) {
	if err := w.enter(ctx); err != nil {
		return nil, err
	}
	defer w.leave()
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.state.dead), nil
}

// Append implements warehouse.Appender.
func (w *Warehouse) Append(ctx context.Context, records []txn.Record) error {
	if err := w.enter(ctx); err != nil {
		return err
	}
	defer w.leave()
	w.writer.Lock()
	defer w.writer.Unlock()
	if err := w.mendLocked(); err != nil {
		return err
	}
	// Only the holder of writer changes the state, so reading it needs no mu.
	seq := w.state.seq
	kept, err := warehouse.Admit(&seq, records, w.state.openLetter)
	if err != nil || len(kept) == 0 {
		return err
	}
	e, err := w.writeParts(kept)
	if err != nil {
		return err
	}
	w.describe(&e, seq.Held(), kept)
	if err := w.commitLocked(&e); err != nil {
		return err
	}
	w.joiner.wake()
	return nil
}

// describe completes the edit of an Append: positions, days closed, letters closed.
func (w *Warehouse) describe(e *edit, held warehouse.Positions, kept []*txn.Record) {
	var touched [txn.BucketCount]bool
	closed := w.state.closed
	for _, r := range kept {
		b := r.Position.Bucket
		touched[b] = true
		if r.Kind == txn.DayMarker {
			closed[b] = max(closed[b], r.ClosedDate)
		}
		if w.state.openLetter(r.Position) {
			e.Repaired = append(e.Repaired, r.Position)
		}
	}
	for b, is := range touched {
		if is {
			e.Buckets = append(e.Buckets, bucketMark{Bucket: txn.Bucket(b),
				Epoch: held[b].Epoch, Seq: held[b].Seq, Closed: closed[b]})
		}
	}
}

// DeadLetter implements warehouse.Appender.
func (w *Warehouse) DeadLetter(ctx context.Context, letter warehouse.DeadLetter) error {
	if err := letter.Check(); err != nil {
		return err
	}
	if err := w.enter(ctx); err != nil {
		return err
	}
	defer w.leave()
	w.writer.Lock()
	defer w.writer.Unlock()
	if err := w.mendLocked(); err != nil {
		return err
	}
	if w.state.sources[letter.Source] {
		return nil
	}
	if len(w.state.dead) >= warehouse.DeadLettersMax {
		return fmt.Errorf("%w: %d dead letters are open", warehouse.ErrTooMany, len(w.state.dead))
	}
	e := edit{Dead: []warehouse.DeadLetter{letter}}
	if letter.Placed() {
		seq := w.state.seq
		switch seq.TakePlace(letter.Position) {
		case warehouse.Duplicate:
			return nil
		case warehouse.Gap:
			return fmt.Errorf("%w: have %s, dead letter is for %s", warehouse.ErrGap,
				seq.At(letter.Position.Bucket), letter.Position)
		}
		p := letter.Position
		e.Buckets = []bucketMark{{Bucket: p.Bucket, Epoch: p.Epoch, Seq: p.Seq}}
	}
	return w.commitLocked(&e)
}

// commitLocked makes the edit durable and visible. The caller holds writer.
func (w *Warehouse) commitLocked(e *edit) error {
	e.Number = w.state.number + 1
	if err := w.manifest.append(e); err != nil {
		w.suspect = append(w.suspect, e.Add...)
		return err
	}
	w.mu.Lock()
	err := w.state.apply(e)
	w.mu.Unlock()
	if err != nil {
		panic("local: internal error: " + err.Error())
	}
	if w.manifest.lines >= manifestLinesMax {
		// The line is durable, so a failure here is not the caller's: the log is
		// written anew before the next line.
		if err := w.manifest.rewrite(&w.state); err != nil {
			w.log.Error("cannot write the manifest anew", "error", err)
		}
	}
	return nil
}

// mendLocked writes the manifest anew from what was confirmed, after a failure left it
// in doubt. The caller holds writer.
func (w *Warehouse) mendLocked() error {
	if w.manifest.file != nil {
		return nil
	}
	if err := w.manifest.rewrite(&w.state); err != nil {
		return err
	}
	for i := range w.suspect {
		if err := w.disk.remove(w.suspect[i].path(w.dir)); err != nil {
			w.log.Warn("cannot remove an unconfirmed part", "error", err)
		}
	}
	w.suspect = nil
	return nil
}

// take returns the parts of the dates that f may choose, in order of date and id, and
// keeps them on disk until give.
func (w *Warehouse) take(matches func(txn.BusinessDate) bool) []part {
	w.mu.Lock()
	defer w.mu.Unlock()
	var parts []part
	for id, p := range w.state.parts {
		if matches(p.Date) {
			w.refs[id]++
			parts = append(parts, p)
		}
	}
	slices.SortFunc(parts, comparePart)
	return parts
}

// comparePart orders by date, then age.
func comparePart(a, b part) int {
	if a.Date != b.Date {
		return int(a.Date) - int(b.Date)
	}
	return int(int64(a.ID) - int64(b.ID))
}

// give ends the use of parts, and removes those that were dropped meanwhile.
func (w *Warehouse) give(parts []part) {
	for _, p := range parts {
		w.mu.Lock()
		w.refs[p.ID]--
		gone, dropped := w.leaves[p.ID]
		last := w.refs[p.ID] == 0
		if last {
			delete(w.refs, p.ID)
			delete(w.leaves, p.ID)
		}
		w.mu.Unlock()
		if last && dropped {
			w.discard(gone)
		}
	}
}

// discard removes a part that no line names any more. A failure costs room only: the
// next start removes it.
func (w *Warehouse) discard(p part) {
	if err := w.disk.remove(p.path(w.dir)); err != nil {
		w.log.Warn("cannot remove a joined part", "error", err)
	}
}
