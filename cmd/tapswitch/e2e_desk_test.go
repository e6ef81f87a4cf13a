package main

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/crypto/receipt"
	"github.com/tapswitch/tapswitch/switch/blacklist/list"
	"github.com/tapswitch/tapswitch/switch/sim"
	"github.com/tapswitch/tapswitch/switch/sim/bankhost"
	"github.com/tapswitch/tapswitch/switch/sim/faultproxy"
)

// lostReason is what a terminal is told of a lost card.
const lostReason = "card_frozen"

// deskLost is a freeze under way: what the story of the tests is about.
type deskLost struct {
	account string
	done    deskDone
	tokens  []pan.Token // chip and e-card
	held    *list.List  // what the first gate holds, of before the freeze
	later   pan.Token   // another card, lost after the restart
}

// tokensOf returns the tokens of an account's carriers, frozen or not.
func (c *deskCity) tokensOf(account string) (tokens []pan.Token) {
	c.t.Helper()
	var found struct {
		Document struct {
			Carriers []struct{ Token string }
		}
	}
	c.call(http.MethodPost, "/v1/desk/accounts:find", fmt.Sprintf(`{"account":%q}`, account), &found)
	for _, k := range found.Document.Carriers {
		token, err := pan.ParseToken(k.Token)
		if err != nil {
			c.t.Fatal(err)
		}
		tokens = append(tokens, token)
	}
	return tokens
}

// gateBegins polls as the software of a vendor's gate does before anything happened: full
// files of two formats, a part of one, nothing new. It returns the list that it then holds.
func (c *deskCity) gateBegins(keys *list.Keys) *list.List {
	c.t.Helper()
	var exact []byte
	c.until("a first list", func() (bool, error) {
		status, _, body := c.list(0, "/v1/lists/transit/full?format=exact")
		exact = body
		return status == http.StatusOK, fmt.Errorf("%d %s", status, body)
	})
	held, err := list.Open(exact, keys)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, _, filter := c.list(1, "/v1/lists/transit/full?format=filter16"); len(filter) > 0 {
		if _, err := list.Open(filter, keys); err != nil {
			c.t.Errorf("filter: %v", err)
		}
	}
	status, header, part := c.list(0, "/v1/lists/transit/full?format=exact", "Range", "bytes=0-7")
	if status != http.StatusPartialContent || string(part) != "TAPSLIST" || header.Get("Etag") == "" {
		c.t.Errorf("a range: %d %q %v", status, part, header)
	}
	delta := fmt.Sprintf("/v1/lists/transit/delta?from=%d", held.Epoch())
	status, header, _ = c.list(0, delta)
	if status != http.StatusNoContent {
		c.t.Errorf("nothing new: %d", status)
	}
	if status, _, _ := c.list(0, delta, "If-None-Match", header.Get("Etag")); status != http.StatusNotModified {
		c.t.Errorf("nothing new to who asks so: %d", status)
	}
	return held
}

// begin opens the account, has the gate begin, reports the loss and looks at what holds at
// once: both carriers are refused and both parties are told.
func (c *deskCity) begin() *deskLost {
	c.t.Helper()
	l := &deskLost{account: c.open("110101199001011234", deskChip, deskECard)}
	l.tokens = c.tokensOf(l.account)
	keys, err := list.NewKeys(c.publicKey())
	if err != nil {
		c.t.Fatal(err)
	}
	l.held = c.gateBegins(keys)
	if a := c.tap(0, deskECard, 0); a.Reason == lostReason {
		c.t.Fatalf("frozen before the report: %+v", a)
	}
	begun := time.Now()
	l.done = c.report(deskChip)
	reported := time.Since(begun)
	first := c.tap(0, deskChip, 0)
	c.t.Logf("report answered after %s, refused on line %s after it was sent (%s)",
		reported.Round(100*time.Microsecond), time.Since(begun).Round(100*time.Microsecond), first.Reason)
	for _, card := range []string{deskChip, deskECard} {
		if a := c.tap(1, card, 0); a.Outcome != "declined" || a.Reason != lostReason {
			c.t.Errorf("a lost carrier: %+v", a)
		}
	}
	for _, name := range []string{"transit", "utility"} {
		p := c.parties[name]
		c.until(name+" to be told", func() (bool, error) {
			n := len(p.heard())
			return n == 2, fmt.Errorf("%d notices", n)
		})
		for _, m := range p.heard() {
			if !p.signed(m) || m.Kind != "freeze" || m.Reason != "lost" {
				c.t.Errorf("%s was told %s, signed %q", name, m.body, m.signature)
			}
		}
	}
	return l
}

