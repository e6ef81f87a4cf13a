// Package form fills the steps of the card desk from JSON and tells documents as JSON, by
// the fields that they have: snake_case names, enums by their stable names, instants in RFC
// 3339, days as 2026-11-22, tokens in hexadecimal. A field that a step does not have is
// refused by its name.
//
// Where a token is wanted, a card number may stand: it becomes a token at once, through the
// Resolver, and is kept nowhere. Errors name the field and never hold a value.
package form

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// ErrForm reports JSON that does not fill a step; the text names the field.
var ErrForm = errors.New("form")

// Fault is one field that is bad or missing.
type Fault struct{ Field, Want string }

// Faults are all bad and missing fields of a form. They wrap ErrForm.
type Faults []Fault

// Error names every field and what it wants.
func (f Faults) Error() string {
	all := make([]string, len(f))
	for i, x := range f {
		all[i] = "field " + x.Field + " " + x.Want
		if !strings.HasPrefix(x.Want, "is ") && !strings.HasPrefix(x.Want, "stands") {
			all[i] = "field " + x.Field + ": want " + x.Want
		}
	}
	return ErrForm.Error() + ": " + strings.Join(all, "; ")
}

// Unwrap makes every list of faults an ErrForm.
func (f Faults) Unwrap() error { return ErrForm }

