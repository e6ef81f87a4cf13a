package flat

import (
	"unicode/utf16"
	"unicode/utf8"
)

// Fault says what is wrong with a text.
type Fault uint8

// The faults.
const (
	OK          Fault = iota
	Malformed         // not JSON
	Trailing          // bytes after the end
	InvalidUTF8       // a string is not UTF-8
	TooDeep           // an array or object within one, where neither belongs
	WrongType         // well-formed, and not what was asked for
)

// Scanner walks over one JSON text. It is for one goroutine; the zero Scanner reads
// nothing.
type Scanner struct {
	b []byte
	i int
	// scratch takes strings that had escapes; earlier ones stay valid when it grows.
	scratch []byte
}

// Reset begins a new text. What was read from the one before must not be used any more.
func (s *Scanner) Reset(b []byte) { s.b, s.i, s.scratch = b, 0, s.scratch[:0] }

// Wipe clears what the Scanner holds of its text.
func (s *Scanner) Wipe() {
	clear(s.scratch)
	s.b = nil
}

func (s *Scanner) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return
		}
	}
}

// Peek returns the next byte that is no white space, 0 at the end. A zero byte is not
// valid JSON, so it needs no distinction.
func (s *Scanner) Peek() byte {
	s.space()
	if s.i >= len(s.b) {
		return 0
	}
	return s.b[s.i]
}

// Eat takes the next byte that is no white space if it is c.
func (s *Scanner) Eat(c byte) bool {
	if s.Peek() != c {
		return false
	}
	s.i++
	return true
}

// End refuses everything but white space up to the end.
func (s *Scanner) End() Fault {
	if s.space(); s.i < len(s.b) {
		return Trailing
	}
	return OK
}

// Text reads a string; the next byte is its quote. The result points into the text or
// into the Scanner, and is valid until Reset.
func (s *Scanner) Text() ([]byte, Fault) {
	s.i++
	start, ascii := s.i, true
	for s.i < len(s.b) {
		switch c := s.b[s.i]; {
		case c == '"':
			out := s.b[start:s.i]
			s.i++
			if !ascii && !utf8.Valid(out) {
				return nil, InvalidUTF8
			}
			return out, OK
		case c == '\\':
			return s.escaped(start)
		case c < ' ':
			return nil, Malformed
		case c >= utf8.RuneSelf:
			ascii = false
		}
		s.i++
	}
	return nil, Malformed
}

// escaped reads on in a string that has escapes, from its first backslash.
func (s *Scanner) escaped(start int) ([]byte, Fault) {
	from := len(s.scratch)
	s.scratch = append(s.scratch, s.b[start:s.i]...)
	for s.i < len(s.b) {
		c := s.b[s.i]
		s.i++
		switch {
		case c == '"':
			out := s.scratch[from:]
			if !utf8.Valid(out) {
				return nil, InvalidUTF8
			}
			return out, OK
		case c == '\\':
			if !s.escape() {
				return nil, Malformed
			}
		case c < ' ':
			return nil, Malformed
		default:
			s.scratch = append(s.scratch, c)
		}
	}
	return nil, Malformed
}

// simpleEscapes maps the byte after a backslash to what it stands for.
var simpleEscapes = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f',
	'n': '\n', 'r': '\r', 't': '\t'}

// escape reads what follows a backslash into scratch.
func (s *Scanner) escape() bool {
	if s.i >= len(s.b) {
		return false
	}
	c := s.b[s.i]
	s.i++
	if c != 'u' {
		plain := simpleEscapes[c]
		s.scratch = append(s.scratch, plain)
		return plain != 0
	}
	r, ok := s.hex4()
	if !ok {
		return false
	}
	if utf16.IsSurrogate(r) {
		if s.i+2 > len(s.b) || s.b[s.i] != '\\' || s.b[s.i+1] != 'u' {
			return false
		}
		s.i += 2
		low, ok := s.hex4()
		if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
			return false
		}
	}
	s.scratch = utf8.AppendRune(s.scratch, r)
	return true
}

