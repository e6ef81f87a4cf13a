// Package warehousetest holds the conformance suite of warehouse.Warehouse, the chain
// that makes records for it, and a plain model of the totals.
//
// An implementation passes Run with a function that opens the same stored data again
// and again. Amounts are minor units. Nothing here touches network or disk itself.
package warehousetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Opener opens the warehouse of one test; a second call after Close opens the same data.
type Opener func(t *testing.T) warehouse.Warehouse

// Run checks an implementation. fresh returns an Opener over no data, once a test.
func Run(t *testing.T, fresh func(t *testing.T) Opener) {
	tests := []struct {
		name string
		run  func(*testing.T, *bench)
	}{
		{"empty", testEmpty},
		{"append and read", testAppend},
		{"every field", testFields},
		{"duplicates", testDuplicates},
		{"overlapping ranges", testOverlap},
		{"out of date", testOutOfDate},
		{"gap refused", testGap},
		{"epoch marker must fit", testMarker},
		{"several dates in one append", testDates},
		{"totals", testTotals},
		{"complete", testComplete},
		{"repeated request ids", testRepeated},
		{"unbalanced", testUnbalanced},
		{"dead letters", testDeadLetters},
		{"filter", testFilter},
		{"limits", testLimits},
		{"bad rows", testBadRows},
		{"overflow", testOverflow},
		{"stop reading", testStop},
		{"closed", testClosed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			open := fresh(t)
			b := &bench{T: t, open: open, chain: NewChain(uint64(len(tt.name))), w: open(t)}
			defer func() {
				if err := b.w.Close(); err != nil && !errors.Is(err, warehouse.ErrClosed) {
					t.Errorf("Close: %v", err)
				}
			}()
			tt.run(t, b)
		})
	}
}

// bench is one test's warehouse and what it should hold.
type bench struct {
	*testing.T
	open  Opener
	chain *Chain
	w     warehouse.Warehouse
	held  []txn.Record // in the order they were first appended
}

// reopen closes the warehouse and opens the same data again.
func (b *bench) reopen() {
	b.Helper()
	if err := b.w.Close(); err != nil {
		b.Fatalf("Close: %v", err)
	}
	b.w = b.open(b.T)
}

// add appends and remembers.
func (b *bench) add(records []txn.Record) {
	b.Helper()
	if err := b.w.Append(context.Background(), records); err != nil {
		b.Fatalf("Append of %d: %v", len(records), err)
	}
	b.held = append(b.held, records...)
}

// again appends what must change nothing.
func (b *bench) again(records []txn.Record) {
	b.Helper()
	if err := b.w.Append(context.Background(), records); err != nil {
		b.Fatalf("Append again of %d: %v", len(records), err)
	}
}

// check proves everything that the warehouse says against what it should hold, before
// and after opening it again.
func (b *bench) check() {
	b.Helper()
	for range 2 {
		Check(b.T, b.w, b.held)
		b.reopen()
	}
}

// Check proves that w holds exactly records: positions, every record, and the totals of
// every date. The records are in sequence within their bucket.
func Check(t *testing.T, w warehouse.Warehouse, records []txn.Record) {
	t.Helper()
	CheckFigures(t, w, records)
	checkRecords(t, w, warehouse.Filter{}, Ordered(records))
}

// CheckFigures is Check without reading every record.
func CheckFigures(t *testing.T, w warehouse.Warehouse, records []txn.Record) {
	t.Helper()
	ctx := context.Background()
	var want warehouse.Positions
	for b := range want {
		want[b].Bucket = txn.Bucket(b)
	}
	dates := make(map[txn.BusinessDate]bool)
	for i := range records {
		p := records[i].Position
		want[p.Bucket] = p
		dates[records[i].BusinessDate] = true
	}
	got, err := w.Positions(ctx)
	if err != nil || got != want {
		t.Fatalf("Positions = %v, %v\nwant %v", got, err, want)
	}
	for date := range dates {
		want, err := Expected(records, date)
		if err != nil {
			t.Fatal(err)
		}
		checkTotals(t, w, want)
		CheckHours(t, w, date, records)
	}
}

