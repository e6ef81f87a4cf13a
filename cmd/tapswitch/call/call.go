// Package call is how the commands speak to a running switch over HTTP: the flags for address,
// token and form of output, one request for each call, and what an answer means. A call is
// never repeated. What goes wrong is told in one form: the code that the switch gave, which
// never changes, its words, and in a second line what to do; the exit code follows from the
// status (not found, conflict, unavailable, else failed). Whether a call was carried out that
// failed so is told by Doubtful. Answers longer than AnswerMax and those that are no JSON are
// errors (but CSV): half an answer is never printed. The package keeps no state and prints no token.
package call

import (
	"bytes"
	"cmp"
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
)

// What a person waits for, and the environment that the commands read.
const (
	Timeout   = 10 * time.Second // of one call
	BulkWait  = 40 * time.Second // of one call with a list: longer than the gate works on it
	AnswerMax = 4 << 20          // bytes of one answer

	TokenEnv   = "TAPSWITCH_TOKEN" // the operator's token, where no file is named
	URLEnv     = "TAPSWITCH_URL"   // address of the gate
	DefaultURL = "http://127.0.0.1:8583"
)

// Client speaks to one address.
type Client struct {
	// URL is the address, without a path.
	URL string
	// TokenFile holds the operator's token; "" means TokenEnv.
	TokenFile string
	// Form is how answers are printed.
	Form cli.Output
	// Lang is that of errors: English or Chinese, "" is English.
	Lang string
	// Name is what answers there, for errors: "gate" where it is empty.
	Name string
	// Advise says what to do about a refusal, "" where this package's own advice will do. May
	// be nil.
	Advise func(r *Refused, lang string) string
}

// Request is one call.
type Request struct {
	Method string // GET where empty
	Path   string // with its query
	Body   any    // sent as JSON; nil sends none
	// Raw is sent as it is where Body is nil; Header names its type.
	Raw    io.Reader
	Header map[string]string
	// Wait is how long the call may take: Timeout where it is 0.
	Wait time.Duration
	// Open marks what needs no token: none is read or sent.
	Open bool
}

// Add gives a command and those below it the flags --url, --token-file and --output.
func (c *Client) Add(cmd *cobra.Command) {
	f := cmd.PersistentFlags()
	f.StringVar(&c.URL, "url", cmp.Or(os.Getenv(URLEnv), DefaultURL), "address of the gate ("+URLEnv+")")
	c.AddToken(cmd)
	c.AddForm(cmd)
}

// AddToken gives a command the flag --token-file alone.
func (c *Client) AddToken(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVar(&c.TokenFile, "token-file", "",
		"file with the operator's token (else "+TokenEnv+")")
}

// AddForm gives a command the flag --output alone.
func (c *Client) AddForm(cmd *cobra.Command) {
	c.Form = cli.Table
	cmd.PersistentFlags().VarP(form{&c.Form}, "output", "o", "table or json")
}

// form is the flag of an output that has no CSV.
type form struct{ *cli.Output }

// Set takes table and json.
func (f form) Set(s string) error {
	if cli.Output(s) == cli.CSV {
		return fmt.Errorf("%q is not table or json", s)
	}
	if err := f.Output.Set(s); err != nil {
		return fmt.Errorf("%q is not table or json", s)
	}
	return nil
}

var errNoToken = errors.New("no token: give --token-file or set " + TokenEnv)

// Token reads an operator's token from a file, or for "" from the environment (TokenEnv).
// What is no token is a usage error.
func Token(file string) (string, error) {
	token, err := os.Getenv(TokenEnv), errNoToken
	if file != "" {
		text, readErr := os.ReadFile(file)
		if readErr != nil {
			return "", cli.WithCode(cli.ExitUsage, fmt.Errorf("token file: %w", readErr))
		}
		token = string(text)
		err = fmt.Errorf("the token file %s is empty: a new token is made by %s", file, newToken)
	}
	if token = strings.TrimSpace(token); token == "" {
		return "", cli.WithCode(cli.ExitUsage, err)
	}
	return token, nil
}

