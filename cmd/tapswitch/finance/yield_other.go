//go:build !linux

package finance

// yieldProcessor does nothing where priorities are not those of Linux.
func yieldProcessor() {}
