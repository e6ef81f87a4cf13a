package stack_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/deploy/stack"
)

// startMax is generous: other packages may be using the same two cores.
const startMax = 2 * time.Minute

func startContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startMax)
	t.Cleanup(cancel)
	return ctx
}

func startRedis(t *testing.T, opt stack.RedisOptions) *stack.Server {
	t.Helper()
	stack.Require(t, stack.Redis)
	if opt.Dir == "" {
		opt.Dir = t.TempDir()
	}
	server, err := stack.StartRedis(startContext(t), opt)
	if err != nil {
		t.Fatalf("start redis: %v", err)
	}
	t.Cleanup(func() { closeServer(t, server) })
	return server
}

func closeServer(t *testing.T, server interface{ Close() error }) {
	t.Helper()
	if err := server.Close(); err != nil {
		t.Errorf("close a server: %v", err)
	}
}

// redis sends one command over a plain connection and fails the test on an error.
func redis(t *testing.T, addr string, args ...string) string {
	t.Helper()
	reply, err := stack.RedisCall(startContext(t), addr, args...)
	if err != nil {
		t.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
	return reply
}

func TestRedisRunsWithTheSettingsMoneyNeeds(t *testing.T) {
	server := startRedis(t, stack.RedisOptions{})
	want := map[string]string{
		"appendonly":       "yes",
		"appendfsync":      "always",
		"maxmemory-policy": "noeviction",
		"save":             "",
		"bind":             "127.0.0.1",
		"cluster-enabled":  "no",
	}
	for name, value := range want {
		got := redis(t, server.Addr(), "CONFIG", "GET", name)
		if got != name+"\n"+value {
			t.Errorf("CONFIG GET %s = %q, want %q", name, got, value)
		}
	}
}

func TestRedisKeepsAcknowledgedWritesOverKill(t *testing.T) {
	server := startRedis(t, stack.RedisOptions{})
	const writes = 500
	for i := range writes {
		redis(t, server.Addr(), "SET", "k"+strconv.Itoa(i), strconv.Itoa(i*i))
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if server.Running() || server.PID() != 0 {
		t.Fatal("the server still runs after Kill")
	}
	addr := server.Addr()
	if err := server.Restart(startContext(t)); err != nil {
		t.Fatal(err)
	}
	if server.Addr() != addr {
		t.Errorf("address changed from %s to %s", addr, server.Addr())
	}
	if got := redis(t, addr, "DBSIZE"); got != strconv.Itoa(writes) {
		t.Errorf("%s keys after kill and restart, want %d", got, writes)
	}
	if got := redis(t, addr, "GET", "k499"); got != strconv.Itoa(499*499) {
		t.Errorf("k499 = %q after kill and restart", got)
	}
}

func TestRedisArgsWinOverTheFile(t *testing.T) {
	server := startRedis(t, stack.RedisOptions{
		AppendFsync: "everysec",
		Args:        []string{"--maxmemory", "64mb"},
	})
	if got := redis(t, server.Addr(), "CONFIG", "GET", "appendfsync"); got != "appendfsync\neverysec" {
		t.Errorf("appendfsync: %q", got)
	}
	if got := redis(t, server.Addr(), "CONFIG", "GET", "maxmemory"); got != "maxmemory\n67108864" {
		t.Errorf("maxmemory: %q", got)
	}
}

func TestPausedRedisAnswersAfterResume(t *testing.T) {
	server := startRedis(t, stack.RedisOptions{})
	if err := server.Pause(); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", server.Addr())
	if err != nil {
		t.Fatalf("the port of a paused server must still accept: %v", err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write([]byte("*1\r\n$4\r\nPING\r\n")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 16)
	if err := conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(buf); err == nil {
		t.Fatalf("a paused server answered %q", buf[:n])
	}
	if err := server.Resume(); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(startMax)); err != nil {
		t.Fatal(err)
	}
	n, err := conn.Read(buf)
	if err != nil || string(buf[:n]) != "+PONG\r\n" {
		t.Errorf("after Resume: %q, %v", buf[:n], err)
	}
}

func TestStopWakesAPausedServer(t *testing.T) {
	server := startRedis(t, stack.RedisOptions{})
	if err := server.Pause(); err != nil {
		t.Fatal(err)
	}
	if err := server.Stop(); err != nil {
		t.Fatalf("stop a paused server: %v", err)
	}
	if err := server.Resume(); !errors.Is(err, stack.ErrNotRunning) {
		t.Errorf("Resume of a stopped server: %v, want ErrNotRunning", err)
	}
	if err := server.Stop(); err != nil {
		t.Errorf("a second Stop: %v", err)
	}
}

func TestRedisThatCannotStartSaysWhy(t *testing.T) {
	stack.Require(t, stack.Redis)
	_, err := stack.StartRedis(startContext(t), stack.RedisOptions{
		Dir:  t.TempDir(),
		Args: []string{"--maxmemory-policy", "forget-everything"},
	})
	if !errors.Is(err, stack.ErrDied) {
		t.Fatalf("error %v, want ErrDied", err)
	}
	if !strings.Contains(err.Error(), "forget-everything") {
		t.Errorf("the error does not quote the server's own log: %v", err)
	}
}

func TestRedisNeedsADir(t *testing.T) {
	stack.Require(t, stack.Redis)
	if _, err := stack.StartRedis(t.Context(), stack.RedisOptions{}); err == nil {
		t.Error("a server without a folder was started")
	}
	if _, err := stack.StartRedisCluster(t.Context(), stack.RedisClusterOptions{}); err == nil {
		t.Error("a cluster without a folder was started")
	}
}

func TestRedisStartTwiceIsOneServer(t *testing.T) {
	server := startRedis(t, stack.RedisOptions{})
	pid := server.PID()
	if err := server.Start(startContext(t)); err != nil {
		t.Fatal(err)
	}
	if server.PID() != pid {
		t.Errorf("pid changed from %d to %d", pid, server.PID())
	}
}

func startCluster(t *testing.T) *stack.RedisCluster {
	t.Helper()
	stack.Require(t, stack.Redis)
	cluster, err := stack.StartRedisCluster(startContext(t), stack.RedisClusterOptions{
		Dir: t.TempDir(),
	})
	if err != nil {
		t.Fatalf("start redis cluster: %v", err)
	}
	t.Cleanup(func() { closeServer(t, cluster) })
	return cluster
}

func TestRedisClusterOwnsAllSlots(t *testing.T) {
	cluster := startCluster(t)
	if n := len(cluster.Addrs()); n != stack.RedisClusterNodes {
		t.Fatalf("%d nodes, want %d", n, stack.RedisClusterNodes)
	}
	stored := 0
	for i := range 64 {
		key := "{b" + strconv.Itoa(i) + "}:meta"
		for _, addr := range cluster.Addrs() {
			if _, err := stack.RedisCall(startContext(t), addr, "SET", key, "1"); err == nil {
				stored++
			} else if !strings.Contains(err.Error(), "MOVED") {
				t.Fatalf("SET %s at %s: %v", key, addr, err)
			}
		}
	}
	if stored != 64 {
		t.Errorf("%d of 64 keys found exactly one owner", stored)
	}
}

func TestRedisClusterRefusesWithoutFullCoverageAndComesBack(t *testing.T) {
	cluster := startCluster(t)
	last := cluster.Nodes[2]
	redis(t, last.Addr(), "SET", lastSlotKey, "kept")
	if err := last.Kill(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(startMax)
	for { // the other nodes notice after cluster-node-timeout
		_, err := stack.RedisCall(startContext(t), cluster.Nodes[0].Addr(), "GET", firstSlotKey)
		if err != nil && strings.Contains(err.Error(), "CLUSTERDOWN") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("node 1 still serves with a third of the slots gone: %v", err)
		}
	}
	if err := last.Restart(startContext(t)); err != nil {
		t.Fatal(err)
	}
	if err := cluster.WaitOK(startContext(t)); err != nil {
		t.Fatal(err)
	}
	if got := redis(t, last.Addr(), "GET", lastSlotKey); got != "kept" {
		t.Errorf("%s = %q after kill and restart", lastSlotKey, got)
	}
}

func TestRedisClusterComesBackOnOtherPorts(t *testing.T) {
	stack.Require(t, stack.Redis)
	dir := filepath.Join(t.TempDir(), "cluster")
	for round := range 2 {
		cluster, err := stack.StartRedisCluster(startContext(t), stack.RedisClusterOptions{Dir: dir})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if round == 0 {
			redis(t, cluster.Nodes[2].Addr(), "SET", lastSlotKey, "kept")
		} else if got := redis(t, cluster.Nodes[2].Addr(), "GET", lastSlotKey); got != "kept" {
			t.Errorf("%s = %q in the second round", lastSlotKey, got)
		}
		if err := cluster.Stop(); err != nil {
			t.Error(err)
		}
		closeServer(t, cluster)
	}
}

func TestRedisClusterSizeIsBounded(t *testing.T) {
	stack.Require(t, stack.Redis)
	for _, nodes := range []int{1, 2, 13, -1} {
		_, err := stack.StartRedisCluster(t.Context(), stack.RedisClusterOptions{
			Dir: t.TempDir(), Nodes: nodes,
		})
		if err == nil {
			t.Errorf("a cluster of %d nodes was started", nodes)
		}
	}
}

// Keys whose slots lie in the first and in the last third: "foo" is slot 12182, "bar" 5061.
const (
	firstSlotKey = "bar"
	lastSlotKey  = "foo"
)
