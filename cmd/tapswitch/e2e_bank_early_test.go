package main

import (
	"testing"

	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/sim/bankhost"
	"github.com/tapswitch/tapswitch/switch/sim/pos"
)

// TestE2EBankEarlyAdjustment: an adjustment that comes while its sale's advice is still on its
// way to the bank waits at the terminal: repeated under its own trace number, as 0220 or 0221, it
// is taken once the bank has the sale, and booked once.
func TestE2EBankEarlyAdjustment(t *testing.T) {
	t.Parallel()
	w := newBankTown(t, bankPlan{behaviour: bankhost.Behaviour{Rules: []bankhost.Rule{
		{Kind: "offline_sale", Times: 2, Effect: bankhost.LoseRequest}}}})
	l := w.till(1)
	l.signOnPlain()
	sold := l.sale(pos.OfflineSale, 1, 5_000, nil)
	l.want(sold, "00")
	more := l.amend(&tillAdjust, sold, 6_500)
	l.want(more, "91")
	w.settled()
	more.change = func(m *message.Message) { m.SetMTI(m.MTI().Repeat()) }
	l.want(more, "00")
	l.want(more, "00")
	w.settled()
	w.reconcile()
	sums, _ := w.theirs()
	var moved int64
	for _, s := range sums {
		moved += s.Minor
	}
	if moved != 6_500 {
		t.Errorf("the bank has %d", moved)
	}
}
