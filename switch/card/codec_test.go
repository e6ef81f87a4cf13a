package card_test

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/lease"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
	"pgregory.net/rapid"
)

func drawState(t *rapid.T) card.State {
	millis := rapid.Custom(func(t *rapid.T) txn.Millis {
		return txn.Millis(rapid.Int64().Draw(t, "millis"))
	})
	minor := rapid.Custom(func(t *rapid.T) txn.Minor {
		return txn.Minor(rapid.Int64Range(-int64(txn.MinorMax), int64(txn.MinorMax)).Draw(t, "minor"))
	})
	name := rapid.StringN(0, -1, card.PlaceNameMax)
	s := card.State{
		Status: rapid.SampledFrom([]card.Status{card.Active, card.Inactive}).Draw(t, "status"),
		Apps:   txn.App(rapid.Uint16().Draw(t, "apps")),
		Rider:  txn.RiderCategory(rapid.Byte().Draw(t, "rider")),
		Issuer: rapid.StringN(0, -1, card.IssuerMax).Draw(t, "issuer"), Currency: txn.CNY,
		Last4:     pan.Last4(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "last4")),
		ExpiresAt: millis.Draw(t, "expires"), Balance: minor.Draw(t, "balance"),
		Counter: card.CounterWindow{High: rapid.Uint32().Draw(t, "high"),
			Bits: rapid.Uint64().Draw(t, "bits")},
		Floor: millis.Draw(t, "floor"),
	}
	if rapid.Bool().Draw(t, "riding") {
		s.Journey = card.Journey{EnteredAt: millis.Filter(func(m txn.Millis) bool {
			return m != 0
		}).Draw(t, "entered"), Station: name.Draw(t, "station"), Line: name.Draw(t, "line"),
			Operator: name.Draw(t, "operator"), Request: drawID(t)}
	}
	for range rapid.IntRange(0, card.RecentMax).Draw(t, "recent") {
		r := card.Recent{ID: drawID(t), ServiceAt: millis.Draw(t, "service"),
			Fingerprint: txn.Fingerprint(rapid.SliceOfN(rapid.Byte(), 8, 8).Draw(t, "print")),
			Kind:        txn.Kind(rapid.IntRange(0, 15).Draw(t, "kind")),
			Reason:      txn.Reason(rapid.Byte().Draw(t, "reason")),
			Undoable:    rapid.Bool().Draw(t, "undoable"),
			Reversed:    rapid.Bool().Draw(t, "reversed"), Tombstone: rapid.Bool().Draw(t, "stone"),
			FullFare: minor.Draw(t, "full"), Charged: minor.Draw(t, "charged"),
			BalanceAfter: minor.Draw(t, "after"), Refunded: minor.Draw(t, "refunded"),
			DecidedAt: millis.Draw(t, "decided")}
		if r.Kind == txn.Refund {
			r.RefundOf = txn.Fingerprint{1, 2, 3}
		}
		if rapid.Bool().Draw(t, "gate") {
			r.Gate = txn.TerminalID{'G', 7}
		}
		s.Recent = append(s.Recent, r)
	}
	for range rapid.IntRange(0, card.BankMax).Draw(t, "bank") {
		s.Bank = append(s.Bank, drawBank(t))
	}
	drawRides(t, &s)
	return s
}

// drawRides draws what the next ride's price rests on, as bytes that mean nothing here.
func drawRides(t *rapid.T, s *card.State) {
	s.Rides = rapid.SliceOfN(rapid.Byte(), 0, card.RidesMax).Draw(t, "rides")
	if s.Undo.Set = rapid.Bool().Draw(t, "undo"); s.Undo.Set {
		s.Undo.Rides = rapid.SliceOfN(rapid.Byte(), 0, card.RidesMax).Draw(t, "before")
		s.Undo.Journey = s.Journey
	}
	if rapid.Bool().Draw(t, "lived") {
		s.Life.RiderUntil = 7
	}
	for range rapid.IntRange(0, 2*card.CodesKeep).Draw(t, "codes") {
		s.Codes = s.Codes.Mark(rapid.Int64Range(-1<<40, 1<<40).Draw(t, "code"))
	}
	if rapid.Bool().Draw(t, "credit") {
		s.Credit = card.Credit{Rides: rapid.Uint32().Draw(t, "unpaid"), Widen: 77,
			Until: txn.Millis(rapid.Int64().Draw(t, "until"))}
	}
	if rapid.Bool().Draw(t, "leased") {
		at := rapid.Int64Range(-1<<41, 1<<41)
		s.Lease = lease.Lease{Since: txn.Millis(at.Draw(t, "since")), Until: 1 + txn.Millis(at.Draw(t, "lease"))}
		for i := range rapid.IntRange(0, lease.GapsMax).Draw(t, "gaps") {
			s.Lease.Gaps[i] = lease.Gap{From: txn.Millis(at.Draw(t, "from")), To: 1<<42 + txn.Millis(i)}
		}
	}
}

