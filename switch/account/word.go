package account

import (
	"fmt"
	"slices"
)

// Set is a set of values of one enum of this package, below 32.
type Set[T ~uint8] uint32

// SetOf returns the set of values.
func SetOf[T ~uint8](values ...T) Set[T] {
	var s Set[T]
	for _, v := range values {
		s |= 1 << v
	}
	return s
}

// Has reports whether v is in s.
func (s Set[T]) Has(v T) bool { return v < 32 && s&(1<<v) != 0 }

// Values returns what is in s, in order.
func (s Set[T]) Values() []T {
	var all []T
	for v := range T(32) {
		if s.Has(v) {
			all = append(all, v)
		}
	}
	return all
}

func nameOf[T ~uint8](names []string, v T) string {
	if int(v) >= len(names) {
		return fmt.Sprintf("unknown(%d)", v)
	}
	return names[v]
}

// parse finds s among names; the first, which stands for none, is not a value.
func parse[T ~uint8](names []string, what, s string) (T, error) {
	i := slices.Index(names, s)
	if i < 1 {
		return 0, fmt.Errorf("unknown %s %q, known: %v", what, s, names[1:])
	}
	return T(i), nil
}

// Actor is who asks for something, as the rules know persons. Numbers go to disk: append
// only, as for all words of this package.
type Actor uint8

// The actors.
const (
	ActorNone Actor = iota
	Holder
	Agent     // authorised by the holder
	Relative  // a near relative
	Heir      // after the holder's death
	Guardian  // of a minor or of a person under care
	Employer  // the unit, for its people
	Agency    // the card agency itself, ex officio
	Authority // a department with a power of its own
	System    // the switch, when time brings something about
	actorEnd
)

var actorNames = []string{"none", "holder", "agent", "relative", "heir", "guardian", "employer",
	"agency", "authority", "system"}

// String returns the actor's stable name.
func (a Actor) String() string { return nameOf(actorNames, a) }

// ParseActor reads a stable name.
func ParseActor(s string) (Actor, error) { return parse[Actor](actorNames, "actor", s) }

// Channel is the way by which a request comes in.
type Channel uint8

// The channels.
const (
	ChannelNone Channel = iota
	AtAgency            // the agency's own desk
	AtOutlet            // a designated outlet
	AtUnit              // an application unit, such as a library
	ByPhone
	Online
	SelfService // a terminal without a clerk
	InBulk      // a list of an employer
	AtBank
	channelEnd
)

var channelNames = []string{"none", "agency", "outlet", "unit", "phone", "online", "self_service",
	"bulk", "bank"}

// String returns the channel's stable name.
func (c Channel) String() string { return nameOf(channelNames, c) }

// ParseChannel reads a stable name.
func ParseChannel(s string) (Channel, error) { return parse[Channel](channelNames, "channel", s) }

// Form is the form of a report.
type Form uint8

// The forms.
const (
	FormNone Form = iota
	Written
	Oral
	Electronic
	formEnd
)

var formNames = []string{"none", "written", "oral", "electronic"}

// String returns the form's stable name.
func (f Form) String() string { return nameOf(formNames, f) }

// ParseForm reads a stable name.
func ParseForm(s string) (Form, error) { return parse[Form](formNames, "form", s) }

// IDKind is the kind of identity paper that was shown. Its number is never kept.
type IDKind uint8

// The kinds of identity paper.
const (
	IDNone IDKind = iota
	ResidentID
	TemporaryResidentID
	HouseholdRegister
	Passport
	ResidencePermit
	TravelPermit // of residents of Hong Kong, Macao and Taiwan
	MilitaryID
	OtherID
	idEnd
)

var idNames = []string{"none", "resident_id", "temporary_resident_id", "household_register",
	"passport", "residence_permit", "travel_permit", "military_id", "other"}

// String returns the kind's stable name.
func (k IDKind) String() string { return nameOf(idNames, k) }

// ParseIDKind reads a stable name.
func ParseIDKind(s string) (IDKind, error) { return parse[IDKind](idNames, "identity paper", s) }

// CarrierKind is what carries a card number.
type CarrierKind uint8

// The kinds of carrier.
const (
	CarrierNone CarrierKind = iota
	Chip
	ECard
	QR
	BankPAN
	Temporary // stands in for a card that is renewed or replaced (HD25)
	carrierEnd
)

var carrierNames = []string{"none", "chip", "e_card", "qr", "bank_pan", "temporary"}

// String returns the kind's stable name.
func (k CarrierKind) String() string { return nameOf(carrierNames, k) }

