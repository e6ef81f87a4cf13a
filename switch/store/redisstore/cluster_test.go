package redisstore

import (
	"context"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tapswitch/tapswitch/deploy/stack"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// TestSlots: our slots are those of the server, and the buckets are spread over the nodes.
func TestSlots(t *testing.T) {
	c := startCluster(t)
	s := open(t, options(c.Addrs()...))
	look := client(t, c.Addrs()[0])
	for p := range place(placeCount) {
		want, err := look.ClusterKeySlot(context.Background(), s.keys.key(p)).Result()
		if err != nil || int(want) != slotOf(p) {
			t.Fatalf("%s: slot %d, server says %d, %v", p, slotOf(p), want, err)
		}
	}
	count := map[*node]int{}
	for b := range txn.BucketCount {
		count[s.router.routes[b].Load()]++
	}
	if len(count) != 3 {
		t.Fatalf("buckets on %d nodes", len(count))
	}
	for n, buckets := range count {
		if buckets < 10 || buckets > 35 {
			t.Errorf("%s has %d of 64 buckets", n.addr, buckets)
		}
	}
	if len(s.crews) != 3 || len(s.crews[0].workers) != DefaultConnections {
		t.Errorf("%d crews of %d workers", len(s.crews), len(s.crews[0].workers))
	}
}

// migration moves the slot of a bucket from its node to another by hand.
type migration struct {
	t        *testing.T
	slot     int
	from, to *redis.Client
	toAddr   string
	fromID   string
	toID     string
	all      []*redis.Client
}

func newMigration(t *testing.T, s *Store, c *stack.RedisCluster, b txn.Bucket) *migration {
	m := &migration{t: t, slot: slotOf(place(b))}
	owner := s.router.routes[b].Load().addr
	for _, addr := range c.Addrs() {
		cl := client(t, addr)
		m.all = append(m.all, cl)
		switch {
		case addr == owner:
			m.from, m.fromID = cl, m.ask(cl, "CLUSTER", "MYID").(string)
		case m.to == nil:
			m.to, m.toAddr, m.toID = cl, addr, m.ask(cl, "CLUSTER", "MYID").(string)
		}
	}
	return m
}

func (m *migration) ask(c *redis.Client, args ...any) any {
	m.t.Helper()
	v, err := c.Do(context.Background(), args...).Result()
	if err != nil {
		m.t.Fatalf("%v: %v", args, err)
	}
	return v
}

func (m *migration) begin() {
	m.ask(m.to, "CLUSTER", "SETSLOT", m.slot, "IMPORTING", m.fromID)
	m.ask(m.from, "CLUSTER", "SETSLOT", m.slot, "MIGRATING", m.toID)
}

// moveKeys moves up to max keys and returns how many there were.
func (m *migration) moveKeys(max int) int {
	keys := m.ask(m.from, "CLUSTER", "GETKEYSINSLOT", m.slot, max).([]any)
	if len(keys) == 0 {
		return 0
	}
	host, port, err := net.SplitHostPort(m.toAddr)
	if err != nil {
		m.t.Fatal(err)
	}
	m.ask(m.from, append([]any{"MIGRATE", host, port, "", 0, 5000, "KEYS"}, keys...)...)
	return len(keys)
}

func (m *migration) finish() {
	m.ask(m.to, "CLUSTER", "SETSLOT", m.slot, "NODE", m.toID)
	for _, c := range m.all {
		m.ask(c, "CLUSTER", "SETSLOT", m.slot, "NODE", m.toID)
	}
}

// TestMovedSlot moves a bucket while it is in use: calls are refused in the middle or sent
// where the slot went, and nothing is lost or done twice.
func TestMovedSlot(t *testing.T) {
	c := startCluster(t)
	opt := options(c.Addrs()...)
	opt.ReadTimeout = 500 * time.Millisecond
	s := open(t, opt)
	other := open(t, opt) // knows the old place and hears of the new one from MOVED
	b := txn.BucketOf(card(0))
	w := startWriters(s, 8)
	mustCommit(t, other, write(cardIn(b, 1_000_000), 0, "before"))
	eventually(t, "commits", func() bool { return w.count() > 1000 })

	m := newMigration(t, s, c, b)
	m.begin()
	m.moveKeys(3) // some keys are here, some there
	torn := commit3(other, write(cardIn(b, 1_000_000), 1, "torn"))
	if torn.Err == nil {
		t.Fatalf("a commit over two nodes said %v", torn.Status)
	}
	wantErr(t, torn.Err, store.ErrUnavailable)
	for m.moveKeys(100) > 0 {
		continue
	}
	checkAsk(t, s, b)
	m.finish()
	goal := w.count() + 1000
	eventually(t, "commits go on", func() bool { return w.count() > goal })
	w.end()
	mustCommit(t, other, write(cardIn(b, 1_000_000), 1, "after"))
	if addr := other.router.routes[b].Load().addr; addr != m.toAddr {
		t.Fatalf("bucket is looked for at %s, is at %s", addr, m.toAddr)
	}
	// The card of this test is in the outbox too.
	w.acked[cardIn(b, 1_000_000)] = 2
	w.check(t, s)
}

func commit3(s *Store, c *store.Commit) *store.Commit {
	_ = s.Commit(context.Background(), []*store.Commit{c}) // the same error is in c
	return c
}

// checkAsk: while all keys have moved and the slot has not, a read is sent on with ASK,
// and the route stays.
func checkAsk(t *testing.T, s *Store, b txn.Bucket) {
	t.Helper()
	before := s.router.routes[b].Load()
	entries, _, err := s.Read(context.Background(), int(b), store.Cursor{}, 10)
	if err != nil || len(entries) == 0 {
		t.Fatalf("read during the move: %d entries, %v", len(entries), err)
	}
	if s.router.routes[b].Load() != before {
		t.Error("ASK changed the route")
	}
}

// TestNodeAddresses: what nodes say of each other may lack the host.
func TestNodeAddresses(t *testing.T) {
	for _, test := range []struct{ addr, from, want string }{
		{"10.0.0.1:6379", "h:1", "10.0.0.1:6379"},
		{":6379", "h:1", "h:6379"},
		{"?:6379", "[::1]:1", "[::1]:6379"},
		{"odd", "h:1", "odd"},
		{":6379", "odd", ":6379"},
	} {
		if got := fullAddr(test.addr, test.from); got != test.want {
			t.Errorf("%q from %q: %q, want %q", test.addr, test.from, got, test.want)
		}
	}
}

// TestNodesMax: redirects cannot make the store know more nodes than its limit.
func TestNodesMax(t *testing.T) {
	opt, err := options("h:1").withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	r := newRouter(&opt)
	defer func() { _ = r.close() }()
	for i := range nodesMax {
		if _, err := r.node("h:" + strconv.Itoa(i)); err != nil {
			t.Fatal(err)
		}
	}
	_, err = r.node("h:9999")
	wantErr(t, err, store.ErrUnavailable)
	if _, err = r.node("h:1"); err != nil {
		t.Fatalf("a known node: %v", err)
	}
}

// TestClusterIncomplete: a cluster that does not serve every place is not opened.
func TestClusterIncomplete(t *testing.T) {
	slots := []redis.ClusterSlot{{Start: 0, End: 100, Nodes: []redis.ClusterNode{{Addr: "h:1"}}}}
	opt, err := options("h:1", "h:2").withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	r := newRouter(&opt)
	defer func() { _ = r.close() }()
	n, err := r.node("h:1")
	if err != nil {
		t.Fatal(err)
	}
	wantErr(t, r.assign(n, slots), store.ErrUnavailable)
}
