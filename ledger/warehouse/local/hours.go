package local

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/txn"
)

var _ warehouse.Hourly = (*Warehouse)(nil)

// Hours implements warehouse.Hourly. It reads one part after the other, since what it is for
// can wait and a purchase cannot.
func (w *Warehouse) Hours(ctx context.Context, date txn.BusinessDate, begin txn.Millis) (
	h warehouse.Hours, err error) {
	if err := w.enter(ctx); err != nil {
		return h, err
	}
	defer w.leave()
	parts := w.take(func(d txn.BusinessDate) bool { return d == date })
	defer w.give(parts)
	for _, p := range parts {
		if err := ctx.Err(); err != nil {
			return h, err
		}
		if err := hoursOfPart(p.path(w.dir), begin, &h); err != nil {
			return h, fmt.Errorf("cannot read the hours of %s: %w", date, err)
		}
	}
	return h, nil
}

// Hours implements warehouse.Hourly.
func (r *Reader) Hours(ctx context.Context, date txn.BusinessDate, begin txn.Millis) (
	h warehouse.Hours, err error) {
	err = r.read(func(w *Warehouse) (err error) {
		h, err = w.Hours(ctx, date, begin)
		return err
	})
	return h, err
}

// hoursOfPart adds one file.
func hoursOfPart(path string, begin txn.Millis, h *warehouse.Hours) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("%w: cannot open a part: %w", warehouse.ErrDamaged, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	pf, err := openFile(f)
	if err != nil {
		return err
	}
	c := newColumnReader(pf.Schema(), newNames())
	for _, c.group = range pf.RowGroups() {
		served, err := c.integers("service_at_ms")
		if err != nil {
			return err
		}
		outcomes, err := c.numbers("outcome")
		if err != nil {
			return err
		}
		kinds, err := c.numbers("kind")
		if err != nil {
			return err
		}
		for i, at := range served {
			if kind, err := txn.ParseKind(c.names.text[kinds[i]]); err != nil || !warehouse.Volume(kind) {
				continue
			}
			h.At(txn.Millis(at), begin).Add(c.names.text[outcomes[i]], 1)
		}
	}
	return nil
}
