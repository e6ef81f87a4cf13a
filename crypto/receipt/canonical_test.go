package receipt

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// TestCanonicalForms are texts in their one form: parse takes them, encode gives them back.
func TestCanonicalForms(t *testing.T) {
	for _, s := range []string{
		`{}`, `[]`, `""`, `0`, `-1`, `9007199254740991`, `-9007199254740991`, `true`, `false`,
		`{"":1,"a":[1,"x",{"b":{}}],"b":false}`,
		`"\b\t\n\f\r\"\\/"`, `"\u0000\u000b\u001f"`, "\"\u007f\u2028\u2029\"",
		`"€𝄞"`, `{"1":1,"10":2,"2":3,"A":4,"a":5}`,
		strings.Repeat("[", depthMax) + "1" + strings.Repeat("]", depthMax),
	} {
		v, err := parse([]byte(s))
		if err != nil {
			t.Errorf("%s: %v", s, err)
			continue
		}
		if b, err := encode(nil, v); err != nil || string(b) != s {
			t.Errorf("%s becomes %s, %v", s, b, err)
		}
		if !json.Valid([]byte(s)) {
			t.Errorf("%s is no JSON", s)
		}
	}
}

// TestSorting is the example of RFC 8785 section 3.2.3, with integers for values: names are
// ordered by UTF-16 code units, in which U+1F600 stands before U+FB33.
func TestSorting(t *testing.T) {
	v := object(is("\u20ac", integer(1)), is("\r", integer(2)), is("\ufb33", integer(3)),
		is("1", integer(4)), is("\U0001f600", integer(5)), is("\u0080", integer(6)),
		is("\u00f6", integer(7)))
	const want = "{\"\\r\":2,\"1\":4,\"\u0080\":6,\"\u00f6\":7,\"\u20ac\":1,\"\U0001f600\":5," +
		"\"\ufb33\":3}"
	b, err := encode(nil, v)
	if err != nil || string(b) != want {
		t.Errorf("%s, %v", b, err)
	}
	if _, err := parse(b); err != nil {
		t.Error(err)
	}
}

// TestNotCanonical are texts that a lenient reader takes for something.
func TestNotCanonical(t *testing.T) {
	for name, s := range map[string]string{
		"nothing": "", "space before": " 1", "space after": "1 ", "line feed": "{}\n",
		"space inside": `{"a": 1}`, "two values": "1 2", "null": "null", "word": "tru",
		"fraction": "1.0", "exponent": "1e3", "minus zero": "-0", "leading zero": "01",
		"plus": "+1", "minus alone": "-", "54 bits": "9007199254740992",
		"54 bits negative": "-9007199254740992", "huge": strings.Repeat("9", 40),
		"double name": `{"a":1,"a":2}`, "out of order": `{"b":1,"a":2}`,
		"trailing comma": `[1,]`, "leading comma": `[,1]`, "open array": "[1", "open object": "{",
		"no colon": `{"a"1}`, "name not text": `{1:1}`, "missing value": `{"a":}`,
		"open text": `"abc`, "bare control": "\"\n\"", "NUL": "\"\x00\"",
		"escaped letter": `"\u0061"`, "escaped slash": `"\/"`, "upper-case escape": `"\u000B"`,
		"long escape of a short one": `"\u000a"`, "surrogate pair": `"\ud834\udd1e"`,
		"lone surrogate": `"\ud800"`, "short escape": `"\u00"`, "bad UTF-8": "\"\xff\"",
		"surrogate in UTF-8": "\"\xed\xa0\x80\"", "overlong": "\"\xc0\xaf\"",
		"BOM": "\ufeff{}", "comment": "{}/**/",
		"too deep":  strings.Repeat("[", depthMax+1) + "1" + strings.Repeat("]", depthMax+1),
		"very deep": strings.Repeat("[", 100000),
		"too many":  "[" + strings.Repeat("1,", valuesMax) + "1]",
		"too large": `"` + strings.Repeat("x", SizeMax) + `"`,
	} {
		if _, err := parse([]byte(s)); !errors.Is(err, ErrNotCanonical) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestEncodeRefuses is what no text can be made of.
func TestEncodeRefuses(t *testing.T) {
	deep := integer(1)
	for range depthMax + 1 {
		deep = array(deep)
	}
	for name, v := range map[string]value{
		"no type": {}, "54 bits": integer(IntegerMax + 1), "54 bits negative": integer(-IntegerMax - 1),
		"bad UTF-8": text("\xff"), "bad name": object(is("\xff", integer(1))),
		"double name": object(is("a", integer(1)), is("a", integer(2))),
		"too deep":    deep, "inside": array(object(is("a", value{}))),
		"too large": array(text(strings.Repeat("x", SizeMax/2)), text(strings.Repeat("x", SizeMax/2))),
	} {
		if _, err := encode(nil, v); !errors.Is(err, ErrNotCanonical) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzParse: what parse takes, encode gives back byte for byte, and encoding/json reads too.
func FuzzParse(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":[1,-2,"x\n",{"b":true}],"€":0}`, `"\u0001"`, `[]`, `1`,
		`{"b":1,"a":2}`, `"\u0061"`, `[1,]`, "\"\xff\"", `{"\ud800":1}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := parse(b)
		if err != nil {
			if !errors.Is(err, ErrNotCanonical) {
				t.Error(err)
			}
			return
		}
		if out, err := encode(nil, v); err != nil || !bytes.Equal(out, b) {
			t.Errorf("%q becomes %q, %v", b, out, err)
		}
		if !json.Valid(b) {
			t.Errorf("%q is no JSON", b)
		}
	})
}
