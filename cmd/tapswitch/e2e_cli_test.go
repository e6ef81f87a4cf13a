package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/call"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/switch/sim"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// The commands as people use them: the card desk, the vendor of terminals, finance, and
// whoever sets the switch up.

// e2eDesk runs commands against one gate.
type e2eDesk struct {
	t    *testing.T
	node *e2eNode
	said string // everything that was printed
}

// e2eNumber is a test card that nobody enrolled.
const e2eNumber = "3104990000000004711"

// as runs a command with the token of a file and expects an exit code.
func (d *e2eDesk) as(tokenFile string, code int, stdin string, args ...string) e2eResult {
	d.t.Helper()
	if !filepath.IsAbs(tokenFile) {
		tokenFile = filepath.Join(d.node.dir, tokenFile)
	}
	args = append(args, "--url", "http://"+d.node.gate(), "--token-file", tokenFile)
	r := e2eCommand(d.t, nil, stdin, args...)
	d.said += r.stdout + r.stderr
	if r.code != code {
		d.t.Errorf("%v: exit code %d, want %d; said %s", args, r.code, code, r.short())
	}
	return r
}

// e2eField reads one member of a JSON object.
func e2eField(t testing.TB, text, name string) string {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatalf("no JSON object: %v: %q", err, text)
	}
	return fmt.Sprint(m[name])
}

// expect fails the test when the output lacks a text.
func (r e2eResult) expect(t testing.TB, text string) {
	t.Helper()
	if !strings.Contains(r.stdout+r.stderr, text) {
		t.Errorf("want %q in %q", text, r.short())
	}
}

// short returns the end of what was printed.
func (r e2eResult) short() string {
	text := r.stdout + r.stderr
	return text[max(0, len(text)-e2eLogTail/4):]
}

// e2eDeskNode starts a switch with defaults for commands.
func e2eDeskNode(t *testing.T) *e2eDesk {
	t.Helper()
	n := newE2ENode(t, filepath.Join(t.TempDir(), "switch"), "--listen", "127.0.0.1:0")
	if err := n.start(); err != nil {
		t.Fatal(err)
	}
	return &e2eDesk{t: t, node: n}
}

// TestE2ECardDesk: a card's life at the desk, with two persons for a release.
func TestE2ECardDesk(t *testing.T) {
	d := e2eDeskNode(t)
	first, second := adminTokenFile, secondTokenFile
	d.as(first, cli.ExitNotFound, e2eNumber, "card", "status", "-").expect(t, "card_unknown")
	r := d.as(first, 0, e2eNumber, "card", "enrol", "-", "--rider", "student", "-o", "json")
	if got := e2eField(t, r.stdout, "outcome"); got != "approved" {
		t.Errorf("enrolment %s", got)
	}
	token := e2eField(t, r.stdout, "token")
	d.as(first, 0, e2eNumber, "card", "enrol", "-").expect(t, "card_exists")
	d.as(first, 0, "", "card", "status", token).expect(t, "student")

	r = d.as(first, 0, e2eNumber, "card", "freeze", "-", "--reason", "lost", "--note", "form 12", "-o", "json")
	if e2eField(t, r.stdout, "frozen") != "true" || e2eField(t, r.stdout, "already") != "false" {
		t.Errorf("freeze: %s", r.stdout)
	}
	r = d.as(first, 0, "", "card", "freeze", token, "-o", "json")
	if e2eField(t, r.stdout, "already") != "true" {
		t.Errorf("second freeze: %s", r.stdout)
	}
	d.as(first, 0, "", "card", "status", token).expect(t, "form 12")
	d.as(first, cli.ExitFailed, "", "card", "freeze", token, "--reason", "mislaid").expect(t, "field_invalid")

	r = d.as(first, 0, "", "card", "release", token, "--note", "found again", "-o", "json")
	release := e2eField(t, r.stdout, "release")
	if got := e2eField(t, r.stdout, "status"); got != "waiting_for_second_person" {
		t.Errorf("release: %s", got)
	}
	d.as(first, 0, "", "card", "releases").expect(t, release)
	d.as(first, cli.ExitFailed, "", "card", "confirm", release).expect(t, "same_person")
	d.as(first, 0, "", "card", "status", token).expect(t, "lost")
	d.as(second, 0, "", "card", "confirm", release).expect(t, "released")
	d.as(second, 0, "", "card", "confirm", release).expect(t, "released") // after a lost reply
	d.as(second, cli.ExitNotFound, "", "card", "confirm", "r-0000000000000000").expect(t, "release_unknown")
	r = d.as(first, 0, "", "card", "status", token, "-o", "json")
	if e2eField(t, r.stdout, "frozen") != "<nil>" {
		t.Errorf("after the release: %s", r.stdout)
	}
	if strings.Contains(d.said, e2eNumber) {
		t.Error("a command printed the card number")
	}
	log, err := os.ReadFile(d.node.logPath())
	if err != nil || bytes.Contains(log, []byte(e2eNumber)) {
		t.Errorf("the log holds the card number, or cannot be read: %v", err)
	}
}

