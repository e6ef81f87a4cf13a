package uploads

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tapswitch/tapswitch/switch/txn"
	"github.com/tapswitch/tapswitch/switch/upload"
	"github.com/tapswitch/tapswitch/switch/upload/book"
)

// shelf is a book with a content.
type shelf struct {
	held  []book.Held
	cards []book.CardLine
	err   error
}

func (s *shelf) List(context.Context, string, int) ([]book.Held, error) { return s.held, s.err }

func (s *shelf) Cards(context.Context, bool) ([]book.CardLine, error) { return s.cards, s.err }

// reading returns the figures by name and labels.
func reading(t *testing.T, c prometheus.Collector) map[string]float64 {
	t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(c)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			name := strings.TrimPrefix(f.GetName(), "tapswitch_upload_")
			for _, l := range m.Label {
				name += " " + l.GetValue()
			}
			all[strings.TrimSpace(name)] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return all
}

// Batches count as they come; what waits is what the last look found, with its age.
func TestFigures(t *testing.T) {
	now := txn.Millis(100_000)
	f := newFigures(func() txn.Millis { return now })
	if got := reading(t, f); got["records_total  accepted"]+got["records_total accepted"] != 0 || len(got) < 9 {
		t.Errorf("at the beginning: %v", got)
	}
	f.Batch(300, []upload.Fate{{State: upload.Accepted}, {State: upload.Accepted}, {State: upload.Held, Reason: upload.Dispute},
		{State: upload.Rejected, Reason: upload.TACWrong}, {State: upload.Accepted, Reason: upload.LeaseEnded},
		{State: upload.Duplicate}})
	f.Batch(30, nil)
	s := &shelf{held: []book.Held{{Since: 90_000}, {Since: 40_000}, {Since: 70_000}}, cards: []book.CardLine{
		{Gaps: []upload.Gap{{From: 7, To: 9}, {From: 12, To: 12}}}, {Breaks: 2}, {Gaps: []upload.Gap{{From: 1, To: 2}}, Breaks: 1}}}
	f.look(t.Context(), s, slog.New(slog.DiscardHandler))
	want := map[string]float64{"batches_total": 2, "bytes_total": 330, "records_total dispute held": 1,
		"records_total tac_wrong rejected": 1, "records_total lease_ended accepted": 1, "held_records": 3,
		"held_oldest_seconds": 60, "missing_counters": 6, "cards_with_gaps": 2, "cards_suspicious": 2}
	got := reading(t, f)
	for name, v := range want {
		if got[name] != v {
			t.Errorf("%s is %v, want %v: %v", name, got[name], v, got)
		}
	}
	if got["records_total  accepted"] != 2 || got["records_total  duplicate"] != 1 {
		t.Errorf("%v", got)
	}
	// A store that does not answer leaves the figures as they were.
	s.err, s.held = errors.New("away"), nil
	f.look(t.Context(), s, slog.New(slog.DiscardHandler))
	if now = 130_000; reading(t, f)["held_records"] != 3 || reading(t, f)["held_oldest_seconds"] != 90 {
		t.Errorf("%v", reading(t, f))
	}
	s.err = nil
	f.look(t.Context(), s, slog.New(slog.DiscardHandler))
	if got := reading(t, f); got["held_records"] != 0 || got["held_oldest_seconds"] != 0 {
		t.Errorf("%v", got)
	}
	// Numbers that are not known yet have room.
	f.Batch(0, []upload.Fate{{State: 255, Reason: 255}})
	if got := reading(t, f); got["records_total unknown unknown"] != 1 {
		t.Errorf("%v", got)
	}
}
