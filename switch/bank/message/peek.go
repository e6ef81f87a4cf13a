package message

import (
	"math/bits"

	"github.com/tapswitch/tapswitch/crypto/pan"
)

// Range is a part of a frame: frame[From:To].
type Range struct{ From, To int }

// Of returns the part of frame.
func (r Range) Of(frame []byte) []byte { return frame[r.From:r.To:r.To] }

// Summary is what Peek reads of a frame. Fields that are not there are zero; Has tells. It
// holds no part of the frame, and its arrays are the characters of the fields, so that they
// can be keys.
type Summary struct {
	TPDU   TPDU
	Header Header
	MTI    MTI

	PAN            pan.Number // field 2
	ProcessingCode [6]byte    // field 3
	Amount         int64      // field 4, minor units
	Sent           [10]byte   // field 7, MMDDhhmmss
	STAN           uint32     // field 11
	LocalTime      [6]byte    // field 12, hhmmss
	LocalDate      [4]byte    // field 13, MMDD
	Condition      [2]byte    // field 25
	RRN            [12]byte   // field 37
	Response       [2]byte    // field 39
	Terminal       [8]byte    // field 41
	Merchant       [15]byte   // field 42
	// POSType, Batch and Network are 60.1, 60.2 and 60.3 of UnionPay terminals; Network is
	// field 70 in the other dialects.
	POSType [2]byte
	Batch   [6]byte
	Network [3]byte

	// MAC is the MAC field as it is on the wire, Covered what it is computed over: from the
	// MTI to the byte before it. Both are empty when the message has no MAC.
	MAC, Covered Range

	set presence
}

// Has reports whether field n is in the frame.
func (s *Summary) Has(n int) bool { return s.set.has(n) }

// piece is where the content of a field stands.
type piece struct{ at, length int }

// scan is the state of one walk over a frame.
type scan struct {
	body   int // where the MTI starts
	mti    MTI
	set    presence
	pieces [slotCount]piece
	mac    Range
	spots  *[fieldMax + 1]spot // where every field stands, when it is wanted
}

// spot is where a field stands: its length prefix, its content, and how long that is in its
// unit. Frames are short enough for 16 bits.
type spot struct{ from, content, length uint16 }

// broken is what a walk finds wrong: field, offset and reason of a FormatError.
type broken struct {
	field, at int
	reason    string
}

// Peek reads the summary of frame without unpacking it and without allocation. It goes over
// every field and refuses what Parse refuses, so that what it says holds for the whole frame.
// An error is a *FormatError.
func Peek(s *Spec, frame []byte) (Summary, error) {
	var w scan
	if b := s.walk(&w, frame); b.reason != "" {
		return Summary{}, s.fault(b.field, b.at, b.reason)
	}
	var sum Summary
	if err := s.summarize(&sum, &w, frame); err != nil {
		return Summary{}, err
	}
	return sum, nil
}

// summarize fills sum in from a walk over frame.
func (s *Spec) summarize(sum *Summary, w *scan, frame []byte) error {
	*sum = Summary{MTI: w.mti, set: w.set}
	if s.envelope == TPDUOnly || s.envelope == TPDUHeader {
		copy(sum.TPDU[:], frame)
	}
	if s.envelope == TPDUHeader {
		copy(sum.Header[:], frame[tpduSize:])
	}
	return s.collect(sum, w, frame)
}

// collect takes the fields of the summary.
func (s *Spec) collect(sum *Summary, w *scan, frame []byte) error {
	var digits [panMax]byte
	if p := w.pieces[slotPAN]; p.at > 0 {
		number, err := pan.Parse(string(s.chars(digits[:0], frame, 2, p)))
		if err != nil {
			return s.fault(2, p.at, reasonDigit)
		}
		sum.PAN = number
		clear(digits[:])
	}
	s.into(sum.ProcessingCode[:], frame, 3, w.pieces[slotCode])
	sum.Amount = s.valueOf(frame, 4, w.pieces[slotAmount])
	s.into(sum.Sent[:], frame, 7, w.pieces[slotSent])
	sum.STAN = uint32(s.valueOf(frame, 11, w.pieces[slotSTAN]))
	s.into(sum.LocalTime[:], frame, 12, w.pieces[slotTime])
	s.into(sum.LocalDate[:], frame, 13, w.pieces[slotDate])
	s.into(sum.Condition[:], frame, 25, w.pieces[slotCondition])
	s.into(sum.RRN[:], frame, 37, w.pieces[slotRRN])
	s.into(sum.Response[:], frame, 39, w.pieces[slotResponse])
	s.into(sum.Terminal[:], frame, 41, w.pieces[slotTerminal])
	s.into(sum.Merchant[:], frame, 42, w.pieces[slotMerchant])
	if p := w.pieces[slotPrivate]; p.at > 0 {
		s.collectPrivate(sum, frame, p)
	} else if s.dialect != POS {
		s.into(sum.Network[:], frame, 70, w.pieces[slotNetwork])
	}
	if w.mac.To > 0 {
		sum.Covered = Range{w.body, w.mac.From}
		sum.MAC = w.mac
	}
	return nil
}

