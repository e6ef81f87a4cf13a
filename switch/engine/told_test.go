package engine_test

import (
	"cmp"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/fare/price"
	"github.com/tapswitch/tapswitch/switch/txn"
	"pgregory.net/rapid"
)

// told is a request that a gate took off line at an instant and tells later.
func told(counter uint32, at txn.Millis) func(*txn.Request) {
	return func(r *txn.Request) {
		offline(counter)(r)
		r.ServiceAt = at
	}
}

// lapseNow lets the open journey lapse.
func (w *wallet) lapseNow() txn.Decision {
	w.t.Helper()
	lapse := w.request(txn.JourneyLapse, original(w.card().Journey.Request), place(txn.Place{}))
	lapse.ID = txn.RequestID{}
	return w.must(lapse)
}

// An exit that is told after its journey has lapsed completes it: the rider gets back, once, what
// the incomplete journey cost more than the ride, from whom it was paid to, and the record names
// both ends.
func TestExitToldAfterItsJourneyLapsed(t *testing.T) {
	w := rider(t, 5000)
	in := w.entry("Futian")
	w.must(in)
	out := w.request(txn.MetroExit, place(at(metro, "Luohu")), told(9, w.now+30*minute),
		func(r *txn.Request) { r.Place.Operator, r.Place.Payee = "south", "operator/south" })
	w.now += 5 * hour
	if d := w.lapseNow(); d.Charged != 700 {
		t.Fatalf("a lapsed journey costs %d", d.Charged)
	}
	w.now += 12 * hour
	w.pays(w.must(out), 300, -400, cause("incomplete", 700))
	rec := w.last()
	if rec.Request != out.ID || rec.Original != in.ID || rec.EntryStation != "Futian" || rec.EntryAt != in.ServiceAt {
		t.Errorf("the record names %s and %s, from %q at %d", rec.Request, rec.Original, rec.EntryStation, rec.EntryAt)
	}
	want := []txn.Posting{{Account: "purse", Amount: 400}, {Account: "operator/south", Amount: 300},
		{Account: "operator/metro", Amount: -700}}
	if !slices.Equal(rec.Postings, want) {
		t.Errorf("postings %v, want %v", rec.Postings, want)
	}
	if d := w.do(out); !d.Replay || d.Charged != -400 {
		t.Errorf("again: %+v", d)
	}
	again := *out // the same record in another batch, under another number
	again.ID.Counter += 1000
	w.refused(&again, txn.CounterSeen)
	w.wantBalance(4700)
	w.refused(correction(w, "Luohu"), txn.OriginalUnknown) // nothing is left to correct
}

// One that is told after the next entry gave its journey up leaves that one open, and the rides
// since are charged by the transfers that they were.
func TestExitToldAfterTheNextEntry(t *testing.T) {
	w := rider(t, 5000)
	first := w.entry("Futian")
	w.must(first)
	out := w.request(txn.MetroExit, place(at(metro, "Luohu")), told(9, w.now+30*minute))
	w.now += 40 * minute
	w.pays(w.must(w.board("M2")), 200, 200)
	w.now += 20 * minute
	w.pays(w.must(w.entry("Luohu")), 0, 700, cause("incomplete", -700))
	second := w.card().Journey
	w.now += 20 * minute
	w.pays(w.must(out), 300, -440, cause("retold", 40), cause("incomplete", 700)) // the bus was a transfer
	if w.last().Original != first.ID || w.card().Journey != second || len(w.due) != 1 {
		t.Errorf("names %s, journey %+v", w.last().Original, w.card().Journey)
	}
	w.pays(w.must(w.exit("Airport")), 600, 560, cause("transfer", 40))
	w.wantBalance(5000 - 300 - 160 - 560)
}

// An entry that is told after its exit was charged without one completes the ride as well.
func TestEntryToldAfterAnExitWithoutOne(t *testing.T) {
	w := rider(t, 5000)
	in := w.request(txn.MetroEntry, place(at(metro, "Futian")), told(9, w.now))
	w.now += 30 * minute
	out := w.exit("Luohu")
	w.pays(w.must(out), 0, 700, cause("incomplete", -700))
	w.now += 3 * hour
	w.pays(w.must(in), 300, -400, cause("incomplete", 700))
	if w.last().Original != out.ID || w.card().Journey.Open() || len(w.due) != 0 {
		t.Errorf("names %s, journey %+v", w.last().Original, w.card().Journey)
	}
	w.do(in)
	w.wantBalance(4700)
}

