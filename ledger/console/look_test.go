package console

import (
	"fmt"
	"io/fs"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// The languages have the same texts, with the same verbs, and none is empty.
func TestBothLanguagesAreComplete(t *testing.T) {
	words, err := readWords()
	if err != nil {
		t.Fatal(err)
	}
	verbs := regexp.MustCompile(`%[a-z]`)
	for key, text := range words[english] {
		other, ok := words[chinese][key]
		if !ok || other == "" || text == "" {
			t.Errorf("%s: %q %q", key, text, other)
		}
		if a, b := verbs.FindAllString(text, -1), verbs.FindAllString(other, -1); !slices.Equal(a, b) {
			t.Errorf("%s: verbs %v and %v", key, a, b)
		}
		if regexp.MustCompile(`\p{Han}`).MatchString(text) && key != "language" {
			t.Errorf("%s: English is %q", key, text)
		}
	}
	for key := range words[chinese] {
		if _, ok := words[english][key]; !ok {
			t.Errorf("%s has no English", key)
		}
	}
}

// Every key that a template or the code names is there.
func TestEveryTextThatIsNamedIsThere(t *testing.T) {
	words, err := readWords()
	if err != nil {
		t.Fatal(err)
	}
	names, err := fs.Glob(assets, "assets/*.html")
	if err != nil || len(names) < 15 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		text, err := fs.ReadFile(assets, name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\.[TF] "([a-z0-9_.]+)"`).FindAllStringSubmatch(string(text), -1) {
			if _, ok := words[english][m[1]]; !ok {
				t.Errorf("%s names %q", name, m[1])
			}
		}
	}
	want := func(kind, word string) {
		if _, ok := words[english][kind+"."+word]; !ok {
			t.Errorf("no text for %s.%s", kind, word)
		}
	}
	for _, k := range txn.Kinds() {
		want("kind", k.String())
	}
	for _, p := range purposes() {
		want("purpose", p)
	}
	for _, r := range (&breakPage{}).Resolutions() {
		want("resolution", r)
	}
	for _, g := range (&frame{}).Glossary() {
		want("glossary", g)
		want("glossary", g+".is")
	}
	for _, m := range menu() {
		want("page", m.Page)
		want("help", m.Page)
	}
	for _, s := range (&breaksPage{}).States() {
		want("break", s)
	}
	for _, k := range (&breaksPage{}).Kinds() {
		want("breakkind", k)
	}
	for _, s := range []string{"opened", "closed"} { // what a run does
		want("step", s)
	}
	for _, s := range []string{StepAssign, StepComment, StepResolve, StepConfirm, StepReject, StepReopen} {
		want("step", s)
		want("action", "break_"+s)
	}
	for r := txn.NotFrozen + 1; r < 7; r++ {
		want("freeze", r.String())
	}
	for v := txn.TACNone; v <= txn.TACUnchecked; v++ {
		want("tac", v.String())
	}
	for l := txn.LiabilityHolder; l <= txn.LiabilityOpen; l++ {
		want("liability", l.String())
	}
}

// Access keys are one for each page.
func TestAccessKeysAreUnique(t *testing.T) {
	seen := map[string]bool{"s": true}
	for _, m := range menu() {
		if seen[m.Key] || len(m.Key) != 1 {
			t.Errorf("%s has key %q", m.Page, m.Key)
		}
		seen[m.Key] = true
	}
}

// luminance is that of WCAG 2.2 for a colour as "#rrggbb".
func luminance(t *testing.T, colour string) float64 {
	t.Helper()
	n, err := strconv.ParseUint(strings.TrimPrefix(colour, "#"), 16, 32)
	if err != nil || len(colour) != 7 {
		t.Fatalf("%q is no colour", colour)
	}
	channel := func(shift int) float64 {
		c := float64(n>>shift&0xff) / 255
		if c <= 0.04045 {
			return c / 12.92
		}
		return math.Pow((c+0.055)/1.055, 2.4)
	}
	return 0.2126*channel(16) + 0.7152*channel(8) + 0.0722*channel(0)
}

func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	x, y := luminance(t, a), luminance(t, b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// palette reads the colours of the style.
func palette(t *testing.T) map[string]string {
	t.Helper()
	css, err := fs.ReadFile(assets, "assets/style.css")
	if err != nil {
		t.Fatal(err)
	}
	colours := map[string]string{}
	root, rest, _ := strings.Cut(string(css), "}")
	for _, m := range regexp.MustCompile(`--([a-z]+): (#[0-9a-f]{6});`).FindAllStringSubmatch(root, -1) {
		colours[m[1]] = m[2]
	}
	for _, m := range regexp.MustCompile(`#[0-9a-fA-F]{3,6}\b`).FindAllString(rest, -1) {
		if m != "#fff" && m != "#999" && m != "#2b3541" && m != "#6b7785" { // in print, and for more contrast
			t.Errorf("%s stands outside the palette", m)
		}
	}
	return colours
}

// The criteria of WCAG 2.2 AA that a machine can compute: 1.4.3 text 4.5 : 1, 1.4.11 what
// is no text 3 : 1.
func checkContrast(t *testing.T) {
	t.Helper()
	c := palette(t)
	for _, text := range []string{
		"ink card", "ink paper", "ink here", "soft card", "soft paper", "link card", "link paper", "headink head",
		"headsoft head", "actionink action", "good card", "good paper", "good goodpaper", "warn card", "warn paper",
		"warn warnpaper", "bad card", "bad paper", "bad badpaper", "plain plainpaper", "link badpaper", "ink badpaper",
	} {
		a, b, _ := strings.Cut(text, " ")
		if got := contrast(t, c[a], c[b]); got < 4.5 {
			t.Errorf("%s on %s: %.2f", a, b, got)
		}
	}
	for _, shape := range []string{"approved card", "declined card", "edge card", "edge paper", "action card", "action paper",
		"good track", "declined track", "plain card", "headink head", "bad badpaper"} {
		a, b, _ := strings.Cut(shape, " ")
		if got := contrast(t, c[a], c[b]); got < 3 {
			t.Errorf("%s against %s: %.2f", a, b, got)
		}
	}
}

func TestContrast(t *testing.T) {
	checkContrast(t)
	if got := contrast(t, "#777777", "#ffffff"); math.Abs(got-4.48) > 0.01 {
		t.Errorf("grey on white is %.2f: the measure itself is wrong", got)
	}
}

// SY9, ZZ10: the console is as easy for the elderly and the disabled as WCAG AA asks: contrast,
// words for every picture and field, headings that name their rows, a keyboard that reaches
// everything, a language that is declared, no time that runs out unsaid, and pages for a phone.
func TestDuty_SY9_TheConsoleMeetsWhatCanBeProvenOfWCAGAA(t *testing.T) {
	checkContrast(t)
	css, err := fs.ReadFile(assets, "assets/style.css")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{":focus-visible", "@media print", "@media (max-width", "prefers-contrast", ".skip:focus"} {
		if !strings.Contains(string(css), want) {
			t.Errorf("the style has no %s", want)
		}
	}
	for _, m := range regexp.MustCompile(`font-size: ([0-9.]+)(rem|px)`).FindAllStringSubmatch(string(css), -1) {
		size, err := strconv.ParseFloat(m[1], 64)
		if err != nil || m[2] == "rem" && size < 0.85 || m[2] == "px" && size < 12 {
			t.Errorf("writing of %s%s", m[1], m[2])
		}
	}
	r := newRig(t, nil)
	b := r.signIn("finance")
	for _, lang := range []string{chinese, english} {
		b.lang = lang
		for _, p := range pagesOf {
			a := b.counted(p.path)
			checkPage(t, p.path, lang, a)
			if v := a.page.first("meta", "name", "viewport"); strings.Contains(v.attr["content"], "maximum-scale") ||
				strings.Contains(v.attr["content"], "user-scalable") {
				t.Errorf("%s cannot be enlarged", p.path)
			}
			for _, n := range []string{"tabindex"} {
				for _, e := range a.page.all("div") {
					if i, _ := strconv.Atoi(e.attr[n]); i > 0 {
						t.Errorf("%s: an order of its own", p.path)
					}
				}
			}
		}
		if help := b.get("/console/help").page.text(); !strings.Contains(help, "15 ") {
			t.Errorf("the help does not say when a session ends: %s", help)
		}
	}
}

func TestScaleIsRound(t *testing.T) {
	for top, want := range map[int64]int64{1: 1, 4: 1, 5: 2, 8: 2, 9: 5, 20: 5, 21: 10, 4000: 1000, 999_999: 500_000} {
		if got := scaleStep(top); got != want {
			t.Errorf("scaleStep(%d) = %d, want %d", top, got, want)
		}
	}
}

func TestNumbersAreWrittenForPeople(t *testing.T) {
	s := &Server{}
	f := &frame{Lang: english, s: s}
	for got, want := range map[string]string{
		f.Count(int64(1_234_567)): "1,234,567", f.Count(-1000): "−1,000", f.Count(7): "7",
		f.Money(int64(120_450), uint16(156)): "¥1,204.50", f.Money(int64(-5), uint16(156)): "−¥0.05",
		f.Money(int64(math.MinInt64), uint16(156)): "−¥92,233,720,368,547,758.08",
		f.Money(txn.Minor(1200), uint16(392)):      "1,200 (392)", f.Money(txn.Minor(100), txn.Currency(840)): "1.00 (840)",
		f.Percent(999, 1000): "99.9 %", f.Percent(9999, 10000): "99.9 %", f.Percent(1, 100_000): "< 0.1 %",
		f.Percent(5, 5): "100 %", f.Percent(0, 0): "—", f.Percent(0, 9): "0.0 %",
		f.Short(420_000): "0.42 ms", f.Short(0): "—", f.Short(2_500_000_000): "2.5 s",
		f.compact(250_000): "250k", f.compact(2_500_000): "2.5M", f.compact(900): "900",
		(&frame{Lang: chinese, s: s}).compact(250_000): "25万",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := fmt.Sprint(isNumber("62220200 0000-0000"), isNumber("case 6222"), isRRN("12345678901"), isRRN("12345678901A")); got != "true false false true" {
		t.Error(got)
	}
}
