package clickhouse

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/ledger/warehouse/warehousetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

func TestModel(t *testing.T) {
	s := startServer(t)
	warehousetest.RunModel(t, func(t *testing.T) warehousetest.Opener {
		dsn := s.database(t)
		return func(t *testing.T) warehouse.Warehouse { return mustOpen(t, Options{DSN: dsn}) }
	}, 2, 24)
}

func at(epoch txn.Epoch, seq txn.Seq) txn.Position {
	return txn.Position{Bucket: 3, Epoch: epoch, Seq: seq}
}

// TestFollow: counts of epochs prove a range only when they fit exactly.
func TestFollow(t *testing.T) {
	whole := []span{
		{epoch: 2, first: 6, last: 9, rows: 4},
		{epoch: 3, first: 0, last: 4, rows: 5, markers: 1, previous: at(2, 9), day: 20},
	}
	change := func(i int, to func(*span)) []span {
		spans := append([]span(nil), whole...)
		to(&spans[i])
		return spans
	}
	tests := []struct {
		name  string
		spans []span
		ok    bool
	}{
		{"nothing new", nil, true},
		{"whole", whole, true},
		{"later start", change(0, func(s *span) { s.first, s.rows = 7, 3 }), false},
		{"one row missing", change(0, func(s *span) { s.rows-- }), false},
		{"one row too many", change(0, func(s *span) { s.rows++ }), false},
		{"no marker", change(1, func(s *span) { s.markers = 0 }), false},
		{"two markers", change(1, func(s *span) { s.markers = 2 }), false},
		{"marker names another end", change(1, func(s *span) { s.previous = at(2, 10) }), false},
		{"epoch starts later", change(1, func(s *span) { s.first, s.rows = 1, 4 }), false},
		{"first epoch missing", whole[1:], false},
	}
	for _, tt := range tests {
		var p positions
		p.held[3], p.day[3] = at(2, 5), 10
		if got := p.follow(3, tt.spans); got != tt.ok {
			t.Errorf("%s: follow = %v", tt.name, got)
		}
		want := at(2, 5)
		if tt.name == "whole" {
			want = at(3, 4)
		}
		if p.held[3] != want {
			t.Errorf("%s: holds %s, want %s", tt.name, p.held[3], want)
		}
	}
}

// TestTokenNamesTheRecords: two batches share a token only when they hold the same.
func TestTokenNamesTheRecords(t *testing.T) {
	records := warehousetest.NewChain(1).Batch(10)
	var all []*txn.Record
	for i := range records {
		all = append(all, &records[i])
	}
	seen := make(map[string]bool)
	for from := range all {
		for to := from + 1; to <= len(all); to++ {
			token := tokenOf(all[from:to])
			if seen[token] {
				t.Fatalf("records %d to %d share a token", from, to)
			}
			seen[token] = true
		}
	}
	if tokenOf(all) != tokenOf(append([]*txn.Record(nil), all...)) {
		t.Error("the same records have two tokens")
	}
}

// TestColumnsFitTheTable: every stored column of the table is written, and no other.
func TestColumnsFitTheTable(t *testing.T) {
	s := startServer(t)
	w := mustOpen(t, Options{DSN: s.database(t)})
	var stored []string
	rows, err := w.conn.Query(context.Background(), `SELECT name FROM system.columns
		WHERE database = currentDatabase() AND table = 'records' AND default_kind = ''
		ORDER BY position`)
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		stored = append(stored, name)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(stored, ", "); got != columnList(w.columns) {
		t.Errorf("table has\n%s\ninsert writes\n%s", got, columnList(w.columns))
	}
	closeAll(t, w)
}

// TestAmounts: a sum beyond int64 is refused, whatever the server made of it.
func TestAmounts(t *testing.T) {
	var a, b int64
	if err := amounts([]string{"9223372036854775807", "-9223372036854775808"}, &a,
		&b); err != nil ||
		a != 1<<63-1 || b != -1<<63 {
		t.Errorf("amounts = %d, %d, %v", a, b, err)
	}
	for _, text := range []string{"9223372036854775808", "-9223372036854775809", "1.5", "", "nan"} {
		if err := amounts([]string{text}, &a); !errors.Is(err, warehouse.ErrOverflow) {
			t.Errorf("amounts(%q): %v, want ErrOverflow", text, err)
		}
	}
}
