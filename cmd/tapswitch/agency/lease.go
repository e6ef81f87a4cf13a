package agency

import "github.com/tapswitch/tapswitch/switch/lease"

// LeaseOf returns the lease of purses that a city's policy has; none where there is no city. Every
// process that decides needs it, with a card desk or without.
func LeaseOf(city string) (lease.Terms, error) {
	if city == "" {
		return lease.Terms{}, nil
	}
	policy, err := readPolicy(city)
	if err != nil {
		return lease.Terms{}, err
	}
	return policy.LeaseTerms(), nil
}
