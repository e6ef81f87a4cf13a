// Package purse computes and verifies what an electronic purse and its host or terminal
// prove to each other: PBOC 2.0 EP and ED, JT/T 978, CJ/T 166. It diversifies master keys
// to keys of cards, makes session keys, MAC1, MAC2, MAC3 and TAC of load, purchase, compound
// purchase, unload and overdraft update with 3DES and with SM4, reads and writes the card's
// commands and records, and verifies TACs of offline records by the hundred thousand.
//
// What differs between cities is data: a Scheme has the factors of diversification, the
// cipher, the truncation, the handling of the TAC key and the data of each MAC.
//
// Units: amounts and balances are in fen, counters as on the card, dates and times in BCD as
// on the wire. The package keeps no key but those in the values that the caller holds and,
// in a Verifier, a bounded table of card keys in memory. It reads and writes nothing and has
// no clock. Everything is safe for concurrent use unless it says otherwise.
//
// It does not decide what a record is worth: duplicates, gaps, balances, white and black
// lists are the clearing's. A TAC proves the fields that it covers and no others; that of a
// purchase covers neither the balance nor the card's counter. The package refuses to print
// keys and card numbers: no error or formatted value has a byte of them.
package purse

import (
	"errors"
	"fmt"
	"log/slog"
)

// What can be wrong with what the package is given.
var (
	ErrScheme  = errors.New("purse scheme is not usable")
	ErrKey     = errors.New("purse key has a wrong length")
	ErrCommand = errors.New("not a purse command")
	ErrReply   = errors.New("not the reply of a purse")
	ErrRecord  = errors.New("not a record of a purse")
	ErrEmpty   = errors.New("record of the card is empty")
)

// Type is the transaction type (TTI) as on the wire.
type Type uint8

// The transaction types.
const (
	LoadED     Type = 0x01
	LoadEP     Type = 0x02
	UnloadED   Type = 0x03
	CashED     Type = 0x04
	PurchaseED Type = 0x05
	PurchaseEP Type = 0x06
	Overdraft  Type = 0x07 // update of the limit
	Credit     Type = 0x08 // purchase in the manner of a credit card
	Compound   Type = 0x09 // compound purchase: metro and bus
)

// TACMessage returns the message whose template the TAC of a transaction type follows, and
// whether the card makes a TAC for it at all (an unload has its MAC3 instead).
func (t Type) TACMessage() (Message, bool) {
	switch t {
	case LoadED, LoadEP:
		return LoadTAC, true
	case CashED, PurchaseED, PurchaseEP, Credit, Compound:
		return PurchaseTAC, true
	case Overdraft:
		return OverdraftTAC, true
	default:
		return 0, false
	}
}

// Serial is the application serial number of a card, 20 BCD digits, as in file 15h. It
// holds the card number, and so formats as its last four digits only.
type Serial [10]byte

// Mask returns the serial with all but the last four digits hidden.
func (s Serial) Mask() string { return fmt.Sprintf("****%02x%02x", s[8], s[9]) }

// String returns Mask.
func (s Serial) String() string { return s.Mask() }

// GoString returns Mask.
func (s Serial) GoString() string { return s.Mask() }

// Format writes Mask for every verb.
func (s Serial) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.Mask())) }

// MarshalText returns Mask.
func (s Serial) MarshalText() ([]byte, error) { return []byte(s.Mask()), nil }

// LogValue returns Mask.
func (s Serial) LogValue() slog.Value { return slog.StringValue(s.Mask()) }

// Card has the data of a card that factors of diversification are made of.
type Card struct {
	Issuer [8]byte // issuer id
	Region [4]byte // region, or city and industry code
	Serial Serial
}

// Values are the data of a transaction that MACs are made of. A template uses those that it
// names.
type Values struct {
	Type       Type
	Amount     uint32 // fen
	Balance    uint32 // fen, before the transaction
	NewBalance uint32 // fen, after it
	// Counter is the card's online or offline counter as INITIALIZE returned it, before it
	// grows.
	Counter  uint16
	TermSeq  uint32 // the terminal's transaction sequence number
	Terminal [6]byte
	Date     [4]byte // BCD YYYYMMDD
	Time     [3]byte // BCD HHMMSS
	OldLimit uint32  // overdraft limit, fen, 3 bytes
	NewLimit uint32  // overdraft limit, fen, 3 bytes
	AuthCode [9]byte // authentication code of a CJ/T 166 card
}

// isBCD reports whether all nibbles are decimal digits.
func isBCD(b []byte) bool {
	for _, v := range b {
		if v > 0x99 || v&15 > 9 {
			return false
		}
	}
	return true
}

func fromBCD(b byte) int { return int(b>>4)*10 + int(b&15) }

// isDate reports whether b is a day of the calendar, isTime whether it is a time of day.
func isDate(b [4]byte) bool {
	if !isBCD(b[:]) {
		return false
	}
	year, month, day := fromBCD(b[0])*100+fromBCD(b[1]), fromBCD(b[2]), fromBCD(b[3])
	if year == 0 || month < 1 || month > 12 || day < 1 {
		return false
	}
	days := 31
	switch month {
	case 4, 6, 9, 11:
		days = 30
	case 2:
		days = 28
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			days = 29
		}
	}
	return day <= days
}

func isTime(b [3]byte) bool {
	return isBCD(b[:]) && b[0] < 0x24 && b[1] < 0x60 && b[2] < 0x60
}
