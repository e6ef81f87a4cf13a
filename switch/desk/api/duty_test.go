package api

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/desk"
	"github.com/tapswitch/tapswitch/switch/notice"
	"github.com/tapswitch/tapswitch/switch/scheme"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// topics is a publisher that only counts.
type topics struct{ sent chan string }

func (p topics) Publish(_ context.Context, topic string, _ notice.Message) error {
	p.sent <- topic
	return nil
}

// withNotices gives a counter real notices, and a desk that makes them.
func (c *counter) withNotices(published topics, alarms *[]string) *counter {
	c.t.Helper()
	now := func() txn.Millis { return txn.Millis(c.at.Load()) }
	n, err := notice.New(notice.Options{Cards: c.memory, Registry: c.memory, Key: make([]byte, notice.KeyMin),
		Now: now, Logger: slog.New(slog.DiscardHandler), Publisher: published, SweepEvery: time.Hour,
		OnAlarm: func(a notice.Alarm) { *alarms = append(*alarms, fmt.Sprintf("%s %d", a.Party, a.Number)) }})
	if err != nil {
		c.t.Fatal(err)
	}
	if err := n.Start(context.Background()); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = n.Close(ctx) // without grace
	})
	calendar, err := scheme.BuiltInCalendar()
	if err != nil {
		c.t.Fatal(err)
	}
	o := c.options
	o.Notices = n
	o.Desk, err = desk.New(desk.Options{Cards: c.memory, List: c.memory, Registry: c.memory, Engine: o.Engine,
		Tokenizer: o.Tokenizer, Scheme: desk.City(o.Policy, calendar), Notices: n, Now: now})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(o.Desk.Close)
	c.options, c.desk, c.handler = o, o.Desk, New(o)
	return c
}

