package desk

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/call"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
)

const testToken = "desk-token-of-a-test"

// counter is a gate without an agency's desk, that answers every other call alike and keeps
// the last one.
type counter struct {
	*httptest.Server
	status       int
	answer       string
	calls        int
	method, path string
	body, token  string
}

func newCounter(t *testing.T) *counter {
	g := &counter{status: http.StatusOK, answer: `{"state":"active","freeze":null}`}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1/desk/") {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		body, _ := io.ReadAll(r.Body)
		g.calls++
		g.method, g.path, g.body = r.Method, r.URL.EscapedPath(), string(body)
		g.token = r.Header.Get("Authorization")
		w.WriteHeader(g.status)
		_, _ = io.WriteString(w, g.answer)
	}))
	t.Cleanup(g.Close)
	t.Setenv(call.URLEnv, g.URL)
	t.Setenv(call.TokenEnv, testToken)
	return g
}

// run runs a command as the binary does.
func run(t *testing.T, c *cobra.Command, stdin string, args ...string) (out string, code int) {
	t.Helper()
	var b bytes.Buffer
	c.SilenceErrors, c.SilenceUsage = true, true
	c.SetIn(strings.NewReader(stdin))
	c.SetOut(&b)
	c.SetErr(&b)
	c.SetArgs(args)
	err := c.ExecuteContext(t.Context())
	if err != nil {
		b.WriteString(err.Error())
	}
	return b.String(), cli.Code(err)
}

const (
	testCard  = "6222600000000000001"
	testCard2 = "3104000000000000001"
	testHex   = "00112233445566778899aabbccddeeff"
)

// What each command asks the gate for.
func TestCalls(t *testing.T) {
	g := newCounter(t)
	for _, c := range []struct {
		command *cobra.Command
		stdin   string
		args    string
		want    string
	}{
		{Card(), "", "enrol " + testCard + " --issuer city", `POST /v1/cards {"apps":["transit",` +
			`"purse"],"card":"` + testCard + `","issuer":"city","rider":"ordinary"}`},
		{Card(), testCard + "\n", "status -", `POST /v1/cards:lookup {"card":"` + testCard + `"}`},
		{Card(), "", "status " + testHex, "GET /v1/cards/" + testHex + " "},
		{Card(), testHex, "freeze - --note n", `POST /v1/freezes {"note":"n","reason":"lost",` +
			`"scope":["all"],"token":"` + testHex + `"}`},
		{Card(), "", "release " + testCard2 + " --note n", `POST /v1/releases {"card":"` +
			testCard2 +
			`","note":"n"}`},
		{Card(), "", "confirm r/1", "POST /v1/releases/r%2F1/confirm "},
		{Card(), "", "releases", "GET /v1/releases "},
		{Terminal(), "", "put T1 --kinds load --line 4", `PUT /v1/terminals/T1 {"kinds":["load"],` +
			`"line":"4"}`},
		{Terminal(), "", "rotate T1", "POST /v1/terminals/T1:rotate "},
		{Terminal(), "", "revoke T1", "POST /v1/terminals/T1:revoke "},
		{Terminal(), "", "show T1", "GET /v1/terminals/T1 "},
		{Operator(), "", "create wang --roles desk", `PUT /v1/operators/wang {"roles":["desk"]}`},
		{Operator(), "", "revoke wang", "POST /v1/operators/wang:revoke "},
	} {
		before := g.calls
		out, code := run(t, c.command, c.stdin, strings.Fields(c.args)...)
		if got := g.method + " " + g.path + " " + g.body; got != c.want || code != 0 ||
			g.calls != before+1 || g.token != "Bearer "+testToken {
			t.Errorf("%s: code %d, asked\n%s, want\n%s", c.args, code, got, c.want)
		}
		if out != "state   active\nfreeze  null\n" || strings.Contains(out, testCard) {
			t.Errorf("%s: printed %q", c.args, out)
		}
	}
	if out, _ := run(t, Card(), "", "releases", "-o", "json"); !strings.Contains(out,
		`"state": "active"`) {
		t.Errorf("as JSON: %s", out)
	}
	g.answer = "[]"
	if out, code := run(t, Card(), "", "releases"); code != 0 || out != "[]\n" {
		t.Errorf("a list: %d %q", code, out)
	}
}

// The answer's status is the exit code; its words are the gate's, and a call is made once.
func TestErrorAnswers(t *testing.T) {
	g := newCounter(t)
	for status, want := range map[int]int{http.StatusNotFound: cli.ExitNotFound,
		http.StatusConflict: cli.ExitConflict, http.StatusServiceUnavailable: cli.ExitUnavailable,
		http.StatusForbidden: cli.ExitFailed, http.StatusInternalServerError: cli.ExitFailed} {
		g.status, g.calls = status, 0
		g.answer = `{"error":{"code":"no","message":"not so","param":"scope"}}`
		out, code := run(t, Card(), "", "freeze", testCard)
		if first, _, _ := strings.Cut(out, "\n"); code != want || first != "no: not so (scope)" || g.calls != 1 {
			t.Errorf("%d: code %d, %d calls, %s", status, code, g.calls, out)
		}
		g.answer = "<html>"
		if out, code := run(t, Card(), "", "freeze", testCard); code != want ||
			!strings.HasPrefix(out, "the gate answered ") || strings.Contains(out, testCard) {
			t.Errorf("%d in another form: code %d, %s", status, code, out)
		}
	}
	g.Close()
	if out, code := run(t, Card(), "", "freeze", testCard); code != cli.ExitUnavailable ||
		strings.Contains(out, testCard) {
		t.Errorf("nobody there: code %d, %s", code, out)
	}
}

// An answer is read up to its limit; of what is longer nothing is printed.
func TestAnswerMax(t *testing.T) {
	g := newCounter(t)
	g.answer = "[" + strings.Repeat(" ", call.AnswerMax-2) + "]"
	if out, code := run(t, Card(), "", "releases"); code != 0 || len(out) != call.AnswerMax+1 {
		t.Errorf("code %d, %d bytes", code, len(out))
	}
	g.answer += " "
	if out, code := run(t, Card(), "", "releases"); code != cli.ExitFailed || len(out) > 200 {
		t.Errorf("one byte more: code %d, %d bytes", code, len(out))
	}
}

// The token comes from a file or the environment; without one nothing is asked.
func TestToken(t *testing.T) {
	g := newCounter(t)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("of-a-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, code := run(t, Card(), "", "releases", "--token-file", file); code != 0 ||
		g.token != "Bearer of-a-file" {
		t.Errorf("code %d, token %q", code, g.token)
	}
	g.calls = 0
	if _, code := run(t, Card(), "", "releases", "--token-file", file+"x"); code != cli.ExitUsage {
		t.Errorf("no such file: code %d", code)
	}
	t.Setenv(call.TokenEnv, "")
	if out, code := run(t, Card(), "", "releases"); code != cli.ExitUsage ||
		!strings.Contains(out, call.TokenEnv) {
		t.Errorf("no token: code %d, %s", code, out)
	}
	if g.calls != 0 {
		t.Errorf("%d calls without a token", g.calls)
	}
}
