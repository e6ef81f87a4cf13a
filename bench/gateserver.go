package bench

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/tapswitch/tapswitch/bench/load"
	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/blacklist"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/gate"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// The stages that ServeGate reports. Decide is what the engine does outside of Commit;
// commit is the rest of it: the comparison under the bucket's lock and the wait for the
// disk.
const (
	stageDecide = "decide"
	stageCommit = "commit"
)

// sampleEvery is how many requests one is timed of.
const sampleEvery = 8

// stageClock collects durations by stage. Safe for concurrent use.
type stageClock struct {
	mu     sync.Mutex
	stages map[string]*hdrhistogram.Histogram
}

func newStageClock() *stageClock {
	c := &stageClock{}
	c.reset()
	return c
}

func (c *stageClock) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stages = map[string]*hdrhistogram.Histogram{}
}

func (c *stageClock) note(stage string, d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.stages[stage]
	if h == nil {
		h = load.NewHistogram()
		c.stages[stage] = h
	}
	_ = h.RecordValue(min(int64(d), int64(time.Minute)))
}

// stageTimes are the quantiles of a stage in nanoseconds, keyed by stage.
type stageTimes map[string]stageTime

type stageTime struct {
	Count  int64        `json:"count"`
	Points [][2]float64 `json:"points"` // quantile, nanoseconds
	// Bound is the quantile of which four add up to a p99: see checkBound.
	Bound float64 `json:"bound"`
}

// boundQuantile leaves a hundredth to four stages together.
const boundQuantile = 1 - 0.01/4

func (c *stageClock) times() stageTimes {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := stageTimes{}
	for name, h := range c.stages {
		t := stageTime{Count: h.TotalCount(), Bound: float64(h.ValueAtQuantile(boundQuantile * 100))}
		for _, q := range quantiles() {
			t.Points = append(t.Points, [2]float64{q, float64(h.ValueAtQuantile(q * 100))})
		}
		all[name] = t
	}
	return all
}

var _ gate.Observer = (*stageClock)(nil)

// Decided implements gate.Observer; decisions are counted by the load generator.
func (c *stageClock) Decided(gate.Route, txn.Reason) {}

// Refused implements gate.Observer.
func (c *stageClock) Refused(gate.Route, gate.Code) {}

// Staged takes the gate's own stages. The engine's are measured apart.
func (c *stageClock) Staged(_ gate.Route, stages gate.Stages) {
	for i, d := range stages {
		if stage := gate.Stage(i); stage != gate.StageDecide {
			c.note(stage.String(), d)
		}
	}
}

// span is the time that one timed request spent in Commit.
type span struct{ commit time.Duration }

type spanKey struct{}

// timedEngine times the engine, for one request in sampleEvery.
type timedEngine struct {
	gate.Engine
	clock *stageClock
	count atomic.Uint64
}

// Authorize implements gate.Engine.
func (t *timedEngine) Authorize(ctx context.Context, r *txn.Request) engine.Answer {
	if t.count.Add(1)%sampleEvery != 0 {
		return t.Engine.Authorize(ctx, r)
	}
	s := &span{}
	began := time.Now()
	a := t.Engine.Authorize(context.WithValue(ctx, spanKey{}, s), r)
	t.clock.note(stageDecide, time.Since(began)-s.commit)
	t.clock.note(stageCommit, s.commit)
	return a
}

// timedCards times Commit for requests that carry a span.
type timedCards struct{ store.Cards }

// Commit implements store.Cards.
func (t timedCards) Commit(ctx context.Context, commits []*store.Commit) error {
	s, ok := ctx.Value(spanKey{}).(*span)
	if !ok {
		return t.Cards.Commit(ctx, commits)
	}
	began := time.Now()
	err := t.Cards.Commit(ctx, commits)
	s.commit += time.Since(began)
	return err
}

