package message

import (
	"bytes"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/moov-io/iso8583"
	"github.com/moov-io/iso8583/encoding"
	"github.com/moov-io/iso8583/field"
	"github.com/moov-io/iso8583/prefix"
)

// refused: Parse and Peek refuse frame for field n.
func refused(t *testing.T, s *Spec, frame []byte, n int, reason string) {
	t.Helper()
	_, parseErr := Parse(s, frame)
	_, peekErr := Peek(s, frame)
	for _, err := range []error{parseErr, peekErr} {
		var f *FormatError
		if !errors.As(err, &f) || !errors.Is(err, ErrFormat) {
			t.Fatalf("%v, want a format error of field %d", err, n)
		}
		if f.Field != n || f.Reason != reason {
			t.Fatalf("%v, want field %d: %s", err, n, reason)
		}
	}
}

func ascii(t testing.TB) *Spec {
	t.Helper()
	s, err := Named("iso87_ascii")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The library's Numeric takes signs; an amount here does not (FAULTS.md row 17).
func TestSignedAmountIsRefused(t *testing.T) {
	theirs := field.NewNumeric(&field.Spec{Length: 12, Enc: encoding.ASCII,
		Pref: prefix.ASCII.Fixed})
	for _, amount := range []string{"-00000000100", "+00000000100", "00000000010 ",
		"0000000001.0"} {
		if strings.ContainsAny(amount, "+-") {
			if _, err := theirs.Unpack([]byte(amount)); err != nil {
				t.Errorf("the library refuses %q now: %v", amount, err)
			}
		}
		refused(t, ascii(t), []byte("02001000000000000000"+amount), 4, reasonDigit)
	}
	m := New(ascii(t), FinancialRequest)
	for _, bad := range []string{"-00000000100", "+00000000100", "100", "0000000000100"} {
		if m.SetDigits(4, bad) == nil {
			t.Errorf("amount %q is set", bad)
		}
	}
	if m.SetAmount(-1) == nil || m.SetAmount(AmountMax+1) == nil || m.Has(4) {
		t.Error("an amount out of range is set")
	}
}

// The library reads length prefixes with Atoi, which takes a sign.
func TestSignedLengthIsRefused(t *testing.T) {
	if n, _, err := prefix.ASCII.LL.DecodeLength(11, []byte("+1")); err != nil || n != 1 {
		t.Errorf("the library refuses a sign now: %d, %v", n, err)
	}
	for _, length := range []string{"+1", "-1", " 1", "1 ", "0x", "\x00\x01"} {
		refused(t, ascii(t), []byte("02000000000100000000"+length+"1"), 32, reasonLength)
	}
	s, err := Named("cup_pos")
	if err != nil {
		t.Fatal(err)
	}
	head := "600003000060310031100302000000000100000000"
	refused(t, s, unhex(t, head+"1A00"), 32, reasonLength)
	refused(t, s, unhex(t, head+"FF00"), 32, reasonLength)
}

// The library stops after the last field of the bitmap and says nothing of what follows.
func TestTrailingBytesAreRefused(t *testing.T) {
	for _, s := range specsUnderTest(t) {
		for _, frame := range seedFrames(t, s) {
			if s.Envelope() == CUPSHead {
				frame = bytes.Clone(frame)
				var h CUPSHeader
				copy(h[:], frame)
				h.setLength(len(frame) + 1)
				copy(frame, h[:])
			}
			refused(t, s, append(frame, 0), frameLevel, reasonTrailing)
		}
	}
}

// The library's String takes any bytes; a reference number with a line break would go
// into logs and files.
func TestUnprintableTextIsRefused(t *testing.T) {
	for _, rrn := range []string{"12345678901\n", "\x0012345678901", "1234567890\xc3\xa9"} {
		refused(t, ascii(t), []byte("02000000000008000000"+rrn), 37, reasonPrintable)
	}
}

// The library takes any MTI.
func TestMessageTypeIsChecked(t *testing.T) {
	for _, mti := range []string{"0000", "02A0", "    ", "0290", "-200"} {
		refused(t, ascii(t), []byte(mti+"0000000000000000"), mtiField, reasonType)
	}
	if _, err := New(ascii(t), 0).Append(nil); err == nil {
		t.Error("a message without a type is packed")
	}
}

// The library's bitmap grows for as long as the first bits say so; here two are the most.
func TestThirdBitmapIsRefused(t *testing.T) {
	frame := []byte("0200" + strings.Repeat("8000000000000000", 3) + strings.Repeat("F", 64))
	refused(t, ascii(t), frame, bitmapField, reasonThird)
	s, err := Named("iso87_bcd")
	if err != nil {
		t.Fatal(err)
	}
	refused(t, s, append([]byte{2, 0}, bytes.Repeat([]byte{0x80, 0, 0, 0, 0, 0, 0, 0}, 20)...),
		bitmapField, reasonThird)
}

// The library drops a second bitmap without fields, and the MAC with it.
func TestEmptySecondBitmapIsKept(t *testing.T) {
	frame := []byte("0800" + "8020000000000000" + "0000000000000000" + "000001")
	m, err := Parse(ascii(t), frame)
	if err != nil {
		t.Fatal(err)
	}
	out, err := m.Append(nil)
	if err != nil || !bytes.Equal(out, frame) {
		t.Fatalf("%q, %v", out, err)
	}
}

// A field of the bitmap that the spec does not have is a refusal in both.
func TestUnknownFieldIsRefused(t *testing.T) {
	s, err := Named("cups")
	if err != nil {
		t.Fatal(err)
	}
	body := append([]byte("0200"), 0, 0, 0, 0, 0, 0x02, 0, 0)
	refused(t, s.WithEnvelope(Bare), append(body, "xxxxxxxx"...), 47, reasonUnknown)
	m := New(s, FinancialRequest)
	if m.SetText(47, "x") == nil || m.SetBytes(0, nil) == nil || m.SetBytes(1, nil) == nil ||
		m.SetBytes(65, nil) == nil || m.SetBytes(-1, nil) == nil || m.SetBytes(129, nil) == nil {
		t.Error("a field that the spec does not have is set")
	}
	if m.Has(-1) || m.Has(0) || m.Has(200) {
		t.Error("has what it cannot have")
	}
}

// poison is a codec that panics.
type poison struct{}

func (poison) Unpack([]byte, *field.Spec) ([]byte, int, error) { panic("poison 6225") }
func (poison) Pack([]byte, *field.Spec) ([]byte, error)        { panic("poison 6225") }

// Should the library panic, the frame is refused and the panic's text is not shown
// (#159, #177, #415, #426 of the library).
func TestPanicOfTheLibraryIsARefusal(t *testing.T) {
	s := ascii(t).clone()
	if _, err := s.finish(); err != nil {
		t.Fatal(err)
	}
	s.short.Fields[3] = rowOf(poison{})
	_, err := Parse(s, []byte("02002000000000000000000000"))
	if !errors.Is(err, ErrFormat) || strings.Contains(err.Error(), "poison") {
		t.Errorf("unpack: %v", err)
	}
	m := New(s, FinancialRequest)
	if err := m.SetDigits(3, "000000"); err != nil {
		t.Fatal(err)
	}
	_, err = m.Append(nil)
	if !errors.Is(err, ErrFormat) || strings.Contains(err.Error(), "poison") {
		t.Errorf("pack: %v", err)
	}
	delete(s.short.Fields, bitmapField) // what NewMessage panics on
	if _, err := Parse(s, []byte("02002000000000000000000000")); !errors.Is(err, ErrFormat) {
		t.Errorf("spec: %v", err)
	}
}

// The library's LBCD writes its filler into the caller's slice.
func TestSetBytesLeavesTheCallersSlice(t *testing.T) {
	room := []byte("6225000000000000005X")
	if _, err := encoding.LBCD.Encode(room[:19]); err != nil || room[19] != '0' {
		t.Logf("the library leaves it now: %q, %v", room, err)
	}
	room[19] = 'X'
	s, err := Named("cup_pos")
	if err != nil {
		t.Fatal(err)
	}
	m := New(s, FinancialRequest)
	if err := m.SetBytes(2, room[:19]); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Append(nil); err != nil || room[19] != 'X' {
		t.Errorf("%q, %v", room, err)
	}
	room[0] = '9'
	if got := m.PAN().Digits(); got[0] != '6' {
		t.Error("the message holds the caller's slice")
	}
}

// What was parsed does not change with the frame, and what Bytes returns does not change the
// message.
func TestParseKeepsNoFrame(t *testing.T) {
	s, frame := goldenFrame(t, "cups-purchase")
	m, err := Parse(s, frame)
	if err != nil {
		t.Fatal(err)
	}
	want, err := m.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	clear(frame)
	for _, n := range m.Numbers() {
		b, _ := m.Bytes(n)
		clear(b)
	}
	if got, err := m.Append(nil); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%X, %v", got, err)
	}
}

