package engine

import (
	"github.com/tapswitch/tapswitch/switch/lease"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// The freeze lease: until when a purse may be served off line. It is renewed by what the switch
// approves while the card is there, in the write that the transaction makes anyway. A balance
// writes nothing else, so it renews only when less than half of the lease is left.

// renewLease renews the lease of an approved contact and tells its end.
func (d *decider) renewLease() {
	t, c := &d.p.Lease, &d.out.Next
	contact := lease.ContactOf(d.r)
	if t.None() || contact == lease.NoContact {
		return
	}
	valid, ok := c.PurseValid(d.v.Mark, d.now)
	if ok && t.RenewedBy.Has(contact) && (contact != lease.Balance || c.Lease.Moves(t, d.now)) {
		next := c.Lease.Renew(t, d.now, valid, d.now-d.p.OfflineAgeMax)
		d.out.Write = d.out.Write || next != c.Lease
		c.Lease = next
	}
	d.tellLease()
}

// tellLease tells until when the purse may be served off line, in the answer to a contact or to
// a copy of one: what a frozen card bears in its memory is not told.
func (d *decider) tellLease() {
	c := &d.out.Next
	if d.p.Lease.None() || lease.ContactOf(d.r) == lease.NoContact {
		return
	}
	d.out.Decision.LeaseUntil = c.Lease.Until
	if _, ok := c.PurseValid(d.v.Mark, d.now); !ok || c.Lease.Until <= d.now {
		d.out.Decision.LeaseUntil = txn.LeaseNone
	}
}

// leaseEnded reports whether a gate served the purse off line when its lease had ended. The money
// was taken, so the record is booked; that the gate should have refused the card is its own to
// bear, whatever a freeze says of the moment.
func (d *decider) leaseEnded() bool {
	served := d.r.Offline && d.r.Code.IsZero() && (d.r.Kind.IsTap() || d.r.Kind == txn.Purchase)
	return served && d.out.Decision.Outcome == txn.Approved &&
		d.out.Next.Lease.Ended(&d.p.Lease, d.r.ServiceAt)
}
