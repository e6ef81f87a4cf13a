package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tapswitch/tapswitch/bench/load"
	"github.com/tapswitch/tapswitch/bench/report"
)

const (
	// freezeConnections carry the background load, freezeProbes tap the card that is
	// frozen, as fast as they are answered.
	freezeConnections = 64
	freezeProbes      = 2
	// afterFreeze is how many taps of each probe follow the return of the freeze call.
	afterFreeze = 5
	// freezeLoad is the share of the capacity that the background load takes.
	freezeLoad = 0.5
)

// errLateApproval reports what must never happen.
var errLateApproval = errors.New("a tap sent after the freeze call had returned was approved")

// freeze freezes cards that are being tapped, while others tap at half of the capacity.
func freeze(ctx context.Context, b *bench) error {
	terminals := freezeConnections + freezeProbes
	return b.withSwitch(ctx, terminals, func(r *rig) error {
		background := *r.fleet
		background.terminals = r.fleet.terminals[:freezeConnections]
		background.cards = b.size.Cards - b.size.Freezes // the rest are frozen
		result, err := b.capacity(ctx, turn{addr: r.Addr, connections: freezeConnections,
			guess: rateGuess, wire: load.HTTP(approved), wanted: background.taps})
		if err != nil {
			return err
		}
		rate := freezeLoad * result.PerSecond()
		b.sized("%d freezes, %d connections tapping each card, %d connections at %.0f taps/s beside",
			b.size.Freezes, freezeProbes, freezeConnections, rate)
		b.note("Effect is the time from sending the freeze call to the first answer that refused " +
			"the card. Every tap sent after the call had returned was refused; one approval would " +
			"have failed the scenario.")
		return b.freezeUnderLoad(ctx, r, &background, rate)
	})
}

// freezeUnderLoad runs the load and the freezes side by side.
func (b *bench) freezeUnderLoad(
	ctx context.Context, r *rig, background *fleet, rate float64,
) error {
	took := time.Duration(float64(b.size.Freezes) * float64(20*time.Millisecond))
	took = max(took, b.size.Open)
	requests := background.taps(int(rate * took.Seconds()))
	loadCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	var result *load.Result
	var loadErr error
	wg.Go(func() {
		result, loadErr = load.Run(loadCtx, load.Options{Addr: r.Addr,
			Connections: freezeConnections, Rate: rate, Duration: took, Requests: requests,
			Wire: load.HTTP(approved), Slice: took / 40})
	})
	calls, effects, err := b.freezeCards(ctx, r, took)
	if err != nil {
		cancel()
	}
	wg.Wait()
	if err := errors.Join(err, loadErr); err != nil {
		return err
	}
	if err := result.AllGood(); err != nil {
		return err
	}
	b.addFreezes(calls, effects, result)
	return nil
}

func (b *bench) addFreezes(calls, effects []float64, beside *load.Result) {
	b.Add(report.Of("freeze call", "ms", calls...))
	b.Add(report.Of("freeze call to first refused tap", "ms", effects...))
	b.Add(report.Of("freeze call, p99", "ms", quantileOfAll(calls, 0.99)).AtMost(10))
	b.Add(report.Of("freeze call to first refused tap, p99", "ms",
		quantileOfAll(effects, 0.99)).AtMost(10))
	b.Add(report.Of("approvals after the call returned", "taps", 0).AtMost(0))
	b.Add(report.Of("taps beside, p99", "ms", ms(beside.Quantile(0.99))))
	curves := report.Plot{Kind: report.PlotPercentiles, Title: "Freeze", Y: "ms"}
	for _, s := range []struct {
		name   string
		values []float64
	}{{"call", calls}, {"to first refused tap", effects}} {
		line := report.Series{Name: s.name}
		for _, q := range []float64{0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99} {
			line.Points = append(line.Points, [2]float64{q, quantileOfAll(s.values, q)})
		}
		curves.Series = append(curves.Series, line)
	}
	b.Plots = append(b.Plots, curves, overTime("Taps beside the freezes", beside))
}

// overTime plots the slices of a run.
func overTime(title string, r *load.Result) report.Plot {
	p := report.Plot{Kind: report.PlotTime, Title: title, X: "s", Y: "ms"}
	p50, p99 := report.Series{Name: "p50"}, report.Series{Name: "p99"}
	for _, s := range r.Slices {
		p50.Points = append(p50.Points, [2]float64{s.At.Seconds(), ms(s.P50)})
		p99.Points = append(p99.Points, [2]float64{s.At.Seconds(), ms(s.P99)})
	}
	p.Series = []report.Series{p50, p99}
	return p
}

