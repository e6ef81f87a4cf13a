package card

import (
	"encoding/binary"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Life is what the card agency decided about a card; the zero Life is a card that no
// account holds.
type Life struct {
	// Account is the document of the account that the card belongs to.
	Account pan.Token
	// Successor is the card that replaced this one: what this one is owed goes there.
	Successor pan.Token
	// Arrivals are the cards that this one replaced.
	Arrivals [ArrivalsMax]Arrival
	// BankWaiting: the bank function is open and waits for its activation (ZZ19).
	BankWaiting bool
	// RiderUntil is when a concession ends; 0 for never.
	RiderUntil txn.Millis
	// ServedUntil lets an expired card serve until then (HD25).
	ServedUntil txn.Millis
	// Moving is what is on its way to the successor: taken off this card and not yet known
	// to have arrived. MovedOut counts the transfers from here.
	Moving   Moving
	MovedOut uint32
}

// ArrivalsMax is how many cards one card may replace: the carriers of an account whose
// numbers died with the chip card.
const ArrivalsMax = 6

// Arrival is a card that was replaced, with the last transfer that came from it.
type Arrival struct {
	From pan.Token
	Seq  uint32
}

// Arrival returns what came from a replaced card, nil when this is not its successor.
func (l *Life) Arrival(from pan.Token) *Arrival {
	for i := range l.Arrivals {
		if l.Arrivals[i].From == from && !from.IsZero() {
			return &l.Arrivals[i]
		}
	}
	return nil
}

// Expect makes the card the successor of one more; false when there is no room.
func (l *Life) Expect(from pan.Token) bool {
	if from.IsZero() || l.Arrival(from) != nil {
		return true
	}
	for i := range l.Arrivals {
		if l.Arrivals[i].From.IsZero() {
			l.Arrivals[i].From = from
			return true
		}
	}
	return false
}

// Moving is a transfer under way; the journey that goes along is the card's own until the
// transfer has arrived.
type Moving struct {
	Open   bool
	Amount txn.Minor
}

// ServedAt reports whether the card is valid at an instant of service.
func (s *State) ServedAt(at txn.Millis) bool {
	return s.ExpiresAt == 0 || at < max(s.ExpiresAt, s.Life.ServedUntil)
}

// RiderAt returns the concession at an instant of service.
func (s *State) RiderAt(at txn.Millis) txn.RiderCategory {
	if s.Life.RiderUntil != 0 && at >= s.Life.RiderUntil {
		return txn.RiderOrdinary
	}
	return s.Rider
}

// Owed reports whether the card holds something that belongs to its successor.
func (s *State) Owed() bool {
	return !s.Life.Successor.IsZero() && (s.Balance > 0 || s.Journey.Open() || s.Life.Moving.Open ||
		len(s.Rides) > 0)
}

const (
	lifeBankWaiting = 1 << iota
	lifeMoving
	lifeEnd
)

// append appends the life; a state without one has none of these bytes.
func (l *Life) append(dst []byte) []byte {
	var flags byte
	if l.BankWaiting {
		flags |= lifeBankWaiting
	}
	if l.Moving.Open {
		flags |= lifeMoving
	}
	dst = append(dst, flags)
	for _, t := range [...]pan.Token{l.Account, l.Successor} {
		dst = append(dst, t[:]...)
	}
	dst = binary.AppendVarint(dst, int64(l.RiderUntil))
	dst = binary.AppendVarint(dst, int64(l.ServedUntil))
	dst = binary.AppendVarint(dst, int64(l.Moving.Amount))
	dst = binary.AppendUvarint(dst, uint64(l.MovedOut))
	for _, a := range l.Arrivals {
		if a.From.IsZero() {
			break
		}
		dst = binary.AppendUvarint(append(append(dst, 1), a.From[:]...), uint64(a.Seq))
	}
	return append(dst, 0)
}

func (d *reader) life() (l Life) {
	flags := d.byte()
	d.bad = d.bad || flags >= lifeEnd
	l.BankWaiting, l.Moving.Open = flags&lifeBankWaiting != 0, flags&lifeMoving != 0
	for _, t := range [...]*pan.Token{&l.Account, &l.Successor} {
		copy(t[:], d.take(pan.TokenSize))
	}
	l.RiderUntil = txn.Millis(d.varint())
	l.ServedUntil = txn.Millis(d.varint())
	l.Moving.Amount = txn.Minor(d.varint())
	l.MovedOut = d.uint32()
	for i := 0; d.byte() == 1; i++ {
		if i == ArrivalsMax {
			d.bad = true
			break
		}
		copy(l.Arrivals[i].From[:], d.take(pan.TokenSize))
		l.Arrivals[i].Seq = d.uint32()
		d.bad = d.bad || l.Arrivals[i].From.IsZero()
	}
	return l
}

func (d *reader) uint32() uint32 {
	v := d.uvarint()
	d.bad = d.bad || v > 1<<32-1
	return uint32(v)
}
