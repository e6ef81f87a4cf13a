package passback_test

import (
	"testing"

	"github.com/tapswitch/tapswitch/switch/passback"
	"github.com/tapswitch/tapswitch/switch/txn"
	"pgregory.net/rapid"
)

const minute = txn.Millis(60_000)

func terminal(name string) txn.TerminalID {
	id, err := txn.ParseTerminalID(name)
	if err != nil {
		panic(err)
	}
	return id
}

func tap(k txn.Kind, at txn.Millis, name, station string) passback.Tap {
	return passback.Tap{Kind: k, At: at * minute, Terminal: terminal(name), Station: station}
}

func TestJudge(t *testing.T) {
	rules := passback.Rules{Network: 10 * minute, Station: 30 * minute, Gate: 2 * minute, GateDigits: 2,
		Exempt: passback.ExemptOf(txn.RiderVeteran)}
	in := tap(txn.MetroEntry, 100, "WEST01", "West")
	out := tap(txn.MetroExit, 100, "WEST01", "West")
	ride := tap(txn.BusBoarding, 100, "BUS00101", "")
	for name, c := range map[string]struct {
		use  passback.Use
		want passback.Verdict
	}{
		"a first entry":              {passback.Use{Now: in}, passback.Clear},
		"another gate of the line":   {passback.Use{Now: tap(txn.MetroEntry, 101, "WEST02", "West"), Open: in, Last: in}, passback.SameGate},
		"a clock that is behind":     {passback.Use{Now: tap(txn.MetroEntry, 99, "WEST02", "West"), Open: in, Last: in}, passback.SameGate},
		"the station's other line":   {passback.Use{Now: tap(txn.MetroEntry, 129, "WESU01", "West"), Open: in, Last: in}, passback.SameStation},
		"the station, later":         {passback.Use{Now: tap(txn.MetroEntry, 130, "WEST01", "West"), Open: in, Last: in}, passback.Clear},
		"another station":            {passback.Use{Now: tap(txn.MetroEntry, 109, "EAST01", "East"), Open: in, Last: in}, passback.Inside},
		"another station, later":     {passback.Use{Now: tap(txn.MetroEntry, 110, "EAST01", "East"), Open: in, Last: in}, passback.Clear},
		"told too late":              {passback.Use{Now: tap(txn.MetroEntry, 50, "EAST01", "East"), Open: in, Last: in}, passback.Inside},
		"a station without a name":   {passback.Use{Now: tap(txn.MetroEntry, 115, "EAST01", ""), Open: tap(txn.MetroEntry, 100, "WEST01", "")}, passback.Clear},
		"out and in again":           {passback.Use{Now: tap(txn.MetroEntry, 101, "WEST01", "West"), Last: out}, passback.Clear},
		"out twice":                  {passback.Use{Now: tap(txn.MetroExit, 101, "WEST09", "West"), Last: out}, passback.SameGate},
		"out twice, later":           {passback.Use{Now: tap(txn.MetroExit, 102, "WEST09", "West"), Last: out}, passback.Clear},
		"the same bus":               {passback.Use{Now: tap(txn.BusBoarding, 101, "BUS00102", ""), Last: ride}, passback.SameGate},
		"the next bus":               {passback.Use{Now: tap(txn.BusBoarding, 101, "BUS00201", ""), Last: ride}, passback.Clear},
		"ids of other lengths":       {passback.Use{Now: tap(txn.BusBoarding, 101, "BUS0010", ""), Last: ride}, passback.Clear},
		"a companion":                {passback.Use{Now: tap(txn.MetroEntry, 101, "WEST02", "West"), Open: in, Last: in, Persons: 2, Inside: 1}, passback.Another},
		"one companion too many":     {passback.Use{Now: tap(txn.MetroEntry, 101, "WEST02", "West"), Open: in, Last: in, Persons: 2, Inside: 2}, passback.SameGate},
		"an exempt rider":            {passback.Use{Now: tap(txn.MetroEntry, 101, "WEST02", "West"), Open: in, Last: in, Rider: txn.RiderVeteran, Inside: 3}, passback.Another},
		"an exempt rider's bus load": {passback.Use{Now: tap(txn.MetroEntry, 101, "WEST02", "West"), Open: in, Last: in, Rider: txn.RiderVeteran, Inside: passback.PersonsMax}, passback.SameGate},
		"a tariff without a bound":   {passback.Use{Now: tap(txn.MetroEntry, 101, "WEST02", "West"), Open: in, Last: in, Persons: 99, Inside: passback.PersonsMax}, passback.SameGate},
	} {
		if got := rules.Judge(&c.use); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		if near := c.use.Near(&rules); near != (c.want != passback.Clear) {
			t.Errorf("%s: near %v", name, near)
		}
		var none passback.Rules
		if got := none.Judge(&c.use); got != passback.Clear {
			t.Errorf("%s: no rules say %s", name, got)
		}
	}
}

