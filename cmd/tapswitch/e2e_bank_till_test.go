package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/mac"
	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/sim/pos"
)

// tillMax is how long a till waits for an answer that must come.
const tillMax = 10 * time.Second

// till is one terminal that a test plays by hand. It belongs to one goroutine.
type till struct {
	t     testing.TB
	w     *bankTown
	id    string
	batch string
	stan  uint32
	mac   *mac.MAC // of its working keys; nil without
	nc    net.Conn
	r     *message.Reader
}

// sale is one transaction of a till.
type sale struct {
	kind     pos.Kind
	stan     uint32
	card     pan.Number
	minor    int64
	original *sale
	form     *tillForm // in place of that of the kind
	// What the switch answered.
	code, rrn, auth string
	// change edits the message before it is sent; nil for none.
	change func(m *message.Message)
}

func (w *bankTown) till(n int) *till {
	l := &till{t: w.t, w: w, id: fmt.Sprintf("%08d", n), batch: "000001"}
	w.t.Cleanup(l.hangUp)
	return l
}

func (l *till) hangUp() {
	if l.nc != nil {
		_ = l.nc.Close()
		l.nc = nil
	}
}

// sale makes a transaction that has not been sent.
func (l *till) sale(kind pos.Kind, card int, minor int64, original *sale) *sale {
	l.stan++
	s := &sale{kind: kind, stan: l.stan, card: l.w.cards[card], minor: minor, original: original}
	if original != nil {
		s.card = original.card
	}
	return s
}

func (s *sale) shape() tillForm {
	if s.form != nil {
		return *s.form
	}
	return tillForms[s.kind]
}

// tillForm is how a kind stands in a terminal's message.
type tillForm struct {
	mti                         message.MTI
	processing, condition, kind string
}

var tillForms = map[pos.Kind]tillForm{
	pos.Purchase:         {0x0200, "000000", "00", "22"},
	pos.Void:             {0x0200, "200000", "00", "23"},
	pos.Refund:           {0x0220, "200000", "00", "25"},
	pos.PreAuth:          {0x0100, "030000", "06", "10"},
	pos.PreAuthVoid:      {0x0100, "200000", "06", "11"},
	pos.Completion:       {0x0200, "000000", "06", "20"},
	pos.CompletionVoid:   {0x0200, "200000", "06", "21"},
	pos.CompletionAdvice: {0x0220, "000000", "06", "24"},
	pos.OfflineSale:      {0x0220, "000000", "00", "30"},
	pos.Balance:          {0x0200, "310000", "00", "01"},
}

// message begins a message.
func (l *till) message(mti message.MTI, stan uint32, p message.Private) *message.Message {
	l.t.Helper()
	m := message.New(l.w.spec, mti)
	m.TPDU = message.NewTPDU(3, 0)
	copy(m.Header[:], "\x60\x31\x00\x31\x10\x03")
	p.Batch = l.batch
	digits, err := p.Digits()
	l.no(err, m.SetSTAN(stan), m.SetText(41, l.id), m.SetText(42, "898310041110001"),
		m.SetDigits(60, digits))
	return m
}

func (l *till) no(errs ...error) {
	l.t.Helper()
	if err := errors.Join(errs...); err != nil {
		l.t.Fatal(err)
	}
}

// request writes the message of a sale.
func (l *till) request(s *sale) *message.Message {
	l.t.Helper()
	f := s.shape()
	m := l.message(f.mti, s.stan, message.Private{Type: f.kind, Network: "000"})
	l.no(m.SetPAN(s.card), m.SetDigits(3, f.processing), m.SetDigits(22, "072"),
		m.SetDigits(14, "3012"), m.SetDigits(25, f.condition), m.SetText(49, "156"))
	if s.kind != pos.Balance {
		l.no(m.SetAmount(s.minor))
	}
	if o := s.original; o != nil {
		l.original(m, o)
		l.no(m.SetText(37, o.rrn))
		if o.auth != "" {
			l.no(m.SetText(38, o.auth))
		}
	}
	if s.change != nil {
		s.change(m)
	}
	return m
}

// original names another sale in field 61.
func (l *till) original(m *message.Message, o *sale) {
	l.t.Helper()
	digits, err := message.Original{Batch: l.batch, STAN: fmt.Sprintf("%06d", o.stan),
		Date: time.Now().Format("0102")}.Digits()
	l.no(err, m.SetDigits(61, digits))
}

