package api

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/deploy"
	"github.com/tapswitch/tapswitch/switch/desk/drill"
	"github.com/tapswitch/tapswitch/switch/desk/foreign"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// withForeign gives a counter the lists of other cities, and drills.
func (c *counter) withForeign(l records) *counter {
	c.t.Helper()
	o := c.options
	e, ok := o.Engine.(*engine.Engine)
	if !ok {
		c.t.Fatal("no engine")
	}
	var err error
	o.Foreign, err = foreign.New(foreign.Options{Engine: e, Registry: c.memory, List: c.memory,
		Tokenizer: o.Tokenizer, Now: c.desk.Now, Local: func(ctx context.Context, card pan.Token) (foreign.Local, error) {
			k, err := c.desk.Known(ctx, card)
			return foreign.Local{Home: k.Home, Issuer: k.Issuer, Mark: k.Mark}, err
		}})
	if err != nil {
		c.t.Fatal(err)
	}
	o.Drills, err = drill.New(drill.Options{Cards: c.memory, Registry: c.memory, Tokenizer: o.Tokenizer,
		Books: deploy.Runbooks(), Now: c.desk.Now})
	if err != nil {
		c.t.Fatal(err)
	}
	o.Days = l
	c.options, c.handler = o, New(o)
	return c
}

// Another city's list comes by a call with its proof, is told with where it stands, and is
// netted with from the ledger; none of our own cards is frozen by it.
func TestAnotherCitysListByItsCall(t *testing.T) {
	ride := txn.Record{Kind: txn.BusBoarding, Outcome: txn.Approved, Issuer: "LUOYANG", BusinessDate: 20260302,
		Postings: []txn.Posting{{Account: "purse", Amount: -200}, {Account: "operator/M5", Amount: 200}}}
	c := newCounter(t, "zhengzhou").withForeign(records{ride, ride})
	c.must("li.lei", "desk", "POST", "/v1/desk/accounts", opening("110101199001011237", cardA))
	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	source := fmt.Sprintf(`{"institution":"LUOYANG","city":"luoyang","algorithm":"ed25519","public_key":"%x"}`, key.Public())
	if r := c.ask("li.lei", "desk", "PUT", "/v1/desk/foreign/luoyang", source); r.status != http.StatusForbidden {
		t.Errorf("%s", r.raw)
	}
	c.must("root", "admin", "PUT", "/v1/desk/foreign/luoyang", source)
	send := func(body string, sign bool) *reply {
		q := httptest.NewRequest("POST", "/v1/desk/foreign/luoyang/lists", strings.NewReader(body))
		q.Header.Set(HeaderActor, "feed")
		q.Header.Set(HeaderRoles, "authority")
		if sign {
			q.Header.Set(ListProofHeader, fmt.Sprintf("%x", ed25519.Sign(key, []byte(body))))
		}
		return c.serve(q)
	}
	list := "source,luoyang\nepoch,7\nmade,2026-03-02T00:30:00Z\nexpires,2026-03-03T00:30:00Z\ncards,2\n" + cardA + "\n" + cardB + "\n"
	if r := send(list, false); r.code() != "proof_wrong" || r.status != http.StatusConflict {
		t.Errorf("%s", r.raw)
	}
	r := send(list, true)
	if r.status != http.StatusOK || !strings.Contains(r.raw, `"frozen":1`) || !strings.Contains(r.raw, `"code":"card_home"`) ||
		strings.Contains(r.raw, cardA) {
		t.Fatalf("%s", r.raw)
	}
	if r := send("nonsense", true); r.code() != "list_invalid" {
		t.Errorf("%s", r.raw)
	}
	if r := c.must("su", "supervisor", "GET", "/v1/desk/foreign", ""); !strings.Contains(r.raw, `"epoch":7`) ||
		!strings.Contains(r.raw, `"expires_at":"2026-03-03T00:30:00Z"`) || !strings.Contains(r.raw, `"stale":false`) {
		t.Errorf("%s", r.raw)
	}
	if r := c.ask("root", "admin", "DELETE", "/v1/desk/foreign/luoyang", ""); r.code() != "source_refused" {
		t.Errorf("%s", r.raw)
	}
	if r := c.must("wu", "finance", "GET", "/v1/desk/netting?from=2026-03-01&to=2026-03-02", ""); !strings.Contains(r.raw,
		`"due":{"LUOYANG":400}`) {
		t.Errorf("%s", r.raw)
	}
	w := httptest.NewRecorder()
	q := httptest.NewRequest("GET", "/v1/desk/netting?format=csv", nil)
	q.Header.Set(HeaderActor, "wu")
	q.Header.Set(HeaderRoles, "finance")
	c.handler.ServeHTTP(w, q)
	if want := "LUOYANG,2026-03-02,2,400,0,400,0\n"; !strings.HasSuffix(w.Body.String(), want) {
		t.Errorf("%s", w.Body)
	}
}

// A drill is started, done step by step and finished by its calls; the supervisor sees it, and
// which runbooks were not drilled in time.
func TestADrillByItsCalls(t *testing.T) {
	c := newCounter(t, "shiyan").withForeign(nil)
	if r := c.must("su", "supervisor", "GET", "/v1/desk/drills", ""); strings.Count(r.raw, `"overdue":true`) != 5 {
		t.Errorf("%s", r.raw)
	}
	if r := c.ask("su", "supervisor", "POST", "/v1/desk/drills", `{"runbook":"breach"}`); r.status != http.StatusForbidden {
		t.Errorf("%s", r.raw)
	}
	if r := c.ask("wang", "admin", "POST", "/v1/desk/drills", `{"runbook":"fire"}`); r.code() != "drill_unknown" {
		t.Errorf("%s", r.raw)
	}
	r := c.must("wang", "admin", "POST", "/v1/desk/drills", `{"runbook":"breach","people":["li","zhao"]}`)
	path := "/v1/desk/drills/" + r.body["id"].(string)
	steps := len(r.body["steps"].([]any))
	if r := c.ask("wang", "admin", "POST", path+"/finish", `{"conclusion":"ok"}`); r.code() != "drill_refused" {
		t.Errorf("%s", r.raw)
	}
	for n := range steps {
		c.must("li", "desk", "POST", path+"/steps", fmt.Sprintf(`{"no":%d,"result":"passed","finding":"4 minutes"}`, n+1))
	}
	c.must("wang", "admin", "POST", path+"/finish", `{"conclusion":"the list took ten minutes"}`)
	if r := c.must("su", "supervisor", "GET", path, ""); r.body["passed"] != true || r.body["finished_by"] != "wang" {
		t.Errorf("%s", r.raw)
	}
	if r := c.must("su", "supervisor", "GET", "/v1/desk/drills", ""); strings.Count(r.raw, `"overdue":true`) != 4 {
		t.Errorf("%s", r.raw)
	}
}
