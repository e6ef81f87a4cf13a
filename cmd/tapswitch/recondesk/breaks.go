package recondesk

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/ledger/recon/book"
	"github.com/tapswitch/tapswitch/ledger/recon/layout"
	"github.com/tapswitch/tapswitch/switch/scheme"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// listed is a break as it is printed.
type listed struct {
	book.Item
	// Age is in working days.
	Age int `json:"age_working_days"`
}

func breaksCommand(ledger Ledger) *cobra.Command {
	var dir, plan, on string
	var standings []string
	var form cli.Output
	c := &cobra.Command{
		Use: "breaks", Short: "What does not agree, with cause, age and owner",
		Long: "Lists the breaks of a book, the oldest first; open and proposed ones unless --standing says " +
			"otherwise. The age is in working days of mainland China.",
		Example: "  tapswitch recon breaks --data demo-data --on 2026-11-23 -o csv",
		Args:    usage(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			day, err := dayOr(on, time.Now())
			if err != nil {
				return err
			}
			state, err := read(dir, ledger)
			if err != nil {
				return err
			}
			wanted := []book.Standing{book.Open, book.Proposed}
			if len(standings) > 0 {
				wanted = nil
				for _, s := range standings {
					wanted = append(wanted, book.Standing(s))
				}
			}
			list, err := aged(state.Breaks(plan, wanted...), day)
			if err != nil {
				return err
			}
			return printBreaks(c.OutOrStdout(), form, list)
		},
	}
	ledger.Add(c)
	form.Add(c)
	c.Flags().StringVar(&dir, "book", "", bookFlag)
	c.Flags().StringVar(&plan, "plan", "", "only those of this plan")
	c.Flags().StringVar(&on, "on", "", "the day on which ages are counted, today if not given")
	c.Flags().StringSliceVar(&standings, "standing", nil, "open, proposed, resolved, closed")
	return c
}

// chinaOffset is the calendar day's zone; China has one.
const chinaOffset = 8 * 60 * 60

func dayOr(on string, now time.Time) (txn.BusinessDate, error) {
	if on == "" {
		return txn.DateOf(now, time.FixedZone("", chinaOffset), 0), nil
	}
	day, err := txn.ParseBusinessDate(on)
	if err != nil {
		err = cli.WithCode(cli.ExitUsage, fmt.Errorf("--on: %w", err))
	}
	return day, err
}

func read(dir string, ledger Ledger) (*book.State, error) {
	dir, err := bookOr(dir, ledger)
	if err != nil {
		return nil, err
	}
	return book.Read(dir)
}

func aged(items []book.Item, day txn.BusinessDate) ([]listed, error) {
	calendar, err := scheme.BuiltInCalendar()
	if err != nil {
		return nil, err
	}
	list := []listed{}
	for _, item := range items {
		age, err := item.Age(day, calendar)
		if err != nil {
			return nil, err
		}
		list = append(list, listed{item, age})
	}
	return list, nil
}

var breakColumns = []string{"id", "opened", "age", "standing", "difference", "cause", "gap", "owner",
	"where"}

func (l *listed) columns() []string {
	return []string{l.ID, l.Opened.String(), strconv.Itoa(l.Age), string(l.Standing), string(l.Difference),
		string(l.Cause), strconv.FormatInt(l.Gap, 10), l.Owner, l.Where}
}

func printBreaks(out io.Writer, form cli.Output, list []listed) error {
	switch form {
	case cli.JSON:
		return cli.PrintJSON(out, list)
	case cli.CSV:
		w := csv.NewWriter(out)
		err := w.Write(breakColumns)
		for i := range list {
			err = errors.Join(err, w.Write(list[i].columns()))
		}
		w.Flush()
		return errors.Join(err, w.Error())
	}
	tab := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(tab, strings.ToUpper(strings.Join(breakColumns, "\t")))
	for i := range list {
		fmt.Fprintln(tab, strings.Join(list[i].columns(), "\t"))
	}
	return tab.Flush()
}

func showCommand(ledger Ledger) *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use: "show BREAK", Short: "One break with both rows, its evidence and its history",
		Example: "  tapswitch recon show 5f0c7b1e9a2d3c44 --book recon",
		Args:    usage(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			state, err := read(dir, ledger)
			if err != nil {
				return err
			}
			item, err := state.Find(args[0])
			if err != nil {
				return conflict(err)
			}
			return cli.PrintJSON(c.OutOrStdout(), item)
		},
	}
	ledger.Add(c)
	c.Flags().StringVar(&dir, "book", "", bookFlag)
	return c
}

func resolveCommand(ledger Ledger) *cobra.Command {
	var dir, by string
	var step book.Step
	c := &cobra.Command{
		Use: "resolve BREAK", Short: "Resolve a break, or give it to somebody, comment, confirm, reopen",
		Long: "Writes a step into the break's history. A resolution is paid, corrected, explained or " +
			"written_off, with a note that says why; a write-off counts once another person confirms it. " +
			"No money is moved: that is an adjustment in the ledger.",
		Example: "  tapswitch recon resolve 5f0c7b1e9a2d3c44 --book recon --by lan --as paid --note 'voucher 7'\n" +
			"  tapswitch recon resolve 5f0c7b1e9a2d3c44 --book recon --by mei --action confirm",
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if by == "" {
				return cli.WithCode(cli.ExitUsage, errors.New("--by must be given"))
			}
			book, err := bookOr(dir, ledger)
			if err != nil {
				return err
			}
			step.Break = args[0]
			return resolve(c.OutOrStdout(), book, by, step)
		},
	}
	ledger.Add(c)
	f := c.Flags()
	f.StringVar(&dir, "book", "", bookFlag)
	f.StringVar(&by, "by", "", "who does it; must be given")
	f.StringVar(&step.Action, "action", book.Resolve, "resolve, assign, comment, confirm, reject or reopen")
	f.StringVar(&step.Resolution, "as", "", "paid, corrected, explained or written_off")
	f.StringVar(&step.Owner, "owner", "", "whom it is given to")
	f.StringVar(&step.Note, "note", "", "why")
	return c
}

func resolve(out io.Writer, dir, by string, step book.Step) error {
	b, err := book.OpenBook(dir)
	if err != nil {
		return conflict(err)
	}
	err = b.Do(step, actor(by))
	item, found := b.State().Find(step.Break)
	if err := errors.Join(err, b.Close()); err != nil {
		return conflict(err)
	}
	if found != nil {
		return conflict(found)
	}
	_, err = fmt.Fprintf(out, "break %s is %s\n", item.ID, item.Standing)
	return err
}

func lintCommand() *cobra.Command {
	return &cobra.Command{
		Use: "lint FILE...", Short: "Check layouts and plans",
		Long:    "Checks layouts and plans as a whole. Exit code 6 when one is wrong, each fault with file and line.",
		Example: "  tapswitch recon lint clearing-fixed mine.yaml",
		Args:    usage(cobra.MinimumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			for _, name := range args {
				from, content, err := text(name)
				if err != nil {
					return err
				}
				kind, called, err := layout.Lint(from, content)
				if err != nil {
					return cli.WithCode(cli.ExitBreaks, err)
				}
				if _, err := fmt.Fprintf(c.OutOrStdout(), "%s: ok: %s %s\n", from, kind, called); err != nil {
					return err
				}
			}
			return nil
		},
	}
}
