package szt

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/sim"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// newPlan returns a replay whose window holds rows, with terminals that need no switch.
func newPlan(rows ...Row) *replay {
	p := &replay{file: &Sorted{names: names{index: map[string]uint32{}}},
		readers: map[reader]*sim.Terminal{}, second: map[txn.RequestID]seen{},
		purses: map[string]txn.Minor{}, codes: map[int32]string{}}
	for i := range rows {
		r := rows[i]
		k := reader{r.Reader, r.Company}
		if p.readers[k] == nil {
			p.readers[k] = sim.NewTerminal(r.Reader, nil)
		}
		p.take(&r)
	}
	return p
}

func rowAt(line, second int, card, reader string) Row {
	return Row{Line: line, Card: card, At: time.Date(2018, 9, 1, 8, 0, second, 0, Zone()),
		Kind: txn.BusBoarding, Charged: 160, FullFare: 200, Reader: reader, Company: "巴士集团"}
}

// Every column makes a row another one; line and nothing else does not.
func TestDigest(t *testing.T) {
	base := rowAt(2, 0, "AB", "1")
	moved := base
	moved.Line = 99
	if base.digest() != moved.digest() {
		t.Error("the line is part of a row's digest")
	}
	seen := map[uint64]string{base.digest(): "the row itself"}
	for name, change := range map[string]func(*Row){
		"card":     func(r *Row) { r.Card = "AC" },
		"time":     func(r *Row) { r.At = r.At.Add(time.Second) },
		"kind":     func(r *Row) { r.Kind = txn.MetroExit },
		"charged":  func(r *Row) { r.Charged++ },
		"fare":     func(r *Row) { r.FullFare++ },
		"reader":   func(r *Row) { r.Reader = "2" },
		"company":  func(r *Row) { r.Company = "x" },
		"station":  func(r *Row) { r.Station = "x" },
		"vehicle":  func(r *Row) { r.Vehicle = "x" },
		"transfer": func(r *Row) { r.Transfer = "x" },
		"closed":   func(r *Row) { r.Closed = "x" },
	} {
		r := base
		change(&r)
		d := r.digest()
		if other, ok := seen[d]; ok {
			t.Errorf("%s: same digest as %s", name, other)
		}
		seen[d] = name
	}
}

func TestIdentify(t *testing.T) {
	p := newPlan(rowAt(2, 0, "AB", "1"), rowAt(3, 0, "AB", "1"), rowAt(4, 0, "AC", "1"),
		rowAt(5, 1, "AB", "1"), rowAt(6, 1, "AB", "2"))
	p.identify()
	states := fmt.Sprint(p.entries[0].state, p.entries[1].state, p.entries[2].state,
		p.entries[3].state, p.entries[4].state)
	if states != fmt.Sprint(waiting, duplicate, waiting, waiting, waiting) || p.entries[1].of != 2 {
		t.Errorf("states %s, line %d repeats %d", states, p.entries[1].line, p.entries[1].of)
	}
	if p.entries[0].id != p.entries[1].id {
		t.Error("a row that stands twice has two ids")
	}
	ids := map[txn.RequestID]bool{}
	for _, i := range []int{0, 2, 3, 4} {
		ids[p.entries[i].id] = true
	}
	if len(ids) != 4 || p.entries[0].id.Boot != uint32(p.window[0].At.Unix()) {
		t.Errorf("ids %v", ids)
	}
}

// A window that ends within a second does not forget what stood in that second.
func TestIdentifyAcrossWindows(t *testing.T) {
	p := newPlan(rowAt(2, 0, "AB", "1"))
	p.identify()
	p.base, p.window = 1, p.window[:0]
	again := rowAt(3, 0, "AB", "1")
	p.take(&again)
	p.identify()
	if p.entries[1].state != duplicate || p.entries[1].of != 2 {
		t.Errorf("%+v", p.entries[1])
	}
}

// Two rows whose digests agree in 32 bits still get two ids.
func TestIdentifyCollision(t *testing.T) {
	p := newPlan(rowAt(2, 0, "AB", "1"))
	id := txn.RequestID{Terminal: p.terminalID(&p.window[0]), Boot: boot(p.window[0].At),
		Counter: uint32(p.window[0].digest())}
	p.secondAt = p.window[0].At
	p.second[id] = seen{digest: 1, line: 77}
	p.identify()
	if p.entries[0].state == duplicate || p.entries[0].id.Counter != id.Counter+1 {
		t.Errorf("%+v after %v", p.entries[0], id)
	}
}

