package message

import (
	"errors"
	"strconv"

	"github.com/moov-io/iso8583"
	iso8583errors "github.com/moov-io/iso8583/errors"
	"github.com/moov-io/iso8583/field"
	"github.com/moov-io/iso8583/prefix"
)

// build returns the library's form of s with a bitmap of a size in bits. Every field is its
// Binary type with our codec; the bitmap never grows by itself.
func (s *Spec) build(bitmapBits int) *iso8583.MessageSpec {
	fields := map[int]field.Field{
		mtiField: rowOf(mtiCodec{bcd: s.mtiBCD}),
		bitmapField: field.NewBitmap(&field.Spec{
			Length:            bitmapBits / 8,
			Enc:               bitmapCodec{hex: s.hexBitmap},
			Pref:              prefix.Binary.Fixed,
			DisableAutoExpand: true,
		}),
	}
	for n := 2; n <= bitmapBits; n++ {
		if f := s.fields[n]; f != nil {
			fields[n] = rowOf(f)
		}
	}
	return &iso8583.MessageSpec{Name: s.name, Fields: fields}
}

// rowCodec is what the library calls for a field.
type rowCodec interface {
	field.Packer
	field.Unpacker
}

func rowOf(c rowCodec) field.Field {
	return field.NewBinary(&field.Spec{Packer: c, Unpacker: c})
}

var (
	_ rowCodec = (*fieldSpec)(nil)
	_ rowCodec = mtiCodec{}
)

// mtiCodec reads and writes the MTI as four characters.
type mtiCodec struct{ bcd bool }

// Unpack returns the four digits.
func (c mtiCodec) Unpack(data []byte, _ *field.Spec) ([]byte, int, error) {
	size := mtiDigits
	if c.bcd {
		size /= 2
	}
	if len(data) < size {
		return nil, 0, &fault{len(data), reasonShort}
	}
	digits := data[:size]
	if c.bcd {
		digits = unpackNibbles(make([]byte, 0, mtiDigits), digits, false, mtiDigits)
	}
	if _, ok := mtiOf(digits); !ok {
		return nil, 0, &fault{len(data), reasonType}
	}
	return digits, size, nil
}

// Pack writes four digits.
func (c mtiCodec) Pack(digits []byte, _ *field.Spec) ([]byte, error) {
	if c.bcd {
		return packNibbles(nil, digits, false, 0), nil
	}
	return digits, nil
}

// bitmapCodec reads and writes a bitmap of fixed size, binary or in hex. A second half is
// announced by the first bit, whether a field stands in it or not.
type bitmapCodec struct{ hex bool }

// Encode writes the bitmap.
func (c bitmapCodec) Encode(bitmap []byte) ([]byte, error) {
	out := append(make([]byte, 0, 2*len(bitmap)), bitmap...)
	if len(out) == fieldMax/8 {
		out[0] |= 0x80
	}
	if !c.hex {
		return out, nil
	}
	return appendHex(make([]byte, 0, 2*len(out)), out), nil
}

// Decode reads a bitmap of n bytes.
func (c bitmapCodec) Decode(data []byte, n int) ([]byte, int, error) {
	size := n
	if c.hex {
		size = 2 * n
	}
	if len(data) < size {
		return nil, 0, &fault{len(data), reasonShort}
	}
	out := make([]byte, n)
	copy(out, data)
	if c.hex {
		for i := range out {
			high, low := hexValue(data[2*i]), hexValue(data[2*i+1])
			if high|low > 15 {
				return nil, 0, &fault{len(data), reasonHex}
			}
			out[i] = high<<4 | low
		}
	}
	if n == fieldMax/8 && out[(secondField-1)/8]&0x80 != 0 {
		return nil, 0, &fault{len(data), reasonThird}
	}
	return out, size, nil
}

// Unpack reads the field at the front of data: its length, and its content as characters or
// bytes. It returns how many bytes it took.
func (f *fieldSpec) Unpack(data []byte, _ *field.Spec) ([]byte, int, error) {
	length, head, reason := f.readLength(data)
	if reason != "" {
		return nil, 0, &fault{len(data), reason}
	}
	size := f.wireSize(length)
	if len(data)-head < size {
		return nil, 0, &fault{len(data), reasonShort}
	}
	value, reason := f.decode(data[head:head+size], length)
	if reason == "" {
		reason = f.check(value)
	}
	if reason != "" {
		return nil, 0, &fault{len(data), reason}
	}
	return value, head + size, nil
}