// Join gathers the faults of several forms; what else went wrong is returned as it is. It
// returns nil when nothing did.
func Join(errs ...error) error {
	var all Faults
	for _, err := range errs {
		var more Faults
		switch {
		case err == nil:
		case errors.As(err, &more):
			all = append(all, more...)
		default:
			return err
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all[:min(len(all), faultsMax)]
}

// Prefix names the faults of err as fields of the member name.
func Prefix(name string, err error) error {
	var all Faults
	if !errors.As(err, &all) {
		return err
	}
	out := slices.Clone(all)
	for i := range out {
		if at := out[i].Field; at == "body" {
			out[i].Field = name
		} else if strings.HasPrefix(at, "[") {
			out[i].Field = name + at
		} else {
			out[i].Field = join(name, at)
		}
	}
	return out
}

// Missing is the fault of fields that are not there; nil for none.
func Missing(fields ...string) error {
	var all Faults
	for _, f := range fields {
		all = append(all, Fault{f, "is missing"})
	}
	return Join(all)
}

// faultsMax bounds the faults that one error tells.
const faultsMax = 40

// Resolver turns what a person types where a token is wanted, a card number or the like,
// into the token.
type Resolver func(text string) (pan.Token, pan.Last4, error)

// listMax bounds a list in a form.
const listMax = 1000

// Fill fills what dst points to from one JSON object. What the object does not name stays. The
// error names every bad field, as Faults; the others are filled all the same.
func Fill(dst any, data []byte, resolve Resolver) error {
	f := filler{resolve: resolve}
	return f.value(reflect.ValueOf(dst).Elem(), data, "")
}

type filler struct {
	resolve Resolver
	last4   pan.Last4 // of the number that the last token was made of
}

func wrong(path, want string) error {
	if path == "" {
		path = "body"
	}
	return Faults{{path, want}}
}

func (f *filler) value(v reflect.Value, data []byte, path string) error {
	if done, err := f.known(v, data, path); done {
		return err
	}
	switch v.Kind() {
	case reflect.Struct:
		return f.object(v, data, path)
	case reflect.Slice:
		return f.list(v, data, path)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return f.value(v.Elem(), data, path)
	case reflect.String:
		s, err := text(data, path)
		v.SetString(s)
		return err
	case reflect.Bool:
		if err := json.Unmarshal(data, v.Addr().Interface()); err != nil {
			return wrong(path, "true or false")
		}
		return nil
	case reflect.Int, reflect.Int64, reflect.Uint32, reflect.Uint64, reflect.Uint16, reflect.Uint8:
		if err := json.Unmarshal(data, v.Addr().Interface()); err != nil {
			return wrong(path, "a whole number in range")
		}
		return nil
	default:
		return wrong(path, "nothing: it cannot be set")
	}
}

// known fills the types that have a form of their own; done is false for all others.
func (f *filler) known(v reflect.Value, data []byte, path string) (done bool, err error) {
	switch p := v.Addr().Interface().(type) {
	case *pan.Token:
		return true, f.token(p, data, path)
	case *pan.Last4:
		return true, parsed(data, path, "four digits", func(s string) (err error) {
			*p, err = pan.ParseLast4(s)
			return err
		})
	case *txn.App:
		return true, apps(p, data, path)
	case *txn.Millis:
		return true, parsed(data, path, "an instant as 2006-01-02T15:04:05Z", func(s string) error {
			at, err := time.Parse(time.RFC3339, s)
			*p = txn.MillisOf(at)
			return err
		})
	case *txn.BusinessDate:
		return true, parsed(data, path, "a day as 2006-01-02", func(s string) (err error) {
			*p, err = txn.ParseBusinessDate(s)
			return err
		})
	case *txn.RiderCategory:
		return true, parsed(data, path, "a rider category", func(s string) error {
			c, ok := txn.ParseRiderCategory(s)
			if *p = c; !ok {
				return ErrForm
			}
			return nil
		})
	case *txn.Position:
		return true, parsed(data, path, "a record's place as b017-1-42", func(s string) (err error) {
			*p, err = txn.ParsePosition(s)
			return err
		})
	}
	switch {
	case v.Kind() == reflect.Array:
		return true, parsed(data, path, fmt.Sprintf("%d bytes in hexadecimal", v.Len()), func(s string) error {
			b, err := hex.DecodeString(s)
			if err != nil || len(b) != v.Len() {
				return ErrForm
			}
			reflect.Copy(v, reflect.ValueOf(b))
			return nil
		})
	case isEnum(v.Type()):
		return true, parsed(data, path, "one of "+strings.Join(Names(v.Type()), ", "), func(s string) error {
			return setEnum(v, s)
		})
	case isSet(v.Type()):
		return true, f.set(v, data, path)
	default:
		return false, nil
	}
}

func text(data []byte, path string) (string, error) {
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return "", wrong(path, "a text")
	}
	return s, nil
}

func parsed(data []byte, path, want string, parse func(string) error) error {
	s, err := text(data, path)
	if err != nil || parse(s) != nil {
		return wrong(path, want)
	}
	return nil
}

func (f *filler) token(p *pan.Token, data []byte, path string) error {
	s, err := text(data, path)
	if err != nil {
		return err
	}
	if len(s) == 2*pan.TokenSize {
		if *p, err = pan.ParseToken(s); err == nil {
			return nil
		}
	}
	if f.resolve == nil {
		return wrong(path, "a token in hexadecimal")
	}
	if *p, f.last4, err = f.resolve(s); err != nil {
		return wrong(path, "a card number or a token")
	}
	return nil
}

func apps(p *txn.App, data []byte, path string) error {
	var names []string
	if json.Unmarshal(data, &names) != nil {
		s, err := text(data, path)
		if err != nil {
			return wrong(path, "an application or a list of them")
		}
		names = []string{s}
	}
	*p = 0
	for _, name := range names {
		app, err := txn.ParseApp(name)
		if err != nil {
			return wrong(path, "applications that are known")
		}
		*p |= app
	}
	return nil
}

func (f *filler) object(v reflect.Value, data []byte, path string) error {
	d := json.NewDecoder(bytes.NewReader(data))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return wrong(path, "an object")
	}
	seen := map[string]bool{}
	var bad error
	f.last4 = pan.Last4{}
	var last4 pan.Last4
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return wrong(path, "an object")
		}
		name, _ := t.(string)
		at := join(path, name)
		field, ok := fieldOf(v, name)
		var raw json.RawMessage
		switch {
		case d.Decode(&raw) != nil:
			return Join(bad, wrong(printable(at), "valid JSON"))
		case !ok:
			bad = Join(bad, Faults{{printable(at), "is not known here"}})
			continue
		case seen[name]:
			bad = Join(bad, Faults{{printable(at), "stands twice"}})
			continue
		}
		seen[name] = true
		bad = Join(bad, f.value(field, raw, at))
		if f.last4 != (pan.Last4{}) {
			last4, f.last4 = f.last4, pan.Last4{}
		}
	}
	if _, err := d.Token(); err != nil {
		return wrong(path, "an object")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return wrong(path, "one object and nothing after it")
	}
	// A number tells its last four digits as well.
	if field := v.FieldByName("Last4"); field.IsValid() && field.IsZero() && last4 != (pan.Last4{}) {
		field.Set(reflect.ValueOf(last4))
	}
	return bad
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// printable keeps what a client sent out of an error unless it looks like a name.
func printable(path string) string {
	for _, c := range path {
		if (c < 'a' || c > 'z') && c != '_' && c != '.' {
			return "(unprintable)"
		}
	}
	return path
}

