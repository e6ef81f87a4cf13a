package counter

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestWindowAgainstModel runs random counters against a set of everything ever used.
func TestWindowAgainstModel(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		var w Window
		w.Reserve(0, 1<<40)
		used, high := map[uint64]bool{}, uint64(0)
		for range 5000 {
			n := uint64(1)
			switch random.IntN(4) {
			case 0:
				n = high + 1 + random.Uint64N(3)
			case 1:
				n = high + 1 + random.Uint64N(3*Size)
			default:
				n = high - min(high, random.Uint64N(Size+200))
			}
			n = max(1, n)
			tooLow := high >= Size && n <= high-Size
			if w.TooLow(n) != tooLow {
				t.Fatalf("counter %d, high %d: too low %v", n, high, !tooLow)
			}
			if tooLow {
				continue
			}
			if w.Use(n) == used[n] {
				t.Fatalf("counter %d, high %d: used before %v", n, high, used[n])
			}
			used[n], high = true, max(high, n)
		}
		if w.Next() != high+1 {
			t.Fatalf("next %d, high %d", w.Next(), high)
		}
	}
}

func TestWindowFloor(t *testing.T) {
	var w Window
	w.Reserve(500, 500)
	if !w.TooLow(500) || w.TooLow(501) || w.Next() != 501 || w.Count() != 0 {
		t.Errorf("floor 500: next %d, %d used", w.Next(), w.Count())
	}
	w.Reserve(500, 2000)
	if !w.Use(600) || w.Use(600) || !w.Use(501) || w.Count() != 2 {
		t.Errorf("%d used", w.Count())
	}
	w.Reserve(3000, 3000) // another process took the next block
	if !w.TooLow(700) || !w.TooLow(3000) || w.Next() != 3001 {
		t.Errorf("floor 3000: next %d", w.Next())
	}
}

func TestWindowJumpForgets(t *testing.T) {
	var w Window
	w.Reserve(0, 1<<40)
	for n := uint64(1); n <= Size; n++ {
		w.Use(n)
	}
	if w.Count() != Size {
		t.Fatalf("%d used", w.Count())
	}
	w.Use(Size + 2) // 1 and 2 leave the window, Size+1 is free
	if w.Count() != Size-1 || !w.Use(Size+1) {
		t.Errorf("%d used", w.Count())
	}
	w.Use(1 << 30)
	if w.Count() != 1 {
		t.Errorf("%d used after the jump", w.Count())
	}
}

func TestTokenBucket(t *testing.T) {
	var b Rate
	every := int64(100 * time.Millisecond)
	now := int64(time.Hour)
	take := func(want int) {
		t.Helper()
		got := 0
		for range 20 {
			if b.Take(now, every, 5) {
				got++
			}
		}
		if got != want {
			t.Errorf("%d taken, want %d", got, want)
		}
	}
	take(5)
	take(0)
	now += 3 * every
	take(3)
	now += 100 * every
	take(5)
	now -= 50 * every // a clock that steps back gives nothing away
	take(0)
}
