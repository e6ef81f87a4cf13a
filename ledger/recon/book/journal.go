package book

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tapswitch/tapswitch/ledger/lock"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const (
	journalName = "breaks.jsonl"
	// lineMax is the longest event in bytes: a break has two rows of at most 48 KiB.
	lineMax = 1 << 20
)

var (
	// ErrDamaged reports a journal that is not what was written. It is fatal: restore it from a
	// copy whose chain holds.
	ErrDamaged = errors.New("journal of breaks damaged")
	// ErrInUse reports a folder that another process writes.
	ErrInUse = lock.ErrHeld
)

// event is one line of the journal.
type event struct {
	Seq   uint64          `json:"seq"`
	At    txn.Millis      `json:"at_ms"`
	Actor string          `json:"actor"`
	Kind  string          `json:"kind"`
	Body  json.RawMessage `json:"body"`
	Prev  string          `json:"prev"`
	Hash  string          `json:"hash"`
}

// The kinds of events.
const (
	kindRun    = "run"    // a run begins; Run
	kindOpen   = "open"   // it opens a break; recon.Break
	kindClose  = "close"  // it closes one; closing
	kindCommit = "commit" // all of the run is written
	kindStep   = "step"   // a person did something; Step
)

// seal gives the event its hash.
func (e *event) seal() ([]byte, error) {
	e.Hash = ""
	text, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("event %d: %w", e.Seq, err)
	}
	sum := sha256.Sum256(text)
	e.Hash = hex.EncodeToString(sum[:])
	if text, err = json.Marshal(e); err == nil && len(text) > lineMax {
		err = fmt.Errorf("event %d has %d bytes, at most %d are kept", e.Seq, len(text), lineMax)
	}
	return append(text, '\n'), err
}

// replay reads a journal and calls f for every event whose chain holds. It returns the length
// of the whole lines: a torn last one was never acknowledged.
func replay(in io.Reader, f func(*event) error) (last event, whole int64, err error) {
	r := bufio.NewReaderSize(in, lineMax+2)
	for {
		line, err := r.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			return last, whole, nil
		}
		if err != nil {
			return last, whole, fmt.Errorf("%w: line %d: %w", ErrDamaged, last.Seq+1, err)
		}
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			return last, whole, fmt.Errorf("%w: line %d: %w", ErrDamaged, last.Seq+1, err)
		}
		again := e
		sealed, err := again.seal()
		if err != nil || !bytes.Equal(sealed, line) || e.Prev != last.Hash || e.Seq != last.Seq+1 {
			return last, whole, fmt.Errorf("%w: line %d is not what was written there", ErrDamaged, last.Seq+1)
		}
		if err := f(&e); err != nil {
			return last, whole, fmt.Errorf("%w: line %d: %w", ErrDamaged, e.Seq, err)
		}
		last, whole = e, whole+int64(len(line))
	}
}

// open reads the journal of a folder; none is an empty one.
func open(dir string, f func(*event) error) (last event, whole int64, err error) {
	file, err := os.Open(filepath.Join(dir, journalName))
	if errors.Is(err, fs.ErrNotExist) {
		return event{}, 0, nil
	}
	if err != nil {
		return event{}, 0, fmt.Errorf("cannot read the breaks: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return replay(file, f)
}

// append writes events behind the last one and syncs them together.
func (b *Book) append(at txn.Millis, actor string, events []event) error {
	var text []byte
	last := b.last
	for i := range events {
		e := &events[i]
		e.Seq, e.At, e.Actor, e.Prev = last.Seq+1, at, actor, last.Hash
		line, err := e.seal()
		if err != nil {
			return err
		}
		text = append(text, line...)
		last = *e
	}
	if b.broken != nil {
		return b.broken
	}
	_, err := b.file.WriteAt(text, b.size)
	if err == nil {
		err = b.file.Sync()
	}
	if err != nil {
		b.broken = fmt.Errorf("cannot keep breaks; open them again: %w", err)
		return b.broken
	}
	b.size += int64(len(text))
	b.last = last
	for i := range events {
		if err := b.state.apply(&events[i]); err != nil {
			panic("book: internal error: own event refused: " + err.Error())
		}
	}
	return nil
}

// take creates the folder and the journal, durably, and takes the lock.
func take(dir string) (held, file *os.File, err error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, nil, fmt.Errorf("cannot keep breaks: %w", err)
	}
	if held, err = lock.Take(dir); err != nil {
		return nil, nil, fmt.Errorf("breaks: %w", err)
	}
	file, err = os.OpenFile(filepath.Join(dir, journalName), os.O_CREATE|os.O_RDWR, 0o640)
	if err == nil {
		var folder *os.File
		if folder, err = os.Open(dir); err == nil {
			err = errors.Join(folder.Sync(), folder.Close())
		}
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("cannot keep breaks: %w", err), held.Close())
	}
	return held, file, nil
}
