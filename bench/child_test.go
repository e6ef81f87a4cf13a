package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/bench/report"
)

// parentEnv makes the test program a benchmark that starts its servers and is then killed.
const parentEnv = "BENCH_TEST_PARENT"

// family is what such a benchmark prints: the processes that it started.
type family struct{ Switch, Noop int }

// beParent starts a switch and another server with the binary, says who they are, and stays.
func beParent(binary string) error {
	dir, err := os.MkdirTemp("", "tapswitch-bench-family-")
	if err != nil {
		return err
	}
	b := &bench{Section: &report.Section{}, o: Options{Binary: binary}}
	s, err := b.startSwitch(context.Background(), dir)
	if err != nil {
		return err
	}
	n, err := b.startServer(context.Background(), "serve-noop")
	if err != nil {
		return err
	}
	out := family{Switch: s.cmd.Process.Pid, Noop: n.cmd.Process.Pid}
	if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
		return err
	}
	_ = os.RemoveAll(dir) // the switch has its files open
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// alive reports whether a process runs; one that has ended and nobody waits for does not.
func alive(pid int) bool {
	if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, state, _ := strings.Cut(string(stat), ") ")
	return err == nil && !strings.HasPrefix(state, "Z")
}

// A benchmark that is killed takes its servers with it.
func TestChildrenEndWithTheirParent(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("no /proc here")
	}
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), parentEnv+"="+needBinary(t))
	stdin, err := parent.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	var f family
	if err == nil {
		err = json.Unmarshal(line, &f)
	}
	_ = parent.Process.Kill()
	_ = parent.Wait()
	if err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	until := time.NewTimer(stopMax)
	defer until.Stop()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for alive(f.Switch) || alive(f.Noop) {
		select {
		case <-tick.C:
		case <-until.C:
			for _, pid := range []int{f.Switch, f.Noop} {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
			t.Fatal("the servers of a benchmark that was killed go on")
		}
	}
}

// A child lives on when the thread ends that started it.
func TestChildrenOutliveTheirThread(t *testing.T) {
	started := make(chan *child)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		c, err := startChild("/bin/sh", "sh", []string{"-c", "read x"}, nil)
		if err != nil {
			t.Error(err)
		}
		started <- c
	}()
	c := <-started
	if c == nil {
		return
	}
	select {
	case <-c.ended:
		t.Fatalf("ended with its thread: %v", c.err)
	case <-time.After(300 * time.Millisecond):
	}
	_ = c.stdin.Close()
	<-c.ended
}
