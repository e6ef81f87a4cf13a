package account

import (
	"errors"
	"fmt"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// ErrRules reports rules that no account may be decided by.
var ErrRules = errors.New("rules of the scheme")

// WorkingDays is the scheme's calendar. It is asked, never told; its answers for one day
// must not change while documents live.
type WorkingDays interface {
	// Date returns the local calendar day of an instant.
	Date(at txn.Millis) txn.BusinessDate
	// Start returns the first instant of a local calendar day.
	Start(d txn.BusinessDate) txn.Millis
	// Working reports whether d is a working day.
	Working(d txn.BusinessDate) bool
}

// Days is a time limit in whole days. The day on which it begins does not count; it ends
// with the last instant of its last day. The zero Days is no limit.
type Days struct {
	N       int
	Working bool // working days; calendar days otherwise
}

// DaysMax bounds a limit: ten years. It keeps a slip in a policy file from becoming a
// loop over centuries.
const DaysMax = 3660

// Closing is the moment from which a card that is replaced can never be released.
type Closing uint8

// The moments (ZS18: before applying for the new card; HD20: once the procedure is done).
const (
	ClosingNone Closing = iota
	ClosedWhenApplied
	ClosedWhenDone
	closingEnd
)

var closingNames = []string{"none", "applied", "done"}

// String returns the stable name.
func (c Closing) String() string { return nameOf(closingNames, c) }

// ParseClosing reads a stable name.
func ParseClosing(s string) (Closing, error) { return parse[Closing](closingNames, "closing", s) }

// AfterRefusal is what becomes of the release when a replacement is refused (HD23).
type AfterRefusal uint8

// What a refused replacement does. Where release closes when applied, the number is dead
// from then on, so nothing can open it again.
const (
	AfterRefusalNone AfterRefusal = iota
	ReleaseReopens
	ReleaseStaysClosed
	afterRefusalEnd
)

var afterRefusalNames = []string{"none", "reopens", "stays_closed"}

// String returns the stable name.
func (a AfterRefusal) String() string { return nameOf(afterRefusalNames, a) }

// ParseAfterRefusal reads a stable name.
func ParseAfterRefusal(s string) (AfterRefusal, error) {
	return parse[AfterRefusal](afterRefusalNames, "refusal's effect", s)
}

// Boundary is the moment from which a loss is no longer the holder's.
type Boundary uint8

// The boundaries (DUTIES.md, loss, freeze, release).
const (
	BoundaryNone Boundary = iota
	ReportAccepted
	ReportEffective
	FreezeActual
	FreezeDue // the earlier of the actual freeze and receipt + the time allowed
	boundaryEnd
)

var boundaryNames = []string{"none", "report_accepted", "report_effective", "freeze_actual",
	"freeze_due"}

// String returns the stable name.
func (b Boundary) String() string { return nameOf(boundaryNames, b) }

// ParseBoundary reads a stable name.
func ParseBoundary(s string) (Boundary, error) {
	return parse[Boundary](boundaryNames, "boundary", s)
}

// Rules are the values of one scheme that the life of an account needs. They are made
// once from the policy file, where each value has its source, and are read only after.
// Check says whether they are complete.
type Rules struct {
	Scheme   string // the scheme's name
	Version  string // of the policy file
	Calendar WorkingDays

	Application  ApplicationRules
	Loss         LossRules
	PreReport    PreReportRules
	Release      ReleaseRules
	Replacement  ReplacementRules
	Validity     ValidityRules
	Cancellation CancellationRules
	Limits       Limits
	Claims       ClaimRules

	Suspensions []SuspensionRule
	Functions   []FunctionRule
	Families    []FamilyRule
	Tariff      []FeeRule
	Fields      []FieldRule
	Purposes    []PurposeRule
	// TrustMax is the most that a trust flag may widen post-paid riding by (ZZ14); 0: none is
	// set, as where nobody rides first and pays later.
	TrustMax txn.Minor
}

// Access is who may ask for something, by which way, and with which papers.
type Access struct {
	Actors   Set[Actor]
	Channels Set[Channel]
	Outlets  []string    // designated outlets for AtOutlet; empty: every outlet
	IDs      Set[IDKind] // identity papers; empty: none is asked for
}

// ApplicationRules are about the first application (ZS15, HD14, HD15, WZ14).
type ApplicationRules struct {
	Access
	// Checked: a carrier is enrolled only when the data was checked.
	Checked bool
	// ECardMeanwhile: an e-card may be bound while the chip card is in production (SY6).
	ECardMeanwhile bool
}

// LossRules are about a loss report (HD18, ZS17, WZ16).
type LossRules struct {
	Access
	Forms    Set[Form]
	Boundary Boundary
	// TellBank: a holder with an opened bank function must be told to call the bank, and a
	// report that does not say so is refused (HD18).
	TellBank bool
}

// PreReportRules are about a report by telephone before the written one (ZS17).
type PreReportRules struct {
	Allowed bool
	Access
	// Impossible: only where writing is impossible; the reason must be stated.
	Impossible bool
	// Lapse ends the freeze when no written report follows; zero: it stays frozen.
	Lapse Days
	// Written is when the written report is due on the overdue list, which changes nothing
	// by itself.
	Written Days
	// MovesBoundary: the boundary of liability counts from the pre-report.
	MovesBoundary bool
}

// ReleaseRules are about ending a loss report (HD20, ZS18).
type ReleaseRules struct {
	Access
	SecondPerson bool // another person confirms at the desk
	Closes       Closing
	AfterRefusal AfterRefusal
}

// ReplacementRules are about a new card after a loss and the renewal of a card (HD17,
// HD21 to HD25, ZS16, ZS19, WZ15).
type ReplacementRules struct {
	Access
	Grounds Set[Ground] // of a renewal; a replacement's ground is the loss
	// Duties are grounds on which the holder must renew, such as a changed name in ZS16.
	Duties Set[Ground]
	// Takes are the kinds of carrier whose numbers die with the old chip card; the others
	// are open again once the replacement is done. Chip is always one of them.
	Takes Set[CarrierKind]
	// TemporaryKinds may stand in for the card meanwhile (HD25); empty: none.
	TemporaryKinds Set[CarrierKind]
	// TemporaryDays is how long a temporary credential lasts at most.
	TemporaryDays Days
}

// ValidityRules are about expiry (HD13, ZS26).
type ValidityRules struct {
	Years int // of a new card; 0: cards do not expire
	// OpenDays before expiry the renewal is listed as open.
	OpenDays int
	// LeadDays before expiry it is listed as overdue; 0: the scheme has no such duty.
	LeadDays int
	// ServesRenewing: a card whose renewal case is open goes on beyond its expiry (HD25).
	ServesRenewing bool
}

// CancellationRules are about leaving the scheme (HD24, ZS20, WZ18).
type CancellationRules struct {
	Access
	ExOfficio bool // the agency may cancel by itself
	// Waivable affairs may be waived with a reason; the others must be settled.
	Waivable Set[Affair]
	// Refund: the balance is paid out when the cancellation is done (product rule).
	Refund bool
}

// Limits are the legal days of each kind of case. Every kind needs one, since no case may
// be open without a date: where the law is silent it is a product rule.
type Limits struct {
	ProductionData Days // first application: data sent upward, from acceptance (HD16)
	FirstIssue     Days // first application: card handed out, from acceptance
	Renewal        Days // new card, from acceptance (HD22)
	Replacement    Days // new card, from acceptance (HD22)
	RefuseWithin   Days // refusal in writing, from receipt (HD23)
	Release        Days // a release that waits for its second person
	Cancellation   Days
	Suspension     Days // a review of a suspension
	Correction     Days // HD27
	Complaint      Days // SY14, ZZ16, HD29
	Claim          Days // SY15
	Finding        Days
}

// ClaimRules are about claims and findings of liability (SY15, HD30).
type ClaimRules struct {
	Access
	Parties   []string // who may be liable; empty: no claim is taken
	Faults    Set[Fault]
	AmountMax txn.Minor
}

// SuspensionRule lets a role suspend an application (SY17). Only the same role restores.
type SuspensionRule struct {
	App    txn.App
	Role   string
	Faults Set[Fault] // what it must have been for
}

// FunctionRule is an application of the scheme (HD10, ZS14, WZ11, WZ12, ZZ19).
type FunctionRule struct {
	App      txn.App
	Channels Set[Channel]
	Outlets  []string         // designated outlets for AtOutlet; empty: every outlet
	From     txn.BusinessDate // not offered before; 0: offered
	// AfterBank: only after the bank account is activated (ZZ19).
	AfterBank bool
	// AtIssue: open from the first day without an application.
	AtIssue bool
}

// bankFirst reports whether the bank function waits for the bank account's activation.
func (r *Rules) bankFirst() bool {
	for i := range r.Functions {
		if f := &r.Functions[i]; f.App == txn.AppBank && f.AfterBank {
			return true
		}
	}
	return false
}

// FamilyRule is a family of card numbers (HD33, ZS24, WZ23, SY7, ZZ9).
type FamilyRule struct {
	Name  string
	Issue bool             // new numbers may be given out; accept only otherwise
	Until txn.BusinessDate // last day of acceptance; 0: no end
	Basis string           // the legal basis for giving out new numbers
}

// FeeRule is a line of the tariff (HD28, ZS21, WZ19). An event without a line is free.
type FeeRule struct {
	Event  Event
	Amount txn.Minor
	Income string // the ledger account of the income
	// Waivers are the reasons for which it may be waived; empty: it may not.
	Waivers []string
}

// FieldRule says who corrects a field, and whether it is printed on the card (HD27).
type FieldRule struct {
	Field   Field
	Owner   string // the responsible department
	Surface bool   // a change needs a new card
	Ground  Ground // of the renewal that a surface change opens
}

// PurposeRule is a purpose for which a role may query a holder's records (HD32, ZZ13).
type PurposeRule struct {
	Purpose string
	Roles   []string
	Consent bool // only with the holder's consent
}

// Check reports what is missing or contradicts itself; it returns nil or wraps ErrRules.
func (r *Rules) Check() error {
	if r.Calendar == nil {
		return fmt.Errorf("%w: no calendar", ErrRules)
	}
	for _, l := range r.Limits.named() {
		if l.days.N < 1 || l.days.N > DaysMax {
			return fmt.Errorf("%w: limit %s of %d days, want 1 to %d", ErrRules, l.name, l.days.N,
				DaysMax)
		}
	}
	switch {
	case r.Loss.Boundary == BoundaryNone || r.Loss.Boundary >= boundaryEnd:
		return fmt.Errorf("%w: no boundary of liability", ErrRules)
	case r.Release.Closes == ClosingNone || r.Release.Closes >= closingEnd:
		return fmt.Errorf("%w: the moment that closes a release is missing", ErrRules)
	case r.Release.AfterRefusal == AfterRefusalNone || r.Release.AfterRefusal >= afterRefusalEnd:
		return fmt.Errorf("%w: the effect of a refused replacement is missing", ErrRules)
	case r.Release.Closes == ClosedWhenApplied && r.Release.AfterRefusal == ReleaseReopens:
		return fmt.Errorf("%w: release closes when applied, so a refusal cannot reopen it", ErrRules)
	case !r.Replacement.Takes.Has(Chip):
		return fmt.Errorf("%w: a replacement must take the chip card's number", ErrRules)
	case r.PreReport.Lapse.N < 0 || r.PreReport.Lapse.N > DaysMax:
		return fmt.Errorf("%w: pre-report lapses after %d days", ErrRules, r.PreReport.Lapse.N)
	case r.PreReport.Allowed && (r.PreReport.Written.N < 1 || r.PreReport.Written.N > DaysMax):
		return fmt.Errorf("%w: the written report after a pre-report has no date", ErrRules)
	}
	return r.checkRest()
}

func (r *Rules) checkRest() error {
	v := &r.Validity
	if v.Years < 0 || v.Years > 50 || v.LeadDays < 0 || v.OpenDays < v.LeadDays ||
		v.OpenDays > DaysMax {
		return fmt.Errorf("%w: validity of %d years, renewal open %d and due %d days before",
			ErrRules, v.Years, v.OpenDays, v.LeadDays)
	}
	if r.TrustMax < 0 || !r.TrustMax.Valid() {
		return fmt.Errorf("%w: a trust flag of %d", ErrRules, r.TrustMax)
	}
	if t := &r.Replacement; t.TemporaryKinds != 0 &&
		(t.TemporaryDays.N < 1 || t.TemporaryDays.N > DaysMax) {
		return fmt.Errorf("%w: a temporary credential lasts %d days", ErrRules, t.TemporaryDays.N)
	}
	return errors.Join(r.checkFunctions(), r.checkTariff(), r.checkOwners())
}

func (r *Rules) checkFunctions() error {
	var apps txn.App
	for _, f := range r.Functions {
		if f.App == 0 || f.App&(f.App-1) != 0 || apps&f.App != 0 {
			return fmt.Errorf("%w: function %s stands twice or is not one application", ErrRules,
				appWords(f.App))
		}
		apps |= f.App
	}
	return nil
}

func (r *Rules) checkTariff() error {
	for _, f := range r.Tariff {
		if f.Amount < 0 || f.Amount > txn.MinorMax || f.Event == EventNone || f.Event >= eventEnd ||
			f.Income == "" || len(f.Income) > NameMax {
			return fmt.Errorf("%w: fee %s of %d into %q", ErrRules, f.Event, f.Amount, f.Income)
		}
	}
	return nil
}

func (r *Rules) checkOwners() error {
	for _, f := range r.Fields {
		if f.Owner == "" || len(f.Owner) > NameMax || f.Surface && f.Ground == GroundNone {
			return fmt.Errorf("%w: field %s needs an owner, and a ground when printed", ErrRules,
				f.Field)
		}
	}
	for _, s := range r.Suspensions {
		if s.Role == "" || s.App == 0 || s.App == txn.AppAll {
			return fmt.Errorf("%w: suspension of %s by %q", ErrRules, appWords(s.App), s.Role)
		}
	}
	return nil
}

type namedLimit struct {
	name string
	days Days
}

func (l *Limits) named() []namedLimit {
	return []namedLimit{
		{"production_data", l.ProductionData}, {"first_issue", l.FirstIssue},
		{"renewal", l.Renewal},
		{"replacement", l.Replacement}, {"refuse_within", l.RefuseWithin},
		{"release", l.Release}, {"cancellation", l.Cancellation},
		{"suspension", l.Suspension}, {"correction", l.Correction},
		{"complaint", l.Complaint}, {"claim", l.Claim}, {"finding", l.Finding},
	}
}

// NameMax bounds the bytes of an outlet, role, department, operator, party, purpose or
// ledger account; what is longer is refused.
const NameMax = 24
