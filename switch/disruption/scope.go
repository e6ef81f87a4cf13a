package disruption

import (
	"fmt"
	"strings"
)

// Place is where a tap is made.
type Place struct {
	Line, Station, Terminal string
}

// Level says how narrow a Scope is. A narrower one is the greater number.
type Level uint8

// The levels.
const (
	All Level = iota
	Line
	Station
	Terminal
	levelEnd
)

var levelNames = [levelEnd]string{"all", "line", "station", "terminal"}

// NameMax bounds the name in a Scope in bytes, as places are bounded elsewhere.
const NameMax = 48

// Scope is a part of the network. The zero value is all of it. It is comparable; as text it is
// "all", "line:M1", "station:North", "terminal:G10101".
type Scope struct {
	Level Level
	Name  string // empty for All
}

// ParseScope reads a scope as String writes it.
func ParseScope(s string) (Scope, error) {
	if s == levelNames[All] {
		return Scope{}, nil
	}
	level, name, ok := strings.Cut(s, ":")
	for l := Line; ok && l < levelEnd; l++ {
		if levelNames[l] == level && name != "" && len(name) <= NameMax && printable(name) {
			return Scope{l, name}, nil
		}
	}
	return Scope{}, fmt.Errorf("%w: scope %.64q, want all, line:NAME, station:NAME or terminal:ID",
		ErrText, s)
}

func printable(s string) bool {
	for _, c := range s {
		if c < ' ' || c == 0x7f || c == 0xfffd {
			return false
		}
	}
	return strings.TrimSpace(s) == s
}

// String returns the scope as ParseScope reads it.
func (s Scope) String() string {
	if s.Level == All || s.Level >= levelEnd {
		return levelNames[All]
	}
	return levelNames[s.Level] + ":" + s.Name
}

// MarshalText returns String.
func (s Scope) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is ParseScope.
func (s *Scope) UnmarshalText(b []byte) (err error) {
	*s, err = ParseScope(string(b))
	return err
}

// Covers reports whether a place is inside.
func (s Scope) Covers(p Place) bool {
	switch s.Level {
	case All:
		return true
	case Line:
		return p.Line == s.Name
	case Station:
		return p.Station == s.Name
	default:
		return p.Terminal == s.Name
	}
}