// Send makes one call and returns the answer: JSON, or nothing, or text that calls itself CSV. An answer that refuses is a
// Refused; all errors carry their exit code.
func (c *Client) Send(ctx context.Context, q Request) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(q.Wait, Timeout))
	defer cancel()
	r, err := c.request(ctx, &q)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, c.unavailable("does not answer", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, AnswerMax+1))
	if err != nil {
		return nil, c.unavailable("began an answer that broke off", err)
	}
	switch {
	case resp.StatusCode >= http.StatusBadRequest:
		return nil, c.Refusal(resp.StatusCode, text)
	case len(text) > AnswerMax:
		return nil, fmt.Errorf("the answer is longer than %d bytes: ask for less at once", AnswerMax)
	case strings.HasPrefix(resp.Header.Get("Content-Type"), "text/csv"):
	case len(text) > 0 && !json.Valid(text):
		return nil, c.unreadable(json.Unmarshal(text, new(any)))
	}
	return text, nil
}

func (c *Client) request(ctx context.Context, q *Request) (*http.Request, error) {
	token := ""
	if !q.Open {
		var err error
		if token, err = Token(c.TokenFile); err != nil {
			return nil, err
		}
	}
	payload := q.Raw
	if q.Body != nil {
		text, err := json.Marshal(q.Body)
		if err != nil {
			return nil, fmt.Errorf("request: %w", err)
		}
		payload = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, q.Method, strings.TrimRight(c.URL, "/")+q.Path, payload)
	if err == nil {
		err = checkAddress(r.URL)
	}
	if err != nil {
		return nil, cli.WithCode(cli.ExitUsage, fmt.Errorf("the address of the %s: %w", c.name(), err))
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if q.Body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for name, value := range q.Header {
		r.Header.Set(name, value)
	}
	return r, nil
}

func checkAddress(u *url.URL) error {
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("%s is none, want one like %s", u.Redacted(), DefaultURL)
	}
	return nil
}

func (c *Client) name() string { return cmp.Or(c.Name, "gate") }

func (c *Client) unavailable(what string, err error) error {
	return cli.WithCode(cli.ExitUnavailable, fmt.Errorf("the %s %s: %w\n  %s", c.name(), what, err,
		tr(c.Lang, "is it running (tapswitch run), and is "+c.URL+" its address?",
			"请确认交易系统已启动(tapswitch run),且地址 "+c.URL+" 正确")))
}

func (c *Client) unreadable(err error) error {
	return cli.WithCode(cli.ExitFailed, fmt.Errorf("the %s's answer cannot be read: %w\n  %s", c.name(), err,
		tr(c.Lang, "is "+c.URL+" the address of a switch, of the same version?",
			"请确认地址 "+c.URL+" 是同一版本的交易系统")))
}

// Read reads an answer into v.
func (c *Client) Read(text []byte, v any) error {
	if err := json.Unmarshal(text, v); err != nil {
		return c.unreadable(err)
	}
	return nil
}

// Ask makes one call and reads the answer into v.
func (c *Client) Ask(ctx context.Context, q Request, v any) error {
	text, err := c.Send(ctx, q)
	if err != nil {
		return err
	}
	return c.Read(text, v)
}

// Print writes an answer: as the switch gave it for scripts, where there is none as {}, or for
// people as the columns that rows writes once v is read. Without rows people get the JSON too.
func (c *Client) Print(w io.Writer, text json.RawMessage, v any, rows func(w io.Writer)) error {
	switch {
	case len(text) == 0 && c.Form != cli.JSON:
		return nil
	case len(text) == 0:
		text = json.RawMessage("{}")
	}
	if c.Form == cli.JSON || rows == nil {
		return cli.PrintJSON(w, text)
	}
	if err := c.Read(text, v); err != nil {
		return err
	}
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	rows(t)
	return t.Flush()
}
