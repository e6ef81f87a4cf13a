package price_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"testing"

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
	b, _ := hex.DecodeString(goldenState)
	f.Add(b, int64(noon))
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
