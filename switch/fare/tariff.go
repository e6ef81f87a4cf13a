// Package fare is what a switch charges by: the versions of one tariff, of which the one in
// force when a card was tapped says what the tap costs.
//
// A Tariff is read only and safe for concurrent use; it opens no file and knows no clock.
// Package tariff reads files and checks that versions follow each other; package price holds
// the rules. File is a short way to write down flat fares, for tools and simulations: it has
// no transfers, caps or passes. Amounts are minor units.
package fare

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tapswitch/tapswitch/switch/fare/price"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// VersionsMax bounds the versions of one tariff.
const VersionsMax = 1000

// Tariff is a tariff with its versions. The zero Tariff prices nothing.
type Tariff struct {
	versions  []*price.Tariff // the newest first
	looksBack bool
}

// Of returns the tariff of some versions. Of two that hold at once the later begun does;
// whether they leave a gap is asked when they are read.
func Of(versions ...*price.Tariff) *Tariff {
	t := &Tariff{versions: slices.Clone(versions)}
	slices.SortStableFunc(t.versions, func(a, b *price.Tariff) int {
		return cmp.Compare(b.File().Effective.From, a.File().Effective.From)
	})
	for _, v := range versions {
		t.looksBack = t.looksBack || v.LooksBack()
	}
	return t
}

// At returns the version in force at an instant, nil for none.
func (t *Tariff) At(at txn.Millis) *price.Tariff {
	for _, v := range t.versions {
		if v.Holds(at) {
			return v
		}
	}
	return nil
}

// LooksBack reports whether in any version the price of a ride can depend on earlier ones.
// One version is enough: its caps count rides of the version before.
func (t *Tariff) LooksBack() bool { return t.looksBack }

// Versions returns the versions, the newest first.
func (t *Tariff) Versions() []*price.Tariff { return slices.Clone(t.versions) }

// basisWhole is all of a fare in basis points.
const basisWhole = int64(price.Whole)

// File is a tariff of flat fares. It holds from 1970 on, in the time of Shenzhen.
type File struct {
	Version string
	Bus     BusFares
	Metro   MetroFares
	// Riders gives each rider category the share of the full fare that it pays, in basis
	// points: 10000 is the full fare, 0 rides free. A category that is not named pays the
	// full fare.
	Riders map[string]int64
}

// BusFares are flat fares in minor units.
type BusFares struct {
	Default txn.Minor // for lines not named; 0: none, and then no line may be named
	Lines   map[string]txn.Minor
}

// MetroFares are fares from station to station in minor units. A pair holds in both
// directions.
type MetroFares struct {
	Default txn.Minor // for pairs not named; 0: none, and then every pair must be
	Pairs   []PairFare
}

// PairFare is the fare between two stations.
type PairFare struct {
	From string
	To   string
	Fare txn.Minor
}

// Full returns the file in full, as package tariff writes it.
func (f File) Full() price.File {
	out := price.File{Tariff: "flat", Version: f.Version, UTCOffset: 8 * time.Hour,
		Effective: price.Effective{From: 19700101}}
	if f.Bus.Default != 0 {
		out.Fares = append(out.Fares, price.Fare{Name: "bus", Mode: "bus", Flat: &f.Bus.Default})
	}
	for _, line := range slices.Sorted(maps.Keys(f.Bus.Lines)) {
		amount := f.Bus.Lines[line]
		out.Fares = append(out.Fares, price.Fare{Name: "bus " + line, Mode: "bus", Lines: []string{line},
			Flat: &amount})
	}
	if f.Metro.Default != 0 || len(f.Metro.Pairs) > 0 {
		pairs := &price.Pairs{}
		for _, p := range f.Metro.Pairs {
			pairs.Fares = append(pairs.Fares, price.PairFare{From: p.From, To: p.To, Fare: p.Fare})
		}
		if f.Metro.Default != 0 {
			pairs.Otherwise = &f.Metro.Default
		}
		out.Fares = append(out.Fares, price.Fare{Name: "metro", Mode: "metro", Pairs: pairs})
	}
	for _, rider := range slices.Sorted(maps.Keys(f.Riders)) {
		share := price.Share(f.Riders[rider])
		out.Riders = append(out.Riders, price.Rider{Rider: rider, Pays: &share})
	}
	return out
}

// Compile checks f and returns the tariff. One without fares prices nothing.
func Compile(f File) (*Tariff, error) {
	full := f.Full()
	for _, share := range f.Riders {
		if share > basisWhole {
			return nil, fmt.Errorf("tariff %s: riders: %d is not in 0 to %d", f.Version, share, basisWhole)
		}
	}
	if len(full.Fares) == 0 && f.Version != "" {
		return &Tariff{}, nil
	}
	v, err := price.Compile(full)
	if err != nil {
		return nil, fmt.Errorf("tariff %s: %w", f.Version, err)
	}
	return Of(v), nil
}
