package price

import (
	"encoding/binary"
	"slices"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// The encoded form of the past of a State: the state before it with its length, the names of all
// events in the order in which they are first met, and the events with the places of their names.

// The marks of an encoded event.
const (
	eventJourney = 1 << iota
	eventRidden
	eventBeside
	eventMoney // what the terminal told, what was forgiven, which pass was bought
	eventWaived
	eventEnd
)

func (p *past) append(dst []byte) []byte {
	base := p.base.Append(make([]byte, 0, 128))
	dst = binary.AppendVarint(dst, int64(len(base)))
	dst = append(dst, base...)
	names := p.names()
	dst = append(dst, byte(len(names)))
	for _, n := range names {
		dst = binary.BigEndian.AppendUint64(dst, uint64(n))
	}
	dst = append(dst, byte(len(p.events)))
	for i := range p.events {
		dst = p.events[i].append(dst, names)
	}
	return dst
}

// pastNamesMax is how many names the events of a past can have: three of each tap and journey.
const pastNamesMax = (EventsMax + 1) * 6

// names returns the names of the events.
func (p *past) names() []Name {
	var names []Name
	for i := range p.events {
		for _, n := range p.events[i].names() {
			if n != 0 && !slices.Contains(names, n) {
				names = append(names, n)
			}
		}
	}
	return names
}

func (e *Event) names() [6]Name {
	return [...]Name{e.Tap.Operator, e.Tap.Line, e.Tap.Station,
		e.Journey.Station, e.Journey.Line, e.Journey.Operator}
}

func (e *Event) marks() (marks byte) {
	for _, m := range [...]struct {
		set  bool
		mark byte
	}{
		{e.Journey != (Journey{}), eventJourney}, {e.Ridden, eventRidden}, {e.Beside, eventBeside},
		{e.Waived, eventWaived},
		{e.Tap.Metres|int64(e.Tap.Given)|int64(e.Tap.Pass)|int64(e.Forgiven) != 0, eventMoney},
	} {
		if m.set {
			marks |= m.mark
		}
	}
	return marks
}

func (e *Event) append(dst []byte, names []Name) []byte {
	t, marks := &e.Tap, e.marks()
	dst = append(dst, marks, byte(e.Lacks), byte(t.Kind), byte(t.Mode), byte(t.Class), byte(t.Rider))
	dst = binary.AppendVarint(dst, int64(t.At))
	for _, n := range e.names() {
		dst = append(dst, byte(slices.Index(names, n)+1)) // 0: none
	}
	dst = binary.AppendVarint(dst, int64(e.Charged))
	if marks&eventMoney != 0 {
		for _, n := range [...]int64{t.Metres, int64(t.Given), int64(t.Pass), int64(e.Forgiven)} {
			dst = binary.AppendVarint(dst, n)
		}
	}
	if marks&eventJourney != 0 {
		j := &e.Journey
		dst = append(dst, boolByte(j.Open), byte(j.Mode), byte(j.Class), byte(j.Rider))
		dst = binary.AppendVarint(dst, int64(t.At-j.At))
	}
	if e.Lacks == LacksNothing {
		return dst
	}
	dst = e.Request.AppendBinary(dst)
	for _, text := range [...]string{e.Station, string(e.Payee)} {
		dst = append(append(dst, byte(len(text))), text...)
	}
	return dst
}

func (d *reader) past() *past {
	p := &past{}
	n := d.varint()
	if n < 0 || n > int64(len(d.b)) || p.base.Decode(d.b[:n]) != nil || p.base.past != nil {
		d.fail()
		return nil
	}
	d.b = d.b[n:]
	names := make([]Name, d.below(pastNamesMax+1))
	for i := range names {
		names[i] = d.rawName()
	}
	p.events = make([]Event, d.below(EventsMax+1))
	for i := range p.events {
		p.events[i] = d.event(names)
	}
	if len(p.events) == 0 || !slices.Equal(p.names(), names) {
		d.fail()
	}
	return p
}

func (d *reader) event(names []Name) (e Event) {
	marks := d.below(eventEnd)
	e.Lacks = Lack(d.below(byte(lackEnd)))
	e.Tap.Kind = Kind(d.below(byte(Buy) + 1))
	e.Tap.Mode, e.Tap.Class = Mode(d.below(byte(modeEnd))), Class(d.below(byte(classEnd)))
	e.Tap.Rider = txn.RiderCategory(d.below(ridersN))
	e.Tap.At = txn.Millis(d.varint())
	e.Tap.Operator, e.Tap.Line, e.Tap.Station = d.nameOf(names), d.nameOf(names), d.nameOf(names)
	j := &e.Journey
	j.Station, j.Line, j.Operator = d.nameOf(names), d.nameOf(names), d.nameOf(names)
	e.Charged = d.minor()
	if marks&eventMoney != 0 {
		e.Tap.Metres, e.Tap.Given = d.varint(), d.minor()
		e.Tap.Pass, e.Forgiven = int(d.int32()), d.minor()
	}
	if marks&eventJourney != 0 {
		j.Open = d.bool()
		j.Mode, j.Class = Mode(d.below(byte(modeEnd))), Class(d.below(byte(classEnd)))
		j.Rider = txn.RiderCategory(d.below(ridersN))
		j.At = e.Tap.At - txn.Millis(d.varint())
	}
	e.Ridden, e.Beside = marks&eventRidden != 0, marks&eventBeside != 0
	e.Waived = marks&eventWaived != 0
	if e.Lacks != LacksNothing {
		e.Request = d.request()
		e.Station, e.Payee = d.text(), txn.Account(d.text())
	}
	if e.marks() != marks {
		d.fail()
	}
	return e
}

// nameOf reads the place of a name.
func (d *reader) nameOf(names []Name) Name {
	i := int(d.below(byte(len(names)) + 1))
	if i == 0 {
		return 0
	}
	return names[i-1]
}

func (d *reader) request() (id txn.RequestID) {
	if len(d.b) < txn.RequestIDSize {
		d.fail()
		return id
	}
	id = txn.DecodeRequestID(d.b)
	d.b = d.b[txn.RequestIDSize:]
	return id
}

func (d *reader) text() string {
	n := int(d.below(pastNameMax + 1))
	if n > len(d.b) {
		d.fail()
		return ""
	}
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}
