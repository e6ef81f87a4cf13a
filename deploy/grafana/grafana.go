// Package grafana reads the dashboards beside it, for the tests that hold them against what a
// switch and a ledger really have. Nothing of it is in the binary's work: Grafana takes the
// files themselves (provisioning and dashboards).
//
// The package is read-only and safe for concurrent use; it connects to nothing.
package grafana

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"regexp"
)

//go:embed dashboards/*.json
var files embed.FS

// The data sources that the provisioning makes.
const (
	Prometheus = "tapswitch-prometheus"
	ClickHouse = "tapswitch-clickhouse"
)

// Source names a data source.
type Source struct {
	Type, UID string
}

// Target is one query of a panel: Expr for Prometheus, SQL for ClickHouse.
type Target struct {
	RefID      string `json:"refId"`
	Expr       string
	SQL        string `json:"rawSql"`
	Datasource Source
}

// Panel is one picture.
type Panel struct {
	ID          int
	Type, Title string
	Datasource  Source
	Targets     []Target
	GridPos     struct{ X, Y, W, H int }
}

// Dashboard is one page.
type Dashboard struct {
	UID, Title    string
	SchemaVersion int
	Panels        []Panel
}

// Dashboards returns every dashboard, in order of their files.
func Dashboards() ([]Dashboard, error) {
	names, err := fs.Glob(files, "dashboards/*.json")
	if err != nil {
		return nil, fmt.Errorf("cannot list the dashboards: %w", err)
	}
	var all []Dashboard
	for _, name := range names {
		text, err := files.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("cannot read dashboard %s: %w", path.Base(name), err)
		}
		var d Dashboard
		if err := json.Unmarshal(text, &d); err != nil {
			return nil, fmt.Errorf("cannot read dashboard %s: %w", path.Base(name), err)
		}
		all = append(all, d)
	}
	return all, nil
}

var (
	metric = regexp.MustCompile(`\btapswitch_[a-z0-9_]+`)
	from   = regexp.MustCompile(`(?i)\b(?:FROM|JOIN)\s+([a-z_]+)`)
	// dateMacro and others are replaced by the plugin before ClickHouse sees them.
	dateMacro = regexp.MustCompile(`\$__dateFilter\((\w+)\)`)
)

// Metrics returns the figures that an expression looks at.
func (t *Target) Metrics() []string { return metric.FindAllString(t.Expr, -1) }

// Views returns what a query reads.
func (t *Target) Views() []string {
	var all []string
	for _, m := range from.FindAllStringSubmatch(t.SQL, -1) {
		all = append(all, m[1])
	}
	return all
}

// Statement returns the query as ClickHouse gets it, for the dates from first to last
// (YYYY-MM-DD).
func (t *Target) Statement(first, last string) string {
	return dateMacro.ReplaceAllString(t.SQL,
		fmt.Sprintf("$1 >= toDate('%s') AND $1 <= toDate('%s')", first, last))
}
