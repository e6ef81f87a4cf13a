package console

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// pagesOf are the pages that a role of everything would see, with what they must hold.
var pagesOf = []struct{ path, heading string }{
	{"/console/today", "page.today"}, {"/console/days", "page.days"}, {"/console/days/2026-03-01", ""},
	{"/console/days/2026-02-28", ""}, {"/console/settlement/2026-03-01", ""},
	{"/console/settlement/2026-03-01/M5", ""}, {"/console/breaks", "page.breaks"}, {"/console/breaks/B-1", "break"},
	{"/console/freezes", "page.freezes"}, {"/console/terminals", "page.terminals"}, {"/console/banks", "page.banks"},
	{"/console/downloads", "page.downloads"}, {"/console/help", "page.help"}, {"/console/search", "page.search"},
}

// checkPage holds a page against what every page must have.
func checkPage(t *testing.T, path, lang string, a *answer) {
	t.Helper()
	p := a.page
	html := p.all("html")
	if len(html) != 1 || html[0].attr["lang"] != map[string]string{"zh": "zh-CN", "en": "en"}[lang] {
		t.Errorf("%s: language %v", path, html)
	}
	if len(p.all("h1")) != 1 || len(p.all("main")) != 1 || p.first("a", "href", "#main") == nil || p.first("main", "id", "main") == nil {
		t.Errorf("%s: one h1, one main and a skip link are wanted", path)
	}
	if p.all("title")[0].text() == "" || p.first("meta", "name", "viewport") == nil {
		t.Errorf("%s: no title or viewport", path)
	}
	if refs := regexp.MustCompile(`(?:src|href|action)="([^"]*)"`).FindAllStringSubmatch(a.body, -1); len(refs) == 0 {
		t.Errorf("%s: no references", path)
	} else {
		for _, r := range refs {
			if !strings.HasPrefix(r[1], "/") && !strings.HasPrefix(r[1], "#") || strings.HasPrefix(r[1], "//") {
				t.Errorf("%s: leads elsewhere: %s", path, r[1])
			}
		}
	}
	checkTables(t, path, p)
	checkForms(t, path, p)
	for _, s := range p.all("script") {
		if s.text() != "" || s.attr["src"] != "/console/assets/console.js" {
			t.Errorf("%s: a script of its own: %q", path, s.text())
		}
	}
	if regexp.MustCompile(`\son[a-z]+=|\sstyle=`).MatchString(a.body) {
		t.Errorf("%s: inline script or style", path)
	}
	ids := map[string]bool{}
	for _, m := range regexp.MustCompile(`\sid="([^"]*)"`).FindAllStringSubmatch(a.body, -1) {
		if ids[m[1]] {
			t.Errorf("%s: id %s twice", path, m[1])
		}
		ids[m[1]] = true
	}
	if strings.Contains(a.body, "<script>alert") || strings.Contains(a.body, "ZgotmplZ") {
		t.Errorf("%s: not escaped", path)
	}
	if m := regexp.MustCompile(`%!|\b(page|story|error|state|kind|help|glossary|clock|figures)\.[a-z_]+\b`).FindString(p.text()); m != "" {
		t.Errorf("%s (%s): a text is missing: %s", path, lang, m)
	}
}

// checkTables wants a scope on every heading and a name for every region.
func checkTables(t *testing.T, path string, p *node) {
	t.Helper()
	for _, table := range p.all("table") {
		for _, th := range table.all("th") {
			if s := th.attr["scope"]; s != "col" && s != "row" {
				t.Errorf("%s: th %q without scope", path, th.text())
			}
			if th.text() == "" {
				t.Errorf("%s: a heading without words", path)
			}
		}
		if len(table.all("thead")) != 1 {
			t.Errorf("%s: a table without heading", path)
		}
	}
	for _, svg := range p.all("svg") {
		if svg.attr["aria-hidden"] == "true" {
			continue
		}
		if svg.attr["role"] != "img" || svg.attr["aria-label"] == "" {
			t.Errorf("%s: a picture without a name", path)
		}
	}
	for _, d := range p.all("div") {
		if d.attr["class"] == "scroll" && (d.attr["aria-label"] == "" || d.attr["tabindex"] != "0") {
			t.Errorf("%s: a region that a keyboard cannot scroll, or without a name", path)
		}
	}
}

