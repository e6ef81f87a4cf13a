package keyblock

import (
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/mac"
)

// ErrCheckValue reports a key whose check value is another.
var ErrCheckValue = errors.New("key check value does not match")

// CheckKind is a way to make a key check value.
type CheckKind uint8

// The kinds: the cipher over a block of zeros, usual for DES and TDES (3 bytes at an HSM, 4
// at UnionPay), and CMAC over a block of zeros, usual for AES (5 bytes).
const (
	CheckECB CheckKind = 1 + iota
	CheckCMAC
)

// CheckMin is the shortest check value in bytes: a shorter one matches too many wrong keys.
const CheckMin = 3

// CheckValue returns the left n bytes of the check value of key, CheckMin to a block. It
// does not reveal the key and may be shown.
func CheckValue(kind CheckKind, a block.Algorithm, key []byte, n int) ([]byte, error) {
	c, err := block.New(a, key)
	if err != nil {
		return nil, fmt.Errorf("check value: %w", err)
	}
	if n < CheckMin || n > a.Size() {
		return nil, fmt.Errorf("%w: it has %d to %d bytes, not %d", ErrCheckValue, CheckMin, a.Size(), n)
	}
	out := make([]byte, a.Size())
	switch kind {
	case CheckECB:
		c.Encrypt(out, out)
	case CheckCMAC:
		m, err := mac.New(mac.Scheme{Algorithm: mac.CMAC, Cipher: a}, key)
		if err != nil {
			return nil, fmt.Errorf("check value: %w", err)
		}
		out = m.Sum(nil, out)
	default:
		return nil, fmt.Errorf("%w: kind %d is unknown", ErrCheckValue, kind)
	}
	return out[:n:n], nil
}

// VerifyCheckValue returns nil if want, of CheckMin bytes to a block, is the check value of
// key; ErrCheckValue if it is not. It compares in constant time.
func VerifyCheckValue(kind CheckKind, a block.Algorithm, key, want []byte) error {
	got, err := CheckValue(kind, a, key, len(want))
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(got, want) != 1 {
		return ErrCheckValue
	}
	return nil
}
