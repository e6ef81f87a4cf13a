// Package figures keeps the figures of business dates for pages that must not wait.
//
// It owns a cache between the console and the warehouse. Day never scans: it returns at once
// what was counted last, with when that was, and has the date counted again in the background
// when that is worth it. Dates are counted one at a time, and after each the counter rests
// RestFactor times as long as it took, so that whoever looks at screens takes a small and known
// share of the machine. A date that is complete cannot change: it is counted once, kept in
// memory and, with Options.Dir, on disk. Amounts are minor units. Safe for concurrent use; the
// one goroutine ends with Close. It refuses to make a page wait and to guess a figure.
package figures

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

	"github.com/tapswitch/tapswitch/ledger/settle"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Limits.
const (
	// DatesMax bounds the dates in memory; the longest unused is dropped.
	DatesMax = 100
	// QueueMax bounds the dates that wait to be counted; a page that is refreshed asks again.
	QueueMax = 64
	// RestFactor is how many times as long as a count took the counter rests after it.
	RestFactor = 8
	// againMin is how old a count of an open date is at least before it is counted again.
	againMin = 5 * time.Second
	// retryAfter is when a count that failed is tried again.
	retryAfter = 10 * time.Second
	// countMax bounds one count.
	countMax = 10 * time.Minute
)

// Source is the warehouse.
type Source interface {
	// Totals is that of warehouse.Reader; it may take long.
	Totals(ctx context.Context, date txn.BusinessDate) (warehouse.Totals, error)
}

// Day is a business date as it was last counted.
type Day struct {
	Date   txn.BusinessDate `json:"date"`
	Report settle.Report    `json:"report"`
	Hours  warehouse.Hours  `json:"hours"`
	// HasHours says that the warehouse tells hours.
	HasHours bool `json:"has_hours"`
	// Counted is when, Took how long that took.
	Counted time.Time     `json:"counted"`
	Took    time.Duration `json:"took"`
}

// Options of New. Source and Begin are needed.
type Options struct {
	Source Source
	// Begin is when a business date begins.
	Begin func(txn.BusinessDate) txn.Millis
	// Dir keeps complete dates on disk; empty keeps none.
	Dir string
	Now func() time.Time
	// Report takes what went wrong; nil for nobody.
	Report func(error)
}

// entry is a date in memory.
type entry struct {
	day     *Day // nil until it was counted
	err     error
	failed  time.Time
	queued  bool
	lastUse time.Time
}

// Cache is made by New.
type Cache struct {
	o      Options
	hourly warehouse.Hourly // nil when the source tells none
	stop   context.CancelFunc
	work   sync.WaitGroup
	queue  chan txn.BusinessDate

	mu    sync.Mutex // guards dates
	dates map[txn.BusinessDate]*entry
}

// New starts the counter.
func New(o Options) *Cache {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Report == nil {
		o.Report = func(error) {}
	}
	ctx, stop := context.WithCancel(context.Background())
	c := &Cache{o: o, stop: stop, queue: make(chan txn.BusinessDate, QueueMax),
		dates: make(map[txn.BusinessDate]*entry)}
	c.hourly, _ = o.Source.(warehouse.Hourly)
	c.work.Go(func() { c.run(ctx) })
	return c
}

// Close ends the counter; a count under way is given up.
func (c *Cache) Close() {
	c.stop()
	c.work.Wait()
}

// Day returns a date as last counted, nil while it never was, and whether it is being counted
// or waits to be. err is why the last count failed. The day is shared: do not change it.
func (c *Cache) Day(date txn.BusinessDate) (day *Day, counting bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, now := c.dates[date], c.o.Now()
	if e == nil {
		c.makeRoomLocked()
		e = &entry{day: c.kept(date)}
		c.dates[date] = e
	}
	e.lastUse = now
	if !e.queued && e.wants(now) {
		select {
		case c.queue <- date:
			e.queued = true
		default: // many wait: whoever asks again will find room
		}
	}
	return e.day, e.queued, e.err
}

