package txn_test

import (
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/txn"
)

func TestKinds(t *testing.T) {
	names := map[string]bool{}
	for _, k := range txn.Kinds() {
		if names[k.String()] || !k.Valid() {
			t.Errorf("%s: twice or not valid", k)
		}
		names[k.String()] = true
		if back, err := txn.ParseKind(k.String()); err != nil || back != k {
			t.Errorf("%s: %v, %v", k, back, err)
		}
		tap := k == txn.MetroEntry || k == txn.MetroExit || k == txn.BusBoarding
		if k.IsTap() != tap || k.IsMarker() != (k == txn.DayMarker || k == txn.EpochMarker) {
			t.Errorf("%s: tap %v, marker %v", k, k.IsTap(), k.IsMarker())
		}
	}
	if len(names) != 34 {
		t.Errorf("%d kinds", len(names))
	}
	for _, bad := range []string{"", "none", "tap", "Purchase"} {
		if _, err := txn.ParseKind(bad); err == nil {
			t.Errorf("%q was parsed", bad)
		}
	}
	if txn.KindNone.Valid() || txn.Kind(200).Valid() || txn.Kind(200).String() != "kind(200)" {
		t.Error("unknown kinds are valid")
	}
	// On disk and on the wire.
	if txn.MetroEntry != 1 || txn.Purchase != 4 || txn.Reversal != 7 || txn.JourneyLapse != 15 ||
		txn.BankPurchase != 16 || txn.BankAdjustment != 23 || txn.Desk != 32 || txn.PassSale != 34 {
		t.Error("a kind's number changed")
	}
}

func TestSmallEnums(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{txn.Approved.String(), "approved"}, {txn.Declined.String(), "declined"},
		{txn.OutcomeNone.String(), "none"}, {txn.Outcome(9).String(), "none"},
		{txn.TACNone.String(), "none"}, {txn.TACUnchecked.String(), "unchecked"},
		{txn.TACVerdict(9).String(), "unknown"}, {txn.LiabilityHolder.String(), "holder"},
		{txn.LiabilityAgency.String(), "agency"}, {txn.Liability(99).String(), "unknown"},
		{txn.RiderCategory(99).String(), "unknown"}, {txn.FreezeReason(99).String(),
			"freeze_reason(99)"},
	} {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
	for _, name := range []string{"ordinary", "student", "senior", "disabled", "veteran"} {
		r, ok := txn.ParseRiderCategory(name)
		if !ok || r.String() != name {
			t.Errorf("rider %s: %v, %v", name, r, ok)
		}
	}
	if _, ok := txn.ParseRiderCategory("king"); ok {
		t.Error("rider king")
	}
}

func TestFreezeReasonsAndMarks(t *testing.T) {
	for r := txn.Lost; r <= txn.Cancelled; r++ {
		if back, err := txn.ParseFreezeReason(r.String()); err != nil || back != r {
			t.Errorf("%s: %v, %v", r, back, err)
		}
		if r.Terminal() != (r == txn.Replaced || r == txn.Cancelled) {
			t.Errorf("%s: terminal %v", r, r.Terminal())
		}
		m := txn.Mark{Reason: r, Scope: txn.AppPurse}
		if txn.MarkOf(m.Uint32()) != m || !m.Frozen(txn.AppPurse) || m.Frozen(txn.AppTransit) ||
			!m.Frozen(txn.AppAll) || m.Frozen(0) {
			t.Errorf("mark %+v", m)
		}
	}
	if (txn.Mark{Scope: txn.AppAll}).Frozen(txn.AppAll) {
		t.Error("a mark without a reason froze")
	}
	for _, bad := range []string{"", "not_frozen", "stolen"} {
		if _, err := txn.ParseFreezeReason(bad); err == nil {
			t.Errorf("%q was parsed", bad)
		}
	}
}

func TestApps(t *testing.T) {
	for _, name := range txn.App(0xff).Names() {
		a, err := txn.ParseApp(name)
		if err != nil || !slices.Equal(a.Names(), []string{name}) {
			t.Errorf("%s: %v, %v", name, a.Names(), err)
		}
	}
	if a, err := txn.ParseApp("all"); err != nil || a != txn.AppAll ||
		!slices.Equal(a.Names(), []string{"all"}) {
		t.Errorf("all: %v, %v", a, err)
	}
	if _, err := txn.ParseApp("toll"); err == nil {
		t.Error("toll was parsed")
	}
	both := txn.AppTransit | txn.AppPurse
	if !both.Has(txn.AppPurse) || both.Has(both|txn.AppBank) || len(txn.App(0).Names()) != 0 {
		t.Error("sets of applications")
	}
}

