package gatesim

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/switch/disruption"
)

// A record says the same of its ride as JSON as in a frame, and no more than it knows.
func TestTapsTellOfTheRide(t *testing.T) {
	s := citySetup()
	u := &taps{world: &World{Setup: s, Identities: []Identity{s.identity(0)}}}
	body := func(r *Record) string {
		text, err := json.Marshal(u.tap(r))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	full := body(&Record{Kind: "metro_exit", Mode: "rail", Business: true, Metres: 4200, Fare: 600, Amount: 600,
		Modes: disruption.Flags(0).With(disruption.TrainFault).With(disruption.TimeWaived)})
	for _, want := range []string{`"kind":"metro_exit"`, `"class":"business"`, `"metres":4200`, `"mode":"rail"`,
		`"degraded":["train_fault","time_waived"]`} {
		if !strings.Contains(full, want) {
			t.Errorf("%s lacks %s", full, want)
		}
	}
	plain := body(&Record{Fare: 200, Amount: 200})
	for _, no := range []string{"class", "metres", "mode", "degraded"} {
		if strings.Contains(plain, `"`+no+`"`) {
			t.Errorf("%s tells %s", plain, no)
		}
	}
	if !strings.Contains(plain, `"kind":"bus_boarding"`) {
		t.Errorf("%s is no boarding", plain)
	}
}
