package agency

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tapswitch/tapswitch/switch/desk"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// The figures of the agency's part. deploy/runbooks/alarms.yaml says which are worth an
// alarm, and deploy/runbooks/freeze.md what to do then.

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("tapswitch_"+name, help, labels, nil)
}

var (
	requestsDesc = describe("desk_requests_total",
		"Calls of the desk, of parties and of gates, by call and status.", "call", "status")
	casesDesc = describe("desk_cases",
		"Open cases by kind; overdue are those past their legal date.", "kind", "state")
	sampleDesc = describe("desk_cases_age_seconds",
		"Time since the open cases were counted; it grows when the store does not answer.")

	openDesc    = describe("notice_open", "Freezes and releases of which a party has not acted.")
	partiesDesc = describe("notice_parties",
		"Parties of open notices by what their clock counts from; sending has no proof of receipt.",
		"basis")
	lateDesc   = describe("notice_late", "Parties of open notices that are late; above 0 is an alarm.")
	deadDesc   = describe("notice_dead", "Parties of open notices that were given up.")
	oldestDesc = describe("notice_oldest_seconds",
		"Time since the acceptance of the oldest open notice, 0 for none.")
	sweepDesc = describe("notice_sweep_age_seconds",
		"Time since the open notices were counted.")
	triesDesc    = describe("notice_tries_total", "Tries to tell a party.", "result")
	answersDesc  = describe("notice_answers_total", "Acknowledgements of parties.", "result")
	alarmsDesc   = describe("notice_alarms_total", "Alarms of parties that have not acted.")
	lateSeenDesc = describe("notice_late_total", "Parties that became late.")
	faultsDesc   = describe("notice_faults_total", "Faults of the notices themselves.")
	waitingDesc  = describe("notice_waiting", "Tries that are under way or wait in memory.")
	sentDesc     = describe("notice_accepted_to_sent_seconds",
		"From the acceptance of a report to the first sending to a party.")

	epochDesc     = describe("list_epoch", "Epoch of the present list.")
	publishedDesc = describe("list_published_age_seconds", "Time since the present epoch was made.")
	confirmedDesc = describe("list_confirmed_age_seconds",
		"Time since the list was last known to miss nothing; above 30 is an alarm.")
	cardsDesc = describe("list_cards", "Cards in the list.")
	shareDesc = describe("list_coverage_share",
		"Share of the active gates that hold the present list; 1 where there are none.")
	devicesDesc = describe("list_devices",
		"Active gates that hold the present list, and that are behind.", "state")
	pollsDesc   = describe("list_polls_total", "Requests of gates for lists.", "call", "status")
	strangeDesc = describe("list_strange_epochs_total",
		"Epochs shown by gates that were never made here.")
	fullsDesc = describe("list_full_files_total", "Full lists made.")
)

// sampleEvery is how often open cases are counted.
const sampleEvery = 15 * time.Second

// figures are what the agency counts itself.
type figures struct {
	mu       sync.Mutex // guards the fields below
	requests map[[2]string]int64
	polls    map[[2]string]int64
	cases    map[[2]string]int
	counted  time.Time
}

// countedMax bounds the calls that are told apart.
const countedMax = 512

func (f *figures) count(table *map[[2]string]int64, call string, status int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if *table == nil {
		*table = map[[2]string]int64{}
	}
	// A path's bytes are used again after its request, and counting replaces the key as well.
	key := [2]string{strings.Clone(call), strconv.Itoa(status)}
	if _, known := (*table)[key]; !known && len(*table) >= countedMax {
		key[0] = "other"
	}
	(*table)[key]++
}

