package engine

import (
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/fare"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Rides: metro entry and exit, bus boarding, and the lapse of a journey that never ended.

// enter opens a journey. A second entry soon after the first is two people with one
// card; later it is a ride whose exit was missed, which is given up. A terminal that
// computes fares has read the card itself and has made this judgement.
func (d *decider) enter() txn.Reason {
	j := d.out.Next.Journey
	if j.Open() && !d.judgedByTerminal() && d.r.ServiceAt-j.EnteredAt < d.p.PassBackWindow {
		return txn.PassBack
	}
	if d.r.FareGiven && (!d.judgedByTerminal() || d.r.Amount != 0 || d.r.FullFare != 0) {
		return txn.FareMismatch
	}
	if j.Open() {
		d.forgetJourney()
	}
	d.out.Next.Journey = card.Journey{
		EnteredAt: d.r.ServiceAt, Station: d.r.Place.Station, Line: d.r.Place.Line,
		Operator: d.r.Place.Operator, Request: d.r.ID,
	}
	d.changeDue(d.r.ID, store.DueChange{At: d.r.ServiceAt + d.p.JourneyLapse})
	return txn.ReasonNone
}

// exit closes the journey and charges it. With a fare from the terminal an exit without
// an entry is booked: the entry was read off the card, our side may not have it yet.
func (d *decider) exit() txn.Reason {
	j := d.out.Next.Journey
	if !j.Open() && !d.judgedByTerminal() {
		return txn.NoEntry
	}
	if j.Open() && !d.judgedByTerminal() {
		switch ridden := d.r.ServiceAt - j.EnteredAt; {
		case ridden > d.p.JourneyMax:
			return txn.JourneyTooLong
		case ridden < -d.p.FutureMax: // more than clocks may differ: not the exit of this ride
			return txn.NoEntry
		}
	}
	if reason := d.charge(func() (fare.Quote, bool) {
		return d.p.Tariff.Metro(j.Station, d.r.Place.Station, d.out.Next.RiderAt(d.r.ServiceAt))
	}); reason != txn.ReasonNone {
		return reason
	}
	if j.Open() {
		d.ridden = j
		d.forgetJourney()
	}
	return txn.ReasonNone
}

// judgedByTerminal reports whether the terminal computed the fare and the scheme lets it.
func (d *decider) judgedByTerminal() bool { return d.r.FareGiven && d.p.AcceptTerminalFare }

func (d *decider) board() txn.Reason {
	return d.charge(func() (fare.Quote, bool) {
		return d.p.Tariff.Bus(d.r.Place.Line, d.out.Next.RiderAt(d.r.ServiceAt))
	})
}

// charge takes the fare that the terminal gave, or the quoted one.
func (d *decider) charge(quote func() (fare.Quote, bool)) txn.Reason {
	if d.r.FareGiven {
		if !d.judgedByTerminal() || d.r.Amount > d.r.FullFare {
			return txn.FareMismatch
		}
		d.fullFare = d.r.FullFare
		return d.pay(d.r.Amount)
	}
	q, ok := quote()
	if !ok {
		return txn.UnknownFare
	}
	d.fullFare = q.FullFare
	return d.pay(q.Charged)
}

// lapse closes the journey that the due entry named, if it is still open.
func (d *decider) lapse() txn.Reason {
	j := d.out.Next.Journey
	if !j.Open() || j.Request != d.r.Original {
		return txn.NoEntry
	}
	d.ridden = j
	d.forgetJourney()
	return txn.ReasonNone
}

// forgetJourney closes the journey and takes its due entry away.
func (d *decider) forgetJourney() {
	d.changeDue(d.out.Next.Journey.Request, store.DueChange{Remove: true})
	d.out.Next.Journey = card.Journey{}
}

// changeDue adds a change for the journey that request opened. One decision changes at
// most two: a journey given up and the one that takes its place.
func (d *decider) changeDue(request txn.RequestID, change store.DueChange) {
	n := len(d.out.Due)
	change.Key = appendLapseKey(d.out.dueKeys[n][:0], d.r.Card, request)
	d.out.due[n] = change
	d.out.Due = d.out.due[:n+1]
}
