package run

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"unsafe"

	"github.com/tapswitch/tapswitch/ledger/recon"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const (
	// partitions is their number: 10 million rows leave 40,000 in each.
	partitions = 256
	// blockSize is what is written of a partition at once; buffers take 16 MiB a spill file.
	blockSize = 64 << 10
	// rowMax is the longest row in bytes as spilled; sources hold their lines shorter.
	rowMax = 48 << 10
	// partitionMax is the most bytes of one partition that are loaded: a plan whose key puts more into
	// one of them would not keep the memory bound.
	partitionMax = 1 << 30
)

// errDamaged reports a spill file that is not what was written.
var errDamaged = errors.New("spill file damaged; run again with another folder")

// spill holds rows on disk in partitions. add is safe for concurrent use; once it is sealed, so
// are loaders that read it.
type spill struct {
	mu      sync.Mutex // guards all below until sealed
	file    *os.File
	off     int64
	buffers [partitions][]byte
	blocks  [partitions][]block
	rows    [partitions]int
	total   int64
	scratch []byte
}

type block struct {
	off int64
	n   int
}

// newSpill creates the file, which is gone once it is closed.
func newSpill(dir, name string) (*spill, error) {
	f, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		return nil, fmt.Errorf("cannot spill rows: %w", err)
	}
	return &spill{file: f}, nil
}

// close frees the disk.
func (s *spill) close() error {
	return errors.Join(s.file.Close(), os.Remove(s.file.Name()))
}

// add lays a row into a partition.
func (s *spill) add(part int, r *recon.Row) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scratch = appendRow(s.scratch[:0], r)
	if len(s.scratch) > rowMax {
		return fmt.Errorf("row at line %d has %d bytes, at most %d are kept", r.Line, len(s.scratch), rowMax)
	}
	if len(s.buffers[part])+len(s.scratch) > blockSize {
		if err := s.flushLocked(part); err != nil {
			return err
		}
	}
	if s.buffers[part] == nil {
		s.buffers[part] = make([]byte, 0, blockSize)
	}
	s.buffers[part] = append(s.buffers[part], s.scratch...)
	s.rows[part]++
	s.total++
	return nil
}

func (s *spill) flushLocked(part int) error {
	b := s.buffers[part]
	if len(b) == 0 {
		return nil
	}
	if _, err := s.file.WriteAt(b, s.off); err != nil {
		return fmt.Errorf("cannot spill rows: %w", err)
	}
	s.blocks[part] = append(s.blocks[part], block{s.off, len(b)})
	s.off += int64(len(b))
	s.buffers[part] = b[:0]
	return nil
}

// seal writes what is buffered and frees the buffers.
func (s *spill) seal() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for part := range s.buffers {
		if err := s.flushLocked(part); err != nil {
			return err
		}
		s.buffers[part] = nil
	}
	return nil
}

// loader reads partitions into memory that it uses again.
type loader struct {
	text []byte
	rows []recon.Row
	out  []*recon.Row
}

// load reads a partition in the order of places. Its rows and their texts are valid until the
// next call.
func (l *loader) load(s *spill, part int) ([]*recon.Row, error) {
	size := 0
	for _, b := range s.blocks[part] {
		size += b.n
	}
	if size > partitionMax {
		return nil, fmt.Errorf("%w: a partition of %d bytes: most rows share one key",
			recon.ErrWeakKey, size)
	}
	l.text = slices.Grow(l.text[:0], size)[:size]
	at := 0
	for _, b := range s.blocks[part] {
		if _, err := s.file.ReadAt(l.text[at:at+b.n], b.off); err != nil {
			return nil, fmt.Errorf("%w: %w", errDamaged, err)
		}
		at += b.n
	}
	n := s.rows[part]
	l.rows = slices.Grow(l.rows[:0], n)[:n]
	clear(l.rows)
	l.out = l.out[:0]
	rest := l.text
	for i := range l.rows {
		var err error
		if rest, err = readRow(rest, &l.rows[i]); err != nil {
			return nil, err
		}
		l.out = append(l.out, &l.rows[i])
	}
	if len(rest) > 0 {
		return nil, errDamaged
	}
	slices.SortFunc(l.out, byPlace)
	return l.out, nil
}

func byPlace(a, b *recon.Row) int {
	switch {
	case a.Place == b.Place:
		return 0
	case a.Place.Before(b.Place):
		return -1
	}
	return 1
}

// appendRow writes a row: numbers as varints, a mask of the texts that are there, the texts.
func appendRow(dst []byte, r *recon.Row) []byte {
	dst = binary.AppendUvarint(dst, uint64(r.Source))
	dst = binary.AppendUvarint(dst, r.Line)
	dst = binary.AppendVarint(dst, r.Amount)
	dst = binary.AppendVarint(dst, int64(r.At))
	dst = binary.AppendVarint(dst, int64(r.Received))
	dst = binary.AppendUvarint(dst, uint64(r.Date))
	dst = binary.AppendUvarint(dst, uint64(r.Since))
	dst = binary.AppendUvarint(dst, uint64(r.Currency))
	dst = append(dst, byte(r.Marks))
	mask := uint64(0)
	for f, t := range r.Text {
		if t != "" {
			mask |= 1 << f
		}
	}
	if r.Carried != "" {
		mask |= carriedBit
	}
	dst = binary.AppendUvarint(dst, mask)
	for _, t := range r.Text {
		if t != "" {
			dst = append(binary.AppendUvarint(dst, uint64(len(t))), t...)
		}
	}
	if r.Carried != "" {
		dst = append(binary.AppendUvarint(dst, uint64(len(r.Carried))), r.Carried...)
	}
	return dst
}

const carriedBit = 1 << recon.TextCount

// reader takes values off a buffer and remembers that one was not there.
type reader struct {
	b   []byte
	bad bool
}

func (d *reader) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.bad, n = true, 0
	}
	d.b = d.b[n:]
	return v
}

func (d *reader) int() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.bad, n = true, 0
	}
	d.b = d.b[n:]
	return v
}

// text cuts a text out of the buffer, which is not written while the row is in use.
func (d *reader) text() string {
	n := d.uint()
	if n == 0 || n > uint64(len(d.b)) {
		d.bad = true
		return ""
	}
	s := unsafe.String(&d.b[0], int(n))
	d.b = d.b[n:]
	return s
}

// readRow is the inverse of appendRow and returns what follows.
func readRow(b []byte, r *recon.Row) ([]byte, error) {
	d := reader{b: b}
	r.Source, r.Line, r.Amount = uint16(d.uint()), d.uint(), d.int()
	r.At, r.Received = txn.Millis(d.int()), txn.Millis(d.int())
	r.Date, r.Since = txn.BusinessDate(d.uint()), txn.BusinessDate(d.uint())
	r.Currency = txn.Currency(d.uint())
	if len(d.b) == 0 {
		return nil, errDamaged
	}
	r.Marks, d.b = recon.Marks(d.b[0]), d.b[1:]
	mask := d.uint()
	for f := range recon.TextCount {
		if mask&(1<<f) != 0 {
			r.Text[f] = d.text()
		}
	}
	if mask&carriedBit != 0 {
		r.Carried = d.text()
	}
	if d.bad {
		return nil, errDamaged
	}
	return d.b, nil
}
