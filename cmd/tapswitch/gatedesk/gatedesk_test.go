package gatedesk

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/call"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
)

// run runs the command against a server that gives one answer, and returns what was asked and
// printed.
func run(t *testing.T, status int, answer string, args ...string) (asked, printed string, err error) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Header.Get("Authorization") != "Bearer secret" {
			t.Errorf("asked as %q", r.Header.Get("Authorization"))
		}
		asked = r.Method + " " + r.URL.RequestURI() + " " + string(body)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	defer server.Close()
	t.Setenv(call.TokenEnv, "secret")
	c := Terminals()
	var out bytes.Buffer
	c.SetOut(&out)
	c.SetErr(io.Discard)
	c.SilenceUsage, c.SilenceErrors = true, true
	c.SetArgs(append(args, "--url", server.URL))
	err = c.ExecuteContext(t.Context())
	return asked, out.String(), err
}

const behindAnswer = `{"terminals":[{"terminal":"G1","line":"M1","station":"North","documents":[
 {"kind":"parameters","runs":"p1","should":"p2","behind":true,"overdue_ms":61000,"next":"p3"}],
 "modes":"train_fault"}],"total":4,"behind":1}`

func TestWhatIsAskedAndPrinted(t *testing.T) {
	for name, c := range map[string]struct {
		args    []string
		answer  string
		asked   string
		printed []string
	}{
		"list":   {[]string{"list"}, behindAnswer, "GET /v1/provision/terminals ", []string{"G1", "p2", "1m1s", "p3", "train_fault", "1 of 4 behind"}},
		"behind": {[]string{"behind"}, behindAnswer, "GET /v1/provision/terminals?behind=true ", []string{"G1"}},
		"json":   {[]string{"behind", "-o", "json"}, behindAnswer, "GET /v1/provision/terminals?behind=true ", []string{`"overdue_ms": 61000`}},
		"show":   {[]string{"show", "G/1"}, `{"terminal":"G1"}`, "GET /v1/provision/terminals/G%2F1 ", []string{`"terminal": "G1"`}},
		"versions": {[]string{"versions", "--kind", "tariff"},
			`{"documents":[{"kind":"tariff","version":"t1","scope":"all","effective_ms":1800000000000,"in_effect":true,"running":3,"published_by":"ada","sha256":"0123456789abcdef"}]}`,
			"GET /v1/provision/documents?kind=tariff ", []string{"t1", "true", "3", "ada", "0123456789ab"}},
		"document": {[]string{"document", "tariff", "t1"}, `{"version":"t1"}`, "GET /v1/provision/documents/tariff/t1 ", []string{"t1"}},
		"withdraw": {[]string{"withdraw", "tariff", "t1"}, "", "POST /v1/provision/documents/tariff/t1/withdraw {}", nil},
		"orders": {[]string{"orders"},
			`{"orders":[{"id":"o1","mode":"time_waived","scope":"line:M1","from_ms":1800000000000,"until_ms":1800000060000,"reason":"fog","by":"ada","second":"ben","holds":true,"grace":true}]}`,
			"GET /v1/provision/orders ", []string{"o1", "time_waived", "line:M1", "fog", "ben", "true"}},
		"confirm": {[]string{"confirm", "o1"}, `{"id":"o1"}`, "POST /v1/provision/orders/o1/confirm {}", []string{"o1"}},
		"end":     {[]string{"end", "o1"}, "", "POST /v1/provision/orders/o1/end {}", nil},
		"order": {[]string{"order", "train_fault", "--scope", "all", "--from", "2027-01-15T16:00:00+08:00", "--until",
			"2027-01-15T17:00:00+08:00", "--reason", "signal"}, `{"id":"o1"}`,
			`POST /v1/provision/orders {"from_ms":1800000000000,"mode":"train_fault","reason":"signal","scope":"all","until_ms":1800003600000}`, []string{"o1"}},
	} {
		asked, printed, err := run(t, http.StatusOK, c.answer, c.args...)
		if err != nil || asked != c.asked {
			t.Errorf("%s: asked %q, want %q: %v", name, asked, c.asked, err)
		}
		for _, text := range c.printed {
			if !strings.Contains(printed, text) {
				t.Errorf("%s: no %q in %s", name, text, printed)
			}
		}
	}
}

func TestPublish(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	asked, _, err := run(t, http.StatusCreated, `{}`, "publish", file("p.json", `{"lease_s": 60}`), "--doc-version",
		"p1", "--from", "2027-01-15T16:00:00+08:00", "--scope", "line:M1")
	want := `POST /v1/provision/documents {"effective_ms":1800000000000,"kind":"parameters","parameters":{"lease_s":60},"scope":"line:M1","version":"p1"}`
	if err != nil || asked != want {
		t.Errorf("%s, want %s: %v", asked, want, err)
	}
	asked, _, err = run(t, http.StatusCreated, `{}`, "publish", file("t.yaml", "version: t1\n"), "--kind", "tariff",
		"--doc-version", "t1", "--from", "2027-01-15T16:00:00+08:00")
	if err != nil || !strings.Contains(asked, `"tariff":"version: t1\n"`) {
		t.Errorf("%s: %v", asked, err)
	}
	for name, args := range map[string][]string{
		"no file":  {"publish", filepath.Join(dir, "none"), "--doc-version", "p1"},
		"no JSON":  {"publish", file("bad.json", "{"), "--doc-version", "p1"},
		"no time":  {"publish", file("p.json", "{}"), "--doc-version", "p1", "--from", "tomorrow"},
		"no until": {"order", "train_fault", "--scope", "all", "--until", "never", "--reason", "x"},
	} {
		if asked, _, err := run(t, http.StatusOK, "{}", args...); cli.Code(err) != cli.ExitUsage || asked != "" {
			t.Errorf("%s: %v, asked %q", name, err, asked)
		}
	}
}

func TestRefusalsHaveExitCodes(t *testing.T) {
	const refused = `{"error":{"code":"document_invalid","param":"effective_ms","message":"takes effect in the past"}}`
	for status, code := range map[int]int{422: cli.ExitFailed, 403: cli.ExitFailed, 404: cli.ExitNotFound,
		409: cli.ExitConflict, 503: cli.ExitUnavailable} {
		_, _, err := run(t, status, refused, "list")
		if cli.Code(err) != code || !strings.HasPrefix(err.Error()+"\n",
			"document_invalid: takes effect in the past (effective_ms)\n") {
			t.Errorf("%d: %d %v", status, cli.Code(err), err)
		}
	}
	if _, _, err := run(t, 502, "proxy", "list"); err == nil || !strings.Contains(err.Error(), "Bad Gateway") {
		t.Errorf("%v", err)
	}
	if _, _, err := run(t, 200, "{", "list"); err == nil {
		t.Error("a broken answer was printed")
	}
	t.Setenv(call.TokenEnv, "")
	c := Terminals()
	c.SetArgs([]string{"list"})
	c.SilenceUsage, c.SilenceErrors = true, true
	if err := c.ExecuteContext(t.Context()); cli.Code(err) != cli.ExitUsage {
		t.Errorf("without a token: %v", err)
	}
}

func TestInstants(t *testing.T) {
	before := time.Now()
	ms, err := instant("2h")
	if err != nil || ms < before.Add(2*time.Hour).UnixMilli() || ms > time.Now().Add(2*time.Hour).UnixMilli() {
		t.Errorf("%d %v", ms, err)
	}
	if _, err := instant("soon"); err == nil {
		t.Error("soon is an instant")
	}
}
