package console

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/ledger/console/session"
)

func sumOfRole(role string) session.Sum { return session.SumOf(tokenOf(role)) }

// matrix is who may make which call, written out by hand: the roles of finance, desk,
// desk_confirm, supervisor, admin, viewer in this order.
var matrix = map[string]string{
	"GET /console/today":                       "yyyyyy",
	"GET /console/live":                        "yyyyyy",
	"GET /console/days":                        "y--yyy",
	"GET /console/days/2026-03-01":             "y--yyy",
	"GET /console/days/2026-03-01/totals.csv":  "y--y--",
	"GET /console/settlement":                  "y--yyy",
	"GET /console/settlement/2026-03-01":       "y--yyy",
	"GET /console/settlement/2026-03-01/M5":    "y--yyy",
	"POST /console/settlement/2026-03-01/M5":   "yyyy--",
	"GET /console/search":                      "yyyy--",
	"POST /console/search":                     "yyyy--",
	"GET /console/search/none":                 "yyyy--",
	"GET /console/search/none/1":               "yyyy--",
	"GET /console/breaks":                      "y--yyy",
	"GET /console/breaks/B-1":                  "y--yyy",
	"POST /console/breaks/B-1":                 "y-----",
	"GET /console/freezes":                     "yyyyyy",
	"GET /console/terminals":                   "yyyyyy",
	"GET /console/banks":                       "yyyyyy",
	"GET /console/downloads":                   "y--y--",
	"GET /console/downloads/S20260301-2/a.csv": "y--y--",
	"GET /console/audit":                       "---yy-",
	"GET /console/help":                        "yyyyyy",
	"GET /console/":                            "yyyyyy",
}

func TestRolesMatrix(t *testing.T) {
	r := newRig(t, nil)
	if len(matrix) != len(r.s.routes)-1 { // signing out is everybody's
		t.Errorf("the matrix has %d of %d calls", len(matrix), len(r.s.routes)-1)
	}
	for i, role := range everyone {
		b := r.signIn(role)
		for call, may := range matrix {
			method, path, _ := strings.Cut(call, " ")
			a := b.do(method, path, url.Values{"csrf": {b.csrf}}.Encode())
			if refused := a.status == http.StatusForbidden; refused == (may[i] == 'y') {
				t.Errorf("%s as %s: %d", call, role, a.status)
			}
			if a.status == http.StatusForbidden && a.page != nil && a.page.first("p", "role", "alert") == nil {
				t.Errorf("%s as %s: refused without a word", call, role)
			}
		}
		menu := b.get("/console/help").page
		for _, m := range menu.all("nav")[0].all("a") {
			if a := b.get(m.attr["href"]); a.status != http.StatusOK && a.status != http.StatusSeeOther {
				t.Errorf("the menu of %s leads to %s: %d", role, m.attr["href"], a.status)
			}
		}
	}
	if len(r.acts) != 0 {
		t.Error("a break was changed")
	}
	if n := r.noted("refused"); len(n) == 0 || n[0].Subject == "" {
		t.Error("refusals are not noted")
	}
}

func TestNobodySeesAnythingWithoutSignIn(t *testing.T) {
	r := newRig(t, nil)
	for call := range matrix {
		method, path, _ := strings.Cut(call, " ")
		a := r.browser().do(method, path, "csrf=x")
		if path == "/console/live" {
			if a.status != http.StatusUnauthorized {
				t.Errorf("%s: %d", call, a.status)
			}
			continue
		}
		if a.status != http.StatusSeeOther || !strings.HasPrefix(a.location, "/console/signin") {
			t.Errorf("%s: %d %s", call, a.status, a.location)
		}
	}
	if len(r.acts) != 0 {
		t.Error("a break was changed")
	}
}

func TestSignIn(t *testing.T) {
	r := newRig(t, nil)
	b := r.browser()
	a := b.get("/console/days")
	if a.location != "/console/signin?next=%2Fconsole%2Fdays" {
		t.Fatal(a.location)
	}
	a = b.get(a.location)
	checkPage(t, "signin", "en", a)
	next := a.page.first("input", "name", "next").attr["value"]
	a = b.post("/console/signin", "token", tokenOf("finance"), "next", next)
	if a.status != http.StatusSeeOther || a.location != "/console/days" {
		t.Fatalf("%d %s", a.status, a.location)
	}
	c := b.cookie(cookieSession)
	if c == nil || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/console" || c.Secure ||
		strings.Contains(c.Value, "token") {
		t.Errorf("%+v", c)
	}
	if n := r.noted("sign_in"); len(n) != 1 || n[0].Actor != "p.finance" || n[0].From == "" {
		t.Errorf("%+v", n)
	}
	for _, l := range r.Recent(100) {
		if strings.Contains(l.Detail+l.Subject, "token-of") {
			t.Error("a token in the trail")
		}
	}
}

