package api

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// on sets the clock to noon of a day in China and lets the desk do what is due by then.
func (c *counter) on(day string) {
	c.t.Helper()
	at, err := time.Parse(time.RFC3339, day+"T12:00:00+08:00")
	if err != nil {
		c.t.Fatal(err)
	}
	c.at.Store(at.UnixMilli())
	for b := range txn.Bucket(txn.BucketCount) {
		due, err := c.memory.DueBefore(c.t.Context(), b, c.desk.Now(), store.Page{Max: 1000})
		if err != nil {
			c.t.Fatal(err)
		}
		c.desk.Due(due)
	}
}

// taps asks the switch for a purchase with a card and returns the reason.
func (c *counter) taps(number string, n uint32) txn.Reason {
	c.t.Helper()
	gate, err := txn.ParseTerminalID("GATE01")
	if err != nil {
		c.t.Fatal(err)
	}
	now := c.desk.Now()
	a := c.options.Engine.Authorize(c.t.Context(), &txn.Request{ID: txn.RequestID{Terminal: gate, Boot: 9, Counter: n},
		Kind: txn.Verify, App: txn.AppPurse, Card: c.options.Tokenizer.Token(mustPAN(c.t, number)), Currency: txn.CNY,
		ServiceAt: now, ReceivedAt: now})
	if a.Err != nil {
		c.t.Fatal(a.Err)
	}
	return a.Decision.Reason
}

// stage waits until the account of cardA tells a stage of its validity.
func (c *counter) stage(want string) {
	c.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	limit := time.After(time.Minute)
	for {
		r := c.must("li.lei", "desk", "POST", "/v1/desk/accounts:find", `{"card":"`+cardA+`"}`)
		document, _ := r.body["document"].(map[string]any)
		if got, _ := document["stage"].(string); got == want {
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			c.t.Fatalf("no stage %q: %s", want, r.raw)
		}
	}
}

// HD13, ZS26: a card is valid for ten years; the holder applies for the next one at least 30 days
// before the end. From 90 days before, renewal is open; from 30 days before, it is overdue;
// after the last day the card is declined for a reason of its own, and an open renewal keeps it
// in service (HD25).
func TestDuty_HD13_TenYearsThenRenewal(t *testing.T) {
	c := newCounter(t, "handan") // 2026-03-02
	c.must("li.lei", "desk", "POST", "/v1/desk/accounts", opening("110101199001011237", cardA))
	c.must("li.lei", "desk", "POST", "/v1/desk/accounts", opening("110101199001011245", cardB))
	r := c.must("li.lei", "desk", "POST", "/v1/desk/accounts:find", `{"card":"`+cardA+`"}`)
	if !strings.Contains(r.raw, `"expires_on":"2036-03-01"`) {
		t.Fatalf("not ten years: %s", r.raw)
	}
	renew := func(card string) *reply {
		return c.ask("li.lei", "desk", "POST", "/v1/desk/commands", `{"card":"`+card+`","outlet":"d1","step":"apply_renewal","with":{`+
			who+`,"old":"`+card+`","ground":"expiry","accept":true}}`)
	}
	c.on("2035-12-01") // 91 days before
	if r := renew(cardA); r.status != http.StatusConflict {
		t.Fatalf("renewed too early: %s", r.raw)
	}
	c.on("2035-12-03")
	c.stage("renewal_open")
	c.on("2036-02-01")
	c.stage("renewal_overdue")
	if r := renew(cardA); r.status != http.StatusOK {
		t.Fatalf("renewal: %s", r.raw)
	}
	c.on("2036-03-01") // the last day
	if got := c.taps(cardB, 1); got != txn.ReasonNone {
		t.Fatalf("on its last day: %s", got)
	}
	c.on("2036-03-02")
	if got := c.taps(cardB, 2); got != txn.CardExpired {
		t.Fatalf("after its last day: %s", got)
	}
	if got := c.taps(cardA, 3); got != txn.ReasonNone {
		t.Fatalf("with an open renewal: %s", got)
	}
	c.stage("expired")
}

