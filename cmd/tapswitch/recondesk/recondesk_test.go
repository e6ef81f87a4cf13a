package recondesk_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/recondesk"
	"github.com/tapswitch/tapswitch/ledger/recon/plant"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// ledger is a warehouse of given records.
type ledger struct {
	warehouse.Reader
	records []txn.Record
	err     error
	book    string // the console's; one that is not there if empty
}

func (l *ledger) Add(*cobra.Command) {}

func (l *ledger) Book() (string, error) {
	if l.book == "wrong" {
		return "", cli.WithCode(cli.ExitUsage, errors.New("no such setting"))
	}
	return cmp.Or(l.book, filepath.Join("testdata", "none")), nil
}

func (l *ledger) Open(context.Context) (warehouse.Reader, func() error, error) {
	return l, func() error { return nil }, l.err
}

func (l *ledger) Records(_ context.Context, f warehouse.Filter, yield func(*txn.Record) error) error {
	for i := range l.records {
		if r := l.records[i]; f.Matches(&r) {
			if err := yield(&r); err != nil {
				return err
			}
		}
	}
	return nil
}

func purchase(t *testing.T, n int, charged txn.Minor) txn.Record {
	t.Helper()
	terminal, err := txn.ParseTerminalID("T0000001A1")
	if err != nil {
		t.Fatal(err)
	}
	r := txn.Record{Kind: txn.BankPurchase, Outcome: txn.Approved, Charged: charged, Currency: txn.CNY,
		BusinessDate: 20261120, Request: txn.RequestID{Terminal: terminal, Boot: 7, Counter: uint32(n)},
		STAN: uint32(n), RRN: fmt.Sprintf("%012d", n), ServiceAt: 1795140000000}
	copy(r.Last4[:], "1234")
	return r
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// command executes a command of reconciliation.
func command(t *testing.T, l *ledger, args ...string) (out string, code int, err error) {
	t.Helper()
	var b bytes.Buffer
	c := recondesk.Recon(l)
	c.SilenceErrors, c.SilenceUsage = true, true
	c.SetOut(&b)
	c.SetArgs(args)
	err = c.ExecuteContext(t.Context())
	return b.String(), cli.Code(err), err
}

const head = "device,batch,trace,reference,card,fare,tapped_at,operator\n"

func line(n, fare int) string {
	return fmt.Sprintf("T0000001,000007,%06d,%012d,1234,%d,2026-11-20 10:00:00,OP\n", n, n, fare)
}

// A day from files to resolved breaks: run, run again, list, show, resolve, and the next day.
func TestADayOfReconciliation(t *testing.T) {
	l := &ledger{records: []txn.Record{purchase(t, 1, 100), purchase(t, 2, 200), purchase(t, 3, 300)},
		book: filepath.Join(t.TempDir(), "none")}
	dir, out := filepath.Join(t.TempDir(), "book"), filepath.Join(t.TempDir(), "report")
	theirs := "operator-csv:" + write(t, "theirs.csv", head+line(1, 100)+line(2, 250))
	batches := write(t, "batches.json", `[{"terminal":"T0000001A1","batch":7,
		"terminal_totals":{"debit_amount":600,"debit_count":3}}]`)
	args := []string{"run", "--plan", "plan-clearing", "--day", "2026-11-20", "--theirs", theirs,
		"--third", theirs, "--batches", batches, "--terminal-suffix", "A1"}
	kept := append(args, "--book", dir, "--by", "mei")

	text, code, err := command(t, l, append(args, "--dry-run", "--out", out)...)
	if code != cli.ExitBreaks || !strings.Contains(text, "counterparty disagrees") {
		t.Fatalf("%d %v\n%s", code, err, text)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("a dry run kept something")
	}
	dry := report(t, out)
	text, code, err = command(t, l, append(kept, "--out", out)...)
	if code != cli.ExitBreaks || !strings.Contains(text, "2 breaks opened") {
		t.Fatalf("%d %v\n%s", code, err, text)
	}
	if report(t, out) != dry {
		t.Error("the report is another one than that of the dry run")
	}
	if text, _, _ = command(t, l, append(kept, "--out", out)...); !strings.Contains(text, "the same result") ||
		report(t, out) != dry {
		t.Errorf("the second run differs:\n%s", text)
	}

	text, code, err = command(t, l, "breaks", "--book", dir, "--on", "2026-11-23", "-o", "csv")
	rows, readErr := csv.NewReader(strings.NewReader(text)).ReadAll()
	if code != 0 || readErr != nil || len(rows) != 3 || rows[1][2] != "1" || rows[1][7] != "clearing-desk" {
		t.Fatalf("%d %v %v\n%s", code, err, readErr, text)
	}
	amount, only := rows[1][0], rows[2][0]
	if rows[1][4] != "amount" || rows[2][4] != "ours_only" {
		t.Errorf("%v", rows)
	}
	text, code, _ = command(t, l, "show", amount, "--book", dir)
	var item struct {
		Gap int64  `json:"gap"`
		Odd string `json:"odd"`
	}
	if err := json.Unmarshal([]byte(text), &item); err != nil || code != 0 || item.Gap != -50 || item.Odd != "ledger" {
		t.Errorf("%d %+v %v\n%s", code, item, err, text)
	}
	for _, c := range []struct {
		args []string
		code int
	}{
		{[]string{"resolve", amount, "--book", dir, "--by", "mei", "--as", "written_off", "--note", "small"}, 0},
		{[]string{"resolve", amount, "--book", dir, "--by", "mei", "--action", "confirm"}, cli.ExitConflict},
		{[]string{"resolve", amount, "--book", dir, "--by", "lan", "--action", "confirm"}, 0},
		{[]string{"resolve", amount, "--book", dir, "--by", "lan", "--as", "paid", "--note", "n"}, cli.ExitConflict},
		{[]string{"resolve", "none", "--book", dir, "--by", "lan", "--as", "paid", "--note", "n"}, cli.ExitNotFound},
		{[]string{"resolve", only, "--book", dir, "--by", "lan", "--as", "forgotten", "--note", "n"}, cli.ExitUsage},
		{[]string{"resolve", only, "--as", "paid"}, cli.ExitUsage},
		{[]string{"show", "none", "--book", dir}, cli.ExitNotFound},
		{[]string{"show", "none"}, cli.ExitNotFound},
	} {
		if text, code, err := command(t, l, c.args...); code != c.code {
			t.Errorf("%v: %d %v\n%s", c.args, code, err, text)
		}
	}

	// Without --book it is the console's.
	if text, _, _ := command(t, &ledger{book: dir}, "show", amount); !strings.Contains(text, amount) {
		t.Errorf("the console's book has no %s: %s", amount, text)
	}
	if _, code, _ := command(t, &ledger{book: "wrong"}, "breaks"); code != cli.ExitUsage {
		t.Errorf("without a setting: %d", code)
	}
	late := "operator-csv:" + write(t, "late.csv", head+line(3, 300))
	text, code, err = command(t, &ledger{}, "run", "--plan", "plan-clearing", "--day", "2026-11-21",
		"--theirs", late, "--book", dir, "--by", "mei")
	if code != 0 || !strings.Contains(text, "0 breaks opened, 1 closed") {
		t.Errorf("%d %v\n%s", code, err, text)
	}
	if text, _, _ = command(t, l, "breaks", "--book", dir, "-o", "json", "--on", "2026-11-23"); strings.TrimSpace(text) != "[]" {
		t.Errorf("open: %s", text)
	}
	if text, _, _ = command(t, l, "breaks", "--book", dir, "--standing", "closed", "--on", "2026-11-23"); !strings.Contains(text, only) {
		t.Errorf("closed: %s", text)
	}
	if _, code, _ = command(t, l, append(kept, "--theirs", late)...); code != cli.ExitConflict {
		t.Errorf("a day before the last one was changed: %d", code)
	}
}

func report(t *testing.T, dir string) string {
	t.Helper()
	var all string
	for _, name := range []string{"summary.json", "breaks.csv", "three.csv", "manifest.json"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		all += string(text)
	}
	return all
}

// What is asked for wrongly is told with the exit code that scripts look at.
func TestRunRefuses(t *testing.T) {
	good := write(t, "theirs.csv", head+line(1, 100))
	base := []string{"run", "--dry-run", "--plan", "plan-clearing", "--day", "2026-11-20"}
	with := func(args ...string) []string { return append(append([]string{}, base...), args...) }
	for name, c := range map[string]struct {
		args []string
		code int
	}{
		"no book":       {[]string{"run", "--plan", "plan-clearing", "--day", "2026-11-20"}, cli.ExitUsage},
		"no day":        {[]string{"run", "--dry-run", "--plan", "plan-clearing"}, cli.ExitUsage},
		"no plan":       {[]string{"run", "--dry-run", "--day", "2026-11-20"}, cli.ExitUsage},
		"plan unknown":  {[]string{"run", "--dry-run", "--day", "2026-11-20", "--plan", "none"}, cli.ExitNotFound},
		"plan wrong":    {[]string{"run", "--dry-run", "--day", "2026-11-20", "--plan", "camt053"}, cli.ExitUsage},
		"from after":    {with("--from", "2026-11-21"), cli.ExitUsage},
		"no layout":     {with("--theirs", good), cli.ExitUsage},
		"layout wrong":  {with("--theirs", "plan-bank:"+good), cli.ExitUsage},
		"no file":       {with("--theirs", "operator-csv:none.csv"), cli.ExitNotFound},
		"other layout":  {with("--theirs", "clearing-fixed:"+good), cli.ExitFailed},
		"wrong claims":  {with("--claims", "operator-csv:none"), cli.ExitNotFound},
		"wrong batches": {with("--batches", good), cli.ExitFailed},
		"no batches":    {with("--batches", "none"), cli.ExitNotFound},
		"an argument":   {with("x"), cli.ExitUsage},
		"nothing":       {base, 0},
	} {
		if text, code, err := command(t, &ledger{}, c.args...); code != c.code {
			t.Errorf("%s: %d %v\n%s", name, code, err, text)
		}
	}
	down := &ledger{err: cli.WithCode(cli.ExitUnavailable, errors.New("no answer"))}
	if _, code, _ := command(t, down, base...); code != cli.ExitUnavailable {
		t.Errorf("without a ledger: %d", code)
	}
}

func TestForms(t *testing.T) {
	ours := "operator-csv:" + write(t, "ours.csv", head+line(1, 100))
	for form, want := range map[string]string{"json": `"plan": "clearing"`, "csv": "\ufeffid,difference",
		"table": "ours_only"} {
		text, code, err := command(t, &ledger{}, "run", "--dry-run", "--plan", write(t, "p.yaml", plan), "--day",
			"2026-11-20", "--ours", ours, "-o", form)
		if code != cli.ExitBreaks || !strings.Contains(text, want) {
			t.Errorf("%s: %d %v\n%s", form, code, err, text)
		}
	}
}

const plan = "plan: clearing\nrules: [{name: r, key: [rrn]}]\nidentity: [[rrn]]\n"

func TestLint(t *testing.T) {
	bad := write(t, "bad.yaml", "layout: x\ncolour: red\n")
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"lint", "clearing-fixed", "plan-bank", write(t, "p.yaml", plan)}, 0, "clearing-fixed.yaml: ok: layout"},
		{[]string{"lint", bad}, cli.ExitBreaks, `bad.yaml:2: a layout has no "colour"`},
		{[]string{"lint", "none"}, cli.ExitNotFound, "known are"},
		{[]string{"lint", "./none.yaml"}, cli.ExitNotFound, "none.yaml"},
		{[]string{"lint"}, cli.ExitUsage, ""},
	} {
		text, code, err := command(t, &ledger{}, c.args...)
		if code != c.code || !strings.Contains(fmt.Sprint(text, err), c.want) {
			t.Errorf("%v: %d %v\n%s", c.args, code, err, text)
		}
	}
}

// The measurement checks itself: every planted cause is found in a file that was written and
// read.
func TestBench(t *testing.T) {
	text, code, err := command(t, &ledger{}, "bench", "--rows", "20000", "--planted", "200", "-o", "json",
		"--dir", t.TempDir())
	var f struct {
		Found int  `json:"found"`
		Exact bool `json:"every_cause_found_and_none_invented"`
	}
	if code != 0 || json.Unmarshal([]byte(text), &f) != nil || !f.Exact || f.Found != 200 {
		t.Errorf("%d %v\n%s", code, err, text)
	}
	if text, _, _ = command(t, &ledger{}, "bench", "--rows", "1000", "--planted", "0"); !strings.Contains(text, "exact") {
		t.Errorf("%s", text)
	}
	if _, code, _ = command(t, &ledger{}, "bench", "--rows", fmt.Sprint(plant.RowsMax+1)); code != cli.ExitUsage {
		t.Errorf("too many rows: %d", code)
	}
}
