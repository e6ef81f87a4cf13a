package load

import (
	"testing"
	"time"
)

// Requests that were due in the warm-up are not measured, those due at its end are.
func TestTallyWarmUp(t *testing.T) {
	tl := NewTally(10*time.Millisecond, 0)
	tl.Note(9*time.Millisecond, 20*time.Millisecond, Good)
	tl.Note(10*time.Millisecond, 25*time.Millisecond, Good)
	tl.Note(30*time.Millisecond, 31*time.Millisecond, Refused)
	tl.Note(30*time.Millisecond, 60*time.Millisecond, Failed)
	r := tl.Finish(time.Second)
	if r.Good != 1 || r.Refused != 1 || r.Failed != 1 || r.Answered() != 3 {
		t.Errorf("good %d, refused %d, failed %d", r.Good, r.Refused, r.Failed)
	}
	if r.Elapsed != 50*time.Millisecond || r.Wall != time.Second {
		t.Errorf("elapsed %s of %s, want 50ms of 1s", r.Elapsed, r.Wall)
	}
	if got := r.PerSecond(); got != 20 {
		t.Errorf("%g good answers a second, want 20", got)
	}
	if p := r.Quantile(0); p < 990*time.Microsecond || p > 1010*time.Microsecond {
		t.Errorf("the shortest wait is %s, want 1ms", p)
	}
	if p := r.Quantile(1); p < 29*time.Millisecond || p > 31*time.Millisecond {
		t.Errorf("the longest wait is %s, want 30ms", p)
	}
}

func TestTallyOfNothing(t *testing.T) {
	r := NewTally(time.Second, 0).Finish(time.Minute)
	if r.PerSecond() != 0 || r.Elapsed != 0 || r.AllGood() == nil {
		t.Errorf("%+v: nothing measured is no success", r)
	}
}

// Slices hold the warm-up as well: they show the whole run.
func TestTallySlices(t *testing.T) {
	tl := NewTally(time.Hour, 100*time.Millisecond)
	for _, a := range []struct{ due, now time.Duration }{
		{0, 10}, {0, 20}, {5, 99}, {90, 100}, {90, 350}, {349, 351},
	} {
		tl.Note(a.due*time.Millisecond, a.now*time.Millisecond, Good)
	}
	r := tl.Finish(time.Second)
	want := []struct {
		at    time.Duration
		count int64
		most  time.Duration
	}{{0, 3, 94}, {100, 1, 10}, {300, 2, 260}}
	if len(r.Slices) != len(want) {
		t.Fatalf("%d slices, want %d: %+v", len(r.Slices), len(want), r.Slices)
	}
	for i, w := range want {
		s := r.Slices[i]
		if s.At != w.at*time.Millisecond || s.Count != w.count {
			t.Errorf("slice %d at %s has %d answers, want %d", i, s.At, s.Count, w.count)
		}
		if most := w.most * time.Millisecond; s.Max < most*99/100 || s.Max > most*101/100 {
			t.Errorf("slice %d: longest %s, want %s", i, s.Max, most)
		}
	}
	if r.Answered() != 0 {
		t.Error("the warm-up was counted")
	}
}

// A wait beyond the histogram counts as its greatest value instead of being lost.
func TestTallyKeepsHugeWaits(t *testing.T) {
	tl := NewTally(0, 0)
	tl.Note(0, time.Hour, Good)
	r := tl.Finish(time.Hour)
	if r.Latency.TotalCount() != 1 || r.Quantile(1) < 59*time.Second {
		t.Errorf("%d latencies, longest %s", r.Latency.TotalCount(), r.Quantile(1))
	}
}

func TestHistogramResolution(t *testing.T) {
	h := NewHistogram()
	for _, v := range []int64{1, 999, 123_456, 7_654_321_000} {
		h.Reset()
		if err := h.RecordValue(v); err != nil {
			t.Fatal(err)
		}
		got := float64(h.ValueAtQuantile(50))
		if got < 0.999*float64(v) || got > 1.001*float64(v) {
			t.Errorf("%d came back as %g", v, got)
		}
	}
}
