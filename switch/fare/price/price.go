package price

import "github.com/tapswitch/tapswitch/switch/txn"

// Price returns the price of a tap of the card whose state is s, and moves s on. With a
// Reason other than OK nothing is charged, and s is as it was.
func (t *Tariff) Price(s *State, tap *Tap) Quote {
	q := Quote{Fare: -1, Rider: -1, Tier: -1, Transfer: -1, Pass: -1}
	day := t.dayAt(tap.At)
	switch {
	case day < t.from || day > t.until:
		q.Reason = NotInForce
		return q
	case tap.At < s.last:
		q.Reason = OutOfOrder
		return q
	case tap.Mode >= modeEnd || tap.Class >= classEnd || tap.Rider >= ridersN:
		q.Reason = NoFare
		return q
	}
	next := *s
	next.roll(day)
	next.last = tap.At
	switch tap.Kind {
	case Board:
		t.priceRide(&next, &ride{mode: tap.Mode, class: tap.Class, rider: tap.Rider,
			to: tap.Station, line: tap.Line, operator: tap.Operator, start: tap.At, end: tap.At,
			metres: tap.Metres, given: tap.Given}, &q)
	case Enter:
		t.enter(&next, tap, &q)
	case Exit:
		t.exit(&next, tap, &q)
	case Lapse:
		t.lapse(&next, tap.At, &q)
	case Correct:
		t.correct(&next, tap, &q)
	case Buy:
		t.buy(&next, tap, day, &q)
	default:
		q.Reason = NoFare
	}
	if q.Reason == OK {
		t.forget(&next)
		*s = next
	}
	return q
}

// enter opens a journey. One that is open already was never ended.
func (t *Tariff) enter(s *State, tap *Tap, q *Quote) {
	if s.Journey.Open {
		t.lapse(s, tap.At, q)
		q.Reason = OK
	}
	s.Journey = Journey{Open: true, At: tap.At, Mode: tap.Mode, Class: tap.Class,
		Station: tap.Station, Line: tap.Line, Operator: tap.Operator, Rider: tap.Rider}
}

// exit ends a journey. A given fare needs no entry: the terminal has read it off the card.
func (t *Tariff) exit(s *State, tap *Tap, q *Quote) {
	r := ride{mode: tap.Mode, class: tap.Class, rider: tap.Rider, to: tap.Station,
		line: tap.Line, operator: tap.Operator, start: tap.At, end: tap.At, metres: tap.Metres,
		given: tap.Given}
	t.leave(s, tap, &r, q)
}

// priceRide charges a whole ride.
func (t *Tariff) priceRide(s *State, r *ride, q *Quote) {
	class := &t.classes[r.class][r.mode]
	q.Fare = t.fareOf(r.mode, r.line, r.operator)
	if q.Fare < 0 || class.times == 0 {
		q.Reason = NoFare
		return
	}
	if same, full := t.sameStation(r); same {
		if q.Full = full; full == 0 {
			return
		}
	} else {
		if q.Full, q.Reason = t.ruleFare(&t.fares[q.Fare], r); q.Reason != OK {
			return
		}
		if t.fares[q.Fare].kind != givenFare {
			q.Full *= class.times
		}
	}
	q.Ride = true
	plain, transfers := t.concede(s, r, class, q)
	old := s.least()
	if r.late || t.depth == 0 {
		// No ride can be joined to this one: it makes every chain dearer by what it costs.
		s.alone += plain
	} else {
		costs, by := t.chains(s, r, plain, transfers)
		t.push(s, leg{r.start, r.end, r.line, r.mode}, &costs)
		q.Transfer = by
	}
	least := s.least()
	q.Discounts[ByTransfer] = plain - (least - old)
	t.charge(s, r.rider, old, least, q)
	s.full += q.Full
}

// sameStation returns the full fare of a ride that ends where it began.
func (t *Tariff) sameStation(r *ride) (same bool, full txn.Minor) {
	rule := t.file.SameStation
	if rule == nil || r.from == 0 || r.from != r.to {
		return false, 0
	}
	if r.end-r.start <= txn.Millis(rule.Within.Milliseconds()) {
		return true, rule.Charge
	}
	return true, rule.Later
}

