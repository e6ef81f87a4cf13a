package txn

import "fmt"

// Kind says what a request or a record is. Numbers go on the wire and to disk:
// append only.
type Kind uint8

// The kinds of requests and records.
const (
	KindNone Kind = iota
	// MetroEntry opens a journey; no money moves.
	MetroEntry
	// MetroExit closes a journey and charges it.
	MetroExit
	// BusBoarding charges a ride at once.
	BusBoarding
	// Purchase debits the purse at a merchant.
	Purchase
	// Load credits the purse against funds received.
	Load
	// Refund gives back all or part of an earlier purchase.
	Refund
	// Reversal undoes one earlier request by its id, whatever it moved.
	Reversal
	// Balance asks for the purse balance; it leaves no record.
	Balance
	// Enrol opens a card.
	Enrol
	// Freeze puts a card on the blacklist.
	Freeze
	// Release takes a card off the blacklist.
	Release
	// Adjustment is a correction by finance that points to an earlier record.
	Adjustment
	// DayMarker closes a business date in one bucket.
	DayMarker
	// EpochMarker opens an epoch in one bucket and names where the last one ended.
	EpochMarker
	// JourneyLapse closes a journey that was entered and never left.
	JourneyLapse
	// BankPurchase pays a merchant from the account of a bank card. ISO 8583 0200, or 0220
	// when the terminal approved it off line.
	BankPurchase
	// BankRefund gives money back to a bank card. 0220.
	BankRefund
	// BankPreAuth holds an amount on a bank card. 0100.
	BankPreAuth
	// BankCompletion takes what a pre-authorization held, or a part of it. 0200 or 0220.
	BankCompletion
	// BankVoid takes one of the above back on the same day, by the merchant's wish. 0200
	// or 0100.
	BankVoid
	// BankLoad pays a load of a purse from a bank account. 0200.
	BankLoad
	// BankReversal undoes one of the above whose outcome the terminal does not know. 0400.
	BankReversal
	// BankAdjustment books a difference to an earlier transaction: a terminal's adjustment or
	// tip (0220), or that a bank refused what had been accepted for it.
	BankAdjustment
	// Amend changes what the agency decided about a card: applications, rider, validity,
	// successor. No money moves.
	Amend
	// TransferOut takes balance and open journey off a replaced card, TransferIn gives them
	// to its successor.
	TransferOut
	TransferIn
	// Fee is what a holder pays at the desk (HD28, ZS21, WZ19); the purse is not touched.
	Fee
	// Payout gives a balance back in cash or to an account when a card is cancelled.
	Payout
	// Liable moves a transaction from the holder to the party that bears it, or back.
	Liable
	// Compensation credits the holder with what a party owes him (SY15).
	Compensation
	// Verify uses an application that costs nothing: library, campus, workplace (ZZ7).
	Verify
	// Desk is a step of a case at the card desk; it moves nothing and is the audit trail.
	Desk
	// Correction gives back what an incomplete journey cost more than the ride to the station
	// that the holder names, once.
	Correction
	// PassSale sells a pass: the purse pays its price, and rides are free for its time.
	PassSale
	kindEnd
)

var kindNames = [kindEnd]string{
	"none", "metro_entry", "metro_exit", "bus_boarding", "purchase", "load", "refund",
	"reversal", "balance", "enrol", "freeze", "release", "adjustment", "day_marker",
	"epoch_marker", "journey_lapse", "bank_purchase", "bank_refund", "bank_pre_auth",
	"bank_completion", "bank_void", "bank_load", "bank_reversal", "bank_adjustment", "amend",
	"transfer_out", "transfer_in", "fee", "payout", "liability", "compensation", "verify", "desk",
	"journey_correction", "pass_sale",
}

// String returns the kind's stable name, as in JSON and in the ledger.
func (k Kind) String() string {
	if k >= kindEnd {
		return fmt.Sprintf("kind(%d)", uint8(k))
	}
	return kindNames[k]
}

// ParseKind reads a stable name.
func ParseKind(s string) (Kind, error) {
	for k, name := range kindNames {
		if name == s && Kind(k) != KindNone {
			return Kind(k), nil
		}
	}
	return KindNone, fmt.Errorf("unknown kind %q", s)
}

// Valid reports whether k is a known kind other than KindNone.
func (k Kind) Valid() bool { return k > KindNone && k < kindEnd }

// IsTap reports whether k is a gate or validator event.
func (k Kind) IsTap() bool { return k == MetroEntry || k == MetroExit || k == BusBoarding }

