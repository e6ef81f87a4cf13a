package finance

import (
	"os"
	"strconv"
	"syscall"
)

// niceness is the lowest priority that a process may give itself.
const niceness = 19

// yieldProcessor puts this process behind a switch on the same machine: a settlement may take a
// second longer, a tap may not. Linux keeps the priority of each thread, and a new thread has
// that of the one which made it, so the threads of now are enough. Where it fails the command
// runs as before.
func yieldProcessor() {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return
	}
	for _, t := range threads {
		if id, err := strconv.Atoi(t.Name()); err == nil {
			_ = syscall.Setpriority(syscall.PRIO_PROCESS, id, niceness)
		}
	}
}
