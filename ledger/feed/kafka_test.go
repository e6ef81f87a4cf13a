package feed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"go.uber.org/goleak"

	"github.com/tapswitch/tapswitch/deploy/stack"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/ledger/warehouse/warehousetest"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// shared is the broker of the tests that do not kill it.
type shared struct {
	once   sync.Once
	dir    string
	server *stack.Server
	err    error
	topics atomic.Int64
}

var broker shared

func TestMain(m *testing.M) {
	code := m.Run()
	if broker.server != nil {
		if err := errors.Join(broker.server.Close(), os.RemoveAll(broker.dir)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// sharedKafka returns the shared broker with a topic of the test's own.
func sharedKafka(t *testing.T) Kafka {
	t.Helper()
	stack.Require(t, stack.Kafka)
	broker.once.Do(func() {
		if broker.dir, broker.err = os.MkdirTemp("", "feed-kafka"); broker.err == nil {
			broker.server, broker.err = stack.StartKafka(context.Background(),
				stack.KafkaOptions{Dir: broker.dir})
		}
	})
	if broker.err != nil {
		t.Fatal(broker.err)
	}
	return Kafka{Brokers: []string{broker.server.Addr()},
		Topic: fmt.Sprintf("records-%d", broker.topics.Add(1))}
}

// line is a whole feed: relay and sink between a city and a warehouse.
type line struct {
	t        *testing.T
	city     *city
	kafka    Kafka
	w        warehouse.Warehouse
	counters Counters
	relay    *runner
	sink     *runner
	relayO   RelayOptions
	sinkO    SinkOptions
	now      *Sink
	nowRelay *Relay
}

func newLine(t *testing.T, k Kafka, seed uint64) *line {
	l := &line{t: t, kafka: k, city: newCity(t, seed), w: warehousetest.NewMemory()}
	l.relayO = RelayOptions{Source: l.city.store, Registry: l.city.store, Kafka: k,
		Counters: &l.counters, Log: testLog(t)}
	l.sinkO = SinkOptions{Kafka: k, Group: "group-" + k.Topic, Warehouse: l.w, Source: l.city.store,
		FlushEvery: 50 * time.Millisecond, Counters: &l.counters, Log: testLog(t)}
	return l
}

func (l *line) startRelay() {
	l.nowRelay = NewRelay(l.relayO)
	l.relay = start(l.t, l.nowRelay.Run)
}

func (l *line) startSink() {
	l.now = NewSink(l.sinkO)
	l.sink = start(l.t, l.now.Run)
}

func (l *line) drain() {
	l.t.Helper()
	if err := l.now.Drain(soon(l.t, 90*time.Second)); err != nil {
		l.t.Fatalf("Drain: %v", err)
	}
}

func (l *line) stop() {
	l.t.Helper()
	l.sink.stop(l.t)
	l.relay.stop(l.t)
}

func TestTopic(t *testing.T) {
	t.Parallel()
	k := sharedKafka(t)
	ctx := soon(t, 60*time.Second)
	if findings, err := CheckSettings(ctx, k); err != nil || findings[0].OK {
		t.Errorf("CheckSettings without a topic: %+v, %v", findings, err)
	}
	for range 2 { // the second time it is there
		must(EnsureTopic(ctx, k))
	}
	findings, err := CheckSettings(ctx, k)
	if err != nil || len(findings) != 5 {
		t.Fatalf("CheckSettings: %+v, %v", findings, err)
	}
	for _, f := range findings {
		if !f.OK || f.Fix != "" {
			t.Errorf("of a good topic: %+v", f)
		}
	}
	bad := sharedKafka(t)
	client, end := bad.client()
	defer end()
	_, err = client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{
		Topic: bad.Topic, NumPartitions: 3, ReplicationFactor: 1,
		ConfigEntries: []kafka.ConfigEntry{
			{ConfigName: "retention.ms", ConfigValue: "1000"},
			{ConfigName: "unclean.leader.election.enable", ConfigValue: "true"},
			{ConfigName: "cleanup.policy", ConfigValue: "compact"}}}}})
	must(err)
	if err := EnsureTopic(ctx, bad); !errors.Is(err, ErrTopic) {
		t.Errorf("EnsureTopic with 3 partitions: %v, want ErrTopic", err)
	}
	findings, err = CheckSettings(ctx, bad)
	must(err)
	wrong := 0
	for _, f := range findings {
		if !f.OK {
			wrong++
		}
	}
	if wrong != 4 {
		t.Errorf("%d of 4 bad settings found: %+v", wrong, findings)
	}
	relay := NewRelay(RelayOptions{Source: storetest.NewMemory(storetest.MemoryOptions{}),
		Kafka: bad})
	if err := start(t, relay.Run).wait(t); !errors.Is(err, ErrTopic) {
		t.Errorf("relay to 3 partitions: %v, want ErrTopic", err)
	}
	sink := NewSink(SinkOptions{Kafka: bad, Warehouse: warehousetest.NewMemory()})
	if err := start(t, sink.Run).wait(t); !errors.Is(err, ErrTopic) {
		t.Errorf("sink from 3 partitions: %v, want ErrTopic", err)
	}
}

