package gate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// TestRoles tries every call of operators with every role: the table of the routes is the
// whole truth, and a call without a token is refused.
func TestRoles(t *testing.T) {
	r := newRig(t, nil)
	r.terminal("GATE01")
	tried := 0
	for i := range r.server.routes.table {
		route := &r.server.routes.table[i]
		if route.guard != guardOperator {
			continue
		}
		path := strings.NewReplacer("{token}", strings.Repeat("0", 31)+"1", "{id}", "GATE01").
			Replace(route.path)
		body := ""
		if route.takesBody() {
			body = "{}"
		}
		for _, role := range Roles() {
			tried++
			a := r.desk(role, route.method, path, body)
			allowed := slices.Contains(route.roles, role)
			if refused := a.code() == "role_not_permitted"; refused == allowed {
				t.Errorf("%s as %s: %v", route, role, a)
			}
		}
		expect(t, r.do(route.method, path, body, nil), 401, "token_missing")
	}
	if tried != 14*len(Roles()) {
		t.Errorf("%d combinations tried", tried)
	}
}

// TestRoleMatrix writes the matrix down once more, so that a changed route must be
// changed here by somebody who means it.
func TestRoleMatrix(t *testing.T) {
	want := map[string]string{
		"POST /v1/cards":                 "desk admin",
		"POST /v1/cards:batch":           "desk admin",
		"POST /v1/cards:lookup":          "desk desk_confirm viewer",
		"GET /v1/cards/{token}":          "desk desk_confirm viewer",
		"POST /v1/freezes":               "desk",
		"POST /v1/releases":              "desk",
		"GET /v1/releases":               "desk desk_confirm viewer",
		"POST /v1/releases/{id}/confirm": "desk_confirm",
		"PUT /v1/terminals/{id}":         "vendor admin",
		"GET /v1/terminals/{id}":         "vendor admin viewer",
		"POST /v1/terminals/{id}:rotate": "vendor admin",
		"POST /v1/terminals/{id}:revoke": "vendor admin",
		"PUT /v1/operators/{id}":         "admin",
		"POST /v1/operators/{id}:revoke": "admin",
		"GET /v1/errors":                 "",
		"GET /openapi.json":              "",
		"GET /livez":                     "",
		"GET /readyz":                    "",
	}
	for _, route := range (&Server{}).routeTable() {
		if route.guard == guardTerminal {
			continue
		}
		var roles []string
		for _, role := range route.roles {
			roles = append(roles, string(role))
		}
		got := strings.Join(roles, " ")
		if w, ok := want[route.String()]; !ok || got != w {
			t.Errorf("%s: roles %q, want %q", &route, got, w)
		}
		if (route.guard == guardOperator) != (got != "") {
			t.Errorf("%s: guard %d with roles %q", &route, route.guard, got)
		}
		delete(want, route.String())
	}
	if len(want) > 0 {
		t.Errorf("not served: %v", want)
	}
}

func TestTokens(t *testing.T) {
	r := newRig(t, nil)
	token := r.operator(RoleViewer)
	for _, value := range []string{"Bearer x", "Bearer " + token + "x", "bearer " + token,
		token, "Basic " + token, "Bearer " + strings.Repeat("x", 200), "Bearer "} {
		a := r.do("GET", "/v1/releases", "", map[string]string{"Authorization": value})
		if a.status != 401 || a.code() != "token_invalid" ||
			a.header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%.20q: %v", value, a)
		}
	}
	expect(t, r.do("GET", "/v1/releases", "", nil), 401, "token_missing")
	if a := r.do("GET", "/v1/releases", "", bearer(token)); a.status != 200 {
		t.Fatal(a)
	}
	if n, err := RevokeOperator(t.Context(), r.memory, "test.viewer"); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	eventually(t, "the token is forgotten", func() bool {
		return r.do("GET", "/v1/releases", "", bearer(token)).code() == "token_invalid"
	})
}