func drawBank(t *rapid.T) card.BankTxn {
	minor := rapid.Int64Range(-int64(txn.MinorMax), int64(txn.MinorMax))
	b := card.BankTxn{ID: drawID(t), Fingerprint: txn.Fingerprint{rapid.Byte().Draw(t, "print")},
		Kind:   txn.Kind(rapid.IntRange(int(txn.BankPurchase), int(txn.BankAdjustment)).Draw(t, "kind")),
		Phase:  card.Phase(rapid.IntRange(1, int(card.Dead)).Draw(t, "phase")),
		Reason: txn.Reason(rapid.Byte().Draw(t, "reason")),
		Amount: txn.Minor(minor.Draw(t, "amount")), Used: txn.Minor(minor.Draw(t, "used")),
		Voided: rapid.Bool().Draw(t, "voided"), Booked: rapid.Bool().Draw(t, "booked"),
		StandIn: rapid.Bool().Draw(t, "stand"), Tombstone: rapid.Bool().Draw(t, "stone"),
		Advised: rapid.Bool().Draw(t, "advised"),
		At:      txn.Millis(rapid.Int64().Draw(t, "at")), Due: txn.Millis(rapid.Int64().Draw(t, "due")),
		STAN: rapid.Uint32().Draw(t, "stan"), Tries: rapid.Uint16().Draw(t, "tries"),
		Issuer: rapid.StringN(0, -1, card.BankIssuerMax).Draw(t, "issuer"),
		Link:   rapid.StringN(0, -1, card.BankLinkMax).Draw(t, "link"),
		Auth:   txn.AuthCode([]byte("A1B2C3")), Code: [2]byte{'0', '5'}}
	copy(b.RRN[:], "632412000123")
	copy(b.Sent[:], "1122093215")
	copy(b.ToldSent[:], "1122093220")
	b.ToldSTAN = rapid.Uint32().Draw(t, "told")
	if rapid.Bool().Draw(t, "has original") {
		b.Original = drawID(t)
	}
	if n := rapid.IntRange(0, card.BankSealedMax).Draw(t, "sealed"); n > 0 {
		b.Sealed = rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "bytes")
	}
	b.AnswerElsewhere = rapid.Bool().Draw(t, "elsewhere")
	if rapid.Bool().Draw(t, "more") {
		b.Asked = txn.Minor(minor.Draw(t, "asked"))
		b.Amended = txn.Minor(minor.Draw(t, "amended"))
		copy(b.Settled[:], "1122")
		if n := rapid.IntRange(0, card.BankSealedMax-len(b.Sealed)).Draw(t, "answer"); n > 0 {
			b.Answer = rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "answer bytes")
		}
	}
	return b
}

func drawID(t *rapid.T) txn.RequestID {
	id := txn.RequestID{Boot: rapid.Uint32().Draw(t, "boot"),
		Counter: rapid.Uint32().Draw(t, "counter")}
	copy(id.Terminal[:], rapid.StringMatching(`[0-9A-Za-z_.]{1,12}`).Draw(t, "terminal"))
	return id
}

func TestStateRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawState(t)
		encoded := s.Append([]byte("before"))
		if string(encoded[:6]) != "before" {
			t.Fatal("Append did not append")
		}
		// Into a state that held something else: nothing of it may stay.
		got := drawState(t)
		if err := got.Decode(encoded[6:]); err != nil {
			t.Fatal(err)
		}
		clear(encoded)
		if len(got.Recent) == 0 && len(s.Recent) == 0 {
			got.Recent, s.Recent = nil, nil
		}
		if len(got.Bank) == 0 && len(s.Bank) == 0 {
			got.Bank, s.Bank = nil, nil
		}
		for _, rides := range []*[]byte{&got.Rides, &s.Rides, &got.Undo.Rides, &s.Undo.Rides} {
			if len(*rides) == 0 {
				*rides = nil
			}
		}
		if !reflect.DeepEqual(got, s) {
			t.Fatalf("\n got %+v\nwant %+v", got, s)
		}
	})
}

