package local

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// benchCards is how many cards the benchmarks use, benchState and benchRecord the
// sizes of what they commit: those of HOTPATH's prototypes.
const (
	benchCards  = 100_000
	benchState  = 192
	benchRecord = 300
)

// tokenAt returns the i-th of a row of tokens that are spread as real ones are.
func tokenAt(i int) (t pan.Token) {
	x := uint64(i)*0x9e3779b97f4a7c15 + 0x1234567
	for at := 0; at < len(t); at += 8 {
		x ^= x >> 30
		x *= 0xbf58476d1ce4e5b9
		x ^= x >> 27
		x *= 0x94d049bb133111eb
		x ^= x >> 31
		binary.BigEndian.PutUint64(t[at:], x)
	}
	return t
}

func benchOpen(b testing.TB) *Store {
	b.Helper()
	s := open(b, Options{Dir: b.TempDir(), Date: testDate, OutboxMax: 1 << 30,
		Logger: slog.New(slog.DiscardHandler)})
	if err := s.OpenEpoch(b.Context(), 1); err != nil {
		b.Fatal(err)
	}
	return s
}

// confirmAll confirms what is there again and again, as a warehouse that keeps up does,
// until the returned function is called.
func confirmAll(b testing.TB, s *Store) (stop func()) {
	ending, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ending:
				return
			case <-tick.C:
			}
			infos, err := s.Buckets(context.Background())
			if err != nil {
				b.Error(err)
				return
			}
			var last []txn.Position
			for _, is := range infos {
				last = append(last, is.Last)
			}
			if err := s.Confirm(context.Background(), last); err != nil {
				b.Error(err)
			}
		}
	}()
	return func() { close(ending); <-done }
}

// fillCards writes n cards of version 1.
func fillCards(b testing.TB, s *Store, n, size int) {
	b.Helper()
	list := make([]*store.Commit, 0, 5000)
	for i := range n {
		list = append(list, &store.Commit{Card: tokenAt(i), State: make([]byte, size)})
		if len(list) == cap(list) || i == n-1 {
			if err := s.Commit(b.Context(), list); err != nil {
				b.Fatal(err)
			}
			list = list[:0]
		}
	}
}

// BenchmarkCommit commits one tap at a time from many goroutines; each goroutine has
// its own cards.
func BenchmarkCommit(b *testing.B) {
	for _, n := range []int{2, 16, 64, 256} {
		b.Run(fmt.Sprintf("goroutines=%d", n), func(b *testing.B) {
			s := benchOpen(b)
			fillCards(b, s, benchCards, benchState)
			var next atomic.Int64
			share := benchCards / max(n, 2)
			defer confirmAll(b, s)()
			b.ReportAllocs()
			b.SetParallelism(max(1, n/runtime.GOMAXPROCS(0)))
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				first := int(next.Add(1)-1) * share
				versions := make([]uint64, share)
				c := store.Commit{State: make([]byte, benchState)}
				c.Record = make([]byte, benchRecord)
				list := []*store.Commit{&c}
				for i := 0; pb.Next(); i = (i + 1) % share {
					c.Card, c.Version = tokenAt(first+i), versions[i]+1
					err := s.Commit(b.Context(), list)
					if err != nil || c.Status != store.Committed {
						b.Error(err, c.Status)
						return
					}
					versions[i]++
				}
			})
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/1000, "k/s")
		})
	}
}

// BenchmarkCommitList commits lists of 5,000 taps.
func BenchmarkCommitList(b *testing.B) {
	for _, n := range []int{1, 4} {
		b.Run(fmt.Sprintf("goroutines=%d", n), func(b *testing.B) {
			const size = 5000
			s := benchOpen(b)
			fillCards(b, s, benchCards, benchState)
			var next atomic.Int64
			defer confirmAll(b, s)()
			b.ReportAllocs()
			b.SetParallelism((n + 1) / 2)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				first := int(next.Add(1)-1) * size
				list := make([]*store.Commit, size)
				for i := range list {
					list[i] = &store.Commit{Card: tokenAt(first + i), Version: 1,
						State: make([]byte, benchState), Record: make([]byte, benchRecord)}
				}
				for pb.Next() {
					if err := s.Commit(b.Context(), list); err != nil {
						b.Error(err)
						return
					}
					for _, c := range list {
						c.Version++
					}
				}
			})
			b.StopTimer()
			b.ReportMetric(float64(b.N)*size/b.Elapsed().Seconds()/1000, "k/s")
		})
	}
}

