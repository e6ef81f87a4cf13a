package message

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tapswitch/tapswitch/crypto/mac"
	"github.com/tapswitch/tapswitch/crypto/pan"
)

// Any message of any spec packs, parses to the same fields, packs to the same bytes, and is
// read the same by Peek and View.
func TestRoundTrip(t *testing.T) {
	for i, s := range specsUnderTest(t) {
		name := s.Name() + "/" + s.Envelope().String()
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				m := drawMessage(rt, t, s)
				frame, err := m.Append(nil)
				if err != nil {
					t.Fatalf("spec %d: %v", i, err)
				}
				back, err := Parse(s, frame)
				if err != nil {
					t.Fatal(err)
				}
				for n := range fieldMax + 1 {
					a, had := m.Bytes(n)
					b, has := back.Bytes(n)
					if had != has || !bytes.Equal(a, b) {
						t.Fatalf("field %d changed", n)
					}
				}
				out, err := back.Append([]byte("x"))
				if err != nil || !bytes.Equal(out[1:], frame) {
					t.Fatalf("%X, %v", out, err)
				}
				sum, err := Peek(s, frame)
				if err != nil {
					t.Fatal(err)
				}
				sameValues(t, &sum, back)
				sameByView(t, s, frame, back)
			})
		})
	}
}

// crossed are the fields that a purchase takes from a terminal to the interbank network.
var crossed = []int{2, 3, 4, 11, 14, 22, 23, 25, 35, 37, 38, 41, 42, 43, 52, 53, 55}

// A terminal's message goes over to the network by Copy, and by View and Writer, with the
// same bytes.
func TestTranslate(t *testing.T) {
	s, frame := goldenFrame(t, "pos-purchase")
	to, err := Named("cups")
	if err != nil {
		t.Fatal(err)
	}
	from, err := Parse(s, frame)
	if err != nil {
		t.Fatal(err)
	}
	m := newSample(t, to, from.MTI())
	if err := m.Copy(from, crossed...); err != nil {
		t.Fatal(err)
	}
	if err := m.SetText(49, "156"); err != nil {
		t.Fatal(err)
	}
	want, err := m.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	var v View
	if err := v.Open(s, frame); err != nil {
		t.Fatal(err)
	}
	w := writerOf(m)
	w.Begin(nil, to, v.MTI())
	for _, n := range []int{2, 3, 4, 11, 14, 22, 23, 25, 35, 37, 38, 41, 42, 43} {
		w.Copy(&v, n)
	}
	w.Put(49, []byte("156"))
	for _, n := range []int{52, 53, 55} {
		w.Copy(&v, n)
	}
	got, err := w.Finish()
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%X, %v, want %X", got, err, want)
	}
	if track, _ := m.Text(35); track != "6225000000000000005=30122010000" {
		t.Error("the track has changed")
	}
}

