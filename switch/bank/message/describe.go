package message

import (
	"fmt"
	"strings"
	"unicode"
)

// Describe returns the message for people, a line a field. It shows what the spec says may
// be shown: of a card number the first six and last four digits, of tracks, PIN blocks, keys,
// ICC data and private fields only the length. Characters that steer a terminal are shown as
// dots.
func (m *Message) Describe() string {
	var b strings.Builder
	s := m.spec
	fmt.Fprintf(&b, "%s  %s\n", s.name, s.title)
	switch s.envelope {
	case TPDUHeader:
		fmt.Fprintf(&b, "  TPDU    %X\n  header  %X\n", m.TPDU[:], m.Header[:])
	case TPDUOnly:
		fmt.Fprintf(&b, "  TPDU    %X\n", m.TPDU[:])
	case CUPSHead:
		fmt.Fprintf(&b, "  to %s  from %s  reject %s\n", clean(m.CUPS.Destination()),
			clean(m.CUPS.Source()), clean(m.CUPS.Reject()))
	}
	fmt.Fprintf(&b, "  type    %v\n", m.mti)
	for _, n := range m.Numbers() {
		fmt.Fprintf(&b, "  %3d  %-26s  %s\n", n, s.fields[n].name, m.Shown(n))
	}
	return b.String()
}

// Shown returns what of field n a person may see, "" when it is not there.
func (m *Message) Shown(n int) string {
	if !m.Has(n) {
		return ""
	}
	text, _ := m.Text(n)
	value := m.body().value(n)
	switch m.spec.fields[n].show {
	case ShowHidden:
		return fmt.Sprintf("(%d not shown)", len(value))
	case ShowPAN:
		return maskPAN(text)
	}
	text = clean(text)
	if n == 39 {
		text += "  " + MeaningOf(string(value)).English
	}
	return text
}

// What of a card number PCI DSS 3.4.1 allows to show.
const (
	shownFirst = 6
	shownLast  = 4
	shownMin   = 13 // shorter numbers show their last four only
)

func maskPAN(digits string) string {
	n := len(digits)
	switch {
	case n < shownLast*2:
		return strings.Repeat("*", n)
	case n < shownMin:
		return strings.Repeat("*", n-shownLast) + digits[n-shownLast:]
	}
	return digits[:shownFirst] + strings.Repeat("*", n-shownFirst-shownLast) +
		digits[n-shownLast:]
}

func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '.'
		}
		return r
	}, text)
}
