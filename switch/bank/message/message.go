package message

import (
	"fmt"
	"log/slog"
	"strconv"

	"golang.org/x/text/encoding/simplifiedchinese"

	"github.com/tapswitch/tapswitch/crypto/pan"
)

// AmountMax is the largest amount that field 4 holds, in minor units.
const AmountMax = 999_999_999_999

// Message is a message of a spec, made by New or Parse. It belongs to one goroutine. It prints its type and the
// numbers of its fields and never their content; Describe shows what a person may see.
type Message struct {
	// TPDU and Header are used by the specs with an envelope of that kind, CUPS by that of
	// the interbank network. Parse fills them in.
	TPDU   TPDU
	Header Header
	CUPS   CUPSHeader

	spec    *Spec
	mti     MTI
	content **content
}

// content is apart from Message, two pointers away, so that a printer that goes by reflection
// shows an address: one it follows, for a verb that it refuses.
type content struct {
	self   *content
	set    presence
	second bool // the frame had a second bitmap
	at     [fieldMax + 1]struct{ from, to uint32 }
	bytes  []byte // contents one behind the other, with gaps where fields were set again
}

// contentMax is how long bytes may grow before the gaps are taken out: some messages of the
// largest size.
const contentMax = 4 * FrameMax

func (c *content) value(n int) []byte {
	return c.bytes[c.at[n].from:c.at[n].to:c.at[n].to]
}

func (c *content) put(n int, value []byte) {
	c.set.set(n)
	c.at[n].from = uint32(len(c.bytes))
	c.bytes = append(c.bytes, value...)
	c.at[n].to = uint32(len(c.bytes))
	if len(c.bytes) > contentMax {
		c.compact()
	}
}

// compact moves the contents to new memory without gaps and overwrites the old.
func (c *content) compact() {
	old := c.bytes
	c.bytes = make([]byte, 0, len(old)/2)
	for _, n := range c.set.numbers() {
		value := old[c.at[n].from:c.at[n].to]
		c.at[n].from = uint32(len(c.bytes))
		c.bytes = append(c.bytes, value...)
		c.at[n].to = uint32(len(c.bytes))
	}
	clear(old)
}

// New returns a message of s without fields.
func New(s *Spec, mti MTI) *Message {
	c := new(content)
	c.self = c
	return &Message{spec: s, mti: mti, content: &c.self}
}

func (m *Message) body() *content { return *m.content }

// Parse unpacks frame, which it does not keep: a frame without its length, from the TPDU or
// header on where the spec has one. An error is a *FormatError. Bytes after the last field,
// fields that the spec does not have and content that is not of a field's type are errors.
func Parse(s *Spec, frame []byte) (*Message, error) {
	if reason := checkEnvelope(s.envelope, frame); reason != "" {
		return nil, s.fault(frameLevel, 0, reason)
	}
	m := New(s, 0)
	body := m.openEnvelope(frame)
	form := s.short
	if at := s.mtiSize(); len(body) > at && s.announcesSecond(body[at]) {
		form, m.body().second = s.long, true
	}
	raw, err := s.unpack(form, body, len(frame))
	if err != nil {
		return nil, err
	}
	used := s.mtiSize() + s.bitmapSize()
	if m.body().second {
		used += s.bitmapSize()
	}
	m.body().bytes = make([]byte, 0, 2*len(body))
	bitmap := raw.Bitmap()
	for n := 2; n <= bitmap.Len(); n++ {
		if !bitmap.IsSet(n) {
			continue
		}
		value, err := raw.GetBytes(n)
		if err != nil {
			return nil, s.fault(n, -1, reasonCodec)
		}
		f := s.fields[n]
		used += f.prefixSize() + f.wireSize(len(value))
		m.body().put(n, value)
	}
	if used != len(body) {
		return nil, s.fault(frameLevel, len(frame)-len(body)+used, reasonTrailing)
	}
	digits, err := raw.GetBytes(mtiField)
	if err == nil {
		m.mti, _ = mtiOf(digits)
	}
	return m, nil
}

// announcesSecond reports whether the first byte of a bitmap has its first bit.
func (s *Spec) announcesSecond(first byte) bool {
	if s.hexBitmap {
		v := hexValue(first)
		return v < 16 && v&8 != 0
	}
	return first&0x80 != 0
}

// openEnvelope takes what stands in front of the message, and returns the message.
func (m *Message) openEnvelope(frame []byte) (body []byte) {
	switch m.spec.envelope {
	case TPDUOnly:
		copy(m.TPDU[:], frame)
	case TPDUHeader:
		copy(m.TPDU[:], frame)
		copy(m.Header[:], frame[tpduSize:])
	case CUPSHead:
		copy(m.CUPS[:], frame)
	}
	return frame[m.spec.envelope.Size():]
}

