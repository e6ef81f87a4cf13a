package finance

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/ledger/settle/day"
	"github.com/tapswitch/tapswitch/ledger/settle/fund"
	"github.com/tapswitch/tapswitch/ledger/settle/journal"
	"github.com/tapswitch/tapswitch/ledger/settle/pack"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Settle returns the command "settle".
func Settle(source Source) *cobra.Command {
	c := &cobra.Command{Use: "settle", Short: "Settlement runs, adjustments, the proof of funds"}
	c.AddCommand(runCommand(source), adjustCommand(source), decideCommand(source, true),
		decideCommand(source, false), adjustmentsCommand(source), bankCommand(source),
		fundsCommand(source), lintCommand(source))
	return c
}

func runCommand(source Source) *cobra.Command {
	d := &desk{source: source}
	return d.command(&cobra.Command{
		Use: "run", Short: "Settle a closed day and write its pack",
		Long: "Writes an immutable, numbered run with the pack of the day. A second run with the same " +
			"outcome is the first; one that differs is a correction with the next number. Exit code 6 when " +
			"records contradict the chart: the run is written with its orders held.",
		Example: "  tapswitch settle run --day 2026-11-21 -o json",
		RunE: func(c *cobra.Command, _ []string) error {
			date, err := d.date()
			if err != nil {
				return err
			}
			return d.with(c.Context(), func(open *day.Desk, _ *Place) error {
				run, err := open.Settle(c.Context(), date, d.by)
				if err != nil {
					return err
				}
				if err := d.ran(c, run); err != nil {
					return err
				}
				if run.Manifest.Breaks > 0 {
					return fmt.Errorf("%w: %d, see breaks.csv", day.ErrBreaks, run.Manifest.Breaks)
				}
				return nil
			})
		},
	}, true)
}

func (d *desk) ran(c *cobra.Command, run *day.Run) error {
	if d.form == cli.JSON {
		return cli.PrintJSON(c.OutOrStdout(), run)
	}
	m, how := run.Manifest, "new"
	if !run.Fresh {
		how = "unchanged"
	}
	w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(c.OutOrStdout(), "run %d of %s (%s): %d records with their markers, %d approved, %d breaks\n%s\n", m.Run,
		m.BusinessDate, how, m.Records, m.Approved, m.Breaks, run.Dir)
	fmt.Fprintln(w, "Cur\tGross\tof it late\tFees\tTax\tNet\tTo pay\tTo collect\tCarried orders\t")
	for _, s := range m.Control {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t\n", s.Currency,
			pack.Decimal(s.Gross, s.Currency), pack.Decimal(s.Late, s.Currency),
			pack.Decimal(s.Fees, s.Currency), pack.Decimal(s.Tax, s.Currency),
			pack.Decimal(s.Net, s.Currency), pack.Decimal(s.OrderedPay, s.Currency),
			pack.Decimal(s.Collected, s.Currency), s.Carried)
	}
	return w.Flush()
}

// parsePosting reads "account=amount", in minor units, credits positive.
func parsePosting(text string) (txn.Posting, error) {
	account, amount, ok := strings.Cut(text, "=")
	n, err := strconv.ParseInt(amount, 10, 64)
	if !ok || err != nil || !txn.Minor(n).Valid() {
		return txn.Posting{}, cli.WithCode(cli.ExitUsage,
			fmt.Errorf("%q: want account=amount in minor units, such as operator/M5=-120", text))
	}
	return txn.Posting{Account: txn.Account(account), Amount: txn.Minor(n)}, nil
}

func adjustCommand(source Source) *cobra.Command {
	d := &desk{source: source}
	var a day.Adjustment
	c := d.command(&cobra.Command{
		Use: "adjust ACCOUNT=AMOUNT ACCOUNT=AMOUNT...", Short: "Propose an adjustment",
		Long:    "Proposes an entry that sums to zero, for another person to approve. Nothing is edited.",
		Example: "  tapswitch settle adjust --day 2026-11-21 --by li.na --text 'form 12' suspense=-120 operator/M5=120",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			var err error
			if a.Date, err = d.date(); err != nil {
				return err
			}
			for _, text := range args {
				p, err := parsePosting(text)
				if err != nil {
					return err
				}
				a.Postings = append(a.Postings, p)
			}
			a.Maker = d.by
			return d.with(c.Context(), func(open *day.Desk, _ *Place) error {
				made, err := open.Propose(c.Context(), a)
				if err != nil {
					return err
				}
				return d.adjustments(c, []day.Adjustment{made})
			})
		},
	}, true)
	c.Flags().StringVar(&a.Text, "text", "", "why; must be given")
	c.Flags().StringVar(&a.Original, "original", "", "the record that it corrects")
	c.Flags().Uint16Var((*uint16)(&a.Currency), "currency", uint16(txn.CNY), "currency (ISO 4217 number)")
	return c
}

func decideCommand(source Source, approve bool) *cobra.Command {
	d := &desk{source: source}
	use, short := "approve", "Approve an adjustment that another person proposed"
	if !approve {
		use, short = "reject", "Reject an adjustment"
	}
	return d.command(&cobra.Command{
		Use: use + " NUMBER", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			seq, err := strconv.ParseUint(args[0], 10, 64)
			if err != nil {
				return cli.WithCode(cli.ExitUsage, fmt.Errorf("%q is no number of an adjustment", args[0]))
			}
			return d.with(c.Context(), func(open *day.Desk, _ *Place) error {
				a, err := open.Decide(seq, d.by, approve)
				if err != nil {
					return err
				}
				return d.adjustments(c, []day.Adjustment{a})
			})
		},
	}, false)
}

