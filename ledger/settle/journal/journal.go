// Package journal is finance's own book: adjustments with maker and checker, statements of the
// bank, the states of business days, runs and certificates.
//
// What finance decides has no card and no bucket, so it does not go through the switch: it is
// kept here, in one append-only file. Each line is an event with its CRC and the SHA-256 that
// chains it to all before. Append is durable on return (fsync of file and directory). A line
// that a crash cut off at the end was never acknowledged and is dropped at the next Open;
// anything else that does not check is ErrDamaged, and nothing is written after it.
//
// One process writes, kept by a lock that ends with the process; Read looks beside it. A Journal
// is safe for concurrent use. Times are Unix milliseconds UTC, given by the caller. The package
// never edits or removes an event, and does not judge what one means.
package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/tapswitch/tapswitch/ledger/lock"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const (
	// FileName is the journal's file in its directory.
	FileName = "journal"
	// EventMax is the most bytes of one event: an entry of a few hundred postings.
	EventMax = 1 << 20
	// EventsMax is the most events of a journal, which is read into memory: a hundred a day for
	// a hundred years.
	EventsMax = 4_000_000
)

var (
	// ErrDamaged reports a line that is not what was written. It is fatal: restore the file.
	ErrDamaged = errors.New("finance journal damaged")
	// ErrLocked reports that another process writes the journal.
	ErrLocked = lock.ErrHeld
	// ErrTooLarge reports an event beyond a limit. Nothing was written.
	ErrTooLarge = errors.New("too large for the finance journal")
	// ErrBroken reports a journal after a failed write: what is on disk is not known. Open it
	// again.
	ErrBroken = errors.New("finance journal must be opened again")
)

// Event is one line. Body is the event's own content, by Kind.
type Event struct {
	Seq   uint64           `json:"seq"` // from 1
	At    txn.Millis       `json:"at"`
	Kind  string           `json:"kind"`
	Actor string           `json:"actor"`
	Date  txn.BusinessDate `json:"date,omitempty"`
	Note  string           `json:"note,omitempty"`
	Body  json.RawMessage  `json:"body,omitempty"`
}

// Disk are the effects of a journal, so that tests can make them fail.
type Disk interface {
	// Write appends to the file and syncs it.
	Write(f *os.File, line []byte) error
}

type osDisk struct{}

// Write implements Disk.
func (osDisk) Write(f *os.File, line []byte) error {
	if _, err := f.Write(line); err != nil {
		return err
	}
	return f.Sync()
}

// Journal is an open journal.
type Journal struct {
	disk Disk
	lock io.Closer

	mu     sync.Mutex // guards the fields below, so that lines are whole and in order
	file   *os.File
	head   [sha256.Size]byte
	events []Event
	broken error
}

// Open opens the journal in dir for writing, making it when it is not there. disk may be nil.
func Open(dir string, disk Disk) (*Journal, error) {
	if disk == nil {
		disk = osDisk{}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("finance journal: %w", err)
	}
	held, err := lock.Take(dir)
	if err != nil {
		return nil, fmt.Errorf("finance journal: %w", err)
	}
	j, err := open(dir, disk)
	if err != nil {
		return nil, errors.Join(err, held.Close())
	}
	j.lock = held
	return j, nil
}

func open(dir string, disk Disk) (*Journal, error) {
	path := filepath.Join(dir, FileName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("finance journal: %w", err)
	}
	j := &Journal{disk: disk, file: f}
	text, err := io.ReadAll(f)
	if err == nil {
		var whole int
		if j.events, j.head, whole, err = parse(text); err == nil {
			err = trim(f, int64(whole))
		}
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("finance journal %s: %w", path, err), f.Close())
	}
	return j, nil
}

