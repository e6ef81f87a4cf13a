package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/tapswitch/tapswitch/switch/sim/faultproxy"
	"github.com/tapswitch/tapswitch/switch/sim/gatesim"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Gates as processes of their own against a switch with a card desk: what they download, serve
// off line and upload, while networks and processes die.

// gateHall is a switch with a desk and simulated gates behind a proxy.
type gateHall struct {
	*deskCity
	proxy *faultproxy.Proxy
	gates string // their directory
	world *gatesim.World
}

const (
	hallGates = 10
	hallCards = 6
	hallFare  = 200
)

func newGateHall(t *testing.T) *gateHall {
	t.Helper()
	return newHallOf(t, "--gates", fmt.Sprint(hallGates), "--cards", fmt.Sprint(hallCards))
}

// newHallOf is one whose gates are set up with some flags more.
func newHallOf(t *testing.T, more ...string) *gateHall {
	t.Helper()
	h := &gateHall{deskCity: newDeskCity(t), gates: filepath.Join(t.TempDir(), "gates")}
	h.proxy = e2eProxy(t, h.node.gate())
	r := e2eCommand(t, nil, "", h.arguments(append([]string{"--set-up", "--seed",
		fmt.Sprint(e2eSeed(t, 20261122)), "--start", "0s", "--interval", "1s", "--skew", "10s",
		"--outage-every", "50", "--outage-taps", "20", "--repeats", "1000",
		"--token-file", filepath.Join(h.node.dir, adminTokenFile)}, more...)...)...)
	if r.code != 0 {
		t.Fatal(r.short())
	}
	var err error
	if h.world, err = gatesim.OpenWorld(h.gates); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *gateHall) arguments(more ...string) []string {
	return append([]string{"gate-sim", "--url", "http://" + h.proxy.Addr(), "--dir", h.gates, "--no-sync",
		"-o", "json"}, more...)
}

// hallProcess is one process of gates.
type hallProcess struct {
	h        *gateHall
	cmd      *exec.Cmd
	out, err bytes.Buffer
}

// launch starts a process of gates, which is killed at the end of the test at the latest.
func (h *gateHall) launch(more ...string) *hallProcess {
	h.t.Helper()
	p := &hallProcess{h: h, cmd: exec.Command(e2eBinary(h.t), h.arguments(more...)...)}
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.Env = &p.out, &p.err, e2eEnv()
	if err := p.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait() // ended by the test, usually
	})
	return p
}

// wait returns the reports of a process that has to end well.
func (p *hallProcess) wait() []*gatesim.Report {
	p.h.t.Helper()
	err := p.cmd.Wait()
	var said struct{ Gates []*gatesim.Report }
	if err != nil || json.Unmarshal(p.out.Bytes(), &said) != nil {
		p.h.t.Fatalf("gates: %v: %s %s", err, p.err.String(), p.out.String())
	}
	return said.Gates
}

// kill ends a process with SIGKILL.
func (p *hallProcess) kill() {
	p.h.t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		p.h.t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := p.cmd.Wait(); !errors.As(err, &exit) ||
		exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		p.h.t.Fatalf("the gate ended by itself: %v %s", err, p.err.String())
	}
}

// grown waits until the queue of a gate holds so many bytes.
func (h *gateHall) grown(gate int, size int64) {
	h.t.Helper()
	path := filepath.Join(h.gates, h.world.Identities[gate].ID, "queue")
	h.until("the queue of a gate", func() (bool, error) {
		info, err := os.Stat(path)
		if err != nil {
			return false, err
		}
		return info.Size() >= size, fmt.Errorf("%d bytes of %d", info.Size(), size)
	})
}

