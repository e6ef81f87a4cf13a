package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// disk performs every effect on files. Tests set fault to fail a step, before it
// happens (done false) or after it happened (done true); a step that fails after it
// happened is what a crash of the caller looks like.
type disk struct {
	fault func(step, path string, done bool) error
}

// do performs one step between the two points where a test may fail it.
func (d *disk) do(step, path string, effect func() error) error {
	if d.fault != nil {
		if err := d.fault(step, path, false); err != nil {
			return err
		}
	}
	if err := effect(); err != nil {
		return err
	}
	if d.fault != nil {
		return d.fault(step, path, true)
	}
	return nil
}

// create makes a file that must not be there yet.
func (d *disk) create(path string) (f *os.File, err error) {
	err = d.do("create", path, func() error {
		f, err = os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o640)
		return err
	})
	if err != nil && f != nil {
		err = errors.Join(err, f.Close())
	}
	return f, err
}

// write appends to an open file; a short write is an error.
func (d *disk) write(f *os.File, b []byte) error {
	return d.do("write", f.Name(), func() error {
		_, err := f.Write(b)
		return err
	})
}

// sync puts the content of a file on disk. After a failed sync nobody knows what is there: the
// file is never used again.
func (d *disk) sync(f *os.File) error { return d.do("sync", f.Name(), f.Sync) }

// rename gives a file its final name; the name lasts only after syncDir.
func (d *disk) rename(from, to string) error {
	return d.do("rename", to, func() error { return os.Rename(from, to) })
}

// remove takes a file away; one that is gone already is no error.
func (d *disk) remove(path string) error {
	return d.do("remove", path, func() error {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
}

// mkdir makes a folder and makes its name durable; one that is there is no error.
func (d *disk) mkdir(path string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if err := d.do("mkdir", path, func() error { return os.MkdirAll(path, 0o750) }); err != nil {
		return err
	}
	return d.syncDir(filepath.Dir(path))
}

// syncDir makes the names in a folder last.
func (d *disk) syncDir(path string) error {
	return d.do("syncdir", path, func() error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		return errors.Join(f.Sync(), f.Close())
	})
}

// replace writes b to path so that a crash leaves the old content or the new, and
// returns the file open for appending.
func (d *disk) replace(path string, b []byte) (*os.File, error) {
	temp := path + tempSuffix
	if err := d.remove(temp); err != nil {
		return nil, err
	}
	f, err := d.create(temp)
	if err != nil {
		return nil, err
	}
	err = d.write(f, b)
	if err == nil {
		err = d.sync(f)
	}
	if err == nil {
		err = d.rename(temp, path)
	}
	if err == nil {
		err = d.syncDir(filepath.Dir(path))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot replace %s: %w", filepath.Base(path), err),
			f.Close())
	}
	return f, nil
}
