package feed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const (
	// GroupDefault is the consumer group of the sinks.
	GroupDefault = "tapswitch-sink"
	// fetchBytesMax bounds what one partition fetches at a time.
	fetchBytesMax = 2 << 20
	// fetchWait is how long a broker waits for records; shorter than half a second makes
	// some brokers answer with nothing forever.
	fetchWait = 500 * time.Millisecond
	// fetchQueue is how many messages of a partition wait in the client.
	fetchQueue = 256
	// itemsMax is how many read messages wait for the intake.
	itemsMax = 4096
)

// SinkOptions set up a Sink. Kafka and Warehouse are required.
type SinkOptions struct {
	Kafka Kafka
	// Group is the consumer group; sinks of one group share the partitions. Default
	// GroupDefault.
	Group     string
	Warehouse warehouse.Appender
	// Source hears what the warehouse holds, so that the outbox can be trimmed. Without it
	// another process must tell it.
	Source Source
	// OnGap is called once when a bucket stops, from the sink's goroutine; Relay.Resend
	// fits where both run in one process. Nil does nothing.
	OnGap      func(txn.Bucket)
	FlushEvery time.Duration // default 1 s
	FlushRows  int           // default 50,000, at most FlushRowsMax
	Counters   *Counters
	Log        *slog.Logger

	// afterInsert runs between insert and commit of the offsets, in tests.
	afterInsert func() error
}

// Sink writes the topic to the warehouse as a member of a consumer group. Offsets are
// committed after the records are durable, and only of partitions without a hole; a
// partition that has one is read again from its beginning once, in case the warehouse lost
// something, and then waits for the missing records to arrive.
type Sink struct {
	o    SinkOptions
	in   *intake
	kick kicker
}

// NewSink returns a Sink that does nothing before Run.
func NewSink(o SinkOptions) *Sink {
	if o.Group == "" {
		o.Group = GroupDefault
	}
	in := intakeOptions{warehouse: o.Warehouse, flushRows: o.FlushRows, flushEvery: o.FlushEvery,
		counters: o.Counters, log: o.Log}
	if o.Source != nil {
		in.confirm, in.buckets = o.Source.Confirm, o.Source.Buckets
	}
	return &Sink{o: o, kick: newKicker(), in: newIntake(in)}
}

// Drain waits until everything that the store had committed when Drain was called has
// passed Kafka, is in the warehouse and confirmed. It returns ErrStopped when a bucket
// waits for missing records. It needs a Source. Safe for concurrent use.
func (s *Sink) Drain(ctx context.Context) error {
	return drain(ctx, s.o.Source, s.kick.kick, s.in.stoppedBucket)
}

// Run feeds until ctx ends, and then returns nil after a last flush. Faults of Kafka and
// the warehouse are tried again; an error means that the process must stop: ErrRestored, or
// the store is fenced, damaged or closed. Call it once.
func (s *Sink) Run(ctx context.Context) error {
	// A group that asks for a topic before it is there would wait for it without end.
	err := retry(ctx, s.in.log, "cannot use kafka", func() error {
		client, end := s.o.Kafka.client()
		defer end()
		n, err := partitions(ctx, client, s.o.Kafka.topic())
		if err == nil && n != txn.BucketCount {
			return final{fmt.Errorf("%w: %s has %d partitions, want %d", ErrTopic,
				s.o.Kafka.topic(), n,
				txn.BucketCount)}
		}
		return err
	})
	if err != nil {
		return unlessEnded(ctx, err)
	}
	group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID: s.o.Group, Brokers: s.o.Kafka.Brokers, Topics: []string{s.o.Kafka.topic()},
		StartOffset: kafka.FirstOffset, WatchPartitionChanges: true,
		HeartbeatInterval: time.Second, SessionTimeout: 10 * time.Second,
		RebalanceTimeout: 10 * time.Second, JoinGroupBackoff: time.Second,
	})
	if err != nil {
		return fmt.Errorf("cannot make consumer group %s: %w", s.o.Group, err)
	}
	err = s.generations(ctx, group)
	return errors.Join(err, group.Close())
}

// generations serves one generation of the group after the other.
func (s *Sink) generations(ctx context.Context, group *kafka.ConsumerGroup) error {
	pause := backoffFirst
	for {
		gen, err := group.Next(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			s.in.log.Warn("cannot join the consumer group; trying again", "error", err)
			if !wait(ctx, pause) {
				return nil
			}
			pause = min(2*pause, backoffMax)
			continue
		}
		pause = backoffFirst
		s.in.counters.Rebalances.Add(1)
		result := make(chan error, 1)
		gen.Start(func(alive context.Context) { result <- s.generation(ctx, alive, gen) })
		err = <-result
		switch {
		case err == nil || ctx.Err() != nil && !isFatal(err):
			if ctx.Err() != nil {
				return nil
			}
		case isFatal(err):
			return err
		default:
			s.in.log.Warn("sink begins anew", "error", err)
		}
	}
}

