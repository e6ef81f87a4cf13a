package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// errNoDir says that a server was asked for without a folder for its data.
var errNoDir = errors.New("stack: Dir is empty: name the folder for the server's data")

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
	if opt.Dir == "" {
		return nil, errNoDir
	}
	lay, err := newLayout()
	if err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(opt.Dir)
	if err != nil {
		return nil, fmt.Errorf("stack: folder %q: %w", opt.Dir, err)
	}
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, fmt.Errorf("stack: find redis-server: %w", err)
	}
	ports, err := redisPorts(opt)
	if err != nil {
		return nil, err
	}
	// Redis changes into its folder before it reads anything, so the folder must be there.
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("stack: make the folder of redis: %w", err)
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

func redisPorts(opt RedisOptions) ([]*port, error) {
	client, err := holdPort(opt.Port)
	if err != nil || !opt.cluster {
		return []*port{client}, err
	}
	bus := 0
	if opt.Port != 0 {
		bus = opt.Port + 10000
	}
	gossip, err := holdPort(bus)
	return []*port{client, gossip}, err
}

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
