package feed

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrRestored reports that the warehouse holds records that the store has never written: the
// store was restored from an older copy. Numbers that it gives out now were given out before,
// and a record under such a number would be dropped as a duplicate. Nothing is fed any more;
// store.Successor says how the store goes on.
var ErrRestored = errors.New("the store is an older copy than the warehouse")

// compareEvery is how often a running feed looks whether the store has gone back.
const compareEvery = 5 * time.Second

// compare stops the feed when a bucket of the store ends before what was taken of it. What
// was taken came from the store, so in a store that was never restored this cannot be.
func (in *intake) compare(ctx context.Context) error {
	if in.buckets == nil {
		return nil
	}
	held := in.seq.Held() // before the store is asked: it only goes on
	err := retry(ctx, in.log, "cannot read how far the store is", func() error {
		infos, err := in.buckets(ctx)
		if err != nil {
			return err
		}
		var behind int64
		var first string
		for i := range infos {
			b := &infos[i]
			if !b.Last.Before(held[b.Bucket]) {
				continue
			}
			if behind++; behind == 1 {
				first = fmt.Sprintf("%s holds %s, the store ends at %s", b.Bucket, held[b.Bucket], b.Last)
			}
		}
		in.counters.RestoredBuckets.Store(behind)
		if behind > 0 {
			return final{fmt.Errorf("%w: %d buckets; %s: see the runbook lost-store", ErrRestored, behind, first)}
		}
		return nil
	})
	in.compared = time.Now()
	if errors.Is(err, ErrRestored) {
		in.log.Error("the feed stops", "error", err)
	}
	return err
}

// watch compares again when it is time.
func (in *intake) watch(ctx context.Context) error {
	if time.Since(in.compared) < compareEvery {
		return nil
	}
	return in.compare(ctx)
}
