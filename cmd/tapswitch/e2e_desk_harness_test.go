package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/receipt"
	"github.com/tapswitch/tapswitch/deploy"
	"github.com/tapswitch/tapswitch/switch/notice"
	"github.com/tapswitch/tapswitch/switch/sim"
)

// The card agency on the real binary: a desk, gates of a vendor, and parties behind webhooks.

const (
	deskChip   = "3104800000000001"
	deskECard  = "3104800000000002"
	deskSecond = "3104800000000019" // of another holder
	deskWindow = 4 * time.Second    // of every party, in the policy of these tests
	deskGates  = 4
)

// deskPolicy writes Handan's policy with hours that a test can wait for.
func deskPolicy(t testing.TB, dir string) string {
	t.Helper()
	f, err := deploy.Schemes().Open("handan.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	out := string(text)
	for from, to := range map[string]string{
		"window: {value: 2h, clause: HD19, date: 2015-02-01}":                   `window: {value: 4s, product_rule: "an hour is too long for a test"}`,
		`boundary: {value: freeze_due, clause: "HD18, HD19", date: 2015-02-01}`: `boundary: {value: freeze_actual, product_rule: "such a window moves no loss"}`,
		"alarms: {value: [30m, 60m, 90m], ":                                     "alarms: {value: [1s, 2s, 3s], ",
	} {
		if !strings.Contains(out, from) {
			t.Fatalf("the policy of Handan has no %q", from)
		}
		out = strings.Replace(out, from, to, 1)
	}
	path := filepath.Join(dir, "handan.yaml")
	if err := os.WriteFile(path, []byte(out), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// deskParty is a party behind a webhook. It keeps what it is told.
type deskParty struct {
	t      testing.TB
	name   string
	secret []byte
	server *httptest.Server

	mu     sync.Mutex // guards the fields below
	told   []deskTold
	status int // of its answers, 200 by default
}

// deskTold is one message that a party got.
type deskTold struct {
	Notice, Kind, Card, Last4, Reason, Acknowledge string

	id, signature string
	body          []byte
}

// key is the id of every party's key.
const deskKey = "k1"

func (p *deskParty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	m := deskTold{id: r.Header.Get(notice.IdempotencyHeader), signature: r.Header.Get(notice.SignatureHeader), body: body}
	if err != nil || json.Unmarshal(body, &m) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.status != 0 {
		w.WriteHeader(p.status)
		return
	}
	p.told = append(p.told, m)
}

// heard returns what the party was told about, each message once.
func (p *deskParty) heard() map[string]deskTold {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := map[string]deskTold{}
	for _, m := range p.told {
		all[m.id] = m
	}
	return all
}

// signed reports whether a message has the party's signature.
func (p *deskParty) signed(m deskTold) bool {
	_, rest, _ := strings.Cut(m.signature, "t=")
	seconds, _, _ := strings.Cut(rest, ",")
	at, err := strconv.ParseInt(seconds, 10, 64)
	return err == nil && m.signature == notice.Sign(deskKey, p.secret, time.Unix(at, 0), "", m.body)
}

// deskCity is a switch with a desk and all who speak to it.
type deskCity struct {
	t       testing.TB
	node    *e2eNode
	dir     string
	client  *sim.Client
	admin   string
	gates   []*sim.Terminal
	parties map[string]*deskParty
	taps    int
}

// newDeskCity starts a switch with the policy of the tests, registers gates and opens an
// account with a chip and an e-card.
func newDeskCity(t testing.TB, args ...string) *deskCity {
	t.Helper()
	dir := t.TempDir()
	hour := (time.Now().UTC().Add(8*time.Hour).Hour() + 12) % 24
	args = append([]string{"--listen", "127.0.0.1:0", "--set", "desk.city=" + deskPolicy(t, dir),
		"--set", "desk.plain_http=true", "--set", fmt.Sprintf("scheme.cut_off=%dh", hour),
		"--set", "feed.flush_every=50ms", "--set", "store.local.checkpoint_every=100ms"}, args...)
	c := &deskCity{t: t, dir: dir, node: newE2ENode(t, filepath.Join(dir, "switch"), args...),
		parties: map[string]*deskParty{}}
	if err := c.node.start(); err != nil {
		t.Fatal(err)
	}
	c.client = sim.NewClient(sim.ClientOptions{Addr: c.node.gate()})
	t.Cleanup(c.client.Close)
	c.admin = c.node.secret(adminTokenFile)
	for i := range deskGates {
		g, err := sim.Register(t.Context(), c.client, c.admin, sim.TerminalSpec{ID: fmt.Sprintf("GATE%02d", i+1),
			Operator: "bus", Line: fmt.Sprintf("L%d", i%2+1), Kinds: []string{"bus_boarding"}})
		if err != nil {
			t.Fatal(err)
		}
		c.gates = append(c.gates, g)
	}
	return c
}

// restart starts the switch again after its end.
func (c *deskCity) restart() {
	c.t.Helper()
	if err := c.node.start(); err != nil {
		c.t.Fatal(err)
	}
	c.client.SetAddr(c.node.gate())
	for _, g := range c.gates {
		// A switch that starts wants counters above those of before: the client sees to it.
		if _, err := c.client.Send(c.t.Context(), g, "/v1/lists/ack", []byte("{}")); err != nil {
			c.t.Fatal(err)
		}
	}
}

// party registers a party behind a webhook, with a key.
func (c *deskCity) party(name, kind string) *deskParty {
	c.t.Helper()
	p := &deskParty{t: c.t, name: name}
	p.server = httptest.NewServer(p)
	c.t.Cleanup(p.server.Close)
	c.put("/v1/desk/parties/"+name, fmt.Sprintf(`{"kind":%q,"scopes":["all"],"channel":"webhook","url":%q,
	 "answer":"explicit"}`, kind, p.server.URL))
	var key struct{ Secret string }
	c.call(http.MethodPost, "/v1/desk/parties/"+name+"/keys/"+deskKey, "{}", &key)
	var err error
	if p.secret, err = hex.DecodeString(key.Secret); err != nil {
		c.t.Fatal(err)
	}
	c.parties[name] = p
	return p
}

func (c *deskCity) put(path, body string) { c.call(http.MethodPut, path, body, nil) }

// call asks the desk and reads its answer, which must be 200.
func (c *deskCity) call(method, path, body string, out any) {
	c.t.Helper()
	var b []byte
	if body != "" {
		b = []byte(body)
	}
	r, err := c.client.Operate(c.t.Context(), c.admin, method, path, b)
	if err != nil || r.Status != http.StatusOK {
		c.t.Fatalf("%s %s: %d %s %v", method, path, r.Status, r.Body, err)
	}
	if out != nil {
		if err := json.Unmarshal(r.Body, out); err != nil {
			c.t.Fatalf("%s %s: %v: %s", method, path, err, r.Body)
		}
	}
}

// deskDone is the answer to a command.
type deskDone struct {
	Account string
	Case    uint32
	Left    int
}

const deskWho = `"who":{"actor":"holder","channel":"agency","id":"resident_id"}`

// resident makes an identity number of one that has no right check digit: 18 digits that differ
// in the last four stay different.
func resident(number string) string {
	if len(number) != 18 {
		return number
	}
	body, sum := number[:14]+number[15:], 0
	for _, c := range body {
		sum = (sum + int(c-'0')) * 2 % 11
	}
	return body + "10X98765432"[sum%11:sum%11+1]
}

// open opens an account with a chip and, with one given, an e-card. It returns the account.
func (c *deskCity) open(holder, chip, eCard string) string {
	c.t.Helper()
	var d deskDone
	c.call(http.MethodPost, "/v1/desk/accounts", fmt.Sprintf(`{"holder":%q,"outlet":"d1","with":{%s,"checked":true,
	 "carrier":{"token":%q,"kind":"chip","family":"t_union","ready":true}}}`, resident(holder), deskWho, chip), &d)
	if eCard != "" {
		c.call(http.MethodPost, "/v1/desk/commands", fmt.Sprintf(`{"account":%q,"step":"bind_carrier","outlet":"d1",
		 "with":{%s,"carrier":{"token":%q,"kind":"e_card","family":"t_union","ready":true}}}`, d.Account, deskWho, eCard), &d)
	}
	return d.Account
}

// report reports the loss of a card.
func (c *deskCity) report(card string) (d deskDone) {
	c.t.Helper()
	c.call(http.MethodPost, "/v1/desk/commands", fmt.Sprintf(`{"card":%q,"outlet":"d1","step":"report_loss",
	 "with":{%s,"form":"written","form_no":"f-1","bank_told":true}}`, card, deskWho), &d)
	return d
}

// deskTap is the answer to a tap.
type deskTap struct{ Outcome, Reason string }

// tap taps a card at a gate, with the epoch that the gate holds.
func (c *deskCity) tap(gate int, card string, epoch uint64) deskTap {
	c.t.Helper()
	c.taps++
	g := c.gates[gate]
	body := fmt.Appendf(nil, `{"id":"%s-%d-%d","kind":"bus_boarding","card":%q,"service_time":%q,"list_epoch":%d}`,
		g.ID, c.node.life(), c.taps, card, e2eNow(), epoch)
	r, err := c.client.Send(c.t.Context(), g, "/v1/taps", body)
	if err != nil || r.Status != http.StatusOK {
		c.t.Fatalf("tap: %d %s %v", r.Status, r.Body, err)
	}
	var a deskTap
	if err := json.Unmarshal(r.Body, &a); err != nil {
		c.t.Fatalf("tap: %v: %s", err, r.Body)
	}
	return a
}

// list asks for a list as a gate does, signed, with more headers in pairs.
func (c *deskCity) list(gate int, path string, headers ...string) (int, http.Header, []byte) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 15*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.node.gate()+path, http.NoBody)
	if err != nil {
		c.t.Fatal(err)
	}
	c.gates[gate].Sign(r, nil, time.Now())
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		c.t.Fatalf("%s: %v", path, err)
	}
	defer a.Body.Close()
	body, err := io.ReadAll(a.Body)
	if err != nil {
		c.t.Fatalf("%s: %v", path, err)
	}
	return a.StatusCode, a.Header, body
}