// A ride is paid to who has its exit, also when another operator's entry is told late: that one
// gives back what it was paid too much, and the entry's takes nothing.
func TestEntryToldByAnotherOperator(t *testing.T) {
	w := rider(t, 5000)
	in := w.request(txn.MetroEntry, place(at(metro, "Futian")), told(9, w.now),
		func(r *txn.Request) { r.Place.Operator, r.Place.Payee = "south", "operator/south" })
	w.now += 30 * minute
	out := w.exit("Luohu")
	w.must(out)
	payee := out.Place.Payee
	w.now += 3 * hour
	w.pays(w.must(in), 300, -400, cause("incomplete", 700))
	want := []txn.Posting{{Account: "purse", Amount: 400}, {Account: payee, Amount: -400}}
	if got := w.last().Postings; !slices.Equal(got, want) {
		t.Errorf("postings %v, want %v", got, want)
	}
}

// The reversal of a told end makes all as it was: the rider, who gave back, and who carried him.
// The end may be told again.
func TestToldEndIsReversed(t *testing.T) {
	by := func(operator string) func(*txn.Request) {
		return func(r *txn.Request) {
			r.Place.Operator, r.Place.Payee = operator, txn.Account("operator/"+operator)
		}
	}
	for name, c := range map[string]struct{ lapse bool }{"exit": {true}, "entry": {false}} {
		t.Run(name, func(t *testing.T) {
			w := rider(t, 5000)
			in := w.request(txn.MetroEntry, place(at(metro, "Futian")), by("north"))
			end := w.request(txn.MetroExit, place(at(metro, "Luohu")), told(9, w.now+30*minute), by("south"))
			if c.lapse {
				w.must(in)
				w.now += 5 * hour
				w.lapseNow()
			} else {
				told(9, w.now)(in)
				end = in
				w.now += 30 * minute
				w.must(w.request(txn.MetroExit, place(at(metro, "Luohu")), by("south")))
			}
			w.now += 3 * hour
			before, paid := w.card().Balance, w.sums()
			w.pays(w.must(end), 300, -400, cause("incomplete", 700))
			w.now += minute
			undo := w.reversal(end) // by the terminal of the end
			undo.Place = end.Place
			w.must(undo)
			if got := w.sums(); w.card().Balance != before || !maps.Equal(got, paid) {
				t.Errorf("balance %d, was %d; paid %v, was %v", w.card().Balance, before, got, paid)
			}
			again := *end
			again.ID.Counter += 1000
			told(10, end.ServiceAt)(&again)
			w.pays(w.must(&again), 300, -400, cause("incomplete", 700))
		})
	}
}

// sums is what each account has got by the records.
func (w *wallet) sums() map[txn.Account]txn.Minor {
	sums := map[txn.Account]txn.Minor{}
	for i := range w.records {
		for _, p := range w.records[i].Postings {
			if sums[p.Account] += p.Amount; sums[p.Account] == 0 {
				delete(sums, p.Account)
			}
		}
	}
	return sums
}

// One whose rider has ridden since is not reversed: who gave back is not known any more.
func TestToldEndIsNotReversedLater(t *testing.T) {
	w := rider(t, 5000)
	w.must(w.entry("Futian"))
	out := w.request(txn.MetroExit, place(at(metro, "Luohu")), told(9, w.now+30*minute))
	w.now += 5 * hour
	w.lapseNow()
	w.must(out)
	w.now += hour
	w.must(w.board("M2"))
	w.refused(w.reversal(out), txn.OriginalNotRefundable)
}

