// Package upload has the rules by which records that gates made off line are taken in
// (DOMAIN.md 1.7): every record ends in exactly one State, with a Reason where it is not
// plainly accepted; what is missing of a card or a security module is kept as ranges; a card's
// balances must follow from each other.
//
// It owns the pages in which the fate of a module's records is kept, the lines of cards about
// which something is to be said, and the state of a gate. All are values with a stored form;
// amounts are fen, instants Unix milliseconds, sequence numbers as on the card. The package
// is pure: no disk, network, clock or goroutine. It neither moves money nor verifies a TAC;
// package book does that in the order which makes a crash harmless.
package upload

import (
	"github.com/tapswitch/tapswitch/switch/gate/frame"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// State is what became of a record. Numbers go to disk: append only.
type State uint8

// The states. A record is Taken until its money is booked; sent again it goes on from there.
const (
	Unknown State = iota
	Taken
	Accepted
	Duplicate // of a record with the same content; the answer to a repeat
	Rejected
	Held // for a person, or for what resolves it by itself
	stateEnd
)

// String returns the state's stable name.
func (s State) String() string {
	if s >= stateEnd {
		return "unknown"
	}
	return [stateEnd]string{"unknown", "taken", "accepted", "duplicate", "rejected", "held"}[s]
}

// Letter is the state in a compact answer: '?', 't', 'a', 'd', 'r', 'h'.
func (s State) Letter() byte {
	if s == Unknown || s >= stateEnd {
		return '?'
	}
	return s.String()[0]
}

// Reason says why a record was rejected or is held, and what is to be said of an accepted one.
// Numbers go to disk: append only.
type Reason uint8

// The reasons.
const (
	NoReason Reason = iota
	// Rejected.
	Malformed     // the record cannot be one of a card
	TACWrong      // the TAC is not that of the record and its card: not paid
	TooOld        // older than the upload window
	NotPermitted  // a kind that the terminal may not send
	Declined      // the engine declined it: closed application, a fare that cannot be, ...
	NotDebited    // grey, and the card's next record shows that it did not pay
	ByPerson      // rejected by a person
	GateDeclined  // the gate itself refused the card: nothing was taken
	CardInvalid   // the card was not valid when it was served
	CardUnknown   // no such card
	rejectionsEnd = 31
)

// Reasons of held records.
const (
	Dispute     Reason = 32 + iota // the same number with other content
	CounterUsed                    // another record of the card bears its counter
	CounterOld                     // so far back that a repeat cannot be told
	KeyUnknown                     // no TAC key of that version: retried when it is loaded
	Torn                           // grey: waits for its proof or the card's next record
	RolledBack                     // a sequence that went back
	InFuture                       // by the gate's clock, corrected
	ClockOff                       // the gate's clock is off by more than can be corrected
	ChainBroken                    // the balance does not follow, and the scheme holds such
	Unclear                        // taken before a crash, and nobody knows whether booked
	TotalsBack                     // the gate's own counters went back
	NotListed                      // the module was not on the white list at that time
	reasonEnd
)

// LeaseEnded is the one reason of an accepted record: the gate should have refused the purse, whose
// lease had ended, and bears what comes of it.
const LeaseEnded Reason = 64

var _ = [1]int{}[rejectionsEnd-31] // Dispute stands behind all rejections

// String returns the reason's stable code.
func (r Reason) String() string {
	switch {
	case r < Dispute && int(r) <= int(CardUnknown):
		return [...]string{"", "malformed", "tac_wrong", "too_old", "not_permitted", "declined",
			"not_debited", "by_person", "gate_declined", "card_invalid", "card_unknown"}[r]
	case r >= Dispute && r < reasonEnd:
		return [...]string{"dispute", "counter_used", "counter_old", "key_unknown", "torn",
			"rolled_back", "in_future", "clock_off", "chain_broken", "unclear",
			"totals_back", "module_not_listed"}[r-Dispute]
	case r == LeaseEnded:
		return "lease_ended"
	default:
		return "unknown"
	}
}

// Fate is state and reason.
type Fate struct {
	State  State
	Reason Reason
}

// Limits of clocks.
const (
	// SkewMin is the clock error below which a record's time is taken as it is.
	SkewMin txn.Millis = 2 * 60 * 1000
	// SkewMax is the error above which nobody can say when a record was made.
	SkewMax txn.Millis = 24 * 3600 * 1000
	// OrderSlack is how far the times of records may contradict their numbers.
	OrderSlack txn.Millis = 10 * 60 * 1000
)

// Clock is what is known of a gate's clock.
type Clock struct {
	Zone txn.Millis // local time less UTC
	// Ahead is the gate's clock less the switch's when the frame arrived.
	Ahead txn.Millis
}

// At returns when a record was made by the true clock, and whether that can be said. The
// gate's own estimate at the time goes before what the header shows.
func (c Clock) At(r frame.Record) (txn.Millis, bool) {
	local := wall(r.Date(), r.Time())
	ahead := c.Ahead
	if own := r.ClockOffset(); own != frame.OffsetUnknown {
		ahead = txn.Millis(own) * 1000
	}
	if ahead > SkewMax || ahead < -SkewMax {
		return local - c.Zone, false
	}
	if ahead <= SkewMin && ahead >= -SkewMin {
		ahead = 0
	}
	return local - c.Zone - ahead, true
}

// wall returns date and time as if they were UTC. The days of a date are counted from March,
// so that the leap day is a year's last.
func wall(d [4]byte, t [3]byte) txn.Millis {
	year, month, day := two(d[0])*100+two(d[1]), two(d[2]), two(d[3])
	if month <= 2 {
		year, month = year-1, month+12
	}
	days := 365*year + year/4 - year/100 + year/400 + (153*(month-3)+2)/5 + day - 1 - 719468
	return txn.Millis((days*86400 + two(t[0])*3600 + two(t[1])*60 + two(t[2])) * 1000)
}

func two(b byte) int { return int(b>>4)*10 + int(b&15) }
