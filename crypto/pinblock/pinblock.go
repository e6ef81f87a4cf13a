// Package pinblock makes and reads PIN blocks and card verification values: the formats 0
// to 4 of ISO 9564-1 and UnionPay's form without a card number, translation of a block from
// one key, format and card number to another, CVV with its iCVV and CVV2 forms, Visa's PVV,
// and IBM 3624 natural PINs and offsets.
//
// It is pure: no key, PIN or card number is kept, nothing is read or written but a source
// of random fill. Everything is safe for concurrent use as long as the random source is. A
// PIN is a slice of ASCII digits, so that its owner can clear it; a card number is a string
// of digits. No error of this package contains a digit of a PIN, a card number, a block or
// a key. Buffers of the package that held a PIN are cleared.
//
// What it refuses: PINs of other than 4 to 12 digits, blocks whose control field, length,
// digits or fill are not exactly the format's, and the translations that ISO 9564-1 forbids
// (see Translate). Whoever decodes blocks that others send should not tell them which of the
// checks failed: the answers would help to search for a PIN.
package pinblock

import (
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Format names a PIN block format. Numbers are not stored; use String.
type Format uint8

// The formats of ISO 9564-1, numbered as there, and UnionPay's.
const (
	Format0 Format = iota // PIN and fill F, XOR card number
	Format1               // PIN and random fill; no card number
	Format2               // PIN and fill F; between a terminal and its chip card only
	Format3               // PIN and random fill A to F, XOR card number
	Format4               // 16 bytes under AES, bound to the whole card number
	// FormatCUP is UnionPay's form without a card number: "06", the PIN, fill F (field 53,
	// first digit 1).
	FormatCUP
	formatEnd
)

// String returns the format's name as in configuration: "iso0" to "iso4", "cup".
func (f Format) String() string {
	if f >= formatEnd {
		return "unknown"
	}
	return [formatEnd]string{"iso0", "iso1", "iso2", "iso3", "iso4", "cup"}[f]
}

// ParseFormat reads what String prints.
func ParseFormat(s string) (Format, error) {
	for f := Format0; f < formatEnd; f++ {
		if f.String() == s {
			return f, nil
		}
	}
	return 0, fmt.Errorf("%w: %.16q, want iso0 to iso4 or cup", ErrFormat, s)
}

// Size returns the length of a block of f in bytes: 16 for format 4, 8 for the others.
func (f Format) Size() int {
	if f == Format4 {
		return 16
	}
	return 8
}

// BindsPAN reports whether a block of f can only be read with the card number.
func (f Format) BindsPAN() bool { return f == Format0 || f == Format3 || f == Format4 }

// control returns the first nibble of a clear block.
func (f Format) control() uint64 {
	if f == FormatCUP {
		return 0
	}
	return uint64(f)
}

// The lengths of a PIN in digits (ISO 9564-1 section 8).
const (
	PINMin = 4
	PINMax = 12
)

// What can be wrong with a block, a PIN or a card number; all errors of Encode and Decode
// are one of these.
var (
	ErrFormat  = errors.New("PIN block format cannot be used here")
	ErrBlock   = errors.New("PIN block has a wrong size")
	ErrControl = errors.New("PIN block has another control field")
	ErrLength  = errors.New("PIN is not 4 to 12 digits long")
	ErrDigit   = errors.New("PIN has something other than digits")
	ErrFill    = errors.New("PIN block has wrong fill")
	ErrPAN     = errors.New("card number does not fit the PIN block")
	ErrCipher  = errors.New("cipher does not fit the PIN block")
	ErrRandom  = errors.New("no random fill")
)

// scratch is all memory that one operation needs: ciphers and random sources are
// interfaces, so what they are given lives on the heap, and this is one allocation.
type scratch struct {
	in, out, random [16]byte
	pin             [PINMax]byte
	length          int
}

func (s *scratch) clear() { *s = scratch{} }

// digits returns the PIN; valid until clear.
func (s *scratch) digits() []byte { return s.pin[:s.length] }

// setPIN checks a PIN and keeps it.
func (s *scratch) setPIN(pin []byte) error {
	if len(pin) < PINMin || len(pin) > PINMax {
		return ErrLength
	}
	for _, d := range pin {
		if d < '0' || d > '9' {
			return ErrDigit
		}
	}
	s.length = copy(s.pin[:], pin)
	return nil
}

// pan12 returns the twelve digits of a card number before its check digit, as twelve
// nibbles on the right.
func pan12(pan string) (uint64, error) {
	if len(pan) < 13 || len(pan) > 19 {
		return 0, fmt.Errorf("%w: %d digits, want 13 to 19", ErrPAN, len(pan))
	}
	digits, err := packed(pan, 13)
	return digits >> 4, err
}

// packed returns the last n digits of pan as nibbles on the right; it looks at all digits.
func packed(pan string, n int) (uint64, error) {
	var b uint64
	for i := range len(pan) {
		if pan[i] < '0' || pan[i] > '9' {
			return 0, fmt.Errorf("%w: character %d is not a digit", ErrPAN, i+1)
		}
		b = b<<4 | uint64(pan[i]-'0')
	}
	return b & (1<<(4*n) - 1), nil
}

// fill reads random bytes and returns 64 bits of them.
func (s *scratch) fill(random io.Reader) (uint64, error) {
	if random == nil {
		random = rand.Reader
	}
	if _, err := io.ReadFull(random, s.random[:8]); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrRandom, err)
	}
	return binary.BigEndian.Uint64(s.random[:8]), nil
}

