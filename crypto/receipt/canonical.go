package receipt

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Limits of canonical JSON.
const (
	// SizeMax is the most bytes of a statement or an envelope: a day of 16,384 buckets.
	SizeMax = 4 << 20
	// depthMax is how deep objects and arrays may nest.
	depthMax = 16
	// valuesMax is the most values in one text, which bounds the memory that a small text can
	// take: seven for each of BucketsMax, and room.
	valuesMax = 1 << 17
	// IntegerMax is the largest integer, and its negative the smallest: what every JSON
	// reader holds exactly (RFC 8785 section 3.2.2.3, RFC 7493).
	IntegerMax = 1<<53 - 1
)

// ErrNotCanonical reports bytes that are not canonical JSON, or not of the wanted shape, or a
// value that canonical JSON cannot hold. Its text never holds the input.
var ErrNotCanonical = errors.New("not canonical")

// kind is the type of a value.
type kind uint8

// The types. There is no null: what is unknown is an empty text.
const (
	kindString kind = iota + 1
	kindInteger
	kindBool
	kindArray
	kindObject
)

// value is one JSON value.
type value struct {
	kind    kind
	text    string
	number  int64 // 0 or 1 for kindBool
	list    []value
	members []member // in canonical order
}

// member is one name of an object with its value.
type member struct {
	name  string
	value value
}

func text(s string) value            { return value{kind: kindString, text: s} }
func integer(n int64) value          { return value{kind: kindInteger, number: n} }
func array(l ...value) value         { return value{kind: kindArray, list: l} }
func is(name string, v value) member { return member{name, v} }

// object returns the object of members, which it sorts.
func object(members ...member) value {
	slices.SortFunc(members, func(a, b member) int { return compareNames(a.name, b.name) })
	return value{kind: kindObject, members: members}
}

// compareNames orders by UTF-16 code units (RFC 8785 section 3.2.3).
func compareNames(a, b string) int {
	if ascii(a) && ascii(b) {
		return slices.Compare([]byte(a), []byte(b))
	}
	return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
}

// ascii reports whether bytes sort like UTF-16 units, as all names of ours do.
func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// encode appends v in canonical form. It refuses strings that are not UTF-8, integers of more
// than 53 bits, double names and what is too deep or too large.
func encode(dst []byte, v value) ([]byte, error) {
	out, err := v.append(dst, 0)
	if err == nil && len(out)-len(dst) > SizeMax {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrNotCanonical, len(out)-len(dst), SizeMax)
	}
	return out, err
}

// append writes v, which stands depth levels deep.
func (v value) append(dst []byte, depth int) ([]byte, error) {
	if depth > depthMax {
		return nil, fmt.Errorf("%w: nested deeper than %d", ErrNotCanonical, depthMax)
	}
	switch v.kind {
	case kindString:
		return appendText(dst, v.text)
	case kindInteger:
		if v.number > IntegerMax || v.number < -IntegerMax {
			return nil, fmt.Errorf("%w: an integer has more than 53 bits", ErrNotCanonical)
		}
		return strconv.AppendInt(dst, v.number, 10), nil
	case kindBool:
		return strconv.AppendBool(dst, v.number == 1), nil
	case kindArray:
		return v.appendArray(dst, depth)
	case kindObject:
		return v.appendObject(dst, depth)
	}
	return nil, fmt.Errorf("%w: a value without a type", ErrNotCanonical)
}

func (v value) appendArray(dst []byte, depth int) ([]byte, error) {
	dst = append(dst, '[')
	var err error
	for i, item := range v.list {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = item.append(dst, depth+1); err != nil {
			return nil, err
		}
	}
	return append(dst, ']'), nil
}

// appendObject looks at the order again, also where object has sorted: a double name must not
// get out, since readers differ in which of the two they take.
func (v value) appendObject(dst []byte, depth int) ([]byte, error) {
	dst = append(dst, '{')
	var err error
	for i, m := range v.members {
		if i > 0 {
			if compareNames(v.members[i-1].name, m.name) >= 0 {
				return nil, fmt.Errorf("%w: names are double or out of order", ErrNotCanonical)
			}
			dst = append(dst, ',')
		}
		if dst, err = appendText(dst, m.name); err != nil {
			return nil, err
		}
		if dst, err = m.value.append(append(dst, ':'), depth+1); err != nil {
			return nil, err
		}
	}
	return append(dst, '}'), nil
}

// short are the two-character escapes; other controls are \u00xx in lower case.
var short = [32]byte{'\b': 'b', '\t': 't', '\n': 'n', '\f': 'f', '\r': 'r'}

const hexDigits = "0123456789abcdef"

// appendText writes a string (RFC 8785 section 3.2.2.2): only what must be escaped is.
func appendText(dst []byte, s string) ([]byte, error) {
	if !utf8.ValidString(s) {
		return nil, fmt.Errorf("%w: a string is not UTF-8", ErrNotCanonical)
	}
	dst = append(dst, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c >= 0x20:
			dst = append(dst, c)
		case short[c] != 0:
			dst = append(dst, '\\', short[c])
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xF])
		}
	}
	return append(dst, '"'), nil
}
