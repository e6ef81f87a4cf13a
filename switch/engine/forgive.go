package engine

import (
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/fare/price"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// forgive gives back what a journey was charged that an order of a degraded mode forgives
// afterwards. What the card remembers of the charge bounds it; a journey that its holder could
// still correct himself is taken away from him here, in the same commit, and one that he has
// corrected since the office looked is refused.
func (d *decider) forgive() txn.Reason {
	if reason := d.forgivable(); reason != txn.ReasonNone {
		return reason
	}
	var s price.State
	if !d.readRides(&s) {
		return txn.StoreUnavailable
	}
	mine := d.isForgiven(&s)
	if d.r.Forgiven.Open && !mine {
		return txn.OriginalNotRefundable
	}
	if reason := d.move(d.r.Amount); reason != txn.ReasonNone {
		return reason
	}
	d.cause(causeGrace, d.r.Amount)
	if mine || s.HasPast() {
		if mine {
			s.DropIncomplete()
		}
		s.DropPast() // nothing of it is given back twice
		d.storeRides(&s)
	}
	d.forgiveUndone()
	if m := d.chargeOf(); m != nil { // last of all: the memory is not taken back
		m.Refunded += d.r.Amount
	}
	return txn.ReasonNone
}

// chargeOf returns what the card remembers of the charge, nil when it does not.
func (d *decider) chargeOf() *card.Recent {
	i := d.out.Next.Find(d.r.Original)
	if i < 0 || d.r.Forgiven.Lapsed {
		return nil
	}
	return &d.out.Next.Recent[i]
}

// forgivable refuses more than the charge, what was undone, and what another card has now.
func (d *decider) forgivable() txn.Reason {
	m := d.chargeOf()
	switch {
	case d.r.Amount <= 0:
		return txn.InvalidAmount
	case !d.out.Next.Life.Successor.IsZero():
		return txn.CardReplaced // its successor has the journey now, and may correct it
	case m == nil:
		return txn.ReasonNone
	case m.Tombstone || m.Reversed:
		return txn.OriginalReversed
	case m.Reason != txn.ReasonNone:
		return txn.OriginalDeclined
	case d.r.Amount > m.Charged-m.Refunded:
		return txn.RefundTooLarge
	default:
		return txn.ReasonNone
	}
}

// isForgiven reports whether the incomplete journey that s knows is the one that is forgiven.
// Its time may be that of a later tap, by as much as clocks may differ.
func (d *decider) isForgiven(s *price.State) bool {
	f, known := d.r.Forgiven, s.Incomplete()
	return f.Station != "" && known.At != 0 && known.Station == price.NameOf(f.Station) &&
		known.At >= f.At && known.At <= f.At+d.p.FutureMax
}

// forgiveUndone takes the journey out of how the card was before its last tap: a reversal of
// that tap must not bring it back. What cannot be read is forgotten.
func (d *decider) forgiveUndone() {
	u := &d.out.Next.Undo
	if !u.Set {
		return
	}
	var s price.State
	if err := s.Decode(u.Rides); err != nil {
		d.out.Next.DropUndo()
		return
	}
	if forgiven := d.isForgiven(&s); forgiven || s.HasPast() {
		if forgiven {
			s.DropIncomplete()
		}
		s.DropPast()
		u.Rides = s.Append(nil)
	}
}
