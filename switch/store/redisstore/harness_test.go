package redisstore

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/deploy/stack"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// modelRuns is how many random histories TestModel runs on each kind of server, unless
// the command line says; a real server takes half a second for one.
const modelRuns = "30"

func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", modelRuns); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

const testDate txn.BusinessDate = 20261121

// patient is the time limit of tests that are not about time limits: the machine runs
// other tests beside these.
const patient = 3 * time.Second

// startSingle starts a server of the test's own.
func startSingle(t testing.TB, args ...string) *stack.Server {
	t.Helper()
	stack.Require(t, stack.Redis)
	s, err := stack.StartRedis(t.Context(), stack.RedisOptions{Dir: serverDir(t), Args: args})
	if err != nil {
		t.Fatalf("start redis: %v", err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func startCluster(t testing.TB) *stack.RedisCluster {
	t.Helper()
	stack.Require(t, stack.Redis)
	c, err := stack.StartRedisCluster(t.Context(), stack.RedisClusterOptions{Dir: serverDir(t)})
	if err != nil {
		t.Fatalf("start redis cluster: %v", err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// serverDir is a folder for a server's data that is gone after the test, also when the
// server writes while it is removed.
func serverDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "redisstore")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func options(addrs ...string) Options {
	return Options{Addrs: addrs, Cluster: len(addrs) > 1, Date: testDate, ReadTimeout: patient,
		WriteTimeout: patient}
}

// open opens a store that the end of the test closes.
func open(t testing.TB, opt Options) *Store {
	t.Helper()
	s, err := Open(context.Background(), opt)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// client is a plain client for looking and for damage.
func client(t testing.TB, addr string) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: addr, DisableIdentity: true})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// card returns test card n; uniform tokens, so that cards spread over the buckets.
func card(n int) pan.Token {
	var t pan.Token
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(n)))
	copy(t[:], sum[:])
	return t
}

// cardIn returns the n-th test card of a bucket.
func cardIn(b txn.Bucket, n int) pan.Token {
	t := card(n)
	t[0] = byte(b)<<2 | t[0]&3
	return t
}

// write is a commit of a state and a record on version.
func write(c pan.Token, version uint64, text string) *store.Commit {
	return &store.Commit{Card: c, Version: version, State: []byte("state " + text),
		Record: []byte("record " + text)}
}

func freeze(c pan.Token, old txn.Mark, reason txn.FreezeReason) *store.Commit {
	return &store.Commit{Card: c, AnyVersion: true, Mark: old, Reserve: true,
		Record: []byte("freeze"), List: &store.ListChange{Entry: store.Entry{
			Mark: txn.Mark{Reason: reason, Scope: txn.AppAll}, Since: 5, Actor: "desk", Note: "n"}}}
}

// commit commits one and fails the test on an error.
func commit(t testing.TB, s *Store, c *store.Commit) *store.Commit {
	t.Helper()
	if err := s.Commit(context.Background(), []*store.Commit{c}); err != nil {
		t.Fatalf("commit: %v", err)
	}
	return c
}

// mustCommit commits one and wants it committed.
func mustCommit(t testing.TB, s *Store, c *store.Commit) *store.Commit {
	t.Helper()
	if commit(t, s, c); c.Status != store.Committed {
		t.Fatalf("commit: %v, want committed", c.Status)
	}
	return c
}

func load(t testing.TB, s *Store, c pan.Token) store.Loaded {
	t.Helper()
	l, err := s.Load(context.Background(), c, nil)
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	return l
}

// eventually asks until ok or a generous time is over.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	end := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-end:
			t.Fatalf("never: %s", what)
		case <-tick.C:
		}
	}
}

// outbox reads a whole shard.
func outbox(t testing.TB, s *Store, b txn.Bucket) []store.OutboxEntry {
	t.Helper()
	const page = 500
	var all []store.OutboxEntry
	var at store.Cursor
	for {
		entries, next, err := s.Read(context.Background(), int(b), at, page)
		if err != nil {
			t.Fatalf("read %s: %v", b, err)
		}
		all, at = append(all, entries...), next
		if len(entries) < page {
			return all
		}
	}
}

func wantErr(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want %v", err, want)
	}
}

// wantErrIn is wantErr for goroutines, which must not end the test.
func wantErrIn(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got error %v, want %v", err, want)
	}
}

func wantStatus(t testing.TB, c *store.Commit, want store.Status) {
	t.Helper()
	if c.Err != nil || c.Status != want {
		t.Fatalf("got %v (error %v), want %v", c.Status, c.Err, want)
	}
}

// behaviour is a test that holds on one node and in a cluster; newOptions gives a database
// of its own at each call.
type behaviour struct {
	name string
	test func(t *testing.T, newOptions func() Options)
}

// TestSingle and TestCluster run the same behaviours on both kinds of server.
func TestSingle(t *testing.T) { runBehaviours(t, []string{startSingle(t).Addr()}) }

func TestCluster(t *testing.T) { runBehaviours(t, startCluster(t).Addrs()) }

func runBehaviours(t *testing.T, addrs []string) {
	n := 0
	newOptions := func() Options {
		opt := options(addrs...)
		opt.Prefix = fmt.Sprintf("t%d", n)
		n++
		return opt
	}
	for _, b := range slices.Concat(commitBehaviours(), listBehaviours(), outboxBehaviours(),
		clockBehaviours(), registryBehaviours()) {
		t.Run(b.name, func(t *testing.T) { b.test(t, newOptions) })
	}
}
