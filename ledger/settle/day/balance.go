package day

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/tapswitch/tapswitch/ledger/settle/chart"
	"github.com/tapswitch/tapswitch/ledger/settle/journal"
	"github.com/tapswitch/tapswitch/ledger/settle/pack"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Moment is a point in the past at which balances are asked for: the end of a business date, an
// instant, or just after a record. One of them is set.
type Moment struct {
	Date     txn.BusinessDate
	At       txn.Millis // records received up to here, whatever their date
	Position txn.Position
}

// errFound ends a search.
var errFound = errors.New("found")

// BalancesAt returns the trial balance of the switch's records at a moment. What settlement and
// adjustments posted is in the runs; here are the records alone, all of them from the first, so
// that the answer does not rest on anything that was computed before.
func BalancesAt(ctx context.Context, r warehouse.Reader, m Moment) ([]chart.Balance, error) {
	until := m.At
	if m.Position.Epoch > 0 {
		err := r.Records(ctx, warehouse.Filter{}, func(rec *txn.Record) error {
			if rec.Position == m.Position {
				until = rec.ReceivedAt
				return errFound
			}
			return nil
		})
		if err == nil {
			return nil, fmt.Errorf("%w: record %s", ErrUnknown, m.Position)
		}
		if !errors.Is(err, errFound) {
			return nil, fmt.Errorf("balances: %w", err)
		}
	}
	var b chart.Book
	err := r.Records(ctx, warehouse.Filter{To: m.Date}, func(rec *txn.Record) error {
		if m.Date == 0 && !m.includes(rec, until) {
			return nil
		}
		return b.Entry(rec.Currency, rec.Postings)
	})
	if err != nil {
		return nil, fmt.Errorf("balances: %w", err)
	}
	return b.Trial()
}

// includes reports whether the record had happened. In the record's own bucket the position
// decides, in the others the instant.
func (m *Moment) includes(r *txn.Record, until txn.Millis) bool {
	if m.Position.Epoch > 0 && r.Position.Bucket == m.Position.Bucket {
		return !m.Position.Before(r.Position)
	}
	return r.ReceivedAt <= until
}

// Trial returns the trial balance of a settled day, with what settlement posted.
func Trial(dir string, events []journal.Event, date txn.BusinessDate) ([]chart.Balance, error) {
	run, n := LastRun(dir, events, date)
	if n == 0 {
		return nil, fmt.Errorf("%w: %s is not settled", ErrState, date)
	}
	if _, err := ReadRun(run); err != nil {
		return nil, err
	}
	var trial []chart.Balance
	return trial, readJSON(filepath.Join(run, pack.TrialName), &trial)
}
