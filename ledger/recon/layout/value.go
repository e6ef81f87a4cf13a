package layout

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding/simplifiedchinese"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// amountMax bounds one amount in minor units: what a clearing house moves in a year is less.
const amountMax = 1e15

var (
	errAmount   = errors.New("is no amount")
	errNumber   = errors.New("is no number")
	errMoment   = errors.New("is no such date or time")
	errEncoding = errors.New("is not in the encoding of the layout")
)

// shownMax is the longest text that a message shows of an amount. A longer one, or one with as many
// digits as a card number has, is not shown: it may be one.
const shownMax, shownDigitsMax = 24, 11

// parseAmount reads an amount: an optional sign before or behind, digits with the column's
// separator of groups, and a decimal mark or implied decimals. The error says which form is wanted
// and what stands there.
func (c *column) parseAmount(s string) (int64, error) {
	v, err := c.amountOf(s)
	if err == nil {
		return v, nil
	}
	shown := fmt.Sprintf("a text of %d bytes", len(s))
	n := 0
	for _, r := range s {
		if unicode.IsDigit(r) {
			n++
		}
	}
	if len(s) <= shownMax && n <= shownDigitsMax {
		shown = strconv.Quote(s)
	}
	return 0, fmt.Errorf("%w: %s, want %s", err, shown, c.amountForm())
}

// amountForm says how the column's amounts are written.
func (c *column) amountForm() string {
	form := fmt.Sprintf("digits alone, the last %d of them decimals (point: true for a decimal mark)",
		c.decimals)
	if c.point {
		form = fmt.Sprintf("digits with %q before up to %d decimals (", c.markOf(), c.decimals)
		if c.mark == "" {
			form += `point: true; mark: "," for a decimal comma)`
		} else {
			form += fmt.Sprintf("mark: %q)", c.mark)
		}
	}
	if c.group != "" {
		form += fmt.Sprintf(" and groups apart by %q", c.group)
	}
	return form
}

// markOf is what stands before the decimals.
func (c *column) markOf() string {
	if c.mark == "" {
		return "."
	}
	return c.mark
}

func (c *column) amountOf(s string) (int64, error) {
	negative := false
	switch {
	case strings.HasPrefix(s, "-"), strings.HasPrefix(s, "+"):
		negative, s = s[0] == '-', s[1:]
	case strings.HasSuffix(s, "-"), strings.HasSuffix(s, "+"):
		negative, s = s[len(s)-1] == '-', s[:len(s)-1]
	}
	whole, rest, _ := strings.Cut(s, c.markOf())
	if !c.point && len(whole) != len(s) || len(rest) > c.decimals && strings.Trim(rest[c.decimals:], "0") != "" {
		return 0, errAmount
	}
	if c.group != "" {
		whole = strings.ReplaceAll(whole, c.group, "")
	}
	rest = rest[:min(len(rest), c.decimals)]
	v, err := digits(0, whole)
	if err == nil {
		v, err = digits(v, rest)
	}
	if err != nil || whole == "" {
		return 0, errAmount
	}
	scale := 2 - c.decimals
	if c.point {
		scale = 2 - len(rest)
	}
	for ; scale > 0; scale-- {
		v *= 10
	}
	if v > amountMax {
		return 0, errAmount
	}
	if negative {
		v = -v
	}
	return v, nil
}

// digits goes on with a number, far from the end of int64.
func digits(v int64, s string) (int64, error) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' || v > amountMax {
			return 0, errNumber
		}
		v = v*10 + int64(s[i]-'0')
	}
	return v, nil
}

func parseCount(s string) (int64, error) {
	if s == "" {
		return 0, errNumber
	}
	return digits(0, s)
}

// pattern is a compiled format of dates and times.
type pattern []token

type token struct {
	unit  byte // Y year, y two-digit year, M, D, h, m, s, f thousandths, Z offset; 0 for a literal
	width int
	text  string
}

// units are the words of a format, the longest first.
var units = []struct {
	word string
	unit byte
}{{"YYYY", 'Y'}, {"fff", 'f'}, {"YY", 'y'}, {"MM", 'M'}, {"DD", 'D'}, {"hh", 'h'}, {"mm", 'm'},
	{"ss", 's'}, {"Z", 'Z'}}

// compile reads a format such as YYYYMMDDhhmmss; what tells why it is none.
func compile(format string) (p pattern, what string) {
	if format == "" {
		return nil, "is missing; write YYYYMMDD, hh:mm:ss or the like"
	}
	seen := map[byte]bool{}
next:
	for format != "" {
		for _, u := range units {
			rest, ok := strings.CutPrefix(format, u.word)
			if !ok {
				continue
			}
			if seen[u.unit] {
				return nil, u.word + " stands twice"
			}
			seen[u.unit], format = true, rest
			p = append(p, token{unit: u.unit, width: len(u.word)})
			continue next
		}
		if c := format[0]; c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' && c != 'T' {
			return nil, fmt.Sprintf("%q is no unit; known are YYYY YY MM DD hh mm ss fff Z", format)
		}
		p = append(p, token{text: format[:1]})
		format = format[1:]
	}
	return p, ""
}

// moment is a date and time in parts, put together from one or several columns.
type moment struct {
	year, month, day, hour, minute, second, milli int
	set, zoned                                    bool
	offset                                        int // seconds
}

