package flat

import (
	"encoding/json"
	"strings"
	"testing"
)

func scan(text string) *Scanner {
	s := &Scanner{}
	s.Reset([]byte(text))
	return s
}

func TestText(t *testing.T) {
	f := func(text, want string, fault Fault) {
		t.Helper()
		s := scan(" \t\r\n" + text)
		if s.Peek() != '"' {
			t.Fatalf("%q does not begin with a quote", text)
		}
		got, why := s.Text()
		if why != fault || string(got) != want {
			t.Errorf("%q: %q, %d, want %q, %d", text, got, why, want, fault)
		}
		if fault == OK && s.End() != OK {
			t.Errorf("%q: something is left", text)
		}
	}
	f(`""`, "", OK)
	f(`"a b"`, "a b", OK)
	f(`"人民"`, "人民", OK)
	f(`"\"\\\/\b\f\n\r\t"`, "\"\\/\b\f\n\r\t", OK)
	f(`"x\u00e9y"`, "xéy", OK)
	f(`"\uD83D\uDE00"`, "😀", OK)
	f(`"\u0000"`, "\x00", OK)
	f(`"a`, "", Malformed)
	f(`"a\`, "", Malformed)
	f(`"a\"`, "", Malformed)
	f(`"\a"`, "", Malformed)
	f(`"\u12"`, "", Malformed)
	f(`"\u12g4"`, "", Malformed)
	f(`"\ud83d"`, "", Malformed)
	f(`"\ud83dx"`, "", Malformed)
	f(`"\ud83d\n"`, "", Malformed)
	f(`"\ud83d\u0041"`, "", Malformed)
	f(`"\ude00"`, "", Malformed)
	f("\"a\x1f\"", "", Malformed)
	f("\"\\n\x1f\"", "", Malformed)
	f("\"\x80\"", "", InvalidUTF8)
	f("\"\xc0\xaf\"", "", InvalidUTF8)
	f("\"\\n\xed\xa0\x80\"", "", InvalidUTF8)
}

// TestTextsStay reads many strings with escapes: growing the memory of later ones does not
// move earlier ones away.
func TestTextsStay(t *testing.T) {
	s := scan(strings.Repeat(`"\u0041bc" `, 1000))
	var all [][]byte
	for s.Peek() == '"' {
		text, fault := s.Text()
		if fault != OK {
			t.Fatal(fault)
		}
		all = append(all, text)
	}
	if len(all) != 1000 {
		t.Fatalf("%d strings", len(all))
	}
	for i, text := range all {
		if string(text) != "Abc" {
			t.Fatalf("string %d is %q", i, text)
		}
	}
}

func TestNumber(t *testing.T) {
	f := func(text string, want Number, fault Fault) {
		t.Helper()
		got, why := scan(text).Number()
		if why != fault || fault == OK && got != want {
			t.Errorf("%q: %+v, %d, want %+v, %d", text, got, why, want, fault)
		}
		if fault == OK && !json.Valid([]byte(text)) {
			t.Errorf("%q: the standard refuses this", text)
		}
	}
	f("0", Number{}, OK)
	f("42", Number{Value: 42}, OK)
	f("-42", Number{Value: 42, Negative: true}, OK)
	f("-0", Number{Negative: true}, OK)
	f("9223372036854775807", Number{Value: 1<<63 - 1}, OK)
	f("1.5", Number{Value: 1, Fraction: true}, OK)
	f("1e3", Number{Value: 1, Fraction: true}, OK)
	f("1E+3", Number{Value: 1, Fraction: true}, OK)
	f("0.0e-1", Number{Fraction: true}, OK)
	for _, text := range []string{"-", "01", "-01", "1.", "1.e1", "1e", "1e+", "-.5"} {
		f(text, Number{}, Malformed)
	}
	for _, text := range []string{"9223372036854775808", strings.Repeat("9", 100)} {
		if n, fault := scan(text).Number(); fault != OK || !n.Overflow {
			t.Errorf("%s: %+v, %d", text, n, fault)
		}
	}
}

// TestWrong tells what a value is that was not asked for, in constant time whatever
// follows.
func TestWrong(t *testing.T) {
	f := func(text string, want Fault) {
		t.Helper()
		if got := scan(text).Wrong(); got != want {
			t.Errorf("%.20q: %d, want %d", text, got, want)
		}
	}
	f("true", WrongType)
	f("false", WrongType)
	f("null", WrongType)
	f("5", WrongType)
	f(`"x"`, WrongType)
	f("{}", WrongType)
	f("[1]", WrongType)
	f(`{"a":1}`, WrongType)
	f("[[1]]", TooDeep)
	f("[ {", TooDeep)
	f(strings.Repeat("[", 1<<20), TooDeep)
	f("", Malformed)
	f("nul", Malformed)
	f("x", Malformed)
	f("-", Malformed)
	f(`"x`, Malformed)
	f("}", Malformed)
}

func TestValue(t *testing.T) {
	f := func(text, want string, fault Fault) {
		t.Helper()
		got, why := scan(text).Value(3)
		if why != fault || string(got) != want {
			t.Errorf("%q: %q, %d, want %q, %d", text, got, why, want, fault)
		}
	}
	f(` {"a":"}]"} , 2`, `{"a":"}]"}`, OK)
	f(`{"a":"\"}"},`, `{"a":"\"}"}`, OK)
	f(`12 ,`, `12 `, OK)
	f(`"a,]" ]`, `"a,]" `, OK)
	f(`[[[1]]],`, `[[[1]]]`, OK)
	f(`[[[[1]]]]`, "", TooDeep)
	f(`,`, "", Malformed)
	f(`]`, "", Malformed)
	f(``, "", Malformed)
	f(`{"a":1`, "", Malformed)
	f(`"a`, "", Malformed)
	f(`"a\`, "", Malformed)
}

// TestWipe: nothing of the text stays in the Scanner's own memory.
func TestWipe(t *testing.T) {
	s := scan(`"\u0033104800000000001"`)
	text, fault := s.Text()
	if fault != OK || string(text) != "3104800000000001" {
		t.Fatalf("%q, %d", text, fault)
	}
	s.Wipe()
	if strings.Contains(string(text), "3104") {
		t.Error("the text is still there")
	}
	if s.Peek() != 0 {
		t.Error("the Scanner still reads")
	}
}

// FuzzScanner walks over anything: it ends, does not panic, and never reads beyond.
func FuzzScanner(f *testing.F) {
	for _, seed := range []string{`{"a":[1,"\u00e9",null]}`, `"\ud83d`, `-1.5e3x`, "[[[[", "\x00",
		"\"\\"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var s Scanner
		for _, read := range []func(){
			func() { s.Wrong() }, func() { _, _ = s.Value(8) }, func() { s.End() },
			func() {
				if s.Peek() == '"' {
					_, _ = s.Text()
				}
			},
		} {
			s.Reset(text)
			read()
			if s.i > len(text) {
				t.Fatalf("%q: read up to %d of %d", text, s.i, len(text))
			}
		}
	})
}

func BenchmarkText(b *testing.B) {
	text := []byte(`"2026-11-21T08:00:00.000+08:00"`)
	var s Scanner
	b.ReportAllocs()
	for b.Loop() {
		s.Reset(text)
		if _, fault := s.Text(); fault != OK {
			b.Fatal(fault)
		}
	}
}
