package console

import (
	"flag"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/ledger/console/session"
	"github.com/tapswitch/tapswitch/ledger/warehouse/local"
	"github.com/tapswitch/tapswitch/ledger/warehouse/warehousetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// rows is how many records the day of BenchmarkPages has: go test -bench Pages -console.rows 10000000.
var rows = flag.Int("console.rows", 1_000_000, "records of the day of BenchmarkPages")

// BenchmarkPages asks for the pages of a day in a warehouse of Parquet, and reports how
// long they took while the day, which is open, is counted again beside them, and how long one
// count took.
func BenchmarkPages(b *testing.B) {
	w, err := local.Open(local.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	chain := warehousetest.NewChain(1)
	for n := 0; n < *rows; n += 50_000 {
		if err := w.Append(b.Context(), chain.Batch(50_000)); err != nil {
			b.Fatal(err)
		}
	}
	r := &rig{people: map[session.Sum]session.Person{}, clock: &hands{at: time.Now()}}
	s, err := New(Options{Operators: r, Trail: r, Ledger: w, Live: r, Freezes: r, Banks: fakeBanks{}, Breaks: r,
		Settlements: fakeRuns{}, Today: func() txn.BusinessDate { return day },
		Begin: func(d txn.BusinessDate) txn.Millis { return txn.MillisOf(d.Time()) }})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	secret, err := s.sessions.Begin(session.Person{Name: "li", Roles: everyone}, session.Sum{})
	if err != nil {
		b.Fatal(err)
	}
	ask := func(path string) time.Duration {
		q := httptest.NewRequest(http.MethodGet, path, http.NoBody)
		q.AddCookie(&http.Cookie{Name: cookieSession, Value: secret})
		a := httptest.NewRecorder()
		begun := time.Now()
		s.ServeHTTP(a, q)
		if a.Code != http.StatusOK {
			b.Fatalf("%s: %d", path, a.Code)
		}
		return time.Since(begun)
	}
	first := ask("/console/today") // before anything was counted
	begun := time.Now()
	for {
		if d, _, err := s.figures.Day(day); err != nil {
			b.Fatal(err)
		} else if d != nil {
			break
		}
		<-time.After(time.Millisecond)
	}
	counted := time.Since(begun)
	var took []time.Duration
	for b.Loop() {
		for _, path := range []string{"/console/today", "/console/days", "/console/days/2026-03-01",
			"/console/settlement/2026-03-01", "/console/settlement/2026-03-01/M5", "/console/breaks", "/console/freezes",
			"/console/terminals", "/console/banks", "/console/downloads", "/console/audit", "/console/help"} {
			for range 200 {
				took = append(took, ask(path))
			}
		}
	}
	b.ReportMetric(float64(first.Microseconds())/1000, "ms/first")
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms/median")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "ms/p99")
	b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "ms/slowest")
	b.ReportMetric(counted.Seconds(), "s/count")
}
