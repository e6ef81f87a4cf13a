package warehousetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// RunModel does random things to a warehouse and to the plainest one (Memory), which must
// answer the same: new records, repeats from anywhere, holes, spoiled records and their
// repair, ends of days, epochs, closing and opening. A failure names its seed.
func RunModel(t *testing.T, fresh func(t *testing.T) Opener, seeds, steps int) {
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			open := fresh(t)
			m := &modelRun{T: t, open: open, real: open(t), model: NewMemory(),
				chain: NewChain(seed), rng: rand.New(rand.NewPCG(seed, 2))}
			defer func() {
				if err := m.real.Close(); err != nil {
					t.Error(err)
				}
			}()
			for step := range steps {
				m.step()
				if step%8 == 7 {
					m.compare()
				}
			}
			m.compare()
		})
	}
}

// modelRun is one run. The real warehouse must do what the model does.
type modelRun struct {
	*testing.T
	open  Opener
	real  warehouse.Warehouse
	model *Memory
	chain *Chain
	rng   *rand.Rand
	sent  []txn.Record // everything that was ever offered in sequence
	torn  []txn.Record // records whose place a dead letter holds
	n     int
}

// step does one random thing. New records come most often.
func (m *modelRun) step() {
	m.n++
	switch k := m.rng.IntN(20); {
	case k < 9:
		m.append(m.chain.Batch(1 + m.rng.IntN(60)))
	case k < 12:
		m.again()
	case k < 14:
		m.hole()
	case k < 16:
		m.spoil()
	case k < 17:
		m.repair()
	case k < 18:
		m.append(m.chain.CloseBuckets(1 + m.rng.IntN(txn.BucketCount)))
	default:
		m.reopen()
	}
}

// append offers new records to both.
func (m *modelRun) append(records []txn.Record) {
	m.Helper()
	m.both("Append", func(w warehouse.Warehouse) error {
		return w.Append(context.Background(),
			records)
	})
	m.sent = append(m.sent, records...)
}

// again repeats a piece of what was sent, from anywhere.
func (m *modelRun) again() {
	if len(m.sent) == 0 {
		return
	}
	from := m.rng.IntN(len(m.sent))
	to := from + 1 + m.rng.IntN(min(200, len(m.sent)-from))
	piece := m.sent[from:to]
	m.both("Append again", func(w warehouse.Warehouse) error {
		return w.Append(context.Background(), piece)
	})
}

// hole offers a batch that lacks one record, which must be refused, and then the whole.
func (m *modelRun) hole() {
	b := txn.Bucket(m.rng.IntN(txn.BucketCount))
	records := []txn.Record{m.chain.Epoch(b), m.chain.Next(b), m.chain.Next(b)}
	lost := m.rng.IntN(2)
	torn := slices.Delete(slices.Clone(records), lost, lost+1)
	for _, w := range []warehouse.Warehouse{m.real, m.model} {
		if err := w.Append(context.Background(), torn); !errors.Is(err, warehouse.ErrGap) {
			m.Fatalf("step %d: Append with a hole: %v, want ErrGap", m.n, err)
		}
	}
	m.append(records)
}

// spoil puts a dead letter in the place of a record and goes on behind it.
func (m *modelRun) spoil() {
	b := txn.Bucket(m.rng.IntN(txn.BucketCount))
	m.append([]txn.Record{m.chain.Epoch(b)})
	bad, after := m.chain.Next(b), m.chain.Next(b)
	letter := warehouse.DeadLetter{Position: bad.Position, Date: bad.BusinessDate,
		Source: fmt.Sprintf("model/%06d", m.n), Reason: "spoiled", Record: []byte{1, 2, 3},
		At: txn.Millis(m.n)}
	m.both("DeadLetter", func(w warehouse.Warehouse) error {
		return w.DeadLetter(context.Background(), letter)
	})
	m.torn = append(m.torn, bad)
	m.both("Append behind a letter", func(w warehouse.Warehouse) error {
		return w.Append(context.Background(), []txn.Record{after})
	})
}

// repair sends one of the spoiled records.
func (m *modelRun) repair() {
	if len(m.torn) == 0 {
		return
	}
	i := m.rng.IntN(len(m.torn))
	m.both("Append of a repaired record", func(w warehouse.Warehouse) error {
		return w.Append(context.Background(), m.torn[i:i+1])
	})
	m.torn = slices.Delete(m.torn, i, i+1)
}

// reopen closes the real warehouse and opens its data again.
func (m *modelRun) reopen() {
	if err := m.real.Close(); err != nil {
		m.Fatalf("step %d: Close: %v", m.n, err)
	}
	m.real = m.open(m.T)
}

// both does the same to both; it must succeed.
func (m *modelRun) both(what string, do func(warehouse.Warehouse) error) {
	m.Helper()
	if err := do(m.model); err != nil {
		m.Fatalf("step %d: %s: the model refuses it: %v", m.n, what, err)
	}
	if err := do(m.real); err != nil {
		m.Fatalf("step %d: %s: %v", m.n, what, err)
	}
}

// compare asks both everything that there is to ask.
func (m *modelRun) compare() {
	m.Helper()
	ctx := context.Background()
	wantPositions, _ := m.model.Positions(ctx)
	positions, err := m.real.Positions(ctx)
	if err != nil || positions != wantPositions {
		m.Fatalf("step %d: Positions = %v, %v\nwant %v", m.n, positions, err, wantPositions)
	}
	wantLetters, _ := m.model.DeadLetters(ctx)
	letters, err := m.real.DeadLetters(ctx)
	if err != nil || !reflect.DeepEqual(letters, wantLetters) {
		m.Fatalf("step %d: DeadLetters = %v, %v\nwant %v", m.n, letters, err, wantLetters)
	}
	checkRecords(m.T, m.real, warehouse.Filter{}, Ordered(m.model.All()))
	for date := Day; date <= m.lastDate(); date = date.Next() {
		want, err := m.model.Totals(ctx, date)
		if err != nil {
			m.Fatal(err)
		}
		checkTotals(m.T, m.real, want)
	}
}

// lastDate returns the last date with a record.
func (m *modelRun) lastDate() txn.BusinessDate {
	last := Day
	for _, r := range m.model.All() {
		last = max(last, r.BusinessDate)
	}
	return last
}