func TestCheckCopies(t *testing.T) {
	for _, tt := range []struct {
		copies, brokers int
		insync          string
		ok              bool
	}{
		{1, 1, "1", true}, {3, 3, "2", true}, {3, 5, "2", true}, {3, 3, "1", false}, {3, 3, "3",
			false},
		{1, 3, "1", false}, {2, 2, "1", true}, {2, 3, "1", false}, {3, 3, "", false},
	} {
		f := checkCopies(tt.copies, tt.brokers, map[string]string{"min.insync.replicas": tt.insync})
		if f.OK != tt.ok {
			t.Errorf("%d copies on %d brokers, min %q: OK = %v", tt.copies, tt.brokers,
				tt.insync, f.OK)
		}
	}
}

// TestPipeline is the way of a record from the store over Kafka to the warehouse, over
// cut-offs and restarts of everything.
func TestPipeline(t *testing.T) {
	k := sharedKafka(t)
	leaks := goleak.IgnoreCurrent()
	l := newLine(t, k, 1)
	l.city.tap(5000)
	l.startRelay()
	l.startSink()
	l.drain()
	l.city.check(l.w)
	for range 2 {
		l.city.tap(1000)
		l.city.cutOver(l.city.day.Next())
		l.city.openEpoch()
		l.relay.stop(t)
		l.startRelay()
	}
	l.drain()
	l.city.check(l.w)
	totals, err := l.w.Totals(context.Background(), warehousetest.Day)
	if err != nil || !totals.Complete() || !totals.Clean() {
		t.Errorf("first day: complete %v, clean %v, %v", totals.Complete(), totals.Clean(), err)
	}
	l.stop()
	if n := l.counters.Gaps.Load() + l.counters.DeadLetters.Load(); n != 0 {
		t.Errorf("%d alarms", n)
	}
	if l.counters.CursorSaves.Load() == 0 {
		t.Error("no cursor was saved")
	}
	goleak.VerifyNone(t, leaks)
}

// TestRelayKilled kills the relay after it produced and before it saved its cursor: Kafka
// then holds records twice and the warehouse once.
func TestRelayKilled(t *testing.T) {
	t.Parallel()
	l := newLine(t, sharedKafka(t), 2)
	l.city.store.SetFault(func(op storetest.Op) storetest.Fault {
		if op == storetest.OpPut {
			return storetest.NotApplied
		}
		return storetest.NoFault
	})
	l.city.tap(2000)
	for range 3 {
		before := l.counters.Relayed.Load()
		l.startRelay()
		eventually(t, "the relay produced",
			func() bool { return l.counters.Relayed.Load() >= before+2000 })
		l.relay.stop(t)
	}
	l.city.store.SetFault(nil)
	l.startRelay()
	l.startSink()
	l.city.tap(500)
	l.drain()
	l.city.check(l.w)
	if n := l.counters.Duplicates.Load(); n < 4000 {
		t.Errorf("%d duplicates: the fault did not happen", n)
	}
	l.stop()
}

// TestTwoRelays runs two relays on one outbox: duplicates and nothing worse. At first no cursor is
// saved, so that neither learns what the other has done.
func TestTwoRelays(t *testing.T) {
	t.Parallel()
	l := newLine(t, sharedKafka(t), 12)
	l.city.store.SetFault(func(op storetest.Op) storetest.Fault {
		if op == storetest.OpPut {
			return storetest.NotApplied
		}
		return storetest.NoFault
	})
	l.city.tap(200)
	l.startRelay()
	second := start(t, NewRelay(l.relayO).Run)
	l.startSink()
	eventually(t, "both relays produced", func() bool { return l.counters.Duplicates.Load() > 0 })
	l.city.store.SetFault(nil)
	for range 9 {
		l.city.tap(200)
	}
	l.drain()
	l.city.check(l.w)
	second.stop(t)
	l.stop()
	if l.counters.Gaps.Load() != 0 || l.counters.Duplicates.Load() == 0 {
		t.Errorf("%d gaps, %d duplicates", l.counters.Gaps.Load(), l.counters.Duplicates.Load())
	}
}

