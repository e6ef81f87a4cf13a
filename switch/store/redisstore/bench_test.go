package redisstore

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tapswitch/tapswitch/switch/store"
)

// benchScript commits one card with the checks that commit.lua makes: what a caller without
// lists runs.
const benchScript = `#!lua
local t = redis.call('TIME')
if t[1] * 1000 > tonumber(ARGV[1]) then return 'P' end
local m = redis.call('HMGET', KEYS[4], 'epoch', 'date', 'list')
if redis.call('XLEN', KEYS[3]) > 16777216 then return 'O' end
if redis.call('HGET', KEYS[2], ARGV[2]) then return 'M' end
if redis.call('GETRANGE', KEYS[1], 0, 7) == 'other' then return 'V' end
local id = redis.call('XADD', KEYS[3], '1-*', 'd', '20261121', 'r', ARGV[3])
redis.call('SET', KEYS[1], ARGV[4])
return id`

const (
	benchCards  = 100_000
	benchState  = 192
	benchRecord = 300
)

// benchRounds is how often ours and redis-benchmark take turns; the ratio is the median's.
const benchRounds = 5

// BenchmarkCommit commits taps with as many in flight as the name says, each goroutine on
// cards of its own. redis-benchmark runs a one-commit script at the same concurrency on
// the same server, in turns with ours; ratio is ours to its.
func BenchmarkCommit(b *testing.B) {
	for _, inFlight := range []int{64, 256} {
		b.Run(fmt.Sprintf("inflight=%d", inFlight), func(b *testing.B) {
			server := startSingle(b)
			opt := options(server.Addr())
			opt.OutboxMax = 1 << 24
			l := newBenchLoad(open(b, opt), inFlight)
			var rates, theirs, ratios []float64
			micros := 0.0
			b.ReportAllocs()
			for range benchRounds {
				each := b.N/benchRounds + 1
				before, micro := b.Elapsed(), scriptMicros(b, server.Addr())
				b.StartTimer()
				l.run(b, each)
				b.StopTimer()
				micros += scriptMicros(b, server.Addr()) - micro
				rates = append(rates, float64(each)/(b.Elapsed()-before).Seconds())
				if each < 1000 {
					continue // b.N is still being found
				}
				theirs = append(theirs, redisBenchmark(b, server.Addr(), inFlight, each))
				ratios = append(ratios, rates[len(rates)-1]/theirs[len(theirs)-1])
			}
			b.ReportMetric(median(rates), "commits/s")
			b.ReportMetric(micros/float64(b.N), "script-us/commit")
			if len(ratios) > 0 {
				b.ReportMetric(median(theirs), "redis-benchmark/s")
				b.ReportMetric(median(ratios), "ratio")
			}
		})
	}
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// benchLoad is goroutines that commit, each on cards of its own.
type benchLoad struct {
	store    *Store
	versions [][]uint64
}

func newBenchLoad(s *Store, inFlight int) *benchLoad {
	l := &benchLoad{store: s, versions: make([][]uint64, inFlight)}
	for g := range l.versions {
		l.versions[g] = make([]uint64, benchCards/inFlight)
	}
	return l
}

func (l *benchLoad) run(b *testing.B, count int) {
	state, record := bytes.Repeat([]byte("s"), benchState), bytes.Repeat([]byte("r"), benchRecord)
	var next atomic.Int64
	var wg sync.WaitGroup
	for g, versions := range l.versions {
		wg.Go(func() {
			c := &store.Commit{State: state, Record: record}
			for i := 0; next.Add(1) <= int64(count); i++ {
				n := i % len(versions)
				c.Card, c.Version = card(g*len(versions)+n), versions[n]
				if err := l.store.Commit(context.Background(), []*store.Commit{c}); err != nil ||
					c.Status != store.Committed {
					b.Errorf("commit: %v %v", c.Status, err)
					return
				}
				versions[n]++
			}
		})
	}
	wg.Wait()
}

// redisBenchmark returns the requests a second of redis-benchmark with the one-commit
// script.
func redisBenchmark(b testing.TB, addr string, inFlight, count int) float64 {
	b.Helper()
	sha, err := client(b, addr).ScriptLoad(context.Background(), benchScript).Result()
	if err != nil {
		b.Fatal(err)
	}
	_, port, _ := strings.Cut(addr, ":")
	out, err := exec.Command("redis-benchmark", "-p", port, "-c", strconv.Itoa(inFlight),
		"-n", strconv.Itoa(count), "-r", strconv.Itoa(benchCards), "--csv", "EVALSHA", sha, "4",
		"{b000}:bench:__rand_int__", "{b000}:benchfrozen", "{b000}:benchout", "{b000}:meta",
		"9999999999999",
		"__rand_int__", strings.Repeat("r", benchRecord), strings.Repeat("s", benchState),
	).Output()
	if err != nil {
		b.Fatalf("redis-benchmark: %v", err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	fields := strings.Split(lines[len(lines)-1], `","`)
	if len(fields) < 2 {
		b.Fatalf("redis-benchmark said %q", out)
	}
	rate, err := strconv.ParseFloat(fields[1], 64)
	if err != nil {
		b.Fatal(err)
	}
	return rate
}

// scriptMicros is the time that the server has spent in scripts.
func scriptMicros(b *testing.B, addr string) float64 {
	b.Helper()
	info, err := client(b, addr).Info(context.Background(), "commandstats").Result()
	if err != nil {
		b.Fatal(err)
	}
	total := 0.0
	for line := range strings.Lines(info) {
		if rest, ok := strings.CutPrefix(line, "cmdstat_eval"); ok {
			_, rest, _ = strings.Cut(rest, "usec=")
			usec, _, _ := strings.Cut(rest, ",")
			n, _ := strconv.ParseFloat(usec, 64)
			total += n
		}
	}
	return total
}
