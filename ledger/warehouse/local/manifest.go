package local

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const (
	manifestName = "MANIFEST"
	tempSuffix   = ".tmp"
	// undated is the folder of the markers that open a bucket before its first date.
	undated = "undated"
	// manifestFormat is written into every line that carries a whole state; a greater
	// one is refused.
	manifestFormat = 1
	// manifestLinesMax is how many lines gather before the manifest is written anew:
	// an hour of flushes, a few megabytes.
	manifestLinesMax = 4096
)

// part is one Parquet file as the manifest knows it.
type part struct {
	ID    uint64           `json:"id"`
	Date  txn.BusinessDate `json:"date"`
	Rows  int64            `json:"rows"`
	Bytes int64            `json:"bytes"`
}

// path returns where the part lies.
func (p *part) path(dir string) string {
	folder := undated
	if p.Date != 0 {
		folder = p.Date.String()
	}
	return filepath.Join(dir, folder, fmt.Sprintf("part-%08d.parquet", p.ID))
}

// bucketMark is what a line says about one bucket.
type bucketMark struct {
	Bucket txn.Bucket       `json:"b"`
	Epoch  txn.Epoch        `json:"e"`
	Seq    txn.Seq          `json:"s"`
	Closed txn.BusinessDate `json:"c,omitempty"`
}

// edit is one line of the manifest. A line with Format stands alone: it replaces
// everything before it.
type edit struct {
	Number   uint64                 `json:"n"`
	Format   int                    `json:"format,omitempty"`
	Add      []part                 `json:"add,omitempty"`
	Drop     []uint64               `json:"drop,omitempty"`
	Buckets  []bucketMark           `json:"buckets,omitempty"`
	Dead     []warehouse.DeadLetter `json:"dead,omitempty"`
	Repaired []txn.Position         `json:"repaired,omitempty"`
}

// state is what the lines of a manifest add up to.
type state struct {
	number uint64
	parts  map[uint64]part
	nextID uint64
	seq    warehouse.Sequence
	// closed is the greatest business date that a marker closed, by bucket.
	closed [txn.BucketCount]txn.BusinessDate
	dead   []warehouse.DeadLetter // open ones, in order of arrival
	// source holds the sources of all dead letters kept, open or not.
	sources map[string]bool
}

// newState returns the state of an empty warehouse.
func newState() state {
	return state{parts: make(map[uint64]part), nextID: 1,
		seq: warehouse.NewSequence(warehouse.Positions{}), sources: make(map[string]bool)}
}

// apply adds one line. It refuses a line that does not follow the one before.
func (s *state) apply(e *edit) error {
	if e.Format > manifestFormat {
		return fmt.Errorf("format %d, this version reads up to %d", e.Format, manifestFormat)
	}
	if e.Format == 0 && e.Number != s.number+1 {
		return fmt.Errorf("line %d follows line %d", e.Number, s.number)
	}
	if e.Format != 0 {
		*s = newState()
	}
	s.number = e.Number
	for _, id := range e.Drop {
		if _, ok := s.parts[id]; !ok {
			return fmt.Errorf("line %d drops part %d, which is not there", e.Number, id)
		}
		delete(s.parts, id)
	}
	for _, p := range e.Add {
		s.parts[p.ID] = p
		s.nextID = max(s.nextID, p.ID+1)
	}
	s.applyBuckets(e.Buckets)
	for _, d := range e.Dead {
		s.dead = append(s.dead, d)
		s.sources[d.Source] = true
	}
	for _, p := range e.Repaired {
		s.closeLetter(p)
	}
	return nil
}

// applyBuckets moves positions and closed dates on.
func (s *state) applyBuckets(marks []bucketMark) {
	held := s.seq.Held()
	for _, m := range marks {
		held[m.Bucket] = txn.Position{Bucket: m.Bucket, Epoch: m.Epoch, Seq: m.Seq}
		s.closed[m.Bucket] = max(s.closed[m.Bucket], m.Closed)
	}
	s.seq = warehouse.NewSequence(held)
}

// closeLetter drops the open letter in the place of a record that has arrived.
func (s *state) closeLetter(p txn.Position) {
	for i := range s.dead {
		if s.dead[i].Position == p {
			s.dead = append(s.dead[:i:i], s.dead[i+1:]...)
			return
		}
	}
}

