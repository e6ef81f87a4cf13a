package txn_test

import (
	"encoding/hex"
	"reflect"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// goldenRecord is the record of TestEncodedRecordStays.
const goldenRecord = "080110051802204d28a5d0d4093202473138034009480250016210010203000000000000000000000000006a" +
	"0431323334700678028001018a01056d6574726f9201024d319a01044c616b65b2010441435131ba0103535a" +
	"54d801f80ae201057269646572e2010a696e636f6d706c657465ea0104bc05f70af001b410f8019c0180023b" +
	"88020c900201980201a00208a80280ecfed88534b002e4ecfed88534c202057075727365c2020e6f70657261" +
	"746f722f6d6574726fca0204b310b410d2020647322d312d34da02064d61726b6574e002808fa3d78534b803" +
	"01c003e820"

// The encoding of a record as ledgers hold it: what was written once is read for ever, and a
// record that has nothing new in it is written as it was.
func TestEncodedRecordStays(t *testing.T) {
	id := txn.RequestID{Terminal: txn.TerminalID{'G', '1'}, Boot: 3, Counter: 9}
	want := txn.Record{Version: txn.RecordVersion, Position: txn.Position{Bucket: 5, Epoch: 2, Seq: 77},
		BusinessDate: 20260901, Request: id, Kind: txn.MetroExit, Outcome: txn.Approved,
		Card: pan.Token{1, 2, 3}, Last4: pan.Last4{'1', '2', '3', '4'}, CardVersion: 6,
		Application: txn.AppPurse, Rider: txn.RiderStudent,
		Place:  txn.Place{Operator: "metro", Line: "M1", Station: "Lake", Acquirer: "ACQ1"},
		Issuer: "SZT", FullFare: 700, Discounts: []txn.Discount{{Cause: "rider", Amount: 350},
			{Cause: "incomplete", Amount: -700}}, Charged: 1050, Currency: txn.CNY, BalanceAfter: -30,
		OfflineCounter: 12, Offline: true, TAC: txn.TACVerdict(1), ListEpoch: 8,
		ServiceAt: 1_788_235_200_000, ReceivedAt: 1_788_235_200_100,
		Postings: []txn.Posting{{Account: "purse", Amount: -1050}, {Account: "operator/metro", Amount: 1050}},
		Original: txn.RequestID{Terminal: txn.TerminalID{'G', '2'}, Boot: 1, Counter: 4}, EntryStation: "Market",
		EntryAt: 1_788_231_600_000, Ride: txn.Ride{Business: true, Metres: 4200}}
	stored, err := hex.DecodeString(goldenRecord)
	if err != nil {
		t.Fatal(err)
	}
	if got := txn.AppendRecord(nil, &want); string(got) != string(stored) {
		t.Errorf("wrote\n%x\nstored is\n%x", got, stored)
	}
	got, err := txn.DecodeRecord(stored)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n got %+v\nwant %+v", err, got, want)
	}
	if got, err = txn.NewRecordReader().Read(stored); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("a reader: %v\n got %+v\nwant %+v", err, got, want)
	}
}
