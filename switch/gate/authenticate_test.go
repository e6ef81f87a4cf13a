package gate

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/gate/counter"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

func cardNumber(t testing.TB, digits string) pan.Number {
	t.Helper()
	n, err := pan.Parse(digits)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// balanceBody is a request that changes nothing.
func (r *rig) balanceBody(d *device) string {
	return fieldsOf("id", r.id(d), "card", cardA, "service_time", r.serviceTime())
}

func TestSignatureCoversEverything(t *testing.T) {
	r := newRig(t, nil)
	d, other := r.terminal("GATE01"), r.terminal("GATE02")
	body := r.balanceBody(d)
	at := func() Stamp { return Stamp{At: r.now(), Counter: r.counter("GATE01").Add(1)} }
	good := headersAt(d, "POST", "/v1/balances", body, at())
	change := func(name, value string) map[string]string {
		h := headersAt(d, "POST", "/v1/balances", body, at())
		h[name] = value
		return h
	}
	for what, h := range map[string]map[string]string{
		"other key":     headersAt(&device{Signer: NewSigner("GATE01", other.key)}, "POST", "/v1/balances", body, at()),
		"other path":    headersAt(d, "POST", "/v1/taps", body, at()),
		"other method":  headersAt(d, "PUT", "/v1/balances", body, at()),
		"other body":    headersAt(d, "POST", "/v1/balances", body+" ", at()),
		"other counter": change(HeaderCounter, "900000"),
		"other time":    change(HeaderTimestamp, fmt.Sprint(int64(r.now())+1)),
		"other name":    change(HeaderTerminal, "GATE02"),
		"zeroes":        change(HeaderSignature, strings.Repeat("0", SignatureSize)),
	} {
		if a := r.do("POST", "/v1/balances", body, h); a.code() != "signature_invalid" {
			t.Errorf("%s: %v", what, a)
		}
	}
	if a := r.do("POST", "/v1/balances", body, good); a.status != 200 {
		t.Errorf("the good one: %v", a)
	}
}

func TestSignatureHeaders(t *testing.T) {
	r := newRig(t, nil)
	d := r.terminal("GATE01")
	body := r.balanceBody(d)
	for _, c := range []struct{ name, value, code string }{
		{HeaderTerminal, "", "signature_missing"},
		{HeaderTimestamp, "", "signature_missing"},
		{HeaderCounter, "", "signature_missing"},
		{HeaderSignature, "", "signature_missing"},
		{HeaderTerminal, "GATE 1", "signature_malformed"},
		{HeaderTerminal, "GATE0123456789", "signature_malformed"},
		{HeaderTimestamp, "01795000000000", "signature_malformed"},
		{HeaderTimestamp, "-1", "signature_malformed"},
		{HeaderCounter, "0", "signature_malformed"},
		{HeaderCounter, "+1", "signature_malformed"},
		{HeaderCounter, "9007199254740992", "signature_malformed"},
		{HeaderSignature, "abc", "signature_malformed"},
		{HeaderSignature, strings.Repeat("A", 64), "signature_malformed"},
		{HeaderSignature, strings.Repeat("g", 64), "signature_malformed"},
		{HeaderTerminal, "GATE99", "terminal_unknown"},
		{HeaderTimestamp, "1", "clock_skew"},
	} {
		h := r.signedHeaders(d, "POST", "/v1/balances", body)
		if c.value == "" {
			delete(h, c.name)
		} else {
			h[c.name] = c.value
		}
		a := r.do("POST", "/v1/balances", body, h)
		if a.status != 401 || a.code() != c.code || a.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s %q: %v, want %s", c.name, c.value, a, c.code)
		}
	}
}

func TestClockSkew(t *testing.T) {
	r := newRig(t, nil)
	d := r.terminal("GATE01")
	body := r.balanceBody(d)
	for _, c := range []struct {
		off    txn.Millis
		status int
	}{{-115_000, 200}, {115_000, 200}, {-125_000, 401}, {125_000, 401}} {
		at := Stamp{At: r.now() + c.off, Counter: r.counter("GATE01").Add(1)}
		a := r.do("POST", "/v1/balances", body, headersAt(d, "POST", "/v1/balances", body, at))
		if a.status != c.status {
			t.Errorf("%d ms: %v", c.off, a)
		}
	}
}

