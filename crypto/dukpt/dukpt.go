// Package dukpt derives the keys of terminals that use a new key for each transaction: TDES
// DUKPT of ANSI X9.24-1 (key serial numbers of 10 bytes) and AES DUKPT of ANSI X9.24-3 (12
// bytes), host side: from the base derivation key or a device's initial key and the KSN of
// a message to the working keys of that message, and PIN, MAC and data under them.
//
// Directions are the device's: a request is what it sends, so the host verifies requests
// and makes responses. A KSN whose counter no device can use (zero, or too many one bits)
// is refused when it is parsed. Guard refuses a counter seen before; a caller must ask it.
//
// The package keeps no key longer than its values live, stores nothing and knows no PIN
// format beyond how fields are combined (crypto/pinblock does). A Transaction and a Guard
// are safe for concurrent use. Keys come out as Key, which no formatting prints; no error
// holds key, PIN or data bytes. Derived TDES keys have the parity they come out with.
package dukpt

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"strings"

	"github.com/tapswitch/tapswitch/crypto/block"
)

var (
	// ErrKSN reports a key serial number of another length than 10 or 12 bytes.
	ErrKSN = errors.New("not a key serial number")
	// ErrCounter reports a KSN whose transaction counter no device uses: zero, or more one
	// bits than its standard allows.
	ErrCounter = errors.New("transaction counter of a KSN is not valid")
	// ErrUsage reports a working key that the standard does not have.
	ErrUsage = errors.New("no such working key")
	// ErrLength reports PIN fields or data of a wrong length.
	ErrLength = errors.New("wrong length for a DUKPT operation")
	// ErrKeyLength is block.ErrKeyLength: a base or initial key of a wrong length.
	ErrKeyLength = block.ErrKeyLength
)

// Key is a clear key. Every verb of fmt and every text encoding prints its length only (but
// fmt asks no unexported field: a struct that hides a Key needs a Format of its own);
// convert it to []byte to use it and call Clear when done.
type Key []byte

// Format prints "key(16 bytes)".
func (k Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.mask()) }

// MarshalText returns what Format prints, for encoders.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.mask()), nil }

// Clear overwrites the key with zeros.
func (k Key) Clear() { clear(k) }

func (k Key) mask() string { return fmt.Sprintf("key(%d bytes)", len(k)) }

const (
	ksnTDES = 10
	ksnAES  = 12
	idAES   = 8

	counterBitsTDES = 21
	counterMaskTDES = 1<<counterBitsTDES - 1
	onesMaxTDES     = 10 // X9.24-1 A.2: devices skip the rest
	onesMaxAES      = 16 // X9.24-3 6.3.1
)

// KSN is a key serial number that passed ParseKSN. It names the device, by its initial key,
// and counts its transactions. It is not secret and comparable.
type KSN struct {
	size    uint8
	id      [ksnTDES]byte // IKSN, or the 8 bytes of an initial key id
	counter uint32
}

// ParseKSN reads a KSN of 10 bytes (TDES) or 12 (AES). A counter of zero or with more one
// bits than 10 (TDES) or 16 (AES) is ErrCounter: no device sends it.
func ParseKSN(b []byte) (KSN, error) {
	k := KSN{size: uint8(len(b))}
	most := onesMaxTDES
	switch len(b) {
	case ksnTDES:
		copy(k.id[:], b)
		k.counter = be32(0, b[7], b[8], b[9]) & counterMaskTDES
		k.id[7] &^= counterMaskTDES >> 16
		k.id[8], k.id[9] = 0, 0
	case ksnAES:
		copy(k.id[:idAES], b)
		k.counter = be32(b[8], b[9], b[10], b[11])
		most = onesMaxAES
	default:
		return KSN{}, fmt.Errorf("%w: %d bytes, want %d or %d", ErrKSN, len(b), ksnTDES, ksnAES)
	}
	if ones := bits.OnesCount32(k.counter); ones == 0 || ones > most {
		return KSN{}, fmt.Errorf("%w: %d one bits, want 1 to %d", ErrCounter, ones, most)
	}
	return k, nil
}

func be32(a, b, c, d byte) uint32 {
	return uint32(a)<<24 | uint32(b)<<16 | uint32(c)<<8 | uint32(d)
}

// AES reports whether the KSN is one of AES DUKPT; if not, it is one of TDES DUKPT.
func (k KSN) AES() bool { return k.size == ksnAES }

// Counter returns the transaction counter.
func (k KSN) Counter() uint32 { return k.counter }

// DeviceID names a device's initial key: the KSN with counter zero (TDES, 20 hex digits) or
// the initial key id (AES, 16 hex digits).
type DeviceID string

// Device returns whose KSN it is.
func (k KSN) Device() DeviceID {
	n := ksnTDES
	if k.AES() {
		n = idAES
	}
	return DeviceID(strings.ToUpper(hex.EncodeToString(k.id[:n])))
}

// Append appends the bytes that ParseKSN read.
func (k KSN) Append(dst []byte) []byte {
	c := k.counter
	if k.AES() {
		return append(append(dst, k.id[:idAES]...), byte(c>>24), byte(c>>16), byte(c>>8), byte(c))
	}
	return append(append(dst, k.id[:7]...), k.id[7]|byte(c>>16), byte(c>>8), byte(c))
}

// String returns the KSN in hex.
func (k KSN) String() string { return strings.ToUpper(hex.EncodeToString(k.Append(nil))) }
