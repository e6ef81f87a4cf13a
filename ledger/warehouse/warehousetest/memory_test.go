package warehousetest_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/ledger/warehouse/warehousetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

func TestMemory(t *testing.T) {
	warehousetest.Run(t, func(*testing.T) warehousetest.Opener {
		m := warehousetest.NewMemory()
		return func(*testing.T) warehouse.Warehouse {
			m.Reopen()
			return m
		}
	})
}

func TestFaults(t *testing.T) {
	ctx := context.Background()
	chain := warehousetest.NewChain(1)
	batch := chain.Batch(10)
	for fault, want := range map[warehousetest.Fault]int{
		warehousetest.NotApplied: 0, warehousetest.AppliedUnreported: 10} {
		m := warehousetest.NewMemory()
		m.SetFault(func(string) warehousetest.Fault { return fault })
		if err := m.Append(ctx, batch); !errors.Is(err, warehousetest.ErrFault) {
			t.Fatalf("Append: %v, want ErrFault", err)
		}
		if got := len(m.All()); got != want {
			t.Errorf("fault %d: %d records, want %d", fault, got, want)
		}
	}
}

// TestChain proves the maker of records: everything that the suite believes of it.
func TestChain(t *testing.T) {
	chain := warehousetest.NewChain(5)
	var records []txn.Record
	for range 3 {
		records = append(records, chain.Batch(2000)...)
		records = append(records, chain.CloseDay()...)
	}
	seq := warehouse.NewSequence(warehouse.Positions{})
	ids := make(map[txn.RequestID]bool)
	kinds := make(map[string]int)
	for i := range records {
		r := &records[i]
		if v := seq.Take(r); v != warehouse.Next {
			t.Fatalf("record %s is a %s", r.Position, v)
		}
		if err := r.CheckPostings(); err != nil {
			t.Fatal(err)
		}
		if !r.Request.IsZero() && ids[r.Request] {
			t.Fatalf("request id %s twice", r.Request)
		}
		ids[r.Request] = true
		if !r.Card.IsZero() && txn.BucketOf(r.Card) != r.Position.Bucket {
			t.Fatalf("card of %s belongs to %s", r.Position, txn.BucketOf(r.Card))
		}
		kinds[r.Kind.String()+" "+r.Outcome.String()]++
	}
	for _, want := range []string{"metro_exit approved", "purchase declined", "load approved",
		"epoch_marker approved", "day_marker approved"} {
		if kinds[want] == 0 {
			t.Errorf("no record is %s: %v", want, kinds)
		}
	}
	again := warehousetest.NewChain(5).Batch(100)
	for i := range again {
		if again[i].Position != records[i].Position || again[i].Request != records[i].Request {
			t.Fatal("the same seed made other records")
		}
	}
	if !strings.Contains(warehousetest.Full().Place.Operator, "深圳") {
		t.Error("the full record must hold text beyond ASCII")
	}
}
