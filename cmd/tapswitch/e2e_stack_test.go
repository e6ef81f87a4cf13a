package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/deploy/stack"
	"github.com/tapswitch/tapswitch/ledger/warehouse/clickhouse"
	"github.com/tapswitch/tapswitch/switch/sim"
	"github.com/tapswitch/tapswitch/switch/sim/faultproxy"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// The switch in three processes, gate, relay and sink, over real Redis, Kafka and
// ClickHouse, with every one of the six killed, stopped or cut off in turn. Each test ends
// with the one check of e2eEvidence. In CI servers are stopped for a few seconds;
// TAPSWITCH_LONG=1 makes it the 30 s of FAULTS.md.

const (
	e2eRedisPauseShort = 4 * time.Second
	e2eRedisPauseLong  = 30 * time.Second
	e2eStackCards      = 100
)

// e2eServers are what all tests share: Kafka takes seconds to start.
var e2eServers = struct {
	kafka, clickhouse func() (*stack.Server, error)
}{
	kafka: sync.OnceValues(func() (*stack.Server, error) {
		return e2eShare("kafka", func(ctx context.Context, dir string) (*stack.Server, error) {
			return stack.StartKafka(ctx, stack.KafkaOptions{Dir: dir,
				Settings: map[string]string{"group.initial.rebalance.delay.ms": "0"}})
		})
	}),
	clickhouse: sync.OnceValues(func() (*stack.Server, error) {
		return e2eShare("clickhouse", func(ctx context.Context, dir string) (*stack.Server, error) {
			return stack.StartClickHouse(ctx, stack.ClickHouseOptions{Dir: dir})
		})
	}),
}

// e2eShare starts a server that ends with the tests.
func e2eShare(
	name string, start func(context.Context, string) (*stack.Server, error),
) (*stack.Server, error) {
	dir, err := os.MkdirTemp("", "tapswitch-e2e-"+name)
	if err != nil {
		return nil, err
	}
	s, err := start(context.Background(), dir)
	e2eShared.mu.Lock()
	defer e2eShared.mu.Unlock()
	e2eShared.ends = append(e2eShared.ends, func() {
		if s != nil {
			_ = s.Close()
		}
		_ = os.RemoveAll(dir)
	})
	return s, err
}

// e2eStack is a switch over servers.
type e2eStack struct {
	t                 testing.TB
	redis             *stack.Server // nil with a cluster
	cluster           *stack.RedisCluster
	kafka             *stack.Server
	clickhouse        *stack.Server
	toRedis           *faultproxy.Proxy // between gate and Redis; nil without
	toClickHouse      *faultproxy.Proxy // between sink and ClickHouse; nil without
	database          string
	common            []string
	gate, relay, sink *e2eNode
	city              *e2eCity
}

// e2eStackOptions say what stands between the switch and its servers.
type e2eStackOptions struct {
	seed            uint64
	redisProxy      bool
	clickHouseProxy bool
	cluster         bool
}

// newE2EStack starts servers and processes, and makes a city.
func newE2EStack(t *testing.T, o e2eStackOptions) *e2eStack {
	t.Helper()
	stack.Require(t, stack.Redis, stack.Kafka, stack.ClickHouse)
	e2eBinary(t)
	p := e2ePlan(t, e2eSeed(t, o.seed), e2eStackCards)
	s := &e2eStack{t: t, common: e2eFlags(t, p)}
	var err error
	if s.kafka, err = e2eServers.kafka(); err != nil {
		t.Fatal(err)
	}
	if s.clickhouse, err = e2eServers.clickhouse(); err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("e2e%d_%d", o.seed, time.Now().UnixNano())
	s.database = name
	s.sql("CREATE DATABASE " + name)
	s.common = append(s.common, "--store", "redis", "--feed", "kafka", "--warehouse", "clickhouse",
		"--set", "feed.brokers="+s.kafka.Addr(), "--set", "feed.topic="+name,
		"--set", "feed.group="+name)
	redis := s.startRedis(o)
	warehouse := s.dsn()
	if o.clickHouseProxy {
		s.toClickHouse = e2eProxy(t, s.clickhouse.Addr())
		warehouse = strings.Replace(warehouse, s.clickhouse.Addr(), s.toClickHouse.Addr(), 1)
	}
	behind := redis
	if o.redisProxy {
		s.toRedis = e2eProxy(t, s.redis.Addr())
		behind = "store.redis.addrs=" + s.toRedis.Addr()
	}
	s.gate = s.node("gate", behind, s.dsn())
	s.relay = s.node("relay", redis, s.dsn())
	s.sink = s.node("sink", redis, warehouse)
	for _, start := range []func(*e2eNode) error{
		func(n *e2eNode) error { return n.launch() }, (*e2eNode).awaitReady,
	} {
		for _, n := range []*e2eNode{s.gate, s.relay, s.sink} {
			if err := start(n); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.city = newE2ECity(t, p, s.gate, false)
	return s
}

// startRedis starts Redis, or a cluster, and returns the setting that names it.
func (s *e2eStack) startRedis(o e2eStackOptions) string {
	s.t.Helper()
	dir := filepath.Join(s.t.TempDir(), "redis")
	if o.cluster {
		var err error
		s.cluster, err = stack.StartRedisCluster(context.Background(), stack.RedisClusterOptions{Dir: dir})
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { _ = s.cluster.Close() })
		s.common = append(s.common, "--set", "store.redis.cluster=true")
		return "store.redis.addrs=" + strings.Join(s.cluster.Addrs(), ",")
	}
	var err error
	s.redis, err = stack.StartRedis(context.Background(), stack.RedisOptions{Dir: dir})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = s.redis.Close() })
	return "store.redis.addrs=" + s.redis.Addr()
}