// checkForms wants a label for every field, and the secret in every form that posts.
func checkForms(t *testing.T, path string, p *node) {
	t.Helper()
	labelled := map[string]bool{}
	for _, l := range p.all("label") {
		labelled[l.attr["for"]] = l.text() != ""
	}
	for _, kind := range []string{"input", "select", "textarea"} {
		for _, f := range p.all(kind) {
			if f.attr["type"] != "hidden" && !labelled[f.attr["id"]] {
				t.Errorf("%s: %s %s has no label", path, kind, f.attr["name"])
			}
		}
	}
	for _, f := range p.all("form") {
		if f.attr["method"] == "post" && f.first("input", "name", "csrf") == nil {
			t.Errorf("%s: a form without secret: %s", path, f.attr["action"])
		}
	}
	for _, b := range p.all("button") {
		if b.text() == "" {
			t.Errorf("%s: a button without words", path)
		}
	}
}

func TestEveryPageInBothLanguages(t *testing.T) {
	r := newRig(t, nil)
	r.set(func() {
		p := r.people[sumOfRole("finance")]
		p.Roles = append(p.Roles, "supervisor")
		r.people[sumOfRole("finance")] = p
	})
	b := r.signIn("finance")
	for _, lang := range []string{"zh", "en"} {
		b.lang = lang
		for _, want := range append(pagesOf, struct{ path, heading string }{"/console/audit", "page.audit"}) {
			a := b.counted(want.path)
			if a.status != http.StatusOK {
				t.Errorf("%s: %d %s", want.path, a.status, a.page.text())
				continue
			}
			checkPage(t, want.path, lang, a)
			if want.heading != "" && !strings.HasPrefix(a.page.all("h1")[0].text(), r.s.words[lang][want.heading]) {
				t.Errorf("%s: heading %q", want.path, a.page.all("h1")[0].text())
			}
		}
	}
}

func TestPagesWithNothingBehindThem(t *testing.T) {
	r := newRig(t, func(o *Options) {
		o.Ledger, o.Live, o.Freezes, o.Banks, o.Days, o.Settlements, o.Breaks = nil, nil, nil, nil, nil, nil, nil
		o.City, o.Parties = Name{}, nil
	})
	b := r.signIn("finance")
	for _, want := range pagesOf {
		a := b.get(want.path)
		if want.path == "/console/breaks/B-1" {
			if a.status != http.StatusNotFound {
				t.Errorf("%s: %d", want.path, a.status)
			}
			continue
		}
		if a.status != http.StatusOK {
			t.Errorf("%s: %d %s", want.path, a.status, a.page.text())
			continue
		}
		checkPage(t, want.path, "en", a)
		if strings.Contains(a.body, `http-equiv="refresh"`) {
			t.Errorf("%s waits for what will never come", want.path)
		}
	}
	if a := b.get("/console/days"); !strings.Contains(a.page.text(), "no ledger") {
		t.Error("it is not said that there is no ledger")
	}
}

// The states of days: recorded, by what the ledger shows, and of a date without records.
func TestStatesOfDays(t *testing.T) {
	r := newRig(t, nil)
	b := r.signIn("viewer")
	a := b.until("/console/days", func(a *answer) bool { return !strings.Contains(a.body, "counting") })
	rows := a.page.all("tbody")[0].all("tr")
	if len(rows) != daysShown {
		t.Fatalf("%d rows", len(rows))
	}
	for i, want := range []string{"open", "certified", "no records"} {
		if text := rows[i].text(); !strings.Contains(text, want) {
			t.Errorf("row %d: %s, want %s", i, text, want)
		}
	}
	if err := r.ledger.Append(t.Context(), r.chain.CloseBuckets(3)); err != nil {
		t.Fatal(err)
	}
	r.clock.add(time.Minute)
	b.until("/console/days/2026-03-01", func(a *answer) bool {
		return strings.Contains(a.page.text(), "closing") && strings.Contains(a.page.text(), "3 / 64")
	})
	if err := r.ledger.Append(t.Context(), r.chain.CloseDay()); err != nil {
		t.Fatal(err)
	}
	r.clock.add(time.Minute)
	b.until("/console/days/2026-03-01", func(a *answer) bool { return strings.Contains(a.page.text(), "64 / 64") })
}

