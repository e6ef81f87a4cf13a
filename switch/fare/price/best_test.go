package price_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/fare/price"
	"github.com/tapswitch/tapswitch/switch/txn"
	"pgregory.net/rapid"
)

// The search below knows the rules of a tariff from its file alone and tries every legal
// combination: each ride begins a chain or continues one by any rule that lets it, and each
// calendar pass is bought at the beginning of its period, or not.

// world is a drawn tariff with its rides.
type world struct {
	file   price.File
	tariff *price.Tariff
	rides  []price.Tap
}

var drawnModes = []string{"bus", "metro", "tram"}

func drawWorld(t *rapid.T) *world {
	w := &world{file: price.File{Tariff: "drawn", Version: "1", BestPrice: true,
		Effective: price.Effective{From: 20260101}}}
	for i, mode := range drawnModes {
		w.file.Fares = append(w.file.Fares, price.Fare{Name: fmt.Sprint(i), Mode: mode,
			Flat: ptr(txn.Minor(rapid.IntRange(1, 9).Draw(t, "fare") * 100))})
	}
	seen := map[string]bool{}
	modes := rapid.SliceOfNDistinct(rapid.SampledFrom(drawnModes), 1, 3, rapid.ID[string])
	for i := range rapid.IntRange(1, 3).Draw(t, "rules") {
		rule := price.Transfer{Name: fmt.Sprint(i), From: modes.Draw(t, "from"), To: modes.Draw(t, "to"),
			Window:   time.Duration(rapid.IntRange(1, 6).Draw(t, "window")) * 10 * time.Minute,
			Measured: rapid.SampledFrom([]string{"last_exit", "last_entry", "first_entry"}).Draw(t, "from"),
			Legs:     rapid.IntRange(2, 4).Draw(t, "legs"),
			SameLine: rapid.SampledFrom([]string{"yes", "no"}).Draw(t, "line")}
		if rapid.Bool().Draw(t, "off") {
			rule.Off = ptr(txn.Minor(rapid.IntRange(0, 5).Draw(t, "off") * 100))
		} else {
			rule.Pays = ptr(price.Share(rapid.IntRange(0, 10).Draw(t, "pays") * 1000))
		}
		if rapid.Bool().Draw(t, "first") {
			rule.First = modes.Draw(t, "first")
		} else if rule.Measured != "first_entry" && rapid.Bool().Draw(t, "endless") {
			rule.Legs = 0
		}
		if change := changeOf(rule); !seen[change] { // two amounts for one change contradict each other
			seen[change] = true
			w.file.Transfers = append(w.file.Transfers, rule)
		}
	}
	w.limits(t)
	var err error
	if w.tariff, err = price.Compile(w.file); err != nil {
		t.Fatal(err)
	}
	at := noon
	for range rapid.IntRange(1, 7).Draw(t, "rides") {
		at += txn.Millis(rapid.SampledFrom([]int{0, 5, 10, 20, 30, 60, 1440, 10 * 1440}).Draw(t, "gap")) *
			minute
		tap := board(at, rapid.SampledFrom([]string{"1", "2"}).Draw(t, "line"))
		tap.Mode = price.Mode(rapid.SampledFrom([]int{int(price.Bus), int(price.Metro),
			int(price.Tram)}).Draw(t, "mode"))
		w.rides = append(w.rides, tap)
	}
	return w
}

// changeOf is what a transfer is for, whatever it costs.
func changeOf(e price.Transfer) string {
	sorted := func(modes []string) []string { return slices.Sorted(slices.Values(modes)) }
	return fmt.Sprint(sorted(e.From), sorted(e.To), sorted(e.First), e.Window, e.Measured, e.Legs, e.SameLine)
}

// limits draws caps, and passes that are not cheaper than they.
func (w *world) limits(t *rapid.T) {
	low := txn.Minor(0)
	for _, period := range []string{"day", "week", "month"} {
		if !rapid.Bool().Draw(t, "cap") {
			continue
		}
		low += txn.Minor(rapid.IntRange(1, 15).Draw(t, "cap") * 100)
		w.file.Caps = append(w.file.Caps, price.Cap{Period: period, Amount: low})
		if rapid.Bool().Draw(t, "pass") {
			w.file.Passes = append(w.file.Passes, price.Pass{Name: period, Period: period,
				Price: low + txn.Minor(rapid.IntRange(0, 2).Draw(t, "pass")*100)})
		}
	}
}

// legal returns the fares that ride i may have as the next leg of a chain that began with
// ride first.
func (w *world) legal(first, i int) (fares []txn.Minor) {
	ride, last, begin := w.rides[i], w.rides[i-1], w.rides[first]
	if w.tariff.ServiceDay(ride.At) != w.tariff.ServiceDay(begin.At) {
		return nil
	}
	full := *w.file.Fares[fareIndex(ride.Mode)].Flat
	for _, rule := range w.file.Transfers {
		anchor := last.At
		if rule.Measured == "first_entry" {
			anchor = begin.At
		}
		if !names(rule.From, last.Mode) || !names(rule.To, ride.Mode) ||
			rule.First != nil && !names(rule.First, begin.Mode) || rule.Legs > 0 && i-first >= rule.Legs ||
			rule.SameLine == "no" && last.Mode == ride.Mode && last.Line == ride.Line ||
			ride.At-anchor > txn.Millis(rule.Window.Milliseconds()) {
			continue
		}
		if rule.Off != nil {
			fares = append(fares, max(full-*rule.Off, 0))
		} else {
			fares = append(fares, full*txn.Minor(*rule.Pays)/10_000)
		}
	}
	return fares
}

