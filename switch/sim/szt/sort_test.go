package szt_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/sim/szt"
)

// lines returns the order in which a sorted file yields its lines.
func lines(t *testing.T, s *szt.Sorted) []int {
	t.Helper()
	var all []int
	var last time.Time
	err := s.All(func(r *szt.Row) error {
		if r.At.Before(last) {
			t.Fatalf("line %d comes late", r.Line)
		}
		last = r.At
		all = append(all, r.Line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestSortKeepsFileOrderWithinASecond(t *testing.T) {
	file := header +
		tap("AB", "08:00:02", busKind, 1, 1, "1", busCo) +
		tap("AB", "08:00:01", busKind, 2, 2, "1", busCo) +
		tap("AC", "08:00:02", busKind, 3, 3, "1", busCo) +
		tap("AD", "08:00:01", busKind, 4, 4, "1", busCo)
	s := sorted(t, file)
	defer s.Close()
	if got := fmt.Sprint(lines(t, s)); got != "[3 5 2 4]" {
		t.Errorf("order %s", got)
	}
	if s.Rows != 4 || s.File.FullFare != 10 || s.ByCompany[busCo].Charged != 10 ||
		s.First.Format(time.TimeOnly) != "08:00:01" || s.Last.Format(time.TimeOnly) != "08:00:02" {
		t.Errorf("%+v", s)
	}
}

// A file of many runs sorts like one of a single run, and leaves nothing on disk.
func TestSortSpills(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var b strings.Builder
	b.WriteString(header)
	for range 5000 {
		at := fmt.Sprintf("%02d:%02d:%02d", rng.IntN(24), rng.IntN(60), rng.IntN(2))
		b.WriteString(tap("ABC", at, busKind, rng.IntN(300), 300, fmt.Sprint(rng.IntN(50)), busCo))
	}
	whole := sorted(t, b.String())
	defer whole.Close()
	want := lines(t, whole)
	for _, size := range []int{100, 999, 4999, 5000, 5001} {
		dir := t.TempDir()
		s, err := szt.SortRuns(t.Context(), strings.NewReader(b.String()), dir, size)
		if err != nil {
			t.Fatal(err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
			t.Errorf("files on disk: %v, %v", left, err)
		}
		if !slices.Equal(lines(t, s), want) {
			t.Errorf("runs of %d rows come in another order", size)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestSortNowhereToSpill(t *testing.T) {
	file := header + strings.Repeat(tap("AB", "08:00:00", busKind, 1, 1, "1", busCo), 20)
	_, err := szt.SortRuns(t.Context(), strings.NewReader(file), "/nowhere/at/all", 10)
	if err == nil {
		t.Error("runs were written to a folder that does not exist")
	}
}

func TestSortStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	file := header + strings.Repeat(tap("AB", "08:00:00", busKind, 1, 1, "1", busCo), 5000)
	_, err := szt.Sort(ctx, strings.NewReader(file), t.TempDir(), nil)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestSortSumsOverflow(t *testing.T) {
	file := header + strings.Repeat(tap("AB", "08:00:00", busKind, 1, 9007199254740991, "1", busCo), 2)
	if _, err := szt.Sort(t.Context(), strings.NewReader(file), t.TempDir(), nil); err == nil {
		t.Error("sums beyond 2^53 were accepted")
	}
}

func TestSortYieldStops(t *testing.T) {
	s := sorted(t, header+strings.Repeat(tap("AB", "08:00:00", busKind, 1, 1, "1", busCo), 3))
	defer s.Close()
	enough := errors.New("enough")
	n := 0
	if err := s.All(func(*szt.Row) error { n++; return enough }); !errors.Is(err, enough) || n != 1 {
		t.Errorf("%d rows, %v", n, err)
	}
}
