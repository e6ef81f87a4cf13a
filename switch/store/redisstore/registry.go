package redisstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tapswitch/tapswitch/switch/store"
)

// keysPage is how many registry keys one read asks for.
const keysPage = 512

// Get implements store.Registry.
func (s *Store) Get(ctx context.Context, key string) ([]byte, uint64, error) {
	if err := s.begin(); err != nil {
		return nil, 0, fmt.Errorf("redisstore: registry: %w", err)
	}
	defer s.end()
	if err := checkKey(key); err != nil {
		return nil, 0, err
	}
	r := s.askRead(registryPlace, s.keys.registry, "HGET", key)
	if err := s.query(ctx, r); err != nil {
		return nil, 0, err
	}
	version, value, err := decodeState(r.text(0)) // stored as card states are
	if err != nil {
		return nil, 0, fmt.Errorf("redisstore: registry %q: %w", key, err)
	}
	if version == 0 {
		return nil, 0, nil
	}
	return []byte(value), version, nil
}

var errKey = errors.New("empty registry key")

func checkKey(key string) error {
	switch {
	case key == "":
		return fmt.Errorf("redisstore: %w", errKey)
	case len(key) > store.RegistryKeyMax:
		return fmt.Errorf("redisstore: %w: registry key of %d bytes, limit %d",
			store.ErrTooLarge, len(key), store.RegistryKeyMax)
	}
	return nil
}

// Put implements store.Registry. A Put that failed with ErrUnavailable is in doubt: Get
// tells.
func (s *Store) Put(ctx context.Context, key string, value []byte, version uint64) error {
	if err := s.begin(); err != nil {
		return fmt.Errorf("redisstore: registry: %w", err)
	}
	defer s.end()
	if err := checkKey(key); err != nil {
		return err
	}
	if len(value) > store.RegistryMax {
		return fmt.Errorf("redisstore: %w: registry value of %d bytes, limit %d",
			store.ErrTooLarge, len(value), store.RegistryMax)
	}
	var stored []byte
	if len(value) > 0 {
		stored = append(binary.BigEndian.AppendUint64(nil, version+1), value...)
	}
	r := s.ask(registryPlace, s.scripts.put, []string{s.keys.registry}, key,
		versionBytes(version), stored)
	if err := s.query(ctx, r); err != nil {
		return err
	}
	err := r.refusal()
	if errors.Is(err, errChanged) {
		return fmt.Errorf("redisstore: registry %q: %w: version %d", key, store.ErrConflict,
			version)
	}
	return err
}

// Keys implements store.Registry.
func (s *Store) Keys(ctx context.Context, prefix string) ([]string, error) {
	if err := s.begin(); err != nil {
		return nil, fmt.Errorf("redisstore: registry: %w", err)
	}
	defer s.end()
	var keys []string
	for cursor := "0"; ; {
		r := s.askRead(registryPlace, s.keys.registry, "HSCAN", cursor, "MATCH",
			globPrefix(prefix), "COUNT", keysPage)
		if err := s.query(ctx, r); err != nil {
			return nil, err
		}
		page := r.list(0)
		fields := listOf(page, 1)
		for i := 0; i < len(fields); i += 2 {
			keys = append(keys, textOf(fields, i))
		}
		if cursor = textOf(page, 0); cursor == "0" || cursor == "" {
			break
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys), nil // a scan may tell a key twice
}

// globPrefix returns the pattern that matches what begins with prefix.
func globPrefix(prefix string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(prefix) + "*"
}
