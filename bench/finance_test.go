package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// The days of the measurement follow each other without a hole, because certificates do: the
// turn before a cut-over must not reach into a day of its own.
func TestDaysOfTheCutOversFollow(t *testing.T) {
	c := &cutOverRig{rig: &rig{fleet: testFleet(10)}}
	for round := range 4 {
		for _, before := range []time.Duration{45 * time.Minute, 5 * time.Second, 5 * time.Second} {
			c.nextDay()
			end := c.ends
			if before > time.Minute {
				c.days = c.days[:len(c.days)-1]
			}
			ahead := c.ahead
			c.turnTo(before)
			if c.ahead < ahead {
				t.Fatalf("round %d: the clock went back from %s to %s", round, ahead, c.ahead)
			}
			if left := end.Sub(time.Now().Add(c.ahead)); (left - before).Abs() > time.Second {
				t.Errorf("%s before the end of the day, want %s", left, before)
			}
			c.ahead += 2 * before // as time goes by
			if before > time.Minute {
				c.ahead -= 2 * before
			}
		}
	}
	for i, day := range c.days[1:] {
		if day != c.days[i].Next() {
			t.Errorf("%s after %s", day, c.days[i])
		}
	}
	if len(c.days) != 8 || !slices.IsSorted(c.days) {
		t.Errorf("days %v", c.days)
	}
}

func TestHandIsNeverHalfWritten(t *testing.T) {
	h := hand{filepath.Join(t.TempDir(), "clock")}
	for _, ahead := range []time.Duration{0, 25*time.Hour + time.Millisecond} {
		if err := h.set(ahead); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(h.path)
		if got, parseErr := time.ParseDuration(string(text)); err != nil || parseErr != nil || got != ahead {
			t.Errorf("%q, want %s", text, ahead)
		}
	}
	if left, _ := filepath.Glob(h.path + "*"); len(left) != 1 {
		t.Errorf("left %v", left)
	}
	if err := (&hand{filepath.Join(t.TempDir(), "nowhere", "clock")}).set(0); err == nil {
		t.Error("a clock was set in a folder that is not there")
	}
}

// A fleet's clock goes ahead in service times and in signatures.
func TestSetAhead(t *testing.T) {
	f := testFleet(10)
	f.setAhead(48 * time.Hour)
	text := string(f.tap(f.terminals[0], f.card(1)))
	want := time.Now().Add(48 * time.Hour).In(f.zone).Format("2006-01-02T15:04")
	late := time.Now().Add(48*time.Hour - time.Minute).In(f.zone).Format("2006-01-02T15:04")
	if !strings.Contains(text, `"service_time":"`+want) && !strings.Contains(text, `"service_time":"`+late) {
		t.Errorf("no service time of %s in %s", want, text)
	}
	if !strings.Contains(text, fmt.Sprintf(": %d", time.Now().Add(48*time.Hour).Unix()/1000)) {
		t.Errorf("signed at another time: %s", text)
	}
}

func TestBoardedCountsApprovedRides(t *testing.T) {
	totals := &warehouse.Totals{Kinds: []warehouse.KindLine{
		{Kind: "bus_boarding", Outcome: "approved", Count: 3, Charged: 570, Currency: 156},
		{Kind: "bus_boarding", Outcome: "approved", Count: 1, Charged: 190, Currency: 344},
		{Kind: "bus_boarding", Outcome: "declined", Count: 7, Charged: 9},
		{Kind: "load", Outcome: "approved", Count: 5, Charged: -100}}}
	if taps, fen := boarded(totals); taps != 4 || fen != 760 {
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

// script returns a benchmark whose binary is a shell script.
func script(t *testing.T, text string) *bench {
	t.Helper()
	b := tinyBench(t)
	b.o.Binary = filepath.Join(t.TempDir(), "binary")
	if err := os.WriteFile(b.o.Binary, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return b
}

// A reconciliation that misses, invents or differs from run to run fails the scenario.
func TestReconciliationMustBeExact(t *testing.T) {
	const line = `{"planted":40,"found":%s,"every_cause_found_and_none_invented":%s,"seconds":1.5,` +
		`"resident_max_mb":30,"report_sha256":"%s"}`
	for _, tt := range []struct{ found, exact, digest, want string }{
		{"40", "true", "a", ""}, {"39", "true", "a", "39 differences"}, {"40", "false", "a", "exact: false"},
		{"40", "true", "$$", "different reports"}, {"x", "true", "a", "figures"},
	} {
		b := script(t, "cat <<E\n"+fmt.Sprintf(line, tt.found, tt.exact, tt.digest)+"\nE")
		err := b.reconciliation(t.Context())
		if tt.want == "" {
			if f := b.Figure("reconciliation, greatest resident"); err != nil || f == nil || f.Median != 30 {
				t.Errorf("%v: %+v", err, f)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v", tt, err)
		}
	}
	b := script(t, "echo no such rows >&2; exit 3")
	if err := b.reconciliation(t.Context()); err == nil || !strings.Contains(err.Error(), "no such rows") {
		t.Errorf("a command that fails: %v", err)
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
		b := script(t, "echo '"+tt.said+"'")
		err := b.settledExactly(t.Context(), &cutOverRig{rig: &rig{}}, figuresOf{of}, 20260301)
		if tt.want != (err == nil) || err != nil && !errors.Is(err, errInexact) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// figuresOf is a warehouse with one day.
type figuresOf struct{ totals warehouse.Totals }

// Totals implements warehouse.Reader.
func (f figuresOf) Totals(context.Context, txn.BusinessDate) (warehouse.Totals, error) {
	return f.totals, nil
}

// Records implements warehouse.Reader.
func (figuresOf) Records(context.Context, warehouse.Filter, func(*txn.Record) error) error {
	return nil
}

// DeadLetters implements warehouse.Reader.
func (figuresOf) DeadLetters(context.Context) ([]warehouse.DeadLetter, error) { return nil, nil }

func TestVisitorsAreTold(t *testing.T) {
	for _, tt := range []struct {
		status     int
		form, want string
	}{{500, "broken", "status 500"}, {200, "no form here", "no form"}, {200, `name="csrf" value="x"`, ""}} {
		addr := serving(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(tt.status)
			fmt.Fprint(w, tt.form)
		})})
		_, err := newVisitor(addr, "secret")
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}

func TestWaitForIsBounded(t *testing.T) {
	looks := 0
	if err := waitFor(t.Context(), time.Minute, func() (bool, error) { looks++; return looks > 2, nil }); err != nil {
		t.Error(err)
	}
	if err := waitFor(t.Context(), time.Millisecond, func() (bool, error) { return false, nil }); !errors.Is(err,
		context.DeadlineExceeded) {
		t.Errorf("for ever: %v", err)
	}
	broken := errors.New("broken")
	if err := waitFor(t.Context(), time.Minute, func() (bool, error) { return false, broken }); !errors.Is(err, broken) {
		t.Errorf("%v, want what the look said", err)
	}
}