// TestTokenIsNotStored looks for the token in everything that the registry keeps.
func TestTokenIsNotStored(t *testing.T) {
	r := newRig(t, nil)
	token := r.operator(RoleDesk)
	d := r.terminal("GATE01")
	keys, err := r.memory.Keys(t.Context(), "")
	if err != nil || len(keys) == 0 {
		t.Fatal(keys, err)
	}
	for _, key := range keys {
		value, _, err := r.memory.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{token, string(d.key), fmt.Sprintf("%x", d.key)} {
			if strings.Contains(key+string(value), secret) {
				t.Errorf("%s holds a secret", key)
			}
		}
	}
}

func TestCreateOperatorRefuses(t *testing.T) {
	m := storetest.NewMemory(storetest.MemoryOptions{})
	for _, c := range []struct {
		name  string
		roles []Role
	}{
		{"", []Role{RoleDesk}}, {strings.Repeat("x", 32), []Role{RoleDesk}},
		{"a b", []Role{RoleDesk}}, {"a+b", []Role{RoleDesk}}, {"王", []Role{RoleDesk}},
		{cardA, []Role{RoleDesk}}, {"alice", nil}, {"alice", []Role{"boss"}},
	} {
		if _, err := CreateOperator(t.Context(), m, c.name, c.roles); !errors.Is(err, ErrOperator) {
			t.Errorf("%q %v: %v", c.name, c.roles, err)
		}
	}
	if _, err := ParseRole("boss"); err == nil {
		t.Error("boss is no role")
	}
}

// TestEnrol enrols, refuses a second time, and shows the card.
func TestEnrol(t *testing.T) {
	r := newRig(t, nil)
	body := fieldsOf("card", cardA, "apps", []string{"transit", "purse"}, "rider", "student",
		"expires_on", "2036-11-20", "issuer", "SZT")
	a := r.desk(RoleAdmin, "POST", "/v1/cards", body)
	token := r.o.Tokenizer.Token(cardNumber(t, cardA)).String()
	if a.status != 201 || a.field("token") != token || a.field("card") != "****0001" {
		t.Fatal(a)
	}
	expect(t, r.desk(RoleDesk, "POST", "/v1/cards", body), 200, "card_exists")
	a = r.desk(RoleViewer, "GET", "/v1/cards/"+token, "")
	for name, want := range map[string]any{"known": true, "status": "active",
		"rider": "student", "issuer": "SZT", "balance": 0.0, "frozen": nil,
		"expires_at": "2036-11-20T16:00:00.000Z"} {
		if a.field(name) != want {
			t.Errorf("%s: got %v, want %v", name, a.field(name), want)
		}
	}
}

func TestEnrolInput(t *testing.T) {
	r := newRig(t, nil)
	body := func(pairs ...any) string {
		all := map[string]any{"card": cardA, "apps": []string{"all"}, "rider": "ordinary"}
		for i := 0; i < len(pairs); i += 2 {
			all[pairs[i].(string)] = pairs[i+1]
		}
		b, _ := json.Marshal(all)
		return string(b)
	}
	for _, c := range []struct{ body, code, param string }{
		{body("apps", []string{}), "field_invalid", "apps"},
		{body("apps", []string{"flying"}), "field_invalid", "apps"},
		{body("apps", "all"), "wrong_type", "apps"},
		{body("apps", []int{1}), "wrong_type", "apps"},
		{body("apps", [][]string{{"all"}}), "nesting_too_deep", "apps"},
		{body("apps", slices.Repeat([]string{"purse"}, 17)), "field_too_long", "apps"},
		{body("rider", "pilot"), "field_invalid", "rider"},
		{body("expires_on", "20361120"), "time_invalid", "expires_on"},
		{body("expires_on", "2036-13-01"), "time_invalid", "expires_on"},
		{body("issuer", "a b"), "field_invalid", "issuer"},
		{body("issuer", cardA), "field_invalid", "issuer"},
		{body("card", "x"), "card_number_invalid", "card"},
		{body("amount", 1), "unknown_field", "amount"},
	} {
		a := r.desk(RoleDesk, "POST", "/v1/cards", c.body)
		if a.status != 400 || a.code() != c.code || a.field("param") != c.param {
			t.Errorf("%s: %v", c.body, a)
		}
	}
}

