package engine

import (
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/fare/price"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Prices: what the tariff asks for a tap, and what the card keeps of its rides for the next.

// mode returns the means of transport of the tap: the one that its terminal names, or that of
// its kind. The tariff numbers them alike, from 0.
func (d *decider) mode() price.Mode { return price.Mode(d.r.Mode.For(d.r.Kind) - txn.ModeBus) }

// rode tells the record what the last tap of the ride j does not name: its mode and class.
func (d *decider) rode(j *price.Journey) {
	if j.Mode != d.mode() {
		d.rodeBy = txn.Mode(j.Mode) + txn.ModeBus
	}
	d.rodeBusiness = j.Class == price.Business
}

func classOf(r *txn.Request) price.Class {
	if r.Business {
		return price.Business
	}
	return price.Standard
}

// tap returns the request as the tariff sees it.
func (d *decider) tap(kind price.Kind) price.Tap {
	r := d.r
	return price.Tap{Kind: kind, Mode: d.mode(), Class: classOf(r), Rider: d.out.Next.RiderAt(r.ServiceAt),
		At: r.ServiceAt, Operator: price.NameOf(r.Place.Operator), Line: price.NameOf(r.Place.Line),
		Station: price.NameOf(r.Place.Station), Metres: r.Metres}
}

// journeyOf returns an open journey as the tariff sees it.
func (d *decider) journeyOf(j *card.Journey) price.Journey {
	return price.Journey{Open: true, At: j.EnteredAt, Mode: price.Metro,
		Station: price.NameOf(j.Station), Line: price.NameOf(j.Line),
		Operator: price.NameOf(j.Operator), Rider: d.out.Next.RiderAt(j.EnteredAt)}
}

// opened returns the open journey j; kept is what the rides know of it, when its class is not
// the standard.
func (d *decider) opened(kept *price.Journey, j *card.Journey) price.Journey {
	if kept.Open && kept.At == j.EnteredAt {
		return *kept
	}
	return d.journeyOf(j)
}

// readRides reads what the card's next price rests on. Where it cannot be read nothing is
// decided: it must not be overwritten.
func (d *decider) readRides(s *price.State) bool {
	if err := s.Decode(d.out.Next.Rides); err != nil {
		d.out.Damaged = true
		return false
	}
	return true
}

// remembersRides reports whether the card's rides are kept: where the price of a ride can
// depend on earlier ones, or where something is kept already.
func (d *decider) remembersRides() bool {
	return len(d.out.Next.Rides) > 0 || d.p.Tariff.LooksBack()
}

// keepRides keeps s with the card and reports whether it does. A replaced card's rides are on
// their way to its successor and stay as they are.
func (d *decider) keepRides(s *price.State) bool {
	if !d.out.Next.Life.Successor.IsZero() {
		return false
	}
	if !d.remembersRides() {
		if !s.Journey.Open && !s.HasPast() {
			return false
		}
		*s = s.Bare()
	}
	d.storeRides(s)
	return true
}

func (d *decider) storeRides(s *price.State) {
	if d.out.rides = s.Append(d.out.rides[:0]); len(d.out.rides) > price.EncodedMax {
		s.DropPast()
		d.out.rides = s.Append(d.out.rides[:0])
	}
	d.out.Next.Rides = d.out.rides
}

// charge prices a tap by the version in force when it was served and takes the price off the
// purse. A tap that comes after later ones is priced late, and the record says so.
func (d *decider) charge(s *price.State, tap *price.Tap) txn.Reason {
	v := d.p.Tariff.At(tap.At)
	if v == nil {
		return txn.UnknownFare
	}
	e := price.Event{Tap: *tap, Beside: d.companion}
	if tap.Kind == price.Exit {
		e.Journey = s.Journey
	}
	if s.HasPast() && tap.At < s.Last() && !d.companion {
		return d.insert(s, e)
	}
	before, watched := d.watch(s, tap)
	var q price.Quote
	if !d.companion {
		q = v.Price(s, tap)
	}
	late := q.Reason == price.OutOfOrder
	if late || d.companion { // who rides beside another changes no vehicle with him
		q = v.Late(s, tap)
	}
	if q.Reason != price.OK {
		return refusalOf(q.Reason)
	}
	d.explain(&q)
	if late {
		d.cause("late", 0)
	}
	d.fullFare = q.Full
	if q.Overtime && d.grace.Overtime {
		d.cause(causeGrace, q.Surcharge)
		q.Charged -= q.Surcharge
		e.Forgiven = q.Surcharge
	}
	if watched {
		e.Charged = q.Charged
		if q.Incomplete {
			e.Lacks, e.Request, e.Station = price.LacksEntry, d.r.ID, d.r.Place.Station
			e.Payee = d.r.Place.Payee
		}
		d.keepPast(s, &before, e, v)
	}
	return d.pay(q.Charged)
}

// refusalOf returns the refusal of a tap that has no price.
func refusalOf(why price.Reason) txn.Reason {
	switch why {
	case price.NoEntry:
		return txn.NoEntry
	case price.FareImpossible:
		return txn.FareMismatch
	case price.NothingToCorrect:
		return txn.OriginalUnknown
	case price.CorrectionTooLate:
		return txn.OriginalNotRefundable
	case price.TooManyCorrections:
		return txn.LimitExceeded
	default:
		return txn.UnknownFare
	}
}

// explain tells the record by what causes the charge is not the full fare. What is charged on
// top is a discount below zero.
func (d *decider) explain(q *price.Quote) {
	for c, amount := range q.Discounts {
		if amount != 0 {
			d.cause(price.Cause(c).String(), amount)
		}
	}
	switch {
	case q.Overtime:
		d.cause("overtime", -q.Surcharge)
	case q.Incomplete && q.Surcharge != 0:
		d.cause("incomplete", -q.Surcharge)
	}
}

func (d *decider) cause(name string, amount txn.Minor) {
	d.out.discounts[d.causes] = txn.Discount{Cause: name, Amount: amount}
	d.causes++
}

// giveUp returns what the tariff asks for the journey j, which has no exit: nothing where it
// has no price. It is owed to whoever ran the journey.
func (d *decider) giveUp(s *price.State, j *card.Journey) txn.Minor {
	at := max(d.r.ServiceAt, s.Last())
	v := d.p.Tariff.At(at)
	forgiven := d.graceOfGivingUp(j, at)
	if forgiven {
		d.cause(causeGrace, 0)
	}
	if v == nil || forgiven {
		s.Journey = price.Journey{}
		return 0
	}
	kept, before := s.Journey, *s
	s.Journey = d.opened(&kept, j)
	e := price.Event{Tap: price.Tap{Kind: price.Lapse, At: at}, Journey: s.Journey,
		Lacks: price.LacksExit, Request: j.Request, Station: j.Station, Payee: payeeOf(j.Operator)}
	q := v.Price(s, &e.Tap)
	s.Journey = price.Journey{}
	if q.Reason != price.OK {
		return 0
	}
	e.Charged = q.Charged
	persons := d.inside(j)
	for range persons { // each of them may have left by a gate that tells it later
		d.keepPast(s, &before, e, v)
		before, e.Beside = *s, true
	}
	if persons > 1 {
		d.note(txn.CauseCompanion)
		q.Surcharge, q.Charged = q.Surcharge*txn.Minor(persons), q.Charged*txn.Minor(persons)
	}
	if q.Charged == 0 {
		return 0
	}
	d.explain(&q)
	d.payee = payeeOf(j.Operator)
	return q.Charged
}

// payeeOf returns the account of an operator, as the registry of terminals makes it.
func payeeOf(operator string) txn.Account {
	if operator == "" {
		return AccountSuspense
	}
	return txn.Account("operator/" + operator)
}

// correct gives back what the last incomplete journey cost more than the ride to the station
// that the holder names. The operator, where one is named, must be the one who was paid.
func (d *decider) correct() txn.Reason {
	if d.r.Forgiven != nil {
		return d.forgive()
	}
	var s price.State
	if !d.readRides(&s) {
		return txn.StoreUnavailable
	}
	operator := price.NameOf(d.r.Place.Operator)
	if operator != 0 && operator != s.Incomplete().Operator {
		return txn.OriginalUnknown
	}
	if d.payee = d.r.Place.Payee; d.payee == "" {
		d.payee = payeeOf(d.r.Place.Operator)
	}
	return d.deal(&s, price.Tap{Kind: price.Correct, Station: price.NameOf(d.r.Place.Station),
		Metres: d.r.Metres})
}

// sellPass adds a pass to the card and takes its price off the purse.
func (d *decider) sellPass() txn.Reason {
	var s price.State
	if !d.readRides(&s) {
		return txn.StoreUnavailable
	}
	v := d.p.Tariff.At(max(d.r.ServiceAt, s.Last()))
	if v == nil {
		return txn.UnknownFare
	}
	n := v.Pass(d.r.Pass)
	if n < 0 {
		return txn.UnknownFare
	}
	if asked := v.File().Passes[n].Price; d.r.Amount != 0 && d.r.Amount != asked {
		return txn.FareMismatch
	}
	return d.deal(&s, price.Tap{Kind: price.Buy, Pass: n})
}

// deal prices what is no ride, at its time or that of the last tap, whichever is later.
func (d *decider) deal(s *price.State, tap price.Tap) txn.Reason {
	tap.At = max(d.r.ServiceAt, s.Last())
	tap.Rider = d.out.Next.RiderAt(d.r.ServiceAt)
	if reason := d.charge(s, &tap); reason != txn.ReasonNone {
		return reason
	}
	d.undo = card.Undo{Set: true, Rides: d.out.Next.Rides, Journey: d.out.Next.Journey}
	d.keepRides(s)
	return txn.ReasonNone
}
