package uploads

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tapswitch/tapswitch/switch/txn"
	"github.com/tapswitch/tapswitch/switch/upload"
	"github.com/tapswitch/tapswitch/switch/upload/book"
)

// What the figures have room for.
const (
	statesMax  = 8
	reasonsMax = 128
)

var (
	recordsDesc = prometheus.NewDesc("tapswitch_upload_records_total",
		"Records of uploads by what became of them and why; a record that is sent again counts again.",
		[]string{"state", "reason"}, nil)
	batchesDesc = prometheus.NewDesc("tapswitch_upload_batches_total", "Batches that were decided.", nil, nil)
	bytesDesc   = prometheus.NewDesc("tapswitch_upload_bytes_total", "Bytes of these batches.", nil, nil)
	heldDesc    = prometheus.NewDesc("tapswitch_upload_held_records",
		"Records that wait for a person or for what resolves them, at most as many as one list has.", nil, nil)
	oldestDesc = prometheus.NewDesc("tapswitch_upload_held_oldest_seconds",
		"How long the oldest of them has waited; 0 without any.", nil, nil)
	holesDesc = prometheus.NewDesc("tapswitch_upload_missing_counters",
		"Offline counters of cards that are missing: rides that no gate has uploaded yet.", nil, nil)
	holedDesc = prometheus.NewDesc("tapswitch_upload_cards_with_gaps",
		"Cards with missing counters.", nil, nil)
	brokenDesc = prometheus.NewDesc("tapswitch_upload_cards_suspicious",
		"Cards whose balances do not follow.", nil, nil)
	lookDesc = prometheus.NewDesc("tapswitch_upload_look_age_seconds",
		"Time since held records and cards were counted; it grows when the store does not answer.", nil, nil)
)

// waiting is what a look at the book has found.
type waiting struct {
	at             time.Time
	held           int
	oldest         txn.Millis // when the oldest was held, 0 for none
	missing        int64
	holed, suspect int
}

// figures counts batches as they come, and keeps what the last look has found, so that a reading
// asks no store. Safe for concurrent use.
type figures struct {
	records        [statesMax][reasonsMax]atomic.Int64
	batches, bytes atomic.Int64
	waiting        atomic.Pointer[waiting]
	began          time.Time
	now            func() txn.Millis
}

func newFigures(now func() txn.Millis) *figures { return &figures{began: time.Now(), now: now} }

// Batch implements api.Observer.
func (f *figures) Batch(size int, fates []upload.Fate) {
	f.batches.Add(1)
	f.bytes.Add(int64(size))
	for _, fate := range fates {
		f.records[fate.State%statesMax][fate.Reason%reasonsMax].Add(1)
	}
}

// booked is what a look asks.
type booked interface {
	List(ctx context.Context, after string, most int) ([]book.Held, error)
	Cards(ctx context.Context, suspicious bool) ([]book.CardLine, error)
}

// look counts what waits. An error leaves the figures as they were, and their age grows.
func (f *figures) look(ctx context.Context, b booked, log *slog.Logger) {
	held, err := b.List(ctx, "", book.HeldMax)
	var cards []book.CardLine
	if err == nil {
		cards, err = b.Cards(ctx, false)
	}
	if err != nil {
		if ctx.Err() == nil {
			log.Warn("uploads were not counted", "error", err)
		}
		return
	}
	w := &waiting{at: time.Now(), held: len(held)}
	for i := range held {
		if w.oldest == 0 || held[i].Since < w.oldest {
			w.oldest = held[i].Since
		}
	}
	for i := range cards {
		for _, g := range cards[i].Gaps {
			w.missing += int64(g.To) - int64(g.From) + 1
		}
		if len(cards[i].Gaps) > 0 {
			w.holed++
		}
		if cards[i].Breaks > 0 {
			w.suspect++
		}
	}
	f.waiting.Store(w)
}

// Describe sends nothing: the labels are known when the figures are read.
func (*figures) Describe(chan<- *prometheus.Desc) {}

// Collect sends the current values.
func (f *figures) Collect(out chan<- prometheus.Metric) {
	send := func(desc *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(desc, kind, v, labels...)
	}
	for state := range f.records {
		for reason := range f.records[state] {
			n := f.records[state][reason].Load()
			if n > 0 || upload.State(state) == upload.Accepted && reason == 0 {
				send(recordsDesc, prometheus.CounterValue, float64(n), upload.State(state).String(),
					upload.Reason(reason).String())
			}
		}
	}
	send(batchesDesc, prometheus.CounterValue, float64(f.batches.Load()))
	send(bytesDesc, prometheus.CounterValue, float64(f.bytes.Load()))
	w := f.waiting.Load()
	if w == nil {
		w = &waiting{at: f.began}
	}
	oldest := 0.0
	if w.oldest != 0 {
		oldest = max(0, float64(f.now()-w.oldest)/1000)
	}
	gauge := prometheus.GaugeValue
	send(heldDesc, gauge, float64(w.held))
	send(oldestDesc, gauge, oldest)
	send(holesDesc, gauge, float64(w.missing))
	send(holedDesc, gauge, float64(w.holed))
	send(brokenDesc, gauge, float64(w.suspect))
	send(lookDesc, gauge, time.Since(w.at).Seconds())
}
