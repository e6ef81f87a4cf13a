package bench

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/bench/load"
	"github.com/tapswitch/tapswitch/bench/report"
	"github.com/tapswitch/tapswitch/deploy/stack"
)

func resultOf(latencies ...time.Duration) *load.Result {
	r := &load.Result{Good: int64(len(latencies)), Sent: len(latencies), Elapsed: time.Second,
		CPU: time.Second / 4, Wall: time.Second, Latency: load.NewHistogram()}
	for _, l := range latencies {
		_ = r.Latency.RecordValue(int64(l))
	}
	return r
}

func TestSeries(t *testing.T) {
	var s series
	if s.guess() != rateGuess {
		t.Errorf("the first guess is %g", s.guess())
	}
	s.add(resultOf(time.Millisecond, 2*time.Millisecond, 3*time.Millisecond), 6*time.Microsecond)
	s.add(resultOf(time.Millisecond), time.Microsecond)
	if !slices.Equal(s.rates, []float64{3, 1}) || s.guess() != 3 {
		t.Errorf("rates %v, guess %g", s.rates, s.guess())
	}
	if !slices.Equal(s.cost, []float64{2, 1}) || !slices.Equal(s.cpu, []float64{0.25, 0.25}) {
		t.Errorf("cost %v µs, cpu %v", s.cost, s.cpu)
	}
	if s.p50[0] < 1.99 || s.p50[0] > 2.01 || s.p99[0] < 2.99 || s.p99[0] > 3.01 {
		t.Errorf("p50 %g, p99 %g ms", s.p50[0], s.p99[0])
	}
}

func TestCurveGrows(t *testing.T) {
	points := curve(resultOf(time.Millisecond, 5*time.Millisecond, 80*time.Millisecond))
	if len(points) != len(quantiles()) || points[0][0] != 0 {
		t.Fatalf("%v", points)
	}
	for i := 1; i < len(points); i++ {
		if points[i][0] <= points[i-1][0] || points[i][1] < points[i-1][1] {
			t.Errorf("point %v follows %v", points[i], points[i-1])
		}
	}
	if last := points[len(points)-1][1]; last < 79 || last > 81 {
		t.Errorf("the curve ends at %g ms", last)
	}
}

func TestPairTellsBothSides(t *testing.T) {
	b := tinyBench(t)
	p := &pair{}
	p.ours.add(resultOf(time.Millisecond), time.Microsecond)
	p.addLatencies(b, "8 connections") // redis-benchmark tells no processor time
	if b.Figure("generator, 8 connections, with the no-op server") != nil {
		t.Error("a comparison without figures was told")
	}
	p.theirs.add(resultOf(time.Millisecond), time.Microsecond)
	p.addLatencies(b, "9 connections")
	if b.Figure("no-op server, 9 connections, processor time a request") == nil || len(b.Plots) != 2 {
		t.Errorf("%+v", b.Figures)
	}
}

func TestOverTime(t *testing.T) {
	r := resultOf()
	r.Slices = []load.Slice{{At: 0, P50: time.Millisecond, P99: 2 * time.Millisecond},
		{At: time.Second, P50: 3 * time.Millisecond, P99: 4 * time.Millisecond}}
	p := overTime("x", r)
	if p.Kind != report.PlotTime || len(p.Series) != 2 ||
		p.Series[1].Points[1] != [2]float64{1, 4} {
		t.Errorf("%+v", p)
	}
}

func TestFreezeFigures(t *testing.T) {
	b := tinyBench(t)
	calls := []float64{1, 2, 3, 50}
	b.addFreezes(calls, []float64{1, 2, 3, 4}, resultOf(time.Millisecond))
	if f := b.Figure("freeze call"); f.N != 4 || f.Max != 50 {
		t.Errorf("%+v", f)
	}
	if f := b.Figure("freeze call to first refused tap, p99"); !*f.Met {
		t.Errorf("%+v", f)
	}
	if len(b.Plots) != 2 {
		t.Errorf("%d plots", len(b.Plots))
	}
}

