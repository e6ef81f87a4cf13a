package load

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Bounds of Options.
const (
	ConnectionsMax = 16 << 10
	// drainDefault is how long answers are waited for after the last request was due.
	drainDefault = 10 * time.Second
)

// Options say what is sent how. Addr, Connections, Duration, Requests and Wire are needed.
type Options struct {
	Addr        string
	Connections int
	// Rate is how many requests are due a second; 0 sends each when its connection is free.
	Rate float64
	// Duration is how long requests are sent, Warmup how much of that is not measured.
	Duration time.Duration
	Warmup   time.Duration
	// Requests are sent once each, in order; the run ends early when none is left.
	Requests *Requests
	Wire     Wire
	// Drain is how long answers are waited for after the last request was due, 10 s by
	// default; what is not answered then has failed.
	Drain time.Duration
	// Slice is the grid of Result.Slices; 0 for none.
	Slice time.Duration
}

// Slice is a part of a run: what was answered in it.
type Slice struct {
	At       time.Duration // its beginning, from the start of the run
	Count    int64
	P50, P99 time.Duration
	Max      time.Duration
}

// Result is what a run measured, the warm-up not counted.
type Result struct {
	Good, Refused, Failed int64
	// Sent counts the requests sent, the warm-up included.
	Sent int
	// Elapsed is the time from the first measured request to the last answer.
	Elapsed time.Duration
	// Latency is in nanoseconds, from when the request was due.
	Latency *hdrhistogram.Histogram
	Slices  []Slice
	// CPU is what the generator's thread used, the warm-up included, over Wall.
	CPU, Wall time.Duration
	// Sample is the first answer that failed, for error messages.
	Sample string
}

// Answered returns how many requests were answered and measured.
func (r *Result) Answered() int64 { return r.Good + r.Refused + r.Failed }

// PerSecond returns the good answers a second.
func (r *Result) PerSecond() float64 {
	if r.Elapsed <= 0 {
		return 0
	}
	return float64(r.Good) / r.Elapsed.Seconds()
}

// Quantile returns the latency at quantile q (0 to 1).
func (r *Result) Quantile(q float64) time.Duration {
	return time.Duration(r.Latency.ValueAtQuantile(q * 100))
}

// AllGood returns an error when any answer was not good: a benchmark of refusals is none.
func (r *Result) AllGood() error {
	if r.Refused == 0 && r.Failed == 0 && r.Good > 0 {
		return nil
	}
	return fmt.Errorf("load: %d answers good, %d refused, %d failed; one of them: %s",
		r.Good, r.Refused, r.Failed, strings.ReplaceAll(r.Sample, "\r\n", " "))
}

// NewHistogram returns a histogram of nanoseconds up to a minute, three digits.
func NewHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, int64(time.Minute), 3)
}

// Run sends the requests and waits for their answers. It returns an error when it could
// not measure; refused and failed requests are counted, not returned.
func Run(ctx context.Context, o Options) (*Result, error) {
	switch {
	case o.Connections < 1 || o.Connections > ConnectionsMax:
		return nil, fmt.Errorf("load: %d connections: want 1 to %d", o.Connections, ConnectionsMax)
	case o.Requests == nil || o.Requests.Len() == 0:
		return nil, errors.New("load: no requests")
	case o.Rate < 0 || o.Duration <= 0 || o.Warmup < 0 || o.Warmup >= o.Duration:
		return nil, fmt.Errorf("load: rate %g for %s with %s of warm-up makes no sense",
			o.Rate, o.Duration, o.Warmup)
	}
	if o.Drain == 0 {
		o.Drain = drainDefault
	}
	return run(ctx, o)
}

// Tally collects the answers of one load into a Result. It is for one goroutine.
type Tally struct {
	Result
	warm  time.Duration // requests due before it are not counted
	grid  time.Duration
	slice *Slice
	part  *hdrhistogram.Histogram // of the slice
	last  time.Duration
}

// NewTally returns an empty tally that does not count what is due before warmup. Slices are
// as long as slice says; 0 for none.
func NewTally(warmup, slice time.Duration) *Tally {
	t := &Tally{warm: warmup, grid: slice}
	t.Latency = NewHistogram()
	if slice > 0 {
		t.part = NewHistogram()
	}
	return t
}

// Note counts an answer that came at now to a request that was due at due.
func (t *Tally) Note(due, now time.Duration, v Verdict) {
	if t.grid > 0 {
		t.noteSlice(due, now)
	}
	if due < t.warm {
		return
	}
	switch v {
	case Good:
		t.Good++
	case Refused:
		t.Refused++
	default:
		t.Failed++
	}
	t.last = max(t.last, now)
	_ = t.Latency.RecordValue(min(int64(now-due), int64(time.Minute)))
}

func (t *Tally) noteSlice(due, now time.Duration) {
	at := now.Truncate(t.grid)
	if t.slice == nil || t.slice.At != at {
		t.endSlice()
		t.slice = &Slice{At: at}
	}
	t.slice.Count++
	_ = t.part.RecordValue(min(int64(now-due), int64(time.Minute)))
}

func (t *Tally) endSlice() {
	if t.slice == nil {
		return
	}
	t.slice.P50 = time.Duration(t.part.ValueAtQuantile(50))
	t.slice.P99 = time.Duration(t.part.ValueAtQuantile(99))
	t.slice.Max = time.Duration(t.part.Max())
	t.Slices = append(t.Slices, *t.slice)
	t.part.Reset()
	t.slice = nil
}

// Finish returns what was counted by a load that took wall.
func (t *Tally) Finish(wall time.Duration) *Result {
	t.endSlice()
	t.Elapsed, t.Wall = max(t.last-t.warm, 0), wall
	return &t.Result
}