// TestFreezeStopsTheCard freezes a card and shows that nothing is approved any more, that
// a repeat is no error, and what the desk sees.
func TestFreezeStopsTheCard(t *testing.T) {
	r := newRig(t, nil)
	d := r.terminal("GATE01")
	r.enrol(d, cardA)
	body := fieldsOf("card", cardA, "reason", "lost", "note", "case 12")
	a := r.desk(RoleDesk, "POST", "/v1/freezes", body)
	if a.status != 200 || a.field("frozen") != true || a.field("already") != false ||
		a.field("record") == nil || a.field("since") == nil {
		t.Fatal(a)
	}
	token := a.field("token").(string)
	expect(t, r.send(d, "/v1/taps", r.tapBody(d, cardA)), 200, "card_frozen")
	a = r.desk(RoleDesk, "POST", "/v1/freezes", fieldsOf("token", token, "reason", "lost"))
	if a.status != 200 || a.field("already") != true || a.field("record") != nil {
		t.Error(a)
	}
	a = r.desk(RoleViewer, "POST", "/v1/cards:lookup", fieldsOf("card", cardA))
	frozen := a.field("frozen").(map[string]any)
	if frozen["reason"] != "lost" || frozen["actor"] != "test.desk" || frozen["note"] != "case 12" {
		t.Errorf("entry %v", frozen)
	}
	// A card that nobody enrolled can be frozen too.
	a = r.desk(RoleDesk, "POST", "/v1/freezes", fieldsOf("card", cardC, "reason", "risk",
		"scope", []string{"purse"}))
	if a.status != 200 {
		t.Error(a)
	}
	a = r.desk(RoleViewer, "POST", "/v1/cards:lookup", fieldsOf("card", cardC))
	if a.field("known") != false || a.field("frozen") == nil {
		t.Error(a)
	}
	log := r.log.String()
	if !strings.Contains(log, `"action":"freeze"`) || !strings.Contains(log, `"actor":"test.desk"`) {
		t.Error("the freeze was not logged")
	}
}

func TestFreezeInput(t *testing.T) {
	r := newRig(t, nil)
	token := strings.Repeat("ab", 16)
	for _, c := range []struct{ body, code, param string }{
		{fieldsOf("reason", "lost"), "missing_field", "card"},
		{fieldsOf("card", cardA), "missing_field", "reason"},
		{fieldsOf("card", cardA, "token", token, "reason", "lost"), "field_conflict", "token"},
		{fieldsOf("token", strings.Repeat("0", 32), "reason", "lost"), "card_number_invalid", "token"},
		{fieldsOf("token", "xyz", "reason", "lost"), "card_number_invalid", "token"},
		{fieldsOf("token", token, "reason", "not_frozen"), "field_invalid", "reason"},
		{fieldsOf("token", token, "reason", "angry"), "field_invalid", "reason"},
		{fieldsOf("token", token, "reason", "lost", "scope", []string{"x"}), "field_invalid", "scope"},
		{fieldsOf("token", token, "reason", "lost", "note", "card "+cardA), "field_invalid", "note"},
		{fieldsOf("token", token, "reason", "lost", "note", "a\nb"), "field_invalid", "note"},
		{fieldsOf("token", token, "reason", "lost", "note", strings.Repeat("x", 129)), "field_too_long", "note"},
	} {
		a := r.desk(RoleDesk, "POST", "/v1/freezes", c.body)
		if a.status != 400 || a.code() != c.code || a.field("param") != c.param {
			t.Errorf("%s: %v", c.body, a)
		}
	}
}

func TestCardState(t *testing.T) {
	r := newRig(t, nil)
	expect(t, r.desk(RoleViewer, "POST", "/v1/cards:lookup", fieldsOf("card", cardA)), 404,
		"card_unknown")
	expect(t, r.desk(RoleViewer, "GET", "/v1/cards/abc", ""), 400, "card_number_invalid")
	d := r.terminal("GATE01")
	r.enrol(d, cardA)
	r.send(d, "/v1/taps", fieldsOf("id", r.id(d), "kind", "metro_entry", "card", cardA,
		"service_time", r.serviceTime(), "station", `B "2"`, "line", "人民"))
	a := r.desk(RoleViewer, "POST", "/v1/cards:lookup", fieldsOf("card", cardA))
	journey, _ := a.field("journey").(map[string]any)
	if journey["station"] != `B "2"` || journey["line"] != "人民" || journey["operator"] != "M5" {
		t.Errorf("journey %v", journey)
	}
	r.setFault(func(op storetest.Op) storetest.Fault {
		if op == storetest.OpEntry {
			return storetest.NotApplied
		}
		return storetest.NoFault
	})
	expect(t, r.desk(RoleViewer, "POST", "/v1/cards:lookup", fieldsOf("card", cardA)), 503,
		"store_unavailable")
}

