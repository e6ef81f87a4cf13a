package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/ledger/console/trail"
)

// consoleVisitor is a person with a browser at the admin address of the real binary.
type consoleVisitor struct {
	t      testing.TB
	node   *e2eNode
	client *http.Client
	csrf   string
}

func newConsoleVisitor(t testing.TB, n *e2eNode) *consoleVisitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &consoleVisitor{t: t, node: n, client: &http.Client{Jar: jar, Timeout: time.Minute}}
}

var (
	csrfField = regexp.MustCompile(`name="csrf" value="([^"]+)"`)
	tags      = regexp.MustCompile(`<[^>]*>`)
)

// send makes a request, follows where it leads, and returns the page with its last address.
func (v *consoleVisitor) send(method, path string, form url.Values) (status int, at, body string) {
	v.t.Helper()
	var content io.Reader = http.NoBody
	if form != nil {
		form.Set("csrf", v.csrf)
		content = strings.NewReader(form.Encode())
	}
	q, err := http.NewRequestWithContext(v.t.Context(), method, "http://"+v.node.admin()+path, content)
	if err != nil {
		v.t.Fatal(err)
	}
	q.Header.Set("Accept-Language", "en")
	if form != nil {
		q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r, err := v.client.Do(q)
	if err != nil {
		v.t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	if m := csrfField.FindSubmatch(text); m != nil {
		v.csrf = string(m[1])
	}
	return r.StatusCode, r.Request.URL.Path, string(text)
}

// page is a page's text, once the figures and searches that it waits for are there.
func (v *consoleVisitor) page(path string, wants ...string) (text, at string) {
	v.t.Helper()
	e2eUntil(v.t, time.Minute, path, func() (bool, error) {
		status, address, body := v.send(http.MethodGet, path, nil)
		text, at = tags.ReplaceAllString(body, " "), address
		if status != http.StatusOK {
			return false, fmt.Errorf("%s answers %d: %s", path, status, text)
		}
		for _, want := range wants {
			if !strings.Contains(body, want) {
				return false, fmt.Errorf("%s has no %q: %s", path, want, text)
			}
		}
		return !strings.Contains(body, `http-equiv="refresh"`), nil
	})
	return text, at
}

func (v *consoleVisitor) signIn(token string) (status int, at string) {
	v.t.Helper()
	v.send(http.MethodGet, "/console/signin", nil)
	status, at, _ = v.send(http.MethodPost, "/console/signin", url.Values{"token": {token}})
	return status, at
}

// A person signs in at a switch that runs, reads the day, finds a tap that was declined and is
// told why; the trail knows all of it after a SIGKILL, and a damaged trail stops the console
// and not the switch.
func TestE2EConsole(t *testing.T) {
	t.Parallel()
	c := newDeskCity(t)
	c.open("li-1", deskChip, "")
	c.report(deskChip)
	if a := c.tap(0, deskChip, 0); a.Reason != "card_frozen" {
		t.Fatalf("a card that was reported lost: %+v", a)
	}
	refused := fmt.Sprintf("%s-%d-%d", c.gates[0].ID, c.node.life(), c.taps)
	c.until("the ledger", c.node.drained)

	v := newConsoleVisitor(t, c.node)
	if _, at, _ := v.send(http.MethodGet, "/console/days", nil); at != "/console/signin" {
		t.Fatalf("without sign-in: %s", at)
	}
	if status, _ := v.signIn("tapswitch_nobody"); status != http.StatusUnauthorized {
		t.Fatalf("a wrong token: %d", status)
	}
	if status, at := v.signIn(c.admin); status != http.StatusOK || at != "/console/today" {
		t.Fatalf("sign in: %d %s", status, at)
	}
	v.page("/console/today", "This process, live", "The card is frozen", "card_frozen", "Parties late now")
	v.page("/console/days", "open")
	v.page("/console/settlement", "By operator", "No run yet")
	v.page("/console/breaks", "No run of reconciliation yet")
	v.page("/console/freezes", "gates hold it", "****0001")
	v.page("/console/terminals", "GATE01")
	v.page("/console/banks", "no edge for bank cards")
	v.page("/console/downloads", "totals.csv")

	today := time.Now().UTC().Add(8 * time.Hour)
	v.page("/console/search")
	status, job, _ := v.send(http.MethodPost, "/console/search", url.Values{"what": {refused}, "purpose": {"complaint"},
		"details": {"case 12"}, "from": {today.AddDate(0, 0, -2).Format(time.DateOnly)},
		"to": {today.AddDate(0, 0, 1).Format(time.DateOnly)}})
	if status != http.StatusOK || !strings.HasPrefix(job, "/console/search/") || strings.Contains(job, deskChip) {
		t.Fatalf("search: %d %s", status, job)
	}
	v.page(job, "Found: 1")
	text, _ := v.page(job+"/1", "It was declined: The card is frozen")
	if strings.Contains(text, deskChip) {
		t.Error("a card number on a page")
	}
	v.page("/console/audit", "case 12", "sign-in failed")
	c.consoleAfterKill(v)
}

// consoleAfterKill: the session is gone, the trail is not, and a trail that was changed ends
// the console alone.
func (c *deskCity) consoleAfterKill(v *consoleVisitor) {
	t := c.t
	t.Helper()
	c.node.kill()
	c.restart()
	if _, at, _ := v.send(http.MethodGet, "/console/today", nil); at != "/console/signin" {
		t.Errorf("a session outlives its process: %s", at)
	}
	v.signIn(c.admin)
	v.page("/console/audit", "case 12")
	c.node.kill()
	path := filepath.Join(c.node.dir, consoleDir, "audit.jsonl")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(content), deskChip) || strings.Contains(string(content), c.admin) {
		t.Error("a number or a token in the trail")
	}
	if n, err := trail.Check(strings.NewReader(string(content))); err != nil || n < 5 {
		t.Errorf("%d lines, %v", n, err)
	}
	changed := strings.Replace(string(content), "case 12", "case 13", 1)
	if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	c.restart()
	if status, _, err := e2eGet("http://" + c.node.admin() + "/console/signin"); err != nil || status != http.StatusNotFound {
		t.Errorf("a console over a trail that was changed: %d %v", status, err)
	}
	if a := c.tap(1, deskChip, 0); a.Outcome != "declined" {
		t.Errorf("the switch does not serve: %+v", a)
	}
}
