package grafana

import (
	"os"
	"slices"
	"strings"
	"testing"
)

func dashboards(t *testing.T) []Dashboard {
	t.Helper()
	all, err := Dashboards()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Every panel has a query of the kind that its source speaks, a place of its own, and a number
// of its own.
func TestDashboards(t *testing.T) {
	var uids []string
	for _, d := range dashboards(t) {
		uids = append(uids, d.UID)
		ids := map[int]bool{}
		taken := map[[2]int]string{}
		for _, p := range d.Panels {
			if p.Title == "" || ids[p.ID] || p.ID == 0 {
				t.Errorf("%s: panel %d %q", d.Title, p.ID, p.Title)
			}
			ids[p.ID] = true
			for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
				for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
					if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
						t.Fatalf("%s: %q lies over %q", d.Title, p.Title, other)
					}
					taken[[2]int{x, y}] = p.Title
				}
			}
			checkPanel(t, &p)
		}
	}
	if want := []string{"tapswitch-finance", "tapswitch-operation", "tapswitch-security"}; !slices.Equal(uids, want) {
		t.Errorf("dashboards %v, want %v", uids, want)
	}
}

func checkPanel(t *testing.T, p *Panel) {
	t.Helper()
	if (p.Type == "text") != (len(p.Targets) == 0) {
		t.Errorf("%q has %d queries", p.Title, len(p.Targets))
	}
	for _, q := range p.Targets {
		switch {
		case q.Datasource != p.Datasource:
			t.Errorf("%q asks two sources", p.Title)
		case q.Datasource.UID == Prometheus && (q.SQL != "" || len(q.Metrics()) == 0),
			q.Datasource.UID == ClickHouse && (q.Expr != "" || len(q.Views()) == 0),
			q.Datasource.UID != Prometheus && q.Datasource.UID != ClickHouse:
			t.Errorf("%q asks %v: %q %q", p.Title, q.Datasource, q.Expr, q.SQL)
		case strings.Count(q.Expr, "(") != strings.Count(q.Expr, ")"),
			strings.Contains(q.Statement("a", "b"), "$"):
			t.Errorf("%q: %q %q", p.Title, q.Expr, q.SQL)
		}
	}
}

// The provisioning makes the sources that the dashboards name, and holds no secret.
func TestProvisioning(t *testing.T) {
	text, err := os.ReadFile("provisioning/datasources/tapswitch.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"uid: " + Prometheus + "\n", "uid: " + ClickHouse + "\n",
		"type: prometheus\n", "type: grafana-clickhouse-datasource\n",
		"password: ${TAPSWITCH_CLICKHOUSE_PASSWORD}\n"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q", want)
		}
	}
	if _, err := os.Stat("provisioning/dashboards/tapswitch.yaml"); err != nil {
		t.Error(err)
	}
}

func TestStatement(t *testing.T) {
	q := Target{SQL: "SELECT 1 FROM analyst_x JOIN analyst_y WHERE $__dateFilter(day)",
		Expr: `rate(tapswitch_a_total{b="tapswitch c"}[1m]) / tapswitch_d`}
	if got := q.Statement("2026-01-01", "2026-01-02"); !strings.HasSuffix(got,
		"WHERE day >= toDate('2026-01-01') AND day <= toDate('2026-01-02')") {
		t.Error(got)
	}
	if got := q.Views(); !slices.Equal(got, []string{"analyst_x", "analyst_y"}) {
		t.Error(got)
	}
	if got := q.Metrics(); !slices.Equal(got, []string{"tapswitch_a_total", "tapswitch_d"}) {
		t.Error(got)
	}
}
