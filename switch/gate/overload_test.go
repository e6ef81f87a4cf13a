package gate

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
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// gated is an engine whose answers wait until they are let go.
type gated struct {
	approver
	entered chan txn.Kind
	let     chan struct{}
}

func newGated() *gated {
	return &gated{entered: make(chan txn.Kind, 1024), let: make(chan struct{})}
}

func (e *gated) Authorize(ctx context.Context, r *txn.Request) engine.Answer {
	e.entered <- r.Kind
	select {
	case <-e.let:
	case <-ctx.Done():
		return engine.Answer{Err: fmt.Errorf("%w: %w", engine.ErrInDoubt, ctx.Err())}
	}
	return e.approver.Authorize(ctx, r)
}

func (e *gated) AuthorizeAll(ctx context.Context, requests []*txn.Request) []engine.Answer {
	e.entered <- txn.KindNone
	select {
	case <-e.let:
	case <-ctx.Done():
	}
	return e.approver.AuthorizeAll(ctx, requests)
}

// TestOverload fills the gate and shows who is shed: queries first, money at the bound,
// freezes and reversals never. What was let in finishes.
func TestOverload(t *testing.T) {
	e := newGated()
	r := newRig(t, func(o *Options) {
		o.Engine = e
		o.Limits.InFlightMax, o.Limits.QueriesMax = 8, 6
	})
	d := r.terminal("GATE01")
	desk := r.operator(RoleDesk)
	var wg sync.WaitGroup
	pending := func(n int, send func() reply) {
		for range n {
			wg.Go(func() {
				if a := send(); a.status != 200 {
					t.Errorf("let in and then %v", a)
				}
			})
			<-e.entered
		}
	}
	tap := func() reply { return r.send(d, "/v1/taps", r.tapBody(d, cardA)) }
	pending(6, tap)
	a := r.send(d, "/v1/balances", r.balanceBody(d))
	expect(t, a, 503, "overloaded")
	if a.field("retryable") != true || a.field("retry_after_ms").(float64) <= 0 {
		t.Errorf("no word on retrying: %v", a)
	}
	pending(2, tap)
	expect(t, tap(), 503, "overloaded")
	pending(1, func() reply {
		return r.send(d, "/v1/reversals", fieldsOf("id", r.id(d), "card", cardA,
			"original", "GATE01-1-1", "service_time", r.serviceTime()))
	})
	pending(1, func() reply {
		return r.do("POST", "/v1/freezes", fieldsOf("card", cardA, "reason", "lost"), bearer(desk))
	})
	expect(t, tap(), 503, "overloaded")
	if a := r.do("GET", "/livez", "", nil); a.status != 200 {
		t.Error(a)
	}
	close(e.let)
	wg.Wait()
	if n := r.server.admission.inFlight.Load(); n != 0 {
		t.Errorf("%d in flight at the end", n)
	}
	if a := tap(); a.status != 200 {
		t.Errorf("afterwards: %v", a)
	}
}

// TestBatchPlaces: batches beyond the places at work wait until their budget is over;
// beyond the places to arrive they are refused at once.
func TestBatchPlaces(t *testing.T) {
	e := newGated()
	r := newRig(t, func(o *Options) {
		o.Engine = e
		o.Limits.BatchReadersMax, o.Limits.BatchesMax = 2, 1
		o.Limits.BatchBudget = 200 * time.Millisecond
	})
	d := r.terminal("GATE01")
	batch := func() reply { return r.send(d, "/v1/taps:batch", `{"taps":[`+r.tapBody(d, cardA)+`]}`) }
	var wg sync.WaitGroup
	wg.Go(func() { batch() })
	<-e.entered
	var waiting reply
	wg.Go(func() { waiting = batch() })
	eventually(t, "both batches arrived", func() bool { return len(r.server.admission.readers) == 2 })
	expect(t, batch(), 503, "overloaded")
	wg.Wait()
	close(e.let)
	if waiting.status != 200 && waiting.code() != "overloaded" {
		t.Errorf("the waiting batch: %v", waiting)
	}
	if len(r.server.admission.readers)+len(r.server.admission.batches) != 0 {
		t.Error("places are not given back")
	}
}

