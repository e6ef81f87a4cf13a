package books

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/txn"
)

func TestBoardedCountsApprovedRides(t *testing.T) {
	totals := &warehouse.Totals{Kinds: []warehouse.KindLine{
		{Kind: "bus_boarding", Outcome: "approved", Count: 3, Charged: 570, Currency: 156},
		{Kind: "bus_boarding", Outcome: "approved", Count: 1, Charged: 190, Currency: 344},
		{Kind: "bus_boarding", Outcome: "declined", Count: 7, Charged: 9},
		{Kind: "load", Outcome: "approved", Count: 5, Charged: -100}}}
	if taps, fen := Boarded(totals); taps != 4 || fen != 760 {
		t.Errorf("%d taps of %d fen", taps, fen)
	}
}

func TestTheBareQueryMustAgree(t *testing.T) {
	totals := &warehouse.Totals{Operators: []warehouse.OperatorLine{
		{Operator: "M5", Currency: 156, Approved: 10, Charged: 1900}}}
	if err := sameOperators(totals, []byte("\t156\t4\t0\nM5\t156\t10\t1900\n")); err != nil {
		t.Error(err)
	}
	if err := sameOperators(totals, []byte("M5\t156\t10\t1901\n")); err == nil {
		t.Error("one fen more was passed over")
	}
	for _, q := range bareQueries() {
		if strings.Count(q, "%s") != 1 {
			t.Errorf("%q does not name the files once", q)
		}
	}
}

// A run that settled something else than the warehouse holds is no measurement.
func TestSettlementMustBeExact(t *testing.T) {
	totals := warehouse.Totals{Rows: 5, Kinds: []warehouse.KindLine{
		{Kind: "bus_boarding", Outcome: "approved", Count: 3, Charged: 570}, {Kind: "day_marker", Outcome: "approved", Count: 2}},
		Accounts: []warehouse.AccountLine{{Account: "operator/BENCH", Amount: 570}, {Account: "purse", Amount: -570}}}
	const good = `{"manifest":{"records":5,"approved":3,"breaks":0,"control":[]}}`
	for name, tt := range map[string]struct {
		said  string
		given int64
		want  bool
	}{"good": {good, 570, true}, "a fen": {good, 569, false},
		"record":   {strings.Replace(good, `"records":5`, `"records":4`, 1), 570, false},
		"approval": {strings.Replace(good, `"approved":3`, `"approved":4`, 1), 570, false},
		"breaks":   {strings.Replace(good, `"breaks":0`, `"breaks":1`, 1), 570, false}} {
		of := totals
		of.Accounts = slices.Clone(totals.Accounts)
		of.Accounts[0].Amount = tt.given
		err := Exact(&of, []byte(tt.said))
		if tt.want != (err == nil) || err != nil && !errors.Is(err, ErrInexact) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestVisitorsAreTold(t *testing.T) {
	for _, tt := range []struct {
		status     int
		form, want string
	}{{500, "broken", "status 500"}, {200, "no form here", "no form"}, {200, `name="csrf" value="x"`, ""}} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(tt.status)
			fmt.Fprint(w, tt.form)
		}))
		_, err := NewVisitor(server.Listener.Addr().String(), "secret")
		server.Close()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}

// A day has as many records as were asked for, and its totals are counted.
func TestMakeDay(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "warehouse")
	if err := MakeDay(t.Context(), dir, 3000); err != nil {
		t.Fatal(err)
	}
	totals, took, err := Totals(t.Context(), dir)
	if err != nil || took <= 0 || totals.Rows < 2900 || totals.Rows > 3000 {
		t.Errorf("%d records in %s, %v", totals.Rows, took, err)
	}
	if _, _, err := Totals(t.Context(), t.TempDir()); err == nil {
		t.Error("totals of a folder without a warehouse")
	}
}

