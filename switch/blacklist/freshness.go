package blacklist

import (
	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Freshness says how far an answer about a card may be trusted.
type Freshness uint8

// The freshnesses, the least trusted first.
const (
	// Unknown: no complete snapshot has been seen yet. A card that is not listed may
	// well be frozen.
	Unknown Freshness = iota
	// Stale: the list was complete once, but the store has not confirmed it for longer
	// than the lease. Who is listed is frozen; who is not may be.
	Stale
	// Fresh: within the lease the store said that the list is complete.
	Fresh
)

// String returns the freshness as in metrics and answers: "FRESH".
func (f Freshness) String() string {
	switch f {
	case Fresh:
		return "FRESH"
	case Stale:
		return "STALE"
	default:
		return "UNKNOWN"
	}
}

// Checker answers for one card. Safe for concurrent use; it does not block and does not
// allocate.
type Checker interface {
	// Check returns the card's mark and how far it may be trusted. A mark that is not
	// zero may be trusted to refuse the card at any freshness.
	Check(card pan.Token) (txn.Mark, Freshness)
}

// Owned answers from a Set that its store keeps up to date inside every commit, so that
// it is always Fresh.
type Owned struct{ set *Set }

// Live returns a checker for the set that a store in the same process owns.
func Live(set *Set) Owned { return Owned{set: set} }

// Check implements Checker.
func (o Owned) Check(card pan.Token) (txn.Mark, Freshness) { return o.set.Get(card), Fresh }

// Mark returns the card's mark alone.
func (o Owned) Mark(card pan.Token) txn.Mark { return o.set.Get(card) }

// Learn does nothing: the store has changed the set already, and a mark learned late
// would undo a later change.
func (o Owned) Learn(pan.Token, txn.Mark) {}

// Stats returns the set's size; the rest is that of a replica in step.
func (o Owned) Stats() Stats {
	return Stats{Cards: o.set.Len(), Bytes: o.set.Bytes(), Freshness: Fresh}
}

var (
	_ Checker = Owned{}
	_ Checker = (*Replica)(nil)
)
