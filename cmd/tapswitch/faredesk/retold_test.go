package faredesk_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/faredesk"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// atStation is a record of the metro at a station.
func atStation(card byte, minute int, kind txn.Kind, charged txn.Minor, station string) txn.Record {
	r := record(card, minute, kind, charged)
	r.Place = txn.Place{Operator: "metro", Station: station}
	return r
}

// lapsed is an incomplete ride from the North Gate that began at eight, and its exit at the Market,
// told late.
func lapsed(card byte) (lapse, told txn.Record) {
	lapse = atStation(card, 300, txn.JourneyLapse, 700, "")
	lapse.Original = txn.RequestID{Counter: 1000}
	told = atStation(card, 20, txn.MetroExit, -500, "Market")
	told.Original, told.FullFare = lapse.Original, 200
	told.Discounts = []txn.Discount{{Cause: "incomplete", Amount: 700}}
	for _, r := range []*txn.Record{&lapse, &told} {
		r.EntryStation, r.EntryAt = "North Gate", eight
	}
	return lapse, told
}

func whatIf(t *testing.T, since string, records ...txn.Record) (w faredesk.WhatIf) {
	t.Helper()
	var b strings.Builder
	c := faredesk.Fare(&noLedger{records: records})
	c.SetOut(&b)
	c.SetArgs([]string{"what-if", "--day", "2026-09-01", "--since", since, "-o", "json"})
	if err := c.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(b.String()), &w); err != nil {
		t.Fatal(err)
	}
	return w
}

// A ride of which one end was told late counts once, whatever charged it before: its lapse, the
// next entry, or its exit without an entry; on the day before, or on one that is not read.
func TestWhatIfOfToldEnds(t *testing.T) {
	lapse, told := lapsed(1)
	next := atStation(1, 60, txn.MetroEntry, 700, "Lake")
	next.Postings = []txn.Posting{{Account: "purse", Amount: -700}, {Account: "operator/metro", Amount: 700}}
	yesterday := lapse
	yesterday.BusinessDate = 20260831
	two, one := lapse, told // two persons lapsed, of whom one was told
	two.Charged = 1400
	undone := record(1, 400, txn.Reversal, 500)
	undone.Original = told.Request

	exit := atStation(1, 20, txn.MetroExit, 700, "Market")
	entry := atStation(1, 0, txn.MetroEntry, -500, "North Gate")
	entry.Original, entry.FullFare, entry.Discounts = exit.Request, 200, told.Discounts
	before := exit
	before.BusinessDate = 20260831

	for name, c := range map[string]struct {
		records        []txn.Record
		since          string
		rides          int
		ledger, wouldB txn.Minor
	}{
		"lapse":              {[]txn.Record{told, lapse}, "2026-09-01", 1, 200, 200},
		"lapse alone":        {[]txn.Record{lapse}, "2026-09-01", 1, 700, 700},
		"lapse reversed":     {[]txn.Record{lapse, told, undone}, "2026-09-01", 1, 700, 700},
		"lapse yesterday":    {[]txn.Record{yesterday, told}, "2026-08-31", 1, -500, -500},
		"lapse not read":     {[]txn.Record{told}, "2026-09-01", 1, -500, -500},
		"two persons":        {[]txn.Record{two, one}, "2026-09-01", 2, 900, 900},
		"next entry":         {[]txn.Record{next, told}, "2026-09-01", 1, 200, 200},
		"next entry alone":   {[]txn.Record{next}, "2026-09-01", 1, 700, 700},
		"entry":              {[]txn.Record{exit, entry}, "2026-09-01", 1, 200, 200},
		"entry of yesterday": {[]txn.Record{before, entry}, "2026-08-31", 1, -500, -500},
	} {
		w := whatIf(t, c.since, c.records...)
		if w.Rides != c.rides || w.Ledger != c.ledger || w.WouldBe != c.wouldB || len(w.Refused) != 0 ||
			w.Operators["metro"] == nil || w.Operators["metro"].WouldBe != c.wouldB || w.Dearer+w.Cheaper != 0 {
			t.Errorf("%s: %+v, want %d rides, %d, %d", name, w, c.rides, c.ledger, c.wouldB)
		}
	}
	w := whatIf(t, "2026-09-01", entry)
	if w.Rides != 0 || w.Unpriced != -500 || len(w.Refused) != 1 {
		t.Errorf("an exit that is not read: %+v", w)
	}
}
