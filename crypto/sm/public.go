package sm

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/subtle"
	"fmt"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm3"
)

// curveParameters is a ‖ b ‖ xG ‖ yG, the part of ZA that every key has (GM/T 0003.5).
const curveParameters = "" +
	"\xff\xff\xff\xfe\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
	"\xff\xff\xff\xff\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xfc" +
	"\x28\xe9\xfa\x9e\x9d\x9f\x5e\x34\x4d\x5a\x9e\x4b\xcf\x65\x09\xa7" +
	"\xf3\x97\x89\xf5\x15\xab\x8f\x92\xdd\xbc\xbd\x41\x4d\x94\x0e\x93" +
	"\x32\xc4\xae\x2c\x1f\x19\x81\x19\x5f\x99\x04\x46\x6a\x39\xc9\x94" +
	"\x8f\xe3\x0b\xbf\xf2\x66\x0b\xe1\x71\x5a\x45\x89\x33\x4c\x74\xc7" +
	"\xbc\x37\x36\xa2\xf4\xf6\x77\x9c\x59\xbd\xce\xe3\x6b\x69\x21\x53" +
	"\xd0\xa9\x87\x7c\xc6\x2a\x47\x40\x02\xdf\x32\xe5\x21\x39\xf0\xa0"

// PublicKey is a point of the curve with a user id. It is unchanging; parse it once and
// verify many times. The zero PublicKey verifies nothing.
type PublicKey struct {
	key   *ecdsa.PublicKey // nil only in the zero PublicKey
	point [PointSize]byte
	za    [HashSize]byte
}

// ParsePublicKey reads a public key: 33 bytes compressed, 64 bytes x‖y, or 65 bytes
// 04‖x‖y. The point must be on the curve. Its user id is DefaultID; see WithID.
func ParsePublicKey(b []byte) (*PublicKey, error) {
	k := &PublicKey{}
	switch {
	case len(b) == CompressedSize && (b[0] == 2 || b[0] == 3):
		x, y := elliptic.UnmarshalCompressed(sm2.P256(), b)
		if x == nil {
			return nil, fmt.Errorf("%w: no point of the curve has this x", ErrPublicKey)
		}
		k.point[0] = 4
		x.FillBytes(k.point[1 : 1+ScalarSize])
		y.FillBytes(k.point[1+ScalarSize:])
	case len(b) == PointSize-1:
		k.point[0] = 4
		copy(k.point[1:], b)
	case len(b) == PointSize && b[0] == 4:
		copy(k.point[:], b)
	default:
		return nil, fmt.Errorf("%w: %d bytes in no known form, want 33 (02 or 03), 64, "+
			"or 65 (04)", ErrPublicKey, len(b))
	}
	return k.finish()
}

// finish checks the point and computes ZA under DefaultID.
func (k *PublicKey) finish() (*PublicKey, error) {
	key, err := sm2.NewPublicKey(k.point[:])
	if err != nil {
		return nil, fmt.Errorf("%w: the point is not on the curve", ErrPublicKey)
	}
	k.key = key
	k.za = userHash(DefaultID, &k.point)
	return k, nil
}

// userHash returns ZA (GB/T 32918.2 clause 5.5).
func userHash(id string, point *[PointSize]byte) (za [HashSize]byte) {
	bits := len(id) * 8
	in := make([]byte, 0, 2+len(DefaultID)+len(curveParameters)+PointSize)
	in = append(in, byte(bits>>8), byte(bits))
	in = append(in, id...)
	in = append(in, curveParameters...)
	in = append(in, point[1:]...)
	return sm3.Sum(in)
}

// WithID returns k with another user id: at most IDMax bytes, which may be none (that is
// not the default id).
func (k *PublicKey) WithID(id []byte) (*PublicKey, error) {
	if len(id) > IDMax {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrID, len(id), IDMax)
	}
	other := *k
	other.za = userHash(string(id), &k.point)
	return &other, nil
}

// ZA returns the hash of the user id, the curve and the key, with which every signed
// message begins.
func (k *PublicKey) ZA() [HashSize]byte { return k.za }

// Point returns 04‖x‖y.
func (k *PublicKey) Point() [PointSize]byte { return k.point }

// Compressed returns 02‖x or 03‖x.
func (k *PublicKey) Compressed() (c [CompressedSize]byte) {
	copy(c[:], k.point[:])
	c[0] = 2 | k.point[PointSize-1]&1
	return c
}

// Fingerprint returns the SM3 hash of Point, by which people compare keys.
func (k *PublicKey) Fingerprint() [HashSize]byte { return SM3(k.point[:]) }

// Equal reports whether both are the same point with the same user id.
func (k *PublicKey) Equal(other *PublicKey) bool {
	return subtle.ConstantTimeCompare(k.point[:], other.point[:]) == 1 &&
		subtle.ConstantTimeCompare(k.za[:], other.za[:]) == 1
}

// Digest returns e = SM3(ZA ‖ message), which SM2 signs.
func (k *PublicKey) Digest(message []byte) (e [HashSize]byte) {
	h := sm3.New()
	_, _ = h.Write(k.za[:])
	_, _ = h.Write(message)
	h.Sum(e[:0])
	return e
}

// Verify reports whether signature, raw r‖s, is k's for message. Another length is false.
func (k *PublicKey) Verify(message, signature []byte) bool {
	e := k.Digest(message)
	return k.VerifyDigest(e[:], signature)
}

// VerifyDigest is Verify for a given e (HashSize bytes), which already holds ZA.
func (k *PublicKey) VerifyDigest(e, signature []byte) bool {
	if k.key == nil || len(e) != HashSize {
		return false
	}
	var buffer [derMax]byte
	der, err := AppendDER(buffer[:0], signature)
	return err == nil && sm2.VerifyASN1(k.key, e, der)
}

// VerifyDER is Verify for a signature in DER, of which only the one canonical form of r
// and s is accepted.
func (k *PublicKey) VerifyDER(message, der []byte) bool {
	raw, err := ParseDER(der)
	return err == nil && k.Verify(message, raw[:])
}
