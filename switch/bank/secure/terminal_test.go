package secure

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/keyblock"
	"github.com/tapswitch/tapswitch/crypto/keyring"
	"github.com/tapswitch/tapswitch/crypto/keyring/keyringtest"
	"github.com/tapswitch/tapswitch/crypto/mac"
	"github.com/tapswitch/tapswitch/crypto/pinblock"
	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
)

const tmkHex = thirdHex

// terminals returns the terminals of a process that starts; change may be nil.
func (w *world) terminals(change func(*TerminalOptions)) *Terminals {
	w.Helper()
	o := TerminalOptions{Ring: w.ring, Registry: w.mem, Overlap: overlap, Now: w.clock.Now}
	if change != nil {
		change(&o)
	}
	t, err := NewTerminals(o)
	w.no(err)
	return t
}

func newTerminalWorld(t testing.TB) *world {
	t.Helper()
	w := newWorld(t)
	keyringtest.Import(t, w.ring, "key_exchange/pos-1", keyring.TDES2, tmkHex)
	return w
}

// signOn signs a terminal on and returns its keys as the terminal has them.
func (w *world) signOn(t *Terminals, id string, form keyring.WorkingForm) keyblock.WorkingKeys {
	w.Helper()
	field, err := t.SignOn(w.ctx, id, "pos-1", form)
	w.no(err)
	return w.unwrap(field)
}

func (w *world) unwrap(field62 []byte) keyblock.WorkingKeys {
	w.Helper()
	parsed, err := keyblock.ParseTerminalKeys(field62)
	w.no(err)
	keys, err := parsed.Unwrap(keyringtest.Bytes(w, tmkHex))
	w.no(err)
	return keys
}

func TestSignOn(t *testing.T) {
	w := newTerminalWorld(t)
	pos := w.terminals(nil)
	for form, length := range map[keyring.WorkingForm]int{keyring.Working24: 24,
		keyring.Working40: 40, keyring.Working60: 60} {
		id := fmt.Sprint("T", form)
		field, err := pos.SignOn(w.ctx, id, "pos-1", form)
		w.no(err)
		keys := w.unwrap(field)
		if len(field) != length {
			t.Errorf("field 62 has %d bytes, want %d", len(field), length)
		}
		request := sum(t, mac.CUPDES, keys.MAC, text)
		k, err := pos.Check(w.ctx, id, text, request)
		w.no(err)
		answer, err := k.Make([]byte("x"), []byte("answer"))
		w.no(err)
		if want := sum(t, mac.CUPDES, keys.MAC, []byte("answer")); string(answer) != "x"+string(want) {
			t.Errorf("form %d: the answer has another MAC", form)
		}
		current, err := pos.Key(w.ctx, id)
		w.no(err)
		pin, auth := k.KCVs()
		if pin2, auth2 := current.KCVs(); pin != pin2 || auth != auth2 || len(pin+auth) != 16 {
			t.Errorf("form %d: check values %s %s", form, pin, auth)
		}
		for i := range request {
			bad := bytes.Clone(request)
			bad[i] ^= 1
			_, err := pos.Check(w.ctx, id, text, bad)
			w.want(err, message.ErrMAC)
		}
		_, err = pos.Check(w.ctx, id, text[1:], request)
		w.want(err, message.ErrMAC)
		_, err = pos.Check(w.ctx, id, text, request[:4])
		w.want(err, message.ErrMAC)
		_, err = pos.Check(w.ctx, id, text, nil)
		w.want(err, message.ErrNoMAC)
	}
	_, err := pos.Check(w.ctx, "T0", text, sum(t, mac.CUPDES, keyringtest.Bytes(t, desHex), text))
	w.want(err, message.ErrMAC)
}

