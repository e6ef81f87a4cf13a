package stack_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/deploy/stack"
)

// Kafka's request numbers and the versions spoken here, the oldest that Kafka 4 takes.
const (
	produceAPI, produceVersion           = 0, 3
	listOffsetsAPI, listOffsetsVersion   = 2, 1
	createTopicsAPI, createTopicsVersion = 19, 2
)

func startKafka(t *testing.T, settings map[string]string) *stack.Server {
	t.Helper()
	stack.Require(t, stack.Kafka)
	server, err := stack.StartKafka(startContext(t), stack.KafkaOptions{
		Dir: t.TempDir(), Settings: settings,
	})
	if err != nil {
		t.Fatalf("start kafka: %v", err)
	}
	t.Cleanup(func() { closeServer(t, server) })
	return server
}

// message builds a request of Kafka's old form: big-endian, strings with a 16-bit length.
type message struct{ bytes []byte }

func (m *message) int8(n int8)   { m.bytes = append(m.bytes, byte(n)) }
func (m *message) int16(n int16) { m.bytes = binary.BigEndian.AppendUint16(m.bytes, uint16(n)) }
func (m *message) int32(n int32) { m.bytes = binary.BigEndian.AppendUint32(m.bytes, uint32(n)) }
func (m *message) int64(n int64) { m.bytes = binary.BigEndian.AppendUint64(m.bytes, uint64(n)) }
func (m *message) varint(n int64) {
	m.bytes = binary.AppendVarint(m.bytes, n)
}

func (m *message) text(s string) {
	m.int16(int16(len(s)))
	m.bytes = append(m.bytes, s...)
}

// recordBatch is a batch of version 2 with one record a value and no keys.
func recordBatch(values []string) []byte {
	var body message // what the checksum covers
	body.int16(0)    // not packed
	body.int32(int32(len(values) - 1))
	now := time.Now().UnixMilli()
	body.int64(now)
	body.int64(now)
	body.int64(-1) // no producer id
	body.int16(-1)
	body.int32(-1)
	body.int32(int32(len(values)))
	for i, value := range values {
		var record message
		record.int8(0)
		record.varint(0)
		record.varint(int64(i))
		record.varint(-1) // no key
		record.varint(int64(len(value)))
		record.bytes = append(record.bytes, value...)
		record.varint(0) // no headers
		body.varint(int64(len(record.bytes)))
		body.bytes = append(body.bytes, record.bytes...)
	}
	var batch message
	batch.int64(0)
	batch.int32(int32(4 + 1 + 4 + len(body.bytes)))
	batch.int32(-1)
	batch.int8(2)
	batch.int32(int32(crc32.Checksum(body.bytes, crc32.MakeTable(crc32.Castagnoli))))
	return append(batch.bytes, body.bytes...)
}

func createTopic(ctx context.Context, addr, name string, partitions int32) error {
	var m message
	m.int32(1)
	m.text(name)
	m.int32(partitions)
	m.int16(1)
	m.int32(0) // no assignments
	m.int32(0) // no settings
	m.int32(10_000)
	m.int8(0)
	reply, err := stack.KafkaCall(ctx, addr, createTopicsAPI, createTopicsVersion, m.bytes)
	if err != nil {
		return err
	}
	at := 4 + 4 + 2 + len(name) // throttle time, count, name
	return kafkaError("create topic", reply, at)
}

func produce(ctx context.Context, addr, topic string, partition int32, values []string) error {
	batch := recordBatch(values)
	var m message
	m.int16(-1) // no transaction
	m.int16(-1) // acknowledged by all
	m.int32(10_000)
	m.int32(1)
	m.text(topic)
	m.int32(1)
	m.int32(partition)
	m.int32(int32(len(batch)))
	m.bytes = append(m.bytes, batch...)
	reply, err := stack.KafkaCall(ctx, addr, produceAPI, produceVersion, m.bytes)
	if err != nil {
		return err
	}
	at := 4 + 2 + len(topic) + 4 + 4 // count, name, count, partition
	return kafkaError("produce", reply, at)
}

// endOffset asks for the offset behind the last record of a partition.
func endOffset(ctx context.Context, addr, topic string, partition int32) (int64, error) {
	var m message
	m.int32(-1)
	m.int32(1)
	m.text(topic)
	m.int32(1)
	m.int32(partition)
	m.int64(-1) // the latest
	reply, err := stack.KafkaCall(ctx, addr, listOffsetsAPI, listOffsetsVersion, m.bytes)
	if err != nil {
		return 0, err
	}
	at := 4 + 2 + len(topic) + 4 + 4
	if err := kafkaError("list offsets", reply, at); err != nil {
		return 0, err
	}
	return int64(binary.BigEndian.Uint64(reply[at+2+8:])), nil
}

func kafkaError(what string, reply []byte, at int) error {
	if len(reply) < at+2 {
		return fmt.Errorf("%s: reply of %d bytes is too short", what, len(reply))
	}
	if code := int16(binary.BigEndian.Uint16(reply[at:])); code != 0 {
		return fmt.Errorf("%s: error code %d", what, code)
	}
	return nil
}

// untilNil repeats an action that fails while a partition has no leader yet.
func untilNil(t *testing.T, action func() error) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(startMax)
	for {
		err := action()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("still failing: %v", err)
		}
	}
}

