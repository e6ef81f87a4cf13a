package agency

import (
	"testing"

	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/fare"
	"github.com/tapswitch/tapswitch/switch/lease"
)

// The engine's lease is the city's; without a city there is none.
func TestLeaseOfCity(t *testing.T) {
	const hour = 3600 * 1000
	policy := engine.DefaultPolicy(new(fare.Tariff))
	for city, want := range map[string]lease.Terms{
		"":       {},
		"shiyan": {},
		"handan": {Length: 72 * hour, Margin: hour / 12, RenewedBy: lease.All()},
	} {
		if got, err := Leased(policy, city); err != nil || got.Lease != want {
			t.Errorf("%q: %+v, %v, want %+v", city, got.Lease, err, want)
		}
	}
	if _, err := Leased(policy, "atlantis"); err == nil {
		t.Error("a city that nobody knows was taken")
	}
	policy.AgeMax = 0
	if _, err := Leased(policy, ""); err == nil {
		t.Error("a policy that makes no sense was taken")
	}
}
