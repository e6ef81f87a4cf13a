package clickhouse

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/deploy/stack"
	"github.com/tapswitch/tapswitch/ledger/feed"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/ledger/warehouse/warehousetest"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// benchRows is what one round writes: two batches of the feed.
const benchRows = 100_000

// BenchmarkFeed compares, on one server in one run, the whole feed from encoded outbox
// entries to confirmed rows with a bare insert of rows that are ready.
func BenchmarkFeed(b *testing.B) {
	if err := stack.Available(stack.ClickHouse); err != nil {
		b.Skip(err)
	}
	ctx := context.Background()
	server, err := stack.StartClickHouse(ctx, stack.ClickHouseOptions{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer server.Close()
	dsn := "http://" + server.Addr() + "/default"
	w, err := Open(ctx, Options{DSN: dsn, Migrate: true})
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	b.Run("bare", func(b *testing.B) {
		for range b.N {
			b.StopTimer()
			rows := bareRows(b, w)
			b.StartTimer()
			for len(rows) > 0 {
				bareInsert(b, w, rows[:benchRows/2])
				rows = rows[benchRows/2:]
			}
		}
		b.ReportMetric(float64(b.N)*benchRows/b.Elapsed().Seconds(), "rows/s")
	})
	if err := w.conn.Exec(ctx, "TRUNCATE TABLE records"); err != nil {
		b.Fatal(err)
	}
	chain := warehousetest.NewChain(2)
	b.Run("feed", func(b *testing.B) {
		for range b.N {
			b.StopTimer()
			box := newFixed(chain.Batch(benchRows))
			b.StartTimer()
			box.run(b, w)
		}
		b.ReportMetric(float64(b.N)*benchRows/b.Elapsed().Seconds(), "rows/s")
	})
}

// bareRows lays a batch flat into a scratch table's worth of rows.
func bareRows(b *testing.B, w *Warehouse) []warehouse.Row {
	b.Helper()
	err := w.conn.Exec(context.Background(), "TRUNCATE TABLE records")
	if err != nil {
		b.Fatal(err)
	}
	records := warehousetest.NewChain(1).Batch(benchRows)
	rows := make([]warehouse.Row, len(records))
	for i := range records {
		rows[i] = warehouse.RowOf(&records[i])
	}
	return rows
}

func bareInsert(b *testing.B, w *Warehouse, rows []warehouse.Row) {
	b.Helper()
	batch, err := w.conn.PrepareBatch(withInsert(context.Background(), ""),
		"INSERT INTO records ("+columnList(w.columns)+")")
	if err != nil {
		b.Fatal(err)
	}
	for i, c := range w.columns {
		if err := c.fill(batch.Column(i), rows); err != nil {
			b.Fatal(err)
		}
	}
	if err := batch.Send(); err != nil {
		b.Fatal(err)
	}
}

// fixed is an outbox with a fixed content, in one shard.
type fixed struct {
	entries []store.OutboxEntry
	infos   []store.BucketInfo
	done    chan []txn.Position
}

func newFixed(records []txn.Record) *fixed {
	f := &fixed{done: make(chan []txn.Position, 1000)}
	last := make(map[txn.Bucket]txn.Position)
	for i := range records {
		r := &records[i]
		f.entries = append(f.entries, store.OutboxEntry{Position: r.Position, Date: r.BusinessDate,
			Record: txn.AppendRecord(nil, r)})
		last[r.Position.Bucket] = r.Position
	}
	for b, p := range last {
		f.infos = append(f.infos, store.BucketInfo{Bucket: b, Last: p})
	}
	return f
}

// Shards implements store.Outbox.
func (f *fixed) Shards() int { return 1 }

// Read implements store.Outbox.
func (f *fixed) Read(
	ctx context.Context, _ int, after store.Cursor, most int,
) ([]store.OutboxEntry, store.Cursor, error) {
	from := int(after.Lo)
	to := min(len(f.entries), from+most)
	if from == to {
		select {
		case <-ctx.Done():
		case <-time.After(store.OutboxWait):
		}
	}
	return f.entries[from:to], store.Cursor{Lo: uint64(to)}, nil
}

// Confirm implements store.Outbox.
func (f *fixed) Confirm(_ context.Context, upTo []txn.Position) error {
	f.done <- upTo
	return nil
}

// Buckets implements feed.Source.
func (f *fixed) Buckets(context.Context) ([]store.BucketInfo, error) { return f.infos, nil }

// run feeds everything and returns when all of it is confirmed.
func (f *fixed) run(b *testing.B, w warehouse.Appender) {
	b.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() { result <- feed.NewDirect(feed.DirectOptions{Source: f, Warehouse: w}).Run(ctx) }()
	held := make(map[txn.Bucket]txn.Position)
	for !f.whole(held) {
		select {
		case upTo := <-f.done:
			for _, p := range upTo {
				held[p.Bucket] = p
			}
		case err := <-result:
			b.Fatal(fmt.Errorf("feed ended: %w", err))
		}
	}
	cancel()
	if err := <-result; err != nil {
		b.Fatal(err)
	}
}

func (f *fixed) whole(held map[txn.Bucket]txn.Position) bool {
	for _, info := range f.infos {
		if held[info.Bucket] != info.Last {
			return false
		}
	}
	return true
}
