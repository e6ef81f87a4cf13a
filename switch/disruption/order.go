package disruption

import (
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Limits of an order.
const (
	// SpanMax is the longest an order may hold. What lasts longer is a tariff.
	SpanMax = 72 * hour
	// AheadMax is how long before its start an order may be given.
	AheadMax = 30 * 24 * hour
	// ConfirmMax is how long after its end an order may still be confirmed: before journeys of
	// that time are settled for good.
	ConfirmMax = 72 * hour
	// ReasonMax bounds the reason in bytes.
	ReasonMax = 200

	hour = txn.Millis(60 * 60 * 1000)
)

// Order is one order. It holds from From, included, until Until, not included.
type Order struct {
	ID     string     `json:"id"`
	Mode   Mode       `json:"mode"`
	Scope  Scope      `json:"scope"`
	From   txn.Millis `json:"from_ms"`
	Until  txn.Millis `json:"until_ms"`
	Reason string     `json:"reason"`
	// By gave the order; Second confirmed it, and is empty before.
	By       string     `json:"by"`
	At       txn.Millis `json:"at_ms"`
	Second   string     `json:"second,omitempty"`
	SecondAt txn.Millis `json:"second_at_ms,omitempty"`
	// EndedBy brought the end forward.
	EndedBy string `json:"ended_by,omitempty"`
}

// Confirmed reports whether two persons stand behind the order.
func (o *Order) Confirmed() bool { return o.Second != "" }

// Binds reports whether gates obey the order while it holds: it is confirmed, or about safety.
func (o *Order) Binds() bool { return o.Confirmed() || o.Mode.Immediate() }

// Holds reports whether the order holds at an instant.
func (o *Order) Holds(at txn.Millis) bool { return o.From <= at && at < o.Until }

// overlaps reports whether the order holds at any instant from a to b, both included.
func (o *Order) overlaps(a, b txn.Millis) bool { return o.From <= b && a < o.Until }

// FlagsAt returns the modes that a tap at a place and an instant is made under.
func FlagsAt(orders []Order, p Place, at txn.Millis) (f Flags) {
	for i := range orders {
		if o := &orders[i]; o.Binds() && o.Holds(at) && o.Scope.Covers(p) {
			f = f.With(o.Mode)
		}
	}
	return f
}

// Contradicts returns the first of the others that says something about the same place and
// time which excludes this order: a station cannot be closed to riders while its gates are
// ordered to let them in without a tap, and one mode is not ordered twice for one scope. ok is
// false when there is none.
func (o *Order) Contradicts(others []Order) (other *Order, ok bool) {
	for i := range others {
		b := &others[i]
		if b.ID == o.ID || b.Scope != o.Scope || !o.overlaps(b.From, b.Until-1) {
			continue
		}
		if b.Mode == o.Mode || o.Mode == StationClosed && b.Mode == EntryExitWaived ||
			o.Mode == EntryExitWaived && b.Mode == StationClosed {
			return b, true
		}
	}
	return nil, false
}
