//go:build !linux

package iso

import "syscall"

func childAttributes() *syscall.SysProcAttr { return nil }
