package inspect

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/tapswitch/tapswitch/crypto/tlv"
	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// printable shows characters that steer a terminal as dots.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '.'
		}
		return r
	}, text)
}

// typeMeaning says what a message is.
func typeMeaning(m *message.Message) string {
	classes := [...]string{"", "authorization", "financial", "file", "reversal", "reconciliation",
		"administrative", "fee", "network management", "signature"}
	functions := [...]string{"request", "answer", "advice", "answer to an advice", "notification",
		"notification answer", "instruction", "instruction answer", "?", "?"}
	t := m.MTI()
	text := classes[t.Class()%10] + " " + functions[t.Function()%10]
	if t.IsRepeat() {
		text += ", sent again"
	}
	if m.Spec().Dialect() == message.POS {
		if r, _ := posRuleOf(m); r != nil {
			text += ": " + r.name
		}
	}
	return text
}

// partsOf takes a field apart. What it returns is masked whatever the flags: neither card
// number, track, PIN, key nor cryptogram.
func partsOf(m *message.Message, n int) []Part {
	text, _ := m.Text(n)
	switch n {
	case 54:
		return balanceParts(text)
	case 55:
		return chipParts(m)
	case 90:
		if digits, ok := m.Digits(n); ok {
			return elementParts(digits)
		}
	}
	if m.Spec().Dialect() != message.POS {
		return nil
	}
	switch n {
	case 22:
		return entryParts(text)
	case 48:
		return settlementParts(m, text)
	case 53:
		return securityParts(text)
	case 60:
		return privateParts(text)
	case 61:
		return originalParts(text)
	case 62:
		return keyParts(m)
	case 63:
		return noticeParts(m)
	}
	return nil
}

// row makes the parts that are there of pairs of name and value, numbered from 1.
func row(field int, pairs ...string) []Part {
	var all []Part
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			all = append(all, Part{Part: fmt.Sprintf("%d.%d", field, i/2+1), Name: pairs[i],
				Value: pairs[i+1]})
		}
	}
	return all
}

func note(text string) []Part { return []Part{{Name: "note", Value: text}} }

func privateParts(digits string) []Part {
	p, err := message.ParsePrivate(digits)
	if err != nil {
		return note(err.Error())
	}
	return row(60, "transaction type", p.Type, "batch", p.Batch, "network code", p.Network,
		"read capability", p.ReadCapability, "chip condition", p.ICCondition,
		"partial approval", p.Partial, "account type", p.AccountType, "more", p.Rest)
}

func originalParts(digits string) []Part {
	o, err := message.ParseOriginal(digits)
	if err != nil {
		return note(err.Error())
	}
	return row(61, "original batch", o.Batch, "original trace number", o.STAN, "original date",
		o.Date, "authorization mode", o.AuthMode, "authorizer", o.Institution, "more", o.Rest)
}

func elementParts(digits string) []Part {
	o, err := message.ParseOriginalElements(digits)
	if err != nil {
		return note(err.Error())
	}
	return row(90, "original type", o.MTI, "original trace number", o.STAN, "original time",
		o.Sent, "acquirer", o.Acquirer, "forwarder", o.Forwarder)
}

func securityParts(digits string) []Part {
	s, err := message.ParseSecurity(digits)
	if err != nil {
		return note(err.Error())
	}
	parts := row(53, "PIN format", fmt.Sprint(s.PINFormat), "key algorithm",
		fmt.Sprint(s.KeyAlgorithm), "track encrypted", strconv.FormatBool(s.TrackEncrypted))
	parts[0].Meaning = map[byte]string{1: "without card number", 2: "with card number"}[s.PINFormat]
	parts[1].Meaning = map[byte]string{0: "DES", 4: "SM4", 6: "3DES"}[s.KeyAlgorithm]
	return parts
}

func entryParts(digits string) []Part {
	if len(digits) != 3 {
		return nil
	}
	parts := row(22, "how the card was read", digits[:2], "PIN", digits[2:])
	parts[0].Meaning = map[string]string{"01": "by hand", "02": "magnetic stripe", "05": "chip",
		"07": "contactless chip", "80": "stripe after the chip failed", "91": "contactless stripe",
		"95": "chip, special", "98": "contactless, special"}[digits[:2]]
	parts[1].Meaning = map[string]string{"0": "not said", "1": "entered", "2": "none"}[digits[2:]]
	return parts
}

func decimal(v int64) string {
	sign := ""
	if v < 0 {
		sign, v = "-", -v
	}
	return fmt.Sprintf("%s%d.%02d", sign, v/100, v%100)
}

func balanceParts(text string) []Part {
	all, err := message.ParseBalances(text)
	if err != nil {
		return note(err.Error())
	}
	var parts []Part
	for i, b := range all {
		parts = append(parts, Part{Part: fmt.Sprintf("54.%d", i+1),
			Name:  fmt.Sprintf("account %s amount %s", b.AccountType, b.AmountType),
			Value: fmt.Sprintf("%s %s", b.Currency, decimal(b.Minor))})
	}
	return parts
}

