// Package passback is the rule that a card lets one person through: a card that was just used is
// not used again at once for somebody else.
//
// Three windows belong to it. Network is for a second entry while a ride is open, wherever it is
// made; Station for one at the station where the ride began; Gate for the same tap once more at
// one line of gates, whatever became of the ride, for entries, exits and boardings alike. A
// window of 0 is no rule. What counts is when the card was served, never when the switch heard
// of it, so a tap that a gate tells late is judged as it would have been at once; clocks differ,
// so a tap counts as just before as much as just after.
//
// Riders may be exempt, and several persons may ride on one card where the tariff says so; the
// rule then counts them. A verdict is a reason for the gate and evidence for a person at the
// desk. It never bars a card: nothing here or behind it freezes one (HD12, ZS13, SY12).
//
// The package is pure: it reads no clock and keeps nothing. Instants are Unix milliseconds.
package passback

import (
	"fmt"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// PersonsMax is how many persons one card may carry at the most.
const PersonsMax = 8

// Rules are what a scheme decides. The zero Rules forbid nothing.
type Rules struct {
	Network, Station, Gate txn.Millis
	// GateDigits is how many characters at the end of a terminal's id tell the gates of one line
	// apart; with 0 each terminal is a line of its own.
	GateDigits int
	// Exempt are the riders for whom the rule does not hold, as bits by category: attendants
	// who let others through with their card.
	Exempt uint16
}

// ExemptOf returns the set of the given riders.
func ExemptOf(riders ...txn.RiderCategory) (set uint16) {
	for _, r := range riders {
		set |= 1 << r
	}
	return set
}

// ParseExempt reads the names of rider categories.
func ParseExempt(names []string) (set uint16, err error) {
	for _, name := range names {
		r, ok := txn.ParseRiderCategory(name)
		if !ok {
			return 0, fmt.Errorf("%q is no rider category", name)
		}
		set |= ExemptOf(r)
	}
	return set, nil
}

// Tap is one approved use of the card. The zero Tap is none.
type Tap struct {
	Kind     txn.Kind
	At       txn.Millis
	Terminal txn.TerminalID
	Station  string // empty where it is not known
}

// Use is a tap with what is known of the card.
type Use struct {
	Now Tap
	// Open is the entry of the ride that is open, Last the newest tap of the card.
	Open, Last Tap
	Rider      txn.RiderCategory
	// Persons is how many the tariff lets ride on the card, 1 where it says nothing, and Inside
	// how many have been let through by the open ride, or by the taps at this line of gates.
	Persons, Inside int
}

// Verdict is what the rule says of a tap.
type Verdict uint8

// The verdicts, the narrower one first.
const (
	// Clear: the rule has nothing against it.
	Clear Verdict = iota
	// SameGate: the same tap was just made at this line of gates.
	SameGate
	// SameStation: the card has just entered at this station.
	SameStation
	// Inside: the card has just entered elsewhere.
	Inside
	// Another: it is one more person, and the card may carry one more.
	Another
)

// String returns the verdict's name.
func (v Verdict) String() string {
	if v > Another {
		return "unknown"
	}
	return [...]string{"clear", "same_gate", "same_station", "inside", "another"}[v]
}

// Reason returns what the gate is told: nothing for what is let through.
func (v Verdict) Reason() txn.Reason {
	switch v {
	case SameGate, SameStation:
		return txn.CardJustUsed
	case Inside:
		return txn.PassBack
	default:
		return txn.ReasonNone
	}
}

// Near reports whether a use may break the rules at all: it costs less to ask than Judge.
func (u *Use) Near(r *Rules) bool { return r.broken(u) != Clear }

// Judge returns the verdict on a use.
func (r *Rules) Judge(u *Use) Verdict {
	v := r.broken(u)
	if v == Clear {
		return Clear
	}
	persons := u.Persons
	if r.Exempt&(1<<u.Rider) != 0 {
		persons = PersonsMax
	}
	if u.Inside < min(persons, PersonsMax) {
		return Another
	}
	return v
}

// broken returns the narrowest rule that a use breaks, if its card carries one person.
func (r *Rules) broken(u *Use) Verdict {
	open := u.Now.Kind == txn.MetroEntry && u.Open.Kind == txn.MetroEntry
	switch {
	case u.Last.Kind == u.Now.Kind && within(u.Now.At, u.Last.At, r.Gate) &&
		r.SameLine(u.Last.Terminal, u.Now.Terminal):
		return SameGate
	case open && u.Now.Station != "" && u.Now.Station == u.Open.Station &&
		within(u.Now.At, u.Open.At, r.Station):
		return SameStation
	case open && r.Network > 0 && u.Now.At-u.Open.At < r.Network:
		return Inside // also for one that was made before the ride began, and is told too late
	default:
		return Clear
	}
}

// within reports whether a and b are less than window apart.
func within(a, b, window txn.Millis) bool { return max(a-b, b-a) < window }

// SameLine reports whether two terminals are gates of one line.
func (r *Rules) SameLine(a, b txn.TerminalID) bool {
	x, y := a.String(), b.String()
	if x == "" || x == y || len(x) != len(y) || len(x) <= r.GateDigits {
		return x != "" && x == y
	}
	return x[:len(x)-r.GateDigits] == y[:len(y)-r.GateDigits]
}
