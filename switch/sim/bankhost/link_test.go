package bankhost

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/mac"
	"github.com/tapswitch/tapswitch/crypto/pinblock"
	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// network is a management message of a bank's peer.
func (p *peer) network(stan uint32, code string) *message.Message {
	p.t.Helper()
	m := message.New(p.o.Spec, message.NetworkRequest)
	if p.o.Spec.Envelope() == message.CUPSHead {
		h, err := message.NewCUPSHeader("", "")
		if err != nil {
			p.t.Fatal(err)
		}
		m.CUPS = h
	}
	err := errors.Join(m.SetDigits(7, testSent), m.SetSTAN(stan), m.SetDigits(70, code))
	if err != nil {
		p.t.Fatal(err)
	}
	return m
}

func TestSignOnEchoAndRefusal(t *testing.T) {
	h := start(t, func(o *Options) {
		o.Behaviour.RefuseSignOn, o.Behaviour.SignOnCode = RateMax,
			"58"
	})
	p := connect(t, h)
	for i, step := range []struct{ network, code string }{{"001", "58"}, {"301", "00"}, {"002",
		"00"}} {
		a := p.exchange(p.network(uint32(i+1), step.network))
		if network, _ := a.Digits(70); a.MTI() != 0x0810 || a.ResponseCode() != step.code ||
			network != step.network {
			t.Errorf("%s: %v %s", step.network, a, a.ResponseCode())
		}
	}
	c := h.Summary().Counts
	if c.SignOns != 1 || c.SignOnsRefused != 1 || c.Echoes != 1 {
		t.Errorf("%+v", c)
	}
}

// Every spec and framing that a bank's link has, with the answer echoed as the link wants it.
func TestSpecs(t *testing.T) {
	for _, name := range []string{"cups", "iso87_ascii", "iso87_bcd", "iso87_ascii_binary",
		"iso87_bcd_hex"} {
		for _, f := range []message.Framing{{}, {Form: message.ASCII4}, {Inclusive: true}} {
			for _, m := range []*mac.MAC{nil, testMAC(t)} {
				h := start(t, func(o *Options) { o.Spec, o.Framing, o.MAC = named(t, name), f, m })
				p := connect(t, h)
				q := p.message(purchase(1, 12345))
				p.send(p.frame(q))
				_ = p.nc.SetReadDeadline(time.Now().Add(soon))
				frame, err := p.r.Next()
				if err != nil {
					t.Fatal(name, err)
				}
				if m != nil && message.Verify(p.o.Spec, frame, m) != nil {
					t.Errorf("%s: answer without its MAC", name)
				}
				a, err := message.Parse(p.o.Spec, frame)
				if err != nil {
					t.Fatal(name, err)
				}
				for _, n := range []int{2, 3, 4, 7, 11, 32, 37, 41, 42, 49} {
					want, _ := q.Text(n)
					if got, _ := a.Text(n); got != want {
						t.Errorf("%s field %d differs", name, n)
					}
				}
				if !a.Has(15) || !a.Has(38) || a.ResponseCode() != "00" {
					t.Errorf("%s: %v", name, a)
				}
			}
		}
	}
}

// Without its MAC, and with a wrong one, nothing is carried out.
func TestMACIsWanted(t *testing.T) {
	h := start(t, func(o *Options) { o.MAC = testMAC(t) })
	p := connect(t, h)
	good := p.frame(p.message(purchase(1, 100)))
	bad := bytes.Clone(good)
	bad[len(bad)-1] ^= 1
	changed := bytes.Clone(good)
	changed[bytes.Index(changed, []byte("000000000100"))+10] = '9'
	p.mac = nil
	for i, frame := range [][]byte{bad, changed, p.frame(p.message(purchase(1, 100)))} {
		p.send(frame)
		if a, err := p.next(soon); err != nil || a.ResponseCode() != "A0" {
			t.Errorf("%d: %v %v", i, a, err)
		}
	}
	p.money(h, 0, 0)
	p.send(good)
	if a, err := p.next(soon); err != nil || a.ResponseCode() != "00" {
		t.Error(a, err)
	}
	if c := h.Summary().Counts; c.BadMAC != 3 {
		t.Errorf("%+v", c)
	}
}