func (s *e2eStack) dsn() string {
	return "http://" + s.clickhouse.Addr() + "/" + s.database
}

// node makes the process of one role.
func (s *e2eStack) node(role, redis, warehouse string) *e2eNode {
	args := append([]string{}, s.common...)
	args = append(args, "--set", "roles="+role, "--set", redis, "--set", "warehouse.dsn="+warehouse)
	return newE2ENode(s.t, filepath.Join(s.t.TempDir(), role), args...)
}

// sql runs one statement in ClickHouse and returns what it prints.
func (s *e2eStack) sql(statement string) string {
	s.t.Helper()
	u := "http://" + s.clickhouse.Addr() + "/"
	if !strings.HasPrefix(statement, "CREATE DATABASE") {
		u += "?database=" + url.QueryEscape(s.database)
	}
	resp, err := http.Post(u, "text/plain", strings.NewReader(statement))
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %d %s %v", statement, resp.StatusCode, text, err)
	}
	return strings.TrimSpace(string(text))
}

// records reads the ledger straight from ClickHouse.
func (s *e2eStack) records() []txn.Record {
	s.t.Helper()
	w, err := clickhouse.Open(context.Background(), clickhouse.Options{DSN: s.dsn()})
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	return e2eRecords(s.t, w)
}

// evidence drains and gathers everything.
func (s *e2eStack) evidence(out *sim.Outcome) *e2eEvidence {
	s.t.Helper()
	s.city.drain()
	return &e2eEvidence{plan: s.city.plan, outcome: out, cards: s.city.cards(), records: s.records()}
}

// finish checks everything and stops the processes in order.
func (s *e2eStack) finish(out *sim.Outcome) {
	s.t.Helper()
	s.evidence(out).require(s.t)
	for _, n := range []*e2eNode{s.gate, s.relay, s.sink} {
		if err := n.stop(); err != nil {
			s.t.Errorf("SIGTERM of %s: %v", filepath.Base(n.dir), err)
		}
	}
}

// sameLives fails the test when a process did not live through it.
func (s *e2eStack) sameLives(nodes ...*e2eNode) {
	s.t.Helper()
	for _, n := range nodes {
		if n.life() != 1 {
			s.t.Errorf("%s was started %d times: it should recover without", filepath.Base(n.dir), n.life())
		}
		select {
		case <-n.done():
			s.t.Errorf("%s ended: %v", filepath.Base(n.dir), n.end())
		default:
		}
	}
}

// toldToTryAgain fails the test when no request met the fault.
func (s *e2eStack) toldToTryAgain() {
	s.t.Helper()
	var sum float64
	for _, code := range []string{"outcome_unknown", "store_unavailable", "not_ready", "blacklist_stale",
		"deadline_passed", "registry_unavailable"} {
		// A code that never came up is no metric.
		if v, err := s.gate.metric("tapswitch_refusals_total", `code="`+code+`"`); err == nil {
			s.t.Logf("%.0f requests were answered %s", v, code)
			sum += v
		}
	}
	if sum == 0 {
		s.t.Error("no request was told to try again: the fault did not happen")
	}
}

