package main

import (
	"net/http"
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
