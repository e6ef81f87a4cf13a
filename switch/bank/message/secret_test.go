package message

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// The canaries of the golden messages: card number, track, PIN block, ICC data, wrapped key.
var canaries = []string{"6225000000000000005", "225000000000000", "30122010000", "086BDB118D7AC25E",
	"A1A2A3A4A5A6A7A8", "2222222222222222"}

func holdsCanary(text string) string {
	for _, c := range canaries {
		raw := make([]byte, 0, len(c)/2)
		for i := 0; i+1 < len(c); i += 2 {
			if high, low := hexValue(c[i]), hexValue(c[i+1]); high|low < 16 {
				raw = append(raw, high<<4|low)
			}
		}
		for _, form := range []string{c, string(raw), fmt.Sprint([]byte(c)), fmt.Sprint(raw),
			fmt.Sprintf("%x", c)} {
			form = strings.ToUpper(strings.Trim(form, "[]"))
			if len(form) > 6 && strings.Contains(strings.ToUpper(text), form) {
				return c
			}
		}
	}
	return ""
}

// No error of a broken frame shows content, and Peek and Parse agree on each: every golden
// message cut at every length and with every byte changed (FAULTS.md row 63).
func TestErrorsShowNoContent(t *testing.T) {
	count := 0
	try := func(t *testing.T, s *Spec, frame []byte) {
		m, parseErr := Parse(s, frame)
		sum, peekErr := Peek(s, frame)
		if (parseErr == nil) != (peekErr == nil) {
			t.Fatalf("parse says %v, peek %v", parseErr, peekErr)
		}
		if parseErr == nil {
			sameValues(t, &sum, m)
		}
		for _, err := range []error{parseErr, peekErr} {
			if err == nil {
				continue
			}
			count++
			for _, text := range []string{err.Error(), fmt.Sprintf("%+v %#v", err, err)} {
				if c := holdsCanary(text); c != "" {
					t.Fatalf("an error shows %s…", c[:4])
				}
			}
		}
	}
	for _, g := range goldens(t) {
		s, frame := g.open(t)
		for i := range frame {
			try(t, s, frame[:i])
			for _, b := range []byte{0x00, 0xFF, frame[i] ^ 0x80, frame[i] ^ 0x0F} {
				bad := bytes.Clone(frame)
				bad[i] = b
				try(t, s, bad)
			}
		}
	}
	if count < 5000 {
		t.Errorf("only %d errors were seen", count)
	}
}

// Printing a message, a summary, a view or a writer, by every verb, as JSON and in a log,
// inside another value too, shows no content; a description shows what may be shown.
func TestPrintingShowsNoContent(t *testing.T) {
	for _, g := range goldens(t) {
		s, frame := g.open(t)
		m, err := Parse(s, frame)
		if err != nil {
			t.Fatal(err)
		}
		sum, err := Peek(s, frame)
		if err != nil {
			t.Fatal(err)
		}
		type holder struct {
			message  *Message
			value    Message
			summary  Summary
			Exported *Message
			view     View
			writer   *Writer
		}
		var v View
		if err := v.Open(s, frame); err != nil {
			t.Fatal(err)
		}
		w := writerOf(m)
		w.Begin(nil, s, m.MTI())
		for _, n := range m.Numbers() {
			w.Copy(&v, n)
		}
		h := holder{m, *m, sum, m, v, w}
		var out strings.Builder
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x", "%q", "%t"} {
			fmt.Fprintf(&out, verb+" "+verb+" "+verb+" "+verb+"\n", m, *m, &sum, h)
			fmt.Fprintf(&out, verb+" "+verb+" "+verb+" "+verb+"\n", &v, v, w, *w)
		}
		for _, v := range []any{m, *m, sum, h} {
			text, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			out.Write(text)
			slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
			slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
		}
		out.WriteString(m.Describe())
		if c := holdsCanary(out.String()); c != "" {
			t.Errorf("%s: %s… is shown", g.ID, c[:4])
		}
	}
}

func TestDescribe(t *testing.T) {
	s, frame := goldenFrame(t, "pos-purchase-answer")
	m, err := Parse(s, frame)
	if err != nil {
		t.Fatal(err)
	}
	text := m.Describe()
	for _, want := range []string{"0210", "622500*********0005", "000000000250", "城市一卡通",
		"00  approved", "6000000003", "22000001000601"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	c, err := Named("cups")
	if err != nil {
		t.Fatal(err)
	}
	m = newSample(t, c, FinancialRequest)
	for n, value := range map[int]string{2: "62250005", 35: "6225=", 121: "\x1b[31mred\r\n"} {
		if err := m.SetBytes(n, []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	if got := m.Shown(121); got != ".[31mred.." {
		t.Errorf("%q steers a terminal", got)
	}
	if got := m.Shown(2); got != "****0005" {
		t.Errorf("a short card number is shown as %s", got)
	}
	if got := m.Shown(35); got != "(5 not shown)" {
		t.Error(got)
	}
	if m.Shown(3) != "" {
		t.Error("a field that is not there is shown")
	}
	if got := maskPAN("1234567"); got != "*******" {
		t.Error(got)
	}
	if !strings.Contains(m.Describe(), "from 00020000") {
		t.Error(m.Describe())
	}
}

// What is unset is gone from memory too.
func TestUnsetOverwrites(t *testing.T) {
	s, frame := goldenFrame(t, "pos-purchase")
	m, err := Parse(s, frame)
	if err != nil {
		t.Fatal(err)
	}
	held := m.body().value(2)
	m.Unset(2, 2, 77, -1)
	if m.Has(2) || !m.PAN().IsZero() || bytes.ContainsAny(held, "123456789") {
		t.Errorf("%q", held)
	}
	held = m.body().value(35)
	if err := m.SetText(35, "4111111111111111=3012"); err != nil {
		t.Fatal(err)
	}
	if bytes.ContainsAny(held, "123456789") {
		t.Error("the old track is still there")
	}
	if out, err := m.Append(nil); err != nil || bytes.Contains(out, unhex(t, "6225000000")) {
		t.Errorf("%X, %v", out, err)
	}
}

// A message that is set again and again does not grow, and copying from itself changes
// nothing.
func TestContentMax(t *testing.T) {
	s := ascii(t)
	m := New(s, FinancialRequest)
	if err := m.SetText(2, "6225000000000000005"); err != nil {
		t.Fatal(err)
	}
	large := bytes.Repeat([]byte("x"), 999)
	for i := range 1000 {
		if err := m.SetBytes(48, large); err != nil {
			t.Fatal(err)
		}
		if err := m.SetSTAN(uint32(i)); err != nil {
			t.Fatal(err)
		}
		if len(m.body().bytes) > contentMax+999 {
			t.Fatalf("%d bytes", len(m.body().bytes))
		}
	}
	if err := m.Copy(m, 2, 11, 48); err != nil {
		t.Fatal(err)
	}
	stan, _ := m.STAN()
	if b, _ := m.Bytes(48); stan != 999 || !bytes.Equal(b, large) ||
		m.PAN().Digits() != "6225000000000000005" {
		t.Errorf("STAN %d, %d bytes, %v", stan, len(b), m.PAN())
	}
}
