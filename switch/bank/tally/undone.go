package tally

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// A sale whose answer was lost, and that its bank then undid, moved no money: the ledger has a
// refusal. A bank that counts gross has carried out both, and its totals have the sale in fields
// 76 and 88 and its reversal in 77 and 89, each in the period in which it was done. So what a
// bank said to have undone is kept until it was told of it in its totals. Where an 0500 came
// between the two, nobody could know of the sale then: its batch differs by it, and says so.

// Undone is such a sale.
type Undone struct {
	// Amount is in minor units, At when the bank said that it had undone it.
	Amount int64      `json:"amount"`
	At     txn.Millis `json:"at"`
	// SaleAt is when the sale began: its period has the sale. 0: that of the reversal has.
	SaleAt txn.Millis `json:"sale_at,omitempty"`
}

// before reports whether the sale is of a period before the cut.
func (u *Undone) before(at txn.Millis) bool { return u.SaleAt != 0 && u.SaleAt < at }

const undonePrefix = "bank/undone/"

// KeepUndone keeps what a bank has undone, once for each transaction however often it is said.
func KeepUndone(ctx context.Context, r store.Registry, party string, id txn.RequestID,
	u Undone) error {
	text, err := json.Marshal(u)
	if err == nil {
		err = r.Put(ctx, undonePrefix+party+"/"+id.String(), text, 0)
	}
	if err != nil && !errors.Is(err, store.ErrConflict) { // it was said before
		return fmt.Errorf("what %s has undone of %s cannot be kept: %w", party, id, err)
	}
	return nil
}

// undoneMax is how many of them one message of totals counts; the rest is in the next one.
const undoneMax = 1024

// addUndone counts what a party has undone since a cut at a time, and notes what it counted.
func (r *Reconciler) addUndone(ctx context.Context, party string, t *Telling, cut txn.Millis) error {
	return r.eachUndone(ctx, party, func(key string, u *Undone) bool {
		if len(t.Undone) == undoneMax {
			return false
		}
		d := &t.Ours.Debits
		if !u.before(cut) {
			d.Count, d.Amount = d.Count+1, d.Amount+u.Amount
		}
		d.ReversedCount, d.ReversedAmount = d.ReversedCount+1, d.ReversedAmount+u.Amount
		t.Undone = append(t.Undone, key)
		return true
	})
}

// eachUndone calls yield with what a party has undone and was not told of, until it returns false.
func (r *Reconciler) eachUndone(ctx context.Context, party string,
	yield func(key string, u *Undone) bool) error {
	keys, err := r.Registry.Keys(ctx, undonePrefix+party+"/")
	if err != nil {
		return fmt.Errorf("what %s has undone cannot be read: %w", party, err)
	}
	for _, key := range keys {
		value, _, err := r.Registry.Get(ctx, key)
		if err != nil {
			return fmt.Errorf("%s cannot be read: %w", key, err)
		}
		if len(value) == 0 {
			continue
		}
		var u Undone
		if err := json.Unmarshal(value, &u); err != nil {
			return fmt.Errorf("%w: %s: %w", store.ErrDamaged, key, err)
		}
		if !yield(key, &u) {
			return nil
		}
	}
	return nil
}

// dropUndone forgets what a party was told of.
func (r *Reconciler) dropUndone(ctx context.Context, t *Telling) error {
	for _, key := range t.Undone {
		_, version, err := r.Registry.Get(ctx, key)
		if err == nil {
			err = r.Registry.Put(ctx, key, nil, version)
		}
		if err != nil {
			return fmt.Errorf("%s cannot be removed: %w", key, err)
		}
	}
	return nil
}
