package finance

import (
	"context"
	"fmt"
	"time"

	"github.com/tapswitch/tapswitch/ledger/feed"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Stream returns what counts the records of a business date in a topic.
func Stream(
	brokers []string, topic string,
) func(context.Context, txn.BusinessDate) (uint64, error) {
	return func(ctx context.Context, date txn.BusinessDate) (uint64, error) {
		return countStream(ctx, brokers, topic, date)
	}
}

const (
	// fetchTriesMax is how often a fetch may fail: a broker that has just started has no
	// coordinator of groups for some seconds.
	fetchTriesMax = 60
	fetchPause    = 500 * time.Millisecond
)

// pause waits before the next try.
func pause(ctx context.Context) error {
	timer := time.NewTimer(fetchPause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// countStream counts the records of a business date in the stream, each position once, from the
// oldest message until the marker that ends the date has come in every bucket. What the broker
// has dropped by then is missing from the count, and the day is not certified.
func countStream(
	ctx context.Context, brokers []string, topic string, date txn.BusinessDate,
) (n uint64, err error) {
	group := fmt.Sprintf("%s-certificate-%d-%d", topic, date, time.Now().UnixNano())
	s := feed.NewSubscriber(brokers, group, []string{topic})
	defer s.Close()
	var last [txn.BucketCount]txn.Position
	ended, tries := 0, 0
	for ended < txn.BucketCount {
		m, err := s.Fetch(ctx)
		if err != nil {
			if tries++; tries > fetchTriesMax || pause(ctx) != nil {
				return n, err
			}
			continue // nothing is skipped: positions tell what came before
		}
		r, err := m.Record()
		if err != nil {
			return n, fmt.Errorf("a message of %s is no record: %w", topic, err)
		}
		b := r.Position.Bucket
		if !last[b].Before(r.Position) {
			continue // sent again
		}
		last[b] = r.Position
		if r.BusinessDate == date && r.Position.Seq > 0 {
			n++
		}
		if r.Kind == txn.DayMarker && r.ClosedDate == date {
			ended++
		}
	}
	return n, nil
}