func (f *filler) list(v reflect.Value, data []byte, path string) error {
	var items []json.RawMessage
	if err := json.Unmarshal(data, &items); err != nil || len(items) > listMax {
		return wrong(path, fmt.Sprintf("a list of at most %d", listMax))
	}
	out := reflect.MakeSlice(v.Type(), len(items), len(items))
	var bad error
	for i, item := range items {
		bad = Join(bad, f.value(out.Index(i), item, fmt.Sprintf("%s[%d]", path, i)))
	}
	v.Set(out)
	return bad
}

func (f *filler) set(v reflect.Value, data []byte, path string) error {
	element := v.MethodByName("Values").Type().Out(0).Elem()
	var names []string
	if err := json.Unmarshal(data, &names); err != nil {
		return wrong(path, "a list of "+strings.Join(Names(element), ", "))
	}
	var bits uint64
	for _, name := range names {
		one := reflect.New(element).Elem()
		if setEnum(one, name) != nil || one.Uint() > 31 {
			return wrong(path, "a list of "+strings.Join(Names(element), ", "))
		}
		bits |= 1 << one.Uint()
	}
	v.SetUint(bits)
	return nil
}

var stringer = reflect.TypeFor[fmt.Stringer]()

func isEnum(t reflect.Type) bool { return t.Kind() == reflect.Uint8 && t.Implements(stringer) }

func isSet(t reflect.Type) bool {
	if t.Kind() != reflect.Uint32 {
		return false
	}
	_, ok := t.MethodByName("Values")
	return ok
}

// Names returns the stable names of an enum but the first, which stands for none.
func Names(t reflect.Type) []string {
	var names []string
	v := reflect.New(t).Elem()
	for n := uint64(1); n < 256; n++ {
		v.SetUint(n)
		name := v.Interface().(fmt.Stringer).String()
		if strings.ContainsAny(name, "()") || name == "unknown" {
			break
		}
		names = append(names, name)
	}
	return names
}

func setEnum(v reflect.Value, name string) error {
	i := slices.Index(Names(v.Type()), name)
	if i < 0 {
		return ErrForm
	}
	v.SetUint(uint64(i + 1))
	return nil
}

// fieldOf returns the settable field whose snake_case name is name.
func fieldOf(v reflect.Value, name string) (reflect.Value, bool) {
	for i := range v.NumField() {
		if t := v.Type().Field(i); t.IsExported() && Snake(t.Name) == name {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

// Snake returns a field's name in JSON: "ExpiresOn" is "expires_on", "IDs" is "ids".
func Snake(name string) string {
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		if c < 'A' || c > 'Z' {
			b.WriteByte(c)
			continue
		}
		lowerBefore := i > 0 && (name[i-1] < 'A' || name[i-1] > 'Z')
		wordBegins := i > 0 && i+1 < len(name) && name[i+1] >= 'a' && name[i+1] <= 'z' &&
			!(i+2 == len(name) && name[i+1] == 's')
		if lowerBefore || wordBegins {
			b.WriteByte('_')
		}
		b.WriteByte(c | 0x20)
	}
	return b.String()
}