func (s *Scanner) hex4() (rune, bool) {
	if s.i+4 > len(s.b) {
		return 0, false
	}
	var r rune
	for _, c := range s.b[s.i : s.i+4] {
		d, ok := hexDigit(c)
		if !ok {
			return 0, false
		}
		r = r<<4 | rune(d)
	}
	s.i += 4
	return r, true
}

// hexDigit reads one digit of either case.
func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	default:
		return 0, false
	}
}

// Number is a JSON number as far as the switch cares.
type Number struct {
	Value    int64 // magnitude, when Overflow is false
	Negative bool
	Fraction bool // has a fraction or an exponent
	Overflow bool
}

// Number reads a number; the next byte is '-' or a digit.
func (s *Scanner) Number() (Number, Fault) {
	var n Number
	if s.b[s.i] == '-' {
		n.Negative = true
		s.i++
	}
	start := s.i
	for s.i < len(s.b) && isDigit(s.b[s.i]) {
		d := int64(s.b[s.i] - '0')
		if n.Value > (1<<63-1-d)/10 {
			n.Overflow = true
		} else {
			n.Value = n.Value*10 + d
		}
		s.i++
	}
	if s.i == start || s.b[start] == '0' && s.i > start+1 {
		return n, Malformed
	}
	if s.i < len(s.b) && s.b[s.i] == '.' {
		n.Fraction = true
		s.i++
		if !s.digits() {
			return n, Malformed
		}
	}
	if s.i < len(s.b) && s.b[s.i]|0x20 == 'e' {
		n.Fraction = true
		s.i++
		if s.i < len(s.b) && (s.b[s.i] == '+' || s.b[s.i] == '-') {
			s.i++
		}
		if !s.digits() {
			return n, Malformed
		}
	}
	return n, OK
}

// digits takes one digit or more.
func (s *Scanner) digits() bool {
	start := s.i
	for s.i < len(s.b) && isDigit(s.b[s.i]) {
		s.i++
	}
	return s.i > start
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// literal takes true, false or null; no field of the API takes one.
func (s *Scanner) literal() Fault {
	for _, word := range [...]string{"true", "false", "null"} {
		if len(s.b)-s.i >= len(word) && string(s.b[s.i:s.i+len(word)]) == word {
			s.i += len(word)
			return WrongType
		}
	}
	return Malformed
}

// Wrong says what is wrong with a value that is not of the form asked for. The next byte
// is the value's first.
func (s *Scanner) Wrong() Fault {
	switch c := s.Peek(); {
	case c == '"':
		if _, r := s.Text(); r != OK {
			return r
		}
		return WrongType
	case c == '-' || isDigit(c):
		if _, r := s.Number(); r != OK {
			return r
		}
		return WrongType
	case c == '{' || c == '[':
		s.i++
		if c := s.Peek(); c == '{' || c == '[' {
			return TooDeep
		}
		return WrongType
	default:
		return s.literal()
	}
}

// Value takes one value as it stands, by its brackets and strings, no deeper than depthMax.
// It does not check what stands between them; nothing at all is Malformed.
func (s *Scanner) Value(depthMax int) ([]byte, Fault) {
	s.space()
	start := s.i
	if fault := s.skip(depthMax); fault != OK {
		return nil, fault
	}
	if s.i == start {
		return nil, Malformed
	}
	return s.b[start:s.i], OK
}

// skip walks over one value for Value.
func (s *Scanner) skip(depthMax int) Fault {
	depth := 0
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case '"':
			if !s.skipText() {
				return Malformed
			}
			continue
		case '{', '[':
			if depth++; depth > depthMax {
				return TooDeep
			}
		case '}', ']':
			if depth == 0 {
				return OK
			}
			if depth--; depth == 0 {
				s.i++
				return OK
			}
		case ',':
			if depth == 0 {
				return OK
			}
		}
		s.i++
	}
	return Malformed
}

func (s *Scanner) skipText() bool {
	for s.i++; s.i < len(s.b); s.i++ {
		switch s.b[s.i] {
		case '\\':
			s.i++
		case '"':
			s.i++
			return true
		}
	}
	s.i = len(s.b) // a backslash at the end led one byte too far
	return false
}
