package ridedesk_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/fare"
	"github.com/tapswitch/tapswitch/switch/fare/price"
	"github.com/tapswitch/tapswitch/switch/ridedesk"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// morning is 21 November 2026, 08:00 in Shenzhen.
var morning = txn.MillisOf(time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC))

const testCard = "6200000000000005"

// notListed is a blacklist without entries.
type notListed struct{}

func (notListed) Mark(pan.Token) txn.Mark       { return txn.Mark{} }
func (notListed) Learn(pan.Token, txn.Mark)     {}
func ptr[T any](v T) *T                         { return &v }
func asDesk(*http.Request) (string, []string)   { return "desk.one", []string{"desk"} }
func asViewer(*http.Request) (string, []string) { return "viewer.one", []string{"viewer"} }
func asNobody(*http.Request) (string, []string) { return "", nil }

// rig is the handler over a real engine, with a card that has 50.00 and an exit without entry.
type rig struct {
	t       *testing.T
	o       ridedesk.Options
	engine  *engine.Engine
	token   pan.Token
	counter uint32
}

func newRig(t *testing.T) *rig {
	t.Helper()
	v, err := price.Compile(price.File{Tariff: "t", Version: "1", Effective: price.Effective{From: 20260101},
		UTCOffset: 8 * time.Hour,
		Fares: []price.Fare{{Name: "metro", Mode: "metro", Pairs: &price.Pairs{Otherwise: ptr(txn.Minor(700)),
			Fares: []price.PairFare{{From: "A", To: "B", Fare: 300}}}}},
		Passes: []price.Pass{{Name: "ten", Price: 1200, Rides: 10}},
		Incomplete: &price.Incomplete{MissingExit: "maximum", MissingEntry: "maximum",
			Correction: &price.Correction{Within: time.Hour, PerMonth: 9}}})
	if err != nil {
		t.Fatal(err)
	}
	tokenizer, err := pan.NewTokenizer(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	number, err := pan.Parse(testCard)
	if err != nil {
		t.Fatal(err)
	}
	now := func() txn.Millis { return morning }
	memory := storetest.NewMemory(storetest.MemoryOptions{Now: now})
	if err := memory.OpenEpoch(t.Context(), morning); err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, token: tokenizer.Token(number)}
	if r.engine, err = engine.New(engine.Options{Cards: memory, Blacklist: notListed{},
		Policy: engine.DefaultPolicy(fare.Of(v)), Now: now}); err != nil {
		t.Fatal(err)
	}
	r.o = ridedesk.Options{Engine: r.engine, Tokenizer: tokenizer, Now: now, Operator: asDesk,
		Roles: []string{"desk", "admin"}, Currency: txn.CNY}
	r.do(txn.Enrol, func(q *txn.Request) { q.Enrolment.Apps = txn.AppTransit | txn.AppPurse })
	r.do(txn.Load, func(q *txn.Request) { q.Amount = 5000 })
	r.do(txn.MetroExit, func(q *txn.Request) { q.Place = txn.Place{Operator: "M1", Station: "B"} })
	return r
}

func (r *rig) do(kind txn.Kind, change func(*txn.Request)) {
	r.t.Helper()
	r.counter++
	q := &txn.Request{ID: txn.RequestID{Terminal: txn.TerminalID{'G'}, Boot: 1, Counter: r.counter}, Kind: kind,
		Card: r.token, Currency: txn.CNY, ServiceAt: morning - 1000, ReceivedAt: morning}
	change(q)
	if a := r.engine.Authorize(r.t.Context(), q); a.Err != nil || a.Decision.Outcome != txn.Approved {
		r.t.Fatalf("%s: %+v", kind, a)
	}
}

// post returns status, code and the numbers of the answer.
func (r *rig) post(path, body string) (status int, code string, answer map[string]any) {
	r.t.Helper()
	q := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	w := httptest.NewRecorder()
	ridedesk.New(r.o).ServeHTTP(w, q)
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		r.t.Fatalf("%s: %v", w.Body, err)
	}
	if strings.Contains(w.Body.String(), testCard) {
		r.t.Fatalf("the answer shows the card: %s", w.Body)
	}
	code, _ = answer["code"].(string)
	if fault, ok := answer["error"].(map[string]any); ok {
		code, _ = fault["code"].(string)
	}
	return w.Code, code, answer
}

