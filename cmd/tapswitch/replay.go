package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/config"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/faredesk"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/keyfile"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/replaytable"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/sim"
	"github.com/tapswitch/tapswitch/switch/sim/szt"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// replayJourneyMax is how long a ride of the file may take. The file's own system has
// priced and closed its rides, so that only a forgotten entry is given up.
const replayJourneyMax = 24 * time.Hour

// replayOptions are what a replay is asked to do.
type replayOptions struct {
	format string
	speed  string
	data   string
	form   cli.Output
	// reprice names the tariff that the charges are held against instead of a replay.
	reprice string
}

func replayCommand() *cobra.Command {
	var o replayOptions
	c := &cobra.Command{
		Use: "replay FILE", Short: "Drive the switch with real taps and compare the sums",
		Long: "Reads a file of tap records, plain or gzipped, enrols its cards in a switch of its " +
			"own, sends the taps in the order of time through the HTTP edge with the amounts of the " +
			"file, and holds the ledger against the file. Every difference is listed with its line " +
			"and cause; exit code 1 when one of them has no explanation.\n\n" +
			"Format szt is the data set of the Shenzhen open-data platform. A row that stands twice " +
			"is one tap, also when a file is replayed again into the same --data.\n\n" +
			"With --reprice no switch is driven: the charges of the file are held against a tariff. " +
			"Exit code 6 when it explains fewer than 99.5 % of them.",
		Example: "  tapswitch replay --format szt shenzhen-taps.csv.gz\n" +
			"  tapswitch replay --format szt --speed 600 -o json taps.csv\n" +
			"  tapswitch replay --format szt --reprice -o json taps.csv",
		Args: func(c *cobra.Command, args []string) error {
			return cli.WithCode(cli.ExitUsage, cobra.ExactArgs(1)(c, args))
		},
		RunE: func(c *cobra.Command, args []string) error {
			if _, err := o.check(); err == nil && o.reprice != "" {
				return faredesk.Reprice(c.Context(), o.reprice, args[0], o.form, c.OutOrStdout())
			}
			return runReplay(c.Context(), &o, args[0], c.OutOrStdout())
		},
	}
	flags := c.Flags()
	flags.StringVar(&o.format, "format", "szt", "format of the file: szt")
	flags.StringVar(&o.speed, "speed", "max",
		"seconds of the file in one second, or max for as fast as possible")
	flags.StringVar(&o.data, "data", "", "keep the data here (default: a directory that is removed)")
	flags.StringVar(&o.reprice, "reprice", "",
		"hold the charges against a tariff: a file as --reprice=FILE, or without one that of Shenzhen")
	flags.Lookup("reprice").NoOptDefVal = "shenzhen"
	o.form.Add(c)
	return c
}

func runReplay(ctx context.Context, o *replayOptions, file string, out io.Writer) (err error) {
	speed, err := o.check()
	if err != nil {
		return cli.WithCode(cli.ExitUsage, err)
	}
	dir, fresh, err := o.directory()
	if err != nil {
		return err
	}
	if o.data == "" {
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	show := newProgress(os.Stderr)
	defer show.close()
	sorted, err := readTaps(ctx, file, dir, show)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sorted.Close()) }()
	r := replayRun{dir: dir, speed: speed, fresh: fresh, show: show}
	report, err := r.run(ctx, sorted)
	if err != nil {
		return err
	}
	show.close()
	if err := replaytable.Write(out, o.form, report); err != nil {
		return err
	}
	if report.Approved == 0 {
		// Every row may have a cause of its own, yet nothing was held against the file.
		return cli.WithCode(cli.ExitFailed, fmt.Errorf("no row was approved: is this the file that --format %s "+
			"means, in UTF-8?", o.format))
	}
	if report.Unexplained != 0 {
		return cli.WithCode(cli.ExitFailed, fmt.Errorf("%d differences without an explanation",
			report.Unexplained))
	}
	return nil
}

func (o *replayOptions) check() (speed float64, err error) {
	if o.format != "szt" {
		return 0, fmt.Errorf("--format %q: want szt", o.format)
	}
	if o.form == cli.CSV {
		return 0, errors.New("-o: a replay prints table or json")
	}
	if o.speed == "max" {
		return 0, nil
	}
	speed, err = strconv.ParseFloat(o.speed, 64)
	if err != nil || !(speed > 0) || speed > 1e9 {
		return 0, fmt.Errorf("--speed %q: want max or a number above 0", o.speed)
	}
	return speed, nil
}