// reversal writes the reversal of a sale.
func (l *till) reversal(s *sale) *message.Message {
	l.t.Helper()
	f := s.shape()
	m := l.message(message.ReversalRequest, s.stan, message.Private{Type: f.kind, Network: "000"})
	l.no(m.SetPAN(s.card), m.SetDigits(3, f.processing), m.SetAmount(s.minor),
		m.SetDigits(25, f.condition), m.SetText(39, "98"), m.SetText(49, "156"))
	l.original(m, s)
	return m
}

// frame returns the bytes of a message, with its MAC where the till has a key.
func (l *till) frame(m *message.Message) []byte {
	l.t.Helper()
	var frame []byte
	var err error
	if l.mac != nil {
		frame, err = m.AppendMAC(nil, l.mac)
	} else {
		frame, err = m.Append(nil)
	}
	l.no(err)
	return frame
}

// raw sends bytes as they are.
func (l *till) raw(wire []byte) error {
	if l.nc == nil {
		nc, err := l.w.dial(l.t.Context(), "pos")
		if err != nil {
			return err
		}
		l.nc, l.r = nc, message.NewReader(nc, message.Framing{})
	}
	_, err := l.nc.Write(wire)
	return err
}

// wire returns a frame with its length.
func wire(t testing.TB, f message.Framing, frame []byte) []byte {
	t.Helper()
	out, err := f.Append(nil, frame)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (l *till) say(m *message.Message) {
	l.t.Helper()
	l.no(l.raw(wire(l.t, message.Framing{}, l.frame(m))))
}

// hear returns the next answer, nil when none comes in time or the line is lost.
func (l *till) hear(within time.Duration) *message.Message {
	l.t.Helper()
	_ = l.nc.SetReadDeadline(time.Now().Add(within))
	frame, err := l.r.Next()
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil
	case err != nil:
		l.hangUp()
		return nil
	}
	m, err := message.Parse(l.w.spec, frame)
	l.no(err)
	if l.mac != nil && m.MTI().Class() != message.Network {
		if err := message.Verify(l.w.spec, frame, l.mac); err != nil && m.ResponseCode() != "A0" &&
			m.ResponseCode() != "30" { // refused before anybody could say under which key
			l.t.Errorf("answer %v: %v", m.MTI(), err)
		}
	}
	return m
}

// ask sends a message and returns its answer, which must come.
func (l *till) ask(m *message.Message) *message.Message {
	l.t.Helper()
	l.say(m)
	stan, _ := m.STAN()
	a := l.hear(tillMax)
	if a == nil {
		l.t.Fatalf("%v with number %d is not answered", m.MTI(), stan)
	}
	if got, _ := a.STAN(); got != stan {
		l.t.Fatalf("%v with number %d is answered for number %d", m.MTI(), stan, got)
	}
	return a
}

// do makes a sale and returns its response code.
func (l *till) do(s *sale) string {
	l.t.Helper()
	a := l.ask(l.request(s))
	s.code, s.rrn = a.ResponseCode(), a.RRN()
	s.auth, _ = a.Text(38)
	if minor, ok := a.Amount(); ok && s.kind != pos.Balance && minor != s.minor {
		l.t.Errorf("a sale of %d is answered with %d", s.minor, minor)
	}
	return s.code
}

// want makes a sale that must get one of the codes.
func (l *till) want(s *sale, codes ...string) {
	l.t.Helper()
	got := l.do(s)
	for _, c := range codes {
		if got == c {
			return
		}
	}
	l.t.Errorf("%v of %d: code %s, want %v", s.kind, s.minor, got, codes)
}

// undo reverses a sale, which must get one of the codes.
func (l *till) undo(s *sale, codes ...string) {
	l.t.Helper()
	got := l.ask(l.reversal(s)).ResponseCode()
	for _, c := range codes {
		if got == c {
			return
		}
	}
	l.t.Errorf("the reversal of %v of %d: code %s, want %v", s.kind, s.minor, got, codes)
}

// lost reports whether the switch has closed the connection.
func (l *till) lost(within time.Duration) bool {
	if l.nc == nil {
		return true
	}
	_ = l.nc.SetReadDeadline(time.Now().Add(within))
	_, err := l.nc.Read(make([]byte, 1))
	return err != nil && !errors.Is(err, os.ErrDeadlineExceeded) && (errors.Is(err, io.EOF) ||
		!errors.Is(err, os.ErrDeadlineExceeded))
}
