package sim

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// Line names what is summed: one kind and outcome.
type Line struct {
	Kind    string
	Outcome string
}

// Sum is the sum over the records of a line.
type Sum struct {
	Count    int64
	FullFare txn.Minor
	Charged  txn.Minor
}

// Party sums the records of one operator; amounts are those of approved records.
type Party struct {
	Approved, Declined int64
	FullFare, Charged  txn.Minor
}

// Figures are what a run comes to. Three sources make them and must agree: the model's
// expectation, the answers that the client saw, and the ledger.
type Figures struct {
	Lines    map[Line]Sum
	Parties  map[string]Party
	Declines map[string]int64 // declined records by reason
	// Purse is what all cards hold together.
	Purse txn.Minor
}

// NewFigures returns empty Figures.
func NewFigures() *Figures {
	return &Figures{Lines: map[Line]Sum{}, Parties: map[string]Party{},
		Declines: map[string]int64{}}
}

// Item is one settled record as the figures see it.
type Item struct {
	Kind     txn.Kind
	Outcome  txn.Outcome
	Reason   txn.Reason
	Operator string
	FullFare txn.Minor
	Charged  txn.Minor
}

// Add counts one record.
func (f *Figures) Add(it Item) {
	line := Line{it.Kind.String(), it.Outcome.String()}
	s := f.Lines[line]
	s.Count++
	s.FullFare += it.FullFare
	s.Charged += it.Charged
	f.Lines[line] = s
	if it.Outcome == txn.Declined {
		f.Declines[it.Reason.String()]++
	}
	if it.Operator != "" {
		p := f.Parties[it.Operator]
		if it.Outcome == txn.Approved {
			p.Approved++
			p.FullFare += it.FullFare
			p.Charged += it.Charged
		} else {
			p.Declined++
		}
		f.Parties[it.Operator] = p
	}
	f.Purse -= it.Charged
}

// Merge adds g to f.
func (f *Figures) Merge(g *Figures) {
	for line, s := range g.Lines {
		t := f.Lines[line]
		f.Lines[line] = Sum{t.Count + s.Count, t.FullFare + s.FullFare, t.Charged + s.Charged}
	}
	for name, p := range g.Parties {
		q := f.Parties[name]
		f.Parties[name] = Party{q.Approved + p.Approved, q.Declined + p.Declined,
			q.FullFare + p.FullFare, q.Charged + p.Charged}
	}
	for reason, n := range g.Declines {
		f.Declines[reason] += n
	}
	f.Purse += g.Purse
}

// Count returns how many records have the outcome.
func (f *Figures) Count(o txn.Outcome) int64 {
	var n int64
	for line, s := range f.Lines {
		if line.Outcome == o.String() {
			n += s.Count
		}
	}
	return n
}

// Charged returns what the approved records took from cards, less what they gave.
func (f *Figures) Charged() txn.Minor {
	var sum txn.Minor
	for line, s := range f.Lines {
		if line.Outcome == txn.Approved.String() {
			sum += s.Charged
		}
	}
	return sum
}

// rows returns the figures as lines of text in a fixed order.
func (f *Figures) rows() []string {
	var rows []string
	for line, s := range f.Lines {
		rows = append(rows, fmt.Sprintf("%s %s: %d records, full fare %d, charged %d",
			line.Kind, line.Outcome, s.Count, s.FullFare, s.Charged))
	}
	for name, p := range f.Parties {
		rows = append(rows, fmt.Sprintf("operator %s: %d approved, %d declined, full fare %d, "+
			"charged %d", name, p.Approved, p.Declined, p.FullFare, p.Charged))
	}
	for reason, n := range f.Declines {
		rows = append(rows, fmt.Sprintf("declined %s: %d", reason, n))
	}
	slices.Sort(rows)
	return append(rows, fmt.Sprintf("purses: %d", f.Purse))
}

// Digest returns a short digest of the figures: equal figures, equal digest.
func (f *Figures) Digest() string {
	h := sha256.New()
	for _, row := range f.rows() {
		_, _ = fmt.Fprintln(h, row)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// Diff returns a line for every figure that differs, with both values; none when equal.
func (f *Figures) Diff(g *Figures) []string {
	have := map[string]bool{}
	for _, row := range g.rows() {
		have[row] = true
	}
	var diff []string
	for _, row := range f.rows() {
		if !have[row] {
			diff = append(diff, "- "+row)
		}
		delete(have, row)
	}
	for row := range have {
		diff = append(diff, "+ "+row)
	}
	slices.SortFunc(diff, func(a, b string) int {
		return cmp.Or(cmp.Compare(a[2:], b[2:]), cmp.Compare(b[:1], a[:1]))
	})
	return diff
}

// PartyNames returns the operators in order.
func (f *Figures) PartyNames() []string { return slices.Sorted(maps.Keys(f.Parties)) }
