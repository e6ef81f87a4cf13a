package engine_test

import (
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/fare/price"
	"github.com/tapswitch/tapswitch/switch/txn"
	"pgregory.net/rapid"
)

// The model knows the rules of modelTariff by heart and tries every legal combination: each
// ride begins a chain or continues one by any rule that lets it. A day costs at most 9.00, a
// week 14.00. Boards 2.00, metro rides 3.00.
const (
	modelBus, modelMetro      = txn.Minor(200), txn.Minor(300)
	modelDayCap, modelWeekCap = txn.Minor(900), txn.Minor(1400)
	modelOff                  = txn.Minor(50)
	modelWindow, modelThird   = 60 * minute, 2 * hour
	modelDays                 = 24 * hour
	modelZone                 = 8 * hour
	modelPenalty              = txn.Minor(300)
	modelRidesMax             = 8 // of one day: the search takes 3 to that power
)

// modelTariff has 0.50 off a change of mode within an hour of the last exit, and a third ride
// free within two hours of the first boarding, when that was a bus.
func modelTariff() price.File {
	return price.File{Tariff: "model", Version: "1", Effective: price.Effective{From: 20260101},
		UTCOffset: 8 * time.Hour,
		Fares: []price.Fare{{Name: "bus", Mode: "bus", Flat: ptr(modelBus)},
			{Name: "metro", Mode: "metro", Flat: ptr(modelMetro)}},
		Transfers: []price.Transfer{
			{Name: "bus-metro", From: []string{"bus"}, To: []string{"metro"}, Window: time.Hour, Off: ptr(modelOff)},
			{Name: "metro-bus", From: []string{"metro"}, To: []string{"bus"}, Window: time.Hour, Off: ptr(modelOff)},
			{Name: "third", From: []string{"bus", "metro"}, To: []string{"bus", "metro"}, First: []string{"bus"},
				Window: 2 * time.Hour, Measured: "first_entry", Legs: 3, Pays: ptr(price.Share(0))},
		},
		Caps:       []price.Cap{{Period: "day", Amount: modelDayCap}, {Period: "week", Amount: modelWeekCap}},
		Incomplete: &price.Incomplete{MissingExit: "maximum", MissingEntry: "maximum"}}
}

// modelRide is a ride as a passenger remembers it.
type modelRide struct {
	metro      bool
	start, end txn.Millis
}

func (r modelRide) full() txn.Minor {
	if r.metro {
		return modelMetro
	}
	return modelBus
}

// cheapest returns the least that rides[i:] of one day cost, with a chain since ride first.
func cheapest(rides []modelRide, i, first int) txn.Minor {
	if i == len(rides) {
		return 0
	}
	r := rides[i]
	best := r.full() + cheapest(rides, i+1, i)
	if i == 0 {
		return best
	}
	last, begin := rides[i-1], rides[first]
	if last.metro != r.metro && r.start-last.end <= modelWindow {
		best = min(best, r.full()-modelOff+cheapest(rides, i+1, first))
	}
	if i-first < 3 && !begin.metro && r.start-begin.start <= modelThird {
		best = min(best, cheapest(rides, i+1, first))
	}
	return best
}

// owed returns what all rides cost: by the day, with its cap, and the week's.
func owed(rides []modelRide) (sum txn.Minor) {
	byDay := map[txn.Millis][]modelRide{}
	for _, r := range rides {
		d := (r.end + modelZone) / modelDays
		byDay[d] = append(byDay[d], r)
	}
	weeks := map[txn.Millis]txn.Minor{}
	for d, of := range byDay {
		weeks[(d+3)/7] += min(cheapest(of, 0, 0), modelDayCap)
	}
	for _, paid := range weeks {
		sum += min(paid, modelWeekCap)
	}
	return sum
}

// passenger rides at random and keeps count.
type passenger struct {
	*wallet
	t        *rapid.T
	rides    []modelRide
	paid     txn.Minor // for rides
	entered  txn.Millis
	last     *txn.Request // the last ride, while it may be taken back
	counter  uint32
	overdraw bool
}

