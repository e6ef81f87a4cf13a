package feed

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/deploy/stack"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/ledger/warehouse/local"
	"github.com/tapswitch/tapswitch/ledger/warehouse/warehousetest"
	"github.com/tapswitch/tapswitch/switch/store"
	hotlocal "github.com/tapswitch/tapswitch/switch/store/local"
	"github.com/tapswitch/tapswitch/switch/store/redisstore"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// hotStore is a real store that a test copies and restores.
type hotStore struct {
	store.Store
	successor store.Successor
	close     func()
}

// traffic writes to a store and knows what the ledger must hold of it.
type traffic struct {
	t     *testing.T
	chain *warehousetest.Chain
	want  map[txn.RequestID]bool
}

func newTraffic(t *testing.T) *traffic {
	return &traffic{t: t, chain: warehousetest.NewChain(9), want: map[txn.RequestID]bool{}}
}

// tap commits n records to few buckets, so that some get none.
func (f *traffic) tap(s store.Store, n int) {
	f.t.Helper()
	for i := range n {
		r := f.chain.Next(txn.Bucket(i * 7 % 40))
		r.Position, r.BusinessDate = txn.Position{}, 0
		c := &store.Commit{Card: r.Card, AnyVersion: true, Record: txn.AppendRecord(nil, &r)}
		if err := s.Commit(f.t.Context(), []*store.Commit{c}); err != nil || c.Status != store.Committed {
			f.t.Fatal(c.Status, err)
		}
		if f.want[r.Request] {
			f.t.Fatalf("request %s comes twice", r.Request)
		}
		f.want[r.Request] = true
	}
}

