package api

import (
	"strings"
	"time"

	"github.com/tapswitch/tapswitch/switch/account"
)

// The number of the paper by which a holder is enrolled. It becomes a keyed token at once, so a
// slip of the pen would make another person of him for ever: what says that it is a resident
// identity number, or has the form of one, must be one.

const (
	residentLen = 18
	paperMin    = 1
	paperMax    = 64
)

// paperWant says what the number of a holder's paper should be, "" when it is. An error never
// holds the number. Without a kind a number that is all digits, or digits and an X, and about as
// long as a resident identity number is taken for one.
func paperWant(kind account.IDKind, number string, now time.Time) string {
	resident := kind == account.ResidentID || kind == account.TemporaryResidentID
	if kind == account.IDNone {
		resident = looksResident(number)
	}
	switch {
	case resident && !residentNumber(number, now):
		return "a resident identity number (GB 11643): 17 digits, among them the day of birth, and the check " +
			"digit; for another paper holder_kind: passport, residence_permit, travel_permit, military_id, …"
	case len(number) < paperMin || len(number) > paperMax || strings.TrimSpace(number) != number:
		return "the number of the paper, 1 to 64 bytes without blanks around it"
	default:
		return ""
	}
}

// looksResident reports whether a number is as a resident identity number is written, give or
// take a digit.
func looksResident(number string) bool {
	body := strings.TrimRight(number, "Xx")
	return len(number) >= residentLen-1 && len(number) <= residentLen+1 && len(number)-len(body) <= 1 &&
		strings.Trim(body, "0123456789") == ""
}

// residentNumber reports whether a number is a citizen identity number by GB 11643-1999: six
// digits of the place, the day of birth, three of the sequence and a check digit by ISO 7064
// MOD 11-2.
func residentNumber(number string, now time.Time) bool {
	if len(number) != residentLen || strings.Trim(number[:residentLen-1], "0123456789") != "" || number[0] == '0' {
		return false
	}
	born, err := time.Parse("20060102", number[6:14])
	if err != nil || born.Year() < 1880 || born.After(now.Add(24*time.Hour)) {
		return false
	}
	sum := 0
	for _, c := range number[:residentLen-1] {
		sum = (sum + int(c-'0')) * 2 % 11
	}
	return "10X98765432"[sum%11] == strings.ToUpper(number)[residentLen-1]
}