// A merchant name changes its character set where it has to, and is refused where it cannot.
func TestCopyTurnsText(t *testing.T) {
	pos, err := Named("cup_pos")
	if err != nil {
		t.Fatal(err)
	}
	narrow, err := Load(strings.NewReader(
		"name: narrow\nbase: iso87_ascii\nfields:\n  43: {name: y, format: ans40, charset: ascii}\n"))
	if err != nil {
		t.Fatal(err)
	}
	for text, fits := range map[string]bool{"Metro Line 2": true, "城市一卡通": false} {
		from := newSample(t, pos, FinancialRequest)
		if err := from.SetText(43, text); err != nil {
			t.Fatal(err)
		}
		frame, err := from.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		var v View
		if err := v.Open(pos, frame); err != nil {
			t.Fatal(err)
		}
		to, w := New(narrow, FinancialRequest), &Writer{}
		if err := to.Copy(from, 43); (err == nil) != fits {
			t.Errorf("%s: %v", text, err)
		}
		w.Begin(nil, narrow, FinancialRequest)
		w.Copy(&v, 43)
		if _, err := w.Finish(); (err == nil) != fits {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestWriterRefuses(t *testing.T) {
	s := ascii(t)
	for name, do := range map[string]func(w *Writer){
		"order":        func(w *Writer) { w.PutNumber(11, 1); w.PutNumber(4, 1) },
		"twice":        func(w *Writer) { w.PutNumber(4, 1); w.PutNumber(4, 1) },
		"bitmap":       func(w *Writer) { w.Put(1, nil) },
		"MTI":          func(w *Writer) { w.Put(0, []byte("0200")) },
		"65":           func(w *Writer) { w.Put(65, []byte("1")) },
		"129":          func(w *Writer) { w.Put(129, []byte("1")) },
		"negative":     func(w *Writer) { w.PutNumber(4, -1) },
		"too large":    func(w *Writer) { w.PutNumber(4, AmountMax+1) },
		"no number":    func(w *Writer) { w.PutNumber(41, 1) },
		"variable":     func(w *Writer) { w.PutNumber(32, 1) },
		"not a field":  func(w *Writer) { w.PutNumber(999, 1) },
		"content":      func(w *Writer) { w.Put(4, []byte("-00000000001")) },
		"length":       func(w *Writer) { w.Put(4, []byte("1")) },
		"not begun":    func(w *Writer) { *w = Writer{}; w.PutNumber(4, 1) },
		"wrong type":   func(w *Writer) { w.Begin(nil, ascii(t), 0x0A00) },
		"first counts": func(w *Writer) { w.Put(1, nil); w.PutNumber(4, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			w := &Writer{}
			w.Begin([]byte("x"), s, FinancialRequest)
			do(w)
			out, err := w.Finish()
			if !errors.Is(err, ErrFormat) || len(out) > 1 {
				t.Errorf("%q, %v", out, err)
			}
		})
	}
	w := &Writer{}
	w.Begin(nil, s, FinancialRequest)
	for n := 46; n <= 127; n++ {
		if f, ok := s.Field(n); ok && f.Max == 999 {
			w.Put(n, make([]byte, 0, 999)[:0])
		}
	}
	if out, err := w.Finish(); err != nil {
		t.Errorf("%q, %v", out, err)
	}
	w.Begin(nil, s, FinancialRequest)
	for n := 56; n <= 127; n++ {
		if f, ok := s.Field(n); ok && f.Max == 999 {
			w.Put(n, bytes.Repeat([]byte("x"), 999))
		}
	}
	if _, err := w.Finish(); !errors.Is(err, ErrFormat) {
		t.Errorf("a frame over FrameMax: %v", err)
	}
	var v View
	if _, err := v.Summary(); !errors.Is(err, ErrFormat) || v.Has(2) || len(v.Append(nil, 2)) != 0 {
		t.Errorf("an empty view: %v", err)
	}
	if err := v.Open(s, []byte("02")); !errors.Is(err, ErrFormat) || v.Has(2) {
		t.Error(err)
	}
}

func macOf(t testing.TB, s mac.Scheme, size int) *mac.MAC {
	t.Helper()
	key := unhex(t, "0123456789ABCDEFFEDCBA9876543210")[:size]
	m, err := mac.New(s, key)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Every scheme that links use, in every spec: what is signed verifies, by message and by
// writer with the same bytes, and no single bit of what is covered may change.
func TestMACSchemes(t *testing.T) {
	full := func(s mac.Scheme) mac.Scheme { s.Size = 8; return s }
	schemes := map[string]*mac.MAC{
		"cup-des": macOf(t, mac.CUPDES, 8), "cup-tdes": macOf(t, mac.CUPTDES, 16),
		"cup-sm4": macOf(t, mac.CUPSM4, 16), "x9.9": macOf(t, mac.X99, 8),
		"x9.9 of 8": macOf(t, full(mac.X99), 8), "x9.19": macOf(t, mac.X919, 16),
		"x9.19 of 8": macOf(t, full(mac.X919), 16),
	}
	for _, s := range specsUnderTest(t) {
		for name, by := range schemes {
			for _, second := range []bool{false, true} {
				m := newSample(t, s, FinancialRequest)
				if err := errors.Join(m.SetAmount(250), m.SetSTAN(7)); err != nil {
					t.Fatal(err)
				}
				if _, ok := s.Field(100); second && ok {
					if err := m.SetText(100, "03060000"); err != nil {
						t.Fatal(err)
					}
				}
				signs(t, m, by, s.Name()+" "+name)
			}
		}
	}
}

func signs(t *testing.T, m *Message, by *mac.MAC, name string) {
	t.Helper()
	frame, err := m.AppendMAC([]byte("x"), by)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	frame = frame[1:]
	s := m.Spec()
	sum, err := Peek(s, frame)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if sum.MAC.To != len(frame) || sum.Covered.From != s.Envelope().Size() ||
		sum.Covered.To != sum.MAC.From {
		t.Errorf("%s: MAC %v over %v", name, sum.MAC, sum.Covered)
	}
	if err := errors.Join(Verify(s, frame, by), VerifySummary(s, frame, &sum, by)); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	w := writerOf(m)
	w.Begin(nil, s, m.MTI())
	for _, n := range m.Numbers() {
		if n != s.macIn(&sum.set) {
			value, _ := m.Bytes(n)
			w.Put(n, value)
		}
	}
	if got, err := w.FinishMAC(by); err != nil || !bytes.Equal(got, frame) {
		t.Errorf("%s: writer: %X, %v, want %X", name, got, err, frame)
	}
	for i := s.Envelope().Size(); i < len(frame); i++ {
		bad := bytes.Clone(frame)
		bad[i] ^= 0x01
		if Verify(s, bad, by) == nil {
			t.Errorf("%s: byte %d of %d is not covered", name, i, len(frame))
		}
	}
}

// No MAC, a MAC under another key, fields after the MAC, and a MAC that is too long.
func TestMACRefusals(t *testing.T) {
	by, other := macOf(t, mac.CUPTDES, 16), macOf(t, mac.CUPDES, 8)
	s := ascii(t)
	m := New(s, FinancialRequest)
	frame, err := m.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	sum, err := Peek(s, frame)
	if err != nil {
		t.Fatal(err)
	}
	if err := Verify(s, frame, by); !errors.Is(err, ErrNoMAC) {
		t.Error(err)
	}
	if err := VerifySummary(s, frame, &sum, by); !errors.Is(err, ErrNoMAC) {
		t.Error(err)
	}
	signed, err := m.AppendMAC(nil, by)
	if err != nil {
		t.Fatal(err)
	}
	if err := Verify(s, signed, other); !errors.Is(err, ErrMAC) {
		t.Error(err)
	}
	if sum, err = Peek(s, signed); err != nil {
		t.Fatal(err)
	}
	if err := VerifySummary(s, signed[:20], &sum, by); !errors.Is(err, ErrMAC) {
		t.Error(err)
	}
	if err := Verify(s, signed[:20], by); !errors.Is(err, ErrFormat) {
		t.Error(err)
	}
	// Field 64 is there and 90 stands behind it.
	if err := m.SetBytes(90, bytes.Repeat([]byte("0"), 42)); err != nil {
		t.Fatal(err)
	}
	behind, err := m.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := Verify(s, behind, by); !errors.Is(err, ErrUncovered) {
		t.Error(err)
	}
	long := macOf(t, mac.Scheme{Algorithm: mac.CUPECB, Cipher: by.Scheme().Cipher, Size: 16}, 16)
	if err := Verify(s, signed, long); !errors.Is(err, ErrMAC) {
		t.Error(err)
	}
	if _, err := m.AppendMAC(nil, long); !errors.Is(err, ErrFormat) {
		t.Error(err)
	}
	bare, err := Load(strings.NewReader("name: x\nfields:\n  11: {name: y, format: n6}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(bare, FinancialRequest).AppendMAC(nil, by); !errors.Is(err, ErrNoMAC) {
		t.Error(err)
	}
	w := &Writer{}
	w.Begin(nil, bare, FinancialRequest)
	if _, err := w.FinishMAC(by); !errors.Is(err, ErrNoMAC) {
		t.Error(err)
	}
}

// The hot path allocates nothing: peek, verify, view, and writing an answer with its MAC.
func TestHotPathAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	s, frame := goldenFrame(t, "pos-purchase")
	to, err := Named("cups")
	if err != nil {
		t.Fatal(err)
	}
	by := macOf(t, mac.CUPTDES, 16)
	var v View
	w := writerOf(newSample(t, to, FinancialRequest))
	room := make([]byte, 0, FrameMax)
	var bad error
	for name, do := range map[string]func(){
		"peek":   func() { _, bad = Peek(s, frame) },
		"verify": func() { bad = Verify(s, frame, by) },
		"view":   func() { bad = v.Open(s, frame) },
		"write": func() {
			if bad = v.Open(s, frame); bad != nil {
				return
			}
			w.Begin(room, to, v.MTI())
			for _, n := range []int{2, 3, 4} {
				w.Copy(&v, n)
			}
			w.PutNumber(11, 77)
			for _, n := range []int{22, 25, 35, 41, 42, 52, 55} {
				w.Copy(&v, n)
			}
			_, bad = w.FinishMAC(by)
		},
	} {
		if n := testing.AllocsPerRun(100, do); n != 0 || bad != nil {
			t.Errorf("%s: %v allocations, %v", name, n, bad)
		}
	}
}

// The message's own setters and what they refuse.
func TestSetters(t *testing.T) {
	s, err := Named("cup_pos")
	if err != nil {
		t.Fatal(err)
	}
	m := newSample(t, s, NetworkRequest)
	number, err := pan.Parse("6225000000000000005")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(m.SetPAN(number), m.SetAmount(AmountMax), m.SetSTAN(999_999),
		m.SetText(41, "T1"), m.SetText(43, "公交"), m.SetText(62, "00ff")); err != nil {
		t.Fatal(err)
	}
	m.SetMTI(FinancialAdvice)
	amount, _ := m.Amount()
	if m.PAN() != number || amount != AmountMax || m.Terminal() != "T1      " ||
		m.MTI() != FinancialAdvice {
		t.Errorf("%v %d %q", m.PAN(), amount, m.Terminal())
	}
	for n, text := range map[int]string{62: "0", 64: "00", 41: "123456789", 37: "1", 60: "x",
		2:  "1",
		28: "X00000001", 35: "6225/", 43: strings.Repeat("长", 21), 63: "zz", 99: "1"} {
		err := m.SetText(n, text)
		if n == 37 {
			if err != nil {
				t.Error("a short text is not filled up")
			}
			continue
		}
		if !errors.Is(err, ErrFormat) {
			t.Errorf("field %d takes a text of %d: %v", n, len(text), err)
		}
	}
	if m.SetDigits(41, "12345678") == nil || m.SetSTAN(1_000_000) == nil ||
		m.SetPAN(pan.Number{}) == nil {
		t.Error("a setter takes what it cannot")
	}
	if text := m.Spec().Name() + s.fields[2].kind.String(); text != "cup_posn" {
		t.Error(text)
	}
}

// Values that a hand-made Type or Encoding may have do not matter; every type has a name.
func TestTypeNames(t *testing.T) {
	want := []string{"n", "x+n", "z", "an", "ans", "b", "?"}
	for i, name := range want {
		if got := Type(i).String(); got != name {
			t.Errorf("%d: %s", i, got)
		}
	}
}

// BenchmarkPeek reads what routing needs of a purchase.
func BenchmarkPeek(b *testing.B) {
	s, frame := goldenFrame(b, "pos-purchase")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Peek(s, frame); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkParse unpacks the same message with the library.
func BenchmarkParse(b *testing.B) {
	s, frame := goldenFrame(b, "pos-purchase")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(s, frame); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAppend packs the same message with the library.
func BenchmarkAppend(b *testing.B) {
	s, frame := goldenFrame(b, "pos-purchase")
	m, err := Parse(s, frame)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if frame, err = m.Append(frame[:0]); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkForward reads the same message through a View and writes it for the network.
func BenchmarkForward(b *testing.B) {
	s, frame := goldenFrame(b, "pos-purchase")
	to, err := Named("cups")
	if err != nil {
		b.Fatal(err)
	}
	var v View
	w := writerOf(newSample(b, to, FinancialRequest))
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		if err := v.Open(s, frame); err != nil {
			b.Fatal(err)
		}
		w.Begin(out[:0], to, v.MTI())
		for _, n := range crossed {
			w.Copy(&v, n)
		}
		if out, err = w.Finish(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkVerify checks the MAC of the same message.
func BenchmarkVerify(b *testing.B) {
	s, frame := goldenFrame(b, "pos-purchase")
	by := macOf(b, mac.CUPTDES, 16)
	b.ReportAllocs()
	for b.Loop() {
		if err := Verify(s, frame, by); err != nil {
			b.Fatal(err)
		}
	}
}