// TestSinkKilled ends the sink between insert and commit of the offsets.
func TestSinkKilled(t *testing.T) {
	t.Parallel()
	l := newLine(t, sharedKafka(t), 3)
	var kills atomic.Int64
	crash := errors.New("killed here")
	l.sinkO.afterInsert = func() error {
		if l.counters.FlushedRows.Load() > 0 && kills.Load() < 3 {
			kills.Add(1)
			return crash
		}
		return nil
	}
	l.startRelay()
	l.startSink()
	for range 5 {
		l.city.tap(500)
	}
	l.drain()
	l.city.check(l.w)
	if kills.Load() != 3 || l.counters.Duplicates.Load() == 0 {
		t.Errorf("%d kills, %d duplicates", kills.Load(), l.counters.Duplicates.Load())
	}
	l.stop()
}

// TestBrokerKilled kills the broker under load, twice.
func TestBrokerKilled(t *testing.T) {
	t.Parallel()
	stack.Require(t, stack.Kafka)
	ctx := context.Background()
	server, err := stack.StartKafka(ctx, stack.KafkaOptions{Dir: t.TempDir()})
	must(err)
	t.Cleanup(func() { must(server.Close()) })
	l := newLine(t, Kafka{Brokers: []string{server.Addr()}}, 4)
	l.startRelay()
	l.startSink()
	var load sync.WaitGroup
	load.Go(func() {
		for range 200 {
			l.city.tap(50)
			<-time.After(10 * time.Millisecond)
		}
	})
	for i := range int64(2) {
		eventually(t, "records pass", func() bool { return l.counters.Relayed.Load() > 2000*(i+1) })
		must(server.Kill())
		must(server.Restart(ctx))
	}
	load.Wait()
	l.drain()
	l.city.check(l.w)
	if l.counters.RelayRetries.Load() == 0 {
		t.Error("the relay noticed nothing: the fault did not happen")
	}
	l.stop()
}

// throughProxy makes the relay reach its broker through a proxy that judges produce
// requests.
func throughProxy(t *testing.T, l *line,
	judge func(n int64) warehousetest.Fate) *warehousetest.Proxy {
	proxy := warehousetest.NewProxy(t, l.kafka.Brokers[0])
	var dialer net.Dialer
	l.relayO.dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, network, proxy.Addr())
	}
	var n atomic.Int64
	proxy.Judge(func(sent []byte) warehousetest.Fate {
		// A request begins with its length and the number of its API; 0 is produce.
		if len(sent) < 12 || sent[4] != 0 || sent[5] != 0 {
			return warehousetest.Deliver
		}
		return judge(n.Add(1))
	})
	return proxy
}

// TestProduceAckLost loses acknowledgements and requests: the relay sends again.
func TestProduceAckLost(t *testing.T) {
	t.Parallel()
	for name, fate := range map[string]warehousetest.Fate{
		"answer": warehousetest.LoseAnswer, "request": warehousetest.LoseRequest} {
		t.Run(name, func(t *testing.T) {
			l := newLine(t, sharedKafka(t), 5)
			proxy := throughProxy(t, l, func(n int64) warehousetest.Fate {
				if n%10 == 3 && n < 200 {
					return fate
				}
				return warehousetest.Deliver
			})
			l.startRelay()
			l.startSink()
			for range 10 {
				l.city.tap(300)
			}
			l.drain()
			l.city.check(l.w)
			if proxy.Lost() == 0 || l.counters.RelayRetries.Load() == 0 {
				t.Errorf("lost %d, retries %d: the fault did not happen", proxy.Lost(),
					l.counters.RelayRetries.Load())
			}
			if l.counters.Gaps.Load() != 0 {
				t.Errorf("%d gaps: order was lost", l.counters.Gaps.Load())
			}
			l.stop()
		})
	}
}

