package price

import "github.com/tapswitch/tapswitch/switch/txn"

// Mode is a means of transport.
type Mode uint8

// The modes.
const (
	Bus Mode = iota
	Metro
	Rail
	Tram
	Ferry
	modeEnd
)

var modeNames = [modeEnd]string{"bus", "metro", "rail", "tram", "ferry"}

// String returns the mode's name in tariff files.
func (m Mode) String() string {
	if m >= modeEnd {
		return "unknown"
	}
	return modeNames[m]
}

// ParseMode reads a mode's name and reports whether it is one.
func ParseMode(s string) (Mode, bool) {
	for m, name := range modeNames {
		if name == s {
			return Mode(m), true
		}
	}
	return 0, false
}

// Class is a class of travel.
type Class uint8

// The classes.
const (
	Standard Class = iota
	Business
	classEnd
)

// String returns the class's name.
func (c Class) String() string {
	if c == Business {
		return "business"
	}
	return "standard"
}

// Kind is what a tap is.
type Kind uint8

// The kinds. Board is a whole ride; Enter and Exit are its two ends. Lapse gives up an open
// journey; Correct names the station that the last incomplete journey lacks; Buy sells Pass.
const (
	Board Kind = iota
	Enter
	Exit
	Lapse
	Correct
	Buy
)

// Name stands for the name of a station, line or operator; 0 is none. It is a digest, so
// that taps compare without their texts. Compile refuses a file in which two names share one.
type Name uint64

// NameOf returns the Name of s, by FNV-1a.
func NameOf(s string) Name {
	if s == "" {
		return 0
	}
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return Name(h)
}

// Reason says why a tap has no price.
type Reason uint8

// The reasons.
const (
	OK Reason = iota
	NotInForce
	OutOfOrder
	NoFare
	FareImpossible
	NoEntry
	NothingToCorrect
	CorrectionTooLate
	TooManyCorrections
	NoPass
	// NoStation and NoDistance are NoFare where the rule is known: what it needs is missing.
	NoStation
	NoDistance
	reasonEnd
)

var reasonTexts = [reasonEnd]string{"ok", "the tariff does not hold on this day",
	"the tap is older than one that was priced", "the tariff has no fare for this mode, line, operator and class",
	"the given fare is none of the tariff", "an exit without an entry",
	"no incomplete journey to correct", "too late to correct", "too many corrections this month",
	"no such pass for this rider, or too many passes",
	"a station of this ride stands in no table of its fare",
	"the fare goes by distance: the terminal told none and the stations have no posts"}

// String says the reason.
func (r Reason) String() string {
	if r >= reasonEnd {
		return "unknown"
	}
	return reasonTexts[r]
}

// Cause is what made a charge less than the full fare.
type Cause uint8

// The causes, in the order in which they apply. ByTransfer is all that chains of transfers
// save, so that it may settle what an earlier ride gave up; ByCorrection is paid back.
const (
	ByRider Cause = iota
	ByTier
	ByPass
	ByTransfer
	ByCap
	ByCorrection
	causeEnd
)

// String returns the cause's stable name, as records hold it.
func (c Cause) String() string {
	if c >= causeEnd {
		return "unknown"
	}
	return [causeEnd]string{"rider", "tier", "pass", "transfer", "cap", "correction"}[c]
}

// Causes is how many causes there are.
const Causes = int(causeEnd)

// Tap is one tap of a card, or another event of its rides.
type Tap struct {
	Kind  Kind
	Mode  Mode
	Class Class
	Rider txn.RiderCategory
	At    txn.Millis
	// Operator, Line and Station are where it happened.
	Operator, Line, Station Name
	// Metres is the length of the ride and Given its full fare, where the terminal says so.
	Metres int64
	Given  txn.Minor
	// Pass is the number of the pass that is bought, by Tariff.Pass.
	Pass int
}

// Quote is the price of a tap. Full + Surcharge - the sum of Discounts is Charged, always.
type Quote struct {
	Reason Reason
	Full   txn.Minor
	// Surcharge is what is charged besides rides: overtime, incomplete journeys, passes.
	Surcharge txn.Minor
	Charged   txn.Minor // below 0: paid back
	Discounts [Causes]txn.Minor
	// Ride reports that a ride was priced: the rest says by which rule, -1 for none.
	Ride                              bool
	Fare, Rider, Tier, Transfer, Pass int16
	// Incomplete and Overtime say what the surcharge is for.
	Incomplete, Overtime bool
	// Capped is the period whose cap was reached, if one was.
	Capped Period
}

// Period is a span that caps and passes go by.
type Period uint8

// The periods.
const (
	NoPeriod Period = iota
	Day
	Week
	Month
	periodEnd
)

// String returns the period's name.
func (p Period) String() string {
	if p >= periodEnd {
		return "unknown"
	}
	return [periodEnd]string{"none", "day", "week", "month"}[p]
}

func parsePeriod(s string) Period {
	for p := Day; p < periodEnd; p++ {
		if p.String() == s {
			return p
		}
	}
	return NoPeriod
}
