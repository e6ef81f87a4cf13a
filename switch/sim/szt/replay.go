package szt

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tapswitch/tapswitch/switch/sim"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const (
	// windowSpan is how much of the rows' time is sent with one setting of the clock, at
	// most: far less than a request may be old.
	windowSpan = 30 * time.Minute
	// windowRows bounds the rows in memory on their way.
	windowRows = 20_000
	// batchRows bounds one batch; the gate takes 5,000.
	batchRows = 2_000
	// batchesAtOnce and tapsAtOnce are how many calls are under way.
	batchesAtOnce = 4
	tapsAtOnce    = 32
)

// Clock is the time of the switch during a replay: it stands still, and moves on when the
// rows do. It never goes back. Safe for concurrent use.
type Clock struct{ ms atomic.Int64 }

// NewClock returns a Clock that shows t.
func NewClock(t time.Time) *Clock {
	c := &Clock{}
	c.ms.Store(t.UnixMilli())
	return c
}

// Now returns the clock's instant.
func (c *Clock) Now() txn.Millis { return txn.Millis(c.ms.Load()) }

// Time returns the clock's instant as a time.
func (c *Clock) Time() time.Time { return time.UnixMilli(c.ms.Load()) }

// advance moves the clock on to t.
func (c *Clock) advance(t time.Time) {
	for {
		now := c.ms.Load()
		if t.UnixMilli() <= now || c.ms.CompareAndSwap(now, t.UnixMilli()) {
			return
		}
	}
}

// Switch is what a replay needs of the switch besides its HTTP edge.
type Switch interface {
	// Tick does what is due at the clock's present: it begins the business date.
	Tick(ctx context.Context) error
	// Drain waits until everything that was answered is in the ledger.
	Drain(ctx context.Context) error
	// Records calls yield for every record of the ledger.
	Records(ctx context.Context, yield func(*txn.Record) error) error
	// Day returns what the ledger says about the taps of a business date.
	Day(ctx context.Context, date txn.BusinessDate) (Day, error)
}

// Options make a replay.
type Options struct {
	Client *sim.Client
	// Token is of an operator who may register terminals and enrol cards.
	Token  string
	Switch Switch
	Clock  *Clock
	// Speed is how many seconds of the rows pass in one second; 0 is as fast as possible.
	Speed float64
	// Fresh says that the ledger was empty, so that it must hold nothing but the file.
	Fresh bool
	// Progress is told how many rows are done; may be nil.
	Progress func(rows int)
}

// state is how far a row has come.
type state uint8

const (
	waiting state = iota
	answered
	refused    // by the gate itself, with a code
	unanswered // the outcome is not known
	duplicate  // an earlier row of the file is the same
)

// entry is what is kept of a row until the report.
type entry struct {
	id       txn.RequestID
	line     int32
	of       int32 // line of the row that a duplicate repeats
	company  uint32
	kind     txn.Kind
	state    state
	reason   txn.Reason
	booked   bool // the ledger has its record
	fullFare txn.Minor
	charged  txn.Minor
}

// replay is one run.
type replay struct {
	o       Options
	file    *Sorted
	entries []entry
	readers map[reader]*sim.Terminal
	desk    *sim.Terminal // sends the loads
	report  Report

	mu     sync.Mutex           // guards the fields below while a window is sent
	codes  map[int32]string     // error code of refused rows by line
	purses map[string]txn.Minor // by pseudonym, as far as this replay knows

	window []Row
	base   int // entries before the window
	// second holds the ids of the last second, to find rows that stand twice.
	second   map[txn.RequestID]seen
	secondAt time.Time
	date     txn.BusinessDate
	began    time.Time
}

// reader is a reader of one operator; two operators may use the same number.
type reader struct{ number, company string }

// seen is a row of the current second.
type seen struct {
	digest uint64
	line   int32
}

// errStopped reports a switch that could not be asked.
var errStopped = errors.New("replay stopped")

// Replay sends all rows of s through the switch and returns how the ledger compares with
// the file. It returns an error when the switch cannot be asked at all; everything else is
// in the Report.
func Replay(ctx context.Context, s *Sorted, o Options) (*Report, error) {
	p := &replay{o: o, file: s, codes: map[int32]string{}, purses: map[string]txn.Minor{},
		readers: map[reader]*sim.Terminal{}, second: map[txn.RequestID]seen{}, began: time.Now(),
		entries: make([]entry, 0, s.Rows)}
	err := s.All(func(r *Row) error {
		if p.windowEnds(r) {
			if err := p.flush(ctx); err != nil {
				return err
			}
		}
		p.take(r)
		return nil
	})
	if err == nil {
		err = p.flush(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errStopped, err)
	}
	if err := p.compare(ctx); err != nil {
		return nil, err
	}
	return &p.report, nil
}

