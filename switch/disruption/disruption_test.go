package disruption_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/tapswitch/tapswitch/switch/disruption"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const minute = txn.Millis(60_000)

func north() disruption.Place {
	return disruption.Place{Line: "M1", Station: "North", Terminal: "G1"}
}

func south() disruption.Place {
	return disruption.Place{Line: "M2", Station: "South", Terminal: "G2"}
}

func order(id string, m disruption.Mode, scope string, second string) disruption.Order {
	s, err := disruption.ParseScope(scope)
	if err != nil {
		panic(err)
	}
	return disruption.Order{ID: id, Mode: m, Scope: s, From: 100 * minute, Until: 160 * minute,
		Reason: "signal failure", By: "anna", Second: second}
}

func stop(p disruption.Place, at txn.Millis) disruption.Stop {
	return disruption.Stop{Place: p, At: at * minute}
}

func TestNames(t *testing.T) {
	for _, m := range disruption.Modes() {
		back, err := disruption.ParseMode(m.String())
		if err != nil || back != m {
			t.Errorf("%s: %v %v", m, back, err)
		}
		if f := disruption.Flags(0).With(m); !f.Has(m) || f.String() != m.String() {
			t.Errorf("%s alone is %s", m, f)
		}
	}
	if len(disruption.Modes()) != 5 || disruption.FlagsMax != 31 {
		t.Errorf("%d modes, flags up to %d", len(disruption.Modes()), disruption.FlagsMax)
	}
	for _, text := range []string{"", "none", "Train_fault", "fault"} {
		if _, err := disruption.ParseMode(text); !errors.Is(err, disruption.ErrText) {
			t.Errorf("mode %q: %v", text, err)
		}
	}
	both := disruption.Flags(0).With(disruption.TrainFault).With(disruption.TimeWaived)
	if both.String() != "train_fault+time_waived" || both.Has(disruption.StationClosed) {
		t.Errorf("%s", both)
	}
}

func TestScopes(t *testing.T) {
	for text, covered := range map[string]bool{"all": true, "line:M1": true, "line:M2": false,
		"station:North": true, "station:South": false, "terminal:G1": true, "terminal:G2": false} {
		s, err := disruption.ParseScope(text)
		if err != nil || s.String() != text || s.Covers(north()) != covered {
			t.Errorf("%s: %v %v", text, s, err)
		}
		var back disruption.Scope
		raw, _ := json.Marshal(s)
		if err := json.Unmarshal(raw, &back); err != nil || back != s {
			t.Errorf("%s as JSON: %s %v", text, raw, err)
		}
	}
	for _, text := range []string{"", "line", "line:", "bus:9", "ALL", "station: a", "all:x",
		"line:\x01", "station:0123456789012345678901234567890123456789012345678"} {
		if s, err := disruption.ParseScope(text); err == nil {
			t.Errorf("%q is %v", text, s)
		}
	}
}

// Gates obey safety at once, what only costs money after the second person.
func TestFlagsOfATap(t *testing.T) {
	for _, m := range disruption.Modes() {
		alone := []disruption.Order{order("a", m, "station:North", "")}
		want := m == disruption.StationClosed || m == disruption.EmergencyRelease
		if got := disruption.FlagsAt(alone, north(), 100*minute).Has(m); got != want {
			t.Errorf("%s of one person binds: %v", m, got)
		}
		both := []disruption.Order{order("a", m, "station:North", "ben")}
		for at, want := range map[txn.Millis]bool{100*minute - 1: false, 100 * minute: true,
			160*minute - 1: true, 160 * minute: false} {
			if got := disruption.FlagsAt(both, north(), at).Has(m); got != want {
				t.Errorf("%s at %d: %v", m, at, got)
			}
		}
		if disruption.FlagsAt(both, south(), 120*minute) != 0 {
			t.Errorf("%s holds elsewhere", m)
		}
	}
}

