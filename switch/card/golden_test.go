package card_test

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/lease"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// goldens are states as stores hold them, by the file of their bytes: what was written once is
// read for ever, and a state that has nothing new in it is written as it was.
func goldens() map[string]card.State {
	id := txn.RequestID{Terminal: txn.TerminalID{'G', '1'}, Boot: 3, Counter: 9}
	plain := card.State{Status: card.Active, Apps: txn.AppTransit | txn.AppPurse, Rider: txn.RiderStudent,
		Last4: pan.Last4{'1', '2', '3', '4'}, Issuer: "SZT", Currency: txn.CNY, ExpiresAt: 1 << 41,
		Balance: 4321, Counter: card.CounterWindow{High: 77, Bits: 5}, Floor: 1_788_235_100_000,
		Journey: card.Journey{EnteredAt: 1_788_235_200_000, Station: "Futian", Line: "L1",
			Operator: "metro", Request: id},
		Recent: []card.Recent{
			{ID: id, Fingerprint: txn.Fingerprint{1, 2, 3}, ServiceAt: 1_788_235_200_000,
				Kind: txn.MetroEntry, BalanceAfter: 4321, DecidedAt: 1_788_235_200_100},
			{ID: id, Kind: txn.Refund, ServiceAt: 1_788_235_200_000, Charged: -5, Reversed: true,
				DecidedAt: 1_788_235_200_000, RefundOf: txn.Fingerprint{9}},
		}}
	lived := plain
	lived.Life = card.Life{Account: pan.Token{1}, RiderUntil: 99, MovedOut: 2}
	ridden := lived
	ridden.Rides = []byte{1, 0, 2, 0}
	ridden.Recent = slices.Clone(lived.Recent)
	ridden.Recent[0].Undoable = true
	ridden.Undo = card.Undo{Set: true, Rides: []byte{1, 0, 4, 0}, Journey: plain.Journey}
	shown := plain
	shown.Codes = card.CodeWindow{Floor: 1_788_235_000, Used: []int64{1_788_235_100, 1_788_235_460}}
	leased := lived
	leased.Lease = lease.Lease{Since: 1_788_000_000_000, Until: 1_788_259_200_000,
		Gaps: [lease.GapsMax]lease.Gap{{From: 1_787_000_000_000, To: 1_788_000_000_000}}}
	gated := plain
	gated.Recent = slices.Clone(plain.Recent)
	gated.Recent[0].Gate = txn.TerminalID{'G', 'A', 'T', 'E'}
	return map[string]card.State{"gated": gated, "plain": plain, "lived": lived, "ridden": ridden, "shown": shown,
		"leased": leased}
}

func TestEncodedStatesStay(t *testing.T) {
	for name, want := range goldens() {
		file := filepath.Join("testdata", "state_"+name+".hex")
		got := want.Append(nil)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		stored, err := hex.DecodeString(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(stored) {
			t.Errorf("%s: wrote\n%x\nstored is\n%x", name, got, stored)
		}
		var back card.State
		if err := back.Decode(stored); err != nil || !reflect.DeepEqual(back, want) {
			t.Errorf("%s: %v\n got %+v\nwant %+v", name, err, back, want)
		}
	}
}