// HD14, ZS15, WZ14: the person or the employer applies, with true data that was checked. Each
// person of a list gets a result of his own; unchecked data is refused; the unit is kept; and
// nothing of a face or a finger can be handed in.
func TestDuty_HD14_TheEmployerAppliesWithCheckedData(t *testing.T) {
	c := newCounter(t, "handan")
	person := func(holder, card, more string) string {
		return fmt.Sprintf(`{"holder":%q,"with":{"who":{"actor":"employer","channel":"bulk","id":"resident_id"},
		 %s"carrier":{"token":%q,"kind":"chip","family":"t_union","ready":true}}}`, holder, more, card)
	}
	list := func(dry bool) string {
		return fmt.Sprintf(`{"unit":"U-7","outlet":"d1","dry_run":%v,"people":[%s,%s,%s]}`, dry,
			person("110101199001011237", cardA, `"checked":true,`), person("110101199001011245", cardB, ""),
			person("110101199001011253", cardC, `"checked":true,"portrait":"ff",`))
	}
	for _, dry := range []bool{true, false} {
		r := c.must("li.lei", "desk", "POST", "/v1/desk/accounts:bulk", list(dry))
		results, _ := r.body["results"].([]any)
		if r.body["accepted"] != 1.0 || r.body["refused"] != 2.0 || len(results) != 3 ||
			!strings.Contains(r.raw, "not_checked") || !strings.Contains(r.raw, "with.portrait is not known") {
			t.Fatalf("dry %v: %s", dry, r.raw)
		}
		find := c.ask("li.lei", "desk", "POST", "/v1/desk/accounts:find", `{"card":"`+cardA+`"}`)
		if (find.status == http.StatusOK) == dry || !dry && !strings.Contains(find.raw, `"unit":"U-7"`) {
			t.Fatalf("dry %v: %s", dry, find.raw)
		}
	}
	for _, card := range []string{cardB, cardC} {
		if r := c.ask("li.lei", "desk", "POST", "/v1/desk/accounts:find", `{"card":"`+card+`"}`); r.status != http.StatusNotFound {
			t.Errorf("enrolled all the same: %s", r.raw)
		}
	}
	// The person himself, at the desk.
	c.must("li.lei", "desk", "POST", "/v1/desk/accounts", opening("110101199001011245", cardB))
}

// HD24, ZS20, WZ18: a card is cancelled after the affairs that hang on it are settled: what is open
// is listed by name and refused, whoever asks for it must be one that the city names, and the
// agency may do it by itself only where the city's text says so.
func TestDuty_HD24_CancelledAfterItsAffairsAreSettled(t *testing.T) {
	for _, x := range []struct {
		city, other, stranger string
		exOfficio             bool
	}{{"handan", "relative", "employer", true}, {"zhoushan", "relative", "employer", false},
		{"wenzhou", "heir", "employer", true}} {
		c := newCounter(t, x.city)
		if r := c.ask("li.lei", "desk", "POST", "/v1/desk/accounts", opening("110101199001011237", cardA)); r.status != 200 {
			t.Fatalf("%s: %s", x.city, r.raw)
		}
		ask := func(actor, more string) *reply {
			return c.ask("li.lei", "desk", "POST", "/v1/desk/commands", `{"card":"`+cardA+
				`","outlet":"d1","step":"request_cancellation","with":{"who":{"actor":"`+actor+
				`","channel":"agency","id":"resident_id"}`+more+`}}`)
		}
		if r := ask(x.stranger, ""); r.status != http.StatusConflict {
			t.Errorf("%s: by the %s: %s", x.city, x.stranger, r.raw)
		}
		if r := ask("agency", `,"decision":"D-1"`); (r.status == http.StatusOK) != x.exOfficio {
			t.Errorf("%s: ex officio: %s", x.city, r.raw)
		} else if x.exOfficio {
			c.must("li.lei", "desk", "POST", "/v1/desk/commands", fmt.Sprintf(
				`{"card":%q,"step":"withdraw_case","with":{"case":%v}}`, cardA, r.body["case"]))
		}
		complaint := c.must("li.lei", "desk", "POST", "/v1/desk/commands", `{"card":"`+cardA+
			`","outlet":"d1","step":"open_complaint","with":{`+who+`}}`)
		asked := ask(x.other, "")
		if asked.status != http.StatusOK {
			t.Fatalf("%s: by the %s: %s", x.city, x.other, asked.raw)
		}
		complete := fmt.Sprintf(`{"card":%q,"outlet":"d1","step":"complete_cancellation","with":{"case":%v,"outlet":"d1"}}`,
			cardA, asked.body["case"])
		if r := c.ask("li.lei", "desk", "POST", "/v1/desk/commands", complete); r.code() != "not_settled" ||
			!strings.Contains(r.raw, `"left":["cases"]`) {
			t.Fatalf("%s: with an open complaint: %s", x.city, r.raw)
		}
		c.must("li.lei", "desk", "POST", "/v1/desk/commands", fmt.Sprintf(
			`{"card":%q,"outlet":"d1","step":"answer_complaint","with":{"case":%v,"upheld":true,"proof_no":"R-1",
			 "paper":{"no":"P-1","facts":"f","reasons":"r","remedies":"s"}}}`, cardA, complaint.body["case"]))
		c.must("li.lei", "desk", "POST", "/v1/desk/commands", complete)
		if got := c.taps(cardA, 1); got != txn.CardCancelled {
			t.Errorf("%s: cancelled, and %s", x.city, got)
		}
	}
}

