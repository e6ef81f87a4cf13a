package local

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const (
	// joinParts is how many parts of one tier become one of the next.
	joinParts = 8
	// joinRowsMax is the size from which a part is left alone: under load, when parts are
	// large from the start, nothing is written twice, and in quiet times a record is
	// written three times at most.
	joinRowsMax = 48 << 10
	// tierRows bounds the first tier; each further one is joinParts times as large.
	tierRows = 4 << 10
)

// joiner is the goroutine that joins small parts.
type joiner struct {
	wakeup chan struct{}
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// start begins the goroutine; stop ends it and waits.
func (j *joiner) start(w *Warehouse) {
	ctx, cancel := context.WithCancel(context.Background())
	j.wakeup, j.cancel = make(chan struct{}, 1), cancel
	j.done.Go(func() { j.run(ctx, w) })
}

// stop ends the goroutine, if one runs, in the middle of a join at the latest after a batch.
func (j *joiner) stop() {
	if j.cancel != nil {
		j.cancel()
		j.done.Wait()
	}
}

// wake tells the joiner that there is a new part.
func (j *joiner) wake() {
	select {
	case j.wakeup <- struct{}{}:
	default: // it is awake already, or not running
	}
}

// run joins until there is nothing left to join, then sleeps until woken.
func (j *joiner) run(ctx context.Context, w *Warehouse) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-j.wakeup:
		}
		for {
			again, err := w.join(ctx)
			if err != nil && !errors.Is(err, context.Canceled) {
				w.log.Warn("cannot join small parts; trying again after the next append",
					"error", err)
			}
			if err != nil || !again {
				break
			}
		}
	}
}

// join joins one group of parts, if there is one, and reports whether it did.
func (w *Warehouse) join(ctx context.Context) (bool, error) {
	var picked []part
	parts := w.take(func(txn.BusinessDate) bool { return true })
	defer w.give(parts)
	if picked = pickParts(parts); picked == nil {
		return false, nil
	}
	joined, err := w.writePart(picked[0].Date, func(out *rowWriter) (int64, error) {
		return w.copyParts(ctx, out, picked)
	})
	if err != nil {
		return false, err
	}
	e := edit{Add: []part{joined}}
	for _, p := range picked {
		e.Drop = append(e.Drop, p.ID)
	}
	w.writer.Lock()
	defer w.writer.Unlock()
	if err := w.mendLocked(); err != nil {
		return false, err
	}
	if err := w.commitLocked(&e); err != nil {
		return false, err
	}
	w.mu.Lock()
	for _, p := range picked {
		w.leaves[p.ID] = p // the take above still counts, so give removes them
	}
	w.mu.Unlock()
	return true, nil
}

// pickParts returns the oldest joinParts parts of one date and tier, or nil.
func pickParts(parts []part) []part {
	type group struct {
		date txn.BusinessDate
		tier int
	}
	groups := make(map[group][]part)
	for _, p := range parts {
		if p.Rows >= joinRowsMax {
			continue
		}
		g := group{p.Date, tierOf(p.Rows)}
		groups[g] = append(groups[g], p)
		if len(groups[g]) == joinParts {
			return slices.Clone(groups[g])
		}
	}
	return nil
}

// tierOf returns the size class of a part.
func tierOf(rows int64) int {
	tier := 0
	for limit := int64(tierRows); rows >= limit; limit *= joinParts {
		tier++
	}
	return tier
}

// copyParts writes the rows of the parts merged in order. It checks the number of rows before
// the sources are dropped.
func (w *Warehouse) copyParts(
	ctx context.Context, out *rowWriter, parts []part,
) (written int64, err error) {
	batch, began := make([]warehouse.Row, 0, writeRows), time.Now()
	err = w.merge(ctx, parts, warehouse.Filter{}, func(row *warehouse.Row) error {
		batch = append(batch, *row)
		written++
		if len(batch) < cap(batch) {
			return nil
		}
		_, err := out.Write(batch)
		batch = batch[:0]
		rest(began)
		began = time.Now()
		return err
	})
	if err != nil {
		return 0, err
	}
	if _, err := out.Write(batch); err != nil {
		return 0, err
	}
	var want int64
	for _, p := range parts {
		want += p.Rows
	}
	if written != want {
		panic("local: internal error: joining parts changed the number of rows")
	}
	return written, nil
}
