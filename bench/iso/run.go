package iso

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// Target is something that stands between the load and the bank.
type Target struct {
	Name string
	// Start runs it in front of the bank and says where it takes requests. Stop is called
	// once after the last load. An error that is an ErrNoJPOS or ErrSkip leaves the target
	// out of the report, with its text.
	Start func(ctx context.Context, bank string) (addr string, stop func() error, err error)
	// Load changes the load for this target, its format and Make say; nil leaves it.
	Load func(*Load)
	// Rest waits after each load until the target has done the work that its answers left
	// behind, so that the next target's load does not pay for it; nil where none is left.
	Rest func(ctx context.Context)
}

// ErrSkip is what a target's Start wraps that cannot run here.
var ErrSkip = errors.New("does not run here")

// Direct is no switch at all: the load goes to the bank.
func Direct() Target {
	return Target{Name: "no switch", Start: func(_ context.Context, bank string) (string,
		func() error, error) {
		return bank, func() error { return nil }, nil
	}}
}

// ThroughJPOS is jPOS that forwards, see StartJPOS. Bank of the options is set here. It is
// named "jPOS" with Nagle's delay off on both sides and "jPOS, Nagle" else.
func ThroughJPOS(o JPOSOptions) Target {
	name := "jPOS"
	if o.Nagle != NagleNone {
		name = "jPOS, Nagle"
	}
	return Target{Name: name, Start: func(ctx context.Context, bank string) (string,
		func() error, error) {
		o.Bank = bank
		j, err := StartJPOS(ctx, o)
		if err != nil {
			return "", nil, err
		}
		return j.Addr, j.Stop, nil
	}}
}

// Mode is one way of loading a target.
type Mode struct {
	Connections int
	// InFlight is the number of unanswered requests of a closed loop, Rate the requests a
	// second of an open one; one of them is 0.
	InFlight int
	Rate     float64
}

// String returns the mode in words.
func (m Mode) String() string {
	if m.Rate > 0 {
		return fmt.Sprintf("%.0f/s on %d connections", m.Rate, m.Connections)
	}
	return fmt.Sprintf("%d in flight on %d connections", m.InFlight, m.Connections)
}

// Modes are those of the comparison: full load twice, and an open loop at 10,000/s.
func Modes() []Mode {
	return []Mode{{Connections: 16, InFlight: 128}, {Connections: 16, InFlight: 16},
		{Connections: 16, Rate: 10_000}}
}

// Options say what Run measures.
type Options struct {
	// StartBank runs the bank and says where; by default it runs in this process, which
	// shares processors and collector with the generator.
	StartBank func(ctx context.Context, f Format) (addr string, stop func() error, err error)
	// Targets are loaded in turns, in every round each. One at a time has load, all run from
	// the beginning. By default they are Direct and ThroughJPOS with Nagle's delay off,
	// which answers soonest, and on, as jPOS comes, which does most a second.
	Targets []Target
	// Modes are Modes by default.
	Modes []Mode
	// Format is ASCII by default: what the bank speaks, and targets that do not say
	// otherwise.
	Format Format
	// Rounds is 3, Duration of one load 5 s and Warmup 2 s of it by default. WarmFirst is a
	// load before the first round of each target, so that what is compiled while it runs has
	// been: 10 s by default.
	Rounds                      int
	Duration, Warmup, WarmFirst time.Duration
	Progress                    io.Writer
}

// Row is one target under one mode, over all rounds.
type Row struct {
	Target string
	Mode   Mode
	// Rounds hold the results in order.
	Rounds []*Result
}

// PerSecond returns the good answers a second of each round.
func (r *Row) PerSecond() []float64 {
	return r.each(func(x *Result) float64 { return x.PerSecond() })
}

// Quantile returns the latency at q (0 to 1) of each round in milliseconds.
func (r *Row) Quantile(q float64) []float64 {
	return r.each(func(x *Result) float64 { return ms(x.Quantile(q)) })
}

func (r *Row) each(f func(*Result) float64) []float64 {
	all := make([]float64, 0, len(r.Rounds))
	for _, x := range r.Rounds {
		all = append(all, f(x))
	}
	return all
}

// Report is what Run measured, in the order of modes and targets.
type Report struct {
	Rows []*Row
	// Skipped says which targets did not run and why.
	Skipped []string
}

// Row returns the row of a target and a mode, nil when there is none.
func (r *Report) Row(target string, m Mode) *Row {
	for _, row := range r.Rows {
		if row.Target == target && row.Mode == m {
			return row
		}
	}
	return nil
}

// WriteTo prints the medians, a line a row.
func (r *Report) WriteTo(w io.Writer) (int64, error) {
	var sum int64
	put := func(format string, args ...any) error {
		n, err := fmt.Fprintf(w, format, args...)
		sum += int64(n)
		return err
	}
	for _, row := range r.Rows {
		if err := put("%-12s %-34s %8.0f/s  p50 %7.3f ms  p99 %7.3f ms  p99.9 %7.3f ms\n",
			row.Target, row.Mode, middle(row.PerSecond()), middle(row.Quantile(0.5)),
			middle(row.Quantile(0.99)), middle(row.Quantile(0.999))); err != nil {
			return sum, err
		}
	}
	for _, s := range r.Skipped {
		if err := put("skipped: %s\n", s); err != nil {
			return sum, err
		}
	}
	return sum, nil
}

