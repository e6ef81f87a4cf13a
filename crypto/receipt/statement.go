package receipt

import (
	"errors"
	"fmt"
	"time"

	"github.com/tapswitch/tapswitch/crypto/sm"
)

// HashSize is the length of an SM3 hash in bytes.
const HashSize = sm.HashSize

// Kind is the kind of a statement, as it stands in its bytes.
type Kind string

// The kinds.
const (
	KindFreeze Kind = "freeze_receipt"
	KindDay    Kind = "day_certificate"
)

var (
	// ErrKind reports a statement of another kind than wanted, or of none that is known.
	ErrKind = errors.New("statement of another kind")
	// ErrStatement reports a statement that contradicts itself or a limit.
	ErrStatement = errors.New("statement cannot be made")
)

// Statement is a *Freeze or a *Day.
type Statement interface {
	// Kind returns the kind.
	Kind() Kind
	// Issued returns the moment of issue, by which the key's validity is judged.
	Issued() time.Time

	check() error
	content() value
}

var _, _ Statement = (*Freeze)(nil), (*Day)(nil)

// Canonical returns the statement's one encoding. It refuses, with ErrStatement, what
// contradicts itself, exceeds a limit or may hold a card number.
func Canonical(s Statement) ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrStatement, s.Kind(), err)
	}
	b, err := encode(nil, s.content())
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrStatement, s.Kind(), err)
	}
	return b, nil
}

// ParseStatement reads a statement from its one encoding. Errors are ErrNotCanonical, ErrKind
// or ErrStatement.
func ParseStatement(b []byte) (Statement, error) {
	v, err := parse(b)
	if err != nil {
		return nil, err
	}
	return statementOf(v)
}

// statementOf reads a parsed statement. What it returns has passed check, so that Canonical gives
// back the bytes that were parsed.
func statementOf(v value) (Statement, error) {
	var s Statement
	d := &decoder{}
	switch kindOf(v) {
	case KindFreeze:
		s = freezeOf(d, v)
	case KindDay:
		s = dayOf(d, v)
	default:
		return nil, ErrKind
	}
	if d.err != nil {
		return nil, d.err
	}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrStatement, s.Kind(), err)
	}
	return s, nil
}

// kindOf looks for the kind before anything else is known of the shape.
func kindOf(v value) Kind {
	for _, m := range v.members {
		if m.name == "kind" {
			return Kind(m.value.text)
		}
	}
	return ""
}

// Hash returns the SM3 hash of the statement's encoding, by which the next day certificate
// names it.
func Hash(s Statement) ([HashSize]byte, error) {
	b, err := Canonical(s)
	if err != nil {
		return [HashSize]byte{}, err
	}
	return sm.SM3(b), nil
}