// What a person has put right is not put right again, and what comes later than the tariff lets
// it be told is charged by itself: the record says why.
func TestToldEndsThatChangeNothing(t *testing.T) {
	hours := 30 * time.Hour
	for name, c := range map[string]struct {
		told  time.Duration
		since func(w *wallet)
		want  txn.Minor
		cause []txn.Discount
	}{
		"in time":  {hours, func(w *wallet) { w.now += 24 * hour }, -400, []txn.Discount{cause("incomplete", 700)}},
		"too late": {hours, func(w *wallet) { w.now += 31 * hour }, 700, []txn.Discount{cause("incomplete", -700), cause("late", 0), cause("told_late", 0)}},
		"never":    {0, func(w *wallet) { w.now += hour }, 700, []txn.Discount{cause("incomplete", -700), cause("late", 0)}},
		"corrected": {hours, func(w *wallet) { w.must(correction(w, "Luohu")) }, 0,
			[]txn.Discount{cause("incomplete", 700), cause("retold", -400)}},
	} {
		w := rider(t, 5000, func(f *price.File) { f.Incomplete.ToldWithin = &c.told })
		w.must(w.entry("Futian"))
		out := w.request(txn.MetroExit, place(at(metro, "Luohu")), told(9, w.now+30*minute))
		w.now += 5 * hour
		w.lapseNow()
		c.since(w)
		d := w.must(out)
		got := w.last().Discounts
		slices.SortFunc(got, func(a, b txn.Discount) int { return cmp.Compare(a.Cause, b.Cause) })
		if d.Charged != c.want || !slices.Equal(got, c.cause) {
			t.Errorf("%s: charged %d with %v, want %d with %v", name, d.Charged, got, c.want, c.cause)
		}
	}
}

// A refund or a late reversal of what an incomplete journey cost is not given back once more.
func TestRefundedJourneyIsNotGivenBackAgain(t *testing.T) {
	w := rider(t, 5000)
	w.must(w.entry("Futian"))
	out := w.request(txn.MetroExit, place(at(metro, "Luohu")), told(9, w.now+30*minute))
	w.now += hour
	again := w.entry("Futian")
	w.pays(w.must(again), 0, 700, cause("incomplete", -700))
	w.now += 20 * minute
	w.must(w.exit("Luohu"))
	w.must(w.reversal(again)) // no longer the last tap: the money alone comes back
	before := w.card().Balance
	w.must(out)
	if got := w.card().Balance; got > before {
		t.Fatalf("balance %d after a told exit, %d before", got, before)
	}
}

// commuter is the taps of a card in the order in which they were made.
type commuter struct {
	taps    []txn.Request
	deliver []txn.Millis // of each tap
	at      txn.Millis
	counter uint32
}

func (c *commuter) add(w *wallet, kind txn.Kind, p txn.Place, late txn.Millis) {
	r := w.request(kind, place(p), serviceAt(c.at))
	if late > 0 {
		c.counter++
		offline(c.counter)(r)
	}
	c.taps, c.deliver = append(c.taps, *r), append(c.deliver, c.at+late)
}

// drawCommuter draws a few rides of which some ends are told late: of two journeys that follow
// each other not the exit of the first and the entry of the second.
func drawCommuter(t *rapid.T, w *wallet) *commuter {
	c := &commuter{at: w.now}
	stations := []string{"Futian", "Luohu", "Airport"}
	delay := func(may bool) txn.Millis {
		if !may || !rapid.Bool().Draw(t, "told") {
			return 0
		}
		return rapid.SampledFrom([]txn.Millis{5 * minute, 35 * minute, 2 * hour, 7 * hour, 26 * hour}).Draw(t, "delay")
	}
	exitLate := false
	for range rapid.IntRange(1, 4).Draw(t, "rides") {
		c.at += rapid.SampledFrom([]txn.Millis{20 * minute, 50 * minute, 3 * hour}).Draw(t, "gap")
		if rapid.IntRange(0, 2).Draw(t, "bus") == 0 {
			c.add(w, txn.BusBoarding, at(bus, ""), 0)
			continue
		}
		from, to := rapid.SampledFrom(stations).Draw(t, "from"), rapid.SampledFrom(stations).Draw(t, "to")
		entryLate := delay(!exitLate)
		c.add(w, txn.MetroEntry, at(metro, from), entryLate)
		c.at += rapid.SampledFrom([]txn.Millis{12 * minute, 40 * minute}).Draw(t, "ride")
		late := delay(entryLate == 0)
		exitLate = late > 0
		c.add(w, txn.MetroExit, at(metro, to), late)
	}
	return c
}

