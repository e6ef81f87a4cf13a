package warehouse_test

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/ledger/warehouse/warehousetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

func at(epoch txn.Epoch, seq txn.Seq) txn.Position {
	return txn.Position{Bucket: 7, Epoch: epoch, Seq: seq}
}

func TestSequenceTable(t *testing.T) {
	marker := txn.EpochMarker
	tests := []struct {
		name     string
		held, p  txn.Position
		kind     txn.Kind
		previous txn.Position
		want     warehouse.Verdict
	}{
		{"follows", at(3, 5), at(3, 6), txn.Load, at(0, 0), warehouse.Next},
		{"day marker follows", at(3, 5), at(3, 6), txn.DayMarker, at(0, 0), warehouse.Next},
		{"again", at(3, 5), at(3, 5), txn.Load, at(0, 0), warehouse.Duplicate},
		{"long ago", at(3, 5), at(2, 900), txn.Load, at(0, 0), warehouse.Duplicate},
		{"one missing", at(3, 5), at(3, 7), txn.Load, at(0, 0), warehouse.Gap},
		{"first ever", at(0, 0), at(1, 0), marker, at(0, 0), warehouse.Next},
		{"first ever, later epoch", at(0, 0), at(4, 0), marker, at(0, 0), warehouse.Next},
		{"no marker at first", at(0, 0), at(1, 0), txn.Load, at(0, 0), warehouse.Gap},
		{"without epoch", at(0, 0), at(0, 1), txn.Load, at(0, 0), warehouse.Gap},
		{"next epoch", at(3, 5), at(4, 0), marker, at(3, 5), warehouse.Next},
		{"epoch skipped", at(3, 5), at(9, 0), marker, at(3, 5), warehouse.Next},
		{"marker names a later end", at(3, 5), at(4, 0), marker, at(3, 6), warehouse.Gap},
		{"marker names an earlier end", at(3, 5), at(4, 0), marker, at(3, 4), warehouse.Gap},
		{"next epoch without marker", at(3, 5), at(4, 1), txn.Load, at(0, 0), warehouse.Gap},
		{"marker in the middle", at(3, 5), at(3, 6), marker, at(3, 5), warehouse.Gap},
		{"marker again", at(3, 5), at(3, 0), marker, at(2, 8), warehouse.Duplicate},
	}
	for _, tt := range tests {
		var held warehouse.Positions
		held[7] = tt.held
		s := warehouse.NewSequence(held)
		r := txn.Record{Position: tt.p, Kind: tt.kind, Previous: tt.previous}
		if got := s.Check(&r); got != tt.want {
			t.Errorf("%s: Check = %s, want %s", tt.name, got, tt.want)
		}
		if got := s.Take(&r); got != tt.want {
			t.Errorf("%s: Take = %s, want %s", tt.name, got, tt.want)
		}
		after := tt.held
		if tt.want == warehouse.Next {
			after = tt.p
		}
		if s.At(7) != after {
			t.Errorf("%s: holds %s, want %s", tt.name, s.At(7), after)
		}
	}
}

func TestTakePlace(t *testing.T) {
	var held warehouse.Positions
	held[7] = at(3, 5)
	for p, want := range map[txn.Position]warehouse.Verdict{
		at(3, 6): warehouse.Next, at(3, 5): warehouse.Duplicate, at(3, 7): warehouse.Gap,
		at(4, 0): warehouse.Gap, at(2, 9): warehouse.Duplicate,
	} {
		s := warehouse.NewSequence(held)
		if got := s.TakePlace(p); got != want {
			t.Errorf("TakePlace(%s) = %s, want %s", p, got, want)
		}
	}
}

// TestSequenceProperty throws a stream at a sequence with repeats, swaps and losses: it
// must take a gap-free prefix of each bucket, everything once, and all of it when nothing
// was lost.
func TestSequenceProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := warehousetest.NewChain(rapid.Uint64().Draw(t, "seed")).Batch(300)
		lost := rapid.IntRange(-1, len(records)-1).Draw(t, "lost")
		var stream []txn.Record
		for i := range records {
			if i != lost {
				stream = append(stream, records[i])
			}
			if back := rapid.IntRange(0, 20).Draw(t, "back"); back > 15 {
				from := max(0, len(stream)-back)
				stream = append(stream, stream[from:]...)
			}
		}
		var want []txn.Position
		broken := make(map[txn.Bucket]bool)
		for i := range records {
			b := records[i].Position.Bucket
			if i == lost {
				broken[b] = true
			}
			if !broken[b] {
				want = append(want, records[i].Position)
			}
		}
		s := warehouse.NewSequence(warehouse.Positions{})
		var got []txn.Position
		for i := range stream {
			if s.Take(&stream[i]) == warehouse.Next {
				got = append(got, stream[i].Position)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("took %d records, want %d:\n%v\n%v", len(got), len(want), got, want)
		}
	})
}

