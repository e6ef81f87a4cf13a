package gatesim

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// Limits of a queue's file.
const (
	// entryMax bounds one entry in bytes.
	entryMax = 1 << 20
	// shrinkAt is the size from which the file is written anew, when nothing waits in it.
	shrinkAt = 4 << 20

	frameHead = 8
	queueName = "queue"
)

// The errors of a queue.
var (
	// ErrDamaged reports a queue whose middle cannot be read: somebody has to look.
	ErrDamaged = errors.New("gate queue is damaged")
	// ErrInUse reports a gate that another process runs.
	ErrInUse = errors.New("gate is run by another process")
)

// entryKind says what an entry of the queue is.
type entryKind string

const (
	entryLife   entryKind = "life"   // the gate booted
	entryIntent entryKind = "intent" // a card is about to be debited
	entryDone   entryKind = "done"   // it was, and this is its proof
	entryVoid   entryKind = "void"   // it was not
	entryGrey   entryKind = "grey"   // the card was away before it answered
	entryProof  entryKind = "proof"  // it came back, and proves that it was debited
	entryPassed entryKind = "passed" // a tap without a debit: refused, or let through
	entrySent   entryKind = "sent"   // what the switch answered
	entrySum    entryKind = "sum"    // all before in one entry
)

// entry is one line of the queue.
type entry struct {
	Kind   entryKind `json:"k"`
	Boot   uint32    `json:"boot,omitempty"`
	Record *Record   `json:"rec,omitempty"`
	Seq    uint32    `json:"seq,omitempty"`
	TAC    [4]byte   `json:"tac,omitzero"`
	Proved bool      `json:"proved,omitempty"`
	Tap    int       `json:"tap,omitempty"`
	Why    string    `json:"why,omitempty"`
	Acks   []ack     `json:"acks,omitempty"`
	Sum    *book     `json:"sum,omitempty"`
}

// ack is what became of one record.
type ack struct {
	Seq    uint32 `json:"seq"`
	Fate   fate   `json:"fate"`
	Reason string `json:"reason,omitempty"`
}

// queue is an append-only file of entries, each with its length and CRC-32C. A kill at any
// moment leaves whole entries and at most one that is torn, which was not acted upon yet and is
// cut off. Not safe for concurrent use.
type queue struct {
	dir  string
	file *os.File
	lock *os.File
	sync bool
	size int64
	buf  []byte
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// openQueue opens the queue of a directory and hands every entry to yield. With sync each
// entry is on the disk before append returns, else it survives a kill but no power cut.
func openQueue(dir string, sync bool, yield func(*entry) error) (q *queue, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("gate queue: %w", err)
	}
	q = &queue{dir: dir, sync: sync}
	defer func() {
		if err != nil {
			err = errors.Join(err, q.close())
		}
	}()
	if q.lock, err = os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return q, fmt.Errorf("gate queue: %w", err)
	}
	if err := syscall.Flock(int(q.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return q, fmt.Errorf("%w: %s: %w", ErrInUse, dir, err)
	}
	if q.file, err = os.OpenFile(filepath.Join(dir, queueName), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return q, fmt.Errorf("gate queue: %w", err)
	}
	if q.size, err = replay(q.file, yield); err != nil {
		return q, err
	}
	if err := q.file.Truncate(q.size); err != nil {
		return q, fmt.Errorf("gate queue: %w", err)
	}
	_, err = q.file.Seek(q.size, io.SeekStart)
	return q, err
}

