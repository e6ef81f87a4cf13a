package price_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/fare/price"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// noon is Tuesday 2026-09-01, 12:00 in Shenzhen.
const noon = txn.Millis(1_788_235_200_000)

const minute = txn.Millis(60_000)

func ptr[T any](v T) *T { return &v }

// city is a tariff with every kind of rule.
func city() price.File {
	return price.File{Tariff: "city", Version: "1", Effective: price.Effective{From: 20260101},
		UTCOffset: 8 * time.Hour, DayStarts: 4 * time.Hour,
		Fares: []price.Fare{
			{Name: "bus", Mode: "bus", Flat: ptr(txn.Minor(200))},
			{Name: "express", Mode: "bus", Lines: []string{"E1"}, Flat: ptr(txn.Minor(1000))},
			{Name: "metro", Mode: "metro", Matrix: &price.Matrix{Stations: []string{"A", "B", "C"},
				Rows: [][]txn.Minor{{200, 300, 500}, {200, 400}, {200}}}},
			{Name: "tram", Mode: "tram", Zones: &price.Zones{
				Stations: map[string]int{"A": 1, "B": 2, "C": 3}, Fares: []txn.Minor{100, 150, 250}}},
			{Name: "ferry", Mode: "ferry", Time: &price.Steps{Every: 10, Add: 50, Max: 400,
				Steps: []price.Step{{Upto: 15, Fare: 100}, {Upto: 30, Fare: 200}}}},
			{Name: "rail", Mode: "rail", Distance: &price.Steps{Every: 5000, Add: 100, Max: 900,
				Steps: []price.Step{{Upto: 4000, Fare: 200}}, Posts: map[string]int{"A": 0, "B": 3000}}},
		},
		Riders: []price.Rider{
			{Rider: "ordinary", Modes: []string{"metro"}, Pays: ptr(price.Share(9500))},
			{Rider: "ordinary", Modes: []string{"bus"}, Slices: []price.Slice{{Upto: 300, Pays: 8000},
				{Upto: 600, Pays: 7500}, {Pays: 6500}}},
			{Rider: "student", Pays: ptr(price.Share(5000)), Transfers: "none"},
			{Rider: "senior", Pays: ptr(price.Share(0))},
		},
		Operators: []price.Operator{{Operator: "private", Discounts: "none"}},
		Classes:   []price.ClassOf{{Class: "business", Mode: "metro", Times: 3, Discounts: "none"}},
		Transfers: []price.Transfer{
			{Name: "change", From: []string{"bus", "metro"}, To: []string{"bus", "metro"},
				Window: 90 * time.Minute, SameLine: "no", Off: ptr(txn.Minor(40))},
			{Name: "ferry", From: []string{"metro"}, To: []string{"ferry"}, First: []string{"bus"},
				Window: 2 * time.Hour, Measured: "first_entry", Legs: 3, Pays: ptr(price.Share(0))},
		},
		Incomplete: &price.Incomplete{MissingExit: "maximum", MissingEntry: "400",
			Correction: &price.Correction{Within: 7 * 24 * time.Hour, PerMonth: 1}},
		Overtime:    &price.Overtime{After: 4 * time.Hour, Charge: 700},
		SameStation: &price.SameStation{Within: 20 * time.Minute, Charge: 0, Later: 200},
	}
}

func compile(t testing.TB, f price.File) *price.Tariff {
	t.Helper()
	tariff, err := price.Compile(f)
	if err != nil {
		t.Fatal(err)
	}
	return tariff
}

func board(at txn.Millis, line string) price.Tap {
	return price.Tap{Kind: price.Board, At: at, Line: price.NameOf(line)}
}

func enter(at txn.Millis, mode price.Mode, station string) price.Tap {
	return price.Tap{Kind: price.Enter, Mode: mode, At: at, Station: price.NameOf(station)}
}

func exit(at txn.Millis, mode price.Mode, station string) price.Tap {
	tap := enter(at, mode, station)
	tap.Kind = price.Exit
	return tap
}

// with returns the tap with a change.
func with(tap price.Tap, change func(*price.Tap)) price.Tap {
	change(&tap)
	return tap
}

