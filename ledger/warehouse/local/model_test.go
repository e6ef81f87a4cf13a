package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/ledger/warehouse/warehousetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

func TestModel(t *testing.T) {
	warehousetest.RunModel(t, func(t *testing.T) warehousetest.Opener {
		dir := t.TempDir()
		return func(t *testing.T) warehouse.Warehouse { return mustOpen(t, dir) }
	}, 4, 40)
}

// TestReader reads beside a writer that appends and joins: every answer is one that was
// true at some moment.
func TestReader(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	if _, err := OpenReader(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("reader of nothing: %v, want ErrNotExist", err)
	}
	w := mustOpen(t, dir)
	r, err := OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	chain := warehousetest.NewChain(3)
	done := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		defer close(done)
		for range 60 {
			if err := w.Append(ctx, chain.Batch(25)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	var before int64
	for open := true; open; {
		select {
		case <-done:
			open = false
		default:
		}
		totals, err := r.Totals(ctx, warehousetest.Day)
		if err != nil {
			t.Fatalf("Totals beside the writer: %v", err)
		}
		if totals.Rows < before || !totals.Clean() {
			t.Fatalf("%d rows after %d, clean %v", totals.Rows, before, totals.Clean())
		}
		before = totals.Rows
	}
	writer.Wait()
	var fromReader, fromWriter int
	count := func(n *int) func(*txn.Record) error {
		return func(*txn.Record) error { *n++; return nil }
	}
	if err := r.Records(ctx, warehouse.Filter{}, count(&fromReader)); err != nil {
		t.Fatal(err)
	}
	if err := w.Records(ctx, warehouse.Filter{}, count(&fromWriter)); err != nil {
		t.Fatal(err)
	}
	if fromReader != fromWriter || fromReader != 60*25 {
		t.Errorf("reader %d records, writer %d, want %d", fromReader, fromWriter, 60*25)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if letters, err := r.DeadLetters(ctx); err != nil || len(letters) != 0 {
		t.Errorf("DeadLetters: %v, %v", letters, err)
	}
}

// TestPlainParquet reads a part with nothing of ours but the column names, as another
// tool would.
func TestPlainParquet(t *testing.T) {
	dir := t.TempDir()
	w, err := Open(Options{Dir: dir, KeepParts: true})
	if err != nil {
		t.Fatal(err)
	}
	records := warehousetest.NewChain(1).Batch(300)
	if err := w.Append(context.Background(), records); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	type other struct {
		Kind     string   `parquet:"kind"`
		Charged  int64    `parquet:"charged"`
		Accounts []string `parquet:"accounts,list"`
		Amounts  []int64  `parquet:"amounts,list"`
		Date     int32    `parquet:"business_date"`
	}
	rows, err := parquet.ReadFile[other](onePart(dir))
	if err != nil {
		t.Fatal(err)
	}
	var got, want int64
	for _, r := range rows {
		got += r.Charged
		if len(r.Accounts) != len(r.Amounts) || warehouse.DateOfDay(r.Date) != warehousetest.Day {
			t.Fatalf("row %+v", r)
		}
	}
	n := 0
	for i := range records {
		if records[i].BusinessDate == warehousetest.Day {
			want += int64(records[i].Charged)
			n++
		}
	}
	if len(rows) != n || got != want {
		t.Errorf("%d rows with %d minor units, want %d with %d", len(rows), got, n, want)
	}
}

// TestRepeatedHashesAreProven: records whose ids only share a hash are not called repeated.
func TestRepeatedHashesAreProven(t *testing.T) {
	w := mustOpen(t, t.TempDir())
	defer w.Close()
	chain := warehousetest.NewChain(2)
	if err := w.Append(context.Background(), chain.Batch(500)); err != nil {
		t.Fatal(err)
	}
	parts := w.take(func(d txn.BusinessDate) bool { return d == warehousetest.Day })
	defer w.give(parts)
	tally, err := w.tallyAll(context.Background(), parts)
	if err != nil {
		t.Fatal(err)
	}
	every := make(map[uint64]bool)
	for _, h := range tally.requests {
		every[h] = true
	}
	ids, err := w.repeatedIDs(context.Background(), parts, tally, every)
	if err != nil || len(ids) != 0 {
		t.Errorf("repeated ids %v, %v: each stands on one record", ids, err)
	}
}

// FuzzManifestLine: no line makes the reader panic, and a line that is read says what was
// written.
func FuzzManifestLine(f *testing.F) {
	for _, e := range []edit{
		{Number: 1, Format: 1},
		{Number: 2, Add: []part{{ID: 1, Date: 20260301, Rows: 3, Bytes: 4}},
			Buckets: []bucketMark{{Bucket: 3, Epoch: 1, Seq: 2, Closed: 20260301}}},
		{Number: 3, Drop: []uint64{1}, Dead: []warehouse.DeadLetter{{Source: "x",
			Record: []byte{1}}}},
	} {
		line, err := encodeLine(&e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(bytes.TrimSuffix(line, []byte{'\n'}))
	}
	f.Add([]byte("00000000 {}"))
	f.Fuzz(func(t *testing.T, line []byte) {
		e, err := decodeLine(line)
		if err != nil {
			return
		}
		again, err := encodeLine(&e)
		if err != nil {
			t.Fatal(err)
		}
		back, err := decodeLine(bytes.TrimSuffix(again, []byte{'\n'}))
		if err != nil || fmt.Sprint(back) != fmt.Sprint(e) {
			t.Fatalf("%v came back as %v, %v", e, back, err)
		}
	})
}

// FuzzManifest: no content of the file makes opening panic or lose the parts.
func FuzzManifest(f *testing.F) {
	f.Add([]byte(""))
	f.Add([]byte("\n"))
	f.Add([]byte("00000000 {}\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, manifestName), content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := readManifest(dir); err != nil && !errors.Is(err, warehouse.ErrDamaged) {
			t.Fatalf("readManifest: %v, want ErrDamaged", err)
		}
	})
}
