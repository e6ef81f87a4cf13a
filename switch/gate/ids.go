package gate

import (
	"hash/maphash"
	"sync"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/gate/refusal"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// A card remembers its own requests, so the same id on another card is news to that card:
// it lands in another bucket. The gate that a terminal talks to remembers which card each
// of the last ids was for. What slips through, after a restart or at another gate, the
// ledger finds: it counts ids that were booked twice.

const (
	idShards = 64
	idSets   = 4096 // of a shard
	idWays   = 4    // ids of a set; the next one takes the place of the oldest
)

// idMemory remembers the cards of about a million recent request ids, as hashes of 64 bits
// in 17 MB that hold no pointer. Two ids that collide, one pair in 10^13, cost one refused
// request; an id whose set has seen four others since is forgotten. It is safe for
// concurrent use.
type idMemory struct {
	seed   maphash.Seed
	shards [idShards]idShard
}

type idShard struct {
	mu   sync.Mutex // guards sets
	sets []idSet    // made with the first id
}

type idSet struct {
	ids, cards [idWays]uint64
	next       uint64 // the oldest
}

func newIDMemory() *idMemory { return &idMemory{seed: maphash.MakeSeed()} }

// claim reports whether id is new or known for this card.
func (m *idMemory) claim(id txn.RequestID, card pan.Token) bool {
	// Zero is an empty place.
	key, value := maphash.Comparable(m.seed, id)|1<<63, maphash.Comparable(m.seed, card)
	s := &m.shards[key%idShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sets == nil {
		s.sets = make([]idSet, idSets)
	}
	set := &s.sets[key/idShards%idSets]
	for i := range set.ids {
		if set.ids[i] == key {
			return set.cards[i] == value
		}
	}
	set.ids[set.next], set.cards[set.next] = key, value
	set.next = (set.next + 1) % idWays
	return true
}

// claimed refuses a request whose id was used for another card.
func (s *Server) claimed(r *txn.Request) refusal.Value {
	if s.ids.claim(r.ID, r.Card) {
		return refusal.Value{}
	}
	s.noteReuse(r)
	return refusal.Value{Code: refusal.RequestRefused, Reason: txn.IDReused}
}

// noteReuse logs a faulty or forging terminal: what it sent leaves no record.
func (s *Server) noteReuse(r *txn.Request) {
	s.log.Warn("request id reused", "request", r.ID.String(), "kind", r.Kind.String(),
		"token", r.Card.String(), "last4", r.Last4.String(), "amount", int64(r.Amount))
}
