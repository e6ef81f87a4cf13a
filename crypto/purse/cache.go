package purse

import (
	"sync"
	"sync/atomic"
)

// cacheKey names a derived key: the master and the factors that it was derived with, all of
// them, so that no two cards share an entry.
type cacheKey struct {
	master *Master
	factor [LevelsMax]uint64
}

// hash mixes the factors. An attacker who chooses serial numbers that collide gains misses,
// which cost a derivation each.
func (k *cacheKey) hash() uint64 {
	h := uint64(0x9e3779b97f4a7c15)
	for _, f := range k.factor {
		h = (h ^ f) * 0xff51afd7ed558ccd
		h ^= h >> 32
	}
	return h
}

// ways is the number of entries that share a lock and are searched together.
const ways = 4

// set is one group of entries. Empty entries have tag 0.
type set[V any] struct {
	still atomic.Uint32 // never written: what touch reads, on the line of the lock
	mu    sync.Mutex
	tag   [ways]uint32 // part of the hash, so that a miss reads one line of memory
	next  uint8        // the entry that goes next
	entry [ways]struct {
		key   cacheKey
		value V
	}
}

// cache is a bounded table of derived keys. It forgets in the order of arrival within a set.
// Its memory is taken once and never grows. Safe for concurrent use; locks are held for a
// copy only.
type cache[V any] struct {
	sets []set[V]
}

// newCache returns a cache of at least n entries, a power of two; 0 makes one that keeps
// nothing.
func newCache[V any](n int) *cache[V] {
	if n <= 0 {
		return &cache[V]{}
	}
	sets := 1
	for sets*ways < n {
		sets *= 2
	}
	return &cache[V]{sets: make([]set[V], sets)}
}

// place returns the set and the tag of a hash.
func (c *cache[V]) place(hash uint64) (*set[V], uint32) {
	return &c.sets[hash&uint64(len(c.sets)-1)], uint32(hash>>32) | 1
}

// touch brings the set of a hash into the processor's cache. A table of many cards does not
// fit there; waiting for one lock after the other would cost more than a MAC.
func (c *cache[V]) touch(hash uint64) uint32 {
	if len(c.sets) == 0 {
		return 0
	}
	s, _ := c.place(hash)
	return s.still.Load()
}

// get copies the value of k to v and reports whether there was one.
func (c *cache[V]) get(k *cacheKey, hash uint64, v *V) bool {
	if len(c.sets) == 0 {
		return false
	}
	s, tag := c.place(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.entry {
		if s.tag[i] == tag && s.entry[i].key == *k {
			*v = s.entry[i].value
			return true
		}
	}
	return false
}

// put keeps a copy of v under k.
func (c *cache[V]) put(k *cacheKey, hash uint64, v *V) {
	if len(c.sets) == 0 {
		return
	}
	s, tag := c.place(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := &s.entry[s.next]
	s.tag[s.next], e.key, e.value = tag, *k, *v
	s.next = (s.next + 1) % ways
}

// purge overwrites everything.
func (c *cache[V]) purge() {
	for i := range c.sets {
		s := &c.sets[i]
		s.mu.Lock()
		clear(s.tag[:])
		clear(s.entry[:])
		s.mu.Unlock()
	}
}
