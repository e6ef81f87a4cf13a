package api

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/desk/finding"
	"github.com/tapswitch/tapswitch/switch/desk/share"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// records is a ledger of a test, by days.
type records []txn.Record

func (l records) Between(_ context.Context, _, _ txn.BusinessDate, yield func(*txn.Record) error) error {
	for i := range l {
		if err := yield(&l[i]); err != nil {
			return err
		}
	}
	return nil
}

// withSharing gives a counter the services of data and evidence over a ledger.
func (c *counter) withSharing(l records, about finding.Holder) *counter {
	c.t.Helper()
	var err error
	o := c.options
	o.Share, err = share.New(share.Options{Desk: c.desk, Policy: o.Policy, Cards: c.memory, Registry: c.memory,
		Tokenizer: o.Tokenizer})
	if err != nil {
		c.t.Fatal(err)
	}
	o.Findings, err = finding.New(finding.Options{Registry: c.memory, City: o.Policy.City, Now: c.desk.Now,
		About: func(context.Context, pan.Token) (finding.Holder, error) { return about, nil }})
	if err != nil {
		c.t.Fatal(err)
	}
	o.Days = l
	c.handler = New(o)
	return c
}

const agreement = `{"title":"Transport office","approval":"2026-3","agreement":"S-17","from":"2026-01-01",
 "until":"2026-12-31","role":"authority","purposes":["dispute"],"fields":["alive","kind"]}`

// noHolder is a card's holder of whom nothing is known.
var noHolder finding.Holder

// A unit is registered by an admin, asks for what was agreed, and is refused beyond it.
func TestUnitsAskForWhatWasAgreed(t *testing.T) {
	c := newCounter(t, "handan").withSharing(nil, noHolder)
	c.must("li.lei", "desk", "POST", "/v1/desk/accounts", opening("110101199001011237", cardA))
	ask := func(body string) *reply {
		return c.ask("transport_office.zhao", "authority", "POST", "/v1/desk/consumers/transport_office/query", body)
	}
	query := `{"card":"` + cardA + `","with":{"purpose":"dispute"}}`
	if r := ask(query); r.code() != "consumer_unknown" || r.status != http.StatusNotFound {
		t.Fatalf("%s", r.raw)
	}
	if r := c.ask("li.lei", "desk", "PUT", "/v1/desk/consumers/transport_office", agreement); r.status != http.StatusForbidden {
		t.Fatalf("a clerk registers a unit: %s", r.raw)
	}
	c.must("root", "admin", "PUT", "/v1/desk/consumers/transport_office", agreement)
	if r := c.must("root", "admin", "GET", "/v1/desk/consumers", ""); !strings.Contains(r.raw, `"until":"2026-12-31"`) {
		t.Errorf("%s", r.raw)
	}
	r := ask(query)
	if person, _ := r.body["person"].(map[string]any); r.status != http.StatusOK || person["alive"] != true || len(person) != 1 {
		t.Fatalf("%s", r.raw)
	}
	if r := c.ask("police.zhao", "authority", "POST", "/v1/desk/consumers/transport_office/query", query); r.status != http.StatusForbidden {
		t.Errorf("an operator of another unit: %s", r.raw)
	}
	for body, want := range map[string]string{
		`{"card":"` + cardA + `","with":{"purpose":"research"}}`:                     "purpose_not_agreed",
		`{"card":"` + cardA + `","with":{"purpose":"dispute","fields":["balance"]}}`: "field_not_agreed",
		`{"card":"` + cardB + `","with":{"purpose":"dispute"}}`:                      "account_unknown",
	} {
		if r := ask(body); r.code() != want {
			t.Errorf("%s: %s", body, r.raw)
		}
	}
	if r := c.ask("root", "admin", "PUT", "/v1/desk/consumers/x", `{"approval":"1"}`); r.code() != "registration_invalid" {
		t.Errorf("%s", r.raw)
	}
	c.must("root", "admin", "DELETE", "/v1/desk/consumers/transport_office", "")
	if r := ask(query); r.code() != "consumer_unknown" {
		t.Errorf("%s", r.raw)
	}
}

