package pan_test

import (
	"bytes"
	"encoding"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"text/template"

	"github.com/tapswitch/tapswitch/crypto/pan"
)

// secret is a test number; none of its digits but the last four may appear anywhere.
const (
	secret = "9912345678912340195"
	masked = "***************0195"
)

func number(t testing.TB) pan.Number {
	t.Helper()
	n, err := pan.Parse(secret)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// leaks reports whether s shows more of the number than its last four digits: as text, in
// hexadecimal, or as a list of byte values.
func leaks(s string) bool {
	var hexed, bytesOf []string
	for _, c := range []byte(secret[:8]) {
		hexed = append(hexed, fmt.Sprintf("%02x", c))
		bytesOf = append(bytesOf, fmt.Sprint(c))
	}
	s = strings.ToLower(s)
	plain := strings.NewReplacer(" ", "", ",", "", "0x", "", "\\u00", "").Replace(s)
	return strings.Contains(s, secret[:6]) || strings.Contains(plain, secret[6:15]) ||
		strings.Contains(plain, strings.Join(hexed, "")) ||
		strings.Contains(s, strings.Join(bytesOf, " ")) ||
		strings.Contains(s, strings.Join(bytesOf, ","))
}

func TestLeaksFindsLeaks(t *testing.T) {
	for _, s := range []string{secret, fmt.Sprintf("%x", secret), fmt.Sprintf("% x", secret),
		fmt.Sprintf("%#x", secret), fmt.Sprintf("%v", []byte(secret)),
		fmt.Sprintf("%#v", []byte(secret)), "x" + secret[:7]} {
		if !leaks(s) {
			t.Errorf("%q was not found", s)
		}
	}
	if leaks(masked) {
		t.Error("the mask leaks")
	}
}

// holder has the number in every place that a printer may reach.
type holder struct {
	Public  pan.Number
	private pan.Number
	Pointer *pan.Number
	List    []pan.Number
	Map     map[string]pan.Number
	Key     map[pan.Number]int
	Any     any
	inner   struct{ hidden pan.Number }
}

func held(n pan.Number) holder {
	h := holder{Public: n, private: n, Pointer: &n, List: []pan.Number{n},
		Map: map[string]pan.Number{"k": n}, Key: map[pan.Number]int{n: 1}, Any: n}
	h.inner.hidden = n
	return h
}

// Every verb, those that fmt refuses too, on the number, on a pointer, and on a struct
// that keeps it in an unexported field, where fmt calls no method.
func TestNoVerbPrintsTheNumber(t *testing.T) {
	n := number(t)
	h := held(n)
	values := map[string]any{"number": n, "pointer": &n, "struct": h, "struct pointer": &h,
		"list": []pan.Number{n}, "array": [1]pan.Number{n}, "any": []any{n, &n}}
	for name, value := range values {
		for verb := rune('!'); verb <= '~'; verb++ {
			for _, flags := range []string{"", "+", "#", " ", "-30", "030", "8.3", "+#x"} {
				got := fmt.Sprintf("%"+flags+string(verb), value)
				if leaks(got) {
					t.Fatalf("%%%s%c of the %s: %s", flags, verb, name, got)
				}
			}
		}
		if leaks(fmt.Sprint(value)) || leaks(fmt.Sprintln(value)) {
			t.Errorf("Sprint of the %s leaks", name)
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		if got := fmt.Sprintf(verb, n); got != masked {
			t.Errorf("%s: %q, want %q", verb, got, masked)
		}
	}
}

func TestNoEncoderPrintsTheNumber(t *testing.T) {
	n := number(t)
	h := held(n)
	var out bytes.Buffer
	for name, encode := range map[string]func() error{
		"json":        func() error { return json.NewEncoder(&out).Encode(&h) },
		"json number": func() error { return json.NewEncoder(&out).Encode(n) },
		"xml":         func() error { return xml.NewEncoder(&out).Encode(n) },
		"gob":         func() error { return gob.NewEncoder(&out).Encode(n) },
		"template": func() error {
			return template.Must(template.New("").Parse("{{.}} {{printf `%v` .Public}}")).Execute(&out, h)
		},
		"log": func() error { log.New(&out, "", 0).Print(n, &n, h); return nil },
		"slog text": func() error {
			slog.New(slog.NewTextHandler(&out, nil)).Info("x", "n", n, "p", &n, "h", h, "ph", &h)
			return nil
		},
		"slog json": func() error {
			slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "n", n, "p", &n, "h", h, "ph", &h)
			return nil
		},
	} {
		out.Reset()
		err := encode()
		if leaks(out.String()) || err != nil && leaks(err.Error()) {
			t.Errorf("%s: %s %v", name, out.String(), err)
		}
	}
	// What YAML, TOML and the like ask for.
	text, err := encoding.TextMarshaler(n).MarshalText()
	if err != nil || string(text) != masked {
		t.Errorf("MarshalText: %q, %v", text, err)
	}
	if got := n.LogValue().String(); got != masked {
		t.Errorf("LogValue: %q", got)
	}
	if _, ok := any(&n).(encoding.TextUnmarshaler); ok {
		t.Error("a mask could be read back as a number")
	}
}

func TestErrorsDoNotPrintTheNumber(t *testing.T) {
	n := number(t)
	base := errors.New("refused")
	for _, err := range []error{
		fmt.Errorf("card %v: %w", n, base), fmt.Errorf("card %v: %w", held(n), base),
		errors.Join(fmt.Errorf("%x", n), base),
	} {
		if leaks(err.Error()) {
			t.Errorf("%s", err)
		}
	}
	for _, bad := range []string{"", "1234567", secret + "00", "991234567891234019X",
		" " + secret, "9912-3456-7891", "３１０４７７００"} {
		n, err := pan.Parse(bad)
		if !errors.Is(err, pan.ErrNumber) || !n.IsZero() {
			t.Errorf("%q: %v", bad, err)
		}
		if len(bad) > 6 && strings.Contains(fmt.Sprint(err), bad[:6]) {
			t.Errorf("the error quotes %q: %v", bad, err)
		}
	}
}

// A panic prints its value, and its trace the arguments of every frame.
func TestPanicsDoNotPrintTheNumber(t *testing.T) {
	if os.Getenv("PAN_TEST_PANIC") != "" {
		panicWith(number(t), os.Getenv("PAN_TEST_PANIC"))
	}
	for _, how := range []string{"number", "pointer", "error", "struct", "nested"} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestPanicsDoNotPrintTheNumber$")
		cmd.Env = append(os.Environ(), "PAN_TEST_PANIC="+how)
		out, err := cmd.CombinedOutput()
		if err == nil || !bytes.Contains(out, []byte("panicWith")) {
			t.Fatalf("%s: no panic: %v\n%s", how, err, out)
		}
		if leaks(string(out)) {
			t.Errorf("%s:\n%s", how, out)
		}
	}
}

