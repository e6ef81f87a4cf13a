package gate

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/gate/fields"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// approver approves everything without deciding: what is left is the gate alone.
type approver struct{ calls atomic.Int64 }

func (e *approver) Authorize(_ context.Context, r *txn.Request) engine.Answer {
	return engine.Answer{
		Decision: txn.Decision{Outcome: txn.Approved, FullFare: 500, Charged: 475,
			BalanceAfter: 12345, AuthCode: txn.AuthCode{'7', 'K', 'Q', '2', 'M', '9'}},
		Position: txn.Position{Bucket: txn.BucketOf(r.Card), Epoch: 3,
			Seq: txn.Seq(e.calls.Add(1))},
		Date: 20261121,
	}
}

func (e *approver) AuthorizeAll(ctx context.Context, requests []*txn.Request) []engine.Answer {
	answers := make([]engine.Answer, len(requests))
	for i, r := range requests {
		answers[i] = e.Authorize(ctx, r)
	}
	return answers
}

// bareGate returns a gate over an engine of the caller's choice, not serving.
func bareGate(t testing.TB, e Engine, observer Observer) (*Server, *Signer) {
	t.Helper()
	memory := storetest.NewMemory(storetest.MemoryOptions{})
	if err := memory.OpenEpoch(t.Context(), wallClock()); err != nil {
		t.Fatal(err)
	}
	if e == nil {
		e = testEngine(t, memory, wallClock)
	}
	s, err := New(Options{Engine: e, Registry: memory, Tokenizer: testTokenizer(t),
		Cards: memory, Entries: memory, MasterKey: testMasterKey(), Observer: observer})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Shutdown(context.Background()) })
	key, err := CreateTerminal(t.Context(), memory, testMasterKey(),
		Terminal{ID: "GATE01", Operator: "M5", Station: "Central", Kinds: allKinds()})
	if err != nil {
		t.Fatal(err)
	}
	return s, NewSigner("GATE01", key)
}

// tapper sends signed taps to a handler without a network.
type tapper struct {
	server  *Server
	signer  *Signer
	counter uint64
	body    []byte
	reader  bytes.Reader
	ctx     fasthttp.RequestCtx
}

func newTapper(s *Server, signer *Signer) *tapper {
	return &tapper{server: s, signer: signer, body: []byte(`{"id":"GATE01-3-42",` +
		`"kind":"metro_exit","card":"3104800000000001","service_time":"` +
		time.Now().Format("2006-01-02T15:04:05.000Z07:00") +
		`","station":"People's Square","line":"2","full_fare":500,"charged":475,"list_epoch":1234}`)}
}

// prepare makes the next request. The counter and its signature are new each time.
func (p *tapper) prepare() {
	p.counter++
	at := Stamp{At: wallClock(), Counter: p.counter}
	request := &p.ctx.Request
	request.Header.SetMethod("POST")
	request.SetRequestURI("/v1/taps")
	request.Header.SetContentType("application/json")
	request.Header.Set(HeaderTerminal, "GATE01")
	request.Header.Set(HeaderTimestamp, strconv.FormatInt(int64(at.At), 10))
	request.Header.Set(HeaderCounter, strconv.FormatUint(at.Counter, 10))
	request.Header.Set(HeaderSignature, p.signer.Sign("POST", "/v1/taps", p.body, at))
	p.reader.Reset(p.body)
	request.SetBodyStream(&p.reader, len(p.body))
	p.ctx.Response.Reset()
}

func (p *tapper) serve() error {
	p.server.handle(&p.ctx)
	if status := p.ctx.Response.StatusCode(); status != 200 {
		return fmt.Errorf("status %d: %s", status, p.ctx.Response.Body())
	}
	return nil
}

