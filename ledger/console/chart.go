package console

import (
	"fmt"
	"strconv"
	"time"

	"github.com/tapswitch/tapswitch/ledger/warehouse"
)

// Charts are SVG made on the server. Across, everything stands at per cents and nothing is
// scaled, so that the writing on a chart is as large on a phone as on a desk.

// chartHeight is the height of the bars in pixels, chartTop the room above for the scale's text.
const (
	chartHeight = 150
	chartTop    = 10
)

// chart is bars over time, approvals below and declines on top.
type chart struct {
	Label string // for who cannot see it
	Bars  []chartBar
	Grid  []chartLine
	Ticks []chartTick
	// Empty says that there is nothing to draw.
	Empty bool
}

// chartBar is one bar; Y and H are pixels, X and W per cents.
type chartBar struct {
	X, W               string
	ApprovedY, Approve string
	DeclinedY, Decline string
	Title              string
}

// chartLine is a line of the scale.
type chartLine struct{ Y, TextY, Text string }

// chartTick is a mark below.
type chartTick struct{ X, Text, Anchor string }

// Total is the whole height, marks included.
func (c *chart) Total() int { return chartTop + chartHeight + 20 }

// Base is where the bars stand, TickY where the marks are written.
func (c *chart) Base() int { return chartTop + chartHeight }

// TickY is where the marks are written.
func (c *chart) TickY() int { return c.Base() + 15 }

// column is one bar before it is drawn.
type column struct {
	name               string
	approved, declined int64
	tick               string // empty for none
}

// draw makes a chart of columns.
func (f *frame) draw(label string, all []column) *chart {
	c := &chart{Label: label}
	var top int64
	for _, b := range all {
		top = max(top, b.approved+b.declined)
	}
	if top == 0 || len(all) == 0 {
		c.Empty = true
		return c
	}
	step := scaleStep(top)
	full := (top + step - 1) / step * step
	px := func(n int64) float64 { return float64(n) * chartHeight / float64(full) }
	for at := step; at <= full; at += step {
		y := chartTop + chartHeight - px(at)
		c.Grid = append(c.Grid, chartLine{Y: pixels(y), TextY: pixels(y + 4), Text: f.compact(at)})
	}
	width := 100 / float64(len(all))
	for i, b := range all {
		approved, declined := px(b.approved), px(b.declined)
		base := float64(chartTop + chartHeight)
		c.Bars = append(c.Bars, chartBar{X: percents(float64(i)*width + width*0.1), W: percents(width * 0.8),
			ApprovedY: pixels(base - approved), Approve: pixels(approved),
			DeclinedY: pixels(base - approved - declined), Decline: pixels(declined),
			Title: f.F("chart.title", b.name, f.Count(b.approved), f.Count(b.declined))})
		if b.tick == "" {
			continue
		}
		tick := chartTick{X: percents((float64(i) + 0.5) * width), Text: b.tick, Anchor: "middle"}
		if i == 0 {
			tick.X, tick.Anchor = "0", "start"
		}
		if i == len(all)-1 {
			tick.X, tick.Anchor = "100%", "end"
		}
		c.Ticks = append(c.Ticks, tick)
	}
	return c
}

// scaleStep is a round number of which top holds two to five.
func scaleStep(top int64) int64 {
	step := int64(1)
	for {
		for _, m := range []int64{1, 2, 5} {
			if top <= m*step*4 {
				return m * step
			}
		}
		step *= 10
	}
}

func pixels(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }

func percents(v float64) string { return strconv.FormatFloat(v, 'f', 3, 64) + "%" }

// compact is a number of a scale: "250k", and in Chinese "25万".
func (f *frame) compact(n int64) string {
	unit := func(per int64, name string) string {
		return strconv.FormatFloat(float64(n)/float64(per), 'f', -1, 64) + name
	}
	switch {
	case f.Lang == chinese && n >= 10_000:
		return unit(10_000, "万")
	case f.Lang != chinese && n >= 1_000_000:
		return unit(1_000_000, "M")
	case f.Lang != chinese && n >= 1_000:
		return unit(1_000, "k")
	}
	return strconv.FormatInt(n, 10)
}

// tickHours is how many hours lie between marks: few enough for a phone.
const tickHours = 6

// hourRow is a line of the table beneath the chart of hours.
type hourRow struct {
	From, To           string
	Approved, Declined int64
}

// hours draws a date by hours; the first hour is that at which the date begins.
func (f *frame) hours(h *warehouse.Hours, begin int) (*chart, []hourRow) {
	var all []column
	var rows []hourRow
	for i, n := range h.Hour {
		from, to := (begin+i)%warehouse.HoursOfDay, (begin+i+1)%warehouse.HoursOfDay
		row := hourRow{From: fmt.Sprintf("%02d:00", from), To: fmt.Sprintf("%02d:00", to),
			Approved: n.Approved, Declined: n.Declined}
		rows = append(rows, row)
		col := column{name: row.From + "–" + row.To, approved: n.Approved, declined: n.Declined}
		if i%tickHours == 0 {
			col.tick = row.From
		}
		all = append(all, col)
	}
	return f.draw(f.T("chart.hours"), all), rows
}

// minutesShown is how many minutes the chart has.
const minutesShown = 60

// tickMinutes is how many minutes lie between marks.
const tickMinutes = 15

// minutes draws the last hour by minutes.
func (f *frame) minutes(all []Minute) *chart {
	var cols []column
	for i := len(all); i < minutesShown && len(all) > 0; i++ { // before the process began
		all = append([]Minute{{At: all[0].At.Add(-time.Minute)}}, all...)
	}
	for _, m := range all {
		at := m.At.In(f.s.o.Zone)
		col := column{name: at.Format("15:04"), approved: m.Approved, declined: m.Declined}
		if at.Minute()%tickMinutes == 0 {
			col.tick = col.name
		}
		cols = append(cols, col)
	}
	return f.draw(f.T("chart.minutes"), cols)
}

// Meter is a share as a bar; its words stand beside it.
type Meter struct{ Class, Filled, Label string }

// Meter draws part of whole; kind is good, plain or bad.
func (f *frame) Meter(kind string, part, whole any) *Meter {
	p, w := toInt64(part), toInt64(whole)
	m := &Meter{Class: kind, Filled: "0", Label: f.Percent(part, whole)}
	if w > 0 {
		m.Filled = percents(100 * float64(p) / float64(w))
	}
	return m
}
