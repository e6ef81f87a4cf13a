package scheme

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/lease"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// FileError is one thing that is wrong in a file: where, and what to do.
type FileError struct {
	File string
	Line int // 0 where the file as a whole is meant
	Key  string
	What string
}

// Error returns "handan.yaml:12: freeze.window: what".
func (e *FileError) Error() string {
	s := e.File + ":"
	if e.Line > 0 {
		s += strconv.Itoa(e.Line) + ":"
	}
	if e.Key != "" {
		s += " " + e.Key + ":"
	}
	return s + " " + e.What
}

const (
	// errorsMax is the most errors that one reading tells; a file with more is told apart.
	errorsMax = 20
	// fileMax is the greatest file in bytes; those of cities have a tenth of it.
	fileMax = 256 << 10
	// entriesMax is the most entries of one list.
	entriesMax = 400
	// textMax is the longest text in bytes.
	textMax = 1000
)

// decoder reads one file into a struct and gathers what is wrong with it.
type decoder struct {
	file   string
	texts  []Text         // whose clauses may be cited
	lines  map[string]int // of each key, for what is found later
	errors []*FileError
}

// decode reads text into the struct that out points to.
func decode(file string, text []byte, out any) *decoder {
	d := &decoder{file: file, lines: map[string]int{}}
	if len(text) > fileMax {
		d.fail(0, "", fmt.Sprintf("%d bytes, at most %d are read", len(text), fileMax))
		return d
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		d.fail(0, "", "not YAML: "+strings.TrimPrefix(err.Error(), "yaml: "))
		return d
	}
	if len(doc.Content) != 1 {
		d.fail(0, "", "empty; write down a whole policy")
		return d
	}
	d.value(doc.Content[0], reflect.ValueOf(out).Elem(), "")
	return d
}

// err returns everything that was found, or nil.
func (d *decoder) err() error {
	slices.SortStableFunc(d.errors, func(a, b *FileError) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Key, b.Key))
	})
	var all []error
	for _, e := range d.errors {
		all = append(all, e)
	}
	if n := len(d.errors); n > errorsMax {
		more := &FileError{File: d.file, What: fmt.Sprintf("and %d more", n-errorsMax)}
		return errors.Join(append(all[:errorsMax:errorsMax], more)...)
	}
	return errors.Join(all...)
}

func (d *decoder) fail(line int, key, what string) {
	d.errors = append(d.errors, &FileError{File: d.file, Line: line, Key: key, What: what})
}

// value reads one node. Structs are mappings, slices are lists, everything else is a word.
func (d *decoder) value(n *yaml.Node, v reflect.Value, key string) {
	d.lines[key] = n.Line
	if n.Kind == yaml.AliasNode {
		d.fail(n.Line, key, "aliases are not read; write the value down")
		return
	}
	if s, ok := v.Addr().Interface().(sourced); ok {
		d.sourced(n, s, key)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(n, v.Elem(), key)
	case reflect.Struct:
		if _, ok := v.Addr().Interface().(*Term); ok {
			d.word(n, v, key)
			return
		}
		d.mapping(n, v, key)
	case reflect.Slice:
		d.list(n, v, key)
	default:
		d.word(n, v, key)
	}
}

// sourced reads {value, clause, date} or {value, product_rule}.
func (d *decoder) sourced(n *yaml.Node, s sourced, key string) {
	target, source := s.target()
	if n.Kind != yaml.MappingNode {
		d.fail(n.Line, key, "has no source; write {value: ..., clause: ..., date: ...} or "+
			"{value: ..., product_rule: \"why\"}")
		return
	}
	given := d.pairs(n, key)
	d.source(n, given, source, key)
	if value, ok := given["value"]; ok {
		delete(given, "value")
		d.value(value, reflect.ValueOf(target).Elem(), key)
	} else {
		d.fail(n.Line, key, "value is missing; add it")
	}
	d.unknown(given, key)
}

// mapping reads a struct: every key of it and no other.
func (d *decoder) mapping(n *yaml.Node, v reflect.Value, key string) {
	if n.Kind != yaml.MappingNode {
		d.fail(n.Line, key, "want keys with values")
		return
	}
	given := d.pairs(n, key)
	d.fields(n, given, v, key)
	d.unknown(given, key)
}

// fields reads the fields of a struct and takes their keys out of given.
func (d *decoder) fields(n *yaml.Node, given map[string]*yaml.Node, v reflect.Value, key string) {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if source, ok := v.Field(i).Addr().Interface().(*Source); ok {
			d.source(n, given, source, key)
			continue
		}
		name, option, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		if name == "-" {
			continue
		}
		if option == "inline" {
			d.fields(n, given, v.Field(i), key)
			continue
		}
		value, ok := given[name]
		delete(given, name)
		switch path := join(key, name); {
		case ok:
			d.value(value, v.Field(i), path)
			if v.Field(i).Kind() == reflect.String && value.Value == "" && option != "empty" {
				d.fail(value.Line, path, "is empty; write it down")
			}
		case option != "omitempty":
			d.lines[path] = n.Line
			d.fail(n.Line, path, "is missing; add it, there is no default")
		}
	}
}

// source reads clause and date, or product_rule, and wants one of them.
func (d *decoder) source(n *yaml.Node, given map[string]*yaml.Node, s *Source, key string) {
	v := reflect.ValueOf(s).Elem()
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("yaml")
		if value, ok := given[name]; ok {
			delete(given, name)
			d.word(value, v.Field(i), join(key, name))
		}
	}
	if why := d.judge(s); why != "" {
		d.fail(n.Line, key, why)
	}
}