// wants reports whether a count is worth it.
func (e *entry) wants(now time.Time) bool {
	switch {
	case e.err != nil:
		return now.Sub(e.failed) >= retryAfter
	case e.day == nil:
		return true
	case e.day.Report.Complete:
		return false
	default:
		return now.Sub(e.day.Counted) >= max(againMin, RestFactor*e.day.Took)
	}
}

// makeRoomLocked drops the date that was longest unused when there are DatesMax.
func (c *Cache) makeRoomLocked() {
	if len(c.dates) < DatesMax {
		return
	}
	var oldest txn.BusinessDate
	for date, e := range c.dates {
		if !e.queued && (oldest == 0 || e.lastUse.Before(c.dates[oldest].lastUse)) {
			oldest = date
		}
	}
	delete(c.dates, oldest)
}

// run counts what is asked for.
func (c *Cache) run(ctx context.Context) {
	for {
		var date txn.BusinessDate
		select {
		case <-ctx.Done():
			return
		case date = <-c.queue:
		}
		begun := time.Now()
		day, err := c.count(ctx, date)
		if ctx.Err() != nil {
			return
		}
		c.keep(date, day, err)
		rest := time.NewTimer(RestFactor * time.Since(begun))
		select {
		case <-ctx.Done():
			rest.Stop()
			return
		case <-rest.C:
		}
	}
}

// count reads the figures of a date from the warehouse.
func (c *Cache) count(ctx context.Context, date txn.BusinessDate) (*Day, error) {
	ctx, cancel := context.WithTimeout(ctx, countMax)
	defer cancel()
	begun := time.Now()
	d := &Day{Date: date, Counted: c.o.Now()}
	totals, err := c.o.Source.Totals(ctx, date)
	if err == nil {
		d.Report, err = settle.NewReport(totals)
	}
	if err == nil && c.hourly != nil && totals.Rows > 0 {
		d.Hours, err = c.hourly.Hours(ctx, date, c.o.Begin(date))
	}
	if err != nil {
		return nil, fmt.Errorf("figures of %s: %w", date, err)
	}
	d.HasHours, d.Took = c.hourly != nil, time.Since(begun)
	return d, nil
}

// keep takes a count over, on disk too when the date is complete.
func (c *Cache) keep(date txn.BusinessDate, day *Day, err error) {
	if err == nil && day.Report.Complete {
		if bad := c.write(day); bad != nil {
			c.o.Report(bad)
		}
	}
	if err != nil {
		c.o.Report(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.dates[date]
	if e == nil {
		return
	}
	e.queued, e.err = false, err
	if err != nil {
		e.failed = c.o.Now()
		return
	}
	e.day = day
}

func (c *Cache) path(date txn.BusinessDate) string {
	return filepath.Join(c.o.Dir, "volume-"+date.String()+".json")
}

// kept reads a complete date from disk; nil when there is none that can be read: it is counted
// again then.
func (c *Cache) kept(date txn.BusinessDate) *Day {
	if c.o.Dir == "" {
		return nil
	}
	text, err := os.ReadFile(c.path(date))
	if err != nil {
		return nil
	}
	var d Day
	if json.Unmarshal(text, &d) != nil || d.Date != date || !d.Report.Complete {
		return nil
	}
	return &d
}

// write keeps a complete date on disk. A file that is half written is not put in place.
func (c *Cache) write(d *Day) error {
	if c.o.Dir == "" {
		return nil
	}
	text, err := json.Marshal(d)
	if err == nil {
		err = os.MkdirAll(c.o.Dir, 0o700)
	}
	if err != nil {
		return fmt.Errorf("figures of %s cannot be kept: %w", d.Date, err)
	}
	half := c.path(d.Date) + ".part"
	if err := errors.Join(os.WriteFile(half, text, 0o600), os.Rename(half, c.path(d.Date))); err != nil {
		return fmt.Errorf("figures of %s cannot be kept: %w", d.Date, err)
	}
	return nil
}

// Last returns the n business dates up to and with last, the latest first.
func Last(last txn.BusinessDate, n int) []txn.BusinessDate {
	var out []txn.BusinessDate
	for i := range n {
		out = append(out, txn.DateOf(last.Time().AddDate(0, 0, -i), time.UTC, 0))
	}
	return slices.Clip(out)
}
