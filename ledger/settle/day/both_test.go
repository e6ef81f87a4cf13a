package day

import (
	"context"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/tapswitch/tapswitch/deploy/stack"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/ledger/warehouse/clickhouse"
	"github.com/tapswitch/tapswitch/ledger/warehouse/local"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// settledOn settles the day of an office on another warehouse that holds the same records.
func (o *office) settledOn(w warehouse.Warehouse) map[string]string {
	o.t.Helper()
	all := o.memory.All()
	for len(all) > 0 {
		n := min(len(all), 700)
		if err := w.Append(context.Background(), all[:n]); err != nil {
			o.t.Fatal(err)
		}
		all = all[n:]
	}
	options := o.o
	options.Dir, options.Reader = filepath.Join(o.t.TempDir(), "finance"), w
	desk, err := OpenDesk(options)
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() { _ = desk.Close() })
	var run *Run
	for _, date := range []txn.BusinessDate{theDay, theDay.Next()} {
		if _, err := desk.CloseDay(o.t.Context(), date, "a"); err != nil {
			o.t.Fatal(err)
		}
		if run, err = desk.Settle(o.t.Context(), date, "a"); err != nil {
			o.t.Fatal(err)
		}
		if _, _, err := desk.Certify(o.t.Context(), date, certifier(o.t)); err != nil {
			o.t.Fatal(err)
		}
	}
	files := tree(o.t, filepath.Dir(filepath.Dir(run.Dir)))
	for name, text := range tree(o.t, filepath.Join(options.Dir, "certificates")) {
		files[name] = text
	}
	return files
}

// TestBothWarehouses: two days settled and certified on Parquet and on ClickHouse are the same
// bytes, certificates included.
func TestBothWarehouses(t *testing.T) {
	stack.Require(t, stack.ClickHouse)
	o := newOffice(t, 20, 3000)
	o.append(o.chain.CloseDay())
	o.append(o.chain.Batch(2000))
	o.append(o.chain.CloseDay())
	parquet, err := local.Open(local.Options{Dir: filepath.Join(t.TempDir(), "warehouse")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = parquet.Close() })
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
	want, got := o.settledOn(parquet), o.settledOn(click)
	if !reflect.DeepEqual(want, got) {
		for name, text := range want {
			if got[name] != text {
				t.Errorf("%s differs", name)
			}
		}
	}
	if len(want) < 40 {
		t.Errorf("%d files of two days", len(want))
	}
}
