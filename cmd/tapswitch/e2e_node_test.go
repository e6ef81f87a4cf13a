package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The end-to-end tests run the real binary and real servers. This file starts, kills and
// asks the processes.

const (
	e2eStartMax = 60 * time.Second
	e2eStopMax  = 30 * time.Second
	e2ePoll     = 5 * time.Millisecond
	// e2eLogTail is how much of a log a failure shows.
	e2eLogTail = 3000
)

// e2eBuild builds the binary once for all tests; TestMain removes it.
var e2eBuild = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "tapswitch-e2e")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "tapswitch")
	c := exec.Command("go", "build", "-o", path, "-ldflags", "-X main.version=e2e", ".")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	e2eServersClose()
	if path, err := e2eBuild(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// e2eBinary returns the path of the binary.
func e2eBinary(t testing.TB) string {
	t.Helper()
	if testing.Short() {
		t.Skip("not run: -short leaves out the tests with real processes")
	}
	path, err := e2eBuild()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// e2eUntil looks at done until it reports true, and fails the test after limit with the
// last error.
func e2eUntil(t testing.TB, limit time.Duration, what string, done func() (bool, error)) {
	t.Helper()
	if err := e2eAwait(limit, done); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

var errE2ETime = errors.New("time is up")

// e2eAwait looks at done until it reports true. An error of done is told only when the
// time is up.
func e2eAwait(limit time.Duration, done func() (bool, error)) error {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(e2ePoll)
	defer tick.Stop()
	for {
		ok, err := done()
		if ok {
			return nil
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			return errors.Join(fmt.Errorf("%w after %s", errE2ETime, limit), err)
		}
	}
}

// e2ePause waits for d, or until ctx ends.
func e2ePause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// e2eNode is one process of the switch and its data directory, which outlives it. One
// goroutine at a time may start and end it.
type e2eNode struct {
	t    testing.TB
	bin  string
	dir  string
	args []string

	mu    sync.Mutex // guards the fields below
	cmd   *exec.Cmd
	ended chan struct{} // closed when the process is gone
	err   error         // of its end, after ended
	info  runInfo
	lives int
}

// newE2ENode makes a node that is not started. It is killed when the test ends, and its log
// is shown when the test failed.
func newE2ENode(t testing.TB, dir string, args ...string) *e2eNode {
	t.Helper()
	n := &e2eNode{t: t, bin: e2eBinary(t), dir: dir, args: args}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		n.kill()
		if t.Failed() {
			t.Logf("log of %s ends:\n%s", filepath.Base(dir), n.logTail())
			n.keepLog()
		}
	})
	return n
}

// e2eKeepEnv names a directory where the logs of failed tests are kept.
const e2eKeepEnv = "TAPSWITCH_E2E_KEEP"

func (n *e2eNode) keepLog() {
	to := os.Getenv(e2eKeepEnv)
	if to == "" {
		return
	}
	text, err := os.ReadFile(n.logPath())
	if err == nil {
		name := strings.ReplaceAll(n.t.Name(), "/", "_") + "-" + filepath.Base(n.logPath())
		err = os.WriteFile(filepath.Join(to, name), text, 0o600)
	}
	if err != nil {
		n.t.Log(err)
	}
}

func (n *e2eNode) logPath() string { return n.dir + ".log" }

func (n *e2eNode) logTail() string {
	text, err := os.ReadFile(n.logPath())
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-e2eLogTail):])
}

