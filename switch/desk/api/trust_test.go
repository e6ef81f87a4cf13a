package api

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// rides boards a bus until the card is declined, and returns how often it could.
func (c *counter) rides() int {
	c.t.Helper()
	n, err := pan.Parse(cardA)
	if err != nil {
		c.t.Fatal(err)
	}
	terminal, err := txn.ParseTerminalID("BUS1")
	if err != nil {
		c.t.Fatal(err)
	}
	for taken := range 100 {
		at := txn.Millis(c.at.Add(3_600_000))
		a := c.options.Engine.Authorize(c.t.Context(), &txn.Request{Kind: txn.BusBoarding,
			ID:   txn.RequestID{Terminal: terminal, Counter: uint32(at / 1000)},
			Card: c.options.Tokenizer.Token(n), Currency: txn.CNY, ServiceAt: at, ReceivedAt: at})
		if a.Err != nil {
			c.t.Fatal(a.Err)
		}
		if a.Decision.Outcome != txn.Approved {
			if a.Decision.Reason != txn.InsufficientFunds {
				c.t.Fatal(a.Decision.Reason)
			}
			return taken
		}
	}
	c.t.Fatal("rides without end")
	return 0
}

// ZZ14: the body of the trust file sets a flag, with the holder's consent to its purpose and for
// a period; cards ride farther by it, the holder sees who set it and what it is, what is kept is
// published, and taken back it leaves the scheme's own limit.
func TestDuty_ZZ14_ATrustFlagIsSetAndTakenBack(t *testing.T) {
	c := newCounter(t, "zhengzhou")
	const office, holder = "credit_office.wang", "410100199001011231"
	c.must("li.lei", "desk", "POST", "/v1/desk/accounts", opening(holder, cardA))
	command := func(step, with string) string {
		return fmt.Sprintf(`{"holder":%q,"step":%q,"with":{%s}}`, holder, step, with)
	}
	grant := command("grant_trust", `"widen":600,"purpose":"credit_incentive","decision":"2026-17","until":"2026-06-30"`)
	refused := func(who, role, body, code string) {
		t.Helper()
		if r := c.ask(who, role, "POST", "/v1/desk/commands", body); r.code() != code {
			t.Errorf("%s as %s: %s, want %s", who, role, r.raw, code)
		}
	}
	refused("li.lei", "desk", grant, "role_not_permitted")
	refused("wang", "supervisor", grant, "role_not_permitted")
	refused("police.wang", "authority", grant, "purpose_not_allowed")
	refused(office, "authority", grant, "consent_missing")
	c.must("li.lei", "desk", "POST", "/v1/desk/commands", command("give_consent",
		`"party":"credit_office","purpose":"credit_incentive","scope":["transit"],"until":"2026-12-31"`))
	if n := c.rides(); n != 5 {
		t.Fatalf("%d rides under the scheme's own limit", n)
	}
	if r := c.must(office, "authority", "POST", "/v1/desk/commands", grant); r.body["left"] != 0.0 {
		t.Fatal(r.raw)
	}
	if n := c.rides(); n != 3 {
		t.Errorf("%d more rides by the flag", n)
	}
	refused(office, "authority", strings.Replace(grant, "600", "500", 1), "trust_stands")
	query := func() string {
		return c.must("li.lei", "desk", "POST", "/v1/desk/accounts:query",
			fmt.Sprintf(`{"holder":%q,"with":{%s,"purpose":"own_records"}}`, holder, who)).raw
	}
	seen := query()
	for _, want := range []string{`"source":"credit_office"`, `"decision":"2026-17"`, `"until":"2026-06-30"`,
		`"purpose":"credit_incentive"`, `"widen":600`, `"unpaid":8`} {
		if !strings.Contains(seen, want) {
			t.Errorf("the holder does not see %s: %s", want, seen)
		}
	}
	refused("police.wang", "authority", command("withdraw_trust", `"decision":"2026-31"`), "not_the_owner")
	c.must(office, "authority", "POST", "/v1/desk/commands", command("withdraw_trust", `"decision":"2026-31"`))
	if n := c.rides(); n != 0 {
		t.Errorf("%d rides after it was taken back", n)
	}
	if seen := query(); strings.Contains(seen, `"widen":600`) {
		t.Errorf("it is still seen: %s", seen)
	}
	steps := c.must("li.lei", "desk", "GET", "/v1/desk/steps", "")
	for _, step := range []string{"grant_trust", "withdraw_trust"} {
		if steps.status != http.StatusOK || !strings.Contains(steps.raw, step) {
			t.Errorf("the list of steps lacks %s", step)
		}
	}
}

// The flag ends with its last day, on the card at once and in the account when that is due.
func TestATrustFlagEndsWithItsDay(t *testing.T) {
	c := newCounter(t, "zhengzhou")
	const holder = "410100199001011231"
	c.must("li.lei", "desk", "POST", "/v1/desk/accounts", opening(holder, cardA))
	c.must("li.lei", "desk", "POST", "/v1/desk/commands", fmt.Sprintf(`{"holder":%q,"step":"give_consent","with":{
		"party":"credit_office","purpose":"credit_incentive","scope":["transit"]}}`, holder))
	c.must("credit_office.wang", "authority", "POST", "/v1/desk/commands", fmt.Sprintf(`{"holder":%q,
		"step":"grant_trust","with":{"widen":600,"purpose":"credit_incentive","decision":"1","until":"2026-03-03"}}`, holder))
	c.at.Add(2 * 86_400_000) // the morning after
	if n := c.rides(); n != 5 {
		t.Errorf("%d rides, the scheme's own limit is 5", n)
	}
}
