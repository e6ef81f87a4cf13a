package message

import (
	"embed"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"
)

const (
	// specSizeMax is the longest spec file in bytes; the longest of ours has 8 KB.
	specSizeMax = 256 << 10
	// nameMax is the longest name of a spec or field in characters.
	nameMax = 80
)

//go:embed specs/*.yaml
var specFiles embed.FS

// builtin are the specs of this package, in the order in which they build on each other.
var builtin = sync.OnceValues(func() ([]*Spec, error) {
	var all []*Spec
	for _, name := range []string{"cup_pos", "cups", "iso87_ascii", "iso87_bcd",
		"iso87_ascii_binary", "iso87_bcd_hex"} {
		text, err := specFiles.ReadFile("specs/" + name + ".yaml")
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrSpec, name, err)
		}
		s, err := parseSpec(text, all)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, s)
	}
	return all, nil
})

// Names returns the names of the built-in specs.
func Names() []string {
	all, _ := builtin()
	var names []string
	for _, s := range all {
		names = append(names, s.name)
	}
	return names
}

// Named returns the built-in spec of a name: cup_pos, cups, iso87_ascii, iso87_bcd, or
// iso87_ascii_binary and iso87_bcd_hex with the other form of the bitmap.
func Named(name string) (*Spec, error) {
	all, err := builtin()
	if err != nil {
		return nil, err
	}
	if s := find(all, name); s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("%w: no spec %q: there are %s", ErrSpec, name,
		strings.Join(Names(), ", "))
}

func find(all []*Spec, name string) *Spec {
	i := slices.IndexFunc(all, func(s *Spec) bool { return s.name == name })
	if i < 0 {
		return nil
	}
	return all[i]
}

// SpecError says what is wrong in a spec file.
type SpecError struct {
	Line   int // from 1; 0 is the file as a whole
	Reason string
}

// Error returns the whole sentence.
func (e *SpecError) Error() string {
	if e.Line == 0 {
		return "spec: " + e.Reason
	}
	return fmt.Sprintf("spec: line %d: %s", e.Line, e.Reason)
}

// Unwrap makes errors.Is(err, ErrSpec) true.
func (e *SpecError) Unwrap() error { return ErrSpec }

// Load reads a spec from YAML in the form of the files below specs/. A file may build on a
// built-in spec (base) and say only what differs. Anything unknown, twice or contradictory is
// a *SpecError with its line.
func Load(r io.Reader) (*Spec, error) {
	text, err := io.ReadAll(io.LimitReader(r, specSizeMax+1))
	if err != nil {
		return nil, fmt.Errorf("read spec: %w", err)
	}
	if len(text) > specSizeMax {
		return nil, &SpecError{0, fmt.Sprintf("longer than %d bytes", specSizeMax)}
	}
	bases, err := builtin()
	if err != nil {
		return nil, err
	}
	return parseSpec(text, bases)
}

// defaults are the settings that rows without their own take.
type defaults struct {
	lengths  string // encoding of length prefixes
	numbers  string // encoding of n, x+n, z
	binaries string // encoding of b
	align    string // of n and z with an odd number of digits
	charset  string // of an and ans
}

// loader reads one file.
type loader struct {
	spec  *Spec
	bases []*Spec
	lines [fieldMax + 1]int
}

func parseSpec(text []byte, bases []*Spec) (*Spec, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, notYAML(err)
	}
	if len(doc.Content) != 1 {
		return nil, &SpecError{0, "empty"}
	}
	l := &loader{bases: bases, spec: &Spec{defaults: defaults{"ascii", "ascii", "raw", "right",
		"ascii"}}}
	root := doc.Content[0]
	for _, pass := range []func(key, value *yaml.Node) error{l.base, l.preset, l.setting} {
		if err := pairs(root, pass); err != nil {
			return nil, err
		}
	}
	if l.spec.name == "" {
		return nil, &SpecError{root.Line, "name is missing"}
	}
	if n, err := l.spec.finish(); err != nil {
		return nil, &SpecError{l.lines[n], fmt.Sprintf("field %d %v", n, err)}
	}
	return l.spec, nil
}

// notYAML makes a SpecError of the parser's own.
func notYAML(err error) *SpecError {
	line, reason := 0, strings.TrimPrefix(err.Error(), "yaml: ")
	if _, err := fmt.Sscanf(reason, "line %d:", &line); err == nil {
		_, reason, _ = strings.Cut(reason, ": ")
	}
	return &SpecError{line, reason}
}

