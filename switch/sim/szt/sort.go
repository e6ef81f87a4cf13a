package szt

import (
	"bufio"
	"cmp"
	"container/heap"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// runRows is how many rows are sorted in memory at a time, about 60 MB.
const runRows = 250_000

// Sums are what a file itself says, for one operator or for all.
type Sums struct {
	Rows     int       `json:"file_rows"`
	FullFare txn.Minor `json:"file_full_fare"`
	Charged  txn.Minor `json:"file_charged"`
}

func (s *Sums) add(full, charged txn.Minor) error {
	s.Rows++
	var err1, err2 error
	s.FullFare, err1 = s.FullFare.Add(full)
	s.Charged, err2 = s.Charged.Add(charged)
	return errors.Join(err1, err2)
}

// Sorted is a file in the order of time; rows of the same second keep the file's order.
type Sorted struct {
	// Rows counts the rows that can be replayed, Rejects names the others.
	Rows    int
	Rejects []Reject
	// File are the sums of all rows, the rejected included as far as they can be read;
	// ByCompany the same by operator.
	File      Sums
	ByCompany map[string]*Sums
	// First and Last are the times of the first and the last row; zero without rows.
	First, Last time.Time

	names   names
	runRows int
	runs    []*os.File
	last    []Row // the last run, still in memory
}

// names keeps each string once.
type names struct {
	index map[string]uint32
	text  []string
}

func (n *names) number(s string) uint32 {
	if i, ok := n.index[s]; ok {
		return i
	}
	s = strings.Clone(s) // s is a part of its line, which would stay with it
	i := uint32(len(n.text))
	n.text = append(n.text, s)
	n.index[s] = i
	return i
}

// Sort reads a whole file and sorts it by time, with runs in unnamed files of dir when it
// is longer than one run. progress, if not nil, is told the rows read so far. The caller
// closes the result, unless there is an error.
func Sort(ctx context.Context, r io.Reader, dir string, progress func(int)) (*Sorted, error) {
	s := &Sorted{runRows: runRows}
	return s, s.sort(ctx, r, dir, progress)
}

func (s *Sorted) sort(ctx context.Context, r io.Reader, dir string, progress func(int)) error {
	s.ByCompany, s.names.index = map[string]*Sums{}, map[string]uint32{}
	p, err := NewParser(r)
	if err != nil {
		return err
	}
	if err := s.read(ctx, p, dir, progress); err != nil {
		return errors.Join(err, s.Close())
	}
	sortRun(s.last)
	return nil
}

func (s *Sorted) read(ctx context.Context, p *Parser, dir string, progress func(int)) error {
	for {
		row, reject, err := p.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading taps: %w", err)
		}
		if reject != nil {
			s.Rejects = append(s.Rejects, *reject)
			err = s.sum(reject.Company, reject.FullFare, reject.Charged)
		} else {
			err = errors.Join(s.sum(row.Company, row.FullFare, row.Charged), s.keep(row, dir))
		}
		if err != nil {
			return err
		}
		if s.File.Rows > RowsMax {
			return fmt.Errorf("%w: more than %d rows; split the file", ErrFormat, RowsMax)
		}
		if s.File.Rows%4096 == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			if progress != nil {
				progress(s.File.Rows)
			}
		}
	}
}

func (s *Sorted) sum(company string, full, charged txn.Minor) error {
	c := s.ByCompany[company]
	if c == nil {
		c = &Sums{}
		s.ByCompany[company] = c
	}
	if err := errors.Join(s.File.add(full, charged), c.add(full, charged)); err != nil {
		return fmt.Errorf("sums of the file: %w", err)
	}
	return nil
}

func (s *Sorted) keep(row Row, dir string) error {
	s.Rows++
	if s.First.IsZero() || row.At.Before(s.First) {
		s.First = row.At
	}
	if row.At.After(s.Last) {
		s.Last = row.At
	}
	for _, text := range [...]*string{&row.Card, &row.Reader, &row.Company, &row.Station,
		&row.Vehicle, &row.Transfer, &row.Closed} {
		*text = s.names.text[s.names.number(*text)]
	}
	s.last = append(s.last, row)
	if len(s.last) < s.runRows {
		return nil
	}
	sortRun(s.last)
	run, err := s.spill(dir)
	if err != nil {
		return fmt.Errorf("sorting taps: %w", err)
	}
	s.runs = append(s.runs, run)
	s.last = s.last[:0]
	return nil
}

