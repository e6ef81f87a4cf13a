package warehousetest

import (
	"context"
	"testing"

	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// CheckHours compares the hours of a date with what the records say, where the warehouse
// offers them. The date is taken to begin in the middle of its records too, so that some lie
// outside.
func CheckHours(t *testing.T, w warehouse.Warehouse, date txn.BusinessDate, records []txn.Record) {
	t.Helper()
	hourly, ok := w.(warehouse.Hourly)
	if !ok {
		return
	}
	first := txn.MillisOf(date.Time())
	for _, r := range records {
		if r.BusinessDate == date && warehouse.Volume(r.Kind) {
			first = r.ServiceAt
		}
	}
	for _, begin := range []txn.Millis{txn.MillisOf(date.Time()), first, first - 1} {
		var want warehouse.Hours
		for i := range records {
			if r := &records[i]; r.BusinessDate == date && warehouse.Volume(r.Kind) {
				want.At(r.ServiceAt, begin).Add(r.Outcome.String(), 1)
			}
		}
		if got, err := hourly.Hours(context.Background(), date, begin); err != nil || got != want {
			t.Errorf("hours of %s from %d: %v\n got %+v\nwant %+v", date, begin, err, got, want)
		}
	}
}
