package day

import (
	"cmp"
	"context"
	"slices"

	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const (
	// undoneMax is how many reversals of rides a day has whose rides are looked for; the rest are
	// settled by what stands in the reversals themselves.
	undoneMax = 1 << 18
	// undoneDays is how many days back a ride is looked for: cards remember what can be reversed
	// for less.
	undoneDays = 7
)

// undone are the reversals of rides of a day, by the request that they undo: they are settled with
// the record of the ride, which stands before, on the same day as a rule.
type undone map[txn.RequestID]txn.Record

// keep puts a reversal aside; false when there are too many, or a second one of the same ride.
func (u *undone) keep(r *txn.Record) bool {
	if _, there := (*u)[r.Original]; there || len(*u) >= undoneMax {
		return false
	}
	if *u == nil {
		*u = undone{}
	}
	(*u)[r.Original] = *r
	return true
}

// undo settles the reversals that were put aside.
func (d *Desk) undo(ctx context.Context, date txn.BusinessDate, s *scan) error {
	zone := date.Time().Location()
	for back := 0; back <= undoneDays && len(s.undone) > 0; back++ {
		day := txn.DateOf(date.Time().AddDate(0, 0, -back), zone, 0)
		f := warehouse.Filter{From: day, To: day, Outcome: txn.Approved}
		err := d.Reader.Records(ctx, f, func(ride *txn.Record) error {
			r, ok := s.undone[ride.Request]
			if !ok || !ride.Kind.IsTap() {
				return nil
			}
			delete(s.undone, ride.Request)
			return s.gathered(&r, s.gatherer.AddReversal(&r, ride))
		})
		if err != nil {
			return err
		}
	}
	var rest []txn.Record
	for _, r := range s.undone {
		rest = append(rest, r)
	}
	slices.SortFunc(rest, func(a, b txn.Record) int {
		return cmp.Or(cmp.Compare(a.Position.Bucket, b.Position.Bucket),
			cmp.Compare(a.Position.Epoch, b.Position.Epoch), cmp.Compare(a.Position.Seq, b.Position.Seq))
	})
	for i := range rest {
		if err := s.gathered(&rest[i], s.gatherer.Add(&rest[i])); err != nil {
			return err
		}
	}
	return nil
}
