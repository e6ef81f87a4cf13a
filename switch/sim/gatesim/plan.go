package gatesim

import (
	"math/rand/v2"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// script is what happens at one gate, as far as the seed decides it: who taps when, when the
// network is lost, how the clock runs. It is only read.
type script struct {
	setup *Setup
	gate  int
	skew  txn.Millis // of the clock at Base
	drift int64      // millionths
}

func newScript(s *Setup, gate int) *script {
	r := s.random(gate, "clock")
	around := func(most int64) int64 {
		if most == 0 {
			return 0
		}
		return r.Int64N(2*most+1) - most
	}
	return &script{setup: s, gate: gate, skew: txn.Millis(around(int64(s.Skew))), drift: around(s.Drift)}
}

// at returns when tap n happens: the true time.
func (s *script) at(n int) txn.Millis { return s.setup.Base + txn.Millis(n)*s.setup.Interval }

// card returns which of the gate's cards is shown at tap n.
func (s *script) card(n int) int { return s.tapRandom(n, "card").IntN(s.setup.cardsOf(s.gate)) }

// torn reports whether the card is away before it answers at tap n, and whether it was debited;
// again whether its holder shows it at the same gate once more.
func (s *script) torn(n int) (torn, paid, again bool) {
	r := s.tapRandom(n, "torn")
	torn = r.IntN(10_000) < s.setup.Tears
	return torn, r.IntN(2) == 0, r.IntN(2) == 0
}

// business reports whether the journey that begins at tap n is of the business class.
func (s *script) business(n int) bool { return s.tapRandom(n, "class").IntN(8) == 0 }

func (s *script) tapRandom(n int, purpose string) *rand.Rand {
	return s.setup.random(s.gate<<32|n, purpose)
}

// lost reports whether the network is away at tap n. The plan is cut into stretches of
// OutageEvery taps with one outage somewhere in each.
func (s *script) lost(n int) bool {
	every, taps := s.setup.OutageEvery, s.setup.OutageTaps
	if every <= 0 || taps <= 0 {
		return false
	}
	stretch := n / every
	r := s.tapRandom(stretch, "outage")
	length := 1 + r.IntN(min(taps, every))
	start := stretch*every + r.IntN(every-length+1)
	return n >= start && n < start+length
}

// repeated reports whether the upload before tap n is sent twice.
func (s *script) repeated(n int) bool {
	return s.tapRandom(n, "repeat").IntN(10_000) < s.setup.Repeats
}

// offset is how much the gate's clock is ahead at tap n, when it was set last at tap set, -1
// for never.
func (s *script) offset(n, set int) txn.Millis {
	if set < 0 {
		return s.skew + txn.Millis(int64(s.at(n)-s.setup.Base)*s.drift/1_000_000)
	}
	return txn.Millis(int64(s.at(n)-s.at(set)) * s.drift / 1_000_000)
}
