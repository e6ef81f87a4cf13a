//go:build !linux

package local

import (
	"errors"
	"os"
	"time"
)

// syncData makes data and metadata durable.
func syncData(f *os.File) error { return f.Sync() }

// zeroFile fills an existing file with size zeros.
func zeroFile(name string, size int64) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	zeros := make([]byte, zeroChunk)
	for at := int64(0); at < size && err == nil; at += zeroChunk {
		began := time.Now()
		_, err = f.WriteAt(zeros[:min(zeroChunk, size-at)], at)
		zeroRest(began)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
