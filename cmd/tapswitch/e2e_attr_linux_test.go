package main

import "syscall"

// e2eAttributes ties a switch of a test to the test: it dies with it.
func e2eAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