// TestE2EPersons: tokens, roles, and what a command says without them.
func TestE2EPersons(t *testing.T) {
	d := e2eDeskNode(t)
	r := d.as(adminTokenFile, 0, "", "operator", "create", "wang", "--roles", "viewer", "-o", "json")
	viewer := filepath.Join(t.TempDir(), "viewer")
	if err := os.WriteFile(viewer, []byte(e2eField(t, r.stdout, "token")), 0o600); err != nil {
		t.Fatal(err)
	}
	d.as(viewer, cli.ExitNotFound, e2eNumber, "card", "status", "-").expect(t, "card_unknown")
	d.as(viewer, cli.ExitFailed, e2eNumber, "card", "freeze", "-").expect(t, "role_not_permitted")
	d.as(viewer, cli.ExitFailed, "", "terminal", "put", "GATE01").expect(t, "role_not_permitted")
	d.as(adminTokenFile, 0, "", "operator", "revoke", "wang")
	d.as(viewer, cli.ExitFailed, e2eNumber, "card", "status", "-").expect(t, "token_invalid")
	d.as(filepath.Join(t.TempDir(), "none"), cli.ExitUsage, "", "card", "releases").expect(t, "token file")
	e2eWant(t, cli.ExitUsage, call.TokenEnv, "card", "releases", "--url", "http://"+d.node.gate())
	if err := d.node.stop(); err != nil {
		t.Fatal(err)
	}
	d.as(adminTokenFile, cli.ExitUnavailable, "", "card", "releases").expect(t, "does not answer")
}

// e2eWant runs a command and expects exit code and a text.
func e2eWant(t *testing.T, code int, text string, args ...string) e2eResult {
	t.Helper()
	r := e2eCommand(t, nil, "", args...)
	if r.code != code {
		t.Errorf("%v: exit code %d, want %d; said %s", args, r.code, code, r.short())
	}
	r.expect(t, text)
	return r
}

// TestE2ETerminalKeys: a terminal's key is shown once; the old one works for a while after a
// rotation, and none after a revocation.
func TestE2ETerminalKeys(t *testing.T) {
	d := e2eDeskNode(t)
	key := func(args ...string) *sim.Terminal {
		r := d.as(adminTokenFile, 0, "", append(args, "-o", "json")...)
		raw, err := e2eHex(e2eField(t, r.stdout, "key"))
		if err != nil {
			t.Fatalf("%v: %v in %s", args, err, r.stdout)
		}
		return sim.NewTerminal("GATE01", raw)
	}
	client := sim.NewClient(sim.ClientOptions{Addr: d.node.gate(), RetryFor: -1})
	defer client.Close()
	counter := uint32(0)
	balance := func(terminal *sim.Terminal) string {
		counter++
		id := fmt.Sprintf("GATE01-1-%d", counter)
		r, err := client.Send(t.Context(), terminal, "/v1/balances", e2eBalance(id))
		switch {
		case r.Refused != nil:
			return r.Refused.Code
		case err != nil:
			return err.Error()
		default:
			a, _ := sim.ParseAnswer(r.Body)
			return a.Reason
		}
	}
	old := key("terminal", "put", "GATE01", "--operator", "METRO1")
	if got := balance(old); got != "card_unknown" {
		t.Errorf("a new terminal: %s", got)
	}
	r := d.as(adminTokenFile, 0, "", "terminal", "put", "GATE01", "--operator", "METRO2", "-o", "json")
	if got := e2eField(t, r.stdout, "key"); got != "<nil>" {
		t.Error("the key was shown again")
	}
	fresh := key("terminal", "rotate", "GATE01")
	if got := balance(old); got != "card_unknown" { // first: its counter is the lower one
		t.Errorf("the old key after a rotation: %s", got)
	}
	if got := balance(fresh); got != "card_unknown" {
		t.Errorf("the new key after a rotation: %s", got)
	}
	d.as(adminTokenFile, 0, "", "terminal", "show", "GATE01").expect(t, "METRO2")
	d.as(adminTokenFile, 0, "", "terminal", "revoke", "GATE01").expect(t, "revoked")
	for name, terminal := range map[string]*sim.Terminal{"old": old, "new": fresh} {
		if got := balance(terminal); got != "terminal_revoked" {
			t.Errorf("the %s key after a revocation: %s", name, got)
		}
	}
	d.as(adminTokenFile, cli.ExitNotFound, "", "terminal", "rotate", "GATE99").expect(t, "terminal_not_found")
}

