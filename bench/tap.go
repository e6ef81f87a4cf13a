package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/tapswitch/tapswitch/bench/load"
	"github.com/tapswitch/tapswitch/bench/report"
)

// rateGuess is the first guess of what a server does a second; later turns know better.
const rateGuess = 60_000

// turn is one round of one server: as fast as its connections allow.
type turn struct {
	addr        string
	connections int
	guess       float64 // requests a second that the prepared requests must last for
	wire        load.Wire
	wanted      func(n int) *load.Requests
}

// capacity runs one turn and demands that every answer was good.
func (b *bench) capacity(ctx context.Context, t turn) (*load.Result, error) {
	warm := b.size.RunFor / 8
	n := int(t.guess*1.5*b.size.RunFor.Seconds()) + 4*t.connections
	result, err := load.Run(ctx, load.Options{
		Addr: t.addr, Connections: t.connections, Duration: b.size.RunFor, Warmup: warm,
		Requests: t.wanted(n), Wire: t.wire,
	})
	if err != nil {
		return nil, err
	}
	return result, result.AllGood()
}

// series collects the turns of one server.
type series struct {
	rates   []float64
	p50     []float64 // ms
	p99     []float64
	cpu     []float64 // of one core, that the generator used
	cost    []float64 // processor time of the server for each request, µs
	results []*load.Result
}

func (s *series) add(r *load.Result, used time.Duration) {
	s.rates = append(s.rates, r.PerSecond())
	s.p50 = append(s.p50, ms(r.Quantile(0.5)))
	s.p99 = append(s.p99, ms(r.Quantile(0.99)))
	s.cpu = append(s.cpu, r.CPU.Seconds()/r.Wall.Seconds())
	s.results = append(s.results, r)
	s.cost = append(s.cost, used.Seconds()*1e6/float64(max(1, r.Sent)))
}

