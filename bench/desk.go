package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/tapswitch/tapswitch/bench/load"
	"github.com/tapswitch/tapswitch/bench/report"
)

const (
	// deskConnections carry the taps beside an import, at deskLoad of the capacity.
	deskConnections = 64
	deskLoad        = 0.3
	// importRate is what an import is paced to, cards a second.
	importRate = 12_000
	importPath = "/v1/desk/freezes:import"
)

// importFreezes imports lists of frozen cards while others tap, and holds the taps against
// those of the same time without an import.
func importFreezes(ctx context.Context, b *bench) error {
	return b.withSwitch(ctx, deskConnections, func(r *rig) error {
		result, err := b.capacity(ctx, turn{addr: r.Addr, connections: deskConnections,
			guess: rateGuess, wire: load.HTTP(approved), wanted: r.fleet.taps})
		if err != nil {
			return err
		}
		rate := deskLoad * result.PerSecond()
		b.sized("%d cards a list, %d rounds, %.0f taps/s beside over %d connections, open loop",
			b.size.Cards, b.size.Rounds, rate, deskConnections)
		b.note("The list is one call of the desk, frozen through the engine in lists of 64 with pauses between. " +
			"Taps are sent at their due time whatever becomes of the ones before; the times with and without an " +
			"import take turns and are as long.")
		return b.importRounds(ctx, r, rate)
	}, "desk.city=handan")
}

// beside are the quantiles of the taps of each round, with an import or without.
type beside struct{ p50, p99 []float64 }

func (s *beside) add(r *load.Result) {
	s.p50, s.p99 = append(s.p50, ms(r.Quantile(0.5))), append(s.p99, ms(r.Quantile(0.99)))
}

func (b *bench) importRounds(ctx context.Context, r *rig, rate float64) error {
	took := time.Duration(float64(b.size.Cards) / importRate * float64(time.Second))
	took = max(took, b.size.RunFor)
	var quiet, busy beside
	var seconds []float64
	for round := range b.size.Rounds {
		r.settle(ctx, b.size.Settle)
		without, _, err := b.tapsBeside(ctx, r, rate, took, -1)
		if err != nil {
			return err
		}
		r.settle(ctx, b.size.Settle)
		with, imported, err := b.tapsBeside(ctx, r, rate, took, round)
		if err != nil {
			return err
		}
		quiet.add(without)
		busy.add(with)
		seconds = append(seconds, imported.Seconds())
		b.say("round %d of %d: imported in %s, p99 %.2f ms, %.2f ms without", round+1, b.size.Rounds,
			imported.Round(time.Millisecond), busy.p99[round], quiet.p99[round])
	}
	name := report.Number(float64(b.size.Cards)) + " freezes imported"
	b.Add(report.Of(name, "s", seconds...).AtMost(10))
	b.Add(report.Of("taps without an import, p50", "ms", quiet.p50...))
	b.Add(report.Of("taps without an import, p99", "ms", quiet.p99...))
	b.Add(report.Of("taps beside an import, p50", "ms", busy.p50...))
	b.Add(report.Of("taps beside an import, p99", "ms", busy.p99...))
	b.Add(report.Of("p99 beside an import to that without", "×", report.Ratios(busy.p99, quiet.p99)...).AtMost(1.1))
	return nil
}

// tapsBeside taps for a time, and imports the list of a round meanwhile, none for round -1.
func (b *bench) tapsBeside(ctx context.Context, r *rig, rate float64, took time.Duration,
	round int) (*load.Result, time.Duration, error) {
	requests := r.fleet.taps(int(rate * took.Seconds()))
	var wg sync.WaitGroup
	var imported time.Duration
	var failed error
	if round >= 0 {
		wg.Go(func() { imported, failed = b.importList(ctx, r, round) })
	}
	result, err := load.Run(ctx, load.Options{Addr: r.Addr, Connections: deskConnections, Rate: rate,
		Duration: took, Requests: requests, Wire: load.HTTP(approved)})
	wg.Wait()
	if err := errors.Join(err, failed); err != nil {
		return nil, 0, err
	}
	return result, imported, result.AllGood()
}

// importList sends the list of a round and returns how long the call took.
func (b *bench) importList(ctx context.Context, r *rig, round int) (time.Duration, error) {
	d, err := openDesk(ctx, r.Addr, r.token)
	if err != nil {
		return 0, err
	}
	defer d.close()
	var list []byte
	first := (round + 1) * 100_000_000 // none of the cards that tap
	for i := range b.size.Cards {
		list = append(append(list, cardNumber(first+i)...), ",lost\n"...)
	}
	began := time.Now()
	body, err := d.call("POST", importPath+"?id=bench-"+strconv.Itoa(round), list)
	took := time.Since(began)
	if err != nil {
		return 0, err
	}
	var answer struct{ Frozen int }
	if err := json.Unmarshal(body, &answer); err != nil || answer.Frozen != b.size.Cards {
		return 0, fmt.Errorf("%w: the import froze %d of %d: %.300s", errDesk, answer.Frozen, b.size.Cards, body)
	}
	return took, nil
}
