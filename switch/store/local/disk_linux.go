package local

import (
	"errors"
	"os"
	"syscall"
	"time"
)

// syncData calls fdatasync.
func syncData(f *os.File) error {
	for {
		err := syscall.Fdatasync(int(f.Fd()))
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// zeroFile fills an existing file with size zeros, past the page cache where the file
// system allows it. That is three times as fast, and does not push out what is being
// read.
func zeroFile(name string, size int64) error {
	f, err := os.OpenFile(name, os.O_RDWR|syscall.O_DIRECT, 0o600)
	if err != nil {
		if f, err = os.OpenFile(name, os.O_RDWR, 0o600); err != nil {
			return err
		}
	}
	// Mapped memory is aligned, which direct writes demand.
	zeros, err := syscall.Mmap(-1, 0, zeroChunk, syscall.PROT_READ,
		syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	err = syscall.Fallocate(int(f.Fd()), 0, 0, size)
	if errors.Is(err, syscall.EOPNOTSUPP) {
		err = nil // only a help: the blocks stand together
	}
	for at := int64(0); at < size && err == nil; at += zeroChunk {
		began := time.Now()
		_, err = f.WriteAt(zeros[:min(zeroChunk, size-at)], at)
		zeroRest(began)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, syscall.Munmap(zeros), f.Close())
}
