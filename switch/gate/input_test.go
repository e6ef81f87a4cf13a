package gate

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/switch/gate/refusal"
)

// TestBadBodies sends every kind of bad body to a signed call: each has its
// own code, names the field, is counted, and loses nothing.
func TestBadBodies(t *testing.T) {
	r := newRig(t, nil)
	d := r.terminal("GATE01")
	r.enrol(d, cardA)
	valid := r.tapBody(d, cardA)
	with := func(more string) string { return valid[:len(valid)-1] + "," + more + "}" }
	money := func(amount string) string {
		return `{"id":"GATE01-9-9","card":"` + cardA + `","service_time":"` + r.serviceTime() +
			`","amount":` + amount + `}`
	}
	for _, c := range []struct{ path, body, code, param string }{
		{"/v1/taps", "", "malformed_json", ""},
		{"/v1/taps", "  ", "malformed_json", ""},
		{"/v1/taps", "{", "malformed_json", ""},
		{"/v1/taps", "{}", "missing_field", "id"},
		{"/v1/taps", `{"id"}`, "malformed_json", ""},
		{"/v1/taps", `{"id":}`, "malformed_json", "id"},
		{"/v1/taps", `{"id":"a",}`, "malformed_json", ""},
		{"/v1/taps", `{id:"a"}`, "malformed_json", ""},
		{"/v1/taps", `{"id":tru}`, "malformed_json", "id"},
		{"/v1/taps", `{"id":"a` + "\n" + `"}`, "malformed_json", "id"},
		{"/v1/taps", `{"id":"\ud800"}`, "malformed_json", "id"},
		{"/v1/taps", `{"id":"\x"}`, "malformed_json", "id"},
		{"/v1/taps", `[]`, "wrong_type", ""},
		{"/v1/taps", `"x"`, "wrong_type", ""},
		{"/v1/taps", `null`, "wrong_type", ""},
		{"/v1/taps", strings.Repeat("[", 4000), "nesting_too_deep", ""},
		{"/v1/taps", `{"id":` + strings.Repeat(`{"id":`, 500), "wrong_type", "id"},
		{"/v1/taps", `{"id":[[["x"]]]}`, "nesting_too_deep", "id"},
		{"/v1/taps", valid + "x", "trailing_bytes", ""},
		{"/v1/taps", valid + valid, "trailing_bytes", ""},
		{"/v1/taps", with(`"colour":1`), "unknown_field", "colour"},
		{"/v1/taps", with(`"amount":1`), "unknown_field", "amount"},
		{"/v1/taps", with(`"` + cardA + `":1`), "unknown_field", ""},
		{"/v1/taps", with(`"KIND":"metro_exit"`), "unknown_field", "KIND"},
		{"/v1/taps", with(`"card":"` + cardB + `"`), "duplicate_field", "card"},
		{"/v1/taps", with(`"\u0063ard":"` + cardB + `"`), "duplicate_field", "card"},
		{"/v1/taps", with(`"station":5`), "wrong_type", "station"},
		{"/v1/taps", with(`"station":null`), "wrong_type", "station"},
		{"/v1/taps", with(`"list_epoch":"5"`), "wrong_type", "list_epoch"},
		{"/v1/taps", with(`"list_epoch":1.5`), "wrong_type", "list_epoch"},
		{"/v1/taps", with(`"list_epoch":true`), "wrong_type", "list_epoch"},
		{"/v1/taps", with(`"list_epoch":-1`), "number_out_of_range", "list_epoch"},
		{"/v1/taps", with(`"offline_counter":4294967296`), "number_out_of_range", "offline_counter"},
		{"/v1/taps", with(`"station":"` + strings.Repeat("x", 49) + `"`), "field_too_long", "station"},
		{"/v1/taps", with(`"station":"` + cardA + `"`), "field_invalid", "station"},
		{"/v1/taps", with(`"vehicle":"3104 8000-0000 0001"`), "field_invalid", "vehicle"},
		{"/v1/taps", with("\"station\":\"a\xff\""), "invalid_utf8", "station"},
		{"/v1/taps", with(`"class":"third"`), "field_invalid", "class"},
		{"/v1/taps", with(`"class":""`), "field_invalid", "class"},
		{"/v1/taps", with(`"metres":-1`), "number_out_of_range", "metres"},
		{"/v1/taps", with(`"metres":10000001`), "number_out_of_range", "metres"},
		{"/v1/taps", with(`"mode":"plane"`), "field_invalid", "mode"},
		{"/v1/taps", with(`"mode":""`), "field_invalid", "mode"},
		{"/v1/taps", with(`"degraded":["late"]`), "field_invalid", "degraded"},
		{"/v1/taps", with(`"degraded":"train_fault"`), "wrong_type", "degraded"},
		{"/v1/loads", money(`1,"mode":"tram"`), "unknown_field", "mode"},
		{"/v1/taps", with(`"full_fare":500`), "missing_field", "charged"},
		{"/v1/taps", with(`"charged":500`), "missing_field", "full_fare"},
		{"/v1/taps", strings.Replace(valid, "bus_boarding", "purchase", 1), "kind_invalid", "kind"},
		{"/v1/taps", strings.Replace(valid, cardA, "310480000000000X", 1), "card_number_invalid", "card"},
		{"/v1/taps", strings.Replace(valid, cardA, "3104800", 1), "card_number_invalid", "card"},
		{"/v1/taps", strings.Replace(valid, cardA, strings.Repeat("3", 21), 1), "card_number_invalid", "card"},
		{"/v1/taps", strings.Replace(valid, "GATE01-", "GATE01_", 1), "request_id_invalid", "id"},
		{"/v1/taps", strings.Replace(valid, "GATE01-1-", "GATE01-01-", 1), "request_id_invalid", "id"},
		{"/v1/taps", strings.Replace(valid, "+08:00", "", 1), "time_invalid", "service_time"},
		{"/v1/loads", money("-1"), "amount_negative", "amount"},
		{"/v1/loads", money("1.5"), "amount_invalid", "amount"},
		{"/v1/loads", money("1e3"), "amount_invalid", "amount"},
		{"/v1/loads", money("9007199254740992"), "amount_overflow", "amount"},
		{"/v1/loads", money(strings.Repeat("9", 400)), "amount_overflow", "amount"},
		{"/v1/loads", money(`"100"`), "wrong_type", "amount"},
		{"/v1/loads", money("01"), "malformed_json", "amount"},
		{"/v1/loads", money("1."), "malformed_json", "amount"},
		{"/v1/loads", money("-"), "malformed_json", "amount"},
		{"/v1/loads", money(`1,"stan":1000000`), "number_out_of_range", "stan"},
		{"/v1/loads", money(`1,"rrn":"a b"`), "field_invalid", "rrn"},
		{"/v1/loads", money(`1,"rrn":"1234567890123"`), "field_too_long", "rrn"},
		{"/v1/refunds", money(`1,"original":"x"`), "request_id_invalid", "original"},
		{"/v1/reversals", `{"id":"GATE01-9-9"}`, "missing_field", "card"},
		{"/v1/balances", money("1"), "unknown_field", "amount"},
	} {
		before := r.observer.count(c.code)
		a := r.send(d, c.path, c.body)
		param, _ := a.field("param").(string)
		want := 400
		if a.status != want || a.code() != c.code || param != c.param {
			t.Errorf("%s %.80q\ngot  %v\nwant %s %q", c.path, c.body, a, c.code, c.param)
		}
		if r.observer.count(c.code) != before+1 {
			t.Errorf("%s %.80q: %s was not counted", c.path, c.body, c.code)
		}
	}
	if a := r.send(d, "/v1/taps", valid); a.field("balance") != 9800.0 {
		t.Errorf("the good tap afterwards: %v", a)
	}
}