// TestPlantedAcksNone shows that the checks see a relay that does not wait for Kafka: its
// lost requests are missing in the warehouse, and Drain says so.
func TestPlantedAcksNone(t *testing.T) {
	t.Parallel()
	l := newLine(t, sharedKafka(t), 6)
	none := kafka.RequireNone
	l.relayO.acks = &none
	proxy := throughProxy(t, l, func(n int64) warehousetest.Fate {
		if n == 10 {
			return warehousetest.LoseRequest
		}
		return warehousetest.Deliver
	})
	l.startRelay()
	l.startSink()
	for range 20 {
		l.city.tap(300)
	}
	eventually(t, "the request is lost", func() bool { return proxy.Lost() > 0 })
	l.city.tap(1000)
	want := int64(len(l.city.all()))
	eventually(t, "the relay believes it is through",
		func() bool { return l.counters.Relayed.Load() >= want })
	if err := l.now.Drain(soon(t, 20*time.Second)); err == nil {
		t.Fatal("Drain with acks none: the planted fault was not seen")
	}
	if totals, err := l.w.Totals(context.Background(), warehousetest.Day); err != nil ||
		totals.Rows >= want {
		t.Fatalf("%d rows of %d, %v: nothing was lost", totals.Rows, want, err)
	}
	// The cure: everything unconfirmed again, by a relay that waits.
	l.relay.stop(t)
	l.relayO.acks, l.relayO.dial, l.relayO.FromOldest = nil, nil, true
	l.startRelay()
	// Buckets are stopped until the relay has come to what they miss.
	eventually(t, "the missing records arrive",
		func() bool { return l.now.Drain(soon(t, 20*time.Second)) == nil })
	l.city.check(l.w)
	l.stop()
}

// TestTopicRecreated deletes the topic and makes it anew: what Kafka had acknowledged is
// gone, the sink says so, and the outbox fills the hole.
func TestTopicRecreated(t *testing.T) {
	t.Parallel()
	l := newLine(t, sharedKafka(t), 7)
	l.sinkO.OnGap = func(b txn.Bucket) { l.nowRelay.Resend(b) }
	l.city.tap(2000)
	l.startRelay()
	l.startSink()
	l.drain()
	l.sink.stop(t)
	before := l.counters.Relayed.Load()
	l.city.tap(1000) // these reach Kafka and not the warehouse
	eventually(t, "the relay is through",
		func() bool { return l.counters.Relayed.Load() >= before+1000 })
	l.relay.stop(t)
	client, end := l.kafka.client()
	defer end()
	ctx := soon(t, 60*time.Second)
	_, err := client.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{l.kafka.Topic}})
	must(err)
	eventually(t, "the topic is gone", func() bool {
		_, err := partitions(ctx, client, l.kafka.Topic)
		return errors.Is(err, kafka.UnknownTopicOrPartition)
	})
	l.startRelay()
	l.startSink()
	l.city.tap(640) // behind the hole, in every bucket
	eventually(t, "all is confirmed", func() bool {
		for _, b := range l.city.infos() {
			if b.Confirmed != b.Last {
				return false
			}
		}
		return true
	})
	l.city.check(l.w)
	if l.counters.OffsetJumps.Load()+l.counters.Gaps.Load() == 0 {
		t.Error("no alarm")
	}
	l.stop()
}

// TestWarehouseRestored gives the sink a warehouse that lost its last records while Kafka
// still has them: the partition is read again from its beginning.
func TestWarehouseRestored(t *testing.T) {
	t.Parallel()
	l := newLine(t, sharedKafka(t), 8)
	l.startRelay()
	l.startSink()
	l.city.tap(1000)
	l.drain()
	old := warehousetest.NewMemory() // a copy from earlier
	must(old.Append(context.Background(), l.city.all()[:400]))
	l.sink.stop(t)
	l.w, l.sinkO.Warehouse = old, old
	l.startSink()
	l.city.tap(640)
	eventually(t, "the records come again",
		func() bool { return len(old.All()) == len(l.city.all()) })
	l.drain()
	l.city.check(old)
	if l.counters.Rewinds.Load() == 0 {
		t.Error("no partition was read again")
	}
	l.stop()
}

