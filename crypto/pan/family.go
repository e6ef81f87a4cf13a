package pan

import (
	"errors"
	"fmt"
)

// Family is a kind of card number. Numbers go to disk: append only.
type Family uint8

// The families.
const (
	FamilyUnknown Family = iota
	TUnion               // JT/T 978, 19 digits beginning 3104 or 3105, no check digit
	CJT166               // CJ/T 166, 16 digits: city 4, industry 4, serial 8; no check digit
	Bank                 // ISO/IEC 7812, 16 to 19 digits with a Luhn check digit
	ECard                // a number that the scheme gives to a phone or an account
	familyEnd
)

// The first digits of T-Union numbers (DOMAIN.md 4.1).
const (
	tUnionOld = "3104"
	tUnionNew = "3105"
)

// String returns the family's name as in configuration: "t_union", "cjt_166", "bank",
// "e_card".
func (f Family) String() string {
	if f >= familyEnd {
		return "unknown"
	}
	return [familyEnd]string{"unknown", "t_union", "cjt_166", "bank", "e_card"}[f]
}

// ParseFamily reads what String prints; "unknown" is none.
func ParseFamily(s string) (Family, error) {
	for f := TUnion; f < familyEnd; f++ {
		if f.String() == s {
			return f, nil
		}
	}
	return FamilyUnknown, fmt.Errorf("unknown card family %.16q, want t_union, cjt_166, bank or e_card",
		s)
}

// What Family.Check finds wrong. None of these errors shows a digit.
var (
	ErrLength     = errors.New("card number has a length that its family does not have")
	ErrPrefix     = errors.New("card number does not begin as its family does")
	ErrCheckDigit = errors.New("card number has a wrong check digit")
)

// Check reports whether n is a number of family f: its length, its first digits, and for
// Bank its check digit. FamilyUnknown takes every number.
func (f Family) Check(n Number) error {
	var b [digitsMax]byte
	digits := b[:n.open(&b)]
	defer clear(b[:])
	least, most := f.lengths()
	switch {
	case len(digits) < least || len(digits) > most:
		return fmt.Errorf("%w: %d digits, %v has %d to %d", ErrLength, len(digits), f, least, most)
	case f == TUnion && string(digits[:4]) != tUnionOld && string(digits[:4]) != tUnionNew:
		return fmt.Errorf("%w: want %s or %s", ErrPrefix, tUnionOld, tUnionNew)
	case f == Bank && !luhn(digits):
		return ErrCheckDigit
	}
	return nil
}

func (f Family) lengths() (least, most int) {
	switch f {
	case TUnion:
		return 19, 19
	case CJT166:
		return 16, 16
	case Bank:
		return 16, 19
	case ECard:
		return 16, digitsMax
	default:
		return digitsMin, digitsMax
	}
}

// Guess returns the family that n looks like by its form alone: TUnion by its first
// digits, Bank by length and check digit under 62, CJT166 by its length. One transit number
// in ten has the check digit of a bank number, so where issuers are known ask Issuers.
func Guess(n Number) Family {
	var b [digitsMax]byte
	digits := b[:n.open(&b)]
	defer clear(b[:])
	switch {
	case TUnion.Check(n) == nil:
		return TUnion
	case Bank.Check(n) == nil && string(digits[:2]) == "62":
		return Bank
	case CJT166.Check(n) == nil:
		return CJT166
	default:
		return FamilyUnknown
	}
}

// Luhn reports whether the last digit is the check digit of the others (ISO/IEC 7812-1
// annex B).
func (n Number) Luhn() bool {
	var b [digitsMax]byte
	defer clear(b[:])
	return luhn(b[:n.open(&b)])
}

func luhn(digits []byte) bool {
	sum := 0
	for i := range digits {
		d := int(digits[len(digits)-1-i] - '0')
		if i%2 == 1 {
			d *= 2
			d -= d / 10 * 9
		}
		sum += d
	}
	return len(digits) > 1 && sum%10 == 0
}
