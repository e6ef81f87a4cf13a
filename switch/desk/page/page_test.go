package page

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// now is when the tests look: 2026-03-02 10:00 in China.
var now = time.Date(2026, 3, 2, 2, 0, 0, 0, time.UTC)

const token = "00112233445566778899aabbccddeeff"

// ago is an instant some minutes back, as the API tells it.
func ago(minutes float64) any {
	return now.Add(-time.Duration(minutes * float64(time.Minute))).Format(time.RFC3339Nano)
}

type object = map[string]any

func window() (int64, []int64) {
	return (2 * time.Hour).Milliseconds(), []int64{1_800_000, 3_600_000, 5_400_000}
}

// freezeNotice is a notice with a party in every state.
func freezeNotice() object {
	w, alarms := window()
	row := func(party, state, basis string, more object) object {
		o := object{"party": party, "state": state, "basis": basis}
		for k, v := range more {
			o[k] = v
		}
		return o
	}
	return object{"id": "n-1", "kind": "freeze", "card": "****4321", "token": token, "reason": "lost",
		"accepted_at": ago(140), "clause": "HD19", "window_ms": w, "alarms_ms": alarms, "clocks": []object{
			row("bank", "effective", "receipt", object{"start": ago(139), "sent": ago(139), "received": ago(139),
				"effective": ago(120), "deadline": ago(19), "alarms": 0}),
			row("transit", "received", "receipt", object{"start": ago(40), "sent": ago(40), "received": ago(40),
				"deadline": ago(-80), "alarms": 1}),
			row("utility", "sent", "sending", object{"start": ago(138), "sent": ago(138), "deadline": ago(18),
				"late": true, "overdue": true, "alarms": 3}),
			row("hrss", "queued", "none", object{"alarms": 3, "failure": "webhook: status 503"}),
			row("finance", "effective", "receipt", object{"start": ago(139), "sent": ago(139), "received": ago(139),
				"effective": ago(9), "deadline": ago(19), "late": true, "alarms": 3}),
		}}
}

func gatesOf(published bool) object {
	return object{"published": published, "epoch": 612_345_678, "published_at": ago(139), "frozen_at": ago(140),
		"confirmed_at": ago(0.01), "covered": 3, "total": 4, "share": 0.75,
		"operators": []object{{"Name": "bus", "Covered": 3, "Total": 3}, {"Name": "metro", "Covered": 0, "Total": 1}},
		"lines":     []object{{"Name": "1", "Covered": 2, "Total": 2}, {"Name": "B12", "Covered": 1, "Total": 2}},
		"behind": []object{{"device": object{"terminal": "GATE<4>", "operator": "metro", "line": "1", "station": "East"},
			"epoch": 612_000_000, "seen": ago(75)}},
		"timeline": []object{{"minutes": 1, "covered": 1, "total": 4}, {"minutes": 30, "covered": 3, "total": 4}},
		"effective": []object{{"operator": "bus", "line": "1", "covered": 2, "total": 2, "first": ago(138), "last": ago(130)},
			{"operator": "metro", "line": "1", "covered": 0, "total": 1}}}
}

// desk is an API that answers as the desk's does.
type desk struct {
	calls   atomic.Int64
	answers map[string]any
	status  map[string]int
	who     atomic.Value
}

func newDesk() *desk {
	status := object{"token": token, "frozen": true, "account": strings.Repeat("ab", 16),
		"entry": object{"reason": "lost", "scope": []string{"transit", "purse"}, "since": ago(140), "actor": "desk",
			"note": "a note", "for_ever": false},
		"notices": []object{freezeNotice()}, "gates": gatesOf(true)}
	return &desk{status: map[string]int{}, answers: map[string]any{
		"/v1/desk/coverage": gatesOf(false),
		"/v1/desk/notices":  object{"notices": []object{quiet("n-0", 20), freezeNotice()}, "next": ""},
		"/v1/desk/notices?late=30": object{"late": []object{{"notice": "n-1", "kind": "freeze", "party": "utility",
			"state": "sent", "start": ago(138), "deadline": ago(18)}}},
		"/v1/desk/cards/" + token + "/status": status,
		"/v1/desk/accounts/" + strings.Repeat("ab", 16) + "/liability": object{"transactions": []object{{
			"record": "b001-1-9", "kind": "bus_boarding", "operator": "bus", "line": "B12", "service_at": ago(60),
			"amount": 250, "bears": "operator", "party": "transit", "why": "party_was_late", "clause": "clause 7",
			"boundary": ago(80), "case": 1}}},
	}}
}

