//go:build unix && !linux

package stack

import "syscall"

// processAttr cannot tie a child to its parent here; a test that is killed leaves its servers.
func processAttr(detached bool) *syscall.SysProcAttr {
	if detached {
		return &syscall.SysProcAttr{Setsid: true}
	}
	return &syscall.SysProcAttr{Setpgid: true}
}