func TestMediaTypes(t *testing.T) {
	r := newRig(t, nil)
	d := r.terminal("GATE01")
	for _, c := range []struct {
		name, value string
		status      int
	}{
		{"Content-Type", "application/json; charset=utf-8", 200},
		{"Content-Type", "Application/JSON;charset=UTF-8", 200},
		{"Content-Type", "text/plain", 415},
		{"Content-Type", "application/json; charset=gbk", 415},
		{"Content-Type", "application/jsonp", 415},
		{"Content-Encoding", "gzip", 415},
	} {
		body := r.balanceBody(d)
		h := r.signedHeaders(d, "POST", "/v1/balances", body)
		h[c.name] = c.value
		if a := r.do("POST", "/v1/balances", body, h); a.status != c.status {
			t.Errorf("%s %s: %v", c.name, c.value, a)
		}
	}
}

func TestPathsAndMethods(t *testing.T) {
	r := newRig(t, nil)
	for _, c := range []struct {
		method, path, code, allow string
	}{
		{"GET", "/", "not_found", ""},
		{"GET", "/v1/taps/", "not_found", ""},
		{"GET", "/livez?verbose", "not_found", ""},
		{"GET", "/%6civez", "not_found", ""},
		{"GET", "//livez", "not_found", ""},
		{"GET", "/x/../livez", "not_found", ""},
		{"GET", "/v1/cards/a/b", "not_found", ""},
		{"GET", "/v1/cards/", "not_found", ""},
		{"GET", "/v1/cards/" + strings.Repeat("a", 65), "not_found", ""},
		{"GET", "/v1/taps", "method_not_allowed", "POST"},
		{"DELETE", "/v1/terminals/GATE01", "method_not_allowed", "PUT, GET"},
		{"PATCH", "/v1/releases", "method_not_allowed", "POST, GET"},
	} {
		a := r.do(c.method, c.path, "", nil)
		if a.code() != c.code || a.header.Get("Allow") != c.allow {
			t.Errorf("%s %s: %v, Allow %q", c.method, c.path, a, a.header.Get("Allow"))
		}
	}
}

