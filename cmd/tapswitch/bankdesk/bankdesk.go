// Package bankdesk holds the commands of whoever looks after the bank edge: clients of the admin
// address of a running switch. What only reads needs no token, what changes something wants that
// of an operator (see package call). A command sends one request and never repeats it; keys and
// card numbers are not among what it prints.
package bankdesk

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/call"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/switch/bank"
	"github.com/tapswitch/tapswitch/switch/bank/audit"
)

// Add adds the commands, and the flags that they share, to the command of the bank edge.
func Add(c *cobra.Command) {
	admin := new(Admin)
	admin.add(c)
	c.AddCommand(statusCommand(admin), deadCommand(admin), batchesCommand(admin), keysCommand(admin),
		reconcileCommand(admin), auditCommand(admin),
		resolveCommand(admin, "retry", "Have a bank told again what it refused"),
		resolveCommand(admin, "close", "Close what was settled with the bank by hand"))
}

const (
	adminURLEnv     = "TAPSWITCH_ADMIN_URL"
	defaultAdminURL = "http://127.0.0.1:8584"
)

// Admin asks the admin address of a running switch.
type Admin struct {
	// URL is the admin address.
	URL    string
	client call.Client
}

func (a *Admin) add(c *cobra.Command) {
	c.PersistentFlags().StringVar(&a.URL, "admin-url", cmp.Or(os.Getenv(adminURLEnv), defaultAdminURL),
		"admin address of the switch ("+adminURLEnv+")")
	a.client.AddToken(c)
	a.client.AddForm(c)
}

// Call asks for path and reads the answer into v. What only reads needs no token.
func (a *Admin) Call(ctx context.Context, method, path string, v any) error {
	client := a.client
	client.URL, client.Name, client.Advise = a.URL, "switch", advise
	return client.Ask(ctx, call.Request{Method: method, Path: path, Open: method == http.MethodGet,
		Wait: adminTimeout}, v)
}

// advise says what is missing where nothing serves the bank edge.
func advise(r *call.Refused, _ string) string {
	if r.Status == http.StatusNotFound && r.Foreign {
		return "this switch has no bank edge: set bank.file, and give its admin address with --admin-url or " +
			adminURLEnv
	}
	return ""
}

// print prints rows for people, or v as JSON.
func (a *Admin) print(w io.Writer, v any, rows func(io.Writer)) error {
	if a.client.Form == cli.JSON {
		return cli.PrintJSON(w, v)
	}
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	rows(t)
	return t.Flush()
}

func statusCommand(admin *Admin) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Listeners, links and their connections", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var s bank.Status
			if err := admin.Call(c.Context(), http.MethodGet, "/bank", &s); err != nil {
				return err
			}
			return admin.print(c.OutOrStdout(), s, func(w io.Writer) {
				for _, l := range s.Listeners {
					fmt.Fprintf(w, "listener\t%s\t%s\t%d connections\t%d terminals\n", l.Name, l.Address,
						l.Connections, l.Terminals)
				}
				for _, l := range s.Links {
					for _, k := range l.Connections {
						fmt.Fprintf(w, "link\t%s\t%s\t%s\t%s\n", l.Name, k.Address, k.State, k.Cause)
					}
					fmt.Fprintf(w, "\t%s\tin flight %d\ttelling %d\tanswered %d, unknown %d, late %d\n", l.Name,
						l.InFlight, l.Telling, l.Figures.Answered, l.Figures.Unknown, l.Figures.Late)
					printTasks(w, &l)
				}
				fmt.Fprintf(w, "queued\t%d\tdue\t%d\tsignatures\t%d\n", s.Queued, s.Due, s.Signatures)
			})
		},
	}
}

func deadCommand(admin *Admin) *cobra.Command {
	return &cobra.Command{
		Use: "dead", Short: "Reversals and advices that a bank refused", Args: cobra.NoArgs,
		Long: "Lists what a bank was told and refused. Settle each with the bank, then close it, or retry.\n" +
			"Exit code 6 when there are any.",
		RunE: func(c *cobra.Command, _ []string) error {
			var all []bank.DeadLetter
			if err := admin.Call(c.Context(), http.MethodGet, "/bank/dead", &all); err != nil {
				return err
			}
			err := admin.print(c.OutOrStdout(), all, func(w io.Writer) {
				fmt.Fprintln(w, "REQUEST\tKIND\tWAS\tAMOUNT\tCARD\tLINK\tCODE\tRRN")
				for _, d := range all {
					fmt.Fprintf(w, "%s\t%s\t%s\t%d\t*%s\t%s\t%s\t%s\n", d.Request, d.Kind, d.Was, d.Amount,
						d.Last4, d.Link, d.Code, d.RRN)
				}
			})
			if err == nil && len(all) > 0 {
				err = cli.WithCode(cli.ExitBreaks, fmt.Errorf("%d dead letters", len(all)))
			}
			return err
		},
	}
}

