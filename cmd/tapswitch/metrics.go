package main

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/bankfigures"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/consolewire"
	"github.com/tapswitch/tapswitch/switch/gate"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// stageBuckets are the upper bounds of the stage histogram in seconds: a stage takes
// nanoseconds to milliseconds.
var stageBuckets = []float64{500e-9, 1e-6, 2e-6, 5e-6, 10e-6, 25e-6, 50e-6, 100e-6, 250e-6,
	500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 100e-3, 1}

const (
	routesMax  = 256
	reasonsMax = 256
	codesMax   = 256
	stagesMax  = 8
)

// gateMetrics counts what the gate reports, in arrays, so that a tap costs one atomic add.
// Names are put to the numbers when metrics are read.
type gateMetrics struct {
	decided [routesMax][reasonsMax]atomic.Int64
	refused [routesMax][codesMax]atomic.Int64
	stages  [stagesMax]prometheus.Histogram
	// pulse shows the console how long decisions take; nil without one.
	pulse atomic.Pointer[consolewire.Pulse]
}

var _ gate.Observer = (*gateMetrics)(nil)

func newGateMetrics() *gateMetrics {
	m := &gateMetrics{}
	for i := range len(gate.Stages{}) {
		m.stages[i] = prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "tapswitch_gate_stage_seconds", Help: "Time of one stage of a request, sampled.",
			ConstLabels: prometheus.Labels{"stage": gate.Stage(i).String()}, Buckets: stageBuckets,
		})
	}
	return m
}

// Decided counts a decision.
func (m *gateMetrics) Decided(route gate.Route, reason txn.Reason) {
	m.decided[route][reason].Add(1)
}

// Refused counts a request that was not executed.
func (m *gateMetrics) Refused(route gate.Route, code gate.Code) { m.refused[route][code].Add(1) }

// Staged takes the durations of one request.
func (m *gateMetrics) Staged(_ gate.Route, stages gate.Stages) {
	var took time.Duration
	for i, d := range stages {
		m.stages[i].Observe(d.Seconds())
		took += d
	}
	if p := m.pulse.Load(); p != nil {
		p.Took(took)
	}
}

// volumeCalls are the calls of terminals that move money or open a ride: the console's volume.
var volumeCalls = []string{"POST /v1/taps", "POST /v1/taps:batch", "POST /v1/loads",
	"POST /v1/purchases", "POST /v1/refunds", "POST /v1/reversals"}

// decisions counts what was approved and declined since the start of what is volume; routes are the
// gate's, by their numbers.
func (m *gateMetrics) decisions(routes []string) (approved, declined int64) {
	for i, route := range routes {
		if !slices.Contains(volumeCalls, route) {
			continue
		}
		approved += m.decided[i][txn.ReasonNone].Load()
		for reason := 1; reason < reasonsMax; reason++ {
			declined += m.decided[i][reason].Load()
		}
	}
	return approved, declined
}

var (
	decidedDesc = prometheus.NewDesc("tapswitch_decisions_total",
		"Decisions by call and reason; reason approved is an approval.",
		[]string{"call", "reason"}, nil)
	refusedDesc = prometheus.NewDesc("tapswitch_refusals_total",
		"Requests not executed, or of unknown outcome, by call and error code.",
		[]string{"call", "code"}, nil)
	engineDesc = prometheus.NewDesc("tapswitch_engine_total",
		"Decisions made again after a conflict, commits in doubt, replays.",
		[]string{"event"}, nil)
	feedDesc = prometheus.NewDesc("tapswitch_feed_total",
		"What the feed did with settled records.", []string{"event"}, nil)
	outboxDesc = prometheus.NewDesc("tapswitch_outbox_pending_records",
		"Settled records that the warehouse has not confirmed.", nil, nil)
	frozenDesc = prometheus.NewDesc("tapswitch_blacklist_cards", "Cards on the blacklist.", nil, nil)
	dueDesc    = prometheus.NewDesc("tapswitch_due_entries", "Entries of the due queue.", nil, nil)
	dateDesc   = prometheus.NewDesc("tapswitch_business_date",
		"Oldest business date of any bucket, as YYYYMMDD.", nil, nil)
	listAgeDesc = prometheus.NewDesc("tapswitch_blacklist_age_seconds",
		"Time since the blacklist replica last heard of its store; 0 when the store owns it.",
		nil, nil)
	infoDesc = prometheus.NewDesc("tapswitch_build_info", "Version and commit.",
		[]string{"version", "commit"}, nil)
)