func TestBodyLimits(t *testing.T) {
	r := newRig(t, nil)
	d := r.terminal("GATE01")
	pad := func(size int) string {
		body := r.balanceBody(d)
		return body + strings.Repeat(" ", size-len(body))
	}
	if a := r.send(d, "/v1/balances", pad(bodyMax)); a.status != 200 {
		t.Errorf("at the limit: %v", a)
	}
	expect(t, r.send(d, "/v1/balances", pad(bodyMax+1)), 413, "body_too_large")
	expect(t, r.send(d, "/v1/taps:batch", strings.Repeat(" ", batchBodyMax+1)), 413,
		"body_too_large")
	expect(t, r.send(d, "/v1/taps:batch", strings.Repeat(" ", batchBodyMax)), 400,
		"malformed_json")
	expect(t, r.do("GET", "/livez", "x", nil), 400, "body_not_taken")
	if a := r.send(d, "/v1/balances", r.balanceBody(d)); a.status != 200 {
		t.Errorf("afterwards: %v", a)
	}
}

func TestNewRefusesBadOptions(t *testing.T) {
	r := newRig(t, nil)
	good := r.o
	for what, spoil := range map[string]func(*Options){
		"no engine":        func(o *Options) { o.Engine = nil },
		"no registry":      func(o *Options) { o.Registry = nil },
		"no tokenizer":     func(o *Options) { o.Tokenizer = nil },
		"no cards":         func(o *Options) { o.Cards = nil },
		"no entries":       func(o *Options) { o.Entries = nil },
		"no master key":    func(o *Options) { o.MasterKey = nil },
		"short master key": func(o *Options) { o.MasterKey = make([]byte, 16) },
		"small skew":       func(o *Options) { o.Limits.ClockSkew = 59e9 },
		"large skew":       func(o *Options) { o.Limits.ClockSkew = 301e9 },
		"negative budget":  func(o *Options) { o.Limits.Budget = -1 },
		"negative limit":   func(o *Options) { o.Limits.InFlightMax = -1 },
	} {
		o := good
		spoil(&o)
		if s, err := New(o); err == nil {
			t.Errorf("%s: accepted", what)
			_ = s.Shutdown(t.Context())
		}
	}
}

// TestEveryCodeIsProvoked keeps a list of where each code is tested; a new code must be
// added here, and the test named must provoke it.
func TestEveryCodeIsProvoked(t *testing.T) {
	shown := map[string]string{
		"TestBadBodies": "malformed_json trailing_bytes invalid_utf8 nesting_too_deep unknown_field " +
			"duplicate_field missing_field wrong_type field_invalid field_too_long " +
			"number_out_of_range amount_invalid amount_negative amount_overflow " +
			"card_number_invalid request_id_invalid kind_invalid time_invalid",
		"TestPathsAndMethods":           "not_found method_not_allowed",
		"TestMediaTypes":                "unsupported_media_type",
		"TestBodyLimits":                "body_too_large body_not_taken",
		"TestBatchLimits":               "batch_empty batch_too_large",
		"TestRawRequests":               "malformed_http headers_too_large length_required",
		"TestSlowBody":                  "request_timeout",
		"TestSignatureHeaders":          "signature_missing signature_malformed clock_skew terminal_unknown",
		"TestSignatureCoversEverything": "signature_invalid",
		"TestReplayedSignature":         "signature_replayed counter_too_low",
		"TestRevoke":                    "terminal_revoked",
		"TestIDOfAnotherTerminal":       "id_mismatch",
		"TestKindsOfTerminal":           "kind_not_permitted",
		"TestOriginalOfAnotherTerminal": "original_not_permitted original_terminal_unknown",
		"TestTokens":                    "token_missing token_invalid",
		"TestRoles":                     "role_not_permitted",
		"TestReleaseTakesTwo":           "same_person release_unknown release_not_pending",
		"TestReleasesAreBounded":        "releases_full",
		"TestLastAdmin":                 "last_admin operator_not_found",
		"TestFreezeInput":               "field_conflict",
		"TestCardState":                 "card_unknown",
		"TestTerminalLife":              "terminal_not_found",
		"TestTerminalConflict":          "registry_conflict",
		"TestTerminalRate":              "rate_limited",
		"TestOverload":                  "overloaded",
		"TestDrain":                     "not_ready",
		"TestVerdicts":                  "outcome_unknown card_contended internal",
		"TestRegistryDown":              "registry_unavailable",
	}
	where := map[string]string{}
	for test, codes := range shown {
		for code := range strings.FieldsSeq(codes) {
			where[code] = test
		}
	}
	for _, code := range refusal.Codes() {
		if code != refusal.RequestRefused && where[code.String()] == "" {
			t.Errorf("%s is provoked nowhere", code)
		}
	}
	if got := fmt.Sprint(Code(250), Stage(9)); got != "unknown unknown" {
		t.Error(got)
	}
}