func fareIndex(m price.Mode) int {
	for i, name := range drawnModes {
		if name == m.String() {
			return i
		}
	}
	return -1
}

func names(list []string, m price.Mode) bool {
	for _, s := range list {
		if s == m.String() {
			return true
		}
	}
	return false
}

// cheapest tries everything from ride i on; fares has what was chosen for the rides before.
func (w *world) cheapest(first, i, rides int, fares []txn.Minor) txn.Minor {
	if i == rides {
		return w.total(fares)
	}
	full := *w.file.Fares[fareIndex(w.rides[i].Mode)].Flat
	best := w.cheapest(i, i+1, rides, append(fares[:i:i], full))
	if i == 0 {
		return best
	}
	for _, fare := range w.legal(first, i) {
		best = min(best, w.cheapest(first, i+1, rides, append(fares[:i:i], fare)))
	}
	return best
}

// periodKey names the period in which an instant of 2026 lies.
func (w *world) periodKey(period string, at txn.Millis) string {
	day := w.tariff.ServiceDay(at).Time()
	switch period {
	case "day":
		return day.Format(time.DateOnly)
	case "week":
		y, n := day.ISOWeek()
		return fmt.Sprint(y, "w", n)
	default:
		return day.Format("2006-01")
	}
}

// total applies caps ride by ride to chosen fares, and tries every set of passes.
func (w *world) total(fares []txn.Minor) txn.Minor {
	var keys []string
	prices := map[string]txn.Minor{}
	for _, p := range w.file.Passes {
		for i := range fares {
			key := w.periodKey(p.Period, w.rides[i].At)
			if _, ok := prices[key]; !ok {
				keys = append(keys, key)
				prices[key] = p.Price
			}
		}
	}
	best := txn.Minor(1 << 50)
	for set := range 1 << min(len(keys), 8) {
		sum := txn.Minor(0)
		bought := map[string]bool{}
		for b, key := range keys {
			if set>>b&1 == 1 {
				bought[key] = true
				sum += prices[key]
			}
		}
		best = min(best, sum+w.capped(fares, bought))
	}
	return best
}

func (w *world) capped(fares []txn.Minor, bought map[string]bool) (sum txn.Minor) {
	paid := map[string]txn.Minor{}
	for i, fare := range fares {
		at := w.rides[i].At
		for _, p := range w.file.Passes {
			if bought[w.periodKey(p.Period, at)] {
				fare = 0
			}
		}
		for _, c := range w.file.Caps {
			fare = min(fare, max(c.Amount-paid[w.periodKey(c.Period, at)], 0))
		}
		for _, period := range []string{"day", "week", "month"} {
			paid[w.periodKey(period, at)] += fare
		}
		sum += fare
	}
	return sum
}

// After every tap the rider has paid what the cheapest legal combination of the rides so far
// costs: no less, and no more.
func TestBestPrice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		var s price.State
		paid := txn.Minor(0)
		for i := range w.rides {
			q := w.tariff.Price(&s, &w.rides[i])
			if q.Reason != price.OK || q.Charged < 0 || q.Charged > q.Full {
				t.Fatalf("ride %d: %+v", i, q)
			}
			paid += q.Charged
			if best := w.cheapest(0, 0, i+1, nil); paid != best {
				t.Fatalf("after %d rides %d is paid, %d would do\n%+v", i+1, paid, best, w.file)
			}
		}
	})
}

// A chain that gives up a small discount now can win a greater one later: whoever looks at
// one ride at a time charges too much.
func TestBestPriceLooksBack(t *testing.T) {
	f := price.File{Tariff: "x", Version: "1", Effective: price.Effective{From: 20260101},
		Fares: []price.Fare{{Name: "b", Mode: "bus", Flat: ptr(txn.Minor(200))},
			{Name: "m", Mode: "metro", Flat: ptr(txn.Minor(900))}},
		Transfers: []price.Transfer{{Name: "t", From: []string{"bus"}, To: []string{"bus", "metro"},
			Window: time.Hour, Legs: 2, Pays: ptr(price.Share(5000))}}}
	metro := board(noon+2*minute, "3")
	metro.Mode = price.Metro
	got := charges(t, compile(t, f), board(noon, "1"), board(noon+minute, "2"), metro)
	// 200 + 100 + 900 ride by ride; 200 + 200 + 450 is cheaper by 350.
	if fmt.Sprint(got) != "[200 100 550]" {
		t.Errorf("%v", got)
	}
}
