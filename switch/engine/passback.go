package engine

import (
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/passback"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// One card, one person: the rule of package passback, and the exceptions that the tariff makes.

// passBack returns what the rule says of the tap; one that is older than the open ride is not a
// second entry into that. What a terminal has decided itself is done: the
// record says that the rule was broken, and a person looks at it.
func (d *decider) passBack(older bool) passback.Verdict {
	rules := d.p.PassBack
	if rules.Network = d.p.PassBackWindow; older {
		rules.Network = 0
	}
	u := passback.Use{Rider: d.out.Next.RiderAt(d.r.ServiceAt),
		Now: passback.Tap{Kind: d.r.Kind, At: d.r.ServiceAt, Terminal: d.gate(),
			Station: d.r.Place.Station}}
	if j := &d.out.Next.Journey; j.Open() {
		u.Open = passback.Tap{Kind: txn.MetroEntry, At: j.EnteredAt, Station: j.Station,
			Terminal: j.Request.Terminal}
	}
	if rules.Gate > 0 {
		u.Last = d.nearestTap()
	}
	if !u.Near(&rules) || d.orderWaived() {
		return passback.Clear
	}
	u.Persons, u.Inside = d.persons(), d.letThrough(&rules, &u)
	v := rules.Judge(&u)
	switch {
	case v == passback.Another:
		d.note(txn.CauseCompanion)
	case v.Reason() != txn.ReasonNone && d.judgedByTerminal():
		d.note(txn.CausePassBack)
		return passback.Clear
	}
	return v
}

// gate returns the terminal that served the card: a gate has one name, whether it asks on line or
// uploads records of its security module.
func (d *decider) gate() txn.TerminalID {
	if d.r.Gate != (txn.TerminalID{}) {
		return d.r.Gate
	}
	return d.r.ID.Terminal
}

// persons returns how many may ride on the card by the tariff.
func (d *decider) persons() int {
	v := d.p.Tariff.At(d.r.ServiceAt)
	if v == nil {
		return 1
	}
	return v.Persons(d.out.Next.RiderAt(d.r.ServiceAt))
}

// stands reports whether a remembered request is a tap that was approved and still counts.
func stands(m *card.Recent) bool {
	return m.Kind.IsTap() && m.Reason == txn.ReasonNone && !m.Reversed && !m.Tombstone
}

// nearestTap returns the tap whose service time is nearest to that of the request.
func (d *decider) nearestTap() (t passback.Tap) {
	for i := range d.out.Next.Recent {
		m := &d.out.Next.Recent[i]
		if stands(m) && (t.Kind == txn.KindNone || apart(m.ServiceAt, d.r.ServiceAt) <= apart(t.At, d.r.ServiceAt)) {
			t = passback.Tap{Kind: m.Kind, At: m.ServiceAt, Terminal: m.Terminal()}
		}
	}
	return t
}

func apart(a, b txn.Millis) txn.Millis { return max(a-b, b-a) }

// letThrough counts the persons whom the card has let through: into the open ride, or by the same
// taps at this line of gates.
func (d *decider) letThrough(rules *passback.Rules, u *passback.Use) int {
	into, here := 0, 0
	for i := range d.out.Next.Recent {
		m := &d.out.Next.Recent[i]
		if !stands(m) || m.Kind != d.r.Kind {
			continue
		}
		if u.Open.Kind == m.Kind && m.ServiceAt >= u.Open.At {
			into++
		}
		if apart(m.ServiceAt, d.r.ServiceAt) < rules.Gate && rules.SameLine(m.Terminal(), d.gate()) {
			here++
		}
	}
	return max(into, here, 1)
}

// companionsRide returns the ride that others on the card have left already and the holder of
// this tap has not: more persons entered with the card than have left.
func (d *decider) companionsRide() (j card.Journey, ok bool) {
	c := &d.out.Next
	if c.Journey.Open() { // it stays open as long as the tariff lets one of them be inside
		entered, left := d.crossed(&c.Journey)
		return c.Journey, left > 0 && entered > left && d.persons() > 1
	}
	j = c.Undo.Journey
	ridden := d.r.ServiceAt - j.EnteredAt
	if !j.Open() || ridden < 0 || ridden > d.p.JourneyMax {
		return card.Journey{}, false
	}
	entered, left := d.crossed(&j)
	return j, left > 0 && entered > left
}

// crossed counts the persons who have entered with the card since a journey began, and who have
// left.
func (d *decider) crossed(j *card.Journey) (entered, left int) {
	for i := range d.out.Next.Recent {
		m := &d.out.Next.Recent[i]
		switch {
		case !stands(m) || m.ServiceAt < j.EnteredAt:
		case m.Kind == txn.MetroEntry:
			entered++
		case m.Kind == txn.MetroExit:
			left++
		}
	}
	return entered, left
}

// inside returns how many persons are in the ride j, as far as the card remembers and the tariff
// lets them ride on it; 1 at least.
func (d *decider) inside(j *card.Journey) int {
	if persons := d.persons(); j.Open() && persons > 1 {
		entered, left := d.crossed(j)
		return max(min(entered, persons)-left, 1)
	}
	return 1
}

// note tells the record of something that moves no money.
func (d *decider) note(cause string) {
	if d.noted < len(d.notes) {
		d.notes[d.noted] = cause
		d.noted++
	}
}
