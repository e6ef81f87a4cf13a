package price

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// The encoded form of a State: the version, which parts follow, and the parts, as varints.
// Names are digests of their texts, so that it means the same under every tariff. A state has
// one encoding, and Decode refuses all others.

// stateVersion is the first byte of an encoded State. A reader refuses others: a state that
// it cannot read must not be overwritten.
const stateVersion = 1

// EncodedMax is the most bytes of an encoded State.
const EncodedMax = 640

// ErrState reports bytes that are no encoded State of a known version.
var ErrState = errors.New("state of rides cannot be read")

// The parts of an encoded State.
const (
	partJourney = 1 << iota
	partSums    // what the day and its periods have cost
	partLegs
	partPasses
	partBroken
	partPast
	partsEnd
)

// Append appends s in its encoded form; the zero State has none and adds nothing.
func (s *State) Append(dst []byte) []byte {
	if *s == (State{}) {
		return dst
	}
	parts := s.parts()
	dst = append(dst, stateVersion, parts)
	dst = binary.AppendVarint(dst, int64(s.last))
	dst = binary.AppendVarint(dst, int64(s.day)-int64(s.last/msPerDay))
	if parts&partJourney != 0 {
		dst = s.Journey.append(dst)
	}
	if parts&partSums != 0 {
		dst = s.appendSums(dst)
	}
	if parts&partLegs != 0 {
		dst = s.appendLegs(dst)
	}
	if parts&partPasses != 0 {
		dst = s.appendPasses(dst)
	}
	if parts&partBroken != 0 {
		dst = s.broken.journey.append(dst)
		dst = append(dst, boolByte(s.broken.lacksExit))
		dst = binary.AppendVarint(dst, int64(s.broken.charged))
	}
	if parts&partPast != 0 {
		dst = s.past.append(dst)
	}
	return dst
}

func (s *State) parts() (parts byte) {
	if s.Journey != (Journey{}) {
		parts |= partJourney
	}
	if s.paid|s.alone|s.before[Week]|s.before[Month]|s.full != 0 || s.mended != 0 {
		parts |= partSums
	}
	if s.ridden > 0 {
		parts |= partLegs
	}
	if s.passes != ([PassesMax]held{}) {
		parts |= partPasses
	}
	if s.broken != (broken{}) {
		parts |= partBroken
	}
	if s.past != nil {
		parts |= partPast
	}
	return parts
}

func (s *State) sums() [6]int64 {
	return [...]int64{int64(s.paid), int64(s.alone), int64(s.before[Week]), int64(s.before[Month]),
		int64(s.full), int64(s.mended)}
}

func (s *State) appendSums(dst []byte) []byte {
	for _, n := range s.sums() {
		dst = binary.AppendVarint(dst, n)
	}
	return dst
}

// appendLegs appends the rides newest first, each from its end backwards, with the total of
// the chains that they end.
func (s *State) appendLegs(dst []byte) []byte {
	dst = append(dst, byte(s.ridden))
	at := s.last
	for i := range s.ridden {
		g := &s.legs[i]
		dst = appendName(append(dst, byte(g.mode)), g.line)
		dst = binary.AppendVarint(dst, int64(at-g.end))
		dst = binary.AppendVarint(dst, int64(g.end-g.start))
		at = g.end
		cost := int64(-1) // never
		if s.costs[i] < never {
			cost = int64(s.costs[i])
		}
		dst = binary.AppendVarint(dst, cost)
	}
	return dst
}

func (s *State) appendPasses(dst []byte) []byte {
	n := PassesMax
	for s.passes[n-1] == (held{}) {
		n--
	}
	dst = append(dst, byte(n))
	for _, h := range s.passes[:n] {
		dst = appendName(dst, h.pass)
		dst = binary.AppendVarint(dst, int64(h.index))
		dst = binary.AppendVarint(dst, int64(h.rides))
	}
	return dst
}

func (j *Journey) append(dst []byte) []byte {
	dst = append(dst, boolByte(j.Open), byte(j.Mode), byte(j.Class), byte(j.Rider))
	dst = binary.AppendVarint(dst, int64(j.At))
	for _, n := range [...]Name{j.Station, j.Line, j.Operator} {
		dst = appendName(dst, n)
	}
	return dst
}

// appendName appends a name as a mark and eight bytes, or as one byte when there is none.
func appendName(dst []byte, n Name) []byte {
	if n == 0 {
		return append(dst, 0)
	}
	return binary.BigEndian.AppendUint64(append(dst, 1), uint64(n))
}

func boolByte(v bool) byte {
	if v {
		return 1
	}
	return 0
}