func batchesCommand(admin *Admin) *cobra.Command {
	var terminal string
	c := &cobra.Command{
		Use: "batches", Short: "Totals of terminals, acquirers and banks, of both sides", Args: cobra.NoArgs,
		Long: "Lists the batches that terminals settled, the reconciliations of acquirers (acquirer@ID)\n" +
			"and those with banks (bank@LINK): what the other side says, and what the ledger has. A\n" +
			"verdict explained is a difference by sales whose answer was lost, which the bank counts\n" +
			"there and took back after it was told the totals; -o json names them (late).",
		RunE: func(c *cobra.Command, _ []string) error {
			var all []bank.Batch
			err := admin.Call(c.Context(), http.MethodGet,
				"/bank/batches?terminal="+url.QueryEscape(terminal), &all)
			if err != nil {
				return err
			}
			return admin.print(c.OutOrStdout(), all, func(w io.Writer) {
				fmt.Fprintln(w, "TERMINAL\tBATCH\tVERDICT\tDEBITS\tLEDGER\tCREDITS\tLEDGER\tUPLOADED")
				for _, b := range all {
					fmt.Fprintf(w, "%s\t%06d\t%s\t%d/%d\t%d/%d\t%d/%d\t%d/%d\t%d\n", b.Terminal, b.Number, b.Verdict,
						b.Theirs.DebitCount, b.Theirs.DebitAmount, b.Ours.DebitCount, b.Ours.DebitAmount,
						b.Theirs.CreditCount, b.Theirs.CreditAmount, b.Ours.CreditCount, b.Ours.CreditAmount,
						b.Uploaded)
					printLate(w, &b)
				}
			})
		},
	}
	c.Flags().StringVar(&terminal, "terminal", "", "only this terminal, as in record ids, acquirer@ID or bank@LINK")
	return c
}

func resolveCommand(admin *Admin, action, short string) *cobra.Command {
	return &cobra.Command{
		Use: action + " REQUEST", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			var done struct {
				Request string `json:"request"`
				Phase   string `json:"phase"`
			}
			err := admin.Call(c.Context(), http.MethodPost,
				"/bank/dead/"+url.PathEscape(args[0])+"/"+action, &done)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s: %s\n", done.Request, done.Phase)
			return err
		},
	}
}

// adminTimeout is what a person waits for: a bank may take its time to answer.
const adminTimeout = 90 * time.Second

func keysCommand(admin *Admin) *cobra.Command {
	return &cobra.Command{
		Use: "keys LINK", Short: "Order new keys of a bank", Args: cobra.ExactArgs(1),
		Long: "Has the switch order new working keys of the bank behind a link and prints their check\n" +
			"values once they are in force. When that fails the old keys stay, and the switch tries\n" +
			"again by itself. Wants the role admin.",
		RunE: func(c *cobra.Command, args []string) error {
			var l bank.LinkStatus
			err := admin.Call(c.Context(), http.MethodPost, "/bank/links/"+url.PathEscape(args[0])+"/keys", &l)
			if err != nil {
				return err
			}
			return admin.print(c.OutOrStdout(), l, func(w io.Writer) {
				fmt.Fprintf(w, "LINK\tMAC KEY\tPIN KEY\n%s\t%s\t%s\n", l.Name, l.MACKey, l.PINKey)
			})
		},
	}
}

