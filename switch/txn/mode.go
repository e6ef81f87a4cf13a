package txn

// Mode is a means of transport. Numbers go to disk: append only.
type Mode uint8

// The modes. ModeOfKind is what a tap has whose terminal names none: its Kind says it.
const (
	ModeOfKind Mode = iota
	ModeBus
	ModeMetro
	ModeRail
	ModeTram
	ModeFerry
	modeEnd
)

var modeNames = [modeEnd]string{"", "bus", "metro", "rail", "tram", "ferry"}

// String returns the mode's stable name, "" for that of the kind.
func (m Mode) String() string {
	if m >= modeEnd {
		return "unknown"
	}
	return modeNames[m]
}

// ParseMode reads a stable name and reports whether it is one; "" is none.
func ParseMode(s string) (Mode, bool) {
	for m := ModeBus; m < modeEnd; m++ {
		if modeNames[m] == s {
			return m, true
		}
	}
	return ModeOfKind, false
}

// Valid reports whether m is a known mode.
func (m Mode) Valid() bool { return m < modeEnd }

// For returns the mode of a tap of kind k: m, or the one that k says by itself.
func (m Mode) For(k Kind) Mode {
	switch {
	case m != ModeOfKind:
		return m
	case k == BusBoarding:
		return ModeBus
	default:
		return ModeMetro
	}
}

// Modes returns all modes but ModeOfKind in order.
func Modes() []Mode {
	all := make([]Mode, 0, modeEnd-1)
	for m := ModeBus; m < modeEnd; m++ {
		all = append(all, m)
	}
	return all
}

// Ride is what a terminal tells of a ride beyond place and time. The zero Ride is one of the
// standard class, by the mode of its kind, of which no length is known.
type Ride struct {
	Mode Mode
	// Business says that the tap was of the business or first class.
	Business bool
	// Metres is how long the ride was, where the tariff asks the terminal for it; 0 is not
	// known.
	Metres int64
	// Degraded are the degraded modes under which the terminal says that it took the tap: the
	// bits of disruption.Flags. They are a claim: an order decides what counts.
	Degraded uint8
}

// MetresMax is the longest ride that a terminal may tell of.
const MetresMax = 10_000_000