func TestReplayedSignature(t *testing.T) {
	r := newRig(t, nil)
	d := r.terminal("GATE01")
	body := r.balanceBody(d)
	h := r.signedHeaders(d, "POST", "/v1/balances", body)
	if a := r.do("POST", "/v1/balances", body, h); a.status != 200 {
		t.Fatal(a)
	}
	expect(t, r.do("POST", "/v1/balances", body, h), 401, "signature_replayed")
	// Out of order within the window is fine, below it is not.
	send := func(n uint64) reply {
		return r.do("POST", "/v1/balances", body,
			headersAt(d, "POST", "/v1/balances", body, Stamp{At: r.now(), Counter: n}))
	}
	if a := send(5000); a.status != 200 {
		t.Fatal(a)
	}
	if a := send(5000 - counter.Size + 1); a.status != 200 {
		t.Fatal(a)
	}
	a := send(5000 - counter.Size)
	expect(t, a, 401, "counter_too_low")
	if a.field("next_counter") != 5001.0 {
		t.Errorf("next counter: %v", a)
	}
}

// TestReplayAfterRestart sends captured bytes to the gate after a restart.
func TestReplayAfterRestart(t *testing.T) {
	r := newRig(t, nil)
	d := r.terminal("GATE01")
	body := r.balanceBody(d)
	captured := r.signedHeaders(d, "POST", "/v1/balances", body)
	if a := r.do("POST", "/v1/balances", body, captured); a.status != 200 {
		t.Fatal(a)
	}
	r.stop()
	r.o.Engine = nil
	r.start()
	a := r.do("POST", "/v1/balances", body, captured)
	expect(t, a, 401, "counter_too_low")
	if a.field("retryable") != true {
		t.Error("not retryable")
	}
	next := uint64(a.field("next_counter").(float64))
	at := Stamp{At: r.now(), Counter: next}
	if a := r.do("POST", "/v1/balances", body,
		headersAt(d, "POST", "/v1/balances", body, at)); a.status != 200 {
		t.Errorf("next counter %d: %v", next, a)
	}
}

// TestCounterRace sends one signed request many times at once: it is taken once.
func TestCounterRace(t *testing.T) {
	r := newRig(t, nil)
	d := r.terminal("GATE01")
	body := r.balanceBody(d)
	h := r.signedHeaders(d, "POST", "/v1/balances", body)
	var mu sync.Mutex
	seen := map[string]int{}
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			a := r.do("POST", "/v1/balances", body, h)
			mu.Lock()
			defer mu.Unlock()
			seen[fmt.Sprint(a.status, " ", a.code())]++
		})
	}
	wg.Wait()
	if seen["200 "] != 1 || seen["401 signature_replayed"] != 15 {
		t.Errorf("got %v", seen)
	}
}

// TestTwoProcessesShareCounters lets two gates on one registry take one terminal's
// requests: a signature taken by one is never taken by the other.
func TestTwoProcessesShareCounters(t *testing.T) {
	a, b := newRig(t, nil), (*rig)(nil)
	b = newRig(t, func(o *Options) { o.Registry = a.memory })
	d := a.terminal("GATE01")
	body := a.balanceBody(d)
	next := uint64(1)
	for range 6 {
		for _, r := range []*rig{a, b} {
			h := headersAt(d, "POST", "/v1/balances", body, Stamp{At: r.now(), Counter: next})
			got := r.do("POST", "/v1/balances", body, h)
			if got.code() == "counter_too_low" {
				next = uint64(got.field("next_counter").(float64))
				h = headersAt(d, "POST", "/v1/balances", body, Stamp{At: r.now(), Counter: next})
				got = r.do("POST", "/v1/balances", body, h)
			}
			if got.status != 200 {
				t.Fatalf("counter %d: %v", next, got)
			}
			other := a
			if r == a {
				other = b
			}
			if again := other.do("POST", "/v1/balances", body, h); again.status != 401 {
				t.Fatalf("taken twice: counter %d: %v", next, again)
			}
			next++
		}
	}
}

