package pan

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
)

// Coding is how a card file holds the number. Numbers are configuration, not stored.
type Coding uint8

// The codings.
const (
	BCD          Coding = iota // two digits a byte, leading nibbles first; trailing F nibbles are no digits
	LittleEndian               // a binary integer, least byte first
	BigEndian                  // a binary integer, most significant byte first
	ASCII                      // digits as characters
)

// Extractor says where a card's file keeps the number: local schemes differ, so it is a
// value that comes from configuration. The zero Extractor takes nothing.
type Extractor struct {
	Family Family
	Offset int // first byte in the file
	Length int // bytes
	Coding Coding
	// Digits is how many digits the number has, counted from the right; 0 takes all that
	// the bytes hold, without the leading zeros of a binary integer.
	Digits int
}

// The extractors of the national schemes: the application serial stands at byte 10 of file
// 15h, ten bytes long (DOMAIN.md 4.1, 4.2).
var (
	// TUnionFile15 takes the last 19 of the 20 digits.
	TUnionFile15 = Extractor{Family: TUnion, Offset: 10, Length: 10, Digits: 19}
	// CJT166File15 takes the last 16 digits: city, industry, serial.
	CJT166File15 = Extractor{Family: CJT166, Offset: 10, Length: 10, Digits: 16}
)

// ErrFile reports a card file that holds no number where the extractor looks. It shows no
// byte of the file.
var ErrFile = errors.New("card file holds no number")

// Extract takes the number out of file and checks it against the family.
func (e Extractor) Extract(file []byte) (Number, error) {
	if e.Offset < 0 || e.Length <= 0 || e.Length > 2*digitsMax || e.Offset > len(file)-e.Length {
		return Number{}, fmt.Errorf("%w: want %d bytes at %d, the file has %d", ErrFile, e.Length,
			e.Offset, len(file))
	}
	var b [4 * digitsMax]byte
	defer clear(b[:])
	digits, err := e.digits(b[:0], file[e.Offset:e.Offset+e.Length])
	if err != nil {
		return Number{}, err
	}
	if e.Digits > 0 {
		if len(digits) < e.Digits {
			return Number{}, fmt.Errorf("%w: %d digits, want %d", ErrFile, len(digits), e.Digits)
		}
		digits = digits[len(digits)-e.Digits:]
	}
	n, err := Parse(string(digits))
	if err != nil {
		return Number{}, fmt.Errorf("%w: %w", ErrFile, err)
	}
	return n, e.Family.Check(n)
}

func (e Extractor) digits(dst, field []byte) ([]byte, error) {
	switch e.Coding {
	case BCD:
		return appendBCD(dst, field)
	case ASCII:
		return append(dst, bytes.TrimRight(field, " \x00")...), nil
	case LittleEndian, BigEndian:
		return e.integer(dst, field)
	default:
		return nil, fmt.Errorf("%w: unknown coding %d", ErrFile, e.Coding)
	}
}

// integer writes a binary integer of up to eight bytes, with leading zeros up to Digits.
func (e Extractor) integer(dst, field []byte) ([]byte, error) {
	var wide [8]byte
	if len(field) > len(wide) {
		return nil, fmt.Errorf("%w: an integer of %d bytes", ErrFile, len(field))
	}
	var v uint64
	if e.Coding == LittleEndian {
		copy(wide[:], field)
		v = binary.LittleEndian.Uint64(wide[:])
	} else {
		copy(wide[len(wide)-len(field):], field)
		v = binary.BigEndian.Uint64(wide[:])
	}
	var b [digitsMax]byte
	text := strconv.AppendUint(b[:0], v, 10)
	for range min(e.Digits, digitsMax) - len(text) {
		dst = append(dst, '0')
	}
	return append(dst, text...), nil
}

// appendBCD appends the digits of field. F nibbles may only stand at the end.
func appendBCD(dst, field []byte) ([]byte, error) {
	ended := false
	for i, c := range field {
		for _, nibble := range [2]byte{c >> 4, c & 15} {
			switch {
			case nibble == 15:
				ended = true
			case nibble > 9 || ended:
				return nil, fmt.Errorf("%w: byte %d of it is no BCD", ErrFile, i)
			default:
				dst = append(dst, '0'+nibble)
			}
		}
	}
	return dst, nil
}

// Track2 is the second track of a bank card (ISO/IEC 7813).
type Track2 struct {
	Number  Number
	Expiry  [4]byte // YYMM
	Service [3]byte
}

// ErrTrack2 reports data that is no second track. It shows no byte of it.
var ErrTrack2 = errors.New("track 2 cannot be read")

// track2Max is the length of a second track without its sentinels.
const track2Max = 37

// ParseTrack2 reads number, separator ('=' or 'D'), expiry YYMM and service code. What
// follows, discretionary data with the card's own secrets, is looked at and not kept.
func ParseTrack2(track []byte) (Track2, error) {
	var t Track2
	sep := bytes.IndexAny(track, "=D")
	if len(track) > track2Max || sep < 0 || len(track)-sep-1 < len(t.Expiry)+len(t.Service) {
		return t, fmt.Errorf("%w: %d characters, separator at %d", ErrTrack2, len(track), sep)
	}
	rest := track[sep+1:]
	for i, c := range rest {
		if c < '0' || c > '9' {
			return t, fmt.Errorf("%w: character %d is not a digit", ErrTrack2, sep+1+i)
		}
	}
	copy(t.Service[:], rest[copy(t.Expiry[:], rest):])
	if m := string(t.Expiry[2:]); m < "01" || m > "12" {
		return Track2{}, fmt.Errorf("%w: expiry has no such month", ErrTrack2)
	}
	n, err := Parse(string(track[:sep]))
	if err != nil {
		return Track2{}, fmt.Errorf("%w: %w", ErrTrack2, err)
	}
	t.Number = n
	return t, nil
}
