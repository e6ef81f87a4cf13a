package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/blacklist"
	"github.com/tapswitch/tapswitch/switch/desk"
	"github.com/tapswitch/tapswitch/switch/desk/intake"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/fare"
	"github.com/tapswitch/tapswitch/switch/scheme"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const (
	cardA = "3104800000000001"
	cardB = "3104800000000002"
	cardC = "3104800000000003"
)

// marks is the engine's blacklist in front of the store's.
type marks struct{ set *blacklist.Set }

func (m marks) Mark(card pan.Token) txn.Mark        { return m.set.Get(card) }
func (m marks) Learn(card pan.Token, mark txn.Mark) { m.set.Put(card, mark) }

// counter is a desk behind its handler.
type counter struct {
	t       *testing.T
	handler http.Handler
	desk    *desk.Service
	memory  *storetest.Memory
	options Options
	at      *atomic.Int64 // the clock
}

func newCounter(t *testing.T, city string) *counter {
	t.Helper()
	tokenizer, err := pan.NewTokenizer(bytes.Repeat([]byte{9}, 32))
	if err != nil {
		t.Fatal(err)
	}
	at := new(atomic.Int64)
	at.Store(1772413200000) // 2026-03-02 09:00 in China
	now := func() txn.Millis { return txn.Millis(at.Load()) }
	memory := storetest.NewMemory(storetest.MemoryOptions{Now: now})
	if err := memory.OpenEpoch(t.Context(), now()); err != nil {
		t.Fatal(err)
	}
	tariff, err := fare.Compile(fare.File{Version: "test", Bus: fare.BusFares{Default: 200},
		Metro: fare.MetroFares{Default: 500}})
	if err != nil {
		t.Fatal(err)
	}
	limits := engine.DefaultPolicy(tariff)
	limits.PostPaid = engine.PostPaid{Limit: 1000, TapMax: 500, RidesMax: 100, WidenMax: 5000}
	e, err := engine.New(engine.Options{Cards: memory, Blacklist: marks{blacklist.NewSet()}, Policy: limits, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	policy, err := scheme.Load(city)
	if err != nil {
		t.Fatal(err)
	}
	calendar, err := scheme.BuiltInCalendar()
	if err != nil {
		t.Fatal(err)
	}
	d, err := desk.New(desk.Options{Cards: memory, List: memory, Registry: memory, Engine: e,
		Tokenizer: tokenizer, Scheme: desk.City(policy, calendar), TrustMax: limits.PostPaid.WidenMax, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	importer := intake.New(intake.Options{Engine: e, Registry: memory, Tokenizer: tokenizer, Now: now})
	o := Options{Desk: d, Policy: policy, Tokenizer: tokenizer, Engine: e, Importer: importer}
	return &counter{t: t, desk: d, memory: memory, options: o, at: at, handler: New(o)}
}

// reply is an answer as the client sees it.
type reply struct {
	status int
	body   map[string]any
	raw    string
}

func (r *reply) code() string {
	e, _ := r.body["error"].(map[string]any)
	code, _ := e["code"].(string)
	return code
}

// ask sends a request as a person with roles, "-" for nobody.
func (c *counter) ask(who, roles, method, path, body string) *reply {
	c.t.Helper()
	q := httptest.NewRequest(method, path, strings.NewReader(body))
	if who != "-" {
		q.Header.Set(HeaderActor, who)
		for _, role := range strings.Fields(roles) {
			q.Header.Add(HeaderRoles, role)
		}
	}
	return c.serve(q)
}

// serve has the handler answer.
func (c *counter) serve(q *http.Request) *reply {
	c.t.Helper()
	w := httptest.NewRecorder()
	c.handler.ServeHTTP(w, q)
	r := &reply{status: w.Code, raw: w.Body.String()}
	if err := json.Unmarshal(w.Body.Bytes(), &r.body); err != nil {
		c.t.Fatalf("%s %s: %d %s", q.Method, q.URL.Path, w.Code, w.Body)
	}
	return r
}

func (c *counter) must(who, roles, method, path, body string) *reply {
	c.t.Helper()
	r := c.ask(who, roles, method, path, body)
	if r.status != http.StatusOK {
		c.t.Fatalf("%s %s: %d %s", method, path, r.status, r.raw)
	}
	return r
}

const who = `"who":{"actor":"holder","channel":"agency","id":"resident_id"}`

func opening(holder, card string) string {
	return fmt.Sprintf(`{"holder":%q,"outlet":"d1","with":{%s,"checked":true,"carrier":{"token":%q,"kind":"chip",
	 "family":"t_union","ready":true},"numbers":[{"kind":"serial","value":"S-%s"}]}}`, holder, who, card, holder)
}

func TestADayAtTheCounter(t *testing.T) {
	c := newCounter(t, "handan")
	r := c.must("li.lei", "desk", "POST", "/v1/desk/accounts", opening("110101199001011237", cardA))
	if strings.Contains(r.raw, cardA) || strings.Contains(r.raw, "110101") {
		t.Fatal("the answer holds a number")
	}
	account, _ := r.body["account"].(string)
	// The desk finds the account by each of its identifiers.
	for _, by := range []string{`"card":"` + cardA + `"`, `"holder":"110101199001011237"`,
		`"account":"` + account + `"`, `"number":{"kind":"serial","value":"S-110101199001011237"}`} {
		if r := c.must("li.lei", "desk", "POST", "/v1/desk/accounts:find", "{"+by+"}"); r.body["account"] != account {
			t.Errorf("by %s: %s", by, r.raw)
		}
	}
	report := `{"card":"` + cardA + `","outlet":"d1","step":"report_loss","with":{` + who + `,"form":"written","form_no":"f-1","bank_told":true}}`
	if r := c.must("li.lei", "desk", "POST", "/v1/desk/commands", report); r.body["left"] != 0.0 {
		t.Fatalf("%s", r.raw)
	}
	if r := c.ask("li.lei", "desk", "POST", "/v1/desk/commands", report); r.status != http.StatusConflict || r.code() == "" {
		t.Fatalf("reported twice: %d %s", r.status, r.raw)
	}
	release := c.must("li.lei", "desk", "POST", "/v1/desk/commands", `{"card":"`+cardA+`","step":"request_release","with":{`+who+`}}`)
	confirm := fmt.Sprintf(`{"account":%q,"step":"confirm_release","with":{"case":%v}}`, account, release.body["case"])
	if r := c.ask("li.lei", "desk", "POST", "/v1/desk/commands", confirm); r.code() != "same_person" {
		t.Fatalf("confirmed by the same person: %s", r.raw)
	}
	c.must("han.mei", "desk_confirm", "POST", "/v1/desk/commands", confirm)
	query := c.must("li.lei", "desk", "POST", "/v1/desk/accounts:query", `{"account":"`+account+`","with":{`+who+`,"purpose":"own_records"}}`)
	if query.body["money"] == nil {
		t.Fatalf("%s", query.raw)
	}
	c.must("li.lei", "viewer", "GET", "/v1/desk/cases?overdue=1", "")
	if r := c.must("wang", "supervisor", "GET", "/v1/desk/figures", ""); r.body["open"] != 0.0 {
		t.Fatalf("%s", r.raw)
	}
}

// What a command says is read strictly, and the refusal names the field and holds no value.
func TestCommandsAreReadStrictly(t *testing.T) {
	c := newCounter(t, "handan")
	c.must("li.lei", "desk", "POST", "/v1/desk/accounts", opening("110101199001011237", cardA))
	whole := `"step":"report_loss","with":{` + who + `,"form":"written"}}`
	for body, want := range map[string]string{
		`[]`:        "body_invalid",
		`{` + whole: "account_unnamed",
		`{"card":"` + cardA + `","holder":"x",` + whole:                                    "account_unnamed",
		`{"card":"` + cardC + `",` + whole:                                                 "account_unknown",
		`{"card":"` + cardA + `","step":"nothing"}`:                                        "step_unknown",
		`{"card":"` + cardA + `","step":"report_loss","with":{"forms":"written"}}`:         "body_invalid",
		`{"card":"` + cardA + `","step":"report_loss","with":{"form":"spoken"}}`:           "body_invalid",
		`{"card":"` + cardA + `","step":"report_loss","extra":1}`:                          "body_invalid",
		`{"card":"` + cardA + `","step":"suspend_function","with":{"app":"social"}}`:       "role_not_permitted",
		`{"card":"` + cardA + `","id":"01","step":"report_loss"}`:                          "body_invalid",
		`{"card":"` + cardA + `","step":"report_loss","with":{` + who + `,"form":"oral"}}`: "form_not_allowed",
	} {
		r := c.ask("li.lei", "desk", "POST", "/v1/desk/commands", body)
		if r.code() != want || r.status < 400 {
			t.Errorf("%s: %d %s, want %s", body, r.status, r.raw, want)
		}
		if strings.Contains(r.raw, "31048") {
			t.Errorf("%s: the answer holds a card number", body)
		}
	}
}

// The same command twice is one command.
func TestACommandSentTwiceIsOne(t *testing.T) {
	c := newCounter(t, "handan")
	c.must("li.lei", "desk", "POST", "/v1/desk/accounts", opening("110101199001011237", cardA))
	report := `{"id":"00112233445566778899aabbccddeeff","made":"2026-03-02T01:00:00Z","card":"` + cardA +
		`","step":"report_loss","with":{` + who + `,"form":"written","form_no":"f-1","bank_told":true}}`
	first := c.must("li.lei", "desk", "POST", "/v1/desk/commands", report)
	second := c.must("li.lei", "desk", "POST", "/v1/desk/commands", report)
	if second.body["replay"] != true || second.body["case"] != first.body["case"] {
		t.Fatalf("%s", second.raw)
	}
	other := strings.Replace(report, "f-1", "f-2", 1)
	if r := c.ask("li.lei", "desk", "POST", "/v1/desk/commands", other); r.status != http.StatusConflict {
		t.Fatalf("another command under the same id: %s", r.raw)
	}
}

// Nobody does what his role does not permit, and nobody at all without one.
func TestRolesOfTheDesk(t *testing.T) {
	c := newCounter(t, "shiyan")
	c.must("li.lei", "desk", "POST", "/v1/desk/accounts", opening("420300199001011234", cardA))
	if r := c.ask("-", "", "GET", "/v1/desk/cases", ""); r.status != http.StatusUnauthorized {
		t.Errorf("nobody: %d", r.status)
	}
	if r := c.ask("shop", "vendor", "GET", "/v1/desk/cases", ""); r.status != http.StatusForbidden {
		t.Errorf("a vendor: %d", r.status)
	}
	for _, path := range []string{"/v1/desk/commands", "/v1/desk/accounts"} {
		body := `{"card":"` + cardA + `","step":"report_loss"}`
		if r := c.ask("wang", "supervisor", "POST", path, body); r.status != http.StatusForbidden {
			t.Errorf("a supervisor changes something at %s: %d", path, r.status)
		}
	}
}

// SY17: the social-security application alone is suspended, by the authority's role alone.
func TestDuty_SY17_OnlyTheAuthoritySuspends(t *testing.T) {
	c := newCounter(t, "shiyan")
	c.must("li.lei", "desk", "POST", "/v1/desk/accounts", opening("420300199001011234", cardA))
	suspend := `{"card":"` + cardA + `","step":"suspend_function","with":{"app":"social","fault":"rented","decision":"2026-17"}}`
	for _, actor := range []string{"police.wang", "li.lei"} {
		if r := c.ask(actor, "authority", "POST", "/v1/desk/commands", suspend); r.status == http.StatusOK {
			t.Errorf("%s suspended", actor)
		}
	}
	c.must("hr_social_security.wang", "authority", "POST", "/v1/desk/commands", suspend)
	r := c.must("li.lei", "desk", "POST", "/v1/desk/accounts:find", `{"card":"`+cardA+`"}`)
	if !strings.Contains(r.raw, `"scope":["social"]`) {
		t.Errorf("%s", r.raw)
	}
}

// A unit enrols its people: a result a person, and a dry run writes nothing (ZS15, HD14).
func TestDuty_ZS15_HD14_AUnitEnrolsItsPeople(t *testing.T) {
	c := newCounter(t, "handan")
	person := func(holder, card string) string {
		return fmt.Sprintf(`{"holder":%q,"with":{"who":{"actor":"employer","channel":"bulk","id":"resident_id"},
		 "checked":true,"carrier":{"token":%q,"kind":"chip","family":"t_union"}}}`, holder, card)
	}
	list := func(dry bool) string {
		return fmt.Sprintf(`{"unit":"U-7","outlet":"d1","dry_run":%v,"people":[%s,%s,{"holder":"x"}]}`, dry,
			person("110101199001011237", cardA), person("110101199001011245", cardB))
	}
	for _, dry := range []bool{true, true, false} {
		r := c.must("li.lei", "desk", "POST", "/v1/desk/accounts:bulk", list(dry))
		if r.body["accepted"] != 2.0 || r.body["refused"] != 1.0 {
			t.Fatalf("dry %v: %s", dry, r.raw)
		}
	}
	if r := c.must("li.lei", "desk", "POST", "/v1/desk/accounts:bulk", list(false)); r.body["accepted"] != 0.0 {
		t.Fatalf("the same people again: %s", r.raw)
	}
}

// The published list has a version that changes with it, and anybody may read it (ZZ7, SY9).
func TestDuty_ZZ7_SY9_ThePublishedListOfServices(t *testing.T) {
	c := newCounter(t, "zhengzhou")
	r := c.must("-", "", "GET", "/public/services", "")
	if r.body["version"] == "" || len(r.body["services"].([]any)) == 0 {
		t.Fatalf("%s", r.raw)
	}
}

// HD27: wrong data is corrected by the department that is responsible, and by nobody else.
func TestDuty_HD27_TheResponsibleDepartmentCorrects(t *testing.T) {
	c := newCounter(t, "handan")
	c.must("li.lei", "desk", "POST", "/v1/desk/accounts", opening("110101199001011237", cardA))
	r := c.must("li.lei", "desk", "POST", "/v1/desk/commands", `{"card":"`+cardA+`","step":"open_correction",
	 "with":{`+who+`,"field":"unit","old":"0011223344556677","new":"8899aabbccddeeff"}}`)
	correct := fmt.Sprintf(`{"card":%q,"step":"close_correction","with":{"case":%v,"corrected":true}}`,
		cardA, r.body["case"])
	for _, by := range [][2]string{{"li.lei", "desk"}, {"public_security.wang", "authority"}} {
		if r := c.ask(by[0], by[1], "POST", "/v1/desk/commands", correct); r.status == http.StatusOK {
			t.Errorf("%s corrected it", by[0])
		}
	}
	c.must("hr_social_security.chen", "authority", "POST", "/v1/desk/commands", correct)
}
