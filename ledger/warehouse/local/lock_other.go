//go:build !unix

package local

import (
	"fmt"
	"os"
)

// lockDir fails: without a lock that dies with its process two writers could meet.
func lockDir(dir string) (*os.File, error) {
	return nil, fmt.Errorf("cannot lock warehouse %s: file locks need a Unix system", dir)
}
