package sim

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Test card numbers: an unassigned T-Union range, then seed and index.
const cardPrefix = "310499"

// scenes is how many things happen to a card, apart from the first load and the last
// balance query.
const scenesMin, scenesMax = 4, 9

// perThousand is how often a request is sent again at once, answered into a cut
// connection, or sent again later.
const (
	copiesPerThousand = 30
	lostPerThousand   = 20
	laterPerThousand  = 25
)

// writer writes the script of one card. Everything it draws comes from its own generator.
type writer struct {
	rng      *rand.Rand
	city     *city
	fares    *fares
	counters []uint32 // of all terminals, shared by all cards
	card     *Card
	model    modelCard
	seed     uint64
	index    int
	now      time.Duration
}

func newWriter(seed uint64, index int, c *city, f *fares, counters []uint32) *writer {
	return &writer{rng: rand.New(rand.NewPCG(seed, uint64(index))), city: c, fares: f,
		counters: counters, seed: seed, index: index}
}

// scene is one thing that may happen, and how likely it is.
type scene struct {
	weight int
	write  func(*writer)
}

// scenes are weighted so that most of a morning is rides, and yet a few thousand cards
// meet everything.
func scenes() []scene {
	return []scene{
		{34, (*writer).ride}, {26, (*writer).bus}, {14, (*writer).shop}, {6, (*writer).topUp},
		{4, (*writer).refund}, {4, (*writer).reversal}, {5, (*writer).balance},
		{2, (*writer).passBack}, {2, (*writer).loneExit}, {2, (*writer).tooMuch},
		{3, (*writer).freeze}, {1, (*writer).reused}, {1, (*writer).overtaken},
		{2, (*writer).late}, {2, (*writer).bad}, {2, (*writer).busGiven},
	}
}

func (w *writer) write(c *Card) error {
	number, err := pan.Parse(fmt.Sprintf("%s%03d%010d", cardPrefix, w.seed%1000, w.index))
	if err != nil {
		return fmt.Errorf("card %d: %w", w.index, err)
	}
	w.card = c
	c.Number = number
	w.choose()
	w.now = time.Duration(w.rng.Int64N(int64(morning / 4)))
	if !w.model.transitOnly {
		w.load(txn.Minor(2_000 + 1_000*w.rng.IntN(10)))
	}
	all := scenes()
	total := 0
	for _, s := range all {
		total += s.weight
	}
	for range scenesMin + w.rng.IntN(scenesMax-scenesMin+1) {
		n := w.rng.IntN(total)
		for _, s := range all {
			if n -= s.weight; n < 0 {
				s.write(w)
				break
			}
		}
	}
	w.balance()
	c.Balance = w.model.balance
	return nil
}

// choose draws what kind of card it is.
func (w *writer) choose() {
	riders := [...]struct {
		below int
		name  string
	}{{70, "ordinary"}, {85, "student"}, {95, "senior"}, {98, "disabled"}, {100, "veteran"}}
	n := w.rng.IntN(100)
	for _, r := range riders {
		if n < r.below {
			w.card.Rider = r.name
			break
		}
	}
	w.card.Apps = []string{"transit", "purse"}
	w.model.share = txn.Minor(w.fares.share[w.card.Rider])
	if w.model.share == 0 && w.rng.IntN(3) == 0 {
		w.card.Apps, w.model.transitOnly = []string{"transit"}, true
	}
}

// pass lets time go by.
func (w *writer) pass(least, most time.Duration) {
	d := least + time.Duration(w.rng.Int64N(int64(most-least)))
	w.now += d.Truncate(time.Millisecond)
}

func (w *writer) pick(u use) int {
	all := w.city.byUse[u]
	return all[w.rng.IntN(len(all))]
}

// step adds a step at a later instant than the one before.
func (w *writer) step(s Step) *Step {
	w.now += time.Second
	s.Index, s.At = len(w.card.Steps), w.now
	w.card.Steps = append(w.card.Steps, s)
	return &w.card.Steps[s.Index]
}

// request adds a transaction at a terminal, with an id of the terminal's own.
func (w *writer) request(kind txn.Kind, terminal int) *Step {
	return w.step(Step{Kind: kind, Terminal: terminal, ID: w.nextID(terminal)})
}

func (w *writer) nextID(terminal int) txn.RequestID {
	w.counters[terminal]++
	id, err := txn.ParseTerminalID(w.city.terminals[terminal].ID)
	if err != nil {
		panic("sim: internal error: terminal id of the city: " + err.Error())
	}
	return txn.RequestID{Terminal: id, Boot: 1, Counter: w.counters[terminal]}
}

// done completes a request with what the model says, and sometimes sends it again.
func (w *writer) done(s *Step, want Want) {
	s.Want = w.model.settle(s, want)
	switch n := w.rng.IntN(1000); {
	case n < copiesPerThousand:
		s.Copies = 1 + n%2
	case n < copiesPerThousand+lostPerThousand:
		s.Lost = true
	case n < copiesPerThousand+lostPerThousand+laterPerThousand:
		w.again(s.Index)
	}
}