func reconcileCommand(admin *Admin) *cobra.Command {
	return &cobra.Command{
		Use: "reconcile LINK", Short: "Tell a bank the totals of its link", Args: cobra.ExactArgs(1),
		Long: "Sends the bank behind a link our totals since the last time (0500) and compares its answer.\n" +
			"When it does not answer the same totals are told again by themselves. Exit code 6 when the\n" +
			"totals do not agree. Wants the role finance or admin.",
		RunE: func(c *cobra.Command, args []string) error {
			var b bank.Batch
			err := admin.Call(c.Context(), http.MethodPost,
				"/bank/links/"+url.PathEscape(args[0])+"/reconcile", &b)
			if err != nil {
				return err
			}
			if err := admin.print(c.OutOrStdout(), b, func(w io.Writer) { printTotals(w, &b) }); err != nil {
				return err
			}
			if b.Verdict == bank.Unbalanced {
				return cli.WithCode(cli.ExitBreaks, fmt.Errorf("the totals of %s do not agree", args[0]))
			}
			return nil
		},
	}
}

// printTotals prints what both sides say: what is left, and what that is made of where it
// differs.
func printTotals(w io.Writer, b *bank.Batch) {
	fmt.Fprintf(w, "%s\tnumber %d\t%s\n", b.Terminal, b.Number, b.Verdict)
	row := func(what string, count, amount, theirCount, theirAmount int64) {
		fmt.Fprintf(w, "%s\t%d/%d here\t%d/%d there\n", what, count, amount, theirCount, theirAmount)
	}
	row("debits", int64(b.Ours.DebitCount), b.Ours.DebitAmount, int64(b.Theirs.DebitCount),
		b.Theirs.DebitAmount)
	row("credits", int64(b.Ours.CreditCount), b.Ours.CreditAmount, int64(b.Theirs.CreditCount),
		b.Theirs.CreditAmount)
	printLate(w, b)
	ours, theirs := b.OurGross, b.TheirGross
	if ours == nil || theirs == nil || *ours == *theirs {
		return
	}
	o, t := &ours.Debits, &theirs.Debits
	row("  debits made", o.Count, o.Amount, t.Count, t.Amount)
	row("  debits taken back", o.ReversedCount, o.ReversedAmount, t.ReversedCount, t.ReversedAmount)
	o, t = &ours.Credits, &theirs.Credits
	row("  credits made", o.Count, o.Amount, t.Count, t.Amount)
	row("  credits taken back", o.ReversedCount, o.ReversedAmount, t.ReversedCount, t.ReversedAmount)
	if b.Ours == b.Theirs {
		fmt.Fprintln(w, "what is left agrees: one side counts what was made and taken back, the other not")
	}
}

// printLate says what 0500 came between: a transaction and its reversal or advice.
func printLate(w io.Writer, b *bank.Batch) {
	for _, l := range b.Late {
		fmt.Fprintf(w, "  %s\t%d there, its answer was lost\ttaken back after these totals\n", l.Request,
			l.Amount)
	}
	if b.Carried > 0 {
		fmt.Fprintf(w, "  %d told to the bank after these totals: they count in the next ones\n", b.Carried)
	}
}

func auditCommand(admin *Admin) *cobra.Command {
	return &cobra.Command{
		Use: "audit", Short: "Who changed keys, resolved dead letters and told totals",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var all []audit.Line
			if err := admin.Call(c.Context(), http.MethodGet, "/bank/audit", &all); err != nil {
				return err
			}
			return admin.print(c.OutOrStdout(), all, func(w io.Writer) {
				fmt.Fprintln(w, "TIME\tWHO\tROLE\tACTION\tSUBJECT\tOUTCOME\tKCV")
				for _, l := range all {
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", l.At.Time().Format(time.RFC3339),
						l.Actor.Name, l.Actor.Role, l.Action, l.Subject, l.Outcome, l.KCV)
				}
			})
		},
	}
}

// printTasks says when the tasks of a link are due, and what went wrong.
func printTasks(w io.Writer, l *bank.LinkStatus) {
	if l.MACKey != "" || l.PINKey != "" {
		fmt.Fprintf(w, "\t%s\tkeys\tMAC %s\tPIN %s\n", l.Name, l.MACKey, l.PINKey)
	}
	for _, name := range slices.Sorted(maps.Keys(l.Tasks)) {
		task := l.Tasks[name]
		due := "on command"
		if task.Due != 0 {
			due = "due " + task.Due.Time().Format(time.RFC3339)
		}
		problem := ""
		if task.Tries > 0 {
			problem = fmt.Sprintf("FAILED %d times: %s", task.Tries, task.Problem)
		}
		fmt.Fprintf(w, "\t%s\t%s\t%s\t%s\n", l.Name, name, due, problem)
	}
}
