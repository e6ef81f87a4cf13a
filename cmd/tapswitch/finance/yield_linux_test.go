package finance

import (
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestYieldProcessor: every thread has the lowest priority, gives its processor up at once and comes
// last at the disk; half of the processors stay free. A child shows it, as it cannot be undone.
func TestYieldProcessor(t *testing.T) {
	const child = "TAPSWITCH_TEST_YIELD"
	if os.Getenv(child) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestYieldProcessor$", "-test.v")
		cmd.Env = append(os.Environ(), child+"=1", "GOMAXPROCS=")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "yielded") {
			t.Fatalf("%v: %s", err, out)
		}
		return
	}
	yieldProcessor()
	if got, want := runtime.GOMAXPROCS(0), max(1, runtime.NumCPU()/2); got != want {
		t.Errorf("%d processors, want %d", got, want)
	}
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Skip(err)
	}
	for _, thread := range threads {
		id, err := strconv.Atoi(thread.Name())
		if err != nil {
			continue
		}
		// The system call gives 20 less the niceness.
		if got, err := syscall.Getpriority(syscall.PRIO_PROCESS, id); err != nil || 20-got != niceness {
			t.Errorf("thread %d has niceness %d, %v", id, 20-got, err)
		}
		disk, _, fault := syscall.Syscall(syscall.SYS_IOPRIO_GET, 1, uintptr(id), 0)
		if fault != 0 || disk != diskLast {
			t.Errorf("thread %d has level %x at the disk, %v", id, disk, fault)
		}
		text, err := os.ReadFile("/proc/self/task/" + thread.Name() + "/sched")
		if _, of, ok := strings.Cut(string(text), "se.slice"); err == nil && ok {
			line, _, _ := strings.Cut(of, "\n")
			if got := strings.TrimSpace(strings.Trim(line, " :\t")); got != strconv.Itoa(slice) {
				t.Errorf("thread %d has a slice of %s ns", id, got)
			}
		}
	}
	t.Log("yielded")
}
