package price_test

import (
	"fmt"
	"testing"

	"github.com/tapswitch/tapswitch/switch/fare/price"
)

// The parts name their rules and sum up to the charge.
func TestExplain(t *testing.T) {
	const m = minute
	f := city()
	f.Riders[0].Line, f.Transfers[0].Line = 21, 41
	f.Caps = []price.Cap{{Period: "day", Amount: 1000}}
	f.Tiers = []price.Tier{{From: 1300, Pays: 5000}}
	f.Passes = []price.Pass{{Name: "day", Price: 900, Period: "day"}}
	tariff := compile(t, f)
	taps := []price.Tap{board(noon, "E1"), enter(noon+m, price.Metro, "A"),
		exit(noon+2*m, price.Metro, "B"), board(noon+3*m, "2"), board(noon+4*m, "3"),
		{Kind: price.Buy, At: noon + 5*m}, board(noon+5*m, "4"), enter(noon+6*m, price.Metro, "A"),
		{Kind: price.Lapse, At: noon + 7*m},
		{Kind: price.Correct, At: noon + 8*m, Station: price.NameOf("B")},
		enter(noon+9*m, price.Metro, "A"), exit(noon+300*m, price.Metro, "C")}
	want := []string{
		"[{full 1000 fare express 0} {rider -275 ordinary riders pay 80% up to 300, 75% up to 600, 65% above 0} {charged 725  0}]",
		"[{charged 0  0}]",
		"[{full 300 fare metro 0} {rider -15 ordinary riders pay 95% 21} {transfer -40 transfer change within 1h30m0s 41}]",
	}
	var s price.State
	for i := range taps {
		q := tariff.Price(&s, &taps[i])
		parts := tariff.Explain(&q)
		sum := parts[len(parts)-1].Amount
		for _, p := range parts[:len(parts)-1] {
			sum -= p.Amount
			if p.Rule == "" {
				t.Errorf("tap %d: no rule for %+v", i, p)
			}
		}
		if q.Reason != price.OK || sum != 0 || parts[len(parts)-1].What != "charged" {
			t.Errorf("tap %d: %v, parts %v are %d off", i, q.Reason, parts, sum)
		}
		if i < 2 && fmt.Sprint(parts) != want[i] {
			t.Errorf("tap %d: %v, want %s", i, parts, want[i])
		}
		if i == 2 && fmt.Sprint(parts[:3]) != want[2] {
			t.Errorf("tap %d: %v", i, parts)
		}
	}
}
