package local

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"os"
	"runtime"
	"slices"
	"sync"

	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Totals implements warehouse.Reader. It reads 17 of the columns, parts side by side.
func (w *Warehouse) Totals(
	ctx context.Context, date txn.BusinessDate,
) (warehouse.Totals, error) {
	if err := w.enter(ctx); err != nil {
		return warehouse.Totals{}, err
	}
	defer w.leave()
	parts := w.take(func(d txn.BusinessDate) bool { return d == date })
	defer w.give(parts)
	tally, err := w.tallyAll(ctx, parts)
	if err != nil {
		return warehouse.Totals{}, fmt.Errorf("cannot read the totals of %s: %w", date, err)
	}
	t := tally.totals(date)
	w.mu.Lock()
	closed, dead := w.state.closed, slices.Clone(w.state.dead)
	w.mu.Unlock()
	t.Sort()
	for b := range t.Buckets {
		t.Buckets[b].Closed = date != 0 && closed[b] >= date
	}
	for i := range dead {
		if dead[i].Holds(date) {
			t.DeadLetters++
		}
	}
	repeated, err := w.repeatedIDs(ctx, parts, tally, tally.repeatedHashes())
	if err != nil {
		return warehouse.Totals{}, err
	}
	t.Repeated = int64(len(repeated))
	t.RepeatedIDs = repeated[:min(len(repeated), warehouse.RepeatedListMax)]
	return t, nil
}

// tallyAll shares the parts among the cores.
func (w *Warehouse) tallyAll(ctx context.Context, parts []part) (*tally, error) {
	workers := max(1, min(runtime.GOMAXPROCS(0), len(parts)))
	seed := maphash.MakeSeed()
	tallies := make([]*tally, workers)
	errs := make([]error, workers)
	queue := make(chan part, len(parts))
	for _, p := range parts {
		queue <- p
	}
	close(queue)
	var group sync.WaitGroup
	for i := range workers {
		tallies[i] = newTally(seed)
		group.Go(func() {
			for p := range queue {
				if errs[i] = errors.Join(errs[i], ctx.Err()); errs[i] == nil {
					errs[i] = tallies[i].part(p.path(w.dir))
				}
			}
		})
	}
	group.Wait()
	for _, t := range tallies[1:] {
		tallies[0].join(t)
	}
	return tallies[0], errors.Join(append(errs, tallies[0].err)...)
}

// Keys of the sums; texts are numbers of names.
type (
	kindKey     struct{ kind, outcome, currency uint32 }
	discountKey struct{ kind, outcome, cause, currency uint32 }
	moneyKey    struct{ name, currency uint32 } // of an operator or account
)

// tally gathers the figures of a date. Not safe for concurrent use.
type tally struct {
	names      *names
	seed       maphash.Seed
	rows       int64
	kinds      map[kindKey]*warehouse.KindLine
	discounts  map[discountKey]*warehouse.DiscountLine
	operators  map[moneyKey]*warehouse.OperatorLine
	declines   map[uint32]int64
	accounts   map[moneyKey]*warehouse.AccountLine
	buckets    [txn.BucketCount]warehouse.BucketLine
	unbalanced int64
	requests   []uint64 // hashes of request ids
	err        error    // the first sum that overflowed
}

// newTally returns an empty tally; tallies with one seed can be joined.
func newTally(seed maphash.Seed) *tally {
	return &tally{names: newNames(), seed: seed,
		kinds:     make(map[kindKey]*warehouse.KindLine),
		discounts: make(map[discountKey]*warehouse.DiscountLine),
		operators: make(map[moneyKey]*warehouse.OperatorLine),
		declines:  make(map[uint32]int64),
		accounts:  make(map[moneyKey]*warehouse.AccountLine)}
}

// add adds up and keeps in mind that a sum did not fit.
func (t *tally) add(to *int64, amount int64) {
	sum, ok := warehouse.AddInt64(*to, amount)
	if !ok && t.err == nil {
		t.err = warehouse.ErrOverflow
	}
	*to = sum
}

