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
	// Predecessor is the card that this one replaced.
	Successor, Predecessor pan.Token
	// BankWaiting: the bank function is open and waits for its activation (ZZ19).
	BankWaiting bool
	// RiderUntil is when a concession ends; 0 for never.
	RiderUntil txn.Millis
	// ServedUntil lets an expired card serve until then (HD25).
	ServedUntil txn.Millis
	// Moving is what is on its way to the successor: taken off this card and not yet known
	// to have arrived. MovedOut and MovedIn count the transfers from here and to here.
	Moving   Moving
	MovedOut uint32
	MovedIn  uint32
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
	return !s.Life.Successor.IsZero() && (s.Balance > 0 || s.Journey.Open() || s.Life.Moving.Open)
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
	for _, t := range [...]pan.Token{l.Account, l.Successor, l.Predecessor} {
		dst = append(dst, t[:]...)
	}
	dst = binary.AppendVarint(dst, int64(l.RiderUntil))
	dst = binary.AppendVarint(dst, int64(l.ServedUntil))
	dst = binary.AppendVarint(dst, int64(l.Moving.Amount))
	dst = binary.AppendUvarint(dst, uint64(l.MovedOut))
	return binary.AppendUvarint(dst, uint64(l.MovedIn))
}

func (d *reader) life() (l Life) {
	flags := d.byte()
	d.bad = d.bad || flags >= lifeEnd
	l.BankWaiting, l.Moving.Open = flags&lifeBankWaiting != 0, flags&lifeMoving != 0
	for _, t := range [...]*pan.Token{&l.Account, &l.Successor, &l.Predecessor} {
		copy(t[:], d.take(pan.TokenSize))
	}
	l.RiderUntil = txn.Millis(d.varint())
	l.ServedUntil = txn.Millis(d.varint())
	l.Moving.Amount = txn.Minor(d.varint())
	l.MovedOut, l.MovedIn = d.uint32(), d.uint32()
	return l
}

func (d *reader) uint32() uint32 {
	v := d.uvarint()
	d.bad = d.bad || v > 1<<32-1
	return uint32(v)
}
