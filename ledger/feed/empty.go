package feed

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// emptyEvery is how often Empty looks.
const emptyEvery = 200 * time.Millisecond

// Empty brings what the topic holds now into the warehouse, and returns when all of it is
// there: what has to be done before a store that was restored may go on, since the topic may
// hold more than the warehouse. No store is asked or told. Who still writes to the topic must
// have been stopped; what comes later is not waited for.
func Empty(ctx context.Context, o SinkOptions) error {
	o.Source, o.OnGap = nil, nil
	client, end := o.Kafka.client()
	defer end()
	all := make([]kafka.PartitionAssignment, txn.BucketCount)
	for i := range all {
		all[i].ID = i
	}
	goal, err := readExtents(ctx, client, o.Kafka.topic(), all)
	if err != nil {
		return fmt.Errorf("cannot read how long the topic is: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := NewSink(o)
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	for {
		left, err := unread(ctx, client, &s.o, goal)
		switch {
		case err != nil:
			s.in.log.Warn("cannot read how far the topic was taken; trying again", "error", err)
		case left == 0:
			cancel()
			return <-ended
		}
		select {
		case err := <-ended:
			return errors.Join(fmt.Errorf("the topic was not emptied, %d partitions are left", left), err, ctx.Err())
		case <-time.After(emptyEvery):
		}
	}
}

// unread counts the partitions that are not taken to their goal.
func unread(ctx context.Context, client *kafka.Client, o *SinkOptions, goal map[int]extent) (int, error) {
	topic := o.Kafka.topic()
	ask := map[string][]int{topic: {}}
	for id, e := range goal {
		if e.last > e.first {
			ask[topic] = append(ask[topic], id)
		}
	}
	if len(ask[topic]) == 0 {
		return 0, nil
	}
	res, err := client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: o.Group, Topics: ask})
	if err == nil {
		err = res.Error
	}
	if err != nil {
		return len(ask[topic]), fmt.Errorf("offsets of %s: %w", o.Group, err)
	}
	left := len(ask[topic])
	for _, p := range res.Topics[topic] {
		if p.Error == nil && p.CommittedOffset >= goal[p.Partition].last {
			left--
		}
	}
	return left, nil
}
