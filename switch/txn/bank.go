package txn

// BankStep is one step in the life of a bank transaction. Each is committed before what
// follows from it leaves the switch.
type BankStep uint8

// The steps.
const (
	// BankBegin takes a transaction up, before the bank is asked; or a reversal of one.
	BankBegin BankStep = iota
	// BankRedirect sends it another way: nothing has left on the first one.
	BankRedirect
	// BankApprove: the bank answered yes.
	BankApprove
	// BankDecline: the bank answered no, or nothing left for it (BankWork.Reason says so).
	BankDecline
	// BankDoubt: nobody knows what the bank did, because of a time-out, a lost link or a crash.
	BankDoubt
	// BankAccept: the bank cannot be asked, and the switch approves in its place.
	BankAccept
	// BankAgain: the bank is about to be told, once more.
	BankAgain
	// BankDone: the bank took the reversal.
	BankDone
	// BankGiveUp: the bank refuses what it is told. A person must decide.
	BankGiveUp
	// BankRetry: a person wants the bank told again.
	BankRetry
	// BankClose: a person has settled it with the bank.
	BankClose
)

// BankWork is what a step of a bank transaction needs beyond the Request.
type BankWork struct {
	Step BankStep
	// Accept says that a begin is an advice: it is approved at once, and the bank is told.
	Accept bool
	// StandIn, when not nil, lets the switch approve in the bank's place within limits: in a
	// begin because no link is up, and in BankAccept.
	StandIn *StandInLimit
	// Type and LocalAt tell apart what the fingerprint would not: processing code,
	// condition and message type as sent, and the terminal's own time.
	Type, LocalAt string

	// OriginalRRN and OriginalAuth find the original where its id does not.
	OriginalRRN  [12]byte
	OriginalAuth AuthCode
	// OriginalElsewhere allows an original that the card does not remember: it is the
	// bank's to judge.
	OriginalElsewhere bool

	// Issuer is the bank that pays, Link where the message goes, STAN and Sent (field 7)
	// what identifies it there, RRN the switch's reference.
	Issuer, Link string
	STAN         uint32
	Sent         [10]byte
	RRN          [12]byte

	// Due is when the switch acts again by itself.
	Due Millis
	// Auth and Code are the bank's fields 38 and 39, Reason why a decline is none of its.
	Auth   AuthCode
	Code   [2]byte
	Reason Reason
	// Sealed is what messages to the bank are made of, enciphered.
	Sealed []byte

	// Settled is the bank's field 15, Answer what else of its answer a repeat gets again,
	// enciphered; AnswerElsewhere says that the registry keeps it.
	Settled         [4]byte
	Answer          []byte
	AnswerElsewhere bool
	// Partial is the lower amount that the bank approved; zero when it approved all.
	Partial Minor
	// Amend is what a BankAdjustment of a terminal may do.
	Amend Amendment
}

// Amendment bounds an adjustment or tip: Request.Amount takes the place of the original's
// amount.
type Amendment struct {
	// RaiseMax is how far above the amount that was approved it may go, in percent of that.
	RaiseMax int64
	// RaiseOnly refuses one that lowers the amount: a tip.
	RaiseOnly bool
	// OpenBatch is the terminal's batch that is not settled yet.
	OpenBatch uint32
}

// StandInLimit bounds what the switch approves for one card in a bank's place.
type StandInLimit struct {
	CountMax int
	TotalMax Minor
	// Since is when counting begins: the start of the business day.
	Since Millis
}
