package bench

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/tapswitch/tapswitch/bench/books"
	"github.com/tapswitch/tapswitch/bench/report"
	"github.com/tapswitch/tapswitch/deploy/stack"
	"github.com/tapswitch/tapswitch/ledger/feed"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/ledger/warehouse/clickhouse"
	warehouselocal "github.com/tapswitch/tapswitch/ledger/warehouse/local"
)

// feedCards is how many cards the records are of.
const feedCards = 10_000

// feedScenario carries settled records from the outbox into both warehouses.
func feedScenario(ctx context.Context, b *bench) error {
	b.sized("%d records a round, %d rounds", b.size.FeedRows, b.size.Rounds)
	b.note("Records are real ones, made by the engine and left in the outbox of a durable local " +
		"store; a round is from there until the warehouse has them all and the outbox is trimmed.")
	local, err := warehouselocal.Open(warehouselocal.Options{Dir: filepath.Join(b.dir, "parquet")})
	if err != nil {
		return err
	}
	rates, err := b.feedInto(ctx, filepath.Join(b.dir, "lane-parquet"), local, nil)
	if err := errors.Join(err, local.Close()); err != nil {
		return err
	}
	b.Add(report.Of("outbox to Parquet", "records/s", rates.ours...))
	return b.feedClickHouse(ctx)
}

// feedRates are the rounds of one warehouse: ours and, where there is one, the bare insert.
type feedRates struct{ ours, theirs []float64 }

// feedInto makes records and feeds them, round by round; after each, bare inserts the same
// rows, when it is not nil, and returns how long that took.
func (b *bench) feedInto(
	ctx context.Context, dir string, w warehouse.Appender,
	bare func(ctx context.Context, round int) (time.Duration, error),
) (feedRates, error) {
	var rates feedRates
	l, err := openLane(ctx, dir)
	if err != nil {
		return rates, err
	}
	defer l.close()
	if err := l.enrol(ctx, min(feedCards, b.size.FeedRows)); err != nil {
		return rates, err
	}
	if err := drainInto(ctx, l, w); err != nil { // what enrolling left
		return rates, err
	}
	for round := range b.size.Rounds {
		if err := b.makeRecords(ctx, l, round); err != nil {
			return rates, err
		}
		began := time.Now()
		if err := drainInto(ctx, l, w); err != nil {
			return rates, err
		}
		rates.ours = append(rates.ours, float64(b.size.FeedRows)/time.Since(began).Seconds())
		if bare != nil {
			took, err := bare(ctx, round)
			if err != nil {
				return rates, err
			}
			rates.theirs = append(rates.theirs, float64(b.size.FeedRows)/took.Seconds())
		}
		b.say("round %d of %d: %.0f records/s", round+1, b.size.Rounds, rates.ours[round])
	}
	return rates, nil
}

// makeRecords leaves a round's records in the outbox.
func (b *bench) makeRecords(ctx context.Context, l *lane, round int) error {
	const list = 5000
	cards := min(feedCards, b.size.FeedRows)
	for done := 0; done < b.size.FeedRows; done += list {
		n := min(list, b.size.FeedRows-done)
		if err := l.decide(ctx, l.taps(n, round*b.size.FeedRows+done, cards)); err != nil {
			return err
		}
	}
	return nil
}

// drainInto feeds until the outbox is empty.
func drainInto(ctx context.Context, l *lane, w warehouse.Appender) error {
	d := feed.NewDirect(feed.DirectOptions{Source: l.store, Warehouse: w})
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- d.Run(running) }()
	err := d.Drain(ctx)
	stop()
	return errors.Join(err, <-ended)
}

// feedClickHouse holds the feed against a bare insert of the same rows, which costs the
// client nothing: the server gets back the very block that it gave out.
func (b *bench) feedClickHouse(ctx context.Context) error {
	if err := stack.Available(stack.ClickHouse); err != nil {
		b.note("The ClickHouse part did not run: %v.", err)
		return nil
	}
	server, err := stack.StartClickHouse(ctx, stack.ClickHouseOptions{
		Dir: filepath.Join(b.dir, "clickhouse")})
	if err != nil {
		return err
	}
	err = b.feedServer(ctx, &books.Table{Native: books.Native{Addr: server.Addr()}, Rows: b.size.FeedRows})
	return errors.Join(err, server.Close())
}

func (b *bench) feedServer(ctx context.Context, t *books.Table) error {
	if err := t.Run(ctx, "CREATE DATABASE IF NOT EXISTS bench"); err != nil {
		return err
	}
	w, err := clickhouse.Open(ctx, clickhouse.Options{DSN: "http://" + t.Addr + "/bench",
		Migrate: true})
	if err != nil {
		return err
	}
	b.note("The bare insert takes the rows that the feed has just inserted, as one block in " +
		"ClickHouse's native format, out of the table and puts them into a table of the same " +
		"definition. Only the insert is timed: no row is encoded by a client for it.")
	rates, err := b.feedInto(ctx, filepath.Join(b.dir, "lane-clickhouse"), w, t.InsertAgain)
	if err := errors.Join(err, w.Close()); err != nil {
		return err
	}
	b.Add(report.Of("bare native insert", "records/s", rates.theirs...))
	b.Add(report.Of("outbox to ClickHouse", "records/s", rates.ours...))
	ratio := report.Of("outbox to ClickHouse against bare insert", "×",
		report.Ratios(rates.ours, rates.theirs)...)
	b.Add(ratio.AtLeast(0.5))
	b.Plots = append(b.Plots, report.Plot{Kind: report.PlotBars, Title: "Into ClickHouse",
		Y: "records/s", Bars: []report.Bar{
			report.BarOf("ClickHouse", "feed", report.Of("", "", rates.ours...)),
			report.BarOf("ClickHouse", "bare insert", report.Of("", "", rates.theirs...)),
		}})
	return nil
}
