package message

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// Every mistake in a spec file is an error that names its line.
func TestLoadErrors(t *testing.T) {
	for _, c := range []struct {
		name, text string
		line       int
		words      string
	}{
		{"empty", "", 0, "empty"},
		{"not yaml", "name: x\ntitle: [x\n", 1, "did not find"},
		{"list", "- x\n", 1, "keys"},
		{"no name", "title: x\n", 1, "name is missing"},
		{"unknown key", "name: x\nnmae: y\n", 2, `"nmae"`},
		{"key twice", "name: x\ntitle: y\nname: z\n", 3, "twice"},
		{"unknown base", "name: x\nbase: iso87_ebcdic\n", 2, "iso87_ebcdic"},
		{"envelope", "name: x\nenvelope: tcp\n", 2, "tpdu_header"},
		{"dialect", "name: x\ndialect: visa\n", 2, "generic"},
		{"mti", "name: x\nmti: ebcdic\n", 2, "bcd"},
		{"bitmap", "name: x\nbitmap: octal\n", 2, "hex"},
		{"mac", "name: x\nmac: 65\n", 2, "64"},
		{"mac without field", "name: x\nmac: 64\n", 0, "field 64"},
		{"fields no mapping", "name: x\nfields: 3\n", 2, "keys"},
		{"field number", "name: x\nfields:\n  2a: {name: y, format: n6}\n", 3, "2a"},
		{"field 1", "name: x\nfields:\n  1: {name: y, format: n6}\n", 3, `"1"`},
		{"field 65", "name: x\nfields:\n  65: {name: y, format: b1}\n", 3, `"65"`},
		{"field 129", "name: x\nfields:\n  129: {name: y, format: b1}\n", 3, `"129"`},
		{"field twice", "name: x\nfields:\n  5: {name: y, format: n6}\n  5: {name: y, format: n6}\n",
			4, "twice"},
		{"field unknown key", "name: x\nfields:\n  5:\n    name: y\n    formt: n6\n", 5, "field 5"},
		{"field without name", "name: x\nfields:\n  5: {format: n6}\n", 3, "name is missing"},
		{"field without format", "name: x\nfields:\n  5: {name: y}\n", 3, "format"},
		{"type", "name: x\nfields:\n  5: {name: y, format: q6}\n", 3, `"q6"`},
		{"length", "name: x\nfields:\n  5: {name: y, format: n0}\n", 3, `"n0"`},
		{"too long", "name: x\nfields:\n  5: {name: y, format: n1000}\n", 3, `"n1000"`},
		{"range", "name: x\nfields:\n  5: {name: y, format: n9..3 LL}\n", 3, "n9..3"},
		{"prefix of fixed", "name: x\nfields:\n  5: {name: y, format: n6 LL}\n", 3, "prefix"},
		{"prefix too short", "name: x\nfields:\n  5: {name: y, format: n..100 LL}\n", 3, "prefix"},
		{"prefix too long", "name: x\nfields:\n  5: {name: y, format: n..100 LLLL}\n", 3, "prefix"},
		{"prefix letters", "name: x\nfields:\n  5: {name: y, format: n..10 XX}\n", 3, "prefix"},
		{"variable signed", "name: x\nfields:\n  28: {name: y, format: x+n..8}\n", 3, "x+n..8"},
		{"encoding", "name: x\nfields:\n  5: {name: y, format: n6, encoding: hex}\n", 3, "n cannot be"},
		{"encoding of text", "name: x\nfields:\n  5: {name: y, format: an6, encoding: bcd}\n", 3,
			"an cannot be"},
		{"pad", "name: x\nfields:\n  5: {name: y, format: n6, pad: 0}\n", 3, "pad"},
		{"pad word", "name: x\nfields:\n  5: {name: y, format: n6, pad: G}\n", 3, "field 5"},
		{"show", "name: x\nfields:\n  5: {name: y, format: n6, show: some}\n", 3, "field 5"},
		{"charset", "name: x\nfields:\n  5: {name: y, format: an6, charset: utf8}\n", 3, "field 5"},
		{"alias", "name: x\nfields:\n  5: &a {name: y, format: n6}\n  6: *a\n", 4, "alias"},
		{"amount of another form", "name: x\nfields:\n  4: {name: y, format: n10}\n", 3, "n12"},
		{"card number too short", "name: x\nfields:\n  2: {name: y, format: n..19 LL}\n", 3, "n8..19"},
		{"card number too long", "name: x\nfields:\n  2: {name: y, format: n8..28 LL}\n", 3, "n8..19"},
		{"terminal of another form", "name: x\nfields:\n  41: {name: y, format: ans16}\n", 3, "ans8"},
		{"terminal in Chinese", "name: x\nfields:\n  41: {name: y, format: ans8, charset: gb18030}\n", 3,
			"ans8"},
		{"MAC of another form", "name: x\nmac: 64\nfields:\n  64: {name: y, format: b4}\n", 4, "b8"},
		{"60 in the POS dialect", "name: x\ndialect: pos\nfields:\n  60: {name: y, format: ans..99}\n",
			4, "POS"},
		{"too large", "name: x\n#" + strings.Repeat("x", specSizeMax), 0, "longer"},
		{"long name", "name: " + strings.Repeat("x", nameMax+1), 1, "80"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := Load(strings.NewReader(c.text))
			var e *SpecError
			if !errors.As(err, &e) || !errors.Is(err, ErrSpec) || s != nil {
				t.Fatalf("%v, want a spec error", err)
			}
			if e.Line != c.line || !strings.Contains(err.Error(), c.words) {
				t.Errorf("%v, want line %d and %q", err, c.line, c.words)
			}
		})
	}
}

