package report

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// The size of a picture and of the room around its area, in user units.
const (
	plotWidth   = 500.0
	plotHeight  = 300.0
	roomLeft    = 72.0
	roomRight   = 22.0
	roomTop     = 62.0
	legendLine  = 15.0
	roomBottom  = 30.0
	coloursMax  = 7
	barsTop     = 36.0
	barHeight   = 22.0
	barGap      = 6.0
	groupGap    = 16.0
	labelRoom   = 118.0
	valueRoom   = 96.0
	stripWidth  = 90.0
	stripHeight = 14.0
)

// colour returns the style's colour of series i.
func colour(i int) string { return fmt.Sprintf("var(--c%d)", i%coloursMax) }

// svg draws the plot.
func (p *Plot) svg() string {
	if p.Kind == PlotBars {
		return p.barsSVG()
	}
	return p.linesSVG()
}

// canvas collects the parts of a picture.
type canvas struct{ strings.Builder }

func (c *canvas) add(format string, args ...any) { fmt.Fprintf(c, format+"\n", args...) }

func (c *canvas) text(x, y float64, attributes, text string) {
	c.add(`<text x="%.1f" y="%.1f" %s>%s</text>`, x, y, attributes, html.EscapeString(text))
}

func (c *canvas) open(width, height float64, title string) {
	c.add(`<svg viewBox="0 0 %.0f %.0f" role="img" aria-label="%s">`, width, height,
		html.EscapeString(title))
	c.text(0, 15, `class="title"`, title)
}

// axis maps values to positions.
type axis struct {
	low, high  float64 // values
	from, to   float64 // positions
	scale      func(float64) float64
	ticks      []float64
	tickLabels []string
}

func (a *axis) at(v float64) float64 {
	low, high := a.scale(a.low), a.scale(a.high)
	if high == low {
		return a.from
	}
	return a.from + (a.scale(v)-low)/(high-low)*(a.to-a.from)
}

func linear(v float64) float64 { return v }

// nines is the scale of percentile plots: each nine is as long as the one before.
func nines(q float64) float64 { return -math.Log10(max(1e-6, 1-q)) }

func logarithm(v float64) float64 { return math.Log10(max(1e-9, v)) }

// linesSVG draws lines over quantiles or time, latencies on a logarithmic scale.
func (p *Plot) linesSVG() string {
	c := &canvas{}
	c.open(plotWidth, plotHeight, p.Title)
	x, y := p.xAxis(), p.yAxis()
	for i, v := range y.ticks {
		at := y.at(v)
		c.add(`<line class="grid" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>`, x.from, x.to, at, at)
		c.text(x.from-6, at+4, `text-anchor="end"`, y.tickLabels[i])
	}
	for i, v := range x.ticks {
		at := x.at(v)
		c.add(`<line class="grid" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>`, at, at, y.to, y.from)
		c.text(at, y.from+18, `text-anchor="middle"`, x.tickLabels[i])
	}
	c.text(plotWidth-roomRight, 15, `text-anchor="end"`, p.Y+p.xWords())
	p.legend(c)
	for i, s := range p.Series {
		var path strings.Builder
		for _, point := range s.Points {
			fmt.Fprintf(&path, "%.1f,%.1f ", x.at(point[0]), y.at(max(point[1], y.low)))
		}
		c.add(`<polyline fill="none" stroke="%s" stroke-width="2" stroke-linejoin="round" points="%s"/>`,
			colour(i), strings.TrimSpace(path.String()))
	}
	c.add("</svg>")
	return c.String()
}

func (p *Plot) xWords() string {
	if p.Kind == PlotPercentiles {
		return " by percentile"
	}
	return " over " + p.X
}

func (p *Plot) legend(c *canvas) {
	at, y := 0.0, 25.0
	for i, s := range p.Series {
		wide := 30 + 6.6*float64(len([]rune(s.Name)))
		if at > 0 && at+wide > plotWidth {
			at, y = 0, y+legendLine
		}
		c.add(`<rect x="%.1f" y="%.1f" width="11" height="11" rx="2" fill="%s"/>`, at, y, colour(i))
		c.text(at+15, y+10, "", s.Name)
		at += wide
	}
}

func (p *Plot) xAxis() axis {
	a := axis{from: roomLeft, to: plotWidth - roomRight, scale: linear}
	if p.Kind == PlotPercentiles {
		a.scale, a.high = nines, 0.9
		for _, s := range p.Series {
			for _, point := range s.Points {
				a.high = max(a.high, point[0])
			}
		}
		for _, q := range []float64{0, 0.5, 0.9, 0.99, 0.999, 0.9999} {
			if q <= a.high {
				a.ticks = append(a.ticks, q)
				a.tickLabels = append(a.tickLabels, fmt.Sprintf("%g", q*100))
			}
		}
		return a
	}
	for _, s := range p.Series {
		for _, point := range s.Points {
			a.high = max(a.high, point[0])
		}
	}
	step := niceStep(a.high / 5)
	for v := 0.0; v <= a.high && step > 0; v += step {
		a.ticks, a.tickLabels = append(a.ticks, v), append(a.tickLabels, Number(v))
	}
	return a
}

