package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/tapswitch/tapswitch/bench/books"
	"github.com/tapswitch/tapswitch/bench/load"
	"github.com/tapswitch/tapswitch/bench/report"
	"github.com/tapswitch/tapswitch/ledger/warehouse/local"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const (
	// cutOverConnections carry the taps beside a cut-over, at cutOverLoad of the capacity.
	cutOverConnections = 64
	cutOverLoad        = 0.3
	// clockFileEnv names the file that says how far a switch's clock is from the machine's.
	clockFileEnv = "TAPSWITCH_CLOCK_FILE"
	// settledMax is how long the last records may take into the warehouse, and the commands
	// that close and settle a day.
	settledMax = 2 * time.Minute
)

// cutOverRig is a switch whose days end when the measurement says so.
type cutOverRig struct {
	*rig
	clock    books.Clock
	settings []string
	sent     int64 // taps that it approved
	days     []txn.BusinessDate
}

// cutOvers compares the taps of quiet times with those of times in which a day is cut over, and
// of times in which it is closed, settled and certified too, and holds the books of all days against what was sent.
func (b *bench) cutOvers(ctx context.Context) error {
	return inScratch(b.dir, func(dir string) error {
		c := &cutOverRig{rig: &rig{dir: filepath.Join(dir, "switch")}, clock: books.Clock{Path: filepath.Join(dir, "clock")},
			settings: []string{"scheme.zone=+00:00", "scheme.cut_off=" + books.CutOff.String(), "gate.clock_skew=5m"}}
		if err := errors.Join(os.Mkdir(c.dir, 0o700), c.clock.Set()); err != nil {
			return err
		}
		env := []string{clockFileEnv + "=" + c.clock.Path}
		var err error
		if c.child, err = b.startSwitchIn(ctx, env, c.dir, c.settings...); err != nil {
			return err
		}
		err = b.withRig(ctx, c.rig, cutOverConnections, func(*rig) error { return b.cutOverRounds(ctx, c) })
		return errors.Join(err, c.stop())
	})
}

func (b *bench) cutOverRounds(ctx context.Context, c *cutOverRig) error {
	result, err := b.capacity(ctx, turn{addr: c.Addr, connections: cutOverConnections, guess: rateGuess,
		wire: load.HTTP(approved), wanted: c.fleet.taps})
	if err != nil {
		return err
	}
	c.sent += int64(result.Sent)
	rate := cutOverLoad * result.PerSecond()
	b.sized("%d days, %.0f taps/s over %d connections, open loop, %s a turn", 2*b.size.Rounds, rate,
		cutOverConnections, b.size.CutOver)
	b.note("Cut-over: a quarter into the time the switch sets its day markers in all %d buckets; then the day "+
		"is closed, settled and certified by the commands for it, processes of their own on the same cores, "+
		"in every other turn beside the taps. The switch's clock is moved from day to day, and read from a "+
		"file at each look, in all turns.",
		txn.BucketCount)
	var turns [3]beside
	var done []float64
	for round := range b.size.Rounds {
		for kind := range turns {
			with, took, err := b.tapsOfDay(ctx, c, rate, cutOverTurn(kind))
			if err != nil {
				return err
			}
			turns[kind].add(with)
			if cutOverTurn(kind) == settledTurn {
				done = append(done, took.Seconds())
			}
		}
		b.say("round %d of %d: p99 %.2f ms, cut over %.2f ms, settled too %.2f ms, which took %.1f s", round+1,
			b.size.Rounds, turns[quietTurn].p99[round], turns[markedTurn].p99[round],
			turns[settledTurn].p99[round], done[round])
	}
	if err := b.checkBooks(ctx, c); err != nil {
		return err
	}
	names := [3]string{"in a quiet time", "over a cut-over", "over a cut-over, closing and settlement"}
	for kind, s := range turns {
		b.Add(report.Of("taps "+names[kind]+", p50", "ms", s.p50...))
		b.Add(report.Of("taps "+names[kind]+", p99", "ms", s.p99...))
	}
	quiet := turns[quietTurn].p99
	for _, kind := range []cutOverTurn{markedTurn, settledTurn} {
		b.Add(report.Of("p99 "+names[kind]+", to that in a quiet time", "×",
			report.Ratios(turns[kind].p99, quiet)...).AtMost(1.1))
	}
	b.Add(report.Of("cut-over to certificate", "s", done...))
	b.Add(report.Of("books less what was sent", "fen", 0).AtMost(0))
	return nil
}

// cutOverTurn is what happens beside the taps of a turn.
type cutOverTurn int

