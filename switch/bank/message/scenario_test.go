package message

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/mac"
	"github.com/tapswitch/tapswitch/crypto/pan"
)

// host answers the requests of a terminal as a link will: frame, peek, MAC, parse, answer.
type host struct {
	spec    *Spec
	framing Framing
	by      *mac.MAC
	seen    []string
}

// serve answers one frame; nothing for a message that wants no answer.
func (h *host) serve(frame []byte) ([]byte, error) {
	sum, err := Peek(h.spec, frame)
	if err != nil {
		return nil, err
	}
	code := "00"
	if err := VerifySummary(h.spec, frame, &sum, h.by); errors.Is(err, ErrNoMAC) {
		if sum.MTI.Class() == Financial || sum.MTI.Class() == Reversal {
			code = "A0"
		}
	} else if err != nil {
		code = "A0"
	}
	m, err := Parse(h.spec, frame)
	if err != nil {
		return nil, err
	}
	r, ok := m.Reply()
	if !ok {
		return nil, nil
	}
	h.seen = append(h.seen, fmt.Sprintf("%v %s %s %d", m.MTI(), sum.POSType, sum.Network, sum.STAN))
	if MeaningOf(code).SignOn {
		r.Header = r.Header.WithRequirement(SignOnAgain)
	}
	err = errors.Join(r.Copy(m, 2, 3, 4, 11, 25, 41, 42, 49, 60), r.SetText(39, code),
		r.SetText(37, "150615000001"))
	if err != nil {
		return nil, err
	}
	out, err := r.AppendMAC(nil, h.by)
	if err != nil {
		return nil, err
	}
	return h.framing.Append(nil, out)
}

// A terminal's morning over one connection: sign-on, purchase, a purchase with a broken MAC,
// its reversal, settlement and echo; the stream comes in pieces.
func TestTerminalMorning(t *testing.T) {
	s, err := Named("cup_pos")
	if err != nil {
		t.Fatal(err)
	}
	h := &host{spec: s, by: macOf(t, mac.CUPTDES, 16)}
	number, err := pan.Parse("6225000000000000005")
	if err != nil {
		t.Fatal(err)
	}
	type exchange struct {
		mti    MTI
		f60    Private
		sale   bool
		broken bool
		answer MTI
		code   string
	}
	day := []exchange{
		{0x0800, Private{Type: "00", Batch: "000001", Network: "003"}, false, false, 0x0810, "00"},
		{0x0200, Private{Type: "22", Batch: "000001", Network: "000"}, true, false, 0x0210, "00"},
		{0x0200, Private{Type: "22", Batch: "000001", Network: "000"}, true, true, 0x0210, "A0"},
		{0x0400, Private{Type: "22", Batch: "000001", Network: "000"}, true, false, 0x0410, "00"},
		{0x0401, Private{Type: "22", Batch: "000001", Network: "000"}, true, false, 0x0410, "00"},
		{0x0500, Private{Type: "00", Batch: "000001", Network: "201"}, false, false, 0x0510, "00"},
		{0x0820, Private{Type: "00", Batch: "000001", Network: "301"}, false, false, 0x0830, "00"},
	}
	var stream []byte
	for i, e := range day {
		digits, err := e.f60.Digits()
		if err != nil {
			t.Fatal(err)
		}
		m := newSample(t, s, e.mti)
		err = errors.Join(m.SetSTAN(uint32(i+1)), m.SetText(41, "00000001"),
			m.SetText(42, "898310041110001"), m.SetDigits(60, digits))
		if e.sale {
			err = errors.Join(err, m.SetPAN(number), m.SetDigits(3, "000000"), m.SetAmount(250),
				m.SetText(49, "156"))
		}
		if err != nil {
			t.Fatal(err)
		}
		frame, err := m.Append(nil)
		if e.sale {
			frame, err = m.AppendMAC(nil, h.by)
		}
		if err != nil {
			t.Fatal(err)
		}
		if e.broken {
			frame[len(frame)-1] ^= 1
		}
		if stream, err = h.framing.Append(stream, frame); err != nil {
			t.Fatal(err)
		}
	}
	var answers []byte
	r := NewReader(&chopped{data: stream, size: 7}, h.framing)
	for {
		frame, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		out, err := h.serve(frame)
		if err != nil {
			t.Fatal(err)
		}
		answers = append(answers, out...)
	}
	r = NewReader(bytes.NewReader(answers), h.framing)
	for i, e := range day {
		frame, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if err := Verify(s, frame, h.by); err != nil {
			t.Errorf("answer %d: %v", i, err)
		}
		sum, err := Peek(s, frame)
		if err != nil {
			t.Fatal(err)
		}
		if sum.MTI != e.answer || string(sum.Response[:]) != e.code || sum.STAN != uint32(i+1) {
			t.Errorf("answer %d: %v %s STAN %d", i, sum.MTI, sum.Response, sum.STAN)
		}
		if sum.TPDU != NewTPDU(3, 0).Reply() {
			t.Errorf("answer %d goes to %X", i, sum.TPDU)
		}
		if again := sum.Header.Requirement() == SignOnAgain; again != (e.code == "A0") {
			t.Errorf("answer %d: header %X", i, sum.Header)
		}
	}
	want := "0800 00 003 1, 0200 22 000 2, 0200 22 000 3, 0400 22 000 4, 0401 22 000 5, " +
		"0500 00 201 6, 0820 00 301 7"
	if got := strings.Join(h.seen, ", "); got != want {
		t.Errorf("the host saw %s", got)
	}
}

