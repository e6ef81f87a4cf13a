package txn

import (
	"fmt"

	"github.com/tapswitch/tapswitch/crypto/pan"
)

// RecordVersion is the version of the settled record that this code writes. A
// reader refuses a greater one instead of guessing (ErrRecordVersion).
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
	liabilityEnd
)

// String returns the party's stable name.
func (l Liability) String() string {
	if l >= liabilityEnd {
		return "unknown"
	}
	return [liabilityEnd]string{"none", "holder", "operator", "acquirer", "issuer", "agency"}[l]
}

// Discount is one part of the difference between full fare and charge.
type Discount struct {
	Cause  string // "rider", "transfer", "terminal", …
	Amount Minor
}

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
