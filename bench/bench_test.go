package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/bench/report"
	"github.com/tapswitch/tapswitch/deploy/stack"
)

// builtBinary builds the command once for all tests.
var builtBinary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "tapswitch-bench-test-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "tapswitch")
	build := exec.Command("go", "build", "-o", path, "../cmd/tapswitch")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w: %s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	if binary := os.Getenv(parentEnv); binary != "" {
		if err := beParent(binary); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	code := m.Run()
	if path, err := builtBinary(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

func needBinary(t *testing.T) string {
	t.Helper()
	path, err := builtBinary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Every scenario runs at a tiny size and tells what it is meant to tell, so that the
// benchmark cannot rot. The figures themselves are not judged.
func TestScenarios(t *testing.T) {
	for name, want := range map[string]struct {
		needs   []stack.Kind
		figures []string
	}{
		"tap-local": {nil, []string{"no-op server, 8 connections", "switch, 8 connections",
			"ratio, 8 connections", "switch, 8 connections, p99 at full load"}},
		"tap-redis": {[]stack.Kind{stack.Redis}, []string{"redis-benchmark, 8 connections",
			"switch, 8 connections", "ratio, 8 connections"}},
		"check": {[]stack.Kind{stack.Redis}, []string{"in memory, 1 000 cards, p50",
			"in memory, 1 000 cards, p99.9", "in memory, 1 000 cards, allocations",
			"in memory, 1 000 cards, memory", "HGET, 1 000 cards, at half load, p99",
			"in memory against SISMEMBER, 1 000 cards"}},
		"decide": {nil, []string{"Decide", "Decide, allocations", "stage authenticate, p99",
			"stage commit, p99", "parse to decision, p99 (bound)",
			"whole answer from its due time, p99.9"}},
		"batch": {nil, []string{"taps:batch over HTTP (JSON)", "lists through the engine, durable",
			"lists into the store, durable"}},
		"upload": {nil, []string{"uploads over HTTP, TAC off, durable", "uploads over HTTP, TAC on, durable",
			"TACs alone, all cores", "TAC on to the slower of commit and TAC"}},
		"freeze": {nil, []string{"freeze call, p99", "freeze call to first refused tap, p99",
			"approvals after the call returned"}},
		"desk": {nil, []string{"1 000 freezes imported", "taps beside an import, p99",
			"p99 beside an import to that without"}},
		"polls": {nil, []string{"10 000 devices that poll every 10 s, a busy switch",
			"poll, p99, an idle switch"}},
		"feed": {[]stack.Kind{stack.ClickHouse}, []string{"outbox to Parquet",
			"outbox to ClickHouse against bare insert"}},
		"bank": {nil, []string{"no switch, 128 in flight on 16 connections",
			"tapswitch, 128 in flight on 16 connections", "tapswitch, 10000/s on 16 connections, p99",
			"no switch, MACs, 128 in flight on 16 connections, p99",
			"tapswitch, MACs, 128 in flight on 16 connections",
			"tapswitch, balance, MACs, 10000/s on 16 connections, p99",
			"moov, unpack and pack, 1 core", "moov, unpack and pack, 2 cores",
			"p99 that the switch adds at 70 % of its capacity"}},
		"finance": {[]stack.Kind{stack.ClickHouse}, []string{
			"p99 over a cut-over, closing and settlement, to that in a quiet time", "cut-over to certificate",
			"books less what was sent", "totals to bare queries", "slowest console page, slowest of all",
			"reconciled, 5 000 rows a side", "outbox to ClickHouse against bare insert"}},
		"start": {nil, []string{"start with 10 000 frozen cards, to ready",
			"2 000 active cards, resident"}},
	} {
		t.Run(name, func(t *testing.T) {
			if len(want.needs) > 0 {
				stack.Require(t, want.needs...)
			}
			s := runTiny(t, name)
			for _, figure := range want.figures {
				f := s.Figure(figure)
				if f == nil {
					t.Errorf("no figure %q", figure)
				} else if f.N == 0 || f.Min < 0 && !isDifference(f) || f.Command == "" {
					t.Errorf("%+v", f)
				}
			}
			if len(s.Sizes) == 0 || len(s.Notes) == 0 {
				t.Error("sizes or notes are missing")
			}
		})
	}
}

// isDifference tells a figure that noise may make negative in a tiny run: what one
// measurement adds to another.
func isDifference(f *report.Figure) bool { return strings.Contains(f.Name, "adds") }

// runTiny runs one scenario and returns its section.
func runTiny(t *testing.T, name string) *report.Section {
	t.Helper()
	dir := t.TempDir()
	r, err := Run(t.Context(), Options{Binary: needBinary(t), Dir: dir, Names: []string{name},
		Size: TinySize(), Version: "test", Commit: "none", Settings: []string{"feed.flush_every=300ms"}})
	if err != nil {
		t.Fatal(err)
	}
	s := r.Sections[0]
	if s.Failed != "" || s.Skipped != "" || s.Seconds <= 0 {
		t.Fatalf("failed %q, skipped %q", s.Failed, s.Skipped)
	}
	checkPrivate(t, r, dir)
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("scratch was left behind: %v, %v", left, err)
	}
	return s
}

// checkPrivate looks for what a published report must not tell.
func checkPrivate(t *testing.T, r *report.Report, dir string) {
	t.Helper()
	var text bytes.Buffer
	for _, write := range []func(io.Writer, *report.Report) error{
		report.WriteJSON, report.WriteText, report.WriteHTML,
	} {
		if err := write(&text, r); err != nil {
			t.Fatal(err)
		}
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	home, _ := os.Getwd()
	for _, secret := range []string{dir, home, "127.0.0.1", " " + host + " ", `"` + host + `"`} {
		if strings.Contains(text.String(), secret) {
			t.Errorf("the report tells %q", secret)
		}
	}
}

// Every scenario that exists is in the table above.
func TestEveryScenarioIsTested(t *testing.T) {
	if n := len(List()); n != 13 {
		t.Errorf("%d scenarios; the table of TestScenarios has 12", n)
	}
	for _, s := range List() {
		if s.Name == "" || s.Title == "" {
			t.Errorf("%+v", s)
		}
	}
}

func TestUnknownScenario(t *testing.T) {
	_, err := Run(t.Context(), Options{Names: []string{"tap-locall"}})
	if !errors.Is(err, ErrUnknown) {
		t.Errorf("%v, want ErrUnknown", err)
	}
}

// A scenario that fails is told, and the next one runs all the same.
func TestAFailedScenarioIsReported(t *testing.T) {
	r, err := Run(t.Context(), Options{Binary: "/bin/false", Dir: t.TempDir(),
		Names: []string{"tap-local", "start"}, Size: TinySize()})
	if err == nil || r == nil || len(r.Sections) != 2 {
		t.Fatalf("%v, %+v", err, r)
	}
	for _, s := range r.Sections {
		if !strings.Contains(s.Failed, "ended") {
			t.Errorf("%s: %q", s.Name, s.Failed)
		}
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r, err := Run(ctx, Options{Binary: needBinary(t), Dir: t.TempDir(), Size: TinySize()})
	if !errors.Is(err, context.Canceled) || len(r.Sections) > 1 {
		t.Errorf("%v, %d sections", err, len(r.Sections))
	}
}

// The command: list, usage errors, quick runs with all files.
func TestCommand(t *testing.T) {
	path := needBinary(t)
	out, err := exec.Command(path, "bench", "list").Output()
	if err != nil || strings.Count(string(out), "\n") != len(List()) {
		t.Errorf("bench list: %v: %s", err, out)
	}
	for _, args := range [][]string{
		{"bench", "nosuch"}, {"bench", "-o", "xml"}, {"bench", "load", "--url", "nonsense"},
		{"bench", "load", "--url", "http://192.0.2.1:80", "--token-file", os.DevNull},
	} {
		var exit *exec.ExitError
		_, err := exec.Command(path, args...).Output()
		if !errors.As(err, &exit) || exit.ExitCode() != 2 {
			t.Errorf("%v: %v, want exit code 2", args, err)
		}
	}
	dir := t.TempDir()
	run := exec.Command(path, "bench", "freeze", "--quick", "--rounds", "1", "-o", "json", "--out",
		filepath.Join(dir, "out"), "--dir", dir)
	if out, err = run.Output(); err != nil {
		t.Fatalf("%v: %s", err, err.(*exec.ExitError).Stderr)
	}
	var r report.Report
	if err := json.Unmarshal(out, &r); err != nil || !r.Quick || len(r.Sections) != 1 {
		t.Errorf("%v: %.300s", err, out)
	}
	if files, err := os.ReadDir(filepath.Join(dir, "out")); err != nil || len(files) != 3 {
		t.Errorf("%v, %v", files, err)
	}
}

func TestSizes(t *testing.T) {
	for name, s := range map[string]Size{
		"full": FullSize(), "quick": QuickSize(), "tiny": TinySize(),
	} {
		if s.Rounds < 2 || s.RunFor <= 0 || len(s.Connections) == 0 || s.Cards < 1 ||
			len(s.Listed) == 0 || s.BatchTaps > enrolMax || s.Freezes >= s.Cards ||
			s.Probes < 16 || s.Open <= 0 || s.DayRows < 1000 || s.CutOver <= 0 {
			t.Errorf("%s: %+v", name, s)
		}
	}
	full := FullSize()
	if full.Cards != 100_000 || full.StartFrozen != 10_000_000 || full.ActiveCards != 1_000_000 || full.DayRows != 10_000_000 ||
		full.Listed[len(full.Listed)-1] != 10_000_000 || full.Rounds < 5 {
		t.Errorf("the full size is not that of the design: %+v", full)
	}
}

func TestChildrenThatFail(t *testing.T) {
	b := &bench{Section: &report.Section{}, o: Options{Binary: "/bin/sh"}}
	if _, err := startChild("/nowhere", "x", nil, nil); !errors.Is(err, errChild) {
		t.Errorf("%v, want errChild", err)
	}
	c, err := startChild("/bin/sh", "sh", []string{"-c", "echo broken >&2; exit 3"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = c.wait(t.Context(), func() (bool, error) { return false, nil })
	if !errors.Is(err, errChild) || !strings.Contains(err.Error(), "broken") {
		t.Errorf("%v, want what it said", err)
	}
	if err := c.stop(); !errors.Is(err, errChild) {
		t.Errorf("stop of a child that failed: %v", err)
	}
	if c, err = startChild("/bin/sh", "sh", []string{"-c", "read x"}, nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := c.wait(ctx, func() (bool, error) { return false, nil }); !errors.Is(err,
		context.DeadlineExceeded) {
		t.Errorf("%v, want a time-out", err)
	}
	if err := c.stop(); err != nil && !strings.Contains(err.Error(), "exit status 1") {
		t.Errorf("stop: %v", err)
	}
	if _, err := b.startServer(t.Context(), "serve-nothing"); !errors.Is(err, errChild) {
		t.Errorf("%v, want errChild", err)
	}
	if _, err := b.startSwitch(t.Context(), t.TempDir()); !errors.Is(err, errChild) {
		t.Errorf("%v, want errChild", err)
	}
	if _, err := token(t.TempDir()); err == nil {
		t.Error("a token was read from nowhere")
	}
}

func TestUsage(t *testing.T) {
	u := usageOf(os.Getpid())
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("no /proc here")
	}
	if u.rss <= 0 || u.peak < u.rss/2 {
		t.Errorf("%+v", u)
	}
	if usageOf(-1) != (usage{}) {
		t.Error("a process that is not there uses something")
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	var s tail
	for i := range 1000 {
		fmt.Fprintf(&s, "line %d\n", i)
	}
	if text := s.String(); len(text) > tailMax || !strings.HasSuffix(text, "line 999") {
		t.Errorf("%d bytes, ending %q", len(text), text[max(0, len(text)-20):])
	}
	var f firstLine
	fmt.Fprint(&f, "half")
	if f.line() != "" {
		t.Errorf("half a line was taken for one: %q", f.line())
	}
	fmt.Fprint(&f, " a line\nand more")
	if f.line() != "half a line" {
		t.Errorf("%q", f.line())
	}
}