func TestTodayShowsTheFigures(t *testing.T) {
	r := newRig(t, nil)
	b := r.signIn("viewer")
	a := b.counted("/console/today")
	text := a.page.text()
	for _, want := range []string{"1,234,567", "4.0 ms", "75.0 %", "late by", "The card is frozen", "****4321"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
	// The tile and the chart count the same: what moves money or opens a ride.
	var want, hours warehouse.HourCount
	for _, k := range r.ledger.All() {
		if k.BusinessDate == day && warehouse.Volume(k.Kind) {
			want.Add(k.Outcome.String(), 1)
		}
	}
	h, err := r.ledger.Hours(t.Context(), day, txn.MillisOf(day.Time())-8*3600*1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range append(h.Hour[:], h.Outside) {
		hours.Approved, hours.Declined = hours.Approved+n.Approved, hours.Declined+n.Declined
	}
	if tile := a.page.first("dl", "class", "tiles").all("dd")[0].text(); want != hours ||
		tile != strconv.FormatInt(want.Approved, 10) || !strings.Contains(text, "moves money or opens a ride") {
		t.Errorf("tile %s, chart %+v, records %+v", tile, hours, want)
	}
	chart := a.page.first("svg", "class", "chart")
	if chart == nil || len(chart.all("g")) != 24 {
		t.Fatalf("no chart of 24 hours")
	}
	tables := a.page.all("table")
	if len(tables) < 2 || len(tables[0].all("tr")) < 25 {
		t.Error("the numbers of the chart stand in no table")
	}
	if nav := a.page.first("a", "aria-current", "page"); nav == nil || nav.attr["href"] != "/console/today" {
		t.Error("the menu does not say where one is")
	}
	live := b.get("/console/live")
	var now map[string]string
	if err := json.Unmarshal([]byte(live.body), &now); err != nil || now["approved"] != "1,234,567" || now["p99"] != "4.0 ms" {
		t.Errorf("%v %v", now, err)
	}
	for key := range now {
		if key != "at" && !strings.Contains(a.body, `data-live="`+key+`"`) {
			t.Errorf("%s is renewed nowhere", key)
		}
	}
}

func TestHeadersOfEveryAnswer(t *testing.T) {
	r := newRig(t, nil)
	b := r.signIn("finance")
	for _, path := range []string{"/console/today", "/console/assets/style.css", "/console/signin", "/console/none", "/console/live"} {
		h := b.get(path).header
		csp := h.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") || strings.Contains(csp, "http") {
			t.Errorf("%s: %q", path, csp)
		}
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") == "" {
			t.Errorf("%s: %v", path, h)
		}
	}
	for _, name := range []string{"today.html", "en.json", "..%2fconsole.go", "nothing"} {
		if a := b.get("/console/assets/" + name); a.status != http.StatusNotFound {
			t.Errorf("asset %s: %d", name, a.status)
		}
	}
}

func TestLanguage(t *testing.T) {
	r := newRig(t, nil)
	b := r.browser()
	lang := func(a *answer) string { return a.page.all("html")[0].attr["lang"] }
	for accepted, want := range map[string]string{"": "zh-CN", "fr, en;q=0.5": "en", "zh-CN,zh;q=0.9,en;q=0.8": "zh-CN",
		"en;q=0.1, zh;q=0.9": "zh-CN", "de": "zh-CN", "en-GB": "en"} {
		b.lang = accepted
		if got := lang(b.get("/console/signin")); got != want {
			t.Errorf("%q: %s", accepted, got)
		}
	}
	b.lang = "zh"
	if lang(b.get("/console/signin?lang=en")) != "en" || lang(b.get("/console/signin")) != "en" {
		t.Error("a chosen language is not kept")
	}
	if lang(b.get("/console/signin?lang=xx")) != "en" {
		t.Error("an unknown language counts")
	}
}

