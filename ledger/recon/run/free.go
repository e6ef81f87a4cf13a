package run

import (
	"context"
	"fmt"

	"github.com/tapswitch/tapswitch/ledger/recon"
)

// freeMax is how many rows of no amount that no rule matched are all looked at, of both sides. Of
// more only those are that another row of the other side's may mean; the rest is counted.
const freeMax = recon.BreaksMax

// identities are the keys, hashed, by which rows that are left may be known on the other side.
type identities []map[uint64]struct{}

func (r *running) newIdentities() identities {
	all := make(identities, len(r.Plan.Identity))
	for i := range all {
		all[i] = map[uint64]struct{}{}
	}
	return all
}

// enter puts the keys of a row in, and known reports whether one of them is there.
func (ids identities) enter(plan *recon.Plan, row *recon.Row) {
	ids.each(plan, row, func(i int, h uint64) bool {
		ids[i][h] = struct{}{}
		return false
	})
}

func (ids identities) known(plan *recon.Plan, row *recon.Row) bool {
	return ids.each(plan, row, func(i int, h uint64) bool {
		_, ok := ids[i][h]
		return ok
	})
}

func (ids identities) each(plan *recon.Plan, row *recon.Row, found func(int, uint64) bool) bool {
	var room [128]byte
	for i, identity := range plan.Identity {
		if key, ok := row.AppendKey(room[:0], identity); ok && found(i, recon.HashKey(key)) {
			return true
		}
	}
	return false
}

// takeFree puts the rows of no amount that the inquiry shall look at to those that are left, and
// counts the others.
func (r *running) takeFree(ctx context.Context, left *[2][]*recon.Row) error {
	for _, s := range r.free {
		if err := s.seal(); err != nil {
			return err
		}
	}
	var of [2]identities // nil where all are looked at
	if r.free[recon.Ours].total+r.free[recon.Theirs].total > freeMax {
		for side := range of {
			of[side] = r.newIdentities()
			for _, row := range left[side] {
				of[side].enter(r.Plan, row)
			}
			if err := each(ctx, r.free[side], func(row *recon.Row) { of[side].enter(r.Plan, row) }); err != nil {
				return err
			}
		}
	}
	for side := range r.free {
		other := of[recon.Side(side).Other()]
		err := each(ctx, r.free[side], func(row *recon.Row) {
			switch {
			case other != nil && !other.known(r.Plan, row), len(left[side]) > recon.BreaksMax:
				r.result.Sides[side].Free++
			default:
				left[side] = append(left[side], kept(row))
			}
		})
		if err != nil {
			return err
		}
		if len(left[side]) > recon.BreaksMax {
			return fmt.Errorf("%w: over %d rows of %s; look at the day, the files and the plan %s",
				recon.ErrTooManyBreaks, recon.BreaksMax, recon.Side(side), r.Plan.Name)
		}
	}
	return nil
}
