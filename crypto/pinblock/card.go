package pinblock

import (
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/tapswitch/tapswitch/crypto/block"
)

// The service codes that stand for the card's own in the other two forms of CVV.
const (
	ServiceICVV = "999" // in the chip's copy of track 2
	ServiceCVV2 = "000" // printed on the card
)

// What can be wrong with the values that a check value is made of.
var (
	ErrExpiry  = errors.New("expiry is not four digits")
	ErrService = errors.New("service code is not three digits")
	ErrPVKI    = errors.New("PIN key index is not 0 to 9")
	ErrTable   = errors.New("decimalization table is not usable")
	ErrOffset  = errors.New("PIN offset is not 4 to 12 digits")
)

// nibbles returns the sixteen hex digits of a block.
func nibbles(b *[8]byte) (n [16]byte) {
	for i, v := range b {
		n[2*i], n[2*i+1] = v>>4, v&15
	}
	return n
}

// decimals writes the digits among the nibbles to dst, then the letters less ten, until dst
// is full (Visa's rule for CVV and PVV).
func decimals(dst []byte, b *[8]byte) {
	n := nibbles(b)
	at := 0
	for _, letters := range [2]bool{false, true} {
		for _, v := range n {
			if at < len(dst) && (v > 9) == letters {
				dst[at] = '0' + v%10
				at++
			}
		}
	}
}

// pack writes decimal digits as nibbles to dst, zeros after them.
func pack(dst []byte, digits ...string) {
	at := 0
	for _, s := range digits {
		for i := range len(s) {
			dst[at/2] |= (s[i] & 15) << (4 * (1 - at%2))
			at++
		}
	}
}

