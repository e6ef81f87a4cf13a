package gate

import "github.com/tapswitch/tapswitch/switch/txn"

// field is one field of any body. All bodies are flat objects over this one vocabulary.
type field uint8

const (
	fieldID field = iota
	fieldKind
	fieldCard
	fieldServiceTime
	fieldStation
	fieldLine
	fieldFullFare
	fieldCharged
	fieldOfflineCounter
	fieldListEpoch
	fieldVehicle
	fieldAmount
	fieldSTAN
	fieldRRN
	fieldOriginal
	fieldApps
	fieldRider
	fieldExpiresOn
	fieldIssuer
	fieldToken
	fieldReason
	fieldScope
	fieldNote
	fieldOperator
	fieldMerchant
	fieldMCC
	fieldAcquirer
	fieldKinds
	fieldRoles
	fieldEnd
)

// fieldSet is a set of fields, one bit each.
type fieldSet uint32

func setOf(fields ...field) fieldSet {
	var s fieldSet
	for _, f := range fields {
		s |= 1 << f
	}
	return s
}

func (s fieldSet) has(f field) bool { return s&(1<<f) != 0 }

// first returns the first field of a set that is not empty.
func (s fieldSet) first() field {
	for f := range fieldEnd {
		if s.has(f) {
			return f
		}
	}
	panic("gate: internal error: first field of an empty set")
}

// form is the JSON type that a field takes.
type form uint8

const (
	formText   form = iota // a string of at most max bytes
	formAmount             // an amount in minor units
	formNumber             // an integer from 0 to max
	formTexts              // an array of strings, each of at most max bytes
)

// fieldSpec says what a field takes.
type fieldSpec struct {
	name string
	form form
	max  int64
}

// Lengths of texts in bytes. Places end in a card's state (card.PlaceNameMax), notes in a
// blacklist entry.
const (
	placeMax = 48
	noteMax  = 128
	idMax    = 34
	wordMax  = 32
	listMax  = 16 // entries of an array of strings
)

var fieldSpecs = [fieldEnd]fieldSpec{
	fieldID:             {"id", formText, idMax},
	fieldKind:           {"kind", formText, wordMax},
	fieldCard:           {"card", formText, wordMax},
	fieldServiceTime:    {"service_time", formText, wordMax},
	fieldStation:        {"station", formText, placeMax},
	fieldLine:           {"line", formText, placeMax},
	fieldFullFare:       {"full_fare", formAmount, int64(txn.MinorMax)},
	fieldCharged:        {"charged", formAmount, int64(txn.MinorMax)},
	fieldOfflineCounter: {"offline_counter", formNumber, 1<<32 - 1},
	fieldListEpoch:      {"list_epoch", formNumber, int64(txn.MinorMax)},
	fieldVehicle:        {"vehicle", formText, placeMax},
	fieldAmount:         {"amount", formAmount, int64(txn.MinorMax)},
	fieldSTAN:           {"stan", formNumber, 999_999},
	fieldRRN:            {"rrn", formText, 12},
	fieldOriginal:       {"original", formText, idMax},
	fieldApps:           {"apps", formTexts, wordMax},
	fieldRider:          {"rider", formText, wordMax},
	fieldExpiresOn:      {"expires_on", formText, wordMax},
	fieldIssuer:         {"issuer", formText, 16},
	fieldToken:          {"token", formText, wordMax},
	fieldReason:         {"reason", formText, wordMax},
	fieldScope:          {"scope", formTexts, wordMax},
	fieldNote:           {"note", formText, noteMax},
	fieldOperator:       {"operator", formText, placeMax},
	fieldMerchant:       {"merchant", formText, 15},
	fieldMCC:            {"mcc", formText, 4},
	fieldAcquirer:       {"acquirer", formText, 11},
	fieldKinds:          {"kinds", formTexts, wordMax},
	fieldRoles:          {"roles", formTexts, wordMax},
}

// String returns the field's name.
func (f field) String() string { return fieldSpecs[f].name }

// fieldOf finds a field by name; ok is false for a name that no call knows.
func fieldOf(name []byte) (f field, ok bool) {
	switch string(name) { // in one comparison of length and hash; a map costs twice that
	case "id":
		return fieldID, true
	case "kind":
		return fieldKind, true
	case "card":
		return fieldCard, true
	case "service_time":
		return fieldServiceTime, true
	case "station":
		return fieldStation, true
	case "line":
		return fieldLine, true
	case "full_fare":
		return fieldFullFare, true
	case "charged":
		return fieldCharged, true
	case "offline_counter":
		return fieldOfflineCounter, true
	case "list_epoch":
		return fieldListEpoch, true
	case "vehicle":
		return fieldVehicle, true
	case "amount":
		return fieldAmount, true
	}
	return rareFieldOf(name)
}

// rareFieldOf finds the fields that no tap has.
func rareFieldOf(name []byte) (field, bool) {
	for f := fieldSTAN; f < fieldEnd; f++ {
		if fieldSpecs[f].name == string(name) {
			return f, true
		}
	}
	return fieldEnd, false
}