// A file that builds on a spec says only what differs: a host that sends its own country
// code packed, a right-aligned name, and no field 90.
const derived = `
# what one bank has announced
name: one_bank
base: iso87_ascii
bitmap: binary
fields:
  19: {name: country, format: n3, encoding: bcd, align: right}
  43: {name: merchant name, format: ans40, align: right, charset: gb18030}
  49: {name: currency, format: n3, encoding: bcd, align: left, pad: F}
  52: {name: PIN block, format: b8, encoding: raw, show: none}
  55: {name: ICC data, format: b..999 LLL, encoding: raw, show: none}
  90: ~
`

func TestDerivedSpec(t *testing.T) {
	s, err := Load(strings.NewReader(derived))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Field(90); ok || s.Name() != "one_bank" ||
		len(s.Numbers()) != len(ascii(t).Numbers())-1 {
		t.Error("field 90 is still there")
	}
	if _, ok := ascii(t).Field(90); !ok {
		t.Error("the base has changed")
	}
	m := New(s, FinancialRequest)
	for n, text := range map[int]string{19: "643", 43: "城市一卡通", 49: "156",
		52: "0102030405060708", 55: "9A03210720"} {
		if err := m.SetText(n, text); err != nil {
			t.Fatal(n, err)
		}
	}
	frame, err := m.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	want := "30323030" + "0000200000209200" + "0643" +
		strings.Repeat("20", 30) + "B3C7CAD0D2BBBFA8CDA8" + "156F" + "0102030405060708" +
		"303035" + "9A03210720"
	if got := string(appendHex(nil, frame)); got != want {
		t.Errorf("\n%s, want\n%s", got, want)
	}
	back, err := Parse(s, frame)
	if err != nil {
		t.Fatal(err)
	}
	if name, _ := back.Text(43); strings.TrimSpace(name) != "城市一卡通" {
		t.Errorf("%q", name)
	}
}

func TestNamed(t *testing.T) {
	names := Names()
	for _, want := range []string{"cup_pos", "cups", "iso87_ascii", "iso87_bcd"} {
		if !slices.Contains(names, want) {
			t.Errorf("no %s in %v", want, names)
		}
	}
	_, err := Named("iso93")
	if !errors.Is(err, ErrSpec) || !strings.Contains(err.Error(), "cup_pos") {
		t.Error(err)
	}
	s, err := Named("cup_pos")
	if err != nil {
		t.Fatal(err)
	}
	f, ok := s.Field(23)
	if !ok || f.Type != Digits || f.Min != 3 || f.Max != 3 || f.Encoding != BCD {
		t.Errorf("%+v", f)
	}
	if s.Dialect() != POS || s.Envelope() != TPDUHeader || s.Title() == "" {
		t.Errorf("%v %v", s.Dialect(), s.Envelope())
	}
}

// Alignment and filler of every field with an odd number of digits are data (DOMAIN.md 2.2).
func TestAlignmentIsData(t *testing.T) {
	for _, c := range []struct {
		spec  string
		field int
		text  string
		wire  string
	}{
		{"cup_pos", 22, "071", "0710"},
		{"cup_pos", 23, "001", "0001"},
		{"cup_pos", 2, "6225000000000000005", "1962250000000000000050"},
		{"cup_pos", 35, "6225=3012", "096225D30120"},
		{"cup_pos", 60, "00000001003", "0011000000010030"},
		{"cup_pos", 28, "C00000100", "4300000100"},
		{"cup_pos", 43, "公交", "B9ABBDBB" + strings.Repeat("20", 36)},
		{"iso87_bcd", 22, "000", "0000"},
		{"iso87_bcd", 19, "858", "0858"},
		{"iso87_bcd", 27, "1", "01"},
		{"iso87_bcd", 32, "12345", "05123450"},
		{"iso87_ascii", 52, "0123456789ABCDEF", "30313233343536373839414243444546"},
		{"iso87_ascii_binary", 52, "0123456789ABCDEF", "0123456789ABCDEF"},
		{"cups", 22, "071", "303731"},
		{"cups", 121, "测试", "303034B2E2CAD4"},
	} {
		s, err := Named(c.spec)
		if err != nil {
			t.Fatal(err)
		}
		m := newSample(t, s.WithEnvelope(Bare), FinancialRequest)
		if err := m.SetText(c.field, c.text); err != nil {
			t.Fatal(c.field, err)
		}
		frame, err := m.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		head := s.mtiSize() + s.bitmapSize()
		if c.field > 64 {
			head += s.bitmapSize()
		}
		if got := string(appendHex(nil, frame[head:])); got != c.wire {
			t.Errorf("%s field %d: %s, want %s", c.spec, c.field, got, c.wire)
		}
	}
}

// A filler that is another than the spec's is read when senders write it (0 and F), and
// refused otherwise.
func TestFillers(t *testing.T) {
	s, err := Named("cup_pos")
	if err != nil {
		t.Fatal(err)
	}
	s = s.WithEnvelope(Bare)
	head := "0200" + "4000000000000000" + "19" + "622500000000000000"
	for _, last := range []string{"50", "5F"} {
		m, err := Parse(s, unhex(t, head+last))
		if err != nil {
			t.Fatal(err)
		}
		out, err := m.Append(nil)
		if err != nil || string(appendHex(nil, out)) != head+"50" {
			t.Errorf("%X, %v", out, err)
		}
	}
	for _, last := range []string{"51", "5A", "5E"} {
		refused(t, s, unhex(t, head+last), 2, reasonFiller)
	}
	refused(t, s, unhex(t, head+"A0"), 2, reasonDigit)
}
