package form

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Tell returns v as JSON. Fields that are zero are left out, so a document tells only what
// there is; hide names fields, in Go, that are never told.
func Tell(v any, hide ...string) json.RawMessage {
	t := teller{hide: map[string]bool{}}
	for _, name := range hide {
		t.hide[name] = true
	}
	return t.append(nil, reflect.ValueOf(v))
}

type teller struct{ hide map[string]bool }

func (t *teller) append(dst []byte, v reflect.Value) []byte {
	if v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return append(dst, "null"...)
		}
		return t.append(dst, v.Elem())
	}
	if s, ok := plain(v); ok {
		return appendJSON(dst, s)
	}
	switch v.Kind() {
	case reflect.Struct:
		return t.object(dst, v)
	case reflect.Slice:
		dst = append(dst, '[')
		for i := range v.Len() {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = t.append(dst, v.Index(i))
		}
		return append(dst, ']')
	default:
		return appendJSON(dst, v.Interface())
	}
}

func (t *teller) object(dst []byte, v reflect.Value) []byte {
	dst = append(dst, '{')
	first := true
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if !f.IsExported() || t.hide[f.Name] || v.Field(i).IsZero() ||
			v.Field(i).Kind() == reflect.Slice && v.Field(i).Len() == 0 {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = appendJSON(dst, Snake(f.Name))
		dst = t.append(append(dst, ':'), v.Field(i))
	}
	return append(dst, '}')
}

// plain returns the form of the types that have one of their own.
func plain(v reflect.Value) (any, bool) {
	switch x := v.Interface().(type) {
	case pan.Token:
		return x.String(), true
	case pan.Last4:
		return "****" + x.String(), true
	case txn.App:
		return x.Names(), true
	case txn.Millis:
		return x.Time().UTC().Format(time.RFC3339Nano), true
	case txn.Minor:
		return int64(x), true
	case txn.Mark:
		return map[string]any{"reason": x.Reason.String(), "scope": x.Scope.Names()}, true
	case txn.BusinessDate, txn.Position, txn.RequestID, txn.RiderCategory, txn.TerminalID:
		return x.(fmt.Stringer).String(), true
	}
	switch {
	case v.Kind() == reflect.Array && v.Type().Elem().Kind() == reflect.Uint8:
		b := make([]byte, v.Len())
		reflect.Copy(reflect.ValueOf(b), v)
		return hex.EncodeToString(b), true
	case isEnum(v.Type()):
		return v.Interface().(fmt.Stringer).String(), true
	case isSet(v.Type()):
		names := []string{}
		values := v.MethodByName("Values").Call(nil)[0]
		for i := range values.Len() {
			names = append(names, values.Index(i).Interface().(fmt.Stringer).String())
		}
		return names, true
	default:
		return nil, false
	}
}

func appendJSON(dst []byte, v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("form: internal error: %T: %v", v, err))
	}
	return append(dst, b...)
}

// Field says what a step's field wants, for people.
type Field struct {
	Name string `json:"name"`
	Want string `json:"want"`
}

// Fields lists the fields of a step.
func Fields(v any) []Field { return fields(reflect.TypeOf(v), "") }

func fields(t reflect.Type, path string) []Field {
	var all []Field
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() {
			continue
		}
		name := join(path, Snake(f.Name))
		want := wants(f.Type)
		if want == "" && f.Type.Kind() == reflect.Struct {
			all = append(all, fields(f.Type, name)...)
			continue
		}
		if want == "" && f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct {
			all = append(all, fields(f.Type.Elem(), name+"[]")...)
			continue
		}
		all = append(all, Field{name, want})
	}
	return all
}

// wants says what fills a type, "" for one that is made of others.
func wants(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[pan.Token]():
		return "card number or token"
	case reflect.TypeFor[pan.Last4]():
		return "four digits"
	case reflect.TypeFor[txn.App]():
		return "applications"
	case reflect.TypeFor[txn.Millis]():
		return "instant (RFC 3339)"
	case reflect.TypeFor[txn.BusinessDate]():
		return "day"
	case reflect.TypeFor[txn.Position]():
		return "place of a record, as b017-1-42"
	case reflect.TypeFor[txn.Minor]():
		return "fen"
	case reflect.TypeFor[txn.RiderCategory]():
		return fmt.Sprint(append([]string{txn.RiderOrdinary.String()}, Names(t)...))
	}
	switch {
	case isEnum(t):
		return fmt.Sprint(Names(t))
	case isSet(t):
		method, _ := t.MethodByName("Values")
		return fmt.Sprint("list of ", Names(method.Type.Out(0).Elem()))
	case t.Kind() == reflect.Slice && wants(t.Elem()) != "":
		return "list of " + wants(t.Elem())
	case t.Kind() == reflect.Struct, t.Kind() == reflect.Slice:
		return ""
	case t.Kind() == reflect.Array:
		return fmt.Sprintf("%d bytes in hexadecimal", t.Len())
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.String:
		return "text"
	default:
		return "number"
	}
}
