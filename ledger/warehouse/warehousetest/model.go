package warehousetest

import (
	"slices"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// overflowFault is what a sum panics with; Expected turns it back into an error.
type overflowFault error

// Expected works the totals of a date out from the records themselves, in the plainest
// way, for comparison with what a warehouse says. The records must be in sequence and
// without duplicates. A sum that int64 does not hold is warehouse.ErrOverflow.
func Expected(records []txn.Record, date txn.BusinessDate) (t warehouse.Totals, err error) {
	defer func() {
		if fault, ok := recover().(error); ok {
			err = fault
		}
	}()
	t.Date = date
	ids := make(map[txn.RequestID]int)
	var closed [txn.BucketCount]bool
	for i := range records {
		r := &records[i]
		if r.Kind == txn.DayMarker && date != 0 && r.ClosedDate >= date {
			closed[r.Position.Bucket] = true
		}
		if r.BusinessDate != date {
			continue
		}
		t.Rows++
		addRecord(&t, r)
		if !r.Request.IsZero() && r.Reason != txn.IDReused && r.Reason != txn.IDTooOld {
			ids[r.Request]++
		}
	}
	for id, n := range ids {
		if n > 1 {
			t.Repeated++
			t.RepeatedIDs = append(t.RepeatedIDs, id.String())
		}
	}
	t.Sort()
	t.RepeatedIDs = t.RepeatedIDs[:min(len(t.RepeatedIDs), warehouse.RepeatedListMax)]
	for b := range t.Buckets {
		t.Buckets[b].Closed = closed[b]
	}
	return t, nil
}

// add panics with ErrOverflow, which Expected returns.
func add(to *int64, amount txn.Minor) {
	sum, ok := warehouse.AddInt64(*to, int64(amount))
	if !ok {
		panic(overflowFault(warehouse.ErrOverflow))
	}
	*to = sum
}

// addRecord adds a record to every list.
func addRecord(t *warehouse.Totals, r *txn.Record) {
	kind, outcome, currency := r.Kind.String(), r.Outcome.String(), uint16(r.Currency)
	k := find(&t.Kinds, func(l *warehouse.KindLine) bool {
		return l.Kind == kind && l.Outcome == outcome && l.Currency == currency
	})
	k.Kind, k.Outcome, k.Currency = kind, outcome, currency
	k.Count++
	add(&k.FullFare, r.FullFare)
	add(&k.Charged, r.Charged)
	for _, d := range r.Discounts {
		l := find(&t.Discounts, func(l *warehouse.DiscountLine) bool {
			return l.Kind == kind && l.Outcome == outcome && l.Cause == d.Cause &&
				l.Currency == currency
		})
		l.Kind, l.Outcome, l.Cause, l.Currency = kind, outcome, d.Cause, currency
		l.Count++
		add(&l.Amount, d.Amount)
	}
	if r.Outcome == txn.Declined {
		l := find(&t.Declines,
			func(l *warehouse.DeclineLine) bool { return l.Reason == r.Reason.String() })
		l.Reason = r.Reason.String()
		l.Count++
	}
	addOperator(t, r)
	if r.CheckPostings() != nil {
		t.Unbalanced++
	}
	for _, p := range r.Postings {
		l := find(&t.Accounts, func(l *warehouse.AccountLine) bool {
			return l.Account == string(p.Account) && l.Currency == currency
		})
		l.Account, l.Currency = string(p.Account), currency
		l.Count++
		add(&l.Amount, p.Amount)
	}
	b := find(&t.Buckets,
		func(l *warehouse.BucketLine) bool { return l.Bucket == r.Position.Bucket })
	if b.Rows == 0 {
		b.Bucket, b.First = r.Position.Bucket, r.Position
	}
	b.Rows++
	b.Last = r.Position
}

// addOperator adds a record to the line of its operator.
func addOperator(t *warehouse.Totals, r *txn.Record) {
	if r.Place.Operator == "" {
		return
	}
	l := find(&t.Operators, func(l *warehouse.OperatorLine) bool {
		return l.Operator == r.Place.Operator && l.Currency == uint16(r.Currency)
	})
	l.Operator, l.Currency = r.Place.Operator, uint16(r.Currency)
	if r.Outcome == txn.Declined {
		l.Declined++
		return
	}
	l.Approved++
	add(&l.FullFare, r.FullFare)
	add(&l.Charged, r.Charged)
}

// find returns the line that fits, adding a new one at the end where none does.
func find[L any](lines *[]L, fits func(*L) bool) *L {
	for i := range *lines {
		if fits(&(*lines)[i]) {
			return &(*lines)[i]
		}
	}
	var none L
	*lines = append(*lines, none)
	return &(*lines)[len(*lines)-1]
}

// Ordered returns the records in the order in which a warehouse gives them out.
func Ordered(records []txn.Record) []txn.Record {
	out := slices.Clone(records)
	slices.SortStableFunc(out, func(a, b txn.Record) int {
		switch {
		case a.BusinessDate != b.BusinessDate:
			return int(a.BusinessDate) - int(b.BusinessDate)
		case a.Position.Bucket != b.Position.Bucket:
			return int(a.Position.Bucket) - int(b.Position.Bucket)
		case a.Position.Before(b.Position):
			return -1
		default:
			return 1
		}
	})
	return out
}

// Full returns a record of the date Day with every field set that a transaction may have.
func Full() txn.Record {
	terminal := txn.TerminalID{'P', 'S', 'A', 'M', '_', '0', '1', '.', 'x', 'Y', 'z', '9'}
	return txn.Record{
		Version: txn.RecordVersion, BusinessDate: Day,
		Position: txn.Position{Bucket: 63, Epoch: 1<<40 + 1, Seq: 1<<41 + 3},
		Request:  txn.RequestID{Terminal: terminal, Boot: 1<<32 - 1, Counter: 1<<32 - 2},
		Kind:     txn.Refund, Outcome: txn.Declined, Reason: txn.InsufficientFunds,
		Card: pan.Token{0xff, 1, 2, 3}, Last4: pan.Last4{'0', '1', '2', '3'}, CardVersion: 1 << 63,
		Application: txn.AppPurse | 1<<14, Rider: txn.RiderVeteran,
		Place: txn.Place{Operator: "深圳地铁", Line: "5 号线", Station: "五和", Merchant: "M\"'\\\t,",
			MCC: "5411", Acquirer: "ACQ"},
		Issuer: "ISS", STAN: 999999, RRN: "123456789012", Auth: txn.AuthCode{'0', 'Z', '1', 'Y',
			'2', 'X'}, Response: txn.ResponseCode{'5', 'A'},
		Settled:  txn.SettlementDay{'0', '2', '2', '9'},
		FullFare: txn.MinorMax,
		Discounts: []txn.Discount{{Cause: "", Amount: 1}, {Cause: "rider", Amount: -2},
			{Cause: "x"}},
		Charged: -txn.MinorMax, Currency: 999, BalanceAfter: -1,
		OfflineCounter: 1<<32 - 1, Offline: true, TAC: txn.TACUnchecked, ListEpoch: 1<<64 - 1,
		ServiceAt: 1<<63 - 1, ReceivedAt: 1, Liability: txn.LiabilityAgency,
		Postings: []txn.Posting{{Account: "purse", Amount: txn.MinorMax}, {Account: "",
			Amount: -txn.MinorMax}},
		Original:     txn.RequestID{Terminal: terminal, Boot: 1, Counter: 2},
		EntryStation: "S9", EntryAt: 1 << 50,
		Ride: txn.Ride{Mode: txn.ModeFerry, Business: true, Metres: 1 << 40, Degraded: 31},
		Listing: txn.Listing{Mark: txn.Mark{Reason: txn.Cancelled, Scope: txn.AppAll},
			Actor: "desk-1", Note: "case 7"},
	}
}
