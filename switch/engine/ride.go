package engine

import (
	"slices"

	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/fare/price"
	"github.com/tapswitch/tapswitch/switch/passback"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Rides: metro entry and exit, bus boarding, and the lapse of a journey that never ended.

// enter opens a journey. A second entry soon after the first is two people with one
// card; later it is a ride whose exit was missed, which is given up at its price. A terminal
// that computes fares has read the card itself and has made this judgement. An off-line entry
// that is told after a later one, or after the exit that ended it, is booked and opens nothing:
// a journey that it opened would lapse one day at the price of an exit that was missed.
func (d *decider) enter() txn.Reason {
	j := d.out.Next.Journey
	since := d.r.ServiceAt - j.EnteredAt
	older := d.r.Offline && (j.Open() && since <= -d.p.PassBackWindow || d.leftSince())
	verdict := d.passBack(older)
	if reason := verdict.Reason(); reason != txn.ReasonNone {
		return reason
	}
	if d.r.FareGiven && (!d.judgedByTerminal() || d.r.Amount != 0 || d.r.FullFare != 0) {
		return txn.FareMismatch
	}
	if d.r.Offline {
		if told, reason := d.tellEntry(); told {
			return reason
		}
	}
	if older {
		return d.laterEntry()
	}
	if verdict == passback.Another && j.Open() {
		return txn.ReasonNone // it opens no ride: one on the same card is open
	}
	if d.out.Next.Balance < 0 && !d.r.Offline && !d.judgedByTerminal() && !d.mayOwe(0) {
		return txn.InsufficientFunds // who owes something begins no ride that he may leave unpaid
	}
	if reason := d.giveUpFor(j); reason != txn.ReasonNone {
		return reason
	}
	d.out.Next.Journey = card.Journey{
		EnteredAt: d.r.ServiceAt, Station: d.r.Place.Station, Line: d.r.Place.Line,
		Operator: d.r.Place.Operator, Request: d.r.ID,
	}
	d.changeDue(d.r.ID, store.DueChange{At: d.r.ServiceAt + d.p.JourneyLapse})
	return txn.ReasonNone
}

// leftSince reports whether the card remembers an exit that was served after the request: gates
// that work off line tell what they have in any order.
func (d *decider) leftSince() bool {
	return slices.ContainsFunc(d.out.Next.Recent, func(m card.Recent) bool {
		return m.Kind == txn.MetroExit && m.Reason == txn.ReasonNone && !m.Reversed && !m.Tombstone &&
			m.ServiceAt > d.r.ServiceAt
	})
}

// giveUpFor makes room for a new journey: j, if it is open, is charged as incomplete. The
// class and the mode of the new one are kept where they are not the standard and metro.
func (d *decider) giveUpFor(j card.Journey) txn.Reason {
	special := d.r.Business || d.mode() != price.Metro
	if !j.Open() && !special {
		return txn.ReasonNone
	}
	var s price.State
	if !d.readRides(&s) {
		return txn.StoreUnavailable
	}
	if j.Open() {
		d.undo = card.Undo{Set: true, Rides: d.out.Next.Rides, Journey: j}
		if !d.judgedByTerminal() {
			if reason := d.pay(d.giveUp(&s, &j)); reason != txn.ReasonNone {
				return reason
			}
		}
		d.forgetJourney()
	}
	s.Journey = price.Journey{}
	if special {
		s.Journey = d.journeyOf(&card.Journey{EnteredAt: d.r.ServiceAt, Station: d.r.Place.Station,
			Line: d.r.Place.Line, Operator: d.r.Place.Operator})
		s.Journey.Mode, s.Journey.Class = d.mode(), classOf(d.r)
	}
	d.keepRides(&s)
	return txn.ReasonNone
}

// exit closes the journey and charges it. With a fare from the terminal an exit without
// an entry is booked: the entry was read off the card, our side may not have it yet. Without
// one it costs what the tariff asks where the entry is missing, or is refused.
func (d *decider) exit() txn.Reason {
	if reason := d.passBack(false).Reason(); reason != txn.ReasonNone {
		return reason
	}
	j := d.out.Next.Journey
	lead, companion := d.companionsRide()
	if companion {
		j, d.companion = lead, true
		d.note(txn.CauseCompanion)
	}
	d.others = d.inside(&j) - 1
	ended, reason := d.ends(&j)
	if d.r.Offline && (!ended || d.r.ServiceAt < j.EnteredAt) {
		if told, reason := d.tellExit(); told {
			return reason
		}
	}
	d.undo = card.Undo{Rides: d.out.Next.Rides, Journey: j}
	switch {
	case reason != txn.ReasonNone:
		return reason
	case d.r.FareGiven && !ended:
		d.undo = card.Undo{}
		reason = d.given(&card.Journey{}) // of a ride whose entry is not known, or of one before j
	case d.r.FareGiven:
		reason = d.given(&j)
	default:
		reason = d.exitPriced(&j, ended)
	}
	if reason != txn.ReasonNone || !ended {
		return reason
	}
	d.undo.Set = true
	d.ridden = j
	if d.out.Next.Journey.Request == j.Request && d.others <= 0 {
		d.forgetJourney()
	}
	return txn.ReasonNone
}

// ends reports whether an exit is the end of the open journey j.
func (d *decider) ends(j *card.Journey) (ended bool, reason txn.Reason) {
	ridden := d.r.ServiceAt - j.EnteredAt
	if d.judgedByTerminal() {
		return j.Open() && ridden >= -d.p.FutureMax, txn.ReasonNone
	}
	v := d.p.Tariff.At(d.r.ServiceAt)
	switch {
	case !j.Open() || ridden < -d.p.FutureMax: // more than clocks may differ: of another ride
		if v == nil && !d.graceOfExit(j, false).Incomplete || d.r.FareGiven {
			return false, txn.NoEntry
		}
		return false, txn.ReasonNone
	case ridden > d.p.JourneyMax && (v == nil || !v.Overtime()) && !d.graceOfExit(j, true).Overtime:
		return false, txn.JourneyTooLong
	default:
		return true, txn.ReasonNone
	}
}

// exitPriced charges the exit from j, or one without an entry.
func (d *decider) exitPriced(j *card.Journey, ended bool) txn.Reason {
	if d.grace = d.graceOfExit(j, ended); d.grace.Incomplete && !ended {
		d.cause(causeGrace, 0) // where the ride began is not known, and nothing is charged for it
		return txn.ReasonNone
	}
	var s price.State
	if !d.readRides(&s) {
		return txn.StoreUnavailable
	}
	kept := s.Journey // of the journey that stays open, if one does
	s.Journey = price.Journey{}
	if ended {
		s.Journey = d.opened(&kept, j)
	}
	tap := d.tap(price.Exit)
	if d.companion && !d.out.Next.Journey.Open() {
		s.Journey.Mode = tap.Mode // the card keeps the mode of an open ride alone
	} else if s.Journey.Open {
		tap.Mode = s.Journey.Mode // the ride is of the mode in which it began
		d.rode(&s.Journey)
	}
	if reason := d.charge(&s, &tap); reason != txn.ReasonNone {
		return reason
	}
	if !ended || d.others > 0 {
		s.Journey = kept
	}
	d.undo.Set = true
	d.keepRides(&s)
	return txn.ReasonNone
}

// judgedByTerminal reports whether the terminal computed the fare and the scheme lets it.
func (d *decider) judgedByTerminal() bool { return d.r.FareGiven && d.p.AcceptTerminalFare }

func (d *decider) board() txn.Reason {
	if reason := d.passBack(false).Reason(); reason != txn.ReasonNone {
		return reason
	}
	if d.r.FareGiven {
		return d.given(&card.Journey{})
	}
	var s price.State
	if !d.readRides(&s) {
		return txn.StoreUnavailable
	}
	tap := d.tap(price.Board)
	if reason := d.charge(&s, &tap); reason != txn.ReasonNone {
		return reason
	}
	before := d.out.Next.Rides
	if d.keepRides(&s) {
		d.undo = card.Undo{Set: true, Rides: before, Journey: d.out.Next.Journey}
	}
	return txn.ReasonNone
}

// given takes the fare that the terminal computed. Transfers that follow see the ride.
func (d *decider) given(j *card.Journey) txn.Reason {
	if !d.judgedByTerminal() || d.r.Amount > d.r.FullFare {
		return txn.FareMismatch
	}
	d.fullFare = d.r.FullFare
	if reason := d.pay(d.r.Amount); reason != txn.ReasonNone {
		return reason
	}
	v := d.p.Tariff.At(d.r.ServiceAt)
	if v == nil || !d.remembersRides() {
		return txn.ReasonNone
	}
	var s price.State
	if !d.readRides(&s) {
		return txn.StoreUnavailable
	}
	start := d.r.ServiceAt
	if j.Open() {
		start, s.Journey = j.EnteredAt, price.Journey{}
	}
	v.Rode(&s, d.mode(), price.NameOf(d.r.Place.Line), start, d.r.ServiceAt)
	before := d.out.Next.Rides
	if d.keepRides(&s) {
		d.undo = card.Undo{Set: true, Rides: before, Journey: d.out.Next.Journey}
	}
	return txn.ReasonNone
}

// lapse closes the journey that the due entry named, if it is still open, and charges it as
// incomplete; the purse may go below zero and shows what the holder owes. What happened to the
// card since it entered is in its holder's favour: nothing is taken from one that is frozen,
// closed or replaced.
func (d *decider) lapse() txn.Reason {
	c := &d.out.Next
	j := c.Journey
	if !j.Open() || j.Request != d.r.Original {
		return txn.NoEntry
	}
	d.ridden = j
	d.forgetJourney()
	c.DropUndo()
	if d.v.Mark.Frozen(txn.AppTransit|txn.AppPurse) || c.Status != card.Active ||
		!c.Life.Successor.IsZero() {
		return txn.ReasonNone
	}
	var s price.State
	if !d.readRides(&s) {
		return txn.StoreUnavailable
	}
	opened := d.opened(&s.Journey, &j)
	d.rode(&opened)
	if reason := d.move(-d.giveUp(&s, &j)); reason != txn.ReasonNone {
		return reason
	}
	d.keepRides(&s)
	return txn.ReasonNone
}

// forgetJourney closes the journey and takes its due entry away.
func (d *decider) forgetJourney() {
	d.changeDue(d.out.Next.Journey.Request, store.DueChange{Remove: true})
	d.out.Next.Journey = card.Journey{}
}

// restoreRides puts the card's rides back to before its last tap. The journey that an exit
// ended is open again, unless it would have lapsed by now.
func (d *decider) restoreRides() {
	c := &d.out.Next
	u := c.Undo
	c.DropUndo()
	c.Rides = u.Rides
	if c.Journey.Request == u.Journey.Request {
		return
	}
	if c.Journey.Open() {
		d.forgetJourney()
	}
	lapsesAt := u.Journey.EnteredAt + d.p.JourneyLapse
	if u.Journey.Open() && c.Life.Successor.IsZero() && d.now < lapsesAt {
		c.Journey = u.Journey
		d.changeDue(u.Journey.Request, store.DueChange{At: lapsesAt})
	}
}

// changeDue adds a change for the journey that request opened. One decision changes at
// most two: a journey given up and the one that takes its place.
func (d *decider) changeDue(request txn.RequestID, change store.DueChange) {
	n := len(d.out.Due)
	change.Key = appendLapseKey(d.out.dueKeys[n][:0], d.r.Card, request)
	d.out.due[n] = change
	d.out.Due = d.out.due[:n+1]
}
