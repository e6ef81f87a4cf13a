package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/ledger/settle"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/sim"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// demoDiffMax is how many differing figures a check quotes.
const demoDiffMax = 10

// demoReport is what a demonstration ends with. Everything in Figures, Settlement and Digest
// is the same for the same seed and number of cards.
type demoReport struct {
	Held   bool        `json:"held"`
	Seed   uint64      `json:"seed"`
	Cards  int         `json:"cards"`
	Digest string      `json:"digest"`
	Checks []demoCheck `json:"checks"`

	Figures    demoFigures        `json:"figures"`
	Settlement []settle.PartyLine `json:"settlement"`
	Latency    demoLatency        `json:"latency"`
	Crash      demoCrashLine      `json:"crash"`
}

// demoCheck is one thing that must hold.
type demoCheck struct {
	Name   string   `json:"name"`
	Held   bool     `json:"held"`
	Got    string   `json:"got"`
	Want   string   `json:"want"`
	Detail []string `json:"detail,omitempty"`
}

// demoFigures are the ledger's.
type demoFigures struct {
	Approved int64            `json:"approved"`
	Declined int64            `json:"declined"`
	Charged  int64            `json:"charged"`
	Purses   int64            `json:"purses"`
	Declines map[string]int64 `json:"declines"`
	Absorbed int              `json:"duplicates_absorbed"`
	Lost     int              `json:"lost_replies_resolved"`
	Frozen   int              `json:"frozen_uses_refused"`
}

// demoLatency is what the client measured, request to answer, in microseconds.
type demoLatency struct {
	Requests  int64   `json:"requests"`
	PerSecond float64 `json:"requests_per_second"`
	P50       int64   `json:"p50_us"`
	P90       int64   `json:"p90_us"`
	P99       int64   `json:"p99_us"`
	P999      int64   `json:"p999_us"`
	Max       int64   `json:"max_us"`
}

// demoCrashLine tells of the crash half way.
type demoCrashLine struct {
	Killed        bool  `json:"killed"`
	ReadyAfterMS  int64 `json:"ready_after_ms"`
	Interrupted   int   `json:"requests_interrupted"`
	LongestWaitMS int64 `json:"longest_wait_ms"`
}

// figuresOf reads the figures that the plan speaks of from the ledger's totals.
func figuresOf(r *settle.Report, p *sim.Plan) *sim.Figures {
	f := sim.NewFigures()
	for _, k := range r.Kinds {
		if kind, err := txn.ParseKind(k.Kind); err != nil || kind.IsMarker() {
			continue
		}
		f.Lines[sim.Line{Kind: k.Kind, Outcome: k.Outcome}] = sim.Sum{Count: k.Count,
			FullFare: txn.Minor(k.FullFare), Charged: txn.Minor(k.Charged)}
	}
	for _, d := range r.Declines {
		f.Declines[d.Reason] = d.Count
	}
	for _, o := range r.Operators {
		if _, ok := p.Want.Parties[o.Operator]; ok {
			f.Parties[o.Operator] = sim.Party{Approved: o.Approved, Declined: o.Declined,
				FullFare: txn.Minor(o.FullFare), Charged: txn.Minor(o.Charged)}
		}
	}
	for _, a := range r.Accounts {
		if a.Account == string(engine.AccountPurse) {
			f.Purse += txn.Minor(a.Amount)
		}
	}
	return f
}

// newDemoReport holds three accounts of one morning against each other: the plan's, the
// client's and the ledger's.
func newDemoReport(
	d *demo, o *sim.Outcome, ledger *sim.Figures, totals *settle.Report,
) *demoReport {
	r := &demoReport{
		Seed: d.plan.Seed, Cards: len(d.plan.Cards), Digest: ledger.Digest(),
		Figures: demoFigures{
			Approved: ledger.Count(txn.Approved), Declined: ledger.Count(txn.Declined),
			Charged: int64(ledger.Charged()), Purses: int64(ledger.Purse),
			Declines: ledger.Declines, Absorbed: o.Absorbed, Lost: o.Resolved,
			Frozen: o.FrozenRefused,
		},
		Settlement: totals.Settlement,
		Latency: demoLatency{Requests: o.Latency.TotalCount(),
			PerSecond: float64(o.Latency.TotalCount()) / o.Took.Seconds(),
			P50:       o.Latency.ValueAtQuantile(50), P90: o.Latency.ValueAtQuantile(90),
			P99: o.Latency.ValueAtQuantile(99), P999: o.Latency.ValueAtQuantile(99.9),
			Max: o.Latency.Max()},
		Crash: demoCrashLine{Killed: d.killed.happened, ReadyAfterMS: d.killed.back.Milliseconds(),
			Interrupted: o.Interrupted, LongestWaitMS: o.LongestOutage.Milliseconds()},
	}
	r.check(d, o, ledger, totals)
	r.Held = !slices.ContainsFunc(r.Checks, func(c demoCheck) bool { return !c.Held })
	return r
}