// checkTotals compares by text, which shows every field.
func checkTotals(t *testing.T, w warehouse.Warehouse, want warehouse.Totals) {
	t.Helper()
	got, err := w.Totals(context.Background(), want.Date)
	if err != nil {
		t.Fatalf("Totals(%s): %v", want.Date, err)
	}
	if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
		t.Fatalf("Totals(%s):\n got %s\nwant %s", want.Date, g, w)
	}
}

// checkRecords reads everything that the filter chooses and compares record by record.
func checkRecords(t *testing.T, w warehouse.Warehouse, f warehouse.Filter, want []txn.Record) {
	t.Helper()
	var got []txn.Record
	err := w.Records(context.Background(), f, func(r *txn.Record) error {
		got = append(got, *r)
		return nil
	})
	if err != nil {
		t.Fatalf("Records: %v", err)
	}
	if len(got) != len(want) {
		t.Fatalf("Records gave %d records, want %d", len(got), len(want))
	}
	for i := range want {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Fatalf("record %d:\n got %+v\nwant %+v", i, got[i], want[i])
		}
	}
}

// testEmpty: nothing has empty figures, is clean and never complete.
func testEmpty(t *testing.T, b *bench) {
	b.again(nil)
	got, err := b.w.Totals(context.Background(), Day)
	if err != nil {
		t.Fatal(err)
	}
	if got.Rows != 0 || got.Complete() || !got.Clean() || len(got.Buckets) != txn.BucketCount {
		t.Fatalf("totals of nothing: %+v", got)
	}
	b.check()
}

// testAppend: what was appended is there, also after opening again.
func testAppend(_ *testing.T, b *bench) {
	for range 5 {
		b.add(b.chain.Batch(200))
	}
	b.check()
	b.add(b.chain.Batch(300))
	b.check()
}

// testFields keeps one record with every field set and one with none.
func testFields(t *testing.T, b *bench) {
	marker := b.chain.Epoch(3)
	full := Full()
	full.Position = txn.Position{Bucket: 3, Epoch: 1, Seq: 1}
	bare := txn.Record{Version: 1, BusinessDate: Day, Kind: txn.Enrol,
		Position: txn.Position{Bucket: 3, Epoch: 1, Seq: 2}}
	b.add([]txn.Record{marker, full, bare})
	for v, i := reflect.ValueOf(full), 0; i < v.NumField(); i++ {
		name := v.Type().Field(i).Name
		if v.Field(i).IsZero() && name != "Previous" && name != "ClosedDate" {
			t.Errorf("field %s is not set in the test record", name)
		}
	}
	b.check()
}

// testDuplicates: the same records again, within and across calls, change nothing.
func testDuplicates(_ *testing.T, b *bench) {
	batch := b.chain.Batch(300)
	b.add(batch)
	b.again(batch)
	b.reopen()
	b.again(batch)
	// Also within one call.
	more := b.chain.Batch(100)
	b.again(append(slices.Clone(more), more...))
	b.held = append(b.held, more...)
	b.check()
}

// testOverlap: batches that overlap keep every record once.
func testOverlap(_ *testing.T, b *bench) {
	all := b.chain.Batch(1000)
	b.again(all[:400])
	b.again(all[200:600])
	b.reopen()
	b.again(all[100:1000])
	b.held = all
	b.check()
}

// testOutOfDate: old records after newer ones are dropped.
func testOutOfDate(_ *testing.T, b *bench) {
	all := b.chain.Batch(900)
	b.again(all[:300])
	b.again(all[300:900])
	b.again(all[:300]) // a relay that begins again from an old cursor
	b.again(all[100:200])
	b.held = all
	b.check()
}

// testGap: a hole is refused and nothing of the call is written.
func testGap(t *testing.T, b *bench) {
	b.add([]txn.Record{b.chain.Epoch(1), b.chain.Next(1), b.chain.Epoch(2)})
	missing, after, other := b.chain.Next(1), b.chain.Next(1), b.chain.Next(2)
	err := b.w.Append(context.Background(), []txn.Record{other, after})
	if !errors.Is(err, warehouse.ErrGap) {
		t.Fatalf("Append over a hole: %v, want ErrGap", err)
	}
	b.check() // nothing was written, not even in the other bucket
	b.add([]txn.Record{missing, after, other})
	b.check()
	first := txn.Record{Version: 1, BusinessDate: Day, Kind: txn.Load,
		Position: txn.Position{Bucket: 9, Epoch: 1, Seq: 1}}
	if err := b.w.Append(context.Background(), []txn.Record{first}); !errors.Is(err,
		warehouse.ErrGap) {
		t.Fatalf("Append before the first marker: %v, want ErrGap", err)
	}
}

