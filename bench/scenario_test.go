package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/bench/load"
	"github.com/tapswitch/tapswitch/bench/report"
	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

func tinyBench(t *testing.T) *bench {
	t.Helper()
	return &bench{Section: &report.Section{Name: "test"}, size: TinySize(), dir: t.TempDir()}
}

// serving runs server until the end of the test and returns its address.
func serving(t *testing.T, server *http.Server) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	t.Cleanup(func() {
		_ = server.Close()
		<-served
	})
	return ln.Addr().String()
}

// frozenGate answers taps as a gate does whose freeze takes effect after so many taps
// that follow the call; less than zero never.
func frozenGate(t *testing.T, taps int) string {
	frozen, after := false, 0
	return answering(t, func(path, _ string) (int, string) {
		if path == "/v1/freezes" {
			frozen = true
			return 200, `{"frozen":true}`
		}
		if frozen {
			if after++; taps >= 0 && after > taps {
				return 200, `{"outcome":"declined","reason":"card_frozen"}`
			}
		}
		return 200, `{` + approved + `}`
	})
}

func freezeAt(t *testing.T, addr string) (effect time.Duration, err error) {
	t.Helper()
	d, err := openDesk(t.Context(), addr, "x")
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	r := &rig{child: &child{Addr: addr}, fleet: testFleet(10)}
	var probes []*probe
	for i := range freezeProbes {
		p, err := newProbe(t.Context(), r, r.fleet.terminals[i])
		if err != nil {
			t.Fatal(err)
		}
		defer p.conn.Close()
		probes = append(probes, p)
	}
	_, effect, err = freezeCard(d, probes, cardNumber(1))
	return effect, err
}

// The freeze scenario is evidence only if a switch that approves too late fails it.
func TestALateApprovalIsFound(t *testing.T) {
	if effect, err := freezeAt(t, frozenGate(t, 0)); err != nil || effect <= 0 {
		t.Errorf("a good gate: effect %s, %v", effect, err)
	}
	for name, taps := range map[string]int{"never frozen": -1, "frozen late": 40} {
		if _, err := freezeAt(t, frozenGate(t, taps)); !errors.Is(err, errLateApproval) {
			t.Errorf("%s: %v, want errLateApproval", name, err)
		}
	}
}

func TestOtherAnswersToAFrozenCardAreErrors(t *testing.T) {
	frozen := false
	addr := answering(t, func(path, _ string) (int, string) {
		frozen = frozen || path == "/v1/freezes"
		if frozen {
			return 200, `{"outcome":"declined","reason":"insufficient_funds"}`
		}
		return 200, `{` + approved + `}`
	})
	if _, err := freezeAt(t, addr); err == nil || !strings.Contains(err.Error(), "insufficient") {
		t.Errorf("%v, want the other reason", err)
	}
	refusing := answering(t, func(path, _ string) (int, string) {
		if path == "/v1/freezes" {
			return 503, `{"error":{}}`
		}
		return 200, `{` + approved + `}`
	})
	if _, err := freezeAt(t, refusing); !errors.Is(err, errDesk) {
		t.Errorf("%v, want errDesk", err)
	}
}