// Append appends the frame of m to dst. It is the frame that was parsed as long as nothing
// has been set, but for filler nibbles and lower-case hex, which are written as the spec has
// them.
func (m *Message) Append(dst []byte) ([]byte, error) {
	form := m.spec.short
	if m.body().second || m.body().set[1] != 0 {
		form = m.spec.long
	}
	if !m.mti.valid() {
		return dst, m.spec.fault(mtiField, -1, reasonType)
	}
	body, err := m.pack(form)
	if err != nil {
		return dst, err
	}
	size := m.spec.envelope.Size() + len(body)
	if size > FrameMax {
		return dst, m.spec.fault(frameLevel, -1, reasonOversize)
	}
	switch m.spec.envelope {
	case TPDUOnly:
		dst = append(dst, m.TPDU[:]...)
	case TPDUHeader:
		dst = append(append(dst, m.TPDU[:]...), m.Header[:]...)
	case CUPSHead:
		h := m.CUPS
		if h[0] != cupsSize || !h.setLength(size) {
			return dst, m.spec.fault(frameLevel, -1, reasonHeader)
		}
		dst = append(dst, h[:]...)
	}
	return append(dst, body...), nil
}

// Reply returns the answer to m without fields: its type, its TPDU and header turned round.
// It is false when m wants no answer.
func (m *Message) Reply() (*Message, bool) {
	mti, ok := m.mti.Answer()
	if !ok {
		return nil, false
	}
	r := New(m.spec, mti)
	r.TPDU, r.Header, r.CUPS = m.TPDU.Reply(), m.Header, m.CUPS.Reply()
	return r, true
}

// Spec returns the spec of m.
func (m *Message) Spec() *Spec { return m.spec }

// MTI returns the message type.
func (m *Message) MTI() MTI { return m.mti }

// SetMTI sets the message type; Append refuses one that is none.
func (m *Message) SetMTI(t MTI) { m.mti = t }

// Has reports whether field n is there.
func (m *Message) Has(n int) bool { return m.body().set.has(n) }

// Numbers returns the fields that are there, in ascending order.
func (m *Message) Numbers() []int { return m.body().set.numbers() }

// Unset takes fields away and overwrites their content.
func (m *Message) Unset(numbers ...int) {
	for _, n := range numbers {
		if m.Has(n) {
			clear(m.body().value(n))
			m.body().set.unset(n)
		}
	}
}

// Bytes returns a copy of the content of field n: characters for n, x+n, z and text (in its
// own character set), bytes for b. It is false when the field is not there.
func (m *Message) Bytes(n int) ([]byte, bool) {
	if !m.Has(n) {
		return nil, false
	}
	return append([]byte{}, m.body().value(n)...), true
}

// Digits returns the content of a field of type n; false for another type or a field that is
// not there.
func (m *Message) Digits(n int) (string, bool) {
	if !m.Has(n) || m.spec.fields[n].kind != Digits {
		return "", false
	}
	return string(m.body().value(n)), true
}

// Text returns the content of field n as UTF-8: text decoded from its character set, digits
// and tracks as they are ('=' is the separator of a BCD track), bytes in upper-case hex. It
// is false when the field is not there.
func (m *Message) Text(n int) (string, bool) {
	if !m.Has(n) {
		return "", false
	}
	value, f := m.body().value(n), m.spec.fields[n]
	if f.kind == Binary {
		return string(appendHex(nil, value)), true
	}
	if f.charset == gb18030 && (f.kind == AN || f.kind == ANS) {
		text, err := simplifiedchinese.GB18030.NewDecoder().Bytes(value)
		if err != nil {
			return string(appendHex(nil, value)), true
		}
		return string(text), true
	}
	return string(value), true
}

// SetBytes sets field n to content as Bytes returns it. An error is a *FormatError and leaves
// the message as it was.
func (m *Message) SetBytes(n int, value []byte) error {
	f := m.spec.field(n)
	if f == nil {
		return m.spec.fault(n, -1, reasonUnknown)
	}
	if reason := f.admit(value); reason != "" {
		return m.spec.fault(n, -1, reason)
	}
	if m.Has(n) {
		clear(m.body().value(n))
	}
	m.body().put(n, value)
	if f.kind == Track && f.encoding == BCD {
		value = m.body().value(n)
		for i, c := range value {
			if c == 'D' {
				value[i] = '='
			}
		}
	}
	return nil
}

// SetDigits sets a field of type n. A fixed field takes exactly its digits.
func (m *Message) SetDigits(n int, digits string) error {
	if f := m.spec.field(n); f != nil && f.kind != Digits {
		return m.spec.fault(n, -1, reasonKind)
	}
	return m.SetBytes(n, []byte(digits))
}

