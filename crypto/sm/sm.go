// Package sm holds the SM2 signatures and the SM3 hash of the Chinese standards
// (GM/T 0003, GM/T 0004, GB/T 32918, GB/T 32905) in the shapes that card schemes use: public
// keys compressed (33 bytes), bare (64) or uncompressed (65), signatures raw r‖s (64 bytes)
// or in DER, the user id and its ZA.
//
// A PublicKey is parsed once and reused: it holds its point and its ZA, so that verifying
// decompresses nothing and hashes only the message. All types are unchanging and safe for
// concurrent use, but for PrivateKey.Wipe. Nothing is read or written but the random
// source that the caller gives. No error contains key, nonce or message bytes, and a
// PrivateKey cannot be printed.
//
// The curve and the hash are those of github.com/emmansun/gmsm, which this package and
// crypto/block alone import. There is no SM2 encryption and no key exchange here.
package sm

import (
	"errors"
	"hash"

	"github.com/emmansun/gmsm/sm3"
)

// Sizes in bytes.
const (
	// HashSize is the length of an SM3 hash, and of the digest e that is signed.
	HashSize = 32
	// SignatureSize is the length of a raw signature r‖s.
	SignatureSize = 64
	// ScalarSize is the length of a private key, of a nonce and of a coordinate.
	ScalarSize = 32
	// CompressedSize is the length of a compressed point, 02 or 03 ‖ x.
	CompressedSize = 33
	// PointSize is the length of an uncompressed point, 04 ‖ x ‖ y.
	PointSize = 65
	// IDMax is the longest user id: ZA counts its bits in two bytes.
	IDMax = 8191
)

// DefaultID is the user id of GM/T 0009 where none is agreed. The transit QR uses it.
const DefaultID = "1234567812345678"

var (
	// ErrPublicKey reports bytes that are no point of the curve in a known form.
	ErrPublicKey = errors.New("not an SM2 public key")
	// ErrPrivateKey reports a scalar that is not in 1 … n-2.
	ErrPrivateKey = errors.New("not an SM2 private key")
	// ErrNonce reports a nonce that cannot be used for the message.
	ErrNonce = errors.New("not a usable SM2 nonce")
	// ErrSignature reports bytes that are not the form of a signature. That a
	// well-formed signature is wrong is no error but the answer false.
	ErrSignature = errors.New("not the form of an SM2 signature")
	// ErrID reports a user id longer than IDMax.
	ErrID = errors.New("user id is too long for SM2")
)

// SM3 returns the SM3 hash of data (GM/T 0004).
func SM3(data []byte) [HashSize]byte { return sm3.Sum(data) }

// NewSM3 returns a running SM3 hash.
func NewSM3() hash.Hash { return sm3.New() }
