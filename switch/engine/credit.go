package engine

import (
	"fmt"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// PostPaid lets cards ride when their balance is used up: the balance goes below zero, and the
// next load pays what is owed before anything else. The zero PostPaid is none. A frozen, closed
// or expired card is refused before anybody asks for it.
type PostPaid struct {
	// Limit is how much a card may owe, TapMax how much one tap may add, RidesMax how many taps in
	// a row may go unpaid.
	Limit    txn.Minor
	TapMax   txn.Minor
	RidesMax uint32
	// WidenMax bounds what a trust flag adds to Limit (ZZ14).
	WidenMax txn.Minor
	// Anonymous gives it to cards too that belong to no account: whoever throws one away owes
	// nobody.
	Anonymous bool
}

func (p *PostPaid) check() error {
	switch {
	case p.Limit < 0 || p.TapMax < 0 || p.WidenMax < 0 || !p.Limit.Valid() || !p.TapMax.Valid() ||
		!p.WidenMax.Valid():
		return fmt.Errorf("policy: post_paid: an amount is below zero or above 2^53")
	case p.Limit > 0 && (p.TapMax == 0 || p.RidesMax == 0):
		return fmt.Errorf("policy: post_paid: a limit of %d needs the most of a tap and of rides in a row",
			p.Limit)
	}
	return nil
}

// mayOwe reports whether the card may owe more than it does, by charge, or by what a ride will
// cost that begins now.
func (d *decider) mayOwe(charge txn.Minor) bool {
	c, p := &d.out.Next, &d.p.PostPaid
	if !d.r.Kind.IsTap() || c.Life.Account.IsZero() && !p.Anonymous || !c.Life.Successor.IsZero() {
		return false
	}
	left := c.Credit.Limit(p.Limit, d.r.ServiceAt) + min(0, c.Balance)
	return left > 0 && c.Credit.Rides < p.RidesMax && charge <= p.TapMax &&
		charge <= left+max(0, c.Balance)
}

// countCredit keeps count of the taps that the card has not paid for.
func (d *decider) countCredit() {
	c := &d.out.Next
	switch {
	case c.Balance >= 0:
		c.Credit.Rides = 0
	case d.r.Kind.IsTap() && d.charged > 0:
		c.Credit.Rides++
	}
}
