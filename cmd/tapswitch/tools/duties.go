package tools

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/switch/scheme/duty"
)

// dutyRow is a duty as scripts read it: test, or outside; pending says what nothing shows yet.
type dutyRow struct {
	ID      string   `json:"id"`
	Clauses []string `json:"clauses"`
	Duty    string   `json:"duty"`
	How     string   `json:"how"`
	Test    *string  `json:"test,omitempty"`
	Outside string   `json:"outside,omitempty"`
	Pending string   `json:"pending,omitempty"`
}

// Duties is the command that prints the register of duties.
func Duties() *cobra.Command {
	var form, city string
	c := &cobra.Command{
		Use: "duties", Short: "Print the duties of the rule books and how each is met",
		Long: "Prints what the rule books of five cities oblige the switch to do: clauses, duty, how it is\n" +
			"met and the test that shows it. A duty of people is listed as outside the switch with a\n" +
			"line why; one that is not shown in full says \"not yet\" and what is pending. Product rules\n" +
			"bear no clause. JSON is a list of objects with id, clauses, duty, how, and test or outside;\n" +
			"pending, where it stands, says what of the duty no test shows.",
		Example: "  tapswitch duties\n  tapswitch duties --city handan -o markdown\n" +
			"  tapswitch duties -o json",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			print, ok := dutyForms[form]
			if !ok {
				return cli.WithCode(cli.ExitUsage, fmt.Errorf(
					"--output %q is not table, json or markdown", form))
			}
			all := duty.All()
			if city != "" {
				if all, ok = duty.Of(city); !ok {
					return cli.WithCode(cli.ExitNotFound, fmt.Errorf("no duties of city %q, choose one of %s",
						city, strings.Join(duty.Cities(), ", ")))
				}
			}
			return print(c.OutOrStdout(), all)
		},
	}
	c.Flags().StringVarP(&form, "output", "o", string(cli.Table), "table, json or markdown")
	c.Flags().StringVar(&city, "city", "", "only the duties of this city: "+
		strings.Join(duty.Cities(), ", "))
	return c
}

// dutyForms are the ways of printing the register.
var dutyForms = map[string]func(io.Writer, []duty.Duty) error{
	"table": dutyTable, "json": dutyJSON, "markdown": dutyMarkdown,
}

func dutyJSON(w io.Writer, all []duty.Duty) error {
	rows := make([]dutyRow, 0, len(all))
	for _, d := range all {
		row := dutyRow{ID: d.ID, Clauses: append([]string{}, d.Clauses...), // a list, never null
			Duty: d.EN + " / " + d.ZH, How: d.How, Outside: d.Outside,
			Pending: d.Pending}
		if d.Outside == "" {
			row.Test = &d.Test
		}
		rows = append(rows, row)
	}
	return cli.PrintJSON(w, rows)
}

func dutyTable(w io.Writer, all []duty.Duty) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "state\tid\tclauses\tshown by\tduty")
	for _, d := range all {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", d.Status(), d.ID, clausesOf(d), shownBy(d), d.EN)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, dutyTotals(all))
	return err
}

func dutyMarkdown(w io.Writer, all []duty.Duty) error {
	var b strings.Builder
	b.WriteString("| state | clauses | duty | how | shown by |\n| --- | --- | --- | --- | --- |\n")
	for _, d := range all {
		fmt.Fprintf(&b, "| %s | %s | %s<br>%s | %s | %s |\n", d.Status(), clausesOf(d), d.EN, d.ZH,
			d.How, shownBy(d))
	}
	b.WriteString("\n" + dutyTotals(all) + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func clausesOf(d duty.Duty) string {
	if d.ProductRule() {
		return "product rule"
	}
	return strings.Join(d.Clauses, " ")
}

func shownBy(d duty.Duty) string {
	switch d.Status() {
	case duty.Met:
		return d.Test
	case duty.Outside:
		return d.Outside
	default:
		return "pending: " + d.Pending
	}
}

func dutyTotals(all []duty.Duty) string {
	n := map[duty.Status]int{}
	for _, d := range all {
		n[d.Status()]++
	}
	return fmt.Sprintf("%d duties: %d met, %d not yet, %d outside the switch", len(all), n[duty.Met],
		n[duty.NotYet], n[duty.Outside])
}