func TestRotateKeepsOldKeyForAWhile(t *testing.T) {
	r := newRig(t, nil)
	d := r.terminal("GATE01")
	a := r.desk(RoleVendor, "POST", "/v1/terminals/GATE01:rotate", "")
	if a.status != 200 || a.field("key_version") != 2.0 {
		t.Fatal(a)
	}
	fresh := &device{Signer: NewSigner("GATE01", unhex(t, a.field("key").(string)))}
	for what, signer := range map[string]*device{"old": d, "new": fresh} {
		if a := r.send(signer, "/v1/balances", r.balanceBody(d)); a.status != 200 {
			t.Errorf("%s key: %v", what, a)
		}
	}
	r.skew.Store(time.Hour.Milliseconds() + 1)
	expect(t, r.send(d, "/v1/balances", r.balanceBody(d)), 401, "signature_invalid")
	if a := r.send(fresh, "/v1/balances", r.balanceBody(d)); a.status != 200 {
		t.Errorf("new key after the overlap: %v", a)
	}
}

func TestRevoke(t *testing.T) {
	r := newRig(t, nil)
	d := r.terminal("GATE01")
	if a := r.send(d, "/v1/balances", r.balanceBody(d)); a.status != 200 {
		t.Fatal(a)
	}
	a := r.desk(RoleVendor, "POST", "/v1/terminals/GATE01:revoke", "")
	if a.status != 200 || a.field("revoked") != true {
		t.Fatal(a)
	}
	expect(t, r.send(d, "/v1/balances", r.balanceBody(d)), 401, "terminal_revoked")
	a = r.desk(RoleVendor, "POST", "/v1/terminals/GATE01:rotate", "")
	fresh := &device{Signer: NewSigner("GATE01", unhex(t, a.field("key").(string)))}
	expect(t, r.send(d, "/v1/balances", r.balanceBody(d)), 401, "signature_invalid")
	if a := r.send(fresh, "/v1/balances", r.balanceBody(d)); a.status != 200 {
		t.Errorf("new key: %v", a)
	}
}

// TestChangesOfOtherProcesses revokes and registers terminals at one gate; the other one
// follows without a restart.
func TestChangesOfOtherProcesses(t *testing.T) {
	a := newRig(t, nil)
	b := newRig(t, func(o *Options) { o.Registry = a.memory })
	d := a.terminal("GATE01")
	body := b.balanceBody(d)
	if got := b.send(d, "/v1/balances", body); got.status != 200 {
		t.Fatal(got)
	}
	late := &device{Signer: NewSigner("LATE", make([]byte, 32))}
	expect(t, b.send(late, "/v1/balances", body), 401, "terminal_unknown")
	a.desk(RoleVendor, "POST", "/v1/terminals/GATE01:revoke", "")
	created := a.desk(RoleVendor, "PUT", "/v1/terminals/LATE", fieldsOf("kinds", allKinds()))
	late = &device{Signer: NewSigner("LATE", unhex(t, created.field("key").(string)))}
	eventually(t, "the other gate follows", func() bool {
		return b.send(d, "/v1/balances", body).code() == "terminal_revoked" &&
			b.send(late, "/v1/balances", b.balanceBody(late)).status == 200
	})
}