func TestForgive(t *testing.T) {
	const (
		train   = disruption.TrainFault
		closed  = disruption.StationClosed
		release = disruption.EmergencyRelease
		waived  = disruption.EntryExitWaived
		timed   = disruption.TimeWaived
	)
	none := disruption.Stop{}
	complete := func(from, to txn.Millis) disruption.Journey {
		return disruption.Journey{Entry: stop(north(), from), Exit: stop(south(), to)}
	}
	noExit := func(at, givenUp txn.Millis) disruption.Journey {
		return disruption.Journey{Entry: stop(north(), at), Exit: none, GivenUp: givenUp * minute}
	}
	noEntry := func(at txn.Millis) disruption.Journey {
		return disruption.Journey{Exit: stop(north(), at)}
	}
	for name, c := range map[string]struct {
		mode       disruption.Mode
		scope      string
		journey    disruption.Journey
		incomplete bool
		overtime   bool
	}{
		"began under a closed station":           {closed, "station:North", noExit(110, 400), true, false},
		"began before it closed":                 {closed, "station:North", noExit(90, 400), false, false},
		"began after it opened again":            {closed, "station:North", noExit(160, 400), false, false},
		"began at another station":               {closed, "station:South", noExit(110, 400), false, false},
		"ended under a waived entry":             {waived, "line:M1", noEntry(120), true, false},
		"ended after it":                         {waived, "line:M1", noEntry(161), false, false},
		"ended on another line":                  {waived, "line:M2", noEntry(120), false, false},
		"under way at an emergency elsewhere":    {release, "station:South", noExit(90, 400), true, false},
		"given up before the emergency":          {release, "station:South", noExit(20, 90), false, false},
		"entered after the emergency":            {release, "station:South", noExit(170, 400), false, false},
		"given up the moment the emergency came": {release, "station:South", noExit(20, 100), true, false},
		"under way when trains failed elsewhere": {train, "line:M2", noExit(90, 400), true, false},
		"an exit elsewhere is no open door":      {release, "station:South", noEntry(120), false, false},
		"complete, began under the mode":         {closed, "station:North", complete(110, 300), false, true},
		"complete, ended under the mode":         {closed, "station:South", complete(10, 110), false, true},
		"complete, time waived in between":       {timed, "all", complete(10, 300), false, true},
		"complete, time waived on its line":      {timed, "line:M2", complete(10, 300), false, true},
		"complete, time waived elsewhere":        {timed, "line:M3", complete(10, 300), false, false},
		"complete, trains failed in between":     {train, "line:M1", complete(10, 300), false, true},
		"complete, a release in between":         {release, "line:M1", complete(10, 300), false, false},
		"complete, before all":                   {timed, "all", complete(10, 90), false, false},
		"nothing is known":                       {release, "all", disruption.Journey{}, false, false},
		"time waived, no exit, began under it":   {timed, "all", noExit(110, 400), true, false},
		"time waived, no exit, began before it":  {timed, "all", noExit(90, 400), false, false},
	} {
		g := disruption.Forgive([]disruption.Order{order("o1", c.mode, c.scope, "ben")}, c.journey)
		if g.Incomplete != c.incomplete || g.Overtime != c.overtime ||
			(g.Order == "o1") != (c.incomplete || c.overtime) {
			t.Errorf("%s: %+v", name, g)
		}
		alone := disruption.Forgive([]disruption.Order{order("o1", c.mode, c.scope, "")}, c.journey)
		if alone != (disruption.Grace{}) {
			t.Errorf("%s: one person gave %+v", name, alone)
		}
	}
}

// The first order that gives a grace is the one that the record names; several add up.
func TestForgiveBySeveral(t *testing.T) {
	orders := []disruption.Order{
		order("elsewhere", disruption.StationClosed, "station:East", "ben"),
		order("first", disruption.TimeWaived, "line:M1", "ben"),
		order("second", disruption.TrainFault, "all", "ben"),
	}
	j := disruption.Journey{Entry: stop(north(), 110), Exit: stop(south(), 300)}
	if g := disruption.Forgive(orders, j); !g.Overtime || g.Incomplete || g.Order != "first" {
		t.Errorf("%+v", g)
	}
	if g := disruption.Forgive(nil, j); g != (disruption.Grace{}) {
		t.Errorf("without orders: %+v", g)
	}
}

func TestContradictions(t *testing.T) {
	at := func(o disruption.Order, from, until txn.Millis) disruption.Order {
		o.From, o.Until = from*minute, until*minute
		return o
	}
	closed := order("c", disruption.StationClosed, "station:North", "")
	waived := order("w", disruption.EntryExitWaived, "station:North", "")
	for name, c := range map[string]struct {
		a, b disruption.Order
		want bool
	}{
		"closed and waived":         {closed, waived, true},
		"waived and closed":         {waived, closed, true},
		"the same twice":            {closed, order("d", disruption.StationClosed, "station:North", ""), true},
		"itself":                    {closed, closed, false},
		"one after the other":       {closed, at(waived, 160, 170), false},
		"one before the other":      {closed, at(waived, 90, 100), false},
		"a minute together":         {closed, at(waived, 159, 170), true},
		"another station":           {closed, order("w", disruption.EntryExitWaived, "station:South", ""), false},
		"closed in an emergency":    {closed, order("e", disruption.EmergencyRelease, "station:North", ""), false},
		"time waived while closing": {closed, order("t", disruption.TimeWaived, "station:North", ""), false},
	} {
		other, got := c.a.Contradicts([]disruption.Order{c.b})
		if got != c.want || got && other.ID != c.b.ID {
			t.Errorf("%s: %v", name, got)
		}
	}
}