// notices returns the freeze notices of a loss, by carrier.
func (c *deskCity) notices(l *deskLost) map[string]deskNotice {
	c.t.Helper()
	all := map[string]deskNotice{}
	for _, k := range c.freeze(l.account).Carriers {
		all[k.Token] = k.Notice
	}
	if len(all) != len(l.tokens) {
		c.t.Fatalf("%d carriers are frozen, want %d", len(all), len(l.tokens))
	}
	return all
}

// answers has one party acknowledge, and looks at its clock and at who may not answer.
func (c *deskCity) answers(l *deskLost) {
	c.t.Helper()
	transit, utility := c.parties["transit"], c.parties["utility"]
	for _, m := range transit.heard() {
		at := time.Now().Truncate(time.Millisecond)
		if status, _ := c.acknowledge(transit, m, utility.secret, at, at); status != http.StatusUnauthorized {
			c.t.Errorf("with the key of another party: %d", status)
		}
		for range 2 {
			if status, text := c.acknowledge(transit, m, transit.secret, at, at); status != http.StatusOK {
				c.t.Errorf("acknowledgement: %d %s", status, text)
			}
		}
	}
	for token, n := range c.notices(l) {
		if k := n.clock("transit"); k.State != "effective" || k.Basis != "receipt" || k.Received == nil || k.Late {
			c.t.Errorf("card %s: %+v", token, k)
		}
	}
}

// late waits until the party that never answers is late, which is seen and alarmed.
func (c *deskCity) late(l *deskLost) {
	c.t.Helper()
	c.until("a late party", func() (bool, error) {
		for _, n := range c.notices(l) {
			if k := n.clock("utility"); !k.Late || k.Alarms != 3 || k.Basis != "sending" {
				return false, fmt.Errorf("%+v", k)
			}
		}
		return true, nil
	})
	var late struct {
		Late []struct{ Party, State string }
	}
	c.call(http.MethodGet, "/v1/desk/notices?late=1", "", &late)
	if len(late.Late) != 2 || late.Late[0].Party != "utility" {
		c.t.Errorf("late: %+v", late)
	}
	for _, name := range []string{"tapswitch_notice_late_total", "tapswitch_notice_alarms_total"} {
		c.until(name, func() (bool, error) {
			v, err := c.node.metric(name, "")
			return v >= 2, fmt.Errorf("%v, %w", v, err)
		})
	}
}

// coverage brings all gates to the present list: by poll, by acknowledgement and by the epoch
// on a tap.
func (c *deskCity) coverage(l *deskLost) {
	c.t.Helper()
	keys, err := list.NewKeys(c.publicKey())
	if err != nil {
		c.t.Fatal(err)
	}
	var held *list.List
	c.until("the freeze in a list", func() (bool, error) {
		status, _, body := c.list(0, fmt.Sprintf("/v1/lists/transit/delta?from=%d", l.held.Epoch()))
		switch status {
		case http.StatusOK:
			held, err = l.held.Apply(body, keys)
		case http.StatusGone, http.StatusNotFound: // the epoch of a process that is gone
			_, _, body = c.list(0, "/v1/lists/transit/full?format=exact")
			held, err = list.Open(body, keys)
		case http.StatusNoContent:
			held = l.held
		default:
			return false, fmt.Errorf("%d", status)
		}
		if err != nil {
			return false, err
		}
		l.held = held
		return held.Contains(l.tokens[0]) && (l.later.IsZero() || held.Contains(l.later)),
			fmt.Errorf("epoch %d", held.Epoch())
	})
	for _, token := range l.tokens {
		if !held.Contains(token) {
			c.t.Errorf("the list does not have carrier %s", token)
		}
	}
	_, _, filter := c.list(1, "/v1/lists/transit/full?format=filter8")
	if f, err := list.Open(filter, keys); err != nil || !f.Contains(l.tokens[1]) {
		c.t.Errorf("the filter does not have it: %v", err)
	}
	share := func(want float64) {
		c.t.Helper()
		c.until(fmt.Sprintf("a coverage of %v", want), func() (bool, error) {
			for _, k := range c.freeze(l.account).Carriers {
				if g := k.Gates; !g.Published || g.Share < want || g.Total != deskGates {
					return false, fmt.Errorf("%+v", g)
				}
			}
			return true, nil
		})
	}
	epoch := uint64(held.Epoch())
	c.list(0, fmt.Sprintf("/v1/lists/transit/delta?from=%d", epoch))
	c.list(1, "/v1/lists/transit/current", list.EpochHeader, fmt.Sprint(epoch))
	share(0.5)
	if v, err := c.node.metric("tapswitch_list_devices", `state="behind"`); err != nil || v != 2 {
		c.t.Errorf("%v gates are behind: %v", v, err)
	}
	body := fmt.Appendf(nil, `{"epoch":%d}`, epoch)
	if r, err := c.client.Send(c.t.Context(), c.gates[2], "/v1/lists/ack", body); err != nil || r.Status != http.StatusNoContent {
		c.t.Errorf("ack: %d %v", r.Status, err)
	}
	c.tap(3, deskChip, epoch)
	share(1)
	if v, err := c.node.metric("tapswitch_list_coverage_share", ""); err != nil || v != 1 {
		c.t.Errorf("the share is %v: %v", v, err)
	}
}

