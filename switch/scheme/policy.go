package scheme

import (
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/lease"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Policy is what one city wants, each value with its source. It is made by Read or Load and
// read-only from then on.
type Policy struct {
	// City is the scheme's stable name: "handan".
	City string `yaml:"city"`
	// Texts are the rule books that the clauses are cited from. They stand first, because
	// every clause is held against them.
	Texts []Text `yaml:"texts"`
	// Version is a hash of the file's text: it changes when anything in the file does.
	Version string `yaml:"-"`
	// Name is what the card is called.
	Name Name `yaml:"name"`

	// Outlets are the designated outlets; none named means every registered one.
	Outlets      Value[[]string] `yaml:"outlets"`
	Report       Report          `yaml:"report"`
	Freeze       Freeze          `yaml:"freeze"`
	Parties      []Party         `yaml:"parties"`
	Release      Release         `yaml:"release"`
	Liability    Liability       `yaml:"liability"`
	Claims       Claims          `yaml:"claims"`
	PreReport    PreReport       `yaml:"pre_report"`
	Suspension   Suspension      `yaml:"suspension"`
	Life         Life            `yaml:"life"`
	Deadlines    Deadlines       `yaml:"deadlines"`
	Replacement  Replacement     `yaml:"replacement"`
	Cancellation Cancellation    `yaml:"cancellation"`
	Temporary    Temporary       `yaml:"temporary"`
	Applying     Applying        `yaml:"applying"`

	Applications []Application `yaml:"applications"`
	Families     []Family      `yaml:"families"`
	Tariffs      []Tariff      `yaml:"tariffs"`

	Complaints  Complaints   `yaml:"complaints"`
	Corrections []Correction `yaml:"corrections"`
	Query       Query        `yaml:"query"`
	Retention   []Retention  `yaml:"retention"`
	Services    []Service    `yaml:"services"`
}

// Name is what the scheme's card is called.
type Name struct {
	Words `yaml:",inline"`
	Source
}

// Access is who may ask for something, by which way and with which papers.
type Access struct {
	Actors   Value[[]account.Actor]   `yaml:"actors"`
	Channels Value[[]account.Channel] `yaml:"channels"`
	// IDs are the papers of which one has to be shown; none where no paper is asked for.
	IDs Value[[]account.IDKind] `yaml:"id_kinds"`
}

// Report is who may report a card lost, and how (HD18, ZS17, WZ16).
type Report struct {
	Access `yaml:",inline"`
	Forms  Value[[]account.Form] `yaml:"forms"`
	// BankReport says that the holder of an opened bank function also has to report to the
	// bank himself (HD18), which the desk tells him and records.
	BankReport Value[bool] `yaml:"bank_report"`
	// AtOnce says that the agency sends its notices on acceptance (HD19).
	AtOnce Value[bool] `yaml:"notice_at_once"`
}

// Freeze is the clock of every party that has to freeze (HD19).
type Freeze struct {
	// Window is how long a party may take.
	Window Value[time.Duration] `yaml:"window"`
	// From is when the window begins. Without a proof of receipt it is the sending, shown
	// apart.
	From Value[ClockStart] `yaml:"from"`
	// Alarms are the ages of an unconfirmed notice at which it is alarmed, rising and all
	// within the window.
	Alarms Value[[]time.Duration] `yaml:"alarms"`
	// Lease is how long after it was last on line a purse may be served off line, so that a
	// freeze reaches gates without a network, too; 0 is without limit.
	Lease Value[time.Duration] `yaml:"lease"`
	// Margin is how long after the end of a lease a service is not yet held against the gate:
	// its clock is not the switch's.
	Margin Value[time.Duration] `yaml:"lease_margin"`
	// RenewedBy are the contacts with the switch that renew the lease of a card that is good.
	RenewedBy Value[[]lease.Contact] `yaml:"lease_renewed_by"`
}

// LeaseTerms are what the engine needs of the lease.
func (p *Policy) LeaseTerms() lease.Terms {
	f := &p.Freeze
	return lease.Terms{Length: txn.Millis(f.Lease.V.Milliseconds()),
		Margin: txn.Millis(f.Margin.V.Milliseconds()), RenewedBy: lease.SetOf(f.RenewedBy.V...)}
}

// Party is a body to be notified of a freeze and a release (HD7).
type Party struct {
	// ID names the party for ever: notices and accounts bear it.
	ID   string    `yaml:"id"`
	Kind PartyKind `yaml:"kind"`
	Name Words     `yaml:"party"`
	Source
	// Via is how notices reach it; its address is no part of a scheme.
	Via Value[Via] `yaml:"via"`
	// Contract is the clause by which losses after the boundary are booked to this party
	// when it was late; "" books none, since no rule book names who bears them.
	Contract Value[string] `yaml:"loss_contract"`
	// Operators are those whose terminals this party answers for, by their name in the registry
	// of terminals; for a bank the issuers, by their name in the bank file. A party without any
	// answers for those that no other names and that have no party of their own name.
	Operators []string `yaml:"operators,omitempty"`
}

// Release is who may take a loss report back, and until when (HD20, ZS18).
type Release struct {
	Access `yaml:",inline"`
	// SecondPerson says that another person confirms. The wait is part of what is measured.
	SecondPerson Value[bool] `yaml:"second_person"`
	// AtOnce says that the agency notifies at once.
	AtOnce Value[bool] `yaml:"notice_at_once"`
	// Window is how long a party may take to release.
	Window Value[time.Duration] `yaml:"window"`
	// Closes says from when a release is impossible for ever.
	Closes Value[account.Closing] `yaml:"release_closes"`
	// Refused says what a refused replacement (HD23) does to that.
	Refused Value[account.AfterRefusal] `yaml:"refused_replacement"`
}

// Liability is who bears the losses of a lost card (HD18, HD19, ZS17, WZ17). The time of a
// transaction is that of its service, never that of its upload.
type Liability struct {
	Boundary Value[account.Boundary] `yaml:"boundary"`
	// Before bears what occurred before the boundary.
	Before Value[Bearer] `yaml:"before"`
	// After bears what occurred after it; LateParty only where the party's contract says so.
	After Value[Bearer] `yaml:"after"`
	// Otherwise bears what no party can be charged with.
	Otherwise Value[Bearer] `yaml:"otherwise"`
	// Findings are the grounds on which a transaction is moved to the holder (HD30, ZS13,
	// WZ17, SY12).
	Findings Value[[]account.Fault] `yaml:"findings"`
}

// Claims is how a loss that a department or the agency caused is compensated (SY15).
type Claims struct {
	Access `yaml:",inline"`
	// Compensation says that whoever caused a loss compensates it.
	Compensation Value[bool] `yaml:"compensation"`
	// AmountMax is the greatest claim in fen that the desk takes.
	AmountMax Value[txn.Minor] `yaml:"amount_max"`
}

// PreReport is the provisional report by telephone (ZS17). Terms stand exactly where it is
// allowed.
type PreReport struct {
	Allowed Value[bool]     `yaml:"allowed"`
	Terms   *PreReportTerms `yaml:"terms,omitempty"`
}

// PreReportTerms says under what conditions a report by telephone is taken.
type PreReportTerms struct {
	Access `yaml:",inline"`
	// OnlyWhenImpossible says that a report in writing must be impossible.
	OnlyWhenImpossible Value[bool] `yaml:"only_when_writing_is_impossible"`
	// Written is by when the written report is listed as overdue. That it must follow is
	// ZS17's; the text sets no date, and nothing happens to the freeze on this one.
	Written Value[Term] `yaml:"written_report"`
	// Lapse is when the freeze ends without one, or "never".
	Lapse Value[Term] `yaml:"lapse"`
	// MovesBoundary says that the boundary of liability is the pre-report's.
	MovesBoundary Value[bool] `yaml:"moves_boundary"`
}

// Suspension closes some applications by decision of an authority (SY17). Terms stand exactly
// where it is allowed.
type Suspension struct {
	Allowed Value[bool]      `yaml:"allowed"`
	Terms   *SuspensionTerms `yaml:"terms,omitempty"`
}

// SuspensionTerms says what is suspended, by whom and why.
type SuspensionTerms struct {
	App Value[txn.App] `yaml:"app"`
	// Role is the authority's, which alone may suspend and restore.
	Role    Value[string]          `yaml:"role"`
	Grounds Value[[]account.Fault] `yaml:"grounds"`
	// ForGain says that it must have been for gain.
	ForGain Value[bool] `yaml:"for_gain"`
	// DecisionNumber says that the number of the decision has to be given.
	DecisionNumber Value[bool] `yaml:"decision_number"`
}

// Life is how long a card lives and when it is renewed (HD13, HD17, ZS16, WZ15).
type Life struct {
	ValidityYears Value[int] `yaml:"validity_years"`
	// RenewalOpen is from when the renewal is listed, before expiry.
	RenewalOpen Value[Term] `yaml:"renewal_open"`
	// RenewalLead is by when the holder has to ask for it, before expiry (HD13).
	RenewalLead Value[Term] `yaml:"renewal_lead"`
	// ServiceGoesOn says that an open renewal or replacement keeps the service (HD25).
	ServiceGoesOn Value[bool] `yaml:"service_goes_on"`
	// Grounds are the reasons for a new card other than a loss.
	Grounds []RenewalGround `yaml:"grounds"`
}

// RenewalGround is a reason for a new card.
type RenewalGround struct {
	Ground account.Ground `yaml:"ground"`
	// Must says that the holder has to ask for a new card, not only may.
	Must bool `yaml:"must"`
	Source
}

// Deadlines are the legal dates of cases (HD16, HD22, HD23, SY16, ZZ18). Where a text sets
// none it is a product rule: no case is open without a date.
type Deadlines struct {
	// ProductionData is by when the data of a first card goes upward, from acceptance.
	ProductionData Value[Term] `yaml:"production_data"`
	// FirstIssue is by when a first card is handed out, from acceptance.
	FirstIssue Value[Term] `yaml:"first_issue"`
	// Renewal and Replacement are by when a new card is there, from acceptance.
	Renewal     Value[Term] `yaml:"renewal"`
	Replacement Value[Term] `yaml:"replacement"`
	// Refusal is by when a refusal is given in writing, from receipt.
	Refusal Value[Term] `yaml:"refusal"`
	// RefusalStates says that the refusal states facts, reasons and remedies.
	RefusalStates Value[bool] `yaml:"refusal_states_reasons"`
	// Release is how long a release waits for its second person.
	Release      Value[Term] `yaml:"release"`
	Cancellation Value[Term] `yaml:"cancellation"`
	// Suspension is when a suspension is reviewed.
	Suspension Value[Term] `yaml:"suspension_review"`
	Correction Value[Term] `yaml:"correction"`
	Complaint  Value[Term] `yaml:"complaint"`
	Claim      Value[Term] `yaml:"claim"`
	Finding    Value[Term] `yaml:"finding"`
}

// Replacement is how a new card is asked for (HD21, ZS19).
type Replacement struct {
	Access `yaml:",inline"`
	// OnlyAfterLossReport says that a lost card is replaced from the reported-lost state only.
	OnlyAfterLossReport Value[bool] `yaml:"only_after_loss_report"`
	// Takes are the carriers whose numbers die with the old card.
	Takes Value[[]account.CarrierKind] `yaml:"takes"`
}

// Cancellation is how a card leaves the scheme (HD24, ZS20, WZ18).
type Cancellation struct {
	Access `yaml:",inline"`
	// ExOfficio says that the agency may cancel without being asked.
	ExOfficio Value[bool] `yaml:"ex_officio"`
	// Settled is what must be settled before.
	Settled Value[[]account.Affair] `yaml:"settled"`
	// Waivable is what of it may be waived with a reason.
	Waivable Value[[]account.Affair] `yaml:"waivable"`
	// Refund says that the balance is paid out: always a product rule, no text knows it.
	Refund Value[bool] `yaml:"refund"`
}

// Temporary is the credential for the time in which a card is made (HD25).
type Temporary struct {
	Kinds Value[[]account.CarrierKind] `yaml:"kinds"`
	Valid Value[Term]                  `yaml:"valid"`
}

// Applying is who may apply for a card (HD14, HD15, ZS15, WZ14).
type Applying struct {
	Access `yaml:",inline"`
	// Employer says that a unit may apply for its people in bulk.
	Employer Value[bool] `yaml:"employer"`
	// Checked says that the data is checked and the result kept.
	Checked Value[bool] `yaml:"checked"`
	// ECardMeanwhile says that an e-card may be bound while the card is made (SY6).
	ECardMeanwhile Value[bool] `yaml:"e_card_meanwhile"`
}

// Application is a function of the card that the holder may have opened (WZ11, ZS14).
type Application struct {
	App  txn.App `yaml:"app"`
	Name Words   `yaml:"function"`
	Source
	// Start is from when it is offered.
	Start Value[txn.BusinessDate] `yaml:"start"`
	// Channels are where it is opened.
	Channels Value[[]account.Channel] `yaml:"channels"`
	// AtIssue says that it is open from the first day without being asked for.
	AtIssue Value[bool] `yaml:"open_at_issue"`
	// NeedsBank says that it works only after the bank account is activated (ZZ19).
	NeedsBank Value[bool] `yaml:"needs_bank_activation"`
	// Verify says that it checks a card without taking money: identity, library, access.
	Verify Value[bool] `yaml:"verify"`
}

// Family is a family of card numbers side by side with others (HD33, ZS24, WZ23, SY7, ZZ9).
type Family struct {
	Family pan.Family `yaml:"family"`
	Mode   FamilyMode `yaml:"mode"`
	// Basis is the legal basis on which the family is enrolled.
	Basis string `yaml:"basis"`
	Source
	// Until is the last day of a family that is only accepted; it may be left out, and then
	// none is set.
	Until Value[txn.BusinessDate] `yaml:"until,omitempty"`
}

// Tariff is one version of the fees. The one with the latest From not after a day holds on it.
type Tariff struct {
	Version string           `yaml:"version"`
	From    txn.BusinessDate `yaml:"from"`
	// Income is the ledger account of the income.
	Income string `yaml:"income"`
	Source
	Fees []TariffFee `yaml:"fees"`
}

// TariffFee is what one event costs.
type TariffFee struct {
	Event account.Event `yaml:"event"`
	// Amount is in fen.
	Amount txn.Minor `yaml:"amount"`
	Source
	// Waivers are the reasons for which it may be waived.
	Waivers Value[[]Waiver] `yaml:"waivers"`
}

// Complaints are handled promptly and their outcome told (SY14, ZZ16, HD29); the legal date
// stands in Deadlines.
type Complaints struct {
	Prompt   Value[bool] `yaml:"prompt"`
	Feedback Value[bool] `yaml:"outcome_fed_back"`
}

// Correction says who corrects one kind of data (HD27).
type Correction struct {
	Field account.Field `yaml:"field"`
	// Surface says that it is printed on the card, so that a correction needs a new one.
	Surface bool `yaml:"surface"`
	Source
	// Owner is the responsible department's short name, as the desk routes by it.
	Owner Value[string] `yaml:"owner"`
}

// Query is who may see a holder's records, and why (HD26, ZS11, WZ10; HD32, ZS7, ZS8, SY10).
type Query struct {
	Credentials Value[[]Credential] `yaml:"credentials"`
	// Purposes are the reasons that may be recorded; a query without one is refused.
	Purposes []Purpose `yaml:"purposes"`
	// Consent says that another use needs the holder's.
	Consent Value[bool] `yaml:"other_use_needs_consent"`
	// Agreement says that a unit needs an approval and an agreement on secrecy.
	Agreement Value[bool] `yaml:"consumer_needs_agreement"`
	// PickUpBasis is the legal basis on which a bank may have a card held back; "" for none,
	// and then its wish becomes a plain decline on our side (SY11, SY16).
	PickUpBasis Value[string] `yaml:"pick_up_basis"`
}

// Purpose is a reason for which a role may query a holder's records.
type Purpose struct {
	Purpose string   `yaml:"purpose"`
	Roles   []string `yaml:"roles"`
	// Consent says that the holder's consent has to be recorded.
	Consent bool `yaml:"consent"`
	Source
}

// Retention is how long one kind of data is kept: always a product rule, no text says it.
type Retention struct {
	Data Retained `yaml:"data"`
	Days int      `yaml:"days"`
	Source
}

// Service is an entry of the published list (ZZ7, SY9, ZS14).
type Service struct {
	ID         string  `yaml:"id"`
	Name       Words   `yaml:"service"`
	Conditions Words   `yaml:"conditions"`
	Steps      []Words `yaml:"steps"`
	TimeLimit  Words   `yaml:"time_limit"`
	Source
}