func TestTrack(t *testing.T) {
	w := newTerminalWorld(t)
	pos := w.terminals(nil)
	keys := w.signOn(pos, "10000001", keyring.Working60)
	c, err := block.New(block.TDES, keys.Track)
	w.no(err)
	track := []byte("sixteen bytes in")
	sent := make([]byte, len(track))
	w.no(block.EncryptECB(c, sent, track))
	k, err := pos.Key(w.ctx, "10000001")
	w.no(err)
	w.no(k.DecryptTrack(sent, sent))
	if !bytes.Equal(sent, track) {
		t.Error("another track")
	}
	w.want(TerminalKey{}.DecryptTrack(sent, sent), ErrNoKey)
}

// A terminal of 16-byte MAC keys, as other hosts give out, has MACs of 3DES.
func TestLongMAK(t *testing.T) {
	w := newTerminalWorld(t)
	long := keyblock.WorkingKeys{PIN: keyringtest.Bytes(t, otherHex),
		MAC: keyringtest.Bytes(t, baseHex)}
	wrapped, err := keyblock.WrapTerminalKeys(keyringtest.Bytes(t, tmkHex), long)
	w.no(err)
	field, err := wrapped.AppendTo(nil)
	w.no(err)
	value, err := json.Marshal(&terminalRecord{Version: recordVersion,
		Current: stored{Under: "key_exchange/pos-1/1", Wrapped: field}})
	w.no(err)
	w.no(w.mem.Put(w.ctx, terminalKey("10000001"), value, 0))
	_, err = w.terminals(nil).Check(w.ctx, "10000001", text,
		sum(t, mac.CUPTDES, keyringtest.Bytes(t, baseHex), text))
	w.no(err)
}

func TestSignOnTwice(t *testing.T) {
	w := newTerminalWorld(t)
	pos := w.terminals(nil)
	const id = "10000001"
	first := w.signOn(pos, id, keyring.Working40)
	under := func(k keyblock.WorkingKeys) []byte { return sum(t, mac.CUPDES, k.MAC, text) }
	inFlight, err := pos.Check(w.ctx, id, text, under(first))
	w.no(err)
	second := w.signOn(pos, id, keyring.Working40)
	for name, pos := range map[string]*Terminals{"running": pos, "restarted": w.terminals(nil)} {
		if _, err := pos.Check(w.ctx, id, text, under(second)); err != nil {
			t.Errorf("%s, new keys: %v", name, err)
		}
		k, err := pos.Check(w.ctx, id, text, under(first))
		w.no(err)
		answer, err := k.Make(nil, text)
		w.no(err)
		if !bytes.Equal(answer, under(first)) {
			t.Errorf("%s: the answer is not under the request's key", name)
		}
	}
	third := w.signOn(pos, id, keyring.Working40)
	_, err = pos.Check(w.ctx, id, text, under(first))
	w.want(err, message.ErrMAC)
	restarted := w.terminals(nil)
	_, err = restarted.Key(w.ctx, id)
	w.no(err)
	w.clock.Add(overlap - time.Millisecond)
	for _, pos := range []*Terminals{pos, restarted, w.terminals(nil)} {
		_, err = pos.Check(w.ctx, id, text, under(second))
		w.no(err)
	}
	w.clock.Add(time.Millisecond)
	for _, pos := range []*Terminals{pos, restarted, w.terminals(nil)} {
		_, err = pos.Check(w.ctx, id, text, under(second))
		w.want(err, message.ErrMAC)
		_, err = pos.Check(w.ctx, id, text, under(third))
		w.no(err)
	}
	// The answer to a request that is still being worked on.
	if answer, err := inFlight.Make(nil, text); err != nil || !bytes.Equal(answer, under(first)) {
		t.Errorf("the answer of a request under the first keys: %v", err)
	}
}

