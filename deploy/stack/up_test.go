package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// testLayout is a stack of its own: another folder, other fixed ports.
func testLayout(t *testing.T) layout {
	t.Helper()
	lay, err := newLayout()
	if err != nil {
		t.Fatal(err)
	}
	lay.dir = t.TempDir()
	lay.ports = fixedPorts{redis: freePort(t), kafka: freePort(t), clickHouse: freePort(t)}
	lay.ports.cluster = freeClusterPorts(t)
	t.Cleanup(func() { // t.Context() has ended by now
		if err := lay.down(context.Background(), io.Discard); err != nil {
			t.Errorf("stop what the test started: %v", err)
		}
	})
	return lay
}

func freePort(t *testing.T) int {
	t.Helper()
	p, err := holdPort(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.release)
	return p.number
}

// freeClusterPorts finds a row of ports whose bus ports are free too.
func freeClusterPorts(t *testing.T) int {
	t.Helper()
	for range portTriesMax {
		first, free := freePort(t), true
		for i := range RedisClusterNodes {
			free = free && portIsFree(first+i) && portIsFree(first+i+redisBusOffset)
		}
		if free {
			return first
		}
	}
	t.Fatal("no row of free ports found")
	return 0
}

func TestUpIsIdempotentAndDownStopsWhatItStarted(t *testing.T) {
	Require(t, Redis)
	lay := testLayout(t)
	var said strings.Builder
	down := func() {
		if err := lay.down(t.Context(), &said); err != nil {
			t.Error(err)
		}
	}
	if err := lay.up(t.Context(), &said, []Kind{Redis}); err != nil {
		t.Fatal(err)
	}
	before := lay.status(t.Context())
	for _, s := range before {
		if s.Answers != (s.Kind == Redis) {
			t.Errorf("%s answers: %v", s.Name, s.Answers)
		}
	}
	if _, err := redisCall(t.Context(), before[0].Addr, "SET", "k", "kept"); err != nil {
		t.Fatal(err)
	}
	said.Reset()
	if err := lay.up(t.Context(), &said, []Kind{Redis}); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(said.String(), "runs already"); n != 1+RedisClusterNodes {
		t.Errorf("the second up said %q", said.String())
	}
	for i, s := range lay.status(t.Context()) {
		if s.PID != before[i].PID {
			t.Errorf("%s changed its pid from %d to %d", s.Name, before[i].PID, s.PID)
		}
	}
	down()
	for _, s := range lay.status(t.Context()) {
		if s.PID != 0 || !portIsFree(s.port) {
			t.Errorf("%s still runs after down", s.Name)
		}
	}
	said.Reset()
	down()
	if !strings.Contains(said.String(), "nothing was running") {
		t.Errorf("the second down said %q", said.String())
	}
	if err := lay.up(t.Context(), &said, []Kind{Redis}); err != nil {
		t.Fatal(err)
	}
	if got, err := redisCall(t.Context(), before[0].Addr, "GET", "k"); err != nil || got != "kept" {
		t.Errorf("after down and up: %q, %v", got, err)
	}
}

func TestUpRefusesAPortHeldByAnother(t *testing.T) {
	Require(t, Redis)
	lay := testLayout(t)
	listener, err := net.Listen("tcp", loopback(lay.ports.redis))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	var said strings.Builder
	if err := lay.up(t.Context(), &said, []Kind{Redis}); !errors.Is(err, ErrPortHeld) {
		t.Errorf("error %v, want ErrPortHeld", err)
	}
}

func TestDownSparesAForeignProcess(t *testing.T) {
	p := startSleep(t, "sleep", "600")
	lay := testLayout(t)
	// The pid of a stranger, with the start time of a server that is long gone.
	file := writeFile(t, filepath.Join(lay.dir, "run", "redis.pid"),
		fmt.Sprintf("%d 12345\n", p.os.Pid))
	var said strings.Builder
	if err := lay.down(t.Context(), &said); err != nil {
		t.Fatal(err)
	}
	if p.ended() {
		t.Error("down killed a process that it did not start")
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the stale pid file is still there: %v", err)
	}
}

func TestUpSaysWhenAServerHangs(t *testing.T) {
	Require(t, Redis)
	lay := testLayout(t)
	var said strings.Builder
	if err := lay.up(t.Context(), &said, []Kind{Redis}); err != nil {
		t.Fatal(err)
	}
	hung := lay.fixed()[0]
	running := readPidFile(hung.pidFile)
	if err := running.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	err := lay.up(t.Context(), &said, []Kind{Redis})
	if err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("error %v", err)
	}
	if err := lay.down(t.Context(), &said); err != nil {
		t.Errorf("down of a stopped process: %v", err)
	}
	if readPidFile(hung.pidFile) != nil {
		t.Error("the stopped process still runs")
	}
}

func TestDownThatIsInterruptedReachesEveryServer(t *testing.T) {
	Require(t, Redis)
	lay := testLayout(t)
	if err := lay.up(t.Context(), io.Discard, []Kind{Redis}); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := lay.down(ended, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want the context's own error", err)
	}
	eventually(t, "every server to end after its SIGTERM", func() bool {
		for _, s := range lay.fixed() {
			if readPidFile(s.pidFile) != nil {
				return false
			}
		}
		return true
	})
}

func TestEnvironmentNamesTheFixedPorts(t *testing.T) {
	text := strings.Join(Environment(), "\n")
	for _, want := range []string{"TAPSWITCH_REDIS_ADDR=127.0.0.1:16379",
		"TAPSWITCH_REDIS_CLUSTER_ADDRS=127.0.0.1:17001,127.0.0.1:17002,127.0.0.1:17003",
		"TAPSWITCH_KAFKA_BROKERS=127.0.0.1:19092", "TAPSWITCH_CLICKHOUSE_ADDR=127.0.0.1:18123"} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is missing in\n%s", want, text)
		}
	}
}