// concede returns what the rider pays of the full fare without a transfer, and whether
// transfers are open to the ride.
func (t *Tariff) concede(
	s *State, r *ride, class *classRule, q *Quote,
) (plain txn.Minor, transfers bool) {
	operator := t.operators[r.operator]
	rider := &t.riders[r.rider][r.mode]
	plain, transfers = q.Full, !operator.noTransfers && !operator.noDiscounts &&
		!class.noDiscounts && !rider.noTransfers
	if !operator.noDiscounts && !class.noDiscounts {
		q.Rider = rider.entry
		plain = t.pays(q.Full, rider)
		q.Discounts[ByRider] = q.Full - plain
		if q.Tier = t.tierOf(s.full); q.Tier >= 0 {
			less := t.share(plain, t.tiers[q.Tier].Pays)
			q.Discounts[ByTier], plain = plain-less, less
		}
	}
	if q.Pass = t.usePass(s, r); q.Pass >= 0 {
		q.Discounts[ByPass], plain = plain, 0
	}
	return plain, transfers
}

// tierOf returns the tier of a month in which full fares of sum were ridden, -1 for none.
func (t *Tariff) tierOf(sum txn.Minor) int16 {
	for i := len(t.tiers) - 1; i >= 0; i-- {
		if sum >= t.tiers[i].From {
			return int16(i)
		}
	}
	return -1
}

// chains returns the least total of the day for each length of chain that the ride can end,
// and the transfer rule of the cheapest, -1 for none.
func (t *Tariff) chains(
	s *State, r *ride, plain txn.Minor, transfers bool,
) (costs [LegsMax]txn.Minor, by int16) {
	for i := range costs {
		costs[i] = never
	}
	costs[0] = s.chained() + plain
	best, by := costs[0], -1
	if !transfers {
		return costs, by
	}
	for n := 1; n <= s.ridden; n++ {
		if s.costs[n-1] >= never {
			continue
		}
		fare, rule := t.transfer(s, r, n, plain)
		if rule < 0 {
			continue
		}
		at := min(n, t.depth-1)
		costs[at] = min(costs[at], s.costs[n-1]+fare)
		if costs[at] < best {
			best, by = costs[at], rule
		}
	}
	return costs, by
}

// transfer returns the least fare of a ride that continues a chain of n rides, and its rule.
func (t *Tariff) transfer(s *State, r *ride, n int, plain txn.Minor) (fare txn.Minor, by int16) {
	fare, by = plain, -1
	for i := range t.transfers {
		rule := &t.transfers[i]
		if !rule.open(s, r, n) {
			continue
		}
		less := t.share(plain, rule.pays) - rule.off
		if less = max(less, 0); by < 0 || less < fare {
			fare, by = less, int16(i)
		}
	}
	return fare, by
}

// open reports whether the rule lets r continue the chain of the newest n rides of s.
func (rule *transferRule) open(s *State, r *ride, n int) bool {
	last, first := &s.legs[0], &s.legs[n-1]
	switch {
	case rule.from&(1<<last.mode) == 0, rule.to&(1<<r.mode) == 0,
		rule.riders&(1<<r.rider) == 0, rule.first&(1<<first.mode) == 0:
		return false
	case rule.legs > 0 && n >= rule.legs:
		return false
	case rule.otherLine && last.mode == r.mode && last.line == r.line:
		return false
	}
	anchor := last.end
	switch rule.measured {
	case lastEntry:
		anchor = last.start
	case firstEntry:
		anchor = first.start
	}
	return r.start-anchor <= rule.window
}

// charge takes the growth of the day's least total, as far as the caps let it.
func (t *Tariff) charge(s *State, rider txn.RiderCategory, old, least txn.Minor, q *Quote) {
	grown := least - old
	from, _ := t.capped(s, rider, old)
	upto, by := t.capped(s, rider, least)
	due := upto - from
	if due < grown {
		q.Capped = by
	}
	q.Discounts[ByCap] = grown - due
	q.Charged += due
	s.paid += due
}

// capped returns what caps leave of a day's total, and the period of the tightest.
func (t *Tariff) capped(s *State, rider txn.RiderCategory, total txn.Minor) (txn.Minor, Period) {
	by := NoPeriod
	for p := Day; p < periodEnd; p++ {
		limit := t.caps[rider][p]
		if limit >= never {
			continue
		}
		if room := max(limit-s.before[p], 0); room < total {
			total, by = room, p
		}
	}
	return total, by
}
