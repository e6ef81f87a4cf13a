package feed

import (
	"bytes"
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/deploy/stack"
	"github.com/tapswitch/tapswitch/ledger/settle"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/ledger/warehouse/clickhouse"
	"github.com/tapswitch/tapswitch/ledger/warehouse/local"
	"github.com/tapswitch/tapswitch/ledger/warehouse/warehousetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

func reports(t *testing.T, w warehouse.Reader, date txn.BusinessDate) string {
	t.Helper()
	totals, err := w.Totals(context.Background(), date)
	if err != nil {
		t.Fatal(err)
	}
	r, err := settle.NewReport(totals)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	for _, format := range []string{"json", "csv", "table"} {
		if err := settle.Write(&b, format, r); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

// TestWholeStack feeds the outbox over Kafka into ClickHouse, with answers of both lost on
// the way, and puts the same records into Parquet. Every record and every byte of the
// reports must be the same.
func TestWholeStack(t *testing.T) {
	t.Parallel()
	stack.Require(t, stack.Kafka, stack.ClickHouse)
	ctx := context.Background()
	l := newLine(t, sharedKafka(t), 20)
	server, err := stack.StartClickHouse(ctx, stack.ClickHouseOptions{Dir: t.TempDir()})
	must(err)
	t.Cleanup(func() { must(server.Close()) })
	proxy := warehousetest.NewProxy(t, server.Addr())
	remote, err := clickhouse.Open(ctx, clickhouse.Options{DSN: "http://" + proxy.Addr() +
		"/default",
		Migrate: true})
	must(err)
	var inserts atomic.Int64
	proxy.Judge(func(sent []byte) warehousetest.Fate {
		if bytes.Contains(sent, []byte("INTO+records")) && inserts.Add(1)%3 == 1 {
			return warehousetest.LoseAnswer
		}
		return warehousetest.Deliver
	})
	produce := throughProxy(t, l, func(n int64) warehousetest.Fate {
		if n%20 == 7 {
			return warehousetest.LoseAnswer
		}
		return warehousetest.Deliver
	})
	l.w, l.sinkO.Warehouse, l.sinkO.FlushEvery = remote, remote, 200*time.Millisecond

	l.startRelay()
	l.startSink()
	for range 2 {
		for range 5 {
			l.city.tap(700)
			l.now.kick.kick()
		}
		l.city.cutOver(l.city.day.Next())
		l.city.openEpoch()
		l.drain()
	}
	l.stop()
	proxy.Judge(nil)
	l.city.check(remote)
	if proxy.Lost() == 0 || produce.Lost() == 0 {
		t.Errorf("lost %d answers of clickhouse, %d of kafka", proxy.Lost(), produce.Lost())
	}
	parquet, err := local.Open(local.Options{Dir: t.TempDir()})
	must(err)
	must(parquet.Append(ctx, l.city.all()))
	warehousetest.Check(t, parquet, l.city.all())
	for _, date := range []txn.BusinessDate{0, warehousetest.Day, warehousetest.Day.Next(),
		l.city.day} {
		a, b := reports(t, remote, date), reports(t, parquet, date)
		if a != b {
			t.Errorf("reports of %s differ:\n%s\n%s", date, a, b)
		}
	}
	if text := reports(t, remote, warehousetest.Day); !strings.Contains(text, `"complete": true`) ||
		!strings.Contains(text, `"clean": true`) {
		t.Errorf("first day:\n%s", text[:500])
	}
	must(remote.Close())
	must(parquet.Close())
}
