package fields

import "github.com/tapswitch/tapswitch/switch/txn"

// Field is one field of any body. All bodies are flat objects over this one vocabulary.
type Field uint8

// The fields. A tap has those up to Degraded.
const (
	ID Field = iota
	Kind
	Card
	ServiceTime
	Station
	Line
	FullFare
	Charged
	OfflineCounter
	ListEpoch
	Vehicle
	Class
	Metres
	Mode
	Degraded
	Amount
	STAN
	RRN
	Original
	Apps
	Rider
	ExpiresOn
	Issuer
	Token
	Reason
	Scope
	Note
	Operator
	Merchant
	MCC
	Acquirer
	Kinds
	Roles
	// End is one more than the last field.
	End
)

// Set is a set of fields, one bit each.
type Set uint64

// SetOf returns the set of the given fields.
func SetOf(all ...Field) Set {
	var s Set
	for _, f := range all {
		s |= 1 << f
	}
	return s
}

// Has reports whether f is in the set.
func (s Set) Has(f Field) bool { return s&(1<<f) != 0 }

// first returns the first field of a set that is not empty.
func (s Set) first() Field {
	for f := range End {
		if s.Has(f) {
			return f
		}
	}
	panic("fields: internal error: first field of an empty set")
}

// form is the JSON type that a field takes.
type form uint8

const (
	formText   form = iota // a string of at most max bytes
	formAmount             // an amount in minor units
	formNumber             // an integer from 0 to max
	formTexts              // an array of strings, each of at most max bytes
)

// spec says what a field takes.
type spec struct {
	name string
	form form
	max  int64
}

// Lengths of texts in bytes. Places end in a card's state (card.PlaceNameMax), notes in a
// blacklist entry.
const (
	PlaceMax = 48
	noteMax  = 128
	idMax    = 34
	WordMax  = 32
	listMax  = 16 // entries of an array of strings
)

var specs = [End]spec{
	ID:             {"id", formText, idMax},
	Kind:           {"kind", formText, WordMax},
	Card:           {"card", formText, WordMax},
	ServiceTime:    {"service_time", formText, WordMax},
	Station:        {"station", formText, PlaceMax},
	Line:           {"line", formText, PlaceMax},
	FullFare:       {"full_fare", formAmount, int64(txn.MinorMax)},
	Charged:        {"charged", formAmount, int64(txn.MinorMax)},
	OfflineCounter: {"offline_counter", formNumber, 1<<32 - 1},
	ListEpoch:      {"list_epoch", formNumber, int64(txn.MinorMax)},
	Vehicle:        {"vehicle", formText, PlaceMax},
	Class:          {"class", formText, WordMax},
	Metres:         {"metres", formNumber, txn.MetresMax},
	Mode:           {"mode", formText, WordMax},
	Degraded:       {"degraded", formTexts, WordMax},
	Amount:         {"amount", formAmount, int64(txn.MinorMax)},
	STAN:           {"stan", formNumber, 999_999},
	RRN:            {"rrn", formText, 12},
	Original:       {"original", formText, idMax},
	Apps:           {"apps", formTexts, WordMax},
	Rider:          {"rider", formText, WordMax},
	ExpiresOn:      {"expires_on", formText, WordMax},
	Issuer:         {"issuer", formText, 16},
	Token:          {"token", formText, WordMax},
	Reason:         {"reason", formText, WordMax},
	Scope:          {"scope", formTexts, WordMax},
	Note:           {"note", formText, noteMax},
	Operator:       {"operator", formText, PlaceMax},
	Merchant:       {"merchant", formText, 15},
	MCC:            {"mcc", formText, 4},
	Acquirer:       {"acquirer", formText, 11},
	Kinds:          {"kinds", formTexts, WordMax},
	Roles:          {"roles", formTexts, WordMax},
}

// Most returns the greatest value of a number, or the length of a text in bytes.
func (f Field) Most() int64 { return specs[f].max }

// IsText reports whether the field is a string, and IsNumber whether it is a number.
func (f Field) IsText() bool { return specs[f].form == formText }

// IsNumber reports whether the field is a number.
func (f Field) IsNumber() bool { return specs[f].form == formAmount || specs[f].form == formNumber }

// String returns the field's name.
func (f Field) String() string { return specs[f].name }

// Named finds a field by name; ok is false for a name that no call knows.
func Named(name []byte) (f Field, ok bool) {
	switch string(name) { // in one comparison of length and hash; a map costs twice that
	case "id":
		return ID, true
	case "kind":
		return Kind, true
	case "card":
		return Card, true
	case "service_time":
		return ServiceTime, true
	case "station":
		return Station, true
	case "line":
		return Line, true
	case "full_fare":
		return FullFare, true
	case "charged":
		return Charged, true
	case "offline_counter":
		return OfflineCounter, true
	case "list_epoch":
		return ListEpoch, true
	case "vehicle":
		return Vehicle, true
	case "amount":
		return Amount, true
	case "class":
		return Class, true
	case "metres":
		return Metres, true
	case "mode":
		return Mode, true
	case "degraded":
		return Degraded, true
	}
	return rare(name)
}

// rare finds the fields that no tap has.
func rare(name []byte) (Field, bool) {
	for f := STAN; f < End; f++ {
		if specs[f].name == string(name) {
			return f, true
		}
	}
	return End, false
}
