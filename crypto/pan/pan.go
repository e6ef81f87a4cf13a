// Package pan holds the card number that cannot be printed.
//
// A Number masks its digits in every formatting path of the standard library, and
// keeps them sealed, so that printers that read memory by reflection (fmt does for an
// unexported field, and for a verb that it refuses) and traces of a panic show no digit
// either: a log line, an error or a panic can never show one. What the switch stores and streams is a Token: a
// keyed HMAC-SHA256 of the number (PCI DSS 3.5.1.1 asks for keyed hashes).
//
// It also knows the families of numbers (T-Union, CJ/T 166, bank, e-card), takes numbers
// out of card files and track data (Extractor, ParseTrack2), and finds issuers by the
// longest prefix (Issuers).
//
// All types are values or unchanging, safe for concurrent use. The package does not keep
// keys on disk, and enforces a check digit only where asked (Family.Check): transit
// numbers (JT/T 978, CJ/T 166) have none.
package pan

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
)

// Digits that a card number may have: CJ/T 166 numbers have 16, T-Union
// numbers 19 (20 with the leading nibble), bank numbers 16 to 19; older local
// families go down to 8 (DOMAIN.md section 4).
const (
	digitsMin = 8
	digitsMax = 20
)

// ErrNumber reports text that is not a card number. It never quotes the text.
var ErrNumber = errors.New("card number must be 8 to 20 digits")

// Number is a card number. The zero Number is empty and invalid. It cannot be
// formatted, marshalled or logged in clear; Digits is the one way out. Numbers are
// comparable; two are equal when their digits are.
type Number struct {
	length uint8
	sealed [digitsMax]byte // digits XOR pad; zero beyond length
}

// pad seals the digits in memory. It differs from process to process and is no
// encryption: it is there so that nothing prints a digit by accident.
var pad = newPad()

func newPad() (p [digitsMax]byte) {
	_, _ = rand.Read(p[:]) // never fails: the process ends first
	return p
}

// Parse checks that s is 8 to 20 decimal digits and wraps it. It returns
// ErrNumber, which does not contain s, otherwise. A T-Union number written with the
// leading zero of its application serial (20 digits, 03104 or 03105) is the same card as
// without: it is kept without, so that both have one token and one freeze.
func Parse(s string) (Number, error) {
	if len(s) == digitsMax && (s[:5] == "0"+tUnionOld || s[:5] == "0"+tUnionNew) {
		s = s[1:]
	}
	if len(s) < digitsMin || len(s) > digitsMax {
		return Number{}, fmt.Errorf("%w, got %d characters", ErrNumber, len(s))
	}
	n := Number{length: uint8(len(s))}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return Number{}, fmt.Errorf("%w, character %d is not a digit", ErrNumber, i+1)
		}
		n.sealed[i] = s[i] ^ pad[i]
	}
	return n, nil
}

// open writes the digits to dst and returns how many there are.
func (n *Number) open(dst *[digitsMax]byte) int {
	for i := range n.length {
		dst[i] = n.sealed[i] ^ pad[i]
	}
	return int(n.length)
}

// Digits returns the number in clear. Only code that must put the number on a
// wire that demands it may call this.
func (n Number) Digits() string {
	var b [digitsMax]byte
	return string(b[:n.open(&b)])
}

// IsZero reports whether n is the empty Number.
func (n Number) IsZero() bool { return n.length == 0 }

// Last4 returns the last four digits, which PCI DSS allows a person to see.
func (n Number) Last4() Last4 {
	var l Last4
	if n.IsZero() {
		return l
	}
	var b [digitsMax]byte
	copy(l[:], b[n.open(&b)-len(l):])
	return l
}

// Mask returns the number with all but the last four digits replaced by '*'.
func (n Number) Mask() string {
	if n.IsZero() {
		return ""
	}
	var b [digitsMax]byte
	length := n.open(&b)
	for i := range length - len(Last4{}) {
		b[i] = '*'
	}
	return string(b[:length])
}

// String returns Mask.
func (n Number) String() string { return n.Mask() }

// GoString returns Mask, so that %#v masks too.
func (n Number) GoString() string { return n.Mask() }

// Format writes Mask for every verb.
func (n Number) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(n.Mask())) }

// MarshalText returns Mask, so that JSON and YAML encoders mask too.
func (n Number) MarshalText() ([]byte, error) { return []byte(n.Mask()), nil }

// LogValue returns Mask for slog.
func (n Number) LogValue() slog.Value { return slog.StringValue(n.Mask()) }

// Last4 is the last four digits of a card number in ASCII; zero when unknown.
type Last4 [4]byte

// String returns the digits, or "" when unknown.
func (l Last4) String() string {
	if l[0] == 0 {
		return ""
	}
	return string(l[:])
}

// ParseLast4 reads four digits; the empty string is the unknown Last4.
func ParseLast4(s string) (Last4, error) {
	var l Last4
	if s == "" {
		return l, nil
	}
	if len(s) != len(l) {
		return l, fmt.Errorf("last four digits: want 4 characters, got %d", len(s))
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return Last4{}, fmt.Errorf("last four digits: character %d is not a digit", i+1)
		}
	}
	copy(l[:], s)
	return l, nil
}