// publish publishes parameters for all gates and waits until they are in effect.
func (h *gateHall) publish(version string) {
	h.t.Helper()
	file := filepath.Join(h.dir, version+".json")
	text := `{"list_poll_s":3,"list_fresh_s":60,"list_stale_s":300,"lease_s":3600,"pass_back_s":0,"upload_s":5,
	 "upload_max":7,"queue_max":1000,"clock_skew_s":5,"floor_fen":0,"limits":[
	 {"class":"purse","list":"fresh","tap_max_fen":10000,"card_max_fen":100000,"card_taps_max":500,"gate_max_fen":1000000},
	 {"class":"purse","list":"stale","tap_max_fen":2000,"card_max_fen":100000,"card_taps_max":500,"gate_max_fen":1000000}]}`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
	h.terminals(0, "publish", file, "--doc-version", version, "--from", "1s")
	h.until("parameters in effect", func() (bool, error) {
		r := h.terminals(0, "versions", "-o", "json")
		return strings.Contains(r.stdout, `"in_effect": true`), errors.New(r.stdout)
	})
}

// terminals runs a command about gates as the first operator.
func (h *gateHall) terminals(code int, args ...string) e2eResult {
	h.t.Helper()
	return h.person(adminTokenFile, code, args...)
}

func (h *gateHall) person(tokenFile string, code int, args ...string) e2eResult {
	h.t.Helper()
	r := e2eCommand(h.t, nil, "", append([]string{"terminals", "--url", "http://" + h.node.gate(),
		"--token-file", filepath.Join(h.node.dir, tokenFile)}, args...)...)
	if r.code != code {
		h.t.Fatalf("terminals %v: exit code %d, want %d: %s", args, r.code, code, r.short())
	}
	return r
}

// freeze freezes cards of the world by their tokens.
func (h *gateHall) freeze(cards ...int) map[string]bool {
	h.t.Helper()
	frozen := map[string]bool{}
	for _, i := range cards {
		h.call(http.MethodPost, "/v1/freezes",
			fmt.Sprintf(`{"token":%q,"reason":"lost","note":"e2e"}`, h.world.Tokens[i]), nil)
		frozen[h.world.Tokens[i]] = true
	}
	return frozen
}

// coverage is what card status says of a freeze and gates.
type coverage struct {
	Token string
	Gates struct {
		Published bool
		Epoch     uint64
		Lines     []struct {
			Name           string
			Covered, Total int
		}
	}
}

// covered waits until card status shows every gate of the world with the freeze of a card, and
// returns its epoch.
func (h *gateHall) covered(token string) uint64 {
	h.t.Helper()
	var c coverage
	h.until("every gate has the list", func() (bool, error) {
		h.launch("--taps", "1").wait() // each gate asks for the list, which may be on its way yet
		c = coverage{}
		h.call(http.MethodGet, "/v1/desk/cards/"+token+"/status", "", &c)
		gates := 0
		for _, l := range c.Gates.Lines {
			if strings.HasPrefix(l.Name, "GL") && l.Covered == l.Total {
				gates += l.Total
			}
		}
		return gates == hallGates, fmt.Errorf("%+v", c)
	})
	return c.Gates.Epoch
}

// restarted kills the switch and starts it again.
func (h *gateHall) restarted() {
	h.t.Helper()
	h.node.kill()
	if err := h.node.start(); err != nil {
		h.t.Fatal(err)
	}
	h.client.SetAddr(h.node.gate())
	h.proxy.SetTarget(h.node.gate())
}