// testMarker: an epoch opens only where the one before ended.
func testMarker(t *testing.T, b *bench) {
	b.add([]txn.Record{b.chain.Epoch(1), b.chain.Next(1)})
	b.chain.Next(1) // written by the switch, never arrived here
	marker := b.chain.Epoch(1)
	err := b.w.Append(context.Background(), []txn.Record{marker})
	if !errors.Is(err, warehouse.ErrGap) {
		t.Fatalf("marker that names an unseen record: %v, want ErrGap", err)
	}
	plain := marker
	plain.Kind, plain.Previous = txn.Load, txn.Position{}
	if err := b.w.Append(context.Background(), []txn.Record{plain}); !errors.Is(err,
		warehouse.ErrGap) {
		t.Fatalf("epoch without a marker: %v, want ErrGap", err)
	}
	b.check()
}

// testDates: one call may hold the ends of several days.
func testDates(_ *testing.T, b *bench) {
	var all []txn.Record
	for range 4 {
		all = append(all, b.chain.Batch(150)...)
		all = append(all, b.chain.CloseDay()...)
	}
	all = append(all, b.chain.Batch(50)...)
	b.add(all)
	b.check()
}

// testTotals: every figure is what the plain model says, also with a second currency.
func testTotals(t *testing.T, b *bench) {
	for i := range 3 {
		b.add(b.chain.Batch(2000))
		if i == 1 {
			b.add(b.chain.CloseBuckets(txn.BucketCount / 2))
		}
	}
	b.check()
	foreign := b.chain.Next(5)
	foreign.Currency = 344
	b.add([]txn.Record{foreign})
	b.check()
	got, err := b.w.Totals(context.Background(), Day)
	if err != nil || !got.Clean() || got.Complete() {
		t.Fatalf("clean %v, complete %v, %v", got.Clean(), got.Complete(), err)
	}
}

// testComplete: a date is complete with the last of all markers, not before.
func testComplete(t *testing.T, b *bench) {
	ctx := context.Background()
	b.add(b.chain.Batch(500))
	markers := b.chain.CloseDay()
	last := len(markers) - 1
	b.add(markers[:last])
	if got, err := b.w.Totals(ctx, Day); err != nil || got.Complete() {
		t.Fatalf("complete without the last marker (%v)", err)
	}
	b.add(markers[last:])
	got, err := b.w.Totals(ctx, Day)
	if err != nil || !got.Complete() {
		t.Fatalf("not complete with all markers (%v): %+v", err, got.Buckets)
	}
	b.add(b.chain.Batch(100))
	if got, err := b.w.Totals(ctx, Day.Next()); err != nil || got.Complete() {
		t.Fatalf("the next date is complete (%v)", err)
	}
	b.check()
}

// testRepeated: an id on two records is named; a decline for its id is no repetition.
func testRepeated(t *testing.T, b *bench) {
	b.add([]txn.Record{b.chain.Epoch(1), b.chain.Epoch(40)})
	first, copied, declined := b.chain.Next(1), b.chain.Next(40), b.chain.Next(40)
	copied.Request = first.Request
	declined.Request, declined.Outcome, declined.Reason = first.Request, txn.Declined, txn.IDReused
	declined.Charged, declined.Postings = 0, nil
	b.add([]txn.Record{first, copied, declined})
	got, err := b.w.Totals(context.Background(), Day)
	if err != nil || got.Repeated != 1 || got.Clean() {
		t.Fatalf("Totals: %+v, %v", got, err)
	}
	if !slices.Equal(got.RepeatedIDs, []string{first.Request.String()}) {
		t.Fatalf("RepeatedIDs = %v, want %s", got.RepeatedIDs, first.Request)
	}
	var many []txn.Record
	for range warehouse.RepeatedListMax + 10 {
		r := b.chain.Next(1)
		twin := b.chain.Next(40)
		twin.Request = r.Request
		many = append(many, r, twin)
	}
	b.add(many)
	b.check()
}

