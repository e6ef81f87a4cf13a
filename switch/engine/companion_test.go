package engine_test

import (
	"testing"

	"github.com/tapswitch/tapswitch/switch/fare/price"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// group is a card on which two may ride, after both of them have entered at Futian.
func group(t *testing.T) *wallet {
	t.Helper()
	w := rule(rider(t, 9000, func(f *price.File) { f.Groups = []price.Group{{Persons: 2}} }))
	w.must(w.entry("Futian"))
	w.now += second
	w.must(w.entry("Futian"))
	return w
}

// Who does not tap out is charged like any incomplete journey, whether the other one has tapped or
// not; his exit may be told later, and gives back what he paid more.
func TestCompanionWhoDoesNotTapOut(t *testing.T) {
	w := group(t)
	w.now += 20 * minute
	w.pays(w.must(w.exit("Luohu")), 300, 300)
	if !w.card().Journey.Open() || len(w.due) != 1 {
		t.Fatal("the ride of the one who is inside is closed")
	}
	out := w.request(txn.MetroExit, place(at(metro, "Luohu")), told(9, w.now+5*minute))
	w.now += 5 * hour
	w.pays(w.lapseNow(), 0, 700, cause("incomplete", -700))
	if w.card().Journey.Open() || len(w.due) != 0 {
		t.Fatal("the lapsed ride is open")
	}
	w.wantBalance(9000 - 300 - 700)
	w.must(out)
	w.do(out)
	w.wantBalance(9000 - 300 - 300)
}

// Where neither taps out both are charged, and each exit that is told later is the end of one ride.
func TestNoneOfAGroupTapsOut(t *testing.T) {
	w := group(t)
	first := w.request(txn.MetroExit, place(at(metro, "Luohu")), told(8, w.now+20*minute))
	second := w.request(txn.MetroExit, place(at(metro, "Luohu")), told(9, w.now+25*minute))
	w.now += 5 * hour
	w.pays(w.lapseNow(), 0, 1400, cause("incomplete", -1400), cause("companion", 0))
	w.must(first)
	w.wantBalance(9000 - 700 - 300)
	w.must(second)
	w.wantBalance(9000 - 300 - 300)
}

// The next entry of the card gives up the ride of the one who is inside.
func TestNextEntryGivesUpTheCompanionsRide(t *testing.T) {
	w := group(t)
	w.now += 20 * minute
	w.must(w.exit("Luohu"))
	w.now += 2 * hour
	w.pays(w.must(w.entry("Luohu")), 0, 700, cause("incomplete", -700))
	w.now += 20 * minute
	w.pays(w.must(w.exit("Futian")), 300, 300)
	if w.card().Journey.Open() || len(w.due) != 0 {
		t.Fatal("a ride is open that nobody is in")
	}
}

// A card that carries one person is as before: nothing stays open when he has left.
func TestOnePersonLeavesNothingOpen(t *testing.T) {
	w := rule(rider(t, 9000))
	w.must(w.entry("Futian"))
	w.now += 20 * minute
	w.must(w.exit("Luohu"))
	if w.card().Journey.Open() || len(w.due) != 0 {
		t.Fatal("a ride is open that nobody is in")
	}
}

// Two rides of one person in one instant of a gate's clock are two rides: nobody accompanies him.
func TestTwoRidesInOneInstant(t *testing.T) {
	w := rider(t, 9000, func(f *price.File) { f.SameStation = nil })
	for range 2 {
		w.must(w.entry("Futian"))
		w.must(w.exit("Luohu"))
		if d := w.last().Discounts; len(d) > 1 || len(d) == 1 && d[0].Cause != "transfer" {
			t.Errorf("discounts %v", d)
		}
	}
	if w.card().Journey.Open() || len(w.due) != 0 {
		t.Fatal("a ride is open that nobody is in")
	}
}
