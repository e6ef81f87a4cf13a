package route

import (
	"errors"
	"fmt"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// StandIn says what the switch may approve in the issuer's place while no link to it is up.
// Whatever is approved is advised to the issuer later, and is the switch owner's risk until
// then: so there is no limit that means "any". The zero StandIn approves nothing.
type StandIn struct {
	// Classes may not have Balance and Load: nobody can say a balance but the issuer, and a
	// load would give out money that was not taken.
	Classes []Class
	// AmountMax is the most that one transaction may have, in minor units.
	AmountMax txn.Minor
	// CountMax and TotalMax bound what one card gets in one business day, in transactions
	// and minor units.
	CountMax int
	TotalMax txn.Minor
}

var errStandIn = errors.New("stand-in")

// check refuses a StandIn that approves nothing, or anything.
func (s *StandIn) check() error {
	if s == nil {
		return nil
	}
	if len(s.Classes) == 0 {
		return fmt.Errorf("%w: names no class", errStandIn)
	}
	set, err := setOf(s.Classes)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", errStandIn, err)
	case set.has(Balance) || set.has(Load):
		return fmt.Errorf("%w: %v and %v need the issuer", errStandIn, Balance, Load)
	case s.AmountMax <= 0 || s.CountMax <= 0 || s.TotalMax <= 0:
		return fmt.Errorf("%w: amount, count and total all want a limit above 0", errStandIn)
	case s.AmountMax > s.TotalMax:
		return fmt.Errorf("%w: one transaction may have %d, all of a day %d", errStandIn,
			s.AmountMax, s.TotalMax)
	case s.TotalMax > txn.MinorMax:
		return fmt.Errorf("%w: the total may be %d at most", errStandIn, txn.MinorMax)
	}
	return nil
}

// Allows reports whether a transaction may be approved, after count transactions of total
// minor units in stand-in by the same card on the same business day, and in a few words why
// not. A nil StandIn allows nothing. The caller counts, and counts before it approves.
func (s *StandIn) Allows(c Class, amount txn.Minor, count int, total txn.Minor) (bool, string) {
	switch {
	case s == nil:
		return false, "no stand-in"
	case !s.hasClass(c):
		return false, "class not in stand-in"
	case amount < 0 || count < 0 || total < 0:
		return false, "negative amount or count"
	case amount > s.AmountMax:
		return false, "amount over the stand-in limit"
	case count >= s.CountMax:
		return false, "count of the card and day used up"
	case total > s.TotalMax || amount > s.TotalMax-total:
		return false, "total of the card and day used up"
	}
	return true, ""
}

func (s *StandIn) hasClass(c Class) bool {
	for _, each := range s.Classes {
		if each == c {
			return c != ClassNone
		}
	}
	return false
}

// String says the limits for people.
func (s *StandIn) String() string {
	if s == nil {
		return "no stand-in"
	}
	return fmt.Sprintf("stand-in for %v: %d each, %d a day in %d transactions", s.Classes,
		s.AmountMax, s.TotalMax, s.CountMax)
}