// parse reads s by the pattern into the moment.
func (p pattern) parse(s string, m *moment) error {
	for _, t := range p {
		switch {
		case t.unit == 0:
			if !strings.HasPrefix(s, t.text) {
				return errMoment
			}
			s = s[len(t.text):]
		case t.unit == 'Z':
			var err error
			if s, err = m.parseOffset(s); err != nil {
				return err
			}
		default:
			if len(s) < t.width {
				return errMoment
			}
			v, err := digits(0, s[:t.width])
			if err != nil {
				return errMoment
			}
			m.take(t.unit, int(v))
			s = s[t.width:]
		}
	}
	if s != "" {
		return errMoment
	}
	m.set = true
	return nil
}

func (m *moment) take(unit byte, v int) {
	switch unit {
	case 'Y':
		m.year = v
	case 'y':
		m.year = 2000 + v
	case 'M':
		m.month = v
	case 'D':
		m.day = v
	case 'h':
		m.hour = v
	case 'm':
		m.minute = v
	case 's':
		m.second = v
	case 'f':
		m.milli = v
	}
}

// parseOffset reads an optional fraction of a second and an optional offset, as ISO 8601 has
// them at the end.
func (m *moment) parseOffset(s string) (string, error) {
	if strings.HasPrefix(s, ".") {
		n := 1
		for n < len(s) && s[n] >= '0' && s[n] <= '9' {
			n++
		}
		v, _ := digits(0, (s[1:n] + "000")[:3])
		m.milli, s = int(v), s[n:]
	}
	if s == "" {
		return s, nil
	}
	t, err := time.Parse("Z07:00", s)
	if err != nil {
		return s, errMoment
	}
	_, m.offset = t.Zone()
	m.zoned = true
	return "", nil
}

// near puts the year to a moment without one: the year that brings it nearest to day.
func (m *moment) near(day txn.BusinessDate) {
	if m.year != 0 || day == 0 || m.month == 0 {
		return
	}
	m.year = int(day / 10000)
	switch d := m.month - int(day/100%100); {
	case d > 6:
		m.year--
	case d < -6:
		m.year++
	}
}

// date returns the date of a moment.
func (m *moment) date() (txn.BusinessDate, error) {
	d := txn.BusinessDate(m.year*10_000 + m.month*100 + m.day)
	if m.year < 1970 || m.month < 1 || m.month > 12 || !d.Valid() {
		return 0, errMoment
	}
	return d, nil
}

// millis returns the instant; hour 24 and second 60 are refused.
func (m *moment) millis(zone *time.Location) (txn.Millis, error) {
	if _, err := m.date(); err != nil {
		return 0, err
	}
	if m.hour > 23 || m.minute > 59 || m.second > 59 {
		return 0, errMoment
	}
	if m.zoned {
		zone = time.FixedZone("", m.offset)
	}
	t := time.Date(m.year, time.Month(m.month), m.day, m.hour, m.minute, m.second,
		m.milli*int(time.Millisecond), zone)
	return txn.MillisOf(t), nil
}

// decode turns bytes of the layout's encoding into text. Pure ASCII is shared, not copied.
func (l *Layout) decode(b []byte) (string, error) {
	ascii := true
	for _, c := range b {
		if c < ' ' && c != '\t' {
			return "", errEncoding
		}
		ascii = ascii && c < utf8.RuneSelf
	}
	if ascii {
		return string(b), nil
	}
	if l.encoding == "utf-8" {
		if !utf8.Valid(b) {
			return "", errEncoding
		}
		return string(b), nil
	}
	encoding := simplifiedchinese.GB18030
	if l.encoding == "gbk" {
		encoding = simplifiedchinese.GBK
	}
	out, err := encoding.NewDecoder().Bytes(b)
	if err != nil || strings.ContainsRune(string(out), utf8.RuneError) {
		return "", errEncoding
	}
	return string(out), nil
}

// encode turns a text into bytes of the layout's encoding.
func (l *Layout) encode(s string) ([]byte, error) {
	switch l.encoding {
	case "gbk":
		return simplifiedchinese.GBK.NewEncoder().Bytes([]byte(s))
	case "gb18030":
		return simplifiedchinese.GB18030.NewEncoder().Bytes([]byte(s))
	}
	return []byte(s), nil
}

// refine cuts and translates a text as the column says.
func (c *column) refine(s string) (string, error) {
	s = strings.Trim(s, " \t\u3000")
	if c.pad != "" {
		s = strings.TrimLeft(s, c.pad)
	}
	if c.first > 0 && len(s) > c.first {
		s = s[:c.first]
	}
	if c.last > 0 && len(s) > c.last {
		s = s[len(s)-c.last:]
	}
	if s == "" && !c.optional {
		return "", errors.New("is empty")
	}
	if c.is != "" && s != c.is {
		return "", fmt.Errorf("is not %q", c.is)
	}
	if len(c.words) == 0 || s == "" {
		return s, nil
	}
	word, ok := c.words[s]
	if !ok {
		return "", errors.New("is a value that the layout does not know")
	}
	return word, nil
}

// currencyOf reads an ISO 4217 number.
func currencyOf(s string) (txn.Currency, error) {
	v, err := parseCount(s)
	if err != nil || v == 0 || v > 999 {
		return 0, errNumber
	}
	return txn.Currency(v), nil
}
