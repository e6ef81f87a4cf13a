package tools

import (
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/switch/scheme"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Scheme is the command that checks and shows the policies of cities.
func Scheme() *cobra.Command {
	c := &cobra.Command{Use: "scheme", Short: "Check and show the policy of a city"}
	c.AddCommand(schemeCheckCommand(), schemeShowCommand(), schemeCalendarCommand())
	return c
}

func schemeCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use: "check FILE...", Short: "Read policy files as strictly as the switch does",
		Long: "Reads each file. Every unknown key, missing value, value without source and contradiction\n" +
			"is told with file, line and key, and what to do. Exit code 1 says that a file is refused.",
		Example: "  tapswitch scheme check deploy/schemes/handan.yaml",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, files []string) error {
			var failed []error
			for _, name := range files {
				p, err := readPolicy(name)
				if err != nil {
					failed = append(failed, err)
					continue
				}
				clauses, rules := countSources(p)
				fmt.Fprintf(c.OutOrStdout(), "%s: %s, version %s: %d values with clause, %d product rules\n",
					name, p.City, p.Version, clauses, rules)
			}
			return errors.Join(failed...)
		},
	}
}

// readPolicy reads a file. One that is not there is a usage error, one that is refused is not.
func readPolicy(name string) (*scheme.Policy, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, cli.WithCode(cli.ExitUsage, err)
	}
	return scheme.Read(name, text)
}

func countSources(p *scheme.Policy) (clauses, rules int) {
	for _, s := range p.Settings() {
		if s.IsProductRule() {
			rules++
		} else {
			clauses++
		}
	}
	return clauses, rules
}

func schemeShowCommand() *cobra.Command {
	var form cli.Output
	c := &cobra.Command{
		Use: "show CITY", Short: "Print every value of a city's policy with its source",
		Example: "  tapswitch scheme show handan\n  tapswitch scheme show zhoushan -o json",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			p, err := scheme.Load(args[0])
			if errors.Is(err, scheme.ErrUnknownCity) {
				return cli.WithCode(cli.ExitNotFound, err)
			}
			if err != nil {
				return err
			}
			return printPolicy(c.OutOrStdout(), p, form)
		},
	}
	form.Add(c)
	return c
}

// settingRow is one value of a policy as scripts read it.
type settingRow struct {
	Key         string   `json:"key"`
	Value       string   `json:"value"`
	Clauses     []string `json:"clauses,omitempty"`
	Date        string   `json:"date,omitempty"`
	ProductRule string   `json:"product_rule,omitempty"`
}

func printPolicy(w io.Writer, p *scheme.Policy, form cli.Output) error {
	settings := p.Settings()
	if form == cli.JSON {
		rows := make([]settingRow, len(settings))
		for i, s := range settings {
			rows[i] = settingRow{s.Key, s.Value, s.Clauses(), s.Date.String(), s.ProductRule}
		}
		return cli.PrintJSON(w, rows)
	}
	if form == cli.CSV {
		return cli.WithCode(cli.ExitUsage, errors.New("a policy is printed as table or json"))
	}
	fmt.Fprintf(w, "%s, %s (%s), version %s\n", p.Name.EN, p.Name.ZH, p.City, p.Version)
	for _, text := range p.Texts {
		fmt.Fprintf(w, "%s: %s, in force %v\n", text.Prefix, text.Title.EN, text.InForce)
	}
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, s := range settings {
		fmt.Fprintf(t, "%s\t%s\t%s\n", s.Key, s.Value, s.Source)
	}
	return t.Flush()
}

func schemeCalendarCommand() *cobra.Command {
	var from string
	var working, days int
	c := &cobra.Command{
		Use: "calendar", Short: "Count working days",
		Long: "Prints the last day of a period that begins on a day, which itself is not counted. A day\n" +
			"beyond the calendar is an error that says to extend the file, never a guess; a day of a\n" +
			"year whose holidays were not published says so.",
		Example: "  tapswitch scheme calendar --from 2026-09-30 --working-days 15",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			begin, err := txn.ParseBusinessDate(from)
			if err != nil {
				return cli.WithCode(cli.ExitUsage, fmt.Errorf("--from: %w", err))
			}
			term := scheme.Term{N: working, Unit: scheme.WorkingDays}
			if c.Flags().Changed("days") {
				term = scheme.Term{N: days, Unit: scheme.Days}
			}
			return printPeriod(c.OutOrStdout(), begin, term)
		},
	}
	c.Flags().StringVar(&from, "from", "", "the day on which the period begins, YYYY-MM-DD")
	c.Flags().IntVar(&working, "working-days", 0, "length of the period in working days")
	c.Flags().IntVar(&days, "days", 0, "length of the period in calendar days")
	c.MarkFlagsOneRequired("working-days", "days")
	c.MarkFlagsMutuallyExclusive("working-days", "days")
	if err := c.MarkFlagRequired("from"); err != nil {
		panic("tools: internal error: " + err.Error())
	}
	return c
}

func printPeriod(w io.Writer, begin txn.BusinessDate, term scheme.Term) error {
	calendar, err := scheme.BuiltInCalendar()
	if err != nil {
		return err
	}
	end, err := calendar.Add(begin, term)
	if err != nil {
		return err
	}
	note := ""
	if calendar.Provisional(end) {
		note = " (provisional: the holidays of the year were not published)"
	}
	_, err = fmt.Fprintf(w, "%v %s%s\n", end, end.Time().Weekday(), note)
	return err
}