// TestDeadline: an engine that does not come back is given up in time, and the terminal is
// told that the outcome is unknown.
func TestDeadline(t *testing.T) {
	e := newGated()
	r := newRig(t, func(o *Options) { o.Engine, o.Limits.Budget = e, 100*time.Millisecond })
	d := r.terminal("GATE01")
	start := time.Now()
	expect(t, r.send(d, "/v1/taps", r.tapBody(d, cardA)), 503, "outcome_unknown")
	if took := time.Since(start); took < 100*time.Millisecond || took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestDeadlinesShareContexts(t *testing.T) {
	d := newDeadlines()
	first := d.within(laneMoney, time.Second)
	if d.within(laneMoney, time.Second) != first {
		t.Error("two contexts in one slot")
	}
	if d.within(laneQuery, time.Second) == first {
		t.Error("two lanes share a context")
	}
	ends, ok := first.Deadline()
	if left := time.Until(ends); !ok || left < time.Second-time.Millisecond ||
		left > time.Second+deadlineSlot {
		t.Errorf("ends in %v", left)
	}
	eventually(t, "a new slot", func() bool { return d.within(laneMoney, time.Second) != first })
	if first.Err() != nil {
		t.Error("the old slot ended early")
	}
	d.close()
	if !errors.Is(first.Err(), context.Canceled) {
		t.Errorf("after close: %v", first.Err())
	}
}

// TestDrain stops a gate with requests under way: readyz turns first, what is under way is
// answered, and then no connection is taken any more.
func TestDrain(t *testing.T) {
	e := newGated()
	r := newRig(t, func(o *Options) { o.Engine, o.Limits.DrainDelay = e, 300*time.Millisecond })
	d := r.terminal("GATE01")
	if a := r.do("GET", "/readyz", "", nil); a.status != 200 {
		t.Fatal(a)
	}
	answered := make(chan reply, 1)
	go func() { answered <- r.send(d, "/v1/taps", r.tapBody(d, cardA)) }()
	<-e.entered
	stopped := make(chan error, 1)
	server := r.server
	go func() { stopped <- server.Shutdown(context.Background()) }()
	eventually(t, "readyz turns", func() bool {
		return r.do("GET", "/readyz", "", nil).code() == "not_ready"
	})
	if a := r.do("GET", "/livez", "", nil); a.status != 200 {
		t.Errorf("live while draining: %v", a)
	}
	eventually(t, "the listener is closed", func() bool {
		c, err := net.Dial("tcp", r.address)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	close(e.let)
	if a := <-answered; a.status != 200 {
		t.Errorf("under way: %v", a)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// TestDrainGivesUp: a request that does not end keeps Shutdown no longer than its context.
func TestDrainGivesUp(t *testing.T) {
	e := newGated()
	r := newRig(t, func(o *Options) { o.Engine = e })
	d := r.terminal("GATE01")
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		body := r.tapBody(d, cardA)
		c := r.dial()
		defer c.Close()
		_, _ = io.WriteString(c, r.rawSigned(d, "/v1/taps", body))
		if _, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil {
			t.Errorf("no answer: %v", err)
		}
	}()
	<-e.entered
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := r.server.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("shutdown: %v", err)
	}
	<-answered // the end of the gate ends the request's context
	if err := <-r.served; err != nil {
		t.Error(err)
	}
	r.server = nil
}

// TestShutdownBeforeServe: a gate that was stopped does not begin to serve.
func TestShutdownBeforeServe(t *testing.T) {
	s, _ := bareGate(t, &approver{}, nil)
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(ln); err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", ln.Addr().String()); err == nil {
		t.Error("the listener is open")
	}
}

func TestReadiness(t *testing.T) {
	cause := errors.New("the blacklist is not loaded")
	r := newRig(t, func(o *Options) { o.Ready = func() error { return cause } })
	a := r.do("GET", "/readyz", "", nil)
	expect(t, a, 503, "not_ready")
	if strings.Contains(string(a.body), "blacklist") || !strings.Contains(r.log.String(), "blacklist") {
		t.Error("the cause belongs into the log, and there alone")
	}
}

// TestStages: one request in so many is timed, and each of its stages took time.
func TestStages(t *testing.T) {
	observer := &stageSum{tally: tally{counts: map[string]int{}}}
	s, signer := bareGate(t, nil, observer)
	p := newTapper(s, signer)
	every := DefaultLimits().SampleEvery
	for range 100 * every {
		p.prepare()
		if err := p.serve(); err != nil {
			t.Fatal(err)
		}
	}
	if observer.n < 20 || observer.n > 500 {
		t.Errorf("%d requests timed", observer.n)
	}
	for stage, d := range observer.sum {
		if d <= 0 {
			t.Errorf("stage %s took no time", Stage(stage))
		}
	}
	if names := s.Routes(); len(names) != len(s.routes.table) || names[0] != "POST /v1/taps" {
		t.Errorf("routes %v", names)
	}
}
