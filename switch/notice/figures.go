package notice

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// sentBounds are the upper bounds of the histogram of acceptance to sent, in milliseconds;
// one class more is above the last. "At once" is the first ones; the rest tells how bad it is.
var sentBounds = [...]txn.Millis{100, 500, 1_000, 5_000, 10_000, 30_000, 60_000, 300_000,
	1_800_000, 7_200_000}

// Histogram is a count of lengths of time.
type Histogram struct {
	// BoundsMS are upper bounds, inclusive; Counts has one class more, above the last.
	BoundsMS []txn.Millis
	Counts   []uint64
	SumMS    uint64
}

// MarksMax is how many marks of a clock Figures tells apart.
const MarksMax = 3

// Figures are for metrics. The first part is of the last sweep over the store, the second
// counts what this process did since it started.
type Figures struct {
	At        txn.Millis // of the sweep; 0 before the first
	Open      int        // notices
	Parties   int        // rows in them that are not done
	BySending int        // of those, on a clock without proof of receipt
	Late      int        // of those, late
	Dead      int        // of those, given up
	// Past counts those whose clock is past its first mark, its second, and so on; the last entry
	// is of that mark and all after it.
	Past       [MarksMax]int
	OldestAt   txn.Millis // acceptance of the oldest open notice, 0 for none
	Incomplete bool       // the sweep met an error, or more than SweepMax notices

	Sent, Failed         uint64 // tries
	Answers, Refused     uint64 // acknowledgements, and those that changed nothing
	Alarms, LateSeen     uint64
	Faults               uint64
	Waiting              int // tries under way or queued in memory
	AcceptanceToSent     Histogram
	DuesWaiting, Pending int // documents to be looked at, and to be written
}

// figures are the counters of a service.
type figures struct {
	sent, failed, answers, refused, alarms, late, faults atomic.Uint64

	counts [len(sentBounds) + 1]atomic.Uint64
	sum    atomic.Uint64

	mu    sync.Mutex
	swept Figures // the first part
}

// observe counts what a written document says, and passes its alarms on.
func (s *Service) observe(d *Document, c *Changes) {
	f := &s.figures
	for _, took := range c.FirstSent {
		class := 0
		for class < len(sentBounds) && took > sentBounds[class] {
			class++
		}
		f.counts[class].Add(1)
		f.sum.Add(uint64(took))
	}
	for _, a := range c.Alarms {
		f.alarms.Add(1)
		s.o.OnAlarm(a)
	}
	for _, party := range c.Late {
		f.late.Add(1)
		s.log.Warn("party is late", "notice", d.ID, "party", party)
	}
	for _, party := range c.Died {
		s.log.Error("party given up: see notices dead", "notice", d.ID, "party", party)
	}
}

// Figures returns the figures. It reads nothing from the store.
func (s *Service) Figures() Figures {
	f := &s.figures
	f.mu.Lock()
	out := f.swept
	f.mu.Unlock()
	out.Sent, out.Failed = f.sent.Load(), f.failed.Load()
	out.Answers, out.Refused = f.answers.Load(), f.refused.Load()
	out.Alarms, out.LateSeen, out.Faults = f.alarms.Load(), f.late.Load(), f.faults.Load()
	// In the order in which work moves on, so that all zero means that nothing is under way.
	out.DuesWaiting = s.dues.waiting()
	out.Waiting = s.outlets.waiting()
	out.Pending = s.scribe.waiting()
	h := Histogram{BoundsMS: append([]txn.Millis(nil), sentBounds[:]...), SumMS: f.sum.Load()}
	for i := range f.counts {
		h.Counts = append(h.Counts, f.counts[i].Load())
	}
	out.AcceptanceToSent = h
	return out
}

func (d *dues) waiting() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.known)
}

func (w *scribe) waiting() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.pending) + len(w.busy)
}

// SweepMax is how many open notices one sweep reads; the figures say when there are more.
const SweepMax = 200_000

// sweeps sweeps until the service is closed.
func (s *Service) sweeps() {
	t := time.NewTicker(s.o.SweepEvery)
	defer t.Stop()
	for {
		if err := s.Sweep(s.ctx); err != nil && s.ctx.Err() == nil {
			s.log.Error("sweep of open notices", "error", err)
		}
		select {
		case <-t.C:
		case <-s.ctx.Done():
			return
		}
	}
}

// Sweep reads all open notices, counts them for Figures, and heals their index. The service
// does it every SweepEvery.
func (s *Service) Sweep(ctx context.Context) error {
	f := Figures{At: s.o.Now()}
	seen := 0
	var first error
	err := s.openEntries(ctx, "", func(e *openEntry) bool {
		if ctx.Err() != nil {
			return false
		}
		if seen += len(e.ids); seen > SweepMax {
			f.Incomplete = true
			return false
		}
		if err := s.sweepEntry(ctx, e, &f); err != nil && first == nil {
			first = err
		}
		return true
	})
	if err == nil {
		err = first
	}
	if err == nil {
		err = ctx.Err()
	}
	f.Incomplete = f.Incomplete || err != nil
	s.figures.mu.Lock()
	defer s.figures.mu.Unlock()
	s.figures.swept = f
	return err
}

func (s *Service) sweepEntry(ctx context.Context, e *openEntry, f *Figures) error {
	var open []string
	for _, id := range e.ids {
		parts, ended, err := s.ended(ctx, id, e.madeAt)
		if err != nil {
			return err
		}
		if ended {
			continue
		}
		open = append(open, id)
		if len(parts) > 0 {
			f.count(parts)
		}
	}
	return s.heal(ctx, e, open)
}

// count adds an open notice.
func (f *Figures) count(parts []*Document) {
	f.Open++
	f.OldestAt = earlier(f.OldestAt, parts[0].AcceptedAt)
	for _, d := range parts {
		for i := range d.Rows {
			r := &d.Rows[i]
			if r.done() {
				continue
			}
			basis, _ := d.start(r)
			f.Parties++
			f.BySending += one(basis == BySending)
			f.Late += one(r.Late)
			f.Dead += one(r.State() == Dead)
			for i := range min(int(r.Alarms), MarksMax) {
				f.Past[i]++
			}
		}
	}
}

func one(yes bool) int {
	if yes {
		return 1
	}
	return 0
}