// Ten gates, a network loss, a kill of a gate and of the switch, a freeze and an order in
// between: the books of gates and ledger agree to the fen, no frozen card was served by a gate
// that had the list, and card status shows the epochs of the gates.
func TestE2EGatesAndTheirBooks(t *testing.T) {
	t.Parallel()
	h := newGateHall(t)
	h.publish("p1")

	// First part: gate 10 is killed, then the network goes, then the switch is killed.
	most := h.launch("--to-gate", "9", "--taps", "45", "--every", "20ms")
	one := h.launch("--gate", "10", "--taps", "45", "--every", "20ms")
	h.grown(9, 3000)
	one.kill()
	one = h.launch("--gate", "10", "--taps", "45", "--every", "20ms")
	h.grown(0, 5000)
	h.proxy.Down()
	h.grown(0, 7000)
	h.restarted()
	h.proxy.Up()
	most.wait()
	one.wait()
	r := h.terminals(0, "behind", "-o", "json")
	if strings.Contains(r.stdout, h.world.Identities[0].ID[:8]) {
		t.Errorf("gates are behind: %s", r.stdout)
	}

	// Second part: cards are frozen and a train fault is ordered while gates work.
	most = h.launch("--to-gate", "9", "--taps", "70", "--every", "20ms")
	frozen := h.freeze(0, 1, 2, 9*hallCards, 9*hallCards+1)
	h.open("e2e-hall", deskChip, "")
	h.report(deskChip)
	var order struct{ ID string }
	given := h.terminals(0, "order", "train_fault", "--scope", "line:GL2", "--until", "2h", "--reason", "e2e", "-o", "json")
	if err := json.Unmarshal([]byte(given.stdout), &order); err != nil {
		t.Fatal(err)
	}
	h.terminals(1, "confirm", order.ID) // not by the same person
	h.person(secondTokenFile, 0, "confirm", order.ID)
	most.wait()
	epoch := h.covered(h.token(deskChip))

	// Third part: without a network the gates go by what they hold.
	h.proxy.Down()
	h.launch("--taps", "95", "--undrained").wait()
	h.proxy.Up()
	reports := h.launch("--taps", "95").wait()
	h.check(reports, frozen, epoch)
}

// token returns the token of a card number.
func (h *gateHall) token(number string) string {
	h.t.Helper()
	var a struct{ Token string }
	h.call(http.MethodPost, "/v1/cards:lookup", fmt.Sprintf(`{"card":%q}`, number), &a)
	return a.Token
}

// check compares the books of the gates with the ledger.
func (h *gateHall) check(reports []*gatesim.Report, frozen map[string]bool, epoch uint64) {
	t := h.t
	t.Helper()
	e2eUntil(t, e2eDrainMax, "drain", h.node.drained)
	type sum struct {
		records int
		fen     txn.Minor
	}
	ledger, waived, gates := map[string]sum{}, 0, map[string]string{}
	for i := range h.world.Identities {
		gates[h.world.Module(i)] = h.world.Identities[i].ID
	}
	for _, r := range h.node.parquet() {
		gate, ours := gates[r.Request.Terminal.String()]
		if r.Outcome != txn.Approved || r.Kind != txn.BusBoarding || !ours {
			continue
		}
		s := ledger[gate]
		ledger[gate] = sum{s.records + 1, s.fen + r.Charged}
		if frozen[r.Card.String()] && r.ListEpoch >= epoch {
			t.Errorf("%s served a frozen card with list %d, frozen since %d", gate, r.ListEpoch, epoch)
		}
		if r.Charged == 0 && r.FullFare == hallFare {
			waived++
		}
	}
	total := gatesim.Total(reports)
	for _, r := range reports {
		if s := ledger[r.Gate]; s.records != r.Settled || s.fen != r.SettledFen || !r.Balanced() ||
			r.Rejected+r.Held+r.Waiting > 0 || r.Parameters != "p1" || r.ListEpoch < epoch {
			t.Errorf("%s: ledger %+v, gate %+v", r.Gate, s, r)
		}
	}
	if len(reports) != hallGates || len(ledger) != hallGates || total.Taps != hallGates*95 ||
		total.Settled < hallGates*50 {
		t.Errorf("%d gates, %d in the ledger: %+v", len(reports), len(ledger), total)
	}
	if total.Passed["listed"] == 0 || waived == 0 {
		t.Errorf("no frozen card was shown, or no fare waived (%d): %+v", waived, total.Passed)
	}
	if last := reports[hallGates-1]; last.Boots < 3 {
		t.Errorf("the killed gate booted %d times", last.Boots)
	}
	t.Logf("ledger and gates: %d records, %d fen, %d known already, %d torn, %d voided, passed %v",
		total.Settled, total.SettledFen, total.Known, total.Torn, total.Voided, total.Passed)
}
