package cli

import (
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// tree is a program with one group of two commands.
func tree() *cobra.Command {
	root := &cobra.Command{Use: "prog", SilenceErrors: true, SilenceUsage: true}
	group := &cobra.Command{Use: "gate", Example: "  prog gate show \\\n    G1   # a gate\n  prog gate copy a b"}
	nothing := func(*cobra.Command, []string) error { return nil }
	show := &cobra.Command{Use: "show TERMINAL", Args: cobra.ExactArgs(1), RunE: nothing}
	file := &cobra.Command{Use: "put TERMINAL FILE|DIR...", Args: cobra.MinimumNArgs(2), RunE: nothing}
	file.Flags().String("why", "", "")
	_ = file.MarkFlagRequired("why")
	receipt := &cobra.Command{Use: "receipt [ACCOUNT CASE]", Args: cobra.MaximumNArgs(2), RunE: nothing}
	group.AddCommand(show, file, receipt)
	root.AddCommand(group)
	root.SetOut(io.Discard)
	NameArguments(root)
	return root
}

// An error of the arguments names what is missing, gives an example and repeats nothing.
func TestNameArguments(t *testing.T) {
	for args, want := range map[string][]string{
		"gate show":                  {"prog gate show: TERMINAL is missing", "for example: prog gate show G1"},
		"gate show 6222 6223":        {"2 arguments, takes 1 at most"},
		"gate put":                   {"TERMINAL FILE|DIR is missing", "for example: prog gate put GATE07 file.json"},
		"gate put G1":                {"put: FILE|DIR is missing"},
		"gate put G1 a b":            {`"why" not set`, "usage: prog gate put"},
		"gate put G1 a --why x":      nil,
		"gate receipt":               nil,
		"gate receipt A 6222 6223":   {"takes 2 at most"},
		"gate 6222":                  {"prog gate has no such command", "see: prog gate --help"},
		"6222":                       {"prog has no such command", "see: prog --help"},
		"gate shwo":                  {"did you mean show?"},
		"gate":                       nil,
		"gate put G1 a b c --why 33": nil,
	} {
		c := tree()
		c.SetArgs(strings.Fields(args))
		err := c.Execute()
		if (err == nil) != (want == nil) {
			t.Errorf("%s: %v", args, err)
			continue
		}
		for _, text := range want {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%s: no %q in %v", args, text, err)
			}
		}
		if want != nil && (Code(err) != ExitUsage || strings.Contains(err.Error(), "6222")) {
			t.Errorf("%s: code %d: %v", args, Code(err), err)
		}
	}
}