// IsBank reports whether k belongs to a card's bank function.
func (k Kind) IsBank() bool { return k >= BankPurchase && k <= BankAdjustment }

// IsAgency reports whether k is asked by the card agency rather than by a terminal.
func (k Kind) IsAgency() bool {
	return k == Enrol || k == Freeze || k == Release || k >= Amend && k <= Compensation || k == Desk
}

// IsMarker reports whether k belongs to the bucket rather than to a card.
func (k Kind) IsMarker() bool { return k == DayMarker || k == EpochMarker }

// Kinds returns all kinds but KindNone in order.
func Kinds() []Kind {
	all := make([]Kind, 0, kindEnd-1)
	for k := KindNone + 1; k < kindEnd; k++ {
		all = append(all, k)
	}
	return all
}

// Outcome is what became of a request.
type Outcome uint8

// The outcomes. An unknown outcome is never taken for an approval.
const (
	OutcomeNone Outcome = iota
	Approved
	Declined
)

// String returns the outcome's stable name.
func (o Outcome) String() string {
	switch o {
	case Approved:
		return "approved"
	case Declined:
		return "declined"
	default:
		return "none"
	}
}

// App is a set of applications on a card, one bit each; a scope of a freeze is
// the set that it closes.
type App uint16

// The applications of a card (DUTIES.md, card life and carriers).
const (
	AppTransit App = 1 << iota
	AppPurse
	AppBank
	AppIdentity
	AppLibrary
	AppCampus
	AppParking
	AppSocial
	// AppAll is every application, also ones opened later.
	AppAll App = 0xffff
)

// Has reports whether all applications of want are in a.
func (a App) Has(want App) bool { return a&want == want }

var appNames = [...]string{
	"transit", "purse", "bank", "identity", "library", "campus", "parking", "social",
}

// Names returns the stable names of the applications in a; AppAll is "all".
func (a App) Names() []string {
	if a == AppAll {
		return []string{"all"}
	}
	var names []string
	for i, name := range appNames {
		if a&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// ParseApp reads one stable name, or "all".
func ParseApp(s string) (App, error) {
	if s == "all" {
		return AppAll, nil
	}
	for i, name := range appNames {
		if name == s {
			return 1 << i, nil
		}
	}
	return 0, fmt.Errorf("unknown application %q", s)
}

// FreezeReason says why a card is on the blacklist. Numbers go to disk: append
// only.
type FreezeReason uint8

// The reasons of a freeze. NotFrozen is the reason of a card that is not listed.
const (
	NotFrozen FreezeReason = iota
	// Lost is a loss report by the holder (挂失).
	Lost
	// PreReported is a provisional report by telephone (预挂失, ZS17).
	PreReported
	// Suspended closes applications by decision of an authority (SY17).
	Suspended
	// Risk is a freeze by the scheme's own risk control.
	Risk
	// Replaced is terminal: the successor card is alive, this number never again.
	Replaced
	// Cancelled is terminal: the card has left the scheme.
	Cancelled
	freezeEnd
)

var freezeNames = [freezeEnd]string{
	"not_frozen", "lost", "pre_reported", "suspended", "risk", "replaced", "cancelled",
}

// String returns the reason's stable name.
func (r FreezeReason) String() string {
	if r >= freezeEnd {
		return fmt.Sprintf("freeze_reason(%d)", uint8(r))
	}
	return freezeNames[r]
}

// ParseFreezeReason reads the stable name of a reason to freeze.
func ParseFreezeReason(s string) (FreezeReason, error) {
	for r, name := range freezeNames {
		if name == s && FreezeReason(r) != NotFrozen {
			return FreezeReason(r), nil
		}
	}
	return NotFrozen, fmt.Errorf("unknown freeze reason %q", s)
}

// Terminal reports whether no release may ever follow r.
func (r FreezeReason) Terminal() bool { return r == Replaced || r == Cancelled }

// Mark is the part of a blacklist entry that decides: why, and which
// applications are closed. The zero Mark is a card that is not listed.
type Mark struct {
	Reason FreezeReason
	Scope  App
}

// Frozen reports whether the mark closes any application of app.
func (m Mark) Frozen(app App) bool { return m.Reason != NotFrozen && m.Scope&app != 0 }

// Uint32 packs the mark for storage: reason in bits 16 to 23, scope below.
func (m Mark) Uint32() uint32 { return uint32(m.Reason)<<16 | uint32(m.Scope) }

// MarkOf unpacks what Uint32 packed.
func MarkOf(v uint32) Mark { return Mark{Reason: FreezeReason(v >> 16), Scope: App(v)} }