// judge says what is wrong with a source, "" for nothing.
func (d *decoder) judge(s *Source) string {
	switch {
	case s.Clause == "" && s.ProductRule == "":
		return "has no source; add clause and date, or product_rule with the reason"
	case s.Clause != "" && s.ProductRule != "":
		return "has a clause and a product rule; keep the one that the value comes from"
	case s.ProductRule != "" && s.Date != 0:
		return "a product rule has no date; leave it out"
	case s.ProductRule != "":
		return ""
	case s.Date == 0:
		return "clause " + s.Clause + " has no date; add from when it holds"
	}
	for _, c := range s.Clauses() {
		i := slices.IndexFunc(d.texts, func(t Text) bool { return isClause(c, t.Prefix) })
		switch {
		case i < 0:
			return fmt.Sprintf("clause %q is of no text of this file; name the text under texts", c)
		case s.Date < d.texts[i].InForce:
			return fmt.Sprintf("dated %v, before %s came into force on %v; correct the date",
				s.Date, d.texts[i].Prefix, d.texts[i].InForce)
		}
	}
	return ""
}

// isClause reports whether c is the prefix and a number.
func isClause(c, prefix string) bool {
	number, ok := strings.CutPrefix(c, prefix)
	n, err := strconv.Atoi(number)
	return ok && err == nil && n > 0 && strconv.Itoa(n) == number
}

func (d *decoder) list(n *yaml.Node, v reflect.Value, key string) {
	switch {
	case n.Kind != yaml.SequenceNode:
		d.fail(n.Line, key, "want a list")
		return
	case len(n.Content) > entriesMax:
		d.fail(n.Line, key, fmt.Sprintf("%d entries, at most %d", len(n.Content), entriesMax))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, entry := range n.Content {
		d.value(entry, v.Index(i), fmt.Sprintf("%s[%d]", key, i))
	}
	if texts, ok := v.Interface().([]Text); ok {
		d.texts = texts
	}
}

// word reads one scalar.
func (d *decoder) word(n *yaml.Node, v reflect.Value, key string) {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		d.fail(n.Line, key, "want one value")
		return
	}
	if len(n.Value) > textMax {
		d.fail(n.Line, key, fmt.Sprintf("text of %d bytes, at most %d", len(n.Value), textMax))
		return
	}
	if err := scan(n.Value, v); err != nil {
		d.fail(n.Line, key, err.Error())
	}
}

// scan reads a word into v by v's type.
func scan(s string, v reflect.Value) (err error) {
	switch p := v.Addr().Interface().(type) {
	case *time.Duration:
		if *p, err = time.ParseDuration(s); err != nil || *p < 0 {
			return fmt.Errorf("%q is no time span; write 2h or 90m", s)
		}
	case *txn.BusinessDate:
		*p, err = txn.ParseBusinessDate(s)
	case *txn.App:
		*p, err = txn.ParseApp(s)
	case *pan.Family:
		*p, err = pan.ParseFamily(s)
	case *Term:
		*p, err = ParseTerm(s)
	case *bool:
		if s != "true" && s != "false" {
			return fmt.Errorf("%q is neither true nor false", s)
		}
		*p = s == "true"
	default:
		return scanWord(s, v)
	}
	return err
}

// scanWord reads a word of the accounts.
func scanWord(s string, v reflect.Value) (err error) {
	switch p := v.Addr().Interface().(type) {
	case *account.Actor:
		*p, err = account.ParseActor(s)
	case *account.Channel:
		*p, err = account.ParseChannel(s)
	case *account.Form:
		*p, err = account.ParseForm(s)
	case *account.IDKind:
		*p, err = account.ParseIDKind(s)
	case *account.Closing:
		*p, err = account.ParseClosing(s)
	case *account.AfterRefusal:
		*p, err = account.ParseAfterRefusal(s)
	case *account.Boundary:
		*p, err = account.ParseBoundary(s)
	case *account.Ground:
		*p, err = account.ParseGround(s)
	case *account.Fault:
		*p, err = account.ParseFault(s)
	case *account.Affair:
		*p, err = account.ParseAffair(s)
	case *account.CarrierKind:
		*p, err = account.ParseCarrierKind(s)
	case *account.Event:
		*p, err = account.ParseEvent(s)
	case *account.Field:
		*p, err = account.ParseField(s)
	case *lease.Contact:
		*p, err = lease.ParseContact(s)
	default:
		return scanKind(s, v)
	}
	return err
}

// scanKind reads a number, a text, or a word of a vocabulary.
func scanKind(s string, v reflect.Value) error {
	switch v.Kind() {
	case reflect.Int, reflect.Int64:
		n, err := strconv.ParseInt(s, 10, 32)
		if err != nil || n < 0 {
			return fmt.Errorf("%q is no whole number from 0", s)
		}
		v.SetInt(n)
		return nil
	case reflect.String:
		if w, ok := v.Interface().(interface{ words() []string }); ok &&
			!slices.Contains(w.words(), s) {
			return fmt.Errorf("%q is not known here; choose one of %s", s,
				strings.Join(w.words(), ", "))
		}
		v.SetString(s)
		return nil
	default:
		panic("scheme: internal error: no policy value has the type " + v.Type().String())
	}
}

// pairs returns the keys of a mapping, each once.
func (d *decoder) pairs(n *yaml.Node, key string) map[string]*yaml.Node {
	given := make(map[string]*yaml.Node, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		name := n.Content[i]
		if _, twice := given[name.Value]; twice {
			d.fail(name.Line, join(key, name.Value), "stands twice; keep one")
		}
		given[name.Value] = n.Content[i+1]
	}
	return given
}

func (d *decoder) unknown(rest map[string]*yaml.Node, key string) {
	for name, n := range rest {
		d.fail(n.Line, join(key, name), "is not a known key; correct or remove it")
	}
}

func join(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}
