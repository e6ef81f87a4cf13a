package office

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/desk"
)

const drillsPath = "/v1/desk/drills"

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// drillView is a drill as the gate tells it.
type drillView struct {
	ID         string   `json:"id"`
	Runbook    string   `json:"runbook"`
	Steps      []string `json:"steps"`
	People     []string `json:"people"`
	StartedBy  string   `json:"started_by"`
	StartedAt  string   `json:"started_at"`
	FinishedBy string   `json:"finished_by"`
	FinishedAt string   `json:"finished_at"`
	Conclusion string   `json:"conclusion"`
	Passed     bool     `json:"passed"`
	Done       []struct {
		No                      int
		Result, Finding, By, At string
	}
}

func (v *drillView) outcome() string {
	switch {
	case v.FinishedAt == "":
		return "open"
	case v.Passed:
		return "passed"
	default:
		return "failed"
	}
}

func drawDrill(p desk.Page, v *drillView) {
	p.Line("drill %s, %s   times are %s", v.ID, v.outcome(), desk.Zone())
	p.Line("started %s by %s with %s", desk.Moment(v.StartedAt), v.StartedBy, strings.Join(v.People, ","))
	rows := [][]string{{"STEP", "RESULT", "BY", "AT", "FINDING"}}
	for i, text := range v.Steps {
		row := []string{strconv.Itoa(i+1) + ". " + text, "", "", "", ""}
		for _, done := range v.Done {
			if done.No == i+1 {
				row = []string{row[0], done.Result, done.By, desk.Moment(done.At), done.Finding}
			}
		}
		rows = append(rows, row)
	}
	p.List("STEPS", rows)
	if v.FinishedAt != "" {
		p.Line("finished %s by %s: %s", desk.Moment(v.FinishedAt), v.FinishedBy, v.Conclusion)
	}
}

func drillCommand(d desk.Client) *cobra.Command {
	c := &cobra.Command{
		Use: "drill", Short: "Incident drills: runbooks, what is overdue, and the record",
		Example: "  tapswitch desk drill\n  tapswitch desk drill start lost-store --people li,zhao",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return drills(d, c) },
	}
	c.AddCommand(startDrillCommand(d), stepDrillCommand(d), finishDrillCommand(d), &cobra.Command{
		Use: "show DRILL", Short: "Show a drill with its steps", Args: cobra.ExactArgs(1),
		Example: "  tapswitch desk drill show lost-store.1772413200000",
		RunE: func(c *cobra.Command, args []string) error {
			var v drillView
			return d.Show(c, drillsPath+"/"+url.PathEscape(args[0]), &v, func(p desk.Page) { drawDrill(p, &v) })
		},
	})
	return c
}

func drills(d desk.Client, c *cobra.Command) error {
	var a struct {
		Runbooks []struct {
			Runbook, Title, Due string
			Days                int
			LastPassed          string `json:"last_passed"`
			Overdue             bool
			Drills              []drillView
		}
	}
	return d.Show(c, drillsPath, &a, func(p desk.Page) {
		rows := [][]string{{"RUNBOOK", "WHAT", "EVERY", "LAST PASSED", "DUE", "OVERDUE"}}
		held := [][]string{{"DRILL", "STARTED", "BY", "OUTCOME", "STEPS"}}
		for i := range a.Runbooks {
			r := &a.Runbooks[i]
			rows = append(rows, []string{r.Runbook, r.Title, strconv.Itoa(r.Days) + " days", desk.Moment(r.LastPassed),
				desk.Moment(r.Due), desk.Yes(r.Overdue)})
			for k := range r.Drills {
				v := &r.Drills[k]
				held = append(held, []string{v.ID, desk.Moment(v.StartedAt), v.StartedBy, v.outcome(),
					strconv.Itoa(len(v.Done)) + " of " + strconv.Itoa(len(v.Steps))})
			}
		}
		p.List("RUNBOOKS", rows)
		p.List("DRILLS", held)
	})
}

// sendDrill changes a drill and prints what it is then.
func sendDrill(d desk.Client, c *cobra.Command, path string, body any) error {
	text, err := d.Send(c.Context(), http.MethodPost, path, body)
	if err != nil {
		return err
	}
	var v drillView
	return d.Print(c, text, &v, func(p desk.Page) { drawDrill(p, &v) })
}

func startDrillCommand(d desk.Client) *cobra.Command {
	var people []string
	c := &cobra.Command{
		Use: "start RUNBOOK", Short: "Start a drill", Args: cobra.ExactArgs(1),
		Example: "  tapswitch desk drill start bank-away --people li,zhao",
		RunE: func(c *cobra.Command, args []string) error {
			return sendDrill(d, c, drillsPath, map[string]any{"runbook": args[0], "people": people})
		},
	}
	c.Flags().StringSliceVar(&people, "people", nil, "who takes part, by their names as operators")
	return c
}