// testUnbalanced: a record that does not balance is counted.
func testUnbalanced(t *testing.T, b *bench) {
	b.add([]txn.Record{b.chain.Epoch(1)})
	r := b.chain.Next(1)
	r.Postings = []txn.Posting{{Account: "purse", Amount: -5}}
	b.add([]txn.Record{r})
	got, err := b.w.Totals(context.Background(), Day)
	if err != nil || got.Unbalanced != 1 || got.Clean() {
		t.Fatalf("Totals: %+v, %v", got, err)
	}
	b.check()
}

// testDeadLetters: a letter takes a place, holds its date open, and closes when the record comes.
func testDeadLetters(t *testing.T, b *bench) {
	ctx := context.Background()
	b.add(b.chain.CloseBuckets(1)) // an epoch marker and a day marker
	all := []txn.Record{b.chain.Next(0), b.chain.Next(0), b.chain.Next(0)}
	day := Day.Next()
	b.add(all[:1])
	letter := warehouse.DeadLetter{Position: all[1].Position, Date: day, Source: "test/1",
		Reason: "bad varint", Record: []byte{0, 1, 255}, At: 12345}
	early := letter
	early.Position, early.Source = all[2].Position, "test/0"
	if err := b.w.DeadLetter(ctx, early); !errors.Is(err, warehouse.ErrGap) {
		t.Fatalf("dead letter over a hole: %v, want ErrGap", err)
	}
	for range 2 { // the second one is a duplicate
		if err := b.w.DeadLetter(ctx, letter); err != nil {
			t.Fatal(err)
		}
	}
	b.add(all[2:])
	stray := warehouse.DeadLetter{Source: "test/2", At: 12346, Reason: "no key",
		Record: []byte("x")}
	if err := b.w.DeadLetter(ctx, stray); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		checkLetters(t, b.w, day, []warehouse.DeadLetter{letter, stray}, 1)
		checkLetters(t, b.w, Day, []warehouse.DeadLetter{letter, stray}, 0)
		if got, err := b.w.Positions(ctx); err != nil || got[0] != all[2].Position {
			t.Fatalf("Positions[0] = %v, %v, want %v", got[0], err, all[2].Position)
		}
		b.reopen()
	}
	b.again(all[1:2]) // the repaired record closes the letter
	checkLetters(t, b.w, day, []warehouse.DeadLetter{stray}, 0)
	b.again(all[1:2])
	b.held = append(b.held[:2:2], all...)
	b.check()
	checkLetters(t, b.w, day, []warehouse.DeadLetter{stray}, 0)
}

// checkLetters compares the open letters and how many hold the date.
func checkLetters(
	t *testing.T, w warehouse.Warehouse, date txn.BusinessDate, want []warehouse.DeadLetter,
	holds int64,
) {
	t.Helper()
	got, err := w.DeadLetters(context.Background())
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("DeadLetters = %+v, %v\nwant %+v", got, err, want)
	}
	totals, err := w.Totals(context.Background(), date)
	if err != nil || totals.DeadLetters != holds {
		t.Fatalf("dead letters that hold %s = %d, %v, want %d", date, totals.DeadLetters, err,
			holds)
	}
}

// testFilter: each filter, alone and together, chooses what Matches says.
func testFilter(t *testing.T, b *bench) {
	for range 3 {
		b.add(b.chain.Batch(400))
		b.add(b.chain.CloseDay())
	}
	var some txn.Record
	for _, r := range b.held {
		if r.BusinessDate == Day.Next() && r.Kind == txn.Load {
			some = r
		}
	}
	bank := b.chain.Bank(3)
	b.add([]txn.Record{bank})
	filters := []warehouse.Filter{
		{From: Day.Next(), To: Day.Next()}, {From: Day.Next()}, {To: Day},
		{Card: some.Card}, {Request: some.Request}, {Card: some.Card, Request: some.Request},
		{From: Day.Next(), Card: some.Card}, {From: 20300101},
		{Terminal: some.Request.Terminal, Boot: some.Request.Boot},
		{Terminal: some.Request.Terminal, Boot: some.Request.Boot, Card: some.Card},
		{Terminal: some.Request.Terminal, Boot: some.Request.Boot + 1},
		{Place: some.Position}, {Place: some.Position, Card: some.Card},
		{Place: txn.Position{Bucket: some.Position.Bucket, Epoch: 9, Seq: 1}},
		{RRN: bank.RRN}, {RRN: bank.RRN, Outcome: bank.Outcome}, {RRN: "no such"},
		{Outcome: txn.Declined}, {Operator: "M5"}, {Operator: "M5", Outcome: txn.Approved, From: Day.Next()},
	}
	for _, f := range filters {
		want := slices.DeleteFunc(Ordered(b.held),
			func(r txn.Record) bool { return !f.Matches(&r) })
		checkRecords(t, b.w, f, want)
	}
}

