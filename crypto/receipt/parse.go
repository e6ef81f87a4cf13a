package receipt

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// parser reads canonical JSON and nothing else.
type parser struct {
	in     []byte
	at     int
	values int // read so far
}

// parse reads one value that fills b. What it accepts, encode gives back byte for byte.
func parse(b []byte) (value, error) {
	if len(b) > SizeMax {
		return value{}, fmt.Errorf("%w: %d bytes, at most %d", ErrNotCanonical, len(b), SizeMax)
	}
	p := &parser{in: b}
	v, err := p.value(0)
	if err == nil && p.at != len(b) {
		err = p.wrong("%d bytes after the end", len(b)-p.at)
	}
	if err != nil {
		return value{}, err
	}
	return v, nil
}

// wrong tells the place, never the input.
func (p *parser) wrong(format string, args ...any) error {
	return fmt.Errorf("%w: byte %d: %s", ErrNotCanonical, p.at, fmt.Sprintf(format, args...))
}

// next is the next byte, 0 at the end.
func (p *parser) next() byte {
	if p.at >= len(p.in) {
		return 0
	}
	return p.in[p.at]
}

// take steps over c if it is next.
func (p *parser) take(c byte) bool {
	if p.at >= len(p.in) || p.in[p.at] != c {
		return false
	}
	p.at++
	return true
}

// value reads any value. depth and the count of values are bounded before anything is read, so
// that hostile input costs little.
func (p *parser) value(depth int) (value, error) {
	if depth > depthMax {
		return value{}, p.wrong("nested deeper than %d", depthMax)
	}
	if p.values++; p.values > valuesMax {
		return value{}, p.wrong("more than %d values", valuesMax)
	}
	switch c := p.next(); {
	case c == '{':
		return p.object(depth)
	case c == '[':
		return p.array(depth)
	case c == '"':
		s, err := p.text()
		return text(s), err
	case c == '-' || c >= '0' && c <= '9':
		return p.integer()
	}
	for n, word := range [2]string{"false", "true"} {
		if strings.HasPrefix(string(p.in[p.at:min(p.at+len(word), len(p.in))]), word) {
			p.at += len(word)
			return value{kind: kindBool, number: int64(n)}, nil
		}
	}
	return value{}, p.wrong("no value of a known type")
}

// array reads [ … ], of which p stands on the bracket.
func (p *parser) array(depth int) (value, error) {
	v := value{kind: kindArray}
	p.at++
	if p.take(']') {
		return v, nil
	}
	for {
		item, err := p.value(depth + 1)
		if err != nil {
			return value{}, err
		}
		v.list = append(v.list, item)
		if p.take(']') {
			return v, nil
		}
		if !p.take(',') {
			return value{}, p.wrong("want , or ] in an array")
		}
	}
}

// object wants names that grow, which refuses double ones too.
func (p *parser) object(depth int) (value, error) {
	v := value{kind: kindObject}
	p.at++
	if p.take('}') {
		return v, nil
	}
	for {
		m, err := p.member(depth)
		if err != nil {
			return value{}, err
		}
		if n := len(v.members); n > 0 && compareNames(v.members[n-1].name, m.name) >= 0 {
			return value{}, p.wrong("names are double or out of order")
		}
		v.members = append(v.members, m)
		if p.take('}') {
			return v, nil
		}
		if !p.take(',') {
			return value{}, p.wrong("want , or } in an object")
		}
	}
}

// member reads a name, a colon and a value.
func (p *parser) member(depth int) (m member, err error) {
	if p.next() != '"' {
		return m, p.wrong("want a name")
	}
	if m.name, err = p.text(); err != nil {
		return m, err
	}
	if !p.take(':') {
		return m, p.wrong("want : after a name")
	}
	m.value, err = p.value(depth + 1)
	return m, err
}

// integer reads a decimal integer without leading zeros, fraction, exponent or -0.
func (p *parser) integer() (value, error) {
	start := p.at
	p.take('-')
	first := p.at
	for c := p.next(); c >= '0' && c <= '9'; c = p.next() {
		p.at++
	}
	digits := p.in[first:p.at]
	if len(digits) == 0 || digits[0] == '0' && (len(digits) > 1 || first > start) {
		return value{}, p.wrong("not the one form of an integer")
	}
	n, err := strconv.ParseInt(string(p.in[start:p.at]), 10, 64)
	if err != nil || n > IntegerMax || n < -IntegerMax {
		return value{}, p.wrong("an integer has more than 53 bits")
	}
	return integer(n), nil
}

// text reads a string in which only what must be escaped is, in its one form.
func (p *parser) text() (string, error) {
	p.at++
	var b strings.Builder
	for {
		start := p.at
		for c := p.next(); c >= 0x20 && c != '"' && c != '\\'; c = p.next() {
			p.at++
		}
		if !utf8.Valid(p.in[start:p.at]) {
			return "", p.wrong("a string is not UTF-8")
		}
		b.Write(p.in[start:p.at])
		switch {
		case p.take('"'):
			return b.String(), nil
		case p.take('\\'):
			c, err := p.escape()
			if err != nil {
				return "", err
			}
			b.WriteByte(c)
		default:
			return "", p.wrong("a string does not end, or holds a bare control character")
		}
	}
}

// escape reads what follows a backslash.
func (p *parser) escape() (byte, error) {
	c := p.next()
	if c == '"' || c == '\\' {
		p.at++
		return c, nil
	}
	for control, letter := range short {
		if letter != 0 && c == letter {
			p.at++
			return byte(control), nil
		}
	}
	if p.at+5 > len(p.in) || string(p.in[p.at:p.at+3]) != "u00" {
		return 0, p.wrong("an escape that is not needed or not known")
	}
	high := strings.IndexByte(hexDigits[:2], p.in[p.at+3])
	low := strings.IndexByte(hexDigits, p.in[p.at+4])
	if high < 0 || low < 0 || short[high<<4|low] != 0 {
		return 0, p.wrong("an escape that is not needed or not in its one form")
	}
	p.at += 5
	return byte(high<<4 | low), nil
}
