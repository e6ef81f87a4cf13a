package card_test

import (
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// A state with a life comes back as it was, with and without bank transactions; a cut or
// extended one is refused.
func TestLifeInItsEncoding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := card.State{Status: card.Active, Currency: txn.CNY, Recent: []card.Recent{}}
		s.Life = card.Life{
			Account: pan.Token{1}, Successor: pan.Token{byte(rapid.IntRange(0, 3).Draw(t, "successor"))},
			BankWaiting: rapid.Bool().Draw(t, "waiting"),
			RiderUntil:  txn.Millis(rapid.Int64().Draw(t, "rider")),
			ServedUntil: txn.Millis(rapid.Int64().Draw(t, "served")),
			Moving: card.Moving{Open: rapid.Bool().Draw(t, "open"),
				Amount: txn.Minor(rapid.Int64().Draw(t, "amount"))},
			MovedOut: rapid.Uint32().Draw(t, "out"),
		}
		for i := range rapid.IntRange(0, card.ArrivalsMax).Draw(t, "arrivals") {
			if !s.Life.Expect(pan.Token{byte(i + 1)}) {
				t.Fatal("no room")
			}
			s.Life.Arrival(pan.Token{byte(i + 1)}).Seq = rapid.Uint32().Draw(t, "seq")
		}
		if rapid.Bool().Draw(t, "bank") {
			s.Bank = []card.BankTxn{{Phase: card.Approved, Kind: txn.BankPurchase}}
		}
		encoded := s.Append(nil)
		var back card.State
		if err := back.Decode(encoded); err != nil {
			t.Fatal(err)
		}
		back.Recent = []card.Recent{}
		if !reflect.DeepEqual(back, s) {
			t.Fatalf("got  %+v\nwant %+v", back, s)
		}
		if back.Decode(encoded[:len(encoded)-1]) == nil || back.Decode(append(encoded, 0)) == nil {
			t.Fatal("a cut or extended state was read")
		}
	})
}

// A card without a life is encoded as before there was one.
func TestNoLifeNoBytes(t *testing.T) {
	s := card.State{Status: card.Active, Currency: txn.CNY}
	if b := s.Append(nil); b[0] != 1 {
		t.Errorf("version %d", b[0])
	}
	var l card.Life
	if !l.Expect(pan.Token{}) || l != (card.Life{}) || l.Arrival(pan.Token{}) != nil {
		t.Error("the zero token was expected")
	}
}
