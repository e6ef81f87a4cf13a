package finding

import (
	"errors"
	"fmt"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// Travel is how long the way between two stations takes at least. It is made once and read
// only after.
type Travel struct {
	least map[[2]string]txn.Millis
	slack txn.Millis
}

// Leg is the way between two stations, in either direction.
type Leg struct {
	A       string `json:"a" yaml:"a"`
	B       string `json:"b" yaml:"b"`
	Minutes int    `json:"minutes" yaml:"minutes"`
}

// TravelTable is travel times as they are registered.
type TravelTable struct {
	SlackSeconds int   `json:"slack_seconds"`
	Legs         []Leg `json:"legs"`
}

// RegisteredLegsMax is how many legs a registry value holds with room for long names.
const RegisteredLegsMax = 500

// LegsMax bounds the table: every pair of 400 stations.
const LegsMax = 80_000

// ErrTravel reports a table that cannot be used.
var ErrTravel = errors.New("finding: travel times")

// NewTravel makes the table. slackSeconds is by how much the clocks of two terminals may
// differ; it is taken off every leg.
func NewTravel(legs []Leg, slackSeconds int) (*Travel, error) {
	if len(legs) > LegsMax || slackSeconds < 0 {
		return nil, fmt.Errorf("%w: %d legs, at most %d; slack %d s", ErrTravel, len(legs), LegsMax, slackSeconds)
	}
	t := &Travel{least: make(map[[2]string]txn.Millis, len(legs)), slack: txn.Millis(slackSeconds) * 1000}
	for _, l := range legs {
		if l.A == "" || l.B == "" || l.A == l.B || l.Minutes <= 0 {
			return nil, fmt.Errorf("%w: leg %q to %q of %d minutes", ErrTravel, l.A, l.B, l.Minutes)
		}
		k := pair(l.A, l.B)
		if _, twice := t.least[k]; twice {
			return nil, fmt.Errorf("%w: leg %q to %q stands twice", ErrTravel, l.A, l.B)
		}
		t.least[k] = txn.Millis(l.Minutes) * 60_000
	}
	return t, nil
}

// Least returns the shortest time between two stations; false where the table has none. The
// same station is no way.
func (t *Travel) Least(a, b string) (txn.Millis, bool) {
	least, known := t.least[pair(a, b)]
	return max(0, least-t.slack), known
}

func pair(a, b string) [2]string {
	if b < a {
		a, b = b, a
	}
	return [2]string{a, b}
}
