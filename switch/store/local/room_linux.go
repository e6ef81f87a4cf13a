package local

import (
	"fmt"
	"syscall"
)

// roomMin is the free disk space below which a store is not opened: two of Pebble's
// tables and a few batches. With less, Pebble would wait for room for ever and say so.
const roomMin = 2*pebbleMemTable + 4<<20

// checkRoom refuses a disk that is full, with an error that says so.
func checkRoom(dir string) error {
	var is syscall.Statfs_t
	if err := syscall.Statfs(dir, &is); err != nil {
		return fmt.Errorf("local store: cannot tell the free space of %s: %w", dir, err)
	}
	if free := is.Bavail * uint64(is.Bsize); free < roomMin {
		return fmt.Errorf("local store: the disk of %s has %d bytes free, and at least %d are "+
			"needed: make room and start again", dir, free, roomMin)
	}
	return nil
}