// SetText sets field n to text: encoded in the field's character set, and filled up with
// spaces in a fixed field, on the side that the spec says. For b it takes hex.
func (m *Message) SetText(n int, text string) error {
	f := m.spec.field(n)
	if f == nil {
		return m.spec.fault(n, -1, reasonUnknown)
	}
	value := []byte(text)
	switch f.kind {
	case Binary:
		b, reason := (&fieldSpec{encoding: Hex}).decode(value, len(value)/2)
		if reason != "" || len(value)%2 != 0 {
			return m.spec.fault(n, -1, reasonHex)
		}
		value = b
	case AN, ANS:
		if f.charset == gb18030 {
			var err error
			if value, err = simplifiedchinese.GB18030.NewEncoder().Bytes(value); err != nil {
				return m.spec.fault(n, -1, reasonText)
			}
		}
		value = f.fill(value)
	}
	return m.SetBytes(n, value)
}

// fill brings text to the length of a fixed field.
func (f *fieldSpec) fill(text []byte) []byte {
	if f.prefix > 0 || len(text) >= f.max {
		return text
	}
	out := make([]byte, f.max)
	for i := range out {
		out[i] = ' '
	}
	if f.left {
		copy(out, text)
	} else {
		copy(out[f.max-len(text):], text)
	}
	return out
}

// Copy sets fields to what they are in from, where they are there; the specs may differ. Text
// goes over as characters, so a merchant name keeps its meaning and not its bytes.
func (m *Message) Copy(from *Message, numbers ...int) error {
	if m == from {
		return nil
	}
	for _, n := range numbers {
		if !from.Has(n) {
			continue
		}
		f, g := from.spec.fields[n], m.spec.field(n)
		if g == nil {
			return m.spec.fault(n, -1, reasonUnknown)
		}
		var err error
		if f.charset == g.charset || f.kind == Binary || g.kind == Binary {
			err = m.SetBytes(n, from.body().value(n))
		} else {
			text, _ := from.Text(n)
			err = m.SetText(n, text)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// PAN returns the card number of field 2; the empty one when the field is not there.
func (m *Message) PAN() pan.Number {
	if !m.Has(2) {
		return pan.Number{}
	}
	number, err := pan.Parse(string(m.body().value(2)))
	if err != nil {
		return pan.Number{}
	}
	return number
}

// SetPAN sets field 2.
func (m *Message) SetPAN(n pan.Number) error { return m.SetDigits(2, n.Digits()) }

// Amount returns field 4 in minor units.
func (m *Message) Amount() (minor int64, ok bool) { return m.number(4) }

// SetAmount sets field 4, 0 to AmountMax minor units.
func (m *Message) SetAmount(minor int64) error { return m.setNumber(4, minor, 12) }

// STAN returns the system trace audit number of field 11.
func (m *Message) STAN() (uint32, bool) {
	n, ok := m.number(11)
	return uint32(n), ok
}

// SetSTAN sets field 11, at most 999999.
func (m *Message) SetSTAN(stan uint32) error { return m.setNumber(11, int64(stan), 6) }

// ProcessingCode returns field 3, "" when it is not there.
func (m *Message) ProcessingCode() string { return m.textOf(3) }

// RRN returns the retrieval reference number of field 37 as it is on the wire, "" when it is
// not there.
func (m *Message) RRN() string { return m.textOf(37) }

// Terminal returns the terminal id of field 41 as it is on the wire, "" when it is not there.
func (m *Message) Terminal() string { return m.textOf(41) }

// Merchant returns the merchant id of field 42 as it is on the wire, "" when it is not there.
func (m *Message) Merchant() string { return m.textOf(42) }

// ResponseCode returns field 39, "" when it is not there. Look what it means up with Meaning.
func (m *Message) ResponseCode() string { return m.textOf(39) }

func (m *Message) textOf(n int) string {
	text, _ := m.Text(n)
	return text
}

// number returns a field of at most 12 digits.
func (m *Message) number(n int) (int64, bool) {
	digits, ok := m.Digits(n)
	if !ok {
		return 0, false
	}
	v, err := strconv.ParseInt(digits, 10, 64)
	return v, err == nil
}

func (m *Message) setNumber(n int, v int64, width int) error {
	digits := strconv.FormatInt(v, 10)
	if v < 0 || len(digits) > width {
		return m.spec.fault(n, -1, reasonRange)
	}
	return m.SetDigits(n, fmt.Sprintf("%0*d", width, v))
}

// Format prints the type and the numbers of the fields, whatever the verb.
func (m Message) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, m.outline()) }

// LogValue returns what Format prints, for slog.
func (m Message) LogValue() slog.Value { return slog.StringValue(m.outline()) }

func (m Message) outline() string {
	if m.content == nil {
		return "message"
	}
	return fmt.Sprintf("%v %v", m.mti, m.Numbers())
}
