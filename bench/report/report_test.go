package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestFigure(t *testing.T) {
	f := Of("x", "ms", 3, 1, 2)
	if f.N != 3 || f.Min != 1 || f.Median != 2 || f.Max != 3 {
		t.Errorf("%+v", f)
	}
	if !slices.Equal(f.Values, []float64{3, 1, 2}) {
		t.Errorf("the rounds lost their order: %v", f.Values)
	}
	if even := Of("x", "", 1, 2, 4, 100); even.Median != 3 {
		t.Errorf("median of four is %g, want 3", even.Median)
	}
	if none := Of("x", ""); none.N != 0 || none.Median != 0 {
		t.Errorf("no values: %+v", none)
	}
	if !math.IsNaN(Median(nil)) {
		t.Error("the median of nothing is a number")
	}
}

func TestTargets(t *testing.T) {
	for _, c := range []struct {
		name string
		f    Figure
		met  bool
	}{
		{"at least, above", Of("", "", 2).AtLeast(1), true},
		{"at least, equal", Of("", "", 1).AtLeast(1), true},
		{"at least, below", Of("", "", 0.99).AtLeast(1), false},
		{"at most, below", Of("", "", 1).AtMost(2), true},
		{"at most, equal", Of("", "", 2).AtMost(2), true},
		{"at most, above", Of("", "", 2.01).AtMost(2), false},
		{"at most zero", Of("", "", 0).AtMost(0), true},
		{"nothing measured", Of("", "").AtMost(2), false},
		{"the median counts", Of("", "", 0, 0, 9).AtMost(2), true},
	} {
		if c.f.Met == nil || *c.f.Met != c.met {
			t.Errorf("%s: met %v, want %v", c.name, c.f.Met, c.met)
		}
	}
	if Of("", "", 1).Met != nil {
		t.Error("a figure without target was judged")
	}
}

func TestRatios(t *testing.T) {
	got := Ratios([]float64{1, 6, 5, 9}, []float64{2, 3, 0})
	if !slices.Equal(got, []float64{0.5, 2}) {
		t.Errorf("%v, want pair by pair without the empty one", got)
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 0.004: "0.004", 0.25: "0.25", 1.005: "1.00", 12.34: "12.3", 123.4: "123",
		1234.4: "1 234", 999999.6: "1 000 000", -4567: "-4 567", 1e-7: "1e-07",
	} {
		if got := Number(v); got != want {
			t.Errorf("Number(%g) = %q, want %q", v, got, want)
		}
	}
}

// sample has everything that a report can have, and text that must be escaped.
func sample() *Report {
	s := &Section{Name: "one", Title: `A <script>alert("x")</script> & title`,
		Command: "tapswitch bench one", Sizes: []string{"7 cards"}, Notes: []string{"a <b> note"}}
	s.Add(Of("speed", "taps/s", 100, 120, 90).AtLeast(95))
	s.Add(Of("wait", "ms", 7, 8, 9).AtMost(5))
	s.Add(Of("plain", "bytes", 42))
	s.Plots = []Plot{
		{Kind: PlotBars, Title: "Bars", Y: "a second", Bars: []Bar{
			BarOf("64 <i>", "ours", Of("", "", 3, 4, 5)), BarOf("64 <i>", "theirs", Of("", "", 8)),
			BarOf("256", "ours", Of("", "", 0)),
		}},
		{Kind: PlotPercentiles, Title: "Percentiles", Y: "ms", Series: []Series{
			{Name: "a & b", Points: [][2]float64{{0, 0.1}, {0.5, 1}, {0.99, 20}, {0.9999, 300}}},
			{Name: "zeros", Points: [][2]float64{{0, 0}, {0.5, 0}}},
		}},
		{Kind: PlotTime, Title: "Time", X: "s", Y: "ms", Series: []Series{
			{Name: "p50", Points: [][2]float64{{0, 1}, {1, 2}, {2, 1.5}}}}},
		{Kind: PlotTime, Title: "Empty", X: "s", Y: "ms"},
	}
	return &Report{Version: "v1", Commit: "0123456789abcdef", Date: "2026-11-21T08:00:00Z",
		Command: "tapswitch bench", Machine: Machine{CPU: "some", Cores: 2, Go: "go1.26"},
		Sections: []*Section{s,
			{Name: "two", Title: "Two", Skipped: "redis-server is not installed"},
			{Name: "three", Title: "Three", Failed: "it broke"}}}
}

