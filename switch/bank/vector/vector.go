// Package vector checks the message codec against test vectors: the entries of area iso8583
// in files of the form that crypto/vector reads,
//
//	{"id": …, "area": "iso8583", "inputs": {"hex": …}, "expected": {"fields": {…}}}
//
// A vector says no spec by name, so every built-in one is tried, behind every envelope and
// framing that the vector does not rule out, and a few that differ from them in a row. A
// vector passes when one reading of its bytes shows everything expected, has no field that is
// not, and packs to the same bytes again. What this package does not know of an expected
// value makes the vector unsupported, never passed.
//
// It is pure, keeps nothing but the specs that it has read, and is safe for concurrent use.
// What it says names fields and never shows a value: a user's vectors may hold live cards.
package vector

import (
	"fmt"

	"github.com/tapswitch/tapswitch/crypto/vector"
)

// area is the one that is checked here; all others belong to crypto/vector.
const area = "iso8583"

// Check checks one vector. why says what did not fit, without values; it is empty for a
// vector that passed.
func Check(v *vector.Vector) (o vector.Outcome, why string) {
	if v.Area != area {
		return vector.Elsewhere, "cryptography is checked by the packages of crypto"
	}
	e, why := open(v)
	if why != "" {
		return vector.Unsupported, why
	}
	return e.check()
}

// CheckAll checks all vectors, in the report of crypto/vector: those of other areas are
// counted as elsewhere.
func CheckAll(all []vector.Vector) *vector.Report {
	r := &vector.Report{Areas: make(map[string]*vector.Area), Findings: []vector.Finding{}}
	sum := &vector.Area{IDs: []string{}}
	for i := range all {
		v := &all[i]
		o, why := Check(v)
		if o == vector.Elsewhere {
			r.Elsewhere++
			continue
		}
		r.Areas[area] = sum
		switch o {
		case vector.Passed:
			r.Passed++
			sum.Passed++
			continue
		case vector.Failed:
			r.Failed++
			sum.Failed++
			sum.IDs = append(sum.IDs, v.ID)
		default:
			r.Unsupported++
			sum.Unsupported++
		}
		r.Findings = append(r.Findings, vector.Finding{ID: v.ID, Area: v.Area, Outcome: o,
			Why: why})
	}
	return r
}

// fault is what did not fit in one reading, and how far the reading came: the best one is
// reported.
type fault struct {
	depth int
	why   string
}

// How far a reading came.
const (
	notFramed = iota
	notParsed
	notPacked
	notEqual
)

func faultf(depth int, format string, args ...any) *fault {
	return &fault{depth, fmt.Sprintf(format, args...)}
}