// part adds one file.
func (t *tally) part(path string) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("%w: cannot open a part: %w", warehouse.ErrDamaged, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	pf, err := openFile(f)
	if err != nil {
		return err
	}
	c := newColumnReader(pf.Schema(), t.names)
	for _, group := range pf.RowGroups() {
		c.group = group
		if err := t.group(c); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

// columns are the columns of a row group that the figures need.
type columns struct {
	kind, outcome, reason, operator, terminal []uint32
	bucket, epoch, seq, boot, counter         []int64
	full, charged, currency                   []int64
}

// load reads the columns of the current row group.
func (c *columnReader) load() (columns, error) {
	var cols columns
	var first error
	texts := map[string]*[]uint32{"kind": &cols.kind, "outcome": &cols.outcome,
		"reason": &cols.reason, "operator": &cols.operator, "terminal": &cols.terminal}
	for column, to := range texts {
		got, err := c.numbers(column)
		*to, first = got, errors.Join(first, err)
	}
	ints := map[string]*[]int64{"bucket": &cols.bucket, "epoch": &cols.epoch, "seq": &cols.seq,
		"boot": &cols.boot, "counter": &cols.counter, "full_fare": &cols.full,
		"charged": &cols.charged, "currency": &cols.currency}
	for column, to := range ints {
		got, err := c.integers(column)
		*to, first = got, errors.Join(first, err)
	}
	return cols, first
}

// group adds one row group.
func (t *tally) group(c *columnReader) error {
	cols, err := c.load()
	if err != nil {
		return err
	}
	for i := range cols.kind {
		if b := cols.bucket[i]; b < 0 || b >= txn.BucketCount {
			return fmt.Errorf("%w: bucket %d", warehouse.ErrDamaged, b)
		}
		t.row(&cols, i)
	}
	t.rows += int64(len(cols.kind))
	discounts, ends, err := c.pairs("discount_causes", "discount_amounts")
	if err != nil {
		return err
	}
	t.addDiscounts(&cols, discounts, ends)
	postings, ends, err := c.pairs("accounts", "amounts")
	if err != nil {
		return err
	}
	t.addPostings(&cols, postings, ends)
	return nil
}

// row adds what one record says by itself.
func (t *tally) row(cols *columns, i int) {
	currency := uint32(cols.currency[i])
	key := kindKey{cols.kind[i], cols.outcome[i], currency}
	line := t.kinds[key]
	if line == nil {
		line = &warehouse.KindLine{Kind: t.names.text[key.kind], Outcome: t.names.text[key.outcome],
			Currency: uint16(currency)}
		t.kinds[key] = line
	}
	line.Count++
	t.add(&line.FullFare, cols.full[i])
	t.add(&line.Charged, cols.charged[i])
	if line.Outcome == txn.Declined.String() {
		t.declines[cols.reason[i]]++
	}
	t.addOperator(cols, i, line.Outcome)
	t.addBucket(cols, i)
	t.addRequest(cols, i)
}

// addOperator counts the record for its operator; records without one get a line too, which
// totals leaves out.
func (t *tally) addOperator(cols *columns, i int, outcome string) {
	key := moneyKey{cols.operator[i], uint32(cols.currency[i])}
	line := t.operators[key]
	if line == nil {
		line = &warehouse.OperatorLine{Operator: t.names.text[key.name],
			Currency: uint16(key.currency)}
		t.operators[key] = line
	}
	switch outcome {
	case txn.Approved.String():
		line.Approved++
		t.add(&line.FullFare, cols.full[i])
		t.add(&line.Charged, cols.charged[i])
	case txn.Declined.String():
		line.Declined++
	}
}

// addBucket stretches the bucket's extent.
func (t *tally) addBucket(cols *columns, i int) {
	line := &t.buckets[cols.bucket[i]]
	p := txn.Position{Bucket: txn.Bucket(cols.bucket[i]), Epoch: txn.Epoch(cols.epoch[i]),
		Seq: txn.Seq(cols.seq[i])}
	line.Rows++
	line.Bucket = p.Bucket
	widen(line, p)
}

// addRequest keeps the hash of the request id.
func (t *tally) addRequest(cols *columns, i int) {
	if !countsOnce(t.names.text[cols.terminal[i]], t.names.text[cols.reason[i]]) {
		return
	}
	t.requests = append(t.requests, t.hash(cols, i))
}

// countsOnce reports whether the request of a record may be on no other record:
// markers have no terminal, and a record declined for its id bears that of another.
func countsOnce(terminal, reason string) bool {
	return terminal != "" && reason != txn.IDReused.String() && reason != txn.IDTooOld.String()
}

// hash digests the request id of a row.
func (t *tally) hash(cols *columns, i int) uint64 {
	return maphash.Comparable(t.seed, requestKey{t.names.text[cols.terminal[i]],
		uint32(cols.boot[i]), uint32(cols.counter[i])})
}

type requestKey struct {
	terminal      string
	boot, counter uint32
}

// addDiscounts adds the discounts of all rows of a group.
func (t *tally) addDiscounts(cols *columns, all []pair, ends []int) {
	at := 0
	for i, end := range ends {
		for ; at < end; at++ {
			key := discountKey{cols.kind[i], cols.outcome[i], all[at].name,
				uint32(cols.currency[i])}
			line := t.discounts[key]
			if line == nil {
				line = &warehouse.DiscountLine{Kind: t.names.text[key.kind],
					Outcome: t.names.text[key.outcome], Cause: t.names.text[key.cause],
					Currency: uint16(key.currency)}
				t.discounts[key] = line
			}
			line.Count++
			t.add(&line.Amount, all[at].amount)
		}
	}
}

// addPostings adds the postings of all rows of a group, and weighs each row.
func (t *tally) addPostings(cols *columns, all []pair, ends []int) {
	at := 0
	for i, end := range ends {
		var sum int64
		for ; at < end; at++ {
			t.add(&sum, all[at].amount)
			key := moneyKey{all[at].name, uint32(cols.currency[i])}
			line := t.accounts[key]
			if line == nil {
				line = &warehouse.AccountLine{Account: t.names.text[key.name],
					Currency: uint16(key.currency)}
				t.accounts[key] = line
			}
			line.Count++
			t.add(&line.Amount, all[at].amount)
		}
		if sum != 0 {
			t.unbalanced++
		}
	}
}
