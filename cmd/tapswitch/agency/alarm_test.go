package agency

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/desk/api"
	"github.com/tapswitch/tapswitch/switch/desk/drill"
	"github.com/tapswitch/tapswitch/switch/desk/foreign"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// watched is an agency on a clock that the test moves, with the alarms that look at it.
type watchedCity struct {
	*Agency
	t    *testing.T
	o    *Options
	at   atomic.Int64
	next byte
}

func newWatchedCity(t *testing.T) *watchedCity {
	t.Helper()
	w := &watchedCity{t: t}
	w.at.Store(1772413200000) // 2026-03-02 09:00 in China
	w.Agency, w.o = openedAt(t, "handan", w.clock)
	return w
}

func (w *watchedCity) clock() txn.Millis { return txn.Millis(w.at.Load()) }

// goOn moves the clock, has everything done that is due, and looks.
func (w *watchedCity) goOn(d time.Duration) {
	w.t.Helper()
	w.at.Add(d.Milliseconds())
	if _, err := w.o.Works.Tick(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	limit := time.After(time.Minute)
	for f := w.Notices.Figures(); f.DuesWaiting+f.Waiting+f.Pending > 0; f = w.Notices.Figures() {
		select {
		case <-tick.C:
		case <-limit:
			w.t.Fatalf("notices do not come to rest: %+v", f)
		}
	}
	if err := w.Notices.Sweep(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	if err := w.look(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// expression reads "name{labels} > number", with sum() around the name or without.
var expression = regexp.MustCompile(`^(?:sum\()?([a-z_]+)(\{[^}]*\})?\)? (>|<) ([0-9.]+)$`)

// ring tells which of the alarms go off that compare a figure with a number.
func (w *watchedCity) ring() []string {
	w.t.Helper()
	text, err := os.ReadFile("../../../deploy/runbooks/alarms.yaml")
	if err != nil {
		w.t.Fatal(err)
	}
	figures := strings.Split(gathered(w.t, w.Agency), "\n")
	var on []string
	for _, part := range strings.Split(string(text), "- alert: ")[1:] {
		name, rest, _ := strings.Cut(part, "\n")
		_, rest, _ = strings.Cut(rest, "expr: ")
		expr, _, _ := strings.Cut(rest, "\n")
		terms := strings.Split(expr, " and ")
		if !slices.ContainsFunc(terms, func(term string) bool { return !w.holds(figures, term) }) {
			on = append(on, name)
		}
	}
	return on
}

// holds reports whether any figure of a term is beyond its number.
func (w *watchedCity) holds(figures []string, term string) bool {
	m := expression.FindStringSubmatch(term)
	if m == nil {
		return false // a rate, or a choice: a single reading does not say
	}
	limit, err := strconv.ParseFloat(m[4], 64)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, line := range figures {
		name, value, ok := strings.Cut(line, "} ")
		if !ok {
			name, value, ok = strings.Cut(line, " ")
		}
		name, labels, _ := strings.Cut(name, "{")
		if !ok || name != m[1] || !strings.Contains(labels, strings.Trim(m[2], "{}")) {
			continue
		}
		if v, err := strconv.ParseFloat(value, 64); err == nil && (v > limit) == (m[3] == ">") && v != limit {
			return true
		}
	}
	return false
}

func (w *watchedCity) wants(when string, names ...string) {
	w.t.Helper()
	got := w.ring()
	got = slices.DeleteFunc(got, func(name string) bool { return name == "ListIsOld" }) // no list is made by this clock
	slices.Sort(got)
	slices.Sort(names)
	if !slices.Equal(got, names) {
		w.t.Errorf("%s: %q go off, want %q", when, got, names)
	}
}

// drillAll drills every runbook.
func (w *watchedCity) drillAll() {
	w.t.Helper()
	for _, b := range w.drills.Runbooks() {
		d, err := w.drills.Start(w.t.Context(), b.Name, "zhao", []string{"zhao", "li"})
		if err != nil {
			w.t.Fatal(err)
		}
		for n := range b.Steps {
			if _, err := w.drills.Do(w.t.Context(), d.ID, drill.Step{No: n + 1, Result: drill.Passed, By: "zhao"}); err != nil {
				w.t.Fatal(err)
			}
		}
		if _, err := w.drills.Finish(w.t.Context(), d.ID, "zhao", "in order"); err != nil {
			w.t.Fatal(err)
		}
	}
}

// give imports a list of another city that ends in a day.
func (w *watchedCity) give(epoch int, cards ...string) error {
	w.t.Helper()
	text := fmt.Sprintf("source,luoyang\nepoch,%d\nmade,%s\nexpires,%s\ncards,%d\n%s", epoch,
		w.clock().Time().UTC().Format(time.RFC3339), w.clock().Time().Add(24*time.Hour).UTC().Format(time.RFC3339),
		len(cards), strings.Join(cards, ""))
	sum := sha256.Sum256([]byte(text))
	_, err := w.foreign.Import(w.t.Context(), foreign.Offer{Source: "luoyang", Body: []byte(text), Proof: sum[:], By: "zhao"})
	return err
}

// DrillOverdue: a runbook that was never drilled, or not within its days.
func TestTheAlarmOfDrills(t *testing.T) {
	w := newWatchedCity(t)
	w.goOn(0)
	w.wants("never drilled", "DrillOverdue")
	w.drillAll()
	w.goOn(time.Second)
	w.wants("drilled")
	days := 1 << 20
	for _, b := range w.drills.Runbooks() {
		days = min(days, b.Days)
	}
	w.at.Add(int64(days)*86_400_000 - 2000)
	w.wants("a second before the next is due")
	w.at.Add(2000)
	w.wants("due", "DrillOverdue")
}

// ForeignListEndsSoon, ForeignListStale, ForeignImportUnfinished.
func TestTheAlarmsOfOtherCitiesLists(t *testing.T) {
	w := newWatchedCity(t)
	w.drillAll()
	if err := w.foreign.PutSource(t.Context(), foreign.Source{Name: "luoyang", Institution: "LUOYANG",
		City: "luoyang", Algorithm: foreign.Checksum}); err != nil {
		t.Fatal(err)
	}
	w.goOn(0)
	w.wants("a source without a list")
	if err := w.give(1, "3104800000000001\n"); err != nil {
		t.Fatal(err)
	}
	w.goOn(0)
	w.wants("a fresh list")
	w.at.Add((20 * time.Hour).Milliseconds())
	w.wants("four hours before its end")
	w.at.Add(1000)
	w.wants("less than four hours before its end", "ForeignListEndsSoon")
	w.at.Add((4*time.Hour - time.Second).Milliseconds())
	w.wants("at its end", "ForeignListStale")
	w.goOn(time.Minute)
	w.wants("looked at again", "ForeignListStale")
	page := httptest.NewRecorder()
	mux := http.NewServeMux()
	w.Pages(mux)
	mux.ServeHTTP(page, httptest.NewRequest(http.MethodGet, "/freezes?lang=en", nil))
	if !strings.Contains(page.Body.String(), "luoyang") {
		t.Error("the page does not name the source")
	}

	memory, ok := w.o.Store.(*storetest.Memory)
	if !ok {
		t.Fatal("not the memory store")
	}
	memory.SetFault(func(op storetest.Op) storetest.Fault {
		if op == storetest.OpCommit {
			return storetest.NotApplied
		}
		return storetest.NoFault
	})
	err := w.give(2, "3104800000000001\n", "3104800000000002\n")
	memory.SetFault(nil)
	if err == nil {
		t.Fatal("the import did not break off")
	}
	w.goOn(0)
	if got := w.ring(); !slices.Contains(got, "ForeignImportUnfinished") {
		t.Errorf("%q", got)
	}
	w.at.Add((10 * time.Minute).Milliseconds()) // beyond the lease of the import that broke off
	if err := w.give(3, "3104800000000001\n"); err != nil {
		t.Fatal(err)
	}
	w.goOn(0)
	w.wants("finished by a later list")
}

// The marks of 30, 60 and 90 minutes and the deadline, at their minute and not before.
func TestTheAlarmsOfLateParties(t *testing.T) {
	w := newWatchedCity(t)
	w.drillAll()
	for _, name := range []string{"finance", "hrss", "utility", "bank"} {
		for i := range w.Policy.Parties {
			if w.Policy.Parties[i].ID == name {
				if err := w.Notices.Roster().Remove(t.Context(), name); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	w.lose()
	w.confirm(`{"received_at":%q,"note":"by phone"}`)
	w.goOn(0)
	w.wants("received")
	w.goOn(30*time.Minute - time.Second)
	w.wants("a second before the first mark")
	w.goOn(time.Second)
	w.wants("the first mark", "ClockPastFirstMark")
	w.goOn(30*time.Minute - time.Second)
	w.wants("a second before the second mark", "ClockPastFirstMark")
	w.goOn(time.Second)
	w.wants("the second mark", "ClockPastFirstMark", "ClockPastSecondMark")
	w.goOn(30 * time.Minute)
	w.wants("the third mark", "ClockPastFirstMark", "ClockPastSecondMark", "ClockPastThirdMark")
	w.goOn(30*time.Minute - time.Second)
	w.wants("a second before the deadline", "ClockPastFirstMark", "ClockPastSecondMark", "ClockPastThirdMark")
	w.goOn(2 * time.Second)
	w.wants("past the deadline", "ClockPastFirstMark", "ClockPastSecondMark", "ClockPastThirdMark", "PartyIsLate")
	w.confirm(`{"effective_at":%q,"note":"by phone"}`)
	w.goOn(0)
	w.wants("it has acted")
}

// lose opens an account and takes its loss.
func (w *watchedCity) lose() {
	w.t.Helper()
	holder := w.Desk.HolderToken("110101199001011234")
	doc, _, err := w.Desk.AccountOf(w.t.Context(), holder)
	if err != nil {
		w.t.Fatal(err)
	}
	who := account.Who{Actor: account.Holder, Channel: account.AtAgency, ID: account.ResidentID}
	for _, step := range []account.Step{account.OpenAccount{Holder: holder, Who: who, Checked: true,
		Carrier: account.NewCarrier{Token: tokenOf(w.t, w.o, "3104800000000001"), Kind: account.Chip, Family: "t_union",
			Ready: true}},
		account.ReportLoss{Who: who, Form: account.Written, FormNo: "f-1", BankTold: true}} {
		w.next++
		got, err := w.Desk.Do(w.t.Context(), doc, account.Command{ID: account.CommandID{w.next}, Made: w.clock(),
			By: account.Staff{ID: "wang", Outlet: "d1"}, Step: step})
		if err != nil || got.Outcome.Refusal != account.RefusalNone {
			w.t.Fatal(got.Outcome.Refusal, err)
		}
	}
}

// confirm records what the transport operators said of every notice.
func (w *watchedCity) confirm(body string) {
	w.t.Helper()
	ids, err := w.Desk.NoticesOf(w.t.Context(), tokenOf(w.t, w.o, "3104800000000001"))
	if err != nil || len(ids) == 0 {
		w.t.Fatal(ids, err)
	}
	for _, id := range ids {
		q := httptest.NewRequest(http.MethodPost, "/v1/desk/notices/"+id+"/parties/transit/confirm",
			strings.NewReader(fmt.Sprintf(body, w.clock().Time().UTC().Format(time.RFC3339Nano))))
		q.Header.Set(api.HeaderActor, "wang")
		q.Header.Set(api.HeaderRoles, "desk")
		got := httptest.NewRecorder()
		w.ServeHTTP(got, q)
		if got.Code != http.StatusOK {
			w.t.Fatalf("%d %s", got.Code, got.Body)
		}
	}
}
