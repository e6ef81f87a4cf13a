package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
)

// Test numbers of the card agency's desk that nobody enrolled.
const (
	e2eDeskCard   = "3104990000000008111"
	e2eDeskNext   = "3104990000000008112"
	e2eDeskListed = "3104990000000008113"
	e2eDeskHolder = "110101199001018113"
)

// TestE2EDeskCommands: a loss, a release that a second person denies and a replacement, typed
// by clerks against a switch that runs the desk, over a restart; the receipt is verified off
// line.
func TestE2EDeskCommands(t *testing.T) {
	n := newE2ENode(t, filepath.Join(t.TempDir(), "switch"), "--listen", "127.0.0.1:0", "--set",
		"desk.city=handan")
	if err := n.start(); err != nil {
		t.Fatal(err)
	}
	d := &e2eDesk{t: t, node: n}
	first, second := adminTokenFile, secondTokenFile
	two := e2eDeskHolder + "\n" + e2eDeskCard + "\n"
	d.as(first, cli.ExitConflict, two, "desk", "open", "--ready").expect(t, "not_checked")
	r := d.as(first, 0, two, "desk", "open", "--ready", "--checked", "--outlet", "d1", "-o", "json")
	account := e2eField(t, r.stdout, "account")
	d.as(first, 0, e2eDeskCard, "card", "status", "-").expect(t, "it is not frozen")
	d.as(first, 0, e2eDeskCard, "desk", "report-loss", "--card", "-", "--form-no", "f-1").expect(t,
		"report_loss: done")
	d.as(first, 0, e2eDeskCard, "card", "status", "-").expect(t, "lost, all applications")

	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	if err := n.start(); err != nil {
		t.Fatal(err)
	}
	r = d.as(first, 0, e2eDeskCard, "card", "status", "-", "-o", "json")
	if e2eField(t, r.stdout, "frozen") == "<nil>" || e2eField(t, r.stdout, "desk") == "<nil>" {
		t.Errorf("after a restart: %s", r.stdout)
	}
	saved, keys := filepath.Join(t.TempDir(), "receipt.json"), filepath.Join(t.TempDir(),
		"keys.json")
	d.as(first, 0, "", "desk", "receipt", account, "1", "--save", saved).expect(t, "not checked")
	r = d.as(first, 0, "", "desk", "receipt-keys", filepath.Join(n.dir, "keys", "signing.key"))
	if err := os.WriteFile(keys, []byte(r.stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	d.as(first, 0, "", "desk", "receipt", "--file", saved, "--verify", "--keys", keys).expect(t,
		"genuine")

	d.as(first, 0, "", "desk", "release", "--account", account).expect(t, "a second person")
	d.as(first, cli.ExitConflict, "", "desk", "confirm", "2", "--account", account).expect(t,
		"same_person")
	d.as(second, 0, "", "desk", "confirm", "2", "--deny", "--account", account).expect(t, "refused")
	d.as(first, 0, "", "desk", "replace", "apply", "--account", account).expect(t, "replace make 3")
	d.as(first, 0, e2eDeskNext, "desk", "replace", "make", "3", "--account", account).expect(t,
		"replace issue 3")
	d.as(first, 0, "", "desk", "replace", "issue", "3", "--account", account).expect(t, "****8112")
	d.as(first, 0, e2eDeskNext, "card", "status", "-").expect(t, "replaced: ****8111 -> ****8112")
	list := "card,reason,scope,since,note\n" + e2eDeskListed + ",lost,,,old system\n"
	d.as(first, 0, list, "desk", "import", "-").expect(t, "1 lines, 1 frozen")
	d.as(first, cli.ExitFailed, list+"12,lost\n", "desk", "import", "-", "--id", "two").expect(t,
		"1 were closed before, 1 refused")
	d.as(first, 0, e2eDeskListed, "card", "status", "-").expect(t, "lost, all applications")
	var long strings.Builder
	long.WriteString("note,reason,card\n")
	for i := range 100_000 {
		fmt.Fprintf(&long, "form %d of the old system of the agency,lost,31048000%08d\n", i, 20_000_000+i)
	}
	d.as(first, 0, long.String(), "desk", "import", "-", "--dry-run").expect(t, "100000 lines")
	d.as(first, 0, long.String(), "desk", "import", "-").expect(t, "100000 lines, 100000 frozen")
	for _, args := range [][]string{{"steps"}, {"cases"}, {"waiting"}, {"outlets"}, {"figures"}, {"freezes"}, {"coverage"},
		{"notices"},
		{"parties"}, {"liability"}, {"judge"}, {"query", "--account", account}} {
		d.as(first, 0, "", append([]string{"desk"}, args...)...)
	}
	for _, number := range []string{e2eDeskCard, e2eDeskNext, e2eDeskListed, e2eDeskHolder} {
		if strings.Contains(d.said, number) {
			t.Error("a command printed a number")
		}
		if log, err := os.ReadFile(n.logPath()); err != nil || bytes.Contains(log, []byte(number)) {
			t.Errorf("the log holds a number, or cannot be read: %v", err)
		}
	}
}
