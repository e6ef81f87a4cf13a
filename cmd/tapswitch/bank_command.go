package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/desk"
	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/bank"
)

const (
	adminURLEnv     = "TAPSWITCH_ADMIN_URL"
	defaultAdminURL = "http://127.0.0.1:8584"
)

// adminClient asks the admin address of a running switch.
type adminClient struct {
	url       string
	tokenFile string
	form      cli.Output
}

func (a *adminClient) add(c *cobra.Command) {
	address := os.Getenv(adminURLEnv)
	if address == "" {
		address = defaultAdminURL
	}
	a.form = cli.Table
	c.PersistentFlags().StringVar(&a.url, "admin-url", address,
		"admin address of the switch ("+adminURLEnv+")")
	c.PersistentFlags().StringVar(&a.tokenFile, "token-file", "",
		"file with the operator's token for what changes something (else "+desk.TokenEnv+")")
	c.PersistentFlags().VarP(&a.form, "output", "o", "table or json")
}

// call asks for path and reads the answer into v.
func (a *adminClient) call(ctx context.Context, method, path string, v any) error {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, a.url+path, nil)
	if err != nil {
		return cli.WithCode(cli.ExitUsage, err)
	}
	if method != http.MethodGet {
		token, err := desk.Token(a.tokenFile)
		if err != nil {
			return err
		}
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return cli.WithCode(cli.ExitUnavailable, fmt.Errorf("the switch does not answer: %w", err))
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, desk.AnswerMax))
	if err != nil {
		return cli.WithCode(cli.ExitUnavailable, err)
	}
	var fault struct {
		Error string `json:"error"`
	}
	switch {
	case resp.StatusCode == http.StatusNotFound:
		if json.Unmarshal(body, &fault) == nil && fault.Error != "" {
			return cli.WithCode(cli.ExitNotFound, errors.New(fault.Error))
		}
		return cli.WithCode(cli.ExitNotFound, errors.New("this switch has no bank edge: set bank.file"))
	case resp.StatusCode != http.StatusOK:
		_ = json.Unmarshal(body, &fault)
		err := fmt.Errorf("the switch answers %s: %s", resp.Status, fault.Error)
		if resp.StatusCode == http.StatusConflict {
			return cli.WithCode(cli.ExitConflict, err)
		}
		return err
	}
	return json.Unmarshal(body, v)
}

func bankCommand() *cobra.Command {
	var admin adminClient
	c := &cobra.Command{Use: "bank", Short: "Bank links: who is connected, what a bank refused, where a card goes",
		Example: "  tapswitch bank check bank.yaml\n" +
			"  tapswitch bank route --file bank.yaml 6226009999999994 --class purchase --amount 1000\n" +
			"  tapswitch bank status\n  tapswitch bank dead\n  tapswitch bank retry T0000001.A3G-1-42\n" +
			"  tapswitch bank keys icbc --token-file li.token\n  tapswitch bank reconcile icbc"}
	admin.add(c)
	c.AddCommand(bankDemoCommand(), bankCheckCommand(), bankRouteCommand(), bankStatusCommand(&admin),
		bankDeadCommand(&admin), bankBatchesCommand(&admin), bankKeysCommand(&admin),
		bankReconcileCommand(&admin), bankAuditCommand(&admin),
		bankResolveCommand(&admin, "retry", "Have a bank told again what it refused"),
		bankResolveCommand(&admin, "close", "Close what was settled with the bank by hand"))
	return c
}

func bankCheckCommand() *cobra.Command {
	var flags configFlags
	c := &cobra.Command{
		Use: "check FILE", Short: "Read a bank file and every file that it names", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			loaded, err := flags.load()
			if err != nil {
				return err
			}
			zone, err := loaded.Scheme.Location()
			if err != nil {
				return err
			}
			file, err := bank.LoadConfig(args[0])
			if err == nil {
				err = file.Check(zone)
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s: %d listeners, %d links, %d routes\n", args[0],
				len(file.Listeners), len(file.Links), len(file.Routes))
			return err
		},
	}
	flags.add(c)
	return c
}

func bankRouteCommand() *cobra.Command {
	var flags configFlags
	var path, class, at string
	var amount int64
	c := &cobra.Command{
		Use: "route CARD", Short: "Say where a card number goes, and why", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			loaded, err := flags.load()
			if err != nil {
				return err
			}
			zone, err := loaded.Scheme.Location()
			if err != nil {
				return err
			}
			if path == "" {
				path = loaded.Bank.File
			}
			number, err := pan.Parse(args[0])
			if err != nil {
				return cli.WithCode(cli.ExitUsage, err)
			}
			when := time.Now()
			if at != "" {
				if when, err = time.ParseInLocation("2006-01-02T15:04", at, zone); err != nil {
					return cli.WithCode(cli.ExitUsage, fmt.Errorf("--at: want 2006-01-02T15:04: %w", err))
				}
			}
			file, err := bank.LoadConfig(path)
			if err != nil {
				return err
			}
			text, err := file.Explain(zone, number, class, amount, when)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), text)
			return err
		},
	}
	flags.add(c)
	c.Flags().StringVar(&path, "file", "", "bank file (default: bank.file of the configuration)")
	c.Flags().StringVar(&class, "class", "purchase", "class of transaction")
	c.Flags().Int64Var(&amount, "amount", 0, "amount in fen")
	c.Flags().StringVar(&at, "at", "", "local time, 2006-01-02T15:04 (default: now)")
	return c
}

// table prints rows for people, or v as JSON.
func (a *adminClient) print(w io.Writer, v any, rows func(io.Writer)) error {
	if a.form == cli.JSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(v)
	}
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	rows(t)
	return t.Flush()
}

func bankStatusCommand(admin *adminClient) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Listeners, links and their connections", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var s bank.Status
			if err := admin.call(c.Context(), http.MethodGet, "/bank", &s); err != nil {
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

func bankDeadCommand(admin *adminClient) *cobra.Command {
	return &cobra.Command{
		Use: "dead", Short: "Reversals and advices that a bank refused", Args: cobra.NoArgs,
		Long: "Lists what a bank was told and refused. Settle each with the bank, then close it, or retry.\n" +
			"Exit code 6 when there are any.",
		RunE: func(c *cobra.Command, _ []string) error {
			var all []bank.DeadLetter
			if err := admin.call(c.Context(), http.MethodGet, "/bank/dead", &all); err != nil {
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

func bankBatchesCommand(admin *adminClient) *cobra.Command {
	var terminal string
	c := &cobra.Command{
		Use: "batches", Short: "Totals of terminals, acquirers and banks, of both sides", Args: cobra.NoArgs,
		Long: "Lists the batches that terminals settled, the reconciliations of acquirers (acquirer@ID)\n" +
			"and those with banks (bank@LINK): what the other side says, and what the ledger has.",
		RunE: func(c *cobra.Command, _ []string) error {
			var all []bank.Batch
			err := admin.call(c.Context(), http.MethodGet,
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
				}
			})
		},
	}
	c.Flags().StringVar(&terminal, "terminal", "", "only this terminal, as in record ids, acquirer@ID or bank@LINK")
	return c
}

func bankResolveCommand(admin *adminClient, action, short string) *cobra.Command {
	return &cobra.Command{
		Use: action + " REQUEST", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			var done struct {
				Request string `json:"request"`
				Phase   string `json:"phase"`
			}
			err := admin.call(c.Context(), http.MethodPost,
				"/bank/dead/"+url.PathEscape(args[0])+"/"+action, &done)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s: %s\n", done.Request, done.Phase)
			return err
		},
	}
}
