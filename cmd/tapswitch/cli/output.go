package cli

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// Output is the form of a command's data, and the flag that chooses it.
type Output string

// The forms.
const (
	Table Output = "table"
	JSON  Output = "json"
	CSV   Output = "csv"
)

// Add gives a command the flag --output; a table is what it prints unasked.
func (o *Output) Add(c *cobra.Command) {
	*o = Table
	c.Flags().VarP(o, "output", "o", "table, json or csv")
}

// String returns the form's name.
func (o *Output) String() string { return string(*o) }

// Set reads the form's name.
func (o *Output) Set(s string) error {
	switch v := Output(s); v {
	case Table, JSON, CSV:
		*o = v
		return nil
	default:
		return fmt.Errorf("%q is not table, json or csv", s)
	}
}

// Type names the value in help texts.
func (o *Output) Type() string { return "form" }

// PrintJSON writes v indented, with a line end behind it.
func PrintJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// Warn tells people what they should mend, one line each.
func Warn(w io.Writer, lines ...string) {
	for _, line := range lines {
		fmt.Fprintln(w, "warning:", line)
	}
}
