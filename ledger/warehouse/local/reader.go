package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// readTriesMax bounds how often a reader begins again because the writer had joined the
// parts that it was about to read. Joins are seconds apart.
const readTriesMax = 10

var _ warehouse.Reader = (*Reader)(nil)

// Reader reads the warehouse beside the process that writes it, without its lock: each call
// sees the parts that the manifest named at its beginning. Safe for concurrent use.
type Reader struct{ dir string }

// OpenReader returns a reader of the warehouse in dir. It returns an error that wraps
// fs.ErrNotExist when there is none.
func OpenReader(dir string) (*Reader, error) {
	if _, err := os.Stat(filepath.Join(dir, manifestName)); err != nil {
		return nil, fmt.Errorf("no warehouse in %s: %w", dir, err)
	}
	return &Reader{dir: dir}, nil
}

// Totals implements warehouse.Reader.
func (r *Reader) Totals(
	ctx context.Context, date txn.BusinessDate,
) (t warehouse.Totals, err error) {
	err = r.read(func(w *Warehouse) (err error) {
		t, err = w.Totals(ctx, date)
		return err
	})
	return t, err
}

// Records implements warehouse.Reader. When the writer joins parts meanwhile it goes on in the
// joined part where it was: the order of records does not depend on the parts.
func (r *Reader) Records(
	ctx context.Context, f warehouse.Filter, yield func(*txn.Record) error,
) error {
	var last txn.Record // the last one yielded; its date and position say where to go on
	begun := false
	var refused error // by yield: no reason to begin again
	err := r.read(func(w *Warehouse) error {
		again, reached := begun, last
		err := w.Records(ctx, f, func(rec *txn.Record) error {
			if again && !follows(rec, &reached) {
				return nil
			}
			again = false // from here on also what stands twice or out of order, as it is in the parts
			begun, last = true, txn.Record{BusinessDate: rec.BusinessDate, Position: rec.Position}
			refused = yield(rec)
			return refused
		})
		if refused != nil {
			return nil
		}
		return err
	})
	return errors.Join(refused, err)
}

// follows reports whether a comes after b in the order of Records.
func follows(a, b *txn.Record) bool {
	if a.BusinessDate != b.BusinessDate {
		return a.BusinessDate > b.BusinessDate
	}
	if a.Position.Bucket != b.Position.Bucket {
		return a.Position.Bucket > b.Position.Bucket
	}
	return b.Position.Before(a.Position)
}

// DeadLetters implements warehouse.Reader.
func (r *Reader) DeadLetters(ctx context.Context) (open []warehouse.DeadLetter, err error) {
	err = r.read(func(w *Warehouse) (err error) {
		open, err = w.DeadLetters(ctx)
		return err
	})
	return open, err
}

// read calls f with the warehouse as the manifest shows it now, and again when a part that
// it names is gone by then.
func (r *Reader) read(f func(*Warehouse) error) error {
	var err error
	for range readTriesMax {
		var s state
		if s, _, err = readManifest(r.dir); err != nil {
			return err
		}
		w := &Warehouse{dir: r.dir, disk: &disk{}, log: slog.New(slog.DiscardHandler), state: s,
			refs: make(map[uint64]int), leaves: make(map[uint64]part)}
		if err = f(w); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return err
}