func TestSettlementLeadsDownToATransactionAndItsReason(t *testing.T) {
	r := newRig(t, nil)
	b := r.signIn("finance")
	a := b.counted("/console/settlement/2026-03-01")
	link := ""
	for _, l := range a.page.all("a") {
		if l.text() == hostile {
			link = l.attr["href"]
		}
	}
	if link == "" {
		t.Fatal("an operator with an odd name has no link")
	}
	if a = b.get(link); a.status != http.StatusOK {
		t.Fatalf("%s: %d %s", link, a.status, a.page.text())
	}
	a = b.post(link, "purpose", "settlement", "details", "run 7 differs", "outcome", "declined")
	if a.status != http.StatusSeeOther || !strings.HasPrefix(a.location, "/console/search/") {
		t.Fatalf("%d %s %s", a.status, a.location, a.body)
	}
	a = b.counted(a.location)
	rows := a.page.all("tbody")[0].all("tr")
	if len(rows) != 1 {
		t.Fatalf("%d rows: %s", len(rows), a.page.text())
	}
	a = b.get(rows[0].all("a")[0].attr["href"])
	checkPage(t, "record", "en", a)
	for _, want := range []string{"It was declined: The card is frozen", "No money moved", "RRN000000001", hostile} {
		if !strings.Contains(a.page.text(), want) {
			t.Errorf("no %q in %s", want, a.page.text())
		}
	}
	if n := r.noted("search"); len(n) != 1 || n[0].Purpose != "settlement: run 7 differs" || n[0].Actor != "p.finance" {
		t.Errorf("search is noted as %+v", n)
	}
	if n := r.noted("record"); len(n) != 1 || n[0].Purpose == "" || n[0].Subject == "" {
		t.Errorf("the look is noted as %+v", n)
	}
	if a := b.get("/console/settlement/2026-03-01/NOBODY"); a.status != http.StatusNotFound {
		t.Errorf("an unknown operator: %d", a.status)
	}
	if a := b.get("/console/settlement?date=2026-02-28"); a.location != "/console/settlement/2026-02-28" {
		t.Errorf("%d %s", a.status, a.location)
	}
}

func TestTheStoryOfARide(t *testing.T) {
	r := newRig(t, nil)
	b := r.signIn("finance")
	b.get("/console/search")
	for _, rec := range r.ledger.All() {
		if len(rec.Discounts) != 2 || rec.EntryStation == "" {
			continue
		}
		a := b.post("/console/search", "what", rec.Position.String(), "from", "2026-03-01", "to", "2026-03-01",
			"purpose", "complaint", "details", "case 12")
		a = b.counted(a.location)
		text := b.get(a.page.all("tbody")[0].all("a")[0].attr["href"]).page.text()
		for _, want := range []string{"It was approved", "The journey began at S01", "Discount for rider category",
			"Discount for transfer: ¥0.40", "Charged: ¥", "Served off line; its code (TAC) is valid", "purse"} {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in %s", want, text)
			}
		}
		return
	}
	t.Fatal("no ride with two discounts")
}

