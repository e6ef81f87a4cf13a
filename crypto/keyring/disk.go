package keyring

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// disk is what the store asks of a file system. Each method is one step at which a crash
// leaves what is there before or after it, but for Write, which may leave a part.
type disk interface {
	// Read returns the content of a file that only its owner can use.
	Read(path string) ([]byte, error)
	// Write makes a file of mode 0600, over one that is there, and syncs it.
	Write(path string, data []byte) error
	// Replace renames from to to and syncs the directory.
	Replace(from, to string) error
	// Lock keeps other processes out until unlock is called.
	Lock(path string) (unlock func(), err error)
}

// fileMax bounds what is read: a store of entriesMax entries.
const fileMax = 64 << 20

// osDisk is the disk of the machine.
type osDisk struct{}

// Read refuses a file that is not a regular one of this user (or root), of mode 0600 or
// less, in a directory that others cannot write.
func (osDisk) Read(path string) ([]byte, error) {
	if err := checkDir(path); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is not a regular file", ErrOpenToOthers, path)
	}
	if err := checkOwner(path, info); err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("%w: %s has mode %04o, want 0600 (chmod 600)", ErrOpenToOthers, path,
			mode)
	}
	data, err := io.ReadAll(io.LimitReader(f, fileMax+1))
	if err == nil && len(data) > fileMax {
		err = fmt.Errorf("%s is larger than %d bytes", path, fileMax)
	}
	return data, err
}

// checkOwner refuses the file of another user, who could read and change it.
func checkOwner(path string, info fs.FileInfo) error {
	s, ok := info.Sys().(*syscall.Stat_t)
	if ok && s.Uid != 0 && int(s.Uid) != os.Geteuid() {
		return fmt.Errorf("%w: %s belongs to another user", ErrOpenToOthers, path)
	}
	return nil
}

// checkDir refuses a directory in which others could put another file in the place of this.
func checkDir(path string) error {
	dir := filepath.Dir(path)
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if mode := info.Mode().Perm(); mode&0o002 != 0 {
		return fmt.Errorf("%w: anybody can write to directory %s (mode %04o)", ErrOpenToOthers, dir,
			mode)
	}
	return nil
}

func (osDisk) Write(path string, data []byte) error {
	return writeFile(path, data, os.O_TRUNC)
}

// writeFile makes a file with mode 0600 whatever the umask, and syncs it.
func writeFile(path string, data []byte, how int) error {
	if err := checkDir(path); err != nil {
		return err
	}
	flags := os.O_WRONLY | os.O_CREATE | syscall.O_NOFOLLOW | how
	f, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return err
	}
	err = f.Chmod(0o600)
	if err == nil {
		_, err = f.Write(data)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func (osDisk) Replace(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return syncDir(to)
}

func syncDir(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Lock takes an exclusive lock on a file of its own, which stays.
func (osDisk) Lock(path string) (func(), error) {
	if err := checkDir(path); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot lock %s: %w", path, err), f.Close())
	}
	return func() { _ = f.Close() }, nil
}
