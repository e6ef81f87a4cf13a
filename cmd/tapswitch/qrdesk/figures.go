package qrdesk

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tapswitch/tapswitch/switch/txn"
)

const reasonsMax = 256 // a reason is one byte

var (
	tapsDesc = prometheus.NewDesc("tapswitch_qr_taps_total",
		"Taps of QR codes by reason; reason approved is an approval.", []string{"reason"}, nil)
	replaysDesc = prometheus.NewDesc("tapswitch_qr_replays_total",
		"Of these, requests that were sent again and got their answer.", nil, nil)
)

// Figures counts the taps of QR codes for whoever asks for metrics. Safe for concurrent use.
type Figures struct {
	reasons [reasonsMax]atomic.Int64
	replays atomic.Int64
	verify  prometheus.Histogram
}

// NewFigures returns figures that stand at 0.
func NewFigures() *Figures {
	return &Figures{verify: prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "tapswitch_qr_verify_seconds", Help: "Time to verify a code, its certificate and both signatures.",
		Buckets: []float64{10e-6, 50e-6, 100e-6, 200e-6, 300e-6, 500e-6, 1e-3, 2e-3, 5e-3, 20e-3, 100e-3},
	})}
}

// Decided implements qrtap.Observer.
func (f *Figures) Decided(reason txn.Reason, replay bool) {
	f.reasons[reason].Add(1)
	if replay {
		f.replays.Add(1)
	}
}

// Verified implements qrtap.Observer.
func (f *Figures) Verified(took time.Duration) { f.verify.Observe(took.Seconds()) }

// Describe sends nothing: the labels are known when the figures are read.
func (*Figures) Describe(chan<- *prometheus.Desc) {}

// Collect sends the current values.
func (f *Figures) Collect(out chan<- prometheus.Metric) {
	for i := range f.reasons {
		name := txn.Reason(i).String()
		if txn.Reason(i) == txn.ReasonNone {
			name = "approved"
		}
		if n := f.reasons[i].Load(); n > 0 || i == int(txn.ReasonNone) {
			out <- prometheus.MustNewConstMetric(tapsDesc, prometheus.CounterValue, float64(n), name)
		}
	}
	out <- prometheus.MustNewConstMetric(replaysDesc, prometheus.CounterValue, float64(f.replays.Load()))
	f.verify.Collect(out)
}
