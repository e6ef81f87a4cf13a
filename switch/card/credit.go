package card

import (
	"encoding/binary"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// Credit is post-paid riding: what the card owes is its balance below zero, and what may come on
// top is the scheme's to say. The zero Credit is a card that owes no ride and has no trust flag.
type Credit struct {
	// Rides is how many taps in a row the card did not pay for out of its balance.
	Rides uint32
	// Widen comes on top of the scheme's limit until Until: an incentive, never below zero.
	Widen txn.Minor
	Until txn.Millis
}

// Limit returns how much the card may owe at an instant where the scheme's limit is base. A trust
// flag only widens it, and where there is no post-paid riding there is none to widen.
func (c *Credit) Limit(base txn.Minor, at txn.Millis) txn.Minor {
	if base <= 0 || c.Widen <= 0 || at >= c.Until {
		return max(0, base)
	}
	wide, err := base.Add(c.Widen)
	if err != nil {
		return txn.MinorMax
	}
	return wide
}

func (c *Credit) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(c.Rides))
	dst = binary.AppendVarint(dst, int64(c.Widen))
	return binary.AppendVarint(dst, int64(c.Until))
}

func (d *reader) credit() (c Credit) {
	c.Rides = d.uint32()
	c.Widen, c.Until = txn.Minor(d.varint()), txn.Millis(d.varint())
	return c
}
