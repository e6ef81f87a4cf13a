package desk

import (
	"context"
	"encoding/json"
	"io"
	"net/http"

	"github.com/spf13/cobra"
)

// Client speaks to the gate for commands that stand in other packages, with the flags of the
// desk's command. It is for one command at a time.
type Client struct{ d *client }

// Page is what a person reads.
type Page struct{ p *page }

// Send sends one request with a JSON body, nil for none, and returns the answer. An error
// answer is an error with its exit code.
func (c Client) Send(ctx context.Context, method, path string, body any) (json.RawMessage, error) {
	return c.d.send(ctx, method, path, body)
}

// Post sends a body as it is.
func (c Client) Post(
	ctx context.Context, path string, body io.Reader, header map[string]string,
) (json.RawMessage, error) {
	return c.d.sendRaw(ctx, http.MethodPost, path, body, header)
}

// Call sends one request and prints the answer by its fields, or whole.
func (c Client) Call(cmd *cobra.Command, method, path string, body any) error {
	return c.d.call(cmd, method, path, body)
}

// Show asks, and prints the answer: as it is for scripts, or as draw has it for people.
func (c Client) Show(cmd *cobra.Command, path string, v any, draw func(Page)) error {
	return c.d.show(cmd, path, v, func(p *page) { draw(Page{p}) })
}

// Print prints an answer: as it is for scripts, read into v and drawn for people; by its
// fields without draw.
func (c Client) Print(cmd *cobra.Command, answer json.RawMessage, v any, draw func(Page)) error {
	if draw == nil {
		return c.d.asItIs(cmd, answer)
	}
	return c.d.print(cmd, answer, v, func(p *page) { draw(Page{p}) })
}

// Line writes one line.
func (p Page) Line(format string, args ...any) { p.p.line(format, args...) }

// List writes a table whose first row is its head, or that there is none.
func (p Page) List(title string, rows [][]string) { p.p.list(title, "none", rows) }

// Moment writes an instant as people read it.
func Moment(text string) string { return moment(text) }

// Zone is the zone in which instants are printed.
func Zone() string { return zone() }

// Yuan writes a sum of minor units.
func Yuan(fen int64) string { return yuan(fen) }

// Yes writes yes or no.
func Yes(b bool) string { return yes(b) }

// Usage is an error of how a command was called.
func Usage(format string, args ...any) error { return usage(format, args...) }
