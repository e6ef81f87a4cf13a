package pos

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/mac"
	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// till is a terminal without a line: sale 5 is being asked, sale 4 was approved, sale 3 was
// reversed, and a sign-on had number 1.
func till(t testing.TB) (*terminal, *expectation) {
	t.Helper()
	cards, err := Cards([]string{"400000"}, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	o := &Options{Target: "nowhere", Terminals: 1, Cards: cards}
	if err := o.complete(); err != nil {
		t.Fatal(err)
	}
	p := newTerminal(o, 0)
	p.stan = 5
	p.byStan[4] = &Row{STAN: 4, Minor: 100, Code: "00", RRN: "000000000004", State: Approved}
	p.byStan[3] = &Row{STAN: 3, Minor: 100, State: Reversed}
	p.byStan[5] = &Row{STAN: 5, Minor: 500}
	return p, &expectation{mti: message.FinancialResponse, stan: 5, amount: 500, card: cards[0]}
}

// reply is an answer to sale 5, changed by set.
func reply(t testing.TB, p *terminal, set func(*message.Message) error) *message.Message {
	t.Helper()
	m, err := p.message(message.FinancialResponse, 5, message.Private{Type: "22"})
	err = errors.Join(err, m.SetPAN(p.o.Cards[0]), m.SetAmount(500), m.SetText(37, "000000000005"),
		m.SetText(39, "00"))
	if set != nil {
		err = errors.Join(err, set(m))
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Every answer is taken, ignored or called a contradiction.
func TestJudge(t *testing.T) {
	other, err := Cards([]string{"622260"}, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		set   func(*message.Message) error
		taken bool
		want  Traffic
	}{
		"good": {nil, true, Traffic{Answers: 1}},
		"other terminal": {func(m *message.Message) error { return m.SetText(41, "00000009") }, false,
			Traffic{WrongAnswers: 1, Contradictions: 1}},
		"other amount": {func(m *message.Message) error { return m.SetAmount(501) }, false,
			Traffic{WrongAnswers: 1, Contradictions: 1}},
		"other card": {func(m *message.Message) error { return m.SetPAN(other[0]) }, false,
			Traffic{WrongAnswers: 1, Contradictions: 1}},
		"other function": {func(m *message.Message) error { m.SetMTI(0x0230); return nil }, false,
			Traffic{WrongAnswers: 1, Contradictions: 1}},
		"other class": {func(m *message.Message) error { m.SetMTI(0x0410); return nil }, false,
			Traffic{LateAnswers: 1}},
		"never asked": {func(m *message.Message) error { return m.SetSTAN(6) }, false,
			Traffic{WrongAnswers: 1, Contradictions: 1}},
		"of a sign-on": {func(m *message.Message) error { m.SetMTI(0x0810); return m.SetSTAN(1) }, false,
			Traffic{LateAnswers: 1}},
		"of a reversed sale": {func(m *message.Message) error { return m.SetSTAN(3) }, false,
			Traffic{LateAnswers: 1}},
		"the same again": {func(m *message.Message) error {
			return errors.Join(m.SetSTAN(4), m.SetText(37, "000000000004"))
		}, false, Traffic{ExtraAnswers: 1}},
		"a refused copy": {func(m *message.Message) error {
			return errors.Join(m.SetSTAN(4), m.SetText(39, "94"))
		}, false, Traffic{DuplicatesRefused: 1}},
		"another answer": {func(m *message.Message) error {
			return errors.Join(m.SetSTAN(4), m.SetText(39, "51"))
		}, false, Traffic{Contradictions: 1}},
	} {
		p, e := till(t)
		frame, err := reply(t, p, c.set).Append(nil)
		if err != nil {
			t.Fatal(name, err)
		}
		m, err := p.judge(frame, e)
		if err != nil || (m != nil) != c.taken || p.report.Traffic != c.want {
			t.Errorf("%s: taken %v, %v, %+v", name, m != nil, err, p.report.Traffic)
		}
	}
}

// Where the terminal has keys an answer needs its MAC, but for the one that asks for a new
// sign-on.
func TestJudgeMAC(t *testing.T) {
	key, err := mac.New(mac.CUPDES, []byte("\x01\x23\x45\x67\x89\xAB\xCD\xEF"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		code          string
		signed, spoil bool
		taken         bool
	}{{"00", true, false, true}, {"00", true, true, false}, {"00", false, false, false},
		{"51", false, false, false}, {"A0", false, false, true}, {"97", false, false, false}} {
		p, e := till(t)
		p.keys.mac, e.signed = key, true
		m := reply(t, p, func(m *message.Message) error { return m.SetText(39, c.code) })
		frame, err := m.Append(nil)
		if c.signed {
			frame, err = m.AppendMAC(nil, key)
		}
		if err != nil {
			t.Fatal(err)
		}
		if c.spoil {
			frame[len(frame)-1] ^= 1
		}
		a, err := p.judge(frame, e)
		if (a != nil) != c.taken || c.taken == errors.Is(err, errMAC) ||
			c.taken == (p.report.MACFailures == 1) {
			t.Errorf("%+v: %v %v", c, a, err)
		}
	}
}

// Of two copies sent at once the refusal of one is not the answer; when both are refused it is.
func TestJudgeTwoCopies(t *testing.T) {
	p, e := till(t)
	e.twice = true
	refusal, err := reply(t, p, func(m *message.Message) error {
		return m.SetText(39,
			"94")
	}).Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	first, err := p.judge(refusal, e)
	if first != nil || err != nil || p.report.DuplicatesRefused != 1 {
		t.Errorf("%v %v %+v", first, err, p.report.Traffic)
	}
	if second, err := p.judge(refusal, e); second == nil || err != nil ||
		p.report.Contradictions != 0 {
		t.Errorf("%v %v %+v", second, err, p.report.Traffic)
	}
}

// A run that is interrupted stops in the middle of waiting, and what is open stays open.
func TestInterrupted(t *testing.T) {
	near, far := net.Pipe()
	cards, err := Cards([]string{"400000"}, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		room := make([]byte, 4096)
		_, _ = far.Read(room) // the sign-on, never answered
		cancel()
		_, _ = far.Read(room)
	}()
	r, err := Run(ctx, Options{Target: "pipe", Terminals: 1, Transactions: 5, Cards: cards,
		Dial: func(context.Context, string) (net.Conn, error) { return near, nil }})
	if err != nil || r.Failed() != 1 || len(r.Terminals[0].Rows) != 0 || r.Contradicted() {
		t.Errorf("%v %+v", err, r)
	}
	_ = far.Close()
	<-done
}

// A host that floods a terminal with frames does not keep it beyond its time-out.
func TestFloodEndsAtTheTimeout(t *testing.T) {
	p, e := till(t)
	frame, err := reply(t, p, func(m *message.Message) error { return m.SetSTAN(4) }).Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	framed, err := p.o.Framing.Append(nil, frame)
	if err != nil {
		t.Fatal(err)
	}
	near, far := net.Pipe()
	p.nc, p.reader = near, message.NewReader(near, p.o.Framing)
	p.o.Timeout = 20 * time.Millisecond
	done := make(chan struct{})
	go func() {
		defer close(done)
		flood := bytes.Repeat(framed, 50)
		room := make([]byte, 4096)
		_, _ = far.Read(room)
		for {
			if _, err := far.Write(flood); err != nil {
				return
			}
		}
	}()
	from := time.Now()
	if _, err := p.exchange(t.Context(), frame, e); !errors.Is(err, errNoAnswer) {
		t.Error(err)
	}
	if time.Since(from) > 5*time.Second || len(p.findings) > ContradictionsMax {
		t.Errorf("%v, %d findings", time.Since(from), len(p.findings))
	}
	p.hangUp()
	_ = far.Close()
	<-done
}

// FuzzJudge: whatever a host answers, the terminal does not panic and believes only what fits.
func FuzzJudge(f *testing.F) {
	p, _ := till(f)
	for _, set := range []func(*message.Message) error{nil,
		func(m *message.Message) error { return m.SetSTAN(4) },
		func(m *message.Message) error { return m.SetText(39, "94") }} {
		frame, err := reply(f, p, set).Append(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(frame)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		p, e := till(t)
		m, err := p.judge(frame, e)
		if m != nil && (m.Terminal() != p.id || m.MTI() != e.mti) || err != nil {
			t.Errorf("%v %v", m, err)
		}
		for _, finding := range p.findings {
			if strings.Contains(finding, p.o.Cards[0].Digits()) {
				t.Error("a finding shows the card")
			}
		}
	})
}
