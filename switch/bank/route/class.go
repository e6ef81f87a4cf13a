package route

import (
	"errors"
	"fmt"
	"strings"
)

// Class is what a transaction asks of a bank, as far as its route goes. Numbers are not
// stored; names are configuration and never change.
type Class uint8

// The classes. A query without one (ClassNone) is taken only by rules that name no class.
const (
	ClassNone  Class = iota
	Purchase         // a sale, also by card details
	Refund           // money back, no void
	PreAuth          // money held
	Completion       // money held is taken, on request
	Void             // takes back a purchase, a pre-authorization or a completion
	Balance          // asks for the balance
	Load             // takes money from the card for an e-purse
	Advice           // tells of what is done already: offline sale, completion, adjustment
	classEnd
)

// ErrClass reports a name that is no class.
var ErrClass = errors.New("not a class of transaction")

var classNames = [classEnd]string{"none", "purchase", "refund", "pre_auth", "completion", "void",
	"balance", "load", "advice"}

// String returns the name as in configuration: "purchase", "pre_auth" and so on.
func (c Class) String() string {
	if c >= classEnd {
		return "unknown"
	}
	return classNames[c]
}

// ParseClass reads what String prints; "none" is no class.
func ParseClass(s string) (Class, error) {
	for c := Purchase; c < classEnd; c++ {
		if classNames[c] == s {
			return c, nil
		}
	}
	return ClassNone, fmt.Errorf("%w: %.24q, want one of %s", ErrClass, s,
		strings.Join(classNames[Purchase:], ", "))
}

// MarshalText returns String.
func (c Class) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (c *Class) UnmarshalText(b []byte) (err error) {
	*c, err = ParseClass(string(b))
	return err
}

// classes is a set of classes, a bit each.
type classes uint16

const anyClass classes = 1<<classEnd - 1

// setOf returns the set of list, every class for an empty one.
func setOf(list []Class) (classes, error) {
	if len(list) == 0 {
		return anyClass, nil
	}
	var s classes
	for _, c := range list {
		switch {
		case c == ClassNone || c >= classEnd:
			return 0, fmt.Errorf("%w: number %d", ErrClass, c)
		case s.has(c):
			return 0, fmt.Errorf("class %v stands twice", c)
		}
		s |= 1 << c
	}
	return s, nil
}

func (s classes) has(c Class) bool { return c < classEnd && s&(1<<c) != 0 }
