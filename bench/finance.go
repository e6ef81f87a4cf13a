package bench

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/tapswitch/tapswitch/bench/books"
	"github.com/tapswitch/tapswitch/bench/report"
)

// finance measures what a finance team's day costs: the cut-over beside the taps, the totals and
// the console's pages of a day, the reconciliation of a day, and the sink into ClickHouse.
func finance(ctx context.Context, b *bench) error {
	if err := b.cutOvers(ctx); err != nil {
		return fmt.Errorf("cut-over: %w", err)
	}
	dir := filepath.Join(b.dir, "day")
	b.say("making %d records", b.size.DayRows)
	if err := books.MakeDay(ctx, filepath.Join(dir, "warehouse"), b.size.DayRows); err != nil {
		return fmt.Errorf("a day of records: %w", err)
	}
	if err := b.dayTotals(ctx, filepath.Join(dir, "warehouse")); err != nil {
		return fmt.Errorf("totals: %w", err)
	}
	if err := b.consolePages(ctx, dir); err != nil {
		return fmt.Errorf("console: %w", err)
	}
	if err := b.reconciliation(ctx); err != nil {
		return fmt.Errorf("reconciliation: %w", err)
	}
	return b.feedClickHouse(ctx)
}

// command runs a command of the binary to its end and returns what it printed.
func (b *bench) command(ctx context.Context, args ...string) ([]byte, error) {
	var said tail
	c := exec.CommandContext(ctx, b.o.Binary, args...)
	c.Stderr = &said
	out, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("tapswitch %s: %w: %s", args[0], err, said.String())
	}
	return out, nil
}

// Bounds of a reconciliation of ten million rows a side.
const (
	reconSeconds = 300
	reconMiB     = 1024
)

// planted is how many differences a reconciliation of so many rows is given.
func planted(rows int) int { return min(1000, rows/1000*8) }

// reconciliation holds a day against a file of the same size, twice.
func (b *bench) reconciliation(ctx context.Context) error {
	rows := b.size.DayRows
	b.sized("%d rows a side reconciled, %d differences of eight kinds among them", rows, planted(rows))
	var seconds, memory []float64
	var digests []string
	for range 2 {
		out, err := b.command(ctx, "recon", "bench", "--rows", strconv.Itoa(rows), "--planted",
			strconv.Itoa(planted(rows)), "--dir", b.dir, "-o", "json")
		if err != nil {
			return err
		}
		r, err := books.ReadReconciled(out)
		if err != nil {
			return err
		}
		seconds, memory = append(seconds, r.Seconds), append(memory, float64(r.Resident))
		digests = append(digests, r.Digest)
		b.say("reconciled in %.1f s with %d MiB", r.Seconds, r.Resident)
	}
	if digests[0] != digests[1] {
		return errors.New("two runs over the same rows gave different reports")
	}
	b.note("The reconciliation reads a file of fixed width and makes the ledger's side itself. Every planted " +
		"difference was found with its cause, none was invented, and both runs gave the same report; " +
		"anything else would have failed the scenario.")
	b.Add(report.Of("reconciled, "+report.Number(float64(rows))+" rows a side", "s", seconds...).AtMost(reconSeconds))
	b.Add(report.Of("reconciliation, greatest resident", "MiB", memory...).AtMost(reconMiB))
	b.Add(report.Of("planted differences missed or invented", "breaks", 0).AtMost(0))
	return nil
}

// waitFor looks until ok says so, at most for most.
func waitFor(ctx context.Context, most time.Duration, ok func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		if done, err := ok(); done || err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("not within %s: %w", most, ctx.Err())
		}
	}
}