// TestReleaseTakesTwo walks through a release: one asks, the same person cannot confirm,
// another one does, nobody can do it twice.
func TestReleaseTakesTwo(t *testing.T) {
	r := newRig(t, nil)
	d := r.terminal("GATE01")
	r.enrol(d, cardA)
	both := r.person("both", RoleDesk, RoleDeskConfirm)
	ask := fieldsOf("card", cardA, "note", "form 7")
	expect(t, r.desk(RoleDesk, "POST", "/v1/releases", ask), 409, "card_not_frozen")
	r.desk(RoleDesk, "POST", "/v1/freezes", fieldsOf("card", cardA, "reason", "lost"))
	a := r.do("POST", "/v1/releases", ask, bearer(both))
	if a.status != 202 || a.field("status") != "waiting_for_second_person" {
		t.Fatal(a)
	}
	path := "/v1/releases/" + a.field("release").(string) + "/confirm"
	expect(t, r.do("POST", path, "", bearer(both)), 403, "same_person")
	for _, body := range []string{"{}", `{"note":"form 7"}`} { // the path says everything
		expect(t, r.do("POST", path, body, bearer(both)), 400, "body_not_taken")
	}
	expect(t, r.do("POST", "/v1/releases/r-0/confirm", "", bearer(both)), 404, "release_unknown")
	expect(t, r.send(d, "/v1/taps", r.tapBody(d, cardA)), 200, "card_frozen")
	if a := r.desk(RoleViewer, "GET", "/v1/releases", ""); !strings.Contains(string(a.body), "form 7") {
		t.Error(a)
	}
	a = r.desk(RoleDeskConfirm, "POST", path, "")
	if a.status != 200 || a.field("status") != "released" ||
		a.field("confirmed_by") != "test.desk_confirm" {
		t.Fatal(a)
	}
	// After a lost reply the same person asks again; another one is told that it is over.
	if a := r.desk(RoleDeskConfirm, "POST", path, ""); a.status != 200 ||
		a.field("status") != "released" {
		t.Error(a)
	}
	third := r.person("third", RoleDeskConfirm)
	expect(t, r.do("POST", path, "", bearer(third)), 409, "release_not_pending")
	if a := r.send(d, "/v1/taps", r.tapBody(d, cardA)); a.field("outcome") != "approved" {
		t.Error(a)
	}
	if a := r.desk(RoleViewer, "GET", "/v1/releases", ""); string(a.body) != `{"releases":[]}` {
		t.Error(a)
	}
}

// TestReleaseExpires and TestReleaseOfAnotherFreeze: an old consent does not open a card.
func TestReleaseExpires(t *testing.T) {
	r := newRig(t, nil)
	r.desk(RoleDesk, "POST", "/v1/freezes", fieldsOf("card", cardA, "reason", "lost"))
	a := r.desk(RoleDesk, "POST", "/v1/releases", fieldsOf("card", cardA, "note", "n"))
	path := "/v1/releases/" + a.field("release").(string) + "/confirm"
	r.skew.Store(DefaultLimits().ReleaseWait.Milliseconds())
	expect(t, r.desk(RoleDeskConfirm, "POST", path, ""), 409, "release_not_pending")
	r.skew.Store(DefaultLimits().ReleaseWait.Milliseconds() + int64(releaseKeep) + 1000)
	if a := r.desk(RoleViewer, "GET", "/v1/releases", ""); string(a.body) != `{"releases":[]}` {
		t.Error(a)
	}
	expect(t, r.desk(RoleDeskConfirm, "POST", path, ""), 404, "release_unknown")
}