func TestMinorAdd(t *testing.T) {
	for _, tt := range []struct {
		a, b, want txn.Minor
		bad        bool
	}{
		{1, 2, 3, false}, {5, -7, -2, false}, {txn.MinorMax, 0, txn.MinorMax, false},
		{txn.MinorMax, -txn.MinorMax, 0, false}, {txn.MinorMax - 1, 1, txn.MinorMax, false},
		{txn.MinorMax, 1, 0, true}, {-txn.MinorMax, -1, 0, true},
		{math.MaxInt64, math.MaxInt64, 0, true}, {math.MinInt64, math.MinInt64, 0, true},
		{math.MaxInt64, math.MinInt64, 0, true}, {txn.MinorMax + 1, -1, 0, true},
		{math.MinInt64, 0, 0, true},
	} {
		got, err := tt.a.Add(tt.b)
		if got != tt.want || (err != nil) != tt.bad || tt.bad && !errors.Is(err, txn.ErrOverflow) {
			t.Errorf("%d + %d: %d, %v", tt.a, tt.b, got, err)
		}
	}
	if float64(txn.MinorMax)+1 != 1<<53 || !txn.MinorMax.Valid() || (txn.MinorMax + 1).Valid() {
		t.Error("the greatest amount is not the greatest integer that a double holds")
	}
}

func TestBusinessDates(t *testing.T) {
	zone := time.FixedZone("", 8*3600)
	cutOff := 3 * time.Hour
	for _, tt := range []struct {
		at   time.Time
		want txn.BusinessDate
	}{
		{time.Date(2026, 11, 21, 2, 59, 59, 0, zone), 20261120},
		{time.Date(2026, 11, 21, 3, 0, 0, 0, zone), 20261121},
		{time.Date(2026, 11, 20, 19, 0, 0, 0, time.UTC), 20261121},
		{time.Date(2027, 1, 1, 0, 0, 0, 0, zone), 20261231},
		{time.Date(2028, 3, 1, 2, 0, 0, 0, zone), 20280229},
	} {
		if got := txn.DateOf(tt.at, zone, cutOff); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.at, got, tt.want)
		}
	}
	for d, next := range map[txn.BusinessDate]txn.BusinessDate{
		20261231: 20270101, 20280228: 20280229, 20270228: 20270301,
	} {
		if got := d.Next(); got != next {
			t.Errorf("after %s comes %s, want %s", d, got, next)
		}
	}
	for s, want := range map[string]txn.BusinessDate{"2026-11-21": 20261121, "20261121": 20261121} {
		if got, err := txn.ParseBusinessDate(s); err != nil || got != want {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
	for _, bad := range []string{"", "2026-13-01", "20261132", "2026/11/21", "21.11.2026"} {
		if _, err := txn.ParseBusinessDate(bad); err == nil {
			t.Errorf("%q was parsed", bad)
		}
	}
	for d, want := range map[txn.BusinessDate]bool{20261121: true, 0: false, 20261131: false,
		20270229: false, 20280229: true, 99999999: false, 1: false, math.MaxUint32: false} {
		if d.Valid() != want {
			t.Errorf("%d: valid %v", uint32(d), d.Valid())
		}
	}
	if txn.BusinessDate(0).String() != "" || txn.BusinessDate(20261121).String() != "2026-11-21" {
		t.Error("dates as text")
	}
	if m := txn.MillisOf(time.UnixMilli(1234567)); m != 1234567 || m.Time().UnixMilli() != 1234567 ||
		m.Time().Location() != time.UTC {
		t.Error("instants")
	}
}

func TestPositions(t *testing.T) {
	p := txn.Position{Bucket: 17, Epoch: 3, Seq: 42}
	if p.String() != "b017-3-42" {
		t.Errorf("%s", p)
	}
	for _, q := range []txn.Position{{Bucket: 17, Epoch: 3, Seq: 43}, {Bucket: 17, Epoch: 4}} {
		if !p.Before(q) || q.Before(p) {
			t.Errorf("%s and %s", p, q)
		}
	}
	if p.Before(p) {
		t.Error("before itself")
	}
	if b := txn.BucketOf(pan.Token{0xff}); b != txn.BucketCount-1 {
		t.Errorf("last bucket %s", b)
	}
	if b := txn.BucketOf(pan.Token{0x03, 0xff}); b != 0 {
		t.Errorf("first bucket %s", b)
	}
}
