package scheme

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// Setting is one value of a policy as people read it.
type Setting struct {
	// Key is where it stands in the file: "freeze.window", "parties[bank].loss_contract".
	Key   string
	Value string
	Source
}

// Settings returns every value of the policy with its source, in the order of Policy's fields.
// The entries of a list are named by what tells them apart rather than by their number.
func (p *Policy) Settings() []Setting {
	var all []Setting
	v := reflect.ValueOf(*p)
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		switch v.Field(i).Interface().(type) {
		case string, []Text:
			continue
		}
		all = settings(all, v.Field(i), name)
	}
	return all
}

// settings appends what stands in v at key.
func settings(all []Setting, v reflect.Value, key string) []Setting {
	if r, ok := v.Interface().(readable); ok {
		value, source := r.read()
		if source == (Source{}) {
			return all // left out
		}
		return append(all, Setting{key, format(reflect.ValueOf(value)), source})
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return all
		}
		return settings(all, v.Elem(), key)
	case reflect.Slice:
		for i := range v.Len() {
			all = settings(all, v.Index(i), fmt.Sprintf("%s[%s]", key, entryName(v.Index(i), i)))
		}
		return all
	default:
		return record(all, v, key)
	}
}

// record appends a struct: its own words under its own source, then what stands below it.
func record(all []Setting, v reflect.Value, key string) []Setting {
	var own []string
	var source *Source
	var below []Setting
	for i := range v.NumField() {
		field, value := v.Type().Field(i), v.Field(i)
		name, option, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		s, isSource := value.Interface().(Source)
		switch {
		case isSource:
			source = &s
		case option == "inline" && plain(value):
			own = append(own, format(value))
		case option == "inline":
			below = record(below, value, key)
		case plain(value):
			if text := format(value); text != "" {
				own = append(own, name+" "+text)
			}
		default:
			below = settings(below, value, key+"."+name)
		}
	}
	if source != nil {
		all = append(all, Setting{key, strings.Join(own, ", "), *source})
	}
	return append(all, below...)
}

// plain reports whether v is printed within its record.
func plain(v reflect.Value) bool {
	switch v.Interface().(type) {
	case Words, []Words, []string:
		return true
	case readable:
		return false
	}
	return v.Kind() != reflect.Struct && v.Kind() != reflect.Slice && v.Kind() != reflect.Pointer
}

// entryName returns what tells an entry apart: its first word.
func entryName(v reflect.Value, i int) string {
	if v.Kind() == reflect.Struct && v.NumField() > 0 && plain(v.Field(0)) {
		if name := format(v.Field(0)); name != "" {
			return name
		}
	}
	return fmt.Sprint(i)
}

// format prints one value; a list in brackets, "none" where it is empty.
func format(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case txn.App:
		return strings.Join(x.Names(), ", ")
	case txn.Minor:
		return fmt.Sprintf("%d fen", int64(x))
	case Words:
		return x.ZH + " / " + x.EN
	case time.Duration:
		if x == 0 {
			return "0s"
		}
		return strings.TrimSuffix(strings.TrimSuffix(x.String(), "0s"), "0m")
	case fmt.Stringer:
		return x.String()
	}
	if v.Kind() != reflect.Slice {
		return fmt.Sprint(v.Interface())
	}
	words := make([]string, v.Len())
	for i := range words {
		words[i] = format(v.Index(i))
	}
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ", ")
}
