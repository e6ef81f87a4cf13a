package upload

import (
	"slices"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// GapsMax is how many ranges a sequence keeps; of more the oldest are given up and counted.
const GapsMax = 48

// Gap is a range of missing numbers. At is the time of the record that came above it: what
// fills the gap cannot be later.
type Gap struct {
	From uint32     `json:"from"`
	To   uint32     `json:"to"`
	At   txn.Millis `json:"at"`
}

// Sequence is what has come of numbers that grow by one. The zero Sequence has seen none.
type Sequence struct {
	Known  bool       `json:"known"`
	High   uint32     `json:"high"`
	HighAt txn.Millis `json:"high_at"`
	Gaps   []Gap      `json:"gaps,omitempty"`
	// Lost counts the gaps that were given up for want of room.
	Lost int `json:"lost,omitempty"`
}

// Place says where in its sequence a number stands.
type Place uint8

// The places.
const (
	First   Place = iota // of all
	Next                 // directly above the highest
	Jump                 // above it, and a gap was opened
	Late                 // in a gap, which was closed there, or from before the first
	Rolled               // too low for its time: the sequence went back
	Counted              // not in a gap: it has come before
)

// See takes a number in and says where it stood. A Rolled or Counted one changes nothing.
func (s *Sequence) See(n uint32, at txn.Millis) Place {
	switch {
	case !s.Known:
		s.Known, s.High, s.HighAt = true, n, at
		return First
	case n == s.High+1 && n != 0:
		s.High, s.HighAt = n, max(at, s.HighAt)
		return Next
	case n > s.High:
		s.open(Gap{From: s.High + 1, To: n - 1, At: at})
		s.High, s.HighAt = n, max(at, s.HighAt)
		return Jump
	}
	i := slices.IndexFunc(s.Gaps, func(g Gap) bool { return n >= g.From && n <= g.To })
	switch {
	case i < 0 && s.HighAt != 0 && at > s.HighAt+OrderSlack:
		return Rolled
	case i < 0:
		return Counted
	case at > s.Gaps[i].At+OrderSlack:
		return Rolled
	}
	s.close(i, n)
	return Late
}

// Missing returns how many numbers the gaps hold.
func (s *Sequence) Missing() int {
	n := 0
	for _, g := range s.Gaps {
		n += int(g.To-g.From) + 1
	}
	return n
}

func (s *Sequence) open(g Gap) {
	if len(s.Gaps) == GapsMax {
		s.Gaps = slices.Delete(s.Gaps, 0, 1)
		s.Lost++
	}
	s.Gaps = append(s.Gaps, g)
}

// close takes n out of gap i.
func (s *Sequence) close(i int, n uint32) {
	g := s.Gaps[i]
	switch {
	case g.From == g.To:
		s.Gaps = slices.Delete(s.Gaps, i, i+1)
	case n == g.From:
		s.Gaps[i].From++
	case n == g.To:
		s.Gaps[i].To--
	case len(s.Gaps) == GapsMax:
		s.Gaps[i].From = n + 1 // the lower part is given up
		s.Lost++
	default:
		s.Gaps[i].To = n - 1
		s.Gaps = slices.Insert(s.Gaps, i+1, Gap{From: n + 1, To: g.To, At: g.At})
	}
}