// readLength reads the length prefix.
func (f *fieldSpec) readLength(data []byte) (length, size int, reason string) {
	if f.prefix == 0 {
		return f.max, 0, ""
	}
	size = f.prefixSize()
	if len(data) < size {
		return 0, 0, reasonShort
	}
	digits := data[:size]
	if f.prefBCD {
		digits = unpackNibbles(nil, digits, false, 2*size)
	}
	for _, d := range digits {
		if d < '0' || d > '9' {
			return 0, 0, reasonLength
		}
		length = length*10 + int(d-'0')
	}
	if length > f.max {
		return 0, 0, reasonLong
	}
	if length < f.min {
		return 0, 0, reasonBrief
	}
	return length, size, ""
}

// decode turns the bytes of the content into characters or bytes. What it returns may be a
// part of data.
func (f *fieldSpec) decode(data []byte, length int) (value []byte, reason string) {
	switch {
	case f.encoding == Hex:
		value = make([]byte, length)
		for i := range value {
			high, low := hexValue(data[2*i]), hexValue(data[2*i+1])
			if high|low > 15 {
				return nil, reasonHex
			}
			value[i] = high<<4 | low
		}
		return value, ""
	case f.encoding != BCD:
		return data, ""
	}
	value = make([]byte, 0, length)
	if f.kind == Signed {
		value = append(value, data[0])
		data, length = data[1:], length-1
	}
	if length%2 == 1 && !f.fillerOK(data) {
		return nil, reasonFiller
	}
	value = unpackNibbles(value, data, f.left, length)
	if f.kind == Track {
		for i, c := range value {
			if c == 'D' {
				value[i] = '='
			}
		}
	}
	return value, ""
}

// fillerOK reports whether the nibble that fills data up is one that senders write.
func (f *fieldSpec) fillerOK(data []byte) bool {
	filler := data[0] >> 4
	if f.left {
		filler = data[len(data)-1] & 15
	}
	return filler == f.filler || filler == 0 || filler == 15
}

// check reports why characters or bytes are no content of the field, or nothing.
func (f *fieldSpec) check(value []byte) string {
	switch f.kind {
	case Digits:
		return checkEach(value, isDigit, reasonDigit)
	case Signed:
		if len(value) == 0 || value[0] != 'C' && value[0] != 'D' && value[0] != '0' {
			return reasonSign
		}
		return checkEach(value[1:], isDigit, reasonDigit)
	case Track:
		if f.encoding == BCD {
			return checkEach(value, isNibble, reasonTrack)
		}
		return checkEach(value, isPrintable, reasonPrintable)
	case AN, ANS:
		if f.charset == printable {
			return checkEach(value, isPrintable, reasonPrintable)
		}
	}
	return ""
}

func checkEach(value []byte, ok func(byte) bool, reason string) string {
	for _, c := range value {
		if !ok(c) {
			return reason
		}
	}
	return ""
}

func isDigit(c byte) bool     { return c >= '0' && c <= '9' }
func isPrintable(c byte) bool { return c >= ' ' && c <= '~' }

// isNibble reports whether c stands for a nibble of a track: the separator is '='.
func isNibble(c byte) bool {
	return isDigit(c) || c == '=' || c >= 'A' && c <= 'F'
}

// admit reports why value cannot be the field's content, or nothing.
func (f *fieldSpec) admit(value []byte) string {
	switch {
	case f.prefix == 0 && len(value) != f.max:
		return reasonFixed
	case len(value) > f.max:
		return reasonLong
	case len(value) < f.min:
		return reasonBrief
	}
	return f.check(value)
}

// Pack writes the field: its length and its content.
func (f *fieldSpec) Pack(value []byte, _ *field.Spec) ([]byte, error) {
	if reason := f.admit(value); reason != "" {
		return nil, &fault{0, reason}
	}
	return f.append(make([]byte, 0, f.prefix+f.wireSize(len(value))), value), nil
}

