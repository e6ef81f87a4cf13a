package list

import (
	"bufio"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// The past is a file in which the history outlives the process: what was listed at one epoch,
// the epochs before it that deltas are made from, and every epoch since, each with what it
// changed. After a start the content of the last epoch is made from it and held against what
// the store says now; the difference is what the first epoch of the new process changed. So
// nothing has to be known of the time between, and a delta is exact whatever happened in it.
//
// All integers are big-endian. The file is a sequence of frames: kind (1), length (4), payload,
// CRC-32C of the three (4). Payloads:
//
//	1 head     "TAPSPAST", version, scheme (16), key id (16), the scopes (2 each)
//	2 process  its id (16): who wrote what follows
//	3 epoch    number (8), made at (8), of each scope count, wide and narrow check (24),
//	           then each change: token (16), scopes before and after of the card (2, 2), and of
//	           all cards with the same first half (2, 2)
//	4 cards    of one bucket in order: token (16), scopes (2)
//	5 content  empty: the cards before it are the content of the epoch before them
//
// In this order: head, process, epochs, cards, content, then epochs and processes as they come.
// A frame that is not whole, and all behind it, counts as not there.
const (
	frameHead byte = iota + 1
	frameProcess
	frameEpoch
	frameCards
	frameContent
)

const (
	pastMagic   = "TAPSPAST"
	pastVersion = 1
	pastName    = "gates.past"
	frameExtra  = 1 + 4 + 4
	epochExtra  = 8 + 8
	sumBytes    = 3 * 8
	cardBytes   = Wide + 2
	// cardsMax is how many cards a frame holds.
	cardsMax = 4096
	// pastSlack is how far the file may grow beyond twice its first length before it is made
	// anew without what is no longer needed.
	pastSlack = 64 << 20
	// pastRetry is how long nothing is kept after a fault of the disk, which may be full: what
	// is written there counts more than this.
	pastRetry = time.Minute
	// pastSync is the least time between two syncs, which share the disk with the store's.
	pastSync = 5 * time.Second
	// pastRoom is how much memory for a frame is kept from one epoch to the next.
	pastRoom = 1 << 20
)

// processID names a process that publishes. The registry says whose the last epoch is, so that
// only the file of that process, or of its successors, is taken for the past of the store.
type processID [16]byte

func newProcessID() (id processID) {
	_, _ = rand.Read(id[:]) // it never fails
	return id
}

// past writes the file. Only Step uses it.
type past struct {
	path string // "" keeps nothing
	head []byte
	id   processID
	// through, when not nil, stands between the past and its file.
	through func(io.Writer) io.Writer

	file    *os.File // nil while nothing is kept
	out     io.Writer
	size    int64
	whole   int64 // size when it was written as a whole
	dirty   bool  // something is not synced
	synced  time.Time
	retryAt time.Time
	buf     []byte
}

func (f *past) init(o *Options) error {
	if o.HistoryDir == "" {
		return nil
	}
	if err := os.MkdirAll(o.HistoryDir, 0o700); err != nil {
		return fmt.Errorf("list: the directory of the history cannot be made: %w", err)
	}
	f.path, f.id = filepath.Join(o.HistoryDir, pastName), newProcessID()
	f.head = append([]byte(pastMagic), pastVersion)
	for _, name := range []string{o.Scheme, o.KeyID} {
		var padded [NameMax]byte
		copy(padded[:], name)
		f.head = append(f.head, padded[:]...)
	}
	for _, app := range o.Scopes {
		f.head = binary.BigEndian.AppendUint16(f.head, uint16(app))
	}
	return nil
}

// begin makes room for a frame in dst; end completes it from there.
func begin(dst []byte, kind byte) []byte { return append(dst, kind, 0, 0, 0, 0) }

func end(dst []byte, from int) []byte {
	binary.BigEndian.PutUint32(dst[from+1:], uint32(len(dst)-from-5))
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[from:], castagnoli()))
}

// castagnoli is the polynomial for which processors have an instruction. The table is made once.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

func appendFrame(dst []byte, kind byte, payload []byte) []byte {
	from := len(dst)
	return end(append(begin(dst, kind), payload...), from)
}

func appendState(dst []byte, s *state) []byte {
	from := len(dst)
	dst = begin(dst, frameEpoch)
	dst = binary.BigEndian.AppendUint64(dst, uint64(s.epoch))
	dst = binary.BigEndian.AppendUint64(dst, uint64(s.at))
	for _, sum := range s.summaries {
		dst = binary.BigEndian.AppendUint64(dst, sum.count)
		dst = binary.BigEndian.AppendUint64(dst, sum.check.Wide)
		dst = binary.BigEndian.AppendUint64(dst, sum.check.Narrow)
	}
	for i := range s.ops {
		o := &s.ops[i]
		dst = append(dst, o.card[:]...)
		for _, scope := range [...]txn.App{o.old, o.new, o.prefixOld, o.prefixNew} {
			dst = binary.BigEndian.AppendUint16(dst, uint16(scope))
		}
	}
	return end(dst, from)
}

