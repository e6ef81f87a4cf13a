package gate

import "testing"

// A product rule: a release takes two persons, and nobody can be both.
func TestDuty_ReleaseTakesTwoPersons(t *testing.T) { TestReleaseTakesTwo(t) }
