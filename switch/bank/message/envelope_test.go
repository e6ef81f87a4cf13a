package message

import (
	"bytes"
	"errors"
	"testing"
)

func TestTPDUAndHeader(t *testing.T) {
	d := NewTPDU(0x0003, 0x1234)
	if d != (TPDU{0x60, 0, 3, 0x12, 0x34}) || d.Destination() != 3 || d.Source() != 0x1234 {
		t.Errorf("%X", d)
	}
	if r := d.Reply(); r != (TPDU{0x60, 0x12, 0x34, 0, 3}) || r.Reply() != d {
		t.Errorf("%X", r)
	}
	// A header seen on the wire, with nibbles that are no digits.
	h := Header{0x60, 0x31, 0x5A, 0x31, 0xFF, 0xF1}
	got := h.WithRequirement(SignOnAgain)
	if got != (Header{0x60, 0x31, 0x53, 0x31, 0xFF, 0xF1}) || got.Requirement() != SignOnAgain {
		t.Errorf("%X", got)
	}
	if h.Requirement() != 10 {
		t.Errorf("requirement %d", h.Requirement())
	}
}

// The answer goes back where the request came from, and echoes the header with the
// requirement of the host.
func TestReply(t *testing.T) {
	s, frame := goldenFrame(t, "pos-reversal")
	m, err := Parse(s, frame)
	if err != nil {
		t.Fatal(err)
	}
	r, ok := m.Reply()
	if !ok || r.MTI() != ReversalResponse || r.TPDU != m.TPDU.Reply() || r.Header != m.Header {
		t.Fatalf("%v %v", r, ok)
	}
	r.Header = r.Header.WithRequirement(SignOnAgain)
	if err := r.Copy(m, 2, 3, 4, 11, 41, 42, 7); err != nil {
		t.Fatal(err)
	}
	if err := r.SetText(39, "00"); err != nil {
		t.Fatal(err)
	}
	out, err := r.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := unhex(t, "6000000003"+"603103"+"31FFF1"); !bytes.HasPrefix(out, want) {
		t.Errorf("%X", out[:11])
	}
	if _, ok := r.Reply(); ok {
		t.Error("an answer is answered")
	}
}

func TestCUPSHeader(t *testing.T) {
	s, frame := goldenFrame(t, "cups-purchase")
	m, err := Parse(s, frame)
	if err != nil {
		t.Fatal(err)
	}
	h := m.CUPS
	if h.Version() != 0x82 || h.Destination() != "00010000   " || h.Source() != "00020000   " ||
		h.Batch() != 0 || h.Info() != "00000000" || h.Reject() != "00000" {
		t.Errorf("%q", h[:])
	}
	if r := h.Reply(); r.Destination() != "00020000   " || r.Source() != "00010000   " {
		t.Errorf("%q", r[:])
	}
	for name, bad := range map[string]func([]byte){
		reasonHeader:     func(b []byte) { b[0] = 45 },
		reasonHeaderSize: func(b []byte) { b[5]++ },
	} {
		broken := bytes.Clone(frame)
		bad(broken)
		refused(t, s, broken, frameLevel, name)
	}
	broken := bytes.Clone(frame)
	broken[2] = ' '
	refused(t, s, broken, frameLevel, reasonHeader)
	if _, err := NewCUPSHeader("123456789012", ""); !errors.Is(err, ErrFormat) {
		t.Error(err)
	}
	if _, err := New(s, FinancialRequest).Append(nil); !errors.Is(err, ErrFormat) {
		t.Errorf("a message without a header is packed: %v", err)
	}
}

