// Package report holds what a benchmark run found and writes it as text, JSON and one HTML
// page that needs nothing from anywhere.
//
// Every figure is a list of observations of one quantity, told by their number, least,
// median and greatest, with the target that the median is held against. Units stand with
// the figure. The package measures nothing, and tells of the machine what it is made of and
// neither paths nor host names.
package report

import (
	"math"
	"slices"
)

// Report is one run.
type Report struct {
	Version string  `json:"version"`
	Commit  string  `json:"commit"`
	Date    string  `json:"date"` // RFC 3339, UTC
	Quick   bool    `json:"quick"`
	Command string  `json:"command"`
	Machine Machine `json:"machine"`
	// LoadBefore is the machine's load average before the run: above zero, others worked too.
	LoadBefore float64    `json:"load_before"`
	Seconds    float64    `json:"seconds"`
	Sections   []*Section `json:"scenarios"`
}

// Machine is where the run was made.
type Machine struct {
	CPU        string  `json:"cpu"`
	Cores      int     `json:"cores"`
	MemoryGiB  float64 `json:"memory_gib"`
	System     string  `json:"system"`
	Kernel     string  `json:"kernel"`
	Filesystem string  `json:"filesystem"`
	Go         string  `json:"go"`
}

// Section is what one scenario found.
type Section struct {
	Name    string  `json:"name"`
	Title   string  `json:"title"`
	Command string  `json:"command"`
	Seconds float64 `json:"seconds"`
	// Load is the machine's load average at the end of the scenario.
	Load float64 `json:"load"`
	// Skipped says why the scenario did not run, Failed why it broke off.
	Skipped string `json:"skipped,omitempty"`
	Failed  string `json:"failed,omitempty"`
	// Sizes say what was run: connections, cards, seconds.
	Sizes   []string `json:"sizes"`
	Figures []Figure `json:"figures"`
	Notes   []string `json:"notes,omitempty"`
	Plots   []Plot   `json:"plots,omitempty"`
}

// Figure is one quantity, observed N times.
type Figure struct {
	Name    string    `json:"name"`
	Unit    string    `json:"unit"`
	N       int       `json:"n"`
	Min     float64   `json:"min"`
	Median  float64   `json:"median"`
	Max     float64   `json:"max"`
	Values  []float64 `json:"values"`
	Target  float64   `json:"target,omitempty"`
	Bound   string    `json:"bound,omitempty"` // "at_least" or "at_most"
	Met     *bool     `json:"met,omitempty"`
	Command string    `json:"command"`
}

// Bounds of a target.
const (
	boundLeast = "at_least"
	boundMost  = "at_most"
)

// Of returns the figure of the values; none make a figure of NaN-free zeros with N 0.
func Of(name, unit string, values ...float64) Figure {
	f := Figure{Name: name, Unit: unit, N: len(values), Values: values}
	if len(values) == 0 {
		return f
	}
	sorted := slices.Sorted(slices.Values(values))
	f.Min, f.Max, f.Median = sorted[0], sorted[len(sorted)-1], Median(sorted)
	return f
}

// AtLeast returns f with a target that the median must reach.
func (f Figure) AtLeast(target float64) Figure { return f.against(target, boundLeast) }

// AtMost returns f with a target that the median must not exceed.
func (f Figure) AtMost(target float64) Figure { return f.against(target, boundMost) }

func (f Figure) against(target float64, bound string) Figure {
	met := f.N > 0 && (bound == boundLeast && f.Median >= target ||
		bound == boundMost && f.Median <= target)
	f.Target, f.Bound, f.Met = target, bound, &met
	return f
}

// Median returns the middle of the values, the mean of two for an even number.
func Median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	switch {
	case n == 0:
		return math.NaN()
	case n%2 == 1:
		return sorted[n/2]
	default:
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
}

// Ratios returns ours[i]/theirs[i] for each pair of rounds.
func Ratios(ours, theirs []float64) []float64 {
	ratios := make([]float64, 0, min(len(ours), len(theirs)))
	for i := range cap(ratios) {
		if theirs[i] > 0 {
			ratios = append(ratios, ours[i]/theirs[i])
		}
	}
	return ratios
}

// Add appends a figure under the section's command.
func (s *Section) Add(f Figure) {
	f.Command = s.Command
	s.Figures = append(s.Figures, f)
}

// Figure returns the figure called name, nil when there is none.
func (s *Section) Figure(name string) *Figure {
	for i := range s.Figures {
		if s.Figures[i].Name == name {
			return &s.Figures[i]
		}
	}
	return nil
}

// Counts returns how many targets were met and missed.
func (r *Report) Counts() (met, missed int) {
	for _, s := range r.Sections {
		for _, f := range s.Figures {
			switch {
			case f.Met == nil:
			case *f.Met:
				met++
			default:
				missed++
			}
		}
	}
	return met, missed
}

// Kinds of plots.
const (
	PlotPercentiles = "percentiles" // x is a quantile below 1, on a scale of nines; y log
	PlotBars        = "bars"        // x is the number of the bar; the label names it
	PlotTime        = "time"        // x is seconds
)

// Plot is one picture.
type Plot struct {
	Kind   string   `json:"kind"`
	Title  string   `json:"title"`
	X      string   `json:"x,omitempty"`
	Y      string   `json:"y"`
	Series []Series `json:"series,omitempty"`
	Bars   []Bar    `json:"bars,omitempty"`
}

// Series is one line of a plot.
type Series struct {
	Name   string       `json:"name"`
	Points [][2]float64 `json:"points"`
}

// Bar is one bar with the range of its rounds. Bars of one Group stand together, and the
// group shows the ratio of its first to its second bar.
type Bar struct {
	Group string  `json:"group"`
	Name  string  `json:"name"`
	Min   float64 `json:"min"`
	Value float64 `json:"value"`
	Max   float64 `json:"max"`
}

// BarOf returns the bar of a figure.
func BarOf(group, name string, f Figure) Bar {
	return Bar{Group: group, Name: name, Min: f.Min, Value: f.Median, Max: f.Max}
}
