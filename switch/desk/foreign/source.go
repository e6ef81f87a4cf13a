package foreign

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tapswitch/tapswitch/crypto/sm"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// How a source's lists are proven.
const (
	SM2     = "sm2-sm3"
	Ed25519 = "ed25519"
	// Checksum is the SHA-256 of the list, told apart from it: it shows damage, and who can
	// send a list can make one. For lines that are safe by themselves.
	Checksum = "sha256"
)

// Limits.
const (
	// SourcesMax bounds the registered sources.
	SourcesMax = 64
	// NameMax bounds the bytes of a source's name and of an institution's.
	NameMax = 16
)

// Source is an institution that sends a freeze list.
type Source struct {
	Name string `json:"name"`
	// Institution is the issuer that its cards are enrolled with; the ledger bears it.
	Institution string `json:"institution"`
	City        string `json:"city"`
	// Algorithm is sm2-sm3, ed25519 or sha256; the first two have a key, in hexadecimal.
	Algorithm string `json:"algorithm"`
	PublicKey string `json:"public_key"`
}

var (
	// ErrSource reports a source that cannot be registered, changed or removed.
	ErrSource = errors.New("foreign source")
	// ErrStore reports that the store did not answer; what was asked for may be asked again.
	ErrStore = errors.New("the store does not answer")
)

const (
	sourcePrefix = "foreign/source/"
	headPrefix   = "foreign/head/"
	partPrefix   = "foreign/part/"
	localPrefix  = "foreign/local/"
)

// PutSource registers a source or changes its key.
func (s *Service) PutSource(ctx context.Context, in Source) error {
	switch {
	case !plain(in.Name) || !plain(in.Institution):
		return fmt.Errorf("%w: name and institution: want 1 to %d of a-z, A-Z, 0-9, _ and -", ErrSource, NameMax)
	case len(in.City) > 4*NameMax:
		return fmt.Errorf("%w: %s: the city's name is too long", ErrSource, in.Name)
	}
	if _, err := in.verifier(); err != nil {
		return err
	}
	all, err := s.registered(ctx)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(all, func(o Source) bool { return o.Name == in.Name })
	if at < 0 && len(all) >= SourcesMax {
		return fmt.Errorf("%w: %d are registered, remove one first", ErrSource, len(all))
	}
	if at >= 0 && all[at].Institution != in.Institution {
		return fmt.Errorf("%w: %s speaks for %s; another institution is another source", ErrSource, in.Name,
			all[at].Institution)
	}
	_, version, err := s.o.Registry.Get(ctx, sourcePrefix+in.Name)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStore, err)
	}
	return s.put(ctx, sourcePrefix+in.Name, in, version)
}

// RemoveSource takes a source's lists no more. One that holds cards stays: its freezes are
// lifted by its own last list, which is empty, and by nobody else.
func (s *Service) RemoveSource(ctx context.Context, name string) error {
	var h head
	if _, err := s.get(ctx, headPrefix+name, &h); err != nil {
		return err
	}
	if h.Cards > 0 || h.Taking {
		return fmt.Errorf("%w: %s holds %d cards; its own empty list lifts them", ErrSource, name, h.Cards)
	}
	_, version, err := s.o.Registry.Get(ctx, sourcePrefix+name)
	if err == nil && version > 0 {
		err = s.o.Registry.Put(ctx, sourcePrefix+name, nil, version)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStore, err)
	}
	return nil
}

// Standing is a source with where its list stands.
type Standing struct {
	Source
	Epoch   uint64     `json:"epoch"`
	Made    txn.Millis `json:"-"`
	Expires txn.Millis `json:"-"`
	Taken   txn.Millis `json:"-"`
	Cards   int        `json:"cards"`
	Refused int        `json:"refused"`
	// Stale says that the list has ended and no later one came: it stays in force.
	Stale bool `json:"stale"`
	// Unfinished says that an import broke off: the same list is to be given again.
	Unfinished bool `json:"unfinished"`
}

// Sources tells every source.
func (s *Service) Sources(ctx context.Context) ([]Standing, error) {
	all, err := s.registered(ctx)
	if err != nil {
		return nil, err
	}
	now := s.o.Now()
	out := make([]Standing, 0, len(all))
	for _, one := range all {
		var h head
		version, err := s.get(ctx, headPrefix+one.Name, &h)
		if err != nil {
			return nil, err
		}
		out = append(out, Standing{Source: one, Epoch: h.Epoch, Made: h.Made, Expires: h.Expires, Taken: h.Taken,
			Cards: h.Cards, Refused: len(h.Refused), Stale: version > 0 && h.Expires <= now, Unfinished: h.Taking})
	}
	return out, nil
}

// registered reads all sources.
func (s *Service) registered(ctx context.Context) ([]Source, error) {
	keys, err := s.o.Registry.Keys(ctx, sourcePrefix)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStore, err)
	}
	all := make([]Source, 0, len(keys))
	for _, key := range keys {
		var one Source
		if version, err := s.get(ctx, key, &one); err != nil {
			return nil, err
		} else if version > 0 {
			all = append(all, one)
		}
	}
	return all, nil
}

// verifier returns the check of a proof by the source.
func (s *Source) verifier() (func(body, proof []byte) bool, error) {
	raw, err := hex.DecodeString(s.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: the public key is not hexadecimal", ErrSource, s.Name)
	}
	switch {
	case s.Algorithm == Checksum && len(raw) == 0:
		return func(body, proof []byte) bool {
			sum := sha256.Sum256(body)
			return slices.Equal(sum[:], proof)
		}, nil
	case s.Algorithm == Ed25519 && len(raw) == ed25519.PublicKeySize:
		return func(body, proof []byte) bool { return ed25519.Verify(raw, body, proof) }, nil
	case s.Algorithm == SM2:
		key, err := sm.ParsePublicKey(raw)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrSource, s.Name, err)
		}
		return key.Verify, nil
	default:
		return nil, fmt.Errorf("%w: %s: want %s or %s with its public key, or %s without one", ErrSource, s.Name,
			SM2, Ed25519, Checksum)
	}
}

// plain reports whether a name can stand in keys and records.
func plain(name string) bool {
	return name != "" && len(name) <= NameMax && strings.Trim(name,
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == ""
}

// get fills v from a registry key; version 0 says that there is none.
func (s *Service) get(ctx context.Context, key string, v any) (version uint64, err error) {
	value, version, err := s.o.Registry.Get(ctx, key)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%w: %w", ErrStore, err)
	case version == 0 || len(value) == 0:
		return version, nil
	}
	if err := json.Unmarshal(value, v); err != nil {
		return 0, fmt.Errorf("registry %s cannot be read: %w", key, err)
	}
	return version, nil
}

func (s *Service) put(ctx context.Context, key string, v any, version uint64) error {
	value, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("registry %s: %w", key, err)
	}
	if err := s.o.Registry.Put(ctx, key, value, version); errors.Is(err, store.ErrConflict) {
		return err
	} else if err != nil {
		return fmt.Errorf("%w: %w", ErrStore, err)
	}
	return nil
}
