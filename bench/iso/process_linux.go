package iso

import "syscall"

// childAttributes make the system kill a child whose parent is gone.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
