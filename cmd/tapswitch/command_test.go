package main

import (
	"bytes"
	"testing"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
)

// command runs the program in this process.
func command(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	root := rootCommand()
	var b bytes.Buffer
	root.SetOut(&b)
	root.SetErr(&b)
	root.SetArgs(args)
	err := root.ExecuteContext(t.Context())
	if err != nil {
		b.WriteString(err.Error())
	}
	return b.String(), cli.Code(err)
}
