package faredesk

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/switch/fare/tariff"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// keptName is the file in a switch's data directory with the tariff that it charges by.
const keptName = "tariff.json"

// keptFile is one file of the tariff as it was when the switch began to charge by it.
type keptFile struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// Adopt holds the tariff that a switch is to charge by against the one that it charged by
// until now, and keeps it in the data directory, durably. A version that held on a day that has
// ended may not change: what was charged then was charged by it, and rides of that day may
// still come. Path "" is the built-in sample, which is not kept.
func Adopt(dataDir, path string, now txn.Millis) error {
	if path == "" {
		return nil
	}
	sources, err := read([]string{path})
	if err != nil {
		return err
	}
	book, err := tariff.Load(sources...)
	if err != nil {
		return cli.WithCode(cli.ExitBreaks, err)
	}
	if err := checkKept(book, dataDir, now); err != nil {
		return err
	}
	return keep(dataDir, sources)
}

// checkKept holds a tariff against the one that a data directory keeps, up to the last service
// day that has ended.
func checkKept(book *tariff.Book, dataDir string, now txn.Millis) error {
	was, err := kept(dataDir)
	if err != nil || was == nil {
		return err
	}
	if err := book.Check(was, endedDay(was, now)); err != nil {
		return cli.WithCode(cli.ExitBreaks, fmt.Errorf("against the tariff that the switch has charged "+
			"by (%s): %w", filepath.Join(dataDir, keptName), err))
	}
	return nil
}

// endedDay returns the last service day of a tariff that has ended.
func endedDay(b *tariff.Book, now txn.Millis) txn.BusinessDate {
	all := b.Versions()
	in, ok := b.At(now)
	if !ok {
		in = all[len(all)-1].Tariff
	}
	return in.ServiceDay(now - 24*60*60*1000)
}

// kept reads the tariff of a data directory, nil when there is none.
func kept(dataDir string) (*tariff.Book, error) {
	name := filepath.Join(dataDir, keptName)
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var files []keptFile
	if err == nil {
		err = json.Unmarshal(text, &files)
	}
	if err != nil {
		return nil, fmt.Errorf("the tariff of before cannot be read: %s: %w", name, err)
	}
	sources := make([]tariff.Source, len(files))
	for i, f := range files {
		sources[i] = tariff.Source{Name: f.Name, Text: []byte(f.Text)}
	}
	book, err := tariff.Load(sources...)
	if err != nil {
		return nil, fmt.Errorf("the tariff of before cannot be read: %s: %w", name, err)
	}
	return book, nil
}

// keep writes the files of a tariff to a data directory: all of them or none.
func keep(dataDir string, sources []tariff.Source) error {
	files := make([]keptFile, len(sources))
	for i, s := range sources {
		files[i] = keptFile{filepath.Base(s.Name), string(s.Text)}
	}
	text, err := json.Marshal(files)
	if err != nil {
		return fmt.Errorf("tariff cannot be kept: %w", err)
	}
	name := filepath.Join(dataDir, keptName)
	if old, err := os.ReadFile(name); err == nil && string(old) == string(text) {
		return nil
	}
	if err := writeSynced(name+".new", text); err != nil {
		return fmt.Errorf("tariff cannot be kept: %w", err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		return fmt.Errorf("tariff cannot be kept: %w", err)
	}
	return nil
}

func writeSynced(name string, text []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Sync(), f.Close())
}
