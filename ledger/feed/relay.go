package feed

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const (
	// batchMax is how many records of one partition go into one request. A call hands at
	// most this many of a partition over, so that a partition never has two batches in
	// flight and a failed one cannot be passed by the next.
	batchMax = 1000
	// batchBytesMax bounds the same by size, below the broker's limit of 1 MiB.
	batchBytesMax = 900 << 10
	// batchWait is how long the client waits for more of a batch: everything that will
	// come is handed over at once, so only just long enough to gather it.
	batchWait = 2 * time.Millisecond
	// writeTimeout bounds one request; after it the outcome is unknown and the batch is
	// sent again.
	writeTimeout = 10 * time.Second
	// cursorEvery is how often a cursor is saved.
	cursorEvery = time.Second
)

// RelayOptions set up a Relay. Source, Registry and Kafka are required.
type RelayOptions struct {
	Source   store.Outbox
	Registry store.Registry
	Kafka    Kafka
	// FromOldest sends everything again that the warehouse has not confirmed, whatever was
	// sent before: after Kafka lost what it had acknowledged.
	FromOldest bool
	Counters   *Counters
	Log        *slog.Logger

	// acks is what the brokers must promise; only tests weaken it.
	acks *kafka.RequiredAcks
	// dial replaces the way to a broker, in tests.
	dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Relay writes the outbox to Kafka, each bucket to the partition of its number, in order.
// It repeats a batch until all replicas have it, so Kafka may hold it twice; it never goes
// on before. Two relays at once make duplicates and nothing worse.
type Relay struct {
	o      RelayOptions
	resend []atomic.Bool // by shard: begin again at the oldest entry
}

// NewRelay returns a Relay that does nothing before Run.
func NewRelay(o RelayOptions) *Relay {
	if o.Counters == nil {
		o.Counters = &Counters{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Relay{o: o, resend: make([]atomic.Bool, o.Source.Shards())}
}

// Resend makes the relay send everything again that the warehouse has not confirmed of the
// bucket, and of those that share its shard: what a Sink asks for (OnGap) when records are
// missing in Kafka. Safe for concurrent use.
func (r *Relay) Resend(b txn.Bucket) {
	if len(r.resend) == txn.BucketCount {
		r.resend[b].Store(true)
		return
	}
	for i := range r.resend {
		r.resend[i].Store(true)
	}
}

// Run relays until ctx ends, and then returns nil after saving its cursors. An error means
// that the process must stop: the topic does not fit, or the store is fenced, damaged or
// closed. Call it once.
func (r *Relay) Run(ctx context.Context) error {
	err := retry(ctx, r.o.Log, "cannot use kafka", func() error {
		err := EnsureTopic(ctx, r.o.Kafka)
		if errors.Is(err, ErrTopic) {
			return final{err}
		}
		return err
	})
	if err != nil {
		return unlessEnded(ctx, err)
	}
	writer := r.writer()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var shards sync.WaitGroup
	for shard := range r.o.Source.Shards() {
		shards.Go(func() {
			if err := r.shard(ctx, writer, shard); err != nil {
				cancel(err)
			}
		})
	}
	shards.Wait()
	err = context.Cause(ctx)
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		err = nil
	}
	transport, ok := writer.Transport.(*kafka.Transport)
	err = errors.Join(err, writer.Close())
	if ok {
		transport.CloseIdleConnections()
	}
	return err
}

// unlessEnded drops an error that is only the end of ctx.
func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil && !isFatal(err) && !errors.Is(err, ErrTopic) {
		return nil
	}
	return err
}

// writer returns a client with the settings on which the relay's promise rests: all replicas,
// synchronous, no retry of its own (that would hide how often a batch went out), and a
// partition that is chosen by the bucket and by nothing else.
func (r *Relay) writer() *kafka.Writer {
	acks := kafka.RequireAll
	if r.o.acks != nil {
		acks = *r.o.acks
	}
	return &kafka.Writer{
		Addr: kafka.TCP(r.o.Kafka.Brokers...), Topic: r.o.Kafka.topic(),
		Balancer:     kafka.BalancerFunc(toBucket),
		RequiredAcks: acks, Async: false, MaxAttempts: 1,
		BatchSize: batchMax, BatchBytes: batchBytesMax + 64<<10, BatchTimeout: batchWait,
		ReadTimeout: writeTimeout, WriteTimeout: writeTimeout,
		Compression: kafka.Lz4, AllowAutoTopicCreation: false,
		Transport: &kafka.Transport{DialTimeout: adminTimeout, Dial: r.o.dial},
	}
}

// toBucket sends a message to the partition of its bucket, whatever partitions there are.
func toBucket(m kafka.Message, _ ...int) int {
	b, ok := m.WriterData.(txn.Bucket)
	if !ok {
		panic("feed: internal error: a message without its bucket")
	}
	return int(b)
}

// shard relays one shard of the outbox.
func (r *Relay) shard(ctx context.Context, writer *kafka.Writer, shard int) error {
	c := &savedCursor{registry: r.o.Registry, key: "relay/" + txn.Bucket(shard).String(),
		counters: r.o.Counters, log: r.o.Log}
	if err := c.load(ctx, r.o.FromOldest); err != nil {
		return unlessEnded(ctx, err)
	}
	// What was relayed and not saved is relayed again: the last save is worth a try.
	defer c.save(context.WithoutCancel(ctx))
	for ctx.Err() == nil {
		if r.resend[shard].CompareAndSwap(true, false) {
			r.o.Log.Warn("sending everything unconfirmed again", "shard", shard)
			c.at = store.Cursor{}
		}
		var entries []store.OutboxEntry
		var next store.Cursor
		err := retry(ctx, r.o.Log, "cannot read the outbox", func() (err error) {
			entries, next, err = readOutbox(ctx, r.o.Source, shard, c.at)
			return err
		})
		if err != nil {
			return unlessEnded(ctx, err)
		}
		if err := r.send(ctx, writer, entries); err != nil {
			return unlessEnded(ctx, err)
		}
		c.move(ctx, next)
		if len(entries) > 0 {
			rest(ctx, len(entries))
		}
	}
	return nil
}

// send writes the entries, as many calls as the limits of a batch ask for.
func (r *Relay) send(ctx context.Context, writer *kafka.Writer, entries []store.OutboxEntry) error {
	for len(entries) > 0 {
		n := callLength(entries)
		messages := make([]kafka.Message, n)
		for i := range messages {
			e := &entries[i]
			messages[i] = kafka.Message{
				Key: appendKey(nil, e.Position, e.Date),
				Value: txn.AppendPosition(append([]byte(nil), e.Record...), e.Position,
					e.Date),
				WriterData: e.Position.Bucket,
			}
		}
		if err := r.write(ctx, writer, messages); err != nil {
			return err
		}
		entries = entries[n:]
	}
	return nil
}

// callLength returns how many entries one call may hold without giving a partition more
// than one batch.
func callLength(entries []store.OutboxEntry) int {
	const overhead = 128 // of a message: key, headers, position
	var count, bytes [txn.BucketCount]int
	for i := range entries {
		b := entries[i].Position.Bucket
		size := len(entries[i].Record) + overhead
		if count[b] == batchMax || count[b] > 0 && bytes[b]+size > batchBytesMax {
			return i
		}
		count[b]++
		bytes[b] += size
	}
	return len(entries)
}

// write repeats until every message is acknowledged. Only what failed is sent again; of a
// partition that is always its whole batch, so the order stays.
func (r *Relay) write(ctx context.Context, writer *kafka.Writer, messages []kafka.Message) error {
	return retry(ctx, r.o.Log, "cannot write to kafka", func() error {
		err := writer.WriteMessages(ctx, messages...)
		if err == nil {
			r.o.Counters.Relayed.Add(int64(len(messages)))
			return nil
		}
		r.o.Counters.RelayRetries.Add(1)
		var each kafka.WriteErrors
		if errors.As(err, &each) && len(each) == len(messages) {
			messages = failed(messages, each)
			r.o.Counters.Relayed.Add(int64(len(each) - len(messages)))
			err = each[firstError(each)]
		}
		return fmt.Errorf("%d messages to %s at %s: %w", len(messages), r.o.Kafka.topic(),
			brokerHost(&r.o.Kafka), err)
	})
}

// failed returns the messages with an error, in order.
func failed(messages []kafka.Message, errs kafka.WriteErrors) []kafka.Message {
	var again []kafka.Message
	for i, err := range errs {
		if err != nil {
			again = append(again, messages[i])
		}
	}
	return again
}

// firstError returns the index of the first message that failed.
func firstError(errs kafka.WriteErrors) int {
	for i, err := range errs {
		if err != nil {
			return i
		}
	}
	return 0
}

// savedCursor is where a shard is, and where a new relay would begin. It may lag behind:
// what was sent after it is sent again.
type savedCursor struct {
	registry store.Registry
	key      string
	counters *Counters
	log      *slog.Logger

	at      store.Cursor
	saved   store.Cursor
	savedAt time.Time
	version uint64
}

// cursorSize is the length of a saved cursor: both words, big-endian.
const cursorSize = 16

// load reads where the relay before this one had got to.
func (c *savedCursor) load(ctx context.Context, fromOldest bool) error {
	var value []byte
	err := retry(ctx, c.log, "cannot read the relay's cursor", func() (err error) {
		value, c.version, err = c.registry.Get(ctx, c.key)
		return err
	})
	if err != nil {
		return err
	}
	if len(value) == cursorSize && !fromOldest {
		c.at.Hi = binary.BigEndian.Uint64(value)
		c.at.Lo = binary.BigEndian.Uint64(value[8:])
		c.saved = c.at
	}
	return nil
}

// move goes on to next and saves it when it is time.
func (c *savedCursor) move(ctx context.Context, next store.Cursor) {
	c.at = next
	if time.Since(c.savedAt) >= cursorEvery {
		c.save(ctx)
	}
}

// save writes the cursor. A failure costs only repeats.
func (c *savedCursor) save(ctx context.Context) {
	if c.at == c.saved {
		return
	}
	value := binary.BigEndian.AppendUint64(nil, c.at.Hi)
	value = binary.BigEndian.AppendUint64(value, c.at.Lo)
	c.savedAt = time.Now()
	err := c.registry.Put(ctx, c.key, value, c.version)
	if errors.Is(err, store.ErrConflict) {
		// Another relay runs for this shard, or our own last save arrived after all.
		c.log.Warn("the relay's cursor was moved by another relay", "key", c.key)
		if _, version, gerr := c.registry.Get(ctx, c.key); gerr == nil {
			c.version = version
		}
		return
	}
	if err != nil {
		c.log.Warn("cannot save the relay's cursor", "key", c.key, "error", err)
		return
	}
	c.counters.CursorSaves.Add(1)
	c.version++
	c.saved = c.at
}
