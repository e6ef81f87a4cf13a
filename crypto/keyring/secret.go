package keyring

import (
	"fmt"
	"log/slog"
)

// masked is what every printer of a secret shows.
const masked = "[key]"

// secret is key material. It is copied by reference: wiping one copy wipes all. It stands
// behind a function, into which no printer that goes through memory by reflection can look:
// fmt does for unexported fields, and for verbs that it refuses. The zero secret is empty.
type secret struct{ held func() *held }

type held struct{ bytes []byte }

// newSecret takes material over; the caller keeps no copy.
func newSecret(material []byte) secret {
	h := &held{material}
	return secret{func() *held { return h }}
}

// copySecret copies material; the caller clears its own.
func copySecret(material []byte) secret {
	return newSecret(append(make([]byte, 0, len(material)), material...))
}

// open returns the bytes themselves, valid until wipe.
func (s secret) open() []byte {
	if s.held == nil {
		return nil
	}
	return s.held().bytes
}

// wipe zeroes the material and empties every copy of s.
func (s secret) wipe() {
	if s.held != nil {
		h := s.held()
		clear(h.bytes)
		h.bytes = nil
	}
}

// String returns a fixed text: no printer shows the material.
func (s secret) String() string { return masked }

// GoString returns String, so that %#v shows nothing either.
func (s secret) GoString() string { return masked }

// Format writes String for every verb.
func (s secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(masked)) }

// MarshalText returns String, so that encoders show nothing either.
func (s secret) MarshalText() ([]byte, error) { return []byte(masked), nil }

// LogValue returns String for slog.
func (s secret) LogValue() slog.Value { return slog.StringValue(masked) }