// collectPrivate takes 60.1 to 60.3, as far as the field goes.
func (s *Spec) collectPrivate(sum *Summary, frame []byte, p piece) {
	var room [fieldLengthMax]byte
	text := s.chars(room[:0], frame, 60, p)
	if len(text) >= 2 {
		copy(sum.POSType[:], text)
	}
	if len(text) >= 8 {
		copy(sum.Batch[:], text[2:])
	}
	if len(text) >= 11 {
		copy(sum.Network[:], text[8:])
	}
}

// into copies the characters of field n, which is as long as dst, when it is there.
func (s *Spec) into(dst, frame []byte, n int, p piece) {
	if p.at > 0 {
		s.chars(dst[:0], frame, n, p)
	}
}

// valueOf returns a field of at most 18 digits as a number; 0 when it is not there.
func (s *Spec) valueOf(frame []byte, n int, p piece) (v int64) {
	if p.at == 0 {
		return 0
	}
	var room [18]byte
	for _, d := range s.chars(room[:0], frame, n, p) {
		v = v*10 + int64(d-'0')
	}
	return v
}

// chars appends the characters of field n.
func (s *Spec) chars(dst, frame []byte, n int, p piece) []byte {
	f := s.fields[n]
	return f.chars(dst, frame[p.at:p.at+f.wireSize(p.length)], p.length)
}

// nibbleChars are the characters of packed content.
const nibbleChars = "0123456789ABC=EF"

// chars appends the content of the field, which stands in data as on the wire, as the
// characters or bytes that Message.Bytes returns. data has been inspected.
func (f *fieldSpec) chars(dst, data []byte, length int) []byte {
	switch {
	case f.encoding == Hex:
		for i := 0; i < len(data); i += 2 {
			dst = append(dst, hexValue(data[i])<<4|hexValue(data[i+1]))
		}
		return dst
	case f.encoding != BCD:
		return append(dst, data...)
	case f.kind == Signed:
		dst, data, length = append(dst, data[0]), data[1:], length-1
	}
	odd := length%2 == 1
	if odd && !f.left {
		dst, data = append(dst, nibbleChars[data[0]&15]), data[1:]
	}
	for len(data) > 1 || len(data) == 1 && !(odd && f.left) {
		dst = append(dst, nibbleChars[data[0]>>4], nibbleChars[data[0]&15])
		data = data[1:]
	}
	if len(data) == 1 {
		dst = append(dst, nibbleChars[data[0]>>4])
	}
	return dst
}

// walk goes over frame to its end and fills in w. It is written apart from the codec that
// Parse uses, on purpose: each is the other's check.
func (s *Spec) walk(w *scan, frame []byte) broken {
	if reason := checkEnvelope(s.envelope, frame); reason != "" {
		return broken{frameLevel, 0, reason}
	}
	w.body = s.envelope.Size()
	at, b := s.walkHead(w, frame)
	if b.reason != "" {
		return b
	}
	for half, word := range w.set {
		for word != 0 {
			lead := bits.LeadingZeros64(word)
			word &^= 1 << (63 - lead)
			n := half<<6 + lead + 1
			f := s.fields[n]
			if f == nil {
				return broken{n, at, reasonUnknown}
			}
			length, data, reason := f.measure(frame[at:])
			if reason != "" {
				return broken{n, at, reason}
			}
			if f.slot != noSlot {
				w.pieces[f.slot] = piece{len(frame) - len(data), length}
			}
			size := f.wireSize(length)
			if reason := f.inspect(data[:size], length); reason != "" {
				return broken{n, at, reason}
			}
			content := len(frame) - len(data)
			if w.spots != nil {
				w.spots[n] = spot{uint16(at), uint16(content), uint16(length)}
			}
			at = content + size
			if f.slot == slotMAC {
				w.mac = Range{content, at}
			}
		}
	}
	if at != len(frame) {
		return broken{frameLevel, at, reasonTrailing}
	}
	return broken{}
}