func appendCards(dst []byte, c *content, first, last int) []byte {
	from := len(dst)
	dst = begin(dst, frameCards)
	for i := first; i < last; i++ {
		dst = append(dst, c.tokens[i][:]...)
		dst = binary.BigEndian.AppendUint16(dst, uint16(c.scopes[i]))
	}
	return end(dst, from)
}

// add appends an epoch, before a gate can see it: what a gate holds is then in the file.
func (f *past) add(h *history) error {
	last := len(h.states) - 1
	if f.file == nil || last == 0 { // it does not follow on what is there: settle begins anew
		return nil
	}
	f.buf = appendState(f.buf[:0], &h.states[last])
	n, err := f.out.Write(f.buf)
	f.size, f.dirty = f.size+int64(n), true
	if cap(f.buf) > pastRoom {
		f.buf = nil
	}
	if err != nil {
		return f.fail(err)
	}
	return nil
}

// fail gives the file up, so that a full disk is left to those who need it more. Gates take
// full files after the next start.
func (f *past) fail(err error) error {
	f.retryAt = time.Now().Add(pastRetry)
	if f.file != nil {
		_ = f.file.Close() // it failed already
		f.file = nil
	}
	for _, path := range []string{f.path, f.path + partEnd} {
		if gone := os.Remove(path); gone != nil && !errors.Is(gone, os.ErrNotExist) {
			err = errors.Join(err, gone)
		}
	}
	return fmt.Errorf("list: the history of epochs cannot be kept for a restart, "+
		"tried again after %v: %w", pastRetry, err)
}

// rest makes durable what was added, at most once in pastSync: a process that is killed loses
// nothing of it, a power cut what came since.
func (f *past) rest() error {
	if f.file == nil || !f.dirty || time.Since(f.synced) < pastSync {
		return nil
	}
	if err := f.file.Sync(); err != nil {
		return f.fail(err)
	}
	f.dirty, f.synced = false, time.Now()
	return nil
}

// settle makes durable what was added, or makes the file anew when there is none, when it holds
// little that is still needed, or when what was added does not follow on what is there.
func (f *past) settle(h *history, m *master) error {
	switch {
	case f.path == "":
		return nil
	case f.file != nil && len(h.states) > 1 && f.size <= 2*f.whole+pastSlack:
		return f.rest()
	case f.file == nil && time.Now().Before(f.retryAt):
		return nil
	}
	if err := f.write(h, m); err != nil {
		return f.fail(err)
	}
	return nil
}

// write puts a whole file in place of the one before.
func (f *past) write(h *history, m *master) error {
	file, err := os.OpenFile(f.path+partEnd, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	old := f.file
	f.open(file)
	if old != nil {
		_ = old.Close() // the new file takes its place
	}
	if err := f.fill(h, m); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	f.whole, f.dirty, f.synced = f.size, false, time.Now()
	return os.Rename(f.path+partEnd, f.path)
}

func (f *past) open(file *os.File) {
	f.file, f.out, f.size = file, file, 0
	if f.through != nil {
		f.out = f.through(file)
	}
}

// fill writes everything that is needed to go on from the present epoch.
func (f *past) fill(h *history, m *master) error {
	w := bufio.NewWriterSize(f.out, pastRoom)
	put := func(frame []byte) error {
		f.buf = frame[:0]
		n, err := w.Write(frame)
		f.size += int64(n)
		return err
	}
	err := put(appendFrame(f.buf[:0], frameHead, f.head))
	err = errors.Join(err, put(appendFrame(f.buf[:0], frameProcess, f.id[:])))
	for i := range h.states {
		if err != nil {
			return err
		}
		err = put(appendState(f.buf[:0], &h.states[i]))
	}
	for b := range m.buckets {
		c := &m.buckets[b]
		for i := 0; i < len(c.tokens) && err == nil; i += cardsMax {
			err = put(appendCards(f.buf[:0], c, i, min(i+cardsMax, len(c.tokens))))
		}
	}
	if err != nil {
		return err
	}
	if err := put(appendFrame(f.buf[:0], frameContent, nil)); err != nil {
		return err
	}
	return w.Flush()
}

// resume goes on in a file that was read, behind its last whole frame.
func (f *past) resume(size int64) error {
	file, err := os.OpenFile(f.path, os.O_WRONLY, 0o600)
	if err != nil {
		return f.fail(err)
	}
	f.open(file)
	err = file.Truncate(size)
	if err == nil {
		_, err = file.Seek(size, io.SeekStart)
	}
	if err == nil {
		_, err = f.out.Write(appendFrame(nil, frameProcess, f.id[:]))
	}
	if err != nil {
		return f.fail(err)
	}
	f.size, f.dirty = size+frameExtra+int64(len(f.id)), true
	f.whole = f.size
	return nil
}