func TestKafkaKeepsAcknowledgedRecordsOverKill(t *testing.T) {
	server := startKafka(t, nil)
	ctx := startContext(t)
	const topic, partition, batches, size = "tapswitch.records", 63, 50, 20
	if err := createTopic(ctx, server.Addr(), topic, 64); err != nil {
		t.Fatal(err)
	}
	values := make([]string, size)
	for i := range values {
		values[i] = strings.Repeat("x", 300)
	}
	for range batches {
		untilNil(t, func() error { return produce(ctx, server.Addr(), topic, partition, values) })
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := server.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	t.Logf("answers again %v after the restart", time.Since(began).Round(time.Millisecond))
	var end int64
	untilNil(t, func() (err error) {
		end, err = endOffset(ctx, server.Addr(), topic, partition)
		return err
	})
	t.Logf("has a leader again after %v", time.Since(began).Round(time.Millisecond))
	if end < batches*size {
		t.Errorf("%d records after kill and restart, %d were acknowledged", end, batches*size)
	}
	untilNil(t, func() error { return produce(ctx, server.Addr(), topic, partition, values) })
	t.Logf("takes records again after %v", time.Since(began).Round(time.Millisecond))
	began = time.Now()
	if err := server.Stop(); err != nil {
		t.Errorf("graceful stop: %v", err)
	}
	t.Logf("stopped in %v", time.Since(began).Round(time.Millisecond))
}

// topicError asks for the metadata of one topic and returns its error code.
func topicError(t *testing.T, addr, topic string) uint16 {
	t.Helper()
	const metadataAPI, metadataVersion = 3, 1
	var ask message
	ask.int32(1)
	ask.text(topic)
	reply, err := stack.KafkaCall(startContext(t), addr, metadataAPI, metadataVersion, ask.bytes)
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(string(reply), topic) - 4 // the error stands before the name's length
	if at < 0 {
		t.Fatalf("the topic is not in the answer %q", reply)
	}
	return binary.BigEndian.Uint16(reply[at:])
}

func TestKafkaCreatesNoTopicByItself(t *testing.T) {
	server := startKafka(t, map[string]string{"num.partitions": "3"})
	ctx := startContext(t)
	const topic, unknownTopic = "nobody.made.this", 3
	_ = topicError(t, server.Addr(), topic) // what a client asks before it writes
	// By the time that a topic asked for later is there, this one would be too.
	if err := createTopic(ctx, server.Addr(), "made.by.hand", 1); err != nil {
		t.Fatal(err)
	}
	untilNil(t, func() error {
		_, err := endOffset(ctx, server.Addr(), "made.by.hand", 0)
		return err
	})
	if code := topicError(t, server.Addr(), topic); code != unknownTopic {
		t.Errorf("error code %d, want %d: the question made the topic", code, unknownTopic)
	}
	conf, err := os.ReadFile(filepath.Join(server.Dir(), "server.properties"))
	if err != nil || !strings.Contains(string(conf), "\nnum.partitions=3\n") {
		t.Errorf("the caller's setting is not in the file: %v", err)
	}
}

func TestKafkaWithABadSettingSaysWhy(t *testing.T) {
	stack.Require(t, stack.Kafka)
	_, err := stack.StartKafka(startContext(t), stack.KafkaOptions{
		Dir: t.TempDir(), Settings: map[string]string{"num.io.threads": "many"},
	})
	if err == nil || !strings.Contains(err.Error(), "num.io.threads") {
		t.Errorf("error %v does not name the setting", err)
	}
}

func TestMissingServersAreNamed(t *testing.T) {
	t.Setenv("TAPSWITCH_STACK_DIR", t.TempDir())
	for _, kind := range []stack.Kind{stack.Kafka, stack.ClickHouse} {
		err := stack.Available(kind)
		if err == nil || !strings.Contains(err.Error(), string(kind)+" is not installed: run make") {
			t.Errorf("%s: %v", kind, err)
		}
	}
	if err := stack.Available("oracle"); err == nil {
		t.Error("an unknown server is available")
	}
}

// verdict records what Require does to a test.
type verdict struct{ skipped, failed string }

func (v *verdict) Helper()                           {}
func (v *verdict) Skipf(format string, args ...any)  { v.skipped = fmt.Sprintf(format, args...) }
func (v *verdict) Fatalf(format string, args ...any) { v.failed = fmt.Sprintf(format, args...) }

func TestRequireSkipsOrFails(t *testing.T) {
	t.Setenv("TAPSWITCH_STACK_DIR", t.TempDir())
	const want = "not run: kafka is not installed: run make stack-up"
	t.Setenv(stack.RequireEnv, "")
	var skipped verdict
	stack.Require(&skipped, stack.Kafka)
	if !strings.HasPrefix(skipped.skipped, want) || skipped.failed != "" {
		t.Errorf("%+v, want a skip that starts with %q", skipped, want)
	}
	t.Setenv(stack.RequireEnv, "1")
	var failed verdict
	stack.Require(&failed, stack.Kafka)
	if !strings.HasPrefix(failed.failed, want) {
		t.Errorf("%+v, want a failure that starts with %q", failed, want)
	}
}
