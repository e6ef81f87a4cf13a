package feed

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/ledger/warehouse/warehousetest"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// city is a hot store with a switch's traffic in it, and what the ledger must hold of it.
type city struct {
	t     *testing.T
	store *storetest.Memory
	chain *warehousetest.Chain
	day   txn.BusinessDate

	mu   sync.Mutex
	want []txn.Record
}

func newCity(t *testing.T, seed uint64) *city {
	c := &city{t: t, store: storetest.NewMemory(storetest.MemoryOptions{}),
		chain: warehousetest.NewChain(seed), day: warehousetest.Day}
	c.openEpoch()
	c.cutOver(c.day)
	return c
}

// must ends the test on an error of the store, which has no faults here. It may be
// called from other goroutines, so it does not use Fatal.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

func (c *city) infos() []store.BucketInfo {
	infos, err := c.store.Buckets(context.Background())
	must(err)
	return infos
}

// marker remembers a marker as the store made it.
func (c *city) marker(encoded []byte, p txn.Position, d txn.BusinessDate) {
	r, err := txn.DecodeRecord(txn.AppendPosition(encoded, p, d))
	must(err)
	c.want = append(c.want, r)
}

func (c *city) openEpoch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.infos()
	must(c.store.OpenEpoch(context.Background(), 1000))
	for i, now := range c.infos() {
		c.marker(store.EpochRecord(before[i].Last, 1000), now.Last, now.Date)
	}
}

func (c *city) cutOver(date txn.BusinessDate) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, before := range c.infos() {
		must(c.store.CutOver(context.Background(), before.Bucket, date, 2000))
		if before.Date != 0 {
			p := before.Last
			p.Seq++
			c.marker(store.DayRecord(before.Bucket, before.Date, 2000), p, before.Date)
		}
	}
	c.day = date
}

// tap commits n records. Safe for concurrent use.
func (c *city) tap(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range n {
		r := c.chain.Next(txn.Bucket((i*37 + n) % txn.BucketCount))
		r.Position, r.BusinessDate = txn.Position{}, 0
		commit := &store.Commit{Card: r.Card, AnyVersion: true, Record: txn.AppendRecord(nil, &r)}
		must(c.store.Commit(context.Background(), []*store.Commit{commit}))
		if commit.Status != store.Committed {
			panic(commit.Status.String())
		}
		r.Position, r.BusinessDate = commit.Position, commit.Date
		c.want = append(c.want, r)
	}
}

// spoil commits a record that nobody can read and returns where it stands.
func (c *city) spoil(b txn.Bucket, encoded []byte) txn.Position {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.chain.Next(b)
	commit := &store.Commit{Card: r.Card, AnyVersion: true, Record: encoded}
	must(c.store.Commit(context.Background(), []*store.Commit{commit}))
	return commit.Position
}

// all returns what the ledger must hold.
func (c *city) all() []txn.Record {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.want)
}

// check proves that w holds all of it and that the outbox knows.
func (c *city) check(w warehouse.Warehouse) {
	c.t.Helper()
	warehousetest.Check(c.t, w, c.all())
	for _, b := range c.infos() {
		if b.Confirmed != b.Last || b.Pending != 0 {
			c.t.Fatalf("bucket %s: confirmed %s of %s, %d pending", b.Bucket, b.Confirmed,
				b.Last, b.Pending)
		}
	}
}

// runner is a Run method in its own goroutine.
type runner struct {
	cancel context.CancelFunc
	done   chan error
}

func start(t *testing.T, run func(context.Context) error) *runner {
	ctx, cancel := context.WithCancel(context.Background())
	r := &runner{cancel: cancel, done: make(chan error, 1)}
	go func() { r.done <- run(ctx) }()
	t.Cleanup(func() { cancel() })
	return r
}

// stop ends the run in good order.
func (r *runner) stop(t *testing.T) {
	t.Helper()
	r.cancel()
	if err := r.wait(t); err != nil {
		t.Fatalf("Run: %v", err)
	}
}

func (r *runner) wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-r.done:
		return err
	case <-time.After(30 * time.Second):
		t.Fatal("Run does not end")
		return nil
	}
}

// soon is a context for a call that must not take long.
func soon(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// eventually waits until is holds.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	ctx := soon(t, 60*time.Second)
	for !is() {
		if !wait(ctx, 5*time.Millisecond) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

// testLog shows the log of a test only with -v.
func testLog(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(logWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

type logWriter struct{ t *testing.T }

// Write implements io.Writer.
func (w logWriter) Write(b []byte) (int, error) {
	fmt.Fprintf(w.t.Output(), "%s", b)
	return len(b), nil
}