// quiet is an open notice of which nobody is late.
func quiet(id string, minutes float64) object {
	n := freezeNotice()
	n["id"], n["accepted_at"] = id, ago(minutes)
	n["clocks"] = []object{{"party": "transit", "state": "sent", "basis": "sending", "sent": ago(minutes),
		"start": ago(minutes), "deadline": ago(minutes - 120)}}
	return n
}

func (d *desk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.calls.Add(1)
	d.who.Store(r.Header.Get("Tapswitch-Actor") + "/" + r.Header.Get("Tapswitch-Roles"))
	key := r.URL.RequestURI()
	if status := d.status[key]; status != 0 {
		w.WriteHeader(status)
		fmt.Fprint(w, `{"error":{"code":"no_luck","message":"cannot <be> told","message_zh":"不能显示"}}`)
		return
	}
	answer, ok := d.answers[key]
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"error":{"code":"not_found","message":"no such thing","message_zh":"无此内容"}}`)
		return
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// shown is a page as a browser gets it.
type shown struct {
	status int
	body   string
	header http.Header
}

func look(t *testing.T, d *desk, path string) shown {
	t.Helper()
	return lookWith(t, Options{API: d, City: Name{"邯郸居民卡", "Handan resident card"},
		Parties: map[string]Name{"transit": {"公共交通运营企业", "Public transport operators"}},
		Now:     func() time.Time { return now }}, path)
}

func lookWith(t *testing.T, o Options, path string) shown {
	t.Helper()
	h, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return shown{w.Code, w.Body.String(), w.Header()}
}

// has wants texts on the page, each after the one before.
func (s shown) has(t *testing.T, texts ...string) {
	t.Helper()
	at := 0
	for _, text := range texts {
		i := strings.Index(s.body[at:], text)
		if i < 0 {
			t.Errorf("no %q behind place %d", text, at)
			continue
		}
		at += i
	}
}

func TestTheCityInBothLanguages(t *testing.T) {
	d := newDesk()
	en := look(t, d, "/freezes?lang=en")
	en.has(t, `lang="en"`, "Handan resident card", "75.0 %", "3 of 4 gates hold this list", "behind: 1",
		"GATE&lt;4&gt;", "LATE, past the deadline and not done: 1", "****4321", "HD19",
		"Coverage after publication: 1 min 25.0 % · 30 min 75.0 %",
		"bank", "Done, took 19 min", "Public transport operators", "80 min left",
		"utility", "LATE by 18 min, not done", "counted from sending", "hrss", "Not told yet", "webhook: status 503",
		"Done, but LATE by 10 min", "Late in the last 30 days", "not effective yet")
	zh := look(t, d, "/freezes?lang=zh")
	zh.has(t, `lang="zh-CN"`, "邯郸居民卡", "1 台落后", "1 家单位超时", "已生效，用时 19 分钟", "公共交通运营企业",
		"剩余 80 分钟", "超时 18 分钟，仍未生效", "近 30 天超时的单位")
	if who := d.who.Load(); who != "page/viewer" {
		t.Errorf("the API is asked as %v", who)
	}
}

// Late ones stand first: who looks for a second sees them.
func TestTheMostUrgentFirst(t *testing.T) {
	look(t, newDesk(), "/freezes?lang=en").has(t, `id="n-n-1"`, `id="n-n-0"`)
}

// Another city's list that has ended, one that was taken in by half, and runbooks that nobody
// drilled stand on the page; what is in order is no alert.
func TestOtherCitiesListsAndDrills(t *testing.T) {
	d := newDesk()
	if s := look(t, d, "/freezes?lang=en"); strings.Contains(s.body, "h-office") {
		t.Error("a process without them shows the section")
	}
	one := func(name string, epoch int, stale, unfinished bool) object {
		return object{"source": object{"name": name, "city": "Luoyang", "epoch": epoch, "cards": 17, "stale": stale,
			"unfinished": unfinished}, "expires_at": ago(60)}
	}
	d.answers["/v1/desk/foreign"] = object{"sources": []object{one("kaifeng", 3, false, false), one("luoyang", 7, true, false),
		one("xinxiang", 9, true, true), one("anyang", 0, false, false)}}
	d.answers["/v1/desk/drills"] = object{"runbooks": []object{
		{"runbook": "breach", "title": "Data got out", "overdue": true, "last_passed": ago(60 * 24 * 200)},
		{"runbook": "bank-away", "title": "The bank is away", "overdue": true, "last_passed": nil},
		{"runbook": "freeze", "title": "Freezes", "overdue": false, "last_passed": ago(60)}}}
	s := look(t, d, "/freezes?lang=en")
	s.has(t, "<td>in force</td>", `<strong class="late">has ended, stays in force`, `<strong class="late">taken in by half`,
		"<td>no list came yet</td>", "Runbooks not drilled in time: 2", "Data got out (breach)", "200 days", "never")
	if strings.Contains(s.body, "(freeze)") {
		t.Error("a runbook that was drilled is named")
	}
	look(t, d, "/freezes?lang=zh").has(t, "已到期", "2 份预案逾期未演练")
	d.status["/v1/desk/foreign"] = http.StatusServiceUnavailable
	if s := look(t, d, "/freezes?lang=en"); s.status != http.StatusServiceUnavailable {
		t.Errorf("%d", s.status)
	}
}

func TestACard(t *testing.T) {
	d := newDesk()
	en := look(t, d, "/freezes/"+token+"?lang=en")
	en.has(t, token, "This card is frozen", "reported lost", "transit, purse", "Who was told", "Done, took 19 min",
		"Where it is effective", "75.0 %", "Coverage after publication", "25.0 %", "whole line",
		"Who bears what", "¥2.50", "Public transport operators", "the party was late", "clause 7")
	look(t, d, "/freezes/"+token+"?lang=zh").has(t, "此卡已冻结", "挂失", "公共交通、电子钱包", "责任认定", "单位超时")
	if strings.Contains(en.body, strings.Repeat("ab", 16)) {
		t.Error("the account stands on the page")
	}
}

// What the API refuses is told in its own words, safely; what it does not have is left out.
func TestWhatCannotBeTold(t *testing.T) {
	d := newDesk()
	if s := look(t, d, "/freezes/zz?lang=en"); s.status != http.StatusNotFound || !strings.Contains(s.body, "no such thing") {
		t.Errorf("%d", s.status)
	}
	d.status["/v1/desk/coverage"] = http.StatusServiceUnavailable
	s := look(t, d, "/freezes?lang=en")
	if s.status != http.StatusServiceUnavailable {
		t.Errorf("%d", s.status)
	}
	s.has(t, "cannot &lt;be&gt; told")
	look(t, d, "/freezes?lang=zh").has(t, "不能显示")
	d.status["/v1/desk/coverage"], d.status["/v1/desk/notices"] = http.StatusNotFound, http.StatusNotFound
	off := look(t, d, "/freezes?lang=en")
	off.has(t, "publishes no lists", "sends no notices")
	if off.status != http.StatusOK {
		t.Errorf("%d", off.status)
	}
	d = newDesk()
	d.answers["/v1/desk/coverage"] = "no object"
	if s := look(t, d, "/freezes"); s.status != http.StatusServiceUnavailable {
		t.Errorf("%d", s.status)
	}
}

// A hundred screens cost as much as one, and a reading is never old.
func TestOneReadingForAll(t *testing.T) {
	d := newDesk()
	at := now
	h, err := New(Options{API: d, City: Name{"卡", "Card"}, Now: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	see := func() int64 {
		before := d.calls.Load()
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/freezes", nil))
		return d.calls.Load() - before
	}
	first := see()
	if again := see(); first == 0 || again != 0 {
		t.Errorf("%d calls, then %d", first, again)
	}
	at = at.Add(freshFor)
	if later := see(); later != first {
		t.Errorf("%d calls later", later)
	}
}

// The page has a bound whatever waits.
func TestManyNotices(t *testing.T) {
	d := newDesk()
	var all []object
	for i := range NoticesMax + 50 {
		all = append(all, quiet(fmt.Sprintf("q-%03d", i), 100-float64(i)/2))
	}
	d.answers["/v1/desk/notices"] = object{"notices": all, "next": "more"}
	s := look(t, d, "/freezes?lang=en")
	if n := strings.Count(s.body, "<article"); n != NoticesMax {
		t.Errorf("%d notices", n)
	}
	s.has(t, fmt.Sprintf("(%d+)", NoticesMax), `id="n-q-000"`, `id="n-q-001"`, "the most urgent stand first")
	if n := d.calls.Load(); n != 5+gatesMax {
		t.Errorf("%d calls", n)
	}
}

// A page loads nothing but its own, runs no script but its own, and works without.
func TestNothingFromElsewhere(t *testing.T) {
	d := newDesk()
	for _, path := range []string{"/freezes", "/freezes/" + token, "/freezes/zz"} {
		s := look(t, d, path)
		if strings.Contains(s.body, "//") && regexp.MustCompile(`(?i)(src|href|action)="(https?:)?//`).MatchString(s.body) {
			t.Errorf("%s loads from elsewhere", path)
		}
		if strings.Contains(s.body, "style=") || strings.Contains(s.body, "<script>") || strings.Contains(s.body, "onclick") {
			t.Errorf("%s has parts that its own policy forbids", path)
		}
		if csp := s.header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") ||
			strings.Contains(csp, "unsafe") {
			t.Errorf("%s: %s", path, csp)
		}
		if !strings.Contains(s.body, `<noscript><meta http-equiv="refresh" content="5">`) {
			t.Errorf("%s does not refresh without script", path)
		}
	}
	if s := look(t, d, "/freezes?refresh=0"); strings.Contains(s.body, "http-equiv=\"refresh\"") || strings.Contains(s.body, "<script") {
		t.Error("it refreshes though it was stopped")
	}
	for name, kind := range map[string]string{"style.css": "text/css", "refresh.js": "javascript"} {
		if s := look(t, d, "/freezes/assets/"+name); s.status != 200 || !strings.Contains(s.header.Get("Content-Type"), kind) {
			t.Errorf("%s: %d %s", name, s.status, s.header.Get("Content-Type"))
		}
	}
	for _, name := range []string{"words.json", "city.html", "..%2fpage.go"} {
		if s := look(t, d, "/freezes/assets/"+name); s.status != http.StatusNotFound {
			t.Errorf("%s: %d", name, s.status)
		}
	}
}

