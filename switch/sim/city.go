package sim

import (
	"fmt"

	"github.com/tapswitch/tapswitch/switch/fare"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// TerminalSpec is a terminal as it is registered.
type TerminalSpec struct {
	ID       string   `json:"-"`
	Operator string   `json:"operator,omitempty"`
	Line     string   `json:"line,omitempty"`
	Station  string   `json:"station,omitempty"`
	Merchant string   `json:"merchant,omitempty"`
	MCC      string   `json:"mcc,omitempty"`
	Acquirer string   `json:"acquirer,omitempty"`
	Kinds    []string `json:"kinds"`

	use use
}

// use says what the planner sends a card to a terminal for.
type use uint8

const (
	useMetro use = iota
	useBus
	useShop
	useLoad
)

// The city. Sizes are fixed, so that the figures of a seed depend on the seed and the
// number of cards alone.
const (
	metroLines      = 3
	stationsPerLine = 12
	gatesPerStation = 2
	busOperators    = 2
	linesPerBus     = 6
	shops           = 12
	loadDesks       = 4
)

// city is what the cards move in.
type city struct {
	tariff    fare.File
	terminals []TerminalSpec
	byUse     map[use][]int
}

func newCity() *city {
	c := &city{byUse: map[use][]int{}, tariff: fare.File{
		Version: "demo-1",
		Bus:     fare.BusFares{Default: 200, Lines: map[string]txn.Minor{}},
		Riders: map[string]int64{"ordinary": 9500, "student": 5000, "senior": 0, "disabled": 0,
			"veteran": 0},
	}}
	c.addMetro()
	c.addBuses()
	c.addShops()
	return c
}

func (c *city) add(t TerminalSpec) {
	c.byUse[t.use] = append(c.byUse[t.use], len(c.terminals))
	c.terminals = append(c.terminals, t)
}

func stationName(line, stop int) string { return fmt.Sprintf("M%d Stop %02d", line+1, stop+1) }

func (c *city) addMetro() {
	for line := range metroLines {
		for stop := range stationsPerLine {
			for gate := range gatesPerStation {
				c.add(TerminalSpec{
					ID:       fmt.Sprintf("G%d%02d%02d", line+1, stop+1, gate+1),
					Operator: fmt.Sprintf("METRO%d", line+1), Line: fmt.Sprintf("M%d", line+1),
					Station: stationName(line, stop), use: useMetro,
					Kinds: []string{"metro_entry", "metro_exit", "refund", "reversal", "balance"},
				})
			}
			c.addPairs(line, stop)
		}
	}
}

// addPairs adds the fares between a station and those before it and itself: 200 fen and
// 100 for every third stop, a change of line counts as four.
func (c *city) addPairs(line, stop int) {
	for l := range line + 1 {
		for s := range stationsPerLine {
			if l == line && s > stop {
				break
			}
			stops := stop - s
			if l != line {
				stops = stop + s + 4
			}
			c.tariff.Metro.Pairs = append(c.tariff.Metro.Pairs, fare.PairFare{
				From: stationName(l, s), To: stationName(line, stop),
				Fare: txn.Minor(200 + 100*(stops/3)),
			})
		}
	}
}

func (c *city) addBuses() {
	for op := range busOperators {
		for line := range linesPerBus {
			name := fmt.Sprintf("%d%02d", op+1, line+1)
			c.tariff.Bus.Lines[name] = txn.Minor(150 + 50*line)
			c.add(TerminalSpec{
				ID: "V" + name, Operator: fmt.Sprintf("BUS%d", op+1), Line: name, use: useBus,
				Kinds: []string{"bus_boarding", "refund", "reversal", "balance"},
			})
		}
	}
}

func (c *city) addShops() {
	for i := range shops {
		c.add(TerminalSpec{
			ID: fmt.Sprintf("P%03d", i+1), Operator: fmt.Sprintf("SHOP%d", i%3+1), use: useShop,
			Merchant: fmt.Sprintf("DEMOSHOP%02d", i+1), MCC: "5411", Acquirer: "48440000",
			Kinds: []string{"purchase", "refund", "reversal", "balance"},
		})
	}
	for i := range loadDesks {
		c.add(TerminalSpec{
			ID: fmt.Sprintf("L%03d", i+1), Operator: "AGENT", Acquirer: "48440001", use: useLoad,
			Kinds: []string{"load", "refund", "reversal", "balance"},
		})
	}
}
