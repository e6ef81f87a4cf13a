//go:build linux

package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// server answers requests of a fixed size with what reply returns for the n-th, from 0.
type server struct {
	addr  string
	seen  atomic.Int64
	conns atomic.Int64
}

func serve(t *testing.T, size int, reply func(n int64) string) *server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{addr: ln.Addr().String()}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s.conns.Add(1)
			wg.Go(func() {
				defer c.Close()
				r, buf := bufio.NewReader(c), make([]byte, size)
				for {
					if _, err := io.ReadFull(r, buf); err != nil {
						return
					}
					text := reply(s.seen.Add(1) - 1)
					if text == "" {
						return
					}
					if _, err := io.WriteString(c, text); err != nil {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		wg.Wait()
	})
	return s
}

// same returns n equal requests of size bytes.
func same(n, size int) *Requests {
	r := NewRequests(n, size)
	request := []byte(strings.Repeat("r", size))
	for range n {
		r.Add(request)
	}
	return r
}

const good = "fine"

func TestClosedLoopCountsEveryAnswer(t *testing.T) {
	s := serve(t, 10, func(n int64) string {
		switch n % 4 {
		case 0:
			return answerOf("no")
		case 1:
			return "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"
		default:
			return answerOf(good)
		}
	})
	r, err := Run(t.Context(), Options{Addr: s.addr, Connections: 5, Duration: time.Minute,
		Requests: same(4000, 10), Wire: HTTP(good)})
	if err != nil {
		t.Fatal(err)
	}
	if r.Good != 2000 || r.Refused != 1000 || r.Failed != 1000 || r.Sent != 4000 {
		t.Errorf("good %d, refused %d, failed %d of %d; want 2000, 1000, 1000 of 4000",
			r.Good, r.Refused, r.Failed, r.Sent)
	}
	if s.seen.Load() != 4000 || s.conns.Load() != 5 {
		t.Errorf("the server saw %d requests over %d connections", s.seen.Load(), s.conns.Load())
	}
	if r.Latency.TotalCount() != 4000 || r.Answered() != 4000 || r.PerSecond() <= 0 {
		t.Errorf("%d latencies, %.0f a second", r.Latency.TotalCount(), r.PerSecond())
	}
	if err := r.AllGood(); err == nil || !strings.Contains(err.Error(), "1000 refused") {
		t.Errorf("refusals must not pass for success: %v", err)
	}
}

func TestClosedLoopEndsInTime(t *testing.T) {
	s := serve(t, 10, func(int64) string { return answerOf(good) })
	r, err := Run(t.Context(), Options{Addr: s.addr, Connections: 3, Warmup: 30 * time.Millisecond,
		Duration: 120 * time.Millisecond, Requests: same(5_000_000, 10), Wire: HTTP(good),
		Slice: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.AllGood(); err != nil {
		t.Fatal(err)
	}
	if r.Sent >= 5_000_000 || int64(r.Sent) != s.seen.Load() {
		t.Errorf("sent %d, the server saw %d", r.Sent, s.seen.Load())
	}
	if r.Good >= int64(r.Sent) {
		t.Error("the warm-up was counted")
	}
	var sliced int64
	for i, p := range r.Slices {
		sliced += p.Count
		if p.P50 > p.P99 || p.P99 > p.Max || i > 0 && p.At <= r.Slices[i-1].At {
			t.Errorf("slice %d: %+v", i, p)
		}
	}
	if sliced != int64(r.Sent) || len(r.Slices) < 3 {
		t.Errorf("%d slices hold %d of %d answers", len(r.Slices), sliced, r.Sent)
	}
}

// A server that stands still for a while must be charged for every request that was due
// meanwhile, and not only for those that it had in hand.
func TestOpenLoopKnowsNoCoordinatedOmission(t *testing.T) {
	const rate, stall = 1000, 400 * time.Millisecond
	var lock sync.Mutex
	s := serve(t, 10, func(n int64) string {
		lock.Lock()
		defer lock.Unlock()
		if n == 200 {
			timer := time.NewTimer(stall)
			<-timer.C
		}
		return answerOf(good)
	})
	r, err := Run(t.Context(), Options{Addr: s.addr, Connections: 4, Rate: rate,
		Duration: time.Second, Requests: same(5000, 10), Wire: HTTP(good)})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.AllGood(); err != nil {
		t.Fatal(err)
	}
	if r.Sent != rate {
		t.Errorf("%d requests sent, want %d", r.Sent, rate)
	}
	late := int64(0)
	for _, bar := range r.Latency.Distribution() {
		if bar.From >= int64(stall/4) {
			late += bar.Count
		}
	}
	// Requests due in the first three quarters of the stall wait a quarter of it or more.
	if want := int64(rate * (stall * 3 / 4).Seconds() * 0.9); late < want {
		t.Errorf("%d requests waited for %s or more, want at least %d", late, stall/4, want)
	}
	if last := r.Quantile(1); last < stall*9/10 {
		t.Errorf("the longest wait was %s, the stall %s", last, stall)
	}
}

func TestOpenLoopKeepsItsRate(t *testing.T) {
	s := serve(t, 10, func(int64) string { return answerOf(good) })
	began := time.Now()
	r, err := Run(t.Context(), Options{Addr: s.addr, Connections: 8, Rate: 500,
		Duration: 400 * time.Millisecond, Warmup: 100 * time.Millisecond,
		Requests: same(1000, 10), Wire: HTTP(good)})
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 390*time.Millisecond {
		t.Errorf("200 requests at 500 a second took %s", took)
	}
	if r.Sent != 200 || r.Good != 150 {
		t.Errorf("sent %d, measured %d; want 200 and 150", r.Sent, r.Good)
	}
	if r.Wall <= 0 || r.CPU <= 0 || r.CPU > r.Wall {
		t.Errorf("the generator used %s of %s", r.CPU, r.Wall)
	}
}

// Requests and answers beyond the buffers of a socket go through in pieces.
func TestLargeRequestsAndAnswers(t *testing.T) {
	const size = 3 << 20
	answer := answerOf(good + strings.Repeat("a", 3<<20))
	s := serve(t, size, func(int64) string { return answer })
	r, err := Run(t.Context(), Options{Addr: s.addr, Connections: 2, Duration: time.Minute,
		Requests: same(6, size), Wire: HTTP(good)})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.AllGood(); err != nil || r.Good != 6 {
		t.Errorf("good %d, %v", r.Good, err)
	}
}

func TestUnansweredRequestsHaveFailed(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, 10, func(n int64) string {
		if n >= 3 {
			<-release
		}
		return answerOf(good)
	})
	r, err := Run(t.Context(), Options{Addr: s.addr, Connections: 4, Rate: 100,
		Duration: 100 * time.Millisecond, Requests: same(10, 10), Wire: HTTP(good),
		Drain: 50 * time.Millisecond})
	close(release)
	if err != nil {
		t.Fatal(err)
	}
	if r.Good != 3 || r.Failed != 7 || !strings.Contains(r.Sample, "no answer") {
		t.Errorf("good %d, failed %d, %q; want 3, and the 4 under way and 3 that were due", r.Good,
			r.Failed, r.Sample)
	}
}

func TestRunFaults(t *testing.T) {
	closing := serve(t, 10, func(n int64) string {
		if n == 7 {
			return ""
		}
		return answerOf(good)
	})
	double := serve(t, 10, func(int64) string { return answerOf(good) + answerOf(good) })
	nonsense := serve(t, 10, func(int64) string { return "nonsense\r\n\r\n" })
	for name, c := range map[string]struct{ addr, want string }{
		"a connection is closed": {closing.addr, "closed a connection"},
		"two answers for one":    {double.addr, "follow an answer"},
		"nonsense":               {nonsense.addr, "cannot be read"},
		"nobody listens":         {"127.0.0.1:1", "connection 1 of 2"},
		"no address":             {"127.0.0.1", "load:"},
	} {
		_, err := Run(t.Context(), Options{Addr: c.addr, Connections: 2, Duration: time.Second,
			Requests: same(100, 10), Wire: HTTP(good)})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := serve(t, 10, func(n int64) string {
		if n == 20 {
			cancel()
		}
		return answerOf(good)
	})
	_, err := Run(ctx, Options{Addr: s.addr, Connections: 2, Rate: 200, Duration: time.Hour,
		Requests: same(100_000, 10), Wire: HTTP(good)})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want canceled", err)
	}
}

func TestOptionsThatMakeNoSense(t *testing.T) {
	fine := Options{Addr: "127.0.0.1:1", Connections: 1, Duration: time.Second,
		Requests: same(1, 1), Wire: HTTP("")}
	for name, change := range map[string]func(*Options){
		"no connections":       func(o *Options) { o.Connections = 0 },
		"too many connections": func(o *Options) { o.Connections = ConnectionsMax + 1 },
		"no requests":          func(o *Options) { o.Requests = nil },
		"an empty row":         func(o *Options) { o.Requests = NewRequests(0, 0) },
		"a negative rate":      func(o *Options) { o.Rate = -1 },
		"no time":              func(o *Options) { o.Duration = 0 },
		"warm-up all the time": func(o *Options) { o.Warmup = time.Second },
	} {
		o := fine
		change(&o)
		if _, err := Run(t.Context(), o); err == nil || strings.Contains(err.Error(), "connect") &&
			!strings.Contains(err.Error(), "want 1 to") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The generator speaks HTTP that net/http understands, also over IPv6.
func TestAgainstNetHTTP(t *testing.T) {
	for _, listen := range []string{"127.0.0.1:0", "[::1]:0"} {
		ln, err := net.Listen("tcp", listen)
		if err != nil {
			t.Logf("no %s here: %v", listen, err)
			continue
		}
		server := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			fmt.Fprintf(w, "%s %s %s", good, r.URL.Path, body)
		})}
		served := make(chan error, 1)
		go func() { served <- server.Serve(ln) }()
		requests := NewRequests(100, 100)
		for range 100 {
			requests.Add([]byte("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"))
		}
		r, err := Run(t.Context(), Options{Addr: ln.Addr().String(), Connections: 3,
			Duration: time.Minute, Requests: requests, Wire: HTTP(good + " /x abc")})
		if err != nil || r.Good != 100 {
			t.Errorf("%s: %v, %+v", listen, err, r)
		}
		_ = server.Close()
		<-served
	}
}

// A request in a closed loop costs the generator no allocation.
func TestLoopDoesNotAllocate(t *testing.T) {
	s := serve(t, 10, func(int64) string { return answerOf(good) })
	run := func(n int) float64 {
		requests := same(n, 10)
		return testing.AllocsPerRun(1, func() {
			if _, err := Run(t.Context(), Options{Addr: s.addr, Connections: 1,
				Duration: time.Minute, Requests: requests, Wire: Wire{Frame: frameHTTP,
					Judge: func([]byte) Verdict { return Good }}}); err != nil {
				t.Fatal(err)
			}
		})
	}
	// The server of this test allocates for each answer as well: about four times.
	if each := (run(4000) - run(1000)) / 3000; each > 8 {
		t.Errorf("%.1f allocations a request", each)
	}
}

// BenchmarkGenerator shows what one request costs the generator, beside a server of the
// same process.
func BenchmarkGenerator(b *testing.B) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	answer := []byte(answerOf(good))
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for buf := make([]byte, 600); ; {
					if _, err := io.ReadFull(c, buf); err != nil {
						return
					}
					if _, err := c.Write(answer); err != nil {
						return
					}
				}
			}()
		}
	}()
	r, err := Run(b.Context(), Options{Addr: ln.Addr().String(), Connections: 64,
		Duration: time.Hour, Requests: same(b.N, 600), Wire: HTTP(good)})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(r.CPU.Nanoseconds())/float64(b.N), "generator-ns/op")
	b.ReportMetric(r.PerSecond(), "requests/s")
}
