package gatesim

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/call"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/switch/sim/gatesim"
)

func TestGatesToRun(t *testing.T) {
	w := &gatesim.World{Setup: gatesim.Setup{Gates: 4}}
	for _, c := range []struct {
		f           flags
		first, last int // from 0; -1 for a refusal
	}{
		{flags{}, 0, 3}, {flags{gate: 3}, 2, 2}, {flags{last: 2}, 0, 1}, {flags{first: 3}, 2, 3},
		{flags{gate: 5}, -1, 0}, {flags{first: 3, last: 2}, -1, 0}, {flags{gate: -1}, -1, 0},
	} {
		all, err := c.f.gates(w)
		if c.first < 0 {
			if err == nil {
				t.Errorf("%+v: %v", c.f, all)
			}
			continue
		}
		if err != nil || all[0] != c.first || all[len(all)-1] != c.last || len(all) != c.last-c.first+1 {
			t.Errorf("%+v: %v %v", c.f, all, err)
		}
	}
}

func TestExitCodes(t *testing.T) {
	good := gatesim.Report{Gate: "G1", Served: 2, Settled: 2}
	waits := gatesim.Report{Gate: "G1", Served: 2, Settled: 1, Waiting: 1}
	rejected := gatesim.Report{Gate: "G1", Served: 2, Settled: 1, Rejected: 1}
	odd := gatesim.Report{Gate: "G1", Served: 2, Settled: 1}
	for name, c := range map[string]struct {
		report    gatesim.Report
		undrained bool
		code      int
	}{
		"good": {good, false, 0}, "waits": {waits, false, cli.ExitFailed}, "may wait": {waits, true, 0},
		"rejected": {rejected, true, cli.ExitBreaks}, "odd": {odd, true, cli.ExitBreaks},
	} {
		if err := verdict([]*gatesim.Report{&good, &c.report}, c.undrained); cli.Code(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPrinting(t *testing.T) {
	reports := []*gatesim.Report{{Gate: "G1", Served: 2, ServedFen: 400, Settled: 2, SettledFen: 400,
		Held: 34, HeldFen: 6800, Passed: map[string]int{"listed": 3, "pass_back": 1}}}
	for form, want := range map[cli.Output][]string{
		cli.Table: {"G1", "all", "400", "listed:3 pass_back:1", "held", "6800", "not debited"},
		cli.JSON:  {`"gate": "G1"`, `"total": {`, `"settled_fen": 400`},
	} {
		o := flags{form: form}
		var out bytes.Buffer
		if err := o.print(&out, reports); err != nil {
			t.Fatal(err)
		}
		for _, text := range want {
			if !strings.Contains(out.String(), text) {
				t.Errorf("%s: no %q in %s", form, text, out.String())
			}
		}
	}
}

func TestUsage(t *testing.T) {
	t.Setenv(call.TokenEnv, "")
	for name, args := range map[string][]string{
		"no directory": {}, "arguments": {"--dir", t.TempDir(), "x"},
		"nothing there and no token": {"--dir", t.TempDir()},
		"another form":               {"--dir", t.TempDir(), "--upload", "xml"},
		"backwards":                  {"--dir", t.TempDir(), "--from-gate", "3", "--to-gate", "2"},
	} {
		c := Command()
		c.SetArgs(args)
		c.SetOut(io.Discard)
		c.SilenceUsage, c.SilenceErrors = true, true
		if err := c.ExecuteContext(t.Context()); cli.Code(err) != cli.ExitUsage {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Who asks for gates that are not there is told which are.
func TestGatesThatAreNotThere(t *testing.T) {
	w := &gatesim.World{Setup: gatesim.Setup{Gates: 3}}
	for want, f := range map[string]flags{
		"--gate 9: there are gates 1 to 3":      {gate: 9},
		"--from-gate 4: there are gates 1 to 3": {first: 4},
		"--to-gate 8: there are gates 1 to 3":   {last: 8},
		"--from-gate 3 is behind --to-gate 2":   {first: 3, last: 2},
	} {
		if _, err := f.gates(w); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// A flag of the first run that a later run gives otherwise is told, and only such a one.
func TestFlagsOfTheFirstRun(t *testing.T) {
	var o flags
	c := new(cobra.Command)
	o.add(c)
	if err := c.ParseFlags([]string{"--gates", "5", "--cards", "20", "--metro", "2"}); err != nil {
		t.Fatal(err)
	}
	w := &gatesim.World{Setup: o.asked()}
	if names := o.ignored(c, w); len(names) != 0 {
		t.Errorf("the same: %v", names)
	}
	w.Gates, w.Metro, w.Seed = 3, 0, 9
	if names := o.ignored(c, w); !slices.Equal(names, []string{"gates", "metro"}) {
		t.Errorf("%v", names)
	}
}
