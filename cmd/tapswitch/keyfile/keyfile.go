// Package keyfile keeps the secrets of a switch that stand in files of their own, which only
// the owner may read: the keys of a store, bound to it by their check values, passwords and
// tokens. A secret is on disk before it is used, no file is ever overwritten, and no error
// quotes what is in one. Nothing is cached: every call reads the disk.
package keyfile

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/tapswitch/tapswitch/switch/store"
)

// keySize is the length of a key in bytes.
const keySize = 32

// ErrFile reports a key file that cannot be used; it never quotes the content.
var ErrFile = errors.New("key file")

// ErrOtherKey reports a key that is not the one that the store was written under.
var ErrOtherKey = errors.New("not the key of this store")

// Open reads the key of the store: what is called name there. The first start makes it,
// and leaves its check value in the store. A store that has one is opened with that key and
// no other: under a new token key every card would be unknown, and every freeze forgotten.
func Open(ctx context.Context, registry store.Registry, name, path string) ([]byte, error) {
	entry := "key/" + name
	want, version, err := registry.Get(ctx, entry)
	if err != nil {
		return nil, fmt.Errorf("reading the check value of the %s key: %w", name, err)
	}
	key, err := readKey(path)
	if version == 0 && errors.Is(err, fs.ErrNotExist) {
		key, err = makeKey(path)
	}
	if err != nil {
		if version > 0 {
			err = fmt.Errorf("%w; the store was written under this key (check value %s), restore it "+
				"from its backup", err, want)
		}
		return nil, err
	}
	check := keyCheck(name, key)
	if version == 0 {
		err := registry.Put(ctx, entry, []byte(check), 0)
		if errors.Is(err, store.ErrConflict) { // another switch starts on the same store
			return Open(ctx, registry, name, path)
		}
		if err != nil {
			return nil, fmt.Errorf("keeping the check value of the %s key: %w", name, err)
		}
		return key, nil
	}
	if string(want) != check {
		return nil, fmt.Errorf("%w %s: check value %s, the store has %s; every switch of a store "+
			"uses the same %s key", ErrOtherKey, path, check, want, name)
	}
	return key, nil
}

// keyCheck is the check value of a key: it tells keys apart and gives nothing away.
func keyCheck(name string, key []byte) string {
	m := hmac.New(sha256.New, key)
	_, _ = m.Write([]byte("tapswitch check value of the " + name + " key"))
	return hex.EncodeToString(m.Sum(nil)[:8])
}

// readKey reads a key of 32 bytes in hex. A file that others may read stops the start.
func readKey(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%w %s: mode %04o lets others read it; chmod 600 it, and make a new "+
			"key if others had access", ErrFile, path, info.Mode().Perm())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != keySize {
		return nil, fmt.Errorf("%w %s: want %d bytes in hexadecimal", ErrFile, path, keySize)
	}
	return key, nil
}

// makeKey writes a new random key. It refuses to overwrite, and the key is on disk before
// anything is computed with it.
func makeKey(path string) ([]byte, error) {
	key := make([]byte, keySize)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	if err := WriteSecret(path, hex.EncodeToString(key)+"\n"); err != nil {
		return nil, err
	}
	return key, nil
}

// WriteSecret writes a new file that only its owner may read, with the directory that it
// stands in, and has it on disk when it returns. A file that is there is refused.
func WriteSecret(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("%w: %w", ErrFile, err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFile, err)
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("%w: %w", ErrFile, err)
	}
	return nil
}

// ReadSecret reads a file that only its owner may read, without the blanks around its text.
func ReadSecret(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("%s: mode %04o lets others read it; chmod 600 it", path,
			info.Mode().Perm())
	}
	text, err := os.ReadFile(path)
	return strings.TrimSpace(string(text)), err
}
