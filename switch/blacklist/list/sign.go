package list

import (
	"crypto/ed25519"
	"fmt"

	"github.com/tapswitch/tapswitch/crypto/receipt"
	"github.com/tapswitch/tapswitch/crypto/sm"
)

// Signer signs files with a key that stays inside; a receipt.Signer is one. It must be
// safe for concurrent use. An error means that nothing was signed.
type Signer interface {
	// KeyID returns the id under which gates know the key, at most 128 bytes.
	KeyID() string
	// Algorithm returns the key's algorithm; both make signatures of 64 bytes.
	Algorithm() receipt.Algorithm
	// Sign returns the signature of message, which it hashes itself.
	Sign(message []byte) ([]byte, error)
}

const (
	signatureSize = 64
	keyIDMax      = 128
	trailerMax    = 2 + keyIDMax + signatureSize
	// domain stands before the header in what is signed, so that no signature of another
	// kind of file can be taken for one of a list.
	domain = "tapswitch list v1\x00"
)

// Bytes of the trailer that name the algorithm.
const (
	unsigned    = 0
	withEd25519 = 1
	withSM2     = 2
)

// signed returns what is signed: the header holds the hash of all the rest.
func signed(header []byte) []byte { return append([]byte(domain), header...) }

// appendTrailer appends the signature of the header; by nil says that there is none.
func appendTrailer(file []byte, by Signer) ([]byte, error) {
	if by == nil {
		return append(file, unsigned, 0), nil
	}
	id, algorithm := by.KeyID(), byte(withEd25519)
	switch by.Algorithm() {
	case receipt.Ed25519:
	case receipt.SM2:
		algorithm = withSM2
	default:
		return nil, fmt.Errorf("%w: signing key has algorithm %.16q", ErrInput, by.Algorithm())
	}
	if len(id) == 0 || len(id) > keyIDMax {
		return nil, fmt.Errorf("%w: signing key id of %d bytes, want 1 to %d", ErrInput, len(id),
			keyIDMax)
	}
	signature, err := by.Sign(signed(file[:HeaderSize]))
	if err != nil {
		return nil, fmt.Errorf("list: the file cannot be signed with key %s: %w", id, err)
	}
	if len(signature) != signatureSize {
		return nil, fmt.Errorf("%w: key %s made a signature of %d bytes, want %d", ErrInput, id,
			len(signature), signatureSize)
	}
	file = append(append(file, algorithm, byte(len(id))), id...)
	return append(file, signature...), nil
}

// Keys are the public keys that a gate trusts for lists. It never changes and is safe for
// concurrent use.
type Keys struct {
	byID map[string]trusted
}

type trusted struct {
	algorithm byte
	verify    func(message, signature []byte) bool
}

// NewKeys returns the set of keys; their validity in time is not looked at, since gates
// often have no clock to trust. A key that cannot be used is an error.
func NewKeys(keys ...receipt.Key) (*Keys, error) {
	if _, err := receipt.NewKeys(keys...); err != nil {
		return nil, fmt.Errorf("list: %w", err)
	}
	set := &Keys{byID: map[string]trusted{}}
	for _, k := range keys {
		t := trusted{algorithm: withEd25519, verify: func(message, signature []byte) bool {
			return ed25519.Verify(k.Public, message, signature)
		}}
		if k.Algorithm == receipt.SM2 {
			public, err := sm.ParsePublicKey(k.Public)
			if err != nil {
				return nil, fmt.Errorf("list: key %s: %w", k.ID, err)
			}
			t = trusted{algorithm: withSM2, verify: public.Verify}
		}
		set.byID[k.ID] = t
	}
	return set, nil
}

// verify checks the trailer of a file; a nil set trusts whoever brought the file.
func (k *Keys) verify(header, trailer []byte) error {
	if len(trailer) < 2 || len(trailer) > trailerMax {
		return fmt.Errorf("%w: trailer of %d bytes", ErrDamaged, len(trailer))
	}
	algorithm, size := trailer[0], int(trailer[1])
	want := 2 + size + signatureSize
	if algorithm == unsigned {
		want = 2
	}
	if algorithm > withSM2 || len(trailer) != want {
		return fmt.Errorf("%w: trailer of %d bytes with algorithm %d", ErrDamaged, len(trailer),
			algorithm)
	}
	if k == nil {
		return nil
	}
	if algorithm == unsigned {
		return fmt.Errorf("%w: it has no signature", ErrUnsigned)
	}
	t, ok := k.byID[string(trailer[2:2+size])]
	switch {
	case !ok || t.algorithm != algorithm:
		return fmt.Errorf("%w: key %.128q is not trusted", ErrUnsigned, trailer[2:2+size])
	case !t.verify(signed(header), trailer[2+size:]):
		return fmt.Errorf("%w: the signature is wrong", ErrUnsigned)
	}
	return nil
}
