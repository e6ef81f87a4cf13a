package list_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/blacklist/list"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// large is a list of many cards without a store behind: a snapshot, and changes on demand.
type large struct {
	cards   [txn.BucketCount][]pan.Token
	changes [txn.BucketCount][]store.Change
}

func newLarge(n int) *large {
	l := &large{}
	for _, t := range sortedTokens(n) {
		b := txn.BucketOf(t)
		l.cards[b] = append(l.cards[b], t)
	}
	return l
}

func (l *large) Snapshot(_ context.Context, b txn.Bucket,
	yield func(pan.Token, txn.Mark)) (store.ListSeq, error) {
	for _, t := range l.cards[b] {
		yield(t, lost(txn.AppAll))
	}
	return store.ListSeq(len(l.changes[b])), nil
}

func (l *large) Changes(_ context.Context, b txn.Bucket, after store.ListSeq,
	max int) ([]store.Change, error) {
	rest := l.changes[b][after:]
	return rest[:min(max, len(rest))], nil
}

func (l *large) Tails(context.Context) (tails [txn.BucketCount]store.ListSeq, err error) {
	for b := range tails {
		tails[b] = store.ListSeq(len(l.changes[b]))
	}
	return tails, nil
}

func (l *large) add(card pan.Token, m txn.Mark) {
	b := txn.BucketOf(card)
	l.changes[b] = append(l.changes[b],
		store.Change{Seq: store.ListSeq(len(l.changes[b]) + 1), Card: card, Mark: m})
}

const manyCards = 3_000_000

// newLargeCity is a city with a large list, published once.
func newLargeCity(b *testing.B, n int) (*city, *large) {
	b.Helper()
	source := newLarge(n)
	signer, _ := testSigner(b)
	c := newCity(b, storetest.MemoryOptions{}, list.Options{Source: source, Signer: signer,
		FullEvery: 1})
	c.step()
	return c, source
}

// BenchmarkFull3M builds a full file of 3 million cards, signed: at most 2 s.
func BenchmarkFull3M(b *testing.B) {
	c, source := newLargeCity(b, manyCards)
	n := uint64(0)
	for name, k := range map[string]list.Kind{"exact16": {Format: list.Exact},
		"exact8": {Format: list.Exact, Width: list.Narrow}, "filter8": {Format: list.Filter8},
		"filter16": {Format: list.Filter16}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				source.add(spread(10_000_000+n), lost(txn.AppAll)) // else the file is kept
				n++
				c.step()
				b.StartTimer()
				f, err := c.pub.Full(b.Context(), txn.AppTransit, k)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(f.Size), "bytes")
			}
		})
	}
}

// BenchmarkDelta3M makes the delta of an epoch of a list of 3 million cards, signed: at most
// 10 ms. What it takes to make the epoch is given as ms/epoch.
func BenchmarkDelta3M(b *testing.B) {
	c, source := newLargeCity(b, manyCards)
	n := uint64(0)
	for _, changes := range []int{1, 100, 1000, 10_000} {
		b.Run(fmt.Sprint(changes), func(b *testing.B) {
			var epochs time.Duration
			for b.Loop() {
				b.StopTimer()
				from, _ := c.pub.Current()
				for range changes {
					source.add(spread(20_000_000+n), lost(txn.AppAll))
					n++
				}
				start := time.Now()
				c.step()
				epochs += time.Since(start)
				b.StartTimer()
				if _, _, err := c.pub.Delta(txn.AppTransit, list.Wide, from); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(epochs.Microseconds())/1000/float64(b.N), "ms/epoch")
		})
	}
}

// BenchmarkStart3M is the first epoch of a process: read, sort, publish.
func BenchmarkStart3M(b *testing.B) {
	c, source := newLargeCity(b, manyCards)
	for b.Loop() {
		c.restart(list.Options{Source: source})
		c.step()
	}
}

// sink is a ResponseWriter that keeps nothing.
type sink struct {
	header http.Header
	status int
	bytes  int
}

func (s *sink) Header() http.Header { return s.header }
func (s *sink) WriteHeader(n int)   { s.status = n }
func (s *sink) Write(b []byte) (int, error) {
	s.bytes += len(b)
	return len(b), nil
}

// BenchmarkPoll is one poll of one of 10,000 devices: 1000 a second must cost at most 5 % of
// a core, which is 50 µs each. "changing" has a new epoch in every thousand polls and each
// device an epoch of its own age.
func BenchmarkPoll(b *testing.B) {
	for _, changing := range []bool{false, true} {
		b.Run(map[bool]string{false: "nothing new", true: "changing"}[changing], func(b *testing.B) {
			pollBench(b, changing)
		})
	}
}

func pollBench(b *testing.B, changing bool) {
	const devices = 10_000
	signer, _ := testSigner(b)
	d := newDesk(b, list.Options{Signer: signer})
	names := make([]string, devices)
	held := make([]list.Epoch, devices)
	now := d.step()
	for i := range names {
		names[i], held[i] = terminal(b, i).String(), now
	}
	n := 0
	h, err := list.NewHandler(list.HandlerOptions{Publisher: d.pub, Tracker: d.tracker,
		Device: func(*http.Request) (string, bool) { return names[n%devices], true }})
	if err != nil {
		b.Fatal(err)
	}
	r := &http.Request{Method: http.MethodGet, Header: http.Header{},
		URL: &url.URL{Path: "/v1/lists/transit/delta"}}
	w := &sink{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		if changing && n%1000 == 0 {
			d.set(spread(uint64(n)), lost(txn.AppAll))
			now = d.step()
		}
		r.URL.RawQuery = fmt.Sprintf("from=%d", held[n%devices])
		clear(w.header)
		w.status = 0
		h.ServeHTTP(w, r)
		if w.status != http.StatusNoContent && w.status != http.StatusOK {
			b.Fatalf("status %d", w.status)
		}
		held[n%devices] = now
		n++
	}
}

func BenchmarkSeen(b *testing.B) {
	c := newClock()
	tr := newTracker(b, c, list.TrackerOptions{Directory: gates(b, 10_000)})
	publish(tr, 5, c.Millis())
	ids := make([]txn.TerminalID, 10_000)
	for i := range ids {
		ids[i] = terminal(b, i)
	}
	at, n := c.Millis(), 0
	b.ReportAllocs()
	for b.Loop() {
		tr.Seen(ids[n%len(ids)], 5, at+txn.Millis(n))
		n++
	}
}

func BenchmarkCoverage(b *testing.B) {
	c := newClock()
	tr := newTracker(b, c, list.TrackerOptions{Directory: gates(b, 10_000)})
	publish(tr, 5, c.Millis())
	for b.Loop() {
		tr.Coverage(5, c.Millis())
	}
}

// BenchmarkContains3M is what a gate does for a tap.
func BenchmarkContains3M(b *testing.B) {
	tokens := sortedTokens(manyCards)
	exact, err := list.EncodeExact(draft(), list.Wide, tokens, nil)
	if err != nil {
		b.Fatal(err)
	}
	filter, err := list.EncodeFilter(draft(), list.Filter8, tokens, nil)
	if err != nil {
		b.Fatal(err)
	}
	for name, file := range map[string][]byte{"exact16": exact, "filter8": filter} {
		b.Run(name, func(b *testing.B) {
			start := time.Now()
			l := open(b, file)
			b.ReportMetric(float64(time.Since(start).Milliseconds()), "ms/open")
			n := uint64(0)
			for b.Loop() {
				l.Contains(spread(n % (2 * manyCards)))
				n += 7919
			}
		})
	}
}
