package stack

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// starterEnv makes the test binary a starter of a server that is then killed itself.
const starterEnv = "STACK_TEST_STARTER_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(starterEnv); dir != "" {
		runStarter(dir)
		return
	}
	os.Exit(m.Run())
}

// runStarter starts a sleeping process, prints its pid and start time, and waits to be killed.
func runStarter(dir string) {
	p, err := startProcess(launch{kind: Redis, dir: dir, argv: []string{"sleep", "600"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	start, _ := processStart(p.os.Pid)
	fmt.Println(p.os.Pid, start)
	<-p.done
}

func TestServerDiesWithItsStarter(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), starterEnv+"="+t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "pid")
	if err := os.WriteFile(file, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	if readPidFile(file) == nil {
		t.Fatalf("the server %q does not run", line)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	eventually(t, "the server to end with its starter", func() bool {
		return readPidFile(file) == nil
	})
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(time.Minute)
	for !done() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("waited a minute for %s", what)
		}
	}
}

func startSleep(t *testing.T, argv ...string) *process {
	t.Helper()
	p, err := startProcess(launch{kind: Redis, dir: t.TempDir(), argv: argv})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.signal(syscall.SIGKILL); err != nil {
			t.Error(err)
		}
		p.waitEnd(killMax)
	})
	return p
}

func TestPidFileNamesOneProcessForGood(t *testing.T) {
	p := startSleep(t, "sleep", "600")
	file := filepath.Join(t.TempDir(), "run", "x.pid")
	if err := writePidFile(file, p.os.Pid); err != nil {
		t.Fatal(err)
	}
	if found := readPidFile(file); found == nil || found.Pid != p.os.Pid {
		t.Fatalf("read back %v, want pid %d", found, p.os.Pid)
	}
	body, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"another start time": fmt.Sprintf("%d 1\n", p.os.Pid),
		"no start time":      fmt.Sprintf("%d\n", p.os.Pid),
		"empty":              "",
		"not a number":       "x" + string(body),
		"no such process":    "4194304 1\n",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if found := readPidFile(file); found != nil {
			t.Errorf("%s: found process %d", name, found.Pid)
		}
	}
	if readPidFile(file+".missing") != nil {
		t.Error("a missing file named a process")
	}
}

func TestEndedProcessIsNotFound(t *testing.T) {
	p := startSleep(t, "sleep", "600")
	file := filepath.Join(t.TempDir(), "x.pid")
	if err := writePidFile(file, p.os.Pid); err != nil {
		t.Fatal(err)
	}
	if err := p.signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if !p.waitEnd(killMax) {
		t.Fatal("the process survived SIGKILL")
	}
	if readPidFile(file) != nil {
		t.Error("an ended process was found")
	}
	if err := p.signal(syscall.SIGTERM); err != nil {
		t.Errorf("a signal to an ended process: %v", err)
	}
}

func TestStopThatIsIgnoredEndsInAKill(t *testing.T) {
	dir := t.TempDir()
	script := "trap '' TERM; echo deaf; while :; do sleep 0.1; done"
	l := launch{kind: Redis, dir: dir, argv: []string{"sh", "-c", script}}
	p, err := startProcess(l)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the trap to be set", func() bool { return logTail(dir) == "deaf" })
	s := &Server{launch: l, process: p, stopLimit: 100 * time.Millisecond}
	if err := s.Stop(); !errors.Is(err, ErrStopTimeout) {
		t.Errorf("Stop of a deaf process: %v, want ErrStopTimeout", err)
	}
	if s.Running() {
		t.Error("the process still runs")
	}
}

func TestStartOfAMissingProgramSaysSo(t *testing.T) {
	_, err := startProcess(launch{kind: Kafka, dir: t.TempDir(), argv: []string{"/no/such/program"}})
	if err == nil || !strings.Contains(err.Error(), "/no/such/program") {
		t.Errorf("error %v does not name the program", err)
	}
}

func TestLogTailIsBounded(t *testing.T) {
	dir := t.TempDir()
	text := strings.Repeat("x", 3*logTailMax) + "end"
	if err := os.WriteFile(filepath.Join(dir, logName), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := logTail(dir); len(got) != logTailMax || !strings.HasSuffix(got, "end") {
		t.Errorf("%d bytes, want the last %d", len(got), logTailMax)
	}
	if got := logTail(t.TempDir()); got != "" {
		t.Errorf("a missing log reads %q", got)
	}
}

func TestHeldPortsDiffer(t *testing.T) {
	seen := map[int]bool{}
	for range 50 {
		p, err := holdPort(0)
		if err != nil {
			t.Fatal(err)
		}
		defer p.release()
		if seen[p.number] {
			t.Fatalf("port %d was given twice", p.number)
		}
		seen[p.number] = true
		if p.number < freePortMin || p.number >= freePortMax {
			t.Errorf("port %d is outside of %d-%d", p.number, freePortMin, freePortMax)
		}
		if _, err := lockFile(p.lock.Name(), syscall.LOCK_NB); err == nil {
			t.Errorf("the lock of port %d could be taken twice", p.number)
		}
	}
	chosen, err := holdPort(16379)
	if err != nil || chosen.number != 16379 {
		t.Errorf("a chosen port became %v, %v", chosen, err)
	}
	chosen.release()
}
