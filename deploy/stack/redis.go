package stack

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// RedisOptions says how one Redis node is run. The zero value needs a Dir.
type RedisOptions struct {
	// Dir holds the append-only file and the log; created if missing, kept afterwards. In tests
	// t.TempDir().
	Dir string
	// Port is the loopback port, 0 for a free one.
	Port int
	// AppendFsync is always, everysec or no; empty means always, the only one under which no
	// acknowledged write is lost. The others are there to plant that bug.
	AppendFsync string
	// Args are further arguments of redis-server, after all others, so they win: "--maxmemory",
	// "64mb".
	Args []string

	pidFile string // set by Up: the server outlives its starter
	cluster bool
}

// StartRedis starts one Redis node with deploy/redis/redis.conf and returns once it answers PING
// with its data loaded.
func StartRedis(ctx context.Context, opt RedisOptions) (*Server, error) {
	server, err := newRedis(opt)
	if err != nil {
		return nil, err
	}
	if err := server.Start(ctx); err != nil {
		return nil, errors.Join(err, server.Close())
	}
	return server, nil
}

// newRedis prepares a node without starting it.
func newRedis(opt RedisOptions) (*Server, error) {
	if err := Available(Redis); err != nil {
		return nil, err
	}
	lay, err := newLayout()
	if err != nil {
		return nil, err
	}
	dir, err := dataDir(opt.Dir)
	if err != nil {
		return nil, err
	}
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, fmt.Errorf("stack: find redis-server: %w", err)
	}
	ports, err := redisPorts(opt)
	if err != nil {
		return nil, err
	}
	addr := loopback(ports[0].number)
	argv := append([]string{binary, lay.redisConf()}, redisArgs(opt, dir, ports)...)
	return &Server{
		addr:  addr,
		ports: ports,
		ready: func(ctx context.Context) error { return redisReady(ctx, addr) },
		launch: launch{kind: Redis, dir: dir, argv: argv, detached: opt.pidFile != "",
			pidFile: opt.pidFile},
	}, nil
}

// redisPorts holds the port for clients and, in a cluster, that of the bus between the nodes.
func redisPorts(opt RedisOptions) ([]*port, error) {
	client, err := holdPort(opt.Port)
	if err != nil || !opt.cluster {
		return []*port{client}, err
	}
	bus := 0
	if opt.Port != 0 {
		bus = opt.Port + redisBusOffset
	}
	gossip, err := holdPort(bus)
	return []*port{client, gossip}, err
}

// redisArgs are the settings that differ from run to run; those that money depends on stand in
// redis.conf, with the reasons.
func redisArgs(opt RedisOptions, dir string, ports []*port) []string {
	fsync := opt.AppendFsync
	if fsync == "" {
		fsync = "always"
	}
	args := []string{"--dir", dir, "--port", strconv.Itoa(ports[0].number), "--bind", "127.0.0.1",
		"--daemonize", "no", "--logfile", "", "--appendfsync", fsync}
	if opt.cluster {
		args = append(args, "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf",
			"--cluster-port", strconv.Itoa(ports[1].number), "--cluster-node-timeout", "2000",
			"--cluster-require-full-coverage", "yes")
	}
	return append(args, opt.Args...)
}

// redisReady is satisfied with PONG only: while Redis reads its file it answers LOADING.
func redisReady(ctx context.Context, addr string) error {
	reply, err := redisCall(ctx, addr, "PING")
	if err != nil {
		return err
	}
	if reply != "PONG" {
		return fmt.Errorf("stack: redis at %s answered PING with %q", addr, reply)
	}
	return nil
}

// redisVersion reads the version of the installed redis-server, such as 7.0.15.
func redisVersion(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "redis-server", "--version").Output()
	if err != nil {
		return "", fmt.Errorf("stack: ask redis-server for its version: %w", err)
	}
	for field := range strings.FieldsSeq(string(out)) {
		if version, found := strings.CutPrefix(field, "v="); found {
			return version, nil
		}
	}
	return "", fmt.Errorf("stack: no version in %q", strings.TrimSpace(string(out)))
}