// Every row is in one wave, once, and a card's rows come in order: in an earlier wave, or
// earlier in the same list.
func TestWaves(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		var rows []Row
		for i := range 1 + rng.IntN(60) {
			rows = append(rows, rowAt(i+2, i/4, string(rune('A'+rng.IntN(8))),
				fmt.Sprint(rng.IntN(4))))
		}
		p := newPlan(rows...)
		p.identify()
		type place struct{ wave, list, at int }
		where := map[int]place{}
		for w, lists := range p.waves() {
			for l, list := range lists {
				if l > 0 && len(list) > len(lists[l-1]) {
					t.Fatal("lists are not in the order of their length")
				}
				for at, row := range list {
					if _, twice := where[row]; twice {
						t.Fatalf("row %d twice", row)
					}
					if rows[row].Reader != rows[list[0]].Reader {
						t.Fatal("two readers in one list")
					}
					where[row] = place{w, l, at}
				}
			}
		}
		last := map[string]place{}
		for i := range rows {
			now, ok := where[i]
			if !ok {
				t.Fatalf("row %d is in no wave", i)
			}
			before, again := last[rows[i].Card]
			if again && before.wave >= now.wave &&
				(before.wave != now.wave || before.list != now.list || before.at >= now.at) {
				t.Fatalf("card %s: %+v after %+v", rows[i].Card, now, before)
			}
			last[rows[i].Card] = now
		}
	}
}

// A card is loaded with what its rows will charge, in units, within the limits of a load
// and of a purse; duplicates are not counted.
func TestTopUps(t *testing.T) {
	charge := func(r Row, amount txn.Minor) Row {
		r.Charged = amount
		return r
	}
	for name, c := range map[string]struct {
		rows  []Row
		purse txn.Minor
		want  string
	}{
		"one":         {[]Row{rowAt(2, 0, "AB", "1")}, 0, "[5000]"},
		"free":        {[]Row{charge(rowAt(2, 0, "AB", "1"), 0)}, 0, "[]"},
		"enough left": {[]Row{rowAt(2, 0, "AB", "1")}, 160, "[]"},
		"a fen short": {[]Row{rowAt(2, 0, "AB", "1")}, 159, "[5000]"},
		"twice":       {[]Row{rowAt(2, 0, "AB", "1"), rowAt(3, 0, "AB", "1")}, 0, "[5000]"},
		"many":        {[]Row{charge(rowAt(2, 0, "AB", "1"), 5001)}, 0, "[10000]"},
		"two loads":   {[]Row{charge(rowAt(2, 0, "AB", "1"), 200_001)}, 0, "[200000 5000]"},
		"too much": {[]Row{charge(rowAt(2, 0, "AB", "1"), 5_000_000)}, 900_000,
			"[100000]"},
	} {
		p := newPlan(c.rows...)
		p.purses["AB"] = c.purse
		p.identify()
		amounts := []txn.Minor{}
		for _, l := range p.topUps() {
			amounts = append(amounts, l.amount)
		}
		if got := fmt.Sprint(amounts); got != c.want {
			t.Errorf("%s: loads %s, want %s", name, got, c.want)
		}
	}
}

// A clock that the rows set never goes back.
func TestClock(t *testing.T) {
	at := time.Date(2018, 9, 1, 8, 0, 0, 0, Zone())
	c := NewClock(at)
	c.advance(at.Add(-time.Hour))
	if !c.Time().Equal(at) {
		t.Errorf("the clock went back to %s", c.Time())
	}
	c.advance(at.Add(time.Hour))
	if c.Now() != txn.MillisOf(at.Add(time.Hour)) {
		t.Errorf("the clock shows %s", c.Time())
	}
}

// A window ends with its span, its rows, its day, and at a chosen speed each second.
func TestWindowEnds(t *testing.T) {
	first := rowAt(2, 0, "AB", "1")
	later := func(d time.Duration) *Row {
		r := first
		r.At = r.At.Add(d)
		return &r
	}
	p := newPlan(first)
	for _, c := range []struct {
		speed float64
		row   *Row
		ends  bool
	}{
		{0, later(windowSpan - time.Second), false}, {0, later(windowSpan), true},
		{60, later(59 * time.Second), false}, {60, later(time.Minute), true},
		{0.1, later(0), false}, {0.1, later(time.Second), true},
		{1e9, later(windowSpan), true}, {0, later(16 * time.Hour), true},
	} {
		p.o.Speed = c.speed
		if p.windowEnds(c.row) != c.ends {
			t.Errorf("speed %g, %s later: ends is %v", c.speed, c.row.At.Sub(first.At), !c.ends)
		}
	}
	late := rowAt(2, 0, "AB", "1")
	late.At = time.Date(2018, 9, 1, 23, 59, 59, 0, Zone())
	p = newPlan(late)
	p.o.Speed = 0
	next := late
	next.At = late.At.Add(time.Second)
	if !p.windowEnds(&next) {
		t.Error("a window reaches into the next day")
	}
}
