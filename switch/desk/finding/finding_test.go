package finding

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const (
	minute txn.Millis = 60_000
	// nine is 2026-03-02 09:00 in China.
	nine txn.Millis = 1772413200000
)

var card = pan.Token{4, 1, 0xca}

// use makes the n-th record of the card at a minute after nine.
func use(n int, kind txn.Kind, at txn.Millis, change ...func(*txn.Record)) txn.Record {
	gate, err := txn.ParseTerminalID(fmt.Sprintf("GATE%02d", n))
	if err != nil {
		panic(err)
	}
	r := txn.Record{Position: txn.Position{Bucket: 1, Epoch: 1, Seq: txn.Seq(n)}, Kind: kind, Card: card,
		Last4:   pan.Last4{'0', '0', '0', '1'},
		Request: txn.RequestID{Terminal: gate, Boot: 1, Counter: uint32(n)}, Outcome: txn.Approved,
		ServiceAt: nine + at*minute, Place: txn.Place{Operator: "metro", Line: "M1"}}
	for _, c := range change {
		c(&r)
	}
	return r
}

func at(station string) func(*txn.Record) {
	return func(r *txn.Record) { r.Place.Station = station }
}

func declined(reason txn.Reason) func(*txn.Record) {
	return func(r *txn.Record) { r.Outcome, r.Reason = txn.Declined, reason }
}

func offline(counter uint32) func(*txn.Record) {
	return func(r *txn.Record) { r.Offline, r.OfflineCounter, r.TAC = true, counter, txn.TACValid }
}

func senior(r *txn.Record) { r.Rider = txn.RiderSenior }

func rules(t *testing.T) Rules {
	t.Helper()
	travel, err := NewTravel([]Leg{{"east", "west", 30}, {"east", "centre", 12}}, 60)
	if err != nil {
		t.Fatal(err)
	}
	return Rules{Travel: travel, ConcessionDayMax: 3,
		Day: func(m txn.Millis) txn.BusinessDate { return txn.BusinessDate(20260302 + (m-nine)/(1440*minute)) }}
}

// told makes the switch note a cause in the record.
func told(cause string) func(*txn.Record) {
	return func(r *txn.Record) { r.Discounts = append(r.Discounts, txn.Discount{Cause: cause}) }
}

func kinds(all []Finding) (names []Kind) {
	for _, f := range all {
		names = append(names, f.Kind)
	}
	return names
}