// A frame of the largest size takes memory in proportion: the library copies the rest of the
// message for every binary field, which makes 1 MB of 16 KB.
func TestMemoryOfALargeFrame(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	s := ascii(t)
	m := New(s, FinancialRequest)
	for n := 46; n <= 63; n++ {
		if f, ok := s.Field(n); ok && f.Max == 999 {
			if err := m.SetBytes(n, bytes.Repeat([]byte("x"), 999)); err != nil {
				t.Fatal(err)
			}
		}
	}
	frame, err := m.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(frame) < 10_000 {
		t.Fatalf("%d bytes", len(frame))
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := Parse(s, frame); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 8*uint64(len(frame)) {
		t.Errorf("%d bytes for a frame of %d", used, len(frame))
	}
}

// A length field alone allocates nothing.
func TestLengthAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	s := ascii(t)
	frame := []byte("02000000000000000080" + "999")
	refused(t, s, append(frame, 'x'), 57, reasonShort)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 100 {
		_, _ = Parse(s, frame)
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / 100; each > 16<<10 {
		t.Errorf("%d bytes for each refusal", each)
	}
}

// Hostile TLV (negative and overflowing lengths, endless nesting) in field 55 is content and
// nothing more: it is not looked into.
func TestField55StaysRaw(t *testing.T) {
	s, err := Named("cup_pos")
	if err != nil {
		t.Fatal(err)
	}
	for _, tlv := range []string{"9F2684FFFFFFF5", "9F2688FFFFFFFFFFFFFFFF", "E0804080E080",
		"FFFFFFFFFF",
		"1F", "9F", "00", "DF8284FFFFFFF5", strings.Repeat("E104", 100), "9F2680"} {
		m := newSample(t, s, FinancialRequest)
		if err := m.SetBytes(55, unhex(t, tlv)); err != nil {
			t.Fatal(err)
		}
		frame, err := m.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		back, err := Parse(s, frame)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := back.Text(55); got != tlv {
			t.Errorf("%s became %s", tlv, got)
		}
	}
}

// Content may be empty where the format says so (field 32 of a moov message).
func TestEmptyVariableField(t *testing.T) {
	m, err := Parse(ascii(t), []byte("0200000000010000000000"))
	if err != nil {
		t.Fatal(err)
	}
	if text, ok := m.Text(32); text != "" || !ok || !m.Has(32) {
		t.Errorf("%q %v", text, ok)
	}
}

// The library's own error carries the frame, which is why none of its errors is passed on.
func TestLibraryErrorsAreNotPassedOn(t *testing.T) {
	_, err := Parse(ascii(t), []byte("02004000000000000000196225000000000000x05"))
	var theirs interface{ FieldIDs() []string }
	if err == nil || errors.As(err, &theirs) {
		t.Fatalf("%v carries the library's error", err)
	}
	refused(t, ascii(t), []byte("02004000000000000000196225000000000000x05"), 2, reasonDigit)
	if m := iso8583.NewMessage(ascii(t).short); m.Unpack([]byte("0200")) == nil {
		t.Error("the library unpacks half a message")
	}
}
