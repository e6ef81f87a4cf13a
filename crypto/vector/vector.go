// Package vector checks the crypto packages against test vectors: files of
//
//	[{"id": …, "area": …, "inputs": {…}, "expected": {…}}, …]
//
// An area is one kind of computation ("mac", "tr31", "qr", …); the names of its inputs and
// expected values say which form of it is meant. Everything expected has to be reproduced
// for a vector to pass; what this package does not know, be it an area, an input or an
// expected value, makes it unsupported, never passed.
//
// It is pure but for reading from the given reader, keeps nothing, and is safe for
// concurrent use. What it says names fields and never shows a value: a user's vectors may
// hold live keys.
package vector

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
)

// Vector is one entry of a file.
type Vector struct {
	ID       string                     `json:"id"`
	Area     string                     `json:"area"`
	Inputs   map[string]json.RawMessage `json:"inputs"`
	Expected map[string]json.RawMessage `json:"expected"`
}

// ErrFile reports a file that is not a list of vectors.
var ErrFile = errors.New("vector file cannot be read")

// fileMax bounds a file in bytes.
const fileMax = 64 << 20

// Read reads a file. Every vector must have an id and an area; further members are
// ignored.
func Read(r io.Reader) ([]Vector, error) {
	text, err := io.ReadAll(io.LimitReader(r, fileMax+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	case len(text) > fileMax:
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrFile, fileMax)
	}
	var all []Vector
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("%w: want a JSON list of vectors: %w", ErrFile, withoutValue(err))
	}
	for i := range all {
		if all[i].ID == "" || all[i].Area == "" {
			return nil, fmt.Errorf("%w: entry %d has no id or no area", ErrFile, i+1)
		}
	}
	return all, nil
}

// withoutValue takes what the decoder quotes of the text out of its error.
func withoutValue(err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("syntax error at byte %d", syntax.Offset)
	case errors.As(err, &kind):
		return fmt.Errorf("wrong type at byte %d", kind.Offset)
	default:
		return errors.New("not JSON")
	}
}

// Outcome is what became of a vector.
type Outcome uint8

// The outcomes.
const (
	Passed      Outcome = iota
	Failed              // something expected came out otherwise, or an error did
	Unsupported         // not known here
	Elsewhere           // area iso8583, which the message codec is checked against
	outcomeEnd
)

// String returns the outcome's name in reports.
func (o Outcome) String() string {
	if o >= outcomeEnd {
		return "unknown"
	}
	return [outcomeEnd]string{"passed", "failed", "unsupported", "elsewhere"}[o]
}

// elsewhereArea is the area of messages.
const elsewhereArea = "iso8583"

// checks are the areas known here; nobody changes it.
var checks = map[string]func(*entry){
	"epurse":             checkPurse,
	"card-data":          checkCardData,
	"emv-tlv":            checkTLV,
	"key-exchange":       checkKeyExchange,
	"kcv":                checkKCV,
	"pin-block":          checkPINBlock,
	"pin-block-negative": checkPINBlockNegative,
	"pin-translation":    checkPINTranslation,
	"card-verification":  checkCardVerification,
	"mac":                checkMAC,
	"mac-padding":        checkPadding,
	"mac-sm4":            checkMAC,
	"cmac":               checkCMAC,
	"mac-cup-ecb":        checkCUP,
	"dukpt-tdes":         checkDUKPT,
	"dukpt-aes":          checkAESDUKPT,
	"tr31":               checkTR31,
	"tr31-negative":      checkTR31Negative,
	"tr31-derivation":    checkTR31Derivation,
	"sm2":                checkSM2,
	"sm3":                checkSM3,
	"sm4":                checkSM4,
	"qr":                 checkQR,
	"qr-synthetic":       checkQRCode,
}

// Areas returns the names of the areas known here, sorted.
func Areas() []string { return slices.Sorted(maps.Keys(checks)) }

// Check checks one vector. why says what did not fit, without values; it is empty for a
// vector that passed.
func Check(v *Vector) (o Outcome, why string) {
	if v.Area == elsewhereArea {
		return Elsewhere, "messages are checked by the message codec"
	}
	check, ok := checks[v.Area]
	if !ok {
		return Unsupported, "unknown area"
	}
	e := &entry{Vector: v, compared: make(map[string]bool)}
	check(e)
	return e.outcome()
}

// Area sums up the vectors of one area.
type Area struct {
	Passed      int      `json:"passed"`
	Failed      int      `json:"failed"`
	Unsupported int      `json:"unsupported"`
	IDs         []string `json:"ids"` // of those that failed
}

// Finding is a vector that did not pass.
type Finding struct {
	ID      string  `json:"id"`
	Area    string  `json:"area"`
	Outcome Outcome `json:"-"`
	Why     string  `json:"why"`
}

// Report sums up all vectors.
type Report struct {
	Areas       map[string]*Area `json:"areas"`
	Passed      int              `json:"passed"`
	Failed      int              `json:"failed"`
	Unsupported int              `json:"unsupported"`
	Elsewhere   int              `json:"elsewhere"`
	// Findings are the failed and unsupported ones, in the order of the vectors.
	Findings []Finding `json:"findings"`
}

// CheckAll checks all vectors. A vector whose id and area come twice is checked twice.
func CheckAll(all []Vector) *Report {
	r := &Report{Areas: make(map[string]*Area), Findings: []Finding{}}
	for i := range all {
		v := &all[i]
		o, why := Check(v)
		if o == Elsewhere {
			r.Elsewhere++
			continue
		}
		area := r.Areas[v.Area]
		if area == nil {
			area = &Area{IDs: []string{}}
			r.Areas[v.Area] = area
		}
		switch o {
		case Passed:
			r.Passed++
			area.Passed++
			continue
		case Failed:
			r.Failed++
			area.Failed++
			area.IDs = append(area.IDs, v.ID)
		default:
			r.Unsupported++
			area.Unsupported++
		}
		r.Findings = append(r.Findings, Finding{ID: v.ID, Area: v.Area, Outcome: o, Why: why})
	}
	return r
}
