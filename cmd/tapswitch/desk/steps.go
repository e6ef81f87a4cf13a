package desk

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
)

const stepsPath = "/v1/desk/steps"

// stepInfo is a step as the gate lists it.
type stepInfo struct {
	Step   string      `json:"step"`
	Roles  []string    `json:"roles"`
	Fields []stepField `json:"fields"`
}

type stepField struct {
	Name string `json:"name"`
	Want string `json:"want"`
}

func (d *client) steps(c *cobra.Command) ([]stepInfo, error) {
	var all struct{ Steps []stepInfo }
	if err := d.ask(c.Context(), http.MethodGet, stepsPath, nil, &all); err != nil {
		return nil, err
	}
	for i := range all.Steps {
		all.Steps[i].Fields = joined(all.Steps[i].Fields)
	}
	return all.Steps, nil
}

// joined makes one field of the parts of a list, such as numbers[].kind: it is set as a whole.
func joined(fields []stepField) []stepField {
	var out []stepField
	for _, f := range fields {
		name, _, list := strings.Cut(f.Name, "[]")
		switch {
		case !list:
			out = append(out, f)
		case len(out) == 0 || out[len(out)-1].Name != name:
			out = append(out, stepField{name, "list"})
		}
	}
	return out
}

func (d *client) step(c *cobra.Command, name string) (*stepInfo, error) {
	all, err := d.steps(c)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(s stepInfo) bool { return s.Step == name })
	if i < 0 {
		return nil, cli.WithCode(cli.ExitNotFound,
			fmt.Errorf("no step %q: tapswitch desk steps lists them", name))
	}
	return &all[i], nil
}

func stepsCommand(d *client) *cobra.Command {
	return &cobra.Command{
		Use: "steps [STEP]", Short: "What the desk can do: steps, who may, and what they take",
		Example: "  tapswitch desk steps\n  tapswitch desk steps report_loss",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return d.listSteps(c)
			}
			s, err := d.step(c, args[0])
			if err != nil || d.Form == cli.JSON {
				return orJSON(c, s, err)
			}
			p := page{lang: d.Lang}
			p.line("%s, for the roles %s", s.Step, words(s.Roles))
			rows := [][]string{{"FIELD", "WANTS"}}
			for _, f := range s.Fields {
				rows = append(rows, []string{f.Name, f.Want})
			}
			p.table(rows)
			return p.flush(c.OutOrStdout())
		},
	}
}

func orJSON(c *cobra.Command, v any, err error) error {
	if err != nil {
		return err
	}
	return cli.PrintJSON(c.OutOrStdout(), v)
}

func (d *client) listSteps(c *cobra.Command) error {
	all, err := d.steps(c)
	if err != nil || d.Form == cli.JSON {
		return orJSON(c, all, err)
	}
	rows := [][]string{{"STEP", "ROLES", "FIELDS"}}
	for _, s := range all {
		var names []string
		for _, f := range s.Fields {
			name, _, _ := strings.Cut(f.Name, ".")
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		rows = append(rows, []string{s.Step, words(s.Roles), words(names)})
	}
	var p page
	p.table(rows)
	return p.flush(c.OutOrStdout())
}

func doCommand(d *client) *cobra.Command {
	o := &order{d: d}
	var settings []string
	var file string
	c := &cobra.Command{
		Use: "do STEP", Short: "Carry out any step on an account",
		Long: "Carries out a step: tapswitch desk steps lists them with their fields. Fields are\n" +
			"given one by one with --set, nested ones with dots, or as one JSON object in a file;\n" +
			"--set wins. Where a field wants a card, - reads its number from standard input: the\n" +
			"account's number first, then those of --set in their order, one a line.",
		Example: "  tapswitch desk do open_function --card - --set app=library --set " +
			"channel=agency\n" +
			"  tapswitch desk do pay_fee --account T --outlet d1 --set no=1\n" +
			"  tapswitch desk do open_complaint --holder - --file complaint.json",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			step, err := d.step(c, args[0])
			if err != nil {
				return err
			}
			s := &sheet{c: c, args: args, order: o, numbers: newNumbers(c)}
			return s.run(step.Step, func(s *sheet) (map[string]any, error) {
				return step.fill(s.numbers, file, settings)
			})
		},
	}
	o.on.flags(c)
	o.flags(c)
	c.Flags().StringArrayVar(&settings, "set", nil, "one field as name=value, may be repeated")
	c.Flags().StringVar(&file, "file", "", "JSON file with the fields")
	return c
}

// fill makes what a step says from a file and settings.
func (s *stepInfo) fill(n *numbers, file string, settings []string) (map[string]any, error) {
	with := map[string]any{}
	if file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, usage("--file: %w", err)
		}
		if err := json.Unmarshal(text, &with); err != nil {
			return nil, usage("--file %s: want one JSON object with the fields of the step", file)
		}
	}
	for _, pair := range settings {
		name, text, ok := strings.Cut(pair, "=")
		i := slices.IndexFunc(s.Fields, func(f stepField) bool { return f.Name == name })
		switch {
		case !ok:
			return nil, usage("--set: want name=value")
		case i < 0:
			return nil, usage("--set: step %s has no such field; tapswitch desk steps %s shows "+
				"them", s.Step, s.Step)
		}
		value, err := s.Fields[i].value(n, text)
		if err != nil {
			return nil, err
		}
		if err := put(with, name, value); err != nil {
			return nil, err
		}
	}
	return with, nil
}

// value reads the text of a field as the gate wants it. Errors do not repeat it.
func (f *stepField) value(n *numbers, text string) (any, error) {
	switch {
	case strings.HasPrefix(f.Want, "card number"):
		return n.card("--set "+f.Name, text, "number of "+f.Name)
	case f.Want == "number", f.Want == "fen":
		value, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, usage("--set %s: want a whole number", f.Name)
		}
		return value, nil
	case f.Want == "true or false":
		value, err := strconv.ParseBool(text)
		if err != nil {
			return nil, usage("--set %s: want true or false", f.Name)
		}
		return value, nil
	case strings.HasPrefix(f.Want, "list"), f.Want == "applications":
		return strings.Split(text, ","), nil
	default:
		return text, nil
	}
}

// put sets a field in an object, where dots part the names of objects in objects.
func put(object map[string]any, name string, value any) error {
	first, rest, nested := strings.Cut(name, ".")
	if !nested {
		object[first] = value
		return nil
	}
	inner, ok := object[first].(map[string]any)
	if !ok {
		if object[first] != nil {
			return usage("--set %s: the file gives %s another form", name, first)
		}
		inner = map[string]any{}
		object[first] = inner
	}
	return put(inner, rest, value)
}
