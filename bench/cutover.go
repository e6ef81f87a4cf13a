package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/tapswitch/tapswitch/bench/load"
	"github.com/tapswitch/tapswitch/bench/report"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/ledger/warehouse/local"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const (
	// cutOverConnections carry the taps beside a cut-over, at cutOverLoad of the capacity.
	cutOverConnections = 64
	cutOverLoad        = 0.3
	// cutOverHour is when the business day of the measured switch ends, in UTC.
	cutOverHour = 3 * time.Hour
	// clockFileEnv names the file that says how far a switch's clock is from the machine's.
	clockFileEnv = "TAPSWITCH_CLOCK_FILE"
	// settledMax is how long the last records may take into the warehouse, and the commands
	// that close and settle a day.
	settledMax = 2 * time.Minute
)

// errInexact reports money that two sides count differently.
var errInexact = errors.New("the books are not what was sent")

// hand moves the clock of one switch. The clock never goes back, and the file never stands
// half written.
type hand struct{ path string }

func (h *hand) set(ahead time.Duration) error {
	fresh := h.path + ".new"
	if err := os.WriteFile(fresh, []byte(ahead.String()), 0o600); err != nil {
		return fmt.Errorf("clock of the switch: %w", err)
	}
	return os.Rename(fresh, h.path)
}

// cutOverRig is a switch whose days end when the measurement says so.
type cutOverRig struct {
	*rig
	hand     hand
	settings []string
	ahead    time.Duration // of its clock
	ends     time.Time     // of its business day, by its clock
	sent     int64         // taps that it approved
	days     []txn.BusinessDate
}

// cutOvers compares the taps of quiet times with those of times in which a day is cut over, and
// of times in which it is closed, settled and certified too, and holds the books of all days against what was sent.
func (b *bench) cutOvers(ctx context.Context) error {
	return inScratch(b.dir, func(dir string) error {
		c := &cutOverRig{rig: &rig{dir: filepath.Join(dir, "switch")}, hand: hand{filepath.Join(dir, "clock")},
			settings: []string{"scheme.zone=+00:00", "scheme.cut_off=" + cutOverHour.String(), "gate.clock_skew=5m"}}
		if err := errors.Join(os.Mkdir(c.dir, 0o700), c.hand.set(0)); err != nil {
			return err
		}
		env := []string{clockFileEnv + "=" + c.hand.path}
		var err error
		if c.child, err = b.startSwitchIn(ctx, env, c.dir, c.settings...); err != nil {
			return err
		}
		err = b.withRig(ctx, c.rig, cutOverConnections, func(*rig) error { return b.cutOverRounds(ctx, c) })
		return errors.Join(err, c.stop())
	})
}

// turnTo moves the switch's clock and the terminals' forward, so far before the end of a day.
func (c *cutOverRig) turnTo(before time.Duration) {
	c.ahead = time.Until(c.ends.Add(-before))
	c.fleet.setAhead(c.ahead)
}

// nextDay begins the next business day to be measured: the first one that ends at least half
// an hour after the present of the switch.
func (c *cutOverRig) nextDay() {
	now := time.Now().Add(c.ahead).UTC()
	c.ends = now.Truncate(24 * time.Hour).Add(cutOverHour)
	for c.ends.Before(now.Add(30 * time.Minute)) {
		c.ends = c.ends.Add(24 * time.Hour)
	}
	c.days = append(c.days, txn.DateOf(c.ends.Add(-time.Second), time.UTC, cutOverHour))
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
	if err := b.books(ctx, c); err != nil {
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
	if c.nextDay(); kind == quietTurn {
		before = 45 * time.Minute // more than nextDay wants, so that the next turn ends this day
		c.days = c.days[:len(c.days)-1]
	}
	c.turnTo(before)
	requests := c.fleet.taps(int(rate * b.size.CutOver.Seconds()))
	c.turnTo(before) // signing took a moment
	if err := c.hand.set(c.ahead); err != nil {
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

// settledRun is what `tapswitch settle run` prints, as far as it is looked at.
type settledRun struct {
	Manifest struct {
		Records  int64 `json:"records"`
		Approved int64 `json:"approved"`
		Breaks   int64 `json:"breaks"`
		Control  []struct {
			Gross int64 `json:"gross"`
		} `json:"control"`
	} `json:"manifest"`
}

// books waits until the warehouse has every tap that was sent, and holds all days and their
// settlement against that, to the fen.
func (b *bench) books(ctx context.Context, c *cutOverRig) error {
	reader, err := local.OpenReader(filepath.Join(c.dir, "warehouse"))
	if err != nil {
		return err
	}
	dates := append(slices.Clone(c.days), c.days[len(c.days)-1].Next())
	first := dates[0]
	for day := txn.DateOf(time.Now(), time.UTC, cutOverHour); day < first; day = day.Next() {
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
			n, amount := boarded(&t)
			taps, fen = taps+n, fen+amount
		}
		return taps >= c.sent, nil
	})
	if err != nil || taps != c.sent || fen != c.sent*charged {
		return errors.Join(err, fmt.Errorf("%w: %d taps of %d fen sent; the warehouse has %d of %d fen in all",
			errInexact, c.sent, charged, taps, fen))
	}
	for _, date := range c.days {
		if err := b.settledExactly(ctx, c, reader, date); err != nil {
			return err
		}
	}
	b.note("All %d taps are in the books of their days, to the fen, and each day's settlement gave the operator "+
		"what its taps charged; a difference would have failed the scenario.", c.sent)
	return nil
}

// boarded counts the approved rides and what they charged.
func boarded(t *warehouse.Totals) (taps, fen int64) {
	for _, k := range t.Kinds {
		if k.Kind == txn.BusBoarding.String() && k.Outcome == txn.Approved.String() {
			taps, fen = taps+k.Count, fen+k.Charged
		}
	}
	return taps, fen
}

// settledExactly holds the run of a day against the warehouse.
func (b *bench) settledExactly(ctx context.Context, c *cutOverRig, reader warehouse.Reader,
	date txn.BusinessDate) error {
	t, err := reader.Totals(ctx, date)
	if err != nil {
		return err
	}
	out, err := b.command(ctx, c.ofDay("settle", "run", date.String())...)
	if err != nil {
		return err
	}
	var run settledRun
	if err := json.Unmarshal(out, &run); err != nil {
		return fmt.Errorf("run of %s: %w: %.300s", date, err, out)
	}
	var given, approvals int64
	for _, a := range t.Accounts {
		if a.Account == "operator/BENCH" {
			given += a.Amount
		}
	}
	for _, k := range t.Kinds {
		kind, err := txn.ParseKind(k.Kind)
		if err == nil && !kind.IsMarker() && k.Outcome == txn.Approved.String() {
			approvals += k.Count
		}
	}
	_, fen := boarded(&t)
	m := &run.Manifest
	if given != fen || m.Records != t.Rows || m.Breaks != 0 || m.Approved != approvals {
		return fmt.Errorf("%w: %s charged %d fen and gives the operator %d; %d records settled of %d, "+
			"%d approvals of %d, %d breaks", errInexact, date, fen, given, m.Records, t.Rows, m.Approved, approvals,
			m.Breaks)
	}
	return nil
}
