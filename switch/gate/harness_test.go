package gate

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/blacklist"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/fare"
	"github.com/tapswitch/tapswitch/switch/gate/refusal"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Test cards: the range of the scheme's test numbers.
const (
	cardA = "3104800000000001"
	cardB = "3104800000000002"
	cardC = "3104800000000003"
)

// rig is a gate on a real socket over the real engine and the memory store.
type rig struct {
	t        *testing.T
	o        Options
	memory   *storetest.Memory
	engine   *engine.Engine
	server   *Server
	address  string
	client   *http.Client
	observer *tally
	log      *lockedBuffer
	contract *contract
	served   chan error
	tokens   map[Role]string
	counters sync.Map // terminal → *atomic.Uint64
	boots    atomic.Uint32
	skew     atomic.Int64 // milliseconds that the rig's clock is ahead
	fault    atomic.Pointer[func(storetest.Op) storetest.Fault]
}

// marks is the engine's blacklist over a real Set.
type marks struct{ set *blacklist.Set }

func (m marks) Mark(card pan.Token) txn.Mark        { return m.set.Get(card) }
func (m marks) Learn(card pan.Token, mark txn.Mark) { m.set.Put(card, mark) }

// tally is an Observer that counts by name.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
	staged int
}

func (c *tally) add(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[name]++
}

func (c *tally) count(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts[name]
}

func (c *tally) Decided(_ Route, reason txn.Reason) { c.add(reason.String()) }
func (c *tally) Refused(_ Route, code refusal.Code) { c.add(code.String()) }
func (c *tally) Staged(Route, Stages) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.staged++
}

// lockedBuffer collects a log that many goroutines write.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func testMasterKey() []byte { return bytes.Repeat([]byte{7}, masterKeySize) }

