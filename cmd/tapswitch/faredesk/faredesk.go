// Package faredesk holds the commands about tariffs: lint checks files, explain prices taps
// step by step, import-gtfs makes a tariff of a feed, what-if prices a past day of the ledger
// with another tariff, and Reprice holds real charges against one for the replay command.
// ReadBook and Adopt read the tariff of a switch.
//
// Correct and sell-pass are clients of a running gate and move money there, once: a request
// that nobody has heard the end of is repeated with what the error says. All others need no
// running switch. Numbers of cards are never printed. A tariff is a file, or the name of one
// that the binary carries. Amounts are printed in minor units, as the tariff has them.
package faredesk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/deploy"
	"github.com/tapswitch/tapswitch/switch/fare/price"
	"github.com/tapswitch/tapswitch/switch/fare/tariff"
	"github.com/tapswitch/tapswitch/switch/sim/szt"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// shareMin is the share of charges below which a repricing fails.
const shareMin = 0.995

// Fare returns the command "fare" with those below it; what-if reads the ledger.
func Fare(ledger Ledger) *cobra.Command {
	c := &cobra.Command{Use: "fare", Short: "Check tariffs and explain what rides cost"}
	c.AddCommand(lintCommand(), explainCommand(), importCommand(), whatIfCommand(ledger),
		correctCommand(), passCommand())
	return c
}

// usage gives an error of the arguments its exit code.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		return cli.WithCode(cli.ExitUsage, check(c, args))
	}
}

// open reads a tariff file; a name without a dot or slash is one that the binary carries.
func open(name string) (tariff.Source, error) {
	if !strings.ContainsAny(name, "./\\") {
		text, err := fs.ReadFile(deploy.Tariffs(), name+".yaml")
		if err != nil {
			return tariff.Source{}, cli.WithCode(cli.ExitNotFound, fmt.Errorf("no tariff is called %q; "+
				"known are shenzhen and example, or give a file", name))
		}
		return tariff.Source{Name: name + ".yaml", Text: text}, nil
	}
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		err = cli.WithCode(cli.ExitNotFound, err)
	}
	return tariff.Source{Name: name, Text: text}, err
}

// ReadBook reads a tariff: a file, or a directory whose YAML files are its versions.
func ReadBook(path string) (*tariff.Book, error) { return load([]string{path}) }

// load makes a book of tariff files; one that is refused has the exit code of breaks.
func load(names []string) (*tariff.Book, error) {
	sources, err := read(names)
	if err != nil {
		return nil, err
	}
	book, err := tariff.Load(sources...)
	return book, cli.WithCode(cli.ExitBreaks, err)
}

// read reads tariff files; a directory stands for its YAML files.
func read(names []string) ([]tariff.Source, error) {
	var sources []tariff.Source
	for _, name := range names {
		files := []string{name}
		if info, err := os.Stat(name); err == nil && info.IsDir() {
			if files, err = filepath.Glob(filepath.Join(name, "*.y*ml")); err != nil || len(files) == 0 {
				return nil, cli.WithCode(cli.ExitNotFound, fmt.Errorf("%s: no YAML file in it; put one for "+
					"each version of the tariff there", name))
			}
		}
		for _, file := range files {
			s, err := open(file)
			if err != nil {
				return nil, err
			}
			sources = append(sources, s)
		}
	}
	return sources, nil
}

func lintCommand() *cobra.Command {
	var was []string
	var closed, data string
	c := &cobra.Command{
		Use: "lint FILE|DIR...", Short: "Check the files of one tariff, all its versions",
		Long: "Checks that the files are a tariff: nothing unknown in them, nothing that contradicts " +
			"itself, no gap in fares or between versions. A directory stands for its YAML files. With " +
			"--data no version may differ, on a day that has ended, from the tariff by which the switch " +
			"of that data directory charges; with --closed, from that of --was on a day that is closed. " +
			"Exit code 6 when something is wrong, each with file and line.",
		Example: "  tapswitch fare lint 2026.yaml 2027.yaml\n" +
			"  tapswitch fare lint --data tapswitch-data tariffs\n" +
			"  tapswitch fare lint --closed 2026-09-01 --was old/2026.yaml 2026.yaml 2027.yaml",
		Args: usage(cobra.MinimumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if data != "" {
				book, err := load(args)
				if err != nil {
					return err
				}
				if err := checkKept(book, data, txn.MillisOf(time.Now())); err != nil {
					return err
				}
			}
			return lint(c.OutOrStdout(), args, was, closed)
		},
	}
	c.Flags().StringVar(&data, "data", "", "data directory of the switch that is to charge by it")
	c.Flags().StringArrayVar(&was, "was", nil, "a file of the tariff in force until now; may be repeated")
	c.Flags().StringVar(&closed, "closed", "", "the last business date that is closed, YYYY-MM-DD")
	return c
}

