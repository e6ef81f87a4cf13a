package local

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// file is one journal segment. Methods are those of os.File but for Sync, which makes
// the data and the size durable, not the times.
type file interface {
	io.ReaderAt
	io.WriterAt
	Sync() error
	io.Closer
}

// disk makes and moves the journal's files. Tests replace it to fail on purpose.
type disk interface {
	// Open opens a file for reading and writing; create makes it empty first.
	Open(name string, create bool) (file, error)
	// Zeroed makes a file of size zero bytes; it is durable, the name is not.
	Zeroed(name string, size int64) (file, error)
	// Rename moves a file within its directory; it is durable on return.
	Rename(from, to string) error
	Remove(name string) error
}

var _ disk = osDisk{}

// osDisk is the real disk.
type osDisk struct{}

type osFile struct{ *os.File }

// Sync makes the data durable; the files are written in place, so there is no metadata
// that a reader needs.
func (f osFile) Sync() error { return syncData(f.File) }

func (osDisk) Open(name string, create bool) (file, error) {
	flags := os.O_RDWR
	if create {
		flags |= os.O_CREATE | os.O_TRUNC
	}
	f, err := os.OpenFile(name, flags, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

// zeroChunk is how much is zeroed at a time: little, so that the commits of the moment
// do not wait behind it. After each chunk the disk is theirs for as long as the chunk took,
// at most zeroRestMax.
const (
	zeroChunk   = 256 << 10
	zeroRestMax = 2 * time.Millisecond
)

// zeroRest waits after a chunk that began at began.
func zeroRest(began time.Time) { time.Sleep(min(time.Since(began), zeroRestMax)) }

// Zeroed makes the file; see zeroFile.
func (d osDisk) Zeroed(name string, size int64) (file, error) {
	f, err := d.Open(name, true)
	if err != nil {
		return nil, err
	}
	if err := zeroFile(name, size); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (osDisk) Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func (osDisk) Remove(name string) error { return os.Remove(name) }

// lockDir takes the directory for this process. The lock goes with the process, so a
// killed one leaves none behind.
func lockDir(dir string) (*os.File, error) {
	name := filepath.Join(dir, "LOCK")
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("local store: cannot make lock file: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("local store: %s is open in another process; stop that one "+
			"or choose another directory: %w", dir, err)
	}
	return f, nil
}
