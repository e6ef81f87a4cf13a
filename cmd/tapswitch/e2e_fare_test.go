package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/deploy"
)

// A switch that charges by a tariff of many rules serves what holders ask for about their rides,
// keeps the tariff, and does not start with one that changes a day that has ended.
func TestE2EFares(t *testing.T) {
	t.Parallel()
	text, err := fs.ReadFile(deploy.Tariffs(), "example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	tariffs, data := t.TempDir(), t.TempDir()
	write := func(text string) {
		if err := os.WriteFile(filepath.Join(tariffs, "2026.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(string(text))
	s := demoNode(t, map[string]string{"data_dir": data, "scheme.tariff_file": tariffs})
	if err := s.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	gate := "http://" + s.where().Gate
	token := filepath.Join(data, adminTokenFile)
	run := func(args ...string) (string, int) {
		r := e2eCommand(t, nil, "", args...)
		return r.stdout + r.stderr, r.code
	}
	const card = "0123456789abcdef0123456789abcdef"
	for want, args := range map[string][]string{
		"card_unknown": {"fare", "correct", "--url", gate, "--token-file", token, card, "Lake"},
		"refused":      {"fare", "sell-pass", "--url", gate, "--token-file", token, card, "day pass"},
	} {
		if out, code := run(args...); code != cli.ExitConflict || !strings.Contains(out, want) {
			t.Errorf("%v: %s, want %s", args, out, want)
		}
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	write(strings.Replace(string(text), "flat: 200", "flat: 210", 1))
	if out, code := run("fare", "lint", "--data", data, tariffs); code != cli.ExitBreaks ||
		!strings.Contains(out, "2026.yaml:11: fares: changes fares of version 2026-1") {
		t.Errorf("lint: code %d: %s", code, out)
	}
	if err := s.start(t.Context()); err == nil || !strings.Contains(err.Error()+s.logTail(), "changes fares of version 2026-1") {
		t.Errorf("started with another tariff of days that have ended: %v", err)
	}
}