// again sends a step that the card still remembers once more.
func (w *writer) again(step int) {
	old := &w.card.Steps[step]
	if !old.Want.Recorded {
		return // a query is asked anew, it has no stored answer
	}
	s := w.step(Step{Action: Again, Kind: old.Kind, Terminal: old.Terminal, Original: step})
	s.Want = w.card.Steps[step].Want
	s.Want.Recorded = false
}

func (w *writer) load(amount txn.Minor) {
	s := w.request(txn.Load, w.pick(useLoad))
	s.Amount = amount
	w.done(s, w.model.load(amount))
}

func (w *writer) topUp() {
	w.pass(time.Minute, 5*time.Minute)
	w.load(txn.Minor(1_000 * (1 + w.rng.IntN(10))))
}

func (w *writer) station(terminal int) string { return w.city.terminals[terminal].Station }

func (w *writer) ride() {
	w.pass(time.Minute, 6*time.Minute)
	from := w.pick(useMetro)
	s := w.request(txn.MetroEntry, from)
	w.done(s, w.model.enter(s, w.station(from)))
	w.pass(3*time.Minute, 12*time.Minute)
	w.exit(w.pick(useMetro))
}

func (w *writer) exit(to int) {
	s := w.request(txn.MetroExit, to)
	w.done(s, w.model.leave(func(from string) txn.Minor {
		return w.fares.pairs[[2]string{from, w.station(to)}]
	}))
}

func (w *writer) bus() {
	w.pass(time.Minute, 6*time.Minute)
	t := w.pick(useBus)
	s := w.request(txn.BusBoarding, t)
	w.done(s, w.model.board(w.fares.bus[w.city.terminals[t].Line], false, 0))
}

// busGiven is a validator that computes the fare itself.
func (w *writer) busGiven() {
	w.pass(time.Minute, 6*time.Minute)
	s := w.request(txn.BusBoarding, w.pick(useBus))
	s.Given, s.Full = true, txn.Minor(200+50*w.rng.IntN(5))
	s.Amount = s.Full * 8 / 10
	w.done(s, w.model.board(s.Full, true, s.Amount))
}

func (w *writer) shop() {
	w.pass(time.Minute, 4*time.Minute)
	s := w.request(txn.Purchase, w.pick(useShop))
	s.Amount = txn.Minor(100 + w.rng.IntN(3_000))
	w.done(s, w.model.purchase(s.Amount))
}

// tooMuch asks for more than the purse holds or the limits allow.
func (w *writer) tooMuch() {
	w.pass(time.Minute, 2*time.Minute)
	if w.rng.IntN(2) == 0 {
		s := w.request(txn.Purchase, w.pick(useShop))
		s.Amount = txn.Minor(60_000 + w.rng.IntN(60_000))
		w.done(s, w.model.purchase(s.Amount))
		return
	}
	w.load(modelLoadMax + 1 + txn.Minor(w.rng.IntN(1_000)))
}

// recent returns a remembered step of its own terminal, or nil.
func (w *writer) recent() *Step {
	m := w.model.memory
	m = m[max(0, len(m)-modelMemory):]
	if len(m) == 0 {
		return nil
	}
	s := &w.card.Steps[m[w.rng.IntN(len(m))].step]
	if s.Action != Request {
		return nil
	}
	return s
}

func (w *writer) refund() {
	original := w.recent()
	if original == nil {
		return
	}
	step, id, terminal := original.Index, original.ID, original.Terminal
	most := max(original.Want.Charged, 100)
	w.pass(time.Minute, 3*time.Minute)
	s := w.request(txn.Refund, terminal)
	s.Original, s.OriginalID = step, id
	s.Amount = 1 + txn.Minor(w.rng.Int64N(int64(most)+most64(most)))
	w.done(s, w.model.refund(step, s.Amount))
}

// most64 leaves room for refunds that ask for too much.
func most64(charged txn.Minor) int64 { return int64(charged) / 8 }

func (w *writer) reversal() {
	original := w.recent()
	if original == nil {
		return
	}
	step, id, terminal := original.Index, original.ID, original.Terminal
	s := w.request(txn.Reversal, terminal)
	s.Original, s.OriginalID = step, id
	w.done(s, w.model.reverse(step))
}

func (w *writer) balance() {
	w.pass(10*time.Second, time.Minute)
	t := w.pick([...]use{useMetro, useBus, useShop, useLoad}[w.rng.IntN(4)])
	s := w.request(txn.Balance, t)
	s.Want = w.model.settle(s, w.model.ask())
}

// passBack lets a second person in with the same card.
func (w *writer) passBack() {
	w.pass(time.Minute, 4*time.Minute)
	from := w.pick(useMetro)
	for range 2 {
		s := w.request(txn.MetroEntry, from)
		w.done(s, w.model.enter(s, w.station(from)))
	}
	w.pass(3*time.Minute, 9*time.Minute)
	w.exit(w.pick(useMetro))
}

func (w *writer) loneExit() {
	w.pass(time.Minute, 4*time.Minute)
	w.exit(w.pick(useMetro))
}