// directory returns the data directory, and whether it holds no switch yet.
func (o *replayOptions) directory() (dir string, fresh bool, err error) {
	if o.data == "" {
		dir, err = os.MkdirTemp("", "tapswitch-replay-")
		return dir, true, err
	}
	if err := os.MkdirAll(o.data, 0o700); err != nil {
		return "", false, fmt.Errorf("--data: %w", err)
	}
	_, err = os.Stat(filepath.Join(o.data, "store"))
	if errors.Is(err, fs.ErrNotExist) {
		return o.data, true, nil
	}
	return o.data, false, err
}

// readTaps reads and sorts the file; "-" is standard input.
func readTaps(ctx context.Context, file, dir string, show *progress) (*szt.Sorted, error) {
	in := os.Stdin
	if file != "-" {
		f, err := os.Open(file)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, cli.WithCode(cli.ExitNotFound, err)
		}
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	bar := show.bar("rows read", 0)
	defer bar.done()
	sorted, err := szt.Sort(ctx, in, dir, bar.set)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	bar.set(sorted.File.Rows)
	return sorted, nil
}

// replayRun is a replay into a switch in this process.
type replayRun struct {
	dir   string
	speed float64
	fresh bool
	show  *progress
}

func (r *replayRun) run(ctx context.Context, sorted *szt.Sorted) (_ *szt.Report, err error) {
	first := sorted.First
	if first.IsZero() {
		first = time.Now()
	}
	clock := szt.NewClock(first)
	n, err := newNode(ctx, nodeOptions{Config: r.config(), Log: newLog(os.Stderr, "error"),
		Now: clock.Now})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	token, err := keyfile.ReadSecret(filepath.Join(r.dir, adminTokenFile))
	if err != nil {
		return nil, fmt.Errorf("token of the first operator: %w", err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case fault := <-n.fail:
			cancel(fault)
		case <-ctx.Done():
		}
	}()
	defer func() { cancel(nil); <-watched }()
	client := sim.NewClient(sim.ClientOptions{Addr: n.GateAddr(), Now: clock.Time})
	defer client.Close()
	bar := r.show.bar("rows replayed", sorted.Rows)
	report, err := szt.Replay(ctx, sorted, szt.Options{Client: client, Token: token,
		Switch: replayNode{n}, Clock: clock, Speed: r.speed, Fresh: r.fresh, Progress: bar.set})
	bar.done()
	if err != nil && ctx.Err() != nil {
		err = errors.Join(err, context.Cause(ctx))
	}
	return report, err
}

// config is a single machine with free ports and the file's own judgement of rides.
func (r *replayRun) config() *config.Config {
	c := config.Default()
	c.DataDir, c.Listen, c.AdminListen = r.dir, "127.0.0.1:0", ""
	c.Scheme.JourneyMax, c.Scheme.JourneyLapse = replayJourneyMax, replayJourneyMax
	return &c
}

// replayNode shows a node as a replay sees it.
type replayNode struct{ *node }

var _ szt.Switch = replayNode{}

// Tick does what is due at the clock's present.
func (n replayNode) Tick(ctx context.Context) error {
	_, err := n.works.Tick(ctx)
	return err
}

// Records calls yield for every record of the ledger.
func (n replayNode) Records(ctx context.Context, yield func(*txn.Record) error) error {
	return n.wh.Records(ctx, warehouse.Filter{}, yield)
}

// Day sums the taps of the warehouse's totals.
func (n replayNode) Day(ctx context.Context, date txn.BusinessDate) (szt.Day, error) {
	t, err := n.Totals(ctx, date)
	if err != nil {
		return szt.Day{}, err
	}
	d := szt.Day{Clean: t.Clean() && t.DeadLetters == 0}
	for _, line := range t.Kinds {
		if kind, err := txn.ParseKind(line.Kind); err != nil || !kind.IsTap() {
			continue
		}
		if line.Outcome != txn.Approved.String() {
			d.Declined += line.Count
			continue
		}
		d.Approved += line.Count
		d.FullFare += txn.Minor(line.FullFare)
		d.Charged += txn.Minor(line.Charged)
	}
	return d, nil
}
