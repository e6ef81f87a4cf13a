package bench

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"time"

	"github.com/tapswitch/tapswitch/bench/load"
	"github.com/tapswitch/tapswitch/bench/report"
	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const (
	// stageConnections carry the load of the stage measurement.
	stageConnections = 64
	// openLoad is the share of the capacity at which latencies are told.
	openLoad = 0.7
)

// decide measures the pure decision, and the stages of a tap at 70 % of the capacity.
func decide(ctx context.Context, b *bench) error {
	if err := b.decidePure(); err != nil {
		return err
	}
	dir := filepath.Join(b.dir, "gate")
	c, err := b.startServer(ctx, "serve-gate", "--data", dir)
	if err != nil {
		return err
	}
	var result *load.Result
	err = b.withRig(ctx, &rig{child: c, dir: dir}, stageConnections,
		func(r *rig) (err error) {
			result, err = b.openLoop(ctx, r)
			return err
		})
	if err2 := c.stop(); err == nil {
		err = err2
	}
	if err != nil {
		return err
	}
	times, err := readTimes(dir)
	if err != nil {
		return err
	}
	return b.addStages(times, result)
}

// openLoop finds the capacity, and measures at a part of it.
func (b *bench) openLoop(ctx context.Context, r *rig) (*load.Result, error) {
	var s series
	for range b.size.Rounds {
		result, err := b.capacity(ctx, turn{addr: r.Addr, connections: stageConnections,
			guess: s.guess(), wire: load.HTTP(approved), wanted: r.fleet.taps})
		if err != nil {
			return nil, err
		}
		s.add(result, 0)
	}
	b.Add(report.Of("capacity, 64 connections", "taps/s", s.rates...))
	rate := openLoad * report.Median(s.rates)
	b.say("%.0f taps/s in open loop", rate)
	b.sized("stages: %d cards, 64 connections, open loop at 70 %% of the capacity, %.0f taps/s for %s",
		b.size.Cards, rate, b.size.Open)
	requests := r.fleet.taps(int(rate * b.size.Open.Seconds()))
	r.settle(ctx, b.size.Settle)
	if _, err := io.WriteString(r.stdin, "reset\n"); err != nil {
		return nil, fmt.Errorf("stages: %w", err)
	}
	result, err := load.Run(ctx, load.Options{Addr: r.Addr, Connections: stageConnections,
		Rate: rate, Duration: b.size.Open, Warmup: b.size.Open / 10, Requests: requests,
		Wire: load.HTTP(approved), Slice: b.size.Open / 50})
	if err != nil {
		return nil, err
	}
	return result, result.AllGood()
}

// checkStages are the stages from the first byte of the body to the decision.
func checkStages() []string { return []string{"read", "authenticate", "parse", stageDecide} }

func (b *bench) addStages(times stageTimes, result *load.Result) error {
	b.note("Stages are timed inside the server, one request in %d. Commit is the call into the "+
		"store: comparison, blacklist and the wait for the fsync; decide is the rest of the "+
		"engine: blacklist in memory, load, decode, Decide, encode. The check stage is everything "+
		"before Commit. Its p99 is told as a bound: the sum of the p99.75 of its four parts, "+
		"which the p99 of their sum cannot exceed.", sampleEvery)
	plot := report.Plot{Kind: report.PlotPercentiles, Title: "Stages at 70 % of capacity", Y: "ms"}
	bound := 0.0
	for _, name := range append(checkStages(), stageCommit, "reply") {
		t, ok := times[name]
		if !ok || t.Count == 0 {
			return fmt.Errorf("stage %s was never timed", name)
		}
		line := report.Series{Name: name}
		for _, p := range t.Points {
			line.Points = append(line.Points, [2]float64{p[0], p[1] / 1e6})
			switch p[0] {
			case 0.5:
				b.Add(report.Of("stage "+name+", p50", "µs", p[1]/1e3))
			case 0.99:
				b.Add(report.Of("stage "+name+", p99", "µs", p[1]/1e3))
			}
		}
		plot.Series = append(plot.Series, line)
		if name != stageCommit && name != "reply" {
			bound += t.Bound
		}
	}
	b.Add(report.Of("parse to decision, p99 (bound)", "ms", bound/1e6).AtMost(1))
	for _, q := range []struct {
		name string
		at   float64
	}{{"p50", 0.5}, {"p99", 0.99}, {"p99.9", 0.999}} {
		b.Add(report.Of("whole answer from its due time, "+q.name, "ms", ms(result.Quantile(q.at))))
	}
	plot.Series = append(plot.Series, report.Series{Name: "whole answer", Points: curve(result)})
	b.Plots = append(b.Plots, plot, overTime("Whole answer at 70 % of capacity", result))
	return nil
}

