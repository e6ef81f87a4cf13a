package tools

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/crypto/vector"
)

// Crypto is the command that recomputes test vectors.
func Crypto() *cobra.Command {
	c := &cobra.Command{Use: "crypto", Short: "Check the cryptography against test vectors"}
	c.AddCommand(cryptoCheckCommand())
	return c
}

func cryptoCheckCommand() *cobra.Command {
	var form cli.Output
	c := &cobra.Command{
		Use: "check FILE...", Short: "Recompute every test vector of the files",
		Long: "Recomputes every vector and says, for each area, how many passed, failed or are not\n" +
			"supported. A file is a JSON list of {id, area, inputs, expected}; - is standard input.\n" +
			"Everything expected has to come out for a vector to pass. No value is printed. Exit\n" +
			"code 1 says that a vector failed. Areas: " + areaList() + "; those of iso8583\n" +
			"belong to the message codec and are counted as elsewhere.",
		Example: "  tapswitch crypto check vectors.json\n  tapswitch crypto check -o json *.json",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, files []string) error {
			all, err := readVectors(c.InOrStdin(), files)
			if err != nil {
				return cli.WithCode(cli.ExitUsage, err)
			}
			r := vector.CheckAll(all)
			if err := printVectors(c.OutOrStdout(), r, form); err != nil {
				return err
			}
			if r.Failed > 0 {
				return cli.WithCode(cli.ExitFailed,
					fmt.Errorf("%d of %d vectors failed", r.Failed, len(all)))
			}
			return nil
		},
	}
	form.Add(c)
	return c
}

func areaList() string {
	var s []byte
	for i, area := range vector.Areas() {
		switch {
		case i > 0 && i%8 == 0:
			s = append(s, ",\n"...)
		case i > 0:
			s = append(s, ", "...)
		}
		s = append(s, area...)
	}
	return string(s)
}

func readVectors(in io.Reader, files []string) ([]vector.Vector, error) {
	var all []vector.Vector
	for _, name := range files {
		vectors, err := readVectorFile(in, name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, vectors...)
	}
	return all, nil
}

func readVectorFile(in io.Reader, name string) ([]vector.Vector, error) {
	if name == "-" {
		return vector.Read(in)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return vector.Read(f)
}

func printVectors(w io.Writer, r *vector.Report, form cli.Output) error {
	if form == cli.JSON {
		return cli.PrintJSON(w, r)
	}
	for _, f := range r.Findings {
		fmt.Fprintf(w, "%-11s  %s %s: %s\n", f.Outcome, f.Area, f.ID, f.Why)
	}
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "area\tpassed\tfailed\tunsupported\t")
	for _, name := range slices.Sorted(maps.Keys(r.Areas)) {
		a := r.Areas[name]
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t\n", name, a.Passed, a.Failed, a.Unsupported)
	}
	fmt.Fprintf(t, "all\t%d\t%d\t%d\t\n", r.Passed, r.Failed, r.Unsupported)
	if err := t.Flush(); err != nil {
		return err
	}
	if r.Elsewhere > 0 {
		fmt.Fprintf(w, "%d of messages are checked elsewhere\n", r.Elsewhere)
	}
	return nil
}