// launch starts the process and does not wait for anything.
func (n *e2eNode) launch(env ...string) error {
	log, err := os.OpenFile(n.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(n.dir, runFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	args := append([]string{"run", "--data", n.dir, "--admin-listen", "127.0.0.1:0"}, n.args...)
	cmd := exec.Command(n.bin, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(e2eEnv(), env...)
	cmd.SysProcAttr = e2eAttributes()
	ended, started := make(chan struct{}), make(chan error)
	go func() {
		// The kernel ends the child with the thread that started it.
		runtime.LockOSThread()
		defer log.Close()
		err := cmd.Start()
		started <- err
		if err == nil {
			err = cmd.Wait()
			n.mu.Lock()
			defer n.mu.Unlock()
			n.err = err
			close(ended)
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cmd, n.ended, n.info = cmd, ended, runInfo{}
	n.lives++
	return nil
}

// e2eEnv is the environment without settings of the switch.
func e2eEnv() []string {
	var env []string
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "TAPSWITCH_") {
			env = append(env, pair)
		}
	}
	return env
}

// start starts the process and waits until it is ready. env adds to its environment.
func (n *e2eNode) start(env ...string) error {
	if err := n.launch(env...); err != nil {
		return err
	}
	return n.awaitReady()
}

var errE2EEnded = errors.New("the process ended")

func (n *e2eNode) awaitReady() error {
	ended := n.done()
	var gone error
	err := e2eAwait(e2eStartMax, func() (bool, error) {
		select {
		case <-ended:
			gone = fmt.Errorf("%w: %w; its log ends:\n%s", errE2EEnded, n.end(), n.logTail())
			return true, nil
		default:
			return n.readyNow()
		}
	})
	return errors.Join(err, gone)
}

func (n *e2eNode) readyNow() (bool, error) {
	text, err := os.ReadFile(filepath.Join(n.dir, runFile))
	if err != nil {
		return false, err
	}
	var info runInfo
	if err := json.Unmarshal(text, &info); err != nil {
		return false, err
	}
	n.mu.Lock()
	if info.PID == n.cmd.Process.Pid {
		n.info = info
	}
	n.mu.Unlock()
	if info.PID != n.cmd.Process.Pid {
		return false, fmt.Errorf("run file of process %d", info.PID)
	}
	status, body, err := e2eGet("http://" + info.Admin + "/readyz")
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("readyz: %d %s", status, body)
	}
	return err == nil, err
}

// e2eGet fetches one page.
func e2eGet(url string) (int, string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	return resp.StatusCode, string(body), err
}

// done is closed when the present process is gone.
func (n *e2eNode) done() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ended
}

// end returns how the process ended, nil for exit code 0.
func (n *e2eNode) end() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.err
}

// life counts the processes that the node has had.
func (n *e2eNode) life() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.lives
}

func (n *e2eNode) gate() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.info.Gate
}

func (n *e2eNode) admin() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.info.Admin
}

func (n *e2eNode) signal(sig syscall.Signal) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cmd == nil {
		return nil
	}
	if err := n.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// kill sends SIGKILL and returns when the process is gone.
func (n *e2eNode) kill() {
	if ended := n.done(); ended != nil {
		_ = n.signal(syscall.SIGKILL)
		<-ended
	}
}

// stop sends SIGTERM and returns how the process ended.
func (n *e2eNode) stop() error {
	if err := n.signal(syscall.SIGTERM); err != nil {
		return err
	}
	timer := time.NewTimer(e2eStopMax)
	defer timer.Stop()
	select {
	case <-n.done():
		return n.end()
	case <-timer.C:
		n.kill()
		return fmt.Errorf("not stopped: %w after %s", errE2ETime, e2eStopMax)
	}
}

// killed reports whether the process ended by SIGKILL.
func (n *e2eNode) killed() bool {
	var exit *exec.ExitError
	if !errors.As(n.end(), &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// metric returns the sum of a metric over its labels that contain label.
func (n *e2eNode) metric(name, label string) (float64, error) {
	status, body, err := e2eGet("http://" + n.admin() + "/metrics")
	if err != nil || status != http.StatusOK {
		return 0, fmt.Errorf("metrics: %d: %w", status, err)
	}
	var sum float64
	found := false
	for line := range strings.Lines(body) {
		line = strings.TrimSpace(line)
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest == "" || rest[0] != ' ' && rest[0] != '{' || !strings.Contains(rest, label) {
			continue
		}
		v, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		if err != nil {
			return 0, fmt.Errorf("metric %s: %w", name, err)
		}
		sum, found = sum+v, true
	}
	if !found {
		return 0, fmt.Errorf("no metric %s{%s}", name, label)
	}
	return sum, nil
}

// drained reports whether the warehouse has confirmed the whole outbox.
func (n *e2eNode) drained() (bool, error) {
	pending, err := n.metric("tapswitch_outbox_pending_records", "")
	if err == nil && pending > 0 {
		err = fmt.Errorf("%.0f records are not confirmed", pending)
	}
	return err == nil, err
}

// secret reads a file of the data directory.
func (n *e2eNode) secret(name string) string {
	n.t.Helper()
	text, err := os.ReadFile(filepath.Join(n.dir, name))
	if err != nil {
		n.t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// e2eResult is what a command left.
type e2eResult struct {
	code           int
	stdout, stderr string
}

// e2eCommand runs one command of the binary to its end.
func e2eCommand(t testing.TB, env []string, stdin string, args ...string) e2eResult {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), e2eStartMax)
	defer cancel()
	cmd := exec.CommandContext(ctx, e2eBinary(t), args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	cmd.Env = append(e2eEnv(), env...)
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("%v: %v", args, errors.Join(err, ctx.Err()))
	}
	return e2eResult{code: cmd.ProcessState.ExitCode(), stdout: out.String(), stderr: errs.String()}
}
