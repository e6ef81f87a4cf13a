package message

import "fmt"

// MTI is a message type: version, class, function and origin as four hex digits, 0x0200 for
// a financial request (ISO 8583:1987 4.1; DOMAIN.md 2.7).
type MTI uint16

// The message types of the switch. A repeat of a request or advice has origin 1.
const (
	AuthorizationRequest  MTI = 0x0100
	FinancialRequest      MTI = 0x0200
	FinancialAdvice       MTI = 0x0220
	FileAdvice            MTI = 0x0320
	ReversalRequest       MTI = 0x0400
	ReversalAdvice        MTI = 0x0420
	SettlementRequest     MTI = 0x0500
	AdministrativeAdvice  MTI = 0x0620
	NetworkRequest        MTI = 0x0800
	NetworkAdvice         MTI = 0x0820
	AuthorizationResponse MTI = 0x0110
	FinancialResponse     MTI = 0x0210
	ReversalResponse      MTI = 0x0410
	NetworkResponse       MTI = 0x0810
)

// Class is the second digit of an MTI.
type Class uint8

// The classes of ISO 8583:1987.
const (
	Authorization  Class = 1
	Financial      Class = 2
	File           Class = 3
	Reversal       Class = 4
	Reconciliation Class = 5
	Administrative Class = 6
	Fee            Class = 7
	Network        Class = 8
)

// Function is the third digit of an MTI.
type Function uint8

// The functions of ISO 8583:1987.
const (
	Request        Function = 0
	Response       Function = 1
	Advice         Function = 2
	AdviceResponse Function = 3
	Notification   Function = 4
)

// ParseMTI reads four decimal digits.
func ParseMTI(s string) (MTI, error) {
	if len(s) != mtiDigits {
		return 0, fmt.Errorf("%w: message type has %d characters, not 4", ErrFormat, len(s))
	}
	m, ok := mtiOf([]byte(s))
	if !ok {
		return 0, fmt.Errorf("%w: message type is not four digits with a class and a function",
			ErrFormat)
	}
	return m, nil
}

const mtiDigits = 4

// mtiOf takes an MTI from four digits.
func mtiOf(digits []byte) (m MTI, ok bool) {
	for _, d := range digits {
		if d < '0' || d > '9' {
			return 0, false
		}
		m = m<<4 | MTI(d-'0')
	}
	return m, m.valid()
}

// valid reports whether every nibble is a digit and there is a class. Class 9 is nobody's in
// the standard, but UnionPay terminals send 0920.
func (m MTI) valid() bool {
	for rest := m; rest != 0; rest >>= 4 {
		if rest&0xF > 9 {
			return false
		}
	}
	return m.Class() != 0 && m.Function() < 9
}

// digits returns the four characters.
func (m MTI) digits() [mtiDigits]byte {
	return [mtiDigits]byte{'0' + byte(m>>12&15), '0' + byte(m>>8&15), '0' + byte(m>>4&15),
		'0' + byte(m&15)}
}

// String returns the four digits.
func (m MTI) String() string {
	d := m.digits()
	return string(d[:])
}

// Class returns the class of messages.
func (m MTI) Class() Class { return Class(m >> 8 & 15) }

// Function returns whether the message asks, tells or answers.
func (m MTI) Function() Function { return Function(m >> 4 & 15) }

// IsRepeat reports whether the sender has sent the message before.
func (m MTI) IsRepeat() bool { return m&1 == 1 }

// Expects reports whether the message wants an answer.
func (m MTI) Expects() bool { return m.Function() == Request || m.Function() == Advice }

// IsResponse reports whether the message is an answer.
func (m MTI) IsResponse() bool {
	return m.Function() == Response || m.Function() == AdviceResponse
}

// Repeat returns the type of the same message sent again: 0200 → 0201, 0220 → 0221.
func (m MTI) Repeat() MTI { return m | 1 }

// First returns the type without the repeat: 0221 → 0220.
func (m MTI) First() MTI { return m &^ 1 }

// Answer returns the type of the answer: 0200 and 0201 → 0210, 0421 → 0430. It is false for
// a message that wants none.
func (m MTI) Answer() (MTI, bool) {
	if !m.Expects() {
		return 0, false
	}
	return m.First() + 0x10, true
}
