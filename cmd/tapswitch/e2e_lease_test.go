package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/sim"
	"github.com/tapswitch/tapswitch/switch/sim/gatesim"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// The freeze lease over real processes. The plan of the gate runs ahead of the machine's time, so
// that a lease of ten minutes ends within seconds.

const (
	leaseCards = 3
	leaseSeed  = 7
)

// newLeaseHall is a switch of a city with a lease of ten minutes, and one gate with three cards.
func newLeaseHall(t *testing.T) *gateHall {
	t.Helper()
	dir := t.TempDir()
	path := deskPolicy(t, dir)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	short := strings.Replace(string(text), "  lease: {value: 72h,", "  lease: {value: 10m,", 1)
	if short == string(text) {
		t.Fatal("the policy of Handan has another lease")
	}
	if err := os.WriteFile(path, []byte(short), 0o600); err != nil {
		t.Fatal(err)
	}
	h := &gateHall{gates: filepath.Join(dir, "gates"),
		deskCity: newDeskCity(t, "--set", "desk.city="+path, "--set", "scheme.future_max=2h")}
	h.proxy = e2eProxy(t, h.node.gate())
	r := e2eCommand(t, nil, "", h.arguments("--set-up", "--seed", fmt.Sprint(leaseSeed), "--gates", "1",
		"--cards", fmt.Sprint(leaseCards), "--start", "0s", "--interval", "20s", "--skew", "0s", "--drift", "0",
		"--outage-every", "0", "--repeats", "0", "--token-file", filepath.Join(h.node.dir, adminTokenFile))...)
	if r.code != 0 {
		t.Fatal(r.short())
	}
	if h.world, err = gatesim.OpenWorld(h.gates); err != nil {
		t.Fatal(err)
	}
	return h
}

// A card is frozen while its gate has no network. The gate serves it until its lease ends and
// refuses it afterwards; nothing that it uploads is held against it. Of another terminal that does
// not look at leases every later ride is booked to the operator, of a frozen card or not.
func TestE2EAFreezeHoldsOffLineWhenTheLeaseEnds(t *testing.T) {
	t.Parallel()
	h := newLeaseHall(t)
	h.publishLong("p1")
	first := h.launch("--taps", "20").wait()[0]
	if first.Did.Asked == 0 || first.Served != 20 {
		t.Fatalf("the gate did not ask for leases: %+v", first)
	}
	h.proxy.Down()
	h.freeze(0, 1)
	before := h.launch("--taps", "25", "--undrained").wait()[0]
	after := h.launch("--taps", "120", "--undrained").wait()[0] // 40 minutes of the plan
	if before.Served == first.Served || before.Passed["lease_ended"] != 0 {
		t.Errorf("within the lease the gate stopped: %+v", before)
	}
	if after.Passed["lease_ended"] < 40 || after.Waiting == 0 {
		t.Errorf("the gate went on after the lease: %+v", after)
	}
	again := h.launch("--taps", "140", "--undrained").wait()[0]
	if again.Served != after.Served {
		t.Errorf("served after every lease had ended: %+v", again)
	}
	h.proxy.Up()
	last := h.launch("--taps", "140").wait()[0]
	if !last.Balanced() || last.Settled != last.Served || last.Reasons["lease_ended"] != 0 {
		t.Errorf("the gate's books: %+v", last)
	}
	h.careless(0) // frozen
	h.careless(2)
	h.checkLeases(last)
}

// publishLong publishes parameters by which only the lease stops a gate.
func (h *gateHall) publishLong(version string) {
	h.t.Helper()
	file := filepath.Join(h.dir, version+".json")
	text := `{"list_poll_s":60,"list_fresh_s":80000,"list_stale_s":90000,"lease_s":80000,"pass_back_s":0,"upload_s":60,
	 "upload_max":500,"queue_max":1000,"clock_skew_s":300,"floor_fen":0,"limits":[
	 {"class":"purse","list":"fresh","tap_max_fen":10000,"card_max_fen":100000,"card_taps_max":500,"gate_max_fen":1000000}]}`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
	h.terminals(0, "publish", file, "--doc-version", version, "--from", "1s")
	h.until("parameters in effect", func() (bool, error) {
		r := h.terminals(0, "versions", "-o", "json")
		return strings.Contains(r.stdout, `"in_effect": true`), fmt.Errorf("%s", r.stdout)
	})
}

// careless is a terminal that served a card of the world off line an hour after its lease.
func (h *gateHall) careless(card int) {
	h.t.Helper()
	h.taps++
	g := h.deskCity.gates[0]
	at := time.Now().Add(time.Hour)
	body := fmt.Appendf(nil, `{"taps":[{"id":"%s-%d-%d","kind":"bus_boarding","card":"310498%06d%07d",`+
		`"service_time":%q,"offline_counter":60000,"full_fare":200,"charged":200}]}`, g.ID, h.node.life(), h.taps,
		leaseSeed, card, sim.FormatTime(at))
	r, err := h.client.Send(h.t.Context(), g, "/v1/taps:batch", body)
	if err != nil || r.Status != http.StatusOK {
		h.t.Fatalf("tap: %d %s %v", r.Status, r.Body, err)
	}
	for _, part := range []string{`"outcome":"approved"`, `"liability":"operator"`,
		`"liability_reason":"lease_ended"`} {
		if !strings.Contains(string(r.Body), part) {
			h.t.Errorf("no %s in %s", part, r.Body)
		}
	}
}

// checkLeases looks the ledger through.
func (h *gateHall) checkLeases(last *gatesim.Report) {
	h.t.Helper()
	e2eUntil(h.t, e2eDrainMax, "drain", h.node.drained)
	gate, late, open := 0, 0, 0
	for _, r := range h.node.parquet() {
		if r.Outcome != txn.Approved || r.Kind != txn.BusBoarding {
			continue
		}
		switch {
		case r.Request.Terminal.String() != h.world.Module(0):
			late++
			if r.Liability != txn.LiabilityOperator || r.Reason != txn.LeaseEnded || r.Charged != 200 {
				h.t.Errorf("a ride after the lease: %s for %s", r.Liability, r.Reason)
			}
			continue
		case r.Reason != txn.ReasonNone:
			h.t.Errorf("a ride of a gate that looks at leases: %s", r.Reason)
		case r.Liability == txn.LiabilityOpen:
			open++
		}
		gate++
	}
	if gate != last.Settled || late != 2 || open == 0 {
		h.t.Errorf("%d rides of the gate, want %d; %d after the lease; %d of frozen cards", gate,
			last.Settled, late, open)
	}
}