func TestTerminalRefused(t *testing.T) {
	w := newTerminalWorld(t)
	pos := w.terminals(nil)
	field := sum(t, mac.CUPDES, keyringtest.Bytes(t, desHex), text)
	_, err := pos.Check(w.ctx, "10000001", text, field)
	w.want(err, ErrNoKey)
	_, err = pos.Key(w.ctx, "10000001")
	w.want(err, ErrNoKey)
	for _, id := range []string{"", "a/b", "a\nb", "\xff", strings.Repeat("1", terminalIDMax+1)} {
		_, err := pos.SignOn(w.ctx, id, "pos-1", keyring.Working40)
		w.want(err, ErrTerminal)
		_, err = pos.Check(w.ctx, id, text, field)
		w.want(err, ErrTerminal)
		_, err = pos.Key(w.ctx, id)
		w.want(err, ErrTerminal)
	}
	_, err = pos.SignOn(w.ctx, "10000001", "nobody", keyring.Working40)
	w.want(err, keyring.ErrUnknown)
	_, err = pos.SignOn(w.ctx, "10000001", "", keyring.Working40)
	w.want(err, ErrNoKey)
	_, err = pos.SignOn(w.ctx, "10000001", "pos-1", 9)
	w.want(err, keyblock.ErrTerminalKeys)
	keyringtest.Import(t, w.ring, "key_exchange/aes", keyring.AES128, keyringtest.KeyAES)
	_, err = pos.SignOn(w.ctx, "10000001", "aes", keyring.Working40)
	w.want(err, keyring.ErrAlgorithm)
	if keys, err := w.mem.Keys(w.ctx, "bank/"); err != nil || len(keys) != 0 {
		t.Errorf("a refused sign-on left %v, %v", keys, err)
	}
	none := w.terminals(func(o *TerminalOptions) { o.Ring, o.Registry = nil, nil })
	_, err = none.SignOn(w.ctx, "10000001", "pos-1", keyring.Working40)
	w.want(err, ErrNoKey)
	_, err = none.Check(w.ctx, "10000001", text, field)
	w.want(err, ErrNoKey)
	_, err = TerminalKey{}.Make(nil, text)
	w.want(err, ErrNoKey)
	if pin, auth := (TerminalKey{}).KCVs(); pin != "" || auth != "" {
		t.Error("no keys have check values")
	}
	for _, o := range []TerminalOptions{{Overlap: -1}, {Overlap: OverlapMax + 1}, {CacheMax: -1},
		{Ring: w.ring}} {
		_, err := NewTerminals(o)
		w.want(err, ErrOptions)
	}
}

func TestTerminalStoreFaults(t *testing.T) {
	const id = "10000001"
	for _, op := range []storetest.Op{storetest.OpGet, storetest.OpPut} {
		for _, fault := range []storetest.Fault{storetest.NotApplied, storetest.AppliedUnreported} {
			w := newTerminalWorld(t)
			pos := w.terminals(nil)
			first := sum(t, mac.CUPDES, w.signOn(pos, id, keyring.Working40).MAC, text)
			w.mem.SetFault(func(o storetest.Op) storetest.Fault {
				if o == op {
					return fault
				}
				return storetest.NoFault
			})
			field, err := pos.SignOn(w.ctx, id, "pos-1", keyring.Working40)
			w.want(err, store.ErrUnavailable)
			if field != nil {
				t.Error("keys came out that are not durable")
			}
			_, err = pos.Check(w.ctx, id, text, first)
			w.no(err)
			// What is in memory decides while the store does not answer.
			_, err = pos.Check(w.ctx, id, text[1:], first)
			w.want(err, message.ErrMAC)
			if op == storetest.OpGet {
				_, err = pos.Check(w.ctx, "10000002", text, first)
				w.want(err, store.ErrUnavailable)
			}
			w.mem.SetFault(nil)
			_, err = w.terminals(nil).Check(w.ctx, id, text, first)
			w.no(err)
			second := sum(t, mac.CUPDES, w.signOn(pos, id, keyring.Working40).MAC, text)
			for _, pos := range []*Terminals{pos, w.terminals(nil)} {
				_, err = pos.Check(w.ctx, id, text, second)
				w.no(err)
			}
		}
	}
	for i, value := range []string{"x", `{"version":2}`, `{"version":1}`,
		`{"version":1,"current":{"under":"key_exchange/pos-1/1","wrapped":"AAAA"}}`,
		`{"version":1,"current":{"under":"mac/bank/1","wrapped":"AAAA"}}`} {
		w := newTerminalWorld(t)
		w.no(w.mem.Put(w.ctx, terminalKey(id), []byte(value), 0))
		_, err := w.terminals(nil).Key(w.ctx, id)
		if !errors.Is(err, store.ErrDamaged) && !errors.Is(err, ErrNoKey) {
			t.Errorf("record %d: %v", i, err)
		}
	}
	w := newTerminalWorld(t)
	for n, want := range map[int]error{triesMax - 1: nil, triesMax: errBusy} {
		pos := w.terminals(func(o *TerminalOptions) { o.Registry = &conflicts{w.mem, n} })
		_, err := pos.SignOn(w.ctx, fmt.Sprint(n), "pos-1", keyring.Working40)
		w.want(err, want)
	}
}

