package engine_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/fare"
	"github.com/tapswitch/tapswitch/switch/fare/price"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

func ptr[T any](v T) *T { return &v }

// rich is a tariff with every kind of rule: bus 2.00, metro 3.00 to 7.00, 0.40 off for a
// transfer within 90 minutes but not from a bus to the same line, 15.00 a day at most.
func rich() price.File {
	return price.File{Tariff: "rich", Version: "1", Effective: price.Effective{From: 20260101},
		UTCOffset: 8 * time.Hour, DayStarts: 4 * time.Hour,
		Fares: []price.Fare{
			{Name: "bus", Mode: "bus", Flat: ptr(txn.Minor(200))},
			{Name: "metro", Mode: "metro", Matrix: &price.Matrix{Stations: []string{"Futian", "Luohu", "Airport"},
				Rows: [][]txn.Minor{{200, 300, 700}, {200, 600}, {200}}}},
		},
		Riders:  []price.Rider{{Rider: "student", Pays: ptr(price.Share(5000))}},
		Classes: []price.ClassOf{{Class: "business", Mode: "metro", Times: 3, Discounts: "none"}},
		Transfers: []price.Transfer{{Name: "change", From: []string{"bus", "metro"}, To: []string{"bus", "metro"},
			Window: 90 * time.Minute, SameLine: "no", Off: ptr(txn.Minor(40))}},
		Caps: []price.Cap{{Period: "day", Amount: 1500}},
		Passes: []price.Pass{{Name: "day", Price: 1500, Period: "day"},
			{Name: "ten", Price: 1200, Rides: 10}},
		Incomplete: &price.Incomplete{MissingExit: "maximum", MissingEntry: "maximum",
			Correction: &price.Correction{Within: 7 * 24 * time.Hour, PerMonth: 1}},
		Overtime:    &price.Overtime{After: 4 * time.Hour, Charge: 500},
		SameStation: &price.SameStation{Within: 20 * time.Minute, Charge: 0, Later: 200},
	}
}