// watchedWriter notes the status of an answer.
type watchedWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (w *watchedWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController find what is beneath.
func (w *watchedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// sample looks at what alarms are made of until ctx ends.
func (a *Agency) sample(ctx context.Context) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		if err := a.look(ctx); err != nil && ctx.Err() == nil {
			a.log.Warn("cases, other cities' lists and drills were not looked at", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (f *figures) take(all []desk.OpenCase) {
	cases := map[[2]string]int{}
	for i := range all {
		kind := all[i].Case.Kind.String()
		cases[[2]string{kind, "open"}]++
		if all[i].Overdue {
			cases[[2]string{kind, "overdue"}]++
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cases, f.counted = cases, time.Now()
}

var _ prometheus.Collector = (*Agency)(nil)

// Describe sends nothing: the labels are known when the metrics are read.
func (a *Agency) Describe(chan<- *prometheus.Desc) {}

// Collect sends the current values. It asks no store.
func (a *Agency) Collect(out chan<- prometheus.Metric) {
	now := a.now()
	m := meter{out, now}
	a.figures.collect(&m)
	a.watch.collect(&m)
	a.collectNotices(&m)
	a.collectLists(&m)
}

// meter sends values.
type meter struct {
	out chan<- prometheus.Metric
	now txn.Millis
}

func (m *meter) gauge(d *prometheus.Desc, v float64, labels ...string) {
	m.out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (m *meter) counter(d *prometheus.Desc, v float64, labels ...string) {
	m.out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
}

// age sends how long ago an instant was; 0 sends nothing, since it has not come.
func (m *meter) age(d *prometheus.Desc, at txn.Millis) {
	if at != 0 {
		m.gauge(d, float64(max(0, m.now-at))/1000)
	}
}

func (f *figures) collect(m *meter) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key, n := range f.requests {
		m.counter(requestsDesc, float64(n), key[0], key[1])
	}
	for key, n := range f.polls {
		m.counter(pollsDesc, float64(n), key[0], key[1])
	}
	for key, n := range f.cases {
		m.gauge(casesDesc, float64(n), key[0], key[1])
	}
	if !f.counted.IsZero() {
		m.gauge(sampleDesc, time.Since(f.counted).Seconds())
	}
}

func (a *Agency) collectNotices(m *meter) {
	f := a.Notices.Figures()
	m.gauge(openDesc, float64(f.Open))
	m.gauge(partiesDesc, float64(f.BySending), "sending")
	m.gauge(partiesDesc, float64(f.Parties-f.BySending), "receipt_or_none")
	m.gauge(lateDesc, float64(f.Late))
	m.gauge(deadDesc, float64(f.Dead))
	collectMarks(m, f.Past[:])
	oldest := 0.0
	if f.OldestAt != 0 {
		oldest = float64(max(0, m.now-f.OldestAt)) / 1000
	}
	m.gauge(oldestDesc, oldest)
	m.age(sweepDesc, f.At)
	m.counter(triesDesc, float64(f.Sent-f.Failed), "told")
	m.counter(triesDesc, float64(f.Failed), "failed")
	m.counter(answersDesc, float64(max(f.Answers, f.Refused)-f.Refused), "recorded")
	m.counter(answersDesc, float64(f.Refused), "refused")
	m.counter(alarmsDesc, float64(f.Alarms))
	m.counter(lateSeenDesc, float64(f.LateSeen))
	m.counter(faultsDesc, float64(f.Faults))
	m.gauge(waitingDesc, float64(f.Waiting))
	h, total, buckets := f.AcceptanceToSent, uint64(0), map[float64]uint64{}
	for i, n := range h.Counts {
		total += n
		if i < len(h.BoundsMS) {
			buckets[float64(h.BoundsMS[i])/1000] = total
		}
	}
	m.out <- prometheus.MustNewConstHistogram(sentDesc, total, float64(h.SumMS)/1000, buckets)
}

func (a *Agency) collectLists(m *meter) {
	s, t := a.Lists.Stats(), a.Tracker.Stats()
	c := a.Tracker.Coverage(s.Epoch, m.now)
	m.gauge(epochDesc, float64(s.Epoch))
	m.age(publishedDesc, s.At)
	m.age(confirmedDesc, s.Confirmed)
	m.gauge(cardsDesc, float64(s.Cards))
	share := 1.0
	if c.Total > 0 {
		share = c.Share
	}
	m.gauge(shareDesc, share)
	m.gauge(devicesDesc, float64(c.Covered), "covered")
	m.gauge(devicesDesc, float64(c.Total-c.Covered), "behind")
	m.counter(strangeDesc, float64(t.Strange))
	m.counter(fullsDesc, float64(s.Builds))
}
