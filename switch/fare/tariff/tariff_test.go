package tariff_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/deploy"
	"github.com/tapswitch/tapswitch/switch/fare/price"
	"github.com/tapswitch/tapswitch/switch/fare/tariff"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// small is a tariff of one version; the verb takes its version and the days.
const small = `tariff: small
version: %q
effective: {%s}
utc_offset: 8h
fares:
  - {name: bus, mode: bus, flat: 200}
riders:
  - {rider: student, pays: 66.67%%}
`

func source(name, version, days string) tariff.Source {
	return tariff.Source{Name: name, Text: fmt.Appendf(nil, small, version, days)}
}

func embedded(t *testing.T, name string) tariff.Source {
	t.Helper()
	text, err := fs.ReadFile(deploy.Tariffs(), name)
	if err != nil {
		t.Fatal(err)
	}
	return tariff.Source{Name: name, Text: text}
}

// The shipped files compile, and come back from their own text.
func TestShippedTariffs(t *testing.T) {
	for _, name := range []string{"shenzhen.yaml", "example.yaml"} {
		s := embedded(t, name)
		if _, err := tariff.Load(s); err != nil {
			t.Errorf("%v", err)
			continue
		}
		f, err := tariff.Read(s)
		if err != nil {
			t.Fatal(err)
		}
		text, err := tariff.Write(&f)
		if err != nil {
			t.Fatal(err)
		}
		again, err := tariff.Load(tariff.Source{Name: "again", Text: text})
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		was, _ := tariff.Load(s)
		if err := again.Check(was, 20300101); err != nil {
			t.Errorf("%s is another one after writing: %v", name, err)
		}
	}
	f, err := tariff.Read(source("a", "1", "from: 2026-01-01"))
	if err != nil || f.Riders[0].Line != 8 || f.Fares[0].Line != 6 ||
		*f.Riders[0].Pays != 6667 || !reflect.DeepEqual(f.Effective, price.Effective{Line: 3, From: 20260101}) {
		t.Errorf("%+v, %v", f, err)
	}
}