func student(tap *price.Tap)  { tap.Rider = txn.RiderStudent }
func business(tap *price.Tap) { tap.Class = price.Business }

// charges prices taps in order and returns what each charged; a refusal is its text.
func charges(t *testing.T, tariff *price.Tariff, taps ...price.Tap) []any {
	t.Helper()
	var s price.State
	var all []any
	for i := range taps {
		q := tariff.Price(&s, &taps[i])
		sum := q.Full + q.Surcharge
		for _, d := range q.Discounts {
			sum -= d
		}
		if q.Reason == price.OK && sum != q.Charged {
			t.Errorf("tap %d: parts make %d, charged %d: %+v", i, sum, q.Charged, q)
		}
		if q.Reason != price.OK {
			all = append(all, q.Reason)
			continue
		}
		all = append(all, int(q.Charged))
	}
	return all
}

func TestPrices(t *testing.T) {
	const m = minute
	tariff := compile(t, city())
	for name, c := range map[string]struct {
		taps []price.Tap
		want []any
	}{
		"flat fares of lines and slices": {[]price.Tap{board(noon, "1"), board(noon+3*60*m, "E1")},
			[]any{160, 240 + 225 + 260}},
		"matrix, both directions": {[]price.Tap{enter(noon, price.Metro, "C"),
			exit(noon+30*m, price.Metro, "A"), enter(noon+200*m, price.Metro, "A"),
			exit(noon+220*m, price.Metro, "C")}, []any{0, 475, 0, 475}},
		"zones": {[]price.Tap{enter(noon, price.Tram, "A"), exit(noon+m, price.Tram, "C")},
			[]any{0, 250}},
		"time steps": {[]price.Tap{enter(noon, price.Ferry, "A"), exit(noon+15*m, price.Ferry, "B"),
			enter(noon+20*m, price.Ferry, "A"), exit(noon+51*m, price.Ferry, "B"),
			enter(noon+60*m, price.Ferry, "A"), exit(noon+200*m, price.Ferry, "B")},
			[]any{0, 100, 0, 250, 0, 400}},
		"distance by posts and by the terminal": {[]price.Tap{enter(noon, price.Rail, "A"),
			exit(noon+m, price.Rail, "B"), enter(noon+2*m, price.Rail, "A"),
			with(exit(noon+9*m, price.Rail, "Z"), func(tap *price.Tap) { tap.Metres = 9001 }),
			enter(noon+10*m, price.Rail, "A"), exit(noon+19*m, price.Rail, "Z")},
			[]any{0, 200, 0, 400, 0, price.NoDistance}},
		"students have no transfer": {[]price.Tap{with(board(noon, "1"), student),
			with(board(noon+m, "2"), student)}, []any{100, 100}},
		"transfers to another line within the window": {[]price.Tap{board(noon, "1"),
			board(noon+90*m, "2"), board(noon+100*m, "2"), board(noon+100*m+90*m+1, "3")},
			[]any{160, 120, 160, 160}},
		"the window ends at the entry": {[]price.Tap{board(noon, "1"),
			enter(noon+80*m, price.Metro, "A"), exit(noon+120*m, price.Metro, "C")},
			[]any{160, 0, 435}},
		"first leg": {[]price.Tap{board(noon, "1"), enter(noon+10*m, price.Metro, "A"),
			exit(noon+20*m, price.Metro, "B"), enter(noon+119*m, price.Ferry, "B"),
			exit(noon+125*m, price.Ferry, "C")}, []any{160, 0, 245, 0, 0}},
		"no first leg": {[]price.Tap{enter(noon+10*m, price.Metro, "A"),
			exit(noon+20*m, price.Metro, "B"), enter(noon+25*m, price.Ferry, "B"),
			exit(noon+26*m, price.Ferry, "C")}, []any{0, 285, 0, 100}},
		"a chain ends with the service day": {[]price.Tap{board(noon+15*60*m+59*m, "1"),
			board(noon+16*60*m, "2")}, []any{160, 160}},
		"operators without discounts": {[]price.Tap{with(board(noon, "1"), func(tap *price.Tap) {
			student(tap)
			tap.Operator = price.NameOf("private")
		})}, []any{200}},
		"business class": {[]price.Tap{with(enter(noon, price.Metro, "A"), business),
			exit(noon+9*m, price.Metro, "B"), with(board(noon+10*m, "1"), business)},
			[]any{0, 900, price.NoFare}},
		"incomplete, corrected once": {[]price.Tap{enter(noon, price.Metro, "A"),
			{Kind: price.Lapse, At: noon + 300*m},
			{Kind: price.Correct, At: noon + 400*m, Station: price.NameOf("B")},
			exit(noon+500*m, price.Metro, "A"),
			{Kind: price.Correct, At: noon + 501*m, Station: price.NameOf("B")}},
			[]any{0, 475, -190, 400, price.TooManyCorrections}},
		"a second entry gives up the first": {[]price.Tap{enter(noon, price.Metro, "A"),
			with(enter(noon+60*m, price.Metro, "B"), student), exit(noon+70*m, price.Metro, "C"),
			{Kind: price.Correct, At: noon + 8*24*60*m, Station: price.NameOf("B")}},
			[]any{0, 475, 380, price.CorrectionTooLate}},
		"overtime": {[]price.Tap{enter(noon, price.Metro, "A"),
			exit(noon+241*m, price.Metro, "B")}, []any{0, 285 + 700}},
		"same station": {[]price.Tap{enter(noon, price.Metro, "A"), exit(noon+20*m, price.Metro, "A"),
			enter(noon+30*m, price.Metro, "A"), exit(noon+51*m, price.Metro, "A")},
			[]any{0, 0, 0, 190}},
		"refusals": {[]price.Tap{board(noon, "1"), board(noon-m, "2"),
			{Kind: price.Lapse, At: noon}, {Kind: price.Correct, At: noon},
			{Kind: price.Buy, At: noon}, {Kind: 99, At: noon}, {Mode: 99, At: noon},
			board(noon-365*24*60*m, "1")}, []any{160, price.OutOfOrder, price.NoEntry,
			price.NothingToCorrect, price.NoPass, price.NoFare, price.NoFare, price.NotInForce}},
	} {
		got := charges(t, tariff, c.taps...)
		for i := range c.want {
			if got[i] != c.want[i] {
				t.Errorf("%s: tap %d: %v, want %v", name, i, got, c.want)
				break
			}
		}
	}
}

