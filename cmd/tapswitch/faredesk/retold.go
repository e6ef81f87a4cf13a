package faredesk

import (
	"slices"
	"strings"

	"github.com/tapswitch/tapswitch/switch/fare/price"
	"github.com/tapswitch/tapswitch/switch/fare/tariff"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Ends of journeys that gates told late: the ledger has the incomplete fare in one record, and in
// another, which names the first as its original, the ride with the fare given back. A what-if
// counts the ride once.

const (
	// causeIncomplete is what the record of a told end gives back.
	causeIncomplete = "incomplete"
	// noOriginal refuses an entry that was told late and whose exit is of a day that is not read.
	noOriginal = "exit of an entry told late is before --since"
)

// entryOf returns what an entry has charged: the journey before it that was given up, or, told
// late, the ride whose exit is its original.
func entryOf(r *txn.Record, ride ridden) (ridden, bool) {
	if !r.Original.IsZero() {
		ride.lacks, ride.tap.Kind = price.LacksEntry, price.Enter
		return ride, true
	}
	if r.Charged <= 0 {
		return ride, false
	}
	ride.tap.Kind, ride.tap.Station = price.Lapse, 0
	ride.entered, ride.gaveUp = r.ServiceAt, true
	for _, p := range r.Postings {
		if name, ok := strings.CutPrefix(string(p.Account), "operator/"); ok && p.Amount > 0 {
			ride.operator, ride.tap.Operator = name, price.NameOf(name)
		}
	}
	return ride, true
}

// returnedBy is what the record of a told end gives back of the incomplete journey.
func returnedBy(r *txn.Record) (sum txn.Minor) {
	for _, d := range r.Discounts {
		if d.Cause == causeIncomplete && d.Amount > 0 {
			sum += d.Amount
		}
	}
	return sum
}

// joined returns rides with each told end joined to the incomplete journey that it completes. One
// of another day keeps what it gives back apart: that day has the incomplete fare.
func joined(rides []ridden) []ridden {
	for i := range rides {
		if told := &rides[i]; told.lacks != price.LacksNothing {
			known := slices.IndexFunc(rides, told.completes)
			switch {
			case told.lacks == price.LacksExit && known >= 0:
				told.takeBack(&rides[known])
			case known >= 0:
				told.join(&rides[known])
			}
		}
	}
	return slices.DeleteFunc(rides, func(r ridden) bool { return r.gone })
}

// completes reports whether r was the charge for the journey that told completes.
func (told *ridden) completes(r ridden) bool {
	switch {
	case r.gone || r.lacks != price.LacksNothing:
		return false
	case told.lacks == price.LacksEntry:
		return r.request == told.original
	case r.gaveUp: // it does not name what it gave up: the first after the entry did
		return r.tap.At >= told.tap.At && r.charged >= told.returned
	default:
		return r.tap.Kind == price.Lapse && r.original == told.original
	}
}

// takeBack takes out of the incomplete journey known what the told exit gives back of it.
func (told *ridden) takeBack(known *ridden) {
	if known.counts != told.counts {
		return
	}
	told.charged, known.charged = told.charged+told.returned, known.charged-told.returned
	told.lacks = price.LacksNothing
	known.gone = known.charged == 0 // of two persons the other's is left
}

// join makes of an exit and its entry, told later, one ride.
func (told *ridden) join(exit *ridden) {
	ride := *exit
	ride.entered, ride.entry = told.tap.At, told.tap.Station
	ride.charged = told.charged
	if exit.counts == told.counts {
		ride.charged += exit.charged
	} else {
		ride.lacks = price.LacksEntry
	}
	ride.counts, exit.gone = told.counts, true
	*told = ride
}

// incomplete is what the journey of which r tells an end would have cost without it.
func (r *ridden) incomplete(book *tariff.Book) txn.Minor {
	var s price.State
	t, ok := book.At(r.tap.At)
	if !ok {
		return 0
	}
	tap := r.tap
	if r.lacks == price.LacksExit {
		enter := r.entryTap()
		t.Price(&s, &enter)
		tap.Kind = price.Lapse
	}
	if q := t.Price(&s, &tap); q.Reason == price.OK {
		return q.Charged
	}
	return 0
}

// entryTap is the entry of a ride as the tariff sees it.
func (r *ridden) entryTap() price.Tap {
	enter := r.tap
	enter.Kind, enter.Station, enter.At = price.Enter, r.entry, min(r.entered, r.tap.At)
	return enter
}