// ZZ4, ZZ7: cities work together. What another city's card paid here its institution owes us, what
// was loaded on it or given back here we owe; by institution and day, from the ledger, our own
// cards and declined taps left out.
func TestDuty_ZZ4_CitiesNetByDay(t *testing.T) {
	moved := func(issuer string, day txn.BusinessDate, kind txn.Kind, purse txn.Minor) txn.Record {
		return txn.Record{Kind: kind, Outcome: txn.Approved, Issuer: issuer, BusinessDate: day,
			Postings: []txn.Posting{{Account: "purse", Amount: purse}, {Account: "operator/M5", Amount: -purse}}}
	}
	declined := moved("LUOYANG", 20260301, txn.BusBoarding, 0)
	declined.Outcome, declined.Postings = txn.Declined, nil
	c := newCounter(t, "zhengzhou").withForeign(records{
		moved("LUOYANG", 20260301, txn.BusBoarding, -200), moved("LUOYANG", 20260301, txn.MetroExit, -450),
		moved("LUOYANG", 20260301, txn.Refund, 200), declined, moved("LUOYANG", 20260302, txn.Load, 5000),
		moved("KAIFENG", 20260301, txn.Purchase, -1200), moved("", 20260301, txn.Purchase, -9999),
	})
	for _, name := range []string{"luoyang", "kaifeng"} {
		c.must("root", "admin", "PUT", "/v1/desk/foreign/"+name, fmt.Sprintf(
			`{"institution":%q,"city":%q,"algorithm":"ed25519","public_key":"%064x"}`, strings.ToUpper(name), name, 7))
	}
	const days = "/v1/desk/netting?from=2026-03-01&to=2026-03-02"
	if r := c.ask("li.lei", "desk", "GET", days, ""); r.status != http.StatusForbidden {
		t.Errorf("told to the desk: %s", r.raw)
	}
	r := c.must("wu", "finance", "GET", days, "")
	for _, want := range []string{`"due":{"KAIFENG":1200,"LUOYANG":-4550}`,
		`{"day":"2026-03-01","net":{"institution":"LUOYANG","count":3,"used":650,"given":200,"due":450,"declined":1}}`,
		`{"day":"2026-03-02","net":{"institution":"LUOYANG","count":1,"used":0,"given":5000,"due":-5000,"declined":0}}`} {
		if !strings.Contains(r.raw, want) {
			t.Errorf("want %s in %s", want, r.raw)
		}
	}
}
