package warehouse_test

import (
	"reflect"
	"testing"

	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/ledger/warehouse/warehousetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Every value of every enumeration comes back out of a row: one that a record may have and a
// row not would be lost in the warehouse.
func TestRowsOfEveryValue(t *testing.T) {
	var all []txn.Record
	with := func(change func(*txn.Record)) {
		r := warehousetest.Full()
		change(&r)
		all = append(all, r)
	}
	for l := txn.LiabilityNone; l.String() != "unknown"; l++ {
		with(func(r *txn.Record) { r.Liability = l })
	}
	for v := txn.TACNone; v.String() != "unknown"; v++ {
		with(func(r *txn.Record) { r.TAC = v })
	}
	for _, k := range txn.Kinds() {
		if k != txn.EpochMarker {
			with(func(r *txn.Record) { r.Kind = k })
		}
	}
	for _, reason := range txn.Reasons() {
		with(func(r *txn.Record) { r.Reason = reason })
	}
	with(func(r *txn.Record) {
		r.Response, r.Settled = txn.ResponseCode{}, txn.SettlementDay{}
	})
	for _, want := range all {
		row := warehouse.RowOf(&want)
		got, err := row.Record()
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%v\n got %+v\nwant %+v", err, got, want)
		}
	}
}

// What a bank sends that cannot be printed does not make a record unreadable.
func TestRowOfAnswerThatCannotBePrinted(t *testing.T) {
	r := warehousetest.Full()
	r.Response, r.Settled = txn.ResponseCode{'0', 0}, txn.SettlementDay{0xff, '1', '\n', '2'}
	back, err := txn.DecodeRecord(txn.AppendRecord(nil, &r))
	if err != nil || !reflect.DeepEqual(back, r) {
		t.Fatalf("%+v, %v", back, err)
	}
	row := warehouse.RowOf(&back)
	if row.Response != "0?" || row.SettlementDate != "?1?2" {
		t.Errorf("%q %q", row.Response, row.SettlementDate)
	}
	if _, err := row.Record(); err != nil {
		t.Error(err)
	}
}
