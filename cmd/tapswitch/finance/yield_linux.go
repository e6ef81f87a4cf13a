package finance

import (
	"os"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"
)

const (
	// niceness is the lowest priority that a process may give itself.
	niceness = 19
	// slice is how long, in nanoseconds, a thread may go on once others want its processor. The
	// scheduler's own is a clock tick, up to four milliseconds whatever the priority; here it is the
	// least that Linux takes.
	slice = 100_000
	// diskLast is the last of the levels at which Linux serves a disk to who asks for a share of it.
	diskLast = 2<<13 | 7
)

// schedAttr is struct sched_attr of sched_setattr(2), in its first form.
type schedAttr struct {
	size, policy                uint32
	flags                       uint64
	nice                        int32
	priority                    uint32
	runtime, deadline, interval uint64
}

// yieldProcessor puts this process behind a switch on the same machine: a settlement may take a
// second longer, a tap may not. It leaves half of the processors alone, its threads have the lowest
// priority and give a processor up within a tenth of a millisecond, and the disk serves them last.
// It never starves, as it would in Linux's idle class on a machine that is full. Linux keeps all
// this for each thread, and a new thread has that of the one which made it, so the threads of now
// are enough. Where a part fails the command runs without that part.
func yieldProcessor() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(max(1, runtime.NumCPU()/2))
	}
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return
	}
	for _, t := range threads {
		if id, err := strconv.Atoi(t.Name()); err == nil {
			yieldThread(id)
		}
	}
}

// setAttr is the number of sched_setattr(2), which package syscall does not have; 0 where it is
// not known.
func setAttr() uintptr {
	switch runtime.GOARCH {
	case "amd64":
		return 314
	case "arm64", "riscv64":
		return 274
	}
	return 0
}

// yieldThread does it for one thread. An older kernel takes no slice: then the priority alone is set.
func yieldThread(id int) {
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, id, niceness)
	if number := setAttr(); number != 0 {
		a := schedAttr{nice: niceness, runtime: slice}
		a.size = uint32(unsafe.Sizeof(a))
		_, _, _ = syscall.Syscall(number, uintptr(id), uintptr(unsafe.Pointer(&a)), 0)
	}
	_, _, _ = syscall.Syscall(syscall.SYS_IOPRIO_SET, 1, uintptr(id), diskLast)
}