// replay reads entries up to the end or a torn last one, and returns where the whole ones end.
func replay(f *os.File, yield func(*entry) error) (end int64, err error) {
	info, err := f.Stat()
	if err != nil {
		return 0, fmt.Errorf("gate queue: %w", err)
	}
	r, head := bufio.NewReader(f), make([]byte, frameHead)
	for end < info.Size() {
		payload, whole, err := readEntry(r, head)
		switch {
		case err != nil:
			return end, fmt.Errorf("gate queue at byte %d: %w", end, err)
		case !whole && torn(f, end, info.Size()):
			return end, nil
		case !whole:
			return end, fmt.Errorf("%w: at byte %d of %d: restore it, or take the gate out of service",
				ErrDamaged, end, info.Size())
		}
		var e entry
		if err := json.Unmarshal(payload, &e); err != nil {
			return end, fmt.Errorf("%w: at byte %d: %w", ErrDamaged, end, err)
		}
		if err := yield(&e); err != nil {
			return end, err
		}
		end += int64(frameHead + len(payload))
	}
	return end, nil
}

// readEntry reads one entry; whole is false where there is none with its length and sum.
func readEntry(r *bufio.Reader, head []byte) (payload []byte, whole bool, err error) {
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, false, ended(err)
	}
	size := binary.BigEndian.Uint32(head)
	if size == 0 || size > entryMax {
		return nil, false, nil
	}
	payload = make([]byte, size)
	if _, err := io.ReadFull(r, payload); err != nil {
		return nil, false, ended(err)
	}
	return payload, crc32.Checksum(payload, castagnoli()) == binary.BigEndian.Uint32(head[4:]), nil
}

// ended turns the end of the file into no error.
func ended(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// torn reports whether what begins at a byte is the last, unfinished write: no whole entry
// follows it anywhere.
func torn(f *os.File, from, size int64) bool {
	rest := make([]byte, size-from)
	if _, err := f.ReadAt(rest, from); err != nil && !errors.Is(err, io.EOF) {
		return false
	}
	for at := 1; at+frameHead < len(rest); at++ {
		n := binary.BigEndian.Uint32(rest[at:])
		if n == 0 || uint64(n) > uint64(len(rest)-at-frameHead) {
			continue
		}
		payload := rest[at+frameHead:][:n]
		if crc32.Checksum(payload, castagnoli()) == binary.BigEndian.Uint32(rest[at+4:]) {
			return false
		}
	}
	return true
}

// frameOf returns an entry as it stands in the file.
func (q *queue) frameOf(e *entry) ([]byte, error) {
	payload, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("gate queue: %w", err)
	}
	if len(payload) > entryMax {
		return nil, fmt.Errorf("gate queue: an entry of %d bytes, at most %d", len(payload), entryMax)
	}
	q.buf = binary.BigEndian.AppendUint32(q.buf[:0], uint32(len(payload)))
	q.buf = binary.BigEndian.AppendUint32(q.buf, crc32.Checksum(payload, castagnoli()))
	q.buf = append(q.buf, payload...)
	return q.buf, nil
}

// append adds an entry. After an error the gate must not go on: what is on the disk is known
// at the next start only.
func (q *queue) append(e *entry) error {
	frame, err := q.frameOf(e)
	if err != nil {
		return err
	}
	n, err := q.file.Write(frame)
	q.size += int64(n)
	if err == nil && q.sync {
		err = q.file.Sync()
	}
	if err != nil {
		return fmt.Errorf("gate queue: %w", err)
	}
	return nil
}

// shrink puts one entry in place of all when the file has grown to limit. A kill leaves the old
// file or the new one.
func (q *queue) shrink(limit int64, sum func() *book) error {
	if q.size < limit {
		return nil
	}
	frame, err := q.frameOf(&entry{Kind: entrySum, Sum: sum()})
	if err != nil {
		return err
	}
	path := filepath.Join(q.dir, queueName)
	next, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("gate queue: %w", err)
	}
	_, err = next.Write(frame)
	if err == nil {
		err = next.Sync()
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return fmt.Errorf("gate queue: %w", errors.Join(err, next.Close()))
	}
	old := q.file
	q.file, q.size = next, int64(len(frame))
	return old.Close()
}

// close frees the files.
func (q *queue) close() error {
	var errs []error
	for _, f := range []*os.File{q.file, q.lock} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}
