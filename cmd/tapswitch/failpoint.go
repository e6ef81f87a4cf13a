package main

import (
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
)

// failpointEnv names a point of the local store and how often it is passed before the
// process kills itself there, "after_sync:100". For crash tests.
const failpointEnv = "TAPSWITCH_FAILPOINT"

// newFailpoint returns a hook that sends SIGKILL to the process itself at the count-th
// passage of the point called name.
func newFailpoint(name, count string) func(string) {
	left := new(atomic.Int64)
	n, err := strconv.ParseInt(count, 10, 64)
	if err != nil || n < 1 {
		n = 1
	}
	left.Store(n)
	return func(passed string) {
		if passed == name && left.Add(-1) == 0 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // nothing may happen after this point
		}
	}
}