func TestAdmitIsAllOrNothing(t *testing.T) {
	chain := warehousetest.NewChain(1)
	first, lost, last := chain.Epoch(1), chain.Next(1), chain.Next(1)
	s := warehouse.NewSequence(warehouse.Positions{})
	kept, err := warehouse.Admit(&s, []txn.Record{first, last}, nil)
	if !errors.Is(err, warehouse.ErrGap) || kept != nil {
		t.Fatalf("Admit = %v, %v, want ErrGap", kept, err)
	}
	if s.At(1).Epoch != 0 {
		t.Fatal("a refused Admit moved the sequence")
	}
	kept, err = warehouse.Admit(&s, []txn.Record{first, lost, first, last}, nil)
	if err != nil || len(kept) != 3 || s.At(1) != last.Position {
		t.Fatalf("Admit = %d records, %v, holds %s", len(kept), err, s.At(1))
	}
	repaired := func(p txn.Position) bool { return p == lost.Position }
	kept, err = warehouse.Admit(&s, []txn.Record{first, lost, lost}, repaired)
	if err != nil || len(kept) != 1 || kept[0].Position != lost.Position {
		t.Fatalf("Admit for an open dead letter = %v, %v", kept, err)
	}
}

func TestRowRoundTrip(t *testing.T) {
	chain := warehousetest.NewChain(3)
	records := append(chain.Batch(500), chain.CloseDay()...)
	records = append(records, warehousetest.Full())
	for i := range records {
		row := warehouse.RowOf(&records[i])
		back, err := row.Record()
		if err != nil {
			t.Fatal(err)
		}
		if again := warehouse.RowOf(&back); !equalRows(&again, &row) {
			t.Fatalf("row changed:\n%+v\n%+v", again, row)
		}
	}
	for d := txn.BusinessDate(20240101); d < 20260101; d = d.Next() {
		if back := warehouse.DateOfDay(warehouse.DayNumber(d)); back != d {
			t.Fatalf("%s came back as %s", d, back)
		}
	}
}

func equalRows(a, b *warehouse.Row) bool {
	x, y := *a, *b
	if !slices.Equal(x.Accounts, y.Accounts) || !slices.Equal(x.Amounts, y.Amounts) ||
		!slices.Equal(x.DiscountCauses, y.DiscountCauses) ||
		!slices.Equal(x.DiscountAmounts, y.DiscountAmounts) {
		return false
	}
	return x.Card == y.Card && x.Terminal == y.Terminal && x.Seq == y.Seq && x.Reason == y.Reason &&
		x.ServiceAt == y.ServiceAt && x.Original == y.Original
}

// TestDamagedRow: columns that no record could have made are refused, not guessed.
func TestDamagedRow(t *testing.T) {
	full := warehousetest.Full()
	for name, spoil := range map[string]func(*warehouse.Row){
		"kind":      func(r *warehouse.Row) { r.Kind = "theft" },
		"outcome":   func(r *warehouse.Row) { r.Outcome = "" },
		"reason":    func(r *warehouse.Row) { r.Reason = "?" },
		"rider":     func(r *warehouse.Row) { r.Rider = "king" },
		"tac":       func(r *warehouse.Row) { r.TAC = "x" },
		"liability": func(r *warehouse.Row) { r.Liability = "x" },
		"freeze":    func(r *warehouse.Row) { r.ListReason = "x" },
		"terminal":  func(r *warehouse.Row) { r.Terminal = "a b" },
		"card":      func(r *warehouse.Row) { r.Card = "12" },
		"last4":     func(r *warehouse.Row) { r.Last4 = "12x4" },
		"original":  func(r *warehouse.Row) { r.Original = "T" },
		"lists":     func(r *warehouse.Row) { r.Amounts = r.Amounts[1:] },
	} {
		row := warehouse.RowOf(&full)
		spoil(&row)
		if _, err := row.Record(); !errors.Is(err, warehouse.ErrDamaged) {
			t.Errorf("%s: %v, want ErrDamaged", name, err)
		}
	}
}

func TestTotalsVerdicts(t *testing.T) {
	balanced := []warehouse.AccountLine{{Account: "a", Currency: 156, Amount: -5},
		{Account: "b", Currency: 156, Amount: 5}}
	mixed := []warehouse.AccountLine{{Account: "a", Currency: 156, Amount: -5},
		{Account: "b", Currency: 344, Amount: 5}}
	huge := []warehouse.AccountLine{{Amount: 1<<63 - 1}, {Amount: 1}}
	for name, tt := range map[string]struct {
		totals warehouse.Totals
		clean  bool
	}{
		"balanced":         {warehouse.Totals{Accounts: balanced}, true},
		"other currencies": {warehouse.Totals{Accounts: mixed}, false},
		"overflow":         {warehouse.Totals{Accounts: huge}, false},
		"unbalanced":       {warehouse.Totals{Accounts: balanced, Unbalanced: 1}, false},
		"repeated":         {warehouse.Totals{Accounts: balanced, Repeated: 1}, false},
	} {
		if got := tt.totals.Clean(); got != tt.clean {
			t.Errorf("%s: Clean = %v", name, got)
		}
	}
	var whole warehouse.Totals
	whole.Sort()
	if whole.Complete() {
		t.Error("a date without markers is complete")
	}
	for b := range whole.Buckets {
		whole.Buckets[b].Closed = true
	}
	if !whole.Complete() {
		t.Error("a date closed everywhere is not complete")
	}
	whole.DeadLetters = 1
	if whole.Complete() {
		t.Error("a date with a dead letter is complete")
	}
}
