package plant

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/tapswitch/tapswitch/ledger/recon"
)

// Layout describes what WriteFile writes: a file of fixed width with a header, and a trailer
// with count and totals.
const Layout = `layout: planted
format: fixed
encoding: gb18030
zone: "+08:00"
on_error: refuse
length: 133
records:
  - role: header
    when: {at: 1, is: H}
    columns: [{to: day, at: 2, width: 8, format: YYYYMMDD}]
  - role: detail
    when: {at: 1, is: D}
    columns:
      - {to: rrn, at: 2, width: 12}
      - {to: terminal, at: 14, width: 8}
      - {to: batch, at: 22, width: 6}
      - {to: stan, at: 28, width: 6}
      - {to: last4, at: 34, width: 16}
      - {to: amount, at: 50, width: 12}
      - {to: at, at: 62, width: 17, format: YYYYMMDDhhmmssfff}
      - {to: date, at: 79, width: 8, format: YYYYMMDD}
      - {to: status, at: 87, width: 2, map: {"00": approved, "05": declined}}
      - {to: merchant, at: 89, width: 15}
      - {to: operator, at: 104, width: 6}
      - {to: line, at: 110, width: 4}
      - {to: kind, at: 114, width: 20}
  - role: trailer
    when: {at: 1, is: T}
    columns: [{to: count, at: 2, width: 12}, {to: total, at: 14, width: 16}]
`

// WriteFile writes a side as a file of Layout.
func WriteFile(ctx context.Context, out io.Writer, from recon.Source) error {
	w := bufio.NewWriterSize(out, 1<<20)
	fmt.Fprintf(w, "H%d\r\n", uint32(Day))
	var count, total int64
	line := make([]byte, 0, 160)
	err := from.Rows(ctx, func(r *recon.Row) error {
		count++
		total += r.Amount
		line = appendLine(line[:0], r)
		_, err := w.Write(line)
		return err
	})
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", from.Name(), err)
	}
	fmt.Fprintf(w, "T%012d%016d\r\n", count, total)
	return w.Flush()
}

func appendLine(b []byte, r *recon.Row) []byte {
	status := "00"
	if r.Text[recon.Status] != "approved" {
		status = "05"
	}
	b = append(append(b, 'D'), r.Text[recon.RRN]...)
	b = append(append(append(b, r.Text[recon.Terminal]...), r.Text[recon.Batch]...), r.Text[recon.STAN]...)
	b = append(append(b, "622848******"...), r.Text[recon.Last4]...)
	b = append(b, pad(int(r.Amount), 12)...)
	at := r.At.Time().In(zone)
	b = at.AppendFormat(b, "20060102150405")
	b = append(b, pad(at.Nanosecond()/int(time.Millisecond), 3)...)
	b = strconv.AppendUint(b, uint64(r.Date), 10)
	b = append(append(b, status...), r.Text[recon.Merchant]...)
	for _, f := range []struct {
		field recon.Field
		width int
	}{{recon.Operator, 6}, {recon.Line, 4}, {recon.Kind, 20}} {
		b = append(b, r.Text[f.field]...)
		for range f.width - len(r.Text[f.field]) {
			b = append(b, ' ')
		}
	}
	return append(b, '\r', '\n')
}
