package local

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// formatVersion is the version of everything on disk that this code writes and reads.
const formatVersion = 1

const identityFormat = "tapswitch local store\nformat %d\nbuckets %d\nid %016x\n"

// identity says what a directory holds. The id is random and stands in every batch,
// so that a file of another store is never taken for one of this.
type identity struct {
	format  int
	buckets int
	id      uint64
}

// openIdentity reads the identity file, or writes a new one into a directory that has
// never held a store.
func openIdentity(d disk, dir string) (identity, error) {
	name := filepath.Join(dir, "STORE")
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return newIdentity(d, dir, name)
	}
	if err != nil {
		return identity{}, fmt.Errorf("local store: cannot read identity: %w", err)
	}
	var is identity
	if n, err := fmt.Sscanf(string(text), identityFormat, &is.format, &is.buckets, &is.id); n != 3 {
		return is, fmt.Errorf("%w: %s is no identity file: %v", store.ErrDamaged, name, err)
	}
	if is.format != formatVersion {
		return is, fmt.Errorf("local store: %s has format %d, this program reads %d",
			dir, is.format, formatVersion)
	}
	if is.buckets != txn.BucketCount {
		return is, fmt.Errorf("local store: %s has %d buckets, this program %d: the number "+
			"is fixed when a store is made", dir, is.buckets, txn.BucketCount)
	}
	if string(text) != is.text() {
		return is, fmt.Errorf("%w: identity file %s was changed", store.ErrDamaged, name)
	}
	return is, nil
}

func (is identity) text() string {
	return fmt.Sprintf(identityFormat, is.format, is.buckets, is.id)
}

func newIdentity(d disk, dir, name string) (identity, error) {
	segments, err := listSegments(dir)
	if err != nil {
		return identity{}, err
	}
	if len(segments) > 0 {
		return identity{}, fmt.Errorf("%w: %s holds journal segments but no identity file",
			store.ErrDamaged, dir)
	}
	var random [8]byte
	_, _ = rand.Read(random[:])
	is := identity{formatVersion, txn.BucketCount, binary.LittleEndian.Uint64(random[:])}
	if err := writeWhole(d, name, []byte(is.text())); err != nil {
		return is, fmt.Errorf("local store: cannot write identity: %w", err)
	}
	return is, nil
}

// writeWhole writes a small file so that it is there completely or not at all.
func writeWhole(d disk, name string, content []byte) error {
	f, err := d.Open(name+".new", true)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(content, 0)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return d.Rename(name+".new", name)
}
