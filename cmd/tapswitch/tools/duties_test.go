package tools

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/switch/scheme/duty"
)

// TestDutiesJSON: a list, each entry with exactly the members that scripts read.
func TestDutiesJSON(t *testing.T) {
	out, code := command(t, Duties(), "-o", "json")
	var rows []map[string]any
	if err := json.Unmarshal([]byte(out), &rows); err != nil || code != 0 {
		t.Fatal(code, err)
	}
	if len(rows) != len(duty.All()) {
		t.Errorf("%d rows", len(rows))
	}
	for _, r := range rows {
		if _, ok := r["clauses"].([]any); !ok {
			t.Errorf("%v: clauses %v are no list", r["id"], r["clauses"])
		}
		for _, key := range []string{"id", "clauses", "duty", "how"} {
			if _, ok := r[key]; !ok {
				t.Errorf("%v has no %s", r["id"], key)
			}
			delete(r, key)
		}
		test, hasTest := r["test"].(string)
		_, outside := r["outside"]
		pending, isText := r["pending"].(string)
		_, says := r["pending"]
		if hasTest == outside || says != isText || hasTest && test == "" && pending == "" || len(r) > 2 {
			t.Errorf("members %v", r)
		}
	}
}

func TestDutiesForms(t *testing.T) {
	out, code := command(t, Duties(), "--city", "zhoushan")
	if code != 0 || !strings.Contains(out, "ZS17-pre-report") || strings.Contains(out, "SY15") ||
		!strings.Contains(out, "not yet, ") {
		t.Errorf("code %d:\n%s", code, out)
	}
	out, code = command(t, Duties(), "-o", "markdown")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if code != 0 || len(lines) != len(duty.All())+4 || !strings.Contains(out, "product rule") {
		t.Errorf("code %d, %d lines", code, len(lines))
	}
	for _, line := range lines[:len(lines)-2] {
		if strings.Count(line, "|") != 6 {
			t.Errorf("row %q", line)
		}
	}
	if _, code := command(t, Duties(), "-o", "csv"); code != cli.ExitUsage {
		t.Errorf("csv: code %d", code)
	}
	out, code = command(t, Duties(), "--city", "atlantis")
	if code != cli.ExitNotFound || !strings.Contains(out, "handan") {
		t.Errorf("code %d: %s", code, out)
	}
	if !slices.IsSorted(duty.Cities()) {
		t.Error(duty.Cities())
	}
}