// append appends the field to dst. The value has been admitted.
func (f *fieldSpec) append(dst, value []byte) []byte {
	if f.prefix > 0 {
		dst = f.appendLength(dst, len(value))
	}
	switch {
	case f.encoding == Hex:
		return appendHex(dst, value)
	case f.encoding != BCD:
		return append(dst, value...)
	case f.kind == Signed:
		dst, value = append(dst, value[0]), value[1:]
	}
	return packNibbles(dst, value, f.left, f.filler)
}

// appendLength appends the length prefix.
func (f *fieldSpec) appendLength(dst []byte, n int) []byte {
	if f.prefBCD {
		if f.prefix > 2 {
			dst = append(dst, byte(n/1000)<<4|byte(n/100%10))
		}
		return append(dst, byte(n/10%10)<<4|byte(n%10))
	}
	for unit := [...]int{1, 10, 100}[f.prefix-1]; unit > 0; unit /= 10 {
		dst = append(dst, '0'+byte(n/unit%10))
	}
	return dst
}

const upperHex = "0123456789ABCDEF"

func appendHex(dst, src []byte) []byte {
	for _, b := range src {
		dst = append(dst, upperHex[b>>4], upperHex[b&15])
	}
	return dst
}

// hexValue is the value of a hex digit, 16 and more for what is none.
func hexValue(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	default:
		return 0xFF
	}
}

// unpackNibbles appends n nibbles of src as hex characters: the first ones when the content
// stands left, else the last ones.
func unpackNibbles(dst, src []byte, left bool, n int) []byte {
	skip := 0
	if !left {
		skip = 2*len(src) - n
	}
	for i := skip; i < skip+n; i++ {
		b := src[i/2]
		if i%2 == 0 {
			b >>= 4
		}
		dst = append(dst, upperHex[b&15])
	}
	return dst
}

// packNibbles appends characters as nibbles with a filler where their number is odd. The
// separator '=' is D.
func packNibbles(dst, chars []byte, left bool, filler byte) []byte {
	half, first := len(chars)%2 == 1 && !left, byte(0)
	if half {
		first = filler
	}
	for _, c := range chars {
		v := byte(0xD)
		if c != '=' {
			v = hexValue(c)
		}
		if half {
			dst = append(dst, first<<4|v&15)
		}
		first, half = v, !half
	}
	if half {
		dst = append(dst, first<<4|filler&15)
	}
	return dst
}

// translate makes an error of ours from one of the library, which may quote the message and
// carries all of it.
func (s *Spec) translate(err error, size int) *FormatError {
	n, offset, reason := frameLevel, -1, reasonCodec
	var unpack *iso8583errors.UnpackError
	if errors.As(err, &unpack) {
		if id, err := strconv.Atoi(unpack.FieldID); err == nil {
			n, reason = id, reasonUnknown
		}
	}
	var ours *fault
	if errors.As(err, &ours) {
		offset, reason = size-ours.rest, ours.reason
	}
	return s.fault(n, offset, reason)
}

// unpack runs the library over body, the end of a frame of a size, and returns what it found.
func (s *Spec) unpack(form *iso8583.MessageSpec, body []byte, size int) (
	m *iso8583.Message, err error) {
	defer func() {
		if recover() != nil {
			m, err = nil, s.fault(frameLevel, -1, reasonCodec)
		}
	}()
	m = iso8583.NewMessage(form)
	if err := m.Unpack(body); err != nil {
		return nil, s.translate(err, size)
	}
	return m, nil
}

// pack runs the library over the fields of m.
func (m *Message) pack(form *iso8583.MessageSpec) (body []byte, err error) {
	s := m.spec
	defer func() {
		if recover() != nil {
			body, err = nil, s.fault(frameLevel, -1, reasonCodec)
		}
	}()
	out := iso8583.NewMessage(form)
	out.MTI(m.mti.String())
	for _, n := range m.body().set.numbers() {
		if err := out.BinaryField(n, m.body().value(n)); err != nil {
			return nil, s.fault(n, -1, reasonUnknown)
		}
	}
	if body, err = out.Pack(); err != nil {
		return nil, s.translate(err, 0)
	}
	return body, nil
}
