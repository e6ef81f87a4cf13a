package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/sim"
	"github.com/tapswitch/tapswitch/switch/store/local"
)

// e2eCounter is the desk of a real switch, and a terminal.
type e2eCounter struct {
	t      *testing.T
	node   *e2eNode
	client *sim.Client // asks again
	once   *sim.Client // does not
	admin  string
	term   *sim.Terminal
	taps   int
}

func newE2ECounter(t *testing.T) *e2eCounter {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	c := &e2eCounter{t: t, node: newE2ENode(t, dir, "--set", "desk.city=handan", "--set", "listen=127.0.0.1:0",
		"--set", "admin_listen=127.0.0.1:0", "--set", "gate.drain_delay=0s")}
	if err := c.node.start(); err != nil {
		t.Fatal(err)
	}
	c.admin = c.node.secret("admin.token")
	c.client = sim.NewClient(sim.ClientOptions{Addr: c.node.gate(), RetryFor: e2eStartMax})
	c.once = sim.NewClient(sim.ClientOptions{Addr: c.node.gate(), RetryFor: -1})
	t.Cleanup(func() {
		c.client.Close()
		c.once.Close()
	})
	var err error
	c.term, err = sim.Register(t.Context(), c.client, c.admin, sim.TerminalSpec{ID: "DESKKILL", Operator: "bus",
		Line: "M1", Acquirer: "ACQ1", Kinds: []string{"purchase", "load", "bus_boarding"}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// restart starts the switch anew; it may die of its failpoint before it is ready.
func (c *e2eCounter) restart(env ...string) error {
	c.node.kill()
	if err := c.node.start(env...); err != nil {
		return err
	}
	c.client.SetAddr(c.node.gate())
	c.once.SetAddr(c.node.gate())
	return nil
}

func (c *e2eCounter) must(what string, r sim.Reply, err error) sim.Reply {
	c.t.Helper()
	if err != nil || r.Status != http.StatusOK {
		c.t.Fatalf("%s: %d %s, %v", what, r.Status, r.Body, err)
	}
	return r
}

const e2eWho = `"who":{"actor":"holder","channel":"agency","id":"resident_id"}`

// open makes account i with a chip card and an e-card.
func (c *e2eCounter) open(i int) (cards [2]string) {
	c.t.Helper()
	for k := range cards {
		cards[k] = fmt.Sprintf("31048%011d", 10*i+k)
	}
	r, err := c.client.Operate(c.t.Context(), c.admin, "POST", "/v1/desk/accounts", fmt.Appendf(nil,
		`{"holder":"id-%d","outlet":"d1","with":{%s,"checked":true,"carrier":{"token":%q,"kind":"chip","family":"t_union","ready":true}}}`,
		i, e2eWho, cards[0]))
	c.must("open", r, err)
	r, err = c.client.Operate(c.t.Context(), c.admin, "POST", "/v1/desk/commands", fmt.Appendf(nil,
		`{"card":%q,"outlet":"d1","step":"bind_carrier","with":{%s,"carrier":{"token":%q,"kind":"e_card","family":"e_card","ready":true}}}`,
		cards[0], e2eWho, cards[1]))
	c.must("bind", r, err)
	for _, card := range cards {
		if got := c.use("/v1/loads", card, 1000); got != "approved" {
			c.t.Fatalf("load: %s", got)
		}
	}
	return cards
}

// use loads or spends and returns the outcome or the reason.
func (c *e2eCounter) use(path, card string, fen int) string {
	c.t.Helper()
	c.taps++
	r, err := c.client.Send(c.t.Context(), c.term, path, fmt.Appendf(nil,
		`{"id":"DESKKILL-1-%d","card":%q,"service_time":%q,"amount":%d}`, c.taps, card, sim.FormatTime(time.Now()), fen))
	var v struct{ Outcome, Reason string }
	if err != nil || json.Unmarshal(r.Body, &v) != nil {
		c.t.Fatalf("%s: %v %s", path, err, r.Body)
	}
	if v.Outcome == "approved" {
		return v.Outcome
	}
	return v.Reason
}

// report reports card i's loss; true when the call answered that it is done.
func (c *e2eCounter) report(i int, card string) bool {
	r, err := c.once.Operate(c.t.Context(), c.admin, "POST", "/v1/desk/commands", fmt.Appendf(nil,
		`{"id":"%032x","made":%q,"card":%q,"outlet":"d1","step":"report_loss","with":{%s,"form":"written","form_no":"f","bank_told":true}}`,
		i+1, sim.FormatTime(time.Now()), card, e2eWho))
	return err == nil && r.Status == http.StatusOK
}

// frozen reports how many of the cards are refused as frozen; what is not must be approved.
func (c *e2eCounter) frozen(cards [2]string) (n int) {
	c.t.Helper()
	for _, card := range cards {
		switch got := c.use("/v1/purchases", card, 1); got {
		case "card_frozen":
			n++
		case "approved":
		default:
			c.t.Fatalf("a card got %s", got)
		}
	}
	return n
}

// TestE2EKilledInAFreeze: the switch kills itself at every step of a loss report, at each point
// of its store. The call that answered holds for ever, on both carriers; one that did not left
// nothing or is finished by the restart; and asked again with the same id it is done.
func TestE2EKilledInAFreeze(t *testing.T) {
	c := newE2ECounter(t)
	points := []string{local.FailBeforeWrite, local.FailAfterWrite, local.FailAfterSync, local.FailBeforeReply}
	const steps = 16
	var accounts [][2]string
	for i := range len(points) * steps {
		accounts = append(accounts, c.open(i))
	}
	answered, died, i := 0, 0, 0
	for p, point := range points {
		for count := 1; i < (p+1)*steps; count++ {
			if count > 100 {
				t.Fatalf("the switch dies in its start at the %d-th %s", count, point)
			}
			if c.restart(fmt.Sprintf("%s=%s:%d", failpointEnv, point, count)) != nil {
				continue // it died in its start
			}
			if c.kills(fmt.Sprintf("%s:%d", point, count), i, accounts[i]) {
				answered++
			} else {
				died++
			}
			i++
		}
	}
	if died < 4*len(points) || answered < len(points) {
		t.Errorf("%d reports answered, %d died: the points are not those of a freeze", answered, died)
	}
	t.Logf("%d reports answered, %d died on the way", answered, died)
	if err := c.restart(); err != nil {
		t.Fatal(err)
	}
	for i, cards := range accounts {
		if n := c.frozen(cards); n != 2 {
			t.Errorf("account %d: in the end %d carriers are frozen", i, n)
		}
	}
}

// kills reports a loss in a switch that is about to die, and proves what the next one says.
func (c *e2eCounter) kills(point string, i int, cards [2]string) (answered bool) {
	c.t.Helper()
	answered = c.report(i, cards[0])
	if err := c.restart(); err != nil {
		c.t.Fatal(err)
	}
	if answered {
		if n := c.frozen(cards); n != 2 {
			c.t.Errorf("%s: the report was answered and %d carriers are frozen", point, n)
		}
		return true
	}
	// What was begun is finished: in the end both are frozen, or none.
	var n int
	e2eUntil(c.t, e2eStartMax, point+": half of an account is frozen", func() (bool, error) {
		n = c.frozen(cards)
		return n != 1, nil
	})
	if !c.report(i, cards[0]) {
		c.t.Errorf("%s: asked again, the report was not done", point)
	}
	if n := c.frozen(cards); n != 2 {
		c.t.Errorf("%s: asked again, %d carriers are frozen", point, n)
	}
	return false
}

// TestE2ERestoreRevivesNoCard: the store is put back to a copy from before a loss, while the
// ledger stays. The restored switch closes the cards before it serves any.
func TestE2ERestoreRevivesNoCard(t *testing.T) {
	c := newE2ECounter(t)
	cards := c.open(0)
	if err := c.node.stop(); err != nil {
		t.Fatal(err)
	}
	hot, copied := filepath.Join(c.node.dir, "store"), filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(copied, os.DirFS(hot)); err != nil {
		t.Fatal(err)
	}
	if err := c.restart(); err != nil {
		t.Fatal(err)
	}
	if !c.report(0, cards[0]) {
		t.Fatal("the report was not answered")
	}
	e2eUntil(t, e2eStartMax, "the ledger has it all", c.node.drained)
	if err := c.node.stop(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.RemoveAll(hot), os.CopyFS(hot, os.DirFS(copied))); err != nil {
		t.Fatal(err)
	}
	if err := c.restart(); err != nil {
		t.Fatal(err)
	}
	if n := c.frozen(cards); n != 2 {
		t.Fatalf("restored, and %d carriers are frozen", n)
	}
	e2eUntil(t, e2eStartMax, "the ledger goes on behind what it held", c.node.drained)
}
