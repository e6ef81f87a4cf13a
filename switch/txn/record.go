package txn

import (
	"fmt"

	"github.com/tapswitch/tapswitch/crypto/pan"
)

// RecordVersion is the version of the settled record that this code writes. A
// reader refuses a greater one instead of guessing (ErrRecordVersion). A field that is only
// added keeps the version: records from before have none, and readers from before pass over it.
const RecordVersion = 1

// TACVerdict is what became of the verification of an offline record's TAC.
type TACVerdict uint8

// The verdicts.
const (
	TACNone TACVerdict = iota // no TAC was sent: an on-line record
	TACValid
	TACWrong
	TACKeyUnknown
	TACUnchecked
	tacEnd
)

// String returns the verdict's stable name.
func (v TACVerdict) String() string {
	if v >= tacEnd {
		return "unknown"
	}
	return [tacEnd]string{"none", "valid", "wrong", "key_unknown", "unchecked"}[v]
}

// Liability is the party that bears a transaction.
type Liability uint8

// The parties.
const (
	LiabilityNone Liability = iota
	LiabilityHolder
	LiabilityOperator
	LiabilityAcquirer
	LiabilityIssuer
	LiabilityAgency
	// LiabilityOpen: a frozen card was served off line; who bears it is to be judged.
	LiabilityOpen
	liabilityEnd
)

// String returns the party's stable name.
func (l Liability) String() string {
	if l >= liabilityEnd {
		return "unknown"
	}
	return [liabilityEnd]string{"none", "holder", "operator", "acquirer", "issuer", "agency",
		"open"}[l]
}

// ResponseCode is a bank's response code, ISO 8583 field 39, as it sent it; zero for none.
type ResponseCode [2]byte

// String returns the code, empty for none. What is not printable becomes '?'.
func (c ResponseCode) String() string { return printable(c[:]) }

// SettlementDay is month and day, MMDD, on which a bank settles a transaction, ISO 8583
// field 15, as it sent it; zero for none. The bank's day is its own: BusinessDate is ours.
type SettlementDay [4]byte

// String returns the day as MMDD, empty for none. What is not printable becomes '?'.
func (d SettlementDay) String() string { return printable(d[:]) }

// printable returns b as text. What stands in the field comes from outside, and a record
// must be readable whatever that is.
func printable(b []byte) string {
	if b[0] == 0 {
		return ""
	}
	text := make([]byte, len(b))
	for i, c := range b {
		if c < ' ' || c > '~' {
			c = '?'
		}
		text[i] = c
	}
	return string(text)
}

// Discount is one part of the difference between full fare and charge.
type Discount struct {
	Cause  string // "rider", "transfer", "terminal", …
	Amount Minor
}

// Causes without an amount: what a record tells the desk.
const (
	// CausePassBack: a terminal had let somebody through against the pass-back rule before the
	// switch knew of it.
	CausePassBack = "pass_back"
	// CauseCompanion: one more person on the card, as the tariff or the scheme allows.
	CauseCompanion = "companion"
	// CauseUnordered: a gate says that it took the tap under a degraded mode that nobody ordered.
	CauseUnordered = "mode_unordered"
)

// Account names one account of the chart: a class and, after a slash, the party
// ("purse", "operator/M5"). The chart stands in PostingAccounts.
type Account string

// Posting moves Amount into Account: positive is a credit, negative a debit.
// The postings of a record sum to zero.
type Posting struct {
	Account Account
	Amount  Minor
}

// Record is the settled record: what the ledger keeps of one commit
// (DESIGN.md section 6). It is never edited; reversals and adjustments are new
// records that name the original. (Position, BusinessDate) are decided by the
// store in Commit and are zero before.
type Record struct {
	Version      uint32
	Position     Position
	BusinessDate BusinessDate

	Request RequestID
	Kind    Kind
	Outcome Outcome
	Reason  Reason

	Card        pan.Token
	Last4       pan.Last4
	CardVersion uint64 // version of the card's state after this record
	Application App
	Rider       RiderCategory

	Place  Place
	Issuer string
	STAN   uint32
	RRN    string
	Auth   AuthCode
	// Response is field 39 and Settled field 15 as the bank gave them in the answer that
	// this record books: zero where no bank was asked, or none has answered yet.
	Response ResponseCode
	Settled  SettlementDay

	FullFare     Minor
	Discounts    []Discount
	Charged      Minor
	Currency     Currency
	BalanceAfter Minor

	OfflineCounter uint32
	Offline        bool
	TAC            TACVerdict
	ListEpoch      uint64

	ServiceAt  Millis
	ReceivedAt Millis
	Liability  Liability
	Postings   []Posting

	Original RequestID
	// EntryStation and EntryAt tell where a closed journey began.
	EntryStation string
	EntryAt      Millis

	// Ride is what the terminal of a tap told of the ride.
	Ride

	// Listing is set on freeze and release records.
	Listing Listing
	// Previous is set on epoch markers: where the epoch before ended.
	Previous Position
	// ClosedDate is set on day markers: the business date that ended.
	ClosedDate BusinessDate
}

// CheckPostings verifies that the postings sum to zero and none is out of range.
func (r *Record) CheckPostings() error {
	var sum Minor
	for _, p := range r.Postings {
		s, err := sum.Add(p.Amount)
		if err != nil {
			return fmt.Errorf("record %s: account %s: %w", r.Position, p.Account, err)
		}
		sum = s
	}
	if sum != 0 {
		return fmt.Errorf("record %s: postings sum to %d, not to zero", r.Position, sum)
	}
	return nil
}
