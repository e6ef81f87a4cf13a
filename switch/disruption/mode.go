package disruption

import (
	"errors"
	"fmt"
	"strings"
)

// Mode is one way of working otherwise.
type Mode uint8

// The modes. Their numbers are those of the bits in Flags and never change.
const (
	// TrainFault: trains do not run as planned; riders leave without a fare.
	TrainFault Mode = iota + 1
	// StationClosed: no entry; who is inside leaves by the open gates.
	StationClosed
	// EmergencyRelease: the gates stand open and read no card.
	EmergencyRelease
	// EntryExitWaived: a tap that is missing, or comes in the wrong order, is let through.
	EntryExitWaived
	// TimeWaived: the time in the paid area is not counted.
	TimeWaived
	modeEnd
)

var modeNames = [modeEnd]string{"", "train_fault", "station_closed", "emergency_release",
	"entry_exit_waived", "time_waived"}

// ErrText reports a text that names no mode or scope.
var ErrText = errors.New("disruption: not known")

// Modes returns all modes in order.
func Modes() []Mode {
	all := make([]Mode, 0, modeEnd-1)
	for m := TrainFault; m < modeEnd; m++ {
		all = append(all, m)
	}
	return all
}

// ParseMode reads a mode's name.
func ParseMode(s string) (Mode, error) {
	for _, m := range Modes() {
		if modeNames[m] == s {
			return m, nil
		}
	}
	return 0, fmt.Errorf("%w: mode %.32q, want one of %s", ErrText, s,
		strings.Join(modeNames[1:], ", "))
}

// String returns the mode's name, "none" for no mode.
func (m Mode) String() string {
	if m == 0 || m >= modeEnd {
		return "none"
	}
	return modeNames[m]
}

// MarshalText returns the name.
func (m Mode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads the name.
func (m *Mode) UnmarshalText(b []byte) (err error) {
	*m, err = ParseMode(string(b))
	return err
}

// Immediate reports whether gates obey an order of this mode before a second person has
// confirmed it: it is about safety.
func (m Mode) Immediate() bool { return m == StationClosed || m == EmergencyRelease }

// opensDoors reports whether riders leave without a tap under the mode, so that nobody knows
// where a journey ended.
func (m Mode) opensDoors() bool { return m == TrainFault || m == EmergencyRelease }

// Flags is a set of modes, one bit each: bit 0 is TrainFault. A tap carries those that it was
// made under.
type Flags uint8

// FlagsMax is the set of all modes.
const FlagsMax Flags = 1<<(modeEnd-1) - 1

// With returns the set with m.
func (f Flags) With(m Mode) Flags { return f | 1<<(m-1) }

// Has reports whether m is in the set.
func (f Flags) Has(m Mode) bool { return m != 0 && f&(1<<(m-1)) != 0 }

// String returns the names of the set with plus signs between, "" for none.
func (f Flags) String() string {
	var names []string
	for _, m := range Modes() {
		if f.Has(m) {
			names = append(names, m.String())
		}
	}
	return strings.Join(names, "+")
}