// generation reads the assigned partitions until the generation ends (alive) or Run is
// told to end (ctx).
func (s *Sink) generation(ctx, alive context.Context, gen *kafka.Generation) error {
	live, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(alive, cancel)
	defer stop()
	if err := s.in.begin(live); err != nil {
		return unlessEnded(live, err)
	}
	g := &session{Sink: s, gen: gen, items: make(chan item, itemsMax),
		next: make(map[int]int64), committed: make(map[int]int64),
		readers: make(map[int]*partition)}
	if err := g.open(live); err != nil {
		return unlessEnded(live, err)
	}
	var group sync.WaitGroup
	for _, p := range g.readers {
		group.Go(func() { p.read(live, g.items) })
	}
	err := g.collect(live)
	if ctx.Err() != nil && alive.Err() == nil && err == nil {
		err = g.last(ctx)
	}
	cancel()
	group.Wait()
	return unlessEnded(live, errors.Join(err, g.closeReaders()))
}

// session is one generation's work. It belongs to one goroutine, but for the readers.
type session struct {
	*Sink
	gen     *kafka.Generation
	items   chan item
	readers map[int]*partition
	// next is the offset behind what is in the warehouse or about to be flushed, by
	// partition; committed is what the group knows. Neither goes back.
	next, committed map[int]int64
}

// open makes a reader for each assigned partition.
func (g *session) open(ctx context.Context) error {
	topic := g.o.Kafka.topic()
	client, end := g.o.Kafka.client()
	defer end()
	assigned := g.gen.Assignments[topic]
	var extents map[int]extent
	err := retry(ctx, g.in.log, "cannot read the offsets", func() (err error) {
		extents, err = readExtents(ctx, client, topic, assigned)
		return err
	})
	if err != nil {
		return err
	}
	for _, a := range assigned {
		first, last := extents[a.ID].first, extents[a.ID].last
		offset := a.Offset
		if offset < 0 {
			offset = first
		} else if offset < first || offset > last {
			// The records tell whether something is missing; the offset alone does not.
			g.in.counters.OffsetJumps.Add(1)
			g.in.log.Error("committed offset is outside the topic; reading from its beginning",
				"partition", a.ID, "committed", offset, "first", first, "last", last)
			offset = first
		} else {
			g.committed[a.ID] = offset
		}
		reader := kafka.NewReader(kafka.ReaderConfig{
			Brokers: g.o.Kafka.Brokers, Topic: topic, Partition: a.ID, MinBytes: 1,
			MaxBytes: fetchBytesMax, MaxWait: fetchWait, QueueCapacity: fetchQueue,
		})
		if err := reader.SetOffset(offset); err != nil {
			return errors.Join(fmt.Errorf("cannot begin at offset %d: %w", offset, err),
				reader.Close())
		}
		g.readers[a.ID] = &partition{id: a.ID, topic: topic, reader: reader, log: g.in.log}
	}
	return nil
}

// closeReaders closes all readers at once: each may have to wait for the answer to its last
// request.
func (g *session) closeReaders() error {
	var group sync.WaitGroup
	errs := make(chan error, len(g.readers))
	for _, p := range g.readers {
		group.Go(func() { errs <- p.reader.Close() })
	}
	group.Wait()
	close(errs)
	var all error
	for err := range errs {
		all = errors.Join(all, err)
	}
	return all
}

// extent is the first offset of a partition and the one behind its last.
type extent struct{ first, last int64 }

// readExtents asks for all partitions in one question.
func readExtents(
	ctx context.Context, client *kafka.Client, topic string, assigned []kafka.PartitionAssignment,
) (map[int]extent, error) {
	var ask []kafka.OffsetRequest
	for _, a := range assigned {
		ask = append(ask, kafka.FirstOffsetOf(a.ID), kafka.LastOffsetOf(a.ID))
	}
	res, err := client.ListOffsets(ctx, &kafka.ListOffsetsRequest{
		Topics: map[string][]kafka.OffsetRequest{topic: ask}})
	if err != nil {
		return nil, fmt.Errorf("topic %s: %w", topic, err)
	}
	extents := make(map[int]extent, len(assigned))
	for _, p := range res.Topics[topic] {
		if p.Error != nil {
			return nil, fmt.Errorf("partition %d: %w", p.Partition, p.Error)
		}
		extents[p.Partition] = extent{p.FirstOffset, p.LastOffset}
	}
	if len(extents) != len(assigned) {
		return nil, fmt.Errorf("%d of %d partitions answered", len(extents), len(assigned))
	}
	return extents, nil
}

// partition reads one partition.
type partition struct {
	id      int
	topic   string
	reader  *kafka.Reader
	log     *slog.Logger
	rewound bool // belongs to the session
}