// receipt fetches the receipt of the freeze and verifies it with nothing but the public key.
func (c *deskCity) receipt(l *deskLost) {
	c.t.Helper()
	path := fmt.Sprintf("/v1/desk/accounts/%s/receipts/%d", l.account, l.done.Case)
	r, err := c.client.Operate(c.t.Context(), c.admin, http.MethodGet, path, nil)
	if err != nil || r.Status != http.StatusOK {
		c.t.Fatalf("receipt: %d %v", r.Status, err)
	}
	trusted, err := receipt.NewKeys(c.publicKey())
	if err != nil {
		c.t.Fatal(err)
	}
	f, err := trusted.VerifyFreeze(r.Body)
	if err != nil {
		c.t.Fatalf("%v: %s", err, r.Body)
	}
	// Five of the policy, of which two have an address here.
	if f.Reason != "lost" || len(f.Parties) != 5 || f.ListEpoch == 0 || f.ReceivedAt.IsZero() {
		c.t.Errorf("%+v", f)
	}
	forged := bytes.Replace(r.Body, []byte("lost"), []byte("risk"), 1)
	if _, err := trusted.VerifyFreeze(forged); err == nil {
		c.t.Error("a forged receipt is taken")
	}
}

// pages looks at the city's page and the card's, in both languages.
func (c *deskCity) pages(l *deskLost) {
	c.t.Helper()
	for path, wants := range map[string][]string{
		"/freezes?lang=en": {"Handan", "LATE by", "Public transport", "Done, took", "100 %", "Every gate holds this list"},
		"/freezes?lang=zh": {"邯郸居民卡", "超时", "公用事业单位", "全部闸机均已持有本期名单"},
		"/freezes/" + l.tokens[0].String() + "?lang=en": {"This card is frozen", "reported lost", "LATE by", "100 %"},
		"/freezes/" + l.tokens[1].String() + "?lang=zh": {"此卡已冻结", "挂失", "100 %"},
		"/freezes/" + l.later.String() + "?lang=en":     {"This card is frozen", "whole line", "L1", "L2"},
	} {
		body := c.page(path)
		for _, want := range wants {
			if !strings.Contains(body, want) {
				c.t.Errorf("%s has no %q", path, want)
			}
		}
		if strings.Contains(body, deskChip) || strings.Contains(body, deskECard) {
			c.t.Errorf("%s shows a card number", path)
		}
	}
}

// TestE2EDesk: a loss from the report to the last gate, with a kill of the switch between the
// report and the answers of the parties.
func TestE2EDesk(t *testing.T) {
	t.Parallel()
	c := newDeskCity(t)
	c.party("transit", "operator")
	c.party("utility", "utility")
	l := c.begin()
	before := map[string]*time.Time{}
	c.until("the clocks to run", func() (bool, error) {
		for token, n := range c.notices(l) {
			if before[token] = n.clock("utility").Start; before[token] == nil {
				return false, fmt.Errorf("%+v", n)
			}
		}
		return true, nil
	})
	c.node.kill()
	c.restart()
	for token, n := range c.notices(l) {
		if at := n.clock("utility").Start; at == nil || !at.Equal(*before[token]) {
			t.Errorf("card %s: the clock began at %v, and at %v after the restart", token, before[token], at)
		}
	}
	if a := c.tap(0, deskECard, 0); a.Outcome != "declined" {
		t.Errorf("after the restart: %+v", a)
	}
	c.answers(l)
	c.late(l)
	l.later = c.tokensOf(c.open("110101199001015678", deskSecond, ""))[0]
	c.report(deskSecond)
	c.coverage(l)
	c.receipt(l)
	c.pages(l)
	if n := len(c.parties["transit"].heard()); n != 3 {
		t.Errorf("the party was told of %d notices", n)
	}
	c.doctor(map[string]string{"desk.city": "ok", "keys.notice_file": "ok", "keys.signing_file": "ok",
		"desk party transit": "advice", "desk party bank": "advice"})
}

