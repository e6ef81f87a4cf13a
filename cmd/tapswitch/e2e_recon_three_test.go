package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/encoding/simplifiedchinese"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/ledger/recon"
	"github.com/tapswitch/tapswitch/ledger/recon/book"
	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/sim/bankhost"
	"github.com/tapswitch/tapswitch/switch/sim/pos"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Reconciliation of three sides by the commands alone: the switch's ledger, the bank's clearing
// file, which is written from the bank's own book, and what terminals and operators claim.

// threeWay is a day of tills with what was planted in its files.
type threeWay struct {
	t      *testing.T
	w      *bankTown
	dir    string
	date   txn.BusinessDate
	suffix string
	cards  map[string]string // last four digits, by reference number
	flags  []string
}

// threeTills is how many tills sell, each threeSales times; the last settles rightly, and so do
// the others but threeLiar.
const (
	threeTills, threeSales = 4, 4
	threeLiar              = 2 // claims a tap too many
	threeLost              = 3 // the bank's file has nothing of its batch
	threeGap               = 4 // the bank's file lacks one line of it
)

// sold makes the day: sales, a refund, one that is undone, and the settlements of all tills.
func (d *threeWay) sold() {
	d.t.Helper()
	for n := 1; n <= threeTills; n++ {
		l := d.w.till(n)
		l.signOnPlain()
		own := message.Totals{}
		for i := range threeSales {
			s := l.sale(pos.Purchase, n*threeSales+i, int64(100*n+i), nil)
			l.want(s, "00")
			own.DebitAmount, own.DebitCount = own.DebitAmount+s.minor, own.DebitCount+1
			d.cards[s.rrn] = s.card.Last4().String()
		}
		undone := l.sale(pos.Purchase, 40, 999, nil)
		l.want(undone, "00")
		l.undo(undone, "00")
		verdict := message.Balanced
		if n == threeLiar {
			own.DebitAmount, own.DebitCount, verdict = own.DebitAmount+200, own.DebitCount+1, message.Unbalanced
		}
		if v := l.settle(own); v != verdict {
			d.t.Errorf("till %d: verdict %v, want %v", n, v, verdict)
		}
	}
	d.w.reconcile() // the bank's book and the ledger agree: what differs below was planted
}

// file writes the clearing file of what the bank has and keep lets through, in the bank's words.
func (d *threeWay) file(name string, keep func(e *bankhost.Entry) bool) string {
	d.t.Helper()
	var lines []string
	var total int64
	for _, e := range d.w.banks[0].Book().Entries {
		if e.Kind != bankhost.Purchase || !e.Approved() || !keep(&e) {
			continue
		}
		total += e.Minor
		lines = append(lines, fmt.Sprintf("10S22 %06d%s%-19s%012d%-8s%-15s%-40s%-12s%-6s%08d%-6s%s%-10s", e.STAN,
			e.At.UTC().Add(8*time.Hour).Format("0102150405"), "622260******"+d.cards[e.RRN], e.Minor, e.Terminal,
			"M0001", "地铁", e.RRN, e.Auth, uint32(d.date), "", "00", ""))
	}
	// Two Chinese characters are four bytes of GB18030 and two places of the format.
	text := strings.ReplaceAll(strings.Join(lines, "\r\n"), "地铁  ", "地铁")
	text = fmt.Sprintf("00%08d\r\n%s\r\n99%010d%016d%016d\r\n", uint32(d.date), text, len(lines), total, 0)
	out, err := simplifiedchinese.GB18030.NewEncoder().String(text)
	if err != nil {
		d.t.Fatal(err)
	}
	return d.write(name, out)
}