// TestStrangers puts messages into the topic that no relay wrote: garbage with and without
// a key, a record in the wrong partition, a spoiled record in its place.
func TestStrangers(t *testing.T) {
	t.Parallel()
	ctx := soon(t, 90*time.Second)
	l := newLine(t, sharedKafka(t), 9)
	l.startRelay()
	l.startSink()
	l.city.tap(100)
	l.drain()
	wrong := l.city.all()[100]
	wrong.Position.Bucket = 3
	writer := NewRelay(l.relayO).writer()
	must(writer.WriteMessages(ctx,
		kafka.Message{Key: []byte("who"), Value: []byte("\xff\xff"), WriterData: txn.Bucket(9)},
		kafka.Message{Value: []byte{}, WriterData: txn.Bucket(9)},
		kafka.Message{Value: txn.AppendRecord(nil, &wrong), WriterData: txn.Bucket(4)},
		kafka.Message{Key: []byte("b009-1-1/20260301"), Value: []byte("old"),
			WriterData: txn.Bucket(9)},
	))
	must(writer.Close())
	spoiled := l.city.spoil(9, []byte("\xff\xfe"))
	l.city.tap(500)
	l.drain()
	letters, err := l.w.DeadLetters(ctx)
	placed := 0
	for _, d := range letters {
		if d.Placed() {
			placed++
			if d.Position != spoiled || d.Date != warehousetest.Day {
				t.Errorf("letter stands at %s %s, want %s", d.Position, d.Date, spoiled)
			}
		}
	}
	if err != nil || len(letters) != 4 || placed != 1 {
		t.Errorf("%d letters, %d placed, %v, want 4 and 1: %+v", len(letters), placed, err, letters)
	}
	l.stop()
}

// TestLaterVersionStops: the partition waits, its offset is not committed, the others go on.
func TestLaterVersionStops(t *testing.T) {
	t.Parallel()
	l := newLine(t, sharedKafka(t), 10)
	l.startRelay()
	l.startSink()
	l.city.tap(640)
	l.drain()
	later := l.city.chain.Next(9)
	later.Version = txn.RecordVersion + 1
	at := l.city.spoil(9, txn.AppendRecord(nil, &later))
	l.city.tap(1000)
	if err := l.now.Drain(soon(t, 60*time.Second)); !errors.Is(err, ErrStopped) {
		t.Fatalf("Drain = %v, want ErrStopped", err)
	}
	eventually(t, "the others go on", func() bool {
		for _, b := range l.city.infos() {
			if b.Bucket != 9 && b.Confirmed != b.Last {
				return false
			}
		}
		return true
	})
	l.stop()
	client, end := l.kafka.client()
	defer end()
	res, err := client.OffsetFetch(soon(t, 10*time.Second), &kafka.OffsetFetchRequest{
		GroupID: l.sinkO.Group, Topics: map[string][]int{l.kafka.Topic: {9}}})
	must(err)
	committed := res.Topics[l.kafka.Topic][0].CommittedOffset
	if want := int64(at.Seq); committed != want { // offset 0 is the epoch marker
		t.Errorf("committed offset %d, want %d: that of the record that cannot be read",
			committed, want)
	}
}

// TestRebalances runs two sinks and ends one of them again and again.
func TestRebalances(t *testing.T) {
	t.Parallel()
	l := newLine(t, sharedKafka(t), 11)
	l.startRelay()
	l.startSink()
	var load sync.WaitGroup
	stop := make(chan struct{})
	load.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				l.city.tap(64)
			}
		}
	})
	for range 2 {
		second := NewSink(l.sinkO)
		r := start(t, second.Run)
		before := l.counters.Rebalances.Load()
		eventually(t, "both have joined",
			func() bool { return l.counters.Rebalances.Load() >= before+2 })
		r.stop(t)
	}
	close(stop)
	load.Wait()
	l.drain()
	l.city.check(l.w)
	if l.counters.Gaps.Load() != 0 {
		t.Errorf("%d gaps", l.counters.Gaps.Load())
	}
	l.stop()
}

func TestCallLength(t *testing.T) {
	entries := func(n, buckets, size int) []store.OutboxEntry {
		all := make([]store.OutboxEntry, n)
		for i := range all {
			all[i] = store.OutboxEntry{Position: txn.Position{Bucket: txn.Bucket(i % buckets)},
				Record: make([]byte, size)}
		}
		return all
	}
	for _, tt := range []struct{ n, buckets, size, want int }{
		{10, 1, 300, 10},
		{batchMax + 1, 1, 300, batchMax},
		{2*batchMax + 1, 2, 300, 2 * batchMax},
		{500, 1, store.RecordMax, batchBytesMax / (store.RecordMax + 128)},
		{1, 1, 2 * batchBytesMax, 1},
		{0, 1, 1, 0},
	} {
		if got := callLength(entries(tt.n, tt.buckets, tt.size)); got != tt.want {
			t.Errorf("callLength(%d entries of %d bytes in %d buckets) = %d, want %d",
				tt.n, tt.size, tt.buckets, got, tt.want)
		}
	}
}

func TestToBucketNeedsOne(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a message without its bucket was sent somewhere")
		}
	}()
	toBucket(kafka.Message{})
}