const correct = `{"id":"1-1","card":"` + testCard + `","service_time":"2026-11-21T08:00:00+08:00","operator":"M1","station":"A"}`

func TestCorrectionsAndPasses(t *testing.T) {
	r := newRig(t)
	pass := strings.NewReplacer(`"operator":"M1","station":"A"`, `"pass":"ten","amount":1200`, "1-1", "1-2").Replace(correct)
	for _, step := range []struct {
		path, body, code string
		status           int
		charged, balance float64
		replay           bool
	}{
		{"corrections", correct, "approved", 200, -400, 4700, false},
		{"corrections", correct, "approved", 200, -400, 4700, true},
		{"corrections", strings.Replace(correct, "1-1", "1-3", 1), "original_unknown", 409, 0, 4700, false},
		{"passes", strings.Replace(pass, "1200", "1100", 1), "fare_mismatch", 409, 0, 4700, false},
		{"passes", strings.Replace(pass, "1-2", "1-4", 1), "approved", 200, 1200, 3500, false},
		{"passes", strings.Replace(pass, "1-2", "1-4", 1), "approved", 200, 1200, 3500, true},
		{"passes", pass, "request_id_reused", 409, 0, 0, false}, // 1-2 was asked with another price
	} {
		status, code, a := r.post(ridedesk.Prefix+step.path, step.body)
		if status != step.status || code != step.code || a["charged"] != step.charged ||
			a["balance"] != step.balance || a["replay"] != step.replay {
			t.Errorf("%s %s: %d %s %v, want %+v", step.path, step.body, status, code, a, step)
		}
	}
}

func TestRefusedCalls(t *testing.T) {
	r := newRig(t)
	change := func(old, with string) string { return strings.Replace(correct, old, with, 1) }
	for name, body := range map[string]string{
		"no id": change(`"id":"1-1",`, ""), "another form of id": change("1-1", "01-1"), "an id alone": change("1-1", "7"),
		"no card": change(`"card":"`+testCard+`",`, ""), "no station": change(`,"station":"A"`, ""),
		"no time": change(`"service_time":"2026-11-21T08:00:00+08:00",`, ""), "a wrong card": change("0005", "000x"),
		"a pass":         change(`"station":"A"`, `"station":"A","pass":"ten"`),
		"an unknown key": change(`"station"`, `"colour":"red","station"`), "no JSON": "{",
		"a long name": change(`"A"`, `"`+strings.Repeat("A", 49)+`"`), "too much": strings.Repeat(" ", 5000) + correct,
	} {
		if status, code, a := r.post(ridedesk.Prefix+"corrections", body); status != 400 || code != "body_invalid" {
			t.Errorf("%s: %d %v", name, status, a)
		}
	}
	if status, code, _ := r.post(ridedesk.Prefix+"passes", change(`"A"`, `"A","pass":"ten"`)); status != 400 {
		t.Errorf("a pass with a station: %d %s", status, code)
	}
	if status, code, _ := r.post(ridedesk.Prefix+"other", correct); status != 404 || code != "not_found" {
		t.Errorf("another path: %d %s", status, code)
	}
	for want, who := range map[string]func(*http.Request) (string, []string){
		"token_missing": asNobody, "role_not_permitted": asViewer} {
		r.o.Operator = who
		if _, code, _ := r.post(ridedesk.Prefix+"corrections", correct); code != want {
			t.Errorf("%s, want %s", code, want)
		}
	}
	r.o.Operator, r.o.Engine = asDesk, broken{}
	if status, code, _ := r.post(ridedesk.Prefix+"corrections", correct); status != 503 || code != "store_unavailable" {
		t.Errorf("in doubt: %d %s", status, code)
	}
}

// broken is an engine whose store does not answer.
type broken struct{}

func (broken) Authorize(context.Context, *txn.Request) engine.Answer {
	return engine.Answer{Err: errors.New("no answer")}
}