func TestReleaseOfAnotherFreeze(t *testing.T) {
	r := newRig(t, nil)
	freeze := fieldsOf("card", cardA, "reason", "lost")
	confirm := func() reply {
		a := r.desk(RoleDesk, "POST", "/v1/releases", fieldsOf("card", cardA, "note", "n"))
		return a
	}
	r.desk(RoleDesk, "POST", "/v1/freezes", freeze)
	first, second := confirm(), confirm()
	path := func(a reply) string { return "/v1/releases/" + a.field("release").(string) + "/confirm" }
	if a := r.desk(RoleDeskConfirm, "POST", path(first), ""); a.status != 200 {
		t.Fatal(a)
	}
	r.skew.Store(5000)
	r.desk(RoleDesk, "POST", "/v1/freezes", freeze)
	expect(t, r.desk(RoleDeskConfirm, "POST", path(second), ""), 409, "release_not_pending")
	if a := r.desk(RoleDesk, "POST", "/v1/freezes", freeze); a.field("already") != true {
		t.Error(a)
	}
}

// TestTerminalFreezeIsNotReleased: replaced and cancelled cards stay closed.
func TestTerminalFreezeIsNotReleased(t *testing.T) {
	r := newRig(t, nil)
	r.desk(RoleDesk, "POST", "/v1/freezes", fieldsOf("card", cardA, "reason", "cancelled"))
	expect(t, r.desk(RoleDesk, "POST", "/v1/releases", fieldsOf("card", cardA, "note", "n")), 409,
		"release_closed")
}

func TestReleasesAreBounded(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Limits.ReleasesMax = 2 })
	r.desk(RoleDesk, "POST", "/v1/freezes", fieldsOf("card", cardA, "reason", "lost"))
	ask := fieldsOf("card", cardA, "note", "n")
	for range 2 {
		if a := r.desk(RoleDesk, "POST", "/v1/releases", ask); a.status != 202 {
			t.Fatal(a)
		}
	}
	expect(t, r.desk(RoleDesk, "POST", "/v1/releases", ask), 429, "releases_full")
	expect(t, r.desk(RoleDesk, "POST", "/v1/releases", fieldsOf("card", cardA, "note", "")), 400,
		"field_invalid")
}

// TestTerminalLife registers, changes, rotates, revokes and shows a terminal.
func TestTerminalLife(t *testing.T) {
	r := newRig(t, nil)
	body := fieldsOf("operator", "M5", "station", "A", "kinds", []string{"metro_entry"})
	expect(t, r.desk(RoleVendor, "GET", "/v1/terminals/T1", ""), 404, "terminal_not_found")
	for _, action := range []string{"rotate", "revoke"} {
		expect(t, r.desk(RoleVendor, "POST", "/v1/terminals/T1:"+action, ""), 404,
			"terminal_not_found")
	}
	a := r.desk(RoleVendor, "PUT", "/v1/terminals/T1", body)
	key, _ := a.field("key").(string)
	if a.status != 201 || len(key) != 64 {
		t.Fatal(a)
	}
	d := &device{Signer: NewSigner("T1", unhex(t, key))}
	expect(t, r.send(d, "/v1/balances", r.balanceBody(d)), 403, "kind_not_permitted")
	a = r.desk(RoleAdmin, "PUT", "/v1/terminals/T1", fieldsOf("kinds", []string{"balance"}))
	if a.status != 200 || a.field("key") != nil || a.field("operator") != nil {
		t.Fatal(a)
	}
	expect(t, r.send(d, "/v1/balances", r.balanceBody(d)), 200, "card_unknown")
	a = r.desk(RoleViewer, "GET", "/v1/terminals/T1", "")
	if a.field("key") != nil || a.field("key_version") != 1.0 || a.field("revoked") != false {
		t.Error(a)
	}
	for _, c := range []struct{ path, body, code string }{
		{"/v1/terminals/T1", fieldsOf("kinds", []string{"freeze"}), "kind_invalid"},
		{"/v1/terminals/T1", fieldsOf("kinds", []string{}), "kind_invalid"},
		{"/v1/terminals/T1", fieldsOf("kinds", []string{"load"}, "station", cardA), "field_invalid"},
		{"/v1/terminals/desk", body, "terminal_not_found"},
		{"/v1/terminals/a-b", body, "terminal_not_found"},
	} {
		if a := r.desk(RoleVendor, "PUT", c.path, c.body); a.code() != c.code {
			t.Errorf("%s %s: %v", c.path, c.body, a)
		}
	}
}

