package bankdesk

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
)

// run runs a command against a server of the test.
func run(t *testing.T, handler http.HandlerFunc, args ...string) (out string, err error) {
	t.Helper()
	server := httptest.NewServer(handler)
	defer server.Close()
	c := &cobra.Command{Use: "bank", SilenceErrors: true, SilenceUsage: true}
	Add(c)
	var buf bytes.Buffer
	c.SetOut(&buf)
	c.SetArgs(append(args, "--admin-url", server.URL))
	err = c.ExecuteContext(t.Context())
	return buf.String(), err
}

func tokenFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte("tapswitch_x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// What changes something carries the token, what reads does not send it anywhere.
func TestTokenGoesWithChanges(t *testing.T) {
	for _, c := range []struct {
		args  []string
		call  string
		token bool
	}{
		{[]string{"keys", "icbc"}, "POST /bank/links/icbc/keys", true},
		{[]string{"reconcile", "icbc"}, "POST /bank/links/icbc/reconcile", true},
		{[]string{"retry", "T1-1-2"}, "POST /bank/dead/T1-1-2/retry", true},
		{[]string{"close", "T1-1-2"}, "POST /bank/dead/T1-1-2/close", true},
		{[]string{"status"}, "GET /bank", false}, {[]string{"audit"}, "GET /bank/audit", false},
		{[]string{"batches"}, "GET /bank/batches", false}, {[]string{"dead"}, "GET /bank/dead", false},
	} {
		asked := ""
		_, err := run(t, func(w http.ResponseWriter, r *http.Request) {
			asked = r.Method + " " + r.URL.Path
			if has := r.Header.Get("Authorization") == "Bearer tapswitch_x"; has != c.token {
				t.Errorf("%v: token sent: %v", c.args, has)
			}
			if c.token || c.args[0] == "status" {
				_, _ = w.Write([]byte("{}"))
				return
			}
			_, _ = w.Write([]byte("[]"))
		}, append(c.args, "--token-file", tokenFile(t))...)
		if err != nil || asked != c.call {
			t.Errorf("%v asks %q: %v", c.args, asked, err)
		}
	}
}

// Refusals are errors with the switch's words and an exit code.
func TestRefusals(t *testing.T) {
	for status, code := range map[int]int{http.StatusUnauthorized: cli.ExitFailed,
		http.StatusForbidden: cli.ExitFailed, http.StatusConflict: cli.ExitConflict,
		http.StatusNotFound: cli.ExitNotFound, http.StatusInternalServerError: cli.ExitFailed} {
		_, err := run(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(`{"error":"why it is not done"}`))
		}, "keys", "icbc", "--token-file", tokenFile(t))
		if err == nil || !strings.Contains(err.Error(), "why it is not done") || cli.Code(err) != code {
			t.Errorf("%d: %v with exit code %d, want %d", status, err, cli.Code(err), code)
		}
	}
	_, err := run(t, func(http.ResponseWriter, *http.Request) { t.Error("asked without a token") },
		"keys", "icbc", "--token-file", filepath.Join(t.TempDir(), "missing"))
	if err == nil {
		t.Error("a missing token file is no error")
	}
}

// People see when a task is due and what is wrong with it.
func TestStatusShowsTasks(t *testing.T) {
	out, err := run(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"links":[{"name":"icbc","mac_kcv":"A1B2C3","connections":[],
			"tasks":{"keys":{"due":1772366400000,"tries":2,"problem":"no new key"},"reconcile":{}}}]}`))
	}, "status")
	for _, want := range []string{"A1B2C3", "FAILED 2 times: no new key", "on command"} {
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("%v: no %q in\n%s", err, want, out)
		}
	}
}

// Totals that do not agree show where, also when what is left does, and end with a code.
func TestReconcileShowsWhatDiffers(t *testing.T) {
	for name, c := range map[string]struct {
		body  string
		code  int
		wants []string
	}{
		"balanced": {`{"terminal":"bank@icbc","batch":1,"verdict":"balanced"}`, 0, []string{"balanced"}},
		"unbalanced": {`{"terminal":"bank@icbc","batch":1,"verdict":"unbalanced",
			"their_gross":{"debits":{"count":9,"amount":900,"reversed_count":1,"reversed_amount":50}},
			"our_gross":{"debits":{"count":8,"amount":850}}}`, cli.ExitBreaks,
			[]string{"8/850 here", "9/900 there", "0/0 here", "1/50 there", "what is left agrees"}},
	} {
		out, err := run(t, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(c.body))
		}, "reconcile", "icbc", "--token-file", tokenFile(t))
		if (err == nil) != (c.code == 0) || err != nil && cli.Code(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
		for _, want := range c.wants {
			if !strings.Contains(out, want) {
				t.Errorf("%s: no %q in\n%s", name, want, out)
			}
		}
	}
}
