package txn

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/tapswitch/tapswitch/crypto/pan"
)

// Place says where and for whom a request was made. Its strings come from the
// terminal registry and are shared between requests; nobody changes them.
type Place struct {
	Operator string // operator or merchant group that is paid
	Line     string // metro line or bus route
	Station  string // metro station or bus stop
	Merchant string // merchant id, ISO 8583 field 42
	MCC      string // merchant category code, ISO 18245
	Acquirer string // acquiring institution, ISO 8583 field 32
	// Payee is the account that is credited with what the card pays here; the
	// registry makes it once, from operator or merchant.
	Payee Account
	// Funding is the account that a load debits: money received by the acquirer.
	Funding Account
}

// Request is one thing asked of the switch about one card. It is a value; the
// edge fills it completely, the engine does not change it.
type Request struct {
	ID       RequestID
	Kind     Kind
	Card     pan.Token
	Last4    pan.Last4
	Place    Place
	Currency Currency

	// Amount is what a purchase, load or refund moves. For a tap with FareGiven
	// it is what the terminal charged.
	Amount Minor
	// FullFare is the fare before any discount, with FareGiven.
	FullFare Minor
	// FareGiven says that the terminal computed the fare and the switch books it.
	FareGiven bool
	// Ride is what the terminal of a tap tells of the ride besides.
	Ride
	// Pass names the pass that a PassSale sells; its Amount is the price that the holder was
	// told, or 0.
	Pass string

	// Original names the request that a reversal or refund points to.
	Original RequestID

	// OfflineCounter is the card's offline transaction counter, with Offline set:
	// the card was debited by the terminal, and the record is late by nature.
	OfflineCounter uint32
	Offline        bool

	// TAC is what became of an off-line record's TAC; TACNone is that nobody looked.
	TAC TACVerdict
	// Code is the QR code that stands for the card; zero for a card. An off-line tap with a
	// code has no counter.
	Code Code

	// ListEpoch is the blacklist epoch that the terminal held.
	ListEpoch uint64

	STAN uint32 // ISO 8583 field 11; 0 when none
	RRN  string // ISO 8583 field 37; empty when none

	ServiceAt  Millis // when the terminal served the card
	ReceivedAt Millis // when the switch read the request
	Deadline   Millis // after it nothing may be executed; 0 for none

	// Enrol.
	Enrolment Enrolment
	// Freeze and release; what stands behind an amendment, too.
	Listing Listing
	// App is the application that Verify uses.
	App App
	// Liability is who bears what Liable and Compensation book.
	Liability Liability
	// Change is set for Amend, Move for TransferOut and TransferIn.
	Change *CardChange
	Move   *Move
	// Forgiven is set for a Correction that the office makes by an order, nil for a holder's.
	Forgiven *Forgiven
	// Untimed says that the sender gave no service time: ServiceAt is that of receipt, and
	// differs between the copies of a request.
	Untimed bool
	// Gate is the terminal that served the card where the id names another device: off-line records
	// are named by their security module. Zero: the terminal of the id.
	Gate TerminalID
	// RepeatMax is how old what a request repeats, or reverses by its id, may be; zero without
	// limit. What is older is refused with IDTooOld: a sender whose numbers began again uses ids
	// that it used before, and means another request.
	RepeatMax Millis
	// Bank is set for the kinds of a bank card, nil for all others.
	Bank *BankWork
}

// Code is one use of a QR code, as far as the card decides about it. Two codes of a card that
// were generated in the same second are the same use.
type Code struct {
	GeneratedAt Millis // a whole second
	Limit       Minor  // the most that one trip may cost
	// Refused is why whoever read the code would not take it. The request is answered with it,
	// unless it is a copy of one that was decided before.
	Refused Reason
}

// IsZero reports whether there is no code.
func (c Code) IsZero() bool { return c.GeneratedAt == 0 && c.Limit == 0 }

// Enrolment is what opens a card.
type Enrolment struct {
	Apps      App
	Rider     RiderCategory
	ExpiresOn BusinessDate // last day of validity; 0 for none
	Issuer    string
	// Account is the document that the card is enrolled for; zero for a card by itself.
	Account pan.Token
}

func (e *Enrolment) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(e.Apps))
	dst = append(dst, byte(e.Rider))
	dst = binary.BigEndian.AppendUint32(dst, uint32(e.ExpiresOn))
	dst = append(dst, e.Account[:]...)
	return append(dst, e.Issuer...)
}

// Listing is what freezes or releases a card.
type Listing struct {
	// Mark is what a freeze adds, and what a release leaves: the zero Mark takes the card
	// off the list.
	Mark Mark
	// From, when set, is the mark that the release was decided on; another one refuses it.
	From  Mark
	Actor string // who asked, as the operator's name; never a person's data
	Note  string // case or form number
}

// RiderCategory is the concession class of a holder (HD3). Numbers go to disk:
// append only.
type RiderCategory uint8

// The rider categories.
const (
	RiderOrdinary RiderCategory = iota
	RiderStudent
	RiderSenior
	RiderDisabled
	RiderVeteran
	riderEnd
)

var riderNames = [riderEnd]string{"ordinary", "student", "senior", "disabled", "veteran"}

