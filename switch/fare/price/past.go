package price

import (
	"slices"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// Lack says which end of a journey is missing.
type Lack uint8

// The lacks.
const (
	LacksNothing Lack = iota
	LacksExit
	LacksEntry
	lackEnd
)

const (
	// EventsMax is how many events a state keeps of the time since the first incomplete journey
	// whose other end may still be told.
	EventsMax = 8
	// pastNameMax is how many bytes of a station's or an account's name an event keeps.
	pastNameMax = 64
)

// Event is one priced tap of the past of a card, as it is priced again when another is told that
// was before it.
type Event struct {
	Tap Tap
	// Journey is the one that the tap ended, with Open set; the zero Journey is none.
	Journey Journey
	// Ridden: the terminal made the price, Tap.Given. Beside: the tap is of one more person.
	Ridden, Beside bool
	// Waived: nothing is charged for it. It is a journey whose entry was told after later taps.
	Waived bool
	// Forgiven is what of its overtime was not charged, Charged what was of all.
	Forgiven, Charged txn.Minor
	// Lacks says what an incomplete journey lacks; the rest is set with it: the request that the
	// known end was, its station, and who was paid.
	Lacks   Lack
	Request txn.RequestID
	Station string
	Payee   txn.Account
}

// past is what happened to a card since an incomplete journey: how its state was before, and the
// events since in the order of their times. It is never changed in place.
type past struct {
	base   State
	events []Event
}

// At returns the version of a tariff that holds at an instant, nil for none.
type At func(txn.Millis) *Tariff

// Told returns for how long an end of an incomplete journey may be told after it was made; 0 when
// a journey that was charged as incomplete stays so.
func (t *Tariff) Told() txn.Millis { return t.missing.told }

// HasPast reports whether events are kept with s.
func (s *State) HasPast() bool { return s.past != nil }

// DropPast forgets the events: incomplete journeys stay as they were charged.
func (s *State) DropPast() { s.past = nil }

// Bare returns of s what is kept where the price of a ride depends on no other: the open journey,
// and the past.
func (s *State) Bare() State { return State{Journey: s.Journey, past: s.past} }

// Keep notes an event that made s of before. An end that is told later is priced as if it had
// come in its time.
func (s *State) Keep(before *State, e Event) {
	e.Station, e.Payee = cut(e.Station), txn.Account(cut(string(e.Payee)))
	p := &past{}
	if before.past != nil {
		p.base, p.events = before.past.base, before.past.events
	} else {
		p.base = *before
		p.base.Journey = Journey{}
	}
	p.events, _ = insert(p.events, e)
	s.past = p
}

func cut(s string) string { return s[:min(len(s), pastNameMax)] }

// insert returns events with e in its place, behind all of its instant, and that place.
func insert(events []Event, e Event) ([]Event, int) {
	i := len(events)
	for i > 0 && events[i-1].Tap.At > e.Tap.At {
		i--
	}
	return slices.Insert(slices.Clip(slices.Clone(events)), i, e), i
}

// Trim forgets what no end can change any more: events from before since, those beyond EventsMax
// or of more bytes than a state may have, and all once nothing is incomplete and no journey is
// open.
func (s *State) Trim(at At, since txn.Millis, open bool) {
	for s.past != nil {
		p := s.past
		lacking := slices.ContainsFunc(p.events, func(e Event) bool { return e.Lacks != LacksNothing })
		if len(p.events) == 0 || !lacking && !open {
			s.past = nil
			return
		}
		if p.events[0].Tap.At >= since && len(p.events) <= EventsMax && s.size() <= EncodedMax {
			return
		}
		base, _, ok := p.replay(at, p.events[:1])
		if !ok {
			s.past = nil
			return
		}
		s.past = &past{base: base, events: p.events[1:]}
	}
}

func (s *State) size() int { return len(s.Append(make([]byte, 0, EncodedMax))) }

// ExitFor returns the place of the incomplete journey that an exit at an instant ends, -1 for
// none: one that was open then. Clocks may differ by skew.
func (s *State) ExitFor(at, skew txn.Millis) int {
	return s.find(func(e *Event) bool {
		return e.Lacks == LacksExit && at >= e.Journey.At-skew && at <= e.Tap.At
	})
}

// EntryFor returns the place of the exit that an entry at an instant belongs to, -1 for none: the
// first after it, when no other journey began in between.
func (s *State) EntryFor(at txn.Millis, mode Mode) int {
	i := s.find(func(e *Event) bool { return e.Lacks == LacksEntry && e.Tap.At >= at })
	if i < 0 || s.past.events[i].Tap.Mode != mode {
		return -1
	}
	until := s.past.events[i].Tap.At
	if s.find(func(e *Event) bool {
		return e.Journey.Open && e.Journey.At > at && e.Journey.At < until
	}) >= 0 {
		return -1
	}
	return i
}

func (s *State) find(is func(*Event) bool) int {
	if s.past == nil {
		return -1
	}
	for i := range s.past.events {
		if is(&s.past.events[i]) {
			return i
		}
	}
	return -1
}

// Completed returns the incomplete journey of before that is none in s any more, of which request
// told the missing end; false when request told none. Where several are gone it is the last: what
// comes too late to be told goes from the front.
func (s *State) Completed(before *State, request txn.RequestID) (e Event, ok bool) {
	lacks := func(of txn.RequestID) func(*Event) bool {
		return func(e *Event) bool { return e.Lacks != LacksNothing && e.Request == of }
	}
	if before.past == nil || s.find(lacks(request)) >= 0 {
		return Event{}, false
	}
	for i := range before.past.events {
		b := &before.past.events[i]
		if b.Lacks != LacksNothing && s.find(lacks(b.Request)) < 0 {
			e, ok = *b, true
		}
	}
	return e, ok
}

// Event returns the event at a place.
func (s *State) Event(i int) Event { return s.past.events[i] }

// Retold is what a tap costs that was told after later ones, and what that changes.
type Retold struct {
	// Quote is the price of the completed ride, or of the tap, in its time.
	Quote Quote
	// Returned is what the incomplete journey had been charged, Others what the later taps cost
	// less than they were charged: below zero when they cost more.
	Returned, Others txn.Minor
	// Charged is what is to be taken in all: below zero it is given back.
	Charged txn.Minor
}

// Retell puts e where it belongs among the events, in place of number i unless that is -1, and
// prices all of them again. It reports false, and changes nothing, when they have no price so.
func (s *State) Retell(at At, i int, e Event) (r Retold, ok bool) {
	p := s.past
	events := p.events
	if i >= 0 {
		r.Returned = events[i].Charged
		events = slices.Delete(slices.Clone(events), i, i+1)
	}
	before := sum(events)
	events, place := insert(events, e)
	next, quotes, ok := p.replay(at, events)
	if !ok || quotes[place].Reason != OK {
		return Retold{}, false
	}
	r.Quote = quotes[place]
	r.Others = before - (sum(events) - events[place].Charged)
	r.Charged = events[place].Charged - r.Returned - r.Others
	journey := s.Journey
	next.past = &past{base: p.base, events: events}
	*s = next
	s.Journey = journey
	return r, true
}

func sum(events []Event) (sum txn.Minor) {
	for i := range events {
		sum += events[i].Charged
	}
	return sum
}

// replay prices events from the base on, and writes into them what they cost.
func (p *past) replay(at At, events []Event) (s State, quotes []Quote, ok bool) {
	s = p.base
	quotes = make([]Quote, len(events))
	for i := range events {
		e := &events[i]
		v := at(e.Tap.At)
		if v == nil {
			return s, nil, false
		}
		quotes[i] = v.again(&s, e)
		switch q := &quotes[i]; q.Reason {
		case OK:
			if !q.Overtime {
				e.Forgiven = 0
			}
			e.Forgiven = min(e.Forgiven, q.Surcharge)
			e.Charged = q.Charged - e.Forgiven
		case NothingToCorrect, CorrectionTooLate, TooManyCorrections:
			e.Charged = 0 // what the holder had corrected is complete
		default:
			return s, nil, false
		}
	}
	s.Journey = Journey{}
	return s, quotes, true
}

// again prices one event of the past.
func (t *Tariff) again(s *State, e *Event) Quote {
	s.Journey = e.Journey
	if e.Waived {
		return Quote{}
	}
	if e.Ridden {
		start := e.Tap.At
		if e.Journey.Open {
			start, s.Journey = e.Journey.At, Journey{}
		}
		t.Rode(s, e.Tap.Mode, e.Tap.Line, start, e.Tap.At)
		return Quote{Full: e.Tap.Given, Charged: e.Tap.Given,
			Fare: -1, Rider: -1, Tier: -1, Transfer: -1, Pass: -1}
	}
	if e.Beside && e.Tap.Kind == Lapse {
		one := *s // it costs what it costs the holder, and changes nothing besides
		one.Journey = e.Journey
		return t.Price(&one, &e.Tap)
	}
	if e.Beside {
		return t.Late(s, &e.Tap)
	}
	q := t.Price(s, &e.Tap)
	if q.Reason == OutOfOrder {
		return t.Late(s, &e.Tap)
	}
	return q
}
