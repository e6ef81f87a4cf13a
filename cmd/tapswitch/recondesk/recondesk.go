// Package recondesk holds the commands of reconciliation: run compares the ledger with the files
// of a counterparty and the claims of terminals and operators, breaks and show list what does
// not agree, resolve works on it, lint checks layouts and plans, and bench measures a run.
//
// Nothing here moves money or needs a running switch. A layout or plan is a file, or the name
// of one that the binary carries. What is kept lies in the folder of --book; a dry run keeps
// nothing. Amounts are minor units, as the ledger has them.
package recondesk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/deploy"
	"github.com/tapswitch/tapswitch/ledger/recon"
	"github.com/tapswitch/tapswitch/ledger/recon/book"
	"github.com/tapswitch/tapswitch/ledger/recon/intake"
	"github.com/tapswitch/tapswitch/ledger/recon/layout"
	"github.com/tapswitch/tapswitch/ledger/recon/run"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Ledger is the warehouse of the configuration.
type Ledger interface {
	// Add gives a command the flags that choose the warehouse.
	Add(c *cobra.Command)
	// Open opens it for reading, beside a switch that may be running. The caller calls the
	// function once it has read; an error has the exit code of its cause.
	Open(ctx context.Context) (warehouse.Reader, func() error, error)
	// Book is the folder of the breaks that the console shows; an error has its exit code.
	Book() (string, error)
}

// bookFlag is what --book says in the help of every command that has it.
const bookFlag = "folder of the breaks (default DATA/recon, which the console shows)"

// bookOr is the folder that was given, or the one that the console shows.
func bookOr(dir string, ledger Ledger) (string, error) {
	if dir != "" {
		return dir, nil
	}
	return ledger.Book()
}

// Recon returns the command "recon" with those below it; run reads the ledger.
func Recon(ledger Ledger) *cobra.Command {
	c := &cobra.Command{Use: "recon",
		Short: "Reconcile the ledger with counterparties, and work on what differs"}
	c.AddCommand(runCommand(ledger), breaksCommand(ledger), showCommand(ledger), resolveCommand(ledger),
		lintCommand(),
		benchCommand())
	return c
}

// usage gives an error of the arguments its exit code.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		return cli.WithCode(cli.ExitUsage, check(c, args))
	}
}

// text reads a layout or plan: a file, or, without a dot or slash, one that the binary carries.
func text(name string) (file string, content []byte, err error) {
	if !strings.ContainsAny(name, "./\\") {
		if content, err = fs.ReadFile(deploy.Recon(), name+".yaml"); err != nil {
			known, _ := fs.Glob(deploy.Recon(), "*.yaml")
			return "", nil, cli.WithCode(cli.ExitNotFound, fmt.Errorf("no layout or plan is called %q; known are "+
				"%s, or give a file", name, strings.ReplaceAll(strings.Join(known, ", "), ".yaml", "")))
		}
		return name + ".yaml", content, nil
	}
	if content, err = os.ReadFile(name); errors.Is(err, fs.ErrNotExist) {
		err = cli.WithCode(cli.ExitNotFound, err)
	}
	return name, content, err
}

// order is what the command run is asked for.
type order struct {
	plan, day, book, out, by, suffix, dir string
	from                                  string
	ours, theirs, third                   []string
	claims, batches                       []string
	dry                                   bool
	workers                               int
	form                                  cli.Output
}

