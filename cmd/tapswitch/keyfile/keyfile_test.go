package keyfile

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/switch/store"
)

// shelf is a registry in memory.
type shelf map[string][]byte

func (s shelf) Get(_ context.Context, key string) ([]byte, uint64, error) {
	if v, ok := s[key]; ok {
		return v, 1, nil
	}
	return nil, 0, nil
}

func (s shelf) Put(_ context.Context, key string, value []byte, version uint64) error {
	if _, ok := s[key]; ok != (version > 0) {
		return store.ErrConflict
	}
	s[key] = value
	return nil
}

func (s shelf) Keys(context.Context, string) ([]string, error) { return nil, nil }

// TestKeyBelongsToStore: the first start makes the key; after that a store is opened with
// this key or not at all, since under another one every freeze would be forgotten.
func TestKeyBelongsToStore(t *testing.T) {
	ctx, registry, dir := t.Context(), shelf{}, t.TempDir()
	path, other := filepath.Join(dir, "keys", "token.key"), filepath.Join(dir, "other.key")
	first, err := Open(ctx, registry, "token", path)
	if err != nil || len(first) != keySize {
		t.Fatal(first, err)
	}
	again, err := Open(ctx, registry, "token", path)
	if err != nil || !bytes.Equal(first, again) {
		t.Fatal("the key changed", err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(ctx, registry, "token", path); err == nil || !strings.Contains(err.Error(), "backup") {
		t.Errorf("a lost key: %v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a new key was made in place of the lost one")
	}
	if _, err := makeKey(other); err != nil {
		t.Fatal(err)
	}
	_, err = Open(ctx, registry, "token", other)
	if !errors.Is(err, ErrOtherKey) || strings.Contains(err.Error(), strings.TrimSpace(string(text))[:16]) {
		t.Errorf("another key: %v", err)
	}
	if _, err := Open(ctx, registry, "master", filepath.Join(dir, "master.key")); err != nil {
		t.Errorf("each key has a check value of its own: %v", err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if back, err := Open(ctx, registry, "token", path); err != nil || !bytes.Equal(first, back) {
		t.Errorf("the restored key: %v", err)
	}
}

// TestKeyOfAnotherSwitch: of two switches that start at once on one store, the one with the
// other key is told so.
func TestKeyOfAnotherSwitch(t *testing.T) {
	registry, dir := racing{shelf{}}, t.TempDir()
	_, err := Open(t.Context(), registry, "token", filepath.Join(dir, "token.key"))
	if !errors.Is(err, ErrOtherKey) {
		t.Errorf("got %v", err)
	}
}

// racing is a registry to which somebody else is faster.
type racing struct{ shelf }

func (r racing) Put(_ context.Context, key string, _ []byte, _ uint64) error {
	r.shelf[key] = []byte("0123456789abcdef")
	return store.ErrConflict
}
