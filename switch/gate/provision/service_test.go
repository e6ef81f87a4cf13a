package provision_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/receipt"
	"github.com/tapswitch/tapswitch/switch/gate/provision"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const start = txn.Millis(1_800_000_000_000)

// office is a service over a registry in memory, with a clock of its own.
type office struct {
	t        *testing.T
	registry *storetest.Memory
	service  *provision.Service
	handler  http.Handler
	keys     *provision.Keys

	mu sync.Mutex // guards now
	at txn.Millis
}

func (o *office) now() txn.Millis {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.at
}

func (o *office) pass(d txn.Millis) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.at += d
}

func signer(t *testing.T) receipt.Signer {
	t.Helper()
	s, err := receipt.NewEd25519Signer("k1", ed25519.NewKeyFromSeed(make([]byte, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{t: t, at: start, registry: storetest.NewMemory(storetest.MemoryOptions{})}
	o.reopen()
	for id, place := range map[string]string{"G1": `{"line":"M1","station":"North"}`,
		"G2": `{"line":"M2","station":"South"}`, "GONE": `{"line":"M1","revoked":true}`} {
		if err := o.registry.Put(t.Context(), "terminal/"+id, []byte(place), 0); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	list := o.as("G1", "").must("GET", "/v1/terminal/keys", "", 200).body
	parsed, err := receipt.ParseKeys(list)
	if err == nil {
		o.keys, err = provision.NewKeys(parsed...)
	}
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// reopen makes a new service on the same registry, as a process that starts.
func (o *office) reopen() {
	var err error
	o.service, err = provision.New(provision.Options{Registry: o.registry, Signer: signer(o.t),
		Now: o.now, CheckTariff: func(d *provision.Document, content []byte) error {
			if !strings.Contains(string(content), "version: "+d.Version+"\n") {
				return fmt.Errorf("tariff.yaml:1: it is not version %s", d.Version)
			}
			return nil
		}, Who: provision.Who{
			Device: func(r *http.Request) string { return r.Header.Get("Device") },
			Operator: func(r *http.Request) (string, []string) {
				return r.Header.Get("Actor"), r.Header.Values("Role")
			}}})
	if err != nil {
		o.t.Fatal(err)
	}
	o.handler = o.service.Handler()
}

// caller is a gate or a person with a role.
type caller struct {
	o            *office
	device, name string
	role         string
}

func (o *office) as(device, person string) caller {
	name, role, _ := strings.Cut(person, ":")
	return caller{o, device, name, role}
}

type reply struct {
	status int
	body   []byte
	header http.Header
}

func (c caller) ask(method, path, body string, headers ...string) reply {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for name, value := range map[string]string{"Device": c.device, "Actor": c.name, "Role": c.role} {
		if value != "" {
			r.Header.Set(name, value)
		}
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	c.o.handler.ServeHTTP(w, r)
	return reply{w.Code, w.Body.Bytes(), w.Result().Header}
}

func (c caller) must(method, path, body string, status int, headers ...string) reply {
	c.o.t.Helper()
	r := c.ask(method, path, body, headers...)
	if r.status != status {
		c.o.t.Fatalf("%s %s: %d %s, want %d", method, path, r.status, r.body, status)
	}
	return r
}

func (r reply) refusal() (code, field string) {
	var e struct {
		Error struct{ Code, Param, Message string }
	}
	_ = json.Unmarshal(r.body, &e)
	return e.Error.Code, e.Error.Param
}

func parametersBody(version, scope string, at txn.Millis, pollS int64) string {
	p := provision.DefaultParameters()
	p.ListPollS = pollS
	text, _ := json.Marshal(map[string]any{"kind": "parameters", "version": version, "scope": scope,
		"effective_ms": at, "parameters": p})
	return string(text)
}

func tariffBody(version string, at txn.Millis) string {
	text, _ := json.Marshal(map[string]any{"kind": "tariff", "version": version, "scope": "all",
		"effective_ms": at, "tariff": "version: " + version + "\nfares: {}\n"})
	return string(text)
}

// plan asks as a gate does and opens the answer.
func (o *office) plan(gate string, kind provision.Kind) *provision.Plan {
	o.t.Helper()
	r := o.as(gate, "").must("GET", "/v1/terminal/"+string(kind), "", 200)
	p, err := provision.OpenPlan(r.body, o.keys, gate, kind, 0)
	if err != nil {
		o.t.Fatal(err)
	}
	return p
}

// A gate is told what is in force and what is next, acknowledges, and operators see who is not
// there yet: across a restart.
func TestAVersionReachesTheGates(t *testing.T) {
	o := newOffice(t)
	vendor := o.as("", "vera:vendor")
	if p := o.plan("G1", provision.KindParameters); p.InForce != nil || p.Next != nil {
		t.Fatalf("before anything: %+v", p)
	}
	vendor.must("POST", "/v1/provision/documents", parametersBody("p1", "all", start+1000, 30), 201)
	vendor.must("POST", "/v1/provision/documents", parametersBody("p2", "line:M1", start+9000, 20), 201)
	vendor.must("POST", "/v1/provision/documents", tariffBody("t1", start+1000), 201)

	o.pass(1000)
	p := o.plan("G1", provision.KindParameters)
	if p.InForce.Version != "p1" || p.Next.Version != "p2" || p.Next.Effective != start+9000 ||
		p.At(start+8999).Version != "p1" || p.At(start+9000).Version != "p2" {
		t.Errorf("%+v", p)
	}
	if q := o.plan("G2", provision.KindParameters); q.Next != nil {
		t.Errorf("another line gets %+v", q.Next)
	}
	o.as("G1", "").must("POST", "/v1/terminal/ack", `{"kind":"parameters","version":"p1"}`, 204)
	o.as("G1", "").must("POST", "/v1/terminal/ack", `{"kind":"tariff","version":"t1"}`, 204)
	behind := func(want ...string) {
		t.Helper()
		var a struct {
			Terminals []provision.TerminalState
			Total     int
			Behind    int
		}
		body := vendor.must("GET", "/v1/provision/terminals?behind=true", "", 200).body
		if err := json.Unmarshal(body, &a); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range a.Terminals {
			got = append(got, s.Terminal)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) || a.Total != 2 || a.Behind != len(want) {
			t.Errorf("behind are %v of %d, want %v", got, a.Total, want)
		}
	}
	behind("G2")
	o.pass(8500)
	o.reopen()
	behind("G1", "G2")
	one := vendor.must("GET", "/v1/provision/terminals/G1", "", 200).body
	var s provision.TerminalState
	if err := json.Unmarshal(one, &s); err != nil || s.Documents[0].Runs != "p1" ||
		s.Documents[0].Should != "p2" || s.Documents[0].Overdue != 500 ||
		s.Documents[0].Since != start+1000 || s.Documents[1].Behind {
		t.Errorf("%s %v", one, err)
	}
	vendor.must("GET", "/v1/provision/terminals/GONE", "", 404)
	var docs struct {
		Documents []struct {
			Version  string
			Running  int
			InEffect bool `json:"in_effect"`
		}
	}
	body := vendor.must("GET", "/v1/provision/documents?kind=tariff", "", 200).body
	if err := json.Unmarshal(body, &docs); err != nil || len(docs.Documents) != 1 ||
		docs.Documents[0].Running != 1 || !docs.Documents[0].InEffect {
		t.Errorf("%s %v", body, err)
	}
}

// The tariff file comes by its version, in ranges too, and is bound to the signed plan.
func TestTariffFile(t *testing.T) {
	o := newOffice(t)
	o.as("", "ada:admin").must("POST", "/v1/provision/documents", tariffBody("t1", start+1), 201)
	o.pass(1)
	part := o.plan("G1", provision.KindTariff).InForce
	gate := o.as("G1", "")
	whole := gate.must("GET", "/v1/terminal/tariff/t1", "", 200)
	if err := part.CheckContent(whole.body); err != nil {
		t.Error(err)
	}
	if err := part.CheckContent(append(whole.body, '\n')); !errors.Is(err, provision.ErrPlan) {
		t.Errorf("one byte more: %v", err)
	}
	half := gate.must("GET", "/v1/terminal/tariff/t1", "", 206, "Range", "bytes=4-9",
		"If-Range", whole.header.Get("Etag"))
	if string(half.body) != string(whole.body[4:10]) {
		t.Errorf("range: %q", half.body)
	}
	gate.must("GET", "/v1/terminal/tariff/t1", "", 304, "If-None-Match", whole.header.Get("Etag"))
	gate.must("GET", "/v1/terminal/tariff/t2", "", 404)
}

func TestPlanHasATag(t *testing.T) {
	o := newOffice(t)
	gate := o.as("G1", "")
	first := gate.must("GET", "/v1/terminal/parameters", "", 200)
	tag := first.header.Get("Etag")
	gate.must("GET", "/v1/terminal/parameters", "", 304, "If-None-Match", tag)
	o.as("G2", "").must("GET", "/v1/terminal/parameters", "", 200, "If-None-Match", tag)
	o.as("", "vera:vendor").must("POST", "/v1/provision/documents",
		parametersBody("p1", "all", start+1000, 30), 201)
	gate.must("GET", "/v1/terminal/parameters", "", 200, "If-None-Match", tag)
}

// A gate takes nothing that is not its own, not signed, changed on the way, or older.
func TestPlansThatAGateRefuses(t *testing.T) {
	o := newOffice(t)
	o.as("", "vera:vendor").must("POST", "/v1/provision/documents",
		parametersBody("p1", "all", start+1000, 30), 201)
	o.pass(2000)
	body := o.as("G1", "").must("GET", "/v1/terminal/parameters", "", 200).body
	open := func(b []byte, gate string, kind provision.Kind, held uint64) error {
		_, err := provision.OpenPlan(b, o.keys, gate, kind, held)
		return err
	}
	if err := open(body, "G1", provision.KindParameters, 1); err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(body), `"floor_fen":5000`, `"floor_fen":5001`, 1)
	other, err := receipt.NewEd25519Signer("k1", ed25519.NewKeyFromSeed([]byte(strings.Repeat("x", 32))))
	if err != nil {
		t.Fatal(err)
	}
	strangers, err := provision.NewKeys(receipt.Key{ID: "k1", Algorithm: other.Algorithm(),
		Public: other.PublicKey()})
	if err != nil {
		t.Fatal(err)
	}
	_, foreign := provision.OpenPlan(body, strangers, "G1", provision.KindParameters, 0)
	for name, c := range map[string]struct{ got, want error }{
		"another terminal": {open(body, "G2", provision.KindParameters, 0), provision.ErrPlan},
		"another kind":     {open(body, "G1", provision.KindTariff, 0), provision.ErrPlan},
		"an older one":     {open(body, "G1", provision.KindParameters, 2), provision.ErrPlan},
		"changed":          {open([]byte(changed), "G1", provision.KindParameters, 0), provision.ErrUnsigned},
		"another's key":    {foreign, provision.ErrUnsigned},
		"half of it":       {open(body[:len(body)/2], "G1", provision.KindParameters, 0), provision.ErrPlan},
		"nothing":          {open(nil, "G1", provision.KindParameters, 0), provision.ErrPlan},
	} {
		if !errors.Is(c.got, c.want) {
			t.Errorf("%s: %v", name, c.got)
		}
	}
}

func TestDocumentsRefused(t *testing.T) {
	o := newOffice(t)
	vendor := o.as("", "vera:vendor")
	const path = "/v1/provision/documents"
	for name, c := range map[string]struct {
		body        string
		code, field string
	}{
		"past":            {parametersBody("p1", "all", start-1000, 30), "document_invalid", "effective_ms"},
		"contradiction":   {parametersBody("p1", "all", start+1000, 900), "document_invalid", "parameters.list_fresh_s"},
		"scope":           {parametersBody("p1", "town", start+1000, 30), "body_invalid", ""},
		"version":         {parametersBody("p/1", "all", start+1000, 30), "document_invalid", "version"},
		"tariff":          {strings.Replace(tariffBody("t1", start+1000), "version: t1", "version: t0", 1), "document_invalid", "tariff"},
		"kind":            {`{"kind":"firmware","version":"f1","effective_ms":1800000001000,"tariff":"x"}`, "document_invalid", "kind"},
		"both":            {`{"kind":"parameters","version":"f1","parameters":{},"tariff":"x"}`, "document_invalid", "tariff"},
		"the other":       {`{"kind":"tariff","version":"f1","parameters":{}}`, "document_invalid", "parameters"},
		"nothing":         {`{"kind":"parameters","version":"f1"}`, "document_invalid", "parameters"},
		"unknown field":   {`{"kind":"tariff","vip":1}`, "body_invalid", ""},
		"two values":      {`{"kind":"tariff"} {}`, "body_invalid", ""},
		"a huge document": {`{"kind":"tariff","version":"t1","tariff":"` + strings.Repeat("x", provision.ContentMax+1) + `"}`, "document_invalid", "tariff"},
	} {
		r := vendor.ask("POST", path, c.body)
		code, field := r.refusal()
		if code != c.code || field != c.field {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	vendor.must("POST", path, parametersBody("p1", "all", start+1000, 30), 201)
	vendor.must("POST", path, parametersBody("p1", "all", start+1000, 30), 201) // the same again
	vendor.must("POST", path, parametersBody("p1", "all", start+1000, 31), 409)
	vendor.must("POST", path, parametersBody("p2", "all", start+1000, 31), 409)
	vendor.must("POST", path+"/parameters/p1/withdraw", "", 204)
	vendor.must("POST", path, parametersBody("p2", "all", start+1000, 31), 201)
	vendor.must("GET", path+"/parameters/p1", "", 404)
	shown := vendor.must("GET", path+"/parameters/p2", "", 200)
	if !strings.Contains(string(shown.body), `"list_poll_s":31`) ||
		!strings.Contains(string(shown.body), `"published_by":"vera"`) {
		t.Errorf("%s", shown.body)
	}
}

// Gates learn a mode when it binds; a person alone waives nothing.
func TestOrdersReachTheGates(t *testing.T) {
	o := newOffice(t)
	desk, chief := o.as("", "anna:desk"), o.as("", "ben:desk-confirm")
	give := func(mode, scope string) string {
		t.Helper()
		r := desk.must("POST", "/v1/provision/orders", fmt.Sprintf(
			`{"mode":%q,"scope":%q,"until_ms":%d,"reason":"signal failure"}`, mode, scope,
			o.now()+60_000), 201)
		var v struct{ ID string }
		if err := json.Unmarshal(r.body, &v); err != nil {
			t.Fatal(err)
		}
		return v.ID
	}
	fault, closed := give("train_fault", "line:M1"), give("station_closed", "station:South")
	orders := func(gate string) string {
		t.Helper()
		var modes []string
		for _, order := range o.plan(gate, provision.KindParameters).Orders {
			modes = append(modes, order.Mode.String())
		}
		return strings.Join(modes, "+")
	}
	if orders("G1") != "" || orders("G2") != "station_closed" {
		t.Errorf("one person: %q, %q", orders("G1"), orders("G2"))
	}
	desk.must("POST", "/v1/provision/orders/"+fault+"/confirm", "", 403)
	chief.must("POST", "/v1/provision/orders/"+fault+"/confirm", "", 200)
	if orders("G1") != "train_fault" {
		t.Errorf("two persons: %q", orders("G1"))
	}
	if len(o.plan("G1", provision.KindTariff).Orders) != 0 {
		t.Error("orders come with the tariff")
	}
	o.pass(1000)
	desk.must("POST", "/v1/provision/orders/"+closed+"/end", "", 200)
	desk.must("POST", "/v1/provision/orders/nothing/end", "", 404)
	if orders("G2") != "" {
		t.Errorf("ended: %q", orders("G2"))
	}
	o.pass(60_000)
	if orders("G1") != "" {
		t.Errorf("over: %q", orders("G1"))
	}
	// What settles journeys sees both, and which of them two persons stand behind.
	all, err := o.service.Orders(t.Context())
	if err != nil || len(all) != 2 || !all[0].Confirmed() || all[1].Confirmed() {
		t.Errorf("%+v %v", all, err)
	}
	for _, body := range []string{`{"mode":"party","scope":"all"}`, `{"mode":"train_fault","until_ms":1}`,
		`{"mode":"train_fault","scope":"all","until_ms":1,"reason":"x"}`} {
		if r := desk.ask("POST", "/v1/provision/orders", body); r.status < 400 || r.status > 422 {
			t.Errorf("%s: %d", body, r.status)
		}
	}
	desk.must("GET", "/v1/provision/orders", "", 200)
}

func TestWhoMayAsk(t *testing.T) {
	o := newOffice(t)
	document := parametersBody("p1", "all", start+1000, 30)
	for _, c := range []struct {
		who          caller
		method, path string
		body         string
		status       int
	}{
		{o.as("", ""), "GET", "/v1/terminal/parameters", "", 401},
		{o.as("", "ada:admin"), "GET", "/v1/terminal/parameters", "", 401},
		{o.as("G9", ""), "GET", "/v1/terminal/parameters", "", 404},
		{o.as("GONE", ""), "GET", "/v1/terminal/parameters", "", 404},
		{o.as("G1", ""), "POST", "/v1/terminal/ack", `{"kind":"tariff","version":"t9"}`, 404},
		{o.as("G1", ""), "POST", "/v1/terminal/ack", `{"kind":"tariff"`, 400},
		{o.as("G1", ""), "GET", "/v1/provision/documents", "", 401},
		{o.as("", "dora:desk"), "POST", "/v1/provision/documents", document, 403},
		{o.as("", "vic:viewer"), "POST", "/v1/provision/documents", document, 403},
		{o.as("", "vic:viewer"), "POST", "/v1/provision/orders", "{}", 403},
		{o.as("", "fin:finance"), "GET", "/v1/provision/terminals", "", 403},
		{o.as("", "sue:supervisor"), "GET", "/v1/provision/terminals", "", 200},
		{o.as("", "ada:admin"), "GET", "/v1/provision/nothing", "", 404},
		{o.as("", "ada:admin"), "GET", "/v1/provision/documents?kind=x", "", 422},
	} {
		if r := c.who.ask(c.method, c.path, c.body); r.status != c.status {
			t.Errorf("%s %s by %q %q: %d %s, want %d", c.method, c.path, c.who.device, c.who.name,
				r.status, r.body, c.status)
		}
	}
}

// Many publish at once: each document is there once, and the serial counts them.
func TestPublishersAtOnce(t *testing.T) {
	o := newOffice(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			body := parametersBody(fmt.Sprint("p", i), "all", start+1000+txn.Millis(i), 30)
			o.as("", "vera:vendor").must("POST", "/v1/provision/documents", body, 201)
		})
	}
	wg.Wait()
	var docs struct {
		Serial    uint64
		Documents []struct{ Version string }
	}
	body := o.as("", "vera:vendor").must("GET", "/v1/provision/documents", "", 200).body
	if err := json.Unmarshal(body, &docs); err != nil || docs.Serial != 8 || len(docs.Documents) != 8 {
		t.Errorf("%s %v", body, err)
	}
}

// What the registry cannot do is told as something to try again, and the second try does it,
// whether or not the first did without saying so.
func TestRegistryDown(t *testing.T) {
	for _, fault := range []storetest.Fault{storetest.NotApplied, storetest.AppliedUnreported} {
		o := newOffice(t)
		o.registry.SetFault(func(op storetest.Op) storetest.Fault {
			if op == storetest.OpPut {
				return fault
			}
			return storetest.NoFault
		})
		vendor, body := o.as("", "vera:vendor"), parametersBody("p1", "all", start+1000, 30)
		for range 2 { // the content, then the index
			r := vendor.must("POST", "/v1/provision/documents", body, 503)
			if code, _ := r.refusal(); code != "unavailable" || strings.Contains(string(r.body), "provision/") {
				t.Errorf("%s", r.body)
			}
		}
		o.registry.SetFault(nil)
		vendor.must("POST", "/v1/provision/documents", body, 201)
		o.pass(2000)
		if p := o.plan("G1", provision.KindParameters); p.InForce == nil || p.Serial != 1 {
			t.Errorf("after fault %d: %+v", fault, p)
		}
	}
}

func TestOptions(t *testing.T) {
	if _, err := provision.New(provision.Options{}); !errors.Is(err, provision.ErrOptions) {
		t.Error(err)
	}
	var _ store.Registry = (*storetest.Memory)(nil)
	o := newOffice(t)
	if err := o.service.Acknowledge(context.Background(), "G1", provision.KindTariff, "t1"); err == nil {
		t.Error("a version that nobody published was acknowledged")
	}
}
