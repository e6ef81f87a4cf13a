package message

import (
	"fmt"
	"slices"

	"github.com/moov-io/iso8583"
)

const (
	// fieldMax is the highest field: two bitmaps.
	fieldMax = 128
	// secondField is the bit that says there is a third bitmap; no field.
	secondField = 65
	// fieldLengthMax is the longest content of a field, in its own unit: what three digits
	// of length can say.
	fieldLengthMax = 999
)

// Type is what a field holds, as the standard writes it.
type Type uint8

// The types.
const (
	Digits  Type = iota // n: decimal digits
	Signed              // x+n: C or D, then digits
	Track               // z: track data
	AN                  // a, an: text
	ANS                 // ans: text
	Binary              // b: bytes
	unknown             // none
)

// String returns the type as in a spec file.
func (t Type) String() string {
	switch t {
	case Digits:
		return "n"
	case Signed:
		return "x+n"
	case Track:
		return "z"
	case AN:
		return "an"
	case ANS:
		return "ans"
	case Binary:
		return "b"
	default:
		return "?"
	}
}

// Dialect says which sub-fields the private fields hold.
type Dialect uint8

// The dialects.
const (
	Generic Dialect = iota // none known
	POS                    // UnionPay terminals: 48, 60 to 63 of DOMAIN.md 2.2
	CUPS                   // UnionPay interbank
)

// Encoding is how content stands in a frame.
type Encoding uint8

// The encodings.
const (
	BCD   Encoding = iota // two digits or track characters a byte
	ASCII                 // a character a byte
	Raw                   // bytes as they are
	Hex                   // bytes as two hex characters
)

// charset is what the bytes of a text field are.
type charset uint8

const (
	printable charset = iota // ASCII 20h to 7Eh
	gb18030                  // GB18030; bytes that are none are let through
	anyBytes                 // whatever
)

// Show says what of a field a description may show to a person.
type Show uint8

// What is shown. Length alone is shown of what is hidden.
const (
	ShowAll    Show = iota
	ShowPAN         // first six and last four digits
	ShowHidden      // nothing
)

// fieldSpec is one row of a spec.
type fieldSpec struct {
	number   int
	name     string
	kind     Type
	encoding Encoding
	min, max int // of the content: digits, characters or bytes
	prefix   int // digits of the length, 0 for a fixed field
	prefBCD  bool
	left     bool // content at the left of its bytes or characters, filler at the right
	filler   byte // nibble that fills an odd number of digits
	charset  charset
	show     Show
	slot     slot // where Peek puts it
}

// Spec is a message format. It does not change and is safe for concurrent use.
type Spec struct {
	name      string
	title     string
	envelope  Envelope
	dialect   Dialect
	mtiBCD    bool
	hexBitmap bool
	defaults  defaults
	macs      [2]int // the fields that hold a MAC, the later one first; 0 is none
	fields    [fieldMax + 1]*fieldSpec
	// short and long are the library's form, with one bitmap and with two.
	short, long *iso8583.MessageSpec
}

// FieldInfo describes a field of a spec to people.
type FieldInfo struct {
	Number int
	Name   string
	Type   Type
	// Min and Max are the content's length in digits, characters or bytes; equal for a
	// fixed field.
	Min, Max int
	Encoding Encoding
	Show     Show
}

// Name returns the name that links select the spec by.
func (s *Spec) Name() string { return s.name }

// Title returns a line for people.
func (s *Spec) Title() string { return s.title }

// Envelope returns what stands in front of the message.
func (s *Spec) Envelope() Envelope { return s.envelope }

// Dialect returns which sub-fields the private fields hold.
func (s *Spec) Dialect() Dialect { return s.dialect }

// Numbers returns the fields of the spec in ascending order.
func (s *Spec) Numbers() []int {
	var all []int
	for n, f := range s.fields {
		if f != nil {
			all = append(all, n)
		}
	}
	return all
}

// Field describes field n; it is false when the spec does not have it.
func (s *Spec) Field(n int) (FieldInfo, bool) {
	f := s.field(n)
	if f == nil {
		return FieldInfo{}, false
	}
	return FieldInfo{Number: n, Name: f.name, Type: f.kind, Min: f.min, Max: f.max,
		Encoding: f.encoding, Show: f.show}, true
}

// WithEnvelope returns the same format behind another envelope: terminals that send a TPDU
// without a header, say.
func (s *Spec) WithEnvelope(e Envelope) *Spec {
	c := *s
	c.envelope = e
	return &c
}

func (s *Spec) field(n int) *fieldSpec {
	if n < 0 || n > fieldMax {
		return nil
	}
	return s.fields[n]
}

// mtiSize is the number of bytes of the MTI.
func (s *Spec) mtiSize() int {
	if s.mtiBCD {
		return mtiDigits / 2
	}
	return mtiDigits
}

// bitmapSize is the number of bytes that one bitmap of 64 takes.
func (s *Spec) bitmapSize() int {
	if s.hexBitmap {
		return 16
	}
	return 8
}

