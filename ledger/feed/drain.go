package feed

import (
	"context"
	"fmt"
	"time"

	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Source is the hot store as far as the ledger sees it; store.Store has it.
type Source interface {
	store.Outbox
	// Buckets returns the numbering of every bucket.
	Buckets(ctx context.Context) ([]store.BucketInfo, error)
}

// drainEvery is how often Drain looks.
const drainEvery = 20 * time.Millisecond

// drain waits until the outbox has heard that the warehouse holds everything that was
// durable when drain was called. kick asks for an early flush; stopped tells of buckets
// that wait for missing records.
func drain(ctx context.Context, s Source, kick func(), stopped func(txn.Bucket) bool) error {
	goal, err := s.Buckets(ctx)
	if err != nil {
		return fmt.Errorf("cannot read what is to be drained: %w", err)
	}
	for {
		now, err := s.Buckets(ctx)
		if err != nil {
			return fmt.Errorf("cannot read how far the ledger is: %w", err)
		}
		open := -1
		for b := range goal {
			if now[b].Confirmed.Before(goal[b].Last) {
				open = b
				if stopped(goal[b].Bucket) {
					return fmt.Errorf("%w: %s confirmed, %s to drain", ErrStopped,
						now[b].Confirmed, goal[b].Last)
				}
			}
		}
		if open < 0 {
			return nil
		}
		kick()
		if !wait(ctx, drainEvery) {
			return fmt.Errorf("ledger not drained: %s confirmed of %s: %w", now[open].Confirmed,
				goal[open].Last, ctx.Err())
		}
	}
}

// kicker asks the loop of an intake to flush now; asking twice is asking once.
type kicker chan struct{}

// newKicker returns a kicker that nobody has kicked.
func newKicker() kicker { return make(kicker, 1) }

// kick asks for a flush and never waits.
func (k kicker) kick() {
	select {
	case k <- struct{}{}:
	default:
	}
}
