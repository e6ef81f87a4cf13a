package day

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/deploy/stack"
	"github.com/tapswitch/tapswitch/ledger/settle/chart"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/ledger/warehouse/clickhouse"
	"github.com/tapswitch/tapswitch/ledger/warehouse/local"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// outcome is all that two warehouses with the same records must agree on.
type outcome struct {
	files    map[string]string
	totals   []warehouse.Totals
	hours    []warehouse.Hours
	records  []txn.Record
	balances [][]chart.Balance
}

// settledOn settles the days of an office on another warehouse, which deliver fills with the same
// records, with adjustments and a statement of the bank.
func (o *office) settledOn(w warehouse.Warehouse, deliver func(warehouse.Warehouse)) (out outcome) {
	o.t.Helper()
	deliver(w)
	options := o.o
	options.Dir, options.Reader = filepath.Join(o.t.TempDir(), "finance"), w
	desk, err := OpenDesk(options)
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() { _ = desk.Close() })
	must := func(err error) {
		o.t.Helper()
		if err != nil {
			o.t.Fatal(err)
		}
	}
	var run *Run
	for i, date := range []txn.BusinessDate{theDay, theDay.Next()} {
		a, err := desk.Propose(o.t.Context(), Adjustment{Date: date, Maker: "li.na", Text: "form 12",
			Currency: txn.CNY, Postings: []txn.Posting{{Account: "loss/M1", Amount: -501},
				{Account: "operator/M5", Amount: 501}}})
		must(err)
		_, err = desk.Decide(a.Seq, "wang.wei", true)
		must(err)
		if i == 0 {
			_, err = desk.Bank(statement(date.String(), 0, 5000, "cash/AGENT1 4000", "nobody 1000"), "li.na")
			must(err)
		}
		_, err = desk.CloseDay(o.t.Context(), date, "a")
		must(err)
		run, err = desk.Settle(o.t.Context(), date, "a")
		must(err)
		if run.Manifest.Breaks != 0 {
			text, _ := os.ReadFile(filepath.Join(run.Dir, "breaks.csv"))
			o.t.Fatalf("%d breaks of %s: %s", run.Manifest.Breaks, date, text)
		}
		_, _, err = desk.Certify(o.t.Context(), date, certifier(o.t))
		must(err)
	}
	out.files = tree(o.t, filepath.Dir(filepath.Dir(run.Dir)))
	for name, text := range tree(o.t, filepath.Join(options.Dir, "certificates")) {
		out.files[name] = text
	}
	out.read(o.t, w, &Books{Reader: w, Dir: options.Dir, Events: desk.journal.Events()})
	return out
}

