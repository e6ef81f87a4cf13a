// Package person compares the names of those who act on the ledger, where one must propose and
// another confirm. It knows names only: who somebody is, an operator's token or the system's
// user says. Pure and safe for concurrent use.
package person

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// NameMax bounds a name in bytes.
const NameMax = 64

// ErrName reports what is nobody's name.
var ErrName = errors.New("not a person's name")

// Name returns a name as journals keep it: in one form of Unicode, without space around it. An
// empty one, one of more than NameMax bytes and one with characters that do not print are
// ErrName.
func Name(text string) (string, error) {
	name := strings.Join(strings.Fields(norm.NFKC.String(text)), " ")
	switch {
	case name == "":
		return "", fmt.Errorf("%w: it is empty; say who does it", ErrName)
	case len(name) > NameMax:
		return "", fmt.Errorf("%w: %d bytes, at most %d", ErrName, len(name), NameMax)
	case strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return "", fmt.Errorf("%w: %q has characters that do not print", ErrName, name)
	}
	return name, nil
}

// Same reports whether two names are one person's: case, width and space make no other person
// of somebody.
func Same(a, b string) bool { return key(a) == key(b) }

func key(text string) string {
	return cases.Fold().String(strings.Join(strings.Fields(norm.NFKC.String(text)), " "))
}