func runCommand(ledger Ledger) *cobra.Command {
	var o order
	c := &cobra.Command{
		Use: "run", Short: "Reconcile one business date with one counterparty",
		Long: "Matches the ledger's records of a date, and what earlier runs left open, with a " +
			"counterparty's files by the rules of a plan. Files of operators (--third) and totals of " +
			"terminals (--claims, --batches) say which of three disagrees; totals that no row explains are " +
			"breaks too. Files are named " +
			"LAYOUT:FILE. The report goes to --out; breaks are kept in --book, which is the console's, " +
			"unless it is a dry run. " +
			"The same input gives the same bytes. Exit code 6 when there are breaks.",
		Example: "  tapswitch recon run --plan plan-clearing --day 2026-11-20 \\\n" +
			"    --theirs clearing-fixed:20261120.txt --batches batches.json --by lan --out report\n" +
			"  tapswitch recon run --plan plan-bank --day 2026-11-20 --theirs camt053:20261120.xml --dry-run",
		Args: usage(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if !o.dry && o.by == "" {
				return cli.WithCode(cli.ExitUsage, errors.New("--by must be given, or --dry-run"))
			}
			var err error
			if o.book, err = bookOr(o.book, ledger); err != nil {
				return err
			}
			return o.run(c.Context(), ledger, c.OutOrStdout())
		},
	}
	ledger.Add(c)
	o.form.Add(c)
	f := c.Flags()
	f.StringVar(&o.plan, "plan", "", "plan: a file, or plan-clearing or plan-bank")
	f.StringVar(&o.day, "day", "", "business date, YYYY-MM-DD; must be given")
	f.StringVar(&o.from, "from", "", "first business date of the ledger's records, --day if not given")
	f.StringArrayVar(&o.theirs, "theirs", nil, "LAYOUT:FILE of the counterparty; may be repeated")
	f.StringArrayVar(&o.ours, "ours", nil, "LAYOUT:FILE to read instead of the ledger; may be repeated")
	f.StringArrayVar(&o.third, "third", nil, "LAYOUT:FILE of operators, the third side; may be repeated")
	f.StringArrayVar(&o.claims, "claims", nil, "LAYOUT:FILE of totals claimed; may be repeated")
	f.StringArrayVar(&o.batches, "batches", nil, "batches that terminals settled, JSON of the admin address's /bank/batches")
	f.StringVar(&o.suffix, "terminal-suffix", "", "cut off the ledger's terminal ids: the inlet's code")
	f.StringVar(&o.book, "book", "", bookFlag)
	f.StringVar(&o.out, "out", "", "folder of the report")
	f.StringVar(&o.dir, "spill", "", "folder for spill files, the system's if not given")
	f.StringVar(&o.by, "by", "", "who runs it")
	f.BoolVar(&o.dry, "dry-run", false, "match and report; keep nothing")
	f.IntVar(&o.workers, "workers", 2, "partitions that are matched at once")
	return c
}

// run reconciles, reports and keeps.
func (o *order) run(ctx context.Context, ledger Ledger, out io.Writer) error {
	options, done, err := o.options(ctx, ledger)
	if err != nil {
		return err
	}
	res, err := run.Run(ctx, *options)
	if err := errors.Join(err, done()); err != nil {
		return err
	}
	files, err := res.Report()
	if err != nil {
		return err
	}
	if o.out != "" {
		if err := run.Write(o.out, files); err != nil {
			return err
		}
	}
	kept := book.Kept{}
	if !o.dry {
		if kept, err = o.keep(res, run.Digest(files)); err != nil {
			return err
		}
	}
	if err := o.print(out, res, files, &kept); err != nil {
		return err
	}
	if n := len(res.Breaks); n > 0 {
		return cli.WithCode(cli.ExitBreaks, fmt.Errorf("%d breaks on %s", n, res.Date))
	}
	return nil
}

func (o *order) keep(res *run.Result, digest string) (book.Kept, error) {
	b, err := book.OpenBook(o.book)
	if err != nil {
		return book.Kept{}, conflict(err)
	}
	kept, err := b.Keep(res, digest, actor(o.by))
	return kept, conflict(errors.Join(err, b.Close()))
}

func actor(name string) book.Actor {
	return book.Actor{Name: name, At: txn.MillisOf(time.Now())}
}

// conflict gives refusals of the book their exit codes.
func conflict(err error) error {
	switch {
	case errors.Is(err, book.ErrNotFound):
		return cli.WithCode(cli.ExitNotFound, err)
	case errors.Is(err, book.ErrInUse), errors.Is(err, book.ErrLaterRun), errors.Is(err, book.ErrStanding),
		errors.Is(err, book.ErrSamePerson):
		return cli.WithCode(cli.ExitConflict, err)
	case errors.Is(err, book.ErrStep):
		return cli.WithCode(cli.ExitUsage, err)
	}
	return err
}

// options reads everything that is named; done closes the ledger.
func (o *order) options(ctx context.Context, ledger Ledger) (_ *run.Options, done func() error, err error) {
	done = func() error { return nil }
	day, err := txn.ParseBusinessDate(o.day)
	if err != nil {
		return nil, done, cli.WithCode(cli.ExitUsage, fmt.Errorf("--day: %w", err))
	}
	from := day
	if o.from != "" {
		if from, err = txn.ParseBusinessDate(o.from); err != nil || from > day {
			return nil, done, cli.WithCode(cli.ExitUsage, errors.New("--from: want a date up to --day"))
		}
	}
	if o.plan == "" {
		return nil, done, cli.WithCode(cli.ExitUsage, errors.New("--plan must be given, such as plan-clearing"))
	}
	name, content, err := text(o.plan)
	if err != nil {
		return nil, done, err
	}
	options := &run.Options{Day: day, Dir: o.dir, Workers: o.workers}
	if options.Plan, err = layout.ReadPlan(name, content); err != nil {
		return nil, done, cli.WithCode(cli.ExitUsage, err)
	}
	err = o.files(ctx, options, day)
	if err == nil && o.book != "" {
		options.Carried, err = book.Carried(o.book, options.Plan.Name, day)
	}
	if err != nil || len(o.ours) > 0 {
		return options, done, err
	}
	reader, done, err := ledger.Open(ctx)
	options.Ours = []recon.Source{&intake.Ledger{Reader: reader, From: from, To: day, Suffix: o.suffix}}
	return options, done, err
}