// testLimits: more than the limits is refused before anything is written.
func testLimits(t *testing.T, b *bench) {
	ctx := context.Background()
	err := b.w.Append(ctx, make([]txn.Record, warehouse.AppendMax+1))
	if !errors.Is(err, warehouse.ErrTooMany) {
		t.Fatalf("Append of more than AppendMax: %v", err)
	}
	err = b.w.DeadLetter(ctx, warehouse.DeadLetter{Source: "x",
		Record: make([]byte, warehouse.DeadLetterMax+1)})
	if !errors.Is(err, warehouse.ErrTooMany) {
		t.Fatalf("dead letter of more than DeadLetterMax: %v", err)
	}
	b.check()
}

// testBadRows: what the columns cannot hold is refused, and the rest of its call with it.
func testBadRows(t *testing.T, b *bench) {
	good := b.chain.Epoch(1)
	for name, spoil := range map[string]func(*txn.Record){
		"no date":       func(r *txn.Record) { r.BusinessDate, r.Kind = 0, txn.Load },
		"no such date":  func(r *txn.Record) { r.BusinessDate = 20260230 },
		"far date":      func(r *txn.Record) { r.BusinessDate = 22000101 },
		"bucket":        func(r *txn.Record) { r.Position.Bucket = txn.BucketCount },
		"epoch nothing": func(r *txn.Record) { r.Position.Epoch = 0 },
	} {
		bad := good
		spoil(&bad)
		err := b.w.Append(context.Background(), []txn.Record{good, bad})
		if !errors.Is(err, warehouse.ErrRow) {
			t.Errorf("%s: %v, want ErrRow", name, err)
		}
	}
	b.check()
}

// testOverflow adds up more than int64 holds: an error, never a wrong figure.
func testOverflow(t *testing.T, b *bench) {
	b.add([]txn.Record{b.chain.Epoch(1)})
	r := b.chain.Next(1)
	var records []txn.Record
	for range 3 {
		r.Charged, r.Kind, r.Outcome = 1<<62, txn.Load, txn.Approved
		records = append(records, r)
		r.Position.Seq++
	}
	b.again(records)
	if _, err := b.w.Totals(context.Background(), Day); !errors.Is(err, warehouse.ErrOverflow) {
		t.Fatalf("Totals of 3 x 2^62: %v, want ErrOverflow", err)
	}
}

// testStop: reading ends with the first error of the caller, calls end with their context.
func testStop(t *testing.T, b *bench) {
	b.add(b.chain.Batch(1000))
	stop := errors.New("enough")
	n := 0
	err := b.w.Records(context.Background(), warehouse.Filter{}, func(*txn.Record) error {
		if n++; n == 10 {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) || n != 10 {
		t.Fatalf("Records: %v after %d records", err, n)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := b.w.Append(ctx, b.chain.Batch(1)); !errors.Is(err, context.Canceled) {
		t.Fatalf("Append with an ended context: %v", err)
	}
}

// testClosed: every call after Close says so.
func testClosed(t *testing.T, b *bench) {
	ctx := context.Background()
	if err := b.w.Close(); err != nil {
		t.Fatal(err)
	}
	calls := map[string]func() error{
		"Append": func() error { return b.w.Append(ctx, nil) },
		"DeadLetter": func() error {
			return b.w.DeadLetter(ctx,
				warehouse.DeadLetter{Source: "x"})
		},
		"Positions":   func() error { _, err := b.w.Positions(ctx); return err },
		"Totals":      func() error { _, err := b.w.Totals(ctx, Day); return err },
		"DeadLetters": func() error { _, err := b.w.DeadLetters(ctx); return err },
		"Records":     func() error { return b.w.Records(ctx, warehouse.Filter{}, nil) },
		"Close":       b.w.Close,
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, warehouse.ErrClosed) {
			t.Errorf("%s after Close: %v, want ErrClosed", name, err)
		}
	}
}