// openLetter reports whether a dead letter holds the place of p.
func (s *state) openLetter(p txn.Position) bool {
	for i := range s.dead {
		if s.dead[i].Position == p {
			return true
		}
	}
	return false
}

// whole returns the state as one line that stands alone. Sources of closed letters are
// left out: their places are held.
func (s *state) whole() edit {
	e := edit{Number: s.number, Format: manifestFormat, Dead: s.dead}
	for _, p := range s.parts {
		e.Add = append(e.Add, p)
	}
	for b, p := range s.seq.Held() {
		e.Buckets = append(e.Buckets, bucketMark{Bucket: txn.Bucket(b), Epoch: p.Epoch,
			Seq: p.Seq, Closed: s.closed[b]})
	}
	return e
}

// manifest is the open log. Its owner calls one method at a time.
type manifest struct {
	disk  *disk
	path  string
	file  *os.File // nil after a failure: write it anew first
	lines int
}

// castagnoli is the polynomial that processors compute in hardware.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// encodeLine writes an edit as one line: checksum, space, JSON.
func encodeLine(e *edit) ([]byte, error) {
	body, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("cannot encode manifest line %d: %w", e.Number, err)
	}
	line := fmt.Appendf(nil, "%08x ", crc32.Checksum(body, castagnoli()))
	return append(append(line, body...), '\n'), nil
}

// decodeLine reads what encodeLine wrote, without its end of line.
func decodeLine(line []byte) (edit, error) {
	var e edit
	sum, body, ok := bytes.Cut(line, []byte{' '})
	want, err := strconv.ParseUint(string(sum), 16, 32)
	if !ok || err != nil || crc32.Checksum(body, castagnoli()) != uint32(want) {
		return e, errors.New("checksum is wrong")
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return e, fmt.Errorf("cannot be read: %w", err)
	}
	return e, nil
}

// readManifest returns the state of the manifest in dir; found is false when there is
// none. A last line without its end is left out: it was never confirmed.
func readManifest(dir string) (s state, found bool, err error) {
	s = newState()
	raw, err := os.ReadFile(filepath.Join(dir, manifestName))
	if errors.Is(err, fs.ErrNotExist) {
		return s, false, nil
	}
	if err != nil {
		return s, false, fmt.Errorf("cannot read the manifest of %s: %w", dir, err)
	}
	for n := 1; ; n++ {
		line, rest, whole := bytes.Cut(raw, []byte{'\n'})
		if !whole {
			break
		}
		e, err := decodeLine(line)
		if err == nil && n == 1 && e.Format == 0 {
			err = errors.New("does not begin with a whole state")
		}
		if err == nil {
			err = s.apply(&e)
		}
		if err != nil {
			return s, true,
				fmt.Errorf("%w: manifest of %s, line %d: %w; restore the folder from a copy",
					warehouse.ErrDamaged, dir, n, err)
		}
		raw = rest
	}
	if s.number == 0 {
		return s, true, fmt.Errorf("%w: manifest of %s is empty", warehouse.ErrDamaged, dir)
	}
	return s, true, nil
}

// rewrite replaces the log by one line with the whole state s, and opens it.
func (m *manifest) rewrite(s *state) error {
	if m.file != nil {
		if err := m.file.Close(); err != nil {
			return fmt.Errorf("cannot close the manifest: %w", err)
		}
		m.file = nil
	}
	e := s.whole()
	line, err := encodeLine(&e)
	if err != nil {
		return err
	}
	m.file, err = m.disk.replace(m.path, line)
	m.lines = 1
	return err
}

// append adds one durable line. After an error the line may be there or not; the
// manifest must be rewritten before the next one.
func (m *manifest) append(e *edit) error {
	line, err := encodeLine(e)
	if err != nil {
		return err
	}
	err = m.disk.write(m.file, line)
	if err == nil {
		err = m.disk.sync(m.file)
	}
	if err != nil {
		err = errors.Join(fmt.Errorf("cannot append to the manifest: %w", err), m.file.Close())
		m.file = nil
		return err
	}
	m.lines++
	return nil
}

// close closes the file, if it is open.
func (m *manifest) close() error {
	if m.file == nil {
		return nil
	}
	err := m.file.Close()
	m.file = nil
	return err
}