// doctor holds what the doctor says of the running switch.
func (c *deskCity) doctor(want map[string]string) {
	c.t.Helper()
	args := append([]string{"doctor", "--data", c.node.dir, "-o", "csv"}, c.node.args[2:]...)
	r := e2eCommand(c.t, nil, "", args...)
	for name, state := range want {
		if !strings.Contains(r.stdout, "\n"+name+","+state+",") {
			c.t.Errorf("%s is not %s in %s %s", name, state, r.stdout, r.stderr)
		}
	}
	if !strings.Contains(r.stdout, "webhook without TLS") {
		c.t.Errorf("no word of TLS in %s", r.stdout)
	}
}

// TestE2EDeskBank: the partner bank is told over its link, by token and last digits; its
// answer is the receipt. What it has not answered it gets again as the same message, and what
// it could not be told it hears after a kill of the switch.
func TestE2EDeskBank(t *testing.T) {
	t.Parallel()
	var line *faultproxy.Proxy
	dir := t.TempDir()
	w := newBankTown(t, bankPlan{args: []string{"--set", "desk.city=" + deskPolicy(t, dir)},
		behaviour: bankhost.Behaviour{Rules: []bankhost.Rule{
			{Kind: "notice", Times: 1, Effect: bankhost.LoseAnswer}}},
		via: func(_ int, address string) string {
			line = e2eProxy(t, address)
			return line.Addr()
		}})
	c := &deskCity{t: t, node: w.node, dir: dir}
	c.attach()
	c.put("/v1/desk/parties/bank", `{"kind":"bank","scopes":["all"],"channel":"issuer_link","link":"b0","answer":"response"}`)
	account := c.open("110101199001011234", deskChip, "")
	c.report(deskChip)
	c.until("the clock of the bank", func() (bool, error) {
		k := c.freeze(account).Carriers[0].Notice.clock("bank")
		return k.State == "received" && k.Basis == "receipt", fmt.Errorf("%+v", k)
	})
	token := c.tokensOf(account)[0].String()
	advice := func(n int, kind string, seen uint32) {
		t.Helper()
		all := w.notices()
		if len(all) != n {
			t.Fatalf("the bank has %d advices, want %d: %+v", len(all), n, all)
		}
		e := all[n-1]
		for _, want := range []string{"card=" + token + ";", "last4=" + deskChip[len(deskChip)-4:] + ";", "kind=" + kind + ";"} {
			if !strings.Contains(e.Text, want) {
				t.Errorf("the bank was not told %q: %q", want, e.Text)
			}
		}
		if e.MTI != "0620" || e.Seen != seen || e.Card != "" || e.Code != "00" || strings.Contains(e.Text, deskChip) {
			t.Errorf("the bank has %+v", e)
		}
	}
	advice(1, "freeze", 2)
	if n := w.counts(); n.Unmarked != 0 {
		t.Errorf("%d repeats were not marked", n.Unmarked)
	}
	line.Down()
	w.eventually("the link to be down", func() bool { return !w.link("b0").Up })
	c.release(account)
	c.until("a release that cannot be told", func() (bool, error) {
		var open struct{ Notices []deskNotice }
		c.call(http.MethodGet, "/v1/desk/notices", "", &open)
		for _, n := range open.Notices {
			if k := n.clock("bank"); n.Kind == "release" && strings.Contains(k.Failure, "down") {
				return true, nil
			}
		}
		return false, fmt.Errorf("%+v", open)
	})
	w.node.kill()
	line.Up()
	w.start()
	w.eventually("the bank to hear of the release", func() bool { return len(w.notices()) == 2 })
	advice(2, "release", 1)
}

// release releases a lost account with two persons.
func (c *deskCity) release(account string) {
	c.t.Helper()
	var asked deskDone
	c.call(http.MethodPost, "/v1/desk/commands",
		fmt.Sprintf(`{"account":%q,"step":"request_release","with":{%s}}`, account, deskWho), &asked)
	body := fmt.Appendf(nil, `{"account":%q,"step":"confirm_release","with":{"case":%d}}`, account, asked.Case)
	second := c.node.secret(secondTokenFile)
	r, err := c.client.Operate(c.t.Context(), second, http.MethodPost, "/v1/desk/commands", body)
	if err != nil || r.Status != http.StatusOK {
		c.t.Fatalf("release: %d %s %v", r.Status, r.Body, err)
	}
}

// attach makes a city of a switch that runs already.
func (c *deskCity) attach() {
	c.t.Helper()
	c.client = sim.NewClient(sim.ClientOptions{Addr: c.node.gate()})
	c.t.Cleanup(c.client.Close)
	c.admin, c.parties = c.node.secret(adminTokenFile), map[string]*deskParty{}
}
