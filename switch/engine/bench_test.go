package engine_test

import (
	"context"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// inUse is a card with a full memory of requests, as a store returns it.
func inUse(t testing.TB) *wallet {
	w := enrolled(t, 100_000)
	for range 10 {
		w.now += 10 * minute
		w.must(w.board("M1"))
	}
	w.now += 10 * minute
	return w
}

// hot are the requests whose decision has to be cheap.
var hot = []struct {
	name string
	make func(*wallet) *txn.Request
}{
	{"bus", func(w *wallet) *txn.Request { return w.board("M1") }},
	{"entry", func(w *wallet) *txn.Request { return w.entry("Futian") }},
	{"exit", func(w *wallet) *txn.Request {
		w.must(w.entry("Futian"))
		w.now += hour
		return w.exit("Luohu")
	}},
	{"purchase", func(w *wallet) *txn.Request { return w.purchase(10) }},
	{"frozen", func(w *wallet) *txn.Request {
		w.mark = txn.Mark{Reason: txn.Lost, Scope: txn.AppAll}
		return w.purchase(10)
	}},
	{"replay", func(w *wallet) *txn.Request {
		q := w.purchase(10)
		w.must(q)
		return q
	}},
}

// decideLoop returns a function that decodes the state and decides, as Engine does.
func decideLoop(w *wallet, q *txn.Request) func() {
	var view engine.View
	var out engine.Result
	return func() {
		view.Known, view.Version, view.Mark = true, w.version, w.mark
		if err := view.Card.Decode(w.state); err != nil {
			panic(err)
		}
		engine.Decide(&view, q, &w.policy, w.now, &out)
	}
}

// Decide, with the state's decoding, allocates at most the strings of the state.
func TestDecideAllocates(t *testing.T) {
	for _, h := range hot {
		w := inUse(t)
		q := h.make(w)
		decide := decideLoop(w, q)
		decide()
		decode := testing.AllocsPerRun(100, func() {
			state := w.view.Card
			_ = state.Decode(w.state)
			w.view.Card = state
		})
		if n := testing.AllocsPerRun(200, decide) - decode; n > 2 {
			t.Errorf("%s: %.0f allocations beside the decoding, want 2 at most", h.name, n)
		}
	}
}

// BenchmarkDecide is DESIGN.md section 7: at most 1 µs and 2 allocations.
func BenchmarkDecide(b *testing.B) {
	for _, h := range hot {
		b.Run(h.name, func(b *testing.B) {
			w := inUse(b)
			q := h.make(w)
			var view, fresh engine.View
			var out engine.Result
			fresh = engine.View{Known: true, Version: w.version, Mark: w.mark}
			if err := fresh.Card.Decode(w.state); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				recent := append(view.Card.Recent[:0], fresh.Card.Recent...)
				view = fresh
				view.Card.Recent = recent
				engine.Decide(&view, q, &w.policy, w.now, &out)
			}
		})
	}
}

// BenchmarkDecode is the state's decoding alone, and BenchmarkAppend its encoding with
// the record's.
func BenchmarkDecode(b *testing.B) {
	w := inUse(b)
	state := w.card()
	b.ReportAllocs()
	for b.Loop() {
		if err := state.Decode(w.state); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	w := inUse(b)
	state, rec := w.card(), w.last()
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = state.Append(buf[:0])
		buf = txn.AppendRecord(buf, &rec)
	}
	b.ReportMetric(float64(len(buf)), "bytes")
}

func BenchmarkFingerprint(b *testing.B) {
	q := inUse(b).board("M1")
	b.ReportAllocs()
	for b.Loop() {
		q.Fingerprint()
	}
}

// still is a store that holds one card and confirms everything.
type still struct{ loaded store.Loaded }

func (s *still) Load(_ context.Context, _ pan.Token, dst []byte) (store.Loaded, error) {
	l := s.loaded
	l.State = append(dst[:0], l.State...)
	return l, nil
}

func (s *still) Commit(_ context.Context, commits []*store.Commit) error {
	for _, c := range commits {
		c.Status, c.Position = store.Committed, txn.Position{Epoch: 1, Seq: 1}
	}
	return nil
}

type nobody struct{}

func (nobody) Mark(pan.Token) txn.Mark   { return txn.Mark{} }
func (nobody) Learn(pan.Token, txn.Mark) {}

func stillEngine(t testing.TB, w *wallet) *engine.Engine {
	cards := &still{store.Loaded{State: w.state, Version: w.version}}
	e, err := engine.New(engine.Options{Cards: cards, Blacklist: nobody{}, Policy: w.policy,
		Now: func() txn.Millis { return w.now }})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// Authorize itself adds nothing to what the state's decoding allocates.
func TestAuthorizeAllocates(t *testing.T) {
	if raced {
		t.Skip("sync.Pool forgets at random under the race detector")
	}
	w := inUse(t)
	q := w.board("M1")
	e := stillEngine(t, w)
	if n := testing.AllocsPerRun(200, func() { e.Authorize(context.Background(), q) }); n > 0 {
		t.Errorf("%.0f allocations, want none", n)
	}
}

func BenchmarkAuthorize(b *testing.B) {
	for _, h := range hot {
		b.Run(h.name, func(b *testing.B) {
			w := inUse(b)
			q := h.make(w)
			mark := w.mark
			w.mark = txn.Mark{}
			e := stillEngine(b, w)
			_ = mark
			b.ReportAllocs()
			for b.Loop() {
				e.Authorize(context.Background(), q)
			}
		})
	}
}

// BenchmarkAuthorizeAll is a batch of 1,000 taps of as many cards.
func BenchmarkAuthorizeAll(b *testing.B) {
	w := inUse(b)
	e := stillEngine(b, w)
	list := make([]*txn.Request, 1000)
	for i := range list {
		w.token = pan.Token{byte(i), byte(i >> 8)}
		list[i] = w.board("M1")
	}
	b.ReportAllocs()
	for b.Loop() {
		e.AuthorizeAll(context.Background(), list)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/tap")
}