// files opens what is named LAYOUT:FILE.
func (o *order) files(ctx context.Context, options *run.Options, day txn.BusinessDate) error {
	for _, list := range []struct {
		names []string
		to    *[]recon.Source
	}{{o.ours, &options.Ours}, {o.theirs, &options.Theirs}, {o.third, &options.Third}} {
		for _, name := range list.names {
			f, err := file(name, day)
			if err != nil {
				return err
			}
			*list.to = append(*list.to, f)
		}
	}
	for _, name := range o.claims {
		f, err := file(name, day)
		if err != nil {
			return err
		}
		claims, err := f.Claims(ctx)
		if err != nil {
			return err
		}
		options.Claims = append(options.Claims, claims...)
	}
	for _, name := range o.batches {
		claims, err := batches(name, o.suffix)
		if err != nil {
			return err
		}
		options.Claims = append(options.Claims, claims...)
	}
	return nil
}

func file(name string, day txn.BusinessDate) (*layout.File, error) {
	by, path, ok := strings.Cut(name, ":")
	if !ok || path == "" {
		return nil, cli.WithCode(cli.ExitUsage, fmt.Errorf("%q: want LAYOUT:FILE, such as clearing-fixed:20261120.txt", name))
	}
	from, content, err := text(by)
	if err != nil {
		return nil, err
	}
	l, err := layout.Read(from, content)
	if err != nil {
		return nil, cli.WithCode(cli.ExitUsage, err)
	}
	if _, err := os.Stat(path); err != nil {
		return nil, cli.WithCode(cli.ExitNotFound, err)
	}
	return &layout.File{Layout: l, Path: path, Day: day,
		Open: func() (io.ReadCloser, error) { return os.Open(path) }}, nil
}

func batches(name, suffix string) (_ []recon.Claim, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, cli.WithCode(cli.ExitNotFound, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	claims, err := intake.Batches(f, suffix)
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return claims, err
}

// print shows the result: the summary as JSON, the breaks as CSV, or both at a glance.
func (o *order) print(out io.Writer, res *run.Result, files []run.File, kept *book.Kept) error {
	switch o.form {
	case cli.JSON:
		_, err := out.Write(files[0].Text)
		return err
	case cli.CSV:
		_, err := out.Write(files[1].Text)
		return err
	}
	tab := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintf(tab, "plan\t%s\nday\t%s\n\n\trows\tminor\tmatched\tcancelled\tleft\tfree\tunreadable\n", res.Plan, res.Date)
	for side, s := range res.Sides {
		fmt.Fprintf(tab, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\n", recon.Side(side), s.Rows, s.Amount, s.Matched,
			s.Cancelled, s.Left, s.Free, s.Held)
	}
	if counts := res.Counts(); len(counts) > 0 {
		fmt.Fprint(tab, "\ndifference\tcause\tdisagrees\tbreaks\tgap\n")
		for _, c := range counts {
			fmt.Fprintf(tab, "%s\t%s\t%s\t%d\t%d\n", c.Difference, c.Cause, c.Odd, c.Breaks, c.Gap)
		}
	}
	odd := map[recon.Party]int{}
	for _, a := range res.Accounts {
		odd[a.Odd]++
	}
	if len(res.Accounts) > 0 {
		fmt.Fprintf(tab, "\nclaims\t%d\nagree\t%d\nledger disagrees\t%d\ncounterparty disagrees\t%d\n"+
			"claim disagrees\t%d\nall differ\t%d\n", len(res.Accounts), odd[recon.NoParty], odd[recon.Ledger],
			odd[recon.Counterparty], odd[recon.Claims], odd[recon.Everyone])
	}
	switch {
	case kept.Fresh:
		fmt.Fprintf(tab, "\nrun\t%d: %d breaks opened, %d closed\n", kept.Run.Number, kept.Opened, kept.Closed)
	case kept.Run.Number > 0:
		fmt.Fprintf(tab, "\nrun\t%d, the same result as before\n", kept.Run.Number)
	}
	return tab.Flush()
}
