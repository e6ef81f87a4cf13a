package tools

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
)

const schemeFiles = "../../../deploy/schemes/"

func TestSchemeCheck(t *testing.T) {
	good := schemeFiles + "handan.yaml"
	out, code := command(t, Scheme(), "check", good)
	if code != 0 || !strings.Contains(out, "handan, version ") {
		t.Errorf("code %d: %s", code, out)
	}
	text, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	text = bytes.Replace(text, []byte("{value: 2h, clause: HD19, date: 2015-02-01}"), []byte("2h"), 1)
	if err := os.WriteFile(bad, text, 0o600); err != nil {
		t.Fatal(err)
	}
	out, code = command(t, Scheme(), "check", good, bad)
	if code != cli.ExitFailed || !strings.Contains(out, "freeze.window: has no source") ||
		!strings.Contains(out, bad+":") || !strings.Contains(out, "handan, version ") {
		t.Errorf("code %d: %s", code, out)
	}
	if out, code := command(t, Scheme(), "check", bad+"x"); code != cli.ExitUsage {
		t.Errorf("code %d: %s", code, out)
	}
}

func TestSchemeShow(t *testing.T) {
	out, code := command(t, Scheme(), "show", "handan")
	if code != 0 || !strings.Contains(out, "freeze.window") || !strings.Contains(out, "HD19 (2015-02-01)") {
		t.Errorf("code %d:\n%s", code, out)
	}
	out, code = command(t, Scheme(), "show", "zhoushan", "-o", "json")
	var rows []struct {
		Key, Value, Date string
		Clauses          []string
		ProductRule      string `json:"product_rule"`
	}
	if err := json.Unmarshal([]byte(out), &rows); err != nil || code != 0 || len(rows) < 100 {
		t.Fatal(code, err, len(rows))
	}
	for _, r := range rows {
		if (len(r.Clauses) == 0) == (r.ProductRule == "") || (len(r.Clauses) == 0) != (r.Date == "") {
			t.Errorf("%+v", r)
		}
	}
	if _, code := command(t, Scheme(), "show", "handan", "-o", "csv"); code != cli.ExitUsage {
		t.Errorf("csv: code %d", code)
	}
	if out, code := command(t, Scheme(), "show", "atlantis"); code != cli.ExitNotFound {
		t.Errorf("code %d: %s", code, out)
	}
}

func TestSchemeCalendar(t *testing.T) {
	for _, x := range []struct {
		args string
		want string
		code int
	}{
		{"--from 2026-09-30 --working-days 3", "2026-10-10 Saturday\n", 0},
		{"--from 2026-09-30 --days 30", "2026-10-30 Friday\n", 0},
		{"--from 2026-12-31 --working-days 1", "2027-01-04 Monday (provisional", 0},
		{"--from 2027-12-31 --working-days 1", "beyond the calendar", cli.ExitFailed},
		{"--from spring --working-days 1", "YYYY-MM-DD", cli.ExitUsage},
		{"--from 2026-09-30 --working-days 1 --days 1", "none of the others can be", cli.ExitFailed},
	} {
		args := append([]string{"calendar"}, strings.Fields(x.args)...)
		out, code := command(t, Scheme(), args...)
		if code != x.code || !strings.Contains(out, x.want) {
			t.Errorf("%s: code %d, %s", x.args, code, out)
		}
	}
}
