package vector

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// entry is a vector under check. The first thing that does not fit sticks; what is read
// after that is zero.
type entry struct {
	*Vector
	compared map[string]bool // expected values that were looked at
	failed   string
	unknown  string
}

func (e *entry) outcome() (Outcome, string) {
	if e.failed == "" && e.unknown == "" {
		for _, name := range slices.Sorted(maps.Keys(e.Expected)) {
			if !e.compared[name] {
				e.unknown = fmt.Sprintf("expected value %.40q is not known here", name)
				break
			}
		}
		if len(e.Expected) == 0 {
			e.unknown = "nothing is expected"
		}
	}
	switch {
	case e.failed != "":
		return Failed, e.failed
	case e.unknown != "":
		return Unsupported, e.unknown
	default:
		return Passed, ""
	}
}

// ok reports whether everything fits so far.
func (e *entry) ok() bool { return e.failed == "" && e.unknown == "" }

func (e *entry) fail(format string, args ...any) {
	if e.ok() {
		e.failed = fmt.Sprintf(format, args...)
	}
}

func (e *entry) unsupported(format string, args ...any) {
	if e.ok() {
		e.unknown = fmt.Sprintf(format, args...)
	}
}

// must makes an error of a package a failure. The packages' errors show no secrets.
func (e *entry) must(what string, err error) bool {
	if err != nil {
		e.fail("%s: %v", what, err)
	}
	return e.ok()
}

// has reports whether the vector has an input.
func (e *entry) has(name string) bool {
	_, ok := e.Inputs[name]
	return ok
}

// wants reports whether a value is expected.
func (e *entry) wants(name string) bool {
	_, ok := e.Expected[name]
	return ok
}

// text reads an input as text; numbers are taken as they are written.
func (e *entry) text(name string) string {
	raw, ok := e.Inputs[name]
	if !ok {
		e.unsupported("input %q is missing", name)
		return ""
	}
	s, err := plain(raw)
	if err != nil {
		e.fail("input %q is neither text nor a number", name)
	}
	return s
}

// hex reads an input as hexadecimal.
func (e *entry) hex(name string) []byte {
	return e.parse(name, e.text(name))
}

// parse reads a part of an input as hexadecimal.
func (e *entry) parse(name, text string) []byte {
	b, err := hex.DecodeString(text)
	if err != nil {
		e.fail("input %q is not hexadecimal", name)
		return nil
	}
	return b
}

// data reads name_ascii as characters, or name as hexadecimal.
func (e *entry) data(name string) []byte {
	if e.has(name + "_ascii") {
		return []byte(e.text(name + "_ascii"))
	}
	return e.hex(name)
}

// number reads an input as an integer.
func (e *entry) number(name string) int64 {
	s := e.text(name)
	if !e.ok() {
		return 0
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		e.fail("input %q is not an integer", name)
	}
	return n
}

// expectText compares a value, which need not be expected.
func (e *entry) expectText(name, got string) {
	raw, ok := e.Expected[name]
	if !ok {
		return
	}
	e.compared[name] = true
	want, err := plain(raw)
	switch {
	case err != nil:
		e.fail("expected value %q is neither text nor a number", name)
	case want != got:
		e.fail("%s differs", name)
	}
}

// expect compares bytes with a hexadecimal value of either case.
func (e *entry) expect(name string, got []byte) {
	raw, ok := e.Expected[name]
	if !ok {
		return
	}
	e.compared[name] = true
	text, err := plain(raw)
	if err != nil {
		e.fail("expected value %q is not text", name)
		return
	}
	want, err := hex.DecodeString(text)
	switch {
	case err != nil:
		e.fail("expected value %q is not hexadecimal", name)
	case !bytes.Equal(want, got):
		e.fail("%s differs", name)
	}
}

// expectNumber compares an integer.
func (e *entry) expectNumber(name string, got int64) {
	e.expectText(name, strconv.FormatInt(got, 10))
}

// expectBool compares a truth value.
func (e *entry) expectBool(name string, got bool) {
	raw, ok := e.Expected[name]
	if !ok {
		return
	}
	e.compared[name] = true
	var want bool
	if json.Unmarshal(raw, &want) != nil {
		e.fail("expected value %q is neither true nor false", name)
	} else if want != got {
		e.fail("%s differs", name)
	}
}

// expectError compares an error with the text of expected value "error": kinds names a
// word of the text and the error that it stands for, first match first. A text without any
// of the words takes every error.
func (e *entry) expectError(err error, kinds []errorKind) {
	raw, ok := e.Expected["error"]
	if !ok {
		e.unsupported("no error is expected")
		return
	}
	e.compared["error"] = true
	text, bad := plain(raw)
	switch {
	case bad != nil:
		e.fail("the expected error is not text")
		return
	case err == nil:
		e.fail("an error was expected")
		return
	}
	text = strings.ToLower(text)
	for _, k := range kinds {
		if strings.Contains(text, k.word) {
			if !errors.Is(err, k.err) {
				e.fail("another error was expected")
			}
			return
		}
	}
}

type errorKind struct {
	word string
	err  error
}

// plain returns text or a number as written.
func plain(raw json.RawMessage) (string, error) {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s, nil
	}
	var n json.Number
	if err := json.Unmarshal(raw, &n); err != nil {
		return "", errors.New("neither text nor a number")
	}
	return n.String(), nil
}
