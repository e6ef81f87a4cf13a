package gatesim

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/tapswitch/tapswitch/switch/disruption"
	"github.com/tapswitch/tapswitch/switch/fare/price"
	"github.com/tapswitch/tapswitch/switch/fare/tariff"
	"github.com/tapswitch/tapswitch/switch/gate/provision"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// held is what a gate has downloaded and keeps over a boot: envelopes and files as they came,
// verified again when they are read.
type held struct {
	Parameters []byte     `json:"parameters,omitempty"` // envelope
	Tariff     []byte     `json:"tariff,omitempty"`     // envelope
	TariffFile []byte     `json:"tariff_file,omitempty"`
	NextFile   []byte     `json:"next_file,omitempty"`
	List       []byte     `json:"list,omitempty"`   // full file
	Deltas     [][]byte   `json:"deltas,omitempty"` // since then
	ListAt     txn.Millis `json:"list_at_ms,omitempty"`
	ClockSet   int        `json:"clock_set"` // tap at which the clock was set, -1 for never
	Acked      []string   `json:"acked,omitempty"`
}

const heldName = "held.json"

func readHeld(dir string) (*held, error) {
	h := &held{ClockSet: -1}
	text, err := os.ReadFile(filepath.Join(dir, heldName))
	if errors.Is(err, os.ErrNotExist) {
		return h, nil
	}
	if err == nil {
		err = json.Unmarshal(text, h)
	}
	if err != nil {
		return nil, fmt.Errorf("gate: %s: %w", heldName, err)
	}
	return h, nil
}

// write puts what is held in place of what was, whole or not at all.
func (h *held) write(dir string) error {
	text, err := json.Marshal(h)
	path := filepath.Join(dir, heldName)
	if err == nil {
		err = os.WriteFile(path+".new", text, 0o600)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return fmt.Errorf("gate: %s: %w", heldName, err)
	}
	return nil
}

// rules are what a gate works by at one instant, ready for use.
type rules struct {
	params  provision.Parameters
	version string // "" for what is built in
	orders  []disruption.Order
	tariff  *price.Tariff
}

// builtInTariff is what a gate charges that has never got a tariff.
func builtInTariff() (*price.Tariff, error) {
	return tariff.Compile(tariff.Source{Name: "built-in.yaml", Text: []byte(`tariff: gate-sim
version: built-in
effective: {from: 2020-01-01}
utc_offset: 8h
fares:
  - {name: bus, mode: bus, flat: 200}
  - {name: tram, mode: tram, flat: 200}
  - {name: metro, mode: metro, distance: {steps: [{upto: 2000, fare: 200}, {upto: 5000, fare: 300}],
     every: 5000, add: 100, max: 900}}
classes:
  - {class: business, mode: metro, times: 3}
transfers:
  - {name: to the metro, from: [bus, tram], to: [metro], window: 90m, off: 40}
  - {name: from the metro, from: [metro], to: [bus, tram], window: 90m, off: 40}
  - {name: between lines, from: [bus, tram], to: [bus, tram], window: 90m, same_line: "no", off: 40}
`)})
}

// fareOf prices a single ride by bus: transfers and caps are the switch's.
func (r *rules) fareOf(id *Identity, at txn.Millis) (txn.Minor, bool) {
	var state price.State
	q := r.tariff.Price(&state, &price.Tap{Kind: price.Board, Mode: price.Bus, At: at,
		Rider: txn.RiderOrdinary, Operator: price.NameOf(Operator), Line: price.NameOf(id.Line)})
	return q.Full, q.Reason == price.OK
}

// builtInVersion is the version of the tariff that nobody published.
const builtInVersion = "built-in"
