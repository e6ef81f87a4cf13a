package price

import (
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/switch/txn"
)

func grouped(groups ...Group) File {
	flat := txn.Minor(200)
	return File{Tariff: "t", Version: "1", Effective: Effective{From: 20260101},
		Fares: []Fare{{Name: "bus", Mode: "bus", Flat: &flat}}, Groups: groups}
}

// A card carries one person, unless the tariff has a group for its rider.
func TestGroups(t *testing.T) {
	v, err := Compile(grouped(Group{Riders: []string{"disabled"}, Persons: 2},
		Group{Riders: []string{"veteran", "senior"}, Persons: 3}))
	if err != nil {
		t.Fatal(err)
	}
	for rider, want := range map[txn.RiderCategory]int{txn.RiderOrdinary: 1, txn.RiderDisabled: 2,
		txn.RiderSenior: 3, txn.RiderVeteran: 3, txn.RiderCategory(200): 1} {
		if got := v.Persons(rider); got != want {
			t.Errorf("%s: %d persons, want %d", rider, got, want)
		}
	}
	if v, err = Compile(grouped(Group{Persons: 8})); err != nil || v.Persons(txn.RiderOrdinary) != 8 {
		t.Errorf("a group of everybody: %v", err)
	}
	for name, groups := range map[string][]Group{
		"alone":         {{Persons: 1}},
		"a crowd":       {{Persons: 9}},
		"nobody":        {{Riders: []string{"attendant"}, Persons: 2}},
		"one of two":    {{Riders: []string{"senior"}, Persons: 2}, {Riders: []string{"senior"}, Persons: 3}},
		"all and one":   {{Persons: 2}, {Riders: []string{"senior"}, Persons: 3}},
		"far too many":  make([]Group, rulesMax+1),
		"no number set": {{Riders: []string{"senior"}}},
	} {
		if _, err := Compile(grouped(groups...)); err == nil || !strings.Contains(err.Error(), "groups") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
