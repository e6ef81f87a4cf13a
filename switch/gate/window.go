package gate

import (
	"math/bits"
	"strconv"
)

// windowSize is how many counters below the highest are told apart, so that a terminal
// may use parallel connections.
const windowSize = 1024

// counterBlock is how many counters are reserved in the registry at once. A restart skips
// what is left of the block; 2^53 counters last for ever all the same.
const counterBlock = 1 << 16

// window knows which counters of one terminal were used. Counters up to floor may have
// been used before this process reserved its block; counters above ceiling belong to
// nobody yet.
type window struct {
	floor   uint64
	ceiling uint64
	high    uint64
	used    [windowSize / 64]uint64 // bit n of the ring: counter n modulo windowSize
}

// reserved starts or extends the window: everything up to floor is closed, everything up
// to ceiling is this process's own.
func (w *window) reserved(floor, ceiling uint64) {
	w.ceiling = ceiling
	if floor > w.floor {
		w.floor = floor
	}
	if floor > w.high {
		w.advance(floor)
	}
}

// next returns the lowest counter that is sure to be accepted.
func (w *window) next() uint64 { return max(w.high, w.floor) + 1 }

// tooLow reports whether counter n can no longer be told from a used one.
func (w *window) tooLow(n uint64) bool { return n <= w.floor || n+windowSize <= w.high }

// use marks counter n as used and reports whether it was free. It is for counters that
// are neither too low nor above the ceiling.
func (w *window) use(n uint64) bool {
	if n > w.high {
		w.advance(n)
	}
	word, bit := &w.used[n%windowSize/64], uint64(1)<<(n%64)
	if *word&bit != 0 {
		return false
	}
	*word |= bit
	return true
}

// advance makes n the highest counter and forgets what leaves the window.
func (w *window) advance(n uint64) {
	if n-w.high >= windowSize {
		w.used = [windowSize / 64]uint64{}
	} else {
		for c := w.high + 1; c <= n; c++ {
			w.used[c%windowSize/64] &^= 1 << (c % 64)
		}
	}
	w.high = n
}

// count returns how many counters of the window were used; tests look at it.
func (w *window) count() int {
	n := 0
	for _, word := range w.used {
		n += bits.OnesCount64(word)
	}
	return n
}

// encodeCounter and decodeCounter are the registry's form of a ceiling.
func encodeCounter(n uint64) []byte { return strconv.AppendUint(nil, n, 10) }

func decodeCounter(value []byte) (uint64, bool) {
	if len(value) == 0 {
		return 0, true
	}
	return parseUint(value)
}

// bucket is a token bucket as one number (the generic cell rate algorithm): the instant
// at which it will be full again, in nanoseconds.
type bucket struct{ full int64 }

// take takes one token at now; every is what a token costs, burst how many there are.
func (b *bucket) take(now, every int64, burst int) bool {
	full := max(b.full, now)
	if full-now > every*int64(burst-1) {
		return false
	}
	b.full = full + every
	return true
}
