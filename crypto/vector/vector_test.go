package vector_test

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/vector"
)

// own reads the project's vectors: published by standards, or synthetic and computed with
// another library.
func own(t testing.TB) []vector.Vector {
	t.Helper()
	var all []vector.Vector
	names, _ := filepath.Glob("testdata/*.json")
	if len(names) != 2 {
		t.Fatalf("%d files of vectors", len(names))
	}
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		vectors, err := vector.Read(f)
		if err = errors.Join(err, f.Close()); err != nil {
			t.Fatal(name, err)
		}
		all = append(all, vectors...)
	}
	return all
}

func read(t testing.TB, text string) []vector.Vector {
	t.Helper()
	all, err := vector.Read(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestOwnVectors(t *testing.T) {
	r := vector.CheckAll(own(t))
	for _, f := range r.Findings {
		t.Errorf("%v: %s %s: %s", f.Outcome, f.Area, f.ID, f.Why)
	}
	if r.Passed < 150 || r.Failed+r.Unsupported+r.Elsewhere != 0 {
		t.Errorf("%d passed, %d failed, %d unsupported", r.Passed, r.Failed, r.Unsupported)
	}
}

// change returns another value of the same kind.
func change(raw json.RawMessage) json.RawMessage {
	text := string(raw)
	switch {
	case text == "true":
		return json.RawMessage("false")
	case text == "false":
		return json.RawMessage("true")
	case text[0] == '"' && len(text) > 2:
		last := byte('1')
		if text[len(text)-2] == last {
			last = '2'
		}
		return json.RawMessage(text[:len(text)-2] + string(last) + `"`)
	case text[0] == '"':
		return json.RawMessage(`"00"`)
	case text[0] == '[':
		return json.RawMessage(`["00",1]`)
	default:
		return json.RawMessage("7" + text)
	}
}

// TestEveryValueCounts: a vector of which any expected value is another does not pass.
func TestEveryValueCounts(t *testing.T) {
	n := 0
	for _, v := range own(t) {
		if strings.HasSuffix(v.Area, "-negative") {
			continue
		}
		for name, raw := range v.Expected {
			changed := v
			changed.Expected = maps.Clone(v.Expected)
			changed.Expected[name] = change(raw)
			if o, why := vector.Check(&changed); o != vector.Failed || why == "" {
				t.Errorf("%s: another %s is %v", v.ID, name, o)
			}
			n++
		}
	}
	if n < 300 {
		t.Errorf("only %d values were changed", n)
	}
}

// TestInputs: a missing, mistyped or mangled input never panics, never passes where it
// matters, and what is said about it shows no value.
func TestInputs(t *testing.T) {
	const canary = `"C0FFEE5EC2E7C0FFEE5EC2E7C0FFEE5E"`
	for _, v := range own(t) {
		for name := range v.Inputs {
			for _, raw := range []string{"", "17", "null", "[]", `"x"`, `""`, `"00"`, canary} {
				changed := v
				changed.Inputs = maps.Clone(v.Inputs)
				if raw == "" {
					delete(changed.Inputs, name)
				} else {
					changed.Inputs[name] = json.RawMessage(raw)
				}
				o, why := vector.Check(&changed)
				if raw == "[]" && name != "signed_range" && name != "layout" && o == vector.Passed &&
					!slices.Contains([]string{"ca_pub", "now_unix_valid"}, name) {
					t.Errorf("%s passes with a list as %s", v.ID, name)
				}
				if strings.Contains(strings.ToUpper(why), "C0FFEE") {
					t.Errorf("%s: %s is shown: %s", v.ID, name, why)
				}
			}
		}
	}
}

func TestOutcomes(t *testing.T) {
	for text, want := range map[string]vector.Outcome{
		`{"id":"a","area":"sm3","inputs":{"message_ascii":"abc"},"expected":
			{"hash":"66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"}}`: vector.Passed,
		`{"id":"a","area":"sm3","inputs":{"message_ascii":"abd"},"expected":
			{"hash":"66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"}}`: vector.Failed,
		`{"id":"a","area":"sm3","inputs":{"message_ascii":"abc"},"expected":
			{"hash":"66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0","other":"1"}}`: vector.Unsupported,
		`{"id":"a","area":"sm3","inputs":{"message_ascii":"abc"}}`:                                  vector.Unsupported,
		`{"id":"a","area":"sm3","inputs":{},"expected":{"hash":"00"}}`:                              vector.Unsupported,
		`{"id":"a","area":"rsa","inputs":{},"expected":{"x":"00"}}`:                                 vector.Unsupported,
		`{"id":"a","area":"iso8583","inputs":{},"expected":{"x":"00"}}`:                             vector.Elsewhere,
		`{"id":"a","area":"mac","inputs":{"algorithm":"HMAC","key":"00"},"expected":{"mac4":"00"}}`: vector.Unsupported,
		`{"id":"a","area":"sm4","inputs":{"key":"0123456789abcdeffedcba9876543210","mode":"XTS",
			"plaintext":"00"},"expected":{"ciphertext":"00"}}`: vector.Unsupported,
		`{"id":"a","area":"sm4","inputs":{"key":"0123456789abcdeffedcba9876543210","rounds":99000000,
			"plaintext":"0123456789abcdeffedcba9876543210"},"expected":{"ciphertext":"00"}}`: vector.Unsupported,
		`{"id":"a","area":"tr31-negative","inputs":{"KBPK":"00","key_block":"A"},"expected":{"error":"MAC mismatch"}}`: vector.Failed,
	} {
		v := read(t, "["+text+"]")[0]
		if o, why := vector.Check(&v); o != want || (why == "") != (o == vector.Passed) {
			t.Errorf("%.60s: %v %q, want %v", text, o, why, want)
		}
	}
}

func TestReport(t *testing.T) {
	r := vector.CheckAll(read(t, `[
		{"id":"a","area":"sm3","inputs":{"message_ascii":"abc"},"expected":{"hash":"00"}},
		{"id":"b","area":"sm3","inputs":{"message_ascii":"abc"},"expected":
			{"hash":"66C7F0F462EEEDD9D1F2D46BDC10E4E24167C4875CF2F7A2297DA02B8F4BA8E0"}},
		{"id":"c","area":"rsa"},{"id":"d","area":"iso8583"}]`))
	text, err := json.Marshal(r)
	want := `{"areas":{"rsa":{"passed":0,"failed":0,"unsupported":1,"ids":[]},` +
		`"sm3":{"passed":1,"failed":1,"unsupported":0,"ids":["a"]}},"passed":1,"failed":1,` +
		`"unsupported":1,"elsewhere":1,"findings":[{"id":"a","area":"sm3","why":"hash differs"},` +
		`{"id":"c","area":"rsa","why":"unknown area"}]}`
	if err != nil || string(text) != want {
		t.Errorf("got %s %v\nwant %s", text, err, want)
	}
}

func TestRead(t *testing.T) {
	for text, ok := range map[string]bool{
		`[]`: true, `[{"id":"a","area":"b","more":1}]`: true,
		``: false, `{}`: false, `[{"id":"a"}]`: false, `[{"area":"a"}]`: false, `[1]`: false,
		`[{"id":"a","area":"b","inputs":"5EC2E7"}]`: false, `[{"id":"a","area":"b"`: false,
	} {
		all, err := vector.Read(strings.NewReader(text))
		if (err == nil) != ok || (err != nil && !errors.Is(err, vector.ErrFile)) || (ok && all == nil) {
			t.Errorf("%s: %v", text, err)
		}
		if err != nil && strings.Contains(err.Error(), "5EC2E7") {
			t.Errorf("the error shows the text: %v", err)
		}
	}
}

// TestAreas: every area is named once and sorted, and the project has vectors of most.
func TestAreas(t *testing.T) {
	areas := vector.Areas()
	if !slices.IsSorted(areas) || len(slices.Compact(slices.Clone(areas))) != len(areas) {
		t.Error(areas)
	}
	have := vector.CheckAll(own(t)).Areas
	for _, a := range areas {
		// Certificates and opened blocks of others are checked where they are made.
		if have[a] == nil && a != "qr" && a != "tr31-negative" && a != "tr31-derivation" {
			t.Errorf("no vector of %s", a)
		}
	}
}

func FuzzCheck(f *testing.F) {
	for i, v := range own(f) {
		if i%7 == 0 {
			inputs, _ := json.Marshal(v.Inputs)
			expected, _ := json.Marshal(v.Expected)
			f.Add(v.Area, string(inputs), string(expected))
		}
	}
	f.Fuzz(func(t *testing.T, area, inputs, expected string) {
		v := vector.Vector{ID: "fuzz", Area: area}
		if json.Unmarshal([]byte(inputs), &v.Inputs) != nil ||
			json.Unmarshal([]byte(expected), &v.Expected) != nil {
			return
		}
		if strings.Contains(inputs, "rounds") || strings.Contains(inputs, "repeat") {
			return // work by the million
		}
		vector.Check(&v)
	})
}
