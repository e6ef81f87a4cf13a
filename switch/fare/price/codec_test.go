package price_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/fare/price"
	"github.com/tapswitch/tapswitch/switch/txn"
	"pgregory.net/rapid"
)

// passed is a city that sells passes and caps the day, so that every part of a state comes up.
func passed() price.File {
	f := city()
	f.Passes = []price.Pass{{Name: "ten", Price: 1500, Rides: 10}, {Name: "month", Price: 9000, Period: "month"},
		{Name: "week", Price: 3000, Days: 7}}
	f.Caps = []price.Cap{{Period: "day", Amount: 2000}, {Period: "week", Amount: 8000}}
	return f
}

// drawTap is any event of a card at an instant.
func drawTap(t *rapid.T, at txn.Millis) price.Tap {
	station := func() price.Name {
		return price.NameOf(rapid.SampledFrom([]string{"A", "B", "C", ""}).Draw(t, "station"))
	}
	tap := price.Tap{Kind: price.Kind(rapid.IntRange(0, 5).Draw(t, "kind")), At: at,
		Mode:    price.Mode(rapid.SampledFrom([]int{0, 1, 1, 1, 3}).Draw(t, "mode")),
		Station: station(), Pass: rapid.IntRange(0, 2).Draw(t, "pass"),
		Rider: txn.RiderCategory(rapid.IntRange(0, 2).Draw(t, "rider"))}
	if tap.Mode == price.Bus {
		tap.Line = price.NameOf(rapid.SampledFrom([]string{"1", "2", "E1"}).Draw(t, "line"))
	}
	if tap.Mode == price.Metro && rapid.IntRange(0, 4).Draw(t, "business") == 0 {
		tap.Class = price.Business
	}
	return tap
}

// A state that goes through its encoding after every tap prices all that follows as one that
// does not, and is the same in every byte.
func TestStateSurvivesItsEncoding(t *testing.T) {
	tariff := compile(t, passed())
	rapid.Check(t, func(t *rapid.T) {
		var kept, stored price.State
		at := noon
		for range rapid.IntRange(1, 40).Draw(t, "taps") {
			at += txn.Millis(rapid.SampledFrom([]int{0, 1, 10, 50, 300, 1440, 9 * 1440}).Draw(t, "gap")) * minute
			tap := drawTap(t, at)
			if rapid.IntRange(0, 5).Draw(t, "late") == 0 {
				tap.At -= txn.Millis(rapid.IntRange(1, 3000).Draw(t, "age")) * minute
				if a, b := tariff.Late(&kept, &tap), tariff.Late(&stored, &tap); a != b {
					t.Fatalf("late %+v: %+v and %+v", tap, a, b)
				}
			} else if a, b := tariff.Price(&kept, &tap), tariff.Price(&stored, &tap); a != b {
				t.Fatalf("%+v: %+v and %+v", tap, a, b)
			}
			encoded := kept.Append(nil)
			if len(encoded) > price.EncodedMax {
				t.Fatalf("%d bytes, limit %d", len(encoded), price.EncodedMax)
			}
			if err := stored.Decode(encoded); err != nil || stored != kept {
				t.Fatalf("%v:\n got %+v\nwant %+v", err, stored, kept)
			}
		}
	})
}

// A card that rode once today costs a store few bytes, and one that never rode none.
func TestEncodedStateIsSmall(t *testing.T) {
	tariff := compile(t, passed())
	var s price.State
	if b := s.Append(nil); b != nil {
		t.Errorf("a card that never rode has %x", b)
	}
	tap := board(noon, "1")
	tariff.Price(&s, &tap)
	if n := len(s.Append(nil)); n > 40 {
		t.Errorf("one ride has %d bytes, want 40 at most", n)
	}
}

// The encoding of today: what a store holds must be read for ever.
func TestEncodedStateStays(t *testing.T) {
	tariff := compile(t, passed())
	var s price.State
	for _, tap := range []price.Tap{
		{Kind: price.Buy, At: noon, Pass: 0}, board(noon, "1"), enter(noon+minute, price.Metro, "A"),
		with(exit(noon+9*minute, price.Metro, "C"), business), exit(noon+30*minute, price.Metro, "B"),
		enter(noon+40*minute, price.Metro, "B"),
	} {
		tariff.Price(&s, &tap)
	}
	got := hex.EncodeToString(s.Append(nil))
	if got != goldenState {
		t.Errorf("got  %s\nwant %s", got, goldenState)
	}
}

