package local

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tapswitch/tapswitch/switch/store"
)

// Get returns a registry value; see store.Registry.
func (s *Store) Get(_ context.Context, key string) ([]byte, uint64, error) {
	if err := s.enter(); err != nil {
		return nil, 0, err
	}
	defer s.leave()
	return s.registryValue(key)
}

func registryKey(key string) []byte { return append([]byte{keyRegistry}, key...) }

func (s *Store) registryValue(key string) (value []byte, version uint64, err error) {
	_, err = s.get(registryKey(key), func(v []byte) error {
		if len(v) <= 8 {
			return fmt.Errorf("%w: registry value of %d bytes", store.ErrDamaged, len(v))
		}
		version, value = binary.LittleEndian.Uint64(v), bytes.Clone(v[8:])
		return nil
	})
	return value, version, err
}

// Put writes a registry value; see store.Registry. Each Put is a sync of its own: the
// registry is for things that change rarely.
func (s *Store) Put(_ context.Context, key string, value []byte, version uint64) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if len(key) == 0 || len(key) > store.RegistryKeyMax || len(value) > store.RegistryMax {
		return fmt.Errorf("%w: registry key of %d bytes, value of %d", store.ErrTooLarge,
			len(key), len(value))
	}
	s.registryMu.Lock()
	defer s.registryMu.Unlock()
	_, now, err := s.registryValue(key)
	if err != nil {
		return err
	}
	if now != version {
		return store.ErrConflict
	}
	batch := s.db.NewBatch()
	defer batch.Close()
	if len(value) == 0 {
		err = batch.Delete(registryKey(key), nil)
	} else {
		stored := binary.LittleEndian.AppendUint64(nil, version+1)
		err = batch.Set(registryKey(key), append(stored, value...), nil)
	}
	if err != nil {
		return err
	}
	if err := s.write(batch, pebble.Sync); err != nil {
		s.fail(err)
		return s.fault.Load().err
	}
	return nil
}

// Keys returns the registry's keys with a prefix, in order.
func (s *Store) Keys(_ context.Context, prefix string) ([]string, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	var keys []string
	lower := registryKey(prefix)
	err := s.scan(s.db, lower, keyAfter(lower), func(k, _ []byte) error {
		keys = append(keys, string(k[1:]))
		return nil
	})
	return keys, err
}

// keyAfter returns the first key that does not begin with prefix. Prefixes begin with
// a letter, so there is one.
func keyAfter(prefix []byte) []byte {
	after := bytes.Clone(prefix)
	for i := len(after) - 1; ; i-- {
		if after[i]++; after[i] != 0 {
			return after[:i+1]
		}
	}
}
