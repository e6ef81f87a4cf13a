package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/switch/bank"
	"github.com/tapswitch/tapswitch/switch/bank/tally"
	"github.com/tapswitch/tapswitch/switch/sim/bankhost"
	"github.com/tapswitch/tapswitch/switch/sim/pos"
)

// TestE2EBankTotalsBetween: an 0500 comes between transactions and their reversals, with kill -9
// before and after it. Each counts in the period in which it was done, on both sides; a sale whose
// answer was lost, which nobody here knew of at the 0500, is named as the cause afterwards.
func TestE2EBankTotalsBetween(t *testing.T) {
	t.Parallel()
	w := reconTown(t, bankhost.Behaviour{Rules: []bankhost.Rule{
		{Kind: "purchase", AmountEnds: "74", Effect: bankhost.LoseAnswer},
		{Kind: "reversal", AmountEnds: "74", Times: 8, Effect: bankhost.LoseRequest},
		{Kind: "reversal", AmountEnds: "76", Times: 8, Effect: bankhost.LoseRequest}}})
	reconciled := func() (b bank.Batch) {
		t.Helper()
		out, _ := w.command("reconcile", "b0", "-o", "json") // totals that differ are an exit code
		if err := json.NewDecoder(strings.NewReader(out)).Decode(&b); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return b
	}
	again := func(l *till) {
		w.node.kill()
		w.start()
		l.hangUp()
	}
	l := w.till(1)
	voided, back := l.sale(pos.Purchase, 1, 1_500, nil), l.sale(pos.Purchase, 2, 2_000, nil)
	l.want(voided, "00")
	void := l.sale(pos.Void, 1, 1_500, voided)
	l.want(void, "00")
	l.want(back, "00")
	l.want(l.sale(pos.Purchase, 3, 1_000, nil), "00")
	untold := l.sale(pos.Purchase, 4, 3_076, nil)
	l.want(untold, "00")
	l.undo(untold, "00") // the bank hears of it later
	l.want(l.sale(pos.Purchase, 5, 5_074, nil), "98")
	again(l)
	first := reconciled()
	reversed := tally.Side{Count: 4, Amount: 7_576, ReversedCount: 1, ReversedAmount: 1_500}
	if first.Verdict != tally.Unbalanced || first.OurGross.Debits != reversed || first.Carried != 1 ||
		first.TheirGross.Debits.Amount != 12_650 {
		t.Errorf("the first period: %+v, ours %+v, theirs %+v", first, first.OurGross, first.TheirGross)
	}
	again(l)
	l.undo(back, "00")
	l.undo(void, "00") // what it voided stands again
	w.settled()
	second := reconciled()
	want := tally.Side{Count: 1, Amount: 1_500, ReversedCount: 3, ReversedAmount: 10_150}
	if second.Verdict != tally.Balanced || second.OurGross.Debits != want || second.Carried != 0 {
		t.Errorf("the second period: %+v, ours %+v, theirs %+v", second, second.OurGross,
			second.TheirGross)
	}
	var all []bank.Batch
	if err := w.ask("/bank/batches?terminal=bank@b0", &all); err != nil || len(all) != 2 ||
		all[0].Verdict != tally.Explained || len(all[0].Late) != 1 || all[0].Late[0].Amount != 5_074 {
		t.Errorf("%v: %+v", err, all)
	}
	if out, err := w.command("batches"); err != nil || !strings.Contains(out, "explained") ||
		!strings.Contains(out, "its answer was lost") {
		t.Errorf("%v: %s", err, out)
	}
	w.reconcile()
}
