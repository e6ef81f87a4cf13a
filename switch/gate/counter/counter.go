// Package counter tells used counters of a terminal from new ones, and keeps its rate: the
// part of replay protection that is arithmetic. It is pure; nothing in it is safe for
// concurrent use, the terminal's mutex guards it.
package counter

import "math/bits"

// Size is how many counters below the highest are told apart, so that a terminal
// may use parallel connections.
const Size = 1024

// Window knows which counters of one terminal were used. Counters up to floor may have
// been used before this process reserved its block; counters above ceiling belong to
// nobody yet.
type Window struct {
	floor   uint64
	ceiling uint64
	high    uint64
	used    [Size / 64]uint64 // bit n of the ring: counter n modulo Size
}

// Reserve starts or extends the window: everything up to floor is closed, everything up
// to ceiling is this process's own.
func (w *Window) Reserve(floor, ceiling uint64) {
	w.ceiling = ceiling
	if floor > w.floor {
		w.floor = floor
	}
	if floor > w.high {
		w.advance(floor)
	}
}

// Next returns the lowest counter that is sure to be accepted.
func (w *Window) Next() uint64 { return max(w.high, w.floor) + 1 }

// TooLow reports whether counter n can no longer be told from a used one.
func (w *Window) TooLow(n uint64) bool { return n <= w.floor || n+Size <= w.high }

// Use marks counter n as used and reports whether it was free. It is for counters that
// are neither too low nor above the ceiling.
func (w *Window) Use(n uint64) bool {
	if n > w.high {
		w.advance(n)
	}
	word, bit := &w.used[n%Size/64], uint64(1)<<(n%64)
	if *word&bit != 0 {
		return false
	}
	*word |= bit
	return true
}

// Floor returns the counter up to which all are closed.
func (w *Window) Floor() uint64 { return w.floor }

// Ceiling returns the last counter that is this process's own.
func (w *Window) Ceiling() uint64 { return w.ceiling }

// advance makes n the highest counter and forgets what leaves the window.
func (w *Window) advance(n uint64) {
	if n-w.high >= Size {
		w.used = [Size / 64]uint64{}
	} else {
		for c := w.high + 1; c <= n; c++ {
			w.used[c%Size/64] &^= 1 << (c % 64)
		}
	}
	w.high = n
}

// Count returns how many counters of the window were used; tests look at it.
func (w *Window) Count() int {
	n := 0
	for _, word := range w.used {
		n += bits.OnesCount64(word)
	}
	return n
}

// Rate is a token bucket as one number (the generic cell rate algorithm): the instant
// at which it will be full again, in nanoseconds.
type Rate struct{ full int64 }

// Take takes one token at now; every is what a token costs, burst how many there are.
func (b *Rate) Take(now, every int64, burst int) bool {
	full := max(b.full, now)
	if full-now > every*int64(burst-1) {
		return false
	}
	b.full = full + every
	return true
}