func tariffOf(t tb, files ...price.File) *fare.Tariff {
	t.Helper()
	var all []*price.Tariff
	for _, f := range files {
		v, err := price.Compile(f)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	return fare.Of(all...)
}

// rider is a card with a balance under the rich tariff.
func rider(t tb, balance txn.Minor, change ...func(*price.File)) *wallet {
	t.Helper()
	w := enrolled(t, balance)
	f := rich()
	for _, c := range change {
		c(&f)
	}
	w.policy.Tariff = tariffOf(t, f)
	return w
}

// ride enters and leaves, after minutes inside, and returns the answer to the exit.
func (w *wallet) ride(from, to string, minutes txn.Millis, change ...func(*txn.Request)) txn.Decision {
	w.t.Helper()
	w.must(w.entry(from))
	w.now += minutes * minute
	out := w.exit(to)
	for _, c := range change {
		c(out)
	}
	return w.must(out)
}

func (w *wallet) pays(d txn.Decision, full, charged txn.Minor, causes ...txn.Discount) {
	w.t.Helper()
	if d.FullFare != full || d.Charged != charged {
		w.t.Fatalf("full fare %d, charged %d; want %d and %d", d.FullFare, d.Charged, full, charged)
	}
	got := w.last().Discounts
	if len(got) != len(causes) {
		w.t.Fatalf("discounts %v, want %v", got, causes)
	}
	for i := range got {
		if got[i] != causes[i] {
			w.t.Fatalf("discounts %v, want %v", got, causes)
		}
	}
}

func cause(name string, amount txn.Minor) txn.Discount {
	return txn.Discount{Cause: name, Amount: amount}
}

func business(r *txn.Request) { r.Business = true }

func TestTransfersAndCaps(t *testing.T) {
	w := rider(t, 5000)
	w.pays(w.must(w.board("M1")), 200, 200)
	w.now += 10 * minute
	w.pays(w.ride("Futian", "Luohu", 15), 300, 260, cause("transfer", 40))
	w.now += 20 * minute
	w.pays(w.must(w.board("M1")), 200, 160, cause("transfer", 40))
	w.now += 20 * minute
	w.pays(w.must(w.board("M1")), 200, 200) // the same line
	w.now += 2 * hour
	w.pays(w.ride("Futian", "Airport", 40), 700, 680, cause("cap", 20))
	w.pays(w.must(w.board("M2")), 200, 0, cause("transfer", 40), cause("cap", 160))
	w.wantBalance(5000 - 1500)
	w.now += day
	w.pays(w.must(w.board("M2")), 200, 200)
	if n := len(w.card().Rides); n == 0 || n > 60 {
		t.Errorf("rides of %d bytes", n)
	}
}

func TestConcessionsAndClasses(t *testing.T) {
	w := rider(t, 50_000)
	student := func(r *txn.Request) {
		r.Change = &txn.CardChange{Set: txn.ChangeRider, Rider: txn.RiderStudent}
	}
	w.pays(w.ride("Futian", "Luohu", 15, business), 900, 900)
	w.now += 2 * hour
	w.must(w.request(txn.MetroEntry, business))
	w.now += hour
	w.pays(w.must(w.exit("Luohu")), 900, 600, cause("cap", 300))
	if !w.last().Business {
		t.Error("the record of the exit does not tell the class of the ride")
	}
	w.now += day
	w.must(w.request(txn.Amend, student))
	w.pays(w.ride("Futian", "Luohu", 15), 300, 150, cause("rider", 150))
	w.refused(w.request(txn.BusBoarding, place(bus), business), txn.UnknownFare)
}

func TestOvertimeAndSameStation(t *testing.T) {
	w := rider(t, 50_000)
	w.pays(w.ride("Futian", "Luohu", 4*60+1), 300, 800, cause("overtime", -500))
	w.now += 2 * hour
	w.pays(w.ride("Futian", "Futian", 19), 0, 0)
	w.now += 2 * hour
	w.pays(w.ride("Futian", "Futian", 21), 200, 200)
}

// A journey of which one end is missing costs the dearest ride, to whoever ran it.
func TestIncompleteJourneys(t *testing.T) {
	w := rider(t, 3000)
	w.must(w.request(txn.MetroEntry, place(metro), func(r *txn.Request) { r.Place.Operator = "north" }))
	w.now += hour
	w.pays(w.must(w.entry("Luohu")), 0, 700, cause("incomplete", -700))
	if p := w.last().Postings; len(p) != 2 || p[1] != (txn.Posting{Account: "operator/north", Amount: 700}) {
		t.Fatalf("postings %v", p)
	}
	w.now += 30 * minute
	w.must(w.exit("Futian"))
	w.now += 2 * hour
	d := w.must(w.exit("Futian"))
	w.pays(d, 0, 700, cause("incomplete", -700))
	if again := w.do(w.request(txn.Balance)); again.BalanceAfter != 3000-700-300-700 {
		t.Fatalf("balance %d", again.BalanceAfter)
	}
	// The purse pays the second entry, or the gate stays closed.
	w.must(w.purchase(1300 - 100))
	w.must(w.entry("Futian"))
	w.now += hour
	w.refused(w.entry("Luohu"), txn.InsufficientFunds)
	if j := w.card().Journey; j.Station != "Futian" || len(w.due) != 1 {
		t.Fatalf("a refused entry left %+v, %v", j, w.due)
	}
}

// A journey that lapses is charged, into debt if need be; not for a card that was frozen,
// closed or replaced since.
func TestLapsesAreCharged(t *testing.T) {
	for name, tt := range map[string]struct {
		since func(*wallet)
		want  txn.Minor
	}{
		"nothing since": {func(*wallet) {}, 700},
		"frozen":        {func(w *wallet) { w.must(w.freeze(txn.Lost, txn.AppAll)) }, 0},
		"closed": {func(w *wallet) {
			w.must(w.request(txn.Amend, func(r *txn.Request) { r.Change = &txn.CardChange{Set: txn.ChangeStatus} }))
		}, 0},
		"replaced": {func(w *wallet) {
			w.must(w.request(txn.Amend, func(r *txn.Request) {
				r.Change = &txn.CardChange{Set: txn.ChangeSuccessor, Successor: token(9)}
			}))
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := rider(t, 500)
			entry := w.entry("Futian")
			w.must(entry)
			tt.since(w)
			w.now += w.policy.JourneyLapse
			lapse := w.request(txn.JourneyLapse, original(entry.ID), place(txn.Place{}))
			lapse.ID = txn.RequestID{}
			w.must(lapse)
			w.wantBalance(500 - tt.want)
			if rec := w.last(); tt.want > 0 && (rec.Postings[1].Account != "operator/metro" || rec.EntryStation != "Futian" ||
				rec.Discounts[0] != cause("incomplete", -700)) {
				t.Errorf("record %+v", rec)
			}
			if tt.want > 0 {
				w.refused(w.board("M1"), txn.InsufficientFunds)
			}
		})
	}
}

// A fare that the terminal computed is a ride: a transfer follows it.
func TestTransferAfterATerminalsFare(t *testing.T) {
	w := rider(t, 5000)
	w.pays(w.must(w.request(txn.BusBoarding, place(bus), fareGiven(200, 150))), 200, 150, cause("terminal", 50))
	w.now += 20 * minute
	w.must(w.request(txn.MetroEntry, fareGiven(0, 0)))
	w.now += 20 * minute
	w.pays(w.must(w.request(txn.MetroExit, fareGiven(500, 400))), 500, 400, cause("terminal", 100))
	w.now += 20 * minute
	w.pays(w.must(w.board("M2")), 200, 160, cause("transfer", 40))
}

// Off-line rides that come after later ones are charged by their own time, without a transfer
// and marked; a copy gets the same answer; and no ride is refused for its place in the order.
func TestLateRides(t *testing.T) {
	w := rider(t, 50_000)
	w.must(w.board("M1"))
	w.now += 30 * minute
	late := w.request(txn.BusBoarding, place(bus), offline(7), serviceAt(w.now-20*minute-30*minute),
		func(r *txn.Request) { r.Place.Line = "M2" })
	w.pays(w.must(late), 200, 200, cause("late", 0))
	if d := w.do(late); !d.Replay || d.Charged != 200 {
		t.Fatalf("again: %+v", d)
	}
	w.pays(w.must(w.board("M3")), 200, 160, cause("transfer", 40))
	// An entry, and its exit after a boarding that was later than both.
	w.now += 3 * hour
	w.must(w.request(txn.MetroEntry, offline(8), serviceAt(w.now-hour)))
	w.must(w.board("M1"))
	w.pays(w.must(w.request(txn.MetroExit, place(at(metro, "Luohu")), offline(9), serviceAt(w.now-30*minute))),
		300, 260, cause("retold", 40), cause("late", 0)) // the boarding was a transfer
	// An entry older than the open journey opens nothing, and gives up nothing.
	w.now += 3 * hour
	w.must(w.entry("Airport"))
	w.pays(w.must(w.request(txn.MetroEntry, offline(10), serviceAt(w.now-hour))), 0, 0)
	if j := w.card().Journey; j.Station != "Airport" || len(w.due) != 1 {
		t.Fatalf("journey %+v, due %v", j, w.due)
	}
	// Its exit ends it all the same.
	w.pays(w.must(w.request(txn.MetroExit, place(at(metro, "Luohu")), offline(11), serviceAt(w.now-30*minute))),
		300, 300)
	if !w.card().Journey.Open() {
		t.Fatal("the exit of another ride closed the journey")
	}
	// Of a day before: by the version of that day.
	w.pays(w.must(w.request(txn.BusBoarding, place(bus), offline(12), serviceAt(w.now-2*day))), 200, 200,
		cause("late", 0))
}

// The version in force when the card was tapped prices the tap, whenever it comes.
func TestVersions(t *testing.T) {
	w := enrolled(t, 5000)
	old, now := rich(), rich()
	old.Effective.Until = 20261121
	now.Version, now.Effective.From, now.Fares[0].Flat = "2", 20261122, ptr(txn.Minor(250))
	w.policy.Tariff = tariffOf(t, old, now)
	w.now = morning + 20*hour - 1 // 04:00 begins the service day
	w.pays(w.must(w.board("M1")), 200, 200)
	w.now += 2 * hour
	w.pays(w.must(w.board("M1")), 250, 250)
	w.pays(w.must(w.request(txn.BusBoarding, place(bus), offline(1), serviceAt(w.now-3*hour))), 200, 200,
		cause("late", 0))
	now.Effective.Until = 20261122
	w.policy.Tariff = tariffOf(t, now)
	w.now += day
	w.refused(w.board("M1"), txn.UnknownFare)
	w.refused(w.request(txn.MetroExit), txn.NoEntry)
	w.refused(w.request(txn.PassSale, func(r *txn.Request) { r.Pass = "day" }), txn.UnknownFare)
	w.must(w.entry("Futian"))
	w.now += hour
	w.refused(w.exit("Luohu"), txn.UnknownFare)
	w.pays(w.must(w.entry("Luohu")), 0, 0) // what the ride before cost nobody can say
}

// Rides that cannot be read are not written over: nobody decides.
func TestDamagedRides(t *testing.T) {
	w := rider(t, 5000)
	state := w.card()
	state.Rides = []byte{9, 9}
	for name, r := range map[string]*txn.Request{"bus": w.board("M1"), "exit": w.exit("Luohu"),
		"given":      w.request(txn.BusBoarding, place(bus), fareGiven(200, 200)),
		"correction": w.request(txn.Correction), "pass": w.request(txn.PassSale, func(r *txn.Request) { r.Pass = "ten" })} {
		view := engine.View{Card: state, Known: true, Version: 1}
		var out engine.Result
		engine.Decide(&view, r, &w.policy, w.now, &out)
		if !out.Damaged || out.Decision.Outcome == txn.Approved {
			t.Errorf("%s: %+v", name, out.Decision)
		}
	}
	r := newRig(t, storetest.MemoryOptions{})
	if err := r.engine.SetPolicy(w.policy); err != nil {
		t.Fatal(err)
	}
	damaged := &store.Commit{Card: token(1), State: state.Append(nil)}
	if err := r.store.Commit(t.Context(), []*store.Commit{damaged}); err != nil || damaged.Err != nil {
		t.Fatal(err, damaged.Err)
	}
	a := r.engine.Authorize(context.Background(), w.board("M1"))
	if !errors.Is(a.Err, store.ErrDamaged) {
		t.Errorf("answer %+v, want ErrDamaged", a)
	}
}

// A card that rode once today takes some hundred bytes more; one that never rode, or whose
// rides nothing depends on, none.
func TestRidesTakeFewBytes(t *testing.T) {
	size := func(w *wallet, rides func(*wallet)) int {
		rides(w)
		s := w.card()
		plain := s
		plain.Rides, plain.Undo = nil, card.Undo{}
		return len(w.state) - len(plain.Append(nil))
	}
	bus := func(w *wallet) { w.must(w.board("M1")) }
	metro := func(w *wallet) { w.ride("Futian", "Luohu", 20) }
	for name, tt := range map[string]struct {
		got, most int
	}{
		"none":                 {size(rider(t, 5000), func(*wallet) {}), 0},
		"a bus":                {size(rider(t, 5000), bus), 40},
		"a metro ride":         {size(rider(t, 5000), metro), 110},
		"a bus, fares alone":   {size(enrolled(t, 5000), bus), 0},
		"a metro, fares alone": {size(enrolled(t, 5000), metro), 75},
	} {
		if t.Logf("%s: %d bytes", name, tt.got); tt.got > tt.most {
			t.Errorf("%s: %d bytes, want %d at most", name, tt.got, tt.most)
		}
	}
}
