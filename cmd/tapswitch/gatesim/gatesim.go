// Package gatesim is the command that lets simulated gates work against a switch. It sets a
// world up where there is none, runs gates of it until each has done its taps, and prints what
// they did. It decides nothing; see switch/sim/gatesim.
package gatesim

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/call"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/switch/sim/gatesim"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// flags are what the gates are asked to do.
type flags struct {
	url, dir, tokenFile string
	setup               gatesim.Setup
	start               time.Duration
	interval, skew      time.Duration
	balance             int64
	gate, first, last   int
	run                 gatesim.Options
	setUpOnly           bool
	form                cli.Output
}

// Command returns the command gate-sim.
func Command() *cobra.Command {
	var o flags
	c := &cobra.Command{
		Use: "gate-sim", Short: "Let gates serve cards off line and upload later",
		Long: "Gates that behave like real ones: a queue on disk that survives a kill, lists, " +
			"parameters and tariffs downloaded and verified, decisions off line, clocks that are off, " +
			"lost networks, uploads in batches that are interrupted, repeated and resumed. A first run " +
			"in a directory registers the gates and enrols and loads their cards, which takes an " +
			"operator's token; later runs go on where the gates stopped. The plan (who taps when, when " +
			"the network is lost) depends on the seed alone. With --metro the last gates are a city's: " +
			"stations, buses and trams to which the same cards come, with transfers, business class and " +
			"torn taps that are proved later; they run together.\n\nPrints for each gate what it did: " +
			"settled is what the switch must have booked for it. Exit code 6 when a gate's own figures " +
			"do not add up or the switch refused records of it, 1 when a gate could not go on or " +
			"records still wait.",
		Example: "  tapswitch gate-sim --dir gates --token-file data/admin.token --gates 10 --taps 200\n" +
			"  tapswitch gate-sim --dir city --token-file data/admin.token --gates 8 --metro 6 --seed 2\n" +
			"  tapswitch gate-sim --dir gates --taps 400 --gate 3 -o json   # goes on, one gate alone\n" +
			"  tapswitch ledger totals --day 2026-11-22                     # operator GATESIM",
		Args: func(c *cobra.Command, args []string) error {
			return cli.WithCode(cli.ExitUsage, cobra.NoArgs(c, args))
		},
		RunE: func(c *cobra.Command, _ []string) error { return o.execute(c) },
	}
	o.add(c)
	return c
}

func (o *flags) add(c *cobra.Command) {
	f, s := c.Flags(), &o.setup
	url := cmp.Or(os.Getenv(call.URLEnv), call.DefaultURL)
	f.StringVar(&o.url, "url", url, "address of the switch ("+call.URLEnv+")")
	f.StringVar(&o.dir, "dir", "", "directory of the gates; needed")
	f.StringVar(&o.tokenFile, "token-file", "",
		"file with an operator's token for the first run (else "+call.TokenEnv+")")
	f.IntVar(&o.run.Taps, "taps", 100, "tap of the plan up to which each gate goes")
	f.IntVar(&o.gate, "gate", 0, "number of the one gate to run, from 1; 0 for all")
	f.IntVar(&o.first, "from-gate", 0, "number of the first gate to run")
	f.IntVar(&o.last, "to-gate", 0, "number of the last gate to run")
	f.DurationVar(&o.run.Every, "every", 0, "the machine's time between two taps of a gate")
	f.BoolVar(&o.run.Undrained, "undrained", false, "stop without uploading what waits")
	f.DurationVar(&o.run.DrainFor, "drain-for", time.Minute, "how long the end waits for the network")
	f.BoolVar(&o.run.NoSync, "no-sync", false, "do not wait for the disk: safe from kills, not from power cuts")
	f.StringVar((*string)(&o.run.Form), "upload", "frame",
		"form of uploads: frame (/v1/uploads, with TACs) or taps (/v1/taps:batch)")
	f.BoolVar(&o.setUpOnly, "set-up", false, "set the gates up and stop")

	f.Uint64Var(&s.Seed, "seed", 1, "first run: what decides the plan")
	f.IntVar(&s.Gates, "gates", 10, "first run: how many gates")
	f.IntVar(&s.Cards, "cards", 20, "first run: cards of each gate")
	f.DurationVar(&o.start, "start", -2*time.Hour, "first run: when the plan begins, from now")
	f.DurationVar(&o.interval, "interval", 30*time.Second, "first run: time of the plan between two taps")
	f.Int64Var(&o.balance, "balance", 100_000, "first run: fen on each card")
	f.DurationVar(&o.skew, "skew", 20*time.Second, "first run: most that a gate's clock is off")
	f.Int64Var(&s.Drift, "drift", 50, "first run: most that it drifts, in millionths")
	f.IntVar(&s.OutageEvery, "outage-every", 100, "first run: one loss of the network in so many taps")
	f.IntVar(&s.OutageTaps, "outage-taps", 40, "first run: how many taps it lasts at most")
	f.IntVar(&s.Repeats, "repeats", 500, "first run: batches of 10,000 that are sent twice")
	f.IntVar(&s.Metro, "metro", 0, "first run: how many of the gates, the last ones, are of a city with a metro")
	f.IntVar(&s.Tears, "tears", 200, "first run: debits of 10,000 at these that are torn")
	o.form = cli.Table
	f.VarP(&o.form, "output", "o", "table or json")
}

