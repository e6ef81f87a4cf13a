package link

import "fmt"

// Key is what ties an answer to its request. The link is not part of it: each Link matches
// for itself, over all of its connections. The zero value of a field (but Class and STAN)
// says that the message does not carry it.
type Key struct {
	// Class is the second digit of the message type: 1 authorization, 2 financial,
	// 3 file, 4 reversal, 5 reconciliation, 6 administration, 8 network.
	Class uint8
	// STAN is the trace number, 1 to 999999.
	STAN uint32
	// RRN is the retrieval reference number, field 37.
	RRN [12]byte
	// Terminal is the terminal, field 41.
	Terminal [8]byte
	// Time is the transmission date and time as MMDDhhmmss, field 7.
	Time [10]byte
	// Rest is a digest of what else an answer must repeat, such as acquirer and amount.
	Rest uint64
	// AnyRest, in an answer, says that it need not repeat Rest: it approves another amount,
	// which its caller judges.
	AnyRest bool
	// Said are digests of what an answer need not repeat, and repeats as it was when it does:
	// card number, processing code, currency. Zero is one that the message does not carry.
	Said [3]uint64
}

// Accepts reports whether an answer with the given key answers the request with key k:
// class and trace number are equal, and so is every other field that the request carries, of
// Said what both carry. A field that only the answer carries (a host gave the reference number)
// is not compared.
func (k Key) Accepts(answer Key) bool {
	return k.Class == answer.Class && k.STAN == answer.STAN &&
		(k.RRN == [12]byte{} || k.RRN == answer.RRN) &&
		(k.Terminal == [8]byte{} || k.Terminal == answer.Terminal) &&
		(k.Time == [10]byte{} || k.Time == answer.Time) &&
		(k.Rest == 0 || answer.AnyRest || k.Rest == answer.Rest) && k.agrees(answer)
}

// agrees reports whether what both keys have in Said is the same.
func (k Key) agrees(o Key) bool {
	for i, v := range k.Said {
		if v != 0 && o.Said[i] != 0 && v != o.Said[i] {
			return false
		}
	}
	return true
}

// overlaps reports whether some answer could fit both keys: one without Said fits whatever
// they have there.
func (k Key) overlaps(o Key) bool {
	return k.Class == o.Class && k.STAN == o.STAN &&
		(k.RRN == o.RRN || k.RRN == [12]byte{} || o.RRN == [12]byte{}) &&
		(k.Terminal == o.Terminal || k.Terminal == [8]byte{} || o.Terminal == [8]byte{}) &&
		(k.Time == o.Time || k.Time == [10]byte{} || o.Time == [10]byte{}) &&
		(k.Rest == o.Rest || k.Rest == 0 || o.Rest == 0)
}

// String names the message by class and trace number.
func (k Key) String() string { return fmt.Sprintf("x%dxx STAN %06d", k.Class, k.STAN) }

// Sent says what became of a request.
type Sent uint8

// The outcomes of an exchange. The zero value is the careful one.
const (
	// Unknown: the request was handed to the network and not answered. The other side may
	// have executed it.
	Unknown Sent = iota
	// NotSent: no byte of the request left this process and none will.
	NotSent
	// Answered: the answer was returned.
	Answered
)

// String returns the outcome's name.
func (s Sent) String() string {
	switch s {
	case NotSent:
		return "not sent"
	case Answered:
		return "answered"
	}
	return "unknown"
}
