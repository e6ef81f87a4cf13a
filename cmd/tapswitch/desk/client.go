// Package desk holds the commands of the card desk and of whoever runs it: clients of the
// operator calls of a running gate, over HTTP. A command changes something by one request at
// most (a list of people by one for each part), prints the gate's answer and turns an error
// answer into an exit code; see package call. It never repeats a request by itself: where nobody
// knows whether it was carried out, the error says how a person sends it again. Numbers of cards
// and papers are printed neither by a command nor in its errors.
package desk

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/call"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
)

// client speaks to the gate's operator calls.
type client struct{ call.Client }

func (d *client) add(c *cobra.Command) {
	d.Add(c)
	d.Advise = advise
	c.PersistentFlags().StringVar(&d.Lang, "lang", call.English,
		"language of what the gate says: en or zh")
}

func advise(r *call.Refused, lang string) string { return advice(r.Code, lang) }

// patience is how long a call may take: lists and looks through the ledger take longer.
func patience(path string) time.Duration {
	path, _, _ = strings.Cut(path, "?")
	for _, slow := range []string{bulkPath, ":import", "/lists", ":scan", "/netting", "/retention"} {
		if strings.HasSuffix(path, slow) {
			return call.BulkWait
		}
	}
	return call.Timeout
}

// call sends one request and prints the answer. An error answer becomes an error with its
// exit code; its text is the server's, which holds no card number.
func (d *client) call(c *cobra.Command, method, path string, body any) error {
	answer, err := d.send(c.Context(), method, path, body)
	if err != nil {
		return err
	}
	return d.asItIs(c, answer)
}

// asItIs prints an answer: whole for scripts, by its fields for people.
func (d *client) asItIs(c *cobra.Command, answer json.RawMessage) error {
	if d.Form == cli.JSON || len(answer) == 0 {
		return d.Print(c.OutOrStdout(), answer, nil, nil)
	}
	return printFields(c.OutOrStdout(), answer)
}

func (d *client) send(
	ctx context.Context, method, path string, body any,
) (json.RawMessage, error) {
	return d.Send(ctx, call.Request{Method: method, Path: path, Body: body, Wait: patience(path)})
}

// sendRaw sends a body as it is.
func (d *client) sendRaw(
	ctx context.Context, method, path string, payload io.Reader, header map[string]string,
) (json.RawMessage, error) {
	return d.Send(ctx, call.Request{Method: method, Path: path, Raw: payload, Header: header,
		Wait: patience(path)})
}

// ask sends one request and reads the answer into v.
func (d *client) ask(ctx context.Context, method, path string, body, v any) error {
	text, err := d.send(ctx, method, path, body)
	if err != nil {
		return err
	}
	return d.Read(text, v)
}

// show asks, and prints the answer: as it is for scripts, or by page for people.
func (d *client) show(c *cobra.Command, path string, v any, page func(*page)) error {
	text, err := d.send(c.Context(), http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	return d.print(c, text, v, page)
}

func (d *client) print(c *cobra.Command, text json.RawMessage, v any, draw func(*page)) error {
	if d.Form == cli.JSON {
		return d.Print(c.OutOrStdout(), text, nil, nil)
	}
	if err := d.Read(text, v); err != nil {
		return err
	}
	p := page{lang: d.Lang}
	draw(&p)
	return p.flush(c.OutOrStdout())
}

func usage(format string, args ...any) error {
	return cli.WithCode(cli.ExitUsage, fmt.Errorf(format, args...))
}

// printFields writes an object as lines of name and value, in the server's order.
func printFields(w io.Writer, text json.RawMessage) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		_, err := w.Write(append(text, '\n'))
		return err
	}
	tab := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return fmt.Errorf("answer: %w", err)
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return fmt.Errorf("answer: %w", err)
		}
		fmt.Fprintf(tab, "%v\t%s\n", name, strings.Trim(string(value), `"`))
	}
	return tab.Flush()
}
