package tally_test

import (
	"testing"

	"github.com/tapswitch/tapswitch/switch/bank/tally"
)

// What a bank undid counts once, gross and reversed, in the totals that it is told next, and in
// all their repeats; what it undid of another bank's, or while it was told, does not.
func TestTellOfWhatWasUndone(t *testing.T) {
	r, b := reconciler(t)
	b.add(1, 100)
	keep := func(party string, n uint32, amount int64) {
		t.Helper()
		if err := tally.KeepUndone(t.Context(), r.Registry, party, id(n),
			tally.Undone{Amount: amount, At: b.now}); err != nil {
			t.Fatal(err)
		}
	}
	numbers := uint32(0)
	tell := func(want tally.Side) tally.Telling {
		t.Helper()
		got, err := r.Tell(t.Context(), "bank@1", tally.Asking{Of: all, Number: func() (uint32, string, error) {
			numbers++
			return numbers, "1122040000", nil
		}})
		if err != nil || got.Ours.Debits != want {
			t.Fatalf("%v: %+v, want %+v", err, got.Ours.Debits, want)
		}
		return got
	}
	keep("bank@1", 2, 70)
	keep("bank@1", 2, 70) // told twice
	keep("bank@1", 3, 5)
	keep("bank@11", 4, 900)
	first := tally.Side{Count: 3, Amount: 175, ReversedCount: 2, ReversedAmount: 75}
	tell(first)
	keep("bank@1", 5, 8)
	told := tell(first)
	batch, err := r.Told(t.Context(), "bank@1", told, tally.Reply{Said: "1", Gross: told.Ours,
		Known: true, Agrees: true})
	if err != nil || batch.Verdict != tally.Balanced || batch.Ours.DebitAmount != 100 {
		t.Fatalf("%v: %+v", err, batch)
	}
	tell(tally.Side{Count: 1, Amount: 8, ReversedCount: 1, ReversedAmount: 8})
}
