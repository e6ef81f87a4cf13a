package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const keySize = 32

// errKeyFile reports a key file that cannot be used; it never quotes the content.
var errKeyFile = errors.New("key file")

// readKey reads a key of 32 bytes in hex, or makes one when the file does not exist. A file
// that others may read stops the start.
func readKey(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makeKey(path)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errKeyFile, err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%w %s: mode %04o lets others read it; chmod 600 it, and make a new "+
			"key if others had access", errKeyFile, path, info.Mode().Perm())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errKeyFile, err)
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != keySize {
		return nil, fmt.Errorf("%w %s: want %d bytes in hexadecimal", errKeyFile, path, keySize)
	}
	return key, nil
}

// makeKey writes a new random key. It refuses to overwrite, and the key is on disk before
// anything is computed with it.
func makeKey(path string) ([]byte, error) {
	key := make([]byte, keySize)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("%w: %w", errKeyFile, err)
	}
	if err := writeSecret(path, hex.EncodeToString(key)+"\n"); err != nil {
		return nil, err
	}
	return key, nil
}

func writeSecret(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("%w: %w", errKeyFile, err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("%w: %w", errKeyFile, err)
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("%w: %w", errKeyFile, err)
	}
	return nil
}
