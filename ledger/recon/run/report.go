package run

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/tapswitch/tapswitch/ledger/recon"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// File is one file of a report.
type File struct {
	Name string
	Text []byte
}

// Count is how many breaks there are of one difference and cause, and their gap.
type Count struct {
	Difference recon.Difference `json:"difference"`
	Cause      recon.Cause      `json:"cause"`
	Odd        recon.Party      `json:"odd,omitempty"`
	Breaks     int              `json:"breaks"`
	Gap        int64            `json:"gap"`
}

// Counts adds the breaks up by difference, cause and the side that disagrees.
func (res *Result) Counts() []Count {
	counts := []Count{}
	at := map[Count]int{}
	for _, b := range res.Breaks { // sorted by difference; the first break sets the order
		key := Count{Difference: b.Difference, Cause: b.Cause, Odd: b.Odd}
		i, ok := at[key]
		if !ok {
			i = len(counts)
			at[key] = i
			counts = append(counts, key)
		}
		counts[i].Breaks++
		counts[i].Gap += b.Gap
	}
	return counts
}

// Report returns the files of the result: summary.json, breaks.csv, three.csv and
// manifest.json with the SHA-256 of the others. CSV begins with a byte order mark, as
// spreadsheets in China want it. Equal results give equal bytes: no clock, host or path is in
// them.
func (res *Result) Report() ([]File, error) {
	summary, err := json.MarshalIndent(struct {
		*Result
		Counts []Count `json:"breaks"`
	}{res, res.Counts()}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("summary of %s: %w", res.Date, err)
	}
	breaks, err := table(breakHeader, len(res.Breaks), func(i int) []string {
		return breakLine(res.Breaks[i])
	})
	if err != nil {
		return nil, err
	}
	three, err := table(threeHeader, len(res.Accounts), func(i int) []string {
		return threeLine(&res.Accounts[i])
	})
	if err != nil {
		return nil, err
	}
	files := []File{{"summary.json", append(summary, '\n')}, {"breaks.csv", breaks},
		{"three.csv", three}}
	manifest, err := manifestOf(files)
	return append(files, manifest), err
}

func manifestOf(files []File) (File, error) {
	type line struct {
		Name   string `json:"name"`
		Bytes  int    `json:"bytes"`
		SHA256 string `json:"sha256"`
	}
	lines := []line{}
	for _, f := range files {
		sum := sha256.Sum256(f.Text)
		lines = append(lines, line{f.Name, len(f.Text), hex.EncodeToString(sum[:])})
	}
	text, err := json.MarshalIndent(lines, "", "  ")
	if err != nil {
		return File{}, fmt.Errorf("manifest: %w", err)
	}
	return File{"manifest.json", append(text, '\n')}, nil
}

// Digest is the SHA-256 over all files of the report, in hexadecimal digits.
func Digest(files []File) string {
	h := sha256.New()
	for _, f := range files {
		fmt.Fprintf(h, "%s %d\n", f.Name, len(f.Text))
		h.Write(f.Text) //nolint:errcheck // a hash never fails
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Write puts the files into a folder, which is made when it is not there.
func Write(dir string, files []File) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("cannot write the report: %w", err)
	}
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(dir, f.Name), f.Text, 0o640); err != nil {
			return fmt.Errorf("cannot write the report: %w", err)
		}
	}
	return nil
}

func table(header []string, n int, line func(int) []string) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("\ufeff")
	w := csv.NewWriter(&b)
	w.UseCRLF = true
	if err := w.Write(header); err != nil {
		return nil, fmt.Errorf("table of the report: %w", err)
	}
	for i := range n {
		if err := w.Write(line(i)); err != nil {
			return nil, fmt.Errorf("table of the report: %w", err)
		}
	}
	w.Flush()
	return b.Bytes(), w.Error()
}

var breakHeader = []string{"id", "difference", "cause", "odd", "gap_minor", "ours_minor",
	"theirs_minor", "claim_minor", "currency", "terminal", "batch", "stan", "rrn", "last4",
	"service_time_utc", "date_ours", "date_theirs", "opened", "owner", "where", "evidence"}

func breakLine(b *recon.Break) []string {
	row := b.Row()
	at := ""
	if row.At != 0 {
		at = row.At.Time().Format("2006-01-02T15:04:05.000Z")
	}
	line := []string{b.ID, string(b.Difference), string(b.Cause), string(b.Odd),
		strconv.FormatInt(b.Gap, 10), amountOf(b.Ours), amountOf(b.Theirs), amountOf(b.Claim),
		strconv.Itoa(int(row.Currency)), row.Text[recon.Terminal], row.Text[recon.Batch],
		row.Text[recon.STAN], row.Text[recon.RRN], row.Text[recon.Last4], at, dateOf(b.Ours),
		dateOf(b.Theirs), b.Opened.String(), b.Owner, b.Where, strings.Join(b.Evidence, "; ")}
	for i := range line {
		line[i] = harmless(line[i])
	}
	return line
}

// harmless keeps a spreadsheet from taking a text of a file for a formula.
func harmless(s string) string {
	if s == "" || !strings.ContainsRune("=+@\t\r", rune(s[0])) &&
		(s[0] != '-' || isNumber(s[1:])) {
		return s
	}
	return "'" + s
}

func isNumber(s string) bool {
	_, err := strconv.ParseUint(s, 10, 64)
	return err == nil
}

func amountOf(r *recon.Row) string {
	if r == nil {
		return ""
	}
	return strconv.FormatInt(r.Amount, 10)
}

func dateOf(r *recon.Row) string {
	if r == nil || r.Date == txn.BusinessDate(0) {
		return ""
	}
	return r.Date.String()
}

var threeHeader = []string{"terminal", "batch", "odd", "claimed_debits", "claimed_debit_minor",
	"claimed_credits", "claimed_credit_minor", "ledger_debits", "ledger_debit_minor",
	"ledger_credits", "ledger_credit_minor", "counterparty_debits", "counterparty_debit_minor",
	"counterparty_credits", "counterparty_credit_minor"}

func threeLine(a *recon.Account) []string {
	line := []string{harmless(a.Terminal), harmless(a.Batch), string(a.Odd)}
	for _, t := range []recon.Tally{a.Claimed, a.Ledger, a.Theirs} {
		for _, v := range []int64{t.Debits, t.Debit, t.Credits, t.Credit} {
			line = append(line, strconv.FormatInt(v, 10))
		}
	}
	return line
}