// pass moves the clock and has the notices do what is due by then.
func (c *counter) pass(d time.Duration) {
	c.t.Helper()
	c.at.Add(d.Milliseconds())
	n := c.options.Notices
	for b := range txn.Bucket(txn.BucketCount) {
		due, err := c.memory.DueBefore(c.t.Context(), b, c.desk.Now(), store.Page{Max: 1000})
		if err != nil {
			c.t.Fatal(err)
		}
		due = slices.DeleteFunc(due, func(d store.Due) bool { return d.Key[0] != notice.DuePrefix })
		n.Due(c.t.Context(), due)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	limit := time.After(time.Minute)
	for f := n.Figures(); f.DuesWaiting+f.Waiting+f.Pending > 0; f = n.Figures() {
		select {
		case <-tick.C:
		case <-limit:
			c.t.Fatalf("not idle after a minute: %+v", f)
		}
	}
}

// HD19, HD7: on acceptance every related department is told at once, and each has two hours
// from its receipt. Who has not acted is alarmed at 30, 60 and 90 minutes and named when late.
func TestDuty_HD19_FreezeWithinTwoHoursOfReceipt(t *testing.T) {
	published := topics{make(chan string, 16)}
	var alarms []string
	c := newCounter(t, "handan").withNotices(published, &alarms)
	for _, name := range []string{"transit", "finance"} {
		c.must("root", "admin", "PUT", "/v1/desk/parties/"+name, fmt.Sprintf(`{"kind":"department","scopes":["all"],
		 "channel":"kafka","topic":"freeze.%s","answer":"explicit"}`, name))
	}
	c.must("li.lei", "desk", "POST", "/v1/desk/accounts", opening("110101199001011237", cardA))
	c.must("li.lei", "desk", "POST", "/v1/desk/commands", `{"card":"`+cardA+`","outlet":"d1","step":"report_loss","with":{`+
		who+`,"form":"written","form_no":"f-1","bank_told":true}}`)
	told := []string{<-published.sent, <-published.sent}
	slices.Sort(told)
	if !slices.Equal(told, []string{"freeze.finance", "freeze.transit"}) {
		t.Fatalf("told %v", told)
	}
	card := c.options.Tokenizer.Token(mustPAN(t, cardA))
	ids, err := c.desk.NoticesOf(t.Context(), card)
	if err != nil || len(ids) != 1 {
		t.Fatal(ids, err)
	}
	confirm := func(party, what string) {
		c.must("li.lei", "desk", "POST", "/v1/desk/notices/"+ids[0]+"/parties/"+party+"/confirm", `{`+what+`,"note":"call"}`)
	}
	c.pass(10 * time.Minute)
	confirm("transit", `"received_at":"2026-03-02T01:10:00Z"`)
	c.pass(10 * time.Minute)
	confirm("finance", `"received_at":"2026-03-02T01:20:00Z"`)
	c.pass(20 * time.Minute)
	confirm("transit", `"effective_at":"2026-03-02T01:40:00Z"`)
	for range 20 {
		c.pass(5 * time.Minute)
	}
	if got := fmt.Sprint(alarms); got != "[transit 1 finance 1 finance 2 finance 3]" {
		t.Errorf("alarms %s", got)
	}
	// 11:20 in the morning: the last instant of the two hours is still in time.
	if late := c.must("wang", "supervisor", "GET", "/v1/desk/notices?late=1", ""); len(late.body["late"].([]any)) != 0 {
		t.Errorf("late within the window: %s", late.raw)
	}
	c.pass(time.Millisecond)
	late := c.must("wang", "supervisor", "GET", "/v1/desk/notices?late=1", "")
	if all := late.body["late"].([]any); len(all) != 1 || !strings.Contains(late.raw, `"party":"finance"`) ||
		!strings.Contains(late.raw, `"deadline":"2026-03-02T03:20:00Z"`) {
		t.Errorf("%s", late.raw)
	}
}

func mustPAN(t *testing.T, text string) pan.Number {
	t.Helper()
	n, err := pan.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// HD26, ZS11, WZ10: the holder sees the card's own records with the card or another paper:
// state, balance, and why something was declined.
func TestDuty_HD26_TheHolderSeesHisOwnRecords(t *testing.T) {
	c := newCounter(t, "zhoushan")
	c.must("li.lei", "desk", "POST", "/v1/desk/accounts", opening("110101199001011237", cardA))
	query := func(with string) *reply {
		return c.ask("li.lei", "desk", "POST", "/v1/desk/accounts:query", `{"card":"`+cardA+`","with":{`+with+`}}`)
	}
	for _, with := range []string{who, `"who":{"actor":"holder","channel":"agency"},"card_seen":true`} {
		if r := query(with); r.status != http.StatusOK || r.body["money"] == nil || r.body["document"] == nil {
			t.Errorf("%s: %s", with, r.raw)
		}
	}
	if r := query(`"who":{"actor":"holder","channel":"agency"}`); r.code() != "id_not_allowed" {
		t.Errorf("with neither: %s", r.raw)
	}
	declined := bus(1, txn.InsufficientFunds)
	if text := string(explain(&declined)); !strings.Contains(text, txn.InsufficientFunds.Text().Chinese) {
		t.Errorf("%s", text)
	}
}

// verify sends an amount-free request as a terminal.
func (c *counter) verify(n int, card, app string) *reply {
	c.t.Helper()
	q := httptest.NewRequest("POST", "/v1/verifications", strings.NewReader(fmt.Sprintf(
		`{"id":"1-%d","card":%q,"app":%q,"service_time":"2026-03-02T01:00:00Z"}`, n, card, app)))
	q.Header.Set(HeaderDevice, "DOOR01")
	return c.serve(q)
}

// ZZ7, ZS11: the card proves who one is without payment, under the same freeze as a payment;
// SY9, ZZ10: the answer says how to show it to who sees or hears less well.
func TestDuty_ZZ7_VerifyUnderTheSameFreeze(t *testing.T) {
	c := newCounter(t, "zhengzhou")
	c.must("li.lei", "desk", "POST", "/v1/desk/accounts", opening("110101199001011237", cardA))
	r := c.verify(1, cardA, "identity")
	if r.body["outcome"] != "approved" {
		t.Fatalf("%s", r.raw)
	}
	display, _ := r.body["display"].(map[string]any)
	if display["large_text"] != true || display["sound"] != "accepted" || display["seconds"].(float64) < 3 {
		t.Errorf("%s", r.raw)
	}
	if strings.Contains(r.raw, "holder") || strings.Contains(r.raw, "balance") {
		t.Errorf("a door is told more than it needs: %s", r.raw)
	}
	c.must("li.lei", "desk", "POST", "/v1/desk/commands", `{"card":"`+cardA+`","outlet":"d1","step":"report_loss","with":{`+
		who+`,"form":"written","form_no":"f-1","bank_told":true}}`)
	r = c.verify(2, cardA, "identity")
	if r.body["outcome"] != "declined" || r.body["code"] != "card_frozen" || r.body["message_zh"] == "" {
		t.Errorf("%s", r.raw)
	}
	if r := c.verify(3, cardB, "identity"); r.body["outcome"] != "declined" {
		t.Errorf("an unknown card: %s", r.raw)
	}
}

// SY11, ZZ12, ZZ5, ZS5: the supervisor sees figures of every outlet and can change nothing.
func TestDuty_SY11_TheSupervisorSeesAndChangesNothing(t *testing.T) {
	c := newCounter(t, "handan")
	c.must("li.lei", "desk", "POST", "/v1/desk/accounts", opening("110101199001011237", cardA))
	c.must("li.lei", "desk", "POST", "/v1/desk/commands", `{"card":"`+cardA+`","outlet":"d1","step":"open_complaint","with":{`+who+`}}`)
	c.at.Add((60 * 24 * time.Hour).Milliseconds())
	r := c.must("wang", "supervisor", "GET", "/v1/desk/figures", "")
	if !strings.Contains(r.raw, `{"owner":"d1","open":1,"overdue":1,"kinds":{"complaint":1}}`) {
		t.Errorf("%s", r.raw)
	}
	c.withSharing(nil, noHolder)
	for _, call := range []string{"POST /v1/desk/commands", "POST /v1/desk/accounts", "POST /v1/desk/accounts:bulk",
		"PUT /v1/desk/parties/x", "DELETE /v1/desk/parties/x", "POST /v1/desk/liability:judge",
		"PUT /v1/desk/consumers/x", "POST /v1/desk/retention?dry_run=false", "POST /v1/desk/findings/1/decisions"} {
		method, path, _ := strings.Cut(call, " ")
		if r := c.ask("wang", "supervisor", method, path, `{"step":"report_loss","card":"`+cardA+`"}`); r.status != http.StatusForbidden {
			t.Errorf("%s: %d %s", call, r.status, r.raw)
		}
	}
}

// SY3, SY6, ZZ2, ZZ8: an e-card is had while the card is being made, does what the card does,
// and one report freezes both.
func TestDuty_SY3_CardAndECardHaveEqualEffect(t *testing.T) {
	c := newCounter(t, "shiyan")
	making := strings.Replace(opening("420300199001011234", cardA), `,"ready":true`, "", 1)
	c.must("li.lei", "desk", "POST", "/v1/desk/accounts", making)
	if r := c.verify(1, cardA, "identity"); r.body["code"] != "card_not_active" {
		t.Errorf("a card that is being made: %s", r.raw)
	}
	c.must("li.lei", "desk", "POST", "/v1/desk/commands", `{"card":"`+cardA+`","step":"bind_carrier","with":{`+who+
		`,"carrier":{"token":"`+cardB+`","kind":"e_card","family":"e_card","ready":true}}}`)
	for i, app := range []string{"identity", "social"} {
		if r := c.verify(10+i, cardB, app); r.body["outcome"] != "approved" {
			t.Errorf("%s by e-card: %s", app, r.raw)
		}
	}
	c.must("li.lei", "desk", "POST", "/v1/desk/commands", `{"card":"`+cardB+`","outlet":"d1","step":"report_loss","with":{`+
		who+`,"form":"written","form_no":"f-1","bank_told":true}}`)
	for i, card := range []string{cardA, cardB} {
		if r := c.verify(20+i, card, "identity"); r.body["code"] != "card_frozen" {
			t.Errorf("card %d after the report: %s", i, r.raw)
		}
	}
}