func TestSearch(t *testing.T) {
	r := newRig(t, nil)
	b := r.signIn("desk")
	rec := r.ledger.All()[200]
	good := []string{"from", "2026-02-27", "to", "2026-03-01", "purpose", "complaint", "details", "case 12"}
	for _, what := range []string{rec.Position.String(), rec.Request.String(), rec.Card.String(), "RRN000000001"} {
		a := b.post("/console/search", append(good, "what", what)...)
		if a.status != http.StatusSeeOther || strings.Contains(a.location, what) {
			t.Fatalf("%s: %d %s", what, a.status, a.location)
		}
		if a = b.counted(a.location); len(a.page.all("tbody")) != 1 {
			t.Errorf("%s: nothing found: %s", what, a.page.text())
		}
		checkPage(t, "result", "en", a)
	}
	card := "6222020000000000001" // of nobody
	for name, c := range map[string]struct{ key, value, want string }{
		"a card number":    {"what", card, "card number"},
		"a grouped number": {"what", "6222 0200 0000 0000 001", "card number"},
		"nonsense":         {"what", "hello", "neither"},
		"no purpose":       {"purpose", "", "purpose"},
		"foreign purpose":  {"purpose", "curiosity", "purpose"},
		"short details":    {"details", "x", "purpose"},
		"number in it":     {"details", card, "purpose"},
		"no date":          {"from", "yesterday", "no date"},
		"too long":         {"from", "2026-01-01", "31 days"},
		"backwards":        {"from", "2026-03-02", "31 days"},
	} {
		fields := append(append([]string{"what", "b003-1-1"}, good...), c.key, c.value)
		a := b.post("/console/search", fields...)
		if a.status != http.StatusBadRequest || !strings.Contains(a.page.text(), c.want) {
			t.Errorf("%s: %d %s", name, a.status, a.page.text())
		}
		if c.key == "what" && strings.Contains(a.body, "6222") {
			t.Errorf("%s is written back", name)
		}
	}
	for _, l := range r.Recent(1000) {
		if strings.Contains(l.Subject+l.Detail+l.Purpose, "6222") {
			t.Errorf("a number in the trail: %+v", l)
		}
	}
}

func TestAResultIsForItsPersonOnly(t *testing.T) {
	r := newRig(t, nil)
	b := r.signIn("desk")
	a := b.post("/console/search", "what", "b003-1-1", "from", "2026-03-01", "to", "2026-03-01", "purpose", "complaint", "details", "case 12")
	other := r.signIn("finance")
	if got := other.get(a.location); got.status != http.StatusNotFound {
		t.Errorf("%d", got.status)
	}
	if got := b.get(a.location + "/99"); got.status != http.StatusNotFound {
		t.Errorf("%d", got.status)
	}
}

func TestALongSearchDoesNotHoldThePage(t *testing.T) {
	r := newRig(t, nil)
	r.ledger.mu.Lock()
	r.ledger.hold = make(chan struct{})
	hold := r.ledger.hold
	r.ledger.mu.Unlock()
	b := r.signIn("desk")
	a := b.post("/console/search", "what", "b003-1-1", "from", "2026-03-01", "to", "2026-03-01", "purpose", "complaint", "details", "case 12")
	page := b.get(a.location)
	if page.status != http.StatusOK || !strings.Contains(page.body, `http-equiv="refresh"`) || !strings.Contains(page.page.text(), "Searching") {
		t.Errorf("%d %s", page.status, page.page.text())
	}
	close(hold)
	b.counted(a.location)
}

