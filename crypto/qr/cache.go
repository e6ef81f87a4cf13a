package qr

import (
	"crypto/sha256"
	"sync"

	"github.com/tapswitch/tapswitch/crypto/sm"
)

// proven is a key whose signed bytes were verified under a CA. It counts only while that
// CA is the trusted one of its index: pointers are compared.
type proven struct {
	ca  *CA
	key *sm.PublicKey
}

// proof names verified bytes. SHA-256 has no known collisions, so bytes of an attacker
// never find another's entry.
type proof [sha256.Size]byte

// shardCount spreads the entries, so that two cores seldom meet at a lock.
const shardCount = 16

// cache remembers at most max proven keys. The oldest makes room: only verified bytes get in,
// so it cannot be filled by garbage.
type cache struct {
	shards [shardCount]shard
}

type shard struct {
	mu struct {
		sync.RWMutex
		entries map[proof]proven
		ring    []proof // in the order of arrival, next is the oldest once it is full
		next    int
	}
	max int
}

func newCache(max int) *cache {
	c := &cache{}
	for i := range c.shards {
		c.shards[i].max = (max + shardCount - 1 - i) / shardCount
		c.shards[i].mu.entries = make(map[proof]proven)
	}
	return c
}

func (c *cache) shard(p proof) *shard { return &c.shards[p[0]%shardCount] }

// get returns the key of p, if it was proven under ca.
func (c *cache) get(p proof, ca *CA) *sm.PublicKey {
	s := c.shard(p)
	s.mu.RLock()
	e := s.mu.entries[p]
	s.mu.RUnlock()
	if e.ca != ca {
		return nil
	}
	return e.key
}

func (c *cache) put(p proof, e proven) {
	s := c.shard(p)
	if s.max == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.mu.entries[p]; !known {
		s.makeRoomLocked(p)
	}
	s.mu.entries[p] = e
}

// makeRoomLocked gives p a place in the ring, at the limit that of the oldest.
func (s *shard) makeRoomLocked(p proof) {
	if len(s.mu.ring) < s.max {
		s.mu.ring = append(s.mu.ring, p)
		return
	}
	delete(s.mu.entries, s.mu.ring[s.mu.next])
	s.mu.ring[s.mu.next] = p
	s.mu.next = (s.mu.next + 1) % s.max
}

// len returns how many keys are held.
func (c *cache) len() (n int) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.RLock()
		n += len(s.mu.entries)
		s.mu.RUnlock()
	}
	return n
}
