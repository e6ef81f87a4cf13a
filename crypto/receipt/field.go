package receipt

import (
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// textMax is the most bytes of a free text: a name, a reason, a note.
const textMax = 256

// digitsMax is the longest run of digits in a free text. From 16 on it may be a card number.
const digitsMax = 15

// timeLayout is the one form of a time: UTC, to the millisecond.
const timeLayout = "2006-01-02T15:04:05.000Z"

// version is the version of both statements.
const version = 1

// checkText wants a text that people can read and that holds no card number.
func checkText(name, s string, least int) error {
	if len(s) < least || len(s) > textMax {
		return fmt.Errorf("%s: %d bytes, want %d to %d", name, len(s), least, textMax)
	}
	digits := 0
	for _, c := range s {
		switch {
		case c < 0x20 || c == 0x7F:
			return fmt.Errorf("%s: holds a control character", name)
		case c >= '0' && c <= '9':
			digits++
		default:
			digits = 0
		}
		if digits > digitsMax {
			return fmt.Errorf("%s: holds more than %d digits in a row, like a card number", name,
				digitsMax)
		}
	}
	return nil
}

// checkMasked wants "" or asterisks and at most four digits at the end.
func checkMasked(s string) error {
	digits := strings.TrimLeft(s, "*")
	if len(s) > textMax || len(digits) > 4 || s != "" && len(digits) == len(s) ||
		strings.Trim(digits, "0123456789") != "" {
		return fmt.Errorf("masked number: want asterisks and at most four digits")
	}
	return nil
}

// checkTime wants a year that the layout writes with four digits.
func checkTime(name string, t time.Time, optional bool) error {
	if optional && t.IsZero() {
		return nil
	}
	if y := t.UTC().Year(); y < 1970 || y > 9999 {
		return fmt.Errorf("%s: missing, or out of range", name)
	}
	return nil
}

// moment is a time, "" for none.
func moment(t time.Time) value {
	if t.IsZero() {
		return text("")
	}
	return text(t.UTC().Format(timeLayout))
}

// count is a number that is not negative. One of more than 53 bits becomes a value that encode
// refuses, so that content need not fail.
func count(n uint64) value {
	if n > IntegerMax {
		return value{} // encode refuses it
	}
	return integer(int64(n))
}

// hash is a hash in lower-case hex.
func hash(h [HashSize]byte) value { return text(hex.EncodeToString(h[:])) }

// decoder reads the fields of one object. The first error sticks; reads after it give zeros.
type decoder struct {
	err error
}

// fail notes the first error. It tells names of fields, never their values.
func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", ErrNotCanonical, fmt.Sprintf(format, args...))
	}
}

// record is an object of known names.
type record struct {
	d      *decoder
	fields map[string]value
}

// object wants v to be an object with just these names.
func (d *decoder) object(v value, names ...string) record {
	r := record{d, make(map[string]value, len(names))}
	if v.kind != kindObject {
		d.fail("want an object with %s", strings.Join(names, ", "))
		return r
	}
	for _, m := range v.members {
		r.fields[m.name] = m.value
	}
	for _, name := range names {
		if _, ok := r.fields[name]; !ok {
			d.fail("%s is missing", name)
		}
	}
	if len(r.fields) != len(names) {
		d.fail("an object has a member that is not known, want %s", strings.Join(names, ", "))
	}
	return r
}

// get wants the field to be of one type.
func (r record) get(name string, want kind) value {
	v := r.fields[name]
	if v.kind != want {
		r.d.fail("%s is of another type", name)
		return value{}
	}
	return v
}

func (r record) text(name string) string { return r.get(name, kindString).text }

func (r record) integer(name string) int64 { return r.get(name, kindInteger).number }

func (r record) count(name string) uint64 {
	n := r.integer(name)
	if n < 0 {
		r.d.fail("%s is negative", name)
		return 0
	}
	return uint64(n)
}

// moment reads a time; "" is the zero time, which the statement's check allows or not.
func (r record) moment(name string) time.Time {
	s := r.text(name)
	if s == "" {
		return time.Time{}
	}
	t, err := time.Parse(timeLayout, s)
	if err != nil || t.IsZero() || t.Format(timeLayout) != s {
		r.d.fail("%s is not a time like %s", name, timeLayout)
		return time.Time{}
	}
	return t
}

func (r record) hash(name string) (h [HashSize]byte) {
	copy(h[:], r.bytes(name, HashSize))
	return h
}

// bytes reads size bytes in lower-case hex; any number of them for size 0.
func (r record) bytes(name string, size int) []byte {
	s := r.text(name)
	b, err := hex.DecodeString(s)
	if err != nil || size > 0 && len(b) != size || hex.EncodeToString(b) != s {
		r.d.fail("%s is not %d bytes in lower-case hex", name, size)
		return nil
	}
	return b
}

// list reads an array of at most limit items.
func (r record) list(name string, limit int) []value {
	l := r.get(name, kindArray).list
	if len(l) > limit {
		r.d.fail("%s has %d items, at most %d", name, len(l), limit)
		return nil
	}
	return l
}

// version checks the version and the kind of a statement.
func (r record) version(want Kind) {
	if r.integer("version") != version || r.text("kind") != string(want) {
		r.d.fail("not version %d of %s", version, want)
	}
}
