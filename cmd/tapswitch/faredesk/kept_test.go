package faredesk_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/faredesk"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// A switch that charged by a tariff refuses one that changes a day that has ended, with file
// and line, and takes one that changes days to come; lint says the same before.
func TestTariffsOfClosedDays(t *testing.T) {
	now := txn.MillisOf(time.Now())
	local := time.Now().UTC().Add(8 * time.Hour)
	day := func(ahead int) string { return local.AddDate(0, 0, ahead).Format(time.DateOnly) }
	data, tariffs := t.TempDir(), t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(tariffs, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ended := strings.Replace(small, "2026-01-01", "2026-01-01, until: "+day(1), 1)
	next := strings.NewReplacer("version: '1'", "version: '2'", "2026-01-01", day(2), "200", "250").Replace(small)
	for _, step := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"the first tariff", map[string]string{"1.yaml": small}, ""},
		{"the same again", nil, ""},
		{"another fare", map[string]string{"1.yaml": strings.Replace(small, "200", "210", 1)},
			"1.yaml:6: fares: changes fares of version 1"},
		{"a version from the day after tomorrow", map[string]string{"1.yaml": ended, "2.yaml": next}, ""},
		{"it begins a day later: a gap", map[string]string{"2.yaml": strings.Replace(next, day(2), day(3), 1)},
			"2.yaml:3: effective: leaves a gap"},
		{"and a day earlier: an overlap", map[string]string{"2.yaml": strings.Replace(next, day(2), day(1), 1)},
			"2.yaml:3: effective: contradicts 1.yaml"},
		{"another fare before it holds", map[string]string{"2.yaml": strings.Replace(next, "250", "260", 1)}, ""},
		{"the version of closed days is gone", map[string]string{"1.yaml": strings.Replace(ended, "'1'", "'0'", 1)},
			"version 1 held on closed days and is gone"},
		{"the form of before", map[string]string{"1.yaml": "version: x\nbus: {default: 200}\n"}, "1.yaml:2: bus and metro"},
	} {
		for name, text := range step.files {
			write(name, text)
		}
		out, code, err := run(t, "lint", "--data", data, tariffs)
		if err != nil {
			out += err.Error()
		}
		adopted := faredesk.Adopt(data, tariffs, now)
		if step.want == "" && (code != 0 || adopted != nil) {
			t.Errorf("%s: code %d, %v: %s", step.name, code, adopted, out)
		}
		// Lint names files as they were given, with their directory.
		if step.want != "" && (code != cli.ExitBreaks || cli.Code(adopted) != cli.ExitBreaks ||
			!strings.Contains(strings.ReplaceAll(out, tariffs+"/", ""), step.want)) {
			t.Errorf("%s: code %d, %v, want %q: %s", step.name, code, adopted, step.want, out)
		}
	}
}

func TestTariffsThatCannotBeKept(t *testing.T) {
	now := txn.MillisOf(time.Now())
	good := file(t, "good.yaml", small)
	if err := faredesk.Adopt("/nowhere", "", now); err != nil {
		t.Errorf("the sample: %v", err)
	}
	if err := faredesk.Adopt(t.TempDir(), "/nowhere.yaml", now); cli.Code(err) != cli.ExitNotFound {
		t.Errorf("no file: %v", err)
	}
	if err := faredesk.Adopt("/nowhere", good, now); err == nil {
		t.Error("kept nowhere")
	}
	damaged := t.TempDir()
	if err := os.WriteFile(filepath.Join(damaged, "tariff.json"), []byte("["), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := faredesk.Adopt(damaged, good, now); err == nil || !strings.Contains(err.Error(), "tariff.json") {
		t.Errorf("damaged: %v", err)
	}
	if _, code, err := run(t, "lint", t.TempDir()); code != cli.ExitNotFound {
		t.Errorf("an empty directory: %v", err)
	}
	if b, err := faredesk.ReadBook(good); err != nil || len(b.Versions()) != 1 {
		t.Errorf("book: %v, %v", b, err)
	}
}
