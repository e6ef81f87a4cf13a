package local

import (
	"context"
	"os"
	"testing"

	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/ledger/warehouse/warehousetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// TestPartsFromBefore opens a warehouse that was written before the columns of a bank's answer.
// Its records read as they were; new ones follow, and the parts are joined.
func TestPartsFromBefore(t *testing.T) {
	const bucket = 3
	ctx, dir := context.Background(), t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/before-response")); err != nil {
		t.Fatal(err)
	}
	chain := warehousetest.NewChain(52)
	all := []txn.Record{chain.Epoch(bucket)}
	for range 30 {
		all = append(all, chain.Next(bucket))
	}
	all = append(all, chain.CutOver(bucket))
	w := mustOpen(t, dir)
	warehousetest.Check(t, w, all)

	bank := 0
	w.joiner.stop()
	for i := range joinParts {
		first := len(all)
		if i == 0 {
			all = append(all, chain.Epoch(bucket+1))
		}
		for range 30 {
			all = append(all, chain.Bank(bucket+1))
			bank++
		}
		if err := w.Append(ctx, all[first:]); err != nil {
			t.Fatal(err)
		}
	}
	if joined, err := w.join(ctx); err != nil || !joined {
		t.Fatalf("joined %v, %v", joined, err)
	}
	warehousetest.Check(t, w, all)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := 0
	err = r.Records(ctx, warehouse.Filter{}, func(r *txn.Record) error {
		if r.Response != (txn.ResponseCode{}) {
			got++
		}
		return nil
	})
	if err != nil || got != bank {
		t.Fatalf("%d answers of banks, %v; want %d", got, err, bank)
	}
}