// run delivers the taps when deliver says, some twice, and lets journeys lapse that are due; it
// returns what all of it has cost.
func (c *commuter) run(w *wallet, deliver []txn.Millis, twice func() bool) txn.Minor {
	order := make([]int, len(c.taps))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(deliver[a], deliver[b]) })
	start := w.card().Balance
	lapse := func() {
		if j := w.card().Journey; j.Open() && w.now >= j.EnteredAt+w.policy.JourneyLapse {
			w.lapseNow()
		}
	}
	for _, i := range order {
		for w.now < deliver[i] {
			w.now = min(w.now+hour, deliver[i])
			lapse()
		}
		r := c.taps[i]
		r.ReceivedAt = w.now
		w.must(&r)
		if twice() {
			if d := w.do(&r); !d.Replay {
				w.t.Fatalf("%s again: %+v", r.Kind, d)
			}
		}
	}
	for range 6 {
		w.now += hour
		lapse()
	}
	return start - w.card().Balance
}

// However late the missing ends of journeys are told, the rider has paid in the end what the same
// rides cost when each tap is told at once: with transfers, caps, shares and passes.
func TestToldEndsCostWhatTheRidesCost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		change := func(f *price.File) {
			f.Caps = append(f.Caps, price.Cap{Period: "week", Amount: 2500})
		}
		late, prompt := rider(t, 50_000, change), rider(t, 50_000, change)
		if rapid.Bool().Draw(t, "pass") {
			pass := func(r *txn.Request) { r.Pass = "ten" }
			late.must(late.request(txn.PassSale, pass))
			prompt.must(prompt.request(txn.PassSale, pass))
		}
		c := drawCommuter(t, late)
		at := make([]txn.Millis, len(c.taps))
		for i := range c.taps {
			at[i] = c.taps[i].ServiceAt
		}
		never := func() bool { return false }
		want := c.run(prompt, at, never)
		got := c.run(late, c.deliver, func() bool { return rapid.IntRange(0, 2).Draw(t, "twice") == 0 })
		if got != want {
			for i, r := range c.taps {
				t.Logf("%s at %s: +%d min, told +%d min", r.Kind, r.Place.Station,
					(r.ServiceAt-morning)/minute, (c.deliver[i]-morning)/minute)
			}
			t.Fatalf("paid %d, in order %d", got, want)
		}
	})
}

// An uploaded exit has the fare that its gate took: the incomplete fare is given back beside it,
// and the entry of an on-line exit that was charged without one gives back as much.
func TestUploadedEndsGiveBackTheIncompleteFare(t *testing.T) {
	w := rider(t, 5000)
	w.must(w.request(txn.MetroEntry, fareGiven(0, 0), told(8, w.now)))
	out := w.request(txn.MetroExit, fareGiven(300, 240), told(9, w.now+30*minute))
	w.now += 5 * hour
	w.lapseNow()
	w.pays(w.must(out), 300, -460, cause("terminal", 60), cause("incomplete", 700))
	w.wantBalance(5000 - 240)
	in := w.request(txn.MetroEntry, fareGiven(0, 0), told(10, w.now))
	w.now += 30 * minute
	w.pays(w.must(w.exit("Luohu")), 0, 700, cause("incomplete", -700))
	w.now += hour
	w.pays(w.must(in), 300, -400, cause("incomplete", 700))
	w.wantBalance(5000 - 240 - 300)
}

// An uploaded exit of a journey that was charged as incomplete says when it comes too late for
// that to be given back; one of which no journey is known says nothing.
func TestUploadedExitToldTooLate(t *testing.T) {
	for name, c := range map[string]struct {
		enters bool
		want   []txn.Discount
	}{"lapsed": {true, []txn.Discount{cause("told_late", 0)}}, "unknown": {false, nil}} {
		w := rider(t, 5000)
		if c.enters {
			w.must(w.entry("Futian"))
		}
		out := w.request(txn.MetroExit, fareGiven(300, 300), told(9, w.now+30*minute))
		w.now += 5 * hour
		if c.enters {
			w.lapseNow()
		}
		w.now += 73 * hour
		w.must(out)
		if got := w.last().Discounts; !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// An uploaded exit that was served before the open ride began is not the end of that one.
func TestUploadedExitOfAnEarlierRide(t *testing.T) {
	w := rider(t, 5000)
	w.now += hour
	w.must(w.entry("Futian"))
	open := w.card().Journey
	w.must(w.request(txn.MetroExit, fareGiven(300, 300), told(9, w.now-30*minute)))
	if w.card().Journey != open || w.last().EntryStation != "" {
		t.Errorf("journey %+v, ended one of %q", w.card().Journey, w.last().EntryStation)
	}
	w.now += 20 * minute
	w.pays(w.must(w.exit("Luohu")), 300, 300)
}
