package card

import (
	"encoding/binary"

	"github.com/tapswitch/tapswitch/switch/lease"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// PurseValid returns until when the purse may have a lease, 0 for ever; ok is false for a card
// that is not active, was replaced, has neither purse nor transit open, or bears a mark that
// closes one of them. A frozen card has no lease that a contact could prolong.
func (s *State) PurseValid(m txn.Mark, now txn.Millis) (until txn.Millis, ok bool) {
	const purse = txn.AppPurse | txn.AppTransit
	switch {
	case s.Status != Active || !s.Life.Successor.IsZero() || s.Apps&purse == 0:
		return 0, false
	case m.Frozen(purse) || !s.ServedAt(now):
		return 0, false
	case s.ExpiresAt == 0:
		return 0, true
	default:
		return max(s.ExpiresAt, s.Life.ServedUntil), true
	}
}

// appendLease appends the lease: its end, how long it has gone on, and the gaps that it knows,
// each from its end backwards.
func appendLease(dst []byte, l *lease.Lease) []byte {
	dst = binary.AppendVarint(dst, int64(l.Until))
	dst = binary.AppendVarint(dst, int64(l.Until-l.Since))
	for _, g := range l.Gaps {
		if g == (lease.Gap{}) {
			break
		}
		dst = binary.AppendVarint(append(dst, 1), int64(g.To))
		dst = binary.AppendVarint(dst, int64(g.To-g.From))
	}
	return append(dst, 0)
}

func (d *reader) lease() (l lease.Lease) {
	l.Until = txn.Millis(d.varint())
	l.Since = l.Until - txn.Millis(d.varint())
	for i := 0; d.byte() == 1; i++ {
		if i == lease.GapsMax {
			d.bad = true
			break
		}
		l.Gaps[i].To = txn.Millis(d.varint())
		l.Gaps[i].From = l.Gaps[i].To - txn.Millis(d.varint())
		d.bad = d.bad || l.Gaps[i] == lease.Gap{}
	}
	d.bad = d.bad || l == lease.Lease{}
	return l
}
