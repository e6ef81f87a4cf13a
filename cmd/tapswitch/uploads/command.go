package uploads

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/desk"
	"github.com/tapswitch/tapswitch/switch/upload/api"
	"github.com/tapswitch/tapswitch/switch/upload/book"
)

const callMax = 40 * time.Second

// client asks a running gate as an operator.
type client struct {
	url       string
	tokenFile string
	form      cli.Output
}

// Command is the command of uploads.
func Command() *cobra.Command {
	d := &client{form: cli.Table}
	c := &cobra.Command{Use: "uploads", Short: "Off-line records: what arrived, is held, missing, suspicious",
		Example: "  tapswitch uploads show GATE07\n  tapswitch uploads held\n" +
			"  tapswitch uploads accept ID --reason 'gate log seen'"}
	address := os.Getenv(desk.URLEnv)
	if address == "" {
		address = "http://127.0.0.1:8583"
	}
	c.PersistentFlags().StringVar(&d.url, "url", address, "address of the gate ("+desk.URLEnv+")")
	c.PersistentFlags().StringVar(&d.tokenFile, "token-file", "",
		"file with the operator's token (else "+desk.TokenEnv+")")
	c.PersistentFlags().VarP(&d.form, "output", "o", "table or json")
	c.AddCommand(
		d.look("show TERMINAL", "What has arrived of a gate, against its own counters", "/gates/"),
		d.look("module PSAM", "Missing sequence numbers of a security module", "/modules/"),
		d.heldCommand(), d.cardsCommand("gaps", "Cards with missing counters or a broken chain", ""),
		d.cardsCommand("suspicious", "Cards whose balances do not follow", "?suspicious=1"),
		d.decideCommand("accept", "Book a held record", true),
		d.decideCommand("reject", "Refuse a held record", false), d.retryCommand())
	return c
}

func (d *client) look(use, short, path string) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			text, err := d.call(c.Context(), http.MethodGet, path+url.PathEscape(args[0]), nil)
			if err != nil {
				return err
			}
			return cli.PrintJSON(c.OutOrStdout(), text)
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
			return cli.PrintJSON(c.OutOrStdout(), text)
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
			return cli.PrintJSON(c.OutOrStdout(), text)
		}}
}

// table asks and prints rows, or the answer as it is.
func (d *client) table(c *cobra.Command, path string, v any, rows func(io.Writer)) error {
	text, err := d.call(c.Context(), http.MethodGet, path, nil)
	if err != nil || d.form == cli.JSON {
		if err == nil {
			err = cli.PrintJSON(c.OutOrStdout(), text)
		}
		return err
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("the gate's answer cannot be read: %w", err)
	}
	w := tabwriter.NewWriter(c.OutOrStdout(), 0, 4, 2, ' ', 0)
	rows(w)
	return w.Flush()
}

// call sends one request; an error answer becomes an error with its exit code.
func (d *client) call(ctx context.Context, method, path string, body any) (json.RawMessage, error) {
	token, err := desk.Token(d.tokenFile)
	if err != nil {
		return nil, err
	}
	var payload io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("request: %w", err)
		}
		payload = bytes.NewReader(text)
	}
	ctx, cancel := context.WithTimeout(ctx, callMax)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(d.url, "/")+api.Prefix+path, payload)
	if err != nil {
		return nil, cli.WithCode(cli.ExitUsage, fmt.Errorf("--url: %w", err))
	}
	q.Header.Set("Authorization", "Bearer "+token)
	q.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		return nil, cli.WithCode(cli.ExitUnavailable, fmt.Errorf("the gate does not answer: %w", err))
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, desk.AnswerMax))
	if err != nil {
		return nil, cli.WithCode(cli.ExitUnavailable, fmt.Errorf("the gate's answer broke off: %w", err))
	}
	return text, statusError(answer.StatusCode, text)
}

func statusError(status int, text []byte) error {
	if status < http.StatusBadRequest {
		return nil
	}
	var said struct {
		Error struct{ Code, Message string }
	}
	_ = json.Unmarshal(text, &said)
	err := fmt.Errorf("the gate answers %d %s: %s", status, said.Error.Code, said.Error.Message)
	switch status {
	case http.StatusNotFound:
		return cli.WithCode(cli.ExitNotFound, err)
	case http.StatusConflict, http.StatusUnprocessableEntity:
		return cli.WithCode(cli.ExitConflict, err)
	case http.StatusServiceUnavailable:
		return cli.WithCode(cli.ExitUnavailable, err)
	default:
		return cli.WithCode(cli.ExitFailed, err)
	}
}