// pairs calls do for every key of a mapping and its value.
func pairs(n *yaml.Node, do func(key, value *yaml.Node) error) error {
	if n.Kind != yaml.MappingNode {
		return &SpecError{n.Line, "want keys with values"}
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode || value.Kind == yaml.AliasNode {
			return &SpecError{key.Line, "keys are words, and aliases are not read"}
		}
		if seen[key.Value] {
			return &SpecError{key.Line, fmt.Sprintf("%q stands twice", key.Value)}
		}
		seen[key.Value] = true
		if err := do(key, value); err != nil {
			return err
		}
	}
	return nil
}

// base takes the spec that the file builds on.
func (l *loader) base(key, value *yaml.Node) error {
	if key.Value != "base" {
		return nil
	}
	s := find(l.bases, value.Value)
	if s == nil {
		return &SpecError{value.Line, fmt.Sprintf("no spec %q to build on", value.Value)}
	}
	l.spec = s.clone()
	l.spec.name = ""
	return nil
}

// preset takes the settings that rows depend on, which may stand in any order.
func (l *loader) preset(key, value *yaml.Node) error {
	d := &l.spec.defaults
	switch key.Value {
	case "lengths":
		return choose(value, &d.lengths, "bcd", "ascii")
	case "numbers":
		return choose(value, &d.numbers, "bcd", "ascii")
	case "binaries":
		return choose(value, &d.binaries, "raw", "hex")
	case "align":
		return choose(value, &d.align, "left", "right")
	case "charset":
		return choose(value, &d.charset, "ascii", "gb18030", "raw")
	}
	return nil
}

// choose takes one of the words.
func choose(value *yaml.Node, to *string, words ...string) error {
	if value.Kind != yaml.ScalarNode || !slices.Contains(words, value.Value) {
		return &SpecError{value.Line, fmt.Sprintf("want one of %s", strings.Join(words, ", "))}
	}
	*to = value.Value
	return nil
}

// setting reads a key of the file.
func (l *loader) setting(key, value *yaml.Node) error {
	s, word := l.spec, ""
	switch key.Value {
	case "base", "lengths", "numbers", "binaries", "align", "charset":
		return nil
	case "name":
		return take(value, &s.name)
	case "title":
		return take(value, &s.title)
	case "envelope":
		e, err := ParseEnvelope(value.Value)
		if err != nil {
			return &SpecError{value.Line, err.Error()}
		}
		s.envelope = e
		return nil
	case "dialect":
		if err := choose(value, &word, "generic", "pos", "cups"); err != nil {
			return err
		}
		s.dialect = map[string]Dialect{"generic": Generic, "pos": POS, "cups": CUPS}[word]
		return nil
	case "mti":
		err := choose(value, &word, "bcd", "ascii")
		s.mtiBCD = word == "bcd"
		return err
	case "bitmap":
		err := choose(value, &word, "binary", "hex")
		s.hexBitmap = word == "hex"
		return err
	case "mac":
		err := choose(value, &word, "none", "64", "128", "64 or 128")
		s.macs = map[string][2]int{"64": {64, 0}, "128": {128, 0}, "64 or 128": {128, 64}}[word]
		return err
	case "fields":
		return pairs(value, l.row)
	default:
		return &SpecError{key.Line, fmt.Sprintf("unknown key %q", key.Value)}
	}
}

// take reads a name.
func take(value *yaml.Node, to *string) error {
	if value.Kind != yaml.ScalarNode || value.Value == "" || len(value.Value) > nameMax {
		return &SpecError{value.Line, fmt.Sprintf("want 1 to %d characters", nameMax)}
	}
	*to = value.Value
	return nil
}

// row reads a field. A field without anything (~) takes it out of the base.
func (l *loader) row(key, value *yaml.Node) error {
	n, err := strconv.Atoi(key.Value)
	if err != nil || n < 2 || n > fieldMax || n == secondField {
		return &SpecError{key.Line, fmt.Sprintf("%q is no field: want 2 to 128 but 65", key.Value)}
	}
	l.lines[n] = key.Line
	if value.Kind == yaml.ScalarNode && value.Tag == "!!null" {
		l.spec.fields[n] = nil
		return nil
	}
	r := rowText{charset: l.spec.defaults.charset, show: "all"}
	if err := pairs(value, r.read); err != nil {
		return inField(err, n)
	}
	f, err := l.compile(n, r)
	if err != nil {
		return &SpecError{key.Line, fmt.Sprintf("field %d: %v", n, err)}
	}
	l.spec.fields[n] = f
	return nil
}

// inField names the field in an error of one of its keys.
func inField(err error, n int) error {
	if e, ok := err.(*SpecError); ok {
		e.Reason = fmt.Sprintf("field %d: %s", n, e.Reason)
	}
	return err
}

// rowText is a row as it stands in the file.
type rowText struct {
	name, format, encoding, align, pad, charset, show string
}