// Whatever is wrong is refused with the file, the line and the key.
func TestRefusedFiles(t *testing.T) {
	good := string(source("", "1", "from: 2026-01-01").Text)
	for _, c := range []struct{ old, new, want string }{
		{"tariff: small", "tariff: small\ntariff: small", "x.yaml:2: tariff: stands twice"},
		{"utc_offset: 8h", "utc_offset: 8h\ncolour: red", "x.yaml:5: colour: is not a known key"},
		{"flat: 200", "flat: two", `x.yaml:6: fares[0].flat: "two" is no whole number`},
		{"flat: 200", "flat: null", "x.yaml:6: fares[0].flat: want one value"},
		{"flat: 200", "flat: -3", "x.yaml:6: fares.bus.flat: -3 is not in"},
		{"utc_offset: 8h\n", "", "x.yaml:1: utc_offset: is missing"},
		{"8h", "eight", `x.yaml:4: utc_offset: "eight" is no time span`},
		{"2026-01-01", "2026-13-01", `x.yaml:3: effective.from: "2026-13-01" is no date`},
		{"66.67%", "66.678%", `x.yaml:8: riders[0].pays: "66.678%" is no share`},
		{"66.67%", "66", "is no share"}, {"66.67%", "-5%", "is no share"},
		{"66.67%", "'%'", "is no share"}, {"66.67%", "201%", "x.yaml:8: riders.student: 201% is not"},
		{"version: \"1\"", "version: \"1\"\nbest_price: perhaps", "neither true nor false"},
		{"fares:\n", "fares: &a\n", ""},
		{"riders:\n  - {rider: student, pays: 66.67%}", "riders: *a", "not YAML"},
		{"  - {name: bus, mode: bus, flat: 200}", "  {name: bus}", "x.yaml:6: fares: want a list"},
		{"effective: {from: 2026-01-01}", "effective: now", "x.yaml:3: effective: want keys"},
		{"bus, flat", "bus, lines: [&x A, *x], flat", "x.yaml:6: fares[0].lines[1]: aliases are not read"},
		{"riders:", "---\nriders:", "x.yaml:7: a second document begins"},
		{"riders:", "---\n{", "a second document begins"}, {"tariff", "---\ntariff", ""},
		{"utc_offset: 8h", "utc_offset: 30h", "x.yaml:4: utc_offset: 30h0m0s is not within 14h"},
		{"utc_offset: 8h", "utc_offset: 8h\nday_starts: 25h", "x.yaml:5: day_starts: 25h0m0s is not"},
		{good, "", "empty; write down"}, {good, "a: b: c", "not YAML"},
		{"tariff:", strings.Repeat("#", 16<<20) + "\ntariff:", "at most 16777216 are read"},
	} {
		text := strings.Replace(good, c.old, c.new, 1)
		_, err := tariff.Load(tariff.Source{Name: "x.yaml", Text: []byte(text)})
		if c.want == "" {
			if err != nil {
				t.Errorf("%q: %v", c.new, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("want %q, got %v", c.want, err)
		}
	}
}

// Versions follow each other day by day.
func TestVersions(t *testing.T) {
	for _, c := range []struct{ second, want string }{
		{"from: 2026-07-01", ""},
		{"from: 2026-07-02", "b:3: effective: leaves a gap: a ends on 2026-06-30, this begins on 2026-07-02"},
		{"from: 2026-06-30", "b:3: effective: contradicts a, which holds until 2026-06-30"},
	} {
		book, err := tariff.Load(source("b", "2", c.second),
			source("a", "1", "from: 2026-01-01, until: 2026-06-30"))
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("want %q, got %v", c.want, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		// 2026-06-30 24:00 in Shenzhen.
		const midnight = txn.Millis(1_782_835_200_000)
		first, _ := book.At(midnight - 1)
		second, ok := book.At(midnight)
		if !ok || first.Version() != "1" || second.Version() != "2" || len(book.Versions()) != 2 {
			t.Errorf("versions %v", book.Versions())
		}
		if _, ok := book.At(0); ok {
			t.Error("a version of 1970")
		}
	}
	for _, c := range []struct {
		second tariff.Source
		want   string
	}{
		{source("b", "2", "from: 2026-07-01"), "holds on without an end"},
		{source("b", "1", "from: 2026-07-01"), `version "1" is that of a too`},
		{embedded(t, "example.yaml"), `example.yaml:4: effective: is of the tariff "example", a of "small"`},
	} {
		if _, err := tariff.Load(source("a", "1", "from: 2026-01-01"), c.second); err == nil ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("want %q, got %v", c.want, err)
		}
	}
	for offset, want := range map[string]string{"9h": "", "8h": "", "7h\nday_starts: 23h": "day_starts",
		"7h": "b:3: effective: leaves a gap of 1h0m0s: days of a begin earlier"} {
		second := source("b", "2", "from: 2026-07-01")
		second.Text = []byte(strings.Replace(string(second.Text), "8h", offset, 1))
		_, err := tariff.Load(second, source("a", "1", "from: 2026-01-01, until: 2026-06-30"))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("offset %s: %v, want %q", offset, err, want)
		}
	}
	if _, err := tariff.Load(); err == nil {
		t.Error("a tariff of no file")
	}
}

// What was charged on a closed day was charged by the version of that day.
func TestClosedDays(t *testing.T) {
	load := func(s ...tariff.Source) *tariff.Book {
		book, err := tariff.Load(s...)
		if err != nil {
			t.Fatal(err)
		}
		return book
	}
	open := source("a", "1", "from: 2026-01-01")
	ended := source("a", "1", "from: 2026-01-01, until: 2026-09-01")
	next := source("b", "2", "from: 2026-09-02")
	dearer := open
	dearer.Text = []byte("# a comment moves the lines\n" + strings.Replace(string(open.Text), "200", "210", 1))
	kind := open
	kind.Text = []byte(strings.Replace(string(open.Text), "66.67%", "50%", 1))
	zone := open
	zone.Text = []byte(strings.Replace(string(open.Text), "8h", "9h", 1))
	none := open
	none.Text, _, _ = bytes.Cut(open.Text, []byte("riders"))
	moved := open
	moved.Text = []byte("\n# only a comment\n" + string(open.Text))
	for _, c := range []struct {
		was    *tariff.Book
		is     *tariff.Book
		closed txn.BusinessDate
		want   string
	}{
		{load(open), load(ended, next), 20260901, ""},
		{load(open), load(moved), 20260901, ""},
		{load(open), load(dearer), 20251231, ""},
		{nil, load(open), 20251231, ""},
		{load(open), load(dearer), 20260101, "a:7: fares: changes fares of version 1"},
		{load(open), load(kind), 20260101, "a:8: riders: changes riders of version 1"},
		{load(open), load(zone), 20260101, "a:4: utc_offset: changes utc_offset of version 1"},
		{load(open), load(none), 20260101, "a:3: riders: changes riders of version 1"},
		{load(open), load(ended, next), 20260902, "ends on another day than before"},
		{nil, load(open), 20260101, "begins on 2026-01-01, but 2026-01-01 is closed"},
		{load(ended, next), load(next), 20260901, "version 1 held on closed days and is gone"},
	} {
		err := c.is.Check(c.was, c.closed)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("want %q, got %v", c.want, err)
		}
	}
}

// No text makes reading, compiling or pricing panic, and every refusal is one of ErrFile.
func FuzzTariff(f *testing.F) {
	for _, name := range []string{"shenzhen.yaml", "example.yaml"} {
		text, err := fs.ReadFile(deploy.Tariffs(), name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add(string(source("a", "1", "from: 2026-01-01").Text))
	f.Fuzz(func(t *testing.T, text string) {
		compiled, err := tariff.Compile(tariff.Source{Name: "x", Text: []byte(text)})
		if err != nil {
			if !errors.Is(err, tariff.ErrFile) {
				t.Fatal(err)
			}
			return
		}
		var s price.State
		for i := range 12 {
			tap := price.Tap{Kind: price.Kind(i % 7), Mode: price.Mode(i % 6), At: 1_788_235_200_000 +
				txn.Millis(i)*60_000, Station: price.NameOf("Lake"), Metres: 5000, Given: 500}
			q := compiled.Price(&s, &tap)
			sum := q.Full + q.Surcharge - q.Charged
			for _, d := range q.Discounts {
				sum -= d
			}
			if parts := compiled.Explain(&q); q.Reason == price.OK && (sum != 0 || len(parts) == 0) {
				t.Fatalf("parts are %d off: %+v", sum, q)
			}
		}
	})
}