func TestFindLeadsToTheCard(t *testing.T) {
	s := look(t, newDesk(), "/freezes?lang=en&card="+strings.ToUpper(token)+"+")
	if to := s.header.Get("Location"); s.status != http.StatusSeeOther || to != "/freezes/"+token+"?lang=en" {
		t.Errorf("%d %s", s.status, to)
	}
	if to := look(t, newDesk(), "/freezes?card=%2F%2Fevil").header.Get("Location"); !strings.HasPrefix(to, "/freezes/%2F") {
		t.Errorf("it leads to %s", to)
	}
}

// The language is what is asked for, else the browser's, else Chinese.
func TestLanguage(t *testing.T) {
	s := &server{o: Options{Now: time.Now}}
	for _, c := range []struct{ query, accept, want string }{
		{"", "", chinese}, {"", "en-GB,en;q=0.9", english}, {"", "zh-CN,en", chinese},
		{"?lang=en", "zh-CN", english}, {"?lang=zh", "en", chinese}, {"?lang=fr", "de", chinese},
	} {
		r := httptest.NewRequest(http.MethodGet, "/freezes"+c.query, nil)
		r.Header.Set("Accept-Language", c.accept)
		if f := s.frame(r); f.Lang != c.want {
			t.Errorf("%+v: %s", c, f.Lang)
		}
	}
}