// The first tap tells the size of an approval; a switch that declines cannot be measured.
func TestReplySize(t *testing.T) {
	body := `{` + approved + `,"balance":12}`
	addr := answering(t, func(string, string) (int, string) { return 200, body })
	r := &rig{child: &child{Addr: addr}, fleet: testFleet(10)}
	if n, err := r.replySize(t.Context()); err != nil || n != len(body) {
		t.Errorf("%d, %v; want %d", n, err, len(body))
	}
	r.Addr = answering(t, func(string, string) (int, string) { return 200, `{"outcome":"declined"}` })
	if _, err := r.replySize(t.Context()); err == nil || !strings.Contains(err.Error(), "declined") {
		t.Errorf("%v", err)
	}
	r.Addr = "127.0.0.1:1"
	if _, err := r.replySize(t.Context()); err == nil {
		t.Error("nobody answered, and there is a size")
	}
}

// A server that is idle is not waited for longer than it takes to see that, one that is
// busy no longer than the bound.
func TestSettleIsBounded(t *testing.T) {
	c, err := startChild("/bin/sh", "busy", []string{"-c", "while :; do :; done"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.kill()
	began := time.Now()
	c.settle(t.Context(), 600*time.Millisecond)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("settling took %s", took)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c.settle(ctx, time.Hour)
}

func TestRedisListAndRival(t *testing.T) {
	stack.Require(t, stack.Redis)
	server, err := stack.StartRedis(t.Context(), stack.RedisOptions{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	ask := func(words ...string) string {
		t.Helper()
		c, err := load.Dial(t.Context(), server.Addr(), load.RESP(), 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		answer, err := c.Do(load.Command(words...))
		if err != nil {
			t.Fatal(err)
		}
		return string(answer)
	}
	list := &redisList{Server: server}
	for _, n := range []int{700, 1500} { // it grows
		if err := list.fill(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	if h, s := ask("HLEN", hashKey), ask("SCARD", setKey); h != ":1500\r\n" || s != h {
		t.Errorf("the hash has %q and the set %q", h, s)
	}
	q := question{"SISMEMBER", setKey, 1500}
	requests := q.requests(2)
	if first, second := requests.At(0), requests.At(1); len(first) != len(second) ||
		!strings.Contains(string(first), "SISMEMBER") {
		t.Errorf("%q, %q", first, second)
	}
	r, err := newRival(t.Context(), server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer r.conn.Close()
	rate, err := r.run(t.Context(), 4, 500)
	if err != nil || rate <= 0 {
		t.Errorf("%g commits a second, %v", rate, err)
	}
	if left := ask("EXISTS", redisPrefix+"out"); left != ":0\r\n" {
		t.Errorf("the stream is still there: %q", left)
	}
	if keys := ask("DBSIZE"); keys == ":2\r\n" {
		t.Error("redis-benchmark committed nothing")
	}
}

// A script that Redis does not take must not be measured as if it ran.
func TestRivalNeedsItsScript(t *testing.T) {
	addr := answering(t, func(string, string) (int, string) { return 200, "" })
	if _, err := newRival(t.Context(), addr); err == nil {
		t.Error("a server that is no Redis took the script")
	}
}

func TestProfile(t *testing.T) {
	b := tinyBench(t)
	addr := answering(t, func(path, _ string) (int, string) { return 200, path })
	r := &rig{child: &child{Admin: addr}}
	b.profile(t.Context(), r, "none")() // not asked for
	b.o.ProfileDir = t.TempDir()
	b.profile(t.Context(), r, "one")()
	text, err := os.ReadFile(filepath.Join(b.o.ProfileDir, "one.pprof"))
	if err != nil || string(text) != "/debug/pprof/profile" {
		t.Errorf("%q, %v", text, err)
	}
}