// TestFarBehind makes more changes than an announcement names.
func TestFarBehind(t *testing.T) {
	memory := storetest.NewMemory(storetest.MemoryOptions{})
	seal, err := newSealer(testMasterKey())
	if err != nil {
		t.Fatal(err)
	}
	writer, reader := newDirectory(memory, seal), newDirectory(memory, seal)
	ctx := context.Background()
	spec := Terminal{ID: "GATE01", Kinds: []string{"balance"}}
	id, _ := txn.ParseTerminalID(spec.ID)
	if _, err := writer.create(ctx, spec, 1); err != nil {
		t.Fatal(err)
	}
	if _, _, err := reader.find(ctx, id); err != nil {
		t.Fatal(err)
	}
	unknown, _ := txn.ParseTerminalID("NEW")
	if _, _, err := reader.find(ctx, unknown); err != errUnknownTerminal {
		t.Fatal(err)
	}
	r, version, err := writer.read(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	r.Revoked = true
	if err := writer.write(ctx, id, &r, version); err != nil {
		t.Fatal(err)
	}
	if _, err := writer.create(ctx, Terminal{ID: "NEW", Kinds: []string{"load"}}, 1); err != nil {
		t.Fatal(err)
	}
	for i := range announcedMax + 10 {
		other, _ := txn.ParseTerminalID(fmt.Sprintf("X%d", i))
		if err := writer.announce(ctx, other); err != nil {
			t.Fatal(err)
		}
	}
	if err := reader.refresh(ctx); err != nil {
		t.Fatal(err)
	}
	_, setup, err := reader.find(ctx, id)
	if err != nil || !setup.revoked {
		t.Errorf("revoked terminal: %+v, %v", setup, err)
	}
	if _, _, err := reader.find(ctx, unknown); err != nil {
		t.Errorf("new terminal: %v", err)
	}
}

// TestUnknownTerminalsAreBounded asks for more unknown terminals than are remembered.
func TestUnknownTerminalsAreBounded(t *testing.T) {
	memory := storetest.NewMemory(storetest.MemoryOptions{})
	seal, _ := newSealer(testMasterKey())
	d := newDirectory(memory, seal)
	for i := range unknownMax + 100 {
		id, _ := txn.ParseTerminalID(fmt.Sprintf("U%d", i))
		if _, _, err := d.find(t.Context(), id); err != errUnknownTerminal {
			t.Fatal(err)
		}
	}
	if len(d.unknown) > unknownMax {
		t.Errorf("%d remembered", len(d.unknown))
	}
}

func TestKindsOfTerminal(t *testing.T) {
	r := newRig(t, nil)
	d := r.terminalWith(Terminal{ID: "BUS1", Kinds: []string{"bus_boarding"}})
	expect(t, r.send(d, "/v1/balances", r.balanceBody(d)), 403, "kind_not_permitted")
	expect(t, r.send(d, "/v1/taps", fieldsOf("id", r.id(d), "kind", "metro_entry", "card", cardA,
		"service_time", r.serviceTime())), 403, "kind_not_permitted")
	expect(t, r.send(d, "/v1/taps", r.tapBody(d, cardA)), 200, "card_unknown")
}

func TestIDOfAnotherTerminal(t *testing.T) {
	r := newRig(t, nil)
	d, other := r.terminal("GATE01"), r.terminal("GATE02")
	expect(t, r.send(d, "/v1/balances", r.balanceBody(other)), 403, "id_mismatch")
}

// TestOriginalOfAnotherTerminal: refused by default; where the policy allows it, the money
// moves between the accounts of the original's terminal.
func TestOriginalOfAnotherTerminal(t *testing.T) {
	undo := func(r *rig, d *device, original string) reply {
		return r.send(d, "/v1/reversals", fieldsOf("id", r.id(d), "card", cardA,
			"original", original, "service_time", r.serviceTime()))
	}
	r := newRig(t, nil)
	d := r.terminal("GATE01")
	expect(t, undo(r, d, "GATE02-1-1"), 403, "original_not_permitted")

	e := &recording{}
	r = newRig(t, func(o *Options) { o.Engine, o.Limits.ForeignOriginals = e, true })
	d = r.terminal("GATE01")
	r.terminalWith(Terminal{ID: "SHOP", Merchant: "M7", Acquirer: "A7", Station: "S7",
		Kinds: []string{"purchase"}})
	expect(t, undo(r, d, "NOBODY-1-1"), 404, "original_terminal_unknown")
	if a := undo(r, d, "SHOP-1-1"); a.status != 200 {
		t.Fatal(a)
	}
	p := e.asked[0].Place
	if p.Payee != "merchant/M7" || p.Funding != "funds/A7" || p.Station != "S7" {
		t.Errorf("place %+v", p)
	}
}

func TestTerminalRate(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Limits.TerminalRate, o.Limits.TerminalBurst = 0.001, 3 })
	d, other := r.terminal("GATE01"), r.terminal("GATE02")
	for range 3 {
		if a := r.send(d, "/v1/balances", r.balanceBody(d)); a.status != 200 {
			t.Fatal(a)
		}
	}
	a := r.send(d, "/v1/balances", r.balanceBody(d))
	expect(t, a, 429, "rate_limited")
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if a := r.send(other, "/v1/balances", r.balanceBody(other)); a.status != 200 {
		t.Errorf("the other terminal: %v", a)
	}
	// A stranger cannot use up a terminal's tokens: they are taken after the signature.
	stranger := &device{Signer: NewSigner("GATE02", make([]byte, 32))}
	for range 5 {
		expect(t, r.send(stranger, "/v1/balances", r.balanceBody(other)), 401, "signature_invalid")
	}
	if a := r.send(other, "/v1/balances", r.balanceBody(other)); a.status != 200 {
		t.Errorf("after the stranger: %v", a)
	}
}

