package fare_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/switch/fare"
	"github.com/tapswitch/tapswitch/switch/fare/price"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const noon = txn.Millis(1_788_235_200_000) // 2026-09-01, 12:00 in Shenzhen

// city is a small tariff that compiles.
func city() fare.File {
	return fare.File{
		Version: "2026-09",
		Bus:     fare.BusFares{Default: 200, Lines: map[string]txn.Minor{"M1": 300, "FREE": 0}},
		Metro: fare.MetroFares{Default: 700, Pairs: []fare.PairFare{
			{From: "Futian", To: "Luohu", Fare: 500}, {From: "Futian", To: "Airport", Fare: 901},
			{From: "Luohu", To: "Luohu", Fare: 200},
		}},
		Riders: map[string]int64{"student": 5000, "senior": 0, "disabled": 3333},
	}
}

func compile(t testing.TB, f fare.File) *fare.Tariff {
	t.Helper()
	tariff, err := fare.Compile(f)
	if err != nil {
		t.Fatal(err)
	}
	return tariff
}

// metro returns what a ride costs, -1 for no price.
func metro(t *fare.Tariff, from, to string, rider txn.RiderCategory) txn.Minor {
	s := price.State{Journey: price.Journey{Open: true, At: noon - 600_000, Mode: price.Metro,
		Station: price.NameOf(from)}}
	return charge(t, &s, price.Tap{Kind: price.Exit, Mode: price.Metro, Station: price.NameOf(to), Rider: rider})
}

func bus(t *fare.Tariff, line string, rider txn.RiderCategory) txn.Minor {
	return charge(t, new(price.State), price.Tap{Line: price.NameOf(line), Rider: rider})
}

func charge(t *fare.Tariff, s *price.State, tap price.Tap) txn.Minor {
	tap.At = noon
	v := t.At(noon)
	if v == nil {
		return -1
	}
	q := v.Price(s, &tap)
	if q.Reason != price.OK {
		return -1
	}
	return q.Charged
}

func TestFlatFares(t *testing.T) {
	tariff := compile(t, city())
	for _, tt := range []struct {
		from, to string
		rider    txn.RiderCategory
		want     txn.Minor
	}{
		{"Futian", "Luohu", txn.RiderOrdinary, 500}, {"Luohu", "Futian", txn.RiderOrdinary, 500},
		{"Luohu", "Luohu", txn.RiderOrdinary, 200}, {"Airport", "Futian", txn.RiderStudent, 450},
		{"Futian", "Airport", txn.RiderSenior, 0}, {"Futian", "Airport", txn.RiderDisabled, 300},
		{"Futian", "Nowhere", txn.RiderStudent, 350},
	} {
		if got := metro(tariff, tt.from, tt.to, tt.rider); got != tt.want {
			t.Errorf("%s to %s, %s: %d, want %d", tt.from, tt.to, tt.rider, got, tt.want)
		}
	}
	for line, want := range map[string]txn.Minor{"M1": 150, "FREE": 0, "other": 100} {
		if got := bus(tariff, line, txn.RiderStudent); got != want {
			t.Errorf("line %s: %d, want %d", line, got, want)
		}
	}
	if tariff.LooksBack() {
		t.Error("flat fares look at earlier rides")
	}
}

// Without fares, and on a day that no version holds, nothing has a price.
func TestUnknownFares(t *testing.T) {
	none := compile(t, fare.File{Version: "none"})
	if got := bus(none, "1", 0); got != -1 || len(none.Versions()) != 0 {
		t.Errorf("a tariff without fares charges %d", got)
	}
	metroOnly := city()
	metroOnly.Bus = fare.BusFares{}
	if got := bus(compile(t, metroOnly), "1", 0); got != -1 {
		t.Errorf("a bus without a fare costs %d", got)
	}
	if new(fare.Tariff).At(noon) != nil || compile(t, city()).At(-9*3_600_000) != nil {
		t.Error("a version holds when none does")
	}
}

func TestTariffsThatContradictThemselves(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*fare.File)
		want   string
	}{
		"no version":      {func(f *fare.File) { f.Version = "" }, "version"},
		"bus default":     {func(f *fare.File) { f.Bus.Default = -1 }, "fares.bus.flat: -1"},
		"bus line":        {func(f *fare.File) { f.Bus.Lines["M9"] = 1_000_001 }, "fares.bus M9"},
		"other bus lines": {func(f *fare.File) { f.Bus.Default = 0 }, "leaves a gap"},
		"metro default":   {func(f *fare.File) { f.Metro.Default = 1_000_001 }, "otherwise"},
		"pair fare":       {func(f *fare.File) { f.Metro.Pairs[1].Fare = -5 }, "-5 is not in"},
		"no from":         {func(f *fare.File) { f.Metro.Pairs[2].From = "" }, "write another name"},
		"a pair left out": {func(f *fare.File) { f.Metro.Default = 0 }, "leaves a gap"},
		"two fares": {func(f *fare.File) {
			f.Metro.Pairs = append(f.Metro.Pairs, fare.PairFare{From: "Luohu", To: "Futian", Fare: 501})
		}, "Luohu to Futian costs 501 here and 500 before"},
		"unknown rider": {func(f *fare.File) { f.Riders["king"] = 1 }, `"king"`},
		"share below":   {func(f *fare.File) { f.Riders["student"] = -1 }, "riders.student"},
		"share above":   {func(f *fare.File) { f.Riders["veteran"] = 10_001 }, "10001 is not in"},
	} {
		f := city()
		tt.change(&f)
		tariff, err := fare.Compile(f)
		if err == nil || !strings.Contains(err.Error(), tt.want) || tariff != nil {
			t.Errorf("%s: %v, want %q and no tariff", name, err, tt.want)
		}
	}
}

// A compiled tariff does not change with the file that it came from.
func TestTariffKeepsNothingOfItsFile(t *testing.T) {
	f := city()
	tariff := compile(t, f)
	f.Bus.Lines["M1"], f.Metro.Pairs[0].Fare, f.Riders["student"] = 1, 1, 1
	if got := bus(tariff, "M1", txn.RiderStudent); got != 150 {
		t.Errorf("bus: %d", got)
	}
	if got := metro(tariff, "Futian", "Luohu", 0); got != 500 {
		t.Errorf("metro: %d", got)
	}
}

// The version in force at the time of the tap prices it, in whatever order they were given.
func TestVersions(t *testing.T) {
	version := func(name string, from, until txn.BusinessDate, change func(*price.File)) *price.Tariff {
		full := fare.File{Version: name, Bus: fare.BusFares{Default: 100}}.Full()
		full.Effective = price.Effective{From: from, Until: until}
		change(&full)
		v, err := price.Compile(full)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	old := version("old", 20260101, 20260831, func(*price.File) {})
	now := version("now", 20260901, 0, func(f *price.File) {
		f.Caps = []price.Cap{{Period: "day", Amount: 900}}
	})
	midnight := noon - 12*3_600_000
	for _, tariff := range []*fare.Tariff{fare.Of(old, now), fare.Of(now, old)} {
		if tariff.At(midnight) != now || tariff.At(midnight-1) != old || tariff.At(1) != nil {
			t.Error("another version holds")
		}
		if !tariff.LooksBack() || !slices.Equal(tariff.Versions(), []*price.Tariff{now, old}) {
			t.Errorf("versions %v", tariff.Versions())
		}
	}
	if fare.Of(old).LooksBack() {
		t.Error("fares alone look back")
	}
}