// nodeCollector reads the node's counters when metrics are asked for.
type nodeCollector struct{ n *node }

func registerMetrics(registry *prometheus.Registry, n *node) {
	registry.MustRegister(collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), nodeCollector{n})
	if n.agency != nil {
		registry.MustRegister(n.agency)
	}
	if n.bank != nil {
		registry.MustRegister(bankfigures.Of(n.bank))
	}
	registry.MustRegister(n.figures...)
	if n.metrics == nil {
		return
	}
	for i := range len(gate.Stages{}) {
		registry.MustRegister(n.metrics.stages[i])
	}
}

// Describe sends nothing: the labels are known when the metrics are read.
func (nodeCollector) Describe(chan<- *prometheus.Desc) {}

// Collect sends the current values.
func (c nodeCollector) Collect(out chan<- prometheus.Metric) {
	counter := func(desc *prometheus.Desc, value int64, labels ...string) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(value), labels...)
	}
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	gauge(infoDesc, 1, version, commit)
	if c.n.metrics != nil {
		c.n.metrics.collect(append(c.n.gate.Routes(), "none"), counter)
	}
	stats := c.n.engine.Stats()
	counter(engineDesc, stats.Conflicts.Load(), "conflict")
	counter(engineDesc, stats.Marks.Load(), "mark_conflict")
	counter(engineDesc, stats.InDoubt.Load(), "in_doubt")
	counter(engineDesc, stats.Replays.Load(), "replay")
	c.n.counters.Each(func(name string, value int64) { counter(feedDesc, value, name) })
	c.buckets(gauge)
	if c.n.hot.replica != nil {
		gauge(listAgeDesc, c.n.hot.replica.Stats().Age.Seconds())
	}
}

// buckets sums the numbering of the store; a store that does not answer leaves a gap.
func (c nodeCollector) buckets(gauge func(*prometheus.Desc, float64, ...string)) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	all, err := c.n.hot.Buckets(ctx)
	if err != nil || len(all) == 0 {
		return
	}
	var pending, frozen, due int
	oldest := all[0].Date
	for _, b := range all {
		pending, frozen, due = pending+b.Pending, frozen+b.Frozen, due+b.Due
		oldest = min(oldest, b.Date)
	}
	gauge(outboxDesc, float64(pending))
	gauge(frozenDesc, float64(frozen))
	gauge(dueDesc, float64(due))
	gauge(dateDesc, float64(oldest))
}

// collect names the counters that are not zero. The last of routes stands for requests
// that reached no call.
func (m *gateMetrics) collect(
	routes []string, counter func(*prometheus.Desc, int64, ...string),
) {
	codes := map[gate.Code]string{}
	for _, c := range gate.Codes() {
		codes[c] = c.String()
	}
	for i := range m.decided {
		name := routes[min(i, len(routes)-1)]
		for reason := range m.decided[i] {
			if v := m.decided[i][reason].Load(); v > 0 {
				text := "approved"
				if reason > 0 {
					text = txn.Reason(reason).String()
				}
				counter(decidedDesc, v, name, text)
			}
		}
		for code := range m.refused[i] {
			if v := m.refused[i][code].Load(); v > 0 {
				counter(refusedDesc, v, name, codes[gate.Code(code)])
			}
		}
	}
}