func TestText(t *testing.T) {
	var b bytes.Buffer
	if err := WriteText(&b, sample()); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, want := range []string{"tapswitch v1 (0123456789ab)", "some, 2 cores",
		"SKIPPED: redis-server is not installed", "FAILED: it broke", "note: a <b> note",
		"1 targets met, 1 missed", "7 cards"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	for _, line := range []string{
		`speed +taps/s +3 +90\.0 +100 +120 +≥ 95\.0 +met`,
		`wait +ms +3 +7\.00 +8\.00 +9\.00 +≤ 5\.00 +MISSED`,
		`plain +bytes +1 +42\.0 +42\.0 +42\.0`,
	} {
		if !regexp.MustCompile(line).MatchString(text) {
			t.Errorf("no line like %s in\n%s", line, text)
		}
	}
}

func TestQuickRunsAreMarked(t *testing.T) {
	r := sample()
	r.Quick = true
	for name, write := range map[string]func(io.Writer, *Report) error{
		"text": WriteText, "html": WriteHTML} {
		var b bytes.Buffer
		err := write(&b, r)
		if err != nil || !strings.Contains(strings.ToLower(b.String()), "quick run") {
			t.Errorf("%s does not say that the run was quick (%v)", name, err)
		}
	}
}

func TestJSONHoldsEverything(t *testing.T) {
	var b bytes.Buffer
	r := sample()
	if err := WriteJSON(&b, r); err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(b.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	f := back.Sections[0].Figure("wait")
	if f == nil || f.N != 3 || f.Target != 5 || f.Bound != boundMost || f.Met == nil || *f.Met ||
		f.Command != "tapswitch bench one" || f.Unit != "ms" {
		t.Errorf("%+v", f)
	}
	if back.Machine != r.Machine || back.Commit != r.Commit || back.Date != r.Date {
		t.Errorf("%+v", back)
	}
	if back.Sections[0].Figure("none") != nil {
		t.Error("a figure that is not there was found")
	}
}

// The page loads nothing from anywhere, runs nothing, and its pictures are well formed.
func TestPageStandsAlone(t *testing.T) {
	var b bytes.Buffer
	if err := WriteHTML(&b, sample()); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, bad := range []string{"<script", "http:", "https:", "src=", "url(", "@import", "<link",
		"<i>", "ZgotmplZ"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page contains %q", bad)
		}
	}
	for _, want := range []string{"<b>1</b>targets met", "tag miss", "tag met", "it broke",
		"redis-server is not installed", ": 0.50 ×"} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is missing in the page", want)
		}
	}
	pictures := regexp.MustCompile(`(?s)<svg.*?</svg>`).FindAllString(page, -1)
	if len(pictures) != 4+2 { // the plots, and the rounds of two figures
		t.Errorf("%d pictures, want 6", len(pictures))
	}
	for _, p := range pictures {
		d := xml.NewDecoder(strings.NewReader(p))
		for {
			_, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%v in %s", err, p)
			}
		}
		if strings.Contains(p, "NaN") || strings.Contains(p, "Inf") {
			t.Errorf("a place that is no number in %s", p)
		}
	}
}

func TestPointsLieInThePicture(t *testing.T) {
	number := regexp.MustCompile(`points="([^"]*)"`)
	for _, p := range sample().Sections[0].Plots {
		for _, m := range number.FindAllStringSubmatch(p.svg(), -1) {
			for _, point := range strings.Fields(m[1]) {
				var x, y float64
				if err := scanPoint(point, &x, &y); err != nil {
					t.Fatal(err)
				}
				if x < roomLeft-0.1 || x > plotWidth || y < roomTop-0.1 || y > plotHeight-roomBottom+0.1 {
					t.Errorf("%s: %s is outside of the area", p.Title, point)
				}
			}
		}
	}
}

func scanPoint(s string, x, y *float64) error {
	first, second, _ := strings.Cut(s, ",")
	return errors.Join(json.Unmarshal([]byte(first), x), json.Unmarshal([]byte(second), y))
}

func TestScales(t *testing.T) {
	a := axis{low: 0, high: 0.999, from: 0, to: 300, scale: nines}
	for q, want := range map[float64]float64{0: 0, 0.9: 100, 0.99: 200, 0.999: 300} {
		if got := a.at(q); math.Abs(got-want) > 0.01 {
			t.Errorf("quantile %g is at %g, want %g", q, got, want)
		}
	}
	for v, want := range map[float64]float64{0: 0, 0.7: 1, 1.2: 2, 3: 5, 6: 10, 60: 100} {
		if got := niceStep(v); math.Abs(got-want) > 1e-9 {
			t.Errorf("step for %g is %g, want %g", v, got, want)
		}
	}
	flat := axis{low: 5, high: 5, from: 10, to: 20, scale: linear}
	if flat.at(5) != 10 {
		t.Error("an axis of one value has no place for it")
	}
}

func TestWriteFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	if err := WriteFiles(dir, sample()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"latest.txt", "latest.json", "latest.html"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := WriteFiles(filepath.Join(dir, "latest.txt"), sample()); err == nil {
		t.Error("a file was taken for a directory")
	}
}

// full fails when it has taken so many bytes.
type full struct{ left int }

func (f *full) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, io.ErrShortWrite
	}
	return len(p), nil
}

func TestTextTellsAboutAFullDisk(t *testing.T) {
	for _, left := range []int{0, 100, 600} {
		if err := WriteText(&full{left}, sample()); !errors.Is(err, io.ErrShortWrite) {
			t.Errorf("after %d bytes: %v", left, err)
		}
	}
}
