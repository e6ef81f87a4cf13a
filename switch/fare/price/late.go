package price

import "github.com/tapswitch/tapswitch/switch/txn"

// Late prices a ride that is told after later ones of its card, as happens with taps that
// were made off line: Board and Exit, which Price refuses as OutOfOrder. It has the fare, the
// share and the passes of its own time, joins no chain of transfers, and counts for the caps
// and tiers of the periods that the state still knows. What later taps were charged stays.
func (t *Tariff) Late(s *State, tap *Tap) Quote {
	q := Quote{Fare: -1, Rider: -1, Tier: -1, Transfer: -1, Pass: -1}
	day := t.dayAt(tap.At)
	switch {
	case day < t.from || day > t.until:
		q.Reason = NotInForce
		return q
	case tap.Kind != Board && tap.Kind != Exit, tap.Mode >= modeEnd, tap.Class >= classEnd,
		tap.Rider >= ridersN:
		q.Reason = NoFare
		return q
	}
	next := *s
	next.step(day)
	r := ride{mode: tap.Mode, class: tap.Class, rider: tap.Rider, to: tap.Station, line: tap.Line,
		operator: tap.Operator, start: tap.At, end: tap.At, metres: tap.Metres, given: tap.Given,
		late: true}
	if tap.Kind == Board {
		t.priceRide(&next, &r, &q)
	} else {
		t.leave(&next, tap, &r, &q)
	}
	if q.Reason == OK {
		next.back(s)
		*s = next
	}
	return q
}

// step goes to an earlier day: what is known of its periods stays, the rest is as new.
func (s *State) step(day int32) {
	if day == s.day {
		return
	}
	week, month := weekOf(day), monthOf(day)
	s.before[Week] += s.paid
	s.before[Month] += s.paid
	if week != s.week {
		s.before[Week] = 0
	}
	if month != s.month {
		s.before[Month], s.full = 0, 0
	}
	s.day, s.week, s.month = day, week, month
	s.paid, s.alone, s.ridden = 0, 0, 0
}

// back returns from an earlier day to that of now, with what was added to the periods that
// both lie in.
func (s *State) back(now *State) {
	if s.day == now.day {
		return
	}
	paid, full := s.paid, s.full
	s.before = now.before
	if s.week == now.week {
		s.before[Week] += paid
	}
	if s.month == now.month {
		s.before[Month] += paid
	} else {
		full = now.full
	}
	s.day, s.week, s.month, s.full = now.day, now.week, now.month, full
	s.paid, s.alone, s.ridden, s.legs, s.costs = now.paid, now.alone, now.ridden, now.legs, now.costs
}

// leave ends the open journey with r, which has the class of the dearer end.
func (t *Tariff) leave(s *State, tap *Tap, r *ride, q *Quote) {
	j := s.Journey
	if !j.Open || j.Mode != tap.Mode {
		if i := t.fareOf(r.mode, r.line, r.operator); i >= 0 && t.fares[i].kind == givenFare {
			t.priceRide(s, r, q)
			return
		}
		t.lacksEntry(s, tap, q)
		return
	}
	s.Journey = Journey{}
	r.from, r.start = j.Station, j.At
	r.class = max(j.Class, tap.Class)
	t.priceRide(s, r, q)
	if o := t.file.Overtime; o != nil && q.Reason == OK &&
		tap.At-j.At > txn.Millis(o.After.Milliseconds()) {
		q.Overtime = true
		q.Surcharge += o.Charge
		q.Charged += o.Charge
	}
}
