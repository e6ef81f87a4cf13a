// Package replaytable prints what a replay of real taps found, as a table or as JSON. It keeps
// nothing, changes nothing in the report and never ends the process.
package replaytable

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/switch/sim/szt"
)

// listMax is how many differences the table shows; -o json lists all.
const listMax = 50

// Write prints the report of a replay.
func Write(w io.Writer, form cli.Output, r *szt.Report) error {
	if form == cli.JSON {
		return cli.PrintJSON(w, r)
	}
	tab := tabwriter.NewWriter(w, 0, 4, 2, ' ', tabwriter.AlignRight)
	line := func(format string, args ...any) { fmt.Fprintf(tab, format+"\t\n", args...) }
	line("rows of the file\t%d", r.Rows)
	line("rows that cannot be read\t%d", r.RejectedRows)
	line("rows that stand twice\t%d", r.Duplicates)
	line("rows refused by the gate\t%d", r.Refused)
	line("rows without an answer\t%d", r.Unanswered)
	line("taps\t%d", r.Taps)
	line("approved\t%d", r.Approved)
	for _, kind := range slices.Sorted(maps.Keys(r.Kinds)) {
		line("  %s\t%d", kind, r.Kinds[kind])
	}
	for _, reason := range slices.Sorted(maps.Keys(r.Declined)) {
		line("declined %s\t%d", reason, r.Declined[reason])
	}
	line("journeys closed\t%d", r.Journeys)
	line("cards\t%d", r.Cards)
	line("loads\t%d", r.Loads)
	fmt.Fprintln(tab)
	operators(tab, r)
	fmt.Fprintln(tab)
	line("BUSINESS DATE\tAPPROVED\tDECLINED\tFULL FARE\tCHARGED")
	for _, d := range r.Days {
		line("%s\t%d\t%d\t%s\t%s", d.Date, d.Approved, d.Declined, yuan(int64(d.FullFare)),
			yuan(int64(d.Charged)))
	}
	if err := tab.Flush(); err != nil {
		return err
	}
	return differences(w, r)
}

func operators(tab io.Writer, r *szt.Report) {
	fmt.Fprint(tab, "OPERATOR\tROWS\tAPPROVED\tFULL FARE\tIN THE FILE\tCHARGED\tIN THE FILE\t\n")
	row := func(name string, rows, approved int64, amounts ...int64) {
		fmt.Fprintf(tab, "%s\t%d\t%d", name, rows, approved)
		for _, a := range amounts {
			fmt.Fprintf(tab, "\t%s", yuan(a))
		}
		fmt.Fprint(tab, "\t\n")
	}
	for _, o := range r.Operators {
		row(o.Operator, int64(o.Rows), o.Approved, int64(o.FullFare), int64(o.Sums.FullFare),
			int64(o.Charged), int64(o.Sums.Charged))
	}
	row("all", int64(r.Rows), int64(r.Approved), int64(r.FullFare), int64(r.FileFullFare),
		int64(r.Charged), int64(r.FileCharged))
}

// differences lists where file and ledger differ, the unexplained first.
func differences(w io.Writer, r *szt.Report) error {
	all := slices.Clone(r.Differences)
	slices.SortStableFunc(all, func(a, b szt.Difference) int {
		switch {
		case a.Explained == b.Explained:
			return 0
		case a.Explained:
			return 1
		default:
			return -1
		}
	})
	tab := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintf(tab, "\ndifferences: %d, unexplained: %d\n", len(all), r.Unexplained)
	if len(all) > 0 {
		fmt.Fprint(tab, "LINE\tCAUSE\tOPERATOR\tFULL FARE\tCHARGED\tDETAIL\n")
	}
	for _, d := range all[:min(len(all), listMax)] {
		detail := d.Detail
		if d.OfLine != 0 {
			detail = fmt.Sprintf("same as line %d", d.OfLine)
		}
		where := "-"
		if d.Line != 0 {
			where = fmt.Sprint(d.Line)
		}
		fmt.Fprintf(tab, "%s\t%s\t%s\t%s\t%s\t%s\n", where, d.Cause, d.Operator,
			yuan(int64(d.FullFare)), yuan(int64(d.Charged)), detail)
	}
	if n := len(all) - listMax; n > 0 {
		fmt.Fprintf(tab, "and %d more; -o json lists all\n", n)
	}
	return tab.Flush()
}

// yuan writes fen as yuan.
func yuan(fen int64) string {
	sign := ""
	if fen < 0 {
		sign, fen = "-", -fen
	}
	return fmt.Sprintf("%s%d.%02d", sign, fen/100, fen%100)
}
