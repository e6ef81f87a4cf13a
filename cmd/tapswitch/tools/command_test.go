package tools

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
)

// execute runs a command that stands on its own and returns its exit code.
func execute(ctx context.Context, c *cobra.Command, in io.Reader, out, errOut io.Writer,
	args ...string) (code int, err error) {
	c.SilenceErrors, c.SilenceUsage = true, true
	c.SetIn(in)
	c.SetOut(out)
	c.SetErr(errOut)
	c.SetArgs(args)
	err = c.ExecuteContext(ctx)
	return cli.Code(err), err
}

// command runs a command and returns all that it says and its exit code.
func command(t *testing.T, c *cobra.Command, args ...string) (out string, code int) {
	t.Helper()
	var b bytes.Buffer
	code, err := execute(t.Context(), c, strings.NewReader(""), &b, &b, args...)
	if err != nil {
		b.WriteString(err.Error())
	}
	return b.String(), code
}