// TestTwoProcesses signs a terminal on at one of two processes, and finds its keys at the other.
func TestTwoProcesses(t *testing.T) {
	w := newTerminalWorld(t)
	a, b := w.terminals(nil), w.terminals(nil)
	for i := range 6 {
		pos, other := a, b
		if i%2 == 1 {
			pos, other = b, a
		}
		field := sum(t, mac.CUPDES, w.signOn(pos, "10000001", keyring.Working40).MAC, text)
		for _, pos := range []*Terminals{pos, other} {
			if _, err := pos.Check(w.ctx, "10000001", text, field); err != nil {
				t.Errorf("sign-on %d: %v", i, err)
			}
		}
	}
}

// TestRace signs terminals on from several sides while requests are checked.
func TestRace(t *testing.T) {
	w := newTerminalWorld(t)
	pos := w.terminals(func(o *TerminalOptions) { o.CacheMax = 1 })
	l := w.link(nil)
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			id := fmt.Sprint("1000000", i%2)
			for range 20 {
				field, err := pos.SignOn(w.ctx, id, "pos-1", keyring.Working40)
				if err != nil && !errors.Is(err, errBusy) {
					t.Error(err)
				}
				if err == nil && len(field) != 40 {
					t.Error("no field 62")
				}
				if k, err := pos.Key(w.ctx, id); err != nil {
					t.Error(err)
				} else if _, err := k.Make(nil, text); err != nil {
					t.Error(err)
				}
			}
		})
		all.Go(func() {
			for range 10 {
				p, err := l.New(PINKey)
				if err == nil {
					err = p.Commit(w.ctx)
				}
				if err != nil {
					t.Error(err)
				}
				l.Status()
			}
		})
	}
	all.Wait()
	for i := range 2 {
		id := fmt.Sprint("1000000", i)
		field := sum(t, mac.CUPDES, w.signOn(pos, id, keyring.Working40).MAC, text)
		if _, err := pos.Check(w.ctx, id, text, field); err != nil {
			t.Error(err)
		}
	}
}

func TestCacheMax(t *testing.T) {
	w := newTerminalWorld(t)
	const most, terminals = 2 * shardCount, 400
	pos := w.terminals(func(o *TerminalOptions) { o.CacheMax = most })
	macs := map[string][]byte{}
	for i := range terminals {
		id := fmt.Sprintf("%08d", i)
		macs[id] = sum(t, mac.CUPDES, w.signOn(pos, id, keyring.Working24).MAC, text)
		if n := pos.cache.len(); n > most {
			t.Fatalf("%d terminals are kept, limit %d", n, most)
		}
	}
	for range 2 {
		for id, field := range macs {
			if _, err := pos.Check(w.ctx, id, text, field); err != nil {
				t.Fatalf("terminal %s: %v", id, err)
			}
		}
	}
	if n := pos.cache.len(); n > most || n < most/2 {
		t.Errorf("%d terminals are kept, limit %d", n, most)
	}
}

