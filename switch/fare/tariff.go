// Package fare turns a tariff into amounts: flat fares for buses, station-to-station
// fares for the metro, and a share of the fare for each rider category.
//
// A Tariff is compiled once from a File and then only read: safe for concurrent use,
// no allocation in Quote. Amounts are minor units. The package is pure and does not
// read files; it refuses a tariff that contradicts itself instead of guessing.
package fare

import (
	"fmt"
	"maps"
	"slices"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// Limits of a tariff file.
const (
	pairsMax   = 1 << 20   // station pairs
	fareMax    = 1_000_000 // minor units of one ride
	basisWhole = 10_000    // basis points of a full fare
)

// File is a tariff as it stands in its YAML file.
type File struct {
	// Version names the tariff in explanations: "2026-09".
	Version string `json:"version"`
	// Bus are the flat fares.
	Bus BusFares `json:"bus"`
	// Metro are the fares between stations.
	Metro MetroFares `json:"metro"`
	// Riders gives each rider category the share of the full fare that it pays, in
	// basis points: 10000 is the full fare, 0 rides free. A category that is not named
	// pays the full fare.
	Riders map[string]int64 `json:"riders"`
}

// BusFares are flat fares in minor units.
type BusFares struct {
	Default txn.Minor            `json:"default"` // for lines not named; 0: none
	Lines   map[string]txn.Minor `json:"lines"`
}

// MetroFares are fares from station to station in minor units. A pair holds in both
// directions.
type MetroFares struct {
	Default txn.Minor  `json:"default"` // for pairs not named; 0: none
	Pairs   []PairFare `json:"pairs"`
}

// PairFare is the fare between two stations.
type PairFare struct {
	From string    `json:"from"`
	To   string    `json:"to"`
	Fare txn.Minor `json:"fare"`
}

type pair struct{ from, to string }

// Tariff answers what a ride costs.
type Tariff struct {
	version string
	bus     BusFares
	metro   txn.Minor
	pairs   map[pair]txn.Minor
	share   [256]int64 // by rider category, basis points
}

// Quote is the price of a ride.
type Quote struct {
	FullFare txn.Minor
	Charged  txn.Minor
}

// Compile checks f and returns the tariff. The error names the entry and the value.
func Compile(f File) (*Tariff, error) {
	if f.Version == "" {
		return nil, fmt.Errorf("tariff: version: missing")
	}
	if len(f.Metro.Pairs) > pairsMax {
		return nil, fmt.Errorf("tariff %s: metro.pairs: %d entries, limit %d",
			f.Version, len(f.Metro.Pairs), pairsMax)
	}
	t := &Tariff{version: f.Version, bus: f.Bus, metro: f.Metro.Default,
		pairs: make(map[pair]txn.Minor, len(f.Metro.Pairs))}
	t.bus.Lines = maps.Clone(f.Bus.Lines)
	if err := t.checkFlat(f); err != nil {
		return nil, err
	}
	for i, p := range f.Metro.Pairs {
		if err := t.addPair(p); err != nil {
			return nil, fmt.Errorf("tariff %s: metro.pairs[%d]: %w", f.Version, i, err)
		}
	}
	if err := t.setShares(f); err != nil {
		return nil, err
	}
	return t, nil
}

func (t *Tariff) checkFlat(f File) error {
	if err := checkFare(f.Bus.Default); err != nil {
		return fmt.Errorf("tariff %s: bus.default: %w", f.Version, err)
	}
	if err := checkFare(f.Metro.Default); err != nil {
		return fmt.Errorf("tariff %s: metro.default: %w", f.Version, err)
	}
	for line, fare := range f.Bus.Lines {
		if err := checkFare(fare); err != nil {
			return fmt.Errorf("tariff %s: bus.lines.%s: %w", f.Version, line, err)
		}
	}
	return nil
}

func (t *Tariff) addPair(p PairFare) error {
	if p.From == "" || p.To == "" {
		return fmt.Errorf("from and to must be named")
	}
	if err := checkFare(p.Fare); err != nil {
		return err
	}
	for _, k := range []pair{{p.From, p.To}, {p.To, p.From}} {
		if old, ok := t.pairs[k]; ok && old != p.Fare {
			return fmt.Errorf("%s to %s costs %d here and %d before", p.From, p.To, p.Fare, old)
		}
		t.pairs[k] = p.Fare
	}
	return nil
}

func (t *Tariff) setShares(f File) error {
	for i := range t.share {
		t.share[i] = basisWhole
	}
	for name, share := range f.Riders {
		rider, ok := txn.ParseRiderCategory(name)
		if !ok {
			return fmt.Errorf("tariff %s: riders: unknown category %q", f.Version, name)
		}
		if share < 0 || share > basisWhole {
			return fmt.Errorf("tariff %s: riders.%s: %d is not in 0 to %d",
				f.Version, name, share, basisWhole)
		}
		t.share[rider] = share
	}
	return nil
}

func checkFare(fare txn.Minor) error {
	if fare < 0 || fare > fareMax {
		return fmt.Errorf("fare %d is not in 0 to %d", fare, fareMax)
	}
	return nil
}

// Version returns the name of the tariff.
func (t *Tariff) Version() string { return t.version }

// Stations returns the stations that the metro pairs name, sorted.
func (t *Tariff) Stations() []string {
	var all []string
	for p := range t.pairs {
		all = append(all, p.from)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Bus returns the price of boarding a bus of line; ok is false when no fare is known.
func (t *Tariff) Bus(line string, rider txn.RiderCategory) (q Quote, ok bool) {
	fare, ok := t.bus.Lines[line]
	if !ok {
		fare, ok = t.bus.Default, t.bus.Default > 0
	}
	return t.quote(fare, rider), ok
}

// Metro returns the price of a ride; ok is false when no fare is known.
func (t *Tariff) Metro(from, to string, rider txn.RiderCategory) (q Quote, ok bool) {
	fare, ok := t.pairs[pair{from, to}]
	if !ok {
		fare, ok = t.metro, t.metro > 0
	}
	return t.quote(fare, rider), ok
}

// quote rounds the share down to the minor unit, in the rider's favour.
func (t *Tariff) quote(fare txn.Minor, rider txn.RiderCategory) Quote {
	return Quote{FullFare: fare, Charged: fare * txn.Minor(t.share[rider]) / basisWhole}
}
