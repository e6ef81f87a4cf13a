//go:build unix

package journal

import (
	"fmt"
	"io"
	"os"
	"syscall"
)

// lockFile takes the lock; the kernel gives it back when the process ends, however it does.
func lockFile(path string) (io.Closer, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("finance journal: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close() // nothing was written
		return nil, fmt.Errorf("%w: %s: %w", ErrLocked, path, err)
	}
	return f, nil
}
