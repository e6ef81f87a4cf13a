package uploads

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/call"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/switch/upload/api"
	"github.com/tapswitch/tapswitch/switch/upload/book"
)

// client asks a running gate as an operator.
type client struct{ call.Client }

// Command is the command of uploads.
func Command() *cobra.Command {
	d := new(client)
	c := &cobra.Command{Use: "uploads", Short: "Off-line records: what arrived, is held, missing, suspicious",
		Example: "  tapswitch uploads show GATE07\n  tapswitch uploads held\n" +
			"  tapswitch uploads accept 0102-7-ab --reason 'gate log seen'\n" +
			"  tapswitch uploads reject 0102-7-ab --reason 'card of a test'"}
	d.Add(c)
	c.AddCommand(
		d.look("show TERMINAL", "What has arrived of a gate, against its own counters", "/gates/"),
		d.look("module PSAM", "Missing sequence numbers of a security module", "/modules/"),
		d.heldCommand(), d.cardsCommand("gaps", "Cards with missing counters or a broken chain", ""),
		d.cardsCommand("suspicious", "Cards whose balances do not follow", "?suspicious=1"),
		d.decideCommand("accept", "Book a held record", true),
		d.decideCommand("reject", "Refuse a held record", false), d.retryCommand(),
		d.whiteCommand())
	return c
}

func (d *client) look(use, short, path string) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			text, err := d.call(c.Context(), http.MethodGet, path+url.PathEscape(args[0]), nil)
			if err != nil {
				return err
			}
			return d.Print(c.OutOrStdout(), text, nil, nil)
		}}
}

func (d *client) heldCommand() *cobra.Command {
	var after string
	c := &cobra.Command{Use: "held", Short: "List the records that wait for a person", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var answer struct{ Held []book.Held }
			return d.table(c, "/held?after="+url.QueryEscape(after), &answer, func(w io.Writer) {
				fmt.Fprintln(w, "ID\tREASON\tTERMINAL\tCARD\tKIND\tFEN\tSERVED")
				for _, h := range answer.Held {
					fmt.Fprintf(w, "%s\t%s\t%s\t*%s\t%s\t%d\t%s\n", h.ID, h.Reason, h.Terminal, h.Last4,
						h.Kind, h.Amount, h.At.Time().Format(time.DateTime))
				}
			})
		}}
	c.Flags().StringVar(&after, "after", "", "go on behind this id")
	return c
}

func (d *client) cardsCommand(name, short, query string) *cobra.Command {
	return &cobra.Command{Use: name, Short: short, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var answer struct{ Cards []book.CardLine }
			return d.table(c, "/cards"+query, &answer, func(w io.Writer) {
				fmt.Fprintln(w, "CARD\tLAST\tMISSING\tOFF FEN\tBROKEN FEN\tBREAKS\tTORN")
				for _, l := range answer.Cards {
					var gaps []string
					for _, g := range l.Gaps {
						gaps = append(gaps, fmt.Sprintf("%d-%d", g.From, g.To))
					}
					fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%d\t%v\n", l.Card, l.Last4, strings.Join(gaps, " "),
						l.Delta, l.Broken, l.Breaks, l.Torn)
				}
			})
		}}
}

func (d *client) decideCommand(name, short string, accept bool) *cobra.Command {
	var reason string
	c := &cobra.Command{Use: name + " ID", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if reason == "" {
				return cli.WithCode(cli.ExitUsage, errors.New("--reason is needed; it stands in the audit trail"))
			}
			text, err := d.call(c.Context(), http.MethodPost, "/held/"+url.PathEscape(args[0]),
				map[string]any{"accept": accept, "reason": reason})
			if err != nil {
				return err
			}
			return d.Print(c.OutOrStdout(), text, nil, nil)
		}}
	c.Flags().StringVar(&reason, "reason", "", "why; for the audit trail")
	return c
}

func (d *client) retryCommand() *cobra.Command {
	return &cobra.Command{Use: "retry", Short: "Ask again for TACs whose key was unknown", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			text, err := d.call(c.Context(), http.MethodPost, "/retry", map[string]any{})
			if err != nil {
				return err
			}
			return d.Print(c.OutOrStdout(), text, nil, nil)
		}}
}

// table asks and prints rows, or the answer as it is.
func (d *client) table(c *cobra.Command, path string, v any, rows func(io.Writer)) error {
	text, err := d.call(c.Context(), http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	return d.Print(c.OutOrStdout(), text, v, rows)
}

// call sends one request. Decisions look through the ledger, which takes longer than a look.
func (d *client) call(ctx context.Context, method, path string, body any) (json.RawMessage, error) {
	return d.Send(ctx, call.Request{Method: method, Path: api.Prefix + path, Body: body, Wait: call.BulkWait})
}
