package clickhouse

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/deploy/analyst"
	"github.com/tapswitch/tapswitch/deploy/grafana"
	"github.com/tapswitch/tapswitch/ledger/warehouse/warehousetest"
)

// TestGrafanaQueries runs every query of the dashboards with the rights of the role that
// Grafana is to have, over a day that has something for each of them.
func TestGrafanaQueries(t *testing.T) {
	s := startServer(t)
	dsn := s.database(t)
	db := dsn[strings.LastIndexByte(dsn, '/')+1:]
	w := mustOpen(t, Options{DSN: dsn})
	chain := warehousetest.NewChain(21)
	records := append(frozenCard(chain), chain.Batch(500)...)
	if err := w.Append(context.Background(), records); err != nil {
		t.Fatal(err)
	}
	closeAll(t, w)
	s.startAs(t, usersFile(db, analyst.Roles()[0], ""))
	var views []string
	for _, v := range analyst.Contract() {
		views = append(views, v.Name)
	}
	all, err := grafana.Dashboards()
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	for _, d := range all {
		for _, p := range d.Panels {
			for _, q := range p.Targets {
				if q.Datasource.UID != grafana.ClickHouse {
					continue
				}
				asked++
				for _, v := range q.Views() {
					if !slices.Contains(views, v) {
						t.Errorf("%q reads %s, which is not of the contract", p.Title, v)
					}
				}
				got := s.mustAsk(t, db, q.Statement("2026-01-01", "2026-12-31"))
				// What is wrong with the books is empty when nothing is.
				quiet := slices.Contains([]string{"Breaks in the books", "Records that could not be read"}, p.Title)
				if (len(got) == 0) != quiet {
					t.Errorf("%q: %d lines", p.Title, len(got))
				}
			}
		}
	}
	if asked < 10 {
		t.Errorf("%d queries", asked)
	}
}
