package vector

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"github.com/tapswitch/tapswitch/crypto/vector"
	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// The names under which files give the bytes of a message, first match first.
var (
	hexNames = []string{"hex", "message_hex", "frame_hex", "raw_hex", "data_hex", "bytes",
		"frame", "message", "data", "raw"}
	asciiNames = []string{"ascii", "text", "message_ascii", "frame_ascii", "frame", "message",
		"data", "raw"}
	base64Names = []string{"base64", "message_base64", "frame_base64"}
)

// entry is a vector opened for checking.
type entry struct {
	*vector.Vector
	frame  []byte
	fields map[string]json.RawMessage // what is expected, by the key as it is written
	rest   map[string]json.RawMessage // expected values that are no fields
}

// open reads what every check needs. why says what is not known.
func open(v *vector.Vector) (e *entry, why string) {
	e = &entry{Vector: v, fields: map[string]json.RawMessage{}, rest: map[string]json.RawMessage{}}
	if len(v.Expected) == 0 {
		return nil, "nothing is expected"
	}
	for key, value := range v.Expected {
		if _, ok := fieldNumber(key); ok {
			e.fields[key] = value
			continue
		}
		e.rest[key] = value
	}
	if why := e.openFields("fields", v.Expected); why != "" {
		return nil, why
	}
	delete(e.rest, "fields")
	frame, found := bytesOf(v.Inputs)
	if !found {
		// A vector for packing: the fields are the input and the bytes what is expected.
		if frame, found = bytesOf(v.Expected); !found {
			return nil, "no input is a message: want hex, ascii or base64"
		}
		if why := e.swap(); why != "" {
			return nil, why
		}
	}
	if len(frame) == 0 || len(frame) > message.FrameMax {
		return nil, "the message is empty or longer than a frame"
	}
	e.frame = frame
	return e, ""
}

// openFields adds the members of an object of fields.
func (e *entry) openFields(name string, from map[string]json.RawMessage) (why string) {
	raw, ok := from[name]
	if !ok {
		return ""
	}
	var all map[string]json.RawMessage
	if json.Unmarshal(raw, &all) != nil || all == nil {
		return "the fields are not an object"
	}
	for key, value := range all {
		if _, ok := fieldNumber(key); !ok && !isHead(key) {
			return "a field's name is no number"
		}
		if _, twice := e.fields[key]; twice {
			return "a field is expected twice"
		}
		e.fields[key] = value
	}
	return ""
}

// swap makes what is given for packing what is expected of unpacking the result.
func (e *entry) swap() (why string) {
	for _, list := range [][]string{hexNames, asciiNames, base64Names} {
		for _, name := range list {
			delete(e.rest, name)
		}
	}
	if len(e.fields) > 0 {
		return "fields are expected of no message"
	}
	for key, value := range e.Inputs {
		switch _, isField := fieldNumber(key); {
		case isField, isHead(key):
			e.fields[key] = value
		case headers[key]:
			e.rest[key] = value
		}
	}
	return e.openFields("fields", e.Inputs)
}

// headers are the values in front of the fields that a vector may give or expect.
var headers = map[string]bool{"tpdu": true, "header": true, "header_hex": true}

// isHead reports whether a key among fields is the type or a bitmap.
func isHead(key string) bool {
	switch key {
	case "mti", "MTI", "t", "type", "bitmap", "p":
		return true
	}
	return false
}

// fieldNumber reads the key of a field: 2, "02", "F2", "DE 2", "field_2".
func fieldNumber(key string) (int, bool) {
	digits := strings.TrimLeft(strings.ToLower(key), "abcdefghijklmnopqrstuvwxyz_ .-")
	switch strings.TrimRight(strings.ToLower(strings.TrimSuffix(key, digits)), "_ .-") {
	case "", "f", "de", "df", "bit", "field":
	default:
		return 0, false
	}
	n, err := strconv.Atoi(digits)
	return n, err == nil && n >= 0 && n <= 128 && len(digits) <= 3
}

// bytesOf finds the message among values.
func bytesOf(from map[string]json.RawMessage) ([]byte, bool) {
	for _, name := range hexNames {
		if text, err := plain(from[name]); err == nil {
			if b, err := hex.DecodeString(compact(text)); err == nil && len(b) > 0 {
				return b, true
			}
		}
	}
	for _, name := range asciiNames {
		if text, err := plain(from[name]); err == nil && text != "" {
			return []byte(text), true
		}
	}
	for _, name := range base64Names {
		if text, err := plain(from[name]); err == nil {
			if b, err := base64.StdEncoding.DecodeString(compact(text)); err == nil && len(b) > 0 {
				return b, true
			}
		}
	}
	return nil, false
}

// compact takes out what people put between hex digits.
func compact(text string) string {
	text = strings.NewReplacer(" ", "", "\n", "", "\r", "", "\t", "", ":", "").Replace(text)
	return strings.TrimPrefix(strings.TrimPrefix(text, "0x"), "0X")
}

// plain returns text or a number as written.
func plain(raw json.RawMessage) (string, error) {
	var s string
	if json.Unmarshal(raw, &s) == nil && string(raw) != "null" {
		return s, nil
	}
	var n json.Number
	if err := json.Unmarshal(raw, &n); err != nil || n == "" {
		return "", errors.New("neither text nor a number")
	}
	return n.String(), nil
}

// input returns the first input of the names as text.
func (e *entry) input(names ...string) (string, bool) {
	for _, name := range names {
		if text, err := plain(e.Inputs[name]); err == nil {
			return text, true
		}
	}
	return "", false
}

// flag returns the first input of the names that is true or false.
func (e *entry) flag(names ...string) (value, ok bool) {
	for _, name := range names {
		if json.Unmarshal(e.Inputs[name], &value) == nil && string(e.Inputs[name]) != "null" {
			return value, true
		}
	}
	return false, false
}