// BenchmarkLoad reads hot cards.
func BenchmarkLoad(b *testing.B) {
	s := benchOpen(b)
	fillCards(b, s, benchCards, benchState)
	tokens := make([]pan.Token, 4096)
	for i := range tokens {
		tokens[i] = tokenAt(i * 24)
	}
	dst := make([]byte, 0, store.StateMax)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if l, err := s.Load(b.Context(), tokens[i%len(tokens)], dst); err != nil || l.Version != 1 {
			b.Fatal(err, l.Version)
		}
	}
}

// BenchmarkOutboxRead reads the outbox that lists of taps have filled.
func BenchmarkOutboxRead(b *testing.B) {
	s := benchOpen(b)
	list := make([]*store.Commit, 5000)
	for i := range list {
		list[i] = &store.Commit{Card: tokenAt(i), AnyVersion: true,
			Record: make([]byte, benchRecord)}
	}
	for range 20 {
		if err := s.Commit(b.Context(), list); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	read := 0
	for b.Loop() {
		var at store.Cursor
		for n := 0; n < 100_000; {
			entries, next, err := s.Read(b.Context(), 0, at, 1000)
			if err != nil {
				b.Fatal(err)
			}
			n, at = n+len(entries), next
			read += len(entries)
		}
	}
	b.ReportMetric(float64(read)/b.Elapsed().Seconds()/1000, "k/s")
}

// BenchmarkMemory measures what a card in memory costs.
func BenchmarkMemory(b *testing.B) {
	const n = 1_000_000
	for b.Loop() {
		s := benchOpen(b)
		fillCards(b, s, n, benchState)
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		slabs := 0
		for i := range s.buckets {
			slabs += s.buckets[i].states.slab.bytes() + 8*len(s.buckets[i].states.index.table)
		}
		b.ReportMetric(float64(slabs)/n, "bytes/card")
		b.ReportMetric(float64(m.HeapInuse)/(1<<20), "heap-MB")
		b.ReportMetric(float64(m.Sys)/(1<<20), "sys-MB")
		_ = s.Close()
	}
}

// BenchmarkOpenListed measures a start with many frozen cards: a million, or as many as
// LOCAL_STORE_FROZEN says.
func BenchmarkOpenListed(b *testing.B) {
	n := 1_000_000
	if text := os.Getenv("LOCAL_STORE_FROZEN"); text != "" {
		n = must(strconv.Atoi(text))
	}
	o := Options{Dir: b.TempDir(), Date: testDate, OutboxMax: 1 << 30,
		Logger: slog.New(slog.DiscardHandler)}
	s := open(b, o)
	if err := s.OpenEpoch(b.Context(), 1); err != nil {
		b.Fatal(err)
	}
	entry := store.Entry{Mark: txn.Mark{Reason: txn.Lost, Scope: txn.AppAll}, Since: 1,
		Actor: "desk-7", Note: "case 12345"}
	list := make([]*store.Commit, 5000)
	for at := 0; at < n; at += len(list) {
		for i := range list {
			list[i] = &store.Commit{Card: tokenAt(at + i), AnyVersion: true,
				List: &store.ListChange{Entry: entry}}
		}
		if err := s.Commit(b.Context(), list); err != nil {
			b.Fatal(err)
		}
	}
	mustClose(b, s)
	b.ResetTimer()
	for b.Loop() {
		s := open(b, o)
		if s.Listed().Len() < n {
			b.Fatalf("%d cards are listed", s.Listed().Len())
		}
		b.StopTimer()
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.HeapInuse)/(1<<20), "heap-MB")
		mustClose(b, s)
		b.StartTimer()
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/start")
}

// BenchmarkBareSync measures what the disk gives at this moment: one write and one sync
// in place, of what one, 64 and 256 taps come to.
func BenchmarkBareSync(b *testing.B) {
	for _, size := range []int{4 << 10, 40 << 10, 160 << 10} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			const whole = 32 << 20
			f, err := osDisk{}.Zeroed(filepath.Join(b.TempDir(), "f"), whole)
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			buf, at := make([]byte, size), int64(0)
			for b.Loop() {
				if at += int64(size); at+int64(size) > whole {
					at = 0
				}
				if _, err := f.WriteAt(buf, at); err != nil {
					b.Fatal(err)
				}
				if err := f.Sync(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
