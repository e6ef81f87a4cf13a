package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/config"
)

// TestDoctorMakesNothing: a data directory that is not there is a finding; asking about it
// does not make it.
func TestDoctorMakesNothing(t *testing.T) {
	parent := t.TempDir()
	missing := filepath.Join(parent, "no", "such")
	out, code := command(t, "doctor", "--data", missing)
	if code != cli.ExitFailed || !strings.Contains(out, missing+" does not exist") ||
		!strings.Contains(out, "UNSAFE") || !strings.Contains(out, "--data") {
		t.Errorf("exit code %d, said\n%s", code, out)
	}
	file := filepath.Join(parent, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, code := command(t, "doctor", "--data", file); code != cli.ExitFailed ||
		!strings.Contains(out, file+" is no directory") {
		t.Errorf("a file: exit code %d, said\n%s", code, out)
	}
	there := t.TempDir()
	if out, code := command(t, "doctor", "--data", there); code != 0 ||
		!strings.Contains(out, "data_dir sync") {
		t.Errorf("exit code %d, said\n%s", code, out)
	}
	for dir, want := range map[string]int{parent: 1, there: 0} {
		if left, err := os.ReadDir(dir); err != nil || len(left) != want {
			t.Errorf("doctor left %v, %v", left, err)
		}
	}
}

// With servers for records the directory holds keys only, which the first start makes.
func TestDoctorWithoutEmbeddedStore(t *testing.T) {
	for _, tt := range []struct {
		store, warehouse string
		ok               bool
	}{
		{"redis", "clickhouse", true}, {"local", "clickhouse", false},
		{"redis", "local", false}, {"local", "local", false},
	} {
		c := config.Default()
		c.DataDir = filepath.Join(t.TempDir(), "none")
		c.Store.Kind, c.Warehouse.Kind = tt.store, tt.warehouse
		f := examineDataDir(&c)
		if f.OK != tt.ok || f.Advice || !strings.Contains(f.Got, c.DataDir) {
			t.Errorf("%s and %s: %+v", tt.store, tt.warehouse, f)
		}
		if _, err := os.Stat(c.DataDir); err == nil {
			t.Errorf("%s and %s: the directory was made", tt.store, tt.warehouse)
		}
	}
}

// TestLedgerTotalsWantsADay: without a day the command was used wrongly, as with a bad one.
func TestLedgerTotalsWantsADay(t *testing.T) {
	for _, args := range [][]string{{}, {"--day", ""}, {"--day", "today"}} {
		out, code := command(t, append([]string{"ledger", "totals", "--data", t.TempDir()}, args...)...)
		if code != cli.ExitUsage || !strings.Contains(out, "--day") {
			t.Errorf("%q: exit code %d, said %s", args, code, out)
		}
	}
}

// TestConfigPrintMembers: scripts read members in lower case.
func TestConfigPrintMembers(t *testing.T) {
	out, code := command(t, "config", "print", "-o", "json", "--set", "gate.drain_delay=3s")
	var values []map[string]string
	if err := json.Unmarshal([]byte(out), &values); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v in %s", code, err, out)
	}
	found := false
	for _, v := range values {
		if len(v) != 3 || v["key"] == "" || v["origin"] == "" {
			t.Fatalf("members %v", v)
		}
		found = found || v["key"] == "gate.drain_delay" && v["value"] == "3s" && v["origin"] == "flag"
	}
	if !found {
		t.Errorf("no drain delay in %s", out)
	}
}

// TestConfigCheckRefusesAddresses: what could not be listened on does not pass the check.
func TestConfigCheckRefusesAddresses(t *testing.T) {
	for _, setting := range []string{"listen=127.0.0.1:99999", "listen=nonsense", "listen=",
		"admin_listen=127.0.0.1:8583", "scheme.zone=+08:60"} {
		out, code := command(t, "config", "check", "--set", setting)
		key, value, _ := strings.Cut(setting, "=")
		if code != cli.ExitUsage || !strings.Contains(out, key+": ") || !strings.Contains(out, value) ||
			!strings.Contains(out, "(flag)") {
			t.Errorf("%s: exit code %d, said %s", setting, code, out)
		}
	}
}
