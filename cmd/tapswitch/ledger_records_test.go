package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/finance"
	warehouselocal "github.com/tapswitch/tapswitch/ledger/warehouse/local"
	"github.com/tapswitch/tapswitch/ledger/warehouse/warehousetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// The listing shows what banks answered, as a table and as JSON, and stops where it is told.
func TestLedgerRecords(t *testing.T) {
	dir := t.TempDir()
	w, err := warehouselocal.Open(warehouselocal.Options{Dir: filepath.Join(dir, "warehouse")})
	if err != nil {
		t.Fatal(err)
	}
	chain := warehousetest.NewChain(1)
	all := []txn.Record{chain.Epoch(3)}
	for range 20 {
		all = append(all, chain.Bank(3))
	}
	if err := w.Append(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	args := []string{"ledger", "records", "--data", dir, "--day", warehousetest.Day.String()}
	out, code := command(t, append(args, "-o", "json")...)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if code != 0 || len(lines) != 20 {
		t.Fatalf("exit code %d, %d lines: %s", code, len(lines), out)
	}
	for i, text := range lines {
		var line finance.Line
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatal(err)
		}
		r := &all[i+1]
		if line.Response != r.Response.String() || line.SettlementDate != "0302" ||
			line.Auth != r.Auth.String() || line.Record != r.Position.String() ||
			line.Charged != r.Charged {
			t.Fatalf("line %+v\nrecord %+v", line, r)
		}
	}
	out, code = command(t, append(args, "--limit", "5", "--terminal",
		all[1].Request.Terminal.String())...)
	if code != 0 || !strings.Contains(out, "RESPONSE") || !strings.Contains(out, "bank_purchase") {
		t.Errorf("exit code %d: %s", code, out)
	}
	out, code = command(t, append(args, "--limit", "5")...)
	if code != 0 || strings.Count(out, "\n") != 7 || !strings.Contains(out, "more") {
		t.Errorf("exit code %d: %s", code, out)
	}
	for _, bad := range [][]string{{"--day", "x"}, {"--terminal", "a terminal that is too long"}} {
		if _, code := command(t, append(args, bad...)...); code != cli.ExitUsage {
			t.Errorf("%v: exit code %d, want usage", bad, code)
		}
	}
	if _, code := command(t, "ledger", "records", "--data", dir); code != cli.ExitUsage {
		t.Errorf("without a day: exit code %d, want usage", code)
	}
}
