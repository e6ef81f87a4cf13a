package local

import (
	"context"
	"testing"

	"github.com/tapswitch/tapswitch/ledger/warehouse/warehousetest"
)

const benchRows = 1_000_000

// BenchmarkTotals reads the totals of a day of a million records.
func BenchmarkTotals(b *testing.B) {
	w, err := Open(Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	chain := warehousetest.NewChain(1)
	for range benchRows / 50_000 {
		if err := w.Append(context.Background(), chain.Batch(50_000)); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	for range b.N {
		got, err := w.Totals(context.Background(), warehousetest.Day)
		if err != nil || got.Rows < benchRows/2 {
			b.Fatalf("%d rows, %v", got.Rows, err)
		}
	}
	b.ReportMetric(benchRows, "rows")
}

// BenchmarkAppend appends 50,000 records at a time, as the feed does.
func BenchmarkAppend(b *testing.B) {
	w, err := Open(Options{Dir: b.TempDir(), KeepParts: true})
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	chain := warehousetest.NewChain(1)
	for range b.N {
		b.StopTimer()
		batch := chain.Batch(50_000)
		b.StartTimer()
		if err := w.Append(context.Background(), batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*50_000/b.Elapsed().Seconds(), "rows/s")
}