func adjustmentsCommand(source Source) *cobra.Command {
	d := &desk{source: source}
	return d.command(&cobra.Command{
		Use: "adjustments", Short: "List adjustments and their state",
		RunE: func(c *cobra.Command, _ []string) error {
			return d.look(c.Context(), func(_ *day.Options, events []journal.Event) error {
				return d.adjustments(c, day.Adjustments(events))
			})
		},
	}, false)
}

func (d *desk) adjustments(c *cobra.Command, list []day.Adjustment) error {
	if d.form == cli.JSON {
		return cli.PrintJSON(c.OutOrStdout(), list)
	}
	for _, a := range list {
		fmt.Fprintf(c.OutOrStdout(), "%d\t%s\t%s\tby %s %s\t%s", a.Seq, a.Day, a.State, a.Maker, a.Checker,
			a.Text)
		for _, p := range a.Postings {
			fmt.Fprintf(c.OutOrStdout(), "\t%s %s", p.Account, pack.Decimal(int64(p.Amount), a.Currency))
		}
		fmt.Fprintln(c.OutOrStdout())
	}
	return nil
}

func bankCommand(source Source) *cobra.Command {
	d := &desk{source: source}
	return d.command(&cobra.Command{
		Use: "bank FILE", Short: "Book the bank's statement of the account that holds the purses",
		Long: "Books a statement (camt.053 or CSV) on its day: each entry against the payment order or the " +
			"account that its reference names, else against suspense. The same file again changes nothing.",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			text, err := os.ReadFile(args[0])
			if err != nil {
				return cli.WithCode(cli.ExitUsage, err)
			}
			return d.with(c.Context(), func(open *day.Desk, _ *Place) error {
				s, err := open.Bank(text, d.by)
				if err != nil {
					return err
				}
				if d.form == cli.JSON {
					return cli.PrintJSON(c.OutOrStdout(), s)
				}
				_, err = fmt.Fprintf(c.OutOrStdout(), "account %s, %s: %d entries, closing %s\n", s.Account,
					s.Date, len(s.Entries), pack.Decimal(s.Closing, s.Currency))
				return err
			})
		},
	}, false)
}

func fundsCommand(source Source) *cobra.Command {
	d := &desk{source: source}
	return d.command(&cobra.Command{
		Use: "funds", Short: "Prove that what cards are owed is at the bank",
		Long: "Holds what cards are owed, by the last run of the day, against the bank's statements of that " +
			"day. Entries that came after that run prove nothing until the day is settled again. What no " +
			"reference placed is in suspense, named and shown apart. Exit code 6 when it does not hold: " +
			"raise the alarm.",
		Example: "  tapswitch settle funds --day 2026-11-21",
		RunE: func(c *cobra.Command, _ []string) error {
			date, err := d.date()
			if err != nil {
				return err
			}
			return d.look(c.Context(), func(o *day.Options, events []journal.Event) error {
				proofs, short := day.Prove(o.Dir, events, o.Chart, date)
				if d.form == cli.JSON && proofs != nil {
					if err := cli.PrintJSON(c.OutOrStdout(), proofs); err != nil {
						return err
					}
					return short
				}
				for i := range proofs {
					printProof(c.OutOrStdout(), &proofs[i])
				}
				return short
			})
		},
	}, true)
}

// printProof writes a proof, and below it the bank's entries that no reference placed.
func printProof(w io.Writer, p *fund.Proof) {
	yuan := func(amount int64) string { return pack.Decimal(amount, p.Currency) }
	fmt.Fprintf(w, "%s: cards are owed %s; at the bank %s (books %s), on its way %s, owed to others %s, "+
		"in suspense %s; difference %s; proven %t", p.Date, yuan(p.Purse), yuan(p.Held), yuan(p.Books),
		yuan(p.DueIn), yuan(p.Owed), yuan(p.Suspense.Balance), yuan(p.Difference), p.Proven)
	if p.Unsettled > 0 {
		fmt.Fprintf(w, "; %d entries are in no run: settle the day again", p.Unsettled)
	}
	fmt.Fprintln(w)
	s := p.Suspense
	if s.Count == 0 {
		return
	}
	fmt.Fprintf(w, "in suspense, neither the holders' nor ours until a person places it: %d entries of the "+
		"bank, %s in, %s out\n", s.Count, yuan(s.In), yuan(-s.Out))
	for _, e := range s.Named {
		fmt.Fprintf(w, "  %s\t%s\t%s\t%s\t%s\n", e.Date, e.Account, yuan(e.Amount), e.Ref, e.Info)
	}
	if s.Count > len(s.Named) {
		fmt.Fprintf(w, "  and %d more\n", s.Count-len(s.Named))
	}
}

func lintCommand(source Source) *cobra.Command {
	d := &desk{source: source}
	return d.command(&cobra.Command{
		Use: "lint", Short: "Check the chart of accounts and the terms of settlement",
		Example: "  tapswitch settle lint --chart chart.yaml --terms terms.yaml",
		RunE: func(c *cobra.Command, _ []string) error {
			made, t, hash, err := d.agreed("")
			if err != nil {
				return code(err)
			}
			if missing := made.Missing(); len(missing) > 0 {
				return cli.WithCode(cli.ExitBreaks, fmt.Errorf("the chart has no rule for %v", missing))
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "chart of %d classes, %d fees, %d concessions, %d agreements, "+
				"%d parties: ok (%s)\n", len(made.Classes()), len(t.Fees), len(t.Concessions),
				len(t.Agreements), len(t.Parties), hash[:16])
			return err
		},
	}, false)
}
