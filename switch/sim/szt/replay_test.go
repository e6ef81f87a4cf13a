package szt_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/fare"
	"github.com/tapswitch/tapswitch/switch/sim"
	"github.com/tapswitch/tapswitch/switch/sim/simtest"
	"github.com/tapswitch/tapswitch/switch/sim/szt"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// realFile is the published data, which is no part of the project.
const realFile = "../../../../shared/data/shenzhen-taps.csv.gz"

const header = "card_no,deal_date,deal_type,deal_money,deal_value,equ_no,company_name," +
	"station,car_no,conn_mark,close_date\n"

// day is the day of rows made by rowAt.
const day = "2018-09-01"

// tap writes a row of the file.
func tap(card, at, kind string, charged, full int, reader, company string) string {
	return fmt.Sprintf("%s,%s %s,%s,%d,%d,%s,%s,站,IGT-1,0,%s 00:00:00\n", card, day, at, kind,
		charged, full, reader, company, day)
}

const (
	entryKind = "地铁入站"
	exitKind  = "地铁出站"
	busKind   = "巴士"
	line5     = "地铁五号线"
	line3     = "地铁三号线"
	busCo     = "巴士集团"
)

// world is a switch whose clock the rows set, and which outlives replays.
type world struct {
	*simtest.Switch
	t     *testing.T
	clock *szt.Clock
	// spoil changes records on their way to the report, to plant a fault.
	spoil func(*txn.Record) []*txn.Record
}

func newWorld(t *testing.T, file string) *world {
	t.Helper()
	s := sorted(t, file)
	defer s.Close()
	first := s.First
	if first.IsZero() {
		first = time.Date(2018, 9, 1, 0, 0, 0, 0, szt.Zone())
	}
	w := &world{t: t, clock: szt.NewClock(first)}
	w.Switch = simtest.New(t, simtest.Options{Now: w.clock.Now, Tariff: fare.File{Version: "t"},
		Policy: func(p *engine.Policy) { p.JourneyMax, p.JourneyLapse = 24*hour, 24*hour }})
	return w
}

const hour = txn.Millis(60 * 60 * 1000)

// Drain has nothing to wait for: the outbox is the ledger here.
func (w *world) Drain(context.Context) error { return nil }

// Records yields what the outbox holds, spoiled if the test says so.
func (w *world) Records(ctx context.Context, yield func(*txn.Record) error) error {
	return w.Switch.Records(ctx, func(r *txn.Record) error {
		if w.spoil == nil {
			return yield(r)
		}
		var err error
		for _, r := range w.spoil(r) {
			err = errors.Join(err, yield(r))
		}
		return err
	})
}

// Day sums the records of a date, as a warehouse does.
func (w *world) Day(ctx context.Context, date txn.BusinessDate) (szt.Day, error) {
	d := szt.Day{Clean: true}
	ids := map[txn.RequestID]bool{}
	err := w.Records(ctx, func(r *txn.Record) error {
		if !r.Kind.IsTap() || r.BusinessDate != date {
			return nil
		}
		d.Clean = d.Clean && !ids[r.Request] && r.CheckPostings() == nil
		ids[r.Request] = true
		if r.Outcome != txn.Approved {
			d.Declined++
			return nil
		}
		d.Approved++
		d.FullFare += r.FullFare
		d.Charged += r.Charged
		return nil
	})
	return d, err
}

func sorted(t *testing.T, file string) *szt.Sorted {
	t.Helper()
	s, err := szt.Sort(t.Context(), strings.NewReader(file), t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// replay replays a file into the world.
func (w *world) replay(file string, fresh bool) *szt.Report {
	w.t.Helper()
	s := sorted(w.t, file)
	defer s.Close()
	client := sim.NewClient(sim.ClientOptions{Addr: w.Addr, Now: w.clock.Time})
	defer client.Close()
	r, err := szt.Replay(w.t.Context(), s, szt.Options{Client: client, Token: w.Desk, Switch: w,
		Clock: w.clock, Fresh: fresh})
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// check compares the report with figures in the form "taps 3, approved 2, …".
func check(t *testing.T, r *szt.Report, want string) {
	t.Helper()
	got := fmt.Sprintf("rows %d, taps %d, approved %d, declined %v, journeys %d, full %d, "+
		"charged %d, file %d %d, duplicates %d, rejected %d, refused %d, unexplained %d",
		r.Rows, r.Taps, r.Approved, r.Declined, r.Journeys, r.FullFare, r.Charged,
		r.FileFullFare, r.FileCharged, r.Duplicates, r.RejectedRows, r.Refused, r.Unexplained)
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
		text, err := json.MarshalIndent(r.Differences, "", " ")
		t.Logf("%s %v", text, err)
	}
}

// causes lists line and cause of every difference.
func causes(r *szt.Report) string {
	var all []string
	for _, d := range r.Differences {
		all = append(all, fmt.Sprintf("%d %s", d.Line, d.Cause))
	}
	return strings.Join(all, ", ")
}

func TestRealFile(t *testing.T) {
	if testing.Short() {
		t.Skip("replays 28,500 rows")
	}
	file, err := os.ReadFile(filepath.FromSlash(realFile))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("the Shenzhen file is not at %s", realFile)
	}
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, string(file))
	began := time.Now()
	r := w.replay(string(file), true)
	t.Logf("%s, %d cards, %d loads", time.Since(began).Round(time.Millisecond), r.Cards, r.Loads)
	check(t, r, "rows 28500, taps 28500, approved 28500, declined map[], journeys 454, "+
		fmt.Sprintf("full %d, charged %d, file %d %d, ", r.FileFullFare, r.FileCharged,
			r.FileFullFare, r.FileCharged)+
		"duplicates 0, rejected 0, refused 0, unexplained 0")
	if r.FileFullFare == 0 || r.Cards != 27_751 || len(r.Operators) != 13 {
		t.Errorf("%d fen, %d cards, %d operators", r.FileFullFare, r.Cards, len(r.Operators))
	}
	// The second time everything is absorbed, and the ledger says the same.
	began = time.Now()
	again := w.replay(string(file), false)
	t.Log("again", time.Since(began))
	if fmt.Sprint(*again) != fmt.Sprint(*r) {
		t.Error("a second replay of the file gave another report")
		check(t, again, "")
	}
}
