package finance

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/tapswitch/tapswitch/deploy/stack"
	"github.com/tapswitch/tapswitch/ledger/warehouse/warehousetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// TestStreamIsCountedOnce: on a real broker, with every tenth record sent twice and the next day
// behind, the day is counted record by record.
func TestStreamIsCountedOnce(t *testing.T) {
	stack.Require(t, stack.Kafka)
	server, err := stack.StartKafka(context.Background(), stack.KafkaOptions{Dir: t.TempDir(),
		Settings: map[string]string{"group.initial.rebalance.delay.ms": "0"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	const topic = "records"
	client := &kafka.Client{Addr: kafka.TCP(server.Addr()), Timeout: 30 * time.Second}
	made, err := client.CreateTopics(t.Context(), &kafka.CreateTopicsRequest{
		Topics: []kafka.TopicConfig{{Topic: topic, NumPartitions: txn.BucketCount, ReplicationFactor: 1}}})
	if err != nil || made.Errors[topic] != nil {
		t.Fatal(err, made)
	}
	chain := warehousetest.NewChain(1)
	records := append(chain.Batch(500), chain.CloseDay()...)
	records = append(records, chain.Batch(100)...)
	var messages []kafka.Message
	var want uint64
	for i := range records {
		r := &records[i]
		m := kafka.Message{Key: fmt.Appendf(nil, "%s/%d", r.Position, r.BusinessDate),
			Value: txn.AppendRecord(nil, r), WriterData: int(r.Position.Bucket)}
		messages = append(messages, m)
		if i%10 == 0 {
			messages = append(messages, m)
		}
		if r.BusinessDate == warehousetest.Day && r.Position.Seq > 0 {
			want++
		}
	}
	w := &kafka.Writer{Addr: kafka.TCP(server.Addr()), Topic: topic, RequiredAcks: kafka.RequireAll,
		BatchTimeout: 5 * time.Millisecond,
		Balancer: kafka.BalancerFunc(func(m kafka.Message, _ ...int) int {
			bucket, _ := m.WriterData.(int)
			return bucket
		})}
	if err := w.WriteMessages(t.Context(), messages...); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	got, err := Stream([]string{server.Addr()}, topic)(ctx, warehousetest.Day)
	if err != nil || got != want {
		t.Errorf("counted %d of %d: %v", got, want, err)
	}
}
