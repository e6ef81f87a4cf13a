package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tapswitch/tapswitch/switch/bank"
)

var (
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