const (
	quietTurn   cutOverTurn = iota // nothing
	markedTurn                     // the day ends; it is closed and settled after the turn
	settledTurn                    // the day ends, and is closed, settled and certified
)

// tapsOfDay taps for a time. The day may end a quarter into it, and be closed, settled and
// certified beside the rest; how long after its end that was done is returned.
func (b *bench) tapsOfDay(ctx context.Context, c *cutOverRig, rate float64, kind cutOverTurn) (
	result *load.Result, took time.Duration, err error) {
	c.settle(ctx, b.size.Settle)
	before := b.size.CutOver / 4
	if c.clock.NextDay(); kind == quietTurn {
		before = 45 * time.Minute // more than NextDay wants, so that the next turn ends this day
	} else {
		c.days = append(c.days, c.clock.Day())
	}
	c.fleet.setAhead(c.clock.TurnTo(before))
	requests := c.fleet.taps(int(rate * b.size.CutOver.Seconds()))
	c.clock.TurnTo(before) // signing took a moment
	if err := c.clock.Set(); err != nil {
		return nil, 0, err
	}
	end := time.Now().Add(before)
	var wg sync.WaitGroup
	var closing error
	if kind == settledTurn {
		wg.Go(func() {
			closing = b.endDay(ctx, c, end)
			took = time.Since(end)
		})
	}
	result, err = load.Run(ctx, load.Options{Addr: c.Addr, Connections: cutOverConnections, Rate: rate,
		Duration: b.size.CutOver, Requests: requests, Wire: load.HTTP(approved)})
	wg.Wait()
	if kind == markedTurn && err == nil {
		closing = b.endDay(ctx, c, end)
	}
	if err := errors.Join(err, closing); err != nil {
		return nil, 0, err
	}
	c.sent += int64(result.Sent)
	return result, took, result.AllGood()
}

// endDay waits for the end of the day and does what finance does then.
func (b *bench) endDay(ctx context.Context, c *cutOverRig, end time.Time) error {
	timer := time.NewTimer(time.Until(end))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	day := c.days[len(c.days)-1].String()
	err := waitFor(ctx, settledMax, func() (bool, error) {
		_, err := b.command(ctx, c.ofDay("day", "close", day, "--wait", settledMax.String())...)
		return err == nil, nil // before the first marker there is nothing to wait for
	})
	if err != nil {
		return fmt.Errorf("closing %s: %w", day, err)
	}
	for _, step := range [][2]string{{"settle", "run"}, {"day", "certify"}} {
		if _, err := b.command(ctx, c.ofDay(step[0], step[1], day)...); err != nil {
			return err
		}
	}
	return nil
}

// ofDay is a command about a business day of the switch.
func (c *cutOverRig) ofDay(group, verb, day string, more ...string) []string {
	args := append([]string{group, verb, "--day", day, "--data", c.dir, "-o", "json"}, more...)
	for _, s := range c.settings {
		args = append(args, "--set", s)
	}
	return args
}

// checkBooks waits until the warehouse has every tap that was sent, and holds all days and their
// settlement against that, to the fen.
func (b *bench) checkBooks(ctx context.Context, c *cutOverRig) error {
	reader, err := local.OpenReader(filepath.Join(c.dir, "warehouse"))
	if err != nil {
		return err
	}
	dates := append(slices.Clone(c.days), c.days[len(c.days)-1].Next())
	first := dates[0]
	for day := txn.DateOf(time.Now(), time.UTC, books.CutOff); day < first; day = day.Next() {
		dates = append(dates, day) // what came before the first cut-over
	}
	var taps, fen int64
	err = waitFor(ctx, settledMax, func() (bool, error) {
		taps, fen = 0, 0
		for _, date := range dates {
			t, err := reader.Totals(ctx, date)
			if err != nil {
				return false, err
			}
			n, amount := books.Boarded(&t)
			taps, fen = taps+n, fen+amount
		}
		return taps >= c.sent, nil
	})
	if err != nil || taps != c.sent || fen != c.sent*charged {
		return errors.Join(err, fmt.Errorf("%w: %d taps of %d fen sent; the warehouse has %d of %d fen in all",
			books.ErrInexact, c.sent, charged, taps, fen))
	}
	for _, date := range c.days {
		t, err := reader.Totals(ctx, date)
		if err != nil {
			return err
		}
		printed, err := b.command(ctx, c.ofDay("settle", "run", date.String())...)
		if err != nil {
			return err
		}
		if err := books.Exact(&t, printed); err != nil {
			return err
		}
	}
	b.note("All %d taps are in the books of their days, to the fen, and each day's settlement gave the operator "+
		"what its taps charged; a difference would have failed the scenario.", c.sent)
	return nil
}