// Decode reads an encoded State; no bytes are the zero State. It keeps nothing of b. On
// ErrState s is undefined.
func (s *State) Decode(b []byte) error {
	*s = State{}
	if len(b) == 0 {
		return nil
	}
	d := reader{b: b}
	version, parts := d.byte(), d.byte()
	if version != stateVersion || parts >= partsEnd {
		return fmt.Errorf("%w: version %d with parts %d, known %d", ErrState, version, parts, stateVersion)
	}
	s.last = txn.Millis(d.varint())
	d.day(s)
	if parts&partJourney != 0 {
		s.Journey = d.journey()
	}
	if parts&partSums != 0 {
		d.sums(s)
	}
	if parts&partLegs != 0 {
		d.legs(s)
	}
	if parts&partPasses != 0 {
		d.passes(s)
	}
	if parts&partBroken != 0 {
		s.broken.journey = d.journey()
		s.broken.lacksExit = d.bool()
		s.broken.charged = d.minor()
	}
	if parts&partPast != 0 {
		s.past = d.past()
	}
	if d.bad || len(d.b) != 0 || s.parts() != parts || *s == (State{}) {
		return fmt.Errorf("%w: %d bytes", ErrState, len(b))
	}
	return nil
}

// reader takes values off b; once something is wrong, bad sticks and the rest reads as zero.
type reader struct {
	b   []byte
	bad bool
}

func (d *reader) fail() { d.bad, d.b = true, nil }

func (d *reader) byte() byte {
	if len(d.b) == 0 {
		d.bad = true
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *reader) bool() bool { return d.below(2) == 1 }

// below reads a byte that is less than limit.
func (d *reader) below(limit byte) byte {
	v := d.byte()
	if v >= limit {
		d.fail()
		return 0
	}
	return v
}

// varint reads a varint in its shortest form.
func (d *reader) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 || n > 1 && d.b[n-1] == 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

// minor reads an amount that cannot overflow what is added to it.
func (d *reader) minor() txn.Minor {
	v := d.varint()
	if v >= int64(never) || v <= -int64(never) {
		d.fail()
		return 0
	}
	return txn.Minor(v)
}

func (d *reader) int32() int32 {
	v := d.varint()
	if int64(int32(v)) != v {
		d.fail()
		return 0
	}
	return int32(v)
}

func (d *reader) name() Name {
	if d.below(2) == 0 {
		return 0
	}
	return d.rawName()
}

// rawName reads the eight bytes of a name.
func (d *reader) rawName() Name {
	if len(d.b) < 8 {
		d.fail()
		return 0
	}
	n := Name(binary.BigEndian.Uint64(d.b))
	d.b = d.b[8:]
	if n == 0 {
		d.fail()
	}
	return n
}

// day reads the service day; week and month follow from it.
func (d *reader) day(s *State) {
	ahead := d.varint()
	day := int64(s.last/msPerDay) + ahead
	if ahead < -2 || ahead > 2 || int64(int32(day)) != day || day < 0 || day >= dayEnd {
		d.fail()
		return
	}
	if s.day = int32(day); day != 0 {
		s.week, s.month = weekOf(s.day), monthOf(s.day)
	}
}

// dayEnd is after all days that a service day can be: the year 9999.
const dayEnd = 2_932_897

func (d *reader) journey() (j Journey) {
	j.Open = d.bool()
	j.Mode, j.Class = Mode(d.below(byte(modeEnd))), Class(d.below(byte(classEnd)))
	j.Rider = txn.RiderCategory(d.below(ridersN))
	j.At = txn.Millis(d.varint())
	j.Station, j.Line, j.Operator = d.name(), d.name(), d.name()
	return j
}

func (d *reader) sums(s *State) {
	s.paid, s.alone = d.minor(), d.minor()
	s.before[Week], s.before[Month] = d.minor(), d.minor()
	s.full, s.mended = d.minor(), int(d.int32())
}

func (d *reader) legs(s *State) {
	s.ridden = int(d.below(LegsMax + 1))
	at := s.last
	for i := range s.ridden {
		g := &s.legs[i]
		g.mode, g.line = Mode(d.below(byte(modeEnd))), d.name()
		g.end = at - txn.Millis(d.varint())
		g.start = g.end - txn.Millis(d.varint())
		at = g.end
		if s.costs[i] = d.minor(); s.costs[i] == -1 {
			s.costs[i] = never
		} else if s.costs[i] < 0 {
			d.fail()
		}
	}
}

func (d *reader) passes(s *State) {
	n := d.below(PassesMax + 1)
	for i := range n {
		s.passes[i] = held{pass: d.name(), index: d.int32(), rides: d.int32()}
		if s.passes[i].pass == 0 {
			d.fail()
		}
	}
}
