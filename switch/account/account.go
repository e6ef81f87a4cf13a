package account

import (
	"slices"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// The limits of a document. Together they keep its encoded form below EncodedMax when
// everything is as long as it can be. A command that needs more is refused.
const (
	EncodedMax      = 12<<10 - 128 // bytes; the store takes 12 KB, envelope included
	CarriersMax     = 6            // carriers that are not dead
	FormerMax       = 31           // carriers of its whole life; dead ones are remembered for ever
	NumbersMax      = 6            // other printed identifiers
	FunctionsMax    = 16           // applications ever opened; one a bit of txn.App
	RestrictionsMax = 8            // in force at once
	CasesMax        = 6            // open cases
	EndedMax        = 12           // lines of ended cases; the oldest are forgotten
	EndedTrust      = 4            // of them a trust flag takes the place of, while it is in force
	LinesMax        = 5            // history lines of a case; the second oldest are forgotten
	TxnsMax         = 6            // transactions that a case names
	ConsentsMax     = 6            // consents in force; those that ended make room
	FeesMax         = 8            // fee lines that are due; the others make room
	EffectsMax      = 32           // effects that are not done
	// EffectsReserve of them are for commands that protect: a report of a loss must not
	// wait until a fee is posted.
	EffectsReserve = 8
	// RecentMax commands are remembered by their id. One made before the earliest that was
	// forgotten is refused, since it can no longer be told from a repeat.
	RecentMax = 16
	// IssuerMax bounds the bytes of an issuer id and of a family's name.
	IssuerMax = card.IssuerMax
)

// Account is the document. The zero Account is one that is not opened yet. Apply never
// changes the one that it is given.
type Account struct {
	Holder pan.Token // keyed token of the ID number
	Unit   string    // employer, as its code
	Opened txn.Millis
	Closed txn.Millis // cancelled; 0 while it lives

	Rider     Rider
	Trust     Trust
	ExpiresOn txn.BusinessDate // last day of validity; 0 for none
	Stage     Stage            // the last stage before expiry that was announced
	BankSince txn.Millis       // when the bank function was activated; 0: it is not

	Carriers     []Carrier
	Former       []Former
	Numbers      []Number
	Functions    []Function
	Restrictions []Restriction
	Cases        []Case
	Ended        []Ended
	Consents     []Consent
	Fees         []Fee
	ToDo         []Effect
	Recent       []Remembered

	Floor      txn.Millis // the latest command that left Recent was made then
	LastCase   uint32     // numbers given out so far
	LastEffect uint32
	LastFee    uint32
	LastGrant  uint32
}

// Rider is the concession class of the holder, with the department that vouches for it.
type Rider struct {
	Category txn.RiderCategory
	Source   string
	Until    txn.BusinessDate // last day; 0 for none
}

// Carrier is one that lives.
type Carrier struct {
	Token   pan.Token
	Last4   pan.Last4
	Kind    CarrierKind
	Status  CarrierStatus
	Family  string
	Issuer  string
	BoundAt txn.Millis
	EndsAt  txn.Millis // of a temporary credential
	Case    uint32     // the case that it stands in for, or that it was made in
	// Spared is the loss case whose freeze does not reach this carrier, because it was
	// bound after that loss and for its sake.
	Spared uint32

	told told
}

// told is what the effects so far say about a carrier.
type told struct {
	mark     txn.Mark
	enrolled bool
	card     CardState
}

// Former is a dead carrier. Its number is closed for ever.
type Former struct {
	Token     pan.Token
	Last4     pan.Last4
	Kind      CarrierKind
	Status    CarrierStatus
	At        txn.Millis
	Successor pan.Token
}

// CardState is what a card state holds of the account.
type CardState struct {
	Apps      txn.App // with bankAwaited: see Open and BankAwaited
	Rider     txn.RiderCategory
	ExpiresOn txn.BusinessDate
	Status    CarrierStatus // InProduction or Active; freezes and expiry stand elsewhere
}

// bankAwaited is a bit of CardState.Apps that no application has: the bank function waits for
// the activation of the bank account (ZZ19).
const bankAwaited txn.App = 1 << 15

// Open are the applications that are open on the card.
func (s CardState) Open() txn.App { return s.Apps &^ bankAwaited }

// BankAwaited says that the scheme opens the bank function only after the bank account was
// activated, and it was not: a till is to be told so.
func (s CardState) BankAwaited() bool { return s.Apps&bankAwaited != 0 }

// NumberKind is the kind of another printed identifier (HD11, ZS10, WZ8).
type NumberKind uint8

// The kinds of printed identifier.
const (
	NumberNone NumberKind = iota
	SocialSecurityNumber
	SerialNumber
	BankCardNumber
	PrintedCardNumber
	numberEnd
)

var numberNames = []string{"none", "social_security", "serial", "bank_card", "card"}

// String returns the kind's stable name.
func (k NumberKind) String() string { return nameOf(numberNames, k) }

// ParseNumberKind reads a stable name.
func ParseNumberKind(s string) (NumberKind, error) {
	return parse[NumberKind](numberNames, "printed identifier", s)
}

// Number is another printed identifier as a keyed token, by which the desk finds the
// account. None of them is ever frozen.
type Number struct {
	Kind  NumberKind
	Token pan.Token
}

// Function is an application of the account.
type Function struct {
	App       txn.App // one bit
	OpenedAt  txn.Millis
	ClosedAt  txn.Millis // 0: open
	Channel   Channel
	Outlet    string
	AfterBank bool // works only once the bank function is activated (ZZ19)
}

// Restriction is one reason for which carriers are frozen, with the facts of the report.
// Replaced and Cancelled are none of these: they belong to a carrier and never end.
type Restriction struct {
	Reason   txn.FreezeReason
	Scope    txn.App
	Case     uint32
	Received txn.Millis
	Since    txn.Millis // accepted
	// Counts is the moment of acceptance for the boundary of liability: Since, or that of
	// the pre-report where the scheme says so.
	Counts    txn.Millis
	Effective txn.Millis // when every carrier was frozen; 0 until then
	LapsesAt  txn.Millis // of a pre-report; 0: never
	Closed    bool       // no release may follow
	Actor     Actor
	ID        IDKind
	Channel   Channel
	Form      Form
	BankTold  bool // the holder was told to call the bank
	Fault     Fault
	By        string
	Outlet    string
	Role      string
	Decision  string // number of the decision or of the form
}

// Ended is what remains of an ended case.
type Ended struct {
	No    uint32
	Kind  CaseKind
	State CaseState
	From  txn.Millis
	At    txn.Millis
	Paper Digest // of the letter that went with it
}

// Consent is a holder's consent to a use (HD32, ZZ13).
type Consent struct {
	No        uint32
	Party     string // who may use
	Purpose   string
	Scope     txn.App // whose records
	Given     txn.Millis
	Until     txn.BusinessDate // last day; 0 for none
	Withdrawn txn.Millis
}

// FeeState is what became of a fee.
type FeeState uint8

// The states of a fee.
const (
	FeeNone FeeState = iota
	FeeDue
	FeePaid
	FeeWaived
	feeStateEnd
)

var feeStateNames = []string{"none", "due", "paid", "waived"}

// String returns the state's stable name.
func (s FeeState) String() string { return nameOf(feeStateNames, s) }

// Fee is a line of what the holder owes by the tariff.
type Fee struct {
	No     uint32
	Event  Event
	State  FeeState
	Case   uint32
	Amount txn.Minor
	Income string
	Outlet string // where it was paid
	Why    string // the reason of a waiver
	At     txn.Millis
}

// Remembered is a command that was accepted.
type Remembered struct {
	ID    CommandID
	Print Digest
	Case  uint32
	Made  txn.Millis
}

// Alive reports whether the account is open.
func (a *Account) Alive() bool { return a.Opened != 0 && a.Closed == 0 }

// Carrier returns the living carrier with the token, or nil.
func (a *Account) Carrier(token pan.Token) *Carrier {
	for i := range a.Carriers {
		if a.Carriers[i].Token == token {
			return &a.Carriers[i]
		}
	}
	return nil
}

// Gone returns the dead carrier with the token, or nil.
func (a *Account) Gone(token pan.Token) *Former {
	for i := range a.Former {
		if a.Former[i].Token == token {
			return &a.Former[i]
		}
	}
	return nil
}

// Mark is the union of all restrictions in force: the mark of every carrier that none of
// them spares.
func (a *Account) Mark() txn.Mark { return a.union(nil) }

// MarkOf is the mark that the blacklist entry of a carrier must bear: that of its death,
// or the union of what is in force against it. A token of another account bears none.
func (a *Account) MarkOf(token pan.Token) txn.Mark {
	if f := a.Gone(token); f != nil {
		return f.mark()
	}
	if c := a.Carrier(token); c != nil {
		return a.union(c)
	}
	return txn.Mark{}
}

func (f *Former) mark() txn.Mark {
	if f.Status == Replaced {
		return txn.Mark{Reason: txn.Replaced, Scope: txn.AppAll}
	}
	return txn.Mark{Reason: txn.Cancelled, Scope: txn.AppAll}
}

// union merges the restrictions that reach c; with nil all of them.
func (a *Account) union(c *Carrier) txn.Mark {
	var m txn.Mark
	for i := range a.Restrictions {
		if r := &a.Restrictions[i]; c == nil || r.reaches(c) {
			m = card.Merge(m, txn.Mark{Reason: r.Reason, Scope: r.Scope})
		}
	}
	return m
}

func (r *Restriction) loss() bool { return r.Reason == txn.Lost || r.Reason == txn.PreReported }

func (r *Restriction) reaches(c *Carrier) bool {
	return !r.loss() || c.Spared == 0 || c.Spared < r.Case
}

// Lost reports whether a loss is in force, pre-reported ones included.
func (a *Account) Lost() bool { return a.find(txn.Lost) != nil || a.find(txn.PreReported) != nil }

func (a *Account) find(reason txn.FreezeReason) *Restriction {
	for i := range a.Restrictions {
		if a.Restrictions[i].Reason == reason {
			return &a.Restrictions[i]
		}
	}
	return nil
}

// Apps are the applications that are open and may be used; suspended ones are among them,
// since a suspension is a mark.
func (a *Account) Apps() txn.App {
	var apps txn.App
	for _, f := range a.Functions {
		if f.ClosedAt == 0 && (!f.AfterBank || a.BankSince != 0) {
			apps |= f.App
		}
	}
	return apps
}

// appWords are the stable names of applications with commas between.
func appWords(apps txn.App) string {
	var words string
	for i, name := range apps.Names() {
		if i > 0 {
			words += ","
		}
		words += name
	}
	return words
}

// Awaiting are the applications that are open but wait for the bank function.
func (a *Account) Awaiting() txn.App {
	var apps txn.App
	for _, f := range a.Functions {
		if f.ClosedAt == 0 && f.AfterBank && a.BankSince == 0 {
			apps |= f.App
		}
	}
	return apps
}

func (a *Account) function(app txn.App) *Function {
	for i := range a.Functions {
		if a.Functions[i].App == app {
			return &a.Functions[i]
		}
	}
	return nil
}

// Card returns what the card state of a living carrier must hold under rules.
func (a *Account) Card(c *Carrier, rules *Rules) CardState {
	s := CardState{Apps: a.Apps(), Rider: a.Rider.Category, ExpiresOn: a.ExpiresOn, Status: Active}
	if c.Status == InProduction {
		s.Status = InProduction
	}
	if a.BankSince == 0 && rules.bankFirst() {
		s.Apps |= bankAwaited
	}
	if rules.Validity.ServesRenewing && a.openCase(CaseRenewal) != nil {
		s.ExpiresOn = 0
	}
	return s
}

// main returns the carrier that takes money over: the chip card, else any with a purse.
func (a *Account) main() *Carrier {
	var best *Carrier
	for i := range a.Carriers {
		c := &a.Carriers[i]
		switch {
		case c.Kind == Chip:
			return c
		case best == nil && c.purse() && c.Kind != Temporary:
			best = c
		}
	}
	return best
}

// purse reports whether a carrier holds a card state of ours with a balance.
func (c *Carrier) purse() bool { return c.Kind != BankPAN }

// Clone returns a copy that shares nothing with a.
func (a *Account) Clone() *Account {
	next := *a
	next.Carriers = slices.Clone(a.Carriers)
	next.Former = slices.Clone(a.Former)
	next.Numbers = slices.Clone(a.Numbers)
	next.Functions = slices.Clone(a.Functions)
	next.Restrictions = slices.Clone(a.Restrictions)
	next.Cases = slices.Clone(a.Cases)
	for i := range next.Cases {
		next.Cases[i].Txns = slices.Clone(next.Cases[i].Txns)
		next.Cases[i].Lines = slices.Clone(next.Cases[i].Lines)
	}
	next.Ended = slices.Clone(a.Ended)
	next.Consents = slices.Clone(a.Consents)
	next.Fees = slices.Clone(a.Fees)
	next.ToDo = slices.Clone(a.ToDo)
	next.Recent = slices.Clone(a.Recent)
	return &next
}