//go:noinline
func panicWith(n pan.Number, how string) {
	switch how {
	case "number":
		panic(n)
	case "pointer":
		panic(&n)
	case "error":
		panic(fmt.Errorf("card %+v", n))
	case "struct":
		panic(held(n))
	default:
		defer func() { panic(fmt.Sprintf("again: %#v", recover())) }()
		panic(held(n))
	}
}

func TestNumbers(t *testing.T) {
	for _, tt := range []struct{ digits, mask, last4 string }{
		{"00000000", "****0000", "0000"}, {secret, masked, "0195"},
		{"12345678901234567890", "****************7890", "7890"},
	} {
		n, err := pan.Parse(tt.digits)
		if err != nil || n.Digits() != tt.digits || n.Mask() != tt.mask || n.String() != tt.mask ||
			n.Last4().String() != tt.last4 || n.IsZero() {
			t.Errorf("%s: %v %v", tt.mask, n, err)
		}
		same, _ := pan.Parse(tt.digits)
		if n != same {
			t.Errorf("%s: two numbers of the same digits differ", tt.mask)
		}
	}
	var zero pan.Number
	if !zero.IsZero() || zero.Mask() != "" || zero.Digits() != "" || zero.Last4() != (pan.Last4{}) ||
		fmt.Sprintf("%v|%+v|%d", zero, zero, zero) != "||" {
		t.Errorf("the zero number: %v", zero)
	}
	a, _ := pan.Parse("11112222")
	b, _ := pan.Parse("11112223")
	if a == b {
		t.Error("different numbers are equal")
	}
}

func TestLast4(t *testing.T) {
	for _, good := range []string{"", "0195", "0000"} {
		if l, err := pan.ParseLast4(good); err != nil || l.String() != good {
			t.Errorf("%q: %q, %v", good, l, err)
		}
	}
	for _, bad := range []string{"1", "019", "01955", "01x5", "\x00\x00\x00\x00"} {
		if l, err := pan.ParseLast4(bad); err == nil || l != (pan.Last4{}) {
			t.Errorf("%q: %q, %v", bad, l, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"", secret, "12345678", "x", "１２３４５６７８"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := pan.Parse(s)
		digits := len(s) >= 8 && len(s) <= 20 && strings.Trim(s, "0123456789") == ""
		if digits != (err == nil) {
			t.Fatalf("%q: %v", s, err)
		}
		if err == nil && (n.Digits() != s || n.Mask() != strings.Repeat("*", len(s)-4)+s[len(s)-4:]) {
			t.Fatalf("%q became %q", s, n.Mask())
		}
	})
}