// TestTerminalConflict changes a terminal that somebody else changes at the same moment.
func TestTerminalConflict(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Registry = racing{o.Registry} })
	r.terminal("GATE01")
	expect(t, r.desk(RoleVendor, "POST", "/v1/terminals/GATE01:rotate", ""), 409,
		"registry_conflict")
}

// racing is a registry in which somebody else is always faster with terminals.
type racing struct{ store.Registry }

func (r racing) Put(ctx context.Context, key string, value []byte, version uint64) error {
	if strings.HasPrefix(key, terminalPrefix) {
		return fmt.Errorf("test: %w", store.ErrConflict)
	}
	return r.Registry.Put(ctx, key, value, version)
}

func TestCreateTerminalRefuses(t *testing.T) {
	m := storetest.NewMemory(storetest.MemoryOptions{})
	ctx := context.Background()
	ok := Terminal{ID: "T1", Kinds: []string{"load"}}
	if _, err := CreateTerminal(ctx, m, testMasterKey(), ok); err != nil {
		t.Fatal(err)
	}
	if _, err := CreateTerminal(ctx, m, testMasterKey(), ok); !errors.Is(err, store.ErrConflict) {
		t.Errorf("again: %v", err)
	}
	for _, spec := range []Terminal{{}, {ID: "T2"}, {ID: "desk", Kinds: ok.Kinds}, {ID: txn.RideDesk, Kinds: ok.Kinds},
		{ID: "T2", Kinds: []string{"enrol"}}, {ID: "T 2", Kinds: ok.Kinds},
		{ID: "T2", Kinds: ok.Kinds, MCC: "41111"}} {
		if _, err := CreateTerminal(ctx, m, testMasterKey(), spec); !errors.Is(err, ErrTerminal) {
			t.Errorf("%+v: %v", spec, err)
		}
	}
	if _, err := CreateTerminal(ctx, m, nil, Terminal{ID: "T3", Kinds: ok.Kinds}); err == nil {
		t.Error("no master key")
	}
}

