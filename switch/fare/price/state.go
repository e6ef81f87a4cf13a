package price

import "github.com/tapswitch/tapswitch/switch/txn"

const (
	// LegsMax is the longest chain of transfers whose rides are told apart; a transfer
	// without a limit of legs goes on beyond it.
	LegsMax = 8
	// PassesMax is how many passes a card holds at once.
	PassesMax = 4
	// never is the cost of a chain that no ride ends: above all sums, far from overflow.
	never = txn.Minor(1) << 52
)

// State is what the price of the next tap rests on: one card's open journey, the chains of
// the service day, what its periods have cost, its passes. The zero State is a new card. It
// is a plain value; it holds no card number, and what it points at is never changed in place.
type State struct {
	Journey Journey

	last   txn.Millis
	day    int32
	week   int32
	month  int32
	ridden int                  // rides in legs
	legs   [LegsMax]leg         // of the day, the newest first
	costs  [LegsMax]txn.Minor   // least total of the day with the newest ride as leg n+1
	alone  txn.Minor            // total of the day's rides that no chain holds
	paid   txn.Minor            // for rides of the day
	before [periodEnd]txn.Minor // paid in the week and the month before the day
	full   txn.Minor            // full fares of the month
	passes [PassesMax]held      // zero Name: free
	broken broken               // the last incomplete journey, for a correction
	mended int                  // corrections of the month
	past   *past                // since an incomplete journey; nil for most cards
}

// Journey is an open journey.
type Journey struct {
	Open          bool
	At            txn.Millis
	Mode          Mode
	Class         Class
	Station, Line Name
	Operator      Name
	Rider         txn.RiderCategory
}

// leg is a ride as the next transfer sees it.
type leg struct {
	start, end txn.Millis
	line       Name
	mode       Mode
}

// held is a pass of the card.
type held struct {
	pass  Name
	index int32 // of the calendar period; the last day for a pass of some days
	rides int32 // left; -1 for any number
}

// broken is an incomplete journey that was charged.
type broken struct {
	journey   Journey // the end that is known
	lacksExit bool
	charged   txn.Minor
}

// Paid returns what rides have cost in the current day, week and month, as of the last tap.
func (s *State) Paid(p Period) txn.Minor {
	if p == Day {
		return s.paid
	}
	return s.before[p] + s.paid
}

// chained returns the cheapest total of the day's chains of transfers.
func (s *State) chained() txn.Minor {
	if s.ridden == 0 {
		return 0
	}
	low := never
	for _, c := range s.costs[:s.ridden] {
		low = min(low, c)
	}
	return low
}

// least returns the cheapest total of the day.
func (s *State) least() txn.Minor { return s.alone + s.chained() }

// push makes r the newest ride, with the totals of the chains that it ends. What is beyond
// the depth of the tariff is forgotten.
func (t *Tariff) push(s *State, r leg, costs *[LegsMax]txn.Minor) {
	copy(s.legs[1:], s.legs[:LegsMax-1])
	s.legs[0] = r
	s.ridden = min(s.ridden+1, t.depth)
	s.costs = *costs
	for i := s.ridden; i < LegsMax; i++ {
		s.legs[i], s.costs[i] = leg{}, 0
	}
}

// forget drops an incomplete journey that can no longer be corrected.
func (t *Tariff) forget(s *State) {
	if t.missing.within == 0 || s.last-s.broken.journey.At > t.missing.within {
		s.broken = broken{}
	}
}

// roll begins the periods in which the service day lies.
func (s *State) roll(day int32) {
	if day == s.day {
		return
	}
	week, month := weekOf(day), monthOf(day)
	s.before[Week] += s.paid
	s.before[Month] += s.paid
	if week != s.week {
		s.before[Week] = 0
	}
	if month != s.month {
		s.before[Month], s.full, s.mended = 0, 0, 0
	}
	s.day, s.week, s.month = day, week, month
	s.paid, s.alone, s.ridden = 0, 0, 0
	s.legs, s.costs = [LegsMax]leg{}, [LegsMax]txn.Minor{}
}

// Rode tells s of a ride that was priced elsewhere: it can be the first of a chain of
// transfers, and costs nothing here. One that ended before the last tap is passed over.
func (t *Tariff) Rode(s *State, mode Mode, line Name, start, end txn.Millis) {
	if end < s.last || mode >= modeEnd {
		return
	}
	s.roll(t.dayAt(end))
	s.last = end
	t.forget(s)
	if t.depth == 0 {
		return
	}
	var costs [LegsMax]txn.Minor
	for i := range costs {
		costs[i] = never
	}
	costs[0] = s.chained()
	t.push(s, leg{start, end, line, mode}, &costs)
}

// Adopt takes over the rides of the card that this one replaces. Where this one has been used
// already it keeps its own and takes the passes, as far as there is room.
func (s *State) Adopt(from *State) {
	if *s == (State{}) {
		*s = *from
		return
	}
	for _, h := range from.passes {
		for i := range s.passes {
			if h.pass != 0 && s.passes[i].pass == 0 {
				s.passes[i] = h
				break
			}
		}
	}
}

// Last returns when the last tap was priced.
func (s *State) Last() txn.Millis { return s.last }

// Incomplete returns the known end of the incomplete journey that may be corrected; its At is
// 0 when there is none.
func (s *State) Incomplete() Journey { return s.broken.journey }

// DropIncomplete takes the incomplete journey away: it was forgiven, and there is nothing left
// to correct. What it has cost still counts where it counted.
func (s *State) DropIncomplete() { s.broken = broken{} }
