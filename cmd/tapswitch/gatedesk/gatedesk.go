// Package gatedesk holds the commands of whoever keeps gates: documents by version, who is
// behind, and orders of degraded modes. They are clients of a running gate, like those of
// package desk: one request each, never repeated, the answer printed.
package gatedesk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/call"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/switch/disruption"
)

// office speaks to the calls about documents and orders.
type office struct{ call.Client }

// Terminals returns the command terminals.
func Terminals() *cobra.Command {
	var o office
	c := &cobra.Command{Use: "terminals",
		Short: "What gates work by: parameters, tariffs, degraded modes, and who is behind",
		Long: "Parameters and tariffs are documents with a version, a scope and an instant from which " +
			"they hold; gates download them ahead and acknowledge what they run. Orders of degraded " +
			"modes hold from and until; what waives money takes a second person (confirm)."}
	o.Add(c)
	c.AddCommand(o.list("list", "List the terminals and what each runs", ""),
		o.list("behind", "List the terminals that do not run what they should", "?behind=true"),
		o.show(), o.versions(), o.document(), o.publish(), o.withdraw(), o.orders(), o.order(),
		o.act("confirm", "Stand behind an order as the second person"),
		o.act("end", "End an order now; one that has not begun is taken back"),
		o.grace())
	return c
}

// send makes one call and returns the answer.
func (o *office) send(ctx context.Context, method, path string, body any) (json.RawMessage, error) {
	return o.Send(ctx, call.Request{Method: method, Path: "/v1/provision/" + path, Body: body})
}

// print writes an answer: as it is, or by rows for people.
func (o *office) print(c *cobra.Command, text []byte, v any, rows func(w io.Writer)) error {
	return o.Print(c.OutOrStdout(), text, v, rows)
}

// call is a command that makes one call and prints the answer as it is.
func (o *office) call(c *cobra.Command, method, path string, body any) error {
	text, err := o.send(c.Context(), method, path, body)
	if err != nil {
		return err
	}
	return o.print(c, text, nil, nil)
}

// terminal is a terminal's state as it is answered.
type terminal struct {
	Terminal, Line, Station, Modes string
	Documents                      []struct {
		Kind, Runs, Should, Next string
		Behind                   bool
		OverdueMS                int64 `json:"overdue_ms"`
	}
}

func (o *office) list(name, short, query string) *cobra.Command {
	return &cobra.Command{Use: name, Short: short, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			text, err := o.send(c.Context(), http.MethodGet, "terminals"+query, nil)
			if err != nil {
				return err
			}
			var a struct {
				Terminals     []terminal
				Total, Behind int
			}
			return o.print(c, text, &a, func(w io.Writer) {
				fmt.Fprintln(w, "terminal\tline\tstation\tdocument\truns\tshould run\toverdue\tnext\tmodes")
				for _, t := range a.Terminals {
					for _, d := range t.Documents {
						late := ""
						if d.Behind {
							late = (time.Duration(d.OverdueMS) * time.Millisecond).Round(time.Second).String()
						}
						fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", t.Terminal, t.Line, t.Station,
							d.Kind, d.Runs, d.Should, late, d.Next, t.Modes)
					}
				}
				fmt.Fprintf(w, "%d of %d behind\n", a.Behind, a.Total)
			})
		}}
}

func (o *office) show() *cobra.Command {
	return &cobra.Command{Use: "show TERMINAL", Short: "Show what a terminal runs and should run",
		Args: cobra.ExactArgs(1), RunE: func(c *cobra.Command, args []string) error {
			return o.call(c, http.MethodGet, "terminals/"+url.PathEscape(args[0]), nil)
		}}
}

func (o *office) versions() *cobra.Command {
	var kind string
	c := &cobra.Command{Use: "versions", Short: "List documents by version", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			text, err := o.send(c.Context(), http.MethodGet, "documents?kind="+url.QueryEscape(kind), nil)
			if err != nil {
				return err
			}
			var a struct {
				Documents []struct {
					Kind, Version, Scope, SHA256 string
					PublishedBy                  string `json:"published_by"`
					EffectiveMS                  int64  `json:"effective_ms"`
					InEffect                     bool   `json:"in_effect"`
					Running                      int
				}
			}
			return o.print(c, text, &a, func(w io.Writer) {
				fmt.Fprintln(w, "kind\tversion\tscope\tfrom\tin effect\trunning\tby\tsha256")
				for _, d := range a.Documents {
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%t\t%d\t%s\t%.12s\n", d.Kind, d.Version, d.Scope,
						at(d.EffectiveMS), d.InEffect, d.Running, d.PublishedBy, d.SHA256)
				}
			})
		}}
	c.Flags().StringVar(&kind, "kind", "", "parameters or tariff; both unless named")
	return c
}

func at(ms int64) string { return time.UnixMilli(ms).Format(time.RFC3339) }

func (o *office) document() *cobra.Command {
	return &cobra.Command{Use: "document KIND VERSION", Short: "Show a document with its content",
		Args: cobra.ExactArgs(2), RunE: func(c *cobra.Command, args []string) error {
			return o.call(c, http.MethodGet, documentPath(args), nil)
		}}
}

func documentPath(args []string) string {
	return "documents/" + url.PathEscape(args[0]) + "/" + url.PathEscape(args[1])
}