// freezeCards freezes card after card, spread over the time, and returns the milliseconds
// that the calls and their effects took.
func (b *bench) freezeCards(
	ctx context.Context, r *rig, took time.Duration,
) (calls, effects []float64, err error) {
	d, err := openDesk(ctx, r.Addr, r.token)
	if err != nil {
		return nil, nil, err
	}
	defer d.close()
	var probes []*probe
	for i := range freezeProbes {
		p, err := newProbe(ctx, r, r.fleet.terminals[freezeConnections+i])
		if err != nil {
			return nil, nil, err
		}
		defer p.conn.Close()
		probes = append(probes, p)
	}
	every := time.NewTicker(took / time.Duration(b.size.Freezes+1))
	defer every.Stop()
	for i := range b.size.Freezes {
		select {
		case <-every.C:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
		call, effect, err := freezeCard(d, probes, r.fleet.card(b.size.Cards-1-i))
		if err != nil {
			return nil, nil, err
		}
		calls, effects = append(calls, ms(call)), append(effects, ms(effect))
	}
	return calls, effects, nil
}

// freezeCard freezes one card while the probes tap it.
func freezeCard(d *desk, probes []*probe, card string) (call, effect time.Duration, err error) {
	returned := make(chan time.Time)
	started := make(chan struct{}, len(probes))
	var wg sync.WaitGroup
	for _, p := range probes {
		wg.Go(func() { p.tapUntilFrozen(card, started, returned) })
	}
	for range probes {
		<-started
	}
	request := d.request("POST", "/v1/freezes",
		fmt.Appendf(nil, `{"card":"%s","reason":"lost","scope":["all"],"note":"bench"}`, card))
	sent := time.Now()
	answer, err := d.conn.Do(request)
	back := time.Now()
	if err == nil && load.Status(answer) != 200 {
		err = fmt.Errorf("%w: freeze: %.300s", errDesk, load.Body(answer))
	}
	for range probes {
		returned <- back
	}
	wg.Wait()
	first := time.Time{}
	for _, p := range probes {
		err = errors.Join(err, p.err)
		if first.IsZero() || p.refused.Before(first) {
			first = p.refused
		}
	}
	return back.Sub(sent), max(0, first.Sub(sent)), err
}

// probe taps one card again and again over a connection of its own.
type probe struct {
	conn    *load.Conn
	fleet   fleet
	from    *terminal
	refused time.Time // when the first refusal arrived
	err     error
}

func newProbe(ctx context.Context, r *rig, from *terminal) (*probe, error) {
	c, err := load.Dial(ctx, r.Addr, load.HTTP(approved), callMax)
	if err != nil {
		return nil, err
	}
	return &probe{conn: c, from: from, fleet: fleet{zone: r.fleet.zone, live: true}}, nil
}

// tapUntilFrozen taps until the freeze call has returned and some taps more. It tells
// started after the first answer.
func (p *probe) tapUntilFrozen(card string, started chan<- struct{}, returned <-chan time.Time) {
	p.refused, p.err = time.Time{}, nil
	var back time.Time
	more := afterFreeze
	for i := 0; more > 0; i++ {
		if back.IsZero() {
			select {
			case back = <-returned:
			default:
			}
		} else {
			more--
		}
		approvedIt, err := p.tap(card)
		switch {
		case err != nil:
			p.err = errors.Join(p.err, err)
			more = 0
		case approvedIt && !back.IsZero():
			p.err = errors.Join(p.err, errLateApproval)
		case !approvedIt && p.refused.IsZero():
			p.refused = time.Now()
		}
		if i == 0 {
			started <- struct{}{}
		}
	}
	if back.IsZero() {
		<-returned
	}
	if p.refused.IsZero() && p.err == nil {
		p.err = errors.New("no tap was refused after the freeze")
	}
}

// tap sends one tap and reports whether it was approved; the one other answer is a refusal
// of the frozen card.
func (p *probe) tap(card string) (bool, error) {
	answer, err := p.conn.Do(p.fleet.tap(p.from, card))
	if err != nil {
		return false, err
	}
	body := load.Body(answer)
	switch {
	case load.Status(answer) == 200 && bytes.Contains(body, []byte(approved)):
		return true, nil
	case load.Status(answer) == 200 && bytes.Contains(body, []byte(`"reason":"card_frozen"`)):
		return false, nil
	default:
		return false, fmt.Errorf("a tap of the card that is frozen: %.300s", body)
	}
}