// publicKey is the key that signs lists and receipts, as gates and holders know it.
func (c *deskCity) publicKey() receipt.Key {
	c.t.Helper()
	seed, err := hex.DecodeString(c.node.secret(filepath.Join("keys", "signing.key")))
	if err != nil {
		c.t.Fatal(err)
	}
	public := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
	return receipt.Key{ID: "agency-1", Algorithm: receipt.Ed25519, Public: public}
}

// deskClock and its parts are what the API says of a loss.
type deskClock struct {
	Party, State, Basis        string
	Start, Received, Effective *time.Time
	Alarms                     int
	Late, Overdue              bool
	Failure                    string
}

type deskNotice struct {
	ID, Kind, Token string
	Clocks          []deskClock
}

func (n *deskNotice) clock(party string) deskClock {
	for _, k := range n.Clocks {
		if k.Party == party {
			return k
		}
	}
	return deskClock{}
}

type deskFreeze struct {
	Account  string
	Case     uint32
	Carriers []struct {
		Token string
		Gates struct {
			Published      bool
			Epoch          uint64
			Covered, Total int
			Share          float64
		}
		Notice deskNotice
	}
}

// freeze returns the loss of an account.
func (c *deskCity) freeze(account string) deskFreeze {
	c.t.Helper()
	var all struct{ Freezes []deskFreeze }
	c.call(http.MethodGet, "/v1/desk/freezes", "", &all)
	for _, f := range all.Freezes {
		if f.Account == account {
			return f
		}
	}
	return deskFreeze{}
}

// acknowledge answers a notice as a party does, signed with a key that may be wrong.
func (c *deskCity) acknowledge(p *deskParty, m deskTold, secret []byte, received, effective time.Time) (int, string) {
	c.t.Helper()
	body, err := json.Marshal(map[string]any{"received_at": received.UTC(), "effective_at": effective.UTC(),
		"card": m.Card, "by": p.name + " system"})
	if err != nil {
		c.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, "http://"+c.node.gate()+m.Acknowledge, bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(notice.SignatureHeader, notice.Sign(deskKey, secret, time.Now(), m.Acknowledge, body))
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return a.StatusCode, string(text)
}

// until waits for a condition.
func (c *deskCity) until(what string, holds func() (bool, error)) {
	c.t.Helper()
	e2eUntil(c.t, 20*time.Second, what, holds)
}

// page fetches a page of the city at the admin address.
func (c *deskCity) page(path string) string {
	c.t.Helper()
	status, body, err := e2eGet("http://" + c.node.admin() + path)
	if err != nil || status != http.StatusOK {
		c.t.Fatalf("%s: %d %v %s", path, status, err, body)
	}
	return body
}
