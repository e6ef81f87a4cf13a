package bench

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/tapswitch/tapswitch/bench/load"
	"github.com/tapswitch/tapswitch/bench/report"
	"github.com/tapswitch/tapswitch/deploy/stack"
)

// oneCommit is a commit of one card by itself: what a switch without lists would run. It
// reads and writes what ours does for a tap: the time for the deadline, the blacklist, the
// card's version, the outbox and the card. It compares nothing, so that redis-benchmark can
// repeat it, which favours it.
const oneCommit = `#!lua
local t = redis.call('TIME')
if t[1] * 1000 > tonumber(ARGV[1]) then return 'P' end
if redis.call('HEXISTS', KEYS[2], ARGV[2]) == 1 then return 'M' end
local v = redis.call('GETRANGE', KEYS[1], 0, 7)
local id = redis.call('XADD', KEYS[3], '1-*', 'r', ARGV[3])
redis.call('SET', KEYS[1], ARGV[4])
return id`

// Sizes of what redis-benchmark commits: those of HOTPATH's prototypes.
const (
	redisState  = 192
	redisRecord = 300
	redisPrefix = "{b000}:bench"
)

// tapRedis holds a tap on the Redis store against redis-benchmark with a one-commit script.
func tapRedis(ctx context.Context, b *bench) error {
	if err := stack.Available(stack.Redis); err != nil {
		return skip("%v", err)
	}
	if _, err := exec.LookPath("redis-benchmark"); err != nil {
		return skip("redis-benchmark is not installed (Debian package redis-tools)")
	}
	targets := map[int]float64{64: 0.9, 256: 1.2}
	b.sized("%d cards, %d rounds of %s for the switch and about as long for redis-benchmark",
		b.size.Cards, b.size.Rounds, b.size.RunFor)
	b.note("One redis-server with appendfsync always serves both, in turns. redis-benchmark runs " +
		"EVALSHA of a script that commits one card (TIME, HEXISTS, GETRANGE, XADD, SET; state 192 " +
		"and record 300 bytes) with as many connections as the switch has; a tap goes through HTTP, " +
		"signature, decision and the list script, and its record on to the Parquet warehouse.")
	bars := report.Plot{Kind: report.PlotBars, Title: "Commits a second on Redis", Y: "a second"}
	for _, connections := range b.size.Connections {
		p, err := b.tapRedisAt(ctx, connections)
		if err != nil {
			return err
		}
		name := strconv.Itoa(connections) + " connections"
		b.Add(report.Of("redis-benchmark, "+name, "commits/s", p.theirs.rates...))
		b.Add(report.Of("switch, "+name, "taps/s", p.ours.rates...))
		ratio := report.Of("ratio, "+name, "×", report.Ratios(p.ours.rates, p.theirs.rates)...)
		if target, ok := targets[connections]; ok {
			ratio = ratio.AtLeast(target)
		}
		b.Add(ratio)
		p.addLatencies(b, name)
		bars.Bars = append(bars.Bars, report.BarOf(name, "switch", report.Of("", "", p.ours.rates...)),
			report.BarOf(name, "redis-benchmark", report.Of("", "", p.theirs.rates...)))
	}
	b.Plots = append(b.Plots, bars)
	return nil
}

// tapRedisAt runs one Redis and one switch, and lets redis-benchmark and the switch take
// turns.
func (b *bench) tapRedisAt(ctx context.Context, connections int) (*pair, error) {
	dir := filepath.Join(b.dir, fmt.Sprintf("redis-%d", connections))
	server, err := stack.StartRedis(ctx, stack.RedisOptions{Dir: dir})
	if err != nil {
		return nil, err
	}
	p := &pair{}
	err = b.withSwitch(ctx, connections, func(r *rig) error {
		rival, err := newRival(ctx, server.Addr())
		if err != nil {
			return err
		}
		defer rival.conn.Close()
		for round := range b.size.Rounds {
			if err := b.redisRound(ctx, p, r, turnOf{rival, connections, round}); err != nil {
				return err
			}
		}
		return nil
	}, "store.kind=redis", "store.redis.addrs="+server.Addr(), "store.redis.timeout=3s")
	return p, errors.Join(err, server.Close())
}

type turnOf struct {
	rival              *rival
	connections, round int
}

func (b *bench) redisRound(ctx context.Context, p *pair, r *rig, t turnOf) error {
	r.settle(ctx, b.size.Settle)
	count := int(max(20_000, p.theirs.guess()) * b.size.RunFor.Seconds())
	if len(p.theirs.rates) == 0 {
		count = int(15_000 * b.size.RunFor.Seconds())
	}
	rate, err := t.rival.run(ctx, t.connections, max(count, 1000))
	if err != nil {
		return err
	}
	p.theirs.rates = append(p.theirs.rates, rate)
	before := r.usage().cpu
	done := b.profile(ctx, r, fmt.Sprintf("redis-%d-%d", t.connections, t.round))
	result, err := b.capacity(ctx, turn{addr: r.Addr, connections: t.connections,
		guess: p.ours.guess(), wire: load.HTTP(approved), wanted: r.fleet.taps})
	done()
	if err != nil {
		return fmt.Errorf("switch: %w", err)
	}
	p.ours.add(result, r.usage().cpu-before)
	b.say("%d connections, round %d of %d: switch %.0f, redis-benchmark %.0f, ratio %.2f",
		t.connections, t.round+1, b.size.Rounds, p.ours.rates[t.round], rate,
		p.ours.rates[t.round]/rate)
	return nil
}

// rival is redis-benchmark with the one-commit script.
type rival struct {
	conn *load.Conn
	port string
	sha  string
}

func newRival(ctx context.Context, addr string) (*rival, error) {
	c, err := load.Dial(ctx, addr, load.RESP(), callMax)
	if err != nil {
		return nil, err
	}
	answer, err := c.Do(load.Command("SCRIPT", "LOAD", oneCommit))
	lines := strings.Split(string(answer), "\r\n")
	if err != nil || len(lines) < 2 || len(lines[1]) != 40 {
		return nil, errors.Join(fmt.Errorf("redis took no script: %q", answer), err, c.Close())
	}
	_, port, _ := strings.Cut(addr, ":")
	return &rival{conn: c, port: port, sha: lines[1]}, nil
}

// run returns the commits a second, and removes the stream that it left.
func (r *rival) run(ctx context.Context, connections, count int) (float64, error) {
	out, err := exec.CommandContext(ctx, "redis-benchmark", "-p", r.port,
		"-c", strconv.Itoa(connections), "-n", strconv.Itoa(count), "-r", "100000", "--csv",
		"EVALSHA", r.sha, "3", redisPrefix+":__rand_int__", redisPrefix+"frozen", redisPrefix+"out",
		"9999999999999", "__rand_int__", strings.Repeat("r", redisRecord),
		strings.Repeat("s", redisState)).Output()
	if err != nil {
		return 0, fmt.Errorf("redis-benchmark: %w", err)
	}
	if _, err := r.conn.Do(load.Command("UNLINK", redisPrefix+"out")); err != nil {
		return 0, err
	}
	return readRate(string(out))
}

// readRate reads the requests a second from redis-benchmark's CSV.
func readRate(out string) (float64, error) {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	fields := strings.Split(lines[len(lines)-1], `","`)
	if len(fields) < 2 {
		return 0, fmt.Errorf("redis-benchmark said %.200q", out)
	}
	rate, err := strconv.ParseFloat(strings.Trim(fields[1], `"`), 64)
	if err != nil || rate <= 0 {
		return 0, fmt.Errorf("redis-benchmark said %.200q", out)
	}
	return rate, nil
}