// ServeGate serves gate, engine and local store below dir on a free loopback port, with
// every stage timed. It prints its address, writes the operator's token to dir/admin.token,
// and ends when in ends, writing the times to dir/stages.json. A line on in begins the
// measurement anew.
func ServeGate(ctx context.Context, in io.Reader, out io.Writer, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("gate server: %w", err)
	}
	s, err := openStore(ctx, filepath.Join(dir, "store"))
	if err != nil {
		return fmt.Errorf("gate server: %w", err)
	}
	confirming, stop := context.WithCancel(ctx)
	var work sync.WaitGroup
	work.Go(func() { confirmAll(confirming, s) })
	clock := newStageClock()
	err = serveStore(ctx, in, out, gateServer{dir: dir, store: s, clock: clock})
	stop()
	work.Wait()
	return errors.Join(err, s.Close(), writeTimes(dir, clock))
}

type gateServer struct {
	dir   string
	store store.Store
	clock *stageClock
}

func serveStore(ctx context.Context, in io.Reader, out io.Writer, g gateServer) error {
	server, err := g.open(ctx)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("gate server: %w", err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	if _, err := fmt.Fprintln(out, ln.Addr()); err != nil {
		return errors.Join(err, server.Shutdown(ctx), <-served)
	}
	<-g.listen(ctx, in)
	shutdown, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopMax)
	defer cancel()
	return errors.Join(server.Shutdown(shutdown), <-served)
}

// listen resets the clock at each line and closes the returned channel at the end.
func (g *gateServer) listen(ctx context.Context, in io.Reader) <-chan struct{} {
	r, w := io.Pipe()
	go func() {
		lines := bufio.NewScanner(in)
		for lines.Scan() {
			g.clock.reset()
		}
		_ = w.Close()
	}()
	return ended(ctx, r)
}

// open makes the gate and its operator.
func (g *gateServer) open(ctx context.Context) (*gate.Server, error) {
	policy, err := newPolicy()
	if err != nil {
		return nil, err
	}
	s, ok := g.store.(interface{ Listed() *blacklist.Set })
	if !ok {
		panic("bench: internal error: the store has no list of its own")
	}
	e, err := engine.New(engine.Options{Cards: timedCards{g.store},
		Blacklist: blacklist.Live(s.Listed()), Policy: policy, Now: clockNow,
		Shares: runtime.GOMAXPROCS(0)})
	if err != nil {
		return nil, err
	}
	var keys [2][32]byte
	for i := range keys {
		_, _ = rand.Read(keys[i][:]) // never fails
	}
	tokenizer, err := pan.NewTokenizer(keys[0][:])
	if err != nil {
		return nil, err
	}
	limits := gate.DefaultLimits()
	limits.SampleEvery = sampleEvery
	server, err := gate.New(gate.Options{Engine: &timedEngine{Engine: e, clock: g.clock},
		Registry: g.store, Tokenizer: tokenizer, Cards: g.store, Entries: g.store, MasterKey: keys[1][:],
		Limits: limits, Now: clockNow, Observer: g.clock})
	if err != nil {
		return nil, err
	}
	secret, err := gate.CreateOperator(ctx, g.store, "bench", gate.Roles())
	if err != nil {
		return nil, err
	}
	path := filepath.Join(g.dir, "admin.token")
	return server, os.WriteFile(path, []byte(secret), 0o600)
}

// confirmAll confirms the outbox again and again, as a warehouse that keeps up.
func confirmAll(ctx context.Context, s store.Store) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		infos, err := s.Buckets(ctx)
		if err != nil {
			continue
		}
		var last []txn.Position
		for _, i := range infos {
			last = append(last, i.Last)
		}
		_ = s.Confirm(ctx, last) // tried again at the next tick
	}
}

const timesFile = "stages.json"

func writeTimes(dir string, c *stageClock) error {
	text, err := json.Marshal(c.times())
	if err != nil {
		return fmt.Errorf("stages: %w", err)
	}
	return os.WriteFile(filepath.Join(dir, timesFile), text, 0o600)
}

func readTimes(dir string) (stageTimes, error) {
	text, err := os.ReadFile(filepath.Join(dir, timesFile))
	if err != nil {
		return nil, fmt.Errorf("stages: %w", err)
	}
	var t stageTimes
	if err := json.Unmarshal(text, &t); err != nil {
		return nil, fmt.Errorf("stages: %w", err)
	}
	return t, nil
}
