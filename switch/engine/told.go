package engine

import (
	"cmp"

	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/fare/price"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Ends of journeys that gates tell off line after the journey was charged as incomplete. The
// record of the told end takes or gives back the difference and names the end that was known in
// its Original: one record, so that it happens once, however often it is told.

const (
	// causeIncomplete is what an incomplete journey costs, below zero, and above zero what of
	// that is given back.
	causeIncomplete = "incomplete"
	// causeRetold is what later taps cost less, now that the one before them is known.
	causeRetold = "retold"
	// causeToldLate: the tap came later than the tariff lets an end of a journey be told.
	causeToldLate = "told_late"
)

// watch returns the state before a tap, where the tap is kept with the events of a past: one is
// kept already, or this tap begins it.
func (d *decider) watch(s *price.State, tap *price.Tap) (before price.State, ok bool) {
	ok = s.HasPast() || tap.Kind == price.Exit && !s.Journey.Open ||
		tap.Kind == price.Board && d.out.Next.Journey.Open()
	if ok {
		before = *s
	}
	return before, ok
}

// keepPast keeps an event that made s of before, where version v lets ends be told.
func (d *decider) keepPast(s, before *price.State, e price.Event, v *price.Tariff) {
	if v.Told() == 0 {
		s.DropPast()
		return
	}
	s.Keep(before, e)
	d.trim(s, d.out.Next.Journey.Open() && !e.Journey.Open || e.Beside)
}

// trim forgets what can no longer be told; open: a journey is open.
func (d *decider) trim(s *price.State, open bool) {
	if v := d.p.Tariff.At(d.now); v != nil {
		s.Trim(d.p.Tariff.At, d.now-v.Told(), open)
	} else {
		s.DropPast()
	}
}

// tellEntry judges an off-line entry whose exit was charged without one. It reports false when
// there is no such exit.
func (d *decider) tellEntry() (told bool, reason txn.Reason) {
	var s price.State
	if len(d.out.Next.Rides) == 0 {
		return false, txn.ReasonNone
	}
	if !d.readRides(&s) {
		return true, txn.StoreUnavailable
	}
	i := s.EntryFor(d.r.ServiceAt, d.mode())
	if i < 0 {
		return false, txn.ReasonNone
	}
	e := s.Event(i)
	if !d.mayTell(e.Tap.At - d.r.ServiceAt) {
		return false, txn.ReasonNone
	}
	e.Journey = d.entered()
	return d.tell(&s, i, e)
}

// laterEntry remembers an off-line entry that is told after the entry or the exit of a later
// ride: nothing is charged for it, and its exit may be told yet.
func (d *decider) laterEntry() txn.Reason {
	v := d.p.Tariff.At(d.r.ServiceAt)
	if v == nil || v.Told() == 0 || d.judgedByTerminal() || d.now-d.r.ServiceAt > v.Told() {
		return txn.ReasonNone
	}
	var s price.State
	if !d.readRides(&s) {
		return txn.StoreUnavailable
	}
	e := price.Event{Tap: price.Tap{Kind: price.Lapse, At: d.until()}, Lacks: price.LacksExit, Waived: true,
		Journey: d.entered(), Request: d.r.ID, Station: d.r.Place.Station}
	before := s
	d.keepPast(&s, &before, e, v)
	d.undo = card.Undo{Set: true, Rides: d.out.Next.Rides, Journey: d.out.Next.Journey}
	d.keepRides(&s)
	return txn.ReasonNone
}

// until returns when the journey of an entry that is told late was over at the latest: when the
// next one began or ended, or when it would have lapsed.
func (d *decider) until() txn.Millis {
	at := d.r.ServiceAt + d.p.JourneyLapse
	if j := &d.out.Next.Journey; j.EnteredAt > d.r.ServiceAt {
		at = min(at, j.EnteredAt)
	}
	for i := range d.out.Next.Recent {
		m := &d.out.Next.Recent[i]
		if stands(m) && m.Kind == txn.MetroExit && m.ServiceAt > d.r.ServiceAt {
			at = min(at, m.ServiceAt)
		}
	}
	return at
}

// entered is the journey that the entry begins, as the tariff sees it.
func (d *decider) entered() price.Journey {
	j := d.journeyOf(&card.Journey{EnteredAt: d.r.ServiceAt, Station: d.r.Place.Station,
		Line: d.r.Place.Line, Operator: d.r.Place.Operator})
	j.Mode, j.Class = d.mode(), classOf(d.r)
	return j
}

// tellExit judges an off-line exit whose journey was given up. It reports false when there is no
// such journey, and notes why when it is not known any more.
func (d *decider) tellExit() (told bool, reason txn.Reason) {
	v := d.p.Tariff.At(d.r.ServiceAt)
	late := v != nil && v.Told() > 0 && d.now-d.r.ServiceAt > v.Told()
	if late && !d.r.FareGiven {
		d.note(causeToldLate)
	}
	var s price.State
	if len(d.out.Next.Rides) == 0 {
		return false, txn.ReasonNone
	}
	if !d.readRides(&s) {
		return true, txn.StoreUnavailable
	}
	i := s.ExitFor(d.r.ServiceAt, d.p.FutureMax)
	if i < 0 {
		return false, txn.ReasonNone
	}
	if late && d.r.FareGiven {
		d.note(causeToldLate) // its ride is paid, and the incomplete fare stays
	}
	e := s.Event(i)
	if !d.mayTell(d.r.ServiceAt - e.Journey.At) {
		return false, txn.ReasonNone
	}
	d.ridden = card.Journey{EnteredAt: e.Journey.At, Station: e.Station, Request: e.Request}
	d.grace = d.graceOfExit(&d.ridden, true)
	e.Tap = d.tap(price.Exit)
	e.Tap.At, e.Tap.Mode = max(e.Tap.At, e.Journey.At), e.Journey.Mode
	d.rode(&e.Journey)
	if d.judgedByTerminal() {
		e.Ridden, e.Tap.Given = true, d.r.Amount
	}
	return d.tell(&s, i, e)
}

// mayTell reports whether the tap comes in time, and a ride may take so long.
func (d *decider) mayTell(ridden txn.Millis) bool {
	v := d.p.Tariff.At(d.r.ServiceAt)
	return v != nil && d.now-d.r.ServiceAt <= v.Told() && (ridden <= d.p.JourneyMax || v.Overtime())
}

// tell completes the incomplete journey number i with e, which has both its ends.
func (d *decider) tell(s *price.State, i int, e price.Event) (told bool, reason txn.Reason) {
	known := s.Event(i)
	e.Lacks, e.Request, e.Station, e.Payee = price.LacksNothing, txn.RequestID{}, "", ""
	e.Waived, e.Forgiven = false, d.forgivenOvertime()
	kept := d.out.Next.Rides
	r, ok := s.Retell(d.p.Tariff.At, i, e)
	if !ok {
		return false, txn.ReasonNone // as without the other end: it has no price with it
	}
	d.toldOf, d.toldBack = known.Request, r.Returned
	d.toldPayee = cmp.Or(known.Payee, AccountSuspense)
	if known.Lacks == price.LacksEntry {
		d.payee = d.toldPayee // a ride is paid to who has its exit
	}
	d.retold(&r)
	if r.Returned != 0 {
		d.cause(causeIncomplete, r.Returned)
	}
	return true, d.payRetold(s, kept, &r)
}

// insert prices a tap that is told after later ones, of which the events are known.
func (d *decider) insert(s *price.State, e price.Event) txn.Reason {
	e.Forgiven = d.forgivenOvertime()
	r, ok := s.Retell(d.p.Tariff.At, -1, e)
	if !ok {
		return d.pastUnknown(s, &e.Tap)
	}
	if e.Journey.Open {
		s.Journey = price.Journey{}
	}
	d.trim(s, d.out.Next.Journey.Open() && !e.Journey.Open)
	d.retold(&r)
	d.cause("late", 0)
	return d.pay(r.Charged)
}

// pastUnknown prices a tap by itself that does not fit among the events.
func (d *decider) pastUnknown(s *price.State, tap *price.Tap) txn.Reason {
	s.DropPast()
	return d.charge(s, tap)
}

// forgivenOvertime returns what of overtime an order forgives: all, or nothing.
func (d *decider) forgivenOvertime() txn.Minor {
	if d.grace.Overtime {
		return txn.MinorMax
	}
	return 0
}

// retold tells the record how the charge came about.
func (d *decider) retold(r *price.Retold) {
	d.explain(&r.Quote)
	if r.Quote.Overtime && d.grace.Overtime {
		d.cause(causeGrace, r.Quote.Surcharge)
	}
	if d.judgedByTerminal() && d.r.Kind == txn.MetroExit && d.r.FullFare != r.Quote.Full {
		d.cause("terminal", d.r.FullFare-r.Quote.Full)
		r.Quote.Full = d.r.FullFare
	}
	if r.Others != 0 {
		d.cause(causeRetold, r.Others)
	}
	d.fullFare = r.Quote.Full
}

// payRetold takes or gives back the difference, and keeps the state that comes of it.
func (d *decider) payRetold(s *price.State, kept []byte, r *price.Retold) txn.Reason {
	if reason := d.pay(r.Charged); reason != txn.ReasonNone {
		return reason
	}
	d.undo = card.Undo{Set: true, Rides: kept, Journey: d.out.Next.Journey}
	d.trim(s, d.out.Next.Journey.Open())
	d.keepRides(s)
	return txn.ReasonNone
}

// untell prepares the reversal of m, when m told the missing end of a journey: who gave back what
// the incomplete one had cost gets it again. It reports false for every other tap.
func (d *decider) untell(m *card.Recent) bool {
	u := &d.out.Next.Undo
	if m.Kind != txn.MetroEntry && m.Kind != txn.MetroExit || u.Journey.Request != d.out.Next.Journey.Request {
		return false // it began or ended a journey in its time
	}
	var before, after price.State
	if len(u.Rides) == 0 || before.Decode(u.Rides) != nil ||
		len(d.out.Next.Rides) > 0 && after.Decode(d.out.Next.Rides) != nil {
		return false
	}
	known, ok := after.Completed(&before, m.ID)
	if !ok {
		return false
	}
	d.toldBack, d.toldPayee = -known.Charged, cmp.Or(known.Payee, AccountSuspense)
	if known.Lacks == price.LacksEntry {
		d.payee = d.toldPayee
	}
	return true
}

// putRight forgets the events of a card of which a person, or a reversal, has given something
// back: nothing is given back twice.
func (d *decider) putRight() {
	var s price.State
	if len(d.out.Next.Rides) == 0 || !d.out.Next.Life.Successor.IsZero() ||
		s.Decode(d.out.Next.Rides) != nil || !s.HasPast() {
		return
	}
	s.DropPast()
	d.storeRides(&s)
}

// postRetold makes the postings of a told end: who was paid for the incomplete journey gives
// that back, and who is paid for the ride gets its price.
func (d *decider) postRetold(own, other txn.Account) {
	d.out.postings[0] = txn.Posting{Account: own, Amount: -d.charged}
	d.out.postings[1] = txn.Posting{Account: other, Amount: d.charged + d.toldBack}
	d.out.postings[2] = txn.Posting{Account: d.toldPayee, Amount: -d.toldBack}
	d.out.Record.Postings = d.out.postings[:3]
}
