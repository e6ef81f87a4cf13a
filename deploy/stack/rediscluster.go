package stack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"time"
)

// redisBusOffset is how far the cluster bus lies above a chosen client port, as Redis has it.
const redisBusOffset = 10000

// redisSlots is the number of hash slots of a Redis Cluster.
const redisSlots = 16384

// redisNodesMax bounds a test cluster: each node is a process, and two cores run them all.
const redisNodesMax = 12

// RedisClusterOptions says how a cluster of masters is run.
type RedisClusterOptions struct {
	// Dir holds a folder for each node.
	Dir string
	// Nodes is the number of masters; 0 means 3.
	Nodes int
	// Port is the port of the first node, the others follow it; 0 means free ports.
	Port int
	// AppendFsync and Args are those of RedisOptions, for every node.
	AppendFsync string
	Args        []string

	pidFile func(node int) string
}

// RedisCluster is a Redis Cluster of masters without replicas, all slots assigned and full
// coverage required: with one node down the others refuse, as a payment store must.
type RedisCluster struct {
	// Nodes are the masters in slot order; each may be killed, paused and restarted alone.
	Nodes []*Server
}

// StartRedisCluster starts the nodes, joins them, and returns once every node says
// cluster_state:ok. A folder of an earlier cluster of the same size comes back with its data.
func StartRedisCluster(ctx context.Context, opt RedisClusterOptions) (*RedisCluster, error) {
	if opt.Nodes == 0 {
		opt.Nodes = RedisClusterNodes
	}
	if opt.Nodes < 3 || opt.Nodes > redisNodesMax {
		return nil, fmt.Errorf("stack: a redis cluster of %d nodes: want 3 to %d", opt.Nodes,
			redisNodesMax)
	}
	if opt.Dir == "" {
		return nil, errNoDir
	}
	cluster := &RedisCluster{}
	for i := range opt.Nodes {
		node, err := StartRedis(ctx, opt.node(i))
		if err != nil {
			return nil, errors.Join(err, cluster.Close())
		}
		cluster.Nodes = append(cluster.Nodes, node)
	}
	if err := errors.Join(cluster.join(ctx), cluster.WaitOK(ctx)); err != nil {
		return nil, errors.Join(err, cluster.Close())
	}
	return cluster, nil
}

// node returns the options of one node.
func (opt RedisClusterOptions) node(i int) RedisOptions {
	node := RedisOptions{
		Dir:         filepath.Join(opt.Dir, "node"+strconv.Itoa(i+1)),
		AppendFsync: opt.AppendFsync,
		Args:        opt.Args,
		cluster:     true,
	}
	if opt.Port != 0 {
		node.Port = opt.Port + i
	}
	if opt.pidFile != nil {
		node.pidFile = opt.pidFile(i)
	}
	return node
}

// join gives each node its slots and an epoch of its own, and introduces them to the first one. A
// node that has slots already is left as it is.
func (c *RedisCluster) join(ctx context.Context) error {
	for i, node := range c.Nodes {
		info, err := redisCall(ctx, node.Addr(), "CLUSTER", "INFO")
		if err != nil {
			return err
		}
		if infoField(info, "cluster_slots_assigned") != "0" {
			continue
		}
		first := redisSlots * i / len(c.Nodes)
		last := redisSlots*(i+1)/len(c.Nodes) - 1
		if _, err := redisCall(ctx, node.Addr(), "CLUSTER", "ADDSLOTSRANGE",
			strconv.Itoa(first), strconv.Itoa(last)); err != nil {
			return err
		}
		if _, err := redisCall(ctx, node.Addr(), "CLUSTER", "SET-CONFIG-EPOCH",
			strconv.Itoa(i+1)); err != nil {
			return err
		}
	}
	for _, node := range c.Nodes[1:] {
		host, number, err := net.SplitHostPort(node.Addr())
		if err != nil {
			return fmt.Errorf("stack: address of a cluster node: %w", err)
		}
		if _, err := redisCall(ctx, c.Nodes[0].Addr(), "CLUSTER", "MEET", host, number,
			strconv.Itoa(node.ports[1].number)); err != nil {
			return err
		}
	}
	return nil
}

// WaitOK returns once every node says cluster_state:ok and knows all the others. Call it after the
// restart of a node: the nodes agree some hundred milliseconds after it answers PING.
func (c *RedisCluster) WaitOK(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startMax)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := c.stateOK(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("stack: redis cluster not ready: %w (last: %w)", ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// stateOK asks every node: one alone may think that all is well before the others know it.
func (c *RedisCluster) stateOK(ctx context.Context) error {
	for _, node := range c.Nodes {
		info, err := redisCall(ctx, node.Addr(), "CLUSTER", "INFO")
		if err != nil {
			return err
		}
		state, known := infoField(info, "cluster_state"), infoField(info, "cluster_known_nodes")
		if state != "ok" || known != strconv.Itoa(len(c.Nodes)) {
			return fmt.Errorf("stack: node %s: state %s, %s nodes known", node.Addr(), state, known)
		}
	}
	return nil
}

// Addrs returns the addresses of all nodes, for a cluster client.
func (c *RedisCluster) Addrs() []string {
	addrs := make([]string, 0, len(c.Nodes))
	for _, node := range c.Nodes {
		addrs = append(addrs, node.Addr())
	}
	return addrs
}

// Stop stops every node gracefully, as Server.Stop does.
func (c *RedisCluster) Stop() error {
	var err error
	for _, node := range c.Nodes {
		err = errors.Join(err, node.Stop())
	}
	return err
}

// Close kills every node and gives the ports back.
func (c *RedisCluster) Close() error {
	var err error
	for _, node := range c.Nodes {
		err = errors.Join(err, node.Close())
	}
	return err
}