func TestTiersCountFullFaresOfTheMonth(t *testing.T) {
	f := city()
	f.Tiers = []price.Tier{{From: 400, Pays: 8000}, {From: 800, Pays: 5000}}
	got := charges(t, compile(t, f), board(noon, "1"), board(noon, "1"), board(noon, "1"),
		board(noon, "1"), board(noon, "1"), board(noon+30*24*60*minute, "1"))
	for i, want := range []any{160, 160, 128, 128, 80, 160} {
		if got[i] != want {
			t.Errorf("ride %d: %v, want %v", i, got[i], want)
		}
	}
	// Beijing's: 80 % from 100 yuan a month on, half from 150, and nothing off from 400.
	f.Tiers = []price.Tier{{From: 200, Pays: 8000}, {From: 400, Pays: 5000}, {From: 800, Pays: 10000}}
	got = charges(t, compile(t, f), board(noon, "1"), board(noon, "1"), board(noon, "1"),
		board(noon, "1"), board(noon, "1"))
	for i, want := range []any{160, 128, 80, 80, 160} {
		if got[i] != want {
			t.Errorf("ride %d of the month that ends dearer: %v, want %v", i, got[i], want)
		}
	}
}

func TestCaps(t *testing.T) {
	f := city()
	f.Caps = []price.Cap{{Period: "day", Amount: 400}, {Period: "week", Amount: 500}}
	const day = 24 * 60 * minute
	tariff := compile(t, f)
	got := charges(t, tariff, board(noon, "1"), board(noon, "1"), board(noon, "1"), board(noon, "1"),
		board(noon+day, "1"), board(noon+day, "1"), board(noon+6*day, "1"))
	for i, want := range []any{160, 160, 80, 0, 100, 0, 160} {
		if got[i] != want {
			t.Errorf("ride %d: %v, want %v", i, got[i], want)
		}
	}
	var s price.State
	for range 3 {
		tap := board(noon, "1")
		q := tariff.Price(&s, &tap)
		if s.Paid(price.Day) == 400 && (q.Capped != price.Day || q.Discounts[price.ByCap] != 80) {
			t.Errorf("%+v", q)
		}
	}
	if s.Paid(price.Week) != 400 || s.Paid(price.Month) != 400 {
		t.Errorf("paid %d, %d", s.Paid(price.Week), s.Paid(price.Month))
	}
}

