package run

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tapswitch/tapswitch/ledger/recon"
	"github.com/tapswitch/tapswitch/switch/txn"
)

func drawRow(t *rapid.T, line uint64) recon.Row {
	r := recon.Row{Place: recon.Place{Source: rapid.Uint16().Draw(t, "source"), Line: line},
		Amount: rapid.Int64().Draw(t, "amount"), At: txn.Millis(rapid.Int64().Draw(t, "at")),
		Received: txn.Millis(rapid.Int64().Draw(t, "received")),
		Date:     txn.BusinessDate(rapid.Uint32().Draw(t, "date")), Since: 20261117,
		Currency: txn.Currency(rapid.Uint16().Draw(t, "currency")),
		Marks:    recon.Marks(rapid.Byte().Draw(t, "marks")), Carried: rapid.String().Draw(t, "carried")}
	for f := range recon.TextCount {
		if rapid.Bool().Draw(t, "there") {
			r.Text[f] = rapid.String().Draw(t, "text")
		}
	}
	return r
}

// What is spilled comes back, each row once, in order of place, also where blocks end.
func TestRowsSurviveSpilling(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s, err := newSpill(t.TempDir(), "rows")
		if err != nil {
			rt.Fatal(err)
		}
		want := map[recon.Place]recon.Row{}
		for i := range rapid.IntRange(0, 40).Draw(rt, "rows") {
			r := drawRow(rt, uint64(i))
			if rapid.IntRange(0, 9).Draw(rt, "long") == 0 {
				r.Text[recon.Note] = strings.Repeat("x", 30<<10)
			}
			if err := s.add(i%2, &r); err != nil {
				rt.Fatal(err)
			}
			want[r.Place] = r
		}
		if err := s.seal(); err != nil {
			rt.Fatal(err)
		}
		var l loader
		for part := range partitions {
			rows, err := l.load(s, part)
			if err != nil {
				rt.Fatal(err)
			}
			for i, r := range rows {
				if i > 0 && !rows[i-1].Place.Before(r.Place) {
					rt.Fatal("not in order")
				}
				if *r != want[r.Place] {
					rt.Fatalf("%+v, want %+v", *r, want[r.Place])
				}
				delete(want, r.Place)
			}
		}
		if len(want) > 0 || s.close() != nil {
			rt.Fatalf("%d rows are gone", len(want))
		}
	})
}

// A disk that changes what was written is noticed or reads as rows, and never panics.
func FuzzReadRow(f *testing.F) {
	r := recon.Row{Amount: 5, Carried: "b"}
	r.Text[recon.RRN] = "r"
	f.Add(appendRow(nil, &r))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r recon.Row
		rest, err := readRow(b, &r)
		if err == nil && len(rest) > len(b) || err != nil && !errors.Is(err, errDamaged) {
			t.Fatalf("%d of %d bytes left, %v", len(rest), len(b), err)
		}
	})
}

func TestSpillFaults(t *testing.T) {
	s, err := newSpill(t.TempDir(), "rows")
	if err != nil {
		t.Fatal(err)
	}
	long := recon.Row{}
	long.Text[recon.Note] = strings.Repeat("x", rowMax)
	if err := s.add(0, &long); err == nil {
		t.Error("a row beyond the limit was kept")
	}
	for i := range 1000 {
		r := recon.Row{Place: recon.Place{Line: uint64(i)}}
		r.Text[recon.Note] = fmt.Sprint(i, strings.Repeat("y", 100))
		if err := s.add(0, &r); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.seal(); err != nil {
		t.Fatal(err)
	}
	if err := s.file.Truncate(100); err != nil {
		t.Fatal(err)
	}
	var l loader
	if _, err := l.load(s, 0); !errors.Is(err, errDamaged) {
		t.Errorf("%v, want damaged", err)
	}
	if err := s.file.Close(); err != nil {
		t.Fatal(err)
	}
	r := recon.Row{}
	r.Text[recon.Note] = strings.Repeat("z", rowMax-100)
	for range 2 {
		err = s.add(1, &r)
	}
	if !errors.Is(err, os.ErrClosed) {
		t.Errorf("%v, want the disk's error", err)
	}
	if _, err := newSpill(t.TempDir()+"/none", "rows"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}