func (r *rowText) read(key, value *yaml.Node) error {
	switch key.Value {
	case "name":
		return take(value, &r.name)
	case "format":
		return take(value, &r.format)
	case "encoding":
		return choose(value, &r.encoding, "bcd", "ascii", "raw", "hex")
	case "align":
		return choose(value, &r.align, "left", "right")
	case "pad":
		return choose(value, &r.pad, strings.Split(upperHex, "")...)
	case "charset":
		return choose(value, &r.charset, "ascii", "gb18030", "raw")
	case "show":
		return choose(value, &r.show, "all", "pan", "none")
	default:
		return &SpecError{key.Line, fmt.Sprintf("unknown key %q", key.Value)}
	}
}

// compile makes a row of its text.
func (l *loader) compile(n int, r rowText) (*fieldSpec, error) {
	f := &fieldSpec{number: n, name: r.name, prefBCD: l.spec.defaults.lengths == "bcd"}
	if r.name == "" {
		return nil, fmt.Errorf("name is missing")
	}
	if err := f.parseFormat(r.format); err != nil {
		return nil, err
	}
	f.show = map[string]Show{"all": ShowAll, "pan": ShowPAN, "none": ShowHidden}[r.show]
	if err := l.encode(f, r.encoding); err != nil {
		return nil, err
	}
	side := r.align
	switch {
	case side != "":
	case f.kind == AN || f.kind == ANS:
		side = "left"
	default:
		side = l.spec.defaults.align
	}
	f.left = side == "left"
	if r.pad != "" {
		f.filler = hexValue(r.pad[0])
	}
	if r.pad != "" && f.encoding != BCD {
		return nil, fmt.Errorf("pad is for packed digits")
	}
	if f.kind == AN || f.kind == ANS {
		f.charset = map[string]charset{"gb18030": gb18030, "raw": anyBytes}[r.charset]
	}
	return f, nil
}

// encode gives f its encoding: the one asked for or that of the spec.
func (l *loader) encode(f *fieldSpec, word string) error {
	allowed := []string{"ascii"}
	switch f.kind {
	case Digits, Signed, Track:
		allowed = []string{l.spec.defaults.numbers, "bcd", "ascii"}
	case Binary:
		allowed = []string{l.spec.defaults.binaries, "raw", "hex"}
	}
	if word == "" {
		word = allowed[0]
	}
	if !slices.Contains(allowed, word) {
		return fmt.Errorf("%s cannot be %s", f.kind, word)
	}
	f.encoding = map[string]Encoding{"bcd": BCD, "ascii": ASCII, "raw": Raw, "hex": Hex}[word]
	return nil
}

// parseFormat reads what the standard writes: n6, x+n8, ans40, n..19 LL, n8..19 LL, b8. A
// variable field without LL or LLL has the shortest prefix that can say its length.
func (f *fieldSpec) parseFormat(text string) error {
	malformed := fmt.Errorf("format %q: want like n6, x+n8, ans40, z..37 LL, n8..19 LL", text)
	body, prefix, _ := strings.Cut(text, " ")
	digits := strings.TrimLeft(body, "abcdefghijklmnopqrstuvwxyz+")
	types := map[string]Type{"n": Digits, "x+n": Signed, "z": Track, "a": AN, "an": AN,
		"ans": ANS, "b": Binary}
	kind, ok := types[body[:len(body)-len(digits)]]
	if !ok {
		return malformed
	}
	f.kind = kind
	low, high, variable := strings.Cut(digits, "..")
	if !variable {
		high = low
	}
	if variable && kind == Signed {
		return malformed
	}
	var err error
	if f.max, err = strconv.Atoi(high); err != nil || f.max < 1 || f.max > fieldLengthMax {
		return malformed
	}
	f.min = f.max
	if variable {
		f.min = 0
		if low != "" {
			f.min, err = strconv.Atoi(low)
		}
		if err != nil || f.min < 0 || f.min > f.max {
			return malformed
		}
		f.prefix = len(strconv.Itoa(f.max))
		if f.prefix == 1 && prefix == "" {
			f.prefix = 2
		}
	}
	if kind == Signed {
		f.max++ // the sign
		f.min = f.max
	}
	return f.parsePrefix(prefix, variable)
}

func (f *fieldSpec) parsePrefix(prefix string, variable bool) error {
	switch {
	case prefix == "":
		return nil
	case !variable:
		return fmt.Errorf("a fixed field has no prefix %q", prefix)
	case len(prefix) > 3 || strings.Trim(prefix, "L") != "" || len(prefix) < f.prefix:
		return fmt.Errorf("prefix %q: want LL or LLL, enough for the longest content", prefix)
	}
	f.prefix = len(prefix)
	return nil
}