// BenchmarkTap measures the handler alone: signature, parser, token and answer, with an
// engine that approves at once. Making the request is not counted.
func BenchmarkTap(b *testing.B) {
	s, signer := bareGate(b, &approver{}, nil)
	p := newTapper(s, signer)
	b.ReportAllocs()
	for range b.N {
		b.StopTimer()
		p.prepare()
		b.StartTimer()
		if err := p.serve(); err != nil {
			b.Fatal(err)
		}
	}
}

// stageSum adds the stages of all requests.
type stageSum struct {
	tally
	sum Stages
	n   int
}

func (s *stageSum) Staged(_ Route, stages Stages) {
	for i, d := range stages {
		s.sum[i] += d
	}
	s.n++
}

// BenchmarkTapStages reports what each stage of a tap takes, by the gate's own clock, which
// costs some 50 ns a stage itself.
func BenchmarkTapStages(b *testing.B) {
	observer := &stageSum{tally: tally{counts: map[string]int{}}}
	s, signer := bareGate(b, &approver{}, observer)
	p := newTapper(s, signer)
	for range b.N {
		b.StopTimer()
		p.prepare()
		b.StartTimer()
		if err := p.serve(); err != nil {
			b.Fatal(err)
		}
	}
	for i, d := range observer.sum {
		if observer.n > 0 {
			b.ReportMetric(float64(d.Nanoseconds())/float64(observer.n), "ns-"+Stage(i).String())
		}
	}
}

// BenchmarkParseTap measures the parser.
func BenchmarkParseTap(b *testing.B) {
	body := newTapper(nil, nil).body
	var o fields.Object
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if r := o.Parse(body, tapSchema()); r.IsSet() {
			b.Fatal(r.Code)
		}
	}
}

// BenchmarkVerify measures a signature.
func BenchmarkVerify(b *testing.B) {
	body := newTapper(nil, nil).body
	key := newSigningKey(bytes.Repeat([]byte{1}, 32), 0)
	m := signed{method: []byte("POST"), path: []byte("/v1/taps"), body: body,
		terminal: []byte("GATE01"), timestamp: []byte("1795000000000"), counter: []byte("42")}
	state := key.pool.New().(*signingState)
	state.compute(&m)
	signature := fmt.Appendf(nil, "%x", state.sum)
	b.ReportAllocs()
	for b.Loop() {
		if !key.verify(&m, signature) {
			b.Fatal("refused")
		}
	}
}

// BenchmarkBatch measures a batch of 5,000 taps, per tap.
func BenchmarkBatch(b *testing.B) {
	s, signer := bareGate(b, &approver{}, nil)
	tap := newTapper(nil, nil).body
	body := []byte(`{"taps":[`)
	for i := range BatchMax {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, tap...)
	}
	body = append(body, `]}`...)
	p := &tapper{server: s, signer: signer, body: body}
	b.ReportAllocs()
	for range b.N {
		b.StopTimer()
		p.prepare()
		at := Stamp{At: wallClock(), Counter: p.counter}
		p.ctx.Request.SetRequestURI("/v1/taps:batch")
		p.ctx.Request.Header.Set(HeaderTimestamp, strconv.FormatInt(int64(at.At), 10))
		p.ctx.Request.Header.Set(HeaderSignature, signer.Sign("POST", "/v1/taps:batch", body, at))
		b.StartTimer()
		if err := p.serve(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/BatchMax, "ns/tap")
}

// TestTapAllocations keeps the gate's own allocations of a tap at two or fewer.
func TestTapAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates and empties pools at random")
	}
	s, signer := bareGate(t, &approver{}, nil)
	p := newTapper(s, signer)
	prepared := testing.AllocsPerRun(500, p.prepare)
	var failed error
	both := testing.AllocsPerRun(500, func() {
		p.prepare()
		if err := p.serve(); err != nil {
			failed = err
		}
	})
	if failed != nil {
		t.Fatal(failed)
	}
	if got := both - prepared; got > 2 {
		t.Errorf("%v allocations a tap", got)
	}
}
