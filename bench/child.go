package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// startMax is how long a child may take to be ready, stopMax to end.
	startMax = 2 * time.Minute
	stopMax  = 30 * time.Second
	// pollEvery is how often a condition of a child is looked at.
	pollEvery = 2 * time.Millisecond
)

var errChild = errors.New("child process")

// child is a server process of the benchmark, which ends when its input does: at the latest with
// the process that started it, however that ends. Stop it.
//
// The system's own signal for that (Pdeathsig) is for another end: it is sent when the thread
// ends that started the child, and threads end with goroutines that were locked to them.
type child struct {
	name  string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	said  tail
	ended chan struct{} // closed when the process is gone
	err   error         // its end, after ended

	// Addr is where it serves; Admin where a switch serves metrics and profiles.
	Addr, Admin string
}

// startChild starts the binary with args. What it prints goes to out, when not nil, and
// the end of what it says on standard error is kept for messages.
func startChild(binary, name string, args []string, out io.Writer) (*child, error) {
	return startCommand(exec.Command(binary, args...), name, out)
}

// startCommand is startChild of a command that was made elsewhere.
func startCommand(cmd *exec.Cmd, name string, out io.Writer) (*child, error) {
	c := &child{name: name, cmd: cmd, ended: make(chan struct{})}
	c.cmd.Stdout, c.cmd.Stderr = out, &c.said
	stdin, err := c.cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("%w %s: %w", errChild, name, err)
	}
	c.stdin = stdin
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%w %s: %w", errChild, name, err)
	}
	go func() {
		c.err = c.cmd.Wait()
		close(c.ended)
	}()
	return c, nil
}

// stop ends the child in order and returns when it is gone.
func (c *child) stop() error {
	_ = c.stdin.Close()
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // gone already is fine
	timer := time.NewTimer(stopMax)
	defer timer.Stop()
	select {
	case <-c.ended:
	case <-timer.C:
		c.kill()
		return fmt.Errorf("%w %s did not end within %s", errChild, c.name, stopMax)
	}
	var exit *exec.ExitError
	if c.err != nil && !(errors.As(c.err, &exit) && signalled(exit)) {
		return fmt.Errorf("%w %s: %w: %s", errChild, c.name, c.err, c.said.String())
	}
	return nil
}

// signalled reports an end by the signal that stop sends.
func signalled(exit *exec.ExitError) bool {
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGTERM
}

// kill ends the child at once.
func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	<-c.ended
}

// wait looks at ready until it reports true, the child ends, or time is up.
func (c *child) wait(ctx context.Context, ready func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, startMax)
	defer cancel()
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		ok, err := ready()
		if ok || err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-c.ended:
			return fmt.Errorf("%w %s ended: %w: %s", errChild, c.name, c.err, c.said.String())
		case <-ctx.Done():
			return fmt.Errorf("%w %s is not ready: %w: %s", errChild, c.name, ctx.Err(),
				c.said.String())
		}
	}
}

// startSwitch runs the product on dir, with further settings, until it is ready: what
// `tapswitch run` runs, tied to its input.
func (b *bench) startSwitch(ctx context.Context, dir string, settings ...string) (*child, error) {
	return b.startSwitchIn(ctx, nil, dir, settings...)
}

// startSwitchIn is startSwitch with entries of the environment besides this process's own.
func (b *bench) startSwitchIn(ctx context.Context, env []string, dir string,
	settings ...string) (*child, error) {
	args := []string{"bench", "serve-switch", "--data", dir, "--listen", "127.0.0.1:0",
		"--admin-listen", "127.0.0.1:0", "--set", "log.level=error"}
	for _, s := range slices.Concat(settings, b.o.Settings) {
		args = append(args, "--set", s)
	}
	cmd := exec.Command(b.o.Binary, args...)
	cmd.Env = append(os.Environ(), env...)
	c, err := startCommand(cmd, "switch", nil)
	if err != nil {
		return nil, err
	}
	if err := c.wait(ctx, func() (bool, error) { return c.readRunFile(dir) }); err != nil {
		c.kill()
		return nil, err
	}
	return c, nil
}

// readRunFile takes the addresses from the file that a switch writes when it is ready.
func (c *child) readRunFile(dir string) (bool, error) {
	text, err := os.ReadFile(filepath.Join(dir, "run.json"))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var info struct{ Gate, Admin string }
	if err := json.Unmarshal(text, &info); err != nil {
		return false, fmt.Errorf("run.json: %w", err)
	}
	c.Addr, c.Admin = info.Gate, info.Admin
	return true, nil
}

// startServer runs a hidden server of the bench command, which prints its address.
func (b *bench) startServer(ctx context.Context, name string, args ...string) (*child, error) {
	out := &firstLine{}
	c, err := startChild(b.o.Binary, name, append([]string{"bench", name}, args...), out)
	if err != nil {
		return nil, err
	}
	err = c.wait(ctx, func() (bool, error) {
		c.Addr = out.line()
		return c.Addr != "", nil
	})
	if err != nil {
		c.kill()
		return nil, err
	}
	return c, nil
}

// token reads the first operator's token of a switch on dir.
func token(dir string) (string, error) {
	text, err := os.ReadFile(filepath.Join(dir, "admin.token"))
	if err != nil {
		return "", fmt.Errorf("operator token: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// usage is what a process has used.
type usage struct {
	cpu       time.Duration
	rss, peak int64 // bytes
}

// usageOf reads it; zero where the system has no /proc.
func usageOf(pid int) (u usage) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	if stat, err := os.ReadFile(filepath.Join(dir, "stat")); err == nil {
		_, rest, _ := bytes.Cut(stat, []byte(") "))
		if f := bytes.Fields(rest); len(f) > 13 {
			user, _ := strconv.ParseInt(string(f[11]), 10, 64)
			system, _ := strconv.ParseInt(string(f[12]), 10, 64)
			u.cpu = time.Duration(user+system) * (time.Second / ticksPerSecond)
		}
	}
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return u
	}
	for line := range strings.Lines(string(status)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		kb, _ := strconv.ParseInt(f[1], 10, 64)
		switch f[0] {
		case "VmRSS:":
			u.rss = kb << 10
		case "VmHWM:":
			u.peak = kb << 10
		}
	}
	return u
}

// ticksPerSecond is the unit of /proc times, fixed on Linux.
const ticksPerSecond = 100

func (c *child) usage() usage { return usageOf(c.cmd.Process.Pid) }

// settle waits until the child does next to nothing, at most for most, so that what it
// left over from its own turn is not charged to the next one.
func (c *child) settle(ctx context.Context, most time.Duration) {
	const look, few = 250 * time.Millisecond, 3
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	before, quiet := c.usage().cpu, 0
	for range int(most / look) {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		now := c.usage().cpu
		if now-before > look/10 {
			quiet = 0
		} else if quiet++; quiet >= few {
			return
		}
		before = now
	}
}

// tail keeps the end of what is written to it. Safe for concurrent use.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailMax = 2 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - tailMax; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.buf))
}

// firstLine keeps the first line that is written to it.
type firstLine struct{ tail }

func (f *firstLine) line() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := bufio.NewScanner(bytes.NewReader(f.buf))
	if !bytes.Contains(f.buf, []byte("\n")) || !s.Scan() {
		return ""
	}
	return s.Text()
}