// A state of the time before pasts were kept is read and goes on: its incomplete journey can be
// corrected, an end that is told late finds nothing to complete, and its next incomplete journey
// begins a past.
func TestStateWithoutAPastGoesOn(t *testing.T) {
	f := incomplete(nil)
	f.Incomplete.Correction = &price.Correction{Within: 7 * 24 * time.Hour, PerMonth: 3}
	tariff := compile(t, f)
	all := func(txn.Millis) *price.Tariff { return tariff }
	b, err := hex.DecodeString(goldenBroken)
	if err != nil {
		t.Fatal(err)
	}
	var s price.State
	if err := s.Decode(b); err != nil || !bytes.Equal(s.Append(nil), b) || s.HasPast() {
		t.Fatalf("%v: wrote %x, stored is %x", err, s.Append(nil), b)
	}
	if i := s.ExitFor(noon+30*minute, 0); i != -1 || s.EntryFor(noon, price.Metro) != -1 {
		t.Errorf("a told exit completes number %d of nothing", i)
	}
	fixed := s
	q := tariff.Price(&fixed, &price.Tap{Kind: price.Correct, At: noon + 310*minute, Station: price.NameOf("B")})
	if q.Reason != price.OK || q.Charged >= 0 {
		t.Errorf("corrected: %+v", q)
	}
	lost(t, tariff, &s, noon+400*minute)
	i := s.ExitFor(noon+420*minute, 0)
	if i != 0 {
		t.Fatalf("the next told exit completes number %d", i)
	}
	e := s.Event(i)
	e.Lacks, e.Tap = price.LacksNothing, exit(noon+420*minute, price.Metro, "B")
	if r, ok := s.Retell(all, i, e); !ok || r.Charged >= 0 {
		t.Errorf("retold %+v, %v", r, ok)
	}
}

// The encoding of a past of today: what a store holds must be read for ever.
func TestEncodedPastStays(t *testing.T) {
	tariff := compile(t, incomplete(nil))
	var s price.State
	tap := board(noon, "1")
	tariff.Price(&s, &tap)
	lost(t, tariff, &s, noon+10*minute)
	before, ride := s, board(noon+400*minute, "2")
	ride.Operator = price.NameOf("private")
	s.Keep(&before, price.Event{Tap: ride, Charged: tariff.Price(&s, &ride).Charged, Forgiven: 5, Beside: true})
	b, err := hex.DecodeString(goldenPast)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Append(nil); !bytes.Equal(got, b) {
		t.Errorf("wrote %x", got)
	}
	var back price.State
	if err := back.Decode(b); err != nil || !bytes.Equal(back.Append(nil), b) || back.ExitFor(noon+20*minute, 0) != 0 ||
		back.Event(0).Request != (txn.RequestID{Counter: 7}) || back.Event(0).Payee != "operator/metro" ||
		back.Event(1).Forgiven != 5 {
		t.Errorf("%v: read %+v", err, back)
	}
}

func TestStatesThatCannotBeRead(t *testing.T) {
	for name, text := range map[string]string{"another version": "0200", "a part that is not known": "0120",
		"cut off": "0102", "nothing in it": "01000000", "a part that is empty": "01020000000000000000",
		"not the shortest form": "0100800002", "a day of another age": "01000a",
		"bytes behind it": "0100020000"} {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		var s price.State
		if err := s.Decode(b); !errors.Is(err, price.ErrState) {
			t.Errorf("%s: %v, want ErrState", name, err)
		}
	}
}

// Decode never panics, and what it reads has one encoding and prices without a panic.
func FuzzState(f *testing.F) {
	tariff := compile(f, passed())
	for _, text := range []string{goldenState, goldenBroken, goldenPast} {
		b, _ := hex.DecodeString(text)
		f.Add(b, int64(noon))
	}
	f.Add([]byte{1, 0, 2, 0}, int64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, b []byte, at int64) {
		var s price.State
		if s.Decode(b) != nil {
			return
		}
		if back := s.Append(nil); !bytes.Equal(back, b) {
			t.Fatalf("read %x, wrote %x", b, back)
		}
		for kind := price.Board; kind <= price.Buy; kind++ {
			tap := price.Tap{Kind: kind, At: txn.Millis(at), Mode: price.Metro, Station: price.NameOf("A")}
			tariff.Price(&s, &tap)
			tariff.Late(&s, &tap)
		}
	})
}

// goldenState is the state of TestEncodedStateStays.
const goldenState = "011f80d4a2b48b68000101000080d4a2b48b6801af63ff4c86022805000000000000c81a00" +
	"020100c086e30180cc3a000001af63ac4c86019afcc0f5410001010156e4d21944537194b0c302100001000080b5d9b" +
	"38b6801af63ff4c86022805000000a006"

// goldenBroken is a state with an incomplete journey, as it was written before pasts were kept.
const goldenBroken = "011680fa92c38b6800c002000000900300010001af63ac4c86019afc80a2951100c0020001" +
	"000080fa92c38b6801af63fc4c860222ec000001b607"

// goldenPast is the state of TestEncodedPastStays.
const goldenPast = "012680b0efc88b6800d005000000a00600020001af63af4c8601a0150000d0050001af63ac4c86019afc80d8" +
	"f116000140010680d8fdb18b6800c002000000900300010001af63ac4c86019afc0000c00203af63fc4c8602" +
	"22ecc5a11c2dd9ab8cecaf63af4c8601a015020101030000008099dcc38b68000000010000b6070101000080" +
	"a29511000000000000000000000000000000000000000701410e6f70657261746f722f6d6574726f0c000000" +
	"000080b0efc88b6802030000000090030000000a"