// guess returns how fast the server may be, from its turns so far.
func (s *series) guess() float64 {
	if len(s.rates) == 0 {
		return rateGuess
	}
	most := 0.0
	for _, r := range s.rates {
		most = max(most, r)
	}
	return most
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// tapLocal holds a durable tap against a server that does nothing.
func tapLocal(ctx context.Context, b *bench) error {
	targets := map[int]float64{64: 0.60, 256: 0.75}
	b.sized("%d cards, %d rounds of %s for each side", b.size.Cards, b.size.Rounds, b.size.RunFor)
	b.note("The no-op server is fasthttp in a process of its own; it gets the same bytes and " +
		"answers with a body of the same size. Turns alternate; before each the other server " +
		"has become idle. The switch runs as installed: feed, Parquet warehouse and " +
		"checkpoints included.")
	bars := report.Plot{Kind: report.PlotBars, Title: "Taps a second", Y: "requests/s"}
	for _, connections := range b.size.Connections {
		err := b.withSwitch(ctx, connections, func(s *rig) error {
			p, err := b.tapLocalAt(ctx, s, connections)
			if err != nil {
				return err
			}
			name := strconv.Itoa(connections) + " connections"
			b.Add(report.Of("no-op server, "+name, "requests/s", p.theirs.rates...))
			b.Add(report.Of("switch, "+name, "taps/s", p.ours.rates...))
			ratio := report.Of("ratio, "+name, "×", report.Ratios(p.ours.rates, p.theirs.rates)...)
			if target, ok := targets[connections]; ok {
				ratio = ratio.AtLeast(target)
			}
			b.Add(ratio)
			p.addLatencies(b, name)
			bars.Bars = append(bars.Bars, report.BarOf(name, "switch", report.Of("", "", p.ours.rates...)),
				report.BarOf(name, "no-op", report.Of("", "", p.theirs.rates...)))
			return nil
		})
		if err != nil {
			return err
		}
	}
	b.Plots = append(b.Plots, bars)
	return nil
}

// pair is ours and the comparison, turn by turn.
type pair struct{ ours, theirs series }

func (p *pair) addLatencies(b *bench, name string) {
	b.Add(report.Of("switch, "+name+", p50 at full load", "ms", p.ours.p50...))
	b.Add(report.Of("switch, "+name+", p99 at full load", "ms", p.ours.p99...))
	b.Add(report.Of("switch, "+name+", processor time a tap", "µs", p.ours.cost...))
	b.Add(report.Of("generator, "+name+", with the switch", "cores", p.ours.cpu...))
	if len(p.theirs.cost) > 0 {
		b.Add(report.Of("no-op server, "+name+", processor time a request", "µs", p.theirs.cost...))
		b.Add(report.Of("generator, "+name+", with the no-op server", "cores", p.theirs.cpu...))
	}
	last := p.ours.results[len(p.ours.results)-1]
	b.Plots = append(b.Plots, report.Plot{
		Kind: report.PlotPercentiles, Title: "Latency at full load, " + name, Y: "ms",
		Series: []report.Series{{Name: "switch", Points: curve(last)}},
	})
}

// tapLocalAt lets the no-op server and the switch take turns.
func (b *bench) tapLocalAt(ctx context.Context, s *rig, connections int) (*pair, error) {
	size, err := s.replySize(ctx)
	if err != nil {
		return nil, err
	}
	noop, err := b.startServer(ctx, "serve-noop", "--reply-bytes", strconv.Itoa(size))
	if err != nil {
		return nil, err
	}
	p, err := b.takeTurns(ctx, s, noop, connections)
	return p, errors.Join(err, noop.stop())
}

func (b *bench) takeTurns(
	ctx context.Context, s *rig, noop *child, connections int,
) (*pair, error) {
	p := &pair{}
	for round := range b.size.Rounds {
		s.settle(ctx, b.size.Settle)
		before := noop.usage().cpu
		r, err := b.capacity(ctx, turn{addr: noop.Addr, connections: connections,
			guess: p.theirs.guess(), wire: load.HTTP(approved), wanted: s.fleet.taps})
		if err != nil {
			return nil, fmt.Errorf("no-op server: %w", err)
		}
		p.theirs.add(r, noop.usage().cpu-before)
		before = s.usage().cpu
		done := b.profile(ctx, s, fmt.Sprintf("tap-%d-%d", connections, round))
		r, err = b.capacity(ctx, turn{addr: s.Addr, connections: connections,
			guess: p.ours.guess(), wire: load.HTTP(approved), wanted: s.fleet.taps})
		done()
		if err != nil {
			return nil, fmt.Errorf("switch: %w", err)
		}
		p.ours.add(r, s.usage().cpu-before)
		b.say("%d connections, round %d of %d: switch %.0f, no-op %.0f, ratio %.2f", connections,
			round+1, b.size.Rounds, p.ours.rates[round], p.theirs.rates[round],
			p.ours.rates[round]/p.theirs.rates[round])
	}
	return p, nil
}

// rig is a running switch with terminals and cards.
type rig struct {
	*child
	dir   string
	token string
	fleet *fleet
}

// withSwitch calls f with a switch of its own, with enrolled cards and filled purses.
func (b *bench) withSwitch(
	ctx context.Context, terminals int, f func(*rig) error, settings ...string,
) error {
	return inScratch(b.dir, func(dir string) error {
		c, err := b.startSwitch(ctx, dir, settings...)
		if err != nil {
			return err
		}
		err = b.withRig(ctx, &rig{child: c, dir: dir}, terminals, f)
		return errors.Join(err, c.stop())
	})
}

// withRig calls f when s has terminals, enrolled cards and filled purses.
func (b *bench) withRig(
	ctx context.Context, s *rig, terminals int, f func(*rig) error,
) (err error) {
	if s.token, err = token(s.dir); err != nil {
		return err
	}
	b.say("enrolling %d cards and %d terminals", b.size.Cards, terminals)
	s.fleet, err = newFleet(ctx, fleetOptions{
		addr: s.Addr, token: s.token, terminals: terminals, cards: b.size.Cards,
	})
	if err != nil {
		return err
	}
	return f(s)
}

// replySize returns the size of the body of an approval.
func (s *rig) replySize(ctx context.Context) (int, error) {
	c, err := load.Dial(ctx, s.Addr, load.HTTP(approved), callMax)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	f := s.fleet
	answer, err := c.Do(f.tap(f.terminals[0], f.card(f.nextCard())))
	if err != nil {
		return 0, err
	}
	if load.HTTP(approved).Judge(answer) != load.Good {
		return 0, fmt.Errorf("the first tap was not approved: %.300s", answer)
	}
	return len(load.Body(answer)), nil
}

// curve returns the percentiles of a run, in milliseconds.
func curve(r *load.Result) [][2]float64 {
	var points [][2]float64
	for _, q := range quantiles() {
		points = append(points, [2]float64{q, ms(r.Quantile(q))})
	}
	return points
}

// quantiles are those of the percentile plots.
func quantiles() []float64 {
	return []float64{0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 0.9999}
}

// profile takes a CPU profile of the switch until the returned function is called, when
// the options ask for one.
func (b *bench) profile(ctx context.Context, s *rig, name string) (done func()) {
	if b.o.ProfileDir == "" {
		return func() {}
	}
	finished := make(chan error, 1)
	go func() {
		url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", s.Admin,
			max(1, int(b.size.RunFor/time.Second)))
		finished <- fetch(ctx, url, filepath.Join(b.o.ProfileDir, name+".pprof"))
	}()
	return func() {
		if err := <-finished; err != nil {
			b.say("no profile: %v", err)
		}
	}
}

func fetch(ctx context.Context, url, path string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, answer.Body)
	return errors.Join(err, f.Close())
}