// TestSealBindsTerminal: a wrapped key opens under its master key and for its terminal.
func TestSealBindsTerminal(t *testing.T) {
	a, err := newSealer(testMasterKey())
	if err != nil {
		t.Fatal(err)
	}
	b, err := newSealer(make([]byte, masterKeySize))
	if err != nil {
		t.Fatal(err)
	}
	wrapped := a.seal("T1", []byte("secret"))
	if key, err := a.open("T1", wrapped); err != nil || string(key) != "secret" {
		t.Errorf("%q, %v", key, err)
	}
	for what, open := range map[string]func() ([]byte, error){
		"other terminal": func() ([]byte, error) { return a.open("T2", wrapped) },
		"other master":   func() ([]byte, error) { return b.open("T1", wrapped) },
		"cut":            func() ([]byte, error) { return a.open("T1", wrapped[:5]) },
		"changed": func() ([]byte, error) {
			w := slices.Clone(wrapped)
			w[len(w)-1] ^= 1
			return a.open("T1", w)
		},
	} {
		if _, err := open(); !errors.Is(err, errSealed) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if again := a.seal("T1", []byte("secret")); slices.Equal(again, wrapped) {
		t.Error("two wrappings are equal")
	}
}

// TestOtherMasterKey: a gate with another master key refuses the terminal and says why in
// the log.
func TestOtherMasterKey(t *testing.T) {
	r := newRig(t, func(o *Options) { o.MasterKey = make([]byte, masterKeySize) })
	d := r.terminal("GATE01")
	expect(t, r.send(d, "/v1/balances", r.balanceBody(d)), 500, "internal")
	if !strings.Contains(r.log.String(), "another master key") {
		t.Error("not logged")
	}
}

// TestDeskNumbersNeverRepeat starts the desk many times within one second.
func TestDeskNumbersNeverRepeat(t *testing.T) {
	m := storetest.NewMemory(storetest.MemoryOptions{})
	seen := map[uint32]bool{}
	now := txn.MillisOf(time.Now())
	for range 20 {
		boot, err := reserveBoot(m, now)
		if err != nil || seen[boot] {
			t.Fatalf("boot %d: %v", boot, err)
		}
		seen[boot] = true
	}
	if boot, err := reserveBoot(m, now+100_000); err != nil || boot != uint32(now/1000)+100 {
		t.Errorf("boot %d, %v", boot, err)
	}
}

// TestOperatorCalls creates a person, uses the token, takes it back, and tries what must be
// refused.
func TestOperatorCalls(t *testing.T) {
	r := newRig(t, nil)
	admin := map[string]string{"Authorization": "Bearer " + r.operator(RoleAdmin)}
	a := r.do("PUT", "/v1/operators/wang", `{"roles":["viewer"]}`, admin)
	if a.status != 201 || a.field("name") != "wang" {
		t.Fatalf("created: %d %s", a.status, a.body)
	}
	viewer := map[string]string{"Authorization": "Bearer " + a.field("token").(string)}
	if a := r.do("GET", "/v1/releases", "", viewer); a.status != 200 {
		t.Errorf("the new person: %d %s", a.status, a.body)
	}
	if a := r.do("PUT", "/v1/operators/li", `{"roles":["viewer"]}`, viewer); a.status != 403 {
		t.Errorf("a viewer created a person: %d %s", a.status, a.body)
	}
	if a := r.do("POST", "/v1/operators/wang:revoke", "", admin); a.status != 200 {
		t.Errorf("revoked: %d %s", a.status, a.body)
	}
	if a := r.do("GET", "/v1/releases", "", viewer); a.status != 401 {
		t.Errorf("a revoked token: %d %s", a.status, a.body)
	}
	if a := r.do("POST", "/v1/operators/wang:revoke", "", admin); a.status != 404 {
		t.Errorf("revoked twice: %d %s", a.status, a.body)
	}
	for _, body := range []string{`{"roles":[]}`, `{"roles":["king"]}`} {
		if a := r.do("PUT", "/v1/operators/li", body, admin); a.code() != "field_invalid" {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
	}
}

// TestLastAdmin: somebody must be able to let others in, whoever asks.
func TestLastAdmin(t *testing.T) {
	r := newRig(t, nil)
	admin := r.person("wang", RoleAdmin, RoleDesk)
	put := func(name, roles string) reply {
		return r.do("PUT", "/v1/operators/"+name, `{"roles":[`+roles+`]}`, bearer(admin))
	}
	expect(t, r.do("POST", "/v1/operators/wang:revoke", "", bearer(admin)), 409, "last_admin")
	expect(t, put("wang", `"desk"`), 409, "last_admin")
	expect(t, r.do("POST", "/v1/operators/nobody:revoke", "", bearer(admin)), 404, "operator_not_found")
	if a := put("li", `"admin"`); a.status != 201 {
		t.Fatal(a)
	}
	if a := r.do("POST", "/v1/operators/wang:revoke", "", bearer(admin)); a.status != 200 {
		t.Error(a)
	}
	expect(t, put("li", `"admin"`), 401, "token_invalid")
}

// TestPutOperatorReplaces: a person whose roles are changed has the new ones and no others.
func TestPutOperatorReplaces(t *testing.T) {
	r := newRig(t, nil)
	admin := r.operator(RoleAdmin)
	put := func(roles string) string {
		a := r.do("PUT", "/v1/operators/wang", `{"roles":[`+roles+`]}`, bearer(admin))
		if a.status != 201 {
			t.Fatal(a)
		}
		return a.field("token").(string)
	}
	freeze := fieldsOf("card", cardA, "reason", "lost")
	before := put(`"desk"`)
	if a := r.do("POST", "/v1/freezes", freeze, bearer(before)); a.status != 200 {
		t.Fatal(a)
	}
	after := put(`"viewer"`)
	expect(t, r.do("POST", "/v1/freezes", freeze, bearer(before)), 401, "token_invalid")
	expect(t, r.do("POST", "/v1/freezes", freeze, bearer(after)), 403, "role_not_permitted")
}