func lint(out io.Writer, files, was []string, closed string) error {
	if len(was) > 0 && closed == "" {
		return cli.WithCode(cli.ExitUsage, errors.New("--was needs --closed, the last closed date"))
	}
	book, err := load(files)
	if err != nil {
		return err
	}
	if closed != "" {
		day, err := txn.ParseBusinessDate(closed)
		if err != nil {
			return cli.WithCode(cli.ExitUsage, fmt.Errorf("--closed: %w", err))
		}
		var old *tariff.Book
		if len(was) > 0 {
			if old, err = load(was); err != nil {
				return fmt.Errorf("--was: %w", err)
			}
		}
		if err := book.Check(old, day); err != nil {
			return cli.WithCode(cli.ExitBreaks, err)
		}
	}
	for _, v := range book.Versions() {
		e := v.Tariff.File().Effective
		until := e.Until.String()
		if e.Until == 0 {
			until = "on"
		}
		fmt.Fprintf(out, "%s: ok: tariff %s, version %s, %v %s\n", v.File, v.Name(), v.Version(), e.From,
			until)
	}
	return nil
}

// Reprice holds the charges of a file of real taps against a tariff and prints what it
// explains; fewer than 99.5 % are an error with the exit code of breaks. File "-" is standard
// input.
func Reprice(ctx context.Context, name, file string, form cli.Output, out io.Writer) (err error) {
	book, err := load([]string{name})
	if err != nil {
		return err
	}
	in := os.Stdin
	if file != "-" {
		if in, err = os.Open(file); errors.Is(err, fs.ErrNotExist) {
			return cli.WithCode(cli.ExitNotFound, err)
		} else if err != nil {
			return err
		}
		defer in.Close()
	}
	dir, err := os.MkdirTemp("", "tapswitch-reprice-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	sorted, err := szt.Sort(ctx, in, dir, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	defer func() { err = errors.Join(err, sorted.Close()) }()
	r, err := szt.Reprice(ctx, sorted, book.Versions()[0].Tariff)
	if err != nil {
		return err
	}
	if form == cli.JSON {
		err = cli.PrintJSON(out, r)
	} else {
		err = writeRepriced(out, r)
	}
	switch {
	case err != nil:
		return err
	case r.Charges == 0:
		return cli.WithCode(cli.ExitFailed, errors.New("the file holds no charge"))
	case r.Share < shareMin:
		return cli.WithCode(cli.ExitBreaks, fmt.Errorf("the tariff explains %d of %d charges, want %.1f %%",
			r.Explained, r.Charges, shareMin*100))
	}
	return nil
}

func writeRepriced(out io.Writer, r *szt.Repriced) error {
	tab := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintf(tab, "tariff\t%s, version %s\nrows\t%d\ncharges\t%d\nexplained\t%d\nshare\t%.4f %%\n",
		r.Tariff, r.Version, r.Rows, r.Charges, r.Explained, r.Share*100)
	for _, by := range slices.Sorted(maps.Keys(r.By)) {
		fmt.Fprintf(tab, "  %s\t%d\n", by, r.By[by])
	}
	for _, cause := range slices.Sorted(maps.Keys(r.Differences)) {
		u := r.Differences[cause]
		fmt.Fprintf(tab, "not explained: %s\t%d\n", cause, u.Count)
		for _, row := range u.Rows[:min(len(u.Rows), 5)] {
			what := fmt.Sprintf("an ordinary rider %d", row.Want)
			if row.Reason != "" {
				what = row.Reason
			}
			fmt.Fprintf(tab, "  line %d\tfull %d, charged %d, %s\n", row.Line, row.FullFare, row.Charged, what)
		}
	}
	return tab.Flush()
}

// explained is one priced tap as it is printed.
type explained struct {
	Tap    string       `json:"tap"`
	Reason string       `json:"refused,omitempty"`
	Full   txn.Minor    `json:"full_minor"`
	Paid   txn.Minor    `json:"charged_minor"`
	Day    txn.Minor    `json:"day_minor"` // what rides of the service day have cost so far
	Parts  []price.Part `json:"parts,omitempty"`
}
