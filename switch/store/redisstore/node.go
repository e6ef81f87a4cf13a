package redisstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/tapswitch/tapswitch/switch/store"
)

// lane is a set of connections: commits never wait behind loads and pages of the outbox.
type lane int

const (
	commitLane lane = iota
	queryLane
	laneCount
)

// node is one server with its connections.
type node struct {
	addr    string
	clients [laneCount]atomic.Pointer[redis.Client]
}

func newNode(addr string, opt *Options) *node {
	n := &node{addr: addr}
	for l := range laneCount {
		n.clients[l].Store(redis.NewClient(clientOptions(addr, l, opt)))
	}
	return n
}

// clientOptions are the settings of FAULTS.md: no retry by the client, since a command whose
// reply was lost may have been executed, and contexts that end calls.
func clientOptions(addr string, l lane, opt *Options) *redis.Options {
	ro := &redis.Options{
		Addr:                       addr,
		Protocol:                   3,
		CredentialsProviderContext: opt.Credentials,
		TLSConfig:                  opt.TLS,
		MaxRetries:                 -1,
		ContextTimeoutEnabled:      true,
		DialTimeout:                opt.ReadTimeout,
		DialerRetries:              1,
		ReadTimeout:                opt.ReadTimeout,
		WriteTimeout:               opt.WriteTimeout,
		PoolSize:                   opt.Connections,
		PoolTimeout:                opt.ReadTimeout,
		DisableIdentity:            true,
		MaintNotificationsConfig: &maintnotifications.Config{
			Mode: maintnotifications.ModeDisabled,
		},
	}
	if l == queryLane {
		ro.ReadTimeout *= slowFactor
		ro.WriteTimeout *= slowFactor
		ro.PoolTimeout *= slowFactor
		ro.PoolSize = queryConnectionsMax
	}
	ro.PipelinePoolSize = ro.PoolSize
	if opt.tune != nil {
		opt.tune(ro)
	}
	return ro
}

// clientLog passes what go-redis says of its connections to our logger instead of to
// standard error. The library has one logger for the whole process.
type clientLog struct{ to *slog.Logger }

// Printf implements the library's logger.
func (l clientLog) Printf(ctx context.Context, format string, v ...any) {
	l.to.DebugContext(ctx, "redis client", "text", fmt.Sprintf(format, v...))
}

// replace gives the lane new connections: after a reply that belonged to another call, all
// that follow on that connection do too.
func (n *node) replace(l lane, opt *Options) error {
	old := n.clients[l].Swap(redis.NewClient(clientOptions(n.addr, l, opt)))
	return old.Close()
}

func (n *node) close() error {
	var err error
	for l := range laneCount {
		err = errors.Join(err, n.clients[l].Load().Close())
	}
	return err
}

// router knows which node serves each place. On one node that never changes; in a cluster
// it follows MOVED, and asks again for all slots when a node is lost.
type router struct {
	opt    *Options
	routes [placeCount]atomic.Pointer[node]
	lost   chan struct{} // wakes the refresher; holds one wish

	mu     sync.Mutex // guards nodes and closed
	nodes  map[string]*node
	closed bool
}

func newRouter(opt *Options) *router {
	return &router{opt: opt, lost: make(chan struct{}, 1), nodes: map[string]*node{}}
}

// node returns the node of an address, made on first sight.
func (r *router) node(addr string) (*node, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := r.nodes[addr]; n != nil {
		return n, nil
	}
	if r.closed || len(r.nodes) >= nodesMax {
		return nil, fmt.Errorf("%w: node %s not taken in: %d nodes known, limit %d",
			store.ErrUnavailable, addr, len(r.nodes), nodesMax)
	}
	n := newNode(addr, r.opt)
	r.nodes[addr] = n
	return n, nil
}

func (r *router) known() []*node {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]*node, 0, len(r.nodes))
	for _, n := range r.nodes {
		all = append(all, n)
	}
	return all
}

// masters returns the nodes that serve a place, each once, in order of their places.
func (r *router) masters() []*node {
	var all []*node
	seen := map[*node]bool{}
	for p := range r.routes {
		n := r.routes[p].Load()
		if n != nil && !seen[n] {
			seen[n] = true
			all = append(all, n)
		}
	}
	return all
}

// find sets the routes for the first time.
func (r *router) find(ctx context.Context) error {
	for _, addr := range r.opt.Addrs {
		n, err := r.node(addr)
		if err != nil {
			return err
		}
		if !r.opt.Cluster {
			for p := range r.routes {
				r.routes[p].Store(n)
			}
		}
	}
	if !r.opt.Cluster {
		return nil
	}
	return r.refresh(ctx)
}

// refresh asks the nodes in turn who serves which slot, until one answers for all places.
func (r *router) refresh(ctx context.Context) error {
	var last error
	for _, n := range r.known() {
		// CLUSTER SHARDS, its successor, does not tell how a client of this network reaches a
		// node behind NAT, and lists nodes that are loading.
		//lint:ignore SA1019 see above
		slots, err := n.clients[queryLane].Load().ClusterSlots(ctx).Result()
		if err != nil {
			last = fmt.Errorf("%w: node %s: slots: %w", store.ErrUnavailable, n.addr, err)
			continue
		}
		if last = r.assign(n, slots); last == nil {
			return nil
		}
	}
	return last
}

func (r *router) assign(from *node, slots []redis.ClusterSlot) error {
	var err error
	for p := range place(placeCount) {
		addr := masterOf(slotOf(p), slots)
		if addr == "" {
			err = fmt.Errorf("%w: node %s: nobody serves slot %d of %s", store.ErrUnavailable,
				from.addr, slotOf(p), p)
			continue
		}
		n, nodeErr := r.node(fullAddr(addr, from.addr))
		if nodeErr != nil {
			return nodeErr
		}
		r.routes[p].Store(n)
	}
	return err
}

func masterOf(slot int, slots []redis.ClusterSlot) string {
	for _, s := range slots {
		if slot >= s.Start && slot <= s.End && len(s.Nodes) > 0 {
			return s.Nodes[0].Addr
		}
	}
	return ""
}

// fullAddr completes an address without host, which means the host of who said it.
func fullAddr(addr, from string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || host != "" && host != "?" {
		return addr
	}
	host, _, err = net.SplitHostPort(from)
	if err != nil {
		return addr
	}
	return net.JoinHostPort(host, port)
}

// noteLost wishes for a refresh; it never waits.
func (r *router) noteLost() {
	select {
	case r.lost <- struct{}{}:
	default:
	}
}

// refreshPause is the least time between two refreshes: a lost node makes every call wish
// for one.
const refreshPause = 100 * time.Millisecond

// follow refreshes on wish until stop closes.
func (r *router) follow(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-r.lost:
		}
		ctx, cancel := context.WithTimeout(context.Background(), slowFactor*r.opt.ReadTimeout)
		if err := r.refresh(ctx); err != nil {
			r.opt.Logger.Warn("cluster slots not known", "err", err)
		}
		cancel()
		select {
		case <-stop:
			return
		case <-time.After(refreshPause):
		}
	}
}

func (r *router) close() error {
	r.mu.Lock()
	r.closed = true
	nodes := r.nodes
	r.nodes = map[string]*node{}
	r.mu.Unlock()
	var err error
	for _, n := range nodes {
		err = errors.Join(err, n.close())
	}
	return err
}