func TestBreaks(t *testing.T) {
	r := newRig(t, nil)
	b := r.signIn("finance")
	if a := b.get("/console/breaks?state=resolved"); !strings.Contains(a.page.text(), "No break") {
		t.Error(a.page.text())
	}
	const path = "/console/breaks/B-1"
	for _, bad := range [][]string{
		{"step", "assign"}, {"step", "comment"}, {"step", "resolve", "note", "x"}, {"step", "delete", "note", "x"},
		{"step", "resolve", "resolution", "given_up", "note", "x"}, {"step", "comment", "note", strings.Repeat("长", 301)},
		{"step", "comment", "note", "6222020000000000001"},
	} {
		if a := b.post(path, bad...); a.status != http.StatusBadRequest || a.page.first("p", "role", "alert") == nil {
			t.Errorf("%v: %d", bad, a.status)
		}
	}
	if len(r.acts) != 0 || len(r.noted("break_comment")) != 0 {
		t.Fatal("a refused step was done")
	}
	for _, good := range [][]string{
		{"step", "assign", "owner", "wang"}, {"step", "comment", "note", hostile},
		{"step", "resolve", "resolution", "explained", "note", "clock of gate 4"},
	} {
		if a := b.post(path, good...); a.status != http.StatusSeeOther || a.location != path {
			t.Fatalf("%v: %d %s", good, a.status, a.body)
		}
	}
	a := b.get(path)
	checkPage(t, path, "en", a)
	if text := a.page.text(); !strings.Contains(text, hostile) || !strings.Contains(text, "resolved it: clock of gate 4") {
		t.Error(text)
	}
	steps := func(a *answer) (all []string) {
		for _, kind := range []string{"input", "button"} {
			for _, f := range a.page.all(kind) {
				if f.attr["name"] == "step" {
					all = append(all, f.attr["value"])
				}
			}
		}
		slices.Sort(all)
		return all
	}
	if got := steps(a); !slices.Equal(got, []string{"comment", "reopen"}) {
		t.Errorf("a resolved break offers %v", got)
	}
	b.post(path, "step", "reopen")
	if got := steps(b.get(path)); !slices.Equal(got, []string{"assign", "comment", "resolve"}) {
		t.Errorf("an open break offers %v", got)
	}
	b.post(path, "step", "resolve", "resolution", "written_off", "note", "too small")
	if got := steps(b.get(path)); !slices.Equal(got, []string{"assign", "comment", "confirm", "reject"}) {
		t.Errorf("a proposal offers %v", got)
	}
	if r.acts[0].Actor != "p.finance" || len(r.noted("break_resolve")) != 2 {
		t.Errorf("%+v", r.acts)
	}
	r.set(func() { r.actNo = &Refusal{"it is closed", "已关闭"} })
	if a := b.post(path, "step", "comment", "note", "late"); a.status != http.StatusConflict || !strings.Contains(a.page.text(), "it is closed") {
		t.Errorf("%d %s", a.status, a.page.text())
	}
}

func TestDownloads(t *testing.T) {
	r := newRig(t, nil)
	b := r.signIn("finance")
	b.counted("/console/days/2026-03-01")
	a := b.get("/console/days/2026-03-01/totals.csv")
	if a.status != http.StatusOK || !strings.HasPrefix(a.body, "\ufeffbusiness_date") ||
		!strings.Contains(a.header.Get("Content-Disposition"), "attachment") {
		t.Errorf("%d %v %.60q", a.status, a.header, a.body)
	}
	if a = b.get("/console/days/2026-03-01/totals.json"); !json.Valid([]byte(a.body)) {
		t.Error("no JSON")
	}
	if a = b.get("/console/downloads/S20260301-2/summary.csv"); a.body != "a,b\n1,2\n" {
		t.Errorf("%d %q", a.status, a.body)
	}
	if n := r.noted("download"); len(n) != 3 {
		t.Errorf("%d downloads are noted", len(n))
	}
	for _, path := range []string{"/console/downloads/S20260301-2/other", "/console/days/2026-03-01/totals.exe",
		"/console/days/2026-03-01/x", "/console/days/20260301", "/console/days/2026-02-30"} {
		if a = b.get(path); a.status != http.StatusNotFound {
			t.Errorf("%s: %d", path, a.status)
		}
	}
}

// Nothing is green where nothing was compared; of settlement, what is owed stands first, where a
// phone shows it.
func TestNothingComparedIsNotGood(t *testing.T) {
	r := newRig(t, nil)
	b := r.signIn("finance")
	r.set(func() { r.unrun = true })
	if a := b.get("/console/breaks"); strings.Contains(a.page.text(), "No break.") ||
		!strings.Contains(a.page.text(), "No run of reconciliation yet.") {
		t.Errorf("without a run: %s", a.page.text())
	}
	r.set(func() { r.unrun = false })
	if a := b.get("/console/breaks?state=closed"); !strings.Contains(a.page.text(), "No break.") {
		t.Errorf("with a run: %s", a.page.text())
	}
	a := b.counted("/console/settlement/2026-03-01")
	table := a.page.first("table", "class", "broad money")
	if table == nil {
		t.Fatal("no table of operators")
	}
	var heads []string
	for _, th := range table.first("tr", "", "").all("th") {
		heads = append(heads, th.text())
	}
	if len(heads) != 7 || heads[1] != "Owed to operator" || heads[2] != "Charged" {
		t.Errorf("%v", heads)
	}
}
