package redisstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Defaults and limits of Options.
const (
	// DefaultTimeout is long for a commit (a fsync takes 0.1 ms, a list 2 ms) and short
	// for a gate, which waits for it.
	DefaultTimeout = 100 * time.Millisecond
	// DefaultConnections is where throughput stops growing (HOTPATH.md).
	DefaultConnections = 2
	// ConnectionsMax bounds Options.Connections.
	ConnectionsMax = 16
	// DefaultListMax keeps a list's script under some 2 ms, for which all others wait.
	DefaultListMax = 128
	// ListMaxMax bounds Options.ListMax: 8 arguments a commit, under Lua's and Redis's limits.
	ListMaxMax = 1024
	// DefaultOutboxMax is entries a bucket: 6.4 million records, some 3 GB, five minutes
	// of 20,000 commits a second without a warehouse.
	DefaultOutboxMax = 100_000
	// DefaultChangesKept is blacklist changes a bucket: a replica that missed more takes
	// a snapshot.
	DefaultChangesKept = 10_000
	// ReplicasMax bounds Options.Replicas.
	ReplicasMax = 8
	// PrefixMax is the greatest length of Options.Prefix in bytes.
	PrefixMax = 32
)

const (
	// slowFactor times ReadTimeout is the limit of everything but commits: a page of the
	// outbox is larger than a commit, and nobody stands at a gate for it.
	slowFactor = 10
	// queryConnectionsMax bounds the connections for loads and reads to one node.
	queryConnectionsMax = 16
	// queueMax bounds the commits that wait for the workers of one node; more are refused.
	// It holds four of the longest lists that one call may bring.
	queueMax = 4 * store.CommitListMax
	// nodesMax bounds the nodes of a cluster that redirects can make known.
	nodesMax = 256
)

// Options says where the database is and how it is used. Addrs is needed; the zero value of
// everything else is safe.
type Options struct {
	// Addrs is the host:port of the one node, or of some nodes of the cluster.
	Addrs []string
	// Cluster says that the addresses are nodes of a Redis Cluster.
	Cluster bool
	// Credentials is called for each new connection, so that secrets stay where they are
	// kept and may change; nil for a server without a password.
	Credentials func(context.Context) (username, password string, err error)
	// TLS, when not nil, is used for every connection.
	TLS *tls.Config
	// Prefix stands before every key, outside the hash tag: databases of one server, in
	// tests. At most PrefixMax bytes, without braces.
	Prefix string
	// Date is the business date of a new database; an existing one keeps its own. Zero
	// leaves it undecided until the first cut-over.
	Date txn.BusinessDate
	// Now tells the time for markers; nil means time.Now. Deadlines are compared with
	// the server's clock.
	Now func() time.Time
	// ReadTimeout limits a commit call from the first byte sent to the last one
	// received, and so how long a switch can be in doubt; WriteTimeout limits sending.
	// Zero means DefaultTimeout. Everything but commits has ten times as long.
	ReadTimeout, WriteTimeout time.Duration
	// Replicas is how many replicas must acknowledge each commit (WAIT). Without
	// replicas a failover loses answered commits.
	Replicas int
	// Connections is how many commit calls may be under way to one node; 0 means
	// DefaultConnections.
	Connections int
	// ListMax is the most commits in one call; 0 means DefaultListMax.
	ListMax int
	// OutboxMax is the high-water mark: unconfirmed outbox entries of one bucket; 0
	// means DefaultOutboxMax.
	OutboxMax int
	// ChangesKept is how many blacklist changes of a bucket are kept for replicas; 0
	// means DefaultChangesKept.
	ChangesKept int
	// Logger is told of lost nodes, moved slots and refused replies; nil for none.
	Logger *slog.Logger
	// SkipServerCheck lets Open accept a server whose settings can lose commits. For
	// tests and emergencies; doctor still reports them.
	SkipServerCheck bool

	// tune changes the client's options; only for the tests that prove that they see
	// what a wrong setting does.
	tune func(*redis.Options)
}

// withDefaults returns the options complete, or what is wrong with them.
func (o Options) withDefaults() (Options, error) {
	for _, d := range []struct {
		name     string
		value    *int
		def, max int
	}{
		{"Connections", &o.Connections, DefaultConnections, ConnectionsMax},
		{"ListMax", &o.ListMax, DefaultListMax, ListMaxMax},
		{"OutboxMax", &o.OutboxMax, DefaultOutboxMax, 1 << 30},
		{"ChangesKept", &o.ChangesKept, DefaultChangesKept, 1 << 30},
		{"Replicas", &o.Replicas, 0, ReplicasMax},
	} {
		if *d.value == 0 {
			*d.value = d.def
		}
		if *d.value < 0 || *d.value > d.max {
			return o, fmt.Errorf("redisstore: %s is %d: want 0 to %d", d.name, *d.value, d.max)
		}
	}
	o.setQuietDefaults()
	return o, o.check()
}

func (o *Options) setQuietDefaults() {
	if o.ReadTimeout == 0 {
		o.ReadTimeout = DefaultTimeout
	}
	if o.WriteTimeout == 0 {
		o.WriteTimeout = DefaultTimeout
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

func (o *Options) check() error {
	switch {
	case len(o.Addrs) == 0:
		return errors.New("redisstore: no address: give host:port of the server")
	case !o.Cluster && len(o.Addrs) > 1:
		return fmt.Errorf("redisstore: %d addresses of one node: give one, or set Cluster",
			len(o.Addrs))
	case o.ReadTimeout < time.Millisecond || o.WriteTimeout < time.Millisecond:
		return fmt.Errorf("redisstore: timeouts %v and %v: want at least 1ms", o.ReadTimeout,
			o.WriteTimeout)
	case len(o.Prefix) > PrefixMax || strings.ContainsAny(o.Prefix, "{}"):
		return fmt.Errorf("redisstore: prefix %q: want at most %d bytes without braces",
			o.Prefix, PrefixMax)
	case o.Date != 0 && !o.Date.Valid():
		return fmt.Errorf("redisstore: business date %d is no day", o.Date)
	}
	return nil
}
