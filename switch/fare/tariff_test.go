package fare_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/switch/fare"
	"github.com/tapswitch/tapswitch/switch/txn"
	"pgregory.net/rapid"
)

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

func TestQuotes(t *testing.T) {
	tariff := compile(t, city())
	if tariff.Version() != "2026-09" {
		t.Errorf("version %q", tariff.Version())
	}
	if got := tariff.Stations(); !slices.Equal(got, []string{"Airport", "Futian", "Luohu"}) {
		t.Errorf("stations %v", got)
	}
	for _, tt := range []struct {
		from, to string
		rider    txn.RiderCategory
		want     fare.Quote
	}{
		{"Futian", "Luohu", txn.RiderOrdinary, fare.Quote{FullFare: 500, Charged: 500}},
		{"Luohu", "Futian", txn.RiderOrdinary, fare.Quote{FullFare: 500, Charged: 500}},
		{"Luohu", "Luohu", txn.RiderOrdinary, fare.Quote{FullFare: 200, Charged: 200}},
		{"Airport", "Futian", txn.RiderStudent, fare.Quote{FullFare: 901, Charged: 450}},
		{"Futian", "Airport", txn.RiderSenior, fare.Quote{FullFare: 901, Charged: 0}},
		{"Futian", "Airport", txn.RiderDisabled, fare.Quote{FullFare: 901, Charged: 300}},
		{"Futian", "Airport", txn.RiderCategory(200), fare.Quote{FullFare: 901, Charged: 901}},
		{"Futian", "Nowhere", txn.RiderStudent, fare.Quote{FullFare: 700, Charged: 350}},
	} {
		if got, ok := tariff.Metro(tt.from, tt.to, tt.rider); !ok || got != tt.want {
			t.Errorf("%s to %s, %s: %+v, %v; want %+v", tt.from, tt.to, tt.rider, got, ok, tt.want)
		}
	}
	for line, want := range map[string]fare.Quote{"M1": {FullFare: 300, Charged: 150},
		"FREE": {}, "other": {FullFare: 200, Charged: 100}} {
		if got, ok := tariff.Bus(line, txn.RiderStudent); !ok || got != want {
			t.Errorf("line %s: %+v, %v; want %+v", line, got, ok, want)
		}
	}
}

// Without a default, what is not named has no fare; a fare of nothing is one.
func TestUnknownFares(t *testing.T) {
	f := city()
	f.Bus.Default, f.Metro.Default = 0, 0
	f.Metro.Pairs = append(f.Metro.Pairs, fare.PairFare{From: "A", To: "B", Fare: 0})
	tariff := compile(t, f)
	if q, ok := tariff.Metro("Futian", "Nowhere", 0); ok {
		t.Errorf("metro: %+v", q)
	}
	if q, ok := tariff.Bus("other", 0); ok {
		t.Errorf("bus: %+v", q)
	}
	if q, ok := tariff.Metro("B", "A", 0); !ok || q != (fare.Quote{}) {
		t.Errorf("a free ride: %+v, %v", q, ok)
	}
	if q, ok := tariff.Bus("FREE", 0); !ok || q != (fare.Quote{}) {
		t.Errorf("a free line: %+v, %v", q, ok)
	}
}

func TestTariffsThatContradictThemselves(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*fare.File)
		want   string
	}{
		"no version":    {func(f *fare.File) { f.Version = "" }, "version"},
		"bus default":   {func(f *fare.File) { f.Bus.Default = -1 }, "bus.default: fare -1"},
		"bus line":      {func(f *fare.File) { f.Bus.Lines["M9"] = 1_000_001 }, "bus.lines.M9"},
		"metro default": {func(f *fare.File) { f.Metro.Default = 1_000_001 }, "metro.default"},
		"pair fare": {func(f *fare.File) { f.Metro.Pairs[1].Fare = -5 },
			"metro.pairs[1]: fare -5"},
		"no from": {func(f *fare.File) { f.Metro.Pairs[2].From = "" }, "metro.pairs[2]"},
		"no to":   {func(f *fare.File) { f.Metro.Pairs[0].To = "" }, "metro.pairs[0]"},
		"two fares": {func(f *fare.File) {
			f.Metro.Pairs = append(f.Metro.Pairs, fare.PairFare{From: "Luohu", To: "Futian", Fare: 501})
		}, "Luohu to Futian costs 501 here and 500 before"},
		"unknown rider": {func(f *fare.File) { f.Riders["king"] = 1 }, `unknown category "king"`},
		"share below":   {func(f *fare.File) { f.Riders["student"] = -1 }, "riders.student: -1"},
		"share above":   {func(f *fare.File) { f.Riders["veteran"] = 10_001 }, "riders.veteran"},
		"too many pairs": {func(f *fare.File) {
			f.Metro.Pairs = make([]fare.PairFare, 1<<20+1)
		}, "limit 1048576"},
	} {
		f := city()
		tt.change(&f)
		tariff, err := fare.Compile(f)
		if err == nil || !strings.Contains(err.Error(), tt.want) || tariff != nil {
			t.Errorf("%s: %v, want %q and no tariff", name, err, tt.want)
		}
	}
	same := city()
	same.Metro.Pairs = append(same.Metro.Pairs, fare.PairFare{From: "Luohu", To: "Futian", Fare: 500})
	compile(t, same)
}

// A compiled tariff does not change with the file that it came from.
func TestTariffKeepsNothingOfItsFile(t *testing.T) {
	f := city()
	tariff := compile(t, f)
	f.Bus.Lines["M1"], f.Metro.Pairs[0].Fare, f.Riders["student"] = 1, 1, 1
	if q, _ := tariff.Bus("M1", txn.RiderStudent); q != (fare.Quote{FullFare: 300, Charged: 150}) {
		t.Errorf("bus: %+v", q)
	}
	if q, _ := tariff.Metro("Futian", "Luohu", 0); q.FullFare != 500 {
		t.Errorf("metro: %+v", q)
	}
}

// A charge lies between nothing and the full fare, and rounds down.
func TestQuoteProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		share := rapid.Int64Range(0, 10_000).Draw(t, "share")
		full := txn.Minor(rapid.Int64Range(1, 1_000_000).Draw(t, "fare"))
		tariff, err := fare.Compile(fare.File{Version: "x", Bus: fare.BusFares{Default: full},
			Riders: map[string]int64{"student": share}})
		if err != nil {
			t.Fatal(err)
		}
		q, ok := tariff.Bus("any", txn.RiderStudent)
		exact := float64(full) * float64(share) / 10_000
		if !ok || q.FullFare != full || q.Charged < 0 || float64(q.Charged) > exact+1e-9 ||
			float64(q.Charged) < exact-1 {
			t.Fatalf("%d of %d: %+v", share, full, q)
		}
	})
}

func TestQuoteAllocates(t *testing.T) {
	tariff := compile(t, city())
	if n := testing.AllocsPerRun(100, func() {
		tariff.Metro("Futian", "Luohu", txn.RiderStudent)
		tariff.Bus("M1", txn.RiderStudent)
	}); n != 0 {
		t.Errorf("%.0f allocations, want none", n)
	}
}

func BenchmarkMetro(b *testing.B) {
	f := city()
	for i := range 300 {
		for j := range 300 {
			f.Metro.Pairs = append(f.Metro.Pairs, fare.PairFare{From: fmt.Sprint("S", min(i, j)),
				To: fmt.Sprint("S", max(i, j)), Fare: 400})
		}
	}
	tariff := compile(b, f)
	b.ReportAllocs()
	for b.Loop() {
		tariff.Metro("S17", "S250", txn.RiderStudent)
	}
}
