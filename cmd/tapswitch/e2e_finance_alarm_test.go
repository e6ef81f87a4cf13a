package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// alarmLater reports whether a figure comes only once there is something to tell of: an open case of
// the desk, a card system of another city. What describes it must be there all the same.
func alarmLater(t *testing.T, name string) bool {
	t.Helper()
	switch name {
	case "tapswitch_desk_cases", "tapswitch_foreign_import_unfinished",
		"tapswitch_foreign_list_left_seconds", "tapswitch_foreign_list_stale":
	default:
		return false
	}
	for _, file := range []string{"metrics.go", "standing.go"} {
		text, err := os.ReadFile(filepath.Join("agency", file))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), `describe("`+strings.TrimPrefix(name, "tapswitch_")+`"`) {
			return true
		}
	}
	return false
}

// TestE2EAlarmsAreServed: every figure that an alarm of any runbook looks at, with the events that
// it names, is served by a running switch.
func TestE2EAlarmsAreServed(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../deploy/runbooks/*.yaml")
	if err != nil || len(files) < 3 {
		t.Fatalf("%v %v", files, err)
	}
	var rules strings.Builder
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		rules.Write(text)
	}
	n := grafanaNode(t)
	names := regexp.MustCompile(`tapswitch_[a-z0-9_]+`).FindAllString(rules.String(), -1)
	slices.Sort(names)
	names = slices.Compact(names)
	var missing []string
	look := func() (bool, error) {
		_, page, err := e2eGet("http://" + n.admin() + "/metrics")
		if err != nil {
			return false, err
		}
		missing = nil
		for _, name := range names {
			name = strings.TrimSuffix(name, "_bucket")
			if !strings.Contains(page, "\n# TYPE "+name+" ") && !alarmLater(t, name) {
				missing = append(missing, name)
			}
		}
		for _, m := range constantMatcher.FindAllStringSubmatch(rules.String(), -1) {
			if !strings.Contains(page, m[1]+`{event="`+m[2]+`"}`) {
				missing = append(missing, m[0])
			}
		}
		return len(missing) == 0, nil
	}
	if err := e2eAwait(30*time.Second, look); err != nil {
		t.Errorf("%v: alarms look at figures that the switch does not serve: %q", err, missing)
	}
	if len(names) < 20 {
		t.Errorf("%d figures", len(names))
	}
}
