//go:build unix

package lock_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/tapswitch/tapswitch/ledger/lock"
)

func TestOneHolder(t *testing.T) {
	dir := t.TempDir()
	held, err := lock.Take(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock.Take(dir); !errors.Is(err, lock.ErrHeld) {
		t.Fatalf("a second holder: %v", err)
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := lock.Take(dir)
	if err != nil {
		t.Fatalf("after it was given back: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := lock.Take(filepath.Join(dir, "none")); err == nil || errors.Is(err, lock.ErrHeld) {
		t.Errorf("a folder that there is not: %v", err)
	}
}
