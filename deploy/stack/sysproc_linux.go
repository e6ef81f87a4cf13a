package stack

import "syscall"

// processAttr ties a test's server to its starter by the parent death signal, and puts a detached
// one into a session of its own so that a Ctrl-C at the terminal does not reach it.
func processAttr(detached bool) *syscall.SysProcAttr {
	if detached {
		return &syscall.SysProcAttr{Setsid: true}
	}
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
