package agency

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/bank/advice"
	"github.com/tapswitch/tapswitch/switch/blacklist"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/fare"
	"github.com/tapswitch/tapswitch/switch/notice"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// marks is the engine's blacklist in front of the store's.
type marks struct{ set *blacklist.Set }

func (m marks) Mark(card pan.Token) txn.Mark        { return m.set.Get(card) }
func (m marks) Learn(card pan.Token, mark txn.Mark) { m.set.Put(card, mark) }

func wall() txn.Millis { return txn.MillisOf(time.Now()) }

// open opens the agency of a city on a store in memory.
func open(t *testing.T, city string) *Agency {
	t.Helper()
	a, _ := opened(t, city)
	return a
}

// opened opens it with what is beneath.
func opened(t *testing.T, city string, change ...func(*Options)) (*Agency, *Options) {
	t.Helper()
	return openedAt(t, city, wall, change...)
}

// openedAt is opened by another clock.
func openedAt(t *testing.T, city string, now func() txn.Millis, change ...func(*Options)) (*Agency, *Options) {
	t.Helper()
	tokenizer, err := pan.NewTokenizer(bytes.Repeat([]byte{9}, 32))
	if err != nil {
		t.Fatal(err)
	}
	memory := storetest.NewMemory(storetest.MemoryOptions{Now: now})
	if err := memory.OpenEpoch(t.Context(), now()); err != nil {
		t.Fatal(err)
	}
	tariff, err := fare.Compile(fare.File{Version: "test", Bus: fare.BusFares{Default: 200},
		Metro: fare.MetroFares{Default: 500}})
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.New(engine.Options{Cards: memory, Blacklist: marks{blacklist.NewSet()},
		Policy: engine.DefaultPolicy(tariff), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	o := Options{City: city, Store: memory, Engine: e,
		Works: engine.NewClockwork(e, memory, engine.Calendar{Zone: time.UTC}), Tokenizer: tokenizer,
		NoticeKey: bytes.Repeat([]byte{1}, 32), SigningKey: bytes.Repeat([]byte{2}, 32), PlainHTTP: true,
		Now: now, Log: slog.New(slog.DiscardHandler)}
	for _, c := range change {
		c(&o)
	}
	a, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return a, &o
}

// gathered returns all figures as they are asked for.
func gathered(t *testing.T, c prometheus.Collector) string {
	t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(c)
	w := httptest.NewRecorder()
	promhttp.HandlerFor(r, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// Calls are counted by their pattern, so that no figure holds anybody's token; every figure
// that the alarms name is there from the start.
func TestFigures(t *testing.T) {
	a := open(t, "handan")
	token := strings.Repeat("ab", 16)
	for _, path := range []string{"/v1/desk/cards/" + token + "/status", "/v1/desk/nothing", "/public/services",
		"/v1/lists/transit/current", "/v1/lists/ack", "/v1/notices/x/parties/y/ack"} {
		a.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, path, nil))
	}
	all := gathered(t, a)
	for _, want := range []string{
		`tapswitch_desk_requests_total{call="GET /v1/desk/cards/{token}/status",status="401"} 1`,
		`tapswitch_desk_requests_total{call="GET /public/services",status="200"} 1`,
		`tapswitch_list_polls_total{call="current",status="401"} 1`, "tapswitch_list_coverage_share 1",
	} {
		if !strings.Contains(all, want+"\n") {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(all, token) {
		t.Error("a figure names a card")
	}
	rules, err := os.ReadFile("../../../deploy/runbooks/alarms.yaml")
	if err != nil {
		t.Fatal(err)
	}
	// These come when there is something to count, or after the first look at the store.
	all += "tapswitch_desk_cases tapswitch_notice_sweep_age_seconds tapswitch_desk_cases_age_seconds " +
		"tapswitch_list_confirmed_age_seconds tapswitch_foreign_list_stale tapswitch_foreign_list_left_seconds " +
		"tapswitch_foreign_import_unfinished tapswitch_drill_overdue tapswitch_office_age_seconds " +
		"tapswitch_desk_money_waiting"
	for _, word := range strings.FieldsFunc(string(rules), func(r rune) bool {
		return r != '_' && (r < 'a' || r > 'z')
	}) {
		if strings.HasPrefix(word, "tapswitch_") && !strings.Contains(all, word) {
			t.Errorf("an alarm looks at %s, which is not there", word)
		}
	}
}

// Every alarm names a heading of the runbook.
func TestAlarmsHaveARunbook(t *testing.T) {
	rules, err := os.ReadFile("../../../deploy/runbooks/alarms.yaml")
	if err != nil {
		t.Fatal(err)
	}
	book, err := os.ReadFile("../../../deploy/runbooks/freeze.md")
	if err != nil {
		t.Fatal(err)
	}
	alarms := strings.Count(string(rules), "- alert:")
	named := 0
	for _, part := range strings.Split(string(rules), `runbook: "`)[1:] {
		heading, _, _ := strings.Cut(part, `"`)
		if !strings.Contains(string(book), "\n## "+heading+"\n") {
			t.Errorf("the runbook has no part %q", heading)
		}
		named++
	}
	if alarms < 10 || named != alarms {
		t.Errorf("%d alarms, %d with a runbook", alarms, named)
	}
}

// The number of calls that are told apart has a bound.
func TestCountedCallsAreBounded(t *testing.T) {
	var f figures
	for i := range countedMax + 10 {
		f.count(&f.requests, fmt.Sprintf("call %d", i), 200)
	}
	if n := len(f.requests); n != countedMax+1 || f.requests[[2]string{"other", "200"}] != 10 {
		t.Errorf("%d calls, %d others", n, f.requests[[2]string{"other", "200"}])
	}
}

func TestThePageIsServed(t *testing.T) {
	a := open(t, "wenzhou")
	mux := http.NewServeMux()
	a.Pages(mux)
	for path, want := range map[string]string{"/freezes?lang=en": "Wenzhou", "/freezes?lang=zh": "温州",
		"/freezes/assets/style.css": "--late", partiesPath: withoutAddress, standingPath: `"drills":["bank-away"`} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

// adviser keeps what it is told.
type adviser struct {
	link string
	card advice.Card
	err  error
}

func (a *adviser) AdviseCard(_ context.Context, link string, c advice.Card) error {
	a.link, a.card = link, c
	return a.err
}

func TestLinks(t *testing.T) {
	var l Links
	m := notice.Message{Card: pan.Token{7}, ID: "n-1/bank", Body: []byte(`{"notice":"n-1","kind":"freeze","last4":"4321",
	 "scope":["transit","purse"],"reason":"lost","accepted_at":"2026-03-02T01:00:00.000Z","case":"x"}`)}
	if err := l.NotifyLink(t.Context(), "b0", m); !errors.Is(err, errNoEdge) {
		t.Errorf("before the edge: %v", err)
	}
	a := &adviser{}
	l.Use(a)
	if err := l.NotifyLink(t.Context(), "b0", m); err != nil {
		t.Fatal(err)
	}
	want := "card=07" + strings.Repeat("0", 30) + ";last4=4321;kind=freeze;scope=transit+purse;reason=lost;" +
		"accepted=2026-03-02T01:00:00.000Z;notice=n-1"
	if a.link != "b0" || a.card.ID != "n-1.bank" || a.card.Text() != want {
		t.Errorf("%s: %+v", a.link, a.card)
	}
	a.err = errors.New("the bank is away")
	if err := l.NotifyLink(t.Context(), "b0", m); !errors.Is(err, a.err) {
		t.Errorf("%v", err)
	}
	m.Body = []byte("no JSON")
	if err := l.NotifyLink(t.Context(), "b0", m); err == nil {
		t.Error("a body that is none was sent")
	}
}

// found returns the finding of a name.
func found(all []Finding, name string) Finding {
	for _, f := range all {
		if f.Name == name {
			return f
		}
	}
	return Finding{}
}

// running writes the run file of a switch whose parties are given.
func running(t *testing.T, status int, parties []notice.Party) string {
	t.Helper()
	if status != http.StatusOK {
		return serving(t, nil)
	}
	return serving(t, map[string]any{partiesPath: parties})
}

// serving writes the run file of a switch whose admin address tells what is given.
func serving(t *testing.T, told map[string]any) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v, ok := told[r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_ = json.NewEncoder(w).Encode(v)
	}))
	t.Cleanup(server.Close)
	path := filepath.Join(t.TempDir(), "run.json")
	text := fmt.Sprintf(`{"admin":%q}`, strings.TrimPrefix(server.URL, "http://"))
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestExamineParties(t *testing.T) {
	at := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	keys := []string{"k1"}
	path := running(t, http.StatusOK, []notice.Party{
		{Name: "transit", Channel: "webhook", URL: "https://bus.example/x", Keys: keys},
		{Name: "utility", Channel: "webhook", URL: "http://utility.example/x", Keys: keys},
		{Name: "finance", Channel: "webhook", URL: "https://finance.example/x"},
		{Name: "plain", Channel: "webhook", URL: "http://plain.example/x"},
		{Name: "hrss", Channel: "kafka", Topic: "freezes"},
		{Name: "bank", Channel: "issuer_link", Link: "city-bank"},
		{Name: "extra", Channel: "manual", Contact: "office 7"},
	})
	all := Examine(t.Context(), Examination{City: "handan", Now: at, RunFile: path})
	for name, want := range map[string]string{"transit": "", "extra": "", "utility": "without TLS",
		"finance": "without a signing key", "plain": "without a signing key", "hrss": "no Kafka", "bank": "does not have"} {
		f := found(all, "desk party "+name)
		if f.Name == "" || f.OK != (want == "") || f.Advice == f.OK || !strings.Contains(f.Got, want) {
			t.Errorf("%s: %+v", name, f)
		}
	}
	got := strings.Join(Unsigned(t.Context(), path), "\n")
	if strings.Count(got, "signing key") != 2 || !strings.Contains(got, "desk parties key finance k1") ||
		!strings.Contains(got, "desk party plain") || Unsigned(t.Context(), path+".none") != nil {
		t.Errorf("config check warns: %s", got)
	}
	all = Examine(t.Context(), Examination{City: "handan", Now: at, RunFile: running(t, 200, nil), Brokers: true})
	if f := found(all, "desk party bank"); !f.Advice || !strings.Contains(f.Got, "not registered") {
		t.Errorf("%+v", f)
	}
	for _, path := range []string{filepath.Join(t.TempDir(), "none"), running(t, http.StatusNotFound, nil)} {
		all := Examine(t.Context(), Examination{City: "handan", Now: at, RunFile: path})
		if f := found(all, "desk parties"); !f.Advice {
			t.Errorf("%s: %+v", path, all)
		}
	}
}

func TestExaminePolicyAndCalendar(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	at := func(year int) time.Time { return time.Date(year, 1, 5, 0, 0, 0, 0, time.UTC) }
	if all := Examine(t.Context(), Examination{City: "atlantis", Now: at(2026), RunFile: none}); len(all) != 1 ||
		all[0].OK || all[0].Advice {
		t.Errorf("%+v", all)
	}
	for _, city := range []string{"handan", "zhoushan", "wenzhou", "shiyan", "zhengzhou"} {
		if f := found(Examine(t.Context(), Examination{City: city, Now: at(2026), RunFile: none}), "desk.city"); !f.OK {
			t.Errorf("%s: %+v", city, f)
		}
	}
	calendar := func(year int) Finding {
		return found(Examine(t.Context(), Examination{City: "handan", Now: at(year), RunFile: none}), "desk calendar")
	}
	if f := calendar(2025); !f.OK {
		t.Errorf("a year whose days are published: %+v", f)
	}
	if f := calendar(2026); f.OK || !f.Advice {
		t.Errorf("a year ahead that is not published: %+v", f)
	}
	if f := calendar(2090); f.OK || f.Advice {
		t.Errorf("a year that nobody knows: %+v", f)
	}
}
