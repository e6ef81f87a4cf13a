package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/tapswitch/tapswitch/bench/load"
	"github.com/tapswitch/tapswitch/bench/report"
	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/deploy/stack"
	"github.com/tapswitch/tapswitch/switch/blacklist"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// check measures the look-up that every tap makes, at growing sizes of the list, and the
// same question asked of Redis.
func check(ctx context.Context, b *bench) error {
	b.sized("lists of %v cards; %d look-ups a round, half of them listed, %d rounds",
		b.size.Listed, b.size.Probes, b.size.Rounds)
	b.note("p50 is of 16 look-ups between two readings of the clock, which costs about as much " +
		"as one; p99 and p99.9 are of single look-ups, less the median cost of the readings. " +
		"What interrupts the process counts.")
	server, err := b.checkServer(ctx)
	if err != nil {
		return err
	}
	plot := report.Plot{Kind: report.PlotPercentiles, Title: "One look-up in memory", Y: "ns"}
	for _, n := range b.size.Listed {
		if err := ctx.Err(); err != nil {
			return errors.Join(err, server.close())
		}
		set := filledSet(n)
		var rates []float64
		plot.Series = append(plot.Series, b.checkMemory(set, n, &rates))
		if server != nil && slices.Contains(b.size.RedisListed, n) {
			if err := b.checkRedis(ctx, server, n, rates); err != nil {
				return errors.Join(err, server.close())
			}
		}
	}
	b.Plots = append(b.Plots, plot)
	return server.close()
}

func filledSet(n int) *blacklist.Set {
	set := blacklist.NewSet()
	for bucket := range txn.Bucket(txn.BucketCount) {
		set.Reserve(bucket, n/txn.BucketCount+n/txn.BucketCount/200)
	}
	mark := txn.Mark{Reason: txn.Lost, Scope: txn.AppAll}
	for i := range uint64(n) {
		set.Put(tokenAt(i), mark)
	}
	return set
}

// probes returns tokens in random order, every other one listed among the first n.
func probes(n, count int) []pan.Token {
	tokens := make([]pan.Token, count)
	r := rand.New(rand.NewPCG(uint64(n), 7))
	for i := range tokens {
		at := r.Uint64N(uint64(n))
		if i%2 == 1 {
			at += 1 << 40
		}
		tokens[i] = tokenAt(at)
	}
	return tokens
}

// checkMemory measures the set and returns the curve of single look-ups.
func (b *bench) checkMemory(set *blacklist.Set, n int, rates *[]float64) report.Series {
	tokens := probes(n, b.size.Probes)
	var p50, p99, p999, allocs []float64
	var spans []float64
	for range b.size.Rounds {
		p50 = append(p50, quantileOf(timed(tokens, 16, set), 0.5))
		spans = timed(tokens, 1, set)
		p99, p999 = append(p99, quantileOf(spans, 0.99)), append(p999, quantileOf(spans, 0.999))
		perSecond, mallocs := swept(tokens, set)
		*rates, allocs = append(*rates, perSecond), append(allocs, mallocs)
	}
	name := report.Number(float64(n)) + " cards"
	bytes := float64(set.Bytes()) / float64(n)
	figures := []report.Figure{
		report.Of("in memory, "+name+", p50", "ns", p50...),
		report.Of("in memory, "+name+", p99", "ns", p99...),
		report.Of("in memory, "+name+", p99.9", "ns", p999...),
		report.Of("in memory, "+name+", allocations", "a look-up", allocs...),
		report.Of("in memory, "+name+", memory", "bytes a card", bytes),
	}
	if n >= 10_000_000 {
		figures[0], figures[2] = figures[0].AtMost(100), figures[2].AtMost(1000)
		figures[3], figures[4] = figures[3].AtMost(0), figures[4].AtMost(16)
	}
	for _, f := range figures {
		b.Add(f)
	}
	b.Add(report.Of("in memory, "+name+", one thread", "look-ups/s", *rates...))
	b.say("%s: p50 %.0f ns, p99.9 %.0f ns, %.1f bytes a card", name, report.Median(p50),
		report.Median(p999), bytes)
	series := report.Series{Name: name}
	for _, q := range quantiles() {
		series.Points = append(series.Points, [2]float64{q, quantileOf(spans, q)})
	}
	return series
}

// timed returns the sorted times of one look-up in nanoseconds, measured over so many at
// a time, without what reading the clock costs.
func timed(tokens []pan.Token, together int, set *blacklist.Set) []float64 {
	cost := clockCost()
	spans := make([]float64, 0, len(tokens)/together)
	var sum uint32
	for ; len(tokens) >= together; tokens = tokens[together:] {
		began := time.Now()
		for i := range together {
			sum += set.Get(tokens[i]).Uint32()
		}
		spans = append(spans, max(0, float64(time.Since(began))-cost)/float64(together))
	}
	runtime.KeepAlive(sum)
	slices.Sort(spans)
	return spans
}

// clockCost returns the median time between two readings of the clock.
func clockCost() float64 {
	empty := make([]float64, 4001)
	for i := range empty {
		began := time.Now()
		empty[i] = float64(time.Since(began))
	}
	return report.Median(empty)
}

// quantileOf returns a quantile of sorted values.
func quantileOf(sorted []float64, q float64) float64 {
	return sorted[int(q*float64(len(sorted)-1))]
}

