// Package desk holds the commands of the card desk and of whoever runs it: clients of the
// operator calls of a running gate, over HTTP. A command changes something by one request at
// most (a list of people by one for each part), prints the gate's answer and turns an error
// answer into an exit code. It never repeats a request by itself: where nobody knows whether
// it was carried out, the error says how a person sends it again. Numbers of cards and papers
// are printed neither by a command nor in its errors.
package desk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
)

// What a person at the desk waits for, and the environment that the commands read.
const (
	Timeout   = 10 * time.Second // of one call
	BulkWait  = 40 * time.Second // of one call with a list: longer than the gate works on it
	AnswerMax = 4 << 20          // bytes of one answer

	TokenEnv = "TAPSWITCH_TOKEN" // the operator's token, where no file is named
	URLEnv   = "TAPSWITCH_URL"   // address of the gate
)

const (
	defaultURL  = "http://127.0.0.1:8583"
	tokenNeeded = "no token: give --token-file or set " + TokenEnv
)

// client speaks to the gate's operator calls.
type client struct {
	url       string
	tokenFile string
	lang      string
	form      cli.Output
}

func (d *client) add(c *cobra.Command) {
	url := os.Getenv(URLEnv)
	if url == "" {
		url = defaultURL
	}
	c.PersistentFlags().StringVar(&d.url, "url", url, "address of the gate ("+URLEnv+")")
	c.PersistentFlags().StringVar(&d.tokenFile, "token-file", "",
		"file with the operator's token (else "+TokenEnv+")")
	d.form = cli.Table
	c.PersistentFlags().VarP(&d.form, "output", "o", "table or json")
	c.PersistentFlags().StringVar(&d.lang, "lang", langEnglish,
		"language of what the gate says: en or zh")
}

func (d *client) token() (string, error) { return Token(d.tokenFile) }

// Token reads an operator's token from a file, or for "" from the environment (TokenEnv).
func Token(file string) (string, error) {
	if file == "" {
		if t := os.Getenv(TokenEnv); t != "" {
			return t, nil
		}
		return "", cli.WithCode(cli.ExitUsage, errors.New(tokenNeeded))
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", cli.WithCode(cli.ExitUsage, fmt.Errorf("token file: %w", err))
	}
	return strings.TrimSpace(string(text)), nil
}

// patience is how long a call may take: lists and looks through the ledger take longer.
func patience(path string) time.Duration {
	path, _, _ = strings.Cut(path, "?")
	for _, slow := range []string{bulkPath, ":import", "/lists", ":scan", "/netting", "/retention"} {
		if strings.HasSuffix(path, slow) {
			return BulkWait
		}
	}
	return Timeout
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
	if d.form == cli.JSON {
		return cli.PrintJSON(c.OutOrStdout(), answer)
	}
	return printFields(c.OutOrStdout(), answer)
}

func (d *client) send(
	ctx context.Context, method, path string, body any,
) (json.RawMessage, error) {
	var payload io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("request: %w", err)
		}
		payload = bytes.NewReader(text)
	}
	return d.sendRaw(ctx, method, path, payload, map[string]string{"Content-Type": "application/json"})
}

// sendRaw sends a body as it is.
func (d *client) sendRaw(
	ctx context.Context, method, path string, payload io.Reader, header map[string]string,
) (json.RawMessage, error) {
	token, err := d.token()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience(path))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(d.url, "/")+path, payload)
	if err != nil {
		return nil, cli.WithCode(cli.ExitUsage, fmt.Errorf("--url: %w", err))
	}
	req.Header.Set("Authorization", "Bearer "+token)
	for name, value := range header {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, cli.WithCode(cli.ExitUnavailable,
			fmt.Errorf("the gate does not answer: %w", err))
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, AnswerMax))
	if err != nil {
		return nil, cli.WithCode(cli.ExitUnavailable,
			fmt.Errorf("the gate's answer broke off: %w", err))
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return nil, d.answerError(resp.StatusCode, text)
	}
	return text, nil
}

// ask sends one request and reads the answer into v.
func (d *client) ask(ctx context.Context, method, path string, body, v any) error {
	text, err := d.send(ctx, method, path, body)
	if err != nil {
		return err
	}
	return readAnswer(text, v)
}

func readAnswer(text []byte, v any) error {
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("the gate's answer cannot be read: %w", err)
	}
	return nil
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
	if d.form == cli.JSON {
		return cli.PrintJSON(c.OutOrStdout(), text)
	}
	if err := readAnswer(text, v); err != nil {
		return err
	}
	p := page{lang: d.lang}
	draw(&p)
	return p.flush(c.OutOrStdout())
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