// openKey opens the key of a key change.
func openKey(t *testing.T, m *message.Message, master []byte, s mac.Scheme) *mac.MAC {
	t.Helper()
	f48, _ := m.Text(48)
	f96, _ := m.Bytes(96)
	w, ok := ParseKeyField(f48, f96)
	c, err := block.New(block.TDES, master)
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	key := make([]byte, len(w.Key))
	if err := block.DecryptECB(c, key, w.Key); err != nil {
		t.Fatal(err)
	}
	if check, err := checkValue(key); err != nil || check != w.Check ||
		block.Check(desOf(key), key) != nil {
		t.Fatal("check value", err)
	}
	made, err := mac.New(s, key)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// A key change in traffic: answers carry the old key until the new one is taken, requests
// under either are believed, and after the next change the oldest is not.
func TestKeyChangeByTheHost(t *testing.T) {
	master := []byte("\x11\x22\x33\x44\x55\x66\x77\x88\x99\xAA\xBB\xCC\xDD\xEE\xFF\x01")
	for _, s := range []mac.Scheme{testMAC(t).Scheme(), {Algorithm: mac.CBC, Cipher: block.DES,
		Padding: mac.Pad1}} {
		first, err := mac.New(s, master[:len(master)*int(1+s.Algorithm/3)/2])
		if err != nil {
			t.Fatal(err)
		}
		h := start(t, func(o *Options) { o.MAC, o.MasterKey = first, master })
		p := connect(t, h)
		stan := uint32(0)
		ask := func(by *mac.MAC) (code string, answerBy func(*mac.MAC) bool) {
			stan++
			p.mac = by
			p.send(p.frame(p.message(purchase(stan, 100))))
			_ = p.nc.SetReadDeadline(time.Now().Add(soon))
			frame, err := p.r.Next()
			if err != nil {
				t.Fatal(err)
			}
			a, err := message.Parse(p.o.Spec, frame)
			if err != nil {
				t.Fatal(err)
			}
			kept := bytes.Clone(frame)
			return a.ResponseCode(), func(m *mac.MAC) bool {
				return message.Verify(p.o.Spec, kept,
					m) == nil
			}
		}
		ask(first)
		keys := []*mac.MAC{first}
		for range 2 {
			if !h.ChangeKey() {
				t.Fatal("no key offered")
			}
			m, err := p.next(soon)
			if err != nil {
				t.Fatal(err)
			}
			fresh, old := openKey(t, m, master, s), keys[len(keys)-1]
			if code, by := ask(fresh); code != "00" || !by(old) {
				t.Errorf("under the new key before it is taken: %s", code)
			}
			r, _ := m.Reply()
			if err := errors.Join(r.Copy(m, 7, 11, 70), r.SetText(39, "00")); err != nil {
				t.Fatal(err)
			}
			p.mac = fresh
			p.send(p.frame(r))
			before := len(keys)
			eventually(t, "the key is taken", func() bool {
				return h.Summary().Counts.KeyChanges == int64(before)
			})
			for _, by := range []*mac.MAC{old, fresh} {
				if code, signed := ask(by); code != "00" || !signed(fresh) {
					t.Errorf("after the change: %s", code)
				}
			}
			keys = append(keys, fresh)
		}
		if code, _ := ask(first); code != "A0" {
			t.Errorf("the key before the last: %s", code)
		}
	}
}

// The peer sends a key, or asks for one.
func TestKeyChangeByThePeer(t *testing.T) {
	master := []byte("\x11\x22\x33\x44\x55\x66\x77\x88\x99\xAA\xBB\xCC\xDD\xEE\xFF\x01")
	h := start(t, func(o *Options) { o.MAC, o.MasterKey = testMAC(t), master })
	p := connect(t, h)
	key := bytes.Repeat([]byte{0x31, 0x07}, 8)
	w, err := h.vault.wrap(key)
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := mac.New(testMAC(t).Scheme(), key)
	if err != nil {
		t.Fatal(err)
	}
	change := func(w message.WrappedKey) string {
		m := p.network(9, "101")
		f48, f96 := KeyField(w)
		if f96 != nil {
			t.Fatal("a double key in field 96")
		}
		if err := m.SetText(48, f48); err != nil {
			t.Fatal(err)
		}
		return p.exchange(m).ResponseCode()
	}
	spoilt := w
	spoilt.Check[0] ^= 1
	if code := change(spoilt); code != "96" {
		t.Errorf("wrong check value: %s", code)
	}
	p.mac = fresh
	if code := change(w); code != "00" {
		t.Errorf("key: %s", code)
	}
	if p.code(purchase(1, 100)) != "00" {
		t.Error("the new key is not believed")
	}
	p.send(p.frame(p.network(10, "101")))
	first, err := p.next(soon)
	if err != nil {
		t.Fatal(err)
	}
	second, err := p.next(soon)
	if err != nil || first.MTI() != message.NetworkRequest ||
		second.MTI() != message.NetworkResponse {
		t.Error(first, second, err)
	}
}

// A PIN is checked where the key is there; a block that cannot be read is 99.
func TestPIN(t *testing.T) {
	key := []byte("\x01\x23\x45\x67\x89\xAB\xCD\xEF\xFE\xDC\xBA\x98\x76\x54\x32\x10")
	h := start(t, func(o *Options) { o.PIN, o.PINKey = "123456", key })
	p := connect(t, h)
	c, err := block.New(block.TDES, key)
	if err != nil {
		t.Fatal(err)
	}
	for i, step := range []struct{ pin, code string }{{"123456", "00"}, {"1234", "55"}, {"", "99"}} {
		m := p.message(purchase(uint32(i+1), 100))
		var b [8]byte
		if step.pin != "" {
			if b, err = pinblock.Encode(pinblock.Format0, []byte(step.pin), p.card.Digits(),
				nil); err != nil {
				t.Fatal(err)
			}
		}
		c.Encrypt(b[:], b[:])
		if err := m.SetBytes(52, b[:]); err != nil {
			t.Fatal(err)
		}
		if got := p.exchange(m).ResponseCode(); got != step.code {
			t.Errorf("PIN %d: %s, want %s", i, got, step.code)
		}
	}
	if n := h.Summary().Counts.BadPIN; n != 2 {
		t.Errorf("counted %d", n)
	}
}

// A full book forgets the oldest requests and keeps the money.
func TestEntriesFull(t *testing.T) {
	h := start(t, func(o *Options) { o.EntriesMax = 10 })
	p := connect(t, h)
	for stan := range uint32(25) {
		p.code(purchase(stan+1, 100))
	}
	b := h.Book()
	if len(b.Entries) != 10 || b.Entries[0].STAN != 16 || b.Counts.Forgotten != 15 ||
		b.Posted != 2500 ||
		len(h.book.byKey) != 10 || len(h.book.bySale) != 10 {
		t.Errorf("%d entries, %+v", len(b.Entries), b.Summary)
	}
	if p.code(reversal(100, 3, 100)) != "25" {
		t.Error("a forgotten one is reversed")
	}
	one := start(t, func(o *Options) { o.EntriesMax = 1 })
	p = connect(t, one)
	if p.code(reversal(1, 2, 100)) != "25" || p.code(purchase(2, 100)) != "12" ||
		p.code(purchase(3, 100)) != "00" {
		t.Error("a book of one entry")
	}
}

func TestConnectionsFull(t *testing.T) {
	h := start(t, nil)
	var open []net.Conn
	defer func() {
		for _, nc := range open {
			_ = nc.Close()
		}
	}()
	for range ConnectionsMax {
		nc, err := net.Dial("tcp", h.Address())
		if err != nil {
			t.Skip("no more connections here:", err)
		}
		open = append(open, nc)
	}
	eventually(t, "all are taken",
		func() bool { return h.Summary().Counts.Connections == ConnectionsMax })
	p := connect(t, h)
	if _, err := p.next(soon); err == nil || errors.Is(err, message.ErrFormat) {
		t.Error("one more is served")
	}
}

// What is no message is counted and not answered; the connection stays as long as the framing
// holds.
func TestBrokenFrames(t *testing.T) {
	h := start(t, nil)
	p := connect(t, h)
	p.send([]byte("this is no message at all"))
	if p.code(purchase(1, 100)) != "00" {
		t.Error("the connection suffers")
	}
	if _, err := p.nc.Write([]byte("99999999")); err != nil {
		t.Fatal(err)
	}
	if _, err := p.next(soon); !errors.Is(err, io.EOF) && err == nil {
		t.Error("a broken length is read over")
	}
	if c := h.Summary().Counts; c.Broken != 2 {
		t.Errorf("%+v", c)
	}
}

// The report can be read by scripts and shows no card number.
func TestReport(t *testing.T) {
	h := start(t, nil)
	p := connect(t, h)
	p.code(purchase(1, 100))
	p.code(reversal(2, 1, 100))
	text, err := json.Marshal(h.Book())
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(text, []byte(p.card.Digits())) {
		t.Error("the report shows the card")
	}
	var b Book
	if err := json.Unmarshal(text, &b); err != nil || len(b.Entries) != 2 || !b.Entries[0].Reversed ||
		b.Entries[1].Original != 1 || b.Counts.Approved[Purchase] != 1 || b.Counts.Codes["00"] != 2 ||
		len(b.Accounts) != 1 {
		t.Errorf("%v %s", err, text)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for name, o := range map[string]Options{
		"spec": {}, "address": {Spec: named(t, "cups"), Address: "nowhere:-1"},
		"master": {Spec: named(t, "cups"), MasterKey: make([]byte, 5)},
		"pin":    {Spec: named(t, "cups"), PINKey: make([]byte, 5)},
		"token":  {Spec: named(t, "cups"), TokenKey: make([]byte, 5)},
	} {
		if _, err := Start(o); !errors.Is(err, ErrOptions) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Close ends everything, twice too, and in the middle of delays and stalls.
func TestClose(t *testing.T) {
	h := start(t, func(o *Options) { o.Behaviour.Rules = DefaultRules() })
	p := connect(t, h)
	p.send(p.frame(p.message(purchase(1, amountOf(Late)))))
	p.send(p.frame(p.message(purchase(2, amountOf(Stall)))))
	eventually(t, "both are seen", func() bool { return h.Summary().Counts.Requests == 2 })
	for range 2 {
		_ = h.Close()
	}
	if _, err := p.next(soon); err == nil {
		_, err = p.next(soon)
		if err == nil {
			t.Error("still there")
		}
	}
}
