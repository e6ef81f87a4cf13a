// Package tally adds up what the ledger has of a party (a terminal's batch, an acquirer, a
// bank) and keeps what both sides said of it. It owns the registry keys below bank/batch/,
// bank/cut/ and bank/undone/.
//
// Amounts are minor units of the one currency. Everything that returns nil is durable. Sums and
// a Counter belong to one goroutine; the rest is safe for concurrent use.
//
// It does not fetch records and does not decide what to do about a difference: that is a
// person's, with the ledger's reconciliation.
package tally

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// triesMax bounds how often a change is tried against other processes.
const triesMax = 32

// Sums are debits and credits in minor units: debits are purchases, completions and offline
// sales, credits are refunds. What was voided or reversed does not count.
type Sums struct {
	DebitAmount  int64 `json:"debit_amount"`
	DebitCount   int   `json:"debit_count"`
	CreditAmount int64 `json:"credit_amount"`
	CreditCount  int   `json:"credit_count"`
}

// Batch is what is kept of a terminal's batch, or of a period of an acquirer or a bank.
type Batch struct {
	// Terminal is as in record ids, or AcquirerParty or BankParty.
	Terminal  string     `json:"terminal"`
	Merchant  string     `json:"merchant,omitempty"`
	Number    uint32     `json:"batch"`
	SettledAt txn.Millis `json:"settled_at"`
	// Theirs is what the other side says, Ours what the ledger has.
	Theirs Sums `json:"terminal_totals"`
	Ours   Sums `json:"ledger_totals"`
	// TheirGross and OurGross are what Theirs and Ours are made of for acquirers and banks;
	// TheirGross is nil for a bank that names no totals.
	TheirGross *Gross `json:"their_gross,omitempty"`
	OurGross   *Gross `json:"our_gross,omitempty"`
	// Date is the settlement date (MMDD) of a period that is one.
	Date string `json:"date,omitempty"`
	// Said is field 66 of a bank's answer: 1 in balance, 2 not, 3 error.
	Said string `json:"said,omitempty"`
	// Late are the sales that the bank counted here and undid after it had been told the totals.
	Late []Late `json:"late,omitempty"`
	// Carried is how many records of the period the bank had not heard of when it was told the
	// totals: they count in a later one.
	Carried int `json:"carried,omitempty"`
	// Verdict is Balanced, Unbalanced, Explained or Failed.
	Verdict string `json:"verdict"`
	// Uploaded counts the rows of the terminal's upload; Complete says that it said so.
	Uploaded int  `json:"uploaded"`
	Complete bool `json:"complete"`
}

// The verdicts.
const (
	Balanced   = "balanced"
	Unbalanced = "unbalanced"
	Failed     = "failed"
)

// AcquirerParty and BankParty name who a Batch is of where that is no terminal: no terminal's
// id has an @.
func AcquirerParty(institution string) string { return "acquirer@" + institution }

// BankParty names a bank by its link.
func BankParty(link string) string { return "bank@" + link }

const batchPrefix = "bank/batch/"

// Keep changes what is kept of a batch.
func Keep(ctx context.Context, r store.Registry, party string, number uint32,
	change func(*Batch)) error {
	return update(ctx, r, fmt.Sprintf("%s%s/%06d", batchPrefix, party, number),
		func(b *Batch, fresh bool) {
			if fresh {
				b.Terminal, b.Number = party, number
			}
			change(b)
		})
}

// update changes a value of the registry that is JSON.
func update[T any](ctx context.Context, r store.Registry, key string, change func(v *T, fresh bool)) error {
	for range triesMax {
		value, version, err := r.Get(ctx, key)
		if err != nil {
			return err
		}
		var v T
		if len(value) > 0 {
			if err := json.Unmarshal(value, &v); err != nil {
				return fmt.Errorf("%w: %s: %w", store.ErrDamaged, key, err)
			}
		}
		change(&v, len(value) == 0)
		text, err := json.Marshal(v)
		if err != nil {
			return err
		}
		if err = r.Put(ctx, key, text, version); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return store.ErrConflict
}

// Find returns what is kept of a batch; ok is false when there is none.
func Find(ctx context.Context, r store.Registry, party string, number uint32) (b Batch, ok bool,
	err error) {
	key := fmt.Sprintf("%s%s/%06d", batchPrefix, party, number)
	value, _, err := r.Get(ctx, key)
	if err != nil || len(value) == 0 {
		return b, false, err
	}
	if err := json.Unmarshal(value, &b); err != nil {
		return b, false, fmt.Errorf("%w: %s: %w", store.ErrDamaged, key, err)
	}
	return b, true, nil
}

// Batches returns what is kept of the batches of a party, or of all for "", in order.
func Batches(ctx context.Context, r store.Registry, party string) ([]Batch, error) {
	keys, err := r.Keys(ctx, batchPrefix+party)
	if err != nil {
		return nil, err
	}
	all := make([]Batch, 0, len(keys))
	for _, key := range keys {
		value, _, err := r.Get(ctx, key)
		if err != nil {
			return nil, err
		}
		var b Batch
		if err := json.Unmarshal(value, &b); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", store.ErrDamaged, key, err)
		}
		all = append(all, b)
	}
	return all, nil
}

// purseLoad is the bit in the counter of a request id that tells the load of a purse apart
// from the bank's payment for it.
const purseLoad = 1 << 29

// Total returns the totals of a batch's settled records. Order does not matter.
func Total(records []txn.Record) (sums Sums) {
	type entry struct {
		record *txn.Record
		undone bool
	}
	all := map[txn.RequestID]*entry{}
	var undoing []*txn.Record
	for i := range records {
		r := &records[i]
		if r.Outcome != txn.Approved {
			continue
		}
		all[r.Request] = &entry{record: r}
		if r.Kind == txn.BankReversal || r.Kind == txn.BankVoid || r.Kind == txn.Reversal {
			undoing = append(undoing, r)
		}
	}
	// Reversals first: a reversed void leaves its original as it was.
	slices.SortStableFunc(undoing, func(a, b *txn.Record) int { return cmp.Compare(b.Kind, a.Kind) })
	for _, r := range undoing {
		if e := all[r.Original]; e != nil && !all[r.Request].undone {
			e.undone = true
		}
	}
	for _, e := range all {
		if e.undone {
			continue
		}
		switch amount := int64(e.record.Charged); e.record.Kind {
		case txn.Load:
			paid := e.record.Request
			paid.Counter &^= purseLoad
			if by := all[paid]; by != nil && by.record.Kind == txn.BankLoad {
				continue // the bank's record counts
			}
			sums.DebitAmount += max(amount, -amount)
			sums.DebitCount++
		case txn.BankPurchase, txn.BankCompletion, txn.BankLoad:
			sums.DebitAmount += max(amount, -amount)
			sums.DebitCount++
		case txn.BankAdjustment: // it changes its original's amount; finance's charge nothing
			sums.DebitAmount += amount
		case txn.BankRefund:
			sums.CreditAmount += -amount
			sums.CreditCount++
		}
	}
	return sums
}
