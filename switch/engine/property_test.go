package engine_test

import (
	"slices"
	"testing"

	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/txn"
	"pgregory.net/rapid"
)

// town is a few cards driven at random, with what was asked and answered.
type town struct {
	t     *rapid.T
	cards []*wallet
	asked [][]asked // by card
}

type asked struct {
	request  txn.Request
	decision txn.Decision
	approved int // how often it was executed
}

// TestRandomHistories drives random requests, copies, reversals, freezes and clocks
// through Decide. After every step, beside what checkStep proves, the purse is the sum of
// its postings, no id was executed twice, and a copy got the answer of the first.
func TestRandomHistories(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		town := newTown(t, 2)
		steps := rapid.IntRange(1, 120).Draw(t, "steps")
		for range steps {
			i := rapid.IntRange(0, len(town.cards)-1).Draw(t, "card")
			town.step(i)
			town.check(i)
		}
	})
}

func newTown(t *rapid.T, cards int) *town {
	town := &town{t: t, asked: make([][]asked, cards)}
	for i := range cards {
		w := newWallet(t)
		w.token = token(byte(i + 1))
		w.counter = uint32(1000 * i)
		town.cards = append(town.cards, w)
		if i > 0 || rapid.Bool().Draw(t, "enrolled") {
			r := w.request(txn.Enrol, func(r *txn.Request) {
				r.Enrolment.Apps = rapid.SampledFrom([]txn.App{txn.AppAll,
					txn.AppTransit | txn.AppPurse}).Draw(t, "apps")
				r.Enrolment.Rider = txn.RiderCategory(rapid.IntRange(0, 4).Draw(t, "rider"))
			})
			town.send(i, *r)
		}
	}
	return town
}

func (c *town) step(i int) {
	t, w := c.t, c.cards[i]
	w.now += rapid.SampledFrom([]txn.Millis{0, 0, 1, second, minute, card.RecentYoung, hour,
		6 * hour}).Draw(t, "pass")
	switch rapid.IntRange(0, 9).Draw(t, "what") {
	case 0, 1:
		c.again(i)
	case 2:
		c.list(i)
	case 3:
		c.lapse(i)
	default:
		c.send(i, c.draw(i))
	}
}

// draw makes a new request.
func (c *town) draw(i int) txn.Request {
	t, w := c.t, c.cards[i]
	kind := rapid.SampledFrom([]txn.Kind{txn.MetroEntry, txn.MetroExit, txn.BusBoarding,
		txn.Purchase, txn.Load, txn.Load, txn.Refund, txn.Reversal, txn.Balance,
		txn.Enrol}).Draw(t, "kind")
	r := w.request(kind)
	r.Place = at(metro, rapid.SampledFrom([]string{"Futian", "Luohu", "Airport"}).Draw(t, "station"))
	r.Amount = rapid.SampledFrom([]txn.Minor{0, 1, 100, 5000, 100_000, 200_001, -1,
		txn.MinorMax, txn.MinorMax + 1}).Draw(t, "amount")
	r.ServiceAt -= rapid.SampledFrom([]txn.Millis{0, 0, 0, second, 3 * minute, 2 * hour,
		-minute, -hour, 2 * day}).Draw(t, "age")
	if rapid.IntRange(0, 3).Draw(t, "given") == 0 {
		r.FareGiven = true
		r.FullFare = rapid.SampledFrom([]txn.Minor{0, 100, 600, txn.MinorMax}).Draw(t, "full")
	}
	if rapid.IntRange(0, 4).Draw(t, "offline") == 0 {
		r.Offline, r.OfflineCounter = true, rapid.Uint32Range(0, 200).Draw(t, "counter")
	}
	if kind == txn.Refund || kind == txn.Reversal {
		r.Original = c.original(i, r)
	}
	return *r
}

// original is an earlier request of the card, one that comes later, or none.
func (c *town) original(i int, r *txn.Request) txn.RequestID {
	earlier := c.asked[i]
	switch n := rapid.IntRange(0, len(earlier)+2).Draw(c.t, "original"); {
	case n < len(earlier):
		return earlier[len(earlier)-1-n].request.ID
	case n == len(earlier):
		next := r.ID
		next.Counter++
		return next
	case n == len(earlier)+1:
		return r.ID
	default:
		return txn.RequestID{}
	}
}

// again sends a copy of an earlier request, or something else under its id.
func (c *town) again(i int) {
	if len(c.asked[i]) == 0 {
		return
	}
	t, w := c.t, c.cards[i]
	n := rapid.IntRange(0, len(c.asked[i])-1).Draw(t, "which")
	first := &c.asked[i][n]
	r := first.request
	r.ReceivedAt = w.now
	state := w.card()
	remembered := w.version > 0 && state.Find(r.ID) >= 0
	if rapid.IntRange(0, 3).Draw(t, "forged") == 0 {
		c.forge(i, first, r, remembered)
		return
	}
	d := w.do(&r)
	c.compare(first, d, remembered)
	first.note(&r, d, w)
}

