package message

import (
	"bytes"
	"errors"
	"testing"
	"time"
)

// specsUnderTest returns every built-in spec and some with another envelope.
func specsUnderTest(t testing.TB) []*Spec {
	t.Helper()
	var all []*Spec
	for _, name := range Names() {
		s, err := Named(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	if len(all) != 6 {
		t.Fatalf("%d built-in specs", len(all))
	}
	return append(all, all[0].WithEnvelope(TPDUOnly), all[1].WithEnvelope(Bare))
}

// FuzzPeek: Peek, View and the full unpack accept the same frames and see the same values;
// what was unpacked packs to the same bytes but for filler and case; nothing takes long.
func FuzzPeek(f *testing.F) {
	specs := specsUnderTest(f)
	for i, s := range specs {
		for _, seed := range seedFrames(f, s) {
			f.Add(uint8(i), seed)
		}
		for _, g := range goldens(f) {
			if g.Spec == s.Name() {
				f.Add(uint8(i), unhex(f, g.Hex))
			}
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, frame []byte) {
		s := specs[int(which)%len(specs)]
		start := time.Now()
		sum, peekErr := Peek(s, frame)
		m, parseErr := Parse(s, frame)
		if took := time.Since(start); took > time.Second {
			t.Fatalf("took %v", took)
		}
		if (peekErr == nil) != (parseErr == nil) {
			t.Fatalf("%s: peek says %v, parse %v", s.Name(), peekErr, parseErr)
		}
		if peekErr != nil {
			sameFault(t, peekErr, parseErr)
			return
		}
		sameValues(t, &sum, m)
		packsAgain(t, s, m, frame)
		sameByView(t, s, frame, m)
	})
}

func sameFault(t *testing.T, peekErr, parseErr error) {
	t.Helper()
	var a, b *FormatError
	if !errors.As(peekErr, &a) || !errors.As(parseErr, &b) {
		t.Fatalf("not format errors: %v, %v", peekErr, parseErr)
	}
	// The walk reads one bitmap at a time, the library both at once.
	exact := b.Field != bitmapField && b.Offset >= 0
	if a.Field != b.Field || exact && (a.Reason != b.Reason || a.Offset != b.Offset) {
		t.Fatalf("peek says %v, parse %v", a, b)
	}
}

func sameValues(t *testing.T, sum *Summary, m *Message) {
	t.Helper()
	if sum.MTI != m.MTI() || sum.PAN != m.PAN() || sum.TPDU != m.TPDU || sum.Header != m.Header {
		t.Fatalf("%v and %v", sum.MTI, m.MTI())
	}
	amount, _ := m.Amount()
	stan, _ := m.STAN()
	if sum.Amount != amount || sum.STAN != stan {
		t.Fatalf("amount %d and %d, STAN %d and %d", sum.Amount, amount, sum.STAN, stan)
	}
	for n, got := range map[int][]byte{3: sum.ProcessingCode[:], 7: sum.Sent[:],
		12: sum.LocalTime[:], 13: sum.LocalDate[:], 25: sum.Condition[:], 37: sum.RRN[:],
		39: sum.Response[:], 41: sum.Terminal[:], 42: sum.Merchant[:]} {
		want, ok := m.Bytes(n)
		if !ok {
			want = make([]byte, len(got))
		}
		if !bytes.Equal(got, want) || ok != sum.Has(n) {
			t.Fatalf("field %d: %d bytes in the summary, %d in the message", n, len(got), len(want))
		}
	}
	for n := range fieldMax + 2 {
		if sum.Has(n) != m.Has(n) {
			t.Fatalf("field %d: %v and %v", n, sum.Has(n), m.Has(n))
		}
	}
	if n := m.spec.macIn(&sum.set); (n != 0) != (sum.MAC.To > 0) {
		t.Fatalf("MAC field %d at %v", n, sum.MAC)
	}
}

func packsAgain(t *testing.T, s *Spec, m *Message, frame []byte) {
	t.Helper()
	out, err := m.Append(nil)
	if err != nil {
		t.Fatalf("%s: packs no more: %v", s.Name(), err)
	}
	if len(out) != len(frame) {
		t.Fatalf("%s: %d bytes became %d", s.Name(), len(frame), len(out))
	}
	again, err := Parse(s, out)
	if err != nil {
		t.Fatalf("%s: what was packed does not parse: %v", s.Name(), err)
	}
	for _, n := range m.Numbers() {
		a, _ := m.Bytes(n)
		b, _ := again.Bytes(n)
		if !bytes.Equal(a, b) {
			t.Fatalf("%s: field %d changed", s.Name(), n)
		}
	}
	twice, err := again.Append(nil)
	if err != nil || !bytes.Equal(out, twice) {
		t.Fatalf("%s: packing twice differs, %v", s.Name(), err)
	}
}

// FuzzFields is structured: it puts any bytes, behind a length that is right for them, as one
// field of a frame that is right else, so that what a field's content may do is reached.
func FuzzFields(f *testing.F) {
	specs := specsUnderTest(f)
	for i := range specs {
		for _, n := range []uint8{2, 4, 28, 35, 43, 55, 62, 90} {
			f.Add(uint8(i), n, true, []byte("6225000000000000005"))
			f.Add(uint8(i), n, false, []byte{0x62, 0x25, 0xD3, 0x01, 0x2F})
		}
	}
	f.Fuzz(func(t *testing.T, which, n uint8, behind bool, content []byte) {
		s := specs[int(which)%len(specs)].WithEnvelope(Bare)
		row := s.field(int(n))
		if n < 2 || row == nil {
			return
		}
		frame := fieldFrame(s, row, behind, content)
		sum, peekErr := Peek(s, frame)
		m, parseErr := Parse(s, frame)
		if (peekErr == nil) != (parseErr == nil) {
			t.Fatalf("%s field %d: peek says %v, parse %v", s.Name(), n, peekErr, parseErr)
		}
		if peekErr != nil {
			sameFault(t, peekErr, parseErr)
			return
		}
		sameValues(t, &sum, m)
		packsAgain(t, s, m, frame)
		sameByView(t, s, frame, m)
	})
}

// fieldFrame writes a message of one field by hand: the length says how many digits, bytes or
// characters content is.
func fieldFrame(s *Spec, row *fieldSpec, odd bool, content []byte) []byte {
	frame := []byte("0200")
	if s.mtiBCD {
		frame = []byte{2, 0}
	}
	bitmap := make([]byte, 8, 16)
	if row.number > 64 {
		bitmap = bitmap[:16]
		bitmap[0] = 0x80
	}
	bitmap[(row.number-1)/8] |= 0x80 >> ((row.number - 1) % 8)
	if s.hexBitmap {
		bitmap = appendHex(nil, bitmap)
	}
	frame = append(frame, bitmap...)
	length := len(content)
	switch {
	case row.encoding == BCD:
		length *= 2
		if odd && length > 0 {
			length--
		}
	case row.encoding == Hex:
		length /= 2
	}
	if row.prefix > 0 {
		frame = row.appendLength(frame, length%(fieldLengthMax+1))
	}
	return append(frame, content...)
}

// FuzzFraming: a stream cut anywhere gives the frames that the whole gives, and no more is
// held than the limit.
func FuzzFraming(f *testing.F) {
	f.Add(uint8(0), 1, []byte("\x00\x0a0123456789\x00\x0aabcdefghij"))
	f.Add(uint8(1), 3, []byte("00100123456789"))
	f.Add(uint8(2), 2, []byte("\x00\x0c0123456789"))
	f.Add(uint8(3), 5, []byte("00140123456789\xff"))
	f.Fuzz(func(t *testing.T, form uint8, cut int, stream []byte) {
		g := Framing{Form: LengthForm(form & 1), Inclusive: form&2 != 0, Max: 64}
		var whole [][]byte
		rest := stream
		for {
			frame, size, err := g.Next(rest)
			if err != nil || size == 0 {
				break
			}
			whole = append(whole, frame)
			rest = rest[size:]
		}
		r := NewReader(&chopped{data: stream, size: 1 + abs(cut)%9}, g)
		for i := 0; ; i++ {
			frame, err := r.Next()
			if err != nil {
				if i != len(whole) {
					t.Fatalf("%d frames in pieces, %d as a whole: %v", i, len(whole), err)
				}
				break
			}
			if i >= len(whole) || !bytes.Equal(frame, whole[i]) {
				t.Fatalf("frame %d differs", i)
			}
			back, err := g.Append(nil, frame)
			if err != nil || !bytes.Contains(stream, back) {
				t.Fatalf("frame %d does not go back: %v", i, err)
			}
		}
		if len(r.buf) > 64+4 {
			t.Fatalf("holds %d bytes", len(r.buf))
		}
	})
}

func abs(n int) int {
	if n < 0 {
		return -(n + 1)
	}
	return n
}

// FuzzLoad: no text breaks the loader, and a spec that loads can be used.
func FuzzLoad(f *testing.F) {
	f.Add([]byte("name: x\nbase: cups\nfields:\n  2: ~\n  48: {name: y, format: n..9 L}\n"))
	f.Add([]byte("name: x\nmti: bcd\nbitmap: hex\nlengths: bcd\nnumbers: bcd\nmac: 64\nfields:\n" +
		"  3: {name: a, format: n6}\n  28: {name: b, format: x+n8}\n" +
		"  35: {name: c, format: z..37 LL, align: left, pad: F, show: none}\n" +
		"  43: {name: d, format: ans40, charset: gb18030}\n  64: {name: e, format: b8}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := Load(bytes.NewReader(text))
		if err != nil {
			if !errors.Is(err, ErrSpec) {
				t.Fatalf("%v is no spec error", err)
			}
			return
		}
		for _, frame := range seedFrames(t, s) {
			sum, err := Peek(s, frame)
			if err != nil {
				t.Fatalf("own frame: %v", err)
			}
			m, err := Parse(s, frame)
			if err != nil {
				t.Fatalf("own frame: %v", err)
			}
			sameValues(t, &sum, m)
			sameByView(t, s, frame, m)
		}
	})
}

// Peek and Parse agree on every value of every byte of a frame.
func TestEveryByte(t *testing.T) {
	for _, id := range []string{"pos-purchase", "pos-settlement", "cups-echo",
		"moov-iso_reversal_message"} {
		if raceEnabled && id != "cups-echo" {
			continue // a minute, and one goroutine only
		}
		s, frame := goldenFrame(t, id)
		for i := range frame {
			was := frame[i]
			for b := range 256 {
				frame[i] = byte(b)
				sum, peekErr := Peek(s, frame)
				m, parseErr := Parse(s, frame)
				if (peekErr == nil) != (parseErr == nil) {
					t.Fatalf("%s: byte %d is %02X: peek says %v, parse %v", id, i, b, peekErr, parseErr)
				}
				if peekErr == nil {
					sameValues(t, &sum, m)
				}
			}
			frame[i] = was
		}
	}
}