// field returns the 8 bytes control, length, PIN, fill, which every format begins with.
func (s *scratch) field(f Format, random io.Reader) (uint64, error) {
	var noise uint64
	var err error
	if f == Format1 || f == Format3 {
		if noise, err = s.fill(random); err != nil {
			return 0, err
		}
	}
	b := f.control()<<4 | uint64(s.length)
	for i := range 14 {
		b <<= 4
		switch {
		case i < s.length:
			b |= uint64(s.pin[i] - '0')
		case f == Format1:
			b |= noise & 15
			noise >>= 4
		case f == Format3:
			b |= 10 + noise%6 // ten digits at most: the bias is below 2^-37
			noise /= 6
		case f == Format4:
			b |= 0xa
		default:
			b |= 0xf
		}
	}
	return b, nil
}

// readField is the inverse of field: it keeps the PIN if everything is as the format says.
func (s *scratch) readField(f Format, b uint64) error {
	if b>>60 != f.control() {
		return ErrControl
	}
	length := int(b >> 56 & 15)
	if length < PINMin || length > PINMax {
		return ErrLength
	}
	for i := range 14 {
		n := byte(b>>(52-4*i)) & 15
		switch {
		case i < length && n > 9:
			return ErrDigit
		case i < length:
			s.pin[i] = '0' + n
		case !fillFits(f, n):
			return ErrFill
		}
	}
	s.length = length
	return nil
}

// fillFits reports whether n may stand after the PIN.
func fillFits(f Format, n byte) bool {
	switch f {
	case Format1:
		return true
	case Format3:
		return n >= 10
	case Format4:
		return n == 10
	default:
		return n == 15
	}
}

// encode8 makes a clear block of 8 bytes from the PIN in s.
func (s *scratch) encode8(f Format, pan string, random io.Reader) (uint64, error) {
	if f >= formatEnd || f == Format4 {
		return 0, fmt.Errorf("%w: %v has no clear block", ErrFormat, f)
	}
	var bound uint64
	var err error
	if f.BindsPAN() {
		if bound, err = pan12(pan); err != nil {
			return 0, err
		}
	}
	b, err := s.field(f, random)
	return b ^ bound, err
}

// decode8 keeps the PIN of a clear block of 8 bytes in s.
func (s *scratch) decode8(f Format, b uint64, pan string) error {
	if f >= formatEnd || f == Format4 {
		return fmt.Errorf("%w: %v has no clear block", ErrFormat, f)
	}
	if f.BindsPAN() {
		bound, err := pan12(pan)
		if err != nil {
			return err
		}
		b ^= bound
	}
	return s.readField(f, b)
}