// execute runs the command.
func (o *flags) execute(c *cobra.Command) error {
	if o.dir == "" {
		return cli.WithCode(cli.ExitUsage, errors.New("--dir is needed"))
	}
	if o.run.Form != gatesim.FormFrame && o.run.Form != gatesim.FormTaps {
		return cli.WithCode(cli.ExitUsage, fmt.Errorf("--upload %.16q: want frame or taps", o.run.Form))
	}
	if o.first > 0 && o.last > 0 && o.first > o.last {
		return cli.WithCode(cli.ExitUsage, fmt.Errorf("--from-gate %d is behind --to-gate %d", o.first, o.last))
	}
	world, err := o.world(c)
	if err != nil || o.setUpOnly {
		return err
	}
	gates, err := o.gates(world)
	if err != nil {
		return cli.WithCode(cli.ExitUsage, err)
	}
	o.run.World, o.run.Addr, o.run.Dir = world, o.url, o.dir
	reports, err := gatesim.Run(c.Context(), gates, o.run)
	switch {
	case errors.Is(err, gatesim.ErrNoList):
		err = gatesim.ErrNoList // of every gate the same
	case errors.Is(err, gatesim.ErrSetup):
		return cli.WithCode(cli.ExitUsage, err)
	}
	return errors.Join(err, o.print(c.OutOrStdout(), reports), verdict(reports, o.run.Undrained))
}

// world opens the world of the directory, or sets one up.
func (o *flags) world(c *cobra.Command) (*gatesim.World, error) {
	w, err := gatesim.OpenWorld(o.dir)
	if err == nil {
		for _, name := range o.ignored(c, w) {
			fmt.Fprintf(c.ErrOrStderr(), "--%s is not followed: %s was set up with another value; "+
				"take another directory and --seed for other gates\n", name, o.dir)
		}
	}
	if err == nil || !errors.Is(err, os.ErrNotExist) {
		return w, err
	}
	token, err := call.Token(o.tokenFile)
	if err != nil {
		return nil, err
	}
	s := o.asked()
	s.Base = txn.MillisOf(time.Now().Add(o.start).Truncate(time.Second))
	w, err = gatesim.Provision(c.Context(), o.url, token, o.dir, s)
	if errors.Is(err, gatesim.ErrSetup) {
		return nil, cli.WithCode(cli.ExitUsage, err)
	}
	return w, err
}

// asked is the setup that the flags ask for, but for when it begins.
func (o *flags) asked() gatesim.Setup {
	s := o.setup
	s.Interval, s.Skew = txn.Millis(o.interval.Milliseconds()), txn.Millis(o.skew.Milliseconds())
	s.Balance = txn.Minor(o.balance)
	return s
}