// read sends the partition's messages to the intake until ctx ends.
func (p *partition) read(ctx context.Context, items chan<- item) {
	pause := backoffFirst
	for ctx.Err() == nil {
		m, err := p.reader.FetchMessage(ctx)
		if err != nil {
			if ctx.Err() == nil {
				p.log.Warn("cannot read a partition; trying again", "partition", p.id, "error", err)
				wait(ctx, pause)
				pause = min(2*pause, backoffMax)
			}
			continue
		}
		pause = backoffFirst
		select {
		case items <- messageItem(&m):
		case <-ctx.Done():
		}
	}
}

// messageItem reads a Kafka message as a record.
func messageItem(m *kafka.Message) item {
	it := item{partition: m.Partition, offset: m.Offset}
	it.record, it.fault = txn.DecodeRecord(m.Value)
	if it.fault == nil {
		it.position, it.date = it.record.Position, it.record.BusinessDate
		it.fault = checkMessage(&it.record, m.Partition)
	}
	if it.fault == nil {
		return it
	}
	it.source = fmt.Sprintf("%s/%d@%d", m.Topic, m.Partition, m.Offset)
	it.raw = m.Value
	position, date, err := parseKey(m.Key)
	if err != nil && it.later() {
		// Of a later version even the key may have changed. It is never passed over.
		it.position = txn.Position{Bucket: txn.Bucket(m.Partition), Epoch: math.MaxUint64}
		return it
	}
	if err != nil || int(position.Bucket) != m.Partition {
		it.position, it.date = txn.Position{}, 0 // a stranger: it takes nobody's place
		return it
	}
	it.position, it.date = position, date
	return it
}

// checkMessage refuses a record that stands in the partition of another bucket: two partitions
// would then hold pieces of one sequence.
func checkMessage(r *txn.Record, partition int) error {
	if int(r.Position.Bucket) != partition || r.Position.Epoch == 0 {
		return fmt.Errorf("record %s stands in partition %d", r.Position, partition)
	}
	return checkRecord(r)
}

// collect feeds the intake and flushes it by rows, by time and when asked.
func (g *session) collect(ctx context.Context) error {
	ticker := time.NewTicker(g.in.flushEvery)
	defer ticker.Stop()
	for {
		select {
		case it := <-g.items:
			if err := g.take(ctx, &it); err != nil {
				return err
			}
			if !g.in.full() {
				continue
			}
		case <-ticker.C:
			if err := g.in.watch(ctx); err != nil {
				return unlessEnded(ctx, err)
			}
		case <-g.kick:
		case <-ctx.Done():
			return nil
		}
		if err := g.settle(ctx); err != nil {
			return err
		}
	}
}

// take gives an item to the intake and notes how far its partition may be committed.
func (g *session) take(ctx context.Context, it *item) error {
	what, err := g.in.take(ctx, it)
	if err != nil {
		return err
	}
	switch what {
	case passed:
		if !g.waiting(it.partition) {
			g.next[it.partition] = max(g.next[it.partition], it.offset+1)
		}
	case stoppedNow:
		g.rewind(it.partition)
		if g.o.OnGap != nil {
			g.o.OnGap(it.position.Bucket)
		}
	case waiting:
	}
	return nil
}

// waiting reports whether the bucket of the partition is stopped: a duplicate that passes
// then must not move the offset over what is missing.
func (g *session) waiting(partition int) bool {
	return partition < txn.BucketCount && g.in.stopped[partition]
}

// rewind reads a partition again from its beginning, once: if the warehouse lost records
// that Kafka still has, they are there.
func (g *session) rewind(partition int) {
	p := g.readers[partition]
	if p == nil || p.rewound {
		return
	}
	p.rewound = true
	g.in.counters.Rewinds.Add(1)
	if err := p.reader.SetOffset(kafka.FirstOffset); err != nil {
		g.in.log.Error("cannot read a partition again", "partition", partition, "error", err)
	}
}

// settle makes durable, then commits the offsets, then confirms.
func (g *session) settle(ctx context.Context) error {
	if err := g.in.flush(ctx); err != nil {
		return err
	}
	if g.o.afterInsert != nil {
		if err := g.o.afterInsert(); err != nil {
			return err
		}
	}
	if err := g.commit(); err != nil {
		return err
	}
	return g.in.confirmHeld(ctx)
}

// commit tells the group how far the partitions are.
func (g *session) commit() error {
	offsets := make(map[int]int64)
	for partition, next := range g.next {
		if next > g.committed[partition] {
			offsets[partition] = next
		}
	}
	if len(offsets) == 0 {
		return nil
	}
	err := g.gen.CommitOffsets(map[string]map[int]int64{g.o.Kafka.topic(): offsets})
	if err != nil {
		return fmt.Errorf("cannot commit offsets: %w", err)
	}
	maps.Copy(g.committed, offsets)
	return nil
}

// last writes what was taken although ctx has ended.
func (g *session) last(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushLast)
	defer cancel()
	return g.settle(ctx)
}
