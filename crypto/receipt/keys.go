package receipt

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/tapswitch/tapswitch/crypto/sm"
)

// KeysMax is the most keys of a trusted set, which verifiers carry with them.
const KeysMax = 256

var (
	// ErrUnknownKey reports a key id that is not trusted, or that is trusted with another
	// algorithm or another key than the envelope's.
	ErrUnknownKey = errors.New("key is not trusted")
	// ErrSignature reports a signature that the key did not make.
	ErrSignature = errors.New("signature is wrong")
	// ErrKeyTime reports a statement from before or after its key's validity.
	ErrKeyTime = errors.New("key was not valid when the statement was issued")
)

// Key is a public key that is trusted for statements issued within its validity. A statement
// says itself when it was issued: who has a key after its end can date back, so a key that
// was stolen has to leave the set.
type Key struct {
	ID        string
	Algorithm Algorithm
	// Public is 04‖x‖y for SM2 (33 and 64 bytes are taken too), 32 bytes for Ed25519.
	Public []byte
	// NotBefore and NotAfter bound the moment of issue, both included; zero is open.
	NotBefore, NotAfter time.Time
}

// trusted is a Key made ready.
type trusted struct {
	Key
	fingerprint [HashSize]byte
	verify      func(message, signature []byte) bool
}

// newKey checks a key and parses it once, for all verifications.
func newKey(k Key) (*trusted, error) {
	if err := checkKeyID(k.ID); err != nil {
		return nil, err
	}
	if !k.NotBefore.IsZero() && !k.NotAfter.IsZero() && k.NotAfter.Before(k.NotBefore) {
		return nil, fmt.Errorf("%w: key %s ends before it begins", ErrKey, k.ID)
	}
	t := &trusted{Key: k} // the times of statements are cut to milliseconds, so are these
	t.NotBefore = k.NotBefore.Truncate(time.Millisecond)
	t.NotAfter = k.NotAfter.Truncate(time.Millisecond)
	switch k.Algorithm {
	case SM2:
		p, err := sm.ParsePublicKey(k.Public)
		if err != nil {
			return nil, fmt.Errorf("%w: key %s: %w", ErrKey, k.ID, err)
		}
		point := p.Point()
		t.Public, t.verify = point[:], p.Verify
	case Ed25519:
		if len(k.Public) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("%w: key %s: %d bytes, want %d", ErrKey, k.ID, len(k.Public),
				ed25519.PublicKeySize)
		}
		t.Public = append([]byte(nil), k.Public...)
		t.verify = func(message, signature []byte) bool {
			return ed25519.Verify(t.Public, message, signature)
		}
	default:
		return nil, fmt.Errorf("%w: key %s has algorithm %.16q, want %s or %s", ErrKey, k.ID,
			string(k.Algorithm), SM2, Ed25519)
	}
	t.fingerprint = Fingerprint(t.Public)
	return t, nil
}

// Keys is a set of trusted keys. It never changes and is safe for concurrent use.
type Keys struct {
	byID map[string]*trusted
}

// NewKeys returns the set of keys, at most KeysMax with different ids.
func NewKeys(list ...Key) (*Keys, error) {
	if len(list) > KeysMax {
		return nil, fmt.Errorf("%w: %d keys, at most %d", ErrKey, len(list), KeysMax)
	}
	keys := &Keys{byID: make(map[string]*trusted, len(list))}
	for _, k := range list {
		t, err := newKey(k)
		if err != nil {
			return nil, err
		}
		if keys.byID[k.ID] != nil {
			return nil, fmt.Errorf("%w: key id %s is double", ErrKey, k.ID)
		}
		keys.byID[k.ID] = t
	}
	return keys, nil
}

// Verify reads an encoded envelope and verifies it. The errors, in this order: ErrNotCanonical,
// ErrUnknownKey, ErrSignature, ErrKind or ErrStatement for what is signed but is not a
// statement that this package knows, ErrKeyTime. A statement is returned only without error.
func (k *Keys) Verify(envelope []byte) (Statement, error) {
	e, v, err := parseEnvelope(envelope)
	if err != nil {
		return nil, err
	}
	t := k.byID[e.KeyID]
	switch {
	case t == nil:
		return nil, fmt.Errorf("%w: no key has the id of the envelope", ErrUnknownKey)
	case t.Algorithm != e.Algorithm || t.fingerprint != e.Fingerprint:
		return nil, fmt.Errorf("%w: %s is another key here, with fingerprint %s", ErrUnknownKey,
			t.ID, hex.EncodeToString(t.fingerprint[:8]))
	case !t.verify(e.signed(), e.Signature):
		return nil, ErrSignature
	}
	s, err := statementOf(v)
	if err != nil {
		return nil, err
	}
	if at := s.Issued(); !t.NotBefore.IsZero() && at.Before(t.NotBefore) ||
		!t.NotAfter.IsZero() && at.After(t.NotAfter) {
		return nil, fmt.Errorf("%w: issued at %s with key %s", ErrKeyTime,
			at.UTC().Format(timeLayout), t.ID)
	}
	return s, nil
}

// VerifyFreeze is Verify for a freeze receipt; another statement is ErrKind.
func (k *Keys) VerifyFreeze(envelope []byte) (*Freeze, error) {
	return verifyAs[*Freeze](k, envelope)
}

// VerifyDay is Verify for a day certificate; another statement is ErrKind.
func (k *Keys) VerifyDay(envelope []byte) (*Day, error) { return verifyAs[*Day](k, envelope) }

// verifyAs is Verify for one kind.
func verifyAs[S Statement](k *Keys, envelope []byte) (S, error) {
	var none S
	s, err := k.Verify(envelope)
	if err != nil {
		return none, err
	}
	wanted, ok := s.(S)
	if !ok {
		return none, fmt.Errorf("%w: %s, want %s", ErrKind, s.Kind(), none.Kind())
	}
	return wanted, nil
}

// EncodeKeys returns a set of keys as canonical JSON, the file that verifiers carry.
func EncodeKeys(list []Key) ([]byte, error) {
	if _, err := NewKeys(list...); err != nil {
		return nil, err
	}
	keys := array()
	for _, k := range list {
		for _, t := range []time.Time{k.NotBefore, k.NotAfter} {
			if err := checkTime("validity", t, true); err != nil {
				return nil, fmt.Errorf("%w: key %s: %w", ErrKey, k.ID, err)
			}
		}
		keys.list = append(keys.list, object(is("id", text(k.ID)),
			is("algorithm", text(string(k.Algorithm))),
			is("public", text(hex.EncodeToString(k.Public))),
			is("not_before", moment(k.NotBefore)), is("not_after", moment(k.NotAfter))))
	}
	return encode(nil, object(is("keys", keys)))
}

// ParseKeys reads what EncodeKeys wrote. Errors are ErrNotCanonical; NewKeys checks the keys.
func ParseKeys(b []byte) ([]Key, error) {
	v, err := parse(b)
	if err != nil {
		return nil, err
	}
	d := &decoder{}
	var list []Key
	for _, k := range d.object(v, "keys").list("keys", KeysMax) {
		r := d.object(k, "id", "algorithm", "public", "not_before", "not_after")
		list = append(list, Key{ID: r.text("id"), Algorithm: Algorithm(r.text("algorithm")),
			Public: r.bytes("public", 0), NotBefore: r.moment("not_before"),
			NotAfter: r.moment("not_after")})
	}
	if d.err != nil {
		return nil, d.err
	}
	return list, nil
}
