package account

import (
	"slices"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// charge adds what the tariff asks for an event of the case at hand. What is free leaves
// no line.
func (c *change) charge(event Event) Refusal {
	i := slices.IndexFunc(c.rules.Tariff, func(f FeeRule) bool { return f.Event == event })
	if i < 0 || c.rules.Tariff[i].Amount == 0 {
		return RefusalNone
	}
	a := c.next
	if len(a.Fees) == FeesMax {
		settled := slices.IndexFunc(a.Fees, func(f Fee) bool { return f.State != FeeDue })
		if settled < 0 {
			return TooManyFees
		}
		a.Fees = slices.Delete(a.Fees, settled, settled+1)
	}
	a.LastFee++
	a.Fees = append(a.Fees, Fee{No: a.LastFee, Event: event, State: FeeDue, Case: c.out.Case,
		Amount: c.rules.Tariff[i].Amount, Income: c.rules.Tariff[i].Income, At: c.now})
	return RefusalNone
}

func (c *change) fee(no uint32) (*Fee, Refusal) {
	i := slices.IndexFunc(c.next.Fees, func(f Fee) bool { return f.No == no })
	switch {
	case i < 0:
		return nil, UnknownFee
	case c.next.Fees[i].State != FeeDue:
		return nil, FeeSettled
	default:
		return &c.next.Fees[i], RefusalNone
	}
}

// PayFee records that a fee was paid at an outlet: the amount of the tariff, never
// another (HD28).
type PayFee struct{ No uint32 }

// Name returns the step's stable name.
func (PayFee) Name() string { return "pay_fee" }

func (s PayFee) decide(c *change) Refusal {
	f, r := c.fee(s.No)
	switch {
	case r != RefusalNone:
		return r
	case c.cmd.By.Outlet == "":
		return InvalidCommand
	}
	f.State, f.Outlet, f.At = FeePaid, c.cmd.By.Outlet, c.now
	c.out.Case = f.Case
	c.push(Effect{Kind: PostFee, Amount: f.Amount, Name: f.Income, Outlet: f.Outlet})
	c.note(f.Event.String())
	return RefusalNone
}

// WaiveFee waives a fee for a reason that the tariff knows, such as hardship (HD28).
type WaiveFee struct {
	No  uint32
	Why string
}

// Name returns the step's stable name.
func (WaiveFee) Name() string { return "waive_fee" }

func (s WaiveFee) decide(c *change) Refusal {
	f, r := c.fee(s.No)
	switch {
	case r != RefusalNone:
		return r
	case s.Why == "":
		return NoReason
	}
	i := slices.IndexFunc(c.rules.Tariff, func(t FeeRule) bool { return t.Event == f.Event })
	if i < 0 || long(s.Why) || !slices.Contains(c.rules.Tariff[i].Waivers, s.Why) {
		return WaiverNotAllowed
	}
	f.State, f.Why, f.At = FeeWaived, s.Why, c.now
	c.out.Case = f.Case
	c.note(f.Event.String(), s.Why)
	return RefusalNone
}

// GiveConsent records a consent of the holder (HD32, ZZ13).
type GiveConsent struct {
	Party   string
	Purpose string
	Scope   txn.App
	Until   txn.BusinessDate
}

// Name returns the step's stable name.
func (GiveConsent) Name() string { return "give_consent" }

func (s GiveConsent) decide(c *change) Refusal {
	a := c.next
	if !fits(s.Party, NameMax) || !fits(s.Purpose, NameMax) || s.Scope == 0 ||
		!c.validUntil(s.Until) {
		return InvalidCommand
	}
	if len(a.Consents) == ConsentsMax {
		i := slices.IndexFunc(a.Consents, func(g Consent) bool { return !g.inForce(c) })
		if i < 0 {
			return AccountFull
		}
		a.Consents = slices.Delete(a.Consents, i, i+1)
	}
	a.LastGrant++
	a.Consents = append(a.Consents, Consent{No: a.LastGrant, Party: s.Party, Purpose: s.Purpose,
		Scope: s.Scope, Given: c.now, Until: s.Until})
	c.note(s.Party, s.Purpose)
	return RefusalNone
}

func (g *Consent) inForce(c *change) bool {
	return g.Withdrawn == 0 && (g.Until == 0 || c.rules.Calendar.Date(c.now) <= g.Until)
}

// WithdrawConsent takes a consent back; it holds at once.
type WithdrawConsent struct{ No uint32 }

// Name returns the step's stable name.
func (WithdrawConsent) Name() string { return "withdraw_consent" }

func (s WithdrawConsent) decide(c *change) Refusal {
	i := slices.IndexFunc(c.next.Consents, func(g Consent) bool { return g.No == s.No })
	if i < 0 || c.next.Consents[i].Withdrawn != 0 {
		return UnknownConsent
	}
	g := &c.next.Consents[i]
	g.Withdrawn = c.now
	if g.No == c.next.Trust.Consent {
		c.distrust()
	}
	c.note(g.Party, g.Purpose)
	return RefusalNone
}

// Query is a look at the account's records (HD26, HD32). It changes nothing; what counts is
// the record of who looked and why. The holder needs an identity paper or the card, others
// a purpose that the scheme knows and, where it says so, the holder's consent.
type Query struct {
	Who      Who
	CardSeen bool // the holder came with the card itself
	Purpose  string
	Party    string // the unit that looks, when it is not the agency
}

// Name returns the step's stable name.
func (Query) Name() string { return "query" }

func (s Query) decide(c *change) Refusal {
	switch {
	case long(s.Purpose, s.Party) || s.Who.Channel >= channelEnd || s.Who.ID >= idEnd ||
		s.Who.Actor == ActorNone || s.Who.Actor >= actorEnd:
		return InvalidCommand
	case s.Who.Actor == Holder && s.Who.ID == IDNone && !s.CardSeen:
		return IDNotAllowed
	case s.Who.Actor == Holder:
		c.note(s.Who.words(), "own")
		return RefusalNone
	}
	i := slices.IndexFunc(c.rules.Purposes, func(p PurposeRule) bool {
		return p.Purpose == s.Purpose && slices.Contains(p.Roles, c.cmd.By.Role)
	})
	if i < 0 {
		return PurposeNotAllowed
	}
	if c.rules.Purposes[i].Consent && !c.consented(s.Party, s.Purpose) {
		return ConsentMissing
	}
	c.note(s.Who.words(), s.Purpose, s.Party)
	return RefusalNone
}

func (c *change) consented(party, purpose string) bool {
	return slices.ContainsFunc(c.next.Consents, func(g Consent) bool {
		return g.Party == party && g.Purpose == purpose && g.inForce(c)
	})
}
