package szt_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/fare"
	"github.com/tapswitch/tapswitch/switch/gate"
	"github.com/tapswitch/tapswitch/switch/sim"
	"github.com/tapswitch/tapswitch/switch/sim/simtest"
	"github.com/tapswitch/tapswitch/switch/sim/szt"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Each oddity of a file: what the report says, and the cause of every difference.
func TestOddities(t *testing.T) {
	ride := tap("CBEHFCFCG", "08:00:00", entryKind, 0, 0, "263032105", line5) +
		tap("CBEHFCFCG", "08:20:00", exitKind, 475, 500, "263031101", line5)
	for name, c := range map[string]struct{ rows, want, causes string }{
		"a ride": {ride,
			"rows 2, taps 2, approved 2, declined map[], journeys 1, full 500, charged 475, " +
				"file 500 475, duplicates 0, rejected 0, refused 0, unexplained 0", ""},
		"no rows": {"",
			"rows 0, taps 0, approved 0, declined map[], journeys 0, full 0, charged 0, " +
				"file 0 0, duplicates 0, rejected 0, refused 0, unexplained 0", ""},
		"exit without entry": {tap("AB", "08:00:00", exitKind, 190, 200, "1", line5),
			"rows 1, taps 1, approved 1, declined map[], journeys 0, full 200, charged 190, " +
				"file 200 190, duplicates 0, rejected 0, refused 0, unexplained 0", ""},
		"two entries within a minute": {
			tap("AB", "08:00:00", entryKind, 0, 0, "1", line5) +
				tap("AB", "08:00:40", entryKind, 0, 0, "2", line3) +
				tap("AB", "08:30:00", exitKind, 190, 200, "3", line5),
			"rows 3, taps 3, approved 3, declined map[], journeys 1, full 200, charged 190, " +
				"file 200 190, duplicates 0, rejected 0, refused 0, unexplained 0", ""},
		"out of time order": {
			tap("AB", "08:20:00", exitKind, 475, 500, "2", line5) +
				tap("AB", "08:00:00", entryKind, 0, 0, "1", line5),
			"rows 2, taps 2, approved 2, declined map[], journeys 1, full 500, charged 475, " +
				"file 500 475, duplicates 0, rejected 0, refused 0, unexplained 0", ""},
		"a ride of 15 hours": {
			tap("AB", "05:00:00", entryKind, 0, 0, "1", line5) +
				tap("AB", "20:00:00", exitKind, 475, 500, "2", line5),
			"rows 2, taps 2, approved 2, declined map[], journeys 1, full 500, charged 475, " +
				"file 500 475, duplicates 0, rejected 0, refused 0, unexplained 0", ""},
		"one second, several taps of one card": {
			tap("AB", "08:00:00", entryKind, 0, 0, "1", line5) +
				tap("AB", "08:00:00", exitKind, 190, 200, "1", line5) +
				tap("AB", "08:00:00", busKind, 160, 200, "7", busCo) +
				tap("AB", "08:00:00", busKind, 120, 200, "7", busCo),
			"rows 4, taps 4, approved 4, declined map[], journeys 1, full 600, charged 470, " +
				"file 600 470, duplicates 0, rejected 0, refused 0, unexplained 0", ""},
		"rows that stand twice": {ride + ride + ride,
			"rows 6, taps 2, approved 2, declined map[], journeys 1, full 500, charged 475, " +
				"file 1500 1425, duplicates 4, rejected 0, refused 0, unexplained 0",
			"4 duplicate_row, 5 duplicate_row, 6 duplicate_row, 7 duplicate_row"},
		"charged more than the fare": {tap("AB", "08:00:00", exitKind, 300, 200, "1", line5) + ride,
			"rows 3, taps 3, approved 2, declined map[fare_mismatch:1], journeys 1, full 500, " +
				"charged 475, file 700 775, duplicates 0, rejected 0, refused 0, unexplained 0",
			"2 fare_mismatch"},
		"an entry that charges": {tap("AB", "08:00:00", entryKind, 100, 200, "1", line5),
			"rows 1, taps 1, approved 0, declined map[fare_mismatch:1], journeys 0, full 0, " +
				"charged 0, file 200 100, duplicates 0, rejected 0, refused 0, unexplained 0",
			"2 fare_mismatch"},
		"more than a purse holds": {
			tap("AB", "08:00:00", exitKind, 1_000_001, 1_000_001, "1", line5) +
				tap("AB", "08:10:00", exitKind, 999_999, 1_000_000, "1", line5),
			"rows 2, taps 2, approved 1, declined map[insufficient_funds:1], journeys 0, " +
				"full 1000000, charged 999999, file 2000001 2000000, duplicates 0, rejected 0, " +
				"refused 0, unexplained 0", "2 insufficient_funds"},
		"malformed rows": {"x\n" + ride + tap("AB", "08:00:00", busKind, -5, 200, "1", busCo) +
			tap("AB", "08:00:00", "轮渡", 5, 200, "1", busCo),
			"rows 5, taps 2, approved 2, declined map[], journeys 1, full 500, charged 475, " +
				"file 900 475, duplicates 0, rejected 3, refused 0, unexplained 0",
			"2 row_not_readable, 5 row_not_readable, 6 row_not_readable"},
		"one reader, two operators": {
			tap("AB", "08:00:00", busKind, 160, 200, "1", busCo) +
				tap("AC", "08:00:00", busKind, 160, 200, "1", line5) +
				tap("AD", "08:00:01", busKind, 160, 200, "1", busCo),
			"rows 3, taps 3, approved 3, declined map[], journeys 0, full 600, charged 480, " +
				"file 600 480, duplicates 0, rejected 0, refused 0, unexplained 0", ""},
		"station and vehicle empty": {
			strings.NewReplacer(",站,", ",,", "IGT-1", "").Replace(ride),
			"rows 2, taps 2, approved 2, declined map[], journeys 1, full 500, charged 475, " +
				"file 500 475, duplicates 0, rejected 0, refused 0, unexplained 0", ""},
		"several days": {
			strings.ReplaceAll(ride, day, "2018-08-31") + ride +
				strings.ReplaceAll(ride, day, "2018-09-03"),
			"rows 6, taps 6, approved 6, declined map[], journeys 3, full 1500, charged 1425, " +
				"file 1500 1425, duplicates 0, rejected 0, refused 0, unexplained 0", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, header+c.rows)
			r := w.replay(header+c.rows, true)
			check(t, r, c.want)
			if got := causes(r); got != c.causes {
				t.Errorf("differences %q, want %q", got, c.causes)
			}
			again := w.replay(header+c.rows, false)
			if a, b := fmt.Sprint(*again), fmt.Sprint(*r); a != b {
				t.Errorf("a second replay reports\n%s\nafter\n%s", a, b)
			}
			if n := countTaps(t, w); n != r.Taps-unrecorded(r) {
				t.Errorf("%d taps in the ledger, %d reported", n, r.Taps)
			}
		})
	}
}

