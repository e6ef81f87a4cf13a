package qrdesk

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// Each answer counts once by its reason, and each verification with its time.
func TestFigures(t *testing.T) {
	f := NewFigures()
	for range 3 {
		f.Decided(txn.ReasonNone, false)
	}
	f.Decided(txn.ReasonNone, true)
	f.Decided(txn.CodeExpired, false)
	f.Verified(400 * time.Microsecond)
	f.Verified(time.Second)
	r := prometheus.NewRegistry()
	r.MustRegister(f)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, m := range family.Metric {
			name := family.GetName()
			for _, l := range m.Label {
				name += " " + l.GetValue()
			}
			got[name] = m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	for name, want := range map[string]float64{"tapswitch_qr_taps_total approved": 4,
		"tapswitch_qr_taps_total " + txn.CodeExpired.String(): 1, "tapswitch_qr_replays_total": 1,
		"tapswitch_qr_verify_seconds": 2} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	if len(got) != 4 {
		t.Errorf("%v", got)
	}
}
