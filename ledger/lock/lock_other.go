//go:build !unix

package lock

import (
	"fmt"
	"os"
)

// Take fails: without a lock that dies with its process two writers could meet.
func Take(dir string) (*os.File, error) {
	return nil, fmt.Errorf("cannot lock %s: file locks need a Unix system", dir)
}
