package account

import (
	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// own are the affairs that the document knows itself. The others the caller looks up.
const own = Set[Affair](1<<BankFunction | 1<<OpenFees | 1<<OpenCases)

// known are all affairs.
const known = Set[Affair](1<<affairEnd - 2)

// RequestCancellation asks for the end of the account (HD24, ZS20, WZ18).
type RequestCancellation struct {
	Who Who
	// Open is what the caller found: journeys, bank and offline records, balance.
	Open Set[Affair]
	// Decision is the number of the decision when the agency acts ex officio.
	Decision string
}

// Name returns the step's stable name.
func (RequestCancellation) Name() string { return "request_cancellation" }

func (s RequestCancellation) decide(c *change) Refusal {
	rule := &c.rules.Cancellation
	switch {
	case s.Open&^known != 0 || long(s.Decision):
		return InvalidCommand
	case s.Who.Actor == Agency && !rule.ExOfficio:
		return ActorNotAllowed
	case s.Who.Actor == Agency && s.Decision == "":
		return NoDecision
	case s.Who.Actor != Agency:
		if r := c.allowed(&rule.Access, s.Who); r != RefusalNone {
			return r
		}
	case s.Who.Channel >= channelEnd || s.Who.ID >= idEnd:
		return InvalidCommand
	}
	switch {
	case c.next.openCase(CaseCancellation) != nil:
		return CaseOpen
	case !c.room(CaseCancellation):
		return TooManyCases
	}
	k := c.open(CaseCancellation, Accepted, s.Who)
	k.Decision = s.Decision
	k.Left = s.Open | c.next.unsettled(k.No)
	c.note(s.Who.words(), s.Decision)
	return c.charge(Cancellation)
}

// unsettled are the affairs that the document itself knows to be open, beside case no.
func (a *Account) unsettled(no uint32) Set[Affair] {
	var open Set[Affair]
	if a.BankSince != 0 {
		open |= SetOf(BankFunction)
	}
	for i := range a.Fees {
		if a.Fees[i].State == FeeDue {
			open |= SetOf(OpenFees)
		}
	}
	for i := range a.Cases {
		if a.Cases[i].No != no {
			open |= SetOf(OpenCases)
		}
	}
	return open
}

// WaiveAffair waives what need not be settled, with a reason.
type WaiveAffair struct {
	Case   uint32
	Affair Affair
	Why    string
}

// Name returns the step's stable name.
func (WaiveAffair) Name() string { return "waive_affair" }

func (s WaiveAffair) decide(c *change) Refusal {
	k, r := c.wanted(s.Case, CaseCancellation)
	switch {
	case r != RefusalNone:
		return r
	case s.Why == "":
		return NoReason
	case long(s.Why):
		return InvalidCommand
	case s.Affair == AffairNone || s.Affair >= affairEnd ||
		!c.rules.Cancellation.Waivable.Has(s.Affair):
		return NotWaivable
	}
	k.Waived |= SetOf(s.Affair)
	c.out.Case = k.No
	c.note(s.Affair.String(), s.Why)
	return RefusalNone
}

// CompleteCancellation ends the account. Every number of ours dies; the balance is paid
// out where the scheme says so.
type CompleteCancellation struct {
	Case   uint32
	Open   Set[Affair] // what the caller finds now
	Outlet string      // where the balance is paid out
}

// Name returns the step's stable name.
func (CompleteCancellation) Name() string { return "complete_cancellation" }

func (s CompleteCancellation) decide(c *change) Refusal {
	k, r := c.wanted(s.Case, CaseCancellation)
	switch {
	case r != RefusalNone:
		return r
	case s.Open&^known != 0 || long(s.Outlet):
		return InvalidCommand
	}
	left := (s.Open&^own | c.next.unsettled(k.No)) &^ k.Waived
	if c.rules.Cancellation.Refund {
		left &^= SetOf(PurseBalance)
	}
	if left != 0 {
		c.out.Left = left
		return NotSettled
	}
	no := k.No
	c.end(k, Completed)
	c.close(no, s.Outlet)
	return RefusalNone
}

// close ends every carrier and whatever else is open, waived by now.
func (c *change) close(no uint32, outlet string) {
	a := c.next
	for len(a.Cases) > 0 {
		c.end(&a.Cases[0], Withdrawn)
	}
	c.out.Case = no
	var tokens []pan.Token
	for i := range a.Carriers {
		tokens = append(tokens, a.Carriers[i].Token)
	}
	for _, token := range tokens {
		purse := a.Carrier(token).purse()
		c.kill(token, Cancelled)
		if purse && c.rules.Cancellation.Refund {
			c.push(Effect{Kind: Payout, Carrier: token, Outlet: outlet})
		}
	}
	if c.rules.Cancellation.Refund {
		c.payOrphans(outlet)
	}
	for i := range a.Consents {
		if g := &a.Consents[i]; g.Withdrawn == 0 {
			g.Withdrawn = c.now
		}
	}
	for i := range a.Functions {
		if f := &a.Functions[i]; f.ClosedAt == 0 {
			f.ClosedAt = c.now
		}
	}
	a.Restrictions = nil
	a.Rider = Rider{Category: txn.RiderOrdinary}
	a.Trust = Trust{}
	a.BankSince, a.Closed = 0, c.now
	c.notify(NoticeCancelled)
}

// payOrphans pays out what stands on numbers that died for a new card that never came.
func (c *change) payOrphans(outlet string) {
	for i := range c.next.Former {
		f := &c.next.Former[i]
		if f.Status == Replaced && f.Successor.IsZero() && f.Kind != BankPAN {
			c.push(Effect{Kind: Payout, Carrier: f.Token, Outlet: outlet})
		}
	}
}
