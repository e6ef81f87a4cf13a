package book

import (
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/lease"
	"github.com/tapswitch/tapswitch/switch/txn"
	"github.com/tapswitch/tapswitch/switch/upload"
)

// borne counts what the engine books by who bears it, and why.
func (r *rig) borne(card pan.Token) map[string]int {
	r.t.Helper()
	count := map[string]int{}
	for _, rec := range r.memoryRecords() {
		if rec.Card == card && rec.Offline {
			count[rec.Liability.String()+"/"+rec.Reason.String()]++
		}
	}
	return count
}

// What a gate served after the end of a lease is accepted and booked once, to the operator, and
// its answer says so, whatever freeze comes before the upload; sent again it is a repeat.
func TestRecordsAfterTheLease(t *testing.T) {
	r := newRig(t, nil)
	policy := r.engine.Policy()
	policy.Lease = lease.Terms{Length: hour, Margin: 60 * second, RenewedBy: lease.All()}
	if err := r.engine.SetPolicy(policy); err != nil {
		t.Fatal(err)
	}
	r.at = noon - 2*hour
	r.enrol(1, 5000) // its lease ends an hour before noon
	r.at = noon
	var g gate
	u := g.next(tap(0, 100, 7, 5000, 90), tap(0, 101, 8, 4810, 59), tap(0, 102, 9, 4620, 58))
	r.expect(r.take(u), "accepted accepted accepted/lease_ended")
	r.expect(r.take(u), "duplicate duplicate duplicate/lease_ended")
	r.balance(0, 4430)
	r.ids++
	freeze := txn.Request{ID: txn.RequestID{Terminal: txn.TerminalID{'D'}, Boot: 1, Counter: r.ids},
		Kind: txn.Freeze, Card: r.tokenOf(0), Currency: txn.CNY, ServiceAt: r.at, ReceivedAt: r.at,
		Listing: txn.Listing{Mark: txn.Mark{Reason: txn.Lost, Scope: txn.AppAll}, Actor: "desk/7"}}
	if a := r.engine.Authorize(t.Context(), &freeze); a.Decision.Outcome != txn.Approved {
		t.Fatalf("%+v", a)
	}
	r.expect(r.take(g.next(tap(0, 103, 10, 4430, 70), tap(0, 104, 11, 4240, 30))),
		"accepted accepted/lease_ended")
	if got := r.agree(0); got.Accepted.Records != 5 || got.Repeats != 3 {
		t.Errorf("gate: %+v", got)
	}
	if got := r.borne(r.tokenOf(0)); got["none/approved"] != 2 || got["operator/lease_ended"] != 2 ||
		got["open/approved"] != 1 {
		t.Errorf("borne: %v", got)
	}
	if got := upload.LeaseEnded.String(); got != "lease_ended" {
		t.Errorf("the reason is called %s", got)
	}
}

// A held record that a person accepts keeps saying that its card's lease had ended.
func TestAcceptedRecordsAfterTheLease(t *testing.T) {
	r := newRig(t, func(o *Options) { o.HoldBroken = true })
	policy := r.engine.Policy()
	policy.Lease = lease.Terms{Length: hour, Margin: 60 * second, RenewedBy: lease.All()}
	if err := r.engine.SetPolicy(policy); err != nil {
		t.Fatal(err)
	}
	r.at = noon - 2*hour
	r.enrol(1, 5000)
	r.at = noon
	var g gate
	r.expect(r.take(g.next(tap(0, 100, 7, 5000, 70))), "accepted")
	broken := g.next(tap(0, 101, 8, 4000, 30))
	r.expect(r.take(broken), "held/chain_broken")
	if err := r.s.Decide(t.Context(), Decision{ID: r.held()[0].ID, Accept: true, Actor: "wang"}); err != nil {
		t.Fatal(err)
	}
	r.expect(r.take(broken), "duplicate/lease_ended")
	if got := r.borne(r.tokenOf(0)); got["operator/lease_ended"] != 1 {
		t.Errorf("borne: %v", got)
	}
}