// again kills a node and starts it again.
func (s *e2eStack) again(n *e2eNode) func(context.Context) error {
	return func(context.Context) error {
		n.kill()
		if n == s.gate {
			return s.city.restart()
		}
		return n.start()
	}
}

// TestE2EStackKills: gate, relay and sink are killed at random moments, each more than once.
func TestE2EStackKills(t *testing.T) {
	s := newE2EStack(t, e2eStackOptions{seed: 40})
	rng := e2eRand(s.city.plan.Seed)
	for _, n := range []*e2eNode{s.gate, s.relay, s.sink, s.gate, s.relay} {
		s.city.hook(0.05+0.9*rng.Float64(), s.again(n))
	}
	s.finish(s.city.drive())
}

// TestE2ERedisKilled: Redis is killed under load and started again, twice.
func TestE2ERedisKilled(t *testing.T) {
	s := newE2EStack(t, e2eStackOptions{seed: 41})
	rng := e2eRand(s.city.plan.Seed)
	for _, at := range []float64{0.1 + 0.3*rng.Float64(), 0.5 + 0.4*rng.Float64()} {
		s.city.hook(at, func(ctx context.Context) error {
			if err := s.redis.Kill(); err != nil {
				return err
			}
			err := e2ePause(ctx, 500*time.Millisecond)
			return errors.Join(err, s.redis.Start(context.WithoutCancel(ctx)))
		})
	}
	out := s.city.drive()
	s.toldToTryAgain()
	s.sameLives(s.gate, s.relay, s.sink)
	s.finish(out)
}

// TestE2ERedisStopped: Redis hangs for seconds. Requests are answered within their time,
// retryably; nothing is executed late; and everybody recovers without a restart.
func TestE2ERedisStopped(t *testing.T) {
	s := newE2EStack(t, e2eStackOptions{seed: 42})
	pause := e2eLong(e2eRedisPauseShort, e2eRedisPauseLong)
	t.Logf("Redis is stopped for %s; %s=1 makes it %s", pause, e2eLongEnv, e2eRedisPauseLong)
	s.city.hook(0.4, func(ctx context.Context) error {
		if err := s.redis.Pause(); err != nil {
			return err
		}
		err := s.answersUnavailable(ctx)
		err = errors.Join(err, e2ePause(ctx, pause))
		return errors.Join(err, s.redis.Resume())
	})
	out := s.city.drive()
	s.toldToTryAgain()
	s.sameLives(s.gate, s.relay, s.sink)
	s.finish(out)
}

// answersUnavailable asks for a balance while the store hangs: there must be an answer soon,
// and it must say try again.
func (s *e2eStack) answersUnavailable(ctx context.Context) error {
	one := sim.NewClient(sim.ClientOptions{Addr: s.gate.gate(), RetryFor: -1})
	defer one.Close()
	body := []byte(`{"card":"` + s.city.plan.Cards[0].Number.Digits() + `"}`)
	r, err := one.Operate(ctx, s.city.desk, http.MethodPost, "/v1/cards:lookup", body)
	if err == nil && r.Refused == nil || r.Refused == nil || !r.Refused.Retryable {
		return fmt.Errorf("while Redis hangs a lookup got %d %s: %w", r.Status, r.Body, err)
	}
	if r.Took > 5*time.Second {
		return fmt.Errorf("while Redis hangs a lookup took %s", r.Took)
	}
	return nil
}

// TestE2ERedisReplies: replies of Redis are lost, cut, reset, and come later than the gate
// waits for them.
func TestE2ERedisReplies(t *testing.T) {
	s := newE2EStack(t, e2eStackOptions{seed: 43, redisProxy: true})
	faults := []faultproxy.Fault{
		{Kind: faultproxy.DropReply, Every: 61}, {Kind: faultproxy.Reset, Every: 79},
		{Kind: faultproxy.CutReply, Every: 97},
		{Kind: faultproxy.Delay, Every: 211, Wait: 400 * time.Millisecond},
		{Kind: faultproxy.Split, Every: 53, Size: 100},
	}
	for _, f := range faults {
		s.toRedis.Inject(f)
	}
	out := s.city.drive()
	s.toRedis.Clear()
	for _, f := range faults {
		if s.toRedis.Count(f.Kind) == 0 {
			t.Errorf("no %s was made: the test shows nothing of it", f.Kind)
		}
	}
	s.sameLives(s.gate)
	s.finish(out)
}

