package vector_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	vectors "github.com/tapswitch/tapswitch/crypto/vector"
	"github.com/tapswitch/tapswitch/switch/bank/vector"
)

// own reads the project's messages: synthetic ones, and those of the test data of jPOS and
// moov-io/iso8583.
func own(t testing.TB) []vectors.Vector {
	t.Helper()
	f, err := os.Open("testdata/messages.json")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all, err := vectors.Read(f)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func read(t testing.TB, text string) *vectors.Vector {
	t.Helper()
	all, err := vectors.Read(strings.NewReader("[" + text + "]"))
	if err != nil {
		t.Fatal(err)
	}
	return &all[0]
}

func TestOwnMessages(t *testing.T) {
	r := vector.CheckAll(own(t))
	for _, f := range r.Findings {
		t.Errorf("%v: %s: %s", f.Outcome, f.ID, f.Why)
	}
	if r.Passed < 24 || r.Failed+r.Unsupported+r.Elsewhere != 0 ||
		r.Areas["iso8583"].Passed != r.Passed {
		t.Errorf("%d passed, %d failed, %d unsupported", r.Passed, r.Failed, r.Unsupported)
	}
}

// The project's list of published messages, where it lies beside the repository.
func TestPublishedMessages(t *testing.T) {
	f, err := os.Open("../../../../shared/vectors.json")
	if err != nil {
		t.Skip("the list of published messages is not beside the repository")
	}
	defer f.Close()
	all, err := vectors.Read(f)
	if err != nil {
		t.Fatal(err)
	}
	r := vector.CheckAll(all)
	for _, f := range r.Findings {
		t.Errorf("%v: %s: %s", f.Outcome, f.ID, f.Why)
	}
	if r.Passed == 0 || r.Passed+r.Elsewhere != len(all) {
		t.Errorf("%d passed, %d elsewhere of %d", r.Passed, r.Elsewhere, len(all))
	}
}

// leaf is a place in an expected value: the keys on the way to it.
type leaf struct {
	path []string
	text string // JSON
}

func leaves(t testing.TB, raw json.RawMessage, path ...string) []leaf {
	t.Helper()
	var inner map[string]json.RawMessage
	if raw[0] != '{' {
		return []leaf{{path, string(raw)}}
	}
	if err := json.Unmarshal(raw, &inner); err != nil {
		t.Fatal(err)
	}
	var all []leaf
	for _, key := range slices.Sorted(maps.Keys(inner)) {
		all = append(all, leaves(t, inner[key], append(slices.Clone(path), key)...)...)
	}
	return all
}

// with returns raw with another value at a path; an empty value takes the key away.
func with(t testing.TB, raw json.RawMessage, path []string, value string) json.RawMessage {
	t.Helper()
	if len(path) == 0 {
		return json.RawMessage(value)
	}
	var inner map[string]json.RawMessage
	if err := json.Unmarshal(raw, &inner); err != nil {
		t.Fatal(err)
	}
	if len(path) == 1 && value == "" {
		delete(inner, path[0])
	} else {
		inner[path[0]] = with(t, inner[path[0]], path[1:], value)
	}
	out, err := json.Marshal(inner)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func expecting(t testing.TB, v vectors.Vector, path []string, value string) *vectors.Vector {
	t.Helper()
	v.Expected = maps.Clone(v.Expected)
	if len(path) == 1 && value == "" {
		delete(v.Expected, path[0])
	} else {
		v.Expected[path[0]] = with(t, v.Expected[path[0]], path[1:], value)
	}
	return &v
}

// mutations returns other values: each character changed, one more, one less, another kind.
func mutations(text string) []string {
	if text[0] != '"' {
		return []string{"1" + text, `"x"`, "null", "[]"}
	}
	var value string
	if json.Unmarshal([]byte(text), &value) != nil {
		return nil
	}
	runes := []rune(value)
	all := []string{value + "0", value + " ", "0" + value}
	for i, r := range runes {
		for _, other := range "07AZ" {
			if !strings.EqualFold(string(other), string(r)) {
				changed := slices.Clone(runes)
				changed[i] = other
				all = append(all, string(changed))
			}
		}
		all = append(all, string(runes[:i])+string(runes[i+1:]))
	}
	var out []string
	for _, m := range all {
		if m != value {
			quoted, _ := json.Marshal(m)
			out = append(out, string(quoted))
		}
	}
	return append(out, "null", "17", "true", "{}", `{"1":"2"}`)
}

// separators reports whether a change is none: spaces between the digits of hex are taken
// out, and the separator of a track may be written in two ways.
func separators(path []string, before, after string) bool {
	name := path[len(path)-1]
	if (name == "35" || name == "F35") &&
		strings.ReplaceAll(before, "=", "D") == strings.ReplaceAll(after, "=", "D") {
		return true
	}
	return strings.TrimSuffix(after, ` "`)+`"` == before
}

// Every expected value counts: a vector fails with any character of any of them changed.
func TestEveryValueCounts(t *testing.T) {
	changed := 0
	for _, v := range own(t) {
		for _, part := range []map[string]json.RawMessage{v.Expected} {
			for key, raw := range part {
				for _, l := range leaves(t, raw, key) {
					all := mutations(l.text)
					if len(all) > 20 { // long values: some of the changes
						all = slices.Concat(all[:7], all[len(all)/2:len(all)/2+7], all[len(all)-6:])
					}
					for _, m := range all {
						o, why := vector.Check(expecting(t, v, l.path, m))
						if o == vectors.Passed && !separators(l.path, l.text, m) {
							t.Errorf("%s: %v may be another value: %s for %s", v.ID, l.path, m,
								l.text)
						}
						if o == vectors.Unsupported && m[0] != '{' && m[0] != 'n' &&
							!strings.Contains(v.ID, "pack") {
							t.Errorf("%s: %v: %s", v.ID, l.path, why)
						}
						changed++
					}
				}
			}
		}
	}
	t.Logf("%d values", changed)
	if changed < 8_000 {
		t.Errorf("only %d values were changed", changed)
	}
}

// The fields are all of the message: one more or one less is another message.
func TestEveryFieldIsExpected(t *testing.T) {
	for _, v := range own(t) {
		raw, ok := v.Expected["fields"]
		if !ok {
			continue
		}
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(raw, &fields); err != nil {
			t.Fatal(err)
		}
		for key := range fields {
			if key == "0" {
				continue
			}
			if o, _ := vector.Check(expecting(t, v, []string{"fields", key},
				"")); o != vectors.Failed {
				t.Errorf("%s: passes without field %s: %v", v.ID, key, o)
			}
		}
		for _, more := range []string{"24", "127", "1"} {
			if _, there := fields[more]; there {
				continue
			}
			if o, _ := vector.Check(expecting(t, v, []string{"fields", more},
				`"000"`)); o != vectors.Failed {
				t.Errorf("%s: passes with field %s: %v", v.ID, more, o)
			}
		}
		if o, _ := vector.Check(expecting(t, v, []string{"fields", "11 "},
			`"000001"`)); o == vectors.Passed {
			t.Errorf("%s: passes with a field twice", v.ID)
		}
	}
}

// A field that is given by part has all of its parts.
func TestEveryPartIsExpected(t *testing.T) {
	seen := 0
	for _, v := range own(t) {
		raw, ok := v.Expected["fields"]
		if !ok {
			continue
		}
		for _, l := range leaves(t, raw, "fields") {
			if len(l.path) != 3 {
				continue
			}
			seen++
			if o, _ := vector.Check(expecting(t, v, l.path, "")); o != vectors.Failed {
				t.Errorf("%s: passes without %v: %v", v.ID, l.path, o)
			}
		}
	}
	if seen < 10 {
		t.Errorf("%d parts", seen)
	}
}

// A message that can be read and packs to other bytes does not pass.
func TestOtherBytes(t *testing.T) {
	frame := func(bitmap string) string {
		return `{"id":"x","area":"iso8583","inputs":{"ascii":"0800` + bitmap +
			`000213"},"expected":{"mti":"0800","11":"000213","64":"ABCDEF0123456789"}}`
	}
	const upper = "0020000000000001"
	good := strings.Replace(frame(upper), `000213"}`, `000213ABCDEF0123456789"}`, 1)
	if o, why := vector.Check(read(t, good)); o != vectors.Passed {
		t.Errorf("%v %s", o, why)
	}
	bad := strings.Replace(frame(upper), `000213"}`, `000213abcdef0123456789"}`, 1)
	if o, why := vector.Check(read(t, bad)); o != vectors.Failed || !strings.Contains(why, "packs") {
		t.Errorf("%v %s", o, why)
	}
}

// The bytes are what is read: none may be another, missing or more.
func TestEveryByteCounts(t *testing.T) {
	for _, v := range own(t) {
		var text string
		if json.Unmarshal(v.Inputs["hex"], &text) != nil {
			continue
		}
		for i := 0; i < len(text); i += 1 + len(text)/60 {
			digit := byte('1')
			if text[i] == digit {
				digit = '2'
			}
			for _, other := range []string{text[:i] + string(digit) + text[i+1:], text[:i&^1] +
				text[i|1+1:],
				text + "00", text[:i&^1] + "00" + text[i&^1:]} {
				changed := v
				changed.Inputs = maps.Clone(v.Inputs)
				changed.Inputs["hex"] = json.RawMessage(fmt.Sprintf("%q", other))
				// The low nibble of a letter's byte in hex, or 3x for 3X, stays what it is.
				if o, _ := vector.Check(&changed); o == vectors.Passed && !strings.EqualFold(other,
					text) {
					t.Errorf("%s: passes with other bytes at %d", v.ID, i/2)
				}
			}
		}
	}
}

func TestOutcomes(t *testing.T) {
	const hex = `"hex":"600003000060310031000308200020000000C00010000213303030303030323138393833` +
		`31303034313131303030310011000000073010"`
	const fields = `"11":"000213","41":"00000021","42":"898310041110001","60":"00000007301"`
	text := func(inputs, expected string) string {
		return `"area":"iso8583","inputs":{` + inputs + hex + `},"expected":{` + expected + `}`
	}
	const mak = `"mak":"0123456789ABCDEF",`
	for name, c := range map[string]struct {
		text string
		want vectors.Outcome
	}{
		"passes":        {text("", `"fields":{`+fields+`}`), vectors.Passed},
		"fields on top": {text("", `"mti":"0820",`+fields), vectors.Passed},
		"other keys": {text("", `"F0":"0820",`+strings.Replace(fields, `"41"`, `"DE 41"`, 1)),
			vectors.Passed},
		"spec by name":      {text(`"spec":"cup_pos",`, fields), vectors.Passed},
		"wrong spec":        {text(`"spec":"iso87-bcd",`, fields), vectors.Failed},
		"length is there":   {text(`"has_2byte_length":true,`, fields), vectors.Failed},
		"digits are there":  {text(`"has_ascii_length":true,`, fields), vectors.Failed},
		"nothing":           {text("", ""), vectors.Unsupported},
		"unknown value":     {text("", `"colour":"red",`+fields), vectors.Unsupported},
		"no object":         {text("", `"fields":["000213"]`), vectors.Unsupported},
		"twice":             {text("", `"fields":{"11":"000213"},`+fields), vectors.Unsupported},
		"not refused":       {text("", `"error":"truncated"`), vectors.Failed},
		"wrong key":         {text(mak, fields), vectors.Failed},
		"MAC does not hold": {text(mak, `"mac_valid":false,`+fields), vectors.Passed},
		"MAC holds":         {text(mak, `"mac_valid":true,`+fields), vectors.Failed},
		"other area": {`"area":"mac","inputs":{},"expected":{"mac":"00"}`,
			vectors.Elsewhere},
		"no message": {`"area":"iso8583","inputs":{"packager":"x"},"expected":{` + fields + `}`,
			vectors.Unsupported},
		"refused": {`"area":"iso8583","inputs":{"hex":"6000030000603100310003082000200000"},` +
			`"expected":{"error":"truncated"}`, vectors.Passed},
	} {
		o, why := vector.Check(read(t, `{"id":"x",`+c.text+`}`))
		if o != c.want || (o == vectors.Passed) != (why == "") {
			t.Errorf("%s: %v %s", name, o, why)
		}
	}
}

// What is said about a vector shows nothing of it.
func TestNothingIsShown(t *testing.T) {
	const pan = "6222600000000000008"
	for _, v := range own(t) {
		for key, raw := range v.Expected {
			for _, l := range leaves(t, raw, key) {
				_, why := vector.Check(expecting(t, v, l.path, `"`+pan+`"`))
				if strings.Contains(why, pan) || len(l.text) > 10 && strings.Contains(why,
					strings.Trim(l.text, `"`)) {
					t.Errorf("%s: %s", v.ID, why)
				}
			}
		}
	}
}

func FuzzCheck(f *testing.F) {
	for _, v := range own(f) {
		text, err := json.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		all, err := vectors.Read(strings.NewReader("[" + text + "]"))
		if err != nil {
			return
		}
		r := vector.CheckAll(all)
		if r.Passed+r.Failed+r.Unsupported+r.Elsewhere != len(all) {
			t.Error("a vector has no outcome")
		}
	})
}
