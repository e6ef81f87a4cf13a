package sm

import (
	"fmt"
	"io"
	"log/slog"
	"math/big"

	"github.com/emmansun/gmsm/ecdh"
	"github.com/emmansun/gmsm/sm2"
)

// order is n, the order of the curve (GM/T 0003.5).
const order = "FFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123"

// generateMax bounds the draws of GenerateKey: a good source fails one in 2^32.
const generateMax = 8

// masked is what every printer of a PrivateKey shows.
const masked = "[SM2 private key]"

// PrivateKey signs. It cannot be printed, compared or taken out. It is safe for concurrent
// use until Wipe.
type PrivateKey struct {
	key    *sm2.PrivateKey
	public *PublicKey
}

// NewPrivateKey returns the key of the scalar d, ScalarSize bytes big-endian, which it
// copies; the caller clears its own. Its user id is DefaultID; see WithID.
func NewPrivateKey(d []byte) (*PrivateKey, error) {
	if len(d) != ScalarSize {
		return nil, fmt.Errorf("%w: %d bytes, want %d", ErrPrivateKey, len(d), ScalarSize)
	}
	key, err := sm2.NewPrivateKey(d)
	if err != nil { // its text is not passed on: it may grow to hold the value
		return nil, fmt.Errorf("%w: the scalar is not in 1 … n-2", ErrPrivateKey)
	}
	point, err := basePoint(d)
	if err != nil {
		return nil, fmt.Errorf("%w: the scalar is not in 1 … n-2", ErrPrivateKey)
	}
	public, err := ParsePublicKey(point)
	if err != nil {
		return nil, err
	}
	return &PrivateKey{key: key, public: public}, nil
}

// basePoint returns scalar·G uncompressed.
func basePoint(scalar []byte) ([]byte, error) {
	k, err := ecdh.P256().NewPrivateKey(scalar)
	if err != nil {
		return nil, err
	}
	return k.PublicKey().Bytes(), nil
}

// GenerateKey draws a key from random, which is crypto/rand.Reader but in tests. The same
// bytes give the same key: it reads ScalarSize bytes, again while they are no key.
func GenerateKey(random io.Reader) (*PrivateKey, error) {
	var d [ScalarSize]byte
	defer clear(d[:])
	for range generateMax {
		if _, err := io.ReadFull(random, d[:]); err != nil {
			return nil, fmt.Errorf("cannot draw an SM2 key: %w", err)
		}
		if k, err := NewPrivateKey(d[:]); err == nil {
			return k, nil
		}
	}
	return nil, fmt.Errorf("%w: the random source gave none in %d draws", ErrPrivateKey, generateMax)
}

// WithID returns k with another user id, as PublicKey.WithID. Both share the scalar: to
// wipe one wipes both.
func (k *PrivateKey) WithID(id []byte) (*PrivateKey, error) {
	public, err := k.public.WithID(id)
	if err != nil {
		return nil, err
	}
	return &PrivateKey{key: k.key, public: public}, nil
}

// Public returns the public key with the same user id.
func (k *PrivateKey) Public() *PublicKey { return k.public }

// Sign returns the raw signature of message. The nonce is hedged: derived from the key, the
// digest and 32 bytes of random, so that a bad source alone does not give the key away.
// The same random bytes give the same signature with one version of the library only.
func (k *PrivateKey) Sign(random io.Reader, message []byte) ([SignatureSize]byte, error) {
	e := k.public.Digest(message)
	return k.SignDigest(random, e[:])
}

// SignDigest is Sign for a given e, HashSize bytes that already hold ZA.
func (k *PrivateKey) SignDigest(random io.Reader, e []byte) ([SignatureSize]byte, error) {
	if len(e) != HashSize {
		return [SignatureSize]byte{}, fmt.Errorf("cannot sign a digest of %d bytes, want %d",
			len(e), HashSize)
	}
	der, err := sm2.SignASN1(random, k.key, e, nil)
	if err != nil {
		return [SignatureSize]byte{}, fmt.Errorf("cannot make an SM2 signature: %w", err)
	}
	return ParseDER(der)
}

// SignWithNonceForVectors signs message with a given nonce, to compare with published
// values, and for nothing else: it is not constant in time, and two messages under one
// nonce give the key away.
func (k *PrivateKey) SignWithNonceForVectors(nonce, message []byte) ([SignatureSize]byte, error) {
	var raw [SignatureSize]byte
	if len(nonce) != ScalarSize {
		return raw, fmt.Errorf("%w: %d bytes, want %d", ErrNonce, len(nonce), ScalarSize)
	}
	point, err := basePoint(nonce)
	if err != nil {
		return raw, fmt.Errorf("%w: it is not in 1 … n-2", ErrNonce)
	}
	n, _ := new(big.Int).SetString(order, 16)
	e := k.public.Digest(message)
	nat := func(b []byte) *big.Int { return new(big.Int).SetBytes(b) }
	kk, d := nat(nonce), k.key.D
	r := nat(e[:])
	r.Add(r, nat(point[1:1+ScalarSize])).Mod(r, n)
	if r.Sign() == 0 || new(big.Int).Add(r, kk).Cmp(n) == 0 {
		return raw, fmt.Errorf("%w for this message", ErrNonce)
	}
	// s = (1+d)^-1 (k - r d) mod n
	s := new(big.Int).Mul(r, d)
	s.Sub(kk, s)
	inverse := new(big.Int).Add(d, big.NewInt(1))
	s.Mul(s, inverse.ModInverse(inverse, n)).Mod(s, n)
	if s.Sign() == 0 {
		return raw, fmt.Errorf("%w for this message", ErrNonce)
	}
	r.FillBytes(raw[:ScalarSize])
	s.FillBytes(raw[ScalarSize:])
	return raw, nil
}

// Wipe overwrites the scalar. The key and those made of it by WithID must not be in use,
// and sign no more. A copy in the library's cache goes with the garbage collector.
func (k *PrivateKey) Wipe() {
	clear(k.key.D.Bits())
	k.key.D.SetInt64(0)
}

// String returns a fixed text: no printer shows the key.
func (k *PrivateKey) String() string { return masked }

// GoString returns String, so that %#v shows nothing either.
func (k *PrivateKey) GoString() string { return masked }

// Format writes String for every verb.
func (k *PrivateKey) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(masked)) }

// MarshalText returns String, so that encoders show nothing either.
func (k *PrivateKey) MarshalText() ([]byte, error) { return []byte(masked), nil }

// LogValue returns String for slog.
func (k *PrivateKey) LogValue() slog.Value { return slog.StringValue(masked) }
