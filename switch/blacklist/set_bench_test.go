package blacklist

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// filled returns a set of n cards, tokenAt(0) to tokenAt(n-1), with room reserved as
// a replica does.
func filled(n int) *Set {
	s := NewSet()
	for b := range txn.Bucket(txn.BucketCount) {
		s.Reserve(b, n/txn.BucketCount+n/txn.BucketCount/200)
	}
	for i := range uint64(n) {
		s.Put(tokenAt(i), lost)
	}
	return s
}

// probes returns tokens in random order: listed cards of the first n, or others.
func probes(n int, hit bool) []pan.Token {
	tokens := make([]pan.Token, 1<<20)
	r := rand.New(rand.NewPCG(uint64(n), 2))
	for i := range tokens {
		at := r.Uint64N(uint64(n))
		if !hit {
			at += 1 << 40
		}
		tokens[i] = tokenAt(at)
	}
	return tokens
}

// measured are percentiles of one lookup in nanoseconds.
type measured struct{ p50, p99, p999 float64 }

// percentiles times get over the tokens in batches of size, one clock pair a batch,
// less what an empty clock pair takes (median). A batch of 1 shows the tail, at the
// resolution of the clock; a batch of 16 gives a truer median, since the clock costs
// about as much as a lookup, and flattens the tail.
func percentiles(tokens []pan.Token, batch int, get func(pan.Token) txn.Mark) measured {
	spans := make([]float64, 0, len(tokens)/batch)
	empty := make([]float64, 0, 10000)
	for range cap(empty) {
		start := time.Now()
		empty = append(empty, float64(time.Since(start)))
	}
	slices.Sort(empty)
	timer := empty[len(empty)/2]
	var sum uint32
	for ; len(tokens) >= batch; tokens = tokens[batch:] {
		start := time.Now()
		for _, token := range tokens[:batch] {
			sum += get(token).Uint32()
		}
		spans = append(spans, (float64(time.Since(start))-timer)/float64(batch))
	}
	runtime.KeepAlive(sum)
	slices.Sort(spans)
	at := func(q float64) float64 { return max(0, spans[int(q*float64(len(spans)-1))]) }
	return measured{p50: at(0.5), p99: at(0.99), p999: at(0.999)}
}

func BenchmarkSetGet(b *testing.B) {
	for _, n := range []int{10_000, 1_000_000, 10_000_000} {
		var s *Set
		for _, hit := range []bool{true, false} {
			b.Run(fmt.Sprintf("cards=%d/hit=%v", n, hit), func(b *testing.B) {
				if s == nil {
					s = filled(n)
					runtime.GC()
				}
				tokens := probes(n, hit)
				single := percentiles(tokens, 1, s.Get)
				batch := percentiles(tokens, 16, s.Get)
				b.ReportAllocs()
				b.ResetTimer()
				for i := range b.N {
					s.Get(tokens[i&(len(tokens)-1)])
				}
				b.ReportMetric(single.p50, "p50-ns")
				b.ReportMetric(single.p99, "p99-ns")
				b.ReportMetric(single.p999, "p99.9-ns")
				b.ReportMetric(batch.p50, "p50of16-ns")
				b.ReportMetric(batch.p999, "p99.9of16-ns")
				b.ReportMetric(float64(s.Bytes())/float64(n), "B/card")
			})
		}
	}
}

// BenchmarkSetGetWhilePut reads 1 million cards on all processors but one while the
// other writes as fast as it can.
func BenchmarkSetGetWhilePut(b *testing.B) {
	s := filled(1_000_000)
	tokens := probes(1_000_000, true)
	stop, stopped := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		for {
			select {
			case <-stop:
				stopped <- n
				return
			default:
				s.Put(tokenAt(uint64(n)%1000), risk)
				n++
			}
		}
	}()
	single := percentiles(tokens, 1, s.Get)
	b.ResetTimer()
	for i := range b.N {
		s.Get(tokens[i&(len(tokens)-1)])
	}
	b.StopTimer()
	close(stop)
	b.ReportMetric(float64(<-stopped), "puts")
	b.ReportMetric(single.p50, "p50-ns")
	b.ReportMetric(single.p999, "p99.9-ns")
}

// BenchmarkSetLoad fills a set with 10 million cards: with room reserved, and growing.
// The time includes making the tokens, which alone is reported as tokens-s.
func BenchmarkSetLoad(b *testing.B) {
	const n = 10_000_000
	made := time.Now()
	var sum byte
	for i := range uint64(n) {
		sum += tokenAt(i)[0]
	}
	tokensTime := time.Since(made).Seconds()
	runtime.KeepAlive(sum)
	for _, reserve := range []bool{true, false} {
		b.Run(fmt.Sprintf("reserve=%v", reserve), func(b *testing.B) {
			var before, after runtime.MemStats
			for range b.N {
				runtime.GC()
				runtime.ReadMemStats(&before)
				s := NewSet()
				if reserve {
					s = filled(n)
				} else {
					for i := range uint64(n) {
						s.Put(tokenAt(i), lost)
					}
				}
				b.StopTimer()
				runtime.GC()
				runtime.ReadMemStats(&after)
				b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "heapB/card")
				b.ReportMetric(float64(s.Bytes())/n, "B/card")
				runtime.KeepAlive(s)
				b.StartTimer()
			}
			b.ReportMetric(tokensTime, "tokens-s")
		})
	}
}
