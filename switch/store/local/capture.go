package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// stagedName is the file in which a checkpoint gathers the states, before Pebble takes it
// over under a name of its own.
const stagedName = "checkpoint.sst"

// captureStates copies all dirty states to Pebble: sorted into one table, which Pebble
// takes in whole. Past its log and its memory table that costs much less processor
// time, and the disk writes the states once. After each bucket there is a rest, so that
// what is due every few seconds does not take the processors from the taps in one go. A
// card that is changed behind the capture's back is dirty again, and has a journal entry
// after the batch that the checkpoint covers.
func (s *Store) captureStates() error {
	t := &table{path: filepath.Join(s.opts.Dir, stagedName)}
	defer t.discard()
	for b := range s.buckets {
		began := time.Now()
		t.reset()
		if err := s.buckets[b].eachBlock(func(class, block int) (bool, error) {
			return s.buckets[b].captureBlock(t, class, block), nil
		}); err != nil {
			return err
		}
		if err := t.write(s); err != nil {
			return fmt.Errorf("cannot write the states of %v: %w", txn.Bucket(b), err)
		}
		if t.writer != nil {
			s.checkpoints.rest(time.Since(began))
		}
	}
	return t.ingest(s)
}

func (b *bucket) captureBlock(t *table, class, block int) (more bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.states.slab.each(class, block, func(_ uint32, slot []byte) {
		c := card(slot)
		if c.flags()&slotDirty == 0 {
			return
		}
		t.add(c)
		slot[0] = c.flags()&^slotDirty | slotCaptured
	})
}

// table is a sorted table of states on its way to Pebble. The states of a bucket are
// gathered, sorted and written; buckets come in the order of their tokens.
type table struct {
	path   string
	writer *sstable.Writer // nil while there is nothing to write

	bytes  []byte // tokens with version and state, as they come
	states []capturedState
}

type capturedState struct {
	token    pan.Token
	from, to int // version and state in bytes
}

func (t *table) reset() { t.bytes, t.states = t.bytes[:0], t.states[:0] }

// add gathers a card. One that has moved to another slot meanwhile comes twice, the later
// state last.
func (t *table) add(c card) {
	from := len(t.bytes)
	t.bytes = append(t.bytes, c[4:12]...)
	t.bytes = append(t.bytes, c.state()...)
	t.states = append(t.states, capturedState{c.token(), from, len(t.bytes)})
}

// write writes what was gathered of a bucket.
func (t *table) write(s *Store) error {
	slices.SortStableFunc(t.states, func(a, b capturedState) int {
		return bytes.Compare(a.token[:], b.token[:])
	})
	var key [1 + pan.TokenSize]byte
	for i, is := range t.states {
		if i+1 < len(t.states) && t.states[i+1].token == is.token {
			continue
		}
		if err := t.open(s); err != nil {
			return err
		}
		tokenKey(key[:0], keyState, &is.token)
		if err := t.writer.Set(key[:], t.bytes[is.from:is.to]); err != nil {
			return err
		}
	}
	return nil
}

// open makes the file, unless it is open. A file of that name may be one that Pebble has
// taken over, of a process that was killed then: it must not be written to.
func (t *table) open(s *Store) error {
	if t.writer != nil {
		return nil
	}
	if err := os.Remove(t.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := vfs.Default.Create(t.path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	t.writer = sstable.NewWriter(objstorageprovider.NewFileWritable(f),
		s.pebble.MakeWriterOptions(0, s.db.TableFormat()))
	return nil
}

// ingest hands the table to Pebble, durable, once the journal holds everything in it.
func (t *table) ingest(s *Store) error {
	if t.writer == nil {
		return nil
	}
	w := t.writer
	t.writer = nil
	if err := w.Close(); err != nil { // syncs
		return fmt.Errorf("cannot write the states: %w", err)
	}
	if err := s.journal.wait(context.Background(), s.journal.barrier()); err != nil {
		return err
	}
	if err := s.db.Ingest(context.Background(), []string{t.path}); err != nil {
		return fmt.Errorf("cannot take the states into the checkpoint: %w", err)
	}
	return nil
}

// discard removes the file of a checkpoint that failed.
func (t *table) discard() {
	if t.writer != nil {
		_ = t.writer.Close()
		_ = os.Remove(t.path)
	}
}
