package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/switch/sim/gatesim"
	"github.com/tapswitch/tapswitch/switch/txn"
	"github.com/tapswitch/tapswitch/switch/upload/book"
)

// A city of metro stations, buses and trams with cards in common: kills of the gates and of the
// switch, torn taps and an order, and in the end each record's state and every fen agree.
func TestE2EGatesOfACity(t *testing.T) {
	t.Parallel()
	h := newHallOf(t, "--gates", "7", "--metro", "6", "--cards", "5", "--tears", "800")
	h.publish("p1")

	first := h.launch("--taps", "30", "--every", "30ms")
	h.grown(1, 5000)
	first.kill()
	first = h.launch("--taps", "40", "--every", "30ms")
	h.grown(1, 9000)
	h.restarted()
	first.wait()
	if r := e2eCommand(t, nil, "", h.arguments("--gate", "7", "--taps", "41")...); r.code != 2 ||
		!strings.Contains(r.stderr, "gates 2 to 7") {
		t.Errorf("a part of the city alone: %s", r.short())
	}

	var order struct{ ID string }
	given := h.terminals(0, "order", "train_fault", "--scope", "line:GM1", "--until", "2h", "--reason", "e2e", "-o", "json")
	if err := json.Unmarshal([]byte(given.stdout), &order); err != nil {
		t.Fatal(err)
	}
	h.person(secondTokenFile, 0, "confirm", order.ID)
	reports := h.launch("--taps", "80", "--every", "30ms").wait()
	h.checkCity(reports)

	module := h.world.Module(1)
	for _, args := range []string{"put " + module + " --window " + h.world.Identities[1].ID + ",2026-01-01T00:00:00Z",
		"list " + module, "from"} {
		r := e2eCommand(t, nil, "", append([]string{"uploads", "--url", "http://" + h.node.gate(), "--token-file",
			filepath.Join(h.node.dir, adminTokenFile), "white"}, strings.Fields(args)...)...)
		if want := map[bool]string{true: "off", false: h.world.Identities[1].ID}[args == "from"]; r.code != 0 ||
			!strings.Contains(r.stdout, want) {
			t.Errorf("white %s: %s", args, r.short())
		}
	}
}

// citySeen is what the ledger shows of a city.
type citySeen struct {
	records map[string]int
	fen     map[string]txn.Minor
	kinds   map[txn.Kind]int
	// transfers are rides for less, waived those for nothing under the order.
	transfers, waived, business, metres, trams int
}

func (h *gateHall) seen() *citySeen {
	s := &citySeen{records: map[string]int{}, fen: map[string]txn.Minor{}, kinds: map[txn.Kind]int{}}
	for _, r := range h.node.parquet() {
		gate := h.gateOf(r.Request.Terminal.String())
		if r.Outcome != txn.Approved || gate == "" {
			continue
		}
		s.records[gate]++
		s.fen[gate] += r.Charged
		s.kinds[r.Kind]++
		for to, is := range map[*int]bool{
			&s.transfers: r.Charged > 0 && r.Charged < r.FullFare,
			&s.waived:    r.Charged == 0 && r.FullFare > 0 && r.Degraded != 0,
			&s.business:  r.Kind == txn.MetroExit && r.Business, &s.metres: r.Metres > 0,
			&s.trams: r.Mode == txn.ModeTram,
		} {
			if is {
				*to++
			}
		}
	}
	return s
}

// gateOf is the gate with a security module, "" for none of this world.
func (h *gateHall) gateOf(module string) string {
	for i := range h.world.Identities {
		if h.world.Module(i) == module {
			return h.world.Identities[i].ID
		}
	}
	return ""
}

// checkCity compares the gates' own figures with the ledger and with what the switch holds.
func (h *gateHall) checkCity(reports []*gatesim.Report) {
	t := h.t
	t.Helper()
	e2eUntil(t, e2eDrainMax, "drain", h.node.drained)
	s := h.seen()
	var held struct{ Held []book.Held }
	h.call(http.MethodGet, "/v1/uploads/held", "", &held)
	waits := map[string]int{}
	for _, r := range held.Held {
		waits[r.Terminal]++
	}
	for _, r := range reports {
		if s.records[r.Gate] != r.Settled || s.fen[r.Gate] != r.SettledFen || waits[r.Gate] != r.Held ||
			!r.Balanced() || r.Rejected+r.Waiting > 0 || r.Taps != 80 {
			t.Errorf("%s: ledger %d records, %d fen, %d held; gate %+v", r.Gate, s.records[r.Gate],
				s.fen[r.Gate], waits[r.Gate], r)
		}
	}
	total := gatesim.Total(reports)
	if len(reports) != 7 || total.Greys < 5 || total.Torn == 0 || total.Undebited == 0 {
		t.Errorf("%d gates; torn taps, proofs and cards that had not paid: %+v", len(reports), total)
	}
	if s.kinds[txn.MetroEntry] < 30 || s.kinds[txn.MetroExit] < 30 || s.transfers == 0 || s.waived == 0 ||
		s.business == 0 || s.metres < 30 || s.trams == 0 {
		t.Errorf("the ledger: %+v", s)
	}
	t.Logf("city: %+v; %d settled, %d known, %d greys, %d proved, %d not debited, %d held, passed %v", *s,
		total.Settled, total.Known, total.Greys, total.Torn, total.Undebited, total.Held, total.Passed)
}

// A switch without a card desk has no list for gates: they say so at once.
func TestE2EGatesWithoutADesk(t *testing.T) {
	t.Parallel()
	n := newE2ENode(t, t.TempDir(), "--listen", "127.0.0.1:0")
	if err := n.start(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	args := []string{"gate-sim", "--url", "http://" + n.gate(), "--dir", dir, "--gates", "2", "--cards", "2",
		"--taps", "20", "--no-sync", "--token-file", n.dir + "/" + adminTokenFile}
	for _, more := range [][]string{nil, {"--gates", "5"}} {
		r := e2eCommand(t, nil, "", append(args, more...)...)
		if r.code != 1 || strings.Count(r.stderr, "--set desk.city=CITY") != 1 {
			t.Error(errors.New(r.short()))
		}
		if told := strings.Contains(r.stderr, "--gates is not followed"); told != (more != nil) {
			t.Errorf("a flag of the first run: %s", r.stderr)
		}
	}
}