func TestSignInRefuses(t *testing.T) {
	r := newRig(t, nil)
	for name, c := range map[string]struct {
		token string
		want  int
	}{
		"nobody's": {"wrong", http.StatusUnauthorized}, "none": {"", http.StatusUnauthorized},
		"long": {strings.Repeat("x", 200), http.StatusUnauthorized}, "no page for the role": {tokenOf("vendor"), http.StatusForbidden},
		"authority": {tokenOf("authority"), http.StatusForbidden},
	} {
		b := r.browser()
		b.get("/console/signin")
		if a := b.post("/console/signin", "token", c.token); a.status != c.want || b.cookie(cookieSession) != nil ||
			a.page.first("p", "role", "alert") == nil {
			t.Errorf("%s: %d", name, a.status)
		}
	}
	b := r.browser()
	b.get("/console/signin")
	r.set(func() { r.peopleNo = errors.New("the store is away") })
	if a := b.post("/console/signin", "token", tokenOf("finance")); a.status != http.StatusServiceUnavailable {
		t.Errorf("%d", a.status)
	}
}

func TestWhereSignInLeads(t *testing.T) {
	for path, want := range map[string]string{"/console/days": "/console/days", "https://evil.example/": "",
		"//evil.example": "", "/console//evil.example": "", "/other": "", "/console/\r\nSet-Cookie: a": "", "": "",
		`/console/\evil`: ""} {
		if got := ownPath(path); got != want {
			t.Errorf("%q: %q", path, got)
		}
	}
}

func TestGuessingIsSlowedDown(t *testing.T) {
	r := newRig(t, nil)
	b := r.browser()
	b.get("/console/signin")
	for i := range session.TriesMax {
		if a := b.post("/console/signin", "token", "guess"); a.status != http.StatusUnauthorized {
			t.Fatalf("try %d: %d", i, a.status)
		}
	}
	a := b.post("/console/signin", "token", tokenOf("finance"))
	if a.status != http.StatusTooManyRequests || a.header.Get("Retry-After") == "" {
		t.Errorf("%d %v", a.status, a.header)
	}
	if n := len(r.noted("sign_in_failed")); n != session.TriesMax {
		t.Errorf("%d failures are noted", n)
	}
	r.clock.add(session.TriesWindow)
	if a := b.post("/console/signin", "token", tokenOf("finance")); a.status != http.StatusSeeOther {
		t.Errorf("for ever: %d", a.status)
	}
}

func TestEveryFormNeedsItsSecret(t *testing.T) {
	r := newRig(t, nil)
	b := r.signIn("finance")
	own := b.csrf
	other := r.signIn("finance").csrf
	for name, secret := range map[string]string{"none": "", "another session's": other, "guessed": strings.Repeat("a", len(own))} {
		b.csrf = secret
		for _, path := range []string{"/console/breaks/B-1", "/console/search", "/console/settlement/2026-03-01/M5", "/console/signout"} {
			if a := b.post(path, "step", "comment", "note", "x"); a.status != http.StatusForbidden {
				t.Errorf("%s with %s secret: %d", path, name, a.status)
			}
			b.csrf = secret
		}
	}
	b.csrf = own
	v := url.Values{"csrf": {own}, "step": {"comment"}, "note": {"x"}}.Encode()
	for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://evil.example"}} {
		if a := b.do(http.MethodPost, "/console/breaks/B-1", v, header...); a.status != http.StatusForbidden {
			t.Errorf("%v: %d", header, a.status)
		}
	}
	if len(r.acts) != 0 {
		t.Fatal("done all the same")
	}
	if a := b.do(http.MethodPost, "/console/breaks/B-1", v); a.status != http.StatusSeeOther {
		t.Errorf("%d", a.status)
	}
	before := r.browser()
	if a := before.post("/console/signin", "token", tokenOf("finance")); a.status != http.StatusForbidden || before.cookie(cookieSession) != nil {
		t.Errorf("sign-in without its form: %d", a.status)
	}
	if a := b.do(http.MethodPost, "/console/search", "csrf="+own+"&what="+strings.Repeat("x", bodyMax)); a.status != http.StatusBadRequest {
		t.Errorf("a form beyond the limit: %d", a.status)
	}
}

