package feed

import (
	"context"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/ledger/warehouse/warehousetest"
)

// TestAnEarlyFlushTakesAllThatWasRead: an insert costs the same for one read as for ten, so who asks
// for a flush early gets one of everything that the readers have, and a full batch is not held up.
func TestAnEarlyFlushTakesAllThatWasRead(t *testing.T) {
	const each = 100
	for round := range 20 {
		for _, tt := range []struct{ reads, rows, flushes int }{{3, 0, 1}, {4, each, 4}} {
			chain := warehousetest.NewChain(uint64(round))
			c, m := newCity(t, 1), warehousetest.NewMemory()
			var counters Counters
			d := NewDirect(DirectOptions{Source: c.store, Warehouse: m, FlushEvery: time.Hour,
				FlushRows: tt.rows, Counters: &counters, Log: testLog(t)})
			d.in.seq = warehouse.NewSequence(warehouse.Positions{})
			d.in.confirm = nil // the records are not of the store
			chunks := make(chan []item, tt.reads)
			for range tt.reads {
				var items []item
				for _, r := range chain.Batch(each) {
					items = append(items, item{position: r.Position, date: r.BusinessDate, record: r})
				}
				chunks <- items
			}
			d.kick.kick()
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- d.collect(ctx, chunks, nil) }()
			eventually(t, "all is flushed", func() bool {
				return counters.FlushedRows.Load() >= int64(tt.reads*each)
			})
			stop()
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
			if got := counters.Flushes.Load(); got != int64(tt.flushes) {
				t.Fatalf("%d reads of %d, %d rows a batch: %d flushes, want %d", tt.reads, each, tt.rows, got,
					tt.flushes)
			}
		}
	}
}