func testTokenizer(t testing.TB) *pan.Tokenizer {
	tokenizer, err := pan.NewTokenizer(bytes.Repeat([]byte{9}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return tokenizer
}

func testPolicy(t testing.TB) engine.Policy {
	tariff, err := fare.Compile(fare.File{Version: "test",
		Bus: fare.BusFares{Default: 200}, Metro: fare.MetroFares{Default: 500}})
	if err != nil {
		t.Fatal(err)
	}
	return engine.DefaultPolicy(tariff)
}

// testEngine returns the real engine over s.
func testEngine(t testing.TB, cards store.Cards, now func() txn.Millis) *engine.Engine {
	e, err := engine.New(engine.Options{Cards: cards, Blacklist: marks{blacklist.NewSet()},
		Policy: testPolicy(t), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// newRig starts a gate; adjust may change the options first.
func newRig(t *testing.T, adjust func(*Options)) *rig {
	t.Helper()
	r := &rig{t: t,
		observer: &tally{counts: map[string]int{}}, log: &lockedBuffer{},
		contract: loadContract(t), tokens: map[Role]string{}, client: newClient()}
	r.memory = storetest.NewMemory(storetest.MemoryOptions{Fault: r.failing})
	r.boots.Store(1)
	r.o = Options{
		Registry: r.memory, Tokenizer: testTokenizer(t), Cards: r.memory, Entries: r.memory,
		MasterKey: testMasterKey(), Now: r.now, Observer: r.observer,
		Logger: slog.New(slog.NewJSONHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Limits: Limits{RefreshEvery: 20 * time.Millisecond, SampleEvery: 1},
	}
	if adjust != nil {
		adjust(&r.o)
	}
	r.start()
	t.Cleanup(r.stop)
	return r
}

// setFault replaces the store's fault hook; nil ends all faults.
func (r *rig) setFault(fault func(storetest.Op) storetest.Fault) {
	if fault == nil {
		fault = func(storetest.Op) storetest.Fault { return storetest.NoFault }
	}
	r.fault.Store(&fault)
}

func (r *rig) failing(op storetest.Op) storetest.Fault {
	if f := r.fault.Load(); f != nil {
		return (*f)(op)
	}
	return storetest.NoFault
}

func newClient() *http.Client {
	return &http.Client{Timeout: 20 * time.Second,
		Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}}
}

func (r *rig) now() txn.Millis { return wallClock() + txn.Millis(r.skew.Load()) }

// start opens the store and serves; after stop it is a restart.
func (r *rig) start() {
	r.t.Helper()
	if err := r.memory.OpenEpoch(context.Background(), r.now()); err != nil {
		r.t.Fatal(err)
	}
	r.engine = testEngine(r.t, r.memory, r.now)
	if r.o.Engine == nil {
		r.o.Engine = r.engine
	}
	server, err := New(r.o)
	if err != nil {
		r.t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	r.server, r.address, r.served = server, ln.Addr().String(), make(chan error, 1)
	go func(served chan<- error) { served <- server.Serve(ln) }(r.served)
}

func (r *rig) stop() {
	if r.server == nil {
		return
	}
	r.client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := r.server.Shutdown(ctx); err != nil {
		r.t.Errorf("shutdown: %v", err)
	}
	if err := <-r.served; err != nil {
		r.t.Errorf("serve: %v", err)
	}
	r.server = nil
}

// device is a registered terminal with its key.
type device struct {
	*Signer
	key []byte
}

// terminal registers a terminal that may send everything.
func (r *rig) terminal(id string) *device {
	r.t.Helper()
	return r.terminalWith(Terminal{ID: id, Operator: "M5", Line: "L1", Station: "Central",
		Merchant: "M0001", MCC: "4111", Acquirer: "ACQ1", Kinds: allKinds()})
}

func allKinds() []string {
	var names []string
	for _, k := range txn.Kinds() {
		if terminalKind(k) {
			names = append(names, k.String())
		}
	}
	return names
}

func (r *rig) terminalWith(spec Terminal) *device {
	r.t.Helper()
	key, err := CreateTerminal(context.Background(), r.memory, testMasterKey(), spec)
	if err != nil {
		r.t.Fatal(err)
	}
	return &device{NewSigner(spec.ID, key), key}
}

// operator returns the token of a person with one role, who is named like the role.
func (r *rig) operator(role Role) string {
	r.t.Helper()
	if r.tokens[role] == "" {
		r.tokens[role] = r.person("test."+string(role), role)
	}
	return r.tokens[role]
}

func (r *rig) person(name string, roles ...Role) string {
	r.t.Helper()
	token, err := CreateOperator(context.Background(), r.memory, name, roles)
	if err != nil {
		r.t.Fatal(err)
	}
	return token
}

func (r *rig) counter(terminal string) *atomic.Uint64 {
	c, _ := r.counters.LoadOrStore(terminal, new(atomic.Uint64))
	return c.(*atomic.Uint64)
}

// reply is an answer as received.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// field returns a member of the answer, looking into "error" as well.
func (a reply) field(name string) any {
	var m map[string]any
	_ = json.Unmarshal(a.body, &m)
	if e, ok := m["error"].(map[string]any); ok {
		m = e
	}
	return m[name]
}

func (a reply) code() string { s, _ := a.field("code").(string); return s }

func (a reply) String() string { return fmt.Sprintf("%d %s", a.status, a.body) }

// do sends a request and checks the answer against the contract.
func (r *rig) do(method, path, body string, header map[string]string) reply {
	r.t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	request, err := http.NewRequest(method, "http://"+r.address+path, reader)
	if err != nil {
		r.t.Fatal(err)
	}
	if body != "" || header[HeaderSignature] != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for name, value := range header {
		request.Header.Set(name, value)
	}
	response, err := r.client.Do(request)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, path, err)
	}
	a := reply{response.StatusCode, response.Header, answer}
	r.contract.check(r.t, method, path, a)
	return a
}

// signedHeaders signs a request of d with the rig's clock and a fresh counter.
func (r *rig) signedHeaders(d *device, method, path, body string) map[string]string {
	return headersAt(d, method, path, body,
		Stamp{At: r.now(), Counter: r.counter(d.Terminal()).Add(1)})
}

func headersAt(d *device, method, path, body string, at Stamp) map[string]string {
	return map[string]string{
		HeaderTerminal:  d.Terminal(),
		HeaderTimestamp: strconv.FormatInt(int64(at.At), 10),
		HeaderCounter:   strconv.FormatUint(at.Counter, 10),
		HeaderSignature: d.Sign(method, path, []byte(body), at),
	}
}

// send signs and posts a body.
func (r *rig) send(d *device, path, body string) reply {
	r.t.Helper()
	return r.do("POST", path, body, r.signedHeaders(d, "POST", path, body))
}

// desk makes a call of an operator.
func (r *rig) desk(role Role, method, path, body string) reply {
	r.t.Helper()
	return r.do(method, path, body, bearer(r.operator(role)))
}

func bearer(token string) map[string]string {
	return map[string]string{"Authorization": "Bearer " + token}
}

// id makes the next request id of a terminal.
func (r *rig) id(d *device) string {
	return fmt.Sprintf("%s-1-%d", d.Terminal(), r.boots.Add(1))
}

func (r *rig) serviceTime() string {
	return r.now().Time().In(time.FixedZone("", 8*3600)).Format("2006-01-02T15:04:05.000Z07:00")
}

// body renders the fields of a request in a fixed order; a value that is not a string is
// written as it is.
func fieldsOf(pairs ...any) string {
	var b strings.Builder
	b.WriteByte('{')
	for i := 0; i < len(pairs); i += 2 {
		if i > 0 {
			b.WriteByte(',')
		}
		value, err := json.Marshal(pairs[i+1])
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(&b, "%q:%s", pairs[i], value)
	}
	b.WriteByte('}')
	return b.String()
}

// tapBody is a boarding of a bus by card.
func (r *rig) tapBody(d *device, card string) string {
	return fieldsOf("id", r.id(d), "kind", "bus_boarding", "card", card,
		"service_time", r.serviceTime())
}

// enrol enrols cards for everything and loads each with 100 yuan.
func (r *rig) enrol(d *device, cards ...string) {
	r.t.Helper()
	for _, card := range cards {
		a := r.desk(RoleDesk, "POST", "/v1/cards",
			fieldsOf("card", card, "apps", []string{"all"}, "rider", "ordinary"))
		if a.status != 201 {
			r.t.Fatalf("enrol: %v", a)
		}
		a = r.send(d, "/v1/loads", fieldsOf("id", r.id(d), "card", card, "amount", 10000,
			"service_time", r.serviceTime()))
		if a.field("outcome") != "approved" {
			r.t.Fatalf("load: %v", a)
		}
	}
}

// expect checks status and code (or reason) of an answer.
func expect(t *testing.T, a reply, status int, code string) {
	t.Helper()
	got := a.code()
	if got == "" {
		got, _ = a.field("reason").(string)
	}
	if a.status != status || got != code {
		t.Fatalf("got %v, want %d %s", a, status, code)
	}
}

// eventually waits until ok holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("waited in vain: %s", what)
		case <-tick.C:
		}
	}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