// macIn returns which of fields that are there holds the MAC; 0 is none.
func (s *Spec) macIn(set *presence) int {
	for _, n := range s.macs {
		if n != 0 && set.has(n) {
			return n
		}
	}
	return 0
}

// fault returns the error for field n at offset of a frame.
func (s *Spec) fault(n, offset int, reason string) *FormatError {
	return &FormatError{Spec: s.name, Field: n, Offset: offset, Reason: reason}
}

// prefixSize is the number of bytes of the length.
func (f *fieldSpec) prefixSize() int {
	if f.prefBCD {
		return (f.prefix + 1) / 2
	}
	return f.prefix
}

// wireSize is the number of bytes that content of a length takes.
func (f *fieldSpec) wireSize(length int) int {
	switch {
	case f.encoding == Hex:
		return 2 * length
	case f.encoding == BCD && f.kind == Signed:
		return 1 + length/2
	case f.encoding == BCD:
		return (length + 1) / 2
	default:
		return length
	}
}

// slot is where Peek keeps the place of a field that it reads.
type slot uint8

const (
	noSlot slot = iota
	slotPAN
	slotCode
	slotAmount
	slotSent
	slotSTAN
	slotTime
	slotDate
	slotCondition
	slotRRN
	slotResponse
	slotTerminal
	slotMerchant
	slotPrivate
	slotNetwork
	slotMAC
	slotCount
)

// shape is what a field that the switch reads by meaning has to be.
type shape struct {
	slot     slot
	text     bool // an or ans instead of n
	min, max int
	what     string
}

// shapes are the fields that mean the same in every spec, ISO 8583:1987 4.4.
var shapes = map[int]shape{
	2:  {slotPAN, false, panMin, panMax, "n8..19 LL or shorter, at least 8"},
	3:  {slotCode, false, 6, 6, "n6"},
	4:  {slotAmount, false, 12, 12, "n12"},
	7:  {slotSent, false, 10, 10, "n10"},
	11: {slotSTAN, false, 6, 6, "n6"},
	12: {slotTime, false, 6, 6, "n6"},
	13: {slotDate, false, 4, 4, "n4"},
	25: {slotCondition, false, 2, 2, "n2"},
	37: {slotRRN, true, 12, 12, "an12"},
	39: {slotResponse, true, 2, 2, "an2"},
	41: {slotTerminal, true, 8, 8, "an8 or ans8"},
	42: {slotMerchant, true, 15, 15, "an15 or ans15"},
	70: {slotNetwork, false, 3, 3, "n3"},
}

// A card number on a link, in digits.
const (
	panMin = 8
	panMax = 19
)

// macSize is the size of a MAC field in bytes.
const macSize = 8

// assign gives f its slot, and is an error when the switch could not read it.
func (f *fieldSpec) assign(s *Spec) error {
	if f.number == s.macs[0] || f.number == s.macs[1] {
		f.slot = slotMAC
		if f.kind != Binary || f.prefix != 0 || f.max != macSize {
			return fmt.Errorf("is the MAC and has to be b8")
		}
		return nil
	}
	if f.number == 60 && s.dialect == POS {
		f.slot = slotPrivate
		if f.kind != Digits {
			return fmt.Errorf("has to be n in the POS dialect")
		}
		return nil
	}
	want, ok := shapes[f.number]
	if !ok {
		return nil
	}
	isText := (f.kind == AN || f.kind == ANS) && f.charset == printable
	if want.text != isText || !want.text && f.kind != Digits || f.min < want.min ||
		f.max > want.max || f.max == 0 {
		return fmt.Errorf("has to be %s", want.what)
	}
	f.slot = want.slot
	return nil
}

// finish checks s as a whole and builds the library's form. It returns the number of the
// field that is wrong.
func (s *Spec) finish() (field int, err error) {
	for n, f := range s.fields {
		if f == nil {
			continue
		}
		f.slot = noSlot
		if err := f.assign(s); err != nil {
			return n, err
		}
	}
	for _, n := range s.macs {
		if n != 0 && s.fields[n] == nil {
			return n, fmt.Errorf("is the MAC but is not among the fields")
		}
	}
	s.short, s.long = s.build(64), s.build(fieldMax)
	return 0, nil
}

// clone returns a spec whose rows may be changed.
func (s *Spec) clone() *Spec {
	c := *s
	for n, f := range s.fields {
		if f != nil {
			row := *f
			c.fields[n] = &row
		}
	}
	return &c
}

// presence is the bitmap without the bits that stand for bitmaps: bit 63 of the first word
// is field 1.
type presence [2]uint64

func (p *presence) has(n int) bool {
	return n >= 1 && n <= fieldMax && p[(n-1)>>6]>>(63-(n-1)&63)&1 == 1
}

func (p *presence) set(n int)   { p[(n-1)>>6] |= 1 << (63 - (n-1)&63) }
func (p *presence) unset(n int) { p[(n-1)>>6] &^= 1 << (63 - (n-1)&63) }

// numbers returns the fields in ascending order.
func (p *presence) numbers() []int {
	var all []int
	for n := 2; n <= fieldMax; n++ {
		if p.has(n) {
			all = append(all, n)
		}
	}
	return slices.Clip(all)
}