func TestSameLine(t *testing.T) {
	for digits, same := range map[int]bool{0: false, 1: false, 2: true, 5: true, 6: false, 9: false} {
		r := passback.Rules{GateDigits: digits}
		if got := r.SameLine(terminal("WEST01"), terminal("WEST12")); got != same {
			t.Errorf("%d digits: %v", digits, got)
		}
		if !r.SameLine(terminal("WEST01"), terminal("WEST01")) || r.SameLine(txn.TerminalID{}, txn.TerminalID{}) {
			t.Errorf("%d digits: a terminal is itself, and no terminal is none", digits)
		}
	}
}

func TestParseExempt(t *testing.T) {
	set, err := passback.ParseExempt([]string{"disabled", "veteran"})
	if err != nil || set != passback.ExemptOf(txn.RiderDisabled, txn.RiderVeteran) {
		t.Errorf("%b %v", set, err)
	}
	if _, err := passback.ParseExempt([]string{"disabled", "attendant"}); err == nil {
		t.Error("a category that is none was taken")
	}
}

func TestReasons(t *testing.T) {
	for v, want := range map[passback.Verdict]txn.Reason{passback.Clear: txn.ReasonNone,
		passback.SameGate: txn.CardJustUsed, passback.SameStation: txn.CardJustUsed,
		passback.Inside: txn.PassBack, passback.Another: txn.ReasonNone} {
		if v.Reason() != want || v.String() == "unknown" {
			t.Errorf("%s: %s", v, v.Reason())
		}
	}
	if passback.Verdict(9).String() != "unknown" {
		t.Error("a verdict that is none has a name")
	}
}

// Wider windows refuse no less, more persons no more, and nothing depends on when all of it was:
// only on how far apart the taps are.
func TestProperties(t *testing.T) {
	names := []string{"WEST01", "WEST02", "EAST01", "BUS1"}
	kinds := []txn.Kind{txn.MetroEntry, txn.MetroExit, txn.BusBoarding}
	rapid.Check(t, func(t *rapid.T) {
		window := func(name string) txn.Millis { return txn.Millis(rapid.IntRange(0, 40).Draw(t, name)) * minute }
		draw := func(name string) passback.Tap {
			return tap(rapid.SampledFrom(kinds).Draw(t, name), txn.Millis(rapid.IntRange(60, 120).Draw(t, name)),
				rapid.SampledFrom(names).Draw(t, name), rapid.SampledFrom([]string{"", "West", "East"}).Draw(t, name))
		}
		r := passback.Rules{Network: window("network"), Station: window("station"), Gate: window("gate"),
			GateDigits: rapid.IntRange(0, 3).Draw(t, "digits")}
		u := passback.Use{Now: draw("now"), Open: draw("open"), Last: draw("last"),
			Persons: rapid.IntRange(0, 9).Draw(t, "persons"), Inside: rapid.IntRange(0, 9).Draw(t, "inside")}
		refused := r.Judge(&u).Reason() != txn.ReasonNone
		wider, more, later := r, u, u
		wider.Network, wider.Station, wider.Gate = r.Network+minute, r.Station+minute, r.Gate+minute
		if refused && wider.Judge(&u).Reason() == txn.ReasonNone {
			t.Fatalf("wider windows let it through: %+v", u)
		}
		more.Persons++
		if !refused && r.Judge(&more).Reason() != txn.ReasonNone {
			t.Fatalf("one more person is refused: %+v", u)
		}
		for _, x := range []*passback.Tap{&later.Now, &later.Open, &later.Last} {
			x.At += 999 * minute
		}
		if r.Judge(&u) != r.Judge(&later) {
			t.Fatalf("the hour of the day decides: %+v", u)
		}
	})
}