// wallet is a card outside of any store.
type wallet struct {
	policy engine.Policy
	view   engine.View
	out    engine.Result
	state  []byte
	now    txn.Millis
	count  uint32
	from   txn.TerminalID
}

// newWallet returns a card with a full memory of requests.
func newWallet() (*wallet, error) {
	policy, err := newPolicy()
	if err != nil {
		return nil, err
	}
	w := &wallet{policy: policy, now: clockNow()}
	if w.from, err = txn.ParseTerminalID("GATE01"); err != nil {
		return nil, err
	}
	open := w.request(txn.Enrol)
	open.Enrolment = txn.Enrolment{Apps: txn.AppTransit | txn.AppPurse}
	if err := w.do(open); err != nil {
		return nil, err
	}
	fill := w.request(txn.Load)
	fill.Amount = purse
	if err := w.do(fill); err != nil {
		return nil, err
	}
	for range card.RecentKeep {
		if err := w.do(w.request(txn.BusBoarding)); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// request returns the next request; each comes ten minutes after the last.
func (w *wallet) request(kind txn.Kind) *txn.Request {
	w.count++
	w.now += 10 * 60 * 1000
	return &txn.Request{
		ID: txn.RequestID{Terminal: w.from, Boot: 1, Counter: w.count}, Kind: kind,
		Card: pan.Token{1, 2, 3}, Currency: txn.CNY, ServiceAt: w.now, ReceivedAt: w.now,
		Place: txn.Place{Operator: "M5", Line: "M100", Acquirer: "ACQ1",
			Payee: "operator/M5", Funding: "acquirer/ACQ1"},
	}
}

// do decides r and keeps the next state.
func (w *wallet) do(r *txn.Request) error {
	engine.Decide(&w.view, r, &w.policy, w.now, &w.out)
	if w.out.Decision.Outcome != txn.Approved {
		return fmt.Errorf("the wallet was declined: %s", w.out.Decision.Reason)
	}
	w.state = w.out.Next.Append(w.state[:0])
	w.view.Known = true
	w.view.Version++
	return w.view.Card.Decode(w.state)
}

// decidePure measures Decide with a warm cache.
func (b *bench) decidePure() error {
	w, err := newWallet()
	if err != nil {
		return err
	}
	b.sized("Decide: a bus tap of a card with %d remembered requests, %d times, %d rounds",
		card.RecentKeep, b.size.Probes, b.size.Rounds)
	tap := w.request(txn.BusBoarding)
	keep := append([]card.Recent(nil), w.view.Card.Recent...)
	state := w.view.Card
	var decides, decodes, encodes, allocs []float64
	var buf []byte
	for range b.size.Rounds {
		ns, mallocs := repeated(b.size.Probes, func() {
			recent := append(w.view.Card.Recent[:0], keep...)
			w.view.Card = state
			w.view.Card.Recent = recent
			engine.Decide(&w.view, tap, &w.policy, w.now, &w.out)
		})
		decides, allocs = append(decides, ns), append(allocs, mallocs)
		var c card.State
		ns, _ = repeated(b.size.Probes, func() { err = c.Decode(w.state) })
		if err != nil {
			return err
		}
		decodes = append(decodes, ns)
		ns, _ = repeated(b.size.Probes, func() {
			buf = w.out.Next.Append(buf[:0])
			buf = txn.AppendRecord(buf, &w.out.Record)
		})
		encodes = append(encodes, ns)
	}
	if w.out.Decision.Outcome != txn.Approved {
		return fmt.Errorf("the tap was declined: %s", w.out.Decision.Reason)
	}
	b.Add(report.Of("Decide", "ns", decides...).AtMost(1000))
	b.Add(report.Of("Decide, allocations", "each", allocs...).AtMost(2))
	b.Add(report.Of("decoding the state", "ns", decodes...))
	b.Add(report.Of("encoding state and record", "ns", encodes...))
	return nil
}

// repeated calls f n times and returns nanoseconds and allocations of one call.
func repeated(n int, f func()) (ns, allocs float64) {
	f()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	for range n {
		f()
	}
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	allocs = float64(after.Mallocs-before.Mallocs) / float64(n)
	if allocs < 1e-2 {
		allocs = 0 // other goroutines
	}
	return float64(took) / float64(n), allocs
}
