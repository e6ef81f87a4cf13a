package lookup

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/ledger/warehouse/warehousetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const day = warehousetest.Day

var one = Query{Filter: warehouse.Filter{From: day, To: day}}

// ledger is a warehouse in memory that a test can hold up.
type ledger struct {
	records []txn.Record
	hold    chan struct{}
	err     error
}

func (l *ledger) Records(ctx context.Context, f warehouse.Filter, yield func(*txn.Record) error) error {
	if l.hold != nil {
		select {
		case <-l.hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for i := range l.records {
		if f.Matches(&l.records[i]) {
			if err := yield(&l.records[i]); err != nil {
				return err
			}
		}
	}
	return l.err
}

func newFinder(t *testing.T, l *ledger, now func() time.Time) *Finder {
	t.Helper()
	f := New(l, now)
	t.Cleanup(f.Close)
	return f
}

func start(t *testing.T, f *Finder, id string, q Query) {
	t.Helper()
	if err := f.Start(Job{ID: id, Owner: "li", Title: "t", Purpose: "p"}, q); err != nil {
		t.Fatal(err)
	}
}

// wait returns a job when it is done.
func wait(t *testing.T, f *Finder, id string) Job {
	t.Helper()
	j, ok := f.Get(t.Context(), id, "li", 30*time.Second)
	if !ok || !j.Done {
		t.Fatalf("%v %+v", ok, j)
	}
	return j
}

func TestASearchFindsAndIsItsOwners(t *testing.T) {
	l := &ledger{records: warehousetest.NewChain(1).Batch(150)}
	var want txn.Record
	for _, r := range l.records {
		if r.Kind == txn.Load {
			want = r
		}
	}
	f := newFinder(t, l, nil)
	start(t, f, "a", Query{Filter: warehouse.Filter{From: day, To: day, Request: want.Request}})
	j := wait(t, f, "a")
	if len(j.Records) != 1 || j.Records[0].Position != want.Position || j.More || j.Err != nil || j.Purpose != "p" {
		t.Errorf("%+v", j)
	}
	if _, ok := f.Get(t.Context(), "a", "wang", 0); ok {
		t.Error("another person sees it")
	}
	if _, ok := f.Get(t.Context(), "b", "li", 0); ok {
		t.Error("an unknown job is known")
	}
}

func TestAPageDoesNotWaitForALongSearch(t *testing.T) {
	l := &ledger{hold: make(chan struct{})}
	f := newFinder(t, l, nil)
	start(t, f, "a", one)
	if j, ok := f.Get(t.Context(), "a", "li", time.Millisecond); !ok || j.Done {
		t.Errorf("%v %+v", ok, j)
	}
	close(l.hold)
	wait(t, f, "a")
}

func TestResultsAreBoundedAndMarkersLeftOut(t *testing.T) {
	l := &ledger{records: warehousetest.NewChain(1).Batch(1000)}
	f := newFinder(t, l, nil)
	start(t, f, "a", one)
	j := wait(t, f, "a")
	if len(j.Records) != ResultMax || !j.More {
		t.Errorf("%d %v", len(j.Records), j.More)
	}
	for i := range j.Records {
		if j.Records[i].Kind.IsMarker() {
			t.Error("a marker")
		}
	}
	q := one
	q.Match = func(r *txn.Record) bool { return r.Kind == txn.Load }
	start(t, f, "b", q)
	for _, r := range wait(t, f, "b").Records {
		if r.Kind != txn.Load {
			t.Error(r.Kind)
		}
	}
}

func TestSpans(t *testing.T) {
	f := newFinder(t, &ledger{}, nil)
	for _, s := range []struct {
		from, to txn.BusinessDate
		ok       bool
	}{
		{20260301, 20260331, true}, {20260301, 20260401, false}, {20260302, 20260301, false},
		{0, 20260301, false}, {20260301, 0, false}, {20260231, 20260301, false},
	} {
		err := f.Start(Job{ID: fmt.Sprint(s), Owner: "li"}, Query{Filter: warehouse.Filter{From: s.from, To: s.to}})
		if (err == nil) != s.ok || err != nil && !errors.Is(err, ErrSpan) {
			t.Errorf("%v: %v", s, err)
		}
	}
}

func TestWaitingFull(t *testing.T) {
	l := &ledger{hold: make(chan struct{})}
	f := newFinder(t, l, nil)
	refused := 0
	for i := range WaitingMax + 5 {
		err := f.Start(Job{ID: fmt.Sprint(i), Owner: "li"}, one)
		if err != nil && !errors.Is(err, ErrBusy) {
			t.Fatal(err)
		}
		if err != nil {
			refused++
		}
	}
	if refused < 4 {
		t.Errorf("%d refused", refused)
	}
	close(l.hold)
}

func TestJobsAreForgotten(t *testing.T) {
	at := time.Now()
	f := newFinder(t, &ledger{}, func() time.Time { return at })
	for i := range JobsMax + 10 {
		id := fmt.Sprint(i)
		at = at.Add(time.Second)
		start(t, f, id, one)
		wait(t, f, id)
	}
	if len(f.jobs) > JobsMax {
		t.Errorf("%d kept", len(f.jobs))
	}
	if _, ok := f.Get(t.Context(), "0", "li", 0); ok {
		t.Error("the oldest is kept")
	}
	at = at.Add(KeepFor)
	start(t, f, "new", one)
	if len(f.jobs) != 1 {
		t.Errorf("%d kept after their time", len(f.jobs))
	}
}

func TestAFaultIsTold(t *testing.T) {
	fault := errors.New("the disk")
	f := newFinder(t, &ledger{err: fault}, nil)
	start(t, f, "a", one)
	if j := wait(t, f, "a"); !errors.Is(j.Err, fault) {
		t.Error(j.Err)
	}
}
