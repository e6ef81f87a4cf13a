package feed

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
)

// Publisher writes single messages to topics of others, such as the city's exchange platform:
// notices, one at a time, each acknowledged by all replicas before Publish returns. Safe for
// concurrent use. Messages of one key keep their order.
type Publisher struct{ writer *kafka.Writer }

// NewPublisher returns a Publisher to the brokers; it connects when it is used.
func NewPublisher(brokers []string) *Publisher {
	return &Publisher{&kafka.Writer{
		Addr: kafka.TCP(brokers...), Balancer: &kafka.Hash{}, RequiredAcks: kafka.RequireAll,
		Async: false, MaxAttempts: 1, BatchTimeout: batchWait, ReadTimeout: writeTimeout,
		WriteTimeout: writeTimeout, AllowAutoTopicCreation: false,
		Transport: &kafka.Transport{DialTimeout: adminTimeout},
	}}
}

// Message is what Publish sends. Headers stand beside the body.
type Message struct {
	Key     []byte
	Body    []byte
	Headers map[string]string
}

// Publish returns nil when the broker has the message. After an error it may have it too:
// whoever reads drops repeats by the headers.
func (p *Publisher) Publish(ctx context.Context, topic string, m Message) error {
	out := kafka.Message{Topic: topic, Key: m.Key, Value: m.Body, Time: time.Now()}
	for name, value := range m.Headers {
		out.Headers = append(out.Headers, kafka.Header{Key: name, Value: []byte(value)})
	}
	if err := p.writer.WriteMessages(ctx, out); err != nil {
		var each kafka.WriteErrors
		if errors.As(err, &each) && len(each) == 1 && each[0] != nil {
			err = each[0]
		}
		return fmt.Errorf("topic %s: %w", topic, err)
	}
	return nil
}

// Close ends the connections.
func (p *Publisher) Close() error {
	if err := p.writer.Close(); err != nil {
		return fmt.Errorf("closing the publisher: %w", err)
	}
	return nil
}