// note keeps what became of a request that was decided, and not answered from memory.
func (a *asked) note(r *txn.Request, d txn.Decision, w *wallet) {
	if d.Replay || d.Reason == txn.IDReused {
		return
	}
	a.request, a.decision = *r, d
	if d.Outcome == txn.Approved && w.result.Settle {
		a.approved++
	}
}

// forge sends something else under the id of first.
func (c *town) forge(i int, first *asked, r txn.Request, remembered bool) {
	r.Amount += 7
	d := c.cards[i].do(&r)
	switch {
	case remembered && d.Reason != txn.IDReused && d.Reason != txn.OriginalReversed:
		c.t.Fatalf("%s with other content: %+v", r.ID, d)
	case first.approved > 0 && d.Outcome == txn.Approved:
		c.t.Fatalf("%s was executed, and then something else under its id", r.ID)
	}
	first.note(&r, d, c.cards[i])
}

// compare tells whether d may be the answer to a copy of first.
func (c *town) compare(first *asked, d txn.Decision, remembered bool) {
	if remembered != d.Replay && d.Reason != txn.IDReused {
		c.t.Fatalf("%s: remembered %v, replay %v", first.request.ID, remembered, d.Replay)
	}
	if first.approved == 0 {
		return
	}
	if !remembered {
		if d.Outcome == txn.Approved {
			c.t.Fatalf("%s was executed, forgotten and executed again", first.request.ID)
		}
		return
	}
	d.Replay = false
	if d.Reason == txn.OriginalReversed {
		return // forgotten, and then reversed: its tombstone answers
	}
	if want := first.decision; d != want && d.Reason != txn.IDReused {
		c.t.Fatalf("%s: first %+v, then %+v", first.request.ID, want, d)
	}
}

func (c *town) send(i int, r txn.Request) {
	w := c.cards[i]
	d := w.do(&r)
	a := asked{request: r, decision: d}
	a.note(&r, d, w)
	c.asked[i] = append(c.asked[i], a)
}

func (c *town) list(i int) {
	t, w := c.t, c.cards[i]
	if rapid.Bool().Draw(t, "release") {
		w.do(w.request(txn.Release))
		return
	}
	reasons := []txn.FreezeReason{txn.Lost, txn.PreReported, txn.Suspended, txn.Risk}
	if rapid.IntRange(0, 9).Draw(t, "terminal") == 0 {
		reasons = []txn.FreezeReason{txn.Replaced, txn.Cancelled}
	}
	before := w.mark
	w.do(w.freeze(rapid.SampledFrom(reasons).Draw(t, "reason"),
		rapid.SampledFrom([]txn.App{0, txn.AppAll, txn.AppTransit, txn.AppPurse}).Draw(t, "scope")))
	if before.Scope&^w.mark.Scope != 0 || before.Reason.Terminal() && !w.mark.Reason.Terminal() {
		t.Fatalf("a freeze opened %+v to %+v", before, w.mark)
	}
}

func (c *town) lapse(i int) {
	w := c.cards[i]
	j := w.card().Journey
	r := w.request(txn.JourneyLapse, original(j.Request))
	r.ID = txn.RequestID{}
	d := w.do(r)
	if open := j.Open(); open != (d.Outcome == txn.Approved) {
		c.t.Fatalf("lapse of an open (%v) journey: %+v", open, d)
	}
}

// check proves what must hold for the card after every step.
func (c *town) check(i int) {
	t, w := c.t, c.cards[i]
	state := w.card()
	var sum txn.Minor
	executed := map[txn.RequestID]int{}
	version := uint64(0)
	for _, rec := range w.records {
		sum += purseSum(&rec)
		if rec.Outcome == txn.Approved && !rec.Request.IsZero() {
			executed[rec.Request]++
		}
		if rec.CardVersion < version {
			t.Fatalf("record %s has version %d after %d", rec.Request, rec.CardVersion, version)
		}
		version = rec.CardVersion
	}
	if sum != state.Balance {
		t.Fatalf("balance %d, postings sum to %d", state.Balance, sum)
	}
	for id, n := range executed {
		if n > 1 {
			t.Fatalf("%s was executed %d times", id, n)
		}
	}
	if state.Journey.Open() != (len(w.due) == 1) || len(w.due) > 1 {
		t.Fatalf("journey %+v with due entries %v", state.Journey, w.due)
	}
	seen := map[txn.RequestID]bool{}
	for _, m := range state.Recent {
		if seen[m.ID] {
			t.Fatalf("%s is remembered twice", m.ID)
		}
		seen[m.ID] = true
		if m.Refunded < 0 || m.Kind != txn.Refund && m.Charged > 0 && m.Refunded > m.Charged {
			t.Fatalf("%s: %d refunded of %d", m.ID, m.Refunded, m.Charged)
		}
	}
	if n := len(w.records); n > 1 && slices.ContainsFunc(w.records[:n-1], func(r txn.Record) bool {
		return r.Card != w.token
	}) {
		t.Fatal("a record of another card")
	}
}
