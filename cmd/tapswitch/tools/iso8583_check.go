package tools

import (
	"fmt"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/switch/bank/message"
	messages "github.com/tapswitch/tapswitch/switch/bank/vector"
)

func isoCheckCommand() *cobra.Command {
	var form cli.Output
	var asJSON bool
	c := &cobra.Command{
		Use: "check FILE...", Short: "Read and write again every message of the files",
		Long: "Reads every vector of area iso8583 and says how many passed, failed or are not\n" +
			"supported: the message has to show exactly the fields that are expected, and to\n" +
			"pack to the same bytes again. A file is a JSON list of {id, area, inputs,\n" +
			"expected}; - is standard input. Vectors of other areas are those of `crypto\n" +
			"check` and counted as elsewhere. No value is printed. Exit code 6 says that a\n" +
			"vector failed.",
		Example: "  tapswitch iso8583 check vectors.json\n  tapswitch iso8583 check --json *.json",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, files []string) error {
			all, err := readVectors(c.InOrStdin(), files)
			if err != nil {
				return cli.WithCode(cli.ExitUsage, err)
			}
			if asJSON {
				form = cli.JSON
			}
			r := messages.CheckAll(all)
			shown := *r
			if form != cli.JSON {
				shown.Elsewhere = 0 // said below in other words
			}
			if err := printVectors(c.OutOrStdout(), &shown, form); err != nil {
				return err
			}
			if form != cli.JSON && r.Elsewhere > 0 {
				fmt.Fprintf(c.OutOrStdout(), "%d of other areas are checked elsewhere\n",
					r.Elsewhere)
			}
			if r.Failed > 0 {
				return cli.WithCode(cli.ExitBreaks, fmt.Errorf("%d of %d vectors failed", r.Failed,
					len(all)))
			}
			return nil
		},
	}
	form.Add(c)
	c.Flags().BoolVar(&asJSON, "json", false, "the same as -o json")
	return c
}

func isoSpecsCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "specs [NAME|FILE.yaml]", Short: "List the formats, or the fields of one",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return isoListSpecs(c, asJSON)
			}
			s, err := isoSpec(args[0], "")
			if err != nil {
				return cli.WithCode(cli.ExitNotFound, err)
			}
			return isoPrintSpec(c, s, asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return c
}

// isoSpecRow is a spec as it is listed.
type isoSpecRow struct {
	Name     string       `json:"name"`
	Title    string       `json:"title"`
	Envelope string       `json:"envelope"`
	Fields   []isoSpecTag `json:"fields,omitempty"`
}

// isoSpecTag is a field of a spec.
type isoSpecTag struct {
	Field    int    `json:"field"`
	Name     string `json:"name"`
	Format   string `json:"format"`
	Encoding string `json:"encoding"`
	Show     string `json:"show"`
}

func isoListSpecs(c *cobra.Command, asJSON bool) error {
	var rows []isoSpecRow
	for _, name := range message.Names() {
		s, err := message.Named(name)
		if err != nil {
			return err
		}
		rows = append(rows, isoSpecRow{Name: name, Title: s.Title(),
			Envelope: s.Envelope().String()})
	}
	slices.SortFunc(rows, func(a, b isoSpecRow) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	if asJSON {
		return cli.PrintJSON(c.OutOrStdout(), rows)
	}
	t := tabwriter.NewWriter(c.OutOrStdout(), 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "name\tenvelope\ttitle")
	for _, r := range rows {
		fmt.Fprintf(t, "%s\t%s\t%s\n", r.Name, r.Envelope, r.Title)
	}
	return t.Flush()
}

func isoPrintSpec(c *cobra.Command, s *message.Spec, asJSON bool) error {
	row := isoSpecRow{Name: s.Name(), Title: s.Title(), Envelope: s.Envelope().String()}
	for _, n := range s.Numbers() {
		f, _ := s.Field(n)
		row.Fields = append(row.Fields, isoSpecTag{n, f.Name, isoFieldFormat(f),
			isoEncoding(f.Encoding),
			isoShow(f.Show)})
	}
	if asJSON {
		return cli.PrintJSON(c.OutOrStdout(), row)
	}
	fmt.Fprintf(c.OutOrStdout(), "%s  %s  envelope %s\n", row.Name, row.Title, row.Envelope)
	t := tabwriter.NewWriter(c.OutOrStdout(), 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "field\tname\tformat\tencoding\tshown")
	for _, f := range row.Fields {
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\n", f.Field, f.Name, f.Format, f.Encoding, f.Show)
	}
	return t.Flush()
}

// isoFieldFormat writes a field's type and length as the standard does.
func isoFieldFormat(f message.FieldInfo) string {
	switch {
	case f.Min != f.Max && f.Min > 0:
		return fmt.Sprintf("%v%d..%d", f.Type, f.Min, f.Max)
	case f.Min != f.Max:
		return fmt.Sprintf("%v..%d", f.Type, f.Max)
	case f.Type == message.Signed:
		return fmt.Sprintf("%v%d", f.Type, f.Max-1) // without the sign
	}
	return fmt.Sprintf("%v%d", f.Type, f.Max)
}

func isoEncoding(e message.Encoding) string {
	return map[message.Encoding]string{message.BCD: "bcd", message.ASCII: "ascii",
		message.Raw: "raw",
		message.Hex: "hex"}[e]
}

func isoShow(s message.Show) string {
	return map[message.Show]string{message.ShowAll: "all", message.ShowPAN: "first 6, last 4",
		message.ShowHidden: "length"}[s]
}