// A supplier's batch is taken by its signature, once.
func TestSuppliersDeliver(t *testing.T) {
	c := newCounter(t, "handan").withSharing(nil, noHolder)
	c.must("li.lei", "desk", "POST", "/v1/desk/accounts", opening("110101199001011237", cardA))
	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	c.must("root", "admin", "PUT", "/v1/desk/suppliers/civil_affairs", fmt.Sprintf(
		`{"title":"Civil affairs","kinds":["eligibility"],"algorithm":"ed25519","public_key":"%x"}`, key.Public()))
	body := "supplier,seq,kind,made,total\ncivil_affairs,1,eligibility,2026-03-02T00:59:00Z,1\n" +
		"no,id,on,value,until\n1,110101199001011237,2026-03-01,senior,2027-01-01\n"
	send := func(signature []byte) *httptest.ResponseRecorder {
		q := httptest.NewRequest("POST", "/v1/desk/suppliers/civil_affairs/batches", strings.NewReader(body))
		q.Header.Set(HeaderActor, "feed")
		q.Header.Set(HeaderRoles, "authority")
		q.Header.Set("Content-Type", "text/csv")
		q.Header.Set(BatchSignatureHeader, hex.EncodeToString(signature))
		w := httptest.NewRecorder()
		c.handler.ServeHTTP(w, q)
		return w
	}
	if w := send(nil); !strings.Contains(w.Body.String(), "signature_wrong") {
		t.Fatal(w.Body)
	}
	for _, replay := range []string{"false", "true"} {
		w := send(ed25519.Sign(key, []byte(body)))
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"replay":`+replay) ||
			!strings.Contains(w.Body.String(), `"set_rider":1`) {
			t.Fatal(w.Body)
		}
	}
	if r := c.must("wang", "supervisor", "GET", "/v1/desk/suppliers", ""); !strings.Contains(r.raw, `"completeness":100`) {
		t.Errorf("%s", r.raw)
	}
	c.must("root", "admin", "PUT", "/v1/desk/exchange", `{"inbound":{"city.civil":{"supplier":"civil_affairs","format":"csv"}}}`)
	if r := c.ask("root", "admin", "PUT", "/v1/desk/exchange", `{"topics":{}}`); r.code() != "body_invalid" {
		t.Errorf("%s", r.raw)
	}
	if r := c.must("wang", "viewer", "GET", "/v1/desk/exchange", ""); !strings.Contains(r.raw, "city.civil") {
		t.Errorf("%s", r.raw)
	}
	c.must("root", "admin", "DELETE", "/v1/desk/suppliers/civil_affairs", "")
}

// A person's copy, the list of what is collected, the catalogue, and the retention job.
func TestRightsAndLists(t *testing.T) {
	c := newCounter(t, "zhengzhou").withSharing(nil, noHolder)
	c.must("li.lei", "desk", "POST", "/v1/desk/accounts", opening("110101199001011237", cardA))
	r := c.must("li.lei", "desk", "POST", "/v1/desk/accounts:copy", `{"card":"`+cardA+`","with":{`+who+`,"purpose":"own_records"}}`)
	if r.body["document"] == nil || r.body["kept"] == nil || strings.Contains(r.raw, cardA) {
		t.Errorf("%s", r.raw)
	}
	stranger := strings.Replace(who, "holder", "relative", 1)
	if r := c.ask("li.lei", "desk", "POST", "/v1/desk/accounts:copy", `{"card":"`+cardA+`","with":{`+stranger+`,"purpose":"x"}}`); r.code() != "purpose_not_allowed" {
		t.Errorf("%s", r.raw)
	}
	if r := c.must("-", "", "GET", "/public/collected", ""); len(r.body["collected"].([]any)) != 6 {
		t.Errorf("%s", r.raw)
	}
	if r := c.must("-", "", "GET", "/public/catalogue", ""); r.body["version"] == "" {
		t.Errorf("%s", r.raw)
	}
	if r := c.must("wang", "supervisor", "POST", "/v1/desk/retention", ""); r.body["dry_run"] != true {
		t.Errorf("%s", r.raw)
	}
	if r := c.ask("wang", "supervisor", "POST", "/v1/desk/retention?dry_run=false", ""); r.status != http.StatusForbidden {
		t.Errorf("%s", r.raw)
	}
	if r := c.must("root", "admin", "POST", "/v1/desk/retention?dry_run=false", ""); r.body["erased"] != 0.0 {
		t.Errorf("%s", r.raw)
	}
}

// bus is a record of a bus.
func bus(n uint32, reason txn.Reason) txn.Record {
	gate, err := txn.ParseTerminalID("GATE01")
	if err != nil {
		panic(err)
	}
	r := txn.Record{Position: txn.Position{Bucket: 1, Epoch: 1, Seq: txn.Seq(n)}, Kind: txn.BusBoarding,
		Outcome: txn.Approved, Card: pan.Token{4, 1}, Request: txn.RequestID{Terminal: gate, Boot: 1, Counter: n},
		ServiceAt: 1772413200000 + txn.Millis(n)*1000, Place: txn.Place{Operator: "bus"}}
	if reason != txn.ReasonNone {
		r.Outcome, r.Reason = txn.Declined, reason
	}
	return r
}

// Places, acceptance and evidence by the calls of the desk.
func TestPlacesAndEvidence(t *testing.T) {
	l := records{bus(1, 0), bus(2, txn.UnknownFare), bus(3, txn.CardFrozen)}
	c := newCounter(t, "shiyan").withSharing(l, finding.Holder{Losses: []finding.Span{{From: 1}}})
	if err := c.memory.Put(t.Context(), "terminal/GATE01", []byte(`{"operator":"bus","station":"east","kinds":["bus_boarding"]}`), 0); err != nil {
		t.Fatal(err)
	}
	c.must("root", "admin", "PUT", "/v1/desk/terminals/GATE01/equipment", `{"reads":["card"],"serves":["transit"]}`)
	if r := c.must("wang", "viewer", "GET", "/v1/desk/places/lacking", ""); !strings.Contains(r.raw, `"lacks":["code"]`) {
		t.Errorf("%s", r.raw)
	}
	if r := c.must("wang", "viewer", "GET", "/v1/desk/acceptance?from=2026-03-01&to=2026-03-02", ""); !strings.Contains(r.raw, `"outside":{"fare_unknown":1}`) {
		t.Errorf("%s", r.raw)
	}
	if r := c.ask("wang", "viewer", "GET", "/v1/desk/acceptance?from=soon", ""); r.code() != "day_invalid" {
		t.Errorf("%s", r.raw)
	}
	c.must("root", "admin", "PUT", "/v1/desk/travel", `{"slack_seconds":30,"legs":[{"a":"east","b":"west","minutes":9}]}`)
	if r := c.must("wang", "viewer", "GET", "/v1/desk/travel", ""); !strings.Contains(r.raw, `"minutes":9`) {
		t.Errorf("%s", r.raw)
	}
	for _, made := range []float64{1, 0} {
		if r := c.must("han", "finance", "POST", "/v1/desk/findings:scan", ""); r.body["new"] != made || r.body["found"] != 1.0 {
			t.Fatalf("%s", r.raw)
		}
	}
	if r := c.must("wang", "supervisor", "GET", "/v1/desk/findings", ""); !strings.Contains(r.raw, `"state":"open"`) {
		t.Errorf("%s", r.raw)
	}
	c.must("wang", "supervisor", "GET", "/v1/desk/findings/1", "")
	file := `{"state":"filed","body":"public_security","decision":"7","why":"x"}`
	if r := c.ask("han", "finance", "POST", "/v1/desk/findings/1/decisions", file); r.code() != "use_after_loss_report" {
		t.Errorf("filed against the holder: %s", r.raw)
	}
	if r := c.ask("han", "finance", "POST", "/v1/desk/findings/1/liability", `{"with":{"fault":"lent"}}`); r.code() != "use_after_loss_report" {
		t.Errorf("%s", r.raw)
	}
	c.must("han", "finance", "POST", "/v1/desk/findings/1/decisions", `{"state":"dismissed","why":"a thief"}`)
	if r := c.ask("han", "finance", "GET", "/v1/desk/findings/9", ""); r.code() != "evidence_unknown" {
		t.Errorf("%s", r.raw)
	}
	if r := c.must("wang", "supervisor", "GET", "/v1/desk/findings:verify", ""); r.body["whole"] != true || r.body["verified"] != 1.0 {
		t.Errorf("%s", r.raw)
	}
}
