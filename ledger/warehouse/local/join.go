package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// widen stretches the extent of a bucket to p.
func widen(line *warehouse.BucketLine, p txn.Position) {
	if line.First.Epoch == 0 || p.Before(line.First) {
		line.First = p
	}
	if line.Last.Before(p) {
		line.Last = p
	}
}

// join adds the figures of o, which has its own names.
func (t *tally) join(o *tally) {
	number := func(text string) uint32 { return t.names.of([]byte(text)) }
	t.rows += o.rows
	t.unbalanced += o.unbalanced
	t.requests = append(t.requests, o.requests...)
	if t.err == nil {
		t.err = o.err
	}
	for _, l := range o.kinds {
		key := kindKey{number(l.Kind), number(l.Outcome), uint32(l.Currency)}
		to := orNew(t.kinds, key, warehouse.KindLine{Kind: l.Kind, Outcome: l.Outcome,
			Currency: l.Currency})
		to.Count += l.Count
		t.add(&to.FullFare, l.FullFare)
		t.add(&to.Charged, l.Charged)
	}
	for _, l := range o.discounts {
		key := discountKey{number(l.Kind), number(l.Outcome), number(l.Cause), uint32(l.Currency)}
		to := orNew(t.discounts, key, warehouse.DiscountLine{Kind: l.Kind, Outcome: l.Outcome,
			Cause: l.Cause, Currency: l.Currency})
		to.Count += l.Count
		t.add(&to.Amount, l.Amount)
	}
	for reason, n := range o.declines {
		t.declines[number(o.names.text[reason])] += n
	}
	t.joinParties(o, number)
	for b := range o.buckets {
		if from := &o.buckets[b]; from.Rows > 0 {
			t.buckets[b].Bucket = from.Bucket
			t.buckets[b].Rows += from.Rows
			widen(&t.buckets[b], from.First)
			widen(&t.buckets[b], from.Last)
		}
	}
}

// joinParties adds the lines of operators and accounts.
func (t *tally) joinParties(o *tally, number func(string) uint32) {
	for _, l := range o.operators {
		key := moneyKey{number(l.Operator), uint32(l.Currency)}
		to := orNew(t.operators, key, warehouse.OperatorLine{Operator: l.Operator,
			Currency: l.Currency})
		to.Approved += l.Approved
		to.Declined += l.Declined
		t.add(&to.FullFare, l.FullFare)
		t.add(&to.Charged, l.Charged)
	}
	for _, l := range o.accounts {
		key := moneyKey{number(l.Account), uint32(l.Currency)}
		to := orNew(t.accounts, key, warehouse.AccountLine{Account: l.Account,
			Currency: l.Currency})
		to.Count += l.Count
		t.add(&to.Amount, l.Amount)
	}
}

// orNew returns the line under key, beginning it with zero where there is none.
func orNew[K comparable, V any](m map[K]*V, key K, zero V) *V {
	if m[key] == nil {
		m[key] = &zero
	}
	return m[key]
}

// totals returns what was gathered, unsorted.
func (t *tally) totals(date txn.BusinessDate) warehouse.Totals {
	out := warehouse.Totals{Date: date, Rows: t.rows, Unbalanced: t.unbalanced}
	for _, l := range t.kinds {
		out.Kinds = append(out.Kinds, *l)
	}
	for _, l := range t.discounts {
		out.Discounts = append(out.Discounts, *l)
	}
	for _, l := range t.operators {
		if l.Operator != "" {
			out.Operators = append(out.Operators, *l)
		}
	}
	for reason, n := range t.declines {
		out.Declines = append(out.Declines, warehouse.DeclineLine{Reason: t.names.text[reason],
			Count: n})
	}
	for _, l := range t.accounts {
		out.Accounts = append(out.Accounts, *l)
	}
	for b := range t.buckets {
		if t.buckets[b].Rows > 0 {
			out.Buckets = append(out.Buckets, t.buckets[b])
		}
	}
	return out
}

// repeatedHashes returns the hashes that occur more than once: eight bytes a record
// instead of the ids themselves.
func (t *tally) repeatedHashes() map[uint64]bool {
	slices.Sort(t.requests)
	repeated := make(map[uint64]bool)
	for i := 1; i < len(t.requests); i++ {
		if t.requests[i] == t.requests[i-1] {
			repeated[t.requests[i]] = true
		}
	}
	t.requests = nil
	return repeated
}

// repeatedIDs reads the parts again for the request ids with one of the hashes, and
// returns those that are really on more than one record, in order.
func (w *Warehouse) repeatedIDs(
	ctx context.Context, parts []part, find *tally, hashes map[uint64]bool,
) ([]string, error) {
	if len(hashes) == 0 {
		return nil, nil
	}
	seen := make(map[requestKey]int)
	for _, p := range parts {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := find.collect(p.path(w.dir), hashes, seen); err != nil {
			return nil, fmt.Errorf("cannot read the repeated request ids: %w", err)
		}
	}
	var ids []string
	for key, n := range seen {
		if n > 1 {
			ids = append(ids, fmt.Sprintf("%s-%d-%d", key.terminal, key.boot, key.counter))
		}
	}
	slices.Sort(ids)
	return ids, nil
}

// collect counts the request ids of one part whose hash is among hashes.
func (t *tally) collect(path string, hashes map[uint64]bool, seen map[requestKey]int) (err error) {
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
		cols, err := c.load()
		if err != nil {
			return err
		}
		for i := range cols.terminal {
			terminal := t.names.text[cols.terminal[i]]
			if countsOnce(terminal, t.names.text[cols.reason[i]]) && hashes[t.hash(&cols, i)] {
				seen[requestKey{terminal, uint32(cols.boot[i]), uint32(cols.counter[i])}]++
			}
		}
	}
	return nil
}
