package bankhost

import (
	"errors"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/mac"
	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// keyed is a bank on a link with keys that meets orders of keys in a way.
func keyed(t *testing.T, way KeyOrder, times int) (*Host, *peer) {
	t.Helper()
	h := start(t, func(o *Options) {
		o.MAC, o.MasterKey = testMAC(t), testKey
		o.PIN, o.PINKey = "123456", testKey
		o.Behaviour = Behaviour{KeyOrder: way, KeyOrderTimes: times,
			LateAfter: Span(50 * time.Millisecond)}
	})
	return h, connect(t, h)
}

// testKey is the zone key of these tests, and the first PIN key.
var testKey = []byte("\x01\x23\x45\x67\x89\xab\xcd\xef\xfe\xdc\xba\x98\x76\x54\x32\x10")

// order is an order of a key: 1 for PINs, 2 for MACs.
func (p *peer) order(stan uint32, kind string) *message.Message {
	p.t.Helper()
	m := p.network(stan, "101")
	if err := m.SetDigits(53, kind+"600000000000000"); err != nil {
		p.t.Fatal(err)
	}
	return m
}

// unwrap opens a key that the host sent and says whether its check value is right.
func unwrap(t *testing.T, m *message.Message) (key []byte, right bool) {
	t.Helper()
	f48, _ := m.Text(48)
	f96, _ := m.Bytes(96)
	w, ok := ParseKeyField(f48, f96)
	if !ok {
		t.Fatalf("%v brings no key", m)
	}
	c, err := block.New(block.TDES, testKey)
	if err != nil {
		t.Fatal(err)
	}
	key = make([]byte, len(w.Key))
	if err := block.DecryptECB(c, key, w.Key); err != nil {
		t.Fatal(err)
	}
	check, err := checkValue(key)
	return key, err == nil && check == w.Check
}

// The answer brings the key; it is in force for the host once the peer uses it.
func TestKeyOrderAnswered(t *testing.T) {
	h, p := keyed(t, KeyAnswered, 0)
	a := p.exchange(p.order(1, "2"))
	key, right := unwrap(t, a)
	if !right || a.ResponseCode() != "00" {
		t.Fatalf("%s, check value right: %v", a.ResponseCode(), right)
	}
	if code := p.code(purchase(2, 100)); code != "00" {
		t.Errorf("under the old key: %s", code)
	}
	var err error
	if p.mac, err = mac.New(p.mac.Scheme(), key); err != nil {
		t.Fatal(err)
	}
	q := p.frame(p.message(purchase(3, 100)))
	p.send(q)
	_ = p.nc.SetReadDeadline(time.Now().Add(soon))
	frame, err := p.r.Next()
	if err != nil {
		t.Fatal(err)
	}
	if err := message.Verify(p.o.Spec, frame, p.mac); err != nil {
		t.Errorf("the answer to the first message under the new key: %v", err)
	}
	if c := h.Summary().Counts; c.KeyOrders != 1 || c.BadMAC != 0 {
		t.Errorf("%+v", c)
	}
}

func TestKeyOrderMisbehaves(t *testing.T) {
	for _, c := range []struct {
		way  KeyOrder
		code string // "" for no answer
	}{{KeyNever, ""}, {KeyLate, ""}, {KeyRefused, "96"}, {KeyWrongKCV, "00"}} {
		h, p := keyed(t, c.way, 1)
		p.send(p.frame(p.order(1, "2")))
		a, err := p.next(20 * time.Millisecond)
		if got := ""; err == nil {
			if got = a.ResponseCode(); got != c.code {
				t.Errorf("%s: %s", c.way, got)
			}
		} else if c.code != "" {
			t.Errorf("%s: %v", c.way, err)
		}
		if c.way == KeyWrongKCV {
			if _, right := unwrap(t, a); right {
				t.Error("the check value is right")
			}
		}
		if c.way == KeyLate {
			if a, err = p.next(soon); err != nil || a.ResponseCode() != "00" {
				t.Errorf("late: %v", err)
			}
		}
		p.r = message.NewReader(p.nc, p.o.Framing)
		a = p.exchange(p.order(2, "2")) // the second time all is well
		if _, right := unwrap(t, a); !right {
			t.Errorf("%s: the second order brings no key", c.way)
		}
		if code := p.code(purchase(3, 100)); code != "00" {
			t.Errorf("%s: the old key is not good any more: %s", c.way, code)
		}
		_ = h.Close()
	}
	if _, err := (Behaviour{KeyOrder: "bribe"}).compile(); !errors.Is(err, ErrBehaviour) {
		t.Errorf("an unknown way: %v", err)
	}
}

// A completion or offline sale that is advised has happened: it is taken, whatever the rates
// and the book say. Asked for, a completion may be refused.
func TestAdvicesAreTaken(t *testing.T) {
	h := start(t, func(o *Options) { o.Behaviour.Decline, o.Funds = RateMax, 50 })
	p := connect(t, h)
	for i, o := range []order{
		{mti: message.FinancialAdvice, code: "000000", held: true, amount: 700},
		{mti: message.FinancialAdvice, code: "000000", amount: 800},
		{mti: message.FinancialAdvice, code: "000000", held: true, amount: 900, of: 77, ofMT: 0x0100},
	} {
		o.stan = uint32(i + 1)
		if code := p.code(o); code != "00" {
			t.Errorf("advice %d: %s", i, code)
		}
	}
	if code := p.code(order{mti: 0x0200, code: "000000", held: true, stan: 9, amount: 5}); code == "00" {
		t.Error("a completion that is asked for was not declined")
	}
	p.money(h, 2400, 0)
}

// A notice moves nothing and is answered 00; a rule refuses it, or loses it.
func TestNotices(t *testing.T) {
	h := start(t, func(o *Options) {
		o.Behaviour.Rules = []Rule{{Kind: "notice", Times: 1, Effect: LoseAnswer}}
	})
	p := connect(t, h)
	o := order{mti: message.AdministrativeAdvice, code: "000000", stan: 5}
	p.send(p.frame(p.message(o)))
	if _, err := p.next(30 * time.Millisecond); err == nil {
		t.Fatal("the answer was not lost")
	}
	p.r = message.NewReader(p.nc, p.o.Framing)
	o.mti = message.AdministrativeAdvice.Repeat()
	a := p.ask(o)
	if a.MTI() != 0x0630 || a.ResponseCode() != "00" || a.Has(38) {
		t.Errorf("%v %s", a.MTI(), a.ResponseCode())
	}
	if e := h.Book().Find(5, testTerminal, false); e == nil || e.Kind != Notice || e.Seen != 2 {
		t.Errorf("%+v", e)
	}
	p.money(h, 0, 0)
}

// Totals agree with what was done since the last time; a repeat gets the same answer again.
func TestReconciliation(t *testing.T) {
	h := start(t, func(o *Options) { o.Spec, o.MAC = named(t, "iso87_ascii"), testMAC(t) })
	p := connect(t, h)
	for i, o := range []order{purchase(1, 1000), purchase(2, 2000), reversal(3, 2, 2000),
		{mti: message.FinancialAdvice, code: "200000", stan: 4, amount: 300},
		{mti: 0x0200, code: "200000", stan: 5, amount: 1000, of: 1, ofMT: 0x0200}} {
		if code := p.code(o); code != "00" {
			t.Fatalf("%d: %s", i, code)
		}
	}
	ask := func(mti message.MTI, stan uint32, fields map[int]string) *message.Message {
		t.Helper()
		m := message.New(p.o.Spec, mti)
		err := errors.Join(m.SetDigits(7, testSent), m.SetSTAN(stan))
		for n, digits := range fields {
			err = errors.Join(err, m.SetDigits(n, digits))
		}
		if err != nil {
			t.Fatal(err)
		}
		return p.exchange(m)
	}
	want := map[int]string{74: "0000000001", 76: "0000000002", 77: "0000000002",
		86: "0000000000000300", 88: "0000000000003000", 89: "0000000000003000"}
	for _, mti := range []message.MTI{0x0500, 0x0501} {
		a := ask(mti, 10, want)
		verdict, _ := a.Digits(66)
		if a.MTI() != 0x0510 || a.ResponseCode() != "00" || verdict != "1" {
			t.Errorf("%v: %s, verdict %s", mti, a.ResponseCode(), verdict)
		}
		for n, digits := range want {
			if got, _ := a.Digits(n); got != digits {
				t.Errorf("%v: field %d is %s, want %s", mti, n, got, digits)
			}
		}
	}
	if verdict, _ := ask(0x0500, 11, want).Digits(66); verdict != "2" {
		t.Errorf("the totals of the period before: verdict %s", verdict)
	}
	if n := h.Summary().Counts.Reconciled; n != 2 {
		t.Errorf("%d reconciliations", n)
	}
}
