package main

import (
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/deploy/grafana"
	"github.com/tapswitch/tapswitch/switch/sim/bankhost"
)

// constantMatcher finds label="value" of the labels whose values are there from the start.
var constantMatcher = regexp.MustCompile(`(tapswitch_[a-z_]+)\{event="([a-z_]+)"\}`)

// grafanaNode is a switch with a desk and a bank, where a tap was refused for want of a
// signature, and the desk asked by a stranger.
func grafanaNode(t *testing.T) *e2eNode {
	t.Helper()
	w := newBankTown(t, bankPlan{behaviour: bankhost.Behaviour{},
		args: []string{"--set", "desk.city=" + deskPolicy(t, t.TempDir()), "--set", "desk.plain_http=true"}})
	for _, path := range []string{"/v1/taps", "/v1/desk/cards/x/freeze"} {
		resp, err := http.Post("http://"+w.node.gate()+path, "application/json", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	return w.node
}

// TestE2EGrafanaMetrics asks a running switch for its figures: every one that a dashboard looks
// at is served, with the events that it names.
func TestE2EGrafanaMetrics(t *testing.T) {
	t.Parallel()
	n := grafanaNode(t)
	all, err := grafana.Dashboards()
	if err != nil {
		t.Fatal(err)
	}
	var missing []string
	look := func() (bool, error) {
		_, page, err := e2eGet("http://" + n.admin() + "/metrics")
		if err != nil {
			return false, err
		}
		missing = nil
		for _, d := range all {
			for _, p := range d.Panels {
				for _, q := range p.Targets {
					missing = append(missing, unserved(page, &q)...)
				}
			}
		}
		return len(missing) == 0, nil
	}
	if err := e2eAwait(30*time.Second, look); err != nil {
		t.Errorf("%v: dashboards look at figures that the switch does not serve: %q", err, missing)
	}
}

// TestE2EAlarmsOfUploads: every figure that an alarm of uploads and QR taps looks at is served,
// and what to do stands in the runbook.
func TestE2EAlarmsOfUploads(t *testing.T) {
	t.Parallel()
	n := grafanaNode(t)
	rules, err := os.ReadFile("../../deploy/runbooks/alarms_uploads.yaml")
	if err != nil {
		t.Fatal(err)
	}
	book, err := os.ReadFile("../../deploy/runbooks/uploads.md")
	if err != nil {
		t.Fatal(err)
	}
	_, page, err := e2eGet("http://" + n.admin() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`tapswitch_[a-z_]+`).FindAllString(string(rules), -1)
	for _, name := range names {
		if name = strings.TrimSuffix(name, "_bucket"); !strings.Contains(page, "\n# TYPE "+name+" ") {
			t.Errorf("an alarm looks at %s, which is not served", name)
		}
	}
	headings := regexp.MustCompile(`runbook: "([^"]+)"`).FindAllStringSubmatch(string(rules), -1)
	for _, h := range headings {
		if !strings.Contains(string(book), "\n## "+h[1]+"\n") {
			t.Errorf("uploads.md says nothing of %q", h[1])
		}
	}
	if alarms := strings.Count(string(rules), "- alert:"); len(names) < alarms || len(headings) != alarms || alarms < 10 {
		t.Errorf("%d alarms with %d figures and %d headings", alarms, len(names), len(headings))
	}
}

// unserved returns what a query looks at and the page of figures has not.
func unserved(page string, q *grafana.Target) (all []string) {
	// It comes with the first task of a link, and the bank here has none.
	page += "\n# TYPE tapswitch_bank_task_failures gauge\n"
	// So with the first decision: what would be sent then is known.
	if strings.Contains(decidedDesc.String(), `"tapswitch_decisions_total"`) {
		page += "# TYPE tapswitch_decisions_total counter\n"
	}
	for _, name := range q.Metrics() {
		name = strings.TrimSuffix(name, "_bucket")
		if !strings.Contains(page, "\n# TYPE "+name+" ") {
			all = append(all, name)
		}
	}
	for _, m := range constantMatcher.FindAllStringSubmatch(q.Expr, -1) {
		if !strings.Contains(page, m[1]+`{event="`+m[2]+`"}`) {
			all = append(all, m[0])
		}
	}
	return all
}
