package tariff

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/tapswitch/tapswitch/switch/fare/price"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const (
	// fileMax is the greatest file in bytes: a matrix of 1,000 stations has 5 MB.
	fileMax = 16 << 20
	// entriesMax is the most entries of one list.
	entriesMax = 10_000
	// errorsMax is the most errors that one reading tells.
	errorsMax = 50
)

// Read reads one file. Every entry knows its line.
func Read(s Source) (price.File, error) {
	f, _, err := read(s)
	return f, err
}

// read reads one file; keys has the lines of the keys at the top.
func read(s Source) (f price.File, keys map[string]int, err error) {
	d := decoder{file: s.Name}
	var doc, more yaml.Node
	in := yaml.NewDecoder(bytes.NewReader(s.Text))
	if len(s.Text) > fileMax {
		d.fail(0, "", "%d bytes, at most %d are read", len(s.Text), fileMax)
	} else if err := in.Decode(&doc); err != nil && !errors.Is(err, io.EOF) {
		d.fail(0, "", "not YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
	} else if next := in.Decode(&more); !errors.Is(next, io.EOF) {
		d.fail(more.Line, "", "a second document begins; write each version into a file of its own")
	} else if len(doc.Content) != 1 {
		d.fail(0, "", "empty; write down a whole tariff")
	} else if line := flatForm(doc.Content[0]); line > 0 {
		d.fail(line, "", "bus and metro at the top are of the form before versions; write instead "+
			"tariff, version, effective: {from: 2026-01-01}, utc_offset: 8h and fares, as "+
			"- {name: bus, mode: bus, flat: 200} and - {name: metro, mode: metro, pairs: {otherwise: 500, "+
			"fares: [{from: A, to: B, fare: 200}]}}; shares of riders are - {rider: student, pays: 50%%}")
	} else {
		d.value(doc.Content[0], reflect.ValueOf(&f).Elem(), "")
		keys = topKeys(doc.Content[0])
	}
	return f, keys, d.err()
}

// topKeys returns the lines of the keys of a mapping.
func topKeys(n *yaml.Node) map[string]int {
	keys := map[string]int{}
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		keys[n.Content[i].Value] = n.Content[i].Line
	}
	return keys
}

// flatForm returns the line that shows a file to be of the form that was read before tariffs had
// versions, 0 for none.
func flatForm(n *yaml.Node) int {
	line := 0
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		switch n.Content[i].Value {
		case "bus", "metro":
			line = n.Content[i].Line
		case "fares":
			return 0
		}
	}
	return line
}

// Write returns the text of a file that Read reads back.
func Write(f *price.File) ([]byte, error) {
	text, err := yaml.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("tariff %s cannot be written: %w", f.Tariff, err)
	}
	return text, nil
}

// decoder reads one file and gathers what is wrong with it.
type decoder struct {
	file   string
	errors []*FileError
}

func (d *decoder) fail(line int, key, format string, args ...any) {
	d.errors = append(d.errors, &FileError{d.file, price.Problem{Line: line, Key: key,
		What: fmt.Sprintf(format, args...)}})
}

func (d *decoder) err() error {
	if len(d.errors) == 0 {
		return nil
	}
	slices.SortStableFunc(d.errors, func(a, b *FileError) int { return cmp.Compare(a.Line, b.Line) })
	all := []error{ErrFile}
	for _, e := range d.errors[:min(len(d.errors), errorsMax)] {
		all = append(all, e)
	}
	return errors.Join(all...)
}

// value reads one node: structs and maps are mappings, slices lists, the rest words.
func (d *decoder) value(n *yaml.Node, v reflect.Value, key string) {
	if n.Kind == yaml.AliasNode {
		d.fail(n.Line, key, "aliases are not read; write the value down")
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(n, v.Elem(), key)
	case reflect.Struct:
		d.mapping(n, v, key)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for name, entry := range d.pairs(n, key) {
			value := reflect.New(v.Type().Elem()).Elem()
			d.value(entry, value, key+"."+name)
			v.SetMapIndex(reflect.ValueOf(name), value)
		}
	case reflect.Slice:
		if n.Kind != yaml.SequenceNode || len(n.Content) > entriesMax {
			d.fail(n.Line, key, "want a list of at most %d entries", entriesMax)
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
		for i, entry := range n.Content {
			d.value(entry, v.Index(i), fmt.Sprintf("%s[%d]", key, i))
		}
	default:
		d.word(n, v, key)
	}
}

// mapping reads a struct: its keys and no other.
func (d *decoder) mapping(n *yaml.Node, v reflect.Value, key string) {
	given := d.pairs(n, key)
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if field.Name == "Line" {
			v.Field(i).SetInt(int64(n.Line))
			continue
		}
		name, option, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		if entry, ok := given[name]; ok {
			delete(given, name)
			d.value(entry, v.Field(i), join(key, name))
		} else if option != "omitempty" {
			d.fail(n.Line, join(key, name), "is missing; add it, there is no default")
		}
	}
	for name, entry := range given {
		d.fail(entry.Line, join(key, name), "is not a known key; correct or remove it")
	}
}

// pairs returns the keys of a mapping, each once.
func (d *decoder) pairs(n *yaml.Node, key string) map[string]*yaml.Node {
	if n.Kind != yaml.MappingNode || len(n.Content) > 2*entriesMax {
		d.fail(n.Line, key, "want keys with values, at most %d", entriesMax)
		return nil
	}
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

func join(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}

func (d *decoder) word(n *yaml.Node, v reflect.Value, key string) {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		d.fail(n.Line, key, "want one value")
		return
	}
	if err := scan(n.Value, v); err != nil {
		d.fail(n.Line, key, "%v", err)
	}
}

// scan reads a word into v by v's type.
func scan(s string, v reflect.Value) (err error) {
	switch p := v.Addr().Interface().(type) {
	case *time.Duration:
		if *p, err = time.ParseDuration(s); err != nil {
			return fmt.Errorf("%q is no time span; write 2h or 90m", s)
		}
	case *txn.BusinessDate:
		if *p, err = txn.ParseBusinessDate(s); err != nil {
			return fmt.Errorf("%q is no date; write 2026-09-01", s)
		}
	case *price.Share:
		return p.UnmarshalText([]byte(s))
	case *bool:
		if s != "true" && s != "false" {
			return fmt.Errorf("%q is neither true nor false", s)
		}
		*p = s == "true"
	case *string:
		*p = s
	default:
		n, err := strconv.ParseInt(s, 10, 32)
		if err != nil {
			return fmt.Errorf("%q is no whole number", s)
		}
		v.SetInt(n)
	}
	return nil
}
