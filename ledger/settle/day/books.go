package day

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/tapswitch/tapswitch/crypto/receipt"
	"github.com/tapswitch/tapswitch/ledger/settle/certificate"
	"github.com/tapswitch/tapswitch/ledger/settle/journal"
	"github.com/tapswitch/tapswitch/ledger/settle/pack"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// ErrNoBooks reports a certificate that was given before books were certified: it vouches for the
// records only.
var ErrNoBooks = errors.New("the certificate does not name the books of the day")

// booksOf is what a certificate of a run says of its books: the manifest's hash in the journal.
func booksOf(
	events []journal.Event, date txn.BusinessDate, run int,
) (books [sha256.Size]byte, err error) {
	known, err := hex.DecodeString(notedRun(events, date, run).Manifest)
	if err != nil || len(known) != len(books) {
		return books, fmt.Errorf("%w: the journal has no hash of the manifest of run %d of %s", ErrDamaged,
			run, date)
	}
	return [sha256.Size]byte(known), nil
}

// VerifyBooks holds the directory of a settlement run against the certificate of its day: the
// manifest is the certified one, every file the one that the manifest names, and no other file is
// there. It reads files only. The first wrong file is named, with certificate.ErrTampered; ErrNoBooks
// when the certificate is from before books were certified.
func VerifyBooks(dir string, made *receipt.Day) error {
	if made.Books == ([sha256.Size]byte{}) {
		return fmt.Errorf("%w of %s: it vouches for the records only", ErrNoBooks,
			txn.BusinessDate(made.BusinessDate))
	}
	path := filepath.Join(dir, pack.ManifestName)
	if err := checkFile(path, hex.EncodeToString(made.Books[:])); err != nil {
		return wrongFile(pack.ManifestName, "it is not the manifest that was certified", err)
	}
	var m pack.Manifest
	if err := readJSON(path, &m); err != nil {
		return err
	}
	known := map[string]bool{pack.ManifestName: true}
	for _, f := range m.Files {
		known[f.Name] = true
		if err := checkFile(filepath.Join(dir, filepath.Base(f.Name)), f.SHA256); err != nil {
			return wrongFile(f.Name, "it is not the file of the certified manifest", err)
		}
	}
	return onlyThese(dir, known)
}

// onlyThese wants no file beside the known ones.
func onlyThese(dir string, known map[string]bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	i := slices.IndexFunc(entries, func(e os.DirEntry) bool { return !known[e.Name()] })
	if i < 0 {
		return nil
	}
	return wrongFile(entries[i].Name(), "the certified manifest does not name it", nil)
}

// wrongFile names the first file that was not certified.
func wrongFile(name, why string, err error) error {
	if errors.Is(err, os.ErrNotExist) {
		why = "it is missing"
	}
	return fmt.Errorf("%w: first wrong file %s: %s", certificate.ErrTampered, name, why)
}
