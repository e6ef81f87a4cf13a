package bankhost

import (
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/mac"
	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/bank/message"
)

const (
	testTerminal = "00000001"
	testSent     = "1122040000"
)

func named(t testing.TB, name string) *message.Spec {
	t.Helper()
	s, err := message.Named(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// start starts a bank with the spec cups, or what set makes of it.
func start(t testing.TB, set func(*Options)) *Host {
	t.Helper()
	o := Options{Spec: named(t, "cups"), Framing: message.Framing{Form: message.ASCII4},
		Address: "127.0.0.1:0", Seed: 1}
	if set != nil {
		set(&o)
	}
	h, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

// peer is the other end of a bank's link.
type peer struct {
	t    testing.TB
	o    Options
	nc   net.Conn
	r    *message.Reader
	mac  *mac.MAC
	card pan.Number
}

func connect(t testing.TB, h *Host) *peer {
	t.Helper()
	nc, err := net.Dial("tcp", h.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	return &peer{t: t, o: h.o, nc: nc, r: message.NewReader(nc, h.o.Framing), mac: h.o.MAC,
		card: card(t, "6222600000000009")}
}

func card(t testing.TB, digits string) pan.Number {
	t.Helper()
	n, err := pan.Parse(digits)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// order is a request in short.
type order struct {
	mti    message.MTI
	code   string // field 3
	held   bool   // field 25 = 06
	stan   uint32
	amount int64
	rrn    string
	// of is the original: MTI and trace number; 0 none.
	of   uint32
	ofMT message.MTI
	auth string
}

func (p *peer) message(o order) *message.Message {
	p.t.Helper()
	m := message.New(p.o.Spec, o.mti)
	if p.o.Spec.Envelope() == message.CUPSHead {
		h, err := message.NewCUPSHeader("00010000", "48021560")
		if err != nil {
			p.t.Fatal(err)
		}
		m.CUPS = h
	}
	condition := "00"
	if o.held {
		condition = "06"
	}
	if o.rrn == "" {
		o.rrn = fmt.Sprintf("%012d", o.stan)
	}
	err := errors.Join(m.SetPAN(p.card), m.SetDigits(3, o.code), m.SetAmount(o.amount),
		m.SetDigits(7, testSent), m.SetSTAN(o.stan), m.SetDigits(25, condition), m.SetDigits(32,
			"48021560"),
		m.SetText(37, o.rrn), m.SetText(41, testTerminal), m.SetText(42, "898310041110001"),
		m.SetText(49, "156"))
	if o.auth != "" {
		err = errors.Join(err, m.SetText(38, o.auth))
	}
	if o.of != 0 {
		digits, e := message.OriginalElements{MTI: o.ofMT.String(), STAN: pad6(o.of), Sent: testSent,
			Acquirer: "00048021560", Forwarder: "00000000000"}.Digits()
		err = errors.Join(err, e, m.SetDigits(90, digits))
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return m
}

func (p *peer) frame(m *message.Message) []byte {
	p.t.Helper()
	var out []byte
	var err error
	if p.mac != nil {
		out, err = m.AppendMAC(nil, p.mac)
	} else {
		out, err = m.Append(nil)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return out
}

func (p *peer) send(frame []byte) {
	p.t.Helper()
	out, err := p.o.Framing.Append(nil, frame)
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.nc.Write(out); err != nil {
		p.t.Fatal(err)
	}
}

// next returns the next message, nil when none comes within wait.
func (p *peer) next(wait time.Duration) (m *message.Message, err error) {
	_ = p.nc.SetReadDeadline(time.Now().Add(wait))
	frame, err := p.r.Next()
	if err != nil {
		return nil, err
	}
	return message.Parse(p.o.Spec, frame)
}

const soon = 5 * time.Second

// ask sends an order and returns its answer.
func (p *peer) ask(o order) *message.Message {
	p.t.Helper()
	return p.exchange(p.message(o))
}

func (p *peer) exchange(m *message.Message) *message.Message {
	p.t.Helper()
	p.send(p.frame(m))
	a, err := p.next(soon)
	if err != nil {
		p.t.Fatal(err)
	}
	return a
}

func (p *peer) code(o order) string {
	p.t.Helper()
	return p.ask(o).ResponseCode()
}

func purchase(stan uint32, amount int64) order {
	return order{mti: 0x0200, code: "000000", stan: stan, amount: amount}
}

func reversal(stan, of uint32, amount int64) order {
	return order{mti: 0x0420, code: "000000", stan: stan, amount: amount, of: of, ofMT: 0x0200}
}

// money checks what the test card owes and has reserved.
func (p *peer) money(h *Host, posted, held int64) {
	p.t.Helper()
	if s := h.Summary(); s.Posted != posted || s.Held != held {
		p.t.Errorf("posted %d held %d, want %d and %d", s.Posted, s.Held, posted, held)
	}
}

// eventually polls until ok says so.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(soon)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("never: %s", what)
		case <-tick.C:
		}
	}
}

func tokenizer(t testing.TB, key []byte) *pan.Tokenizer {
	t.Helper()
	k, err := pan.NewTokenizer(key)
	if err != nil {
		t.Fatal(err)
	}
	return k
}
