package secure

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"

	"github.com/tapswitch/tapswitch/crypto/keyring"
	"github.com/tapswitch/tapswitch/switch/store"
)

const (
	// recordVersion is that of both records. Another one stops.
	recordVersion = 1
	// SeenMax is how many keys of a link are remembered, so that none comes into force twice:
	// with a change of both keys every day, those of eight months. The oldest is forgotten.
	SeenMax = 512
	// triesMax is how often a write is tried that other processes get ahead of.
	triesMax = 8
)

// stored is a key as the registry has it: enciphered as it travelled, or named where it is one
// of the ring.
type stored struct {
	Ref     string `json:"ref,omitempty"`
	Under   string `json:"under,omitempty"`
	Wrapped []byte `json:"wrapped,omitempty"`
	KCV     []byte `json:"kcv,omitempty"`
	Since   int64  `json:"since,omitempty"` // Unix milliseconds
}

// same reports whether two keys travelled as the same bytes under the same exchange key.
func (s *stored) same(o *stored) bool {
	return s != nil && o != nil && s.Ref == "" && o.Ref == "" && s.Under == o.Under &&
		bytes.Equal(s.Wrapped, o.Wrapped)
}

// print is what a key is remembered by: the start of a hash of what travelled.
func (s *stored) print() []byte {
	sum := sha256.Sum256(s.Wrapped)
	return sum[:12]
}

// storedSlot is the keys of one kind. Without Current the key of the ring is in force.
type storedSlot struct {
	Current *stored `json:"current,omitempty"`
	Former  *stored `json:"former,omitempty"`
	Until   int64   `json:"until,omitempty"` // of Former, Unix milliseconds
}

// linkRecord is what the registry has of a link.
type linkRecord struct {
	Version int        `json:"version"`
	MAC     storedSlot `json:"mac"`
	PIN     storedSlot `json:"pin"`
	// Seen has the keys of both kinds that were in force or about to be, the oldest first.
	Seen [][]byte `json:"seen,omitempty"`
}

func (r *linkRecord) slot(k Kind) *storedSlot {
	if k == PINKey {
		return &r.PIN
	}
	return &r.MAC
}

func (r *linkRecord) seen(s *stored) bool {
	p := s.print()
	for _, old := range r.Seen {
		if bytes.Equal(old, p) {
			return true
		}
	}
	return false
}

// remember adds a key to those that are not taken again.
func (r *linkRecord) remember(s *stored) {
	if !r.seen(s) {
		r.Seen = append(r.Seen[max(0, len(r.Seen)+1-SeenMax):len(r.Seen):len(r.Seen)], s.print())
	}
}

// terminalRecord is what the registry has of a terminal: field 62 of its last sign-on and of
// the one before.
type terminalRecord struct {
	Version int     `json:"version"`
	Current stored  `json:"current"`
	Former  *stored `json:"former,omitempty"`
	Until   int64   `json:"until,omitempty"`
}

func linkKey(link string) string         { return "bank/zone/" + link }
func terminalKey(terminal string) string { return "bank/keys/" + terminal }

// decode reads a record to r, whose version stands at version. No value is the empty record.
func decode(value []byte, key string, r any, version *int) error {
	if len(value) == 0 {
		*version = recordVersion
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(value))
	d.DisallowUnknownFields()
	if err := d.Decode(r); err != nil {
		// The decoder's error may quote what it read.
		return fmt.Errorf("%w: registry key %q holds no keys", store.ErrDamaged, key)
	}
	if *version != recordVersion {
		return fmt.Errorf("%w: registry key %q has version %d, want %d", store.ErrDamaged, key,
			*version, recordVersion)
	}
	return nil
}

// pin returns a ref with the version that is active now: what is stored must mean the same key
// after the ring's next rotation.
func pin(r *keyring.Ring, ref keyring.Ref) (keyring.Ref, error) {
	if ref.Version != 0 {
		return ref, nil
	}
	info, err := r.Info(ref)
	return info.Ref, err
}

func millis(t time.Time) int64 { return t.UnixMilli() }

func timeOf(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}
