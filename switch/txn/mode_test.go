package txn_test

import (
	"testing"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// Names of modes are stable, and a tap without one has that of its kind.
func TestModes(t *testing.T) {
	want := []string{"bus", "metro", "rail", "tram", "ferry"}
	for i, m := range txn.Modes() {
		back, ok := txn.ParseMode(m.String())
		if m.String() != want[i] || !ok || back != m || !m.Valid() {
			t.Errorf("mode %d is %s, want %s", m, m, want[i])
		}
		if m.For(txn.MetroEntry) != m {
			t.Errorf("%s gives way to the kind", m)
		}
	}
	for _, text := range []string{"", "Bus", "unknown", "train"} {
		if m, ok := txn.ParseMode(text); ok || m != txn.ModeOfKind {
			t.Errorf("%q is %d", text, m)
		}
	}
	for kind, mode := range map[txn.Kind]txn.Mode{txn.BusBoarding: txn.ModeBus,
		txn.MetroEntry: txn.ModeMetro, txn.MetroExit: txn.ModeMetro} {
		if got := txn.ModeOfKind.For(kind); got != mode {
			t.Errorf("%s goes by %s", kind, got)
		}
	}
	if none := txn.Mode(6); none.Valid() || none.String() != "unknown" || txn.ModeOfKind.String() != "" {
		t.Errorf("mode 6 is %s", none)
	}
}