// yAxis is logarithmic, over whole powers of ten.
func (p *Plot) yAxis() axis {
	low, high := math.Inf(1), 0.0
	for _, s := range p.Series {
		for _, point := range s.Points {
			if point[1] > 0 {
				low, high = min(low, point[1]), max(high, point[1])
			}
		}
	}
	if high == 0 {
		low, high = 0.1, 1
	}
	first, last := math.Floor(math.Log10(low)), math.Ceil(math.Log10(high))
	if last <= first {
		last = first + 1
	}
	a := axis{from: plotHeight - roomBottom, to: roomTop, scale: logarithm,
		low: math.Pow(10, first), high: math.Pow(10, last)}
	for e := first; e <= last; e++ {
		v := math.Pow(10, e)
		a.ticks, a.tickLabels = append(a.ticks, v), append(a.tickLabels, powerLabel(v))
	}
	return a
}

func powerLabel(v float64) string {
	if v >= 1 {
		return thousands(int64(math.Round(v)))
	}
	return fmt.Sprintf("%g", v)
}

// niceStep returns the next of 1, 2, 5 times a power of ten.
func niceStep(v float64) float64 {
	if v <= 0 {
		return 0
	}
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5} {
		if m*power >= v {
			return m * power
		}
	}
	return 10 * power
}

// barsSVG draws horizontal bars by group, with the range of the rounds, and the ratio of
// the group's first two.
func (p *Plot) barsSVG() string {
	most, height := 0.0, barsTop
	for i, bar := range p.Bars {
		most = max(most, bar.Max)
		if height += barHeight + barGap; i > 0 && p.Bars[i-1].Group != bar.Group {
			height += groupGap + 14
		}
	}
	c := &canvas{}
	c.open(plotWidth, height+14+barGap, p.Title)
	c.text(plotWidth-roomRight, 15, `text-anchor="end"`, p.Y)
	x := axis{high: max(most, 1e-9), from: labelRoom, to: plotWidth - valueRoom, scale: linear}
	y, inGroup := barsTop, 0
	for i, bar := range p.Bars {
		if i == 0 || p.Bars[i-1].Group != bar.Group {
			if i > 0 {
				y += groupGap
			}
			inGroup = 0
			c.text(0, y, "", bar.Group+p.groupRatio(i))
			y += 8
		}
		p.bar(c, &x, y, i, inGroup)
		y += barHeight + barGap
		inGroup++
	}
	c.add("</svg>")
	return c.String()
}

func (p *Plot) bar(c *canvas, x *axis, y float64, i, inGroup int) {
	bar, middle := p.Bars[i], y+barHeight/2
	c.text(labelRoom-8, middle+4, `text-anchor="end"`, bar.Name)
	c.add(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.0f" rx="3" fill="%s"/>`, x.from, y,
		max(1, x.at(bar.Value)-x.from), barHeight, colour(inGroup))
	c.add(`<path d="M%.1f %.1fH%.1fM%.1f %.1fv8M%.1f %.1fv8" stroke="var(--ink)" fill="none"/>`,
		x.at(bar.Min), middle, x.at(bar.Max), x.at(bar.Min), middle-4, x.at(bar.Max), middle-4)
	c.text(x.at(bar.Max)+8, middle+4, `class="value"`, Number(bar.Value))
}

// groupRatio returns the ratio of the first two bars of the group that begins at i.
func (p *Plot) groupRatio(i int) string {
	if i+1 >= len(p.Bars) || p.Bars[i+1].Group != p.Bars[i].Group || p.Bars[i+1].Value <= 0 {
		return ""
	}
	return fmt.Sprintf(": %.2f ×", p.Bars[i].Value/p.Bars[i+1].Value)
}

// strip draws the rounds of a figure as dots from its least to its greatest.
func (f *Figure) strip() string {
	if f.N < 2 || f.Max <= f.Min {
		return ""
	}
	const dotsMax = 40
	c := &canvas{}
	c.add(`<svg viewBox="0 0 %.0f %.0f" style="width:%.0fpx" aria-hidden="true">`, stripWidth,
		stripHeight, stripWidth)
	x := axis{low: f.Min, high: f.Max, from: 4, to: stripWidth - 4, scale: linear}
	c.add(`<line class="axis" x1="4" x2="%.0f" y1="7" y2="7"/>`, stripWidth-4)
	step := max(1, len(f.Values)/dotsMax)
	for i := 0; i < len(f.Values); i += step {
		c.add(`<circle cx="%.1f" cy="7" r="2.6" fill="var(--c0)" fill-opacity="0.55"/>`,
			x.at(f.Values[i]))
	}
	c.add(`<line x1="%.1f" x2="%.1f" y1="1" y2="13" stroke="var(--c1)" stroke-width="2"/></svg>`,
		x.at(f.Median), x.at(f.Median))
	return c.String()
}