// TestE2ERelays: a relay hangs, a second one takes over, and the first wakes up and goes on
// beside it. Duplicates are dropped on the way.
func TestE2ERelays(t *testing.T) {
	s := newE2EStack(t, e2eStackOptions{seed: 44})
	second := newE2ENode(t, filepath.Join(t.TempDir(), "relay2"), s.relay.args...)
	s.city.hook(0.2, func(context.Context) error {
		if err := s.relay.signal(syscall.SIGSTOP); err != nil {
			return err
		}
		return second.start()
	})
	s.city.hook(0.7, func(context.Context) error { return s.relay.signal(syscall.SIGCONT) })
	out := s.city.drive()
	if err := s.relay.signal(syscall.SIGCONT); err != nil {
		t.Error(err)
	}
	s.sameLives(s.gate, s.relay, s.sink, second)
	s.finish(out)
	if err := second.stop(); err != nil {
		t.Errorf("SIGTERM of the second relay: %v", err)
	}
}

// TestE2EFeedKilled: the broker is killed under load and started again, and then ClickHouse.
// Approvals go on meanwhile; the outbox waits.
func TestE2EFeedKilled(t *testing.T) {
	s := newE2EStack(t, e2eStackOptions{seed: 45})
	for at, server := range map[float64]*stack.Server{0.2: s.kafka, 0.6: s.clickhouse} {
		s.city.hook(at, func(ctx context.Context) error {
			return errors.Join(server.Kill(), server.Start(context.WithoutCancel(ctx)))
		})
	}
	out := s.city.drive()
	if out.LongestOutage > time.Second {
		t.Errorf("a request waited %s: approvals must not wait for the feed", out.LongestOutage)
	}
	s.sameLives(s.gate, s.relay, s.sink)
	s.finish(out)
}

// TestE2EClickHouseAckLost: ClickHouse takes inserts and its answers are lost. The rows stand
// twice in the table, the figures are exact; and read without FINAL the check goes red.
func TestE2EClickHouseAckLost(t *testing.T) {
	s := newE2EStack(t, e2eStackOptions{seed: 46, clickHouseProxy: true})
	s.sql("SYSTEM STOP MERGES")
	defer s.sql("SYSTEM START MERGES")
	s.toClickHouse.Inject(faultproxy.Fault{Kind: faultproxy.DropReply, Every: 2, Times: 8})
	out := s.city.drive()
	s.city.drain()
	s.toClickHouse.Clear()
	if n := s.toClickHouse.Count(faultproxy.DropReply); n < 2 {
		t.Errorf("%d answers of ClickHouse were lost: the test shows nothing", n)
	}
	e := s.evidence(out)
	s.checkWithoutFinal(e)
	s.finish(out)
}

// checkWithoutFinal reads the table as a query without FINAL does and expects the check to
// fail.
func (s *e2eStack) checkWithoutFinal(good *e2eEvidence) {
	s.t.Helper()
	rows := strings.Fields(s.sql("SELECT bucket, epoch, seq FROM records ORDER BY bucket, epoch, seq " +
		"FORMAT TabSeparated"))
	at := map[txn.Position]*txn.Record{}
	for i := range good.records {
		at[good.records[i].Position] = &good.records[i]
	}
	planted := *good
	planted.records = nil
	for i := 0; i+2 < len(rows); i += 3 {
		var p txn.Position
		if _, err := fmt.Sscan(strings.Join(rows[i:i+3], " "), &p.Bucket, &p.Epoch, &p.Seq); err != nil {
			s.t.Fatal(err)
		}
		if at[p] == nil {
			s.t.Fatalf("%s is in the table and not in the ledger", p)
		}
		planted.records = append(planted.records, *at[p])
	}
	s.t.Logf("%d rows without FINAL, %d with", len(planted.records), len(good.records))
	if len(planted.faults()) == 0 {
		s.t.Error("without FINAL the check is green: no row stands twice, or it sees nothing")
	}
}

// TestE2ECluster: the same over a Redis Cluster, with the gate and a node killed.
func TestE2ECluster(t *testing.T) {
	s := newE2EStack(t, e2eStackOptions{seed: 47, cluster: true})
	s.city.hook(0.3, s.again(s.gate))
	s.city.hook(0.6, func(ctx context.Context) error {
		node := s.cluster.Nodes[1]
		ctx = context.WithoutCancel(ctx)
		return errors.Join(node.Kill(), node.Start(ctx), s.cluster.WaitOK(ctx))
	})
	s.finish(s.city.drive())
}
