package gatesim

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/tapswitch/tapswitch/switch/fare/price"
	"github.com/tapswitch/tapswitch/switch/txn"
)

func citySetup() Setup {
	s := setup()
	s.Gates, s.Metro, s.Tears = 9, 8, 1000
	return s
}

// The city has its stations, vehicles and cards; the other gates keep theirs.
func TestCityIsLaidOut(t *testing.T) {
	s := citySetup()
	if s.inCity(0) || !s.inCity(1) || s.cardsOf(0) != 4 || s.cardsOf(3) != 32 || s.cardOf(0, 3) != 3 ||
		s.cardOf(1, 0) != 4 || s.cardOf(8, 31) != 35 {
		t.Error("the cards of gates are others")
	}
	stations, modes := map[int]bool{}, map[price.Mode]int{}
	for gate := 1; gate < s.Gates; gate++ {
		n, by := s.stationOf(gate)
		if modes[by]++; by != price.Metro {
			continue
		}
		stations[n] = true
		if s.gateAt(n) != gate {
			t.Errorf("gate %d is of station %d, which gate %d says it is", gate, n, s.gateAt(n))
		}
	}
	if len(stations) != 6 || modes[price.Bus] != 1 || modes[price.Tram] != 1 {
		t.Errorf("stations %v, modes %v", stations, modes)
	}
	if s.Metro = 10; !errors.Is(s.check(), ErrSetup) {
		t.Error("more gates in the city than there are")
	}
}

// Gates of the city run together or not at all.
func TestCityRunsTogether(t *testing.T) {
	w := &World{Setup: citySetup()}
	if _, err := Run(t.Context(), []int{0, 1, 2}, Options{World: w}); !errors.Is(err, ErrSetup) {
		t.Errorf("a part of it: %v", err)
	}
}

// cityGate is a gate of the city without a switch.
func cityGate(t *testing.T, w *World, gate int) *Gate {
	t.Helper()
	for len(w.Identities) < w.Gates {
		w.Identities = append(w.Identities, w.identity(len(w.Identities)))
	}
	g := &Gate{o: Options{World: w, Gate: gate}, id: &w.Identities[gate], book: newBook(),
		script: newScript(&w.Setup, gate)}
	var err error
	if g.rules.tariff, err = builtInTariff(); err != nil {
		t.Fatal(err)
	}
	return g
}

// A card rides a bus, goes in at one gate and out at another: it pays for the way and less for
// the change, its record tells of the ride, and the chip keeps it all over a write.
func TestRideAcrossGates(t *testing.T) {
	w := &World{Setup: citySetup()}
	w.Tears = 0
	dir := t.TempDir()
	cards, err := openChipsOf(cityChipHalf, dir, w.cardsOf(1), w.Balance, false)
	if err != nil {
		t.Fatal(err)
	}
	ride := func(gate int, after txn.Millis) *Record {
		t.Helper()
		c, err := cards.load(5)
		if err != nil {
			t.Fatal(err)
		}
		r := &Record{Card: 5, At: w.Base + after*60_000}
		if !cityGate(t, w, gate).ride(&c, r) {
			t.Fatalf("gate %d has no fare", gate)
		}
		if err := cards.store(5, &c); err != nil {
			t.Fatal(err)
		}
		_ = cards.close()
		if cards, err = openChipsOf(cityChipHalf, dir, w.cardsOf(1), 1, false); err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := ride(3, 0); r.Kind != kindBoard || r.Mode != "bus" || r.Amount != 200 || r.Fare != 200 {
		t.Errorf("bus: %+v", r)
	}
	in := ride(1, 10)
	if in.Kind != kindEntry || in.Amount != 0 || in.Fare != 0 {
		t.Errorf("entry: %+v", in)
	}
	fare := txn.Minor(300)
	if in.Business {
		fare *= 3
	}
	if r := ride(5, 30); r.Kind != kindExit || r.From != "GM Station 01" || r.FromAt != in.At ||
		r.Metres != rideLeast+3*postsApart || r.Business != in.Business || r.Fare != fare || r.Amount != fare-40 {
		t.Errorf("exit: %+v, want %d less 40", r, fare)
	}
	if r := ride(6, 50); r.Mode != "tram" || r.Amount != 160 {
		t.Errorf("tram: %+v", r)
	}
	_ = cards.close()
	if _, err := openChipsOf(cityChipHalf, filepath.Join(dir, "none"), 1, 1, false); err == nil {
		t.Error("cards without a directory")
	}
}

// A torn record waits for its proof or for what the switch learns, and is counted once.
func TestTornRecordsInTheBook(t *testing.T) {
	b := newBook()
	apply := func(e *entry) {
		t.Helper()
		if err := b.apply(e); err != nil {
			t.Fatal(err)
		}
		if r := (&Gate{book: b, id: &Identity{}}).Report(); !r.Balanced() {
			t.Fatalf("after %s: %+v", e.Kind, r)
		}
	}
	for seq := uint32(1); seq <= 4; seq++ {
		apply(&entry{Kind: entryIntent, Record: &Record{Seq: seq, Tap: int(seq), Amount: 100 * txn.Minor(seq)}})
		apply(&entry{Kind: entryGrey, Seq: seq})
	}
	apply(&entry{Kind: entryProof, Seq: 1, Tap: 5}) // before it was sent
	torn := func(seq uint32) ack { return ack{seq, fateHeld, reasonTorn} }
	apply(&entry{Kind: entrySent, Acks: []ack{{1, fateAccepted, ""}, torn(3), torn(2), torn(4)}})
	if len(b.Waiting) != 0 || len(b.Doubts) != 3 || b.Doubts[0].Seq != 2 || b.Sent != 4 || b.SentFen != 1000 {
		t.Fatalf("%+v", b)
	}
	apply(&entry{Kind: entryProof, Seq: 2, Tap: 6})
	if r := b.Waiting[0]; r.Grey || !r.Proved {
		t.Errorf("%+v", r)
	}
	apply(&entry{Kind: entrySent, Acks: []ack{{2, fateAccepted, ""}, {3, fateRejected, reasonNotDebited}, torn(4)}})
	r := (&Gate{book: b, id: &Identity{}}).Report()
	if r.Settled != 2 || r.SettledFen != 300 || r.Undebited != 1 || r.UndebitedFen != 300 || r.Held != 1 ||
		r.HeldFen != 400 || r.Rejected != 0 || r.Greys != 4 || r.Torn != 2 || r.Reasons[reasonTorn] != 1 {
		t.Errorf("%+v", r)
	}
	if err := b.apply(&entry{Kind: entryProof, Seq: 9}); !errors.Is(err, ErrDamaged) {
		t.Errorf("a proof of nothing: %v", err)
	}
}

// A gate that never had a list says so, and not that it is too old.
func TestNoList(t *testing.T) {
	p := cityGate(t, &World{Setup: citySetup()}, 1).rules.params
	p.QueueMax = 10
	if v := judge(&p, &chip{Balance: 500}, moment{noList: true}, 100); v != refuseNoList {
		t.Errorf("%s", v)
	}
}