// ParseCarrierKind reads a stable name.
func ParseCarrierKind(s string) (CarrierKind, error) {
	return parse[CarrierKind](carrierNames, "carrier kind", s)
}

// CarrierStatus is where a carrier stands in its life.
type CarrierStatus uint8

// The statuses of a carrier.
const (
	StatusNone CarrierStatus = iota
	InProduction
	Active
	ReportedLost
	Replaced
	Cancelled
	Expired
	Unbound // a bank card that left the account; its bank rules over it
	statusEnd
)

var statusNames = []string{"none", "in_production", "active", "reported_lost", "replaced",
	"cancelled", "expired", "unbound"}

// String returns the status's stable name.
func (s CarrierStatus) String() string { return nameOf(statusNames, s) }

// Dead reports whether the carrier can never be used again.
func (s CarrierStatus) Dead() bool { return s == Replaced || s == Cancelled }

// Ground is why a card is replaced or renewed.
type Ground uint8

// The grounds (HD17, HD21, ZS16, ZS19, WZ15).
const (
	GroundNone     Ground = iota
	AfterLoss             // 补领; only from the reported-lost state
	BeforeExpiry          // expiry, 期满
	Damaged               // 损坏
	Unreadable            // 不能识读
	SurfaceChanged        // printed data changed
	NameChanged           // name or ID number changed, where that is a duty of its own
	OtherInvalid          // other invalidity of the card
	OtherGood             // other good reason
	groundEnd
)

var groundNames = []string{"none", "lost", "expiry", "damaged", "unreadable", "surface_changed",
	"name_or_id_changed", "other_invalid", "other_good_reason"}

// String returns the ground's stable name.
func (g Ground) String() string { return nameOf(groundNames, g) }

// ParseGround reads a stable name.
func ParseGround(s string) (Ground, error) { return parse[Ground](groundNames, "ground", s) }

// Fault is the ground of a finding that a loss is the holder's (HD30, ZS13, WZ17, SY12).
type Fault uint8

// The faults of a holder.
const (
	FaultNone Fault = iota
	Lent
	Rented
	HandedOver
	Careless   // card or password kept carelessly
	NotInOrder // the loss was not reported properly
	faultEnd
)

var faultNames = []string{"none", "lent", "rented", "handed_over", "careless", "not_reported"}

// String returns the fault's stable name.
func (f Fault) String() string { return nameOf(faultNames, f) }

// ParseFault reads a stable name.
func ParseFault(s string) (Fault, error) { return parse[Fault](faultNames, "finding", s) }

// Event is what a fee is due for.
type Event uint8

// The events of a tariff.
const (
	EventNone Event = iota
	FirstIssue
	LossReport
	LossRelease
	Replacement
	Renewal
	TemporaryIssue
	Cancellation
	eventEnd
)

var eventNames = []string{"none", "first_issue", "loss_report", "release", "replacement",
	"renewal", "temporary_credential", "cancellation"}

// String returns the event's stable name.
func (e Event) String() string { return nameOf(eventNames, e) }

// ParseEvent reads a stable name.
func ParseEvent(s string) (Event, error) { return parse[Event](eventNames, "fee event", s) }

// Field is a datum of a holder that may be wrong. Its value is never kept.
type Field uint8

// The fields. Those that are printed on a card are the scheme's to say.
const (
	FieldNone Field = iota
	HolderName
	HolderID
	Portrait
	SocialNo
	Unit
	Address
	Telephone
	RiderCategory
	BankAccount
	OtherField
	fieldEnd
)

var fieldNames = []string{"none", "name", "id_number", "portrait", "social_number", "unit",
	"address", "telephone", "rider_category", "bank_account", "other"}

// String returns the field's stable name.
func (f Field) String() string { return nameOf(fieldNames, f) }

// ParseField reads a stable name.
func ParseField(s string) (Field, error) { return parse[Field](fieldNames, "field", s) }

// Affair is something that must be settled before a cancellation (办结).
type Affair uint8

// The affairs.
const (
	AffairNone Affair = iota
	OpenJourney
	BankPending
	OfflineRecords // the window in which a gate may still upload has not passed
	BankFunction
	PurseBalance
	OpenFees
	OpenCases
	affairEnd
)

var affairNames = []string{"none", "open_journey", "bank_pending", "offline_records",
	"bank_function", "balance", "fees", "cases"}

// String returns the affair's stable name.
func (a Affair) String() string { return nameOf(affairNames, a) }

// ParseAffair reads a stable name.
func ParseAffair(s string) (Affair, error) { return parse[Affair](affairNames, "affair", s) }