// TestE2EConfig: settings are checked, shown with their origin, and refused by the nearest
// name.
func TestE2EConfig(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := file("good.yaml", "gate:\n  budget: 1500ms\nlog:\n  level: warn\n")
	e2eWant(t, 0, "configuration ok", "config", "check", "--config", good)
	e2eWant(t, cli.ExitUsage, `did you mean "gate.budget"`, "config", "check", "--config",
		file("bad.yaml", "gate:\n  buget: 1s\n"))
	e2eWant(t, cli.ExitUsage, "store.kind", "config", "check", "--set", "store.kind=mysql")
	e2eWant(t, cli.ExitUsage, "key=value", "config", "check", "--set", "listen")
	e2eWant(t, cli.ExitUsage, "nowhere.yaml", "config", "check", "--config", filepath.Join(dir, "nowhere.yaml"))
	r := e2eCommand(t, []string{"TAPSWITCH_LOG__LEVEL=error"}, "", "config", "print", "--origin",
		"--config", good, "--set", "gate.in_flight_max=7")
	for _, want := range [][]string{{"gate.budget", "1500ms", "file " + good}, {"gate.in_flight_max", "7", "flag"},
		{"log.level", "error", "env TAPSWITCH_LOG__LEVEL"}, {"store.kind", "local", "default"}} {
		if !e2eHasLine(r.stdout, want...) {
			t.Errorf("config print has no line with %q:\n%s", want, r.stdout)
		}
	}
	var values []map[string]string
	r = e2eWant(t, 0, "", "config", "print", "-o", "json")
	if err := json.Unmarshal([]byte(r.stdout), &values); err != nil || len(values) == 0 {
		t.Errorf("config print -o json: %v", err)
	}
	e2eWant(t, 0, "tapswitch e2e", "version")
	e2eWant(t, cli.ExitUsage, "unknown flag", "run", "--no-such-flag")
}

func e2eHasLine(text string, parts ...string) bool {
	for line := range strings.Lines(text) {
		found := true
		for _, p := range parts {
			found = found && strings.Contains(line, p)
		}
		if found {
			return true
		}
	}
	return false
}

// TestE2EDoctor: settings that lose money are named, and servers that are down.
func TestE2EDoctor(t *testing.T) {
	s := newE2EStack(t, e2eStackOptions{seed: 49})
	args := append([]string{"doctor", "-o", "json", "--data", s.gate.dir}, e2eDoctorFlags(s.gate.args)...)
	e2eWant(t, 0, "appendfsync", args...)
	if _, err := e2eRedisSay(s.redis.Addr(), "CONFIG SET appendfsync everysec"); err != nil {
		t.Fatal(err)
	}
	r := e2eWant(t, cli.ExitFailed, "CONFIG SET appendfsync always", args...)
	if !strings.Contains(r.stderr, "can lose money") {
		t.Errorf("doctor says %q", r.stderr)
	}
	// Nor does the switch start with it.
	other := newE2ENode(t, filepath.Join(t.TempDir(), "other"), s.gate.args...)
	if err := other.start(); err == nil || !strings.Contains(other.logTail(), "appendfsync") {
		t.Errorf("with everysec the switch starts, or says why not in other words: %v", err)
	}
	if err := s.redis.Kill(); err != nil {
		t.Fatal(err)
	}
	e2eWant(t, cli.ExitUnavailable, "DOWN", append(args, "-o", "table")...)
}

