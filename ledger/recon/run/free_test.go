package run_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/ledger/recon"
	"github.com/tapswitch/tapswitch/ledger/recon/plant"
	"github.com/tapswitch/tapswitch/ledger/recon/run"
)

// free makes every n-th row of a city a free ride, by its own number, the same on both sides.
type free struct {
	recon.Source
	n    int
	skip bool // the side does not list them
}

func (f *free) Rows(ctx recon.Context, yield func(*recon.Row) error) error {
	return f.Source.Rows(ctx, func(r *recon.Row) error {
		var number int
		if _, err := fmt.Sscanf(r.Text[recon.RRN], "R%d", &number); err != nil || number%f.n != f.n-1 {
			return yield(r)
		}
		if f.skip {
			return nil
		}
		r.Amount = 0
		return yield(r)
	})
}

// A fifth of the rides is free. Every planted difference is found with its cause and none is
// invented, whether the counterparty lists free rides or not.
func TestFreeRidesInventNothing(t *testing.T) {
	for name, skip := range map[string]bool{"listed": false, "not listed": true} {
		c, o := city(t, 40_000, 400)
		const n = 7
		o.Ours[0] = &free{Source: o.Ours[0], n: n}
		for i := range o.Theirs {
			o.Theirs[i] = &free{Source: o.Theirs[i], n: n, skip: skip}
		}
		res, err := run.Run(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		found := map[recon.Cause]int{}
		for _, b := range res.Breaks {
			found[b.Cause]++
			if b.Carries() && (b.Ours == nil || b.Ours.Amount == 0) {
				t.Errorf("%s: %s at %s is a break", name, b.Difference, b.Where)
			}
		}
		want := c.Planted()
		for cause, planted := range want { // those that were planted on a free ride are no break
			if found[cause] > planted || found[cause] < planted/2 {
				t.Errorf("%s: %s: found %d of %d", name, cause, found[cause], planted)
			}
		}
		if len(found) != len(want) {
			t.Errorf("%s: %v, planted %v", name, found, want)
		}
		if s := res.Sides; skip && (s[0].Free < 40_000/n-500 || s[1].Free != 0) || !skip && s[0].Free > 400 {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

// What may go wrong with one free ride.
func TestFreeRides(t *testing.T) {
	later := func(r recon.Row) recon.Row { r.At += 2 * 60 * 60 * 1000; return r }
	zero := func(i int) recon.Row { return row("T1", fmt.Sprint("r", i), 0) }
	for name, tt := range map[string]struct {
		ours, theirs []recon.Row
		breaks       string
		free         [2]int64
	}{
		"both":       {[]recon.Row{zero(1)}, []recon.Row{zero(1)}, "", [2]int64{}},
		"ours only":  {[]recon.Row{zero(1), zero(2)}, nil, "", [2]int64{2, 0}},
		"theirs":     {nil, []recon.Row{zero(1)}, "", [2]int64{0, 1}},
		"charged":    {[]recon.Row{zero(1)}, []recon.Row{row("T1", "r1", 400)}, "amount unknown -400", [2]int64{}},
		"not there":  {[]recon.Row{row("T1", "r1", 400)}, []recon.Row{zero(1)}, "amount unknown 400", [2]int64{}},
		"twice":      {[]recon.Row{zero(1)}, []recon.Row{zero(1), zero(1)}, "duplicate repeated_row 0", [2]int64{}},
		"their twin": {nil, []recon.Row{zero(1), zero(1)}, "duplicate repeated_row 0", [2]int64{0, 1}},
		"clock": {[]recon.Row{zero(1), zero(2), zero(3)},
			[]recon.Row{later(zero(1)), later(zero(2)), later(zero(3))},
			"time clock_skew 0,time clock_skew 0,time clock_skew 0", [2]int64{}},
		"batch": {[]recon.Row{row("T1", "r1", 5), row("T1", "r2", 5), row("T1", "r3", 5), zero(4)}, nil,
			"ours_only missing_batch 5,ours_only missing_batch 5,ours_only missing_batch 5", [2]int64{1, 0}},
	} {
		plan := plant.Plan()
		res := reconcile(t, plan, tt.ours, tt.theirs, func(o *run.Options) {
			o.Claims = []recon.Claim{{Terminal: "T1"}}
		})
		var got []string
		for _, b := range res.Breaks {
			got = append(got, fmt.Sprint(b.Difference, " ", b.Cause, " ", b.Gap))
		}
		if strings.Join(got, ",") != tt.breaks || res.Sides[0].Free != tt.free[0] ||
			res.Sides[1].Free != tt.free[1] {
			t.Errorf("%s: %v, free %d and %d", name, got, res.Sides[0].Free, res.Sides[1].Free)
		}
		if len(tt.breaks) == 0 && res.Accounts[0].Odd != recon.NoParty {
			t.Errorf("%s: free rides are in totals: %+v", name, res.Accounts)
		}
		files, err := res.Report()
		if err != nil || !strings.Contains(string(files[0].Text), `"free": `) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// More free rides than may be looked at: those that may mean another row are, the rest counts.
func TestManyFreeRides(t *testing.T) {
	ours := make([]recon.Row, recon.BreaksMax+10)
	for i := range ours {
		ours[i] = row(fmt.Sprint("T", i%100), fmt.Sprint("r", i), 0)
	}
	theirs := []recon.Row{row("T7", "r7", 300), row("T8", "r8", 0)}
	theirs[1].At += 2 * 60 * 60 * 1000
	res := reconcile(t, plant.Plan(), ours, theirs, nil)
	found := map[recon.Difference]int{}
	for _, b := range res.Breaks {
		found[b.Difference]++
	}
	if !maps.Equal(found, map[recon.Difference]int{recon.OtherSum: 1, recon.OtherTime: 1}) {
		t.Errorf("%v", found)
	}
	if s := res.Sides[0]; s.Free != recon.BreaksMax+8 || s.Left != 2 || res.Sides[1].Free != 0 {
		t.Errorf("%+v", res.Sides)
	}
}