func TestSessionEnds(t *testing.T) {
	r := newRig(t, nil)
	gone := func(b *browser) bool { return b.get("/console/today").status == http.StatusSeeOther }

	idle := r.signIn("viewer")
	r.clock.add(14 * time.Minute)
	if gone(idle) {
		t.Fatal("ended early")
	}
	r.clock.add(15 * time.Minute)
	if !gone(idle) {
		t.Error("an idle session lives")
	}

	long := r.signIn("viewer")
	for range 48 {
		r.clock.add(10 * time.Minute)
		long.get("/console/today")
	}
	if !gone(long) {
		t.Error("a session lives for ever")
	}

	out := r.signIn("viewer")
	kept := out.cookie(cookieSession).Value
	if a := out.post("/console/signout"); a.status != http.StatusSeeOther || out.cookie(cookieSession) != nil {
		t.Errorf("%d", a.status)
	}
	if a := r.browser().do(http.MethodGet, "/console/today", "", "Cookie", cookieSession+"="+kept); a.status != http.StatusSeeOther {
		t.Error("a session that was signed out lives")
	}
}

func TestARevokedOperatorIsThrownOut(t *testing.T) {
	r := newRig(t, nil)
	b := r.signIn("finance")
	r.clock.add(session.RenewEvery)
	r.set(func() { r.peopleNo = errors.New("the store is away") })
	if a := b.get("/console/today"); a.status != http.StatusServiceUnavailable {
		t.Errorf("%d", a.status)
	}
	r.set(func() {
		r.peopleNo = nil
		r.people[sumOfRole("finance")] = session.Person{Name: "p.finance", Roles: []string{"viewer"}}
	})
	if a := b.get("/console/search"); a.status != http.StatusForbidden {
		t.Errorf("a role that was taken away: %d", a.status)
	}
	r.clock.add(session.RenewEvery)
	r.set(func() { delete(r.people, sumOfRole("finance")) })
	if a := b.get("/console/today"); a.status != http.StatusSeeOther {
		t.Errorf("%d", a.status)
	}
}

func TestSignInTakesNoPlantedSession(t *testing.T) {
	r := newRig(t, nil)
	b := r.signIn("viewer")
	before := b.cookie(cookieSession).Value
	b.get("/console/signin")
	b.post("/console/signin", "token", tokenOf("finance"))
	if b.cookie(cookieSession).Value == before {
		t.Error("the session kept its name")
	}
	if a := r.browser().do(http.MethodGet, "/console/today", "", "Cookie", cookieSession+"="+before); a.status != http.StatusSeeOther {
		t.Error("the session before lives")
	}
}

func TestSecureCookies(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Secure = true })
	b := r.browser()
	b.get("/console/signin?lang=en")
	for _, name := range []string{cookieForm, cookieLang} {
		if c := b.cookie(name); c == nil || !c.Secure || !c.HttpOnly {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

func TestWhatTheTrailCannotKeepIsNotDone(t *testing.T) {
	r := newRig(t, nil)
	b := r.signIn("finance")
	b.counted("/console/days/2026-03-01")
	a := b.post("/console/search", "what", "b003-1-1", "from", "2026-03-01", "to", "2026-03-01", "purpose", "complaint", "details", "case 12")
	job := a.location
	b.counted(job)
	r.set(func() { r.trailNo = errors.New("the disk is full") })
	for _, call := range []func() *answer{
		func() *answer { return b.post("/console/breaks/B-1", "step", "comment", "note", "x") },
		func() *answer {
			return b.post("/console/search", "what", "b003-1-1", "from", "2026-03-01", "to", "2026-03-01", "purpose", "complaint", "details", "case 12")
		},
		func() *answer { return b.get(job + "/1") },
		func() *answer { return b.get("/console/days/2026-03-01/totals.csv") },
		func() *answer { return b.get("/console/downloads/S20260301-2/summary.csv") },
	} {
		if a := call(); a.status != http.StatusServiceUnavailable || !strings.Contains(a.page.text(), "nothing was done") {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	if len(r.acts) != 0 {
		t.Error("done all the same")
	}
	fresh := r.browser()
	fresh.get("/console/signin")
	if a := fresh.post("/console/signin", "token", tokenOf("finance")); a.status != http.StatusServiceUnavailable || fresh.cookie(cookieSession) != nil {
		t.Errorf("signed in without a trace: %d", a.status)
	}
}

func TestNewWantsWhatItNeeds(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("nothing is needed")
	}
	if !slices.Equal(preferredAll("", "xx", "en;q=x"), []string{"zh", "zh", "en"}) {
		t.Error(preferredAll("", "xx", "en;q=x"))
	}
}

func preferredAll(accepted ...string) (out []string) {
	for _, a := range accepted {
		out = append(out, preferred(a))
	}
	return out
}
