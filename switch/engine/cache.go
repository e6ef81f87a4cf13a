package engine

import (
	"context"
	"sync"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Cache keeps card states in front of a store whose Load is a round trip: a bounded
// number of cards with their versions. What it holds may be stale, which costs a retry
// and never a wrong answer, since Commit compares the version. It is safe for
// concurrent use.
type Cache struct {
	cards    store.Cards
	shardMax int
	shards   [txn.BucketCount]cacheShard
}

type cacheShard struct {
	mu    sync.Mutex // guards the fields below; nothing is called under it
	cards map[pan.Token]*cached
	clock []*cached // second-chance ring
	hand  int
}

type cached struct {
	card    pan.Token
	version uint64
	state   []byte
	used    bool
}

// NewCache returns a Cache of at most cardsMax cards in front of cards.
func NewCache(cards store.Cards, cardsMax int) *Cache {
	c := &Cache{cards: cards, shardMax: max(1, cardsMax/txn.BucketCount)}
	for i := range c.shards {
		c.shards[i].cards = make(map[pan.Token]*cached)
	}
	return c
}

var _ store.Cards = (*Cache)(nil)

// Load returns the cached state, or loads and keeps it. The mark of a cached card is
// not known; the engine asks its replica.
func (c *Cache) Load(ctx context.Context, card pan.Token, dst []byte) (store.Loaded, error) {
	if l, ok := c.get(card, dst); ok {
		return l, nil
	}
	l, err := c.cards.Load(ctx, card, dst)
	if err == nil && l.Version > 0 {
		c.put(card, l.Version, l.State)
	}
	return l, err
}

// Commit commits and keeps the states that it learns about.
func (c *Cache) Commit(ctx context.Context, commits []*store.Commit) error {
	err := c.cards.Commit(ctx, commits)
	for _, m := range commits {
		switch {
		case m.Err != nil:
			c.drop(m.Card)
		case m.Status == store.Committed && len(m.State) > 0:
			c.put(m.Card, m.Version+1, m.State)
		case m.Status == store.VersionConflict || m.Status == store.MarkConflict:
			if m.Current.Version > 0 {
				c.put(m.Card, m.Current.Version, m.Current.State)
			}
		}
	}
	return err
}

func (c *Cache) shard(card pan.Token) *cacheShard { return &c.shards[txn.BucketOf(card)] }

func (c *Cache) get(card pan.Token, dst []byte) (store.Loaded, bool) {
	s := c.shard(card)
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.cards[card]
	if !ok {
		return store.Loaded{}, false
	}
	e.used = true
	return store.Loaded{State: append(dst[:0], e.state...), Version: e.version}, true
}

// put keeps the state unless a later version is there already: commits of one card may
// come back in another order than they were applied.
func (c *Cache) put(card pan.Token, version uint64, state []byte) {
	s := c.shard(card)
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.cards[card]
	if !ok {
		e = s.placeLocked(card, c.shardMax)
	} else if e.version > version {
		return
	}
	e.version, e.used = version, true
	e.state = append(e.state[:0], state...)
}

// placeLocked makes room for a card: a new entry below the limit, else the first that was
// not used since the hand came by.
func (s *cacheShard) placeLocked(card pan.Token, limit int) *cached {
	if len(s.clock) < limit {
		e := &cached{card: card}
		s.clock = append(s.clock, e)
		s.cards[card] = e
		return e
	}
	for s.clock[s.hand].used {
		s.clock[s.hand].used = false
		s.hand = (s.hand + 1) % len(s.clock)
	}
	e := s.clock[s.hand]
	s.hand = (s.hand + 1) % len(s.clock)
	delete(s.cards, e.card)
	e.card, e.version = card, 0
	s.cards[card] = e
	return e
}

func (c *Cache) drop(card pan.Token) {
	s := c.shard(card)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.cards[card]; ok {
		e.version, e.used = 0, false
		delete(s.cards, card)
		// The ring keeps the empty entry until the hand reuses it under another card.
		e.card = pan.Token{}
	}
}
