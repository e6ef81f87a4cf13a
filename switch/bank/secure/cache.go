package secure

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

const (
	shardCount = 64
	// victimsMax is how many entries of a full shard are looked at for one that was not used
	// since it was last looked at.
	victimsMax = 8
)

// cache keeps what was read of terminals, a bounded number. What does not fit is dropped, the
// seldom used first, and read again when it is needed.
type cache struct {
	seed   maphash.Seed
	shards [shardCount]shard
}

type shard struct {
	mu      sync.RWMutex // guards all
	max     int
	entries map[string]*cached
}

type cached struct {
	keys *signedOn
	used atomic.Bool
}

func (c *cache) init(most int) {
	c.seed = maphash.MakeSeed()
	for i := range c.shards {
		// At least one a shard: a bound below shardCount is one of shardCount.
		c.shards[i].max = max(1, most/shardCount)
		c.shards[i].entries = map[string]*cached{}
	}
}

func (c *cache) of(terminal string) *shard {
	return &c.shards[maphash.String(c.seed, terminal)%shardCount]
}

// get returns what is kept of a terminal, nil for nothing.
func (c *cache) get(terminal string) *signedOn {
	s := c.of(terminal)
	s.mu.RLock()
	defer s.mu.RUnlock()
	e := s.entries[terminal]
	if e == nil {
		return nil
	}
	if !e.used.Load() {
		e.used.Store(true)
	}
	return e.keys
}

// put keeps keys, unless there are newer ones.
func (c *cache) put(terminal string, keys *signedOn) {
	s := c.of(terminal)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[terminal]; e != nil {
		if e.keys.version < keys.version {
			e.keys = keys
		}
		return
	}
	if len(s.entries) >= s.max {
		s.evictLocked()
	}
	s.entries[terminal] = &cached{keys: keys}
}

// evictLocked drops one entry of a full shard: maps are gone through in no order.
func (s *shard) evictLocked() {
	victim, seen := "", 0
	for name, e := range s.entries {
		victim = name
		if seen++; seen >= victimsMax || !e.used.Swap(false) {
			break
		}
	}
	delete(s.entries, victim)
}

// len returns how many terminals are kept.
func (c *cache) len() (n int) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.RLock()
		n += len(s.entries)
		s.mu.RUnlock()
	}
	return n
}
