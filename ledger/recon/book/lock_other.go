//go:build !unix

package book

import (
	"fmt"
	"os"
)

// lockDir fails: without a lock that dies with its process two writers could meet.
func lockDir(dir string) (*os.File, error) {
	return nil, fmt.Errorf("cannot lock the breaks in %s: file locks need a Unix system", dir)
}
