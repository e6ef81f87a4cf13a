package local

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/parquet-go/parquet-go"

	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// readRows is how many rows of a part are read at a time.
const readRows = 256

// contextRows is how many rows pass between two looks at the context.
const contextRows = 1024

// Records implements warehouse.Reader.
func (w *Warehouse) Records(
	ctx context.Context, f warehouse.Filter, yield func(*txn.Record) error,
) error {
	if err := w.enter(ctx); err != nil {
		return err
	}
	defer w.leave()
	parts := w.take(f.MatchesDate)
	defer w.give(parts)
	for len(parts) > 0 {
		n := 1
		for n < len(parts) && parts[n].Date == parts[0].Date {
			n++
		}
		err := w.merge(ctx, parts[:n], f, func(row *warehouse.Row) error {
			r, err := row.Record()
			if err != nil {
				return err
			}
			return yield(&r)
		})
		if err != nil {
			return err
		}
		parts = parts[n:]
	}
	return nil
}

// merge calls yield for the matching rows of all parts in order of position. The row
// itself is only valid until yield returns; its strings and slices last.
func (w *Warehouse) merge(
	ctx context.Context, parts []part, f warehouse.Filter, yield func(*warehouse.Row) error,
) (err error) {
	var runs runHeap
	defer func() {
		for _, r := range runs {
			err = errors.Join(err, r.close())
		}
	}()
	for i := range parts {
		r, err := openRun(parts[i].path(w.dir), f)
		if err != nil {
			return err
		}
		runs = append(runs, r)
	}
	if runs, err = runs.begin(); err != nil {
		return err
	}
	for n := 0; len(runs) > 0; n++ {
		if n%contextRows == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if err := yield(runs[0].row()); err != nil {
			return err
		}
		if err := runs.advance(); err != nil {
			return err
		}
	}
	return nil
}

// run reads the rows of one part that match, in order.
type run struct {
	path   string
	file   *os.File
	reader *parquet.GenericReader[warehouse.Row]
	// rows[at:have] are read and not yet given out.
	rows     []warehouse.Row
	at, have int
	// wanted are the row numbers to read, ascending; all is true for every row.
	wanted []int64
	all    bool
}

// openRun opens a part for reading in order. With a filter by more than the date it first finds the
// rows by their columns, and then reads only those.
func openRun(path string, f warehouse.Filter) (*run, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w: cannot open a part: %w", warehouse.ErrDamaged, err)
	}
	r := &run{path: path, file: file, all: !f.Sifts(),
		rows: make([]warehouse.Row, readRows)}
	if !r.all {
		err := r.guarded(func() (err error) {
			r.wanted, err = findRows(file, f)
			return err
		})
		if err != nil {
			return nil, errors.Join(fmt.Errorf("cannot search %s: %w", path, err), file.Close())
		}
		r.rows = r.rows[:1]
	}
	if r.all || len(r.wanted) > 0 {
		if err := r.begin(); err != nil {
			return nil, errors.Join(err, file.Close())
		}
	}
	return r, nil
}

// begin opens the rows of the part.
func (r *run) begin() error {
	return r.guarded(func() error {
		r.reader = parquet.NewGenericReader[warehouse.Row](r.file)
		return nil
	})
}

// guarded calls into the library, which panics on much of what a damaged file holds. A damaged
// part is an error of whoever reads it; the process goes on for the taps.
func (r *run) guarded(call func() error) (err error) {
	defer func() {
		if why := recover(); why != nil {
			err = fmt.Errorf("%w: cannot read %s: %v; restore the file from a copy", warehouse.ErrDamaged,
				r.path, why)
		}
	}()
	return call()
}

// read fills rows with the next ones.
func (r *run) read() (n int, err error) {
	err = r.guarded(func() (err error) {
		n, err = r.reader.Read(r.rows)
		return err
	})
	return n, err
}

// row returns the row that the run stands at.
func (r *run) row() *warehouse.Row { return &r.rows[r.at] }

// next moves to the next row and reports whether there is one.
func (r *run) next() (bool, error) {
	r.at++
	if r.at < r.have {
		return true, nil
	}
	if !r.all {
		if len(r.wanted) == 0 {
			return false, nil
		}
		if err := r.guarded(func() error { return r.reader.SeekToRow(r.wanted[0]) }); err != nil {
			return false, fmt.Errorf("cannot seek in %s: %w", r.path, err)
		}
		r.wanted = r.wanted[1:]
	}
	clear(r.rows) // the reader reuses slices that it finds, and callers keep them
	n, err := r.read()
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("%w: cannot read %s: %w", warehouse.ErrDamaged, r.path, err)
	}
	r.at, r.have = 0, n
	return n > 0, nil
}

// close frees the reader and the file.
func (r *run) close() error {
	var err error
	if r.reader != nil {
		err = r.guarded(r.reader.Close)
	}
	return errors.Join(err, r.file.Close())
}

// runHeap has the run with the least row on top.
type runHeap []*run

// begin reads the first row of every run and drops the empty ones.
func (h runHeap) begin() (runHeap, error) {
	kept := h[:0]
	var first error
	for i, r := range h {
		r.at, r.have = -1, 0
		more, err := r.next()
		if err == nil && more {
			kept = append(kept, r)
			continue
		}
		if first = errors.Join(first, err, r.close()); first != nil {
			return append(kept, h[i+1:]...), first
		}
	}
	heap.Init(&kept)
	return kept, nil
}

// advance moves the top run on and closes it at its end.
func (h *runHeap) advance() error {
	top := (*h)[0]
	more, err := top.next()
	if err != nil {
		return err
	}
	if more {
		heap.Fix(h, 0)
		return nil
	}
	heap.Pop(h)
	return top.close()
}

// Len implements heap.Interface.
func (h runHeap) Len() int { return len(h) }

// Less implements heap.Interface.
func (h runHeap) Less(i, j int) bool {
	a, b := h[i].row(), h[j].row()
	switch {
	case a.Bucket != b.Bucket:
		return a.Bucket < b.Bucket
	case a.Epoch != b.Epoch:
		return a.Epoch < b.Epoch
	default:
		return a.Seq < b.Seq
	}
}

// Swap implements heap.Interface.
func (h runHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *runHeap) Push(x any) { *h = append(*h, x.(*run)) }

// Pop implements heap.Interface.
func (h *runHeap) Pop() any {
	old := *h
	r := old[len(old)-1]
	*h = old[:len(old)-1]
	return r
}
