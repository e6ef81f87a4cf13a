package engine

import (
	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/fare/price"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// What the card agency asks for: amendments of a card, the way of balance and journey from
// a replaced card to its successor, and money that does not come from a terminal.

// AccountTransfer holds what is on its way between a replaced card and its successor.
const AccountTransfer txn.Account = "transfer"

// amend sets what the agency decided about the card. A successor is for ever.
func (d *decider) amend() txn.Reason {
	c, set := d.r.Change, &d.out.Next
	old := set.Life.Successor
	if c.Set&txn.ChangeSuccessor != 0 && (c.Successor.IsZero() || c.Successor == d.r.Card ||
		!old.IsZero() && old != c.Successor) {
		return txn.ReleaseClosed
	}
	if c.Set&txn.ChangeAccount != 0 && !set.Life.Expect(c.Predecessor) {
		return txn.LimitExceeded
	}
	for _, part := range [...]struct {
		set   txn.ChangeSet
		apply func()
	}{
		{txn.ChangeStatus, func() { set.Status = statusOf(c.Active) }},
		{txn.ChangeApps, func() { set.Apps = c.Apps }},
		{txn.ChangeBankWaiting, func() { set.Life.BankWaiting = c.BankWaiting }},
		{txn.ChangeRider, func() { set.Rider, set.Life.RiderUntil = c.Rider, c.RiderUntil }},
		{txn.ChangeExpiry, func() { set.ExpiresAt = c.ExpiresAt }},
		{txn.ChangeServed, func() { set.Life.ServedUntil = c.ServedUntil }},
		{txn.ChangeSuccessor, func() { set.Life.Successor = c.Successor }},
		{txn.ChangeAccount, func() { set.Life.Account = c.Account }},
		{txn.ChangeTrust, func() {
			set.Credit.Widen, set.Credit.Until = max(0, min(c.Widen, d.p.PostPaid.WidenMax)), c.WidenUntil
		}},
	} {
		if c.Set&part.set != 0 {
			part.apply()
		}
	}
	d.sweep()
	return txn.ReasonNone
}

func statusOf(active bool) card.Status {
	if active {
		return card.Active
	}
	return card.Inactive
}

// sweep has what a replaced card holds brought to its successor: the due entry stands until
// the transfer has arrived.
func (d *decider) sweep() {
	if d.out.Next.Owed() {
		d.moveDue(store.DueChange{At: d.now})
	}
}

// moveDue adds or removes the due entry of the card's transfer.
func (d *decider) moveDue(change store.DueChange) {
	n := len(d.out.Due)
	change.Key = appendMoveKey(d.out.dueKeys[n][:0], d.r.Card)
	d.out.due[n] = change
	d.out.Due = d.out.due[:n+1]
}

// transferOut takes everything off a replaced card that belongs to its successor, and ends
// the transfer when it has arrived. One transfer is under way at a time, so that each can be
// repeated until it is known to have arrived.
func (d *decider) transferOut() txn.Reason {
	m, c := d.r.Move, &d.out.Next
	l := &c.Life
	switch {
	case m.Arrived:
		return d.endTransfer()
	case l.Successor.IsZero() || l.Successor != m.Other:
		return txn.NothingToMove
	case l.Moving.Open && m.Seq == l.MovedOut:
		d.again = true
		return txn.ReasonNone
	case l.Moving.Open || m.Seq != l.MovedOut+1 || !c.Owed():
		return txn.NothingToMove
	}
	amount := max(0, c.Balance)
	if reason := d.move(-amount); reason != txn.ReasonNone {
		return reason
	}
	l.MovedOut, l.Moving = m.Seq, card.Moving{Open: true, Amount: amount}
	d.moveDue(store.DueChange{At: d.now})
	return txn.ReasonNone
}

// endTransfer forgets what has arrived, the journey too, and looks whether more has come.
func (d *decider) endTransfer() txn.Reason {
	c := &d.out.Next
	if !c.Life.Moving.Open || d.r.Move.Seq != c.Life.MovedOut {
		return txn.NothingToMove
	}
	c.Life.Moving = card.Moving{}
	c.Rides = nil
	c.DropUndo()
	if c.Journey.Open() {
		d.forgetJourney()
	}
	d.again = true
	if c.Owed() {
		d.moveDue(store.DueChange{At: d.now})
	} else {
		d.moveDue(store.DueChange{Remove: true})
	}
	return txn.ReasonNone
}

// transferIn gives a transfer to the successor, once.
func (d *decider) transferIn() txn.Reason {
	m, c := d.r.Move, &d.out.Next
	from := c.Life.Arrival(m.Other)
	switch {
	case from == nil:
		return txn.NothingToMove
	case m.Seq <= from.Seq:
		d.again = true
		return txn.ReasonNone
	case m.Seq != from.Seq+1:
		return txn.NothingToMove
	}
	if reason := d.move(d.r.Amount); reason != txn.ReasonNone {
		return reason
	}
	from.Seq = m.Seq
	if reason := d.adoptRides(m.Rides); reason != txn.ReasonNone {
		return reason
	}
	if m.EnteredAt != 0 && !c.Journey.Open() {
		c.Journey = card.Journey{EnteredAt: m.EnteredAt, Station: m.Station, Line: m.Line,
			Operator: m.Operator, Request: m.Entry}
		d.changeDue(m.Entry, store.DueChange{At: m.EnteredAt + d.p.JourneyLapse})
	}
	d.sweep() // it may have been replaced in its turn
	return txn.ReasonNone
}

// adoptRides gives the successor the rides and passes of the card that it replaces.
func (d *decider) adoptRides(rides []byte) txn.Reason {
	d.out.Next.DropUndo()
	if len(rides) == 0 {
		return txn.ReasonNone
	}
	var own, old price.State
	if err := old.Decode(rides); err != nil {
		d.out.Damaged = true
		return txn.StoreUnavailable
	}
	if !d.readRides(&own) {
		return txn.StoreUnavailable
	}
	own.Adopt(&old)
	d.storeRides(&own)
	return txn.ReasonNone
}

// move adds amount to the balance, in the sense of the card: charged is what it pays.
func (d *decider) move(amount txn.Minor) txn.Reason {
	after, err := d.out.Next.Balance.Add(amount)
	if err != nil {
		return txn.InvalidAmount
	}
	d.out.Next.Balance, d.charged = after, -amount
	return txn.ReasonNone
}

// fee books what was paid at the desk; the purse has no part in it.
func (d *decider) fee() txn.Reason {
	d.charged = d.r.Amount
	return txn.ReasonNone
}

// payout gives a balance back. A card that owes something gets nothing.
func (d *decider) payout() txn.Reason {
	if d.r.Amount > d.out.Next.Balance {
		return txn.InsufficientFunds
	}
	return d.move(-d.r.Amount)
}

// credit gives the holder what another party bears (Liable, Compensation), or takes it back
// with a negative amount. A holder who spent it meanwhile owes it.
func (d *decider) credit() txn.Reason {
	if reason := d.move(d.r.Amount); reason != txn.ReasonNone {
		return reason
	}
	d.sweep()
	return txn.ReasonNone
}

// A key of a transfer is its owner and the card that was replaced.
const moveKeySize = 1 + pan.TokenSize

func appendMoveKey(dst []byte, from pan.Token) []byte {
	return append(append(dst, DueMove), from[:]...)
}

// ParseMoveKey returns the replaced card whose transfer is due; false for a key of another
// kind.
func ParseMoveKey(key []byte) (from pan.Token, ok bool) {
	if len(key) != moveKeySize || key[0] != DueMove {
		return from, false
	}
	copy(from[:], key[1:])
	return from, true
}