func middle(all []float64) float64 {
	if len(all) == 0 {
		return 0
	}
	all = slices.Sorted(slices.Values(all))
	return all[len(all)/2]
}

// Run loads each target in front of the same bank and reports what came of it. A load
// with an answer that is not good ends it with an error: such a figure says nothing.
func Run(ctx context.Context, o Options) (report *Report, err error) {
	o.fill()
	bank, stop, err := o.StartBank(ctx, o.Format)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	run := &comparison{o: &o, report: &Report{}}
	defer func() { err = errors.Join(err, run.stop()) }()
	for _, t := range o.Targets {
		if err := run.start(ctx, t, bank); err != nil {
			return nil, err
		}
	}
	for _, m := range o.Modes {
		for _, t := range run.up {
			run.report.Rows = append(run.report.Rows, &Row{Target: t.Name, Mode: m})
		}
	}
	for range o.Rounds {
		if err := run.round(ctx); err != nil {
			return nil, err
		}
	}
	return run.report, nil
}

func (o *Options) fill() {
	if o.Format.Spec == "" {
		o.Format = ASCII()
	}
	if o.Targets == nil {
		o.Targets = []Target{Direct(), ThroughJPOS(JPOSOptions{}),
			ThroughJPOS(JPOSOptions{Nagle: NagleBoth})}
	}
	if o.Modes == nil {
		o.Modes = Modes()
	}
	if o.Rounds == 0 {
		o.Rounds = 3
	}
	if o.Duration == 0 {
		o.Duration, o.Warmup = 5*time.Second, 2*time.Second
	}
	if o.WarmFirst == 0 {
		o.WarmFirst = 10 * time.Second
	}
	if o.StartBank == nil {
		o.StartBank = func(_ context.Context, f Format) (string, func() error, error) {
			b, err := startBank(f)
			if err != nil {
				return "", nil, err
			}
			return b.addr(), func() error { b.stop(); return nil }, nil
		}
	}
}

// BankProcess returns a StartBank that runs a command which serves a bank as ServeBank
// does, so that the bank shares no scheduler with the generator. The format is the command's.
func BankProcess(binary string, args ...string) func(context.Context, Format) (string,
	func() error, error) {
	return func(ctx context.Context, _ Format) (string, func() error, error) {
		p, err := startProcess("bank", append([]string{binary}, args...))
		if err != nil {
			return "", nil, err
		}
		addr, err := p.firstLine(ctx)
		if err != nil {
			return "", nil, err
		}
		return addr, p.end, nil
	}
}

// comparison is the state of one Run.
type comparison struct {
	o      *Options
	report *Report
	up     []running
}

// running is a target that runs.
type running struct {
	Target
	addr string
	stop func() error
}

// start runs a target and warms it up, or notes why not.
func (r *comparison) start(ctx context.Context, t Target, bank string) error {
	addr, stop, err := t.Start(ctx, bank)
	if errors.Is(err, ErrNoJPOS) || errors.Is(err, ErrSkip) {
		r.report.Skipped = append(r.report.Skipped, t.Name+": "+err.Error())
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", t.Name, err)
	}
	up := running{Target: t, addr: addr, stop: stop}
	r.up = append(r.up, up)
	most := r.o.Modes[0]
	_, err = r.load(ctx, up, most, r.o.WarmFirst, 0)
	return err
}

// stop ends the targets, the last one first.
func (r *comparison) stop() error {
	var all []error
	for _, up := range slices.Backward(r.up) {
		all = append(all, up.stop())
	}
	return errors.Join(all...)
}

func (r *comparison) round(ctx context.Context) error {
	for _, m := range r.o.Modes {
		for _, up := range r.up {
			result, err := r.load(ctx, up, m, r.o.Duration, r.o.Warmup)
			if err != nil {
				return err
			}
			row := r.report.Row(up.Name, m)
			row.Rounds = append(row.Rounds, result)
			if r.o.Progress != nil {
				_, _ = fmt.Fprintf(r.o.Progress, "%s, %s: %.0f/s, p99 %.3f ms\n", up.Name, m,
					result.PerSecond(), ms(result.Quantile(0.99)))
			}
		}
	}
	return nil
}

func (r *comparison) load(ctx context.Context, up running, m Mode, d, warm time.Duration) (*Result,
	error) {
	l := Load{Addr: up.addr, Format: r.o.Format, Connections: m.Connections,
		InFlight: m.InFlight, Rate: m.Rate, Duration: d, Warmup: warm}
	if up.Load != nil {
		up.Load(&l)
	}
	result, err := RunLoad(ctx, l)
	if up.Rest != nil {
		up.Rest(ctx)
	}
	if err == nil {
		err = result.AllGood()
	}
	if err != nil {
		return nil, fmt.Errorf("%s, %s: %w", up.Name, m, err)
	}
	return result, nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
