package scheme

// The words that a policy chooses from and that package account does not own. Each is a
// string as it stands in the file, so that desk, list and report show the same word; the
// reader refuses every other one.

// PartyKind is the kind of a body that has to freeze the card.
type PartyKind string

// The kinds of parties.
const (
	PartyTransit        PartyKind = "transit"
	PartyBank           PartyKind = "bank"
	PartyUtility        PartyKind = "utility"
	PartyFinance        PartyKind = "finance"
	PartySocialSecurity PartyKind = "social_security"
	PartyCivilAffairs   PartyKind = "civil_affairs"
	PartyCulture        PartyKind = "culture"
	PartyMerchant       PartyKind = "merchant"
)

func (PartyKind) words() []string {
	return []string{"transit", "bank", "utility", "finance", "social_security", "civil_affairs",
		"culture", "merchant"}
}

// Via is how notices reach a party. The address is no part of a scheme.
type Via string

// The ways.
const (
	ViaWebhook    Via = "webhook"
	ViaTopic      Via = "topic"       // of the city's exchange platform
	ViaIssuerLink Via = "issuer_link" // ISO 8583
)

func (Via) words() []string { return []string{"webhook", "topic", "issuer_link"} }

// ClockStart is the moment from which the window of a party is counted.
type ClockStart string

// The clock of every known text starts when the party has the notice (接到通知后).
const (
	FromReceipt ClockStart = "receipt"
	FromSending ClockStart = "sending"
)

func (ClockStart) words() []string { return []string{"receipt", "sending"} }

// Bearer is who bears a loss.
type Bearer string

// The bearers. LateParty needs the clause of a contract with that party.
const (
	BearerHolder Bearer = "holder"
	LateParty    Bearer = "late_party"
	BearerAgency Bearer = "agency"
)

func (Bearer) words() []string { return []string{"holder", "late_party", "agency"} }

// FamilyMode says what the scheme does with a family of card numbers.
type FamilyMode string

// New cards are issued, or only old ones are taken until a date.
const (
	Issue      FamilyMode = "issue"
	AcceptOnly FamilyMode = "accept_only"
)

func (FamilyMode) words() []string { return []string{"issue", "accept_only"} }

// Waiver is a reason not to take a fee.
type Waiver string

// The waivers.
const (
	WaiverHardship        Waiver = "hardship"
	WaiverProductionFault Waiver = "production_fault"
	WaiverAgencyError     Waiver = "agency_error"
)

func (Waiver) words() []string { return []string{"hardship", "production_fault", "agency_error"} }

// Credential is what a holder shows to ask about the card.
type Credential string

// The card itself, or another document.
const (
	WithCard    Credential = "card"
	WithOtherID Credential = "other_id"
)

func (Credential) words() []string { return []string{"card", "other_id"} }

// Retained is a kind of data that is kept for a time.
type Retained string

// The kinds of data.
const (
	RetainTransactions Retained = "transactions"
	RetainCases        Retained = "cases"
	RetainComplaints   Retained = "complaints"
	RetainQueries      Retained = "queries"
	RetainConsents     Retained = "consents"
	RetainHolderData   Retained = "holder_data"
)

func (Retained) words() []string {
	return []string{"transactions", "cases", "complaints", "queries", "consents", "holder_data"}
}
