// Package tlv reads and writes BER-TLV as field 55 of a chip transaction has it: tags of one
// or two bytes, lengths of one to three (EMV Book 3 annex B).
//
// It is strict: data that does not end with an element, a tag twice, padding between
// elements, an indefinite length, longer tags and lengths are errors, which name the offset
// and never show data. It does not descend into templates, and knows no tag's meaning. Values
// are not copied. Everything is safe for concurrent use.
package tlv

import (
	"errors"
	"fmt"
)

// What can be wrong with the data.
var (
	ErrTag       = errors.New("tag is not of one or two bytes")
	ErrLength    = errors.New("length is not of one to three bytes")
	ErrTruncated = errors.New("data ends within an element")
	ErrTwice     = errors.New("tag stands twice")
	ErrElements  = errors.New("too many elements")
)

// ElementsMax is the most elements that Parse takes: field 55 has 255 bytes, an element
// two at least.
const ElementsMax = 128

// ValueMax is the longest value that Append takes: a length of three bytes.
const ValueMax = 1<<16 - 1

// Tag is a tag of one byte (below 0x100) or two.
type Tag uint16

// String returns the tag in hex, as documents write it: "9F26".
func (t Tag) String() string {
	if t > 0xff {
		return fmt.Sprintf("%04X", uint16(t))
	}
	return fmt.Sprintf("%02X", uint16(t))
}

// Valid reports whether t can be a tag: not 00, a second byte where the first demands one, no
// third. Padding of FF is no tag either.
func (t Tag) Valid() bool {
	first := byte(t)
	if t > 0xff {
		first = byte(t >> 8)
	}
	long := first&0x1f == 0x1f
	if t == 0 || long != (t > 0xff) {
		return false
	}
	return !long || t&0x80 == 0
}

// Constructed reports whether the value is itself TLV.
func (t Tag) Constructed() bool {
	if t > 0xff {
		t >>= 8
	}
	return t&0x20 != 0
}

// Element is one tag with its value.
type Element struct {
	Tag    Tag
	Value  []byte // part of the data that was read
	Offset int    // of the tag
}

// next reads the element at offset at and returns the offset after it.
func next(data []byte, at int) (e Element, end int, err error) {
	e.Offset = at
	e.Tag = Tag(data[at])
	at++
	if e.Tag&0x1f == 0x1f {
		if at == len(data) {
			return e, at, ErrTruncated
		}
		e.Tag = e.Tag<<8 | Tag(data[at])
		at++
	}
	if !e.Tag.Valid() {
		return e, at, ErrTag
	}
	n, at, err := length(data, at)
	if err != nil {
		return e, at, err
	}
	if n > len(data)-at {
		return e, at, ErrTruncated
	}
	e.Value = data[at : at+n : at+n]
	return e, at + n, nil
}

// length reads a length at an offset and returns the offset after it.
func length(data []byte, at int) (n, end int, err error) {
	if at == len(data) {
		return 0, at, ErrTruncated
	}
	first := data[at]
	at++
	if first < 0x80 {
		return int(first), at, nil
	}
	more := int(first & 0x7f)
	if more < 1 || more > 2 {
		return 0, at, ErrLength
	}
	if more > len(data)-at {
		return 0, at, ErrTruncated
	}
	for _, b := range data[at : at+more] {
		n = n<<8 | int(b)
	}
	return n, at + more, nil
}

// Parse appends the elements of data to dst, in their order. A tag may stand once. On an
// error, which names the offset of the element, dst comes back as it was.
func Parse(dst []Element, data []byte) ([]Element, error) {
	start := len(dst)
	for at := 0; at < len(data); {
		e, end, err := next(data, at)
		if err != nil {
			return dst[:start], fmt.Errorf("TLV at offset %d: %w", at, err)
		}
		if _, twice := Find(dst[start:], e.Tag); twice {
			return dst[:start], fmt.Errorf("TLV at offset %d: %w", at, ErrTwice)
		}
		if len(dst)-start == ElementsMax {
			return dst[:start], fmt.Errorf("TLV at offset %d: %w", at, ErrElements)
		}
		dst = append(dst, e)
		at = end
	}
	return dst, nil
}

// Find returns the value of a tag among elements.
func Find(elements []Element, t Tag) ([]byte, bool) {
	for i := range elements {
		if elements[i].Tag == t {
			return elements[i].Value, true
		}
	}
	return nil, false
}

// Append appends an element to dst, with the shortest length. On an error (an invalid tag, a
// value longer than ValueMax) dst comes back as it was.
func Append(dst []byte, t Tag, value []byte) ([]byte, error) {
	n := len(value)
	switch {
	case !t.Valid():
		return dst, fmt.Errorf("cannot write TLV: %w", ErrTag)
	case n > ValueMax:
		return dst, fmt.Errorf("cannot write TLV %v of %d bytes: %w", t, n, ErrLength)
	}
	if t > 0xff {
		dst = append(dst, byte(t>>8))
	}
	dst = append(dst, byte(t))
	switch {
	case n > 0xff:
		dst = append(dst, 0x82, byte(n>>8), byte(n))
	case n > 0x7f:
		dst = append(dst, 0x81, byte(n))
	default:
		dst = append(dst, byte(n))
	}
	return append(dst, value...), nil
}