// Every key that a template or the code asks for has a text in both languages.
func TestEveryTextIsThere(t *testing.T) {
	texts, err := readWords()
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	asks := regexp.MustCompile(`\b(?:[TF]|add)\(?\s*"([a-z_.]+)"|Groups "([a-z_]+)"`)
	for _, name := range []string{"assets/layout.html", "assets/city.html", "assets/card.html", "assets/error.html",
		"frame.go", "bar.go", "page.go"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range asks.FindAllStringSubmatch(string(text), -1) {
			used[m[1]+m[2]] = true
		}
	}
	if len(used) < 60 {
		t.Fatalf("only %d keys found: the pattern is wrong", len(used))
	}
	for key := range used {
		if n := texts[key]; n.Chinese == "" || n.English == "" {
			t.Errorf("no text for %q", key)
		}
	}
	verbs := regexp.MustCompile(`%[a-z]`)
	for key, n := range texts {
		zh, en := verbs.FindAllString(n.Chinese, -1), verbs.FindAllString(n.English, -1)
		if fmt.Sprint(zh) != fmt.Sprint(en) {
			t.Errorf("%s: %v and %v", key, zh, en)
		}
		if !used[key] && !strings.Contains(key, ".") {
			t.Errorf("nobody uses %q", key)
		}
	}
}