// One spec serves many connections at once.
func TestSpecIsShared(t *testing.T) {
	s, frame := goldenFrame(t, "pos-purchase")
	by := macOf(t, mac.CUPTDES, 16)
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for range 50 {
				m, err := Parse(s, frame)
				if err != nil {
					t.Error(err)
					return
				}
				out, err := m.Append(nil)
				if err != nil || !bytes.Equal(out, frame) {
					t.Error(err)
				}
				if err := Verify(s, frame, by); err != nil {
					t.Error(err)
				}
				if _, err := Peek(s.WithEnvelope(Bare), frame[s.Envelope().Size():]); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
}

// The sub-fields of the golden messages.
func TestGoldenSubfields(t *testing.T) {
	open := func(id string) *Message {
		s, frame := goldenFrame(t, id)
		m, err := Parse(s, frame)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	m := open("pos-sign-on")
	data, _ := m.Bytes(62)
	if serial, ok := ParseSequence(data); !ok || serial != "2312345678" {
		t.Error(serial, ok)
	}
	data, _ = m.Bytes(63)
	if n, err := ParseNotice(data); err != nil || n.Code != "001" {
		t.Error(n, err)
	}
	data, _ = open("pos-sign-on-answer").Bytes(62)
	if keys, err := ParseWorkingKeys(data); err != nil || len(keys.PIN.Key) != 16 ||
		len(keys.MAC.Key) != 8 || keys.Track.Key != nil {
		t.Error(keys, err)
	}
	digits, _ := open("pos-settlement").Digits(48)
	if s, err := ParseSettlement(digits); err != nil || s.Domestic.DebitAmount != 250 ||
		s.Domestic.DebitCount != 1 || s.Foreign != (Totals{}) {
		t.Error(s, err)
	}
	digits, _ = open("pos-upload").Digits(48)
	if rows, err := ParseUpload(digits); err != nil || len(rows) != 1 || rows[0].Amount != 250 ||
		rows[0].PAN.Last4().String() != "0005" {
		t.Error(rows, err)
	}
	digits, _ = open("pos-void").Digits(61)
	if o, err := ParseOriginal(digits); err != nil || o.STAN != "000002" || o.Date != "0615" {
		t.Error(o, err)
	}
	digits, _ = open("cups-reversal").Digits(90)
	if o, err := ParseOriginalElements(digits); err != nil || o.Acquirer != "00003060000" {
		t.Error(o, err)
	}
	text, _ := open("pos-purchase-answer").Text(54)
	if b, err := ParseBalances(text); err != nil || len(b) != 1 || b[0].Minor != 12345 {
		t.Error(b, err)
	}
	if sum, err := Peek(open("cups-echo").Spec(), mustAppend(t, open("cups-echo"))); err != nil ||
		string(sum.Network[:]) != "301" {
		t.Error(sum.Network, err)
	}
}

func mustAppend(t *testing.T, m *Message) []byte {
	t.Helper()
	out, err := m.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
