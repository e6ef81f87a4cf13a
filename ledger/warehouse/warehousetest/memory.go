package warehousetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// ErrFault is the error of injected faults.
var ErrFault = errors.New("warehousetest: injected fault")

// Fault says how a write fails.
type Fault uint8

// The faults.
const (
	NoFault Fault = iota
	NotApplied
	AppliedUnreported
)

// Memory is the contract as short as it can be written, for tests of what writes to a
// warehouse. It passes the suite. Nothing is durable but across Reopen. Safe for
// concurrent use.
type Memory struct {
	mu      sync.Mutex
	fault   func(op string) Fault
	closed  bool
	seq     warehouse.Sequence
	records []txn.Record
	letters []warehouse.DeadLetter
	fixed   map[txn.Position]bool // places of letters that were closed
}

var _ warehouse.Warehouse = (*Memory)(nil)

// NewMemory returns an empty warehouse.
func NewMemory() *Memory {
	return &Memory{seq: warehouse.NewSequence(warehouse.Positions{}),
		fixed: make(map[txn.Position]bool)}
}

// SetFault sets the hook that is asked before each Append, DeadLetter and Positions; nil
// ends all faults.
func (m *Memory) SetFault(fault func(op string) Fault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fault = fault
}

// Reopen makes a closed Memory usable again with the same data.
func (m *Memory) Reopen() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = false
}

// All returns a copy of every record, in the order of arrival.
func (m *Memory) All() []txn.Record {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.records)
}

// do runs a call under the lock or fails it as the hook says.
func (m *Memory) do(ctx context.Context, op string, run func() error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return warehouse.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	fault := NoFault
	if m.fault != nil {
		fault = m.fault(op)
	}
	if fault == NotApplied {
		return fmt.Errorf("%s: %w", op, ErrFault)
	}
	if err := run(); err != nil {
		return err
	}
	if fault == AppliedUnreported {
		return fmt.Errorf("%s: %w", op, ErrFault)
	}
	return nil
}

// openLetter reports whether a letter holds the place of p.
func (m *Memory) openLetter(p txn.Position) bool {
	return !m.fixed[p] && slices.ContainsFunc(m.letters,
		func(d warehouse.DeadLetter) bool { return d.Position == p })
}

// Append implements warehouse.Appender.
func (m *Memory) Append(ctx context.Context, records []txn.Record) error {
	return m.do(ctx, "Append", func() error {
		kept, err := warehouse.Admit(&m.seq, records, m.openLetter)
		for _, r := range kept {
			if m.openLetter(r.Position) {
				m.fixed[r.Position] = true
			}
			m.records = append(m.records, *r)
		}
		return err
	})
}

// DeadLetter implements warehouse.Appender.
func (m *Memory) DeadLetter(ctx context.Context, letter warehouse.DeadLetter) error {
	return m.do(ctx, "DeadLetter", func() error {
		if err := letter.Check(); err != nil {
			return err
		}
		if slices.ContainsFunc(m.letters,
			func(d warehouse.DeadLetter) bool { return d.Source == letter.Source }) {
			return nil
		}
		if letter.Placed() {
			switch m.seq.TakePlace(letter.Position) {
			case warehouse.Duplicate:
				return nil
			case warehouse.Gap:
				return fmt.Errorf("%w: dead letter for %s", warehouse.ErrGap, letter.Position)
			}
		}
		m.letters = append(m.letters, letter)
		return nil
	})
}

// Positions implements warehouse.Appender.
func (m *Memory) Positions(ctx context.Context) (held warehouse.Positions, err error) {
	err = m.do(ctx, "Positions", func() error {
		held = m.seq.Held()
		return nil
	})
	return held, err
}

// Totals implements warehouse.Reader.
func (m *Memory) Totals(
	ctx context.Context, date txn.BusinessDate,
) (t warehouse.Totals, err error) {
	err = m.do(ctx, "Totals", func() error {
		if t, err = Expected(Ordered(m.records), date); err != nil {
			return err
		}
		for i := range m.letters {
			if m.openLetter(m.letters[i].Position) && m.letters[i].Holds(date) {
				t.DeadLetters++
			}
		}
		return nil
	})
	return t, err
}

// Records implements warehouse.Reader.
func (m *Memory) Records(
	ctx context.Context, f warehouse.Filter, yield func(*txn.Record) error,
) error {
	var all []txn.Record
	err := m.do(ctx, "Records", func() error {
		all = Ordered(m.records)
		return nil
	})
	if err != nil {
		return err
	}
	for i := range all {
		if f.Matches(&all[i]) {
			if err := yield(&all[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// DeadLetters implements warehouse.Reader.
func (m *Memory) DeadLetters(ctx context.Context) (open []warehouse.DeadLetter, err error) {
	err = m.do(ctx, "DeadLetters", func() error {
		for _, d := range m.letters {
			if !d.Placed() || m.openLetter(d.Position) {
				open = append(open, d)
			}
		}
		return nil
	})
	return open, err
}

// Close implements warehouse.Warehouse.
func (m *Memory) Close() error {
	return m.do(context.Background(), "Close", func() error {
		m.closed = true
		return nil
	})
}