func isDigits[T string | []byte](s T, low, high int) bool {
	if len(s) < low || len(s) > high {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// CVV returns the three digits of the card verification value (CVV, CVC, UnionPay's CVN) of
// a card number of 13 to 19 digits, an expiry of four digits and a service code of three.
// cvk is the pair of keys, 16 bytes. The expiry goes in as it is: YYMM on the magnetic
// stripe, and MMYY where a scheme makes its CVV2 of that. Give ServiceICVV and ServiceCVV2
// for those.
func CVV(cvk []byte, pan, expiry, service string) (cvv [3]byte, err error) {
	switch {
	case len(cvk) != 16:
		return cvv, fmt.Errorf("%w: %d bytes, want 16", block.ErrKeyLength, len(cvk))
	case !isDigits(pan, 13, 19):
		return cvv, fmt.Errorf("%w: want 13 to 19 digits", ErrPAN)
	case !isDigits(expiry, 4, 4):
		return cvv, ErrExpiry
	case !isDigits(service, 3, 3):
		return cvv, ErrService
	}
	single, err := block.New(block.DES, cvk[:8])
	if err != nil {
		return cvv, err
	}
	triple, err := block.New(block.TDES, cvk)
	if err != nil {
		return cvv, err
	}
	var b [16]byte
	pack(b[:], pan, expiry, service)
	single.Encrypt(b[:8], b[:8])
	subtle.XORBytes(b[8:], b[8:], b[:8])
	triple.Encrypt(b[8:], b[8:])
	decimals(cvv[:], (*[8]byte)(b[8:]))
	return cvv, nil
}

// VerifyCVV reports, in constant time, whether want is the CVV. An error says that there is
// none for these values.
func VerifyCVV(cvk []byte, pan, expiry, service, want string) (bool, error) {
	cvv, err := CVV(cvk, pan, expiry, service)
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(cvv[:], []byte(want)) == 1, nil
}

// PVV returns the four digits of Visa's PIN verification value: of the eleven digits before
// the check digit of pan, the key index (0 to 9) and the first four digits of the PIN. pvk
// is the pair of keys, 16 bytes.
func PVV(pvk []byte, index int, pin []byte, pan string) (pvv [4]byte, err error) {
	switch {
	case len(pvk) != 16:
		return pvv, fmt.Errorf("%w: %d bytes, want 16", block.ErrKeyLength, len(pvk))
	case index < 0 || index > 9:
		return pvv, ErrPVKI
	case !isDigits(pan, 12, 19):
		return pvv, fmt.Errorf("%w: want 12 to 19 digits", ErrPAN)
	}
	if err := checkPIN(pin); err != nil {
		return pvv, err
	}
	c, err := block.New(block.TDES, pvk)
	if err != nil {
		return pvv, err
	}
	b := new([8]byte)
	defer clear(b[:])
	last := len(pan) - 1
	pack(b[:], pan[last-11:last])
	b[5] |= byte(index)
	b[6], b[7] = pin[0]<<4|pin[1]&15, pin[2]<<4|pin[3]&15
	c.Encrypt(b[:], b[:])
	decimals(pvv[:], b)
	return pvv, nil
}

// VerifyPVV reports, in constant time, whether want is the PVV of the PIN. An error says
// that there is none for these values.
func VerifyPVV(pvk []byte, index int, pin []byte, pan, want string) (bool, error) {
	pvv, err := PVV(pvk, index, pin, pan)
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(pvv[:], []byte(want)) == 1, nil
}

func checkPIN(pin []byte) error {
	if len(pin) < PINMin || len(pin) > PINMax {
		return ErrLength
	}
	if !isDigits(pin, PINMin, PINMax) {
		return ErrDigit
	}
	return nil
}

// IBM3624 says how an issuer makes natural PINs by the IBM 3624 method. The zero value is
// not usable.
type IBM3624 struct {
	// Table turns the nibbles 0 to F into digits: 16 of them. At least eight must differ
	// and none stand more than four times, as HSMs demand: a table of few digits gives
	// the PIN away.
	Table string
	// Start and Length choose the validation data: Length (1 to 16) digits of the card
	// number from Start on.
	Start, Length int
	// Pad is the nibble after the validation data, '0' to '9' or 'A' to 'F'.
	Pad byte
}

func (p *IBM3624) check() error {
	var times [10]int
	differ := 0
	if !isDigits(p.Table, 16, 16) {
		return fmt.Errorf("%w: want 16 digits", ErrTable)
	}
	for _, d := range []byte(p.Table) {
		if times[d-'0']++; times[d-'0'] == 1 {
			differ++
		}
		if times[d-'0'] > 4 {
			return fmt.Errorf("%w: a digit stands more than four times", ErrTable)
		}
	}
	if differ < 8 {
		return fmt.Errorf("%w: fewer than eight different digits", ErrTable)
	}
	return nil
}

// validation returns the block of card digits that is encrypted.
func (p *IBM3624) validation(pan string) (b [8]byte, err error) {
	pad := p.Pad - '0'
	if p.Pad >= 'A' && p.Pad <= 'F' {
		pad = p.Pad - 'A' + 10
	} else if pad > 9 {
		return b, fmt.Errorf("%w: the pad character is not 0 to 9 or A to F", ErrTable)
	}
	if p.Length < 1 || p.Length > 16 || p.Start < 0 || p.Start > len(pan)-p.Length ||
		!isDigits(pan, 1, 19) {
		return b, fmt.Errorf("%w: no %d digits from %d on", ErrPAN, p.Length, p.Start)
	}
	pack(b[:], pan[p.Start:p.Start+p.Length])
	for i := p.Length; i < 16; i++ {
		b[i/2] |= pad << (4 * (1 - i%2))
	}
	return b, nil
}

// Natural appends the natural PIN of n digits, 4 to 12, to dst. pvk is a DES key of 8 bytes
// or a 3DES key of 16 or 24.
func (p *IBM3624) Natural(dst, pvk []byte, pan string, n int) ([]byte, error) {
	if n < PINMin || n > PINMax {
		return dst, ErrLength
	}
	if err := p.check(); err != nil {
		return dst, err
	}
	b, err := p.validation(pan)
	if err != nil {
		return dst, err
	}
	alg := block.TDES
	if len(pvk) == 8 {
		alg = block.DES
	}
	c, err := block.New(alg, pvk)
	if err != nil {
		return dst, err
	}
	c.Encrypt(b[:], b[:])
	all := nibbles(&b)
	clear(b[:])
	for _, v := range all[:n] {
		dst = append(dst, p.Table[v])
	}
	return dst, nil
}

// PIN appends the customer's PIN to dst: the natural PIN with the offset, which has as many
// digits, added digit by digit without carry.
func (p *IBM3624) PIN(dst, pvk []byte, pan, offset string) ([]byte, error) {
	if !isDigits(offset, PINMin, PINMax) {
		return dst, ErrOffset
	}
	dst, err := p.Natural(dst, pvk, pan, len(offset))
	if err != nil {
		return dst, err
	}
	pin := dst[len(dst)-len(offset):]
	for i := range pin {
		pin[i] = '0' + (pin[i]-'0'+offset[i]-'0')%10
	}
	return dst, nil
}

// Offset appends the offset of a customer's PIN to dst: the PIN less the natural PIN, digit
// by digit without borrow.
func (p *IBM3624) Offset(dst, pvk []byte, pan string, pin []byte) ([]byte, error) {
	if err := checkPIN(pin); err != nil {
		return dst, err
	}
	dst, err := p.Natural(dst, pvk, pan, len(pin))
	if err != nil {
		return dst, err
	}
	offset := dst[len(dst)-len(pin):]
	for i := range offset {
		offset[i] = '0' + (pin[i]+10-offset[i])%10
	}
	return dst, nil
}

// Verify reports, in constant time, whether pin is the customer's PIN of the offset. An
// error says that there is none for these values.
func (p *IBM3624) Verify(pvk []byte, pan, offset string, pin []byte) (bool, error) {
	if err := checkPIN(pin); err != nil {
		return false, err
	}
	var room [PINMax]byte
	defer clear(room[:])
	want, err := p.PIN(room[:0], pvk, pan, offset)
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(want, pin) == 1, nil
}