// String returns the category's stable name.
func (r RiderCategory) String() string {
	if r >= riderEnd {
		return "unknown"
	}
	return riderNames[r]
}

// ParseRiderCategory reads a stable name and reports whether it is one.
func ParseRiderCategory(s string) (RiderCategory, bool) {
	for r, name := range riderNames {
		if name == s {
			return RiderCategory(r), true
		}
	}
	return RiderOrdinary, false
}

// Fingerprint is a digest of what a request asks, so that an id used again for
// something else is seen.
type Fingerprint [8]byte

// Fingerprint digests everything of r that decides or is booked. Receipt time,
// deadline and list epoch differ between the copies of one request and are left out.
func (r *Request) Fingerprint() Fingerprint {
	var buf [320]byte
	b := buf[:0]
	b = r.ID.AppendBinary(b)
	b = append(b, byte(r.Kind), boolByte(r.FareGiven), boolByte(r.Offline))
	b = append(b, r.Card[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(r.Currency))
	b = binary.BigEndian.AppendUint64(b, uint64(r.Amount))
	b = binary.BigEndian.AppendUint64(b, uint64(r.FullFare))
	b = r.Original.AppendBinary(b)
	b = binary.BigEndian.AppendUint32(b, r.OfflineCounter)
	b = binary.BigEndian.AppendUint64(b, uint64(r.servedAt()))
	b = binary.BigEndian.AppendUint32(b, r.STAN)
	for _, s := range [...]string{
		r.Place.Operator, r.Place.Line, r.Place.Station, r.Place.Merchant, r.RRN,
	} {
		b = append(b, s...)
		b = append(b, 0)
	}
	switch r.Kind {
	case Enrol:
		b = r.Enrolment.append(b)
	case Freeze, Release:
		b = binary.BigEndian.AppendUint32(b, r.Listing.Mark.Uint32())
	case Amend:
		b = r.Change.append(b)
	case TransferOut, TransferIn:
		b = r.Move.append(b)
	case Verify:
		b = binary.BigEndian.AppendUint16(b, uint16(r.App))
	case Liable, Compensation:
		b = append(append(b, byte(r.Liability)), r.Place.Payee...)
	case Fee, Payout:
		b = append(append(append(b, r.Place.Payee...), 0), r.Place.Funding...)
	}
	if r.Business || r.Metres != 0 || r.Pass != "" {
		b = binary.BigEndian.AppendUint64(append(b, boolByte(r.Business)), uint64(r.Metres))
		b = append(b, r.Pass...)
	}
	if r.Mode != ModeOfKind || r.Degraded != 0 {
		b = append(b, 'M', byte(r.Mode), r.Degraded)
	}
	if !r.Code.IsZero() {
		b = binary.BigEndian.AppendUint64(append(b, 'Q', 'R'), uint64(r.Code.GeneratedAt))
		b = binary.BigEndian.AppendUint64(b, uint64(r.Code.Limit))
	}
	if r.Bank != nil {
		b = append(append(append(b, r.Bank.Type...), 0), r.Bank.LocalAt...)
	}
	sum := sha256.Sum256(b)
	return Fingerprint(sum[:8])
}

// servedAt is the service time as far as the sender gave it: terminals of banks often send
// none, and then it is the time of receipt, which differs between the copies of a request.
func (r *Request) servedAt() Millis {
	if r.Bank != nil || r.Untimed {
		return 0
	}
	return r.ServiceAt
}

func boolByte(v bool) byte {
	if v {
		return 1
	}
	return 0
}

// Decision is the answer to a request. The same request gets the same decision
// for as long as the card remembers it.
type Decision struct {
	Outcome      Outcome
	Reason       Reason
	FullFare     Minor // fare before discounts; 0 where no fare is meant
	Charged      Minor // what the card paid (negative: what it was given)
	BalanceAfter Minor
	AuthCode     AuthCode
	// Replay says that this is the stored answer to an earlier copy.
	Replay bool
	// Stale says that a balance was told without asking the store.
	Stale bool
	// LeaseUntil is until when the purse may be served off line, told with what the switch
	// approved on line: 0 where there is nothing to tell, LeaseNone where it may not be.
	LeaseUntil Millis
	// LeaseEnded says that an off-line record was booked whose purse was served after the end of
	// its lease: the gate bears it.
	LeaseEnded bool
}

// LeaseNone is the end of a lease that a purse did not get although its scheme has one.
const LeaseNone Millis = -1

// AuthCode is the authorization code, ISO 8583 field 38: six characters of
// 0-9 A-Z, zero on a decline.
type AuthCode [6]byte

// String returns the code, or "" when there is none.
func (a AuthCode) String() string {
	if a[0] == 0 {
		return ""
	}
	return string(a[:])
}

// authAlphabet leaves out I and O, which people misread.
const authAlphabet = "0123456789ABCDEFGHJKLMNPQRSTUVWXYZ"

// AuthCodeOf derives the code from the request's fingerprint, so that a replay
// needs no stored copy to show the same code.
func AuthCodeOf(f Fingerprint) AuthCode {
	n := binary.BigEndian.Uint64(f[:])
	var a AuthCode
	for i := range a {
		a[i] = authAlphabet[n%uint64(len(authAlphabet))]
		n /= uint64(len(authAlphabet))
	}
	return a
}
