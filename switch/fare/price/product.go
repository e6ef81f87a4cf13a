package price

import "github.com/tapswitch/tapswitch/switch/txn"

// usePass returns the pass that a ride goes on, -1 for none, and takes a ride off it. One
// without a number of rides goes first.
func (t *Tariff) usePass(s *State, r *ride) int16 {
	found, place := int16(-1), 0
	for i := range s.passes {
		h := &s.passes[i]
		if h.pass == 0 || h.rides == 0 || found >= 0 && h.rides > 0 {
			continue
		}
		n := t.passOf(h.pass)
		if n < 0 || !t.passes[n].covers(s, h, r) {
			continue
		}
		found, place = n, i
		if h.rides < 0 {
			break
		}
	}
	if found >= 0 && s.passes[place].rides > 0 {
		s.passes[place].rides--
	}
	return found
}

func (t *Tariff) passOf(name Name) int16 {
	for i := range t.passes {
		if t.passes[i].name == name {
			return int16(i)
		}
	}
	return -1
}

func (p *passRule) covers(s *State, h *held, r *ride) bool {
	return p.modes&(1<<r.mode) != 0 && p.riders&(1<<r.rider) != 0 && p.valid(s, h)
}

func (p *passRule) valid(s *State, h *held) bool {
	switch p.period {
	case Day:
		return h.index == s.day
	case Week:
		return h.index == s.week
	case Month:
		return h.index == s.month
	default:
		return p.days == 0 || s.day <= h.index
	}
}

// buy sells a pass.
func (t *Tariff) buy(s *State, tap *Tap, day int32, q *Quote) {
	q.Reason = NoPass
	if tap.Pass < 0 || tap.Pass >= len(t.passes) {
		return
	}
	p := &t.passes[tap.Pass]
	if p.riders&(1<<tap.Rider) == 0 {
		return
	}
	for i := range s.passes {
		h := &s.passes[i]
		old := t.passOf(h.pass)
		if old >= 0 && h.rides != 0 && t.passes[old].valid(s, h) {
			continue
		}
		*h = held{pass: p.name, rides: p.rides, index: day + p.days - 1}
		switch p.period {
		case Day:
			h.index = s.day
		case Week:
			h.index = s.week
		case Month:
			h.index = s.month
		}
		q.Reason, q.Pass = OK, int16(tap.Pass)
		q.Surcharge, q.Charged = p.price, p.price
		return
	}
}

// lapse gives up the open journey.
func (t *Tariff) lapse(s *State, at txn.Millis, q *Quote) {
	j := s.Journey
	if !j.Open {
		q.Reason = NoEntry
		return
	}
	s.Journey = Journey{}
	r := ride{mode: j.Mode, class: j.Class, rider: j.Rider, from: j.Station, line: j.Line,
		operator: j.Operator, start: j.At, end: at}
	t.penalty(t.missing.exit, &r, q)
	s.broken = broken{journey: j, lacksExit: true, charged: q.Surcharge}
	s.broken.journey.At, s.broken.journey.Open = at, false
}

// lacksEntry charges an exit without an entry.
func (t *Tariff) lacksEntry(s *State, tap *Tap, q *Quote) {
	if !t.missing.entry.set {
		q.Reason = NoEntry
		return
	}
	r := ride{mode: tap.Mode, class: tap.Class, rider: tap.Rider, to: tap.Station,
		line: tap.Line, operator: tap.Operator, start: tap.At, end: tap.At}
	t.penalty(t.missing.entry, &r, q)
	s.broken = broken{charged: q.Surcharge, journey: Journey{At: tap.At, Mode: tap.Mode,
		Class: tap.Class, Station: tap.Station, Line: tap.Line, Operator: tap.Operator,
		Rider: tap.Rider}}
}

// penalty charges an incomplete journey; the rider's share applies to the dearest ride.
func (t *Tariff) penalty(a amount, r *ride, q *Quote) {
	i := t.fareOf(r.mode, r.line, r.operator)
	if i < 0 {
		q.Reason = NoFare
		return
	}
	sum := a.sum
	if a.dearest {
		class := &t.classes[r.class][r.mode]
		sum = t.fares[i].max * max(class.times, 1)
		if !t.operators[r.operator].noDiscounts && !class.noDiscounts {
			sum = t.pays(sum, &t.riders[r.rider][r.mode])
		}
	}
	q.Incomplete = true
	q.Surcharge, q.Charged = sum, sum
}

// correct pays back what an incomplete journey cost more than the ride to the station that
// the holder names. It joins no chain and no cap.
func (t *Tariff) correct(s *State, tap *Tap, q *Quote) {
	b := &s.broken
	switch {
	case t.missing.within == 0 || b.journey.Station == 0 || tap.Station == 0:
		q.Reason = NothingToCorrect
		return
	case tap.At-b.journey.At > t.missing.within:
		q.Reason = CorrectionTooLate
		return
	case s.mended >= t.missing.perMonth:
		q.Reason = TooManyCorrections
		return
	}
	j := b.journey
	r := ride{mode: j.Mode, class: j.Class, rider: j.Rider, from: j.Station, to: tap.Station,
		line: j.Line, operator: j.Operator, start: j.At, end: j.At, metres: tap.Metres}
	if !b.lacksExit {
		r.from, r.to = r.to, r.from
	}
	q.Fare = t.fareOf(r.mode, r.line, r.operator)
	if q.Fare < 0 || t.fares[q.Fare].kind == givenFare || t.fares[q.Fare].kind == timeFare {
		q.Reason = NoFare
		return
	}
	full, reason := t.ruleFare(&t.fares[q.Fare], &r)
	if q.Reason = reason; reason != OK {
		return
	}
	class := &t.classes[r.class][r.mode]
	full *= max(class.times, 1)
	if !t.operators[r.operator].noDiscounts && !class.noDiscounts {
		full = t.pays(full, &t.riders[r.rider][r.mode])
	}
	back := max(b.charged-full, 0)
	q.Discounts[ByCorrection], q.Charged = back, -back
	*b = broken{}
	s.mended++
}
