package agency

import (
	"fmt"

	"github.com/tapswitch/tapswitch/switch/engine"
)

// Leased completes an engine's policy with the lease of purses that a city's policy has, none
// where there is no city, and checks it. Every process that decides needs the lease, with a card
// desk or without.
func Leased(p engine.Policy, city string) (engine.Policy, error) {
	if city != "" {
		policy, err := readPolicy(city)
		if err != nil {
			return engine.Policy{}, fmt.Errorf("desk.city: %w", err)
		}
		p.Lease = policy.LeaseTerms()
	}
	return p, p.Check()
}
