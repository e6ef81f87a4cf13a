package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// fileOf puts the rows of an insert into a file in memory for the engine to read. Rows that stand
// behind the statement itself do not arrive whole: the engine looks for the end of the statement in
// them, and a number that holds two line ends (2570) cuts them short.
func fileOf(rows []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("rows", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make a file in memory: %w", err)
	}
	file := os.NewFile(uintptr(fd), "rows")
	if _, err := file.Write(rows); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("fill a file in memory with %d bytes: %w", len(rows), err)
	}
	return file, nil
}

// procPath is a name under which the engine can open the file anew, at its start.
func procPath(file *os.File) string {
	return fmt.Sprintf("/proc/self/fd/%d", file.Fd())
}