// trim drops what a crash left half written after the last whole line.
func trim(f *os.File, size int64) error {
	if err := f.Truncate(size); err != nil {
		return err
	}
	if _, err := f.Seek(size, io.SeekStart); err != nil {
		return err
	}
	return f.Sync()
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Read returns the events of the journal in dir, beside a process that may be writing it. None
// when there is no journal.
func Read(dir string) ([]Event, error) {
	text, err := os.ReadFile(filepath.Join(dir, FileName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("finance journal: %w", err)
	}
	events, _, _, err := parse(text)
	return events, err
}

// checksum is the CRC-32C of a line.
func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// headSize is CRC and hash in hexadecimal, each followed by a space.
const headSize = 8 + 1 + 2*sha256.Size + 1

// parse reads whole lines and says how many bytes they are.
func parse(text []byte) (events []Event, head [sha256.Size]byte, whole int, err error) {
	for whole < len(text) {
		end := bytes.IndexByte(text[whole:], '\n')
		if end < 0 {
			return events, head, whole, nil // cut off: never acknowledged
		}
		e, next, err := parseLine(text[whole:whole+end], head)
		if err == nil && e.Seq != uint64(len(events))+1 {
			err = fmt.Errorf("%w: event %d stands in the place of %d", ErrDamaged, e.Seq, len(events)+1)
		}
		if err != nil {
			return nil, head, 0, fmt.Errorf("line %d: %w", len(events)+1, err)
		}
		if len(events) == EventsMax {
			return nil, head, 0, fmt.Errorf("%w: more than %d events", ErrTooLarge, EventsMax)
		}
		events, head, whole = append(events, e), next, whole+end+1
	}
	return events, head, whole, nil
}

func parseLine(line []byte, before [sha256.Size]byte) (e Event, head [sha256.Size]byte, err error) {
	if len(line) < headSize {
		return e, head, fmt.Errorf("%w: too short", ErrDamaged)
	}
	if want := appendLine(nil, before, line[headSize:]); !bytes.Equal(want, append(bytes.Clone(line),
		'\n')) {
		return e, head, fmt.Errorf("%w: checksum or chain does not fit", ErrDamaged)
	}
	if err := json.Unmarshal(line[headSize:], &e); err != nil {
		return e, head, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return e, chain(before, line[headSize:]), nil
}

func chain(before [sha256.Size]byte, content []byte) [sha256.Size]byte {
	return sha256.Sum256(append(before[:], content...))
}

// appendLine makes a line of an event's JSON.
func appendLine(dst []byte, before [sha256.Size]byte, content []byte) []byte {
	head := chain(before, content)
	body := append(hex.AppendEncode(nil, head[:]), ' ')
	body = append(body, content...)
	dst = fmt.Appendf(dst, "%08x ", checksum(body))
	return append(append(dst, body...), '\n')
}

// Append adds an event, whose Seq it sets, and is durable on return. After a fault of the disk
// nothing more is taken.
func (j *Journal) Append(e Event) (Event, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.broken != nil {
		return e, fmt.Errorf("%w: %w", ErrBroken, j.broken)
	}
	e.Seq = uint64(len(j.events)) + 1
	content, err := json.Marshal(e)
	if err != nil {
		return e, fmt.Errorf("event %s: %w", e.Kind, err)
	}
	if len(content) > EventMax || len(j.events) == EventsMax {
		return e, fmt.Errorf("%w: event %s of %d bytes, number %d", ErrTooLarge, e.Kind, len(content),
			e.Seq)
	}
	if err := j.disk.Write(j.file, appendLine(nil, j.head, content)); err != nil {
		j.broken = err
		return e, fmt.Errorf("event %s: %w: %w", e.Kind, ErrBroken, err)
	}
	j.head = chain(j.head, content)
	j.events = append(j.events, e)
	return e, nil
}

// Events returns all events in order; the list is the caller's, bodies are not to be changed.
func (j *Journal) Events() []Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]Event(nil), j.events...)
}

// Head returns the hash of the last event, which stands for all of them.
func (j *Journal) Head() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return hex.EncodeToString(j.head[:])
}

// Close ends writing and gives the lock back.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.broken == nil {
		j.broken = errors.New("closed")
	}
	return errors.Join(j.file.Close(), j.lock.Close())
}
