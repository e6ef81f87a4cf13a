package share

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// register puts a terminal as the gate keeps it, and what it reads.
func (r *rig) register(id, operator, station string, e Equipment) {
	r.t.Helper()
	value := fmt.Sprintf(`{"operator":%q,"line":"M1","station":%q,"kinds":["bus_boarding"],"key":"a2V5","key_version":1}`,
		operator, station)
	r.no(r.memory.Put(r.t.Context(), "terminal/"+id, []byte(value), 0))
	if len(e.Reads)+len(e.Serves) > 0 {
		r.no(r.share.PutEquipment(r.t.Context(), terminal(id), e))
	}
}

func terminal(id string) txn.TerminalID {
	t, err := txn.ParseTerminalID(id)
	if err != nil {
		panic(err)
	}
	return t
}

// SY9, ZZ8, HD9: the registry states what a terminal reads and serves; places where card or
// code is not read are listed.
func TestDuty_SY9_PlacesWithoutCardOrCodeAreListed(t *testing.T) {
	r := newRig(t, "shiyan")
	both := Equipment{Reads: []string{ReadsCard, ReadsCode}, Serves: []string{"transit"}}
	r.register("G1", "metro", "east", Equipment{Reads: []string{ReadsCard}, Serves: []string{"transit"}})
	r.register("G2", "metro", "east", Equipment{Reads: []string{ReadsCode}, Serves: []string{"transit"}})
	r.register("G3", "metro", "west", Equipment{Reads: []string{ReadsCard}, Serves: []string{"transit"}})
	r.register("G4", "bus", "north", both)
	r.register("G5", "bus", "south", Equipment{})
	terminals, err := r.share.Terminals(t.Context())
	r.no(err)
	got := fmt.Sprint(Lacking(terminals))
	if want := "[{bus M1/south 1 [card code] 1} {metro M1/west 1 [code] 0}]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	for _, e := range []Equipment{{Reads: []string{"mind"}}, {Serves: []string{"nothing"}}} {
		if err := r.share.PutEquipment(t.Context(), terminal("G1"), e); !errors.Is(err, ErrConfig) {
			t.Errorf("%+v: %v", e, err)
		}
	}
	if err := r.share.PutEquipment(t.Context(), terminal("G9"), both); !errors.Is(err, ErrConfig) {
		t.Errorf("a terminal that is not registered: %v", err)
	}
}

// WZ10, ZZ7: what the card is good for and where is a catalogue made of data, whose version
// changes with it.
func TestDuty_WZ10_CatalogueOfUsesAndUnits(t *testing.T) {
	r := newRig(t, "wenzhou")
	empty, err := r.share.Catalogue(t.Context())
	r.no(err)
	r.register("G1", "bus", "east", Equipment{Reads: []string{ReadsCard}, Serves: []string{"transit"}})
	r.register("P1", "park", "east", Equipment{Reads: []string{ReadsCode}, Serves: []string{"parking", "purse"}})
	c, err := r.share.Catalogue(t.Context())
	r.no(err)
	if c.Version == empty.Version || len(c.Units) != 2 || c.Units[1].Name != "park" ||
		!slices.Equal(c.Units[1].Applications, []string{"parking", "purse"}) {
		t.Fatalf("%+v", c)
	}
	served := map[string]int{}
	for _, a := range c.Applications {
		served[a.App] = a.Units
		if a.EN == "" || a.ZH == "" || a.Source == "" {
			t.Errorf("%+v", a)
		}
	}
	if served["transit"] != 1 || served["parking"] != 1 || served["library"] != 0 {
		t.Errorf("%v", served)
	}
	again, err := r.share.Catalogue(t.Context())
	r.no(err)
	if again.Version != c.Version {
		t.Error("the same catalogue has two versions")
	}
}

// taken is a record of a terminal.
func taken(id, operator string, reason txn.Reason) *txn.Record {
	r := &txn.Record{Kind: txn.BusBoarding, Outcome: txn.Approved, Request: txn.RequestID{Terminal: terminal(id)},
		Place: txn.Place{Operator: operator}}
	if reason != txn.ReasonNone {
		r.Outcome, r.Reason = txn.Declined, reason
	}
	return r
}

// WZ7: no unit refuses the card save by law. Refusals outside the reasons that a rule book
// permits, and terminals that are up and take no card, are reported by terminal and unit.
func TestDuty_WZ7_RefusalsAreReported(t *testing.T) {
	var a Acceptance
	for _, r := range []*txn.Record{taken("G1", "bus", 0), taken("G1", "bus", txn.CardFrozen),
		taken("G2", "bus", 0), taken("G2", "bus", txn.UnknownFare), taken("G2", "bus", txn.UnknownFare),
		taken("S1", "shop", txn.InsufficientFunds), taken("X1", "", txn.Reason(250))} {
		a.Add(r)
	}
	a.Add(&txn.Record{Kind: txn.Amend})
	terminals := []Terminal{{ID: "G1", Operator: "bus"}, {ID: "G2", Operator: "bus"}, {ID: "G3", Operator: "bus"},
		{ID: "S1", Operator: "shop", Merchant: "M-1"}, {ID: "S2", Operator: "shop", Revoked: true}}
	up := map[string]bool{"G1": true, "G2": true, "S1": true, "S2": true}
	var got []string
	for _, row := range a.Report(terminals, up) {
		got = append(got, fmt.Sprint(row.Terminal, row.Taken, row.Declined, row.Outside, row.Idle))
	}
	want := []string{"X1 0 1 map[reason(250):1] false", "G2 1 2 map[fare_unknown:2] false", "S1 0 1 map[] true"}
	for i := range want {
		want[i] = strings.ReplaceAll(want[i], " ", "")
	}
	for i := range got {
		got[i] = strings.ReplaceAll(got[i], " ", "")
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	units := a.Units()
	if len(units) != 3 || units[1] != (UnitAcceptance{Operator: "bus", Taken: 2, Declined: 3, Outside: 2}) {
		t.Errorf("%+v", units)
	}
}

// Every reason of a decline is somebody's, and stands once.
func TestEveryReasonHasAGround(t *testing.T) {
	count := map[txn.Reason]int{}
	for _, reasons := range grounds {
		for _, r := range reasons {
			count[r]++
		}
	}
	for _, r := range txn.Reasons() {
		if r != txn.ReasonNone && count[r] != 1 {
			t.Errorf("%s stands %d times", r, count[r])
		}
	}
	if GroundOf(txn.CardFrozen) != OfTheCard || GroundOf(txn.IDReused) != OfTheRequest ||
		GroundOf(txn.NoRoute) != OfTheUnit || GroundOf(txn.Reason(250)) != OfTheUnit {
		t.Error("grounds")
	}
}
