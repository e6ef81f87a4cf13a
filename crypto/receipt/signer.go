package receipt

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"

	"github.com/tapswitch/tapswitch/crypto/sm"
)

// Algorithm is a signature algorithm, as it stands in an envelope.
type Algorithm string

// The algorithms. Both make signatures of 64 bytes.
const (
	// SM2 is SM2 with SM3 and the default user id, raw r‖s; public keys are 04‖x‖y.
	SM2 Algorithm = "sm2-sm3"
	// Ed25519 is RFC 8032; public keys are 32 bytes.
	Ed25519 Algorithm = "ed25519"
)

// signatureSize is the length of a signature of either algorithm.
const signatureSize = 64

// ErrKey reports a key, or a key id, that cannot be used.
var ErrKey = errors.New("key cannot be used for statements")

// Signer signs with a key that stays inside: a key ring, a security module, or the software
// signers here. It must be safe for concurrent use. An error means that nothing was signed;
// Seal passes it on and does not retry.
type Signer interface {
	// KeyID returns the id under which verifiers know the key.
	KeyID() string
	// Algorithm returns the key's algorithm.
	Algorithm() Algorithm
	// PublicKey returns the public key in the form of its Algorithm.
	PublicKey() []byte
	// Sign returns the signature of message, which it hashes itself.
	Sign(message []byte) ([]byte, error)
}

// keyIDMax is the longest key id.
const keyIDMax = 128

// checkKeyID wants letters, digits and . _ : / - only: a key id is signed as a line.
func checkKeyID(id string) error {
	if len(id) == 0 || len(id) > keyIDMax {
		return fmt.Errorf("%w: key id of %d characters, want 1 to %d", ErrKey, len(id), keyIDMax)
	}
	for _, c := range id {
		known := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
			c == '.' || c == '_' || c == ':' || c == '/' || c == '-'
		if !known {
			return fmt.Errorf("%w: key id holds other than letters, digits and . _ : / -", ErrKey)
		}
	}
	return nil
}

// software is a Signer in memory.
type software struct {
	id        string
	algorithm Algorithm
	public    []byte
	sign      func(message []byte) ([]byte, error)
}

// NewSM2Signer returns a Signer of an SM2 key with the default user id. random is
// crypto/rand.Reader but in tests; it must be safe for concurrent use.
func NewSM2Signer(id string, key *sm.PrivateKey, random io.Reader) (Signer, error) {
	if err := checkKeyID(id); err != nil {
		return nil, err
	}
	if standard, err := key.Public().WithID([]byte(sm.DefaultID)); err != nil ||
		!standard.Equal(key.Public()) {
		return nil, fmt.Errorf("%w: the SM2 key has a user id of its own", ErrKey)
	}
	point := key.Public().Point()
	return &software{id, SM2, point[:], func(message []byte) ([]byte, error) {
		raw, err := key.Sign(random, message)
		return raw[:], err
	}}, nil
}

// NewEd25519Signer returns a Signer of an Ed25519 key, which it copies.
func NewEd25519Signer(id string, key ed25519.PrivateKey) (Signer, error) {
	if err := checkKeyID(id); err != nil {
		return nil, err
	}
	if len(key) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("%w: Ed25519 key of %d bytes, want %d", ErrKey, len(key),
			ed25519.PrivateKeySize)
	}
	own := append(ed25519.PrivateKey(nil), key...)
	public := append([]byte(nil), own[ed25519.PublicKeySize:]...)
	return &software{id, Ed25519, public, func(message []byte) ([]byte, error) {
		return ed25519.Sign(own, message), nil
	}}, nil
}

// KeyID returns the key's id.
func (s *software) KeyID() string { return s.id }

// Algorithm returns the key's algorithm.
func (s *software) Algorithm() Algorithm { return s.algorithm }

// PublicKey returns a copy of the public key.
func (s *software) PublicKey() []byte { return append([]byte(nil), s.public...) }

// Sign signs message.
func (s *software) Sign(message []byte) ([]byte, error) { return s.sign(message) }
