package desk

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// page is what a person reads: lines and tables, in the order in which they are said. Times
// are those of this machine's zone.
type page struct {
	b    bytes.Buffer
	lang string
}

func (p *page) flush(w io.Writer) error {
	_, err := w.Write(p.b.Bytes())
	return err
}

// line writes one line.
func (p *page) line(format string, args ...any) {
	fmt.Fprintf(&p.b, format+"\n", args...)
}

// head begins a part, whose name stands in capitals.
func (p *page) head(title string) {
	if p.b.Len() > 0 {
		p.b.WriteByte('\n')
	}
	p.line("%s", title)
}

// table writes rows below each other; the first is the head.
func (p *page) table(rows [][]string) {
	t := tabwriter.NewWriter(&p.b, 0, 4, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			if row[i] = cell; cell == "" {
				row[i] = "-"
			}
		}
		fmt.Fprintf(t, "  %s\n", strings.Join(row, "\t"))
	}
	_ = t.Flush() // a buffer takes everything
}

// list writes a part with a table, or with a line that says there is nothing.
func (p *page) list(title, none string, rows [][]string) {
	p.head(title)
	if len(rows) <= 1 {
		p.line("  %s", none)
		return
	}
	p.table(rows)
}

// moment writes an instant as people read it; a day stays a day.
func moment(text string) string {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return text
	}
	return at.Local().Format("2006-01-02 15:04:05")
}

func zone() string { return time.Now().Format("MST (-07:00)") }

// yuan writes a sum.
func yuan(fen int64) string {
	sign := ""
	if fen < 0 {
		sign, fen = "-", -fen
	}
	return fmt.Sprintf("%s%d.%02d", sign, fen/100, fen%100)
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func words(list []string) string { return strings.Join(list, ",") }

// share writes how many of how many.
func share(covered, total int) string {
	if total == 0 {
		return "no gate is registered"
	}
	return fmt.Sprintf("%d of %d gates (%.1f %%)", covered, total,
		100*float64(covered)/float64(total))
}
