package bankhost

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/mac"
	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// quick is DefaultRules with times that a test can wait for.
func quick(o *Options) {
	o.Behaviour = Behaviour{Rules: DefaultRules(), DelayFrom: Span(20 * time.Millisecond),
		DelayTo: Span(30 * time.Millisecond), LateAfter: Span(60 * time.Millisecond),
		StallFor: Span(50 * time.Millisecond)}
}

func testMAC(t testing.TB) *mac.MAC {
	t.Helper()
	m, err := mac.New(mac.Scheme{Algorithm: mac.Retail, Cipher: block.DES, Padding: mac.Pad1},
		[]byte("\x01\x23\x45\x67\x89\xAB\xCD\xEF\xFE\xDC\xBA\x98\x76\x54\x32\x10"))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// amountOf is the amount that provokes an effect.
func amountOf(e Effect) int64 { return 1000 + 70 + int64(e) - 1 }

// Codes by amount, and only those.
func TestCodesByAmount(t *testing.T) {
	h := start(t, quick)
	p := connect(t, h)
	for i, r := range DefaultRules() {
		if r.Code == "" {
			continue
		}
		var ends int64
		if _, err := fmt.Sscan(strings.TrimLeft(r.AmountEnds, "0"), &ends); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{r.Code, r.Code} { // and its repeat
			if got := p.code(purchase(uint32(i+1), 300+ends)); got != want {
				t.Errorf("…%s: %s, want %s", r.AmountEnds, got, want)
			}
		}
	}
	p.money(h, 0, 0)
}

// Every effect is provoked by its amount and seen; the request has been carried out once, but
// for the lost one; what is sent again afterwards gets an ordinary answer.
func TestEffects(t *testing.T) {
	check := map[Effect]func(t *testing.T, p *peer, o order){
		Delay: func(t *testing.T, p *peer, o order) {
			from := time.Now()
			if p.code(o) != "00" || time.Since(from) < 20*time.Millisecond {
				t.Error("not delayed")
			}
		},
		Late: func(t *testing.T, p *peer, o order) {
			from := time.Now()
			p.send(p.frame(p.message(o)))
			if a := p.ask(purchase(900, 100)); stanOf(a) != 900 {
				t.Error("the late answer holds the next one up")
			}
			if a, err := p.next(soon); err != nil || stanOf(a) != o.stan ||
				time.Since(from) < 60*time.Millisecond {
				t.Error("not late", err)
			}
		},
		Twice: func(t *testing.T, p *peer, o order) {
			p.ask(o)
			if a, err := p.next(soon); err != nil || stanOf(a) != o.stan {
				t.Error("not twice", err)
			}
		},
		LoseRequest: silent, LoseAnswer: silent,
		Garbage: func(t *testing.T, p *peer, o order) {
			p.send(p.frame(p.message(o)))
			if _, err := p.next(soon); !errors.Is(err, message.ErrFormat) {
				t.Error("no garbage", err)
			}
		},
		WrongSTAN:     differs(func(m *message.Message) any { return stanOf(m) }),
		WrongTerminal: differs(func(m *message.Message) any { return m.Terminal() }),
		WrongRRN:      differs(func(m *message.Message) any { return m.RRN() }),
		WrongAmount:   differs(func(m *message.Message) any { a, _ := m.Amount(); return a }),
		WrongMAC: func(t *testing.T, p *peer, o order) {
			p.send(p.frame(p.message(o)))
			_ = p.nc.SetReadDeadline(time.Now().Add(soon))
			frame, err := p.r.Next()
			if err != nil || !errors.Is(message.Verify(p.o.Spec, frame, p.mac), message.ErrMAC) {
				t.Error("the MAC is right", err)
			}
		},
		Close:        ends(io.EOF),
		CloseInFrame: ends(io.ErrUnexpectedEOF),
		Stall: func(t *testing.T, p *peer, o order) {
			from := time.Now()
			if p.code(o) != "00" || p.code(purchase(900, 100)) != "00" ||
				time.Since(from) < 50*time.Millisecond {
				t.Error("not stalled")
			}
		},
		ChangeKey: func(t *testing.T, p *peer, o order) {
			p.send(p.frame(p.message(o)))
			m, err := p.next(soon)
			if err != nil || m.MTI() != message.NetworkRequest {
				t.Fatal("no key", err)
			}
			if a, err := p.next(soon); err != nil || a.ResponseCode() != "00" {
				t.Error("no answer", err)
			}
		},
	}
	for i, e := range Effects() {
		t.Run(e.String(), func(t *testing.T) {
			h := start(t, func(o *Options) {
				quick(o)
				o.MAC, o.MasterKey = testMAC(t), []byte("0123456789abcdef")
			})
			p := connect(t, h)
			o := purchase(uint32(i+1), amountOf(e))
			check[e](t, p, o)
			seen := h.Summary()
			if seen.Counts.Effects[e] != 1 {
				t.Errorf("counted %v", seen.Counts.Effects)
			}
			p = connect(t, h)
			if a := p.ask(o); a.ResponseCode() != "00" || stanOf(a) != o.stan {
				t.Errorf("the repeat gets %s", a.ResponseCode())
			}
			if e := h.Book().Find(o.stan, testTerminal, false); e == nil || !e.Approved() {
				t.Errorf("%+v", e)
			}
		})
	}
}

func stanOf(m *message.Message) uint32 {
	if m == nil {
		return 0
	}
	n, _ := m.STAN()
	return n
}

func silent(t *testing.T, p *peer, o order) {
	p.send(p.frame(p.message(o)))
	if a := p.ask(purchase(900, 100)); stanOf(a) != 900 {
		t.Error("answered")
	}
}

func differs(of func(*message.Message) any) func(*testing.T, *peer, order) {
	return func(t *testing.T, p *peer, o order) {
		m := p.message(o)
		if a := p.exchange(m); of(a) == of(m) {
			t.Errorf("the answer says %v as the request", of(a))
		}
	}
}

func ends(want error) func(*testing.T, *peer, order) {
	return func(t *testing.T, p *peer, o order) {
		p.send(p.frame(p.message(o)))
		if _, err := p.next(soon); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
}

// A request that is lost was not carried out; one whose answer is lost was.
func TestLostIsNotExecuted(t *testing.T) {
	h := start(t, quick)
	p := connect(t, h)
	silent(t, p, purchase(1, amountOf(LoseRequest)))
	p.money(h, 100, 0) // that of silent's own sale
	silent(t, p, purchase(2, amountOf(LoseAnswer)))
	p.money(h, 100+amountOf(LoseAnswer), 0)
}

// The rates come out about right, all from the seed, whatever order the requests come in.
func TestRatesFollowTheSeed(t *testing.T) {
	behave := func(seed uint64, backwards bool) (codes map[uint32]string, effects map[Effect]int64) {
		h := start(t, func(o *Options) {
			o.Seed = seed
			o.Behaviour = Behaviour{Decline: 2000, Codes: []string{"05", "51"}, StallFor: 1,
				Rates: map[Effect]int{Delay: 1000, Stall: 500}, DelayFrom: 1, DelayTo: 2}
		})
		p := connect(t, h)
		const count = 2000
		go func() {
			for i := range uint32(count) {
				stan := i + 1
				if backwards {
					stan = count - i
				}
				p.send(p.frame(p.message(purchase(stan, 100))))
			}
		}()
		codes = map[uint32]string{}
		for range count {
			a, err := p.next(soon)
			if err != nil {
				t.Fatal(err)
			}
			codes[stanOf(a)] = a.ResponseCode()
		}
		return codes, h.Summary().Counts.Effects
	}
	codes, effects := behave(1, false)
	again, effectsAgain := behave(1, true)
	other, _ := behave(2, false)
	same, differ := true, false
	tally := map[string]int{}
	for stan, code := range codes {
		tally[code]++
		same = same && again[stan] == code
		differ = differ || other[stan] != code
	}
	if !same || !differ || fmt.Sprint(effects) != fmt.Sprint(effectsAgain) {
		t.Error("the seed does not decide")
	}
	if declined := tally["05"] + tally["51"]; declined < 300 || declined > 500 || tally["05"] < 100 ||
		tally["51"] < 100 || effects[Delay] < 130 || effects[Delay] > 270 || effects[Stall] < 50 {
		t.Errorf("%v %v", tally, effects)
	}
}

// A peer that does not read is given up after the write deadline; the queue stays bounded.
func TestPeerThatDoesNotRead(t *testing.T) {
	h := start(t, func(o *Options) { o.WriteTimeout = 50 * time.Millisecond })
	p := connect(t, h)
	framed, err := p.o.Framing.Append(nil, p.frame(p.message(purchase(1, 100))))
	if err != nil {
		t.Fatal(err)
	}
	_ = p.nc.SetWriteDeadline(time.Now().Add(30 * time.Second))
	for err == nil {
		_, err = p.nc.Write(framed)
	}
	if errors.Is(err, net.ErrClosed) || strings.Contains(err.Error(), "timeout") {
		t.Fatal(err)
	}
	other := connect(t, h)
	if other.code(purchase(2, 100)) != "00" {
		t.Error("another connection suffers")
	}
}

// Terminals with the same numbers do not fare alike, and the time does not matter.
func TestDrawsAreApart(t *testing.T) {
	a := Key{STAN: 1, Terminal: [8]byte{'1'}}
	later, other, back := a, a, a
	later.Sent[0], other.Terminal[0], back.Reversal = '9', '2', true
	if a.hash() != later.hash() || a.hash() == other.hash() || a.hash() == back.hash() {
		t.Error("the draw is of the wrong things")
	}
}

func TestBehaviourIsChecked(t *testing.T) {
	for name, b := range map[string]Behaviour{
		"rate":     {Decline: RateMax + 1},
		"negative": {Rates: map[Effect]int{Late: -1}},
		"sum":      {Rates: map[Effect]int{Late: 6000, Twice: 6000}},
		"code":     {Codes: []string{"00"}},
		"length":   {Codes: []string{"5"}},
		"sign-on":  {SignOnCode: "00"},
		"delay":    {DelayFrom: Span(time.Second), DelayTo: Span(time.Millisecond)},
		"digits":   {Rules: []Rule{{AmountEnds: "1x"}}},
		"kind":     {Rules: []Rule{{Kind: "gift"}}},
		"approved": {Rules: []Rule{{Code: "00"}}},
		"times":    {Rules: []Rule{{Times: -1}}},
		"rules":    {Rules: make([]Rule, rulesMax+1)},
	} {
		if _, err := Start(Options{Spec: named(t, "cups"), Address: "127.0.0.1:0",
			Behaviour: b}); !errors.Is(err, ErrBehaviour) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A behaviour goes through JSON unchanged: it is a file of people.
func TestBehaviourAsFile(t *testing.T) {
	const text = `{"decline":100,"codes":["51"],"rates":{"late":5,"wrong_mac":1},"late_after":"40s",` +
		`"rules":[{"kind":"reversal","times":2,"effect":"lose_answer"}]}`
	var b Behaviour
	if err := json.Unmarshal([]byte(text), &b); err != nil {
		t.Fatal(err)
	}
	back, err := json.Marshal(b)
	if err != nil || b.Rates[WrongMAC] != 1 || b.Rules[0].Effect != LoseAnswer ||
		time.Duration(b.LateAfter) != 40*time.Second {
		t.Errorf("%v %s", err, back)
	}
	var again Behaviour
	if err := json.Unmarshal(back, &again); err != nil || fmt.Sprint(again) != fmt.Sprint(b) {
		t.Errorf("%v: %s", err, back)
	}
	if err := json.Unmarshal([]byte(`{"rates":{"sleepy":1}}`), &b); err == nil {
		t.Error("an unknown effect is taken")
	}
}

// Rules by card and kind, and how often.
func TestRules(t *testing.T) {
	h := start(t, func(o *Options) {
		o.Behaviour.Rules = []Rule{{Prefix: "400000", Code: "41"}, {Kind: "reversal", Times: 2,
			Effect: LoseAnswer},
			{Kind: "balance", Code: "57"}}
	})
	p := connect(t, h)
	if p.code(purchase(1, 100)) != "00" || p.code(order{mti: 0x0200, code: "310000",
		stan: 2}) != "57" {
		t.Error("kind")
	}
	for range 2 {
		silent(t, p, reversal(3, 1, 100))
	}
	if p.code(reversal(3, 1, 100)) != "00" {
		t.Error("times")
	}
	p.card = card(t, "4000000000000002")
	if p.code(purchase(4, 100)) != "41" {
		t.Error("prefix")
	}
}
