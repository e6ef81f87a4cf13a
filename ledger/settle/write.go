package settle

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// ErrFormat reports an output format that Write does not know.
var ErrFormat = errors.New("unknown output format: want table, json or csv")

// Write writes the report as "table", "json" or "csv". Equal reports give equal bytes.
func Write(w io.Writer, format string, r Report) error {
	switch format {
	case "table":
		return r.WriteTable(w)
	case "json":
		return r.WriteJSON(w)
	case "csv":
		return r.WriteCSV(w)
	default:
		return fmt.Errorf("%w, got %q", ErrFormat, format)
	}
}

// WriteJSON writes one indented object and a newline. Amounts are minor units.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(r); err != nil {
		return fmt.Errorf("cannot write the report: %w", err)
	}
	return nil
}

// WriteCSV writes every figure as one line of section, up to three names, currency and
// numbers; a number that a section does not have is empty. Amounts are minor units.
func (r *Report) WriteCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	lines := [][]string{{"business_date", "section", "name", "name2", "name3", "currency", "count",
		"full_fare", "charged", "amount"}}
	add := func(section string, names [3]string, currency uint16, numbers ...string) {
		line := append([]string{r.BusinessDate, section}, names[:]...)
		line = append(line, number(int64(currency)))
		lines = append(lines, append(line, numbers...))
	}
	r.csvSummary(add)
	for _, l := range r.Kinds {
		add("kind", [3]string{l.Kind, l.Outcome}, l.Currency, number(l.Count), number(l.FullFare),
			number(l.Charged), "")
	}
	for _, l := range r.Discounts {
		add("discount", [3]string{l.Kind, l.Outcome, l.Cause}, l.Currency, number(l.Count), "", "",
			number(l.Amount))
	}
	for _, l := range r.Operators {
		add("operator", [3]string{l.Operator, "approved"}, l.Currency, number(l.Approved),
			number(l.FullFare), number(l.Charged), "")
		add("operator", [3]string{l.Operator, "declined"}, l.Currency, number(l.Declined), "",
			"", "")
	}
	for _, l := range r.Declines {
		add("decline", [3]string{l.Reason}, 0, number(l.Count), "", "", "")
	}
	for _, l := range r.Accounts {
		add("account", [3]string{l.Account}, l.Currency, number(l.Count), "", "", number(l.Amount))
	}
	for _, l := range r.Settlement {
		add("settlement", [3]string{l.Party}, l.Currency, number(l.Postings), "", "",
			number(l.Amount))
	}
	for _, l := range r.Buckets {
		add("bucket", [3]string{l.Bucket, l.First, l.Last}, 0, number(l.Rows), "", "", "")
	}
	if err := out.WriteAll(lines); err != nil {
		return fmt.Errorf("cannot write the report: %w", err)
	}
	return nil
}

// csvSummary adds the figures of the whole date.
func (r *Report) csvSummary(add func(string, [3]string, uint16, ...string)) {
	for _, s := range []struct {
		name  string
		value int64
	}{
		{"rows", r.Rows}, {"complete", truth(r.Complete)}, {"clean", truth(r.Clean)},
		{"closed_buckets", int64(r.Closed())}, {"unbalanced_records", r.Unbalanced},
		{"repeated_requests", r.Repeated}, {"dead_letters", r.DeadLetters},
	} {
		add("summary", [3]string{s.name}, 0, number(s.value), "", "", "")
	}
	for _, id := range r.RepeatedIDs {
		add("repeated_request", [3]string{id}, 0, "", "", "", "")
	}
	for _, l := range r.PostingSums {
		add("posting_sum", [3]string{}, l.Currency, "", "", "", number(l.Amount))
	}
}

// number writes an integer for CSV.
func number(n int64) string { return strconv.FormatInt(n, 10) }

// truth is 1 for true: CSV has numbers only in that column.
func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// WriteTable writes the report for a person.
func (r *Report) WriteTable(w io.Writer) error {
	var b strings.Builder
	r.tableHead(&b)
	table(&b, "Kind\tOutcome\tCur\tCount\tFull fare\tCharged\t", len(r.Kinds), func(i int) string {
		l := r.Kinds[i]
		return cells(l.Kind, l.Outcome, l.Currency, l.Count, money(l.FullFare, l.Currency),
			money(l.Charged, l.Currency))
	})
	table(&b, "Discount\tKind\tOutcome\tCur\tCount\tAmount\t", len(r.Discounts),
		func(i int) string {
			l := r.Discounts[i]
			return cells(l.Cause, l.Kind, l.Outcome, l.Currency, l.Count, money(l.Amount,
				l.Currency))
		})
	table(&b, "Operator\tCur\tApproved\tDeclined\tFull fare\tCharged\t", len(r.Operators),
		func(i int) string {
			l := r.Operators[i]
			return cells(l.Operator, l.Currency, l.Approved, l.Declined, money(l.FullFare,
				l.Currency),
				money(l.Charged, l.Currency))
		})
	table(&b, "Declined because\tCount\t", len(r.Declines), func(i int) string {
		return cells(r.Declines[i].Reason, r.Declines[i].Count)
	})
	table(&b, "Account\tCur\tPostings\tAmount\t", len(r.Accounts), func(i int) string {
		l := r.Accounts[i]
		return cells(l.Account, l.Currency, l.Count, money(l.Amount, l.Currency))
	})
	table(&b, "Settlement\tCur\tPostings\tAmount\t", len(r.Settlement), func(i int) string {
		l := r.Settlement[i]
		return cells(l.Party, l.Currency, l.Postings, money(l.Amount, l.Currency))
	})
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("cannot write the report: %w", err)
	}
	return nil
}

// tableHead says first what a reader must know before believing the rest: whether the day is
// complete and whether the books balance.
func (r *Report) tableHead(b *strings.Builder) {
	state := "complete"
	if !r.Complete {
		state = fmt.Sprintf("NOT complete: closed in %d of %d buckets, %d dead letters",
			r.Closed(), len(r.Buckets), r.DeadLetters)
	}
	fmt.Fprintf(b, "Business date %s, %d records, %s\n", r.BusinessDate, r.Rows, state)
	if r.Clean {
		fmt.Fprintln(b, "Books balance; no request booked twice.")
		return
	}
	books := "Books balance"
	off := func(s CurrencySum) bool { return s.Amount != 0 }
	if r.Unbalanced > 0 || slices.ContainsFunc(r.PostingSums, off) {
		books = "BOOKS DO NOT BALANCE"
	}
	fmt.Fprintf(b, "%s: %d unbalanced records; TO BE EXAMINED: %d requests booked twice\n", books,
		r.Unbalanced, r.Repeated)
	for _, s := range r.PostingSums {
		if s.Amount != 0 {
			fmt.Fprintf(b, "  all accounts of currency %d sum to %s\n", s.Currency,
				money(s.Amount, s.Currency))
		}
	}
	for _, id := range r.RepeatedIDs {
		fmt.Fprintf(b, "  booked twice: %s\n", id)
	}
}

// cells joins the cells of one line for table.
func cells(values ...any) string {
	var b strings.Builder
	for _, v := range values {
		fmt.Fprint(&b, v, "\t")
	}
	return b.String()
}

// table writes a head and n lines in columns, or nothing without lines.
func table(b *strings.Builder, head string, n int, line func(int) string) {
	if n == 0 {
		return
	}
	b.WriteByte('\n')
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, head)
	for i := range n {
		fmt.Fprintln(t, line(i))
	}
	_ = t.Flush() // a strings.Builder never fails
}