func countTaps(t *testing.T, w *world) (n int) {
	t.Helper()
	if err := w.Records(t.Context(), func(r *txn.Record) error {
		if r.Kind.IsTap() {
			n++
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

// unrecorded counts declines that leave no record.
func unrecorded(r *szt.Report) int {
	return r.Declined[txn.IDTooOld.String()] + r.Declined[txn.UnknownCard.String()]
}

// Every row is booked on its own date, and the days add up.
func TestDays(t *testing.T) {
	ride := tap("AB", "23:59:59", entryKind, 0, 0, "1", line5)
	file := header + ride + strings.ReplaceAll(
		tap("AB", "00:00:00", exitKind, 190, 200, "2", line5), day+" 00:00:00,"+exitKind,
		"2018-09-02 00:00:00,"+exitKind)
	r := newWorld(t, file).replay(file, true)
	if got := fmt.Sprint(r.Days); got != "[{2018-09-01 1 0 0 0} {2018-09-02 1 0 200 190}]" {
		t.Errorf("days %s", got)
	}
	if r.Journeys != 1 || r.Unexplained != 0 {
		t.Errorf("%+v", r)
	}
}

// A card that is used more often in one second than it remembers is refused, listed, and
// never charged twice.
func TestMoreTapsThanACardRemembers(t *testing.T) {
	var b strings.Builder
	b.WriteString(header)
	for i := range 100 {
		b.WriteString(tap("AB", "08:00:00", busKind, 100, 200+i, fmt.Sprint(i%7), busCo))
	}
	w := newWorld(t, b.String())
	r := w.replay(b.String(), true)
	if r.Unexplained != 0 || r.Taps != 100 || r.Approved == 0 ||
		r.Approved+r.Declined[txn.IDTooOld.String()] != 100 {
		t.Errorf("%+v", r)
	}
	if int(r.Charged) != 100*r.Approved || r.FileCharged != 10_000 {
		t.Errorf("charged %d for %d", r.Charged, r.Approved)
	}
}

// Two files of one day in one ledger: each is compared with its own rows alone.
func TestTwoFilesOneLedger(t *testing.T) {
	first := header + tap("AB", "08:00:00", busKind, 160, 200, "1", busCo) +
		tap("AC", "08:00:01", busKind, 160, 200, "1", busCo)
	second := header + tap("AC", "08:00:01", busKind, 160, 200, "1", busCo) + // again
		tap("AB", "09:00:00", busKind, 240, 300, "1", busCo)
	w := newWorld(t, first)
	w.replay(first, true)
	r := w.replay(second, false)
	check(t, r, "rows 2, taps 2, approved 2, declined map[], journeys 0, full 500, charged 400, "+
		"file 500 400, duplicates 0, rejected 0, refused 0, unexplained 0")
	if n := countTaps(t, w); n != 3 {
		t.Errorf("%d taps in the ledger, want 3", n)
	}
	// Taken for a fresh ledger, the tap of the other file is a finding.
	r = w.replay(second, true)
	if r.Unexplained == 0 || !strings.Contains(causes(r), szt.CauseForeign) {
		t.Errorf("%s", causes(r))
	}
}

// Planted faults of the ledger are found, named and counted.
func TestSpoiledLedger(t *testing.T) {
	file := header + tap("AB", "08:00:00", busKind, 160, 200, "1", busCo) +
		tap("AC", "08:00:01", busKind, 240, 300, "2", busCo)
	bus := func(r *txn.Record, charged txn.Minor) bool {
		return r.Kind == txn.BusBoarding && r.Charged == charged
	}
	for name, c := range map[string]struct {
		spoil func(*txn.Record) []*txn.Record
		want  string
	}{
		"lost": {func(r *txn.Record) []*txn.Record {
			if bus(r, 160) {
				return nil
			}
			return []*txn.Record{r}
		}, "2 not_in_ledger"},
		"twice": {func(r *txn.Record) []*txn.Record {
			if bus(r, 160) {
				return []*txn.Record{r, r}
			}
			return []*txn.Record{r}
		}, "0 ledger_not_clean, 2 booked_twice"},
		"another amount": {func(r *txn.Record) []*txn.Record {
			if bus(r, 160) {
				s := *r
				s.Charged, s.Postings = 161, nil
				return []*txn.Record{&s}
			}
			return []*txn.Record{r}
		}, "2 amounts_differ"},
		"another operator": {func(r *txn.Record) []*txn.Record {
			if bus(r, 240) {
				s := *r
				s.Place.Operator = line3
				return []*txn.Record{&s}
			}
			return []*txn.Record{r}
		}, "0 operator_sum, 0 operator_sum, 3 amounts_differ"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, file)
			w.spoil = c.spoil
			r := w.replay(file, true)
			if got := causes(r); got != c.want || r.Unexplained != len(r.Differences) {
				t.Errorf("%d unexplained: %s, want %s", r.Unexplained, got, c.want)
			}
		})
	}
}

// disagreeing tells other totals than its records add up to.
type disagreeing struct{ *world }

// Day is off by one fen.
func (d disagreeing) Day(ctx context.Context, date txn.BusinessDate) (szt.Day, error) {
	sum, err := d.world.Day(ctx, date)
	sum.Charged++
	return sum, err
}

func TestTotalsDisagree(t *testing.T) {
	file := header + tap("AB", "08:00:00", busKind, 160, 200, "1", busCo)
	w := newWorld(t, file)
	s := sorted(t, file)
	defer s.Close()
	client := sim.NewClient(sim.ClientOptions{Addr: w.Addr, Now: w.clock.Time})
	defer client.Close()
	r, err := szt.Replay(t.Context(), s, szt.Options{Client: client, Token: w.Desk,
		Switch: disagreeing{w}, Clock: w.clock, Fresh: true})
	if err != nil || causes(r) != "0 totals_disagree" || r.Unexplained != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

// flaky answers every third list of requests with ErrInDoubt after it was executed.
type flaky struct {
	gate.Engine
	n *atomic.Int64
}

// AuthorizeAll executes, and sometimes does not say so.
func (f flaky) AuthorizeAll(ctx context.Context, all []*txn.Request) []engine.Answer {
	answers := f.Engine.AuthorizeAll(ctx, all)
	if f.n.Add(1)%3 == 0 {
		for i := range answers {
			answers[i] = engine.Answer{Err: engine.ErrInDoubt}
		}
	}
	return answers
}

// Rows whose outcome was in doubt are sent again with the same id, and booked once.
func TestInDoubt(t *testing.T) {
	var b strings.Builder
	b.WriteString(header)
	for i := range 300 {
		b.WriteString(tap("A"+string(rune('A'+i%10)), fmt.Sprintf("08:%02d:%02d", i/60, i%60),
			busKind, 100, 200, fmt.Sprint(i%3), busCo))
	}
	w := newWorld(t, b.String())
	var n atomic.Int64
	w.Switch = simtest.New(t, simtest.Options{Now: w.clock.Now, Tariff: fare.File{Version: "t"},
		Engine: func(e gate.Engine) gate.Engine { return flaky{e, &n} }})
	r := w.replay(b.String(), true)
	check(t, r, "rows 300, taps 300, approved 300, declined map[], journeys 0, full 60000, "+
		"charged 30000, file 60000 30000, duplicates 0, rejected 0, refused 0, unexplained 0")
	if n.Load() < 3 {
		t.Errorf("only %d lists were sent", n.Load())
	}
}

// At a chosen speed the rows' time passes as fast as told.
func TestSpeed(t *testing.T) {
	file := header
	for i := range 6 {
		file += tap("AB", fmt.Sprintf("08:00:%02d", 10*i), busKind, 100, 200, "1", busCo)
	}
	w := newWorld(t, file)
	s := sorted(t, file)
	defer s.Close()
	client := sim.NewClient(sim.ClientOptions{Addr: w.Addr, Now: w.clock.Time})
	defer client.Close()
	var steps []int
	began := time.Now()
	r, err := szt.Replay(t.Context(), s, szt.Options{Client: client, Token: w.Desk, Switch: w,
		Clock: w.clock, Fresh: true, Speed: 100, Progress: func(n int) { steps = append(steps, n) }})
	if err != nil || r.Unexplained != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	if took := time.Since(began); took < 500*time.Millisecond {
		t.Errorf("50 s at speed 100 took %s", took)
	}
	if steps[len(steps)-1] != 6 {
		t.Errorf("progress %v", steps)
	}
}

func TestReplayStops(t *testing.T) {
	file := header + tap("AB", "08:00:00", busKind, 160, 200, "1", busCo)
	w := newWorld(t, file)
	s := sorted(t, file)
	defer s.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	client := sim.NewClient(sim.ClientOptions{Addr: w.Addr, Now: w.clock.Time})
	defer client.Close()
	_, err := szt.Replay(ctx, s, szt.Options{Client: client, Token: w.Desk, Switch: w, Clock: w.clock})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// More rows than one window holds, all in one second on one reader.
func TestWindowFull(t *testing.T) {
	if testing.Short() {
		t.Skip("replays 20,500 rows")
	}
	var b strings.Builder
	b.WriteString(header)
	n := szt.WindowRows + 500
	for i := range n {
		card := fmt.Sprintf("%05d", i)
		card = strings.Map(func(r rune) rune { return r - '0' + 'A' }, card)
		b.WriteString(tap(card, "08:00:00", busKind, 100, 200, "1", busCo))
	}
	w := newWorld(t, b.String())
	r := w.replay(b.String(), true)
	if r.Approved != n || r.Unexplained != 0 || r.Duplicates != 0 {
		t.Errorf("approved %d of %d, %d unexplained", r.Approved, n, r.Unexplained)
	}
}
