package gatedesk

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/call"
)

// grace is the command about journeys that were charged before their order was confirmed.
func (o *office) grace() *cobra.Command {
	c := &cobra.Command{Use: "grace",
		Short: "Give back what was charged before an order was confirmed",
		Long: "An order forgives journeys from when it is confirmed; what was charged before is given back " +
			"here. show lists the journeys and changes nothing; propose keeps the list; another person " +
			"confirms it, naming its number and sum; then each is given back once, by an entry of the open " +
			"day that names the charge. run tells what became of each."}
	var run string
	var journeys int
	var sum int64
	confirm := o.graceCall("confirm ORDER", "Have a proposed list given back, as the second person", http.MethodPost,
		"confirm", func() any { return map[string]any{"run": run, "journeys": journeys, "sum": sum} })
	confirm.Example = "  tapswitch terminals grace confirm oMZ3KQX7VBA --run h2kq7xna --journeys 4 --sum 2250"
	f := confirm.Flags()
	f.StringVar(&run, "run", "", "the list, as propose named it; needed")
	f.IntVar(&journeys, "journeys", 0, "how many journeys it has; needed")
	f.Int64Var(&sum, "sum", 0, "what is given back, in fen; needed")
	for _, name := range []string{"run", "journeys", "sum"} {
		_ = confirm.MarkFlagRequired(name) // the flag is there
	}
	none := func() any { return struct{}{} }
	c.AddCommand(o.graceCall("show ORDER", "List the journeys that an order forgives and that were charged",
		http.MethodGet, "", nil),
		o.graceCall("propose ORDER", "Keep the list for a second person to confirm", http.MethodPost, "propose", none),
		confirm, o.graceCall("drop ORDER", "Take a proposed list back", http.MethodPost, "drop", none),
		o.graceCall("run ORDER", "Show what became of the list", http.MethodGet, "run", nil))
	return c
}

// graceCall is a command that makes one call and prints what it answers.
func (o *office) graceCall(use, short, method, path string, body func() any) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			q := call.Request{Method: method, Path: "/v1/grace/" + url.PathEscape(args[0]), Wait: call.BulkWait}
			if path != "" {
				q.Path += "/" + path
			}
			if body != nil {
				q.Body = body()
			}
			text, err := o.Send(c.Context(), q)
			if err != nil {
				return err
			}
			var a graceList
			rows := a.rows
			if path == "confirm" || path == "drop" {
				rows = nil
			}
			return o.print(c, text, &a, rows)
		}}
}

// graceList is a list of journeys as it is answered.
type graceList struct {
	Run *struct {
		ID, Phase, By, Second string
		Journeys, Given, More int
		Sum                   int64
		GivenSum              int64 `json:"given_sum"`
	}
	Journeys []struct {
		Last4, Cause, Record, Date, From, To, State, Reason string
		At                                                  int64 `json:"at_ms"`
		Charged, Back                                       int64
	}
	Total, Waits int
	Sum          int64
}

// rows writes the list for people: of a card only its last digits.
func (a *graceList) rows(w io.Writer) {
	fmt.Fprintln(w, "card\tcharged at\tday\trecord\tcause\tfrom\tto\tcharged\tback\tstate")
	for i := range a.Journeys {
		j := &a.Journeys[i]
		state := j.State
		if j.Reason != "" {
			state += " " + j.Reason
		}
		fmt.Fprintf(w, "*%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\n", j.Last4, at(j.At), j.Date, j.Record, j.Cause,
			cmp.Or(j.From, "?"), cmp.Or(j.To, "?"), j.Charged, j.Back, state)
	}
	fmt.Fprintf(w, "%d journeys; %d wait, %d fen\n", a.Total, a.Waits, a.Sum)
	if r := a.Run; r != nil {
		fmt.Fprintf(w, "run %s: %s, %d journeys, %d fen, by %s", r.ID, r.Phase, r.Journeys, r.Sum, r.By)
		if r.Second != "" {
			fmt.Fprintf(w, " and %s; given back: %d, %d fen", r.Second, r.Given, r.GivenSum)
		}
		if r.More > 0 {
			fmt.Fprintf(w, "; %d more are for another run", r.More)
		}
		fmt.Fprintln(w)
	}
}