// check finds every record once in the warehouse, and nothing else but markers.
func (f *traffic) check(w warehouse.Reader) {
	f.t.Helper()
	seen := map[txn.RequestID]int{}
	places := map[txn.Position]bool{}
	err := w.Records(f.t.Context(), warehouse.Filter{}, func(r *txn.Record) error {
		if places[r.Position] {
			f.t.Errorf("two records at %s", r.Position)
		}
		places[r.Position] = true
		if !r.Kind.IsMarker() {
			seen[r.Request]++
		}
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	for id := range f.want {
		if seen[id] != 1 {
			f.t.Errorf("request %s stands %d times", id, seen[id])
		}
	}
	if len(seen) != len(f.want) {
		f.t.Errorf("%d records, want %d", len(seen), len(f.want))
	}
}

// feeds runs the feed until everything is in the warehouse.
func feeds(t *testing.T, s store.Store, w warehouse.Appender, counters *Counters) {
	t.Helper()
	d := NewDirect(DirectOptions{Source: s, Warehouse: w, FlushEvery: 20 * time.Millisecond, Counters: counters,
		Log: testLog(t)})
	r := start(t, d.Run)
	must(d.Drain(soon(t, 60*time.Second)))
	r.stop(t)
}

// restoredStore is what both stores have to show. open returns the store as it is now, keep
// takes a copy of it while it is closed, and restore puts that copy in its place.
func restoredStore(t *testing.T, open func() hotStore, keep, restore func()) {
	w, err := local.Open(local.Options{Dir: t.TempDir()})
	must(err)
	defer func() { must(w.Close()) }()
	f := newTraffic(t)
	ctx := t.Context()
	s := open()
	must(s.OpenEpoch(ctx, 1000))
	for b := range txn.Bucket(txn.BucketCount) {
		must(s.CutOver(ctx, b, warehousetest.Day, 1000))
	}
	f.tap(s, 300)
	feeds(t, s, w, nil)
	s.close()
	keep()

	s = open() // a day goes on, with restarts in it, and the ledger has it all
	must(s.OpenEpoch(ctx, 2000))
	f.tap(s, 200)
	must(s.OpenEpoch(ctx, 2000))
	f.tap(s, 100)
	feeds(t, s, w, nil)
	f.check(w)
	s.close()
	restore()

	s = open()
	var counters Counters
	d := NewDirect(DirectOptions{Source: s, Warehouse: w, Counters: &counters, Log: testLog(t)})
	limit, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := d.Run(limit); !errors.Is(err, ErrRestored) || !strings.Contains(err.Error(), "lost-store") {
		t.Fatalf("an older copy was fed: %v", err)
	}
	if counters.RestoredBuckets.Load() == 0 {
		t.Error("no bucket is counted as restored")
	}
	held, err := w.Positions(ctx)
	must(err)
	must(s.successor.OpenEpochAfter(ctx, 3000, held[:]))
	f.tap(s, 250)
	feeds(t, s, w, &counters)
	f.check(w)
	if counters.RestoredBuckets.Load() != 0 || counters.Gaps.Load() != 0 || counters.StoppedBuckets.Load() != 0 {
		t.Errorf("restored %d, gaps %d, stopped %d", counters.RestoredBuckets.Load(), counters.Gaps.Load(),
			counters.StoppedBuckets.Load())
	}
	must(s.OpenEpoch(ctx, 4000)) // and as ever
	f.tap(s, 50)
	feeds(t, s, w, nil)
	f.check(w)
	s.close()
}

// A local store that was restored from a copy of its folder stops the feed, and goes on behind
// the ledger without a record lost or kept twice.
func TestRestoredLocalStore(t *testing.T) {
	dir, kept := filepath.Join(t.TempDir(), "store"), filepath.Join(t.TempDir(), "copy")
	restoredStore(t, func() hotStore {
		s, err := hotlocal.Open(t.Context(), hotlocal.Options{Dir: dir, Date: warehousetest.Day})
		must(err)
		return hotStore{s, s, func() { must(s.Close()) }}
	}, func() { must(os.CopyFS(kept, os.DirFS(dir))) }, func() {
		must(os.RemoveAll(dir))
		must(os.CopyFS(dir, os.DirFS(kept)))
	})
}

// The same with Redis, restored from a copy of its append-only file.
func TestRestoredRedis(t *testing.T) {
	t.Parallel()
	stack.Require(t, stack.Redis)
	dir, kept := filepath.Join(t.TempDir(), "redis"), filepath.Join(t.TempDir(), "copy")
	server, err := stack.StartRedis(t.Context(), stack.RedisOptions{Dir: dir})
	must(err)
	t.Cleanup(func() { _ = server.Close() })
	restoredStore(t, func() hotStore {
		if !server.Running() {
			must(server.Start(t.Context()))
		}
		s, err := redisstore.Open(t.Context(), redisstore.Options{Addrs: []string{server.Addr()},
			Date: warehousetest.Day, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second})
		must(err)
		return hotStore{s, s, func() {
			must(s.Close())
			must(server.Stop())
		}}
	}, func() { must(os.CopyFS(kept, os.DirFS(dir))) }, func() {
		must(os.RemoveAll(dir))
		must(os.CopyFS(dir, os.DirFS(kept)))
	})
}

// A store that goes back under a running feed stops it too.
func TestARunningFeedSeesThatTheStoreWentBack(t *testing.T) {
	c := newCity(t, 4)
	w := warehousetest.NewMemory()
	c.tap(500)
	old := c.infos()
	c.tap(500)
	in := newIntake(intakeOptions{warehouse: w, log: testLog(t), buckets: func(context.Context) ([]store.BucketInfo, error) {
		return c.infos(), nil
	}})
	must(w.Append(t.Context(), c.all()))
	must(in.begin(t.Context()))
	must(in.watch(t.Context()))
	in.buckets = func(context.Context) ([]store.BucketInfo, error) { return old, nil }
	must(in.watch(t.Context())) // it is not time
	in.compared = in.compared.Add(-compareEvery)
	if err := in.watch(t.Context()); !errors.Is(err, ErrRestored) || !isFatal(err) {
		t.Fatalf("%v", err)
	}
	if in.counters.RestoredBuckets.Load() == 0 {
		t.Error("it is not counted")
	}
}

// The topic may hold more than the warehouse when a store is restored: it is emptied first, and
// the copy goes on behind all of it.
func TestRestoredOverATopic(t *testing.T) {
	t.Parallel()
	l := newLine(t, sharedKafka(t), 30)
	ctx := soon(t, 3*time.Minute)
	l.startRelay()
	l.startSink()
	l.city.tap(300)
	l.drain()
	l.sink.stop(t)
	copied := l.city.store.Backup()
	l.city.tap(300) // these are in the topic only
	var last []store.BucketInfo
	for { // until the relay has sent them all
		last = l.city.infos()
		sent := l.counters.Relayed.Load()
		if sent >= int64(len(l.city.all())) {
			break
		}
		if !wait(ctx, 10*time.Millisecond) {
			t.Fatalf("%d records were sent", sent)
		}
	}
	l.relay.stop(t)
	l.city.store = copied
	must(Empty(ctx, l.sinkO))
	l.city.check(l.w)
	held, err := l.w.Positions(ctx)
	must(err)
	for _, b := range last {
		if held[b.Bucket] != b.Last {
			t.Fatalf("the warehouse holds %s, the topic had %s", held[b.Bucket], b.Last)
		}
	}
	must(Empty(ctx, l.sinkO)) // again there is nothing to do
	must(copied.OpenEpochAfter(ctx, 5000, held[:]))
	for _, i := range l.city.infos() {
		l.city.marker(store.EpochRecord(held[i.Bucket], 5000), i.Last, i.Date)
	}
	l.relayO.Source, l.relayO.Registry, l.sinkO.Source = copied, copied, copied
	l.startRelay()
	l.startSink()
	l.city.tap(300)
	l.drain()
	l.stop()
	l.city.check(l.w)
	if n := l.counters.RestoredBuckets.Load() + l.counters.Gaps.Load(); n != 0 {
		t.Errorf("%d alarms", n)
	}
}

// Every alarm of the feed looks at a figure that is there, and names a heading of its runbook.
func TestAlarmsOfTheFeed(t *testing.T) {
	rules, err := os.ReadFile("../../deploy/runbooks/alarms_feed.yaml")
	must(err)
	book, err := os.ReadFile("../../deploy/runbooks/lost-store.md")
	must(err)
	named := map[string]bool{}
	new(Counters).Each(func(name string, _ int64) { named[name] = true })
	for _, part := range strings.Split(string(rules), "event=\"")[1:] {
		if event, _, _ := strings.Cut(part, "\""); !named[event] {
			t.Errorf("an alarm looks at %s, which is not there", event)
		}
	}
	for _, part := range strings.Split(string(rules), "runbook: \"")[1:] {
		if heading, _, _ := strings.Cut(part, "\""); !strings.Contains(string(book), "\n## "+heading+"\n") {
			t.Errorf("the runbook has no part %q", heading)
		}
	}
}