// ignored names the flags of a first run that were given and differ from what the directory was
// set up with. When the plan began is never asked again.
func (o *flags) ignored(given *cobra.Command, w *gatesim.World) (names []string) {
	a, has := o.asked(), &w.Setup
	for _, f := range []struct {
		name   string
		differ bool
	}{
		{"seed", a.Seed != has.Seed}, {"gates", a.Gates != has.Gates}, {"cards", a.Cards != has.Cards},
		{"start", true}, {"interval", a.Interval != has.Interval}, {"balance", a.Balance != has.Balance},
		{"skew", a.Skew != has.Skew}, {"drift", a.Drift != has.Drift},
		{"outage-every", a.OutageEvery != has.OutageEvery},
		{"outage-taps", a.OutageTaps != has.OutageTaps}, {"repeats", a.Repeats != has.Repeats},
		{"metro", a.Metro != has.Metro}, {"tears", a.Tears != has.Tears},
	} {
		if f.differ && given.Flags().Changed(f.name) {
			names = append(names, f.name)
		}
	}
	return names
}

// gates returns the numbers of the gates to run, from 0.
func (o *flags) gates(w *gatesim.World) ([]int, error) {
	first, last := max(o.first, 1), cmp.Or(o.last, w.Gates)
	if o.gate != 0 {
		first, last = o.gate, o.gate
	}
	switch {
	case o.gate != 0 && (o.gate < 1 || o.gate > w.Gates):
		return nil, fmt.Errorf("--gate %d: there are gates 1 to %d", o.gate, w.Gates)
	case o.first < 0 || first > w.Gates:
		return nil, fmt.Errorf("--from-gate %d: there are gates 1 to %d", o.first, w.Gates)
	case last < 1 || last > w.Gates:
		return nil, fmt.Errorf("--to-gate %d: there are gates 1 to %d", o.last, w.Gates)
	case first > last:
		return nil, fmt.Errorf("--from-gate %d is behind --to-gate %d", first, last)
	}
	var all []int
	for n := first; n <= last; n++ {
		all = append(all, n-1)
	}
	return all, nil
}

// verdict is what the exit code says.
func verdict(reports []*gatesim.Report, undrained bool) error {
	for _, r := range reports {
		switch {
		case !r.Balanced():
			return cli.WithCode(cli.ExitBreaks, fmt.Errorf("gate %s: its figures do not add up", r.Gate))
		case r.Rejected > 0:
			return cli.WithCode(cli.ExitBreaks, fmt.Errorf("gate %s: %d records rejected", r.Gate, r.Rejected))
		case r.Waiting > 0 && !undrained:
			return fmt.Errorf("gate %s: %d records wait", r.Gate, r.Waiting)
		}
	}
	return nil
}

func (o *flags) print(w io.Writer, reports []*gatesim.Report) error {
	total := gatesim.Total(reports)
	if o.form == cli.JSON {
		return cli.PrintJSON(w, struct {
			Gates []*gatesim.Report `json:"gates"`
			Total *gatesim.Report   `json:"total"`
		}{reports, total})
	}
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "gate\ttaps\tserved\tfen\tsettled\tfen\tknown\trejected\theld\tfen\tnot debited\twaiting\tboots\tfaults\tlist\tpassed")
	for _, r := range append(reports, total) {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%s\n", cmp.Or(r.Gate, "all"), r.Taps,
			r.Served, r.ServedFen, r.Settled, r.SettledFen, r.Known, r.Rejected, r.Held, r.HeldFen,
			r.Undebited, r.Waiting, r.Boots, r.Did.Faults, r.ListEpoch, counts(r.Passed))
	}
	return t.Flush()
}

// counts writes reasons with their numbers.
func counts(m map[string]int) string {
	text := ""
	for _, why := range slices.Sorted(maps.Keys(m)) {
		text += fmt.Sprintf("%s:%d ", why, m[why])
	}
	return text
}
