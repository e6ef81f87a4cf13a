package upload

import (
	"slices"

	"github.com/tapswitch/tapswitch/switch/gate/frame"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// BatchesMax is how many batches of a gate are remembered; a repeat of an older one is told by
// its records alone.
const BatchesMax = 32

// Batch is how far a batch has arrived without a hole.
type Batch struct {
	Boot    uint32 `json:"boot"`
	Number  uint32 `json:"number"`
	Records uint32 `json:"records"`
	Next    uint32 `json:"next"`
}

// Tally counts records and the sum of their amounts.
type Tally struct {
	Records uint64    `json:"records"`
	Sum     txn.Minor `json:"sum"`
}

// Gate is what has come of one terminal. Accepted, Rejected and Held count each record once,
// in the state that it is in; repeats are counted apart.
type Gate struct {
	Terminal string  `json:"terminal"`
	Batches  []Batch `json:"batches,omitempty"`
	Accepted Tally   `json:"accepted"`
	Rejected Tally   `json:"rejected"`
	Held     Tally   `json:"held"`
	Repeats  uint64  `json:"repeats"`
	// Own is what the gate says that it made since its first record.
	Own Tally `json:"own"`
	// OwnAt is the place in its batches up to which Own counts.
	OwnAt Batch `json:"own_at"`
	// Ahead is the gate's clock less ours at the last frame, in milliseconds.
	Ahead  txn.Millis `json:"clock_ahead_ms"`
	SeenAt txn.Millis `json:"seen_at"`
	// Back: its own counters went back.
	Back bool `json:"counters_went_back,omitempty"`
}

// Count moves one record of an amount from the state that it was in to the one that it is in.
func (g *Gate) Count(from, to Fate, amount txn.Minor) {
	for _, c := range [...]struct {
		fate Fate
		n    int
	}{{from, -1}, {to, 1}} {
		if t := g.tally(c.fate); t != nil {
			t.Records += uint64(c.n)
			t.Sum += txn.Minor(c.n) * amount
		}
	}
}

func (g *Gate) tally(f Fate) *Tally {
	switch {
	case f.State == Accepted:
		return &g.Accepted
	case f.State == Rejected:
		return &g.Rejected
	case f.State == Held:
		return &g.Held
	default:
		return nil
	}
}

// Arrived is what the switch knows of the gate's records, each once.
func (g *Gate) Arrived() Tally {
	return Tally{g.Accepted.Records + g.Rejected.Records + g.Held.Records,
		g.Accepted.Sum + g.Rejected.Sum + g.Held.Sum}
}

// Missing is the gate's own count less what has arrived.
func (g *Gate) Missing() (records int64, sum txn.Minor) {
	a := g.Arrived()
	return int64(g.Own.Records) - int64(a.Records), g.Own.Sum - a.Sum
}

// Frame takes note of a frame's header and reports whether the gate's own counters went back:
// a later frame that says less than an earlier one.
func (g *Gate) Frame(h *frame.Header, n int, now txn.Millis) (back bool) {
	g.Ahead, g.SeenAt = txn.Millis(h.SentAt)-now, now
	own := Tally{h.TotalRecords, txn.Minor(h.TotalSum)}
	b := g.batch(h)
	at := Batch{Boot: h.Boot, Number: h.Batch, Next: h.Offset + uint32(n)}
	if at.after(g.OwnAt) {
		back = own.Records < g.Own.Records || own.Sum < g.Own.Sum
		g.Back = g.Back || back
		if !back {
			g.Own, g.OwnAt = own, at
		}
	}
	if h.Offset <= b.Next {
		b.Next = max(b.Next, h.Offset+uint32(n))
	}
	return back
}

// after reports whether b ends behind o.
func (b Batch) after(o Batch) bool {
	switch {
	case b.Boot != o.Boot:
		return b.Boot > o.Boot
	case b.Number != o.Number:
		return b.Number > o.Number
	default:
		return b.Next > o.Next
	}
}

// batch returns the batch of a frame, which it remembers.
func (g *Gate) batch(h *frame.Header) *Batch {
	for i := range g.Batches {
		if b := &g.Batches[i]; b.Boot == h.Boot && b.Number == h.Batch {
			return b
		}
	}
	if len(g.Batches) == BatchesMax {
		g.Batches = slices.Delete(g.Batches, 0, 1)
	}
	g.Batches = append(g.Batches, Batch{Boot: h.Boot, Number: h.Batch, Records: h.BatchRecords})
	return &g.Batches[len(g.Batches)-1]
}
