// Package bankfigures sends the figures of a bank edge to whoever asks for metrics: what it
// did, how its links and listeners stand, and what waits. It reads counters and asks no store;
// safe for concurrent use.
package bankfigures

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tapswitch/tapswitch/switch/bank"
)

var (
	bankDesc = prometheus.NewDesc("tapswitch_bank_total",
		"What the bank edge did; doubts, dead and faults are worth an alarm.", []string{"event"}, nil)
	bankLinkDesc = prometheus.NewDesc("tapswitch_bank_link_total",
		"Exchanges of a link by how they ended, answers that came late or fitted nothing, lost connections.",
		[]string{"link", "event"}, nil)
	bankUpDesc = prometheus.NewDesc("tapswitch_bank_link_up",
		"1 when at least one connection of the link takes traffic.", []string{"link"}, nil)
	bankFlightDesc = prometheus.NewDesc("tapswitch_bank_link_in_flight",
		"Unanswered requests of a link.", []string{"link"}, nil)
	bankListenerDesc = prometheus.NewDesc("tapswitch_bank_listener_refused_total",
		"Connections that a listener did not take: of addresses that may not connect, above its "+
			"limit, and with TLS that failed (no certificate, or a foreign one).",
		[]string{"listener", "cause"}, nil)
	bankConnectDesc = prometheus.NewDesc("tapswitch_bank_link_connect_failures_total",
		"Attempts to connect to a bank that failed; tls is the part whose certificate was refused.",
		[]string{"link", "cause"}, nil)
	bankTaskDesc = prometheus.NewDesc("tapswitch_bank_task_failures",
		"How often in a row a task of a link (keys, reconcile) has failed; above 0 is worth an "+
			"alarm.", []string{"link", "task"}, nil)
	bankNoticeDesc = prometheus.NewDesc("tapswitch_bank_notices_waiting",
		"Notices that wait to be forwarded to a bank.", []string{"link"}, nil)
)

// figures collects.
type figures struct{ edge *bank.Switch }

// Of returns the collector of an edge.
func Of(edge *bank.Switch) prometheus.Collector { return figures{edge} }

// Describe sends nothing: the labels are known when the metrics are read.
func (figures) Describe(chan<- *prometheus.Desc) {}

// Collect sends the current values.
func (f figures) Collect(out chan<- prometheus.Metric) {
	counter := func(desc *prometheus.Desc, value int64, labels ...string) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(value), labels...)
	}
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	f.edge.Stats().Each(func(name string, value int64) { counter(bankDesc, value, name) })
	collectBankLines(f.edge, counter, gauge)
	collectBankLinks(f.edge, counter, gauge)
}

// collectBankLines sends what listeners and links refused, and how their tasks stand.
func collectBankLines(edge *bank.Switch, counter func(*prometheus.Desc, int64, ...string),
	gauge func(*prometheus.Desc, float64, ...string)) {
	for _, l := range edge.Listeners() {
		counter(bankListenerDesc, int64(l.RefusedAddress), l.Name, "address")
		counter(bankListenerDesc, int64(l.RefusedFull), l.Name, "full")
		counter(bankListenerDesc, int64(l.TLSFailed), l.Name, "tls")
	}
	for _, l := range edge.Links() {
		counter(bankConnectDesc, int64(l.Figures.ConnectFailures-l.Figures.TLSBad), l.Name, "network")
		counter(bankConnectDesc, int64(l.Figures.TLSBad), l.Name, "tls")
		gauge(bankNoticeDesc, float64(l.Notices), l.Name)
		for name, task := range l.Tasks {
			gauge(bankTaskDesc, float64(task.Tries), l.Name, name)
		}
	}
}

// collectBankLinks sends how the exchanges of each link ended.
func collectBankLinks(edge *bank.Switch, counter func(*prometheus.Desc, int64, ...string),
	gauge func(*prometheus.Desc, float64, ...string)) {
	for _, l := range edge.Links() {
		up := 0.0
		if l.Up {
			up = 1
		}
		gauge(bankUpDesc, up, l.Name)
		gauge(bankFlightDesc, float64(l.InFlight), l.Name)
		for _, e := range []struct {
			name  string
			value uint64
		}{
			{"answered", l.Figures.Answered}, {"not_sent", l.Figures.NotSent},
			{"unknown", l.Figures.Unknown}, {"timed_out", l.Figures.TimedOut},
			{"late", l.Figures.Late}, {"wrong", l.Figures.Wrong}, {"unmatched", l.Figures.Unmatched},
			{"lost", l.Figures.Lost}, {"bad_frame", l.Figures.BadFrames},
			{"bad_message", l.Figures.BadMessages}, {"write_timeout", l.Figures.WriteTimeouts},
		} {
			counter(bankLinkDesc, int64(e.value), l.Name, e.name)
		}
	}
}