func (d *threeWay) write(name, text string) string {
	d.t.Helper()
	path := filepath.Join(d.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
	return path
}

// rides writes the operator's own list: everything that was sold.
func (d *threeWay) rides() string {
	d.t.Helper()
	text := "device,trace,reference,card,fare,tapped_at,operator\n"
	for _, r := range d.w.node.parquet() {
		if _, ok := d.cards[r.RRN]; !ok || r.Kind != txn.BankPurchase {
			continue
		}
		text += fmt.Sprintf("%s,%06d,%s,%s,%d,%s,M5\n", strings.TrimSuffix(r.Request.Terminal.String(), d.suffix),
			r.STAN, r.RRN, r.Last4.String(), int64(r.Charged),
			r.ServiceAt.Time().UTC().Add(8*time.Hour).Format("2006-01-02 15:04:05"))
	}
	return d.write("rides.csv", text)
}

// run runs a command of reconciliation against the town's data.
func (d *threeWay) run(code int, args ...string) e2eResult {
	d.t.Helper()
	args = append(append([]string{"recon"}, args...), d.flags...)
	r := e2eCommand(d.t, nil, "", args...)
	if r.code != code {
		d.t.Fatalf("%v: exit code %d, want %d; said %s", args, r.code, code, r.short())
	}
	return r
}

// items lists the breaks of the book that stand so.
func (d *threeWay) items(standing ...string) (all []book.Item) {
	d.t.Helper()
	args := []string{"breaks", "--on", d.date.String(), "-o", "json"}
	if len(standing) > 0 {
		args = append(args, "--standing", strings.Join(standing, ","))
	}
	r := d.run(0, args...)
	if err := json.Unmarshal([]byte(r.stdout), &all); err != nil {
		d.t.Fatalf("%v: %s", err, r.short())
	}
	return all
}

// treeOf is every file below a folder with its content.
func treeOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		files[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestE2EReconThreeSides: a claim of one tap too many, a batch and a line that the bank's file
// lacks, and a batch that nobody else has are found, each with what differs, why and who stands
// alone; they are worked on, with their history; a second run gives the same bytes, and a dry
// run changes nothing.
func TestE2EReconThreeSides(t *testing.T) {
	t.Parallel()
	d := &threeWay{t: t, w: newBankTown(t, bankPlan{}), dir: t.TempDir(), cards: map[string]string{}}
	d.sold()
	var batches []struct {
		Terminal string `json:"terminal"`
	}
	list, err := d.w.command("batches", "-o", "json")
	if err := errors.Join(err, json.Unmarshal([]byte(list), &batches)); err != nil || len(batches) != threeTills {
		t.Fatalf("%v: %s", err, list)
	}
	d.suffix = batches[0].Terminal[8:]
	for _, r := range d.w.node.parquet() {
		d.date = max(d.date, r.BusinessDate)
	}
	if err := d.w.node.stop(); err != nil {
		t.Fatal(err)
	}
	d.flags = []string{"--data", d.w.node.dir}
	gap := d.gap()
	lost := pad8(threeLost)
	theirs := d.file("bank.txt", func(e *bankhost.Entry) bool { return e.Terminal != lost && e.RRN != gap })
	run := []string{"run", "--plan", d.plan(), "--day", d.date.String(), "--theirs", "clearing-fixed:" + theirs,
		"--third", "operator-csv:" + d.rides(), "--batches", d.write("batches.json", list),
		"--claims", "batch-claims:" + d.write("claims.csv",
			"terminal,batch,debits,debit_minor,credits,credit_minor\n00000009,000001,5,1500,0,0\n"),
		"--terminal-suffix", d.suffix}
	d.found(run, gap)
	d.worked()
	d.arrived(gap)
}

func pad8(n int) string { return fmt.Sprintf("%08d", n) }

// gap is the reference number of the line that the bank's file lacks.
func (d *threeWay) gap() string {
	d.t.Helper()
	for _, rrn := range slices.Sorted(maps.Keys(d.cards)) {
		for _, e := range d.w.banks[0].Book().Entries {
			if e.RRN == rrn && e.Terminal == pad8(threeGap) {
				return rrn
			}
		}
	}
	d.t.Fatal("the bank has nothing of the till")
	return ""
}

// plan is that of a clearing house whose day ends when nobody taps in this test.
func (d *threeWay) plan() string {
	d.t.Helper()
	text, err := os.ReadFile("../../deploy/recon/plan-clearing.yaml")
	if err != nil {
		d.t.Fatal(err)
	}
	hour := (time.Now().UTC().Hour() + 20) % 24
	return d.write("plan.yaml", strings.Replace(string(text), `cut_off: "23:00"`,
		fmt.Sprintf(`cut_off: "%02d:00"`, hour), 1))
}

// found runs dry, runs, and runs again.
func (d *threeWay) found(run []string, gap string) {
	d.t.Helper()
	before := treeOf(d.t, d.w.node.dir)
	dry, out := filepath.Join(d.dir, "dry"), filepath.Join(d.dir, "report")
	d.run(cli.ExitBreaks, append(run, "--dry-run", "--out", dry)...)
	if after := treeOf(d.t, d.w.node.dir); !maps.Equal(before, after) {
		d.t.Error("a dry run changed files")
	}
	kept := append(run, "--by", "mei", "--out", out)
	d.run(cli.ExitBreaks, kept...).expect(d.t, "7 breaks opened, 0 closed")
	first := treeOf(d.t, out)
	for path, text := range treeOf(d.t, dry) {
		if name := filepath.Base(path); first[filepath.Join(out, name)] != text || len(text) == 0 {
			d.t.Errorf("%s is another one than that of the dry run", name)
		}
	}
	d.run(cli.ExitBreaks, kept...).expect(d.t, "the same result")
	if second := treeOf(d.t, out); !maps.Equal(first, second) {
		d.t.Error("the second run gives other bytes")
	}
	type finding struct {
		recon.Difference
		recon.Cause
		recon.Party
		what string
	}
	got := map[finding]int64{}
	for _, b := range d.items() {
		r := b.Row()
		what := r.Text[recon.Terminal]
		if r.Text[recon.RRN] == gap {
			what = gap
		}
		got[finding{b.Difference, b.Cause, b.Odd, what}] += b.Gap
	}
	want := map[finding]int64{
		{recon.OtherClaim, recon.Unknown, recon.Claims, pad8(threeLiar)}:          -200,
		{recon.OtherClaim, recon.MissingBatch, recon.Claims, "00000009"}:          -1500,
		{recon.OursOnly, recon.MissingBatch, recon.Counterparty, pad8(threeLost)}: 4*100*threeLost + 6,
		{recon.OursOnly, recon.Unknown, recon.Counterparty, gap}:                  100 * threeGap,
	}
	if !maps.Equal(got, want) {
		d.t.Errorf("found %v, planted %v", got, want)
	}
}

// worked gives the false claim to somebody and resolves it by two persons.
func (d *threeWay) worked() {
	d.t.Helper()
	var id string
	for _, b := range d.items() {
		if b.Difference == recon.OtherClaim && b.Cause == recon.Unknown {
			id = b.ID
		}
	}
	step := func(code int, by string, args ...string) {
		d.t.Helper()
		d.run(code, append([]string{"resolve", id, "--by", by}, args...)...)
	}
	step(0, "mei", "--action", "assign", "--owner", "lan", "--note", "asks the shop")
	step(cli.ExitUsage, "lan", "--as", "explained")
	step(0, "lan", "--as", "written_off", "--note", "the till counted a void")
	step(cli.ExitConflict, "lan", "--action", "confirm")
	step(0, "mei", "--action", "reject", "--note", "ask again")
	step(0, "lan", "--as", "corrected", "--note", "totals of the till were put right")
	step(cli.ExitConflict, "lan", "--as", "paid", "--note", "twice")
	var item book.Item
	r := d.run(0, "show", id)
	if err := json.Unmarshal([]byte(r.stdout), &item); err != nil {
		d.t.Fatal(err)
	}
	var history []string
	for _, s := range item.History {
		history = append(history, s.Actor+" "+s.Action)
	}
	if got := strings.Join(history, ", "); item.Standing != book.Resolved || item.Owner != "lan" || item.Claim == nil ||
		item.Resolution != book.Corrected || len(item.Evidence) != 3 ||
		got != "mei opened, mei assign, lan resolve, mei reject, lan resolve" {
		d.t.Errorf("%s: %+v", got, item)
	}
}

// arrived is the next day: the bank's line comes, and its break closes by itself.
func (d *threeWay) arrived(gap string) {
	d.t.Helper()
	date := d.date.Next()
	d.date = date
	late := d.file("late.txt", func(e *bankhost.Entry) bool { return e.RRN == gap })
	text, err := os.ReadFile(late)
	if err != nil {
		d.t.Fatal(err)
	}
	last := fmt.Sprintf("%08d", uint32(d.previous()))
	i := strings.LastIndex(string(text), fmt.Sprintf("%08d", uint32(date))) // of its line, not of the file
	fixed := string(text[:i]) + last + string(text[i+8:])
	d.run(cli.ExitBreaks, "run", "--plan", d.plan(), "--day", date.String(), "--by", "mei",
		"--theirs", "clearing-fixed:"+d.write("late.txt", fixed)).expect(d.t, "0 breaks opened, 1 closed")
	closed := d.items("closed")
	if len(closed) != 1 || closed[0].Ours.Text[recon.RRN] != gap || len(d.items()) != 5 {
		d.t.Errorf("closed %+v, open %d", closed, len(d.items()))
	}
}

// previous is the day before.
func (d *threeWay) previous() txn.BusinessDate {
	return txn.DateOf(d.date.Time().Add(-time.Hour), time.UTC, 0)
}
