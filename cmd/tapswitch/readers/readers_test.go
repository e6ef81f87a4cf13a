package readers

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/deploy/analyst"
)

// run runs the command and returns what it printed.
func run(args ...string) (string, error) {
	c := Command()
	var out bytes.Buffer
	c.SetOut(&out)
	c.SetErr(&out)
	c.SetArgs(args)
	c.SilenceErrors, c.SilenceUsage = true, true
	err := c.Execute()
	return out.String(), err
}

func TestPrintsStatements(t *testing.T) {
	base, err := run("--database", "ledger")
	if err != nil || !strings.HasPrefix(base, "CREATE ROLE") || !strings.Contains(base, " ON ledger.") {
		t.Fatalf("%v\n%s", err, base)
	}
	for line := range strings.Lines(base) {
		if !strings.HasSuffix(line, ";\n") {
			t.Errorf("no statement: %s", line)
		}
	}
	own, err := run("--database", "ledger", "--operator", "M1", "--user", "m1_reader", "--json")
	var got []string
	if err != nil || json.Unmarshal([]byte(own), &got) != nil {
		t.Fatalf("%v\n%s", err, own)
	}
	want, err := (&analyst.Reader{Database: "ledger", Operator: "M1", User: "m1_reader"}).Statements()
	if err != nil || strings.Join(got, ";") != strings.Join(want, ";") {
		t.Errorf("%v: %q, want %q", err, got, want)
	}
}

func TestRefuses(t *testing.T) {
	for _, args := range [][]string{{"--operator", "M1"}, {"--user", "m1"},
		{"--password-sha256", strings.Repeat("a", 64)}, {"--operator", "M1'", "--user", "m1"},
		{"--database", "a.b"}} {
		if out, err := run(args...); cli.Code(err) != cli.ExitUsage || out != "" {
			t.Errorf("%v: %v %q", args, err, out)
		}
	}
}
