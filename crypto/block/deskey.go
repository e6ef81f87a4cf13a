package block

import (
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"slices"
)

// What Check finds wrong with a key. None of these errors shows a byte of it.
var (
	ErrParity = errors.New("key has a byte of even parity")
	ErrWeak   = errors.New("key is weak")
	ErrHalves = errors.New("key has equal parts, which makes it a shorter one")
)

// weak are the four weak and the twelve semi-weak keys of DES, with odd parity (NIST
// SP 800-67 3.3.2); nobody changes it.
var weak = []uint64{
	0x0101010101010101, 0xfefefefefefefefe, 0xe0e0e0e0f1f1f1f1, 0x1f1f1f1f0e0e0e0e,
	0x01fe01fe01fe01fe, 0xfe01fe01fe01fe01, 0x1fe01fe00ef10ef1, 0xe01fe01ff10ef10e,
	0x01e001e001f101f1, 0xe001e001f101f101, 0x1ffe1ffe0efe0efe, 0xfe1ffe1ffe0efe0e,
	0x011f011f010e010e, 0x1f011f010e010e01, 0xe0fee0fef1fef1fe, 0xfee0fee0fef1fef1,
}

// Check reports whether key may be used as a key of a: its length; for DES and TDES odd
// parity (ANSI X3.92), no weak or semi-weak part (ISO 11568), and no two equal parts; for
// AES and SM4, that it is not one byte over and over.
func Check(a Algorithm, key []byte) error {
	if !rightLength(a, key) {
		return fmt.Errorf("%w: %d bytes for %v", ErrKeyLength, len(key), a)
	}
	if a == AES || a == SM4 {
		if slices.IndexFunc(key, func(b byte) bool { return b != key[0] }) < 0 {
			return ErrWeak
		}
		return nil
	}
	if !OddParity(key) {
		return ErrParity
	}
	for i := 0; i < len(key); i += 8 {
		part := key[i : i+8]
		if slices.Contains(weak, binary.BigEndian.Uint64(part)) {
			return ErrWeak
		}
		for j := 0; j < i; j += 8 {
			if subtle.ConstantTimeCompare(part, key[j:j+8]) == 1 {
				return ErrHalves
			}
		}
	}
	return nil
}

func rightLength(a Algorithm, key []byte) bool {
	switch a {
	case DES:
		return len(key) == 8
	case TDES:
		return len(key) == 16 || len(key) == 24
	case AES:
		return len(key) == 16 || len(key) == 24 || len(key) == 32
	case SM4:
		return len(key) == 16
	default:
		return false
	}
}

// OddParity reports whether every byte of a DES key has an odd number of ones.
func OddParity(key []byte) bool {
	return slices.IndexFunc(key, func(b byte) bool { return bits.OnesCount8(b)%2 == 0 }) < 0
}

// SetOddParity makes every byte's last bit such that its parity is odd.
func SetOddParity(key []byte) {
	for i, b := range key {
		key[i] = b&^1 | byte(bits.OnesCount8(b&^1)+1)&1
	}
}
