package gate

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/switch/gate/fields"
)

// canary is a card number that must not show up anywhere; spelled is how it might hide.
const canary = "3104812345678907"

func showsCanary(s string) bool {
	plain := strings.NewReplacer(" ", "", "-", "").Replace(s)
	return strings.Contains(plain, canary) || strings.Contains(plain, canary[:12])
}

// TestCardNumberNeverShows sends a card number through every path, in every place where a
// client could put one, and looks for it in answers, headers, logs and the registry.
func TestCardNumberNeverShows(t *testing.T) {
	r := newRig(t, nil)
	d := r.terminal("GATE01")
	r.enrol(d, canary)
	for role := range map[Role]bool{RoleDesk: true, RoleVendor: true} {
		r.operator(role)
	}
	check := func(what string, a reply) {
		t.Helper()
		if showsCanary(string(a.body)) || showsCanary(fmt.Sprint(a.header)) {
			t.Errorf("%s: the answer shows the number: %v %v", what, a, a.header)
		}
	}
	at := r.serviceTime()
	own := func() []any { return []any{"id", r.id(d), "card", canary, "service_time", at} }
	for path, more := range map[string][]any{
		"/v1/taps":      {"kind", "bus_boarding"},
		"/v1/loads":     {"amount", 100},
		"/v1/purchases": {"amount", 100},
		"/v1/refunds":   {"amount", 100, "original", "GATE01-1-1"},
		"/v1/reversals": {"original", "GATE01-1-1"},
		"/v1/balances":  {},
	} {
		body := fieldsOf(append(own(), more...)...)
		check(path, r.send(d, path, body))
		check(path+" cut", r.send(d, path, body[:len(body)-1]))
		check(path+" tail", r.send(d, path, body+canary))
		check(path+" unsigned", r.do("POST", path, body, nil))
		for f := range fields.End { // the number in every field, known or not
			check(path+" "+f.String(), r.send(d, path, fieldsOf(append(own(), f.String(), canary)...)))
		}
		check(path+" name", r.send(d, path, fieldsOf(append(own(), canary, 1)...)))
		check(path+" batch", r.send(d, path+":batch", `{"taps":[`+body+`,`+canary+`]}`))
		for _, name := range []string{HeaderTerminal, HeaderCounter, HeaderTimestamp,
			HeaderSignature, "Content-Type", "X-Card"} {
			h := r.signedHeaders(d, "POST", path, body)
			h[name] = canary
			check(path+" "+name, r.do("POST", path, body, h))
		}
	}
	for _, role := range []Role{RoleDesk, RoleVendor, RoleDeskConfirm, RoleViewer} {
		for _, path := range []string{"/v1/cards", "/v1/cards:batch", "/v1/cards:lookup",
			"/v1/freezes", "/v1/releases", "/v1/terminals/T9"} {
			method := "POST"
			if strings.HasPrefix(path, "/v1/terminals") {
				method = "PUT"
			}
			for _, body := range []string{
				fieldsOf("card", canary, "apps", []string{"all"}, "rider", "ordinary"),
				fieldsOf("card", canary), fieldsOf("card", canary, "reason", "lost", "note", "n"),
				fieldsOf("card", canary, "reason", "lost", "note", canary),
				fieldsOf("card", canary, "note", "n"), fieldsOf("token", canary, "note", canary),
				fieldsOf("kinds", []string{canary}), fieldsOf("kinds", []string{"load"}, "station", canary),
				`{"cards":[` + fieldsOf("card", canary) + `]}`, canary,
			} {
				check(path, r.desk(role, method, path, body))
			}
		}
	}
	for _, path := range []string{"/v1/cards/" + canary, "/" + canary, "/v1/terminals/" + canary,
		"/v1/releases/" + canary + "/confirm", "/v1/taps?card=" + canary} {
		for _, method := range []string{"GET", "POST", "PUT"} {
			check(path, r.desk(RoleViewer, method, path, ""))
		}
	}
	check("token", r.do("GET", "/v1/releases", "", bearer(canary)))
	answers, _ := r.raw("GET /livez HTTP/1.1\r\nHost: g\r\n"+canary+"\r\n\r\n", 1)
	for _, a := range answers {
		check("broken header", a)
	}
	if showsCanary(r.log.String()) {
		t.Error("the log shows the number")
	}
	keys, err := r.memory.Keys(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		value, _, err := r.memory.Get(t.Context(), key)
		if err != nil || showsCanary(key+string(value)) {
			t.Errorf("registry %s shows the number (%v)", key, err)
		}
	}
}

func TestHoldsNumber(t *testing.T) {
	f := func(s string, want bool) {
		t.Helper()
		if got := holdsNumber([]byte(s)); got != want {
			t.Errorf("%q: %v", s, got)
		}
	}
	f("", false)
	f("case 12", false)
	f("2026-11-21 08:00:00.000", false)
	f("123456789012", false)
	f("1234567890123", true)
	f("1234 5678 9012 3456", true)
	f("1234-5678-9012-3456", true)
	f("1234--5678--9012--3456", false)
	f("no. "+canary+" lost", true)
	f("人民广场", false)
}

// TestWipe: the memory that is used again holds nothing of the last request.
func TestWipe(t *testing.T) {
	s, signer := bareGate(t, &approver{}, nil)
	p := newTapper(s, signer)
	p.prepare()
	x := &call{}
	x.reset(&p.ctx)
	if r, _ := s.serve(x); r.IsSet() {
		t.Fatal(r)
	}
	s.send(x)
	body := x.body[:cap(x.body)]
	if !strings.Contains(string(body), cardA) {
		t.Fatal("the test looks at the wrong memory")
	}
	x.wipe()
	if strings.Contains(string(body), cardA) || x.http != nil || x.claim.from != nil {
		t.Error("the card number is still there")
	}
}