func TestReadReconciled(t *testing.T) {
	for text, want := range map[string]string{
		`{"planted":8,"found":8,"every_cause_found_and_none_invented":true}`:  "",
		`{"planted":8,"found":7,"every_cause_found_and_none_invented":true}`:  "7 differences",
		`{"planted":8,"found":8,"every_cause_found_and_none_invented":false}`: "exact: false",
		`nothing`: "figures",
	} {
		_, err := ReadReconciled([]byte(text))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// The days of the measurement follow each other without a hole, because certificates do: the
// turn before a cut-over must not reach into a day of its own.
func TestDaysOfTheCutOversFollow(t *testing.T) {
	var c Clock
	var days []txn.BusinessDate
	for round := range 4 {
		for _, before := range []time.Duration{45 * time.Minute, 5 * time.Second, 5 * time.Second} {
			c.NextDay()
			if before < time.Minute {
				days = append(days, c.Day())
			}
			was := c.Ahead
			if c.TurnTo(before) < was {
				t.Fatalf("round %d: the clock went back from %s to %s", round, was, c.Ahead)
			}
			if left := c.ends.Sub(time.Now().Add(c.Ahead)); (left - before).Abs() > time.Minute/2 {
				t.Errorf("%s before the end of the day, want %s", left, before)
			}
			if before < time.Minute {
				c.Ahead += 2 * before // as time goes by
			}
		}
	}
	for i, day := range days[1:] {
		if day != days[i].Next() {
			t.Errorf("%s after %s", day, days[i])
		}
	}
	if len(days) != 8 {
		t.Errorf("days %v", days)
	}
}

func TestTheClockIsNeverHalfWritten(t *testing.T) {
	c := Clock{Path: filepath.Join(t.TempDir(), "clock")}
	for _, ahead := range []time.Duration{0, 25*time.Hour + time.Millisecond} {
		c.Ahead = ahead
		if err := c.Set(); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(c.Path)
		if got, parseErr := time.ParseDuration(string(text)); err != nil || parseErr != nil || got != ahead {
			t.Errorf("%q, want %s", text, ahead)
		}
	}
	if left, _ := filepath.Glob(c.Path + "*"); len(left) != 1 {
		t.Errorf("left %v", left)
	}
	if err := (&Clock{Path: filepath.Join(t.TempDir(), "nowhere", "clock")}).Set(); err == nil {
		t.Error("a clock was set in a folder that is not there")
	}
}

func TestTableErrors(t *testing.T) {
	addr := answering(t, func() (int, string) { return 500, "Code: 60. Unknown table" })
	table := &Table{Native: Native{Addr: addr}, Rows: 1}
	if _, err := table.InsertAgain(t.Context(), 0); err == nil || !strings.Contains(err.Error(), "Code: 60") {
		t.Errorf("%v", err)
	}
	short := answering(t, func() (int, string) { return 200, "3\n" })
	table = &Table{Native: Native{Addr: short}, Rows: 4}
	if _, err := table.InsertAgain(t.Context(), 0); err == nil || !strings.Contains(err.Error(), "3 rows") {
		t.Errorf("fewer rows than the feed's: %v", err)
	}
}

// answering is a server that answers everything alike, and returns its address.
func answering(t *testing.T, answer func() (int, string)) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		status, text := answer()
		w.WriteHeader(status)
		fmt.Fprint(w, text)
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// A visitor waits for the count and then asks for every page.
func TestAskAll(t *testing.T) {
	asked := 0
	addr := answering(t, func() (int, string) {
		if asked++; asked < 5 {
			return 200, `<meta http-equiv="refresh"><input name="csrf" value="x">`
		}
		return 200, `<input name="csrf" value="x">`
	})
	v, err := NewVisitor(addr, "secret") // two of the answers
	if err != nil {
		t.Fatal(err)
	}
	a, err := v.AskAll(t.Context(), 3)
	if err != nil || len(a.All) != 3*len(Pages()) || a.Slowest == "" || a.Counted <= 0 || asked != 5+len(a.All) {
		t.Errorf("%+v %v after %d", a, err, asked)
	}
}