// An entry that is used again and again outlives those that are not.
func TestCacheKeepsTheUsed(t *testing.T) {
	var c cache
	c.init(4 * shardCount)
	c.put("busy", &signedOn{version: 1})
	kept := 0
	for i := range 2000 {
		if c.get("busy") != nil {
			kept++
		} else {
			c.put("busy", &signedOn{version: 1})
		}
		c.put(fmt.Sprint(i), &signedOn{version: 1})
	}
	if kept < 1900 {
		t.Errorf("it was there %d times of 2000", kept)
	}
	c.put("busy", &signedOn{version: 3})
	c.put("busy", &signedOn{version: 2})
	if got := c.get("busy").version; got != 3 {
		t.Errorf("version %d took the place of 3", got)
	}
}

func TestTerminalAllocatesNothing(t *testing.T) {
	if raced {
		t.Skip("the race detector allocates")
	}
	w := newTerminalWorld(t)
	pos := w.terminals(nil)
	former := sum(t, mac.CUPDES, w.signOn(pos, "10000001", keyring.Working40).MAC, text)
	field := sum(t, mac.CUPDES, w.signOn(pos, "10000001", keyring.Working40).MAC, text)
	room := make([]byte, 0, 8)
	for name, field := range map[string][]byte{"current": field, "former": former} {
		if n := testing.AllocsPerRun(100, func() {
			k, err := pos.Check(w.ctx, "10000001", text, field)
			if err != nil {
				t.Error(err)
			}
			_, _ = k.Make(room, text)
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// pinUnder returns a PIN block of one form, under a key.
func pinUnder(t *testing.T, f pinblock.Format, key []byte) []byte {
	t.Helper()
	b, err := pinblock.Encode(f, []byte(testPIN), testPAN, nil)
	if err != nil {
		t.Fatal(err)
	}
	alg := block.TDES
	if len(key) == 8 {
		alg = block.DES
	}
	c, err := block.New(alg, key)
	if err != nil {
		t.Fatal(err)
	}
	c.Encrypt(b[:], b[:])
	return b[:]
}

// pinAtBank reports whether a block that arrives at the bank holds the PIN.
func pinAtBank(t *testing.T, b, key []byte) {
	t.Helper()
	c, err := block.New(block.TDES, key)
	if err != nil {
		t.Fatal(err)
	}
	clearBlock := make([]byte, 8)
	c.Decrypt(clearBlock, b)
	got, err := pinblock.Decode(nil, pinblock.Format0, clearBlock, testPAN)
	if err != nil || string(got) != testPIN {
		t.Errorf("another PIN arrives: %v", err)
	}
}

func TestTranslatePIN(t *testing.T) {
	w := newTerminalWorld(t)
	pos, l := w.terminals(nil), w.link(nil)
	keys := w.signOn(pos, "10000001", keyring.Working40)
	k, err := pos.Key(w.ctx, "10000001")
	w.no(err)
	p := PINBlock{Key: k.PINKey(), PAN: number(t, testPAN)}
	bankKey := keyringtest.Bytes(t, otherHex)
	for range 2 {
		for form, format := range map[byte]pinblock.Format{PINWithPAN: pinblock.Format0,
			PINWithoutPAN: pinblock.FormatCUP} {
			p.Form, p.Block = form, pinUnder(t, format, keys.PIN)
			out, err := l.TranslatePIN([]byte("xx"), &p)
			w.no(err)
			if len(out) != 10 || string(out[:2]) != "xx" {
				t.Errorf("%d bytes came out", len(out))
			}
			pinAtBank(t, out[2:], bankKey)
		}
		// And once more under a key that the bank sent.
		w.no(l.Change(w.ctx, transfer(t, PINKey, baseHex)))
		bankKey = keyringtest.Bytes(t, baseHex)
	}
	// From an acquirer's link to a bank's, also under the acquirer's former key.
	from := w.link(func(o *LinkOptions) { o.Link = "acquirer" })
	w.no(from.Change(w.ctx, transfer(t, PINKey, zmkHex)))
	p.Form = PINWithPAN
	p.Key, err = from.PINKey()
	w.no(err)
	p.Block = pinUnder(t, pinblock.Format0, keyringtest.Bytes(t, zmkHex))
	out, err := l.TranslatePIN(nil, &p)
	w.no(err)
	pinAtBank(t, out, bankKey)
	former, ok := from.FormerPINKey()
	if !ok {
		t.Fatal("no former key")
	}
	p.Block = pinUnder(t, pinblock.Format0, keyringtest.Bytes(t, otherHex))
	_, err = l.TranslatePIN(nil, &p)
	w.want(err, keyring.ErrPINBlock)
	p.Key = former
	out, err = l.TranslatePIN(nil, &p)
	w.no(err)
	pinAtBank(t, out, bankKey)
	w.clock.Add(overlap)
	if _, ok := from.FormerPINKey(); ok {
		t.Error("the former key outlives its overlap")
	}
	for _, form := range []byte{0, 3, 9, 255} {
		p.Form = form
		_, err := l.TranslatePIN(nil, &p)
		w.want(err, keyring.ErrPINBlock)
	}
	p.Form, p.Block = PINWithPAN, p.Block[:7]
	if _, err := l.TranslatePIN(nil, &p); err == nil {
		t.Error("a short block is translated")
	}
	p.Key = TerminalKey{}.PINKey()
	if _, err := l.TranslatePIN(nil, &p); err == nil {
		t.Error("a block under no key is translated")
	}
}

// TestCanary looks for keys, PIN and card number in everything that is printed, stored or said.
func TestCanary(t *testing.T) {
	w := newTerminalWorld(t)
	pos, l := w.terminals(nil), w.link(nil)
	var said bytes.Buffer
	say := func(err error) {
		if err == nil {
			t.Error("nothing failed")
		}
		fmt.Fprintf(&said, "%v %+v %#v %q\n", err, err, err, err)
	}
	first := w.signOn(pos, "10000001", keyring.Working60)
	second := w.signOn(pos, "10000001", keyring.Working60)
	w.no(l.Change(w.ctx, transfer(t, MACKey, thirdHex)))
	pending, err := l.New(PINKey)
	w.no(err)
	secrets := [][]byte{keyringtest.Bytes(t, zmkHex), keyringtest.Bytes(t, baseHex),
		keyringtest.Bytes(t, otherHex), keyringtest.Bytes(t, thirdHex), keyringtest.Bytes(t, tmkHex),
		first.PIN, first.MAC, first.Track, second.PIN, second.MAC, second.Track, open(t, pending)}
	for _, tr := range []Transfer{transfer(t, PINKey, thirdHex), transfer(t, MACKey, desHex+desHex),
		transferUnder(t, MACKey, otherHex, baseHex), {Kind: 4}, transfer(t, PINKey, desHex),
		transfer(t, MACKey, "01010101010101010123456789abcdef")} {
		say(l.Change(w.ctx, tr))
	}
	say(pending.Check(text, under(t, baseHex)))
	k, err := pos.Key(w.ctx, "10000001")
	w.no(err)
	p := PINBlock{Key: k.PINKey(), PAN: number(t, testPAN), Form: PINWithPAN,
		Block: pinUnder(t, pinblock.Format0, secrets[0])}
	_, err = l.TranslatePIN(nil, &p)
	say(err)
	p.Form = 7
	_, err = l.TranslatePIN(nil, &p)
	say(err)
	_, err = pos.Check(w.ctx, "10000002", text, under(t, baseHex))
	say(err)
	_, err = pos.SignOn(w.ctx, "10000001", "pos-1", 77)
	say(err)
	w.no(w.mem.Put(w.ctx, terminalKey("10000003"), append([]byte(`{"version":"`), secrets[3]...), 0))
	_, err = pos.Key(w.ctx, "10000003")
	say(err)
	w.no(pending.Commit(w.ctx))
	for name, v := range map[string]any{"link": l, "pending": pending, "key": k, "PIN block": p,
		"PIN block's address": &p, "status": l.Status(), "struct": struct{ L *LinkKeys }{l},
		"keys": []TerminalKey{k}} {
		if found := leaks(printed(v), secrets...); len(found) > 0 {
			t.Errorf("%s shows %v", name, found)
		}
	}
	for _, at := range []string{linkKey("bank-a"), terminalKey("10000001")} {
		value, _, err := w.mem.Get(w.ctx, at)
		w.no(err)
		if found := leaks(string(value), secrets...); len(found) > 0 || len(value) == 0 {
			t.Errorf("%s shows %v", at, found)
		}
	}
	if found := leaks(said.String(), secrets...); len(found) > 0 {
		t.Errorf("the errors show %v:\n%s", found, &said)
	}
	if found := leaks(strings.Join(w.trail.Lines(), "\n"), secrets...); len(found) > 0 {
		t.Errorf("the audit trail shows %v", found)
	}
}

func FuzzRecords(f *testing.F) {
	for _, rest := range []string{
		`"mac":{"current":{"under":"key_exchange/bank/1","wrapped":"AAAAAAAAAAA="}}`,
		`"current":{"under":"key_exchange/bank/1","wrapped":"AAAA"},"until":1`,
		`"pin":{"current":{"ref":"pin/bank/1"},"former":{"ref":"x"},"until":9000000000000000000}`,
		`"mac":{"current":{"ref":"pin/bank/1"},"former":{"ref":"key_exchange/bank"},"until":1}`,
	} {
		f.Add([]byte(`{"version":1,` + rest + `}`))
	}
	var w *world
	f.Fuzz(func(t *testing.T, value []byte) {
		if w == nil {
			w = newWorld(t)
		}
		w.TB = t
		ctx := context.Background()
		mem := storetest.NewMemory(storetest.MemoryOptions{})
		if len(value) == 0 || len(value) > store.RegistryMax {
			return
		}
		w.no(mem.Put(ctx, linkKey("bank-a"), value, 0))
		w.no(mem.Put(ctx, terminalKey("10000001"), value, 0))
		o := w.options()
		o.Registry = mem
		if l, err := OpenLink(ctx, o); err == nil {
			_ = l.Check(text, make([]byte, 8))
			_, _ = l.Make(nil, text)
			l.Status()
		}
		pos := w.terminals(func(o *TerminalOptions) { o.Registry = mem })
		_, _ = pos.Check(ctx, "10000001", text, make([]byte, 8))
	})
}

// BenchmarkLink checks and makes a MAC over 200 bytes, the part of a message at a bank's link.
func BenchmarkLink(b *testing.B) {
	w := newWorld(b)
	l := w.link(nil)
	w.no(l.Change(w.ctx, transfer(b, MACKey, thirdHex)))
	covered := make([]byte, 200)
	field := sum(b, retail, keyringtest.Bytes(b, thirdHex), covered)
	room := make([]byte, 0, 8)
	b.ReportAllocs()
	for b.Loop() {
		if err := l.Check(covered, field); err != nil {
			b.Fatal(err)
		}
		_, _ = l.Make(room, covered)
	}
}

// BenchmarkTerminal is BenchmarkLink for a terminal.
func BenchmarkTerminal(b *testing.B) {
	w := newTerminalWorld(b)
	pos := w.terminals(nil)
	covered := make([]byte, 200)
	field := sum(b, mac.CUPDES, w.signOn(pos, "10000001", keyring.Working40).MAC, covered)
	room := make([]byte, 0, 8)
	b.ReportAllocs()
	for b.Loop() {
		k, err := pos.Check(w.ctx, "10000001", covered, field)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = k.Make(room, covered)
	}
}

// BenchmarkSignOn tells what a sign-on costs without a disk, and what a terminal takes of
// memory.
func BenchmarkSignOn(b *testing.B) {
	w := newTerminalWorld(b)
	pos := w.terminals(nil)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	n := 0
	for b.Loop() {
		if _, err := pos.SignOn(w.ctx, fmt.Sprint(n), "pos-1", keyring.Working40); err != nil {
			b.Fatal(err)
		}
		n++
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if kept := pos.cache.len(); kept == n {
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(n), "B/terminal")
	}
}