func TestPasses(t *testing.T) {
	f := city()
	f.Passes = []price.Pass{{Name: "two rides", Price: 300, Rides: 2, Modes: []string{"bus"}},
		{Name: "three days", Price: 900, Days: 3}, {Name: "month", Price: 5000, Period: "month",
			Riders: []string{"student"}}}
	const day = 24 * 60 * minute
	tariff := compile(t, f)
	if tariff.Pass("month") != 2 || tariff.Pass("year") != -1 {
		t.Error("passes have other numbers")
	}
	buy := func(at txn.Millis, n int) price.Tap { return price.Tap{Kind: price.Buy, At: at, Pass: n} }
	got := charges(t, tariff, buy(noon, 0), board(noon, "1"), board(noon, "1"), board(noon, "1"),
		buy(noon, 1), board(noon+2*day, "1"), board(noon+3*day, "1"), buy(noon+3*day, 2),
		with(buy(noon+3*day, 2), student), with(board(noon+29*day, "1"), student),
		with(board(noon+30*day, "1"), student))
	for i, want := range []any{300, 0, 0, 160, 900, 0, 160, price.NoPass, 5000, 0, 100} {
		if got[i] != want {
			t.Errorf("tap %d: %v, want %v", i, got[i], want)
		}
	}
	var s price.State
	for i := range price.PassesMax + 1 {
		tap := buy(noon, 1)
		if q := tariff.Price(&s, &tap); (q.Reason == price.OK) != (i < price.PassesMax) {
			t.Errorf("pass %d: %v", i, q.Reason)
		}
	}
}

// A given fare is the terminal's; what no table can hold is refused.
func TestGivenFares(t *testing.T) {
	f := city()
	f.Fares[2] = price.Fare{Name: "metro", Mode: "metro",
		Given: &price.Given{Min: 200, Max: 1500, MultipleOf: 100}}
	tariff := compile(t, f)
	given := func(a txn.Minor, change func(*price.Tap)) price.Tap {
		return with(exit(noon, price.Metro, "B"), func(tap *price.Tap) {
			tap.Given = a
			change(tap)
		})
	}
	got := charges(t, tariff, given(500, student), given(150, student), given(1600, student),
		given(550, student), given(600, business), given(500, business), given(1900, business))
	for i, want := range []any{250, price.FareImpossible, price.FareImpossible,
		price.FareImpossible, 600, price.FareImpossible, 1900} {
		if got[i] != want {
			t.Errorf("tap %d: %v, want %v", i, got[i], want)
		}
	}
}

func TestRounding(t *testing.T) {
	for _, c := range []struct {
		rounding price.Rounding
		want     int
	}{{price.Rounding{}, 66}, {price.Rounding{Mode: "down", To: 5}, 65},
		{price.Rounding{Mode: "nearest"}, 67}, {price.Rounding{Mode: "up", To: 10}, 70}} {
		f := city()
		f.Rounding = c.rounding
		f.Riders = []price.Rider{{Rider: "ordinary", Pays: ptr(price.Share(3333))}}
		if got := charges(t, compile(t, f), board(noon, "1")); got[0] != c.want {
			t.Errorf("%+v: %v, want %d", c.rounding, got[0], c.want)
		}
	}
}