// read asks a warehouse for everything that it answers of the two days.
func (out *outcome) read(t *testing.T, w warehouse.Warehouse, books *Books) {
	t.Helper()
	for _, date := range []txn.BusinessDate{theDay, theDay.Next()} {
		totals, err := w.Totals(t.Context(), date)
		if err != nil {
			t.Fatal(err)
		}
		if !totals.Clean() || !totals.Complete() {
			t.Errorf("%s: unbalanced %d, repeated %d", date, totals.Unbalanced, totals.Repeated)
		}
		hours, err := w.(warehouse.Hourly).Hours(t.Context(), date, txn.MillisOf(date.Time()))
		if err != nil {
			t.Fatal(err)
		}
		out.totals, out.hours = append(out.totals, totals), append(out.hours, hours)
	}
	err := w.Records(t.Context(), warehouse.Filter{}, func(r *txn.Record) error {
		out.records = append(out.records, *r)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	middle := out.records[len(out.records)/2]
	for _, m := range []Moment{{Date: theDay}, {Position: middle.Position}, {At: middle.ReceivedAt}} {
		trial, err := books.BalancesAt(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		out.balances = append(out.balances, trial)
	}
}

// inOrder delivers every record once.
func (o *office) inOrder(w warehouse.Warehouse) {
	o.t.Helper()
	all := o.memory.All()
	for batch := range slices.Chunk(all, 700) {
		if err := w.Append(context.Background(), batch); err != nil {
			o.t.Fatal(err)
		}
	}
}

// redelivered delivers as a stream does after faults: batches that come too early and are refused,
// each batch twice, the second time with the one before it, and everything once more at the end.
func (o *office) redelivered(w warehouse.Warehouse) {
	o.t.Helper()
	batches := slices.Collect(slices.Chunk(o.memory.All(), 300))
	must := func(err error) {
		o.t.Helper()
		if err != nil {
			o.t.Fatal(err)
		}
	}
	early := 0
	for i, batch := range batches {
		if i+1 < len(batches) && i%4 == 1 {
			if err := w.Append(context.Background(), batches[i+1]); errors.Is(err, warehouse.ErrGap) {
				early++
			} else if err != nil {
				o.t.Fatal(err)
			}
		}
		must(w.Append(context.Background(), batch))
		must(w.Append(context.Background(), slices.Concat(batches[max(i-1, 0)], batch)))
	}
	if early == 0 {
		o.t.Error("no batch came too early: the test tests less than it says")
	}
	for _, batch := range batches {
		must(w.Append(context.Background(), batch))
	}
}

// TestBothWarehouses: two days with everything that can be booked, settled and certified on Parquet
// and on ClickHouse, are the same: statements and certificates to the byte, totals, hours, records
// and balances, however often the records were delivered and the parts replayed.
func TestBothWarehouses(t *testing.T) {
	stack.Require(t, stack.ClickHouse)
	o := newOffice(t, 20, 2500)
	for range 2 {
		for b := range txn.Bucket(40) {
			if o.chain.Last(b).Epoch == 0 {
				o.append([]txn.Record{o.chain.Epoch(b)})
			}
			o.append(o.chain.Life(b))
		}
		o.append(o.chain.CloseDay())
		o.append(o.chain.Batch(1000))
	}
	parquet, err := local.Open(local.Options{Dir: filepath.Join(t.TempDir(), "warehouse")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = parquet.Close() })
	again, err := local.Open(local.Options{Dir: filepath.Join(t.TempDir(), "again")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = again.Close() })
	server, err := stack.StartClickHouse(context.Background(), stack.ClickHouseOptions{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	click, err := clickhouse.Open(t.Context(), clickhouse.Options{DSN: "http://" + server.Addr() +
		"/default", Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = click.Close() })
	want := o.settledOn(parquet, o.inOrder)
	if len(want.files) < 40 || len(want.records) != len(o.memory.All()) {
		t.Errorf("%d files of two days, %d records", len(want.files), len(want.records))
	}
	want.same(t, "Parquet after faults", o.settledOn(again, o.redelivered))
	want.same(t, "ClickHouse", o.settledOn(click, func(w warehouse.Warehouse) {
		o.redelivered(w)
		replayParts(t, server.Addr())
	}))
}

// replayParts puts every row into ClickHouse once more, past the switch, as a part that is attached
// twice or a replica that is behind does; nothing joins them.
func replayParts(t *testing.T, addr string) {
	t.Helper()
	for _, statement := range []string{"SYSTEM STOP MERGES records",
		"INSERT INTO records SELECT * FROM records",
		"SELECT throwIf(count() != 2 * uniqExact(bucket, epoch, seq)) FROM records"} {
		resp, err := http.Post("http://"+addr+"/?database=default", "text/plain", strings.NewReader(statement))
		if err != nil {
			t.Fatal(err)
		}
		said, err := io.ReadAll(resp.Body)
		if err := errors.Join(err, resp.Body.Close()); err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s %v", statement, said, err)
		}
	}
}

// same compares what two warehouses led to.
func (out *outcome) same(t *testing.T, what string, got outcome) {
	t.Helper()
	for name, text := range out.files {
		if got.files[name] != text {
			t.Errorf("%s: %s differs", what, name)
		}
	}
	for name, equal := range map[string]bool{"files": len(out.files) == len(got.files),
		"totals": reflect.DeepEqual(out.totals, got.totals), "hours": reflect.DeepEqual(out.hours, got.hours),
		"balances": reflect.DeepEqual(out.balances, got.balances),
		"records":  reflect.DeepEqual(out.records, got.records)} {
		if !equal {
			t.Errorf("%s: %s differ", what, name)
		}
	}
}
