package faredesk_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/faredesk"
	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/fare/price"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// noLedger is a ledger of the records that it was given; it fails with err.
type noLedger struct {
	warehouse.Reader
	records []txn.Record
	err     error
	closed  int
}

func (l *noLedger) Add(*cobra.Command) {}

func (l *noLedger) Open(context.Context) (warehouse.Reader, func() error, error) {
	return l, func() error { l.closed++; return nil }, nil
}

func (l *noLedger) Records(
	_ context.Context, f warehouse.Filter, yield func(*txn.Record) error,
) error {
	for i := range l.records {
		if f.Matches(&l.records[i]) {
			if err := yield(&l.records[i]); err != nil {
				return err
			}
		}
	}
	return l.err
}

const eight = txn.Millis(1_788_220_800_000) // 2026-09-01 08:00 in Shenzhen

// record is an approved ride of a card at a minute after eight.
func record(card byte, minute int, kind txn.Kind, charged txn.Minor) txn.Record {
	return txn.Record{Kind: kind, Outcome: txn.Approved, Card: pan.Token{card}, BusinessDate: 20260901,
		ServiceAt: eight + txn.Millis(minute)*60_000, Charged: charged, FullFare: charged,
		Request: txn.RequestID{Counter: uint32(minute) + 1}, Place: txn.Place{Operator: "bus", Line: fmt.Sprint(minute)}}
}

func TestWhatIf(t *testing.T) {
	exit := record(1, 30, txn.MetroExit, 700)
	exit.Place = txn.Place{Operator: "metro", Station: "Airport"}
	exit.EntryStation, exit.EntryAt = "North Gate", exit.ServiceAt-20*60_000
	undone := record(2, 40, txn.BusBoarding, 200)
	reversal := record(2, 41, txn.Reversal, -200)
	reversal.Original = undone.Request
	declined := record(2, 42, txn.BusBoarding, 0)
	declined.Outcome = txn.Declined
	early := record(3, 1, txn.BusBoarding, 100)
	early.ServiceAt -= 24 * 60 * 60_000
	early.BusinessDate = 20260831
	nowhere := record(3, 9, txn.MetroExit, 500)
	nowhere.EntryStation, nowhere.EntryAt = "Nowhere", nowhere.ServiceAt-1
	lost := record(4, 300, txn.JourneyLapse, 0)
	lost.EntryStation, lost.EntryAt = "Lake", eight
	// Not in the order of time: the ledger sorts by bucket.
	l := &noLedger{records: []txn.Record{exit, record(1, 0, txn.BusBoarding, 150), undone, reversal,
		declined, early, nowhere, record(3, 2, txn.BusBoarding, 300), lost}}
	run := func(args ...string) (string, error) {
		var b strings.Builder
		c := faredesk.Fare(l)
		c.SilenceErrors, c.SilenceUsage = true, true
		c.SetOut(&b)
		c.SetArgs(append([]string{"what-if"}, args...))
		err := c.ExecuteContext(t.Context())
		return b.String(), err
	}
	out, err := run("--day", "2026-09-01", "--since", "2026-08-31", "-o", "json")
	var w faredesk.WhatIf
	if e := json.Unmarshal([]byte(out), &w); e != nil || err != nil {
		t.Fatalf("%v, %v\n%s", e, err, out)
	}
	// Card 1: bus 200, metro 700 less 100 for the change; card 3: bus 200; card 4: 700, the dearest.
	if w.Rides != 4 || w.Ledger != 1150 || w.WouldBe != 200+600+200+700 || w.Dearer != 1 ||
		w.Cheaper != 2 || w.Discounts["transfer"] != 100 ||
		w.Refused[price.NoStation.String()] != 1 || w.Operators["metro"].WouldBe != 600 ||
		w.Riders["ordinary"].Rides != 4 || w.Unpriced != 500 || l.closed != 1 {
		t.Errorf("%s", out)
	}
	if out, err = run("--day", "2026-09-01"); err != nil || !strings.Contains(out, "+550") ||
		!strings.Contains(out, "without a price") {
		t.Errorf("%v\n%s", err, out)
	}
	for _, args := range [][]string{nil, {"--day", "x"}, {"--day", "2026-09-01", "--since", "2026-09-02"},
		{"--day", "2026-09-01", "x"}} {
		if _, err := run(args...); cli.Code(err) != cli.ExitUsage {
			t.Errorf("%v: %v", args, err)
		}
	}
	l.err = errors.New("disk")
	if _, err := run("--day", "2026-09-01"); !errors.Is(err, l.err) {
		t.Errorf("%v", err)
	}
}
