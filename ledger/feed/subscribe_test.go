package feed

import (
	"fmt"
	"testing"

	"github.com/segmentio/kafka-go"

	"github.com/tapswitch/tapswitch/ledger/warehouse/warehousetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// What is done does not come again, what is not done comes to the next of the group.
func TestSubscriber(t *testing.T) {
	k := sharedKafka(t)
	client := &kafka.Client{Addr: kafka.TCP(k.Brokers...)}
	made, err := client.CreateTopics(t.Context(), &kafka.CreateTopicsRequest{
		Topics: []kafka.TopicConfig{{Topic: k.Topic, NumPartitions: 1, ReplicationFactor: 1}}})
	if err != nil || made.Errors[k.Topic] != nil {
		t.Fatal(err, made.Errors)
	}
	p := NewPublisher(k.Brokers)
	defer func() { _ = p.Close() }()
	for n := range 3 {
		m := Message{Key: []byte("k"), Body: fmt.Appendf(nil, "message %d", n), Headers: map[string]string{"signature": "ab"}}
		if err := p.Publish(t.Context(), k.Topic, m); err != nil {
			t.Fatal(err)
		}
	}
	read := func(from, upTo, done int) {
		t.Helper()
		s := NewSubscriber(k.Brokers, "group-"+k.Topic, []string{k.Topic})
		defer func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}()
		for n := from; n < upTo; n++ {
			r, err := s.Fetch(t.Context())
			for tries := 0; err != nil && tries < 60; tries++ { // a broker that is new has no groups yet
				r, err = s.Fetch(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
			if string(r.Body) != fmt.Sprintf("message %d", n) || r.Topic != k.Topic || r.Headers["signature"] != "ab" || r.At.IsZero() {
				t.Fatalf("message %d: %q of %s, %v", n, r.Body, r.Topic, r.Headers)
			}
			if n >= done {
				continue
			}
			if err := s.Done(t.Context(), &r); err != nil {
				t.Fatal(err)
			}
		}
	}
	read(0, 2, 1) // the second is fetched and not done
	read(1, 3, 3)
	if err := p.Publish(t.Context(), k.Topic, Message{Body: []byte("message 3"), Headers: map[string]string{"signature": "ab"}}); err != nil {
		t.Fatal(err)
	}
	read(3, 4, 4)
}

// A message of the records topic is a record; another is none.
func TestReceivedRecord(t *testing.T) {
	c := warehousetest.NewChain(5)
	c.Epoch(9)
	want := c.Next(9)
	r := Received{raw: kafka.Message{Partition: 9, Key: appendKey(nil, want.Position, want.BusinessDate),
		Value: txn.AppendRecord(nil, &want)}}
	if got, err := r.Record(); err != nil || got.Position != want.Position || got.Card != want.Card {
		t.Errorf("%s, %v", got.Position, err)
	}
	r.raw.Value = []byte("x")
	if _, err := r.Record(); err == nil {
		t.Error("garbage is a record")
	}
}
