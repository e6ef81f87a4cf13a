package consolewire

import (
	"context"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tapswitch/tapswitch/ledger/console"
)

const (
	// minutesKept is how many minutes a page shows.
	minutesKept = 60
	// latencyMinutes is how many minutes the shown latencies are of, the present one included.
	latencyMinutes = 5
	// pulseEvery is how often the counters are looked at.
	pulseEvery = time.Second
	// bins are the classes of latencies: four to each doubling of nanoseconds.
	bins = 4 * 64
)

// PulseOptions make a Pulse.
type PulseOptions struct {
	// Counts returns the approvals and declines since the start.
	Counts func() (approved, declined int64)
	// Pending returns how many records wait for the warehouse.
	Pending func(context.Context) (int64, error)
	// ListAge returns how long ago the blacklist was heard of.
	ListAge func() time.Duration
	Now     func() time.Time
}

// Pulse keeps the last hour by minutes and the latencies of the last minutes, in memory. Took
// may be called on the hot path: it costs one atomic add. Safe for concurrent use.
type Pulse struct {
	o     PulseOptions
	took  [bins]atomic.Int64
	since time.Time

	mu       sync.Mutex // guards the fields below
	minute   time.Time  // that is under way
	approved int64      // at its beginning
	declined int64
	minutes  []console.Minute
	before   [][bins]int64 // of took, at the beginning of the last minutes
	pending  int64
}

var _ console.Live = (*Pulse)(nil)

// NewPulse returns a pulse that begins now.
func NewPulse(o PulseOptions) *Pulse {
	if o.Now == nil {
		o.Now = time.Now
	}
	p := &Pulse{o: o, since: o.Now()}
	p.minute = p.since.Truncate(time.Minute)
	p.before = append(p.before, p.counts())
	return p
}

// Took notes how long one decision took.
func (p *Pulse) Took(d time.Duration) { p.took[binOf(d)].Add(1) }

// binOf is the class of a latency: its highest bit and the two behind it.
func binOf(d time.Duration) int {
	n := uint64(max(d, 4))
	top := bits.Len64(n) - 1
	return 4*top + int(n>>(top-2)&3)
}

// binTop is the greatest latency of a class.
func binTop(bin int) time.Duration {
	top := bin / 4
	if top < 2 || top > 60 {
		return 0
	}
	return time.Duration(uint64(4+bin%4+1)<<(top-2) - 1)
}

func (p *Pulse) counts() (all [bins]int64) {
	for i := range p.took {
		all[i] = p.took[i].Load()
	}
	return all
}

// Run looks at the counters until the context ends.
func (p *Pulse) Run(ctx context.Context) error {
	ticker := time.NewTicker(pulseEvery)
	defer ticker.Stop()
	for {
		p.Tick(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// Tick looks once.
func (p *Pulse) Tick(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, pulseEvery)
	defer cancel()
	pending, err := p.o.Pending(ctx)
	now := p.o.Now().Truncate(time.Minute)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		p.pending = pending
	}
	if !now.After(p.minute) {
		return
	}
	approved, declined := p.o.Counts()
	p.minutes = append(p.minutes, console.Minute{At: p.minute, Approved: approved - p.approved,
		Declined: declined - p.declined})
	for at := p.minute.Add(time.Minute); at.Before(now) && len(p.minutes) < 2*minutesKept; at = at.Add(time.Minute) {
		p.minutes = append(p.minutes, console.Minute{At: at}) // the process slept
	}
	p.minutes = p.minutes[max(0, len(p.minutes)-minutesKept):]
	p.minute, p.approved, p.declined = now, approved, declined
	p.before = append(p.before, p.counts())
	p.before = p.before[max(0, len(p.before)-latencyMinutes):]
}

// Live implements console.Live.
func (p *Pulse) Live() console.LiveView {
	v := console.LiveView{Since: p.since, ListKnown: true, ListAge: p.o.ListAge()}
	v.Approved, v.Declined = p.o.Counts()
	p.mu.Lock()
	defer p.mu.Unlock()
	v.Pending = p.pending
	v.Minutes = append(v.Minutes, p.minutes...)
	v.Minutes = append(v.Minutes, console.Minute{At: p.minute, Approved: v.Approved - p.approved,
		Declined: v.Declined - p.declined})
	counts := p.counts()
	for i := range counts {
		counts[i] -= p.before[0][i]
		v.Sampled += counts[i]
	}
	v.P50, v.P95, v.P99 = quantile(&counts, v.Sampled, 50), quantile(&counts, v.Sampled, 95),
		quantile(&counts, v.Sampled, 99)
	return v
}

// quantile is the upper bound of the class in which a per cent of n lies, at most a quarter too
// great.
func quantile(counts *[bins]int64, n, percent int64) time.Duration {
	if n <= 0 {
		return 0
	}
	rank := (n*percent + 99) / 100
	for i, c := range counts {
		if rank -= c; rank <= 0 {
			return binTop(i)
		}
	}
	return 0
}
