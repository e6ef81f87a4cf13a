package bank

import (
	"fmt"
	"testing"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// SY11, SY16: nobody may hold a card back. No reason of ours asks a terminal to keep the card,
// and whatever a bank answers, with its codes for that among all others, reaches the terminal
// as a plain decline.
func TestDuty_SY11_NoCardIsHeldBack(t *testing.T) {
	keep := map[string]bool{"04": true, "34": true, "38": true, "41": true, "43": true}
	for r := range 256 {
		reason := txn.Reason(r)
		if keep[reason.Text().Field39] {
			t.Errorf("%s maps to field 39 %s", reason, reason.Text().Field39)
		}
		for code := range 100 {
			bank := [2]byte([]byte(fmt.Sprintf("%02d", code)))
			for _, outcome := range []txn.Outcome{txn.Declined, txn.Approved} {
				got := codeFor(txn.Decision{Outcome: outcome, Reason: reason}, bank)
				if keep[got] || got == "" {
					t.Errorf("%s with code %s of the bank reaches the terminal as %q", reason, bank, got)
				}
				if outcome == txn.Declined && reason != txn.ReasonNone && got == codeApproved {
					t.Errorf("%s with code %s of the bank reaches the terminal as approved", reason, bank)
				}
			}
		}
	}
}