// settlementParts takes field 48 of a settlement or a batch upload apart.
func settlementParts(m *message.Message, digits string) []Part {
	switch m.MTI().Class() {
	case message.Reconciliation:
		s, err := message.ParseSettlement(digits)
		if err != nil {
			return note(err.Error())
		}
		return append(totalsParts("48.1", "domestic", s.Domestic), totalsParts("48.2", "foreign",
			s.Foreign)...)
	case message.File:
		rows, err := message.ParseUpload(digits)
		if err != nil {
			return note(err.Error())
		}
		var parts []Part
		for i, r := range rows {
			parts = append(parts, Part{Part: fmt.Sprintf("48.%d", i+1), Name: "row of type " +
				r.Type,
				Value: fmt.Sprintf("trace %06d  card %s  %s", r.STAN, r.PAN.Mask(),
					decimal(r.Amount))})
		}
		return parts
	}
	return nil
}

func totalsParts(part, name string, t message.Totals) []Part {
	verdicts := map[message.Verdict]string{message.Unsettled: "in a request",
		message.Balanced:   "balanced",
		message.Unbalanced: "not balanced", message.Failed: "error"}
	return []Part{
		{part, name + " debits", fmt.Sprintf("%d, %s", t.DebitCount, decimal(t.DebitAmount)), ""},
		{part, name + " credits", fmt.Sprintf("%d, %s", t.CreditCount, decimal(t.CreditAmount)),
			""},
		{part, name + " verdict", fmt.Sprint(byte(t.Verdict)), verdicts[t.Verdict]},
	}
}

// keyParts says which keys are in field 62, and nothing of them.
func keyParts(m *message.Message) []Part {
	content, _ := m.Bytes(62)
	if serial, ok := message.ParseSequence(content); ok {
		return []Part{{"62", "terminal serial", fmt.Sprintf("(%d not shown)", len(serial)), ""}}
	}
	if m.MTI() != message.NetworkResponse {
		return nil
	}
	keys, err := message.ParseWorkingKeys(content)
	if err != nil {
		return nil
	}
	var parts []Part
	for i, k := range []struct {
		name string
		key  message.WrappedKey
	}{{"PIN key", keys.PIN}, {"MAC key", keys.MAC}, {"track key", keys.Track}} {
		if k.key.Key != nil {
			parts = append(parts, Part{Part: fmt.Sprintf("62.%d", i+1), Name: k.name,
				Value: fmt.Sprintf("(%d bytes not shown)", len(k.key.Key))})
		}
	}
	return parts
}

// noticeParts shows the operator of a request, and the card brand and texts for the slip
// of an answer. Field 63 in another form stays hidden.
func noticeParts(m *message.Message) []Part {
	content, _ := m.Bytes(63)
	n, err := message.ParseNotice(content)
	if err != nil || len(content) > 3 && !m.MTI().IsResponse() {
		return nil
	}
	code := "operator"
	if m.MTI().IsResponse() {
		code = "card brand"
	}
	parts := row(63, code, n.Code, "issuer's text", n.Issuer, "network's text", n.Network,
		"host's text", n.Host)
	if slices.ContainsFunc(parts, func(p Part) bool {
		return strings.ContainsRune(p.Value, unicode.ReplacementChar) ||
			p.Value != printable(p.Value)
	}) {
		return nil
	}
	return parts
}

// chipTags are the tags of chip data with their names; the value is shown of those that are
// neither of the card nor of its keys (EMV Book 3 annex A).
func chipTags() map[tlv.Tag]struct {
	name  string
	shown bool
} {
	return map[tlv.Tag]struct {
		name  string
		shown bool
	}{
		0x57: {"track 2", false}, 0x5A: {"card number", false}, 0x71: {"issuer script 1", false},
		0x72: {"issuer script 2", false}, 0x82: {"interchange profile", true},
		0x84: {"application", true}, 0x8A: {"response code", true}, 0x91: {"issuer authentication",
			false},
		0x95: {"verification results", true}, 0x9A: {"date", true}, 0x9B: {"status", true},
		0x9C: {"type", true}, 0x5F24: {"expiry", false}, 0x5F2A: {"currency", true},
		0x5F34: {"card sequence number", false}, 0x9F02: {"amount", true}, 0x9F03: {"other amount",
			true},
		0x9F09: {"version", true}, 0x9F10: {"issuer's data", false}, 0x9F1A: {"country", true},
		0x9F1E: {"terminal serial", false}, 0x9F26: {"cryptogram", false},
		0x9F27: {"cryptogram kind", true}, 0x9F33: {"terminal capabilities", true},
		0x9F34: {"cardholder verification", true}, 0x9F35: {"terminal type", true},
		0x9F36: {"card counter", true}, 0x9F37: {"random number", false},
		0x9F41: {"terminal counter", true},
	}
}

// chipParts lists the elements of field 55.
func chipParts(m *message.Message) []Part {
	content, _ := m.Bytes(55)
	elements, err := tlv.Parse(nil, content)
	if err != nil {
		return note("not BER-TLV: " + err.Error())
	}
	tags := chipTags()
	var parts []Part
	for _, e := range elements {
		tag := tags[e.Tag]
		p := Part{Part: e.Tag.String(), Name: tag.name, Value: fmt.Sprintf("(%d bytes)",
			len(e.Value))}
		if tag.shown {
			p.Value = upperHex(e.Value)
		}
		parts = append(parts, p)
	}
	return parts
}
