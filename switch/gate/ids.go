package gate

import (
	"hash/maphash"
	"sync"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// A card remembers its own requests, so the same id on another card is news to that card:
// it lands in another bucket. The gate that a terminal talks to remembers which card each
// of the last ids was for. What slips through, after a restart or at another gate, the
// ledger finds: it counts ids that were booked twice.

const (
	idShards = 64
	// idsPerShard bounds a generation of a shard; two are kept, so at least the last
	// million ids are known, in about 40 MB when all are in use.
	idsPerShard = 1 << 14
)

// idMemory remembers the cards of recent request ids as hashes of 64 bits. Two ids that
// collide, one in 10^13, cost one refused request. It is safe for concurrent use.
type idMemory struct {
	seed   maphash.Seed
	shards [idShards]idShard
}

type idShard struct {
	mu       sync.Mutex // guards both generations
	now, old map[uint64]uint64
}

func newIDMemory() *idMemory { return &idMemory{seed: maphash.MakeSeed()} }

// claim reports whether id is new or known for this card.
func (m *idMemory) claim(id txn.RequestID, card pan.Token) bool {
	key, value := maphash.Comparable(m.seed, id), maphash.Comparable(m.seed, card)
	s := &m.shards[key%idShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	known, ok := s.now[key]
	if !ok {
		known, ok = s.old[key]
	}
	if ok && known != value {
		return false
	}
	if s.now == nil || len(s.now) >= idsPerShard {
		s.now, s.old = make(map[uint64]uint64), s.now
	}
	s.now[key] = value
	return true
}

// claimed refuses a request whose id was used for another card.
func (s *Server) claimed(r *txn.Request) refusal {
	if s.ids.claim(r.ID, r.Card) {
		return refusal{}
	}
	s.noteReuse(r)
	return refusal{code: RequestRefused, reason: txn.IDReused}
}

// noteReuse logs a faulty or forging terminal: what it sent leaves no record.
func (s *Server) noteReuse(r *txn.Request) {
	s.log.Warn("request id reused", "request", r.ID.String(), "kind", r.Kind.String(),
		"token", r.Card.String(), "last4", r.Last4.String(), "amount", int64(r.Amount))
}
