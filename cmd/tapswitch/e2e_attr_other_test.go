//go:build !linux

package main

import "syscall"

// e2eAttributes is empty where the kernel cannot tie one process to another.
func e2eAttributes() *syscall.SysProcAttr { return nil }