// What each kind of finding is made of, and what is none.
func TestDetect(t *testing.T) {
	wrong := func(r *txn.Record) { r.TAC = txn.TACWrong }
	open := func(r *txn.Record) { r.Liability = txn.LiabilityOpen }
	lapsed := func(r *txn.Record) { r.Liability, r.Reason = txn.LiabilityOperator, txn.LeaseEnded }
	for name, c := range map[string]struct {
		records []txn.Record
		holder  Holder
		want    []Kind
	}{
		"a plain day": {[]txn.Record{use(1, txn.MetroEntry, 0, at("east")), use(2, txn.MetroExit, 31, at("west")),
			use(3, txn.Purchase, 32), use(4, txn.BusBoarding, 40, offline(7))}, Holder{}, nil},
		"pass-back": {[]txn.Record{use(1, txn.MetroEntry, 0, at("east")),
			use(2, txn.MetroEntry, 1, at("east"), declined(txn.PassBack))}, Holder{}, []Kind{PassBack}},
		"used again at once": {[]txn.Record{use(1, txn.MetroExit, 0, at("east")),
			use(2, txn.MetroExit, 1, at("east"), declined(txn.CardJustUsed))}, Holder{}, []Kind{PassBack}},
		"let through by a gate": {[]txn.Record{use(1, txn.MetroEntry, 0, at("east"), offline(1)),
			use(2, txn.MetroEntry, 1, at("east"), offline(2), told(txn.CausePassBack))}, Holder{}, []Kind{PassBack}},
		"a companion": {[]txn.Record{use(1, txn.MetroEntry, 0, at("east")),
			use(2, txn.MetroEntry, 1, at("east"), told(txn.CauseCompanion))}, Holder{}, nil},
		"a mode of nobody": {[]txn.Record{use(1, txn.MetroEntry, 0, at("east"), told(txn.CauseUnordered))},
			Holder{}, []Kind{ModeUnordered}},
		"too far too soon": {[]txn.Record{use(1, txn.MetroEntry, 0, at("east")),
			use(2, txn.MetroEntry, 28, at("west"))}, Holder{}, []Kind{ImpossibleTravel}},
		"just in time": {[]txn.Record{use(1, txn.MetroEntry, 0, at("east")),
			use(2, txn.MetroEntry, 29, at("west"))}, Holder{}, nil},
		"a way that no table has": {[]txn.Record{use(1, txn.MetroEntry, 0, at("centre")),
			use(2, txn.MetroEntry, 1, at("west"))}, Holder{}, nil},
		"concession after its end": {[]txn.Record{use(1, txn.BusBoarding, 2, senior)},
			Holder{RiderUntil: nine}, []Kind{ConcessionMisuse}},
		"concession in time": {[]txn.Record{use(1, txn.BusBoarding, 0, senior)}, Holder{RiderUntil: nine}, nil},
		"a concession for many": {[]txn.Record{use(1, txn.BusBoarding, 1, senior), use(2, txn.BusBoarding, 2, senior),
			use(3, txn.BusBoarding, 3, senior), use(4, txn.BusBoarding, 4, senior),
			use(5, txn.BusBoarding, 5, senior)}, Holder{}, []Kind{ConcessionMisuse}},
		"a frozen card": {[]txn.Record{use(1, txn.BusBoarding, 1, declined(txn.CardFrozen)),
			use(2, txn.BusBoarding, 2, offline(3), open)}, Holder{}, []Kind{FrozenUsed, FrozenUsed}},
		"beyond its lease, lost": {[]txn.Record{use(1, txn.BusBoarding, 1, offline(3), lapsed)},
			Holder{Losses: []Span{{From: 1}}}, []Kind{FrozenUsed}},
		"beyond its lease": {[]txn.Record{use(1, txn.BusBoarding, 1, offline(3), lapsed)}, Holder{}, nil},
		"a forged TAC":     {[]txn.Record{use(1, txn.Purchase, 1, offline(1), wrong)}, Holder{}, []Kind{ForgedTAC}},
		"a cloned counter": {[]txn.Record{use(1, txn.Purchase, 1, offline(5)),
			use(2, txn.Purchase, 9, offline(5), declined(txn.CounterSeen))}, Holder{}, []Kind{ClonedCounter}},
		"a counter of before": {[]txn.Record{use(2, txn.Purchase, 9, offline(5), declined(txn.CounterSeen))},
			Holder{}, []Kind{ClonedCounter}},
	} {
		if got := kinds(Detect(c.records, c.holder, rules(t))); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// The order in which records come, and that some come twice, changes nothing.
func TestDetectIsTheSameInAnyOrder(t *testing.T) {
	records := []txn.Record{use(1, txn.MetroEntry, 0, at("east")), use(2, txn.MetroEntry, 1, at("west"),
		declined(txn.PassBack)), use(3, txn.Purchase, 3, offline(5)), use(4, txn.Purchase, 4, offline(5)),
		use(5, txn.BusBoarding, 5, senior), use(6, txn.BusBoarding, 6, declined(txn.CardFrozen))}
	ids := func(all []Finding) (ids []string) {
		for _, f := range all {
			ids = append(ids, f.ID())
		}
		return ids
	}
	want := ids(Detect(records, Holder{}, rules(t)))
	if len(want) != 4 {
		t.Fatalf("%d findings", len(want))
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		again := append(slices.Clone(records), records[random.IntN(len(records))])
		random.Shuffle(len(again), func(i, j int) { again[i], again[j] = again[j], again[i] })
		if got := ids(Detect(again, Holder{}, rules(t))); !slices.Equal(got, want) {
			t.Fatalf("%v, want %v", got, want)
		}
	}
}

// A finding names a bounded number of uses.
func TestUsesFull(t *testing.T) {
	var records []txn.Record
	for n := range 20 {
		records = append(records, use(n+1, txn.BusBoarding, txn.Millis(n), senior))
	}
	r := rules(t)
	r.ConcessionDayMax = 15
	all := Detect(records, Holder{}, r)
	if len(all) != 1 || len(all[0].Uses) != UsesMax {
		t.Fatalf("%+v", all)
	}
}

func TestTravelTable(t *testing.T) {
	for _, legs := range [][]Leg{{{"", "b", 1}}, {{"a", "a", 1}}, {{"a", "b", 0}},
		{{"a", "b", 1}, {"b", "a", 2}}, make([]Leg, LegsMax+1)} {
		if _, err := NewTravel(legs, 0); err == nil {
			t.Errorf("%d legs are a table", len(legs))
		}
	}
	if _, err := NewTravel(nil, -1); err == nil {
		t.Error("negative slack")
	}
	travel, err := NewTravel([]Leg{{"a", "b", 1}}, 90)
	if err != nil {
		t.Fatal(err)
	}
	if least, known := travel.Least("b", "a"); least != 0 || !known {
		t.Errorf("%d %v: the slack is more than the way", least, known)
	}
}