func before(a, b *Row) int {
	return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Line, b.Line))
}

func sortRun(rows []Row) {
	slices.SortFunc(rows, func(a, b Row) int { return before(&a, &b) })
}

// spill writes the sorted run in memory to an unnamed file.
func (s *Sorted) spill(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "taps-*.run")
	if err != nil {
		return nil, err
	}
	// The file lives as long as it is open.
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	w := bufio.NewWriterSize(f, 1<<20)
	var b []byte
	for i := range s.last {
		b = s.encode(b[:0], &s.last[i])
		_, _ = w.Write(b) // the error stays and comes with Flush
	}
	if err := w.Flush(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	_, err = f.Seek(0, io.SeekStart)
	return f, err
}

// encode writes a row as varints; its strings as their numbers.
func (s *Sorted) encode(b []byte, r *Row) []byte {
	b = append(b, byte(r.Kind))
	for _, v := range [...]uint64{uint64(r.Line), uint64(r.At.Unix()), uint64(r.Charged),
		uint64(r.FullFare)} {
		b = binary.AppendUvarint(b, v)
	}
	for _, text := range [...]string{r.Card, r.Reader, r.Company, r.Station, r.Vehicle,
		r.Transfer, r.Closed} {
		b = binary.AppendUvarint(b, uint64(s.names.index[text]))
	}
	return b
}

func (s *Sorted) decode(in *bufio.Reader) (Row, error) {
	kind, err := in.ReadByte()
	if err != nil {
		return Row{}, err
	}
	var v [11]uint64
	for i := range v {
		if v[i], err = binary.ReadUvarint(in); err != nil {
			return Row{}, fmt.Errorf("run of sorted taps: %w", err)
		}
	}
	text := func(i uint64) string { return s.names.text[i] }
	return Row{Kind: txn.Kind(kind), Line: int(v[0]), At: time.Unix(int64(v[1]), 0).In(Zone()),
		Charged: txn.Minor(v[2]), FullFare: txn.Minor(v[3]), Card: text(v[4]), Reader: text(v[5]),
		Company: text(v[6]), Station: text(v[7]), Vehicle: text(v[8]), Transfer: text(v[9]),
		Closed: text(v[10])}, nil
}

// All calls yield for every row in order, until it returns an error, which it returns. It
// can be called once.
func (s *Sorted) All(yield func(*Row) error) error {
	var m merge
	for _, run := range s.runs {
		in := bufio.NewReaderSize(run, 256<<10)
		m.sources = append(m.sources, &source{next: func() (Row, error) { return s.decode(in) }})
	}
	rest := s.last
	m.sources = append(m.sources, &source{next: func() (Row, error) {
		if len(rest) == 0 {
			return Row{}, io.EOF
		}
		row := rest[0]
		rest = rest[1:]
		return row, nil
	}})
	return m.run(yield)
}

// Close frees the files.
func (s *Sorted) Close() error {
	var errs []error
	for _, run := range s.runs {
		errs = append(errs, run.Close())
	}
	s.runs = nil
	return errors.Join(errs...)
}

// merge is a heap of sorted runs by their first row.
type merge struct{ sources []*source }

type source struct {
	next func() (Row, error)
	row  Row
}

func (m *merge) Len() int           { return len(m.sources) }
func (m *merge) Less(i, j int) bool { return before(&m.sources[i].row, &m.sources[j].row) < 0 }
func (m *merge) Swap(i, j int)      { m.sources[i], m.sources[j] = m.sources[j], m.sources[i] }

// Push is not needed: runs only leave.
func (m *merge) Push(any) { panic("szt: internal error: a run joined the merge") }

// Pop removes the last run.
func (m *merge) Pop() any {
	last := m.sources[len(m.sources)-1]
	m.sources = m.sources[:len(m.sources)-1]
	return last
}

func (m *merge) run(yield func(*Row) error) error {
	open := m.sources[:0]
	for _, s := range m.sources {
		row, err := s.next()
		if errors.Is(err, io.EOF) {
			continue
		}
		if err != nil {
			return err
		}
		s.row = row
		open = append(open, s)
	}
	m.sources = open
	heap.Init(m)
	for len(m.sources) > 0 {
		s := m.sources[0]
		if err := yield(&s.row); err != nil {
			return err
		}
		row, err := s.next()
		switch {
		case errors.Is(err, io.EOF):
			heap.Pop(m)
			continue
		case err != nil:
			return err
		}
		s.row = row
		heap.Fix(m, 0)
	}
	return nil
}
