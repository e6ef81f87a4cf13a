package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/config"
	"github.com/tapswitch/tapswitch/switch/txn"
)

func TestClockFile(t *testing.T) {
	c := config.Default()
	c.Listen, c.AdminListen = "127.0.0.1:0", "localhost:0"
	if now, err := clockOf(&c); now != nil || err != nil {
		t.Fatalf("without a file: %v", err)
	}
	path := filepath.Join(t.TempDir(), "clock")
	t.Setenv(clockFileEnv, path)
	if _, err := clockOf(&c); !errors.Is(err, errClockFile) {
		t.Errorf("a file that is not there: %v", err)
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("soon\n")
	if _, err := clockOf(&c); !errors.Is(err, errClockFile) {
		t.Errorf("no duration: %v", err)
	}
	write("-24h\n")
	now, err := clockOf(&c)
	if err != nil {
		t.Fatal(err)
	}
	yesterday := txn.MillisOf(time.Now().Add(-24 * time.Hour))
	if got := now(); got < yesterday-5_000 || got > yesterday+5_000 {
		t.Errorf("the clock says %v", got.Time())
	}
	write("2h")
	later := now()
	write("1h")
	if got := now(); got < later {
		t.Errorf("the clock went back from %v to %v", later.Time(), got.Time())
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if got := now(); got < later {
		t.Errorf("without its file the clock went back to %v", got.Time())
	}
}

// The clock of a switch that others reach, or share a store with, is the machine's.
func TestClockFileIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clock")
	if err := os.WriteFile(path, []byte("1h"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv(clockFileEnv, path)
	for name, change := range map[string]func(*config.Config){
		"gate":  func(c *config.Config) { c.Listen = ":8583" },
		"admin": func(c *config.Config) { c.AdminListen = "192.0.2.1:9" },
		"store": func(c *config.Config) { c.Store.Kind = "redis" },
		"feed":  func(c *config.Config) { c.Feed.Kind = "kafka" },
	} {
		c := config.Default()
		c.Listen, c.AdminListen = "127.0.0.1:0", ""
		change(&c)
		if now, err := clockOf(&c); now != nil || !errors.Is(err, errClockFile) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDemoCityUsage(t *testing.T) {
	for _, args := range [][]string{{"demo", "--city", "atlantis"}, {"demo", "--city", "handan",
		"--lang", "fr"},
		{"demo", "--city", "handan", "-o", "csv"}} {
		root := rootCommand()
		root.SetArgs(args)
		if err := root.Execute(); exitCode(err, false) != 2 {
			t.Errorf("%v: %v", args, err)
		}
	}
}
