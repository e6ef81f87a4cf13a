package setup

import "testing"

// A connection never has all of a listener's room, and at least one place.
func TestInFlightPerConnection(t *testing.T) {
	for _, c := range []struct{ all, one int }{
		{1, 1}, {2, 1}, {100, 50}, {2048, 1024}, {8192, inFlightPerConnectionMax},
	} {
		l := Listener{InFlight: c.all}
		if got := l.InFlightPerConnection(); got != c.one {
			t.Errorf("of %d: %d, want %d", c.all, got, c.one)
		}
	}
}
