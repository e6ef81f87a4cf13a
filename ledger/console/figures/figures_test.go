package figures

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const day txn.BusinessDate = 20260301

// source counts how often it is asked.
type source struct {
	mu       sync.Mutex
	asked    map[txn.BusinessDate]int
	err      error
	complete bool
	hold     chan struct{} // when set, Totals waits for it
	rows     int64
}

func (s *source) Totals(ctx context.Context, date txn.BusinessDate) (warehouse.Totals, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hold != nil {
		select {
		case <-s.hold:
		case <-ctx.Done():
			return warehouse.Totals{}, ctx.Err()
		}
	}
	if s.asked == nil {
		s.asked = map[txn.BusinessDate]int{}
	}
	s.asked[date]++
	t := warehouse.Totals{Date: date, Rows: s.rows}
	t.Sort()
	for b := range t.Buckets {
		t.Buckets[b].Closed = s.complete
	}
	return t, s.err
}

func (s *source) Hours(_ context.Context, _ txn.BusinessDate, begin txn.Millis) (h warehouse.Hours, err error) {
	h.At(begin+1, begin).Add("approved", s.rows)
	return h, nil
}

func (s *source) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *source) times(date txn.BusinessDate) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[date]
}

// clock is moved by a test.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func newCache(t *testing.T, s *source, dir string) (*Cache, *clock) {
	t.Helper()
	at := &clock{at: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	c := New(Options{Source: s, Dir: dir, Now: at.now,
		Begin: func(d txn.BusinessDate) txn.Millis { return txn.MillisOf(d.Time()) }})
	t.Cleanup(c.Close)
	return c, at
}

// until asks for the date until ok says so.
func until(t *testing.T, c *Cache, date txn.BusinessDate, ok func(*Day, error) bool) *Day {
	t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer deadline.Stop()
	defer tick.Stop()
	for {
		d, _, err := c.Day(date)
		if ok(d, err) {
			return d
		}
		select {
		case <-deadline.C:
			t.Fatalf("never: %+v %v", d, err)
		case <-tick.C:
		}
	}
}

func counted(d *Day, _ error) bool { return d != nil }

func TestAPageNeverWaits(t *testing.T) {
	s := &source{hold: make(chan struct{}), rows: 7}
	c, _ := newCache(t, s, "")
	d, counting, err := c.Day(day)
	if d != nil || !counting || err != nil {
		t.Fatalf("%v %v %v", d, counting, err)
	}
	close(s.hold)
	d = until(t, c, day, counted)
	if d.Report.Rows != 7 || !d.HasHours || d.Hours.Hour[0].Approved != 7 {
		t.Errorf("%+v", d)
	}
}

func TestAnOpenDateIsCountedAgainWhenOld(t *testing.T) {
	s := &source{rows: 1}
	c, at := newCache(t, s, "")
	until(t, c, day, counted)
	for range 5 {
		c.Day(day)
	}
	if n := s.times(day); n != 1 {
		t.Fatalf("counted %d times at once", n)
	}
	s.set(func() { s.rows = 2 })
	at.add(time.Hour)
	until(t, c, day, func(d *Day, _ error) bool { return d.Report.Rows == 2 })
}

func TestACompleteDateIsCountedOnceForEver(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "console")
	s := &source{rows: 3, complete: true}
	c, at := newCache(t, s, dir)
	until(t, c, day, counted)
	at.add(100 * time.Hour)
	if _, counting, _ := c.Day(day); counting || s.times(day) != 1 {
		t.Error("counted again")
	}
	c.Close()
	other := &source{rows: 99}
	c2, _ := newCache(t, other, dir)
	d, counting, err := c2.Day(day)
	if d == nil || d.Report.Rows != 3 || counting || err != nil || other.times(day) != 0 {
		t.Errorf("after a start: %+v %v %v", d, counting, err)
	}
}

func TestADamagedFileIsCountedAgain(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"half":    `{"date":20260301,"rep`,
		"open":    `{"date":20260301,"report":{"complete":false}}`,
		"another": `{"date":20260302,"report":{"complete":true}}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, "figures-2026-03-01.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s := &source{rows: 4, complete: true}
		c, _ := newCache(t, s, dir)
		if d := until(t, c, day, counted); d.Report.Rows != 4 {
			t.Errorf("%s: %+v", name, d)
		}
		c.Close()
	}
}

func TestAFailedCountIsToldAndTriedAgain(t *testing.T) {
	s := &source{err: errors.New("the disk"), rows: 5}
	c, at := newCache(t, s, "")
	until(t, c, day, func(_ *Day, err error) bool { return err != nil })
	if _, counting, err := c.Day(day); counting || err == nil {
		t.Fatalf("%v %v", counting, err)
	}
	s.set(func() { s.err = nil })
	at.add(retryAfter)
	until(t, c, day, counted)
	if _, _, err := c.Day(day); err != nil {
		t.Error(err)
	}
}

func TestDatesAreBounded(t *testing.T) {
	s := &source{complete: true}
	c, at := newCache(t, s, "")
	for i, date := range Last(day, 3*DatesMax) {
		at.add(time.Second)
		if _, _, err := c.Day(date); err != nil {
			t.Fatal(err)
		}
		c.mu.Lock()
		n := len(c.dates)
		c.mu.Unlock()
		if n > DatesMax+QueueMax {
			t.Fatalf("%d dates after %d", n, i)
		}
	}
}

func TestTheQueueIsBounded(t *testing.T) {
	s := &source{hold: make(chan struct{})}
	c, _ := newCache(t, s, "")
	refused := 0
	for _, date := range Last(day, QueueMax+10) {
		if _, counting, _ := c.Day(date); !counting {
			refused++
		}
	}
	if refused == 0 {
		t.Error("no end")
	}
	close(s.hold)
	last := Last(day, QueueMax+10)
	until(t, c, last[len(last)-1], counted)
}

func TestLast(t *testing.T) {
	if got := Last(20260301, 3); len(got) != 3 || got[0] != 20260301 || got[1] != 20260228 || got[2] != 20260227 {
		t.Error(got)
	}
}
