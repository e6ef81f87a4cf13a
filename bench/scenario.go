package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/tapswitch/tapswitch/bench/report"
)

// Options say what is run where.
type Options struct {
	// Binary is the tapswitch binary whose child processes serve.
	Binary string
	// Dir is where scratch data goes; "" is the system's temporary directory.
	Dir string
	// Names are the scenarios to run; none means all.
	Names []string
	// Size is how large they are; the zero Size is FullSize.
	Size Size
	// Quick only marks the report.
	Quick bool
	// Settings are given to every switch that is started, as "key=value".
	Settings []string
	// ProfileDir takes CPU profiles of the switch; "" takes none.
	ProfileDir string
	// Version and Commit are of the binary.
	Version, Commit string
	// Command is the command line, for the report.
	Command string
	// Progress gets a line for each step; nil for silence.
	Progress io.Writer
}

// scenario is one benchmark.
type scenario struct {
	name  string
	title string
	run   func(ctx context.Context, b *bench) error
}

// scenarios returns all scenarios in the order in which they run.
func scenarios() []scenario {
	return []scenario{
		{"tap-local", "A tap over HTTP, durable local store, against a no-op server", tapLocal},
		{"tap-redis", "A tap over HTTP, Redis store, against redis-benchmark", tapRedis},
		{"check", "The blacklist check, in memory and against Redis", check},
		{"decide", "The decision, and where a tap's time goes at 70 % of capacity", decide},
		{"batch", "Batches of 5,000 taps", batch},
		{"upload", "A gate's day of 5,000 off-line records", upload},
		{"freeze", "From a freeze call to the first refused tap, under load", freeze},
		{"desk", "A list of 100,000 freezes imported beside taps", importFreezes},
		{"polls", "Gates that poll the list of frozen cards", polls},
		{"feed", "Settled records into the warehouse", feedScenario},
		{"bank", "Bank cards through the switch, against jPOS", bankCards},
		{"finance", "Finance: cut-over beside taps, totals, console, reconciliation", finance},
		{"start", "Start with frozen cards, and memory of active cards", start},
	}
}

// Listing names one scenario.
type Listing struct{ Name, Title string }

// List returns all scenarios.
func List() []Listing {
	var all []Listing
	for _, s := range scenarios() {
		all = append(all, Listing{s.name, s.title})
	}
	return all
}

// ErrUnknown reports a scenario that does not exist.
var ErrUnknown = errors.New("unknown scenario")

// errSkip ends a scenario that cannot run here; its text says why.
var errSkip = errors.New("skipped")

// skip returns an errSkip with the reason.
func skip(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errSkip, fmt.Sprintf(format, args...))
}

// bench is one scenario at work.
type bench struct {
	*report.Section
	o    Options
	size Size
	dir  string // scratch, gone afterwards
	log  *slog.Logger
}

// say reports progress.
func (b *bench) say(format string, args ...any) {
	if b.o.Progress != nil {
		fmt.Fprintf(b.o.Progress, "%s: %s\n", b.Name, fmt.Sprintf(format, args...))
	}
}

// sized adds a line about sizes to the section.
func (b *bench) sized(format string, args ...any) {
	b.Sizes = append(b.Sizes, fmt.Sprintf(format, args...))
}

// note adds a remark to the section.
func (b *bench) note(format string, args ...any) {
	b.Notes = append(b.Notes, fmt.Sprintf(format, args...))
}

// Run runs the scenarios and returns their report. A scenario that fails is reported and
// the next one runs; the error names those that failed.
func Run(ctx context.Context, o Options) (*report.Report, error) {
	chosen, err := choose(o.Names)
	if err != nil {
		return nil, err
	}
	if o.Size.Rounds == 0 {
		o.Size = FullSize()
	}
	began := time.Now()
	r := &report.Report{
		Version: o.Version, Commit: o.Commit, Quick: o.Quick, Command: o.Command,
		Date: began.UTC().Format(time.RFC3339), Machine: report.MachineOf(o.Dir), LoadBefore: report.LoadAverage(),
	}
	var failed []string
	for _, s := range chosen {
		section := runOne(ctx, o, s)
		r.Sections = append(r.Sections, section)
		if section.Failed != "" {
			failed = append(failed, s.name+": "+section.Failed)
		}
		if ctx.Err() != nil {
			break
		}
	}
	r.Seconds = time.Since(began).Seconds()
	switch {
	case ctx.Err() != nil:
		return r, ctx.Err()
	case len(failed) > 0:
		return r, fmt.Errorf("bench: %s", strings.Join(failed, "; "))
	}
	return r, nil
}

func choose(names []string) ([]scenario, error) {
	all := scenarios()
	if len(names) == 0 {
		return all, nil
	}
	var chosen []scenario
	for _, name := range names {
		i := slices.IndexFunc(all, func(s scenario) bool { return s.name == name })
		if i < 0 {
			return nil, fmt.Errorf("%w %q: see tapswitch bench list", ErrUnknown, name)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// runOne runs a scenario in a directory of its own.
func runOne(ctx context.Context, o Options, s scenario) *report.Section {
	section := &report.Section{Name: s.name, Title: s.title, Command: "tapswitch bench " + s.name}
	if o.Quick {
		section.Command += " --quick"
	}
	began := time.Now()
	err := inScratch(o.Dir, func(dir string) error {
		b := &bench{Section: section, o: o, size: o.Size, dir: dir,
			log: slog.New(slog.DiscardHandler)}
		b.say("%s", s.title)
		return s.run(ctx, b)
	})
	section.Seconds, section.Load = time.Since(began).Seconds(), report.LoadAverage()
	switch {
	case errors.Is(err, errSkip):
		section.Skipped = strings.TrimPrefix(err.Error(), errSkip.Error()+": ")
	case err != nil:
		section.Failed = err.Error()
	}
	return section
}

// inScratch calls f with a new directory that is removed afterwards.
func inScratch(parent string, f func(dir string) error) error {
	dir, err := os.MkdirTemp(parent, "tapswitch-bench-")
	if err != nil {
		return fmt.Errorf("scratch directory: %w", err)
	}
	return errors.Join(f(dir), os.RemoveAll(dir))
}
