package agency

import (
	"testing"

	"github.com/tapswitch/tapswitch/switch/lease"
)

// The engine's lease is the city's; without a city there is none.
func TestLeaseOfCity(t *testing.T) {
	const hour = 3600 * 1000
	for city, want := range map[string]lease.Terms{
		"":       {},
		"shiyan": {},
		"handan": {Length: 72 * hour, Margin: hour / 12, RenewedBy: lease.All()},
	} {
		if got, err := LeaseOf(city); err != nil || got != want {
			t.Errorf("%q: %+v, %v, want %+v", city, got, err, want)
		}
	}
	if got, err := LeaseOf("atlantis"); err == nil || got != (lease.Terms{}) {
		t.Errorf("a city that nobody knows: %+v", got)
	}
}