// Encode returns the clear block of a PIN in one of the 8-byte formats. pan is the whole
// card number with its check digit, 13 to 19 digits; formats 1, 2 and CUP do not look at it.
// random is the source of the fill of formats 1 and 3, nil for crypto/rand. Format 2 is
// there for the dialogue of a terminal with a chip card; nothing may send it to a host.
func Encode(f Format, pin []byte, pan string, random io.Reader) (b [8]byte, err error) {
	s := new(scratch)
	defer s.clear()
	if err := s.setPIN(pin); err != nil {
		return b, err
	}
	clearBlock, err := s.encode8(f, pan, random)
	if err != nil {
		return b, err
	}
	binary.BigEndian.PutUint64(b[:], clearBlock)
	return b, nil
}

// Decode appends the PIN of a clear block of an 8-byte format to dst.
func Decode(dst []byte, f Format, clearBlock []byte, pan string) ([]byte, error) {
	if len(clearBlock) != 8 {
		return dst, fmt.Errorf("%w: %d bytes, want 8", ErrBlock, len(clearBlock))
	}
	s := new(scratch)
	defer s.clear()
	if err := s.decode8(f, binary.BigEndian.Uint64(clearBlock), pan); err != nil {
		return dst, err
	}
	return append(dst, s.digits()...), nil
}

// panField writes the card number field of format 4: a nibble that says how many digits
// above twelve, the digits (twelve at least, zeros before), zeros.
func panField(dst *[16]byte, pan string) error {
	if len(pan) < 1 || len(pan) > 19 {
		return fmt.Errorf("%w: %d digits, want 1 to 19", ErrPAN, len(pan))
	}
	if _, err := packed(pan, 0); err != nil {
		return err
	}
	*dst = [16]byte{byte(max(len(pan)-12, 0)) << 4}
	at := 1 + max(12-len(pan), 0)
	for i := range len(pan) {
		put := (pan[i] - '0') << (4 * (1 - (at+i)%2))
		dst[(at+i)/2] |= put
	}
	return nil
}

// encode4 leaves the enciphered block of format 4 of the PIN in s in s.out.
func (s *scratch) encode4(c cipher.Block, pan string, random io.Reader) error {
	if c == nil || c.BlockSize() != 16 {
		return ErrCipher
	}
	if err := panField(&s.in, pan); err != nil {
		return err
	}
	noise, err := s.fill(random)
	if err != nil {
		return err
	}
	field, err := s.field(Format4, nil)
	if err != nil {
		return err
	}
	binary.BigEndian.PutUint64(s.out[:8], field)
	binary.BigEndian.PutUint64(s.out[8:], noise)
	c.Encrypt(s.out[:], s.out[:])
	xor(&s.out, &s.in)
	c.Encrypt(s.out[:], s.out[:])
	return nil
}

// decode4 keeps the PIN of the enciphered block in s.in.
func (s *scratch) decode4(c cipher.Block, pan string) error {
	if c == nil || c.BlockSize() != 16 {
		return ErrCipher
	}
	if err := panField(&s.out, pan); err != nil {
		return err
	}
	c.Decrypt(s.in[:], s.in[:])
	xor(&s.in, &s.out)
	c.Decrypt(s.in[:], s.in[:])
	return s.readField(Format4, binary.BigEndian.Uint64(s.in[:8]))
}

func xor(dst, src *[16]byte) {
	for i := range dst {
		dst[i] ^= src[i]
	}
}

// EncodeFormat4 returns the block of format 4, which exists enciphered only. c is AES; SM4
// works too, outside of ISO 9564-1. pan has 1 to 19 digits, random is nil for crypto/rand.
func EncodeFormat4(c cipher.Block, pin []byte, pan string, random io.Reader) (b [16]byte,
	err error) {
	s := new(scratch)
	defer s.clear()
	if err := s.setPIN(pin); err != nil {
		return b, err
	}
	if err := s.encode4(c, pan, random); err != nil {
		return b, err
	}
	return s.out, nil
}

// DecodeFormat4 appends the PIN of an enciphered block of format 4 to dst.
func DecodeFormat4(dst []byte, c cipher.Block, enciphered []byte, pan string) ([]byte, error) {
	if len(enciphered) != 16 {
		return dst, fmt.Errorf("%w: %d bytes, want 16", ErrBlock, len(enciphered))
	}
	s := new(scratch)
	defer s.clear()
	copy(s.in[:], enciphered)
	if err := s.decode4(c, pan); err != nil {
		return dst, err
	}
	return append(dst, s.digits()...), nil
}
