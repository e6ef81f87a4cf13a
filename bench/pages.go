package bench

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"time"

	"github.com/tapswitch/tapswitch/bench/books"
	"github.com/tapswitch/tapswitch/bench/report"
	"github.com/tapswitch/tapswitch/deploy/stack"
)

// dayTotals times the totals of a day against the same figures asked by SQL, of the same files
// and of ClickHouse's own engine: one query a list, as an analyst would write them.
func (b *bench) dayTotals(ctx context.Context, dir string) error {
	bare, done, err := b.bareServer(ctx)
	if err != nil {
		return err
	}
	var us, them []float64
	for round := range b.size.Rounds {
		t, took, err := books.Totals(ctx, dir)
		if err != nil {
			return errors.Join(err, done())
		}
		us = append(us, took.Seconds())
		if bare == nil {
			continue
		}
		if took, err = books.Bare(ctx, bare, dir, &t); err != nil {
			return errors.Join(err, done())
		}
		them = append(them, took.Seconds())
		b.say("totals, round %d of %d: %.2f s, the bare query %.2f s", round+1, b.size.Rounds, us[round], them[round])
	}
	b.sized("a day of %d records in Parquet, totals %d times", b.size.DayRows, b.size.Rounds)
	b.Add(report.Of("totals of a day of "+report.Number(float64(b.size.DayRows))+" records", "s", us...))
	if bare != nil {
		b.Add(report.Of("the same figures by bare queries of the same files", "s", them...))
		b.Add(report.Of("totals to bare queries", "×", report.Ratios(us, them)...).AtMost(2))
	}
	return done()
}

// bareServer starts what asks the files without us; nil where there is no engine for that.
func (b *bench) bareServer(ctx context.Context) (*books.Native, func() error, error) {
	if err := stack.Available(stack.ClickHouse); err != nil {
		b.note("The bare query did not run: %v.", err)
		return nil, func() error { return nil }, nil
	}
	server, err := stack.StartClickHouse(ctx, stack.ClickHouseOptions{Dir: filepath.Join(b.dir, "bare")})
	if err != nil {
		return nil, nil, err
	}
	b.note("The bare queries are ClickHouse's engine on the Parquet files of the day: the figures that the totals " +
		"have, one query a list, sums and repeated requests included.")
	return &books.Native{Addr: server.Addr()}, server.Close, nil
}

const (
	// pageTurns is how often each page is asked for, and pageMax what it may take.
	pageTurns = 50
	pageMax   = 200
)

// consolePages asks a switch whose warehouse holds the day, and whose clock stands in it, for the
// pages of its console.
func (b *bench) consolePages(ctx context.Context, dir string) error {
	clock := books.Clock{Path: filepath.Join(b.dir, "clock"), Ahead: time.Until(books.Day.Time().Add(12 * time.Hour))}
	if err := clock.Set(); err != nil {
		return err
	}
	c, err := b.startSwitchIn(ctx, []string{clockFileEnv + "=" + clock.Path}, dir, "scheme.zone=+00:00",
		"scheme.cut_off=0s")
	if err != nil {
		return err
	}
	return errors.Join(b.askPages(ctx, c, dir), c.stop())
}

func (b *bench) askPages(ctx context.Context, c *child, dir string) error {
	secret, err := token(dir)
	if err != nil {
		return err
	}
	v, err := books.NewVisitor(c.Admin, secret)
	if err != nil {
		return err
	}
	turns := min(pageTurns, 10*b.size.Rounds)
	asked, err := v.AskAll(ctx, turns)
	if err != nil {
		return err
	}
	b.sized("%d pages of the console, each asked for %d times", len(books.Pages()), turns)
	b.note("The console is the switch's own, over HTTP, signed in, its clock in the day of the records; that day "+
		"is open, so it is counted again beside. The slowest page was %s.", asked.Slowest)
	b.Add(report.Of("console page before the first count", "ms", asked.Cold).AtMost(pageMax))
	b.Add(report.Of("first count of the day", "s", asked.Counted))
	b.Add(report.Of("console pages", "ms", asked.All...).AtMost(pageMax))
	b.Add(report.Of("slowest console page, slowest of all", "ms", slices.Max(asked.All)).AtMost(pageMax))
	return nil
}