func (o *office) publish() *cobra.Command {
	var kind, version, scope, effective string
	c := &cobra.Command{Use: "publish FILE", Short: "Publish parameters (JSON) or a tariff (YAML)",
		Long: "A document never changes once it is published. One that contradicts itself or another, " +
			"or takes effect in the past, is refused with its field and the reason.",
		Example: "  tapswitch terminals publish gates.json --kind parameters --doc-version p7 --from 2h\n" +
			"  tapswitch terminals publish city.yaml --kind tariff --doc-version 2027-1 --from 2027-01-01T04:00:00+08:00",
		Args: cobra.ExactArgs(1), RunE: func(c *cobra.Command, args []string) error {
			content, err := os.ReadFile(args[0])
			if err != nil {
				return cli.WithCode(cli.ExitUsage, err)
			}
			from, err := instant(effective)
			if err != nil {
				return cli.WithCode(cli.ExitUsage, fmt.Errorf("--from: %w", err))
			}
			body := map[string]any{"kind": kind, "version": version, "scope": scope, "effective_ms": from}
			if kind == "tariff" {
				body["tariff"] = string(content)
			} else {
				if !json.Valid(content) {
					return cli.WithCode(cli.ExitUsage, fmt.Errorf("%s is no JSON", args[0]))
				}
				body["parameters"] = json.RawMessage(content)
			}
			return o.call(c, http.MethodPost, "documents", body)
		}}
	f := c.Flags()
	f.StringVar(&kind, "kind", "parameters", "parameters or tariff")
	f.StringVar(&version, "doc-version", "", "version of the document; needed")
	f.StringVar(&scope, "scope", "all", "all, line:NAME, station:NAME or terminal:ID")
	f.StringVar(&effective, "from", "1m", "when it takes effect: RFC 3339, or a time from now")
	_ = c.MarkFlagRequired("doc-version") // the flag is there
	return c
}

var errInstant = errors.New("want RFC 3339 or a duration such as 2h")

// instant reads an instant, or a duration from now, as Unix milliseconds.
func instant(text string) (int64, error) {
	if d, err := time.ParseDuration(text); err == nil {
		return time.Now().Add(d).UnixMilli(), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return 0, fmt.Errorf("%q: %w", text, errInstant)
	}
	return t.UnixMilli(), nil
}

func (o *office) withdraw() *cobra.Command {
	return &cobra.Command{Use: "withdraw KIND VERSION",
		Short: "Take back a document before it takes effect", Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			return o.call(c, http.MethodPost, documentPath(args)+"/withdraw", struct{}{})
		}}
}

func (o *office) orders() *cobra.Command {
	return &cobra.Command{Use: "orders", Short: "List the orders of degraded modes", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			text, err := o.send(c.Context(), http.MethodGet, "orders", nil)
			if err != nil {
				return err
			}
			var a struct {
				Orders []struct {
					disruption.Order
					Holds, Grace bool
				}
			}
			return o.print(c, text, &a, func(w io.Writer) {
				fmt.Fprintln(w, "order\tmode\tscope\tfrom\tuntil\tholds\tgrace\tby\tsecond\treason")
				for _, d := range a.Orders {
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%t\t%t\t%s\t%s\t%s\n", d.ID, d.Mode, d.Scope,
						at(int64(d.From)), at(int64(d.Until)), d.Holds, d.Grace, d.By, d.Second, d.Reason)
				}
			})
		}}
}

func (o *office) order() *cobra.Command {
	var scope, from, until, reason string
	var names []string
	for _, m := range disruption.Modes() {
		names = append(names, m.String())
	}
	c := &cobra.Command{Use: "order MODE", Short: "Order a degraded mode",
		Long: "MODE is " + strings.Join(names, ", ") + ". Gates obey a closed station and an emergency " +
			"release at once, the others after confirm; journeys are forgiven only by what two persons " +
			"stand behind.",
		Example: "  tapswitch terminals order train_fault --scope line:M1 --until 2h --reason 'signal failure'",
		Args:    cobra.ExactArgs(1), RunE: func(c *cobra.Command, args []string) error {
			body := map[string]any{"mode": args[0], "scope": scope, "reason": reason}
			for name, text := range map[string]string{"from_ms": from, "until_ms": until} {
				if text == "" {
					continue
				}
				ms, err := instant(text)
				if err != nil {
					return cli.WithCode(cli.ExitUsage, fmt.Errorf("--%s: %w", strings.TrimSuffix(name, "_ms"), err))
				}
				body[name] = ms
			}
			return o.call(c, http.MethodPost, "orders", body)
		}}
	f := c.Flags()
	f.StringVar(&scope, "scope", "", "all, line:NAME, station:NAME or terminal:ID; needed")
	f.StringVar(&from, "from", "", "when it begins: RFC 3339, or a time from now; now unless named")
	f.StringVar(&until, "until", "", "when it ends, likewise; needed")
	f.StringVar(&reason, "reason", "", "why; needed")
	for _, name := range []string{"scope", "until", "reason"} {
		_ = c.MarkFlagRequired(name) // the flag is there
	}
	return c
}

func (o *office) act(name, short string) *cobra.Command {
	return &cobra.Command{Use: name + " ORDER", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return o.call(c, http.MethodPost, "orders/"+url.PathEscape(args[0])+"/"+name, struct{}{})
		}}
}