// A bar ends at the deadline while there is time, and goes beyond it afterwards.
func TestBars(t *testing.T) {
	at := func(minutes float64) *time.Time {
		v := now.Add(-time.Duration(minutes * float64(time.Minute)))
		return &v
	}
	words, err := readWords()
	if err != nil {
		t.Fatal(err)
	}
	w, alarms := window()
	p := &noticePart{&frame{Lang: english, now: now, zone: time.UTC, words: words},
		&notice{WindowMS: w, AlarmsMS: alarms}, false}
	for _, c := range []struct {
		clock                    clock
		class, filled, end, mark string
	}{
		{clock{Start: at(30), Deadline: at(-90)}, "runs", "25.00%", "100.00%", "25.00%"},
		{clock{Start: at(240), Deadline: at(120), Late: true}, "late", "100.00%", "50.00%", "12.50%"},
		{clock{Start: at(240), Deadline: at(120), Effective: at(180)}, "done", "50.00%", "100.00%", "25.00%"},
		{clock{Start: at(-1), Deadline: at(-121)}, "runs", "0.00%", "100.00%", "25.00%"},
		{clock{Start: at(10), Deadline: at(-110), State: "superseded"}, "void", "0.00%", "100.00%", "25.00%"},
	} {
		b := p.Bar(&c.clock)
		if b == nil || b.Class != c.class || b.Filled != c.filled || b.Deadline != c.end || len(b.Marks) != 3 ||
			b.Marks[0] != (mark{c.mark, "30"}) {
			t.Errorf("%+v: %+v", c, b)
		}
	}
	if p.Bar(&clock{Start: at(1)}) != nil || p.Bar(&clock{}) != nil {
		t.Error("a bar without a deadline")
	}
}

func TestAmountsAndShares(t *testing.T) {
	f := &frame{}
	for _, c := range []struct {
		covered, total int
		want           string
	}{{0, 0, "—"}, {4, 4, "100 %"}, {0, 4, "0.0 %"}, {9999, 10000, "99.9 %"}, {99999, 100000, "99.9 %"}} {
		if got := f.Percent(c.covered, c.total); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
	if got := f.Yuan(1_205); got != "¥12.05" {
		t.Error(got)
	}
}

// Texts have the contrast of WCAG AA against what they stand on: 4.5 to 1; bars 3 to 1.
func TestContrast(t *testing.T) {
	css, err := os.ReadFile("assets/style.css")
	if err != nil {
		t.Fatal(err)
	}
	colour := map[string]string{}
	for _, m := range regexp.MustCompile(`--([a-z]+): (#[0-9a-f]{6})`).FindAllStringSubmatch(string(css), -1) {
		colour[m[1]] = m[2]
	}
	if len(colour) < 8 {
		t.Fatalf("colours %v", colour)
	}
	for _, on := range []string{"#ffffff", colour["paper"]} {
		for _, ink := range []string{"ink", "soft", "late", "done", "runs", "fault"} {
			if c := contrast(colour[ink], on); c < 4.5 {
				t.Errorf("%s on %s: %.2f", ink, on, c)
			}
		}
	}
	for ink, on := range map[string]string{"#0b4a8f": "#ffffff", "#ffffff": "#0b57a4", "#8a0019": "#fdeaec"} {
		if !strings.Contains(string(css), strings.Replace(ink, "#ffffff", "#fff", 1)) {
			t.Errorf("%s is not used any more", ink)
		}
		if c := contrast(ink, on); c < 4.5 {
			t.Errorf("%s on %s: %.2f", ink, on, c)
		}
	}
	for _, fill := range []string{colour["done"], colour["runs"], colour["late"], "#6b7581"} {
		if c := contrast(fill, "#dfe4ea"); c < 3 {
			t.Errorf("bar %s: %.2f", fill, c)
		}
	}
}

func contrast(a, b string) float64 {
	x, y := luminance(a), luminance(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func luminance(hex string) float64 {
	sum := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		v, _ := strconv.ParseUint(hex[1+2*i:3+2*i], 16, 8)
		c := float64(v) / 255
		if c <= 0.03928 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}