func (r *demoReport) check(d *demo, o *sim.Outcome, ledger *sim.Figures, totals *settle.Report) {
	client := o.Figures
	equal := func(name string, got, want int64, detail ...string) {
		r.Checks = append(r.Checks, demoCheck{Name: name, Held: got == want,
			Got: fmt.Sprint(got), Want: fmt.Sprint(want), Detail: detail})
	}
	none := func(name string, faults []string, count int) {
		r.Checks = append(r.Checks, demoCheck{Name: name, Held: count == 0,
			Got: fmt.Sprint(count), Want: "0", Detail: faults[:min(len(faults), demoDiffMax)]})
	}
	equal("records of approvals in the ledger, as the client saw", ledger.Count(txn.Approved),
		client.Count(txn.Approved))
	equal("records of declines in the ledger, as the client saw", ledger.Count(txn.Declined),
		client.Count(txn.Declined))
	equal("net sum in the ledger, as the client saw (fen; loads are negative)",
		int64(ledger.Charged()), int64(client.Charged()))
	diff := client.Diff(ledger)
	none("figures in which client and ledger differ", diff, len(diff))
	diff = d.plan.Want.Diff(ledger)
	none("figures in which plan and ledger differ", diff, len(diff))
	equal("money in purses, as planned (fen)", int64(ledger.Purse), int64(d.plan.Balances()))
	none("answers other than planned", o.Mismatches, o.MismatchCount)
	equal("uses of frozen cards refused", int64(o.FrozenRefused), int64(o.FrozenTried))
	equal("duplicates absorbed", int64(o.Absorbed), int64(o.Copies))
	equal("lost replies resolved", int64(o.Resolved), int64(o.Lost))
	equal("bad requests refused", int64(o.BadRefused), int64(o.BadTried))
	equal("records that do not balance", totals.Unbalanced, 0)
	equal("requests booked twice", totals.Repeated, 0, totals.RepeatedIDs...)
	equal("records that could not be read", totals.DeadLetters, 0)
	killed := int64(0)
	if d.killed.happened {
		killed = 1
	}
	equal("times the switch was killed", killed, 1)
}

// write prints the report.
func (r *demoReport) write(w io.Writer, form cli.Output) error {
	if form == cli.JSON {
		return cli.PrintJSON(w, r)
	}
	tab := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintf(tab, "\nseed %d, %d cards, digest %s\n\n", r.Seed, r.Cards, r.Digest)
	fmt.Fprint(tab, "CHECK\tGOT\tWANT\t\n")
	for _, c := range r.Checks {
		verdict := "held"
		if !c.Held {
			verdict = "BROKEN"
		}
		fmt.Fprintf(tab, "%s\t%s\t%s\t%s\n", c.Name, c.Got, c.Want, verdict)
		if !c.Held {
			for _, line := range c.Detail {
				fmt.Fprintf(tab, "  %s\n", line)
			}
		}
	}
	fmt.Fprint(tab, "\nSETTLEMENT\tYUAN\t\n")
	for _, p := range r.Settlement {
		fmt.Fprintf(tab, "%s\t%s\t\n", p.Party, yuan(p.Amount))
	}
	l := &r.Latency
	fmt.Fprintf(tab, "\nLATENCY\t%d requests, %.0f a second\t\n", l.Requests, l.PerSecond)
	fmt.Fprintf(tab, "p50\t%s\t\np90\t%s\t\np99\t%s\t\np99.9\t%s\t\nmax\t%s\t\n",
		micros(l.P50), micros(l.P90), micros(l.P99), micros(l.P999), micros(l.Max))
	c := &r.Crash
	fmt.Fprintf(tab, "\nCRASH\tready again after %d ms, %d requests interrupted and resolved, "+
		"the longest after %d ms\t\n", c.ReadyAfterMS, c.Interrupted, c.LongestWaitMS)
	verdict := "Everything held."
	if !r.Held {
		verdict = "NOT everything held."
	}
	fmt.Fprintf(tab, "\n%s\n", verdict)
	return tab.Flush()
}

// yuan writes an amount in fen as people read it.
func yuan(fen int64) string {
	sign := ""
	if fen < 0 {
		sign, fen = "-", -fen
	}
	return fmt.Sprintf("%s%d.%02d", sign, fen/100, fen%100)
}

func micros(us int64) string { return (time.Duration(us) * time.Microsecond).String() }

// serve prints how to talk to the switch and waits until it or ctx ends.
func (d *demo) serve(ctx context.Context, w io.Writer) error {
	at := d.node.where()
	token := d.node.data + "/" + adminTokenFile
	number := d.plan.Cards[0].Number.Digits()
	lines := []string{
		"The switch is running; Ctrl-C ends it.", "",
		"  gate     http://" + at.Gate + "    API: http://" + at.Gate + "/openapi.json",
		"  admin    http://" + at.Admin + "/metrics",
		"  data     " + d.node.data,
		"  token    " + token + " (a second person's: " + secondTokenFile + ")", "",
		"A card of the demo (a test number):", "",
		"  export TOKEN=$(cat " + token + ")",
		"  curl -s http://" + at.Gate + "/v1/cards:lookup -H \"Authorization: Bearer $TOKEN\" \\",
		"    -H 'Content-Type: application/json' -d '{\"card\":\"" + number + "\"}'",
		"  curl -s http://" + at.Gate + "/v1/freezes -H \"Authorization: Bearer $TOKEN\" \\",
		"    -H 'Content-Type: application/json' -d '{\"card\":\"" + number +
			"\",\"reason\":\"lost\",\"scope\":[\"all\"],\"note\":\"case 12\"}'",
		"  curl -s http://" + at.Gate + "/readyz",
		"  curl -s http://" + at.Admin + "/metrics | head", "",
	}
	if _, err := io.WriteString(w, strings.Join(lines, "\n")+"\n"); err != nil {
		return err
	}
	d.node.wait(ctx)
	return nil
}
