package report

import (
	"math"
	"strings"
	"testing"
)

func TestBars(t *testing.T) {
	p := Plot{Kind: PlotBars, Title: "Taps", Y: "a second", Bars: []Bar{
		{Group: "64", Name: "switch", Min: 50, Value: 60, Max: 70},
		{Group: "64", Name: "no-op", Min: 90, Value: 100, Max: 110},
		{Group: "256", Name: "switch", Min: 1, Value: 2, Max: 3},
		{Group: "512", Name: "switch", Min: 1, Value: 2, Max: 3},
		{Group: "512", Name: "no-op", Min: 0, Value: 0, Max: 0},
	}}
	picture := p.svg()
	for _, want := range []string{">64: 0.60 ×<", ">256<", ">512<", ">switch<", ">no-op<", ">100<"} {
		if !strings.Contains(picture, want) {
			t.Errorf("%q is missing in\n%s", want, picture)
		}
	}
	if n := strings.Count(picture, "<rect"); n != 5 {
		t.Errorf("%d bars, want 5", n)
	}
	if (&Plot{Kind: PlotBars, Title: "none"}).svg() == "" {
		t.Error("a plot without bars is no picture at all")
	}
}

func TestGroupRatio(t *testing.T) {
	p := Plot{Bars: []Bar{{Group: "a", Value: 3}, {Group: "a", Value: 2}, {Group: "b", Value: 1}}}
	for i, want := range []string{": 1.50 ×", "", ""} {
		if got := p.groupRatio(i); got != want {
			t.Errorf("ratio at %d is %q, want %q", i, got, want)
		}
	}
}

func TestYAxisSpansWholePowers(t *testing.T) {
	for _, c := range []struct{ low, high, first, last float64 }{
		{0.3, 42, 0.1, 100}, {10, 10, 10, 100}, {1, 1000, 1, 1000}, {0, 0, 0.1, 1},
	} {
		p := Plot{Kind: PlotTime, Series: []Series{{Points: [][2]float64{{0, c.low}, {1, c.high}}}}}
		a := p.yAxis()
		if math.Abs(a.low-c.first) > 1e-9 || math.Abs(a.high-c.last) > 1e-9 {
			t.Errorf("%g to %g: axis from %g to %g, want %g to %g", c.low, c.high, a.low, a.high,
				c.first, c.last)
		}
		if a.at(a.low) != a.from || a.at(a.high) != a.to || len(a.ticks) != len(a.tickLabels) {
			t.Errorf("%+v", a)
		}
	}
}

func TestXAxis(t *testing.T) {
	time := Plot{Kind: PlotTime, Series: []Series{{Points: [][2]float64{{0, 1}, {14, 1}}}}}
	a := time.xAxis()
	if a.high != 14 || len(a.ticks) != 3 || a.tickLabels[1] != "5.00" {
		t.Errorf("%+v", a)
	}
	percent := Plot{Kind: PlotPercentiles,
		Series: []Series{{Points: [][2]float64{{0, 1}, {0.999, 1}}}}}
	a = percent.xAxis()
	if strings.Join(a.tickLabels, " ") != "0 50 90 99 99.9" {
		t.Errorf("%v", a.tickLabels)
	}
}

// A legend that is too long for one line goes on in the next.
func TestLegendWraps(t *testing.T) {
	p := Plot{}
	for range 9 {
		p.Series = append(p.Series, Series{Name: "a long name of a line"})
	}
	c := &canvas{}
	p.legend(c)
	lines := map[string]bool{}
	for part := range strings.SplitSeq(c.String(), `y="`) {
		y, _, _ := strings.Cut(part, `"`)
		lines[y] = true
	}
	if len(lines) < 5 {
		t.Errorf("the legend stands on too few lines:\n%s", c.String())
	}
}

func TestStrip(t *testing.T) {
	many := Figure{N: 1000, Min: 0, Max: 999, Median: 500}
	for i := range 1000 {
		many.Values = append(many.Values, float64(i))
	}
	if n := strings.Count(many.strip(), "<circle"); n > 60 || n < 20 {
		t.Errorf("%d dots for a thousand values", n)
	}
	one, equal := Of("x", "", 4), Of("x", "", 4, 4, 4)
	if one.strip() != "" || equal.strip() != "" {
		t.Error("values that do not differ need no picture")
	}
}

func TestTargetWords(t *testing.T) {
	least, most, none := Of("", "", 1).AtLeast(0.6), Of("", "", 1).AtMost(10), Of("", "", 1)
	for _, c := range []struct{ got, want string }{
		{least.target(), "≥ 0.60"}, {most.target(), "≤ 10.0"}, {none.target(), ""},
		{least.verdict(), "met"}, {none.verdict(), ""}, {thousands(-1234567), "-1 234 567"},
		{powerLabel(0.01), "0.01"}, {powerLabel(1e6), "1 000 000"}, {short("abc"), "abc"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}
