package faredesk

import (
	"github.com/tapswitch/tapswitch/switch/fare/price"
	"github.com/tapswitch/tapswitch/switch/fare/tariff"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// clocksApart is by how much the clocks of two gates may differ, as a switch has it by default.
const clocksApart = txn.Millis(5 * 60_000)

// history is the taps of one card in the order in which they reach the switch. A tap that is told
// after its time is priced as the switch prices one of an off-line upload.
type history struct {
	book  *tariff.Book
	state price.State
}

// priced is the price of one tap and what it changes of what was charged before it.
type priced struct {
	price.Quote
	tariff *price.Tariff
	// changed are the steps from the price of the ride to Charged.
	changed []price.Part
}

func (h *history) at(at txn.Millis) *price.Tariff {
	t, _ := h.book.At(at)
	return t
}

// add prices a tap that was told at an instant; pass is the name of the pass that it buys.
func (h *history) add(tap price.Tap, pass string, told txn.Millis) (p priced) {
	t := h.at(tap.At)
	if t == nil {
		p.Reason = price.NotInForce
		return p
	}
	p.tariff, tap.Pass = t, t.Pass(pass)
	late := told > tap.At
	if late && told-tap.At > t.Told() {
		p.changed = []price.Part{{What: "told_late", Rule: "no longer joined to its ride"}}
	} else if late && h.tell(&p, &tap) {
		h.trim(told)
		return p
	}
	if tap.Kind == price.Enter && h.state.Journey.Open {
		lapse := tap
		lapse.Kind = price.Lapse
		p.Quote = h.price(t, &lapse, told)
		t.Price(&h.state, &tap)
		return p
	}
	p.Quote = h.price(t, &tap, told)
	if late && p.Reason == price.OutOfOrder {
		p.Quote = t.Late(&h.state, &tap)
	}
	return p
}

// price prices a tap in its time and keeps it with the events that a told end may change.
func (h *history) price(t *price.Tariff, tap *price.Tap, told txn.Millis) price.Quote {
	s, before := &h.state, h.state
	e := price.Event{Tap: *tap}
	if tap.Kind == price.Exit || tap.Kind == price.Lapse {
		e.Journey = s.Journey
	}
	q := t.Price(s, tap)
	if q.Reason != price.OK || tap.Kind == price.Enter || t.Told() == 0 {
		return q
	}
	e.Charged = q.Charged
	switch {
	case tap.Kind == price.Lapse:
		e.Lacks = price.LacksExit
	case q.Incomplete:
		e.Lacks = price.LacksEntry
	}
	s.Keep(&before, e)
	h.trim(told)
	return q
}

func (h *history) trim(now txn.Millis) {
	if v := h.at(now); v != nil {
		h.state.Trim(h.at, now-v.Told(), h.state.Journey.Open)
	} else {
		h.state.DropPast()
	}
}

// tell prices a tap that is told after others among the events that are kept. It reports false
// when it has no place there.
func (h *history) tell(p *priced, tap *price.Tap) bool {
	s := &h.state
	if !s.HasPast() {
		return false
	}
	i, e := -1, price.Event{Tap: *tap}
	switch {
	case tap.Kind == price.Enter:
		if i = s.EntryFor(tap.At, tap.Mode); i < 0 {
			return false
		}
		e = s.Event(i)
		e.Journey = price.Journey{Open: true, At: tap.At, Mode: tap.Mode, Class: tap.Class,
			Station: tap.Station, Line: tap.Line, Operator: tap.Operator, Rider: tap.Rider}
	case tap.Kind == price.Exit && (!s.Journey.Open || tap.At < s.Journey.At):
		if i = s.ExitFor(tap.At, clocksApart); i < 0 {
			return false
		}
		e.Journey = s.Event(i).Journey
		e.Tap.At, e.Tap.Mode = max(tap.At, e.Journey.At), e.Journey.Mode
	case tap.At >= s.Last():
		return false
	case tap.Kind == price.Exit:
		e.Journey = s.Journey
	}
	e.Lacks = price.LacksNothing
	r, ok := s.Retell(h.at, i, e)
	if !ok {
		return false
	}
	if i < 0 && e.Journey.Open {
		s.Journey = price.Journey{}
	}
	p.Quote = r.Quote
	p.Charged = r.Charged
	p.note(price.Part{What: "incomplete", Amount: -r.Returned, Rule: "the incomplete journey is given back"})
	p.note(price.Part{What: "retold", Amount: -r.Others, Rule: "what later taps cost now"})
	return true
}

func (p *priced) note(part price.Part) {
	if part.Amount != 0 {
		p.changed = append(p.changed, part)
	}
}

// explain tells how the charge came about, step by step.
func (p *priced) explain() []price.Part {
	parts := p.tariff.Explain(&p.Quote)
	last := len(parts) - 1
	return append(append(parts[:last:last], p.changed...), parts[last])
}
