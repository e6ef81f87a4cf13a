package engine

import (
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// The purse: what a card pays and is given. A positive charge is paid by the card.

// pay takes charge off the purse. An off-line record is booked although the balance is
// short: the card has paid already.
func (d *decider) pay(charge txn.Minor) txn.Reason {
	left, err := d.out.Next.Balance.Add(-charge)
	switch {
	case err != nil:
		return txn.InvalidAmount
	case left < 0 && charge > 0 && !d.r.Offline && !d.mayOwe(charge):
		return txn.InsufficientFunds
	}
	d.out.Next.Balance = left
	d.charged = charge
	return txn.ReasonNone
}

func (d *decider) purchase() txn.Reason {
	if d.r.Amount > d.p.PurchaseMax {
		return txn.LimitExceeded
	}
	return d.pay(d.r.Amount)
}

func (d *decider) load() txn.Reason {
	if d.r.Amount > d.p.LoadMax {
		return txn.LimitExceeded
	}
	after, err := d.out.Next.Balance.Add(d.r.Amount)
	if err != nil || after > d.p.BalanceMax {
		return txn.BalanceTooHigh
	}
	return d.pay(-d.r.Amount)
}

// refund gives back a part of what the original charged. The original must be in the
// card's memory: an older one is a case for an adjustment by finance.
func (d *decider) refund() txn.Reason {
	i, reason := d.original()
	if reason != txn.ReasonNone {
		return reason
	}
	m := &d.out.Next.Recent[i]
	switch {
	case m.Kind != txn.Purchase && !m.Kind.IsTap():
		return txn.OriginalNotRefundable
	case d.r.Amount > m.Charged-m.Refunded:
		return txn.RefundTooLarge
	}
	if reason := d.bookCounter(); reason != txn.ReasonNone {
		return reason
	}
	if reason := d.pay(-d.r.Amount); reason != txn.ReasonNone {
		return reason
	}
	m.Refunded += d.r.Amount
	d.refundOf = m.Fingerprint
	if m.Kind.IsTap() {
		d.putRight()
	}
	d.sweep()
	return txn.ReasonNone
}

// reverse undoes the original whatever it moved. When the original has not been seen,
// a tombstone makes sure that it is not executed should it still arrive.
func (d *decider) reverse() txn.Reason {
	i, reason := d.original()
	if reason != txn.ReasonNone {
		return reason
	}
	m := &d.out.Next.Recent[i]
	if m.Refunded != 0 || !reversible(m) || m.Kind.IsTap() && m.Charged < 0 && !m.Undoable {
		return txn.OriginalNotRefundable // who gave back for a told end is not known any more
	}
	if reason := d.bookCounter(); reason != txn.ReasonNone {
		return reason
	}
	// A load that was spent is undone all the same: the money was never received. The
	// balance may go below zero, and shows what the holder owes.
	left, err := d.out.Next.Balance.Add(m.Charged)
	if err != nil {
		return txn.InvalidAmount
	}
	if j := &d.out.Next.Journey; m.Undoable {
		switch {
		case d.untell(m):
		case m.Kind == txn.MetroEntry && m.Charged != 0:
			d.payee = payeeOf(d.out.Next.Undo.Journey.Operator) // who was paid for the ride before
		}
		d.restoreRides()
	} else {
		if m.Kind == txn.MetroEntry && j.Open() && j.Request == m.ID {
			d.forgetJourney()
		}
		if m.Kind.IsTap() && m.Charged != 0 {
			d.putRight()
		}
	}
	d.out.Next.Balance = left
	d.charged = -m.Charged
	if m.Kind.IsTap() {
		d.fullFare = -m.FullFare
	}
	m.Reversed = true
	if m.Kind == txn.Refund {
		d.restore(m)
	}
	d.sweep()
	return txn.ReasonNone
}

// restore lets the original of a reversed refund be refunded again, as far as the card
// still remembers it.
func (d *decider) restore(refund *card.Recent) {
	for i := range d.out.Next.Recent {
		m := &d.out.Next.Recent[i]
		if m.Fingerprint == refund.RefundOf && m.Reason == txn.ReasonNone {
			m.Refunded += refund.Charged
		}
	}
}

// reversible reports whether a request can be undone. A pass or a correction is no longer,
// once a tap has made use of it: the money alone would leave the pass on the card.
func reversible(m *card.Recent) bool {
	switch m.Kind {
	case txn.PassSale, txn.Correction:
		return m.Undoable
	default:
		return m.Kind.IsTap() || m.Kind == txn.Purchase || m.Kind == txn.Load || m.Kind == txn.Refund
	}
}

// original finds the request that a refund or reversal names.
func (d *decider) original() (int, txn.Reason) {
	i := d.out.Next.Find(d.r.Original)
	switch {
	case i < 0:
		return 0, txn.OriginalUnknown
	case d.out.Next.Recent[i].Tombstone || d.out.Next.Recent[i].Reversed:
		return 0, txn.OriginalReversed
	case d.out.Next.Recent[i].Reason != txn.ReasonNone:
		return 0, txn.OriginalDeclined
	default:
		return i, txn.ReasonNone
	}
}

// tombstone makes the card remember a request that was reversed before it came.
func (d *decider) tombstone() {
	d.out.Next.Remember(card.Recent{
		ID: d.r.Original, ServiceAt: d.r.ServiceAt, Kind: txn.Reversal,
		Reason: txn.OriginalReversed, Tombstone: true,
	}, d.now)
}
