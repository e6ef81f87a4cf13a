package feed

import (
	"context"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// Subscriber reads single messages of others from topics, such as the city's exchange
// platform: in order within a partition, at least once. What was fetched and is not done comes
// again to the next Subscriber of the group. For one goroutine; Close may be called from any.
type Subscriber struct{ reader *kafka.Reader }

// NewSubscriber returns a Subscriber of a group; it connects when it is used. A group that is
// new begins with the oldest messages. Topics are never created.
func NewSubscriber(brokers []string, group string, topics []string) *Subscriber {
	return &Subscriber{kafka.NewReader(kafka.ReaderConfig{
		Brokers: brokers, GroupID: group, GroupTopics: topics, StartOffset: kafka.FirstOffset,
		MaxBytes: subscribedMax, MaxWait: subscribeWait, CommitInterval: 0, MaxAttempts: 1,
	})}
}

const (
	// subscribedMax bounds one answer of a broker; greater messages come one at a time.
	subscribedMax = 8 << 20
	subscribeWait = 500 * time.Millisecond
)

// Received is a message with its place. At is when the broker took it, or when it was made,
// as the topic is configured.
type Received struct {
	Message
	Topic string
	At    time.Time

	raw kafka.Message
}

// Fetch waits for the next message, or for the end of ctx.
func (s *Subscriber) Fetch(ctx context.Context) (Received, error) {
	m, err := s.reader.FetchMessage(ctx)
	if err != nil {
		return Received{}, fmt.Errorf("fetching from topics of others: %w", err)
	}
	r := Received{Message: Message{Key: m.Key, Body: m.Value, Headers: map[string]string{}}, Topic: m.Topic,
		At: m.Time, raw: m}
	for _, h := range m.Headers {
		r.Headers[h.Key] = string(h.Value)
	}
	return r, nil
}

// Record reads a message of the records topic; an error says that it holds none that can be
// booked.
func (r *Received) Record() (txn.Record, error) {
	it := messageItem(&r.raw)
	return it.record, it.fault
}

// Done says that everything up to r in its partition need not come again; it is durable on
// return.
func (s *Subscriber) Done(ctx context.Context, r *Received) error {
	if err := s.reader.CommitMessages(ctx, r.raw); err != nil {
		return fmt.Errorf("topic %s: %w", r.Topic, err)
	}
	return nil
}

// Close ends the connections and leaves the group.
func (s *Subscriber) Close() error {
	if err := s.reader.Close(); err != nil {
		return fmt.Errorf("closing the subscriber: %w", err)
	}
	return nil
}
