package price_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/fare/price"
	"github.com/tapswitch/tapswitch/switch/txn"
	"pgregory.net/rapid"
)

func incomplete(told *time.Duration) price.File {
	f := passed()
	f.Incomplete = &price.Incomplete{MissingExit: "maximum", MissingEntry: "maximum", ToldWithin: told}
	return f
}

// lost gives up a journey from A at an instant and keeps it with the past of s.
func lost(t tb, tariff *price.Tariff, s *price.State, at txn.Millis) {
	t.Helper()
	before := *s
	e := price.Event{Tap: price.Tap{Kind: price.Lapse, At: at + 300*minute}, Lacks: price.LacksExit,
		Journey: price.Journey{Open: true, At: at, Mode: price.Metro, Station: price.NameOf("A")},
		Request: txn.RequestID{Counter: 7}, Station: "A", Payee: "operator/metro"}
	s.Journey = e.Journey
	q := tariff.Price(s, &e.Tap)
	if q.Reason != price.OK {
		t.Fatalf("lapse: %v", q.Reason)
	}
	e.Charged = q.Charged
	s.Keep(&before, e)
}

type tb interface {
	Helper()
	Fatalf(string, ...any)
}

// A past goes through its encoding unchanged, never takes more bytes than a state may have, and
// its oldest events leave it first.
func TestPastSurvivesItsEncoding(t *testing.T) {
	tariff := compile(t, incomplete(nil))
	all := func(txn.Millis) *price.Tariff { return tariff }
	rapid.Check(t, func(t *rapid.T) {
		var s price.State
		at := noon
		for range rapid.IntRange(1, 30).Draw(t, "events") {
			at += txn.Millis(rapid.SampledFrom([]int{1, 40, 1440}).Draw(t, "gap")) * minute
			if rapid.IntRange(0, 2).Draw(t, "lost") == 0 {
				lost(t, tariff, &s, at)
				at += 300 * minute
			} else {
				before, ride := s, drawTap(t, at)
				q := tariff.Price(&s, &ride)
				if q.Reason != price.OK {
					continue
				}
				s.Keep(&before, price.Event{Tap: ride, Charged: q.Charged, Journey: before.Journey,
					Beside: rapid.Bool().Draw(t, "beside"), Forgiven: txn.Minor(rapid.IntRange(0, 1).Draw(t, "forgiven"))})
			}
			s.Trim(all, at-72*60*minute, true)
			encoded := s.Append(nil)
			if len(encoded) > price.EncodedMax {
				t.Fatalf("%d bytes, limit %d", len(encoded), price.EncodedMax)
			}
			var back price.State
			if err := back.Decode(encoded); err != nil || !bytes.Equal(back.Append(nil), encoded) {
				t.Fatalf("%v: %x became %x", err, encoded, back.Append(nil))
			}
			if len(encoded) > 2 {
				if err := back.Decode(encoded[:len(encoded)-1]); err == nil {
					t.Fatalf("the first %d of %d bytes are a state", len(encoded)-1, len(encoded))
				}
			}
		}
	})
}

// An exit finds the journey that was open at its time and no other, and an entry the exit after it.
func TestEndsFindTheirJourney(t *testing.T) {
	tariff := compile(t, incomplete(nil))
	all := func(txn.Millis) *price.Tariff { return tariff }
	var s price.State
	lost(t, tariff, &s, noon)
	lost(t, tariff, &s, noon+600*minute)
	for at, want := range map[txn.Millis]int{-1: -1, 0: 0, 300: 0, 301: -1, 599: -1, 600: 1, 900: 1, 901: -1} {
		if got := s.ExitFor(noon+at*minute, 0); got != want {
			t.Errorf("an exit at minute %d ends number %d, want %d", at, got, want)
		}
	}
	if got := s.ExitFor(noon-minute, minute); got != 0 {
		t.Errorf("an exit within the skew ends %d", got)
	}
	before, out := s, exit(noon+1000*minute, price.Metro, "B")
	q := tariff.Price(&s, &out)
	s.Keep(&before, price.Event{Tap: out, Charged: q.Charged, Lacks: price.LacksEntry})
	for at, want := range map[txn.Millis]int{601: 2, 1000: 2, 1001: -1, 599: -1} {
		if got := s.EntryFor(noon+at*minute, price.Metro); got != want {
			t.Errorf("an entry at minute %d began %d, want %d", at, got, want)
		}
	}
	if s.EntryFor(noon+990*minute, price.Tram) != -1 {
		t.Error("a tram ride ends in the metro")
	}
	e := s.Event(0)
	e.Lacks, e.Tap = price.LacksNothing, exit(noon+20*minute, price.Metro, "B")
	r, ok := s.Retell(all, 0, e)
	if !ok || r.Charged != r.Quote.Charged-r.Returned-r.Others || r.Returned <= r.Quote.Charged {
		t.Errorf("retold %+v, %v", r, ok)
	}
	if s.ExitFor(noon+20*minute, 0) != -1 {
		t.Error("a complete journey is completed again")
	}
	if _, ok := s.Retell(func(txn.Millis) *price.Tariff { return nil }, -1, e); ok {
		t.Error("retold without a tariff")
	}
	s.Trim(all, noon+5000*minute, false)
	if s.HasPast() {
		t.Error("a past that nothing can change is kept")
	}
}

// How late an end may be told stands in the tariff.
func TestToldWithin(t *testing.T) {
	day, none, early, long := 24*time.Hour, time.Duration(0), -time.Second, 32*24*time.Hour
	for _, c := range []struct {
		told *time.Duration
		want txn.Millis
	}{{nil, 72 * 60 * minute}, {&day, 24 * 60 * minute}, {&none, 0}} {
		if got := compile(t, incomplete(c.told)).Told(); got != c.want {
			t.Errorf("told within %v: %d", c.told, got)
		}
	}
	for _, bad := range []*time.Duration{&early, &long} {
		if _, err := price.Compile(incomplete(bad)); err == nil || !strings.Contains(err.Error(), "incomplete.told_within") {
			t.Errorf("%v: %v", *bad, err)
		}
	}
	if f := passed(); f.Incomplete == nil && compile(t, f).Told() != 0 {
		t.Error("a tariff that does not charge incomplete journeys has a time for them")
	}
}
