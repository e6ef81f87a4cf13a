package day

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/tapswitch/tapswitch/ledger/settle/chart"
	"github.com/tapswitch/tapswitch/ledger/settle/clearing"
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

// Books are what balances are made of: the records of the switch, and what finance posted beside
// them. Events are those of its journal, Dir is where its runs stand.
type Books struct {
	Reader warehouse.Reader
	Dir    string
	Events []journal.Event
}

// BalancesAt returns the trial balance at a moment: all records from the first, and every entry
// that finance had posted by then. Of a day's runs that is the last one noted by then; an adjustment
// or a statement of the bank counts from its own approval or booking, settled or not. At the end of
// a business date count all entries of the dates up to it, whenever they were posted.
func (b *Books) BalancesAt(ctx context.Context, m Moment) ([]chart.Balance, error) {
	until := m.At
	if m.Position.Epoch > 0 {
		var err error
		if until, err = b.receivedAt(ctx, m.Position); err != nil {
			return nil, err
		}
	}
	var book chart.Book
	err := b.Reader.Records(ctx, warehouse.Filter{To: m.Date}, func(rec *txn.Record) error {
		if m.Date == 0 && !m.includes(rec, until) {
			return nil
		}
		return book.Entry(rec.Currency, rec.Postings)
	})
	if err != nil {
		return nil, fmt.Errorf("balances: %w", err)
	}
	if err := b.posted(&book, m.Date, until); err != nil {
		return nil, fmt.Errorf("balances: %w", err)
	}
	return book.Trial()
}

// receivedAt finds the record of a position.
func (b *Books) receivedAt(ctx context.Context, p txn.Position) (at txn.Millis, err error) {
	err = b.Reader.Records(ctx, warehouse.Filter{}, func(rec *txn.Record) error {
		if rec.Position == p {
			at = rec.ReceivedAt
			return errFound
		}
		return nil
	})
	switch {
	case err == nil:
		return 0, fmt.Errorf("%w: record %s", ErrUnknown, p)
	case !errors.Is(err, errFound):
		return 0, fmt.Errorf("balances: %w", err)
	}
	return at, nil
}

// posted adds what finance had posted: of the dates up to a date, or of all until an instant.
func (b *Books) posted(book *chart.Book, to txn.BusinessDate, until txn.Millis) error {
	var events []journal.Event
	dates := map[txn.BusinessDate]int{} // with their last run, 0 for none
	for _, e := range b.Events {
		if to == 0 && e.At > until || to != 0 && e.Date > to {
			continue
		}
		events = append(events, e)
		dates[e.Date] = max(dates[e.Date], 0)
		if e.Kind == eventRun {
			dates[e.Date] = runOf(e).Run
		}
	}
	for date, run := range dates {
		entries, err := b.entries(events, date, run)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := book.Entry(e.Currency, e.Postings); err != nil {
				return fmt.Errorf("entry %s of %s: %w", e.ID, date, err)
			}
		}
	}
	return nil
}

// entries are those of a day's run, and those that came after it.
func (b *Books) entries(
	events []journal.Event, date txn.BusinessDate, run int,
) ([]clearing.Entry, error) {
	if run == 0 {
		return adjustmentsOf(events, date), nil
	}
	var s clearing.Statement
	o := &Options{Dir: b.Dir}
	if err := readOf(o, events, runID{date, run}, pack.StatementName, &s); err != nil {
		return nil, err
	}
	noted := slices.IndexFunc(events, func(e journal.Event) bool {
		return e.Kind == eventRun && e.Date == date && runOf(e).Run == run
	})
	settled := adjustmentsOf(events[:noted], date)
	after := slices.DeleteFunc(adjustmentsOf(events, date), func(e clearing.Entry) bool {
		return slices.ContainsFunc(settled, func(s clearing.Entry) bool { return s.ID == e.ID })
	})
	return append(s.Entries, after...), nil
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