// windowEnds reports whether r belongs to the next window. A window lies within one day,
// so that every row is booked on its own date.
func (p *replay) windowEnds(r *Row) bool {
	if len(p.window) == 0 {
		return false
	}
	span := windowSpan
	if p.o.Speed > 0 {
		span = min(span, max(time.Second, time.Duration(p.o.Speed*float64(time.Second))))
	}
	first := p.window[0].At
	return len(p.window) >= windowRows || r.At.Sub(first) >= span ||
		dateOf(r.At) != dateOf(first)
}

func dateOf(t time.Time) txn.BusinessDate { return txn.DateOf(t, Zone(), 0) }

// take adds a row to the window.
func (p *replay) take(r *Row) {
	p.window = append(p.window, *r)
	p.entries = append(p.entries, entry{line: int32(r.Line), kind: r.Kind,
		company: p.file.names.index[r.Company], fullFare: r.FullFare, charged: r.Charged})
}

// flush sends the window: first what its rows need, then the rows.
func (p *replay) flush(ctx context.Context) error {
	if len(p.window) == 0 {
		return nil
	}
	if err := p.setClock(ctx); err != nil {
		return err
	}
	for _, prepare := range []func(context.Context) error{p.register, p.enrol} {
		if err := prepare(ctx); err != nil {
			return err
		}
	}
	p.identify()
	if err := p.load(ctx); err != nil {
		return err
	}
	for _, wave := range p.waves() {
		if err := p.send(ctx, wave); err != nil {
			return err
		}
	}
	p.base += len(p.window)
	p.window = p.window[:0]
	if p.o.Progress != nil {
		p.o.Progress(p.base)
	}
	return nil
}

// setClock waits for the wall clock at the chosen speed, then sets the switch's clock to
// the window's last row and begins the business date where it is a new one.
func (p *replay) setClock(ctx context.Context) error {
	last := p.window[len(p.window)-1].At
	if p.o.Speed > 0 {
		due := p.began.Add(time.Duration(float64(last.Sub(p.file.First)) / p.o.Speed))
		timer := time.NewTimer(time.Until(due))
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	p.o.Clock.advance(last)
	if date := dateOf(last); date != p.date {
		p.date = date
		if err := p.o.Switch.Tick(ctx); err != nil {
			return fmt.Errorf("beginning %s: %w", date, err)
		}
	}
	return nil
}

// identify gives every row of the window its request id and finds rows that stand twice.
func (p *replay) identify() {
	for i := range p.window {
		r, e := &p.window[i], &p.entries[p.base+i]
		if !r.At.Equal(p.secondAt) {
			p.secondAt = r.At
			clear(p.second)
		}
		digest := r.digest()
		id := txn.RequestID{Terminal: p.terminalID(r), Boot: boot(r.At), Counter: uint32(digest)}
		for {
			before, taken := p.second[id]
			if !taken {
				p.second[id] = seen{digest, e.line}
				break
			}
			if before.digest == digest {
				e.state, e.of = duplicate, before.line
				break
			}
			id.Counter++ // another row with the same digest, cut to 32 bits
		}
		e.id = id
	}
}

// wave is a set of rows, one list for each reader. Within a wave the rows of one card are in
// one list, in order, so that the lists may be sent side by side.
type wave [][]int // indexes into the window

// waves puts each row behind the card's rows before it.
func (p *replay) waves() []wave {
	type place struct {
		wave int
		id   txn.TerminalID
	}
	var waves []map[txn.TerminalID][]int
	last := make(map[string]place, len(p.window))
	for i := range p.window {
		card, id := p.window[i].Card, p.entries[p.base+i].id.Terminal
		at, again := last[card]
		if again && at.id != id {
			at.wave++
		}
		at.id = id
		last[card] = at
		if at.wave == len(waves) {
			waves = append(waves, map[txn.TerminalID][]int{})
		}
		waves[at.wave][id] = append(waves[at.wave][id], i)
	}
	out := make([]wave, len(waves))
	for n, byReader := range waves {
		for _, rows := range byReader {
			out[n] = append(out[n], rows)
		}
		slices.SortFunc(out[n], func(a, b []int) int {
			return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a[0], b[0]))
		})
	}
	return out
}