// TestRegistryDown: without the registry no counter is accepted that could be a replay.
func TestRegistryDown(t *testing.T) {
	r := newRig(t, nil)
	d := r.terminal("GATE01")
	r.setFault(func(op storetest.Op) storetest.Fault {
		if op == storetest.OpPut {
			return storetest.NotApplied
		}
		return storetest.NoFault
	})
	a := r.send(d, "/v1/balances", r.balanceBody(d))
	expect(t, a, 503, "registry_unavailable")
	r.setFault(nil)
	if a := r.send(d, "/v1/balances", r.balanceBody(d)); a.status != 200 {
		t.Errorf("after the fault: %v", a)
	}
}

// TestReservationInDoubt: a reservation that was written and not confirmed is not used,
// nor is anything below it.
func TestReservationInDoubt(t *testing.T) {
	r := newRig(t, nil)
	d := r.terminal("GATE01")
	r.setFault(func(op storetest.Op) storetest.Fault {
		if op == storetest.OpPut {
			return storetest.AppliedUnreported
		}
		return storetest.NoFault
	})
	expect(t, r.send(d, "/v1/balances", r.balanceBody(d)), 503, "registry_unavailable")
	r.setFault(nil)
	a := r.send(d, "/v1/balances", r.balanceBody(d))
	expect(t, a, 401, "counter_too_low")
	if next := a.field("next_counter").(float64); next < counterBlock {
		t.Errorf("next counter %v is inside the block in doubt", next)
	}
}

// meddling is a registry in which something happens right after a terminal was read.
type meddling struct {
	store.Registry
	after func()
}

func (m *meddling) Get(ctx context.Context, key string) ([]byte, uint64, error) {
	value, version, err := m.Registry.Get(ctx, key)
	if after := m.after; after != nil && strings.HasPrefix(key, terminalPrefix) {
		m.after = nil
		after()
	}
	return value, version, err
}

// TestRevokedWhileRead: a terminal that is revoked between reading and keeping it is
// revoked for every later request.
func TestRevokedWhileRead(t *testing.T) {
	memory := storetest.NewMemory(storetest.MemoryOptions{})
	seal, err := newSealer(testMasterKey())
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	m := &meddling{Registry: memory}
	d := newDirectory(m, seal)
	id, _ := txn.ParseTerminalID("GATE01")
	unknown, _ := txn.ParseTerminalID("NEW")
	if _, err := d.create(ctx, Terminal{ID: "GATE01", Kinds: []string{"load"}}, 1); err != nil {
		t.Fatal(err)
	}
	m.after = func() {
		r, version, err := d.read(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		r.Revoked = true
		if err := d.write(ctx, id, &r, version); err != nil {
			t.Fatal(err)
		}
	}
	if _, s, err := d.find(ctx, id); err != nil || s.revoked {
		t.Fatalf("the request that was faster: %+v, %v", s, err)
	}
	if _, s, err := d.find(ctx, id); err != nil || !s.revoked {
		t.Errorf("the next request: %+v, %v", s, err)
	}
	m.after = func() {
		if _, err := d.create(ctx, Terminal{ID: "NEW", Kinds: []string{"load"}}, 1); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := d.find(ctx, unknown); err != errUnknownTerminal {
		t.Fatal(err)
	}
	if _, _, err := d.find(ctx, unknown); err != nil {
		t.Errorf("a terminal registered meanwhile: %v", err)
	}
}

// TestDoubledHeaders: a header that stands twice could be read in two ways by two servers.
func TestDoubledHeaders(t *testing.T) {
	r := newRig(t, nil)
	d := r.terminal("GATE01")
	for _, name := range []string{HeaderTerminal, HeaderTimestamp, HeaderCounter,
		HeaderSignature} {
		body := r.balanceBody(d)
		request := r.rawSigned(d, "/v1/balances", body)
		at := strings.Index(request, name)
		line := request[at : at+strings.Index(request[at:], "\n")+1]
		answers, _ := r.raw(strings.Replace(request, line, line+line, 1), 1)
		if len(answers) != 1 || answers[0].code() != "signature_malformed" {
			t.Errorf("%s: %v", name, answers)
		}
	}
	token := "Authorization: Bearer " + r.operator(RoleViewer) + "\r\n"
	answers, _ := r.raw("GET /v1/releases HTTP/1.1\r\nHost: g\r\n"+token+token+"\r\n", 1)
	if len(answers) != 1 || answers[0].code() != "token_invalid" {
		t.Errorf("token: %v", answers)
	}
}
