package gate

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestWindowAgainstModel runs random counters against a set of everything ever used.
func TestWindowAgainstModel(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		var w window
		w.reserved(0, 1<<40)
		used, high := map[uint64]bool{}, uint64(0)
		for range 5000 {
			n := uint64(1)
			switch random.IntN(4) {
			case 0:
				n = high + 1 + random.Uint64N(3)
			case 1:
				n = high + 1 + random.Uint64N(3*windowSize)
			default:
				n = high - min(high, random.Uint64N(windowSize+200))
			}
			n = max(1, n)
			tooLow := high >= windowSize && n <= high-windowSize
			if w.tooLow(n) != tooLow {
				t.Fatalf("counter %d, high %d: too low %v", n, high, !tooLow)
			}
			if tooLow {
				continue
			}
			if w.use(n) == used[n] {
				t.Fatalf("counter %d, high %d: used before %v", n, high, used[n])
			}
			used[n], high = true, max(high, n)
		}
		if w.next() != high+1 {
			t.Fatalf("next %d, high %d", w.next(), high)
		}
	}
}

func TestWindowFloor(t *testing.T) {
	var w window
	w.reserved(500, 500)
	if !w.tooLow(500) || w.tooLow(501) || w.next() != 501 || w.count() != 0 {
		t.Errorf("floor 500: next %d, %d used", w.next(), w.count())
	}
	w.reserved(500, 2000)
	if !w.use(600) || w.use(600) || !w.use(501) || w.count() != 2 {
		t.Errorf("%d used", w.count())
	}
	w.reserved(3000, 3000) // another process took the next block
	if !w.tooLow(700) || !w.tooLow(3000) || w.next() != 3001 {
		t.Errorf("floor 3000: next %d", w.next())
	}
}

func TestWindowJumpForgets(t *testing.T) {
	var w window
	w.reserved(0, 1<<40)
	for n := uint64(1); n <= windowSize; n++ {
		w.use(n)
	}
	if w.count() != windowSize {
		t.Fatalf("%d used", w.count())
	}
	w.use(windowSize + 2) // 1 and 2 leave the window, windowSize+1 is free
	if w.count() != windowSize-1 || !w.use(windowSize+1) {
		t.Errorf("%d used", w.count())
	}
	w.use(1 << 30)
	if w.count() != 1 {
		t.Errorf("%d used after the jump", w.count())
	}
}

func TestTokenBucket(t *testing.T) {
	var b bucket
	every := int64(100 * time.Millisecond)
	now := int64(time.Hour)
	take := func(want int) {
		t.Helper()
		got := 0
		for range 20 {
			if b.take(now, every, 5) {
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