func TestServeNoop(t *testing.T) {
	in, stop := io.Pipe()
	out := &firstLine{}
	served := make(chan error, 1)
	go func() { served <- ServeNoop(context.Background(), in, out, 231) }()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for out.line() == "" {
		<-tick.C
	}
	c, err := load.Dial(t.Context(), out.line(), load.HTTP(approved), 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	f := testFleet(3)
	for range 3 {
		answer, err := c.Do(f.tap(f.terminals[0], f.card(1)))
		if err != nil {
			t.Fatal(err)
		}
		if load.HTTP(approved).Judge(answer) != load.Good || len(load.Body(answer)) != 231 {
			t.Errorf("%d bytes: %s", len(load.Body(answer)), answer)
		}
	}
	_ = c.Close()
	_ = stop.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestEndedByContextOrParent(t *testing.T) {
	in, _ := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	done := ended(ctx, in)
	select {
	case <-done:
		t.Fatal("ended too early")
	default:
	}
	cancel()
	<-done
	<-ended(t.Context(), strings.NewReader("a line\n"))
	_ = in.Close()
}

func TestReadRate(t *testing.T) {
	good := "\"test\",\"rps\",\"avg\"\n\"EVALSHA abc\",\"12345.67\",\"0.1\"\n"
	if rate, err := readRate(good); err != nil || rate != 12345.67 {
		t.Errorf("%g, %v", rate, err)
	}
	for _, bad := range []string{"", "ERR unknown", "\"a\",\"x\"", "\"a\",\"0\",\"1\""} {
		if _, err := readRate(bad); err == nil {
			t.Errorf("%q was taken for a rate", bad)
		}
	}
}

func TestTokensAreSpread(t *testing.T) {
	const n = 64_000
	var buckets [txn.BucketCount]int
	seen := map[pan.Token]bool{}
	for i := range uint64(n) {
		token := tokenAt(i)
		seen[token] = true
		buckets[txn.BucketOf(token)]++
	}
	if len(seen) != n {
		t.Errorf("%d of %d tokens are different", len(seen), n)
	}
	if least, most := slices.Min(buckets[:]), slices.Max(buckets[:]); least < 800 || most > 1200 {
		t.Errorf("buckets hold %d to %d tokens, want about 1000", least, most)
	}
}

func TestProbesAreHalfListed(t *testing.T) {
	set := filledSet(5000)
	if set.Len() != 5000 {
		t.Fatalf("%d cards listed", set.Len())
	}
	listed := 0
	tokens := probes(5000, 2000)
	for _, token := range tokens {
		if set.Get(token) != (txn.Mark{}) {
			listed++
		}
	}
	if listed != 1000 {
		t.Errorf("%d of 2000 probes are listed", listed)
	}
	spans := timed(tokens, 16, set)
	if len(spans) != 125 || !slices.IsSorted(spans) || spans[0] < 0 {
		t.Errorf("%d spans from %g", len(spans), spans[0])
	}
	if _, allocs := swept(tokens, set); allocs != 0 {
		t.Errorf("%g allocations a look-up", allocs)
	}
}

func TestQuantiles(t *testing.T) {
	values := []float64{5, 1, 4, 2, 3}
	for q, want := range map[float64]float64{0: 1, 0.5: 3, 0.99: 4, 1: 5} {
		if got := quantileOfAll(values, q); got != want {
			t.Errorf("quantile %g is %g, want %g", q, got, want)
		}
	}
	if values[0] != 5 {
		t.Error("the values were sorted in place")
	}
}

func TestLane(t *testing.T) {
	l, err := openLane(t.Context(), filepath.Join(t.TempDir(), "lane"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	if err := l.enrol(t.Context(), 30); err != nil {
		t.Fatal(err)
	}
	if err := l.decide(t.Context(), l.taps(90, 0, 30)); err != nil {
		t.Error(err)
	}
	if err := l.decide(t.Context(), l.taps(1, 30, 31)); err == nil {
		t.Error("a tap of a card that was never opened passed for an approval")
	}
	if err := freezeAll(t.Context(), l.store, 5000); err != nil {
		t.Fatal(err)
	}
	if n := l.store.Listed().Len(); n != 5000 {
		t.Errorf("%d cards are frozen, want 5000", n)
	}
	if err := l.decide(t.Context(), l.taps(1, 0, 30)); err == nil {
		t.Error("a tap of a frozen card passed for an approval")
	}
}

func TestRepeated(t *testing.T) {
	var sink []byte
	_, allocs := repeated(1000, func() { sink = make([]byte, 64) })
	if allocs < 0.9 || allocs > 1.5 || len(sink) != 64 {
		t.Errorf("%g allocations, want 1", allocs)
	}
	ns, allocs := repeated(1000, func() { sink[0]++ })
	if ns <= 0 || allocs != 0 {
		t.Errorf("%g ns and %g allocations", ns, allocs)
	}
}

// slow is a store whose Commit takes a while.
type slow struct {
	store.Cards
	takes time.Duration
}

func (s slow) Commit(context.Context, []*store.Commit) error {
	timer := time.NewTimer(s.takes)
	<-timer.C
	return nil
}

// committer is an engine that does nothing but commit.
type committer struct{ cards store.Cards }

func (c committer) Authorize(ctx context.Context, _ *txn.Request) engine.Answer {
	return engine.Answer{Err: c.cards.Commit(ctx, nil)}
}

func (c committer) AuthorizeAll(context.Context, []*txn.Request) []engine.Answer { return nil }

// What Commit takes is told apart from what the engine takes.
func TestStagesAreToldApart(t *testing.T) {
	const takes = 20 * time.Millisecond
	clock := newStageClock()
	e := &timedEngine{Engine: committer{timedCards{slow{takes: takes}}}, clock: clock}
	for range 2 * sampleEvery {
		e.Authorize(t.Context(), nil)
	}
	times := clock.times()
	commit, decide := times[stageCommit], times[stageDecide]
	if commit.Count != 2 || decide.Count != 2 {
		t.Fatalf("%d and %d requests were timed, want 2 of %d", commit.Count, decide.Count,
			2*sampleEvery)
	}
	if commit.Bound < float64(takes)*0.99 || decide.Bound > float64(takes)/2 {
		t.Errorf("commit %g ns, decide %g ns", commit.Bound, decide.Bound)
	}
	clock.reset()
	if len(clock.times()) != 0 {
		t.Error("times outlived the reset")
	}
	dir := t.TempDir()
	clock.note("parse", time.Microsecond)
	if err := writeTimes(dir, clock); err != nil {
		t.Fatal(err)
	}
	if back, err := readTimes(dir); err != nil || back["parse"].Count != 1 {
		t.Errorf("%+v, %v", back, err)
	}
	if _, err := readTimes(t.TempDir()); err == nil {
		t.Error("times were read from nowhere")
	}
}

// The sum of the four p99.75 is no less than the p99 of the sum.
func TestCheckBound(t *testing.T) {
	b := tinyBench(t)
	times := stageTimes{}
	for _, name := range append(checkStages(), stageCommit, "reply") {
		times[name] = stageTime{Count: 9, Bound: 250_000, Points: [][2]float64{{0.5, 1000}, {0.99, 2000}}}
	}
	result := &load.Result{Latency: load.NewHistogram()}
	if err := b.addStages(times, result); err != nil {
		t.Fatal(err)
	}
	if f := b.Figure("parse to decision, p99 (bound)"); f == nil || f.Median != 1 || !*f.Met {
		t.Errorf("%+v, want 4 × 0.25 ms", f)
	}
	delete(times, "parse")
	if err := b.addStages(times, result); err == nil {
		t.Error("a stage that was never timed was passed over")
	}
}

func TestConfirmAllTrims(t *testing.T) {
	l, err := openLane(t.Context(), filepath.Join(t.TempDir(), "lane"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	if err := l.enrol(t.Context(), 10); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		confirmAll(ctx, l.store)
	}()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for pending := 1; pending > 0; <-tick.C {
		infos, err := l.store.Buckets(ctx)
		if err != nil {
			t.Fatal(err)
		}
		pending = 0
		for _, i := range infos {
			pending += i.Pending
		}
	}
	cancel()
	<-done
}

func TestFetch(t *testing.T) {
	addr := answering(t, func(string, string) (int, string) { return 200, "profile" })
	path := filepath.Join(t.TempDir(), "p")
	if err := fetch(t.Context(), "http://"+addr, path); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(path); string(text) != "profile" {
		t.Errorf("%q", text)
	}
	if err := fetch(t.Context(), "http://127.0.0.1:1", path); err == nil {
		t.Error("nothing was fetched without an error")
	}
}

func TestProgress(t *testing.T) {
	var out bytes.Buffer
	b := tinyBench(t)
	b.say("silent")
	b.o.Progress = &out
	b.say("%d of %d", 1, 2)
	if out.String() != "test: 1 of 2\n" {
		t.Errorf("%q", out.String())
	}
	if err := skip("no %s here", "server"); !errors.Is(err, errSkip) ||
		err.Error() != "skipped: no server here" {
		t.Error(err)
	}
}

func TestScratchIsRemoved(t *testing.T) {
	parent := t.TempDir()
	var kept string
	err := inScratch(parent, func(dir string) error {
		kept = dir
		return fmt.Errorf("broke in %s", filepath.Base(filepath.Dir(dir)))
	})
	if err == nil || !strings.Contains(err.Error(), "broke") {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(kept); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", kept, err)
	}
	if err := inScratch(filepath.Join(parent, "nowhere"), nil); err == nil {
		t.Error("scratch was made in a directory that does not exist")
	}
}

// A million requests of a lane must not run into a future that the engine refuses.
func TestLaneStaysInThePresent(t *testing.T) {
	l := &lane{}
	first := l.request(txn.BusBoarding, 0).ServiceAt
	for range 1_000_000 {
		l.request(txn.BusBoarding, 0)
	}
	policy, err := newPolicy()
	if err != nil {
		t.Fatal(err)
	}
	if ahead := l.last - clockNow(); ahead > policy.FutureMax/2 || l.last <= first {
		t.Errorf("service times run from %d to %d, %d ms ahead", first, l.last, ahead)
	}
}
