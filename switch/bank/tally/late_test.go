package tally_test

import (
	"context"
	"testing"

	"github.com/tapswitch/tapswitch/switch/bank/tally"
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// between is a bank that is told totals while it has not heard of everything.
type between struct {
	t    *testing.T
	r    *tally.Reconciler
	b    *books
	open tally.Open
	stan uint32
}

// tell tells the totals, which must be as wanted, and has the bank answer with its own.
func (w *between) tell(want, theirs tally.Gross) tally.Batch {
	w.t.Helper()
	w.b.now += 1000
	got, err := w.r.Tell(w.t.Context(), "bank@1", tally.Asking{Of: all,
		Open: func() tally.Open { return w.open }, Number: func() (uint32, string, error) {
			w.stan++
			return w.stan, "1122040000", nil
		}})
	if err != nil || got.Ours != want {
		w.t.Fatalf("%v: %+v, want %+v", err, got.Ours, want)
	}
	said := "1"
	if want != theirs {
		said = "2"
	}
	batch, err := w.r.Told(w.t.Context(), "bank@1", got, tally.Reply{Said: said, Gross: theirs,
		Known: true, Agrees: true})
	if err != nil {
		w.t.Fatal(err)
	}
	return batch
}

func debits(count, amount, reversed, reversedAmount int64) tally.Gross {
	return tally.Gross{Debits: tally.Side{Count: count, Amount: amount, ReversedCount: reversed,
		ReversedAmount: reversedAmount}}
}

func (w *between) record(n uint32, kind txn.Kind, charged txn.Minor, of uint32) {
	r := record(n, kind, charged, of)
	r.BusinessDate = 20261122
	w.b.records = append(w.b.records, r)
}

// What the bank has not heard of is told in the period in which it hears of it: reversals, and
// advices whose sale is in the ledger, over as many periods as it takes.
func TestTellOfWhatIsOpen(t *testing.T) {
	r, b := reconciler(t)
	w := &between{t: t, r: r, b: b, open: tally.Open{id(1): true, id(3): false}}
	w.record(1, txn.BankPurchase, 100, 0)
	w.record(2, txn.BankReversal, -100, 1)
	w.record(3, txn.BankPurchase, 30, 0) // approved off line
	w.record(4, txn.BankPurchase, 7, 0)
	if got := w.tell(debits(2, 107, 0, 0), debits(2, 107, 0, 0)); got.Verdict != tally.Balanced ||
		got.Carried != 2 {
		t.Errorf("%+v", got)
	}
	w.open = tally.Open{id(1): true}
	if got := w.tell(debits(1, 30, 0, 0), debits(1, 30, 0, 0)); got.Carried != 1 {
		t.Errorf("%+v", got)
	}
	w.open = nil
	w.tell(debits(0, 0, 1, 100), debits(0, 0, 1, 100))
	w.tell(tally.Gross{}, tally.Gross{})
}

// A void that is reversed after its totals were told makes a debit again; a refund so reversed is
// taken back among the credits.
func TestReversedAfterTheTotals(t *testing.T) {
	r, b := reconciler(t)
	w := &between{t: t, r: r, b: b}
	w.record(1, txn.BankPurchase, 100, 0)
	w.record(2, txn.BankVoid, -100, 1)
	w.record(3, txn.BankRefund, -40, 0)
	first := debits(1, 100, 1, 100)
	first.Credits = tally.Side{Count: 1, Amount: 40}
	w.tell(first, first)
	w.record(4, txn.BankReversal, 100, 2)
	w.record(5, txn.BankReversal, 40, 3)
	second := debits(1, 100, 0, 0)
	second.Credits = tally.Side{ReversedCount: 1, ReversedAmount: 40}
	w.tell(second, second)
}

// A sale whose answer was lost, that the bank counted before an 0500 and undid after it, is named
// in the batch of its own period, however many periods later; the reversal counts where it was
// done. What else differs is not explained by it.
func TestUndoneAfterTheTotals(t *testing.T) {
	for _, off := range []int64{0, 1} {
		r, b := reconciler(t)
		w := &between{t: t, r: r, b: b}
		w.record(1, txn.BankPurchase, 100, 0)
		lost := &card.BankTxn{ID: id(9), Kind: txn.BankPurchase, Amount: 50, At: b.now}
		if got := w.tell(debits(1, 100, 0, 0), debits(2, 150+off, 0, 0)); got.Verdict !=
			tally.Unbalanced {
			t.Errorf("%+v", got)
		}
		w.tell(tally.Gross{}, tally.Gross{})
		for range 2 { // said twice
			b.now += 1000
			if err := r.Undid(t.Context(), "bank@1", lost); err != nil {
				t.Fatal(err)
			}
		}
		w.tell(debits(0, 0, 1, 50), debits(0, 0, 1, 50))
		batches, err := tally.Batches(t.Context(), r.Registry, "bank@1")
		want := map[int64]string{0: tally.Explained, 1: tally.Unbalanced}[off]
		if err != nil || len(batches) != 3 || batches[0].Verdict != want ||
			len(batches[0].Late) != 1 || batches[0].Late[0] != (tally.Late{
			Request: id(9).String(), Amount: 50}) || len(batches[1].Late) != 0 {
			t.Errorf("%v: %+v", err, batches)
		}
	}
}

// Before everything open is known Tell waits, and ends with its context.
func TestTellWaitsUntilItIsSure(t *testing.T) {
	r, b := reconciler(t)
	r.Sure = b.now + 3_600_000
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Tell(ctx, "bank@1", tally.Asking{Of: all}); err == nil {
		t.Error("told before it was sure")
	}
}

func TestDoubted(t *testing.T) {
	b := &card.BankTxn{Kind: txn.BankPurchase}
	if !tally.Doubted(b) {
		t.Error("a sale without an answer is in doubt")
	}
	b.Code = [2]byte{'0', '0'}
	if refund := (&card.BankTxn{Kind: txn.BankRefund}); tally.Doubted(b) || tally.Doubted(refund) {
		t.Error("what was answered, and a refund, are not in doubt")
	}
}
