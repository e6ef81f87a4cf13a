package inspect

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// Finding is what is wrong in a frame. It shows no value.
type Finding struct {
	Source string `json:"source"`
	Line   int    `json:"line"`
	Field  int    `json:"field"` // 0 is the message type, -1 the frame
	Rule   string `json:"rule"`
	Text   string `json:"text"`
}

// WriteFindings writes what was found in f in one piece, a line a finding.
func WriteFindings(w io.Writer, f Frame, all []Finding, asJSON bool) error {
	var b bytes.Buffer
	for _, finding := range all {
		finding.Source, finding.Line = f.Source, f.Line
		if asJSON {
			text, err := json.Marshal(finding)
			if err != nil {
				return err
			}
			b.Write(append(text, '\n'))
			continue
		}
		where := fmt.Sprintf("field %d", finding.Field)
		switch finding.Field {
		case 0:
			where = "message type"
		case -1:
			where = "frame"
		}
		fmt.Fprintf(&b, "%v: %s: %s: %s\n", f, where, finding.Rule, finding.Text)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// lint collects the findings of a message.
type lint struct {
	*reading
	findings []Finding
}

func (l *lint) add(field int, rule, format string, args ...any) {
	l.findings = append(l.findings, Finding{Field: field, Rule: rule, Text: fmt.Sprintf(format,
		args...)})
}

// Lint looks at a frame. readable is false for one that is no message; then the finding says
// why.
func (o *Format) Lint(f Frame) (all []Finding, readable bool) {
	m, err := (*reading)(nil), f.Err
	if err == nil {
		m, err = o.parse(f.Data)
	}
	if err != nil {
		field := -1
		var format *message.FormatError
		if errors.As(err, &format) && format.Field > 1 {
			field = format.Field
		}
		return []Finding{{Field: field, Rule: "unreadable", Text: err.Error()}}, false
	}
	l := &lint{reading: m}
	l.canonical()
	l.combination()
	l.layout()
	l.card()
	l.times()
	l.response()
	l.amount()
	l.placeOfMAC()
	if o.MAC != nil {
		if err := message.Verify(m.Spec(), m.frame, o.MAC); errors.Is(err, message.ErrMAC) {
			l.add(-1, "mac", "the MAC does not hold under the key")
		}
	}
	return l.findings, true
}

// span is where a field stands in a frame.
type span struct{ field, from, to int }

// spans returns where the fields stand. The sizes of the fields are those of frames that hold
// one field each.
func (l *lint) spans() []span {
	size := func(numbers ...int) int {
		m := message.New(l.Spec(), l.MTI())
		m.TPDU, m.Header, m.CUPS = l.TPDU, l.Header, l.CUPS
		if m.Copy(l.Message, numbers...) != nil {
			return 0
		}
		out, err := m.Append(nil)
		if err != nil {
			return 0
		}
		return len(out)
	}
	empty := size()
	bitmap := 8
	if empty-l.Spec().Envelope().Size() >= 18 {
		bitmap = 16 // in hex
	}
	var all []span
	at := len(l.frame)
	numbers := l.Numbers()
	for _, n := range slices.Backward(numbers) {
		taken := size(n) - empty
		if n > 64 {
			taken -= bitmap
		}
		all = append(all, span{n, at - taken, at})
		at -= taken
	}
	slices.Reverse(all)
	return all
}

// canonical reports bytes that the spec would write otherwise.
func (l *lint) canonical() {
	out, err := l.Append(nil)
	if err != nil || len(out) != len(l.frame) {
		l.add(-1, "canonical", "the frame is written in another way than the spec's")
		return
	}
	if bytes.Equal(out, l.frame) {
		return
	}
	body := len(l.frame)
	for _, s := range l.spans() {
		body = min(body, s.from)
		if s.from < 0 || bytes.Equal(out[s.from:s.to], l.frame[s.from:s.to]) {
			continue
		}
		info, _ := l.Spec().Field(s.field)
		if info.Encoding == message.Hex {
			l.add(s.field, "canonical", "its hex is in lower case")
		} else {
			l.add(s.field, "filler", "the nibble that fills it up is not the spec's")
		}
	}
	if body >= 0 && !bytes.Equal(out[:body], l.frame[:body]) {
		l.add(-1, "canonical", "header or bitmap are written in another way than the spec's")
	}
}

// combination reports kinds of messages that are none, and fields that are missing.
func (l *lint) combination() {
	if l.Spec().Dialect() != message.POS {
		l.missing(bankNeeds(l.Message))
		return
	}
	r, why := posRuleOf(l.Message)
	if why != nil {
		l.findings = append(l.findings, *why)
	}
	if r == nil {
		return
	}
	l.missing(posNeeds(l.Message, r))
	if r.card && !l.MTI().IsResponse() && !l.Has(2) && !l.Has(35) && !l.Has(36) {
		l.add(2, "mandatory", "neither card number nor track is there")
	}
}

func (l *lint) missing(needs []int) {
	slices.Sort(needs)
	for _, n := range needs {
		if !l.Has(n) {
			info, _ := l.Spec().Field(n)
			l.add(n, "mandatory", "%s is missing", info.Name)
		}
	}
}

// layout reports private fields whose parts do not stand as they have to.
func (l *lint) layout() {
	if digits, ok := l.Digits(90); ok {
		l.originalElements(digits)
	}
	if l.Spec().Dialect() != message.POS {
		return
	}
	if digits, ok := l.Digits(60); ok {
		p, err := message.ParsePrivate(digits)
		if err != nil {
			l.add(60, "layout", "%v", err)
		} else if p.Rest != "" {
			l.add(60, "layout", "%d digits follow the last part", len(p.Rest))
		}
	}
	if digits, ok := l.Digits(61); ok {
		o, err := message.ParseOriginal(digits)
		switch {
		case err != nil:
			l.add(61, "layout", "%v", err)
		case o.Rest != "":
			l.add(61, "layout", "%d digits follow the last part", len(o.Rest))
		case o.Date != "" && o.Date != "0000" && !isDate(o.Date):
			l.add(61, "time", "the date of the original does not exist")
		}
	}
	l.settlement()
}

func (l *lint) originalElements(digits string) {
	o, err := message.ParseOriginalElements(digits)
	if err != nil {
		l.add(90, "layout", "%v", err)
		return
	}
	t, err := message.ParseMTI(o.MTI)
	switch {
	case err != nil || t.IsResponse():
		l.add(90, "layout", "the type of the original is not that of a request")
	case o.STAN == "000000":
		l.add(90, "layout", "the trace number of the original is zero")
	}
	if !isDate(o.Sent[:4]) || !isTime(o.Sent[4:]) {
		l.add(90, "time", "the time of the original does not exist")
	}
}

// settlement reports totals and uploads that are none.
func (l *lint) settlement() {
	digits, ok := l.Digits(48)
	if !ok {
		return
	}
	switch l.MTI().Class() {
	case message.Reconciliation:
		s, err := message.ParseSettlement(digits)
		if err != nil {
			l.add(48, "layout", "%v", err)
		} else if !l.MTI().IsResponse() &&
			(s.Domestic.Verdict != message.Unsettled || s.Foreign.Verdict != message.Unsettled) {
			l.add(48, "layout", "a request says how the settlement came out")
		}
	case message.File:
		if n := privateOf(l.Message).Network; n != "201" {
			return
		}
		if _, err := message.ParseUpload(digits); err != nil {
			l.add(48, "layout", "%v", err)
		}
	}
}

// card reports card numbers that are none, and a track of another card.
func (l *lint) card() {
	digits, ok := l.Digits(2)
	number, err := pan.Parse(digits)
	if ok && (err != nil || pan.Guess(number) != pan.TUnion && !number.Luhn()) {
		l.add(2, "luhn", "the check digit is wrong")
	}
	if security, err := message.ParseSecurity(l.text(53)); err == nil && security.TrackEncrypted {
		return
	}
	if !l.Has(35) {
		return
	}
	track, err := pan.ParseTrack2([]byte(l.text(35)))
	if err != nil {
		l.add(35, "track2", "it is not number, separator, expiry and service code")
		return
	}
	if ok && track.Number != number {
		l.add(35, "track2", "its card number is not that of field 2")
	}
	if expiry := l.text(14); expiry != "" && expiry != "0000" && expiry != string(track.Expiry[:]) {
		l.add(35, "track2", "its expiry is not that of field 14")
	}
}

func (l *lint) text(n int) string {
	text, _ := l.Text(n)
	return text
}

// times reports times and dates that do not exist.
func (l *lint) times() {
	for _, f := range []struct {
		field int
		ok    func(string) bool
	}{
		{7, func(s string) bool { return isDate(s[:4]) && isTime(s[4:]) }},
		{12, isTime}, {13, isDate},
		{14, func(s string) bool { return s == "0000" || between(s[2:], 1, 12) }},
		{15, isDate}, {16, isDate}, {17, isDate},
	} {
		if digits, ok := l.Digits(f.field); ok && !(f.field > 14 && digits == "0000") &&
			!f.ok(digits) {
			l.add(f.field, "time", "no such time")
		}
	}
}

func between(digits string, low, high int) bool {
	n, err := strconv.Atoi(digits)
	return err == nil && n >= low && n <= high
}

// isDate reports whether MMDD is a day of some year.
func isDate(mmdd string) bool {
	if len(mmdd) != 4 || !between(mmdd[:2], 1, 12) {
		return false
	}
	month, _ := strconv.Atoi(mmdd[:2])
	days := [...]int{31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}
	return between(mmdd[2:], 1, days[month-1])
}

// isTime reports whether hhmmss is a time of day.
func isTime(hhmmss string) bool {
	return len(hhmmss) == 6 && between(hhmmss[:2], 0, 23) && between(hhmmss[2:4], 0, 59) &&
		between(hhmmss[4:], 0, 59)
}

// response reports codes that are not in the table, and codes in requests.
func (l *lint) response() {
	if !l.Has(39) {
		return
	}
	code := l.ResponseCode()
	switch {
	case l.MTI().IsResponse():
		if !message.MeaningOf(code).Known {
			l.add(39, "code", "the code is not in the table and is taken as a refusal")
		}
	case l.MTI().Class() != message.Reversal:
		l.add(39, "code", "a request has a response code")
	case l.Spec().Dialect() == message.POS && !slices.Contains([]string{"98", "A0", "96", "06"},
		code):
		l.add(39, "code", "it is no reason for a reversal: 98, A0, 96 or 06")
	}
}

// amount reports transactions of nothing.
func (l *lint) amount() {
	minor, ok := l.Amount()
	if !ok || minor != 0 || strings.HasPrefix(l.ProcessingCode(), "3") {
		return
	}
	switch l.MTI().Class() {
	case message.Authorization, message.Financial, message.Reversal:
		l.add(4, "amount", "the amount is zero")
	}
}

// placeOfMAC reports fields that the MAC does not cover.
func (l *lint) placeOfMAC() {
	sum, err := message.Peek(l.Spec(), l.frame)
	if err == nil && sum.MAC.To != 0 && sum.MAC.To != len(l.frame) {
		l.add(-1, "mac", "fields follow the MAC and are not covered by it")
	}
}