// Every envelope, and a frame that ends inside it.
func TestEnvelopes(t *testing.T) {
	s, err := Named("cup_pos")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []Envelope{Bare, TPDUOnly, TPDUHeader} {
		if got, err := ParseEnvelope(e.String()); err != nil || got != e {
			t.Errorf("%v: %v, %v", e, got, err)
		}
		with := s.WithEnvelope(e)
		m := newSample(t, with, NetworkRequest)
		if err := m.SetSTAN(1); err != nil {
			t.Fatal(err)
		}
		frame, err := m.Append(nil)
		if err != nil || len(frame) != e.Size()+2+8+3 {
			t.Fatalf("%v: %X, %v", e, frame, err)
		}
		if _, err := Parse(with, frame); err != nil {
			t.Errorf("%v: %v", e, err)
		}
		if e != Bare {
			refused(t, with, frame[:e.Size()-1], frameLevel, reasonEnvelope)
		}
	}
	if _, err := ParseEnvelope("tcp"); err == nil {
		t.Error("tcp is taken")
	}
	refused(t, s, make([]byte, FrameMax+1), frameLevel, reasonOversize)
	refused(t, s.WithEnvelope(Bare), nil, mtiField, reasonShort)
}

func TestMessageTypes(t *testing.T) {
	for _, c := range []struct{ from, answer, repeat MTI }{
		{0x0100, 0x0110, 0x0101}, {0x0200, 0x0210, 0x0201}, {0x0220, 0x0230, 0x0221},
		{0x0320, 0x0330, 0x0321}, {0x0400, 0x0410, 0x0401}, {0x0420, 0x0430, 0x0421},
		{0x0500, 0x0510, 0x0501}, {0x0620, 0x0630, 0x0621}, {0x0800, 0x0810, 0x0801},
		{0x0820, 0x0830, 0x0821}, {0x0920, 0x0930, 0x0921},
	} {
		for _, m := range []MTI{c.from, c.repeat} {
			if got, ok := m.Answer(); got != c.answer || !ok || !m.Expects() || m.IsResponse() {
				t.Errorf("%v is answered by %v", m, got)
			}
		}
		if c.from.Repeat() != c.repeat || c.repeat.First() != c.from || c.from.IsRepeat() ||
			!c.repeat.IsRepeat() || c.repeat.Repeat() != c.repeat {
			t.Errorf("%v repeats as %v", c.from, c.from.Repeat())
		}
		if _, ok := c.answer.Answer(); ok || !c.answer.IsResponse() || c.answer.Expects() {
			t.Errorf("%v wants an answer", c.answer)
		}
		if got, err := ParseMTI(c.from.String()); err != nil || got != c.from {
			t.Errorf("%v: %v, %v", c.from, got, err)
		}
	}
	if m := ReversalAdvice; m.Class() != Reversal || m.Function() != Advice {
		t.Errorf("%v: %v %v", m, m.Class(), m.Function())
	}
	for _, bad := range []string{"", "200", "02000", "0x00", "2A00", "-200", "0000"} {
		if _, err := ParseMTI(bad); !errors.Is(err, ErrFormat) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// The success set is exactly that of DOMAIN.md 2.6, every row has both texts and stands once,
// and what is unknown is a refusal.
func TestResponseCodes(t *testing.T) {
	success := map[string]bool{"00": true, "10": true, "11": true, "16": true, "A2": true,
		"A4": true, "A5": true, "A6": true}
	last := ""
	for _, m := range Meanings() {
		if m.Code <= last || len(m.Code) != 2 || m.English == "" || m.Chinese == "" || !m.Known {
			t.Errorf("%+v after %s", m, last)
		}
		last = m.Code
		if m.Approved != success[m.Code] {
			t.Errorf("%s: approved %v", m.Code, m.Approved)
		}
		if m != MeaningOf(m.Code) {
			t.Errorf("%s is looked up as %+v", m.Code, MeaningOf(m.Code))
		}
		if m.Approved && (m.SignOn || m.KeepCard) {
			t.Errorf("%+v", m)
		}
	}
	for code := range success {
		if !MeaningOf(code).Approved {
			t.Errorf("%s is refused", code)
		}
	}
	for _, code := range []string{"", "0", "000", "0 ", " 0", "ZZ", "o0", "77", "\x000"} {
		if m := MeaningOf(code); m.Approved || m.Known || m.English == "" || m.Chinese == "" {
			t.Errorf("%q: %+v", code, m)
		}
	}
	if !MeaningOf("A0").SignOn || !MeaningOf("99").SignOn || !MeaningOf("43").KeepCard {
		t.Error("what the terminal has to do")
	}
}
