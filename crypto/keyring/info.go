package keyring

import (
	"errors"
	"time"
)

// State is where a key version stands in its life. Numbers are not stored; names are.
type State uint8

// The states, in the order in which they come.
const (
	Pending   State = iota // there, not in use
	Active                 // in use
	Retiring               // verifies and deciphers until its overlap ends
	Retired                // refused; its material is still there
	Destroyed              // its material is gone
	stateEnd
)

// String returns the name as stored: "pending", "active" and so on.
func (s State) String() string {
	if s >= stateEnd {
		return "unknown"
	}
	return [stateEnd]string{"pending", "active", "retiring", "retired", "destroyed"}[s]
}

// MarshalText returns String.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (s *State) UnmarshalText(b []byte) error {
	for i := Pending; i < stateEnd; i++ {
		if i.String() == string(b) {
			*s = i
			return nil
		}
	}
	return errors.New("unknown state of a key")
}

// The origins of a key.
const (
	originGenerated  = "generated"
	originComponents = "components"
	originBlock      = "block"
)

// Info is what may be known about a key: everything but its material.
type Info struct {
	Ref       Ref       `json:"ref"`
	Algorithm Algorithm `json:"algorithm"`
	KCV       KCV       `json:"kcv"`
	KCVKind   KCVKind   `json:"kcv_kind"`
	// State is as of now: a retiring key whose overlap has ended shows as retired.
	State State `json:"state"`
	// Origin is "generated", "components" or "block".
	Origin     string    `json:"origin"`
	Exportable bool      `json:"exportable"`
	Created    time.Time `json:"created"`
	Activated  time.Time `json:"activated,omitzero"`
	// Until is when the overlap of a retiring key ends.
	Until     time.Time `json:"until,omitzero"`
	Retired   time.Time `json:"retired,omitzero"`
	Destroyed time.Time `json:"destroyed,omitzero"`
	// Public is the public key of a key that signs: 32 bytes for Ed25519, 04‖x‖y
	// for SM2.
	Public []byte `json:"public,omitempty"`
	// Used and Failed count operations since the ring was opened.
	Used   uint64 `json:"used"`
	Failed uint64 `json:"failed"`
}

// Use counts one operation of one key since the ring was opened.
type Use struct {
	Ref       Ref       `json:"ref"`
	Operation Operation `json:"operation"`
	// OK and Failed are how often it was done, and how often refused or found wrong.
	OK     uint64 `json:"ok"`
	Failed uint64 `json:"failed"`
}

// stateAt returns the state of a key at a time.
func (m *meta) stateAt(now time.Time) State {
	if m.State == Retiring && !now.Before(m.Until) {
		return Retired
	}
	return m.State
}

// info returns what may be known at a time.
func (m *meta) info(now time.Time) Info {
	i := Info{
		Ref: m.Ref, Algorithm: m.Algorithm, KCV: m.KCV, KCVKind: algorithms[m.Algorithm].kcv,
		State: m.stateAt(now), Origin: m.Origin, Exportable: m.Exportable,
		Created: m.Created, Activated: m.Activated, Until: m.Until, Retired: m.Retired,
		Destroyed: m.Destroyed, Public: append([]byte(nil), m.Public...),
	}
	if i.State == Retired && i.Retired.IsZero() {
		i.Retired = m.Until
	}
	return i
}
