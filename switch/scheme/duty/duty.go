// Package duty is the register of what the rule books of five cities oblige the switch to do:
// one line a duty, with its clauses, how it is met, and the test that shows it. It is the
// evidence that `tapswitch duties` prints for a regulator.
//
// A duty that the switch can carry names a test of this module; one of people is listed as
// outside the switch with a line why; one that nothing shows yet, or not the whole of it, says
// what is pending and is never counted as met. A product rule bears no clause, since no text
// asks for it.
//
// The register is a table in the program, the same in every process, read-only and safe for
// concurrent use. It judges nothing at run time: that a named test exists and does something
// is proven by this package's own test, that it passes by whoever runs the tests.
package duty

import (
	"slices"
	"strings"
)

// Duty is one line of the register.
type Duty struct {
	// ID is stable: the first clause and a word, or "rule" and a word.
	ID string
	// Clauses are all that the duty rests on; none for a product rule.
	Clauses []string
	// EN and ZH say what has to be done.
	EN, ZH string
	// How says how the switch does it.
	How string
	// Test is the package and the name of the test that shows it: "switch/bank.TestDuty_…".
	// "" with Outside "" says that nothing shows it yet.
	Test string
	// Pending says what of the duty nothing shows yet. Such a duty is not met, though Test may
	// show the rest.
	Pending string
	// Outside says why the duty is none of the switch's; "" for the others.
	Outside string
}

// Status is how a duty stands.
type Status string

// The statuses.
const (
	Met     Status = "met"
	Outside Status = "outside"
	NotYet  Status = "not yet"
)

// Status returns how the duty stands.
func (d Duty) Status() Status {
	switch {
	case d.Outside != "":
		return Outside
	case d.Test != "" && d.Pending == "":
		return Met
	default:
		return NotYet
	}
}

// ProductRule reports whether no text asks for it.
func (d Duty) ProductRule() bool { return len(d.Clauses) == 0 && d.Outside == "" }

// All returns every duty: loss, freeze and release; the card's life; carriers and use;
// information and security; product rules; what is outside the switch. The list is the
// caller's own.
func All() []Duty { return slices.Concat(loss, life, carriers, information, rules, outside) }

// prefixes are the rule books of the cities.
var prefixes = map[string]string{
	"handan": "HD", "zhoushan": "ZS", "wenzhou": "WZ", "shiyan": "SY", "zhengzhou": "ZZ",
}

// Cities returns the cities whose duties are registered, sorted.
func Cities() []string {
	var all []string
	for city := range prefixes {
		all = append(all, city)
	}
	slices.Sort(all)
	return all
}

// Of returns the duties of one city, and false for a city without any. Product rules are not
// among them: they rest on no city's text.
func Of(city string) ([]Duty, bool) {
	prefix, ok := prefixes[city]
	if !ok {
		return nil, false
	}
	return slices.DeleteFunc(All(), func(d Duty) bool {
		return !slices.ContainsFunc(d.Clauses, func(c string) bool {
			return strings.HasPrefix(c, prefix)
		})
	}), true
}