// greatest is a state in which everything is as long as it can be.
func greatest() card.State {
	name := strings.Repeat("x", 255)
	s := card.State{Status: card.Active, Apps: txn.AppAll, Issuer: name,
		ExpiresAt: 1 << 48, Balance: -txn.MinorMax, Floor: 1 << 48,
		Counter: card.CounterWindow{High: math.MaxUint32, Bits: math.MaxUint64},
		Journey: card.Journey{EnteredAt: 1 << 48, Station: name, Line: name, Operator: name}}
	for i := range card.RecentMax {
		r := card.Recent{Kind: txn.BusBoarding, ServiceAt: 1 << 48, Charged: txn.MinorMax,
			BalanceAfter: -txn.MinorMax, DecidedAt: 1<<48 + 1<<38} // nine years late
		if i%8 == 0 {
			r.Kind = txn.Refund // has neither a fare nor refunds of its own
		} else {
			r.FullFare, r.Refunded = txn.MinorMax, txn.MinorMax
		}
		s.Recent = append(s.Recent, r)
	}
	for range card.BankMax {
		b := card.BankTxn{Kind: txn.BankPurchase, Phase: card.Approved, Amount: txn.MinorMax,
			Used: txn.MinorMax, At: 1 << 48, Due: 1 << 48, STAN: 999_999, ToldSTAN: 999_999, Tries: math.MaxUint16,
			Issuer: name, Link: name, Original: txn.RequestID{Boot: 1}}
		// Reversals of what was approved before keep what they say beyond BankOpenMax.
		b.Phase, b.Sealed = card.Reversing, make([]byte, card.BankSealedMax)
		b.Asked, b.Amended, b.Settled = txn.MinorMax, -txn.MinorMax, [4]byte{1}
		s.Bank = append(s.Bank, b)
	}
	s.Life = card.Life{Account: pan.Token{1}, Successor: pan.Token{1}, RiderUntil: 1 << 48,
		ServedUntil: 1 << 48, Moving: card.Moving{Open: true, Amount: txn.MinorMax}, MovedOut: math.MaxUint32}
	for i := range s.Life.Arrivals {
		s.Life.Arrivals[i] = card.Arrival{From: pan.Token{1}, Seq: math.MaxUint32}
	}
	s.Rides = make([]byte, card.RidesMax)
	s.Undo = card.Undo{Set: true, Rides: s.Rides, Journey: s.Journey}
	for i := range int64(card.CodesKeep + 1) {
		s.Codes = s.Codes.Mark(1<<40 + i<<34)
	}
	s.Credit = card.Credit{Rides: math.MaxUint32, Widen: txn.MinorMax, Until: 1 << 48}
	s.Lease = lease.Lease{Since: 1, Until: 1 << 48}
	for i := range s.Lease.Gaps {
		s.Lease.Gaps[i] = lease.Gap{From: 1, To: 1 << 48}
	}
	return s
}

// The greatest state fits the store, or a card would be lost to its own memory.
func TestGreatestStateFitsTheStore(t *testing.T) {
	s := greatest()
	encoded := s.Append(nil)
	if len(encoded) > store.StateMax {
		t.Fatalf("%d bytes, limit %d", len(encoded), store.StateMax)
	}
	t.Logf("%d bytes of %d", len(encoded), store.StateMax)
	var back card.State
	if err := back.Decode(encoded); err != nil || len(back.Recent) != card.RecentMax {
		t.Fatal(err)
	}
	if len(back.Journey.Station) != card.PlaceNameMax || len(back.Issuer) != card.IssuerMax {
		t.Fatalf("names of %d and %d bytes", len(back.Journey.Station), len(back.Issuer))
	}
}

