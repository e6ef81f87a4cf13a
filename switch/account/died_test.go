package account_test

import (
	"testing"

	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// A number that died without the account is dead in it from then on, once, and another card
// may be applied for in its place, which gets the money.
func TestNumberDied(t *testing.T) {
	d := opened(t, plain())
	old := d.doc.Carriers[0].Token
	d.must(account.NumberDied{Carrier: old})
	if got := d.doc.MarkOf(old); got.Reason != txn.Replaced || d.doc.Carrier(old) != nil {
		t.Fatalf("bears %+v", got)
	}
	if out := d.do(account.NumberDied{Carrier: old}); !out.Replay {
		t.Fatalf("died twice: %+v", out)
	}
	d.refused(account.NumberDied{Carrier: token(4711)}, account.UnknownCarrier)
	d.settle()
	d.replace(old, token(50))
	if f := d.doc.Gone(old); f == nil || f.Successor != token(50) {
		t.Fatalf("%+v", f)
	}
}

// A number that died as cancelled has no successor.
func TestNumberDiedCancelled(t *testing.T) {
	d := opened(t, plain())
	old := d.doc.Carriers[0].Token
	d.must(account.NumberDied{Carrier: old, Cancelled: true})
	if got := d.doc.MarkOf(old); got.Reason != txn.Cancelled {
		t.Fatalf("bears %+v", got)
	}
	d.refused(account.ApplyReplacement{Who: holder, Old: old, Accept: true}, account.CarrierNotActive)
}

// A freeze by risk control that closes more than the one before is added to it; all are lifted
// at once, by somebody who made none of them.
func TestFreezeRiskIsWidened(t *testing.T) {
	d := opened(t, plain())
	chip := d.doc.Carriers[0].Token
	d.as("risk.1", "desk", func() { d.must(account.FreezeRisk{Scope: txn.AppPurse, Ground: "cloned"}) })
	d.as("risk.2", "desk", func() {
		d.refused(account.FreezeRisk{Scope: txn.AppPurse, Ground: "cloned"}, account.AlreadyReported)
		d.must(account.FreezeRisk{Scope: txn.AppTransit, Ground: "forged"})
	})
	if !d.doc.MarkOf(chip).Scope.Has(txn.AppTransit) {
		t.Fatalf("bears %+v", d.doc.MarkOf(chip))
	}
	for _, who := range []string{"risk.1", "risk.2"} {
		d.as(who, "desk", func() { d.refused(account.LiftRisk{Why: "checked"}, account.SamePerson) })
	}
	d.as("risk.3", "desk", func() { d.must(account.LiftRisk{Why: "checked"}) })
	if got := d.doc.MarkOf(chip); got != (txn.Mark{}) {
		t.Fatalf("bears %+v", got)
	}
}