// e2eDoctorFlags leaves out what doctor has no flag for.
func e2eDoctorFlags(args []string) []string {
	var kept []string
	for _, a := range args {
		if a != "" {
			kept = append(kept, a)
		}
	}
	return kept
}

// TestE2ESameTotals: the figures of one seed are the same bytes from Parquet, after a local
// store, and from ClickHouse, after Redis and Kafka.
func TestE2ESameTotals(t *testing.T) {
	s := newE2EStack(t, e2eStackOptions{seed: 61})
	s.drainTotals()
	p := e2ePlan(t, e2eSeed(t, 61), e2eStackCards)
	// Tokens decide the buckets: both switches use one key.
	flags := append(e2eFlags(t, p), "--set", "keys.token_file="+filepath.Join(s.gate.dir, "keys", "token.key"))
	n := newE2ENode(t, filepath.Join(t.TempDir(), "local"), flags...)
	if err := n.start(); err != nil {
		t.Fatal(err)
	}
	c := newE2ECity(t, p, n, false)
	out := c.drive()
	c.drain()
	fromLocal := e2eTotals(t, n)
	fromStack := e2eTotals(t, s.gate)
	for form, text := range fromLocal {
		if text != fromStack[form] {
			t.Errorf("%s differs:\n%s\n%s", form, e2eFirstDifference(text, fromStack[form]), form)
		}
	}
	if got := e2eApproved(t, fromLocal["json"]); got != len(out.Approvals) {
		t.Errorf("totals: %d approved, the client saw %d", got, len(out.Approvals))
	}
	e2eWant(t, cli.ExitUsage, "--day", "ledger", "totals", "--day", "yesterday")
	e2eWant(t, cli.ExitNotFound, "no warehouse", "ledger", "totals", "--day", "2026-11-21", "--data", t.TempDir())
}

// e2eApproved counts the approved requests of terminals in a report.
func e2eApproved(t *testing.T, report string) int {
	t.Helper()
	var r struct {
		Kinds []struct {
			Kind, Outcome string
			Count         int
		}
	}
	if err := json.Unmarshal([]byte(report), &r); err != nil {
		t.Fatal(err)
	}
	sum := 0
	for _, line := range r.Kinds {
		if k, err := txn.ParseKind(line.Kind); err == nil && e2eCustomer(k) && line.Outcome == "approved" {
			sum += line.Count
		}
	}
	return sum
}

// drainTotals plays the plan and waits until it is in ClickHouse.
func (s *e2eStack) drainTotals() {
	s.t.Helper()
	s.evidence(s.city.drive()).require(s.t)
}

// e2eTotals prints the figures of the day in every form.
func e2eTotals(t *testing.T, n *e2eNode) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, form := range []string{"json", "csv", "table"} {
		args := append([]string{"ledger", "totals", "--day", e2eDate().String(), "-o", form, "--data", n.dir},
			n.args...)
		all[form] = e2eWant(t, 0, "", args...).stdout
	}
	return all
}

// e2eFirstDifference returns the first lines that differ.
func e2eFirstDifference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return fmt.Sprintf("line %d: %q, %q", i+1, x[i], y[i])
		}
	}
	return fmt.Sprintf("%d and %d lines", len(x), len(y))
}

// e2eBalance is the body of a balance query.
func e2eBalance(id string) []byte {
	return fmt.Appendf(nil, `{"id":%q,"card":%q,"service_time":%q}`, id, e2eNumber, e2eNow())
}

// e2eDate returns the business date of the switches that e2eFlags sets up.
func e2eDate() txn.BusinessDate {
	local := time.Now().In(time.FixedZone("", 8*60*60))
	hour := (local.Hour() + 12) % 24
	return txn.DateOf(local, local.Location(), time.Duration(hour)*time.Hour)
}