func TestStatesThatCannotBeRead(t *testing.T) {
	s := card.State{Status: card.Active, Issuer: "SZT", Balance: 5,
		Journey: card.Journey{EnteredAt: 1, Station: "Futian"},
		Recent:  []card.Recent{{Kind: txn.Refund, Charged: -5}, {Kind: txn.Load}}}
	s.Bank = []card.BankTxn{{Kind: txn.BankVoid, Phase: card.Dead, Sealed: []byte{1}}}
	good := s.Append(nil)
	without := len((&card.State{Status: s.Status, Issuer: s.Issuer, Balance: s.Balance,
		Journey: s.Journey, Recent: s.Recent}).Append(nil))
	for n := range len(good) {
		if n == without {
			continue // a card without bank transactions
		}
		if err := s.Decode(good[:n]); !errors.Is(err, card.ErrState) {
			t.Errorf("cut to %d of %d bytes: %v", n, len(good), err)
		}
	}
	for name, b := range map[string][]byte{
		"a byte too many": append(good[:len(good):len(good)], 0),
		"version 0":       append([]byte{0}, good[1:]...),
		"version 2":       append([]byte{2}, good[1:]...),
		"absent":          append([]byte{1, 0}, good[2:]...),
		"status 4":        append([]byte{1, 4}, good[2:]...),
		"no bank rows":    append(good[:without:without], 0),
	} {
		if err := s.Decode(b); !errors.Is(err, card.ErrState) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := s.Decode(good); err != nil {
		t.Fatal(err)
	}
	ridden := &card.State{Status: card.Active, Rides: []byte{9}, Undo: card.Undo{Set: true, Rides: []byte{8},
		Journey: card.Journey{EnteredAt: 1, Station: "Futian"}}, Life: card.Life{RiderUntil: 5}}
	good = ridden.Append(nil)
	for n := range len(good) {
		if err := s.Decode(good[:n]); !errors.Is(err, card.ErrState) {
			t.Errorf("with rides, cut to %d of %d bytes: %v", n, len(good), err)
		}
	}
	// The parts' byte stands behind the count of bank transactions.
	plain := (&card.State{Status: card.Active}).Append(nil)
	plain[0] = 3
	for name, tail := range map[string][]byte{"no part": {0, 0}, "an unknown part": {0, 10, 1, 9},
		"no rides": {0, 2, 0}, "too many rides": append([]byte{0, 2, 0x81, 5}, make([]byte, 641)...),
		"long station": append([]byte{0, 4, 2, 49}, make([]byte, 200)...)} {
		if err := s.Decode(append(plain[:len(plain):len(plain)], tail...)); !errors.Is(err, card.ErrState) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What a tap may be undone to is kept for the last tap only, and goes with it.
func TestUndoGoesWithItsRequest(t *testing.T) {
	s := card.State{Status: card.Active}
	for i := range 3 {
		s.Remember(card.Recent{ID: txn.RequestID{Counter: uint32(i)}, Kind: txn.BusBoarding,
			ServiceAt: txn.Millis(i + 1)}, 1)
		s.KeepUndo(card.Undo{Set: true, Rides: []byte{byte(i)}})
	}
	if s.Recent[0].Undoable || s.Recent[1].Undoable || !s.Recent[2].Undoable || s.Undo.Rides[0] != 2 {
		t.Fatalf("%+v", s)
	}
	for i := range card.RecentKeep {
		s.Remember(card.Recent{ID: txn.RequestID{Counter: uint32(100 + i)}, Kind: txn.BusBoarding,
			ServiceAt: card.RecentYoung * 9}, card.RecentYoung*9)
	}
	if s.Undo.Set {
		t.Errorf("still undoes a request that is forgotten: %+v", s.Undo)
	}
	s.KeepUndo(card.Undo{Set: true})
	s.DropUndo()
	if s.Undo.Set || s.Recent[len(s.Recent)-1].Undoable {
		t.Error("the undo was not dropped")
	}
}

// Nothing panics, and what is read is written and read the same again.
func FuzzDecode(f *testing.F) {
	s := greatest()
	s.Recent = s.Recent[:2]
	s.Issuer, s.Journey.Station = "SZT", "Futian"
	f.Add(s.Append(nil))
	f.Add((&card.State{Status: card.Inactive}).Append(nil))
	f.Add([]byte{1, 1})
	f.Add((&card.State{Status: card.Active, Rides: []byte{1, 2}, Undo: card.Undo{Set: true}}).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		var s, again card.State
		if err := s.Decode(b); err != nil {
			if !errors.Is(err, card.ErrState) {
				t.Fatal(err)
			}
			return
		}
		if len(s.Issuer) > card.IssuerMax || max(len(s.Journey.Station), len(s.Journey.Line),
			len(s.Journey.Operator)) > card.PlaceNameMax {
			return // Append cuts what no Append wrote
		}
		if err := again.Decode(s.Append(nil)); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(again, s) {
			t.Fatalf("first %+v\nagain %+v", s, again)
		}
	})
}

func TestDecodeAllocates(t *testing.T) {
	s := card.State{Status: card.Active, Recent: make([]card.Recent, card.RecentKeep)}
	encoded := s.Append(nil)
	if n := testing.AllocsPerRun(100, func() { _ = s.Decode(encoded) }); n != 0 {
		t.Errorf("Decode: %.0f allocations, want none", n)
	}
	if n := testing.AllocsPerRun(100, func() { encoded = s.Append(encoded[:0]) }); n != 0 {
		t.Errorf("Append: %.0f allocations, want none", n)
	}
}

// Sizes of a card in ordinary use are what memory is planned with.
func TestOrdinaryStateIsSmall(t *testing.T) {
	s := card.State{Status: card.Active, Apps: txn.AppTransit | txn.AppPurse, Issuer: "SZT",
		Balance: 12_345, Currency: txn.CNY, Floor: 1795219200000}
	for i := range card.RecentKeep {
		s.Remember(card.Recent{Kind: txn.BusBoarding, FullFare: 500, Charged: 475,
			BalanceAfter: 12_345, ServiceAt: 1795219200000 + txn.Millis(i)}, 1795219200250)
	}
	if n := len(s.Append(nil)); n > 460 {
		t.Errorf("%d bytes", n)
	}
}
