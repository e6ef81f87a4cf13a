package main

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/switch/bank"
	"github.com/tapswitch/tapswitch/switch/bank/audit"
)

// adminTimeout is what a person waits for: a bank may take its time to answer.
const adminTimeout = 90 * time.Second

func bankKeysCommand(admin *adminClient) *cobra.Command {
	return &cobra.Command{
		Use: "keys LINK", Short: "Order new keys of a bank", Args: cobra.ExactArgs(1),
		Long: "Has the switch order new working keys of the bank behind a link and prints their check\n" +
			"values once they are in force. When that fails the old keys stay, and the switch tries\n" +
			"again by itself. Wants the role admin.",
		RunE: func(c *cobra.Command, args []string) error {
			var l bank.LinkStatus
			err := admin.call(c.Context(), http.MethodPost, "/bank/links/"+url.PathEscape(args[0])+"/keys", &l)
			if err != nil {
				return err
			}
			return admin.print(c.OutOrStdout(), l, func(w io.Writer) {
				fmt.Fprintf(w, "LINK\tMAC KEY\tPIN KEY\n%s\t%s\t%s\n", l.Name, l.MACKey, l.PINKey)
			})
		},
	}
}

func bankReconcileCommand(admin *adminClient) *cobra.Command {
	return &cobra.Command{
		Use: "reconcile LINK", Short: "Tell a bank the totals of its link", Args: cobra.ExactArgs(1),
		Long: "Sends the bank behind a link our totals since the last time (0500) and compares its answer.\n" +
			"When it does not answer the same totals are told again by themselves. Wants the role\n" +
			"finance or admin.",
		RunE: func(c *cobra.Command, args []string) error {
			var b bank.Batch
			err := admin.call(c.Context(), http.MethodPost,
				"/bank/links/"+url.PathEscape(args[0])+"/reconcile", &b)
			if err != nil {
				return err
			}
			return admin.print(c.OutOrStdout(), b, func(w io.Writer) {
				fmt.Fprintf(w, "%s\tnumber %d\t%s\n", b.Terminal, b.Number, b.Verdict)
				fmt.Fprintf(w, "debits\t%d/%d here\t%d/%d there\n", b.Ours.DebitCount, b.Ours.DebitAmount,
					b.Theirs.DebitCount, b.Theirs.DebitAmount)
				fmt.Fprintf(w, "credits\t%d/%d here\t%d/%d there\n", b.Ours.CreditCount,
					b.Ours.CreditAmount, b.Theirs.CreditCount, b.Theirs.CreditAmount)
			})
		},
	}
}

func bankAuditCommand(admin *adminClient) *cobra.Command {
	return &cobra.Command{
		Use: "audit", Short: "Who changed keys, resolved dead letters and told totals",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var all []audit.Line
			if err := admin.call(c.Context(), http.MethodGet, "/bank/audit", &all); err != nil {
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
