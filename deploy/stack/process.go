package stack

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	logName = "server.log"
	// logTailMax is how much of a server's log goes into the error of a failed start.
	logTailMax = 2048
)

// launch says how one server process is started, each time anew at a restart.
type launch struct {
	kind     Kind
	dir      string
	argv     []string
	env      []string // added to the starter's environment
	detached bool     // outlives the starter; else killed with it
	pidFile  string   // written at each start unless empty
}

// process is one run of a server program.
type process struct {
	os   *os.Process
	done chan struct{} // closed once the process has been waited for
}

// startProcess runs the program with output appended to server.log in its folder.
//
// The kernel sends the parent death signal when the starting *thread* ends, so the goroutine that
// starts the server keeps its thread until the server is gone.
func startProcess(l launch) (*process, error) {
	logPath := filepath.Join(l.dir, logName)
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("stack: open the log of %s: %w", l.kind, err)
	}
	cmd := exec.Command(l.argv[0], l.argv[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = l.dir, log, log
	cmd.Env = append(os.Environ(), l.env...)
	cmd.SysProcAttr = processAttr(l.detached)
	started := make(chan error)
	p := &process{done: make(chan struct{})}
	go func() {
		runtime.LockOSThread()
		defer func() { _ = log.Close() }()
		err := cmd.Start()
		p.os = cmd.Process
		started <- err
		if err == nil {
			_ = cmd.Wait() // the exit status of a killed server says nothing
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("stack: start %s: %w", l.argv[0], err)
	}
	if l.pidFile == "" {
		return p, nil
	}
	if err := writePidFile(l.pidFile, p.os.Pid); err != nil {
		return nil, errors.Join(err, p.signal(syscall.SIGKILL))
	}
	return p, nil
}

// ended does not wait.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// signal sends sig; a process that has ended already is no error.
func (p *process) signal(sig syscall.Signal) error {
	err := p.os.Signal(sig)
	if err == nil || errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return fmt.Errorf("stack: send %v to process %d: %w", sig, p.os.Pid, err)
}

// waitEnd reports whether the process ended within the time.
func (p *process) waitEnd(limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-p.done:
		return true
	case <-timer.C:
		return false
	}
}

// processStart returns the kernel's start time of a process in clock ticks since boot. With the
// pid it names one process for good, which the pid alone does not.
func processStart(pid int) (string, error) {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return "", fmt.Errorf("stack: look at process %d: %w", pid, err)
	}
	// The name in brackets may hold spaces, so fields count from its end; state is the third.
	rest := string(stat[strings.LastIndexByte(string(stat), ')')+1:])
	fields := strings.Fields(rest)
	const startField, stateField = 22 - 3, 0
	if len(fields) <= startField {
		return "", fmt.Errorf("stack: process %d has %d stat fields", pid, len(fields))
	}
	if state := fields[stateField]; state == "Z" || state == "X" {
		return "", fmt.Errorf("stack: process %d has ended: %w", pid, os.ErrProcessDone)
	}
	return fields[startField], nil
}

// writePidFile records the process together with its start time; see processStart.
func writePidFile(path string, pid int) error {
	start, err := processStart(pid)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("stack: make the folder of pid files: %w", err)
	}
	line := fmt.Sprintf("%d %s\n", pid, start)
	if err := os.WriteFile(path, []byte(line), 0o644); err != nil {
		return fmt.Errorf("stack: write pid file: %w", err)
	}
	return nil
}

// readPidFile returns the process of the file if that very process still runs, else nil; a file
// that is missing or unreadable is nil too.
func readPidFile(path string) *os.Process {
	body, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	var pid int
	var start string
	if _, err := fmt.Sscanf(string(body), "%d %s", &pid, &start); err != nil {
		return nil
	}
	if now, err := processStart(pid); err != nil || now != start {
		return nil
	}
	found, err := os.FindProcess(pid)
	if err != nil {
		return nil
	}
	return found
}

// logTail returns the end of the server's log, for the error of a start that failed.
func logTail(dir string) string {
	body, err := os.ReadFile(filepath.Join(dir, logName))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(body[max(0, len(body)-logTailMax):]))
}