// swept looks all tokens up and returns how many a second and what each allocates.
func swept(tokens []pan.Token, set *blacklist.Set) (perSecond, allocs float64) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var sum uint32
	began := time.Now()
	for _, token := range tokens {
		sum += set.Get(token).Uint32()
	}
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(sum)
	n := float64(len(tokens))
	// Other goroutines of the process allocate a handful; one in ten thousand is none.
	if allocs = float64(after.Mallocs-before.Mallocs) / n; allocs < 1e-3 {
		allocs = 0
	}
	return n / took.Seconds(), allocs
}

// redisList is a Redis that holds the list as a hash, as our store keeps it, and as a set.
type redisList struct {
	*stack.Server
	listed int
}

func (r *redisList) close() error {
	if r == nil {
		return nil
	}
	return r.Server.Close()
}

// checkServer starts a Redis without durability; nil where there is none.
func (b *bench) checkServer(ctx context.Context) (*redisList, error) {
	if len(b.size.RedisListed) == 0 {
		return nil, nil
	}
	if err := stack.Available(stack.Redis); err != nil {
		b.note("The comparison with Redis did not run: %v.", err)
		return nil, nil
	}
	s, err := stack.StartRedis(ctx, stack.RedisOptions{Dir: filepath.Join(b.dir, "redis"),
		AppendFsync: "no", Args: []string{"--save", "", "--appendonly", "no"}})
	if err != nil {
		return nil, err
	}
	b.note("Redis is asked on an instance without durability: beside commits with appendfsync " +
		"always a read waits behind their fsync. HGET is what the store itself would ask.")
	return &redisList{Server: s}, nil
}

const (
	hashKey = "{b000}:frozen"
	setKey  = "{b000}:set"
	// redisConnections is how many ask at once.
	redisConnections = 64
	// redisRounds is enough for what differs by a factor of hundreds.
	redisRounds = 3
)

// fill lists the cards up to n.
func (r *redisList) fill(ctx context.Context, n int) error {
	c, err := load.Dial(ctx, r.Addr(), load.RESP(), callMax)
	if err != nil {
		return err
	}
	defer c.Close()
	const pipelined = 500
	entry := "\x00\x01\xff\xff12345678\x00\x00"
	var b []byte
	for r.listed < n {
		sent := 0
		for b = b[:0]; sent < pipelined && r.listed < n; sent++ {
			t := tokenAt(uint64(r.listed))
			b = append(b, load.Command("HSET", hashKey, string(t[:]), entry)...)
			b = append(b, load.Command("SADD", setKey, string(t[:]))...)
			r.listed++
		}
		if err := c.Send(b); err != nil {
			return err
		}
		for range 2 * sent {
			if _, err := c.Receive(); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// checkRedis asks Redis as fast as it answers, and then at half of that in open loop.
func (b *bench) checkRedis(ctx context.Context, r *redisList, n int, memory []float64) error {
	if err := r.fill(ctx, n); err != nil {
		return fmt.Errorf("filling Redis: %w", err)
	}
	name := report.Number(float64(n)) + " cards"
	for _, ask := range []question{{"SISMEMBER", setKey, n}, {"HGET", hashKey, n}} {
		var s series
		for range min(redisRounds, b.size.Rounds) {
			result, err := b.capacity(ctx, turn{addr: r.Addr(), connections: redisConnections,
				guess: s.guess(), wire: load.RESP(), wanted: ask.requests})
			if err != nil {
				return err
			}
			s.add(result, 0)
		}
		b.Add(report.Of(ask.verb+" over loopback, "+name+", 64 connections", "look-ups/s", s.rates...))
		b.Add(report.Of("in memory against "+ask.verb+", "+name, "×", report.Ratios(memory, s.rates)...))
		if err := b.checkHalfLoad(ctx, r, ask, report.Median(s.rates)/2); err != nil {
			return err
		}
	}
	return nil
}

// question is a command that asks whether a card is on a list of size cards.
type question struct {
	verb, key string
	size      int
}

// requests returns n questions about cards in random order.
func (q question) requests(n int) *load.Requests {
	all := load.NewRequests(n, 64)
	for _, t := range probes(q.size, n) {
		all.Add(load.Command(q.verb, q.key, string(t[:])))
	}
	return all
}

func (b *bench) checkHalfLoad(ctx context.Context, r *redisList, q question, rate float64) error {
	result, err := load.Run(ctx, load.Options{Addr: r.Addr(), Connections: redisConnections,
		Rate: rate, Duration: b.size.Open, Warmup: b.size.Open / 8, Wire: load.RESP(),
		Requests: q.requests(int(rate * b.size.Open.Seconds()))})
	if err != nil {
		return err
	}
	if err := result.AllGood(); err != nil {
		return err
	}
	name := q.verb + ", " + report.Number(float64(q.size)) + " cards"
	b.Add(report.Of(name+", at half load, p50", "ms", ms(result.Quantile(0.5))))
	p99 := report.Of(name+", at half load, p99", "ms", ms(result.Quantile(0.99)))
	b.Add(p99.AtMost(1))
	return nil
}

// quantileOfAll returns a quantile of values in any order.
func quantileOfAll(values []float64, q float64) float64 {
	return quantileOf(slices.Sorted(slices.Values(values)), q)
}