func TestRefusedTariffs(t *testing.T) {
	fare := func(i int, change func(*price.Fare)) func(*price.File) {
		return func(f *price.File) { f.Fares[i].Line = 30 + i; change(&f.Fares[i]) }
	}
	for want, change := range map[string]func(*price.File){
		"tariff and version":               func(f *price.File) { f.Version = "" },
		"effective: ends on 2026-02-01":    func(f *price.File) { f.Effective = price.Effective{Line: 5, From: 20260301, Until: 20260201} },
		"effective.from":                   func(f *price.File) { f.Effective.From = 20260230 },
		"effective.until":                  func(f *price.File) { f.Effective.Until = 20260230 },
		"utc_offset":                       func(f *price.File) { f.UTCOffset = 20 * time.Hour },
		"day_starts":                       func(f *price.File) { f.DayStarts = -1 },
		"rounding.mode":                    func(f *price.File) { f.Rounding.Mode = "kind" },
		"rounding.to":                      func(f *price.File) { f.Rounding.To = -5 },
		"fares: none":                      func(f *price.File) { f.Fares = nil },
		"line 32: fares.bus: the name":     fare(2, func(e *price.Fare) { e.Name = "bus" }),
		"leaves a gap: bus of other lines": fare(0, func(e *price.Fare) { e.Lines = []string{"9"} }),
		"line E1 has the fare of line 31 already": func(f *price.File) {
			f.Fares[1].Line = 31
			f.Fares = append(f.Fares, price.Fare{Line: 90, Name: "x", Mode: "bus", Lines: []string{"E1"}, Flat: ptr(txn.Minor(1))})
		},
		"bus has the fare of line 0 already": fare(1, func(e *price.Fare) { e.Lines = nil }),
		"operator o has the fare": func(f *price.File) {
			f.Fares[0].Line = 1
			f.Fares = append(f.Fares, price.Fare{Name: "x", Mode: "bus", Operators: []string{"o", "o"}, Flat: ptr(txn.Minor(1))})
		},
		"for lines or for operators": fare(1, func(e *price.Fare) { e.Operators = []string{"o"} }),
		`"canoe" is no mode`:         fare(1, func(e *price.Fare) { e.Mode = "canoe" }),
		`"raft" is no mode`: func(f *price.File) {
			f.Fares = []price.Fare{{Mode: "raft", Lines: []string{"1"}, Flat: ptr(txn.Minor(1))}}
		},
		"fare in 0 ways":                            fare(0, func(e *price.Fare) { e.Flat = nil }),
		"fare in 2 ways":                            fare(2, func(e *price.Fare) { e.Flat = ptr(txn.Minor(1)) }),
		"flat: -1 is not in":                        fare(0, func(e *price.Fare) { e.Flat = ptr(txn.Minor(-1)) }),
		"3 zones and there are fares for 2":         fare(3, func(e *price.Fare) { e.Zones.Fares = e.Zones.Fares[:2] }),
		"no station has a zone":                     fare(3, func(e *price.Fare) { e.Zones.Stations = nil }),
		"the longer ride costs 50, the shorter":     fare(3, func(e *price.Fare) { e.Zones.Fares = []txn.Minor{100, 50, 60} }),
		"3 stations and 2 rows":                     fare(2, func(e *price.Fare) { e.Matrix.Rows = e.Matrix.Rows[:2] }),
		"row of B has 1 fares, want 2":              fare(2, func(e *price.Fare) { e.Matrix.Rows[1] = e.Matrix.Rows[1][:1] }),
		"station A stands twice":                    fare(2, func(e *price.Fare) { e.Matrix.Stations[2] = "A" }),
		`fares.metro.matrix.stations: ""`:           fare(2, func(e *price.Fare) { e.Matrix.Stations[2] = "" }),
		"fares.ferry.time: leaves no room":          fare(4, func(e *price.Fare) { e.Time.Steps[1].Upto = 15 }),
		"fares.ferry.time: contradicts itself: the": fare(4, func(e *price.Fare) { e.Time.Steps[1].Fare = 15 }),
		"max 100 is below the last step":            fare(4, func(e *price.Fare) { e.Time.Max = 100 }),
		"mean nothing without every":                fare(4, func(e *price.Fare) { e.Time.Every = 0 }),
		"every and add cannot be":                   fare(4, func(e *price.Fare) { e.Time.Every = -1 }),
		"0 steps, want":                             fare(4, func(e *price.Fare) { e.Time.Steps = nil }),
		"given: contradicts itself":                 fare(0, func(e *price.Fare) { e.Flat, e.Given = nil, &price.Given{Min: 5, Max: 4} }),
		`"king" is no rider category`:               func(f *price.File) { f.Riders[0].Rider = "king" },
		"pays or slices":                            func(f *price.File) { f.Riders[0].Pays = nil },
		"contradicts line 7, which has a share":     func(f *price.File) { f.Riders[2].Line = 7; f.Riders = append(f.Riders, f.Riders[2]) },
		"fares above 900 have no share":             func(f *price.File) { f.Riders[1].Slices[2].Upto = 900 },
		"does not follow the slice":                 func(f *price.File) { f.Riders[1].Slices[1].Upto = 300 },
		"300% is not in":                            func(f *price.File) { f.Riders[2].Pays = ptr(price.Share(30000)) },
		"no fare is for metro":                      func(f *price.File) { f.Fares = f.Fares[:2] },
		"operators.private: has rules in line":      func(f *price.File) { f.Operators = append(f.Operators, f.Operators[0]) },
		"operators.private.discounts":               func(f *price.File) { f.Operators[0].Discounts = "some" },
		"classes.first":                             func(f *price.File) { f.Classes[0].Class = "first" },
		"times 0":                                   func(f *price.File) { f.Classes[0].Times = 0 },
		"stands twice for metro":                    func(f *price.File) { f.Classes = append(f.Classes, f.Classes[0]) },
		"classes.business: no fare is for rail": func(f *price.File) {
			f.Classes[0].Mode = "rail"
			f.Fares = slices.DeleteFunc(f.Fares, func(e price.Fare) bool { return e.Mode == "rail" })
		},
		"transfers.change: the name":       func(f *price.File) { f.Transfers[1].Name = "change" },
		"from and to must":                 func(f *price.File) { f.Transfers[0].To = nil },
		"transfers.change.window":          func(f *price.File) { f.Transfers[0].Window = 0 },
		"transfers.ferry.legs: is missing": func(f *price.File) { f.Transfers[1].Legs = 0 },
		"transfers.ferry.legs: 9":          func(f *price.File) { f.Transfers[1].Legs = 9 },
		"off or pays":                      func(f *price.File) { f.Transfers[0].Pays = ptr(price.Share(0)) },
		"120% is no discount":              func(f *price.File) { f.Transfers[1].Pays = ptr(price.Share(12000)) },
		"measured_from":                    func(f *price.File) { f.Transfers[0].Measured = "never" },
		"metro stands twice":               func(f *price.File) { f.Transfers[0].From = []string{"metro", "metro"} },
		"does not follow the tier":         func(f *price.File) { f.Tiers = []price.Tier{{From: 5, Pays: 1}, {From: 5, Pays: 1}} },
		"contradicts itself: change in line": func(f *price.File) {
			again := f.Transfers[0]
			again.Name, again.Off, again.Pays = "again", new(txn.Minor), nil
			f.Transfers = append(f.Transfers, again)
		},
		"not day, week or month":       func(f *price.File) { f.Caps = []price.Cap{{Period: "hour", Amount: 9}} },
		"0 would make every ride free": func(f *price.File) { f.Caps = []price.Cap{{Period: "day"}} },
		"contradicts the cap of 9 for": func(f *price.File) {
			f.Caps = []price.Cap{{Period: "day", Amount: 9}, {Period: "day", Amount: 8, Riders: []string{"student"}}}
		},
		"9 a day is above 8 a month":                 func(f *price.File) { f.Caps = []price.Cap{{Period: "day", Amount: 9}, {Period: "month", Amount: 8}} },
		"never ends":                                 func(f *price.File) { f.Passes = []price.Pass{{Name: "p", Price: 9}} },
		"calendar or days":                           func(f *price.File) { f.Passes = []price.Pass{{Name: "p", Period: "day", Days: 9}} },
		"days or rides out":                          func(f *price.File) { f.Passes = []price.Pass{{Name: "p", Rides: -9}} },
		"passes.p: stands twice":                     func(f *price.File) { f.Passes = []price.Pass{{Name: "p", Days: 9}, {Name: "p", Days: 8}} },
		"best_price cannot hold":                     func(f *price.File) { f.BestPrice = true; f.Passes = []price.Pass{{Name: "p", Days: 9}} },
		"best_price does not hold: the pass costs 9": func(f *price.File) { f.BestPrice = true; f.Passes = []price.Pass{{Name: "p", Price: 9, Period: "day"}} },
		"incomplete.missing_exit":                    func(f *price.File) { f.Incomplete.MissingExit = "much" },
		"within and per_month":                       func(f *price.File) { f.Incomplete.Correction.PerMonth = 0 },
		"overtime.after":                             func(f *price.File) { f.Overtime.After = 0 },
		"same_station: contradicts":                  func(f *price.File) { f.SameStation.Charge = 300 },
		"pairs: leaves a gap: A to A": fare(2, func(e *price.Fare) {
			e.Matrix, e.Pairs = nil, &price.Pairs{Fares: []price.PairFare{{From: "A", To: "B"}}}
		}),
		"pairs: leaves a gap: no pair": fare(2, func(e *price.Fare) { e.Matrix, e.Pairs = nil, &price.Pairs{} }),
		"pairs: contradicts itself: B to A costs 9 here and 3 before": fare(2, func(e *price.Fare) {
			e.Matrix, e.Pairs = nil, &price.Pairs{Fares: []price.PairFare{{From: "A", To: "B", Fare: 3},
				{From: "B", To: "A", Fare: 9}}}
		}),
		"17 entries, at most 16": func(f *price.File) { f.Tiers = make([]price.Tier, 17) },
	} {
		f := city()
		change(&f)
		tariff, err := price.Compile(f)
		if err == nil || tariff != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func TestPriceAllocates(t *testing.T) {
	tariff := compile(t, city())
	var s price.State
	at := noon
	if n := testing.AllocsPerRun(200, func() {
		at += minute
		in, out := enter(at, price.Metro, "A"), exit(at, price.Metro, "C")
		tariff.Price(&s, &in)
		tariff.Price(&s, &out)
	}); n != 0 {
		t.Errorf("%.0f allocations, want none", n)
	}
}

func BenchmarkPrice(b *testing.B) {
	f := city()
	f.Caps = []price.Cap{{Period: "day", Amount: 4000}, {Period: "month", Amount: 50_000}}
	tariff := compile(b, f)
	var s price.State
	at := noon
	b.ReportAllocs()
	for b.Loop() {
		at += minute
		tap := board(at, "1")
		tariff.Price(&s, &tap)
	}
}

// A ride priced elsewhere lets a transfer follow, and costs nothing here.
func TestRode(t *testing.T) {
	tariff := compile(t, city())
	for gap, want := range map[txn.Millis]txn.Minor{90 * minute: 120, 91 * minute: 160} {
		var s price.State
		tariff.Rode(&s, price.Metro, price.NameOf("4"), noon-30*minute, noon)
		tariff.Rode(&s, price.Bus, price.NameOf("9"), noon-90*minute, noon-90*minute) // too late
		tap := board(noon+gap, "9")
		if q := tariff.Price(&s, &tap); q.Charged != want || s.Paid(price.Day) != want {
			t.Errorf("after %d: %+v, want %d", gap, q, want)
		}
	}
}

// As many transfer rules as a tariff may have, with a chain of the greatest length.
func BenchmarkPriceWorst(b *testing.B) {
	f := city()
	f.Transfers = nil
	for i := range 16 {
		f.Transfers = append(f.Transfers, price.Transfer{Name: fmt.Sprint(i), From: []string{"bus"},
			To: []string{"bus"}, Window: time.Hour, Off: ptr(txn.Minor(i))})
	}
	tariff := compile(b, f)
	var s price.State
	at := noon
	b.ReportAllocs()
	for b.Loop() {
		at++
		tap := board(at, "1")
		tariff.Price(&s, &tap)
	}
}
