//go:build !unix

package journal

import (
	"fmt"
	"io"
	"os"
)

// lockFile opens the file; without flock one writer is up to the operator.
func lockFile(path string) (io.Closer, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("finance journal: %w", err)
	}
	return f, nil
}
