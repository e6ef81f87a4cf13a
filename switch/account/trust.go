package account

import (
	"slices"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// Trust is a trust flag: an incentive of the city's credit rules (ZZ14) that widens the limit
// of post-paid riding of every card of the account, and does nothing else. The zero Trust is
// none.
type Trust struct {
	Widen    txn.Minor // what comes on top of the scheme's limit
	Purpose  string
	Source   string // the body that granted it
	Decision string // the number of its decision
	By       string // its operator
	Consent  uint32 // the holder's consent that it rests on
	Since    txn.Millis
	Until    txn.BusinessDate // last day
}

// GrantTrust sets a trust flag by decision of the body that keeps the trust file. It takes a
// purpose of that body's role, a consent of the holder that lasts as long as the flag, and
// a period. A flag in force gives way only to one that is as wide and as long: nothing but a
// withdrawal, the end of its consent or its last day takes it back.
type GrantTrust struct {
	Widen    txn.Minor
	Purpose  string
	Decision string
	Until    txn.BusinessDate
}

// Name returns the step's stable name.
func (GrantTrust) Name() string { return "grant_trust" }

func (s GrantTrust) decide(c *change) Refusal {
	now := &c.next.Trust
	switch {
	case c.rules.TrustMax == 0:
		return NotOffered
	case long(s.Purpose, s.Decision) || s.Until == 0 || !c.validUntil(s.Until):
		return InvalidCommand
	case !c.trusted(s.Purpose):
		return PurposeNotAllowed
	case s.Decision == "":
		return NoDecision
	case s.Widen <= 0 || s.Widen > c.rules.TrustMax:
		return AmountInvalid
	}
	consent := c.trustConsent(&s)
	switch {
	case consent == nil:
		return ConsentMissing
	case now.Widen != 0 && now.Source != c.cmd.By.Role:
		return NotTheOwner
	case s.Widen < now.Widen || s.Until < now.Until:
		return TrustStands
	}
	c.next.Trust = Trust{Widen: s.Widen, Purpose: s.Purpose, Source: c.cmd.By.Role, Decision: s.Decision,
		By: c.cmd.By.ID, Consent: consent.No, Since: c.now, Until: s.Until}
	c.widen()
	c.note(c.cmd.By.Role, s.Purpose, s.Decision)
	return RefusalNone
}

// TrustPurpose is the purpose for which a trust flag is set; a scheme that has it names the body.
const TrustPurpose = "credit_incentive"

// trusted reports whether the role of the command is the body of the purpose, which always
// wants the holder's consent.
func (c *change) trusted(purpose string) bool {
	return slices.ContainsFunc(c.rules.Purposes, func(p PurposeRule) bool {
		return p.Purpose == purpose && purpose == TrustPurpose && p.Consent && slices.Contains(p.Roles, c.cmd.By.Role)
	})
}

// trustConsent returns the consent that a flag may rest on, or nil.
func (c *change) trustConsent(s *GrantTrust) *Consent {
	for i := range c.next.Consents {
		g := &c.next.Consents[i]
		if g.Party == c.cmd.By.Role && g.Purpose == s.Purpose && g.inForce(c) &&
			g.Scope&txn.AppTransit != 0 && (g.Until == 0 || g.Until >= s.Until) {
			return g
		}
	}
	return nil
}

// WithdrawTrust takes a trust flag back; the body that granted it does it, by a decision of
// its own. The scheme's own limit stays.
type WithdrawTrust struct{ Decision string }

// Name returns the step's stable name.
func (WithdrawTrust) Name() string { return "withdraw_trust" }

func (s WithdrawTrust) decide(c *change) Refusal {
	switch {
	case c.next.Trust.Widen == 0:
		return NoTrust
	case c.next.Trust.Source != c.cmd.By.Role:
		return NotTheOwner
	case s.Decision == "":
		return NoDecision
	case long(s.Decision):
		return InvalidCommand
	}
	c.note(c.cmd.By.Role, c.next.Trust.Purpose, s.Decision)
	c.distrust()
	return RefusalNone
}

// makeRoom forgets the oldest ended cases in favour of a trust flag.
func (c *change) makeRoom() {
	if n := len(c.next.Ended) - (EndedMax - EndedTrust); n > 0 && c.next.Trust.Widen != 0 {
		c.next.Ended = slices.Delete(c.next.Ended, 0, n)
	}
}

// distrust ends the trust flag, if there is one.
func (c *change) distrust() {
	if c.next.Trust.Widen != 0 {
		c.next.Trust = Trust{}
		c.widen()
	}
}

// widen tells every card of the account what the trust flag is.
func (c *change) widen() {
	for i := range c.next.Carriers {
		if k := &c.next.Carriers[i]; k.purse() && k.told.enrolled {
			c.widenOne(k)
		}
	}
}

func (c *change) widenOne(k *Carrier) {
	t := &c.next.Trust
	c.push(Effect{Kind: Widen, Carrier: k.Token, Amount: t.Widen, Until: t.Until})
}