// walkHead reads MTI and bitmaps and returns where the first field starts. The bits that
// stand for bitmaps are not in w.set.
func (s *Spec) walkHead(w *scan, frame []byte) (at int, b broken) {
	at = w.body
	if len(frame)-at < s.mtiSize() {
		return at, broken{mtiField, at, reasonShort}
	}
	if s.mtiBCD {
		w.mti = MTI(frame[at])<<8 | MTI(frame[at+1])
	} else {
		for _, c := range frame[at : at+mtiDigits] {
			if c < '0' || c > '9' {
				return at, broken{mtiField, at, reasonType}
			}
			w.mti = w.mti<<4 | MTI(c-'0')
		}
	}
	if !w.mti.valid() {
		return at, broken{mtiField, at, reasonType}
	}
	at += s.mtiSize()
	for half := range w.set {
		word, reason := s.word(frame[at:])
		if reason != "" {
			return at, broken{bitmapField, at, reason}
		}
		at += s.bitmapSize()
		w.set[half] = word &^ (1 << 63)
		if word>>63 == 0 {
			return at, broken{}
		}
	}
	return at, broken{bitmapField, at, reasonThird}
}

// word reads one bitmap.
func (s *Spec) word(data []byte) (word uint64, reason string) {
	if len(data) < s.bitmapSize() {
		return 0, reasonShort
	}
	for _, c := range data[:s.bitmapSize()] {
		if !s.hexBitmap {
			word = word<<8 | uint64(c)
			continue
		}
		v := hexValue(c)
		if v > 15 {
			return 0, reasonHex
		}
		word = word<<4 | uint64(v)
	}
	return word, ""
}

// measure reads the length of the field at the front of data, and returns its content on.
func (f *fieldSpec) measure(data []byte) (length int, content []byte, reason string) {
	length, content = f.max, data
	if f.prefix > 0 {
		size := f.prefixSize()
		if len(data) < size {
			return 0, nil, reasonShort
		}
		length, content = 0, data[size:]
		for _, c := range data[:size] {
			switch {
			case f.prefBCD && packed(c):
				length = length*100 + int(c>>4)*10 + int(c&15)
			case !f.prefBCD && isDigit(c):
				length = length*10 + int(c-'0')
			default:
				return 0, nil, reasonLength
			}
		}
		if length > f.max {
			return 0, nil, reasonLong
		}
		if length < f.min {
			return 0, nil, reasonBrief
		}
	}
	if len(content) < f.wireSize(length) {
		return 0, nil, reasonShort
	}
	return length, content, ""
}

// packed reports whether both nibbles of a byte are digits.
func packed(c byte) bool { return c < 0x9A && c&15 < 10 }

// inspect reports why data, as it is on the wire, is no content of the field, or nothing.
func (f *fieldSpec) inspect(data []byte, length int) string {
	switch {
	case f.encoding == Hex:
		for _, c := range data {
			if hexValue(c) > 15 {
				return reasonHex
			}
		}
		return ""
	case f.kind == Binary:
		return ""
	case f.kind == AN || f.kind == ANS:
		if f.charset != printable {
			return ""
		}
		return inspectText(data)
	case f.encoding != BCD && f.kind == Track:
		return inspectText(data)
	}
	if f.kind == Signed {
		if c := data[0]; c != 'C' && c != 'D' && c != '0' {
			return reasonSign
		}
		data, length = data[1:], length-1
	}
	if f.encoding == BCD {
		return f.inspectPacked(data, length)
	}
	for _, c := range data {
		if c < '0' || c > '9' {
			return reasonDigit
		}
	}
	return ""
}

func inspectText(data []byte) string {
	for _, c := range data {
		if c-' ' > '~'-' ' {
			return reasonPrintable
		}
	}
	return ""
}

// inspectPacked checks filler and digits of packed content.
func (f *fieldSpec) inspectPacked(data []byte, length int) string {
	var odd byte
	if length%2 == 1 {
		i, shift := 0, 4
		if f.left {
			i, shift = len(data)-1, 0
		}
		filler := data[i] >> shift & 15
		if filler != f.filler && filler != 0 && filler != 15 {
			return reasonFiller
		}
		odd = data[i] >> (4 - shift) & 15
		if f.left {
			data = data[:i]
		} else {
			data = data[1:]
		}
	}
	if f.kind == Track {
		return ""
	}
	if odd > 9 {
		return reasonDigit
	}
	for _, c := range data {
		if !packed(c) {
			return reasonDigit
		}
	}
	return ""
}