// After every step of a random history the rider has paid what the cheapest legal combination
// of his rides costs, whatever was repeated or taken back in between, and the purse is not
// below zero but for journeys that lapsed.
func TestBestPriceOfRandomHistories(t *testing.T) {
	file := modelTariff()
	rapid.Check(t, func(t *rapid.T) {
		p := &passenger{t: t, wallet: enrolled(t, rapid.SampledFrom([]txn.Minor{300, 1500, 90_000}).Draw(t, "balance"))}
		p.policy.Tariff = tariffOf(t, file)
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			p.now += rapid.SampledFrom([]txn.Millis{0, 5 * minute, 25 * minute, 70 * minute, 3 * hour, day, 3 * day}).Draw(t, "pass")
			p.step()
			if p.paid != owed(p.rides) {
				t.Fatalf("paid %d, the cheapest way costs %d: %+v", p.paid, owed(p.rides), p.rides)
			}
			if b := p.wallet.card().Balance; b < 0 && !p.overdraw || b < -modelPenalty {
				t.Fatalf("balance %d", b)
			}
		}
	})
}

func (p *passenger) step() {
	p.lapseDue()
	today := 0
	for _, r := range p.rides {
		if (r.end+modelZone)/modelDays == (p.now+modelZone)/modelDays {
			today++
		}
	}
	switch what := rapid.IntRange(0, 5).Draw(p.t, "what"); {
	case what == 5:
		p.takeBack()
	case today >= modelRidesMax:
	case what < 2:
		p.took(p.board("M1"), modelRide{start: p.now, end: p.now})
	case !p.wallet.card().Journey.Open():
		p.enter()
	default:
		p.leave()
	}
}

func (p *passenger) enter() {
	r := p.entry("Futian")
	if d := p.do(r); d.Outcome == txn.Approved {
		p.entered, p.last = p.now, nil
	}
}

func (p *passenger) leave() {
	if p.now-p.entered > p.policy.JourneyMax {
		p.refused(p.exit("Luohu"), txn.JourneyTooLong)
		return
	}
	p.took(p.exit("Luohu"), modelRide{metro: true, start: p.entered, end: p.now})
}

// took asks for a ride, twice over, and counts it if the purse can pay.
func (p *passenger) took(r *txn.Request, ride modelRide) {
	d := p.do(r)
	if again := p.do(r); again.Charged != d.Charged || again.Outcome != d.Outcome || !again.Replay {
		p.t.Fatalf("first %+v, then %+v", d, again)
	}
	if d.Outcome != txn.Approved {
		if d.Reason != txn.InsufficientFunds {
			p.t.Fatalf("%s: %s", r.Kind, d.Reason)
		}
		return
	}
	p.rides, p.paid, p.last = append(p.rides, ride), p.paid+d.Charged, r
}

// takeBack reverses the last ride: it has never been.
func (p *passenger) takeBack() {
	if p.last == nil {
		return
	}
	d := p.do(p.reversal(p.last))
	switch {
	case d.Outcome == txn.Approved:
		p.paid += d.Charged
		p.rides, p.last = p.rides[:len(p.rides)-1], nil
		p.counter++
	case d.Reason != txn.OriginalUnknown: // forgotten, after days
		p.t.Fatalf("reversal: %s", d.Reason)
	}
	if j := p.wallet.card().Journey; j != (card.Journey{}) {
		p.entered = j.EnteredAt
	}
}

// lapseDue lets the journey lapse that is due, which is charged as incomplete.
func (p *passenger) lapseDue() {
	j := p.wallet.card().Journey
	if !j.Open() || p.now < j.EnteredAt+p.policy.JourneyLapse {
		return
	}
	lapse := p.request(txn.JourneyLapse, original(j.Request), place(txn.Place{}))
	lapse.ID = txn.RequestID{}
	if d := p.must(lapse); d.Charged != modelPenalty {
		p.t.Fatalf("a lapsed journey costs %d", d.Charged)
	}
	p.overdraw, p.last = true, nil
}