func stepDrillCommand(d desk.Client) *cobra.Command {
	var result, finding string
	c := &cobra.Command{
		Use: "step DRILL NUMBER", Short: "Keep what became of a step", Args: cobra.ExactArgs(2),
		Example: "  tapswitch desk drill step lost-store.1772413200000 2 --finding '4 minutes'\n" +
			"  tapswitch desk drill step lost-store.1772413200000 3 --result failed --finding 'no copy was there'",
		RunE: func(c *cobra.Command, args []string) error {
			no, err := strconv.ParseUint(args[1], 10, 16)
			if err != nil {
				return desk.Usage("NUMBER: want the number of a step")
			}
			return sendDrill(d, c, drillsPath+"/"+url.PathEscape(args[0])+"/steps", map[string]any{"no": no, "result": result, "finding": finding})
		},
	}
	c.Flags().StringVar(&result, "result", "passed", "passed, failed or skipped")
	c.Flags().StringVar(&finding, "finding", "", "what was found; needed for what failed or was skipped")
	return c
}

func finishDrillCommand(d desk.Client) *cobra.Command {
	var conclusion string
	c := &cobra.Command{
		Use: "finish DRILL", Short: "Finish a drill; it has passed when no step failed", Args: cobra.ExactArgs(1),
		Example: "  tapswitch desk drill finish lost-store.1772413200000 --conclusion '12 minutes'",
		RunE: func(c *cobra.Command, args []string) error {
			return sendDrill(d, c, drillsPath+"/"+url.PathEscape(args[0])+"/finish", map[string]any{"conclusion": conclusion})
		},
	}
	c.Flags().StringVar(&conclusion, "conclusion", "", "what was learnt and what changes")
	return c
}

// finding is evidence as it is listed.
type findingView struct {
	Evidence struct {
		Number                   uint64
		Kind, Card, Last4, Why   string
		FoundAt                  int64 `json:"found_at"`
		Lost                     bool
		Previous, City, ID, Hash string
	}
	State *struct{ State string }
}

const (
	findingsPath = "/v1/desk/findings"
	scanPath     = findingsPath + ":scan"
)

func findingsCommand(d desk.Client) *cobra.Command {
	var after uint64
	var verify bool
	c := &cobra.Command{
		Use: "findings", Short: "Evidence: list it, verify the chain, look through days, decide",
		Long: "Days that have ended are looked through by the switch every night; scan does so for\n" +
			"other days, or again.",
		Example: "  tapswitch desk findings\n  tapswitch desk findings --verify\n" +
			"  tapswitch desk findings scan --from 2026-03-01 --to 2026-03-02",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if verify {
				return told(d, c, findingsPath+":verify")
			}
			var a struct{ Findings []findingView }
			return d.Show(c, findingsPath+"?after="+strconv.FormatUint(after, 10), &a, func(p desk.Page) {
				rows := [][]string{{"NUMBER", "KIND", "CARD", "LOST THEN", "STATE", "WHY"}}
				for i := range a.Findings {
					f := &a.Findings[i]
					state := "open"
					if f.State != nil && f.State.State != "" {
						state = f.State.State
					}
					rows = append(rows, []string{strconv.FormatUint(f.Evidence.Number, 10), f.Evidence.Kind,
						"****" + f.Evidence.Last4, desk.Yes(f.Evidence.Lost), state, f.Evidence.Why})
				}
				p.List("EVIDENCE", rows)
			})
		},
	}
	c.Flags().Uint64Var(&after, "after", 0, "only evidence after this number")
	c.Flags().BoolVar(&verify, "verify", false, "walk the chain: is any piece changed, moved or missing?")
	c.AddCommand(scanCommand(d), decideCommand(d), &cobra.Command{
		Use: "show NUMBER", Short: "A piece of evidence with its seal", Args: cobra.ExactArgs(1),
		Example: "  tapswitch desk findings show 7 -o json",
		RunE: func(c *cobra.Command, args []string) error {
			return told(d, c, findingsPath+"/"+url.PathEscape(args[0]))
		},
	})
	return c
}

func scanCommand(d desk.Client) *cobra.Command {
	var days ledgerSpan
	c := &cobra.Command{
		Use: "scan", Short: "Look through days of the ledger for what is evidence", Args: cobra.NoArgs,
		Example: "  tapswitch desk findings scan --from 2026-03-01 --to 2026-03-02",
		RunE: func(c *cobra.Command, _ []string) error {
			return d.Call(c, http.MethodPost, scanPath+"?"+days.query().Encode(), nil)
		},
	}
	days.flags(c)
	return c
}

func decideCommand(d desk.Client) *cobra.Command {
	fields := map[string]*string{"state": new(string), "body": new(string), "decision": new(string), "why": new(string)}
	c := &cobra.Command{
		Use: "decide NUMBER", Short: "Keep what a person made of evidence: filed, dismissed, withdrawn",
		Args: cobra.ExactArgs(1),
		Example: "  tapswitch desk findings decide 7 --state filed --body 'trust file office' --decision 2026-14 " +
			"--why 'three times'\n  tapswitch desk findings decide 8 --state dismissed --why 'a twin'",
		RunE: func(c *cobra.Command, args []string) error {
			body := map[string]any{}
			for name, value := range fields {
				if *value != "" {
					body[name] = *value
				}
			}
			return d.Call(c, http.MethodPost, findingsPath+"/"+url.PathEscape(args[0])+"/decisions", body)
		},
	}
	c.Flags().StringVar(fields["state"], "state", "", "filed, dismissed or withdrawn")
	c.Flags().StringVar(fields["body"], "body", "", "the body that it is filed with")
	c.Flags().StringVar(fields["decision"], "decision", "", "number of the decision")
	c.Flags().StringVar(fields["why"], "why", "", "the reason")
	return c
}
