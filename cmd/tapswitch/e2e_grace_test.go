package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/deploy"
	"github.com/tapswitch/tapswitch/switch/sim"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// graceHall is a switch with a tariff that charges incomplete journeys, and one gate.
type graceHall struct {
	t      *testing.T
	node   *e2eNode
	client *sim.Client
	gate   *sim.Terminal
	taps   int
}

const graceCards = 3

func graceCard(i int) string { return fmt.Sprintf("622202%010d", 7700+i) }

func newGraceHall(t *testing.T) *graceHall {
	t.Helper()
	text, err := fs.ReadFile(deploy.Tariffs(), "example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "2026.yaml"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	h := &graceHall{t: t, node: newE2ENode(t, filepath.Join(dir, "switch"), "--listen", "127.0.0.1:0", "--set",
		"feed.flush_every=50ms", "--set", "store.local.checkpoint_every=100ms", "--set",
		"scheme.tariff_file="+filepath.Join(dir, "2026.yaml"))}
	if err := h.node.start(); err != nil {
		t.Fatal(err)
	}
	h.client = sim.NewClient(sim.ClientOptions{Addr: h.node.gate()})
	t.Cleanup(h.client.Close)
	h.gate, err = sim.Register(t.Context(), h.client, h.node.secret(adminTokenFile), sim.TerminalSpec{ID: "GATE01",
		Operator: "metro", Line: "M1", Station: "Lake", Acquirer: "ACQ1", Kinds: []string{"metro_exit", "load"}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range graceCards {
		r, err := h.client.Operate(t.Context(), h.node.secret(adminTokenFile), http.MethodPost, "/v1/cards",
			fmt.Appendf(nil, `{"card":%q,"apps":["transit","purse"],"rider":"ordinary"}`, graceCard(i)))
		if err != nil || r.Status >= http.StatusBadRequest {
			t.Fatalf("%d %s %v", r.Status, r.Body, err)
		}
		h.ask(i, "/v1/loads", `"amount":5000`)
	}
	return h
}

// ask makes a request of the gate for a card and returns the balance after it.
func (h *graceHall) ask(card int, path, more string) int64 {
	h.t.Helper()
	h.taps++
	r, err := h.client.Send(h.t.Context(), h.gate, path, fmt.Appendf(nil,
		`{"id":"GATE01-1-%d","card":%q,"service_time":%q,%s}`, h.taps, graceCard(card), e2eNow(), more))
	var a struct {
		Outcome string
		Balance int64
	}
	if err != nil || json.Unmarshal(r.Body, &a) != nil || a.Outcome != "approved" {
		h.t.Fatalf("%s %s: %d %s %v", path, more, r.Status, r.Body, err)
	}
	return a.Balance
}

// terminals runs a command of one of two persons.
func (h *graceHall) terminals(tokenFile string, code int, v any, args ...string) string {
	h.t.Helper()
	r := e2eCommand(h.t, nil, "", append([]string{"terminals", "--url", "http://" + h.node.gate(), "--token-file",
		filepath.Join(h.node.dir, tokenFile), "-o", "json"}, args...)...)
	if r.code != code {
		h.t.Fatalf("terminals %v: exit code %d, want %d: %s", args, r.code, code, r.short())
	}
	if v != nil {
		if err := json.Unmarshal([]byte(r.stdout), v); err != nil {
			h.t.Fatalf("terminals %v: %v: %s", args, err, r.stdout)
		}
	}
	return r.stdout + r.stderr
}

// graceTold is what the commands tell.
type graceTold struct {
	Run struct {
		ID, Phase       string
		Journeys, Given int
		Sum             int64
		GivenSum        int64 `json:"given_sum"`
	}
	Total, Waits int
	Sum          int64
	States       map[string]int
}

// Riders are charged for entries that they could not make, the order is confirmed after that,
// and what was charged is given back: shown first, by two persons, once, although the switch is
// killed as soon as it was told, and not on top of what a holder corrected himself.
func TestE2EGraceAfterwards(t *testing.T) {
	t.Parallel()
	h := newGraceHall(t)
	var order struct{ ID string }
	h.terminals(adminTokenFile, 0, &order, "order", "entry_exit_waived", "--scope", "station:Lake", "--until", "2h",
		"--reason", "e2e")
	for i := range graceCards {
		if got := h.ask(i, "/v1/taps", `"kind":"metro_exit"`); got != 5000-700 {
			t.Fatalf("balance %d after an exit without an entry", got)
		}
	}
	correct := func(card, code int) string {
		r := e2eCommand(t, nil, "", "fare", "correct", "--url", "http://"+h.node.gate(), "--token-file",
			filepath.Join(h.node.dir, adminTokenFile), h.token(card), "Market", "--operator", "metro")
		if r.code != code {
			t.Errorf("correction by the holder: %s", r.short())
		}
		return r.stdout + r.stderr
	}
	correct(2, 0) // 2.00 from Market: 5.00 back
	if out := h.terminals(adminTokenFile, cli.ExitConflict, nil, "grace", "show", order.ID); !strings.Contains(out, "order_not_confirmed") {
		t.Error(out)
	}
	h.terminals(secondTokenFile, 0, nil, "confirm", order.ID)
	var told graceTold
	h.terminals(secondTokenFile, 0, &told, "grace", "show", order.ID)
	if told.Total != 3 || told.Waits != 2 || told.Sum != 1400 || told.States["corrected"] != 1 {
		t.Errorf("%+v", told)
	}
	h.terminals(adminTokenFile, 0, &told, "grace", "propose", order.ID)
	confirm := []string{"grace", "confirm", order.ID, "--run", told.Run.ID, "--journeys", "2", "--sum", "1400"}
	h.terminals(adminTokenFile, cli.ExitConflict, nil, confirm...)
	h.terminals(secondTokenFile, 0, nil, confirm...)
	h.node.kill()
	if err := h.node.start(); err != nil {
		t.Fatal(err)
	}
	h.client.SetAddr(h.node.gate())
	e2eUntil(t, e2eDrainMax, "the run", func() (bool, error) {
		h.terminals(adminTokenFile, 0, &told, "grace", "run", order.ID)
		return told.Run.Phase == "done", fmt.Errorf("%+v", told)
	})
	if told.Run.Given != 2 || told.Run.GivenSum != 1400 {
		t.Errorf("%+v", told)
	}
	correct(0, cli.ExitConflict)
	h.terminals(adminTokenFile, cli.ExitConflict, nil, "grace", "propose", order.ID)
	h.checkBooks()
}

// token returns the token of a card.
func (h *graceHall) token(card int) string {
	h.t.Helper()
	r, err := h.client.Operate(h.t.Context(), h.node.secret(adminTokenFile), http.MethodPost, "/v1/cards:lookup",
		fmt.Appendf(nil, `{"card":%q}`, graceCard(card)))
	var a struct{ Token string }
	if err = errors.Join(err, json.Unmarshal(r.Body, &a)); err != nil || a.Token == "" {
		h.t.Fatalf("%s %v", r.Body, err)
	}
	return a.Token
}

// checkBooks proves that the ledger has one entry for each journey, which names it and both
// persons, and that operator and purses agree.
func (h *graceHall) checkBooks() {
	t := h.t
	t.Helper()
	e2eUntil(t, e2eDrainMax, "drain", h.node.drained)
	var metro txn.Minor
	given := map[txn.RequestID]txn.Minor{}
	for _, r := range h.node.parquet() {
		for _, p := range r.Postings {
			if p.Account == "operator/metro" {
				metro += p.Amount
			}
		}
		if r.Kind == txn.Correction && r.Outcome == txn.Approved && r.Request.Terminal.String() == txn.GraceDesk {
			given[r.Original] += r.Charged
			if r.BalanceAfter != 5000 || !strings.HasPrefix(r.Listing.Note, "grace o") || !strings.Contains(r.Listing.Actor, "+") {
				t.Errorf("%+v", r)
			}
		}
	}
	if metro != 200 || len(given) != 2 {
		t.Errorf("the operator has %d, %d given back: %v", metro, len(given), given)
	}
	for id, sum := range given {
		if sum != -700 {
			t.Errorf("%s: %d", id, sum)
		}
	}
}
