package account

import (
	"slices"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// ApplyReplacement asks for a new card after a loss (HD21, ZS19, 补领). Where the scheme
// says that release closes when applied, the old number is dead from here on.
type ApplyReplacement struct {
	Who    Who
	Old    pan.Token
	Accept bool // accepted at once; received only otherwise
}

// ApplyRenewal asks for a new card in place of one that is there (HD17, ZS16, WZ15, 换领).
// The old one serves until the new one is made (HD25).
type ApplyRenewal struct {
	Who    Who
	Old    pan.Token
	Ground Ground
	Accept bool
}

// Name returns the step's stable name.
func (ApplyReplacement) Name() string { return "apply_replacement" }

// Name returns the step's stable name.
func (ApplyRenewal) Name() string { return "apply_renewal" }

func (s ApplyReplacement) decide(c *change) Refusal {
	if r := c.newCard(s.Who); r != RefusalNone {
		return r
	}
	if r := c.replaceable(s.Old); r != RefusalNone {
		return r
	}
	k := c.open(CaseReplacement, Received, s.Who)
	k.Carrier, k.Ground = s.Old, AfterLoss
	c.note(s.Who.words())
	if c.rules.Release.Closes == ClosedWhenApplied {
		c.closeRelease(s.Old)
	}
	if s.Accept {
		return c.accept(k.No)
	}
	return RefusalNone
}

// newCard is what both applications need.
func (c *change) newCard(who Who) Refusal {
	if r := c.allowed(&c.rules.Replacement.Access, who); r != RefusalNone {
		return r
	}
	switch {
	case c.next.openCase(CaseReplacement, CaseRenewal) != nil:
		return CaseOpen
	case !c.room(CaseReplacement):
		return TooManyCases
	default:
		return RefusalNone
	}
}

// replaceable tells whether a card may be replaced after a loss: it is reported lost, or
// its number died before: when an earlier application was made, which was refused, or
// without the account (NumberDied).
func (c *change) replaceable(old pan.Token) Refusal {
	if f := c.next.Gone(old); f != nil {
		if f.Status == Replaced && f.Successor.IsZero() {
			return RefusalNone
		}
		return CarrierNotActive
	}
	k, r := c.carrier(old)
	switch {
	case r != RefusalNone:
		return r
	case k.Kind == BankPAN || k.Kind == Temporary:
		return CarrierKindNotAllowed
	case k.Status != ReportedLost || c.next.find(txn.Lost) == nil:
		return NotReported
	default:
		return RefusalNone
	}
}

// closeRelease ends the old numbers before the new card is there, and with them every way
// back.
func (c *change) closeRelease(old pan.Token) {
	if c.next.Carrier(old) == nil {
		return // an earlier application has done it
	}
	for i := range c.next.Restrictions {
		if r := &c.next.Restrictions[i]; r.loss() {
			r.Closed = true
		}
	}
	no := c.out.Case
	if k := c.next.openCase(CaseRelease); k != nil {
		c.end(k, Withdrawn)
		c.out.Case = no
	}
	c.killAll(old)
	c.notify(NoticeReplaced)
}

// killAll ends old and, when it is a chip card, the carriers that go with it.
func (c *change) killAll(old pan.Token) {
	chip := c.next.Carrier(old).Kind == Chip
	var dying []pan.Token
	for i := range c.next.Carriers {
		k := &c.next.Carriers[i]
		goesWith := chip && k.Kind != Chip && k.Kind != Temporary && k.Spared == 0 &&
			c.rules.Replacement.Takes.Has(k.Kind)
		if k.Token == old || goesWith {
			dying = append(dying, k.Token)
		}
	}
	for _, token := range dying {
		c.kill(token, Replaced)
	}
}

func (s ApplyRenewal) decide(c *change) Refusal {
	if r := c.newCard(s.Who); r != RefusalNone {
		return r
	}
	rule := &c.rules.Replacement
	if s.Ground == AfterLoss || s.Ground >= groundEnd ||
		!rule.Grounds.Has(s.Ground) && !rule.Duties.Has(s.Ground) {
		return GroundNotAllowed
	}
	old, r := c.carrier(s.Old)
	switch {
	case r != RefusalNone:
		return r
	case old.Kind == BankPAN || old.Kind == Temporary:
		return CarrierKindNotAllowed
	case c.next.Lost():
		return Frozen
	case old.Status != Active && old.Status != Expired:
		return CarrierNotActive
	case s.Ground == BeforeExpiry && c.next.StageAt(c.rules, c.now) == StageNone:
		return CaseNotReady
	}
	k := c.open(CaseRenewal, Received, s.Who)
	k.Carrier, k.Ground = s.Old, s.Ground
	c.note(s.Who.words(), s.Ground.String())
	if s.Accept {
		return c.accept(k.No)
	}
	return RefusalNone
}

// AcceptCase accepts an application that was received; from then its legal days count.
type AcceptCase struct{ Case uint32 }

// Name returns the step's stable name.
func (AcceptCase) Name() string { return "accept_case" }

func (s AcceptCase) decide(c *change) Refusal { return c.accept(s.Case) }

func (c *change) accept(no uint32) Refusal {
	k, r := c.wanted(no, CaseReplacement, CaseRenewal)
	switch {
	case r != RefusalNone:
		return r
	case k.State != Received:
		return CaseNotReady
	}
	event := Renewal
	if k.Kind == CaseReplacement {
		event = Replacement
	}
	c.move(k, Accepted)
	return c.charge(event)
}

// RefuseCase refuses an application or a request in writing, with facts, reasons and
// remedies (HD23).
type RefuseCase struct {
	Case  uint32
	Paper Paper
}

// Name returns the step's stable name.
func (RefuseCase) Name() string { return "refuse_case" }

func (s RefuseCase) decide(c *change) Refusal {
	k, r := c.wanted(s.Case, CaseReplacement, CaseRenewal, CaseCancellation)
	switch {
	case r != RefusalNone:
		return r
	case k.State == Made:
		return CaseNotReady
	case !s.Paper.complete():
		return PaperIncomplete
	}
	c.out.Paper = &s.Paper
	c.note(k.Kind.String(), s.Paper.No)
	no, kind := k.No, k.Kind
	c.end(k, Refused)
	if kind == CaseReplacement && c.rules.Release.AfterRefusal == ReleaseStaysClosed {
		for i := range c.next.Restrictions {
			if r := &c.next.Restrictions[i]; r.loss() {
				r.Closed = true
			}
		}
	}
	c.retireTemporary(no)
	return RefusalNone
}

// WithdrawCase takes an application or a request back at the holder's wish. What it has
// closed stays closed.
type WithdrawCase struct{ Case uint32 }

// Name returns the step's stable name.
func (WithdrawCase) Name() string { return "withdraw_case" }

func (s WithdrawCase) decide(c *change) Refusal {
	k, r := c.wanted(s.Case, CaseReplacement, CaseRenewal, CaseCancellation, CaseRelease)
	switch {
	case r != RefusalNone:
		return r
	case k.State == Made:
		return CaseNotReady
	}
	c.note(k.Kind.String())
	no := k.No
	c.end(k, Withdrawn)
	c.retireTemporary(no)
	return RefusalNone
}

// BindTemporary binds a credential for the time that a card is renewed or replaced (HD25).
// A freeze for the loss of that card does not reach it; a later one does.
type BindTemporary struct {
	Case    uint32
	As      CarrierKind // what it is: an e-card, a QR code
	Carrier NewCarrier  // of kind Temporary
}

// Name returns the step's stable name.
func (BindTemporary) Name() string { return "bind_temporary" }

func (s BindTemporary) decide(c *change) Refusal {
	k, r := c.wanted(s.Case, CaseReplacement, CaseRenewal)
	switch {
	case r != RefusalNone:
		return r
	case s.Carrier.Kind != Temporary || !c.rules.Replacement.TemporaryKinds.Has(s.As):
		return CarrierKindNotAllowed
	case k.Accepted == 0:
		return CaseNotReady
	case slices.ContainsFunc(c.next.Carriers, func(o Carrier) bool {
		return o.Case == k.No &&
			o.Kind == Temporary
	}):
		return CarrierExists
	case c.next.find(txn.Risk) != nil:
		return Frozen
	}
	bound, r := c.bind(&s.Carrier, k.No)
	if r != RefusalNone {
		return r
	}
	bound.Status = Active
	bound.EndsAt = c.rules.due(c.now, c.rules.Replacement.TemporaryDays)
	bound.Spared = c.next.lossBefore(c.next.LastCase + 1)
	c.out.Case = k.No
	c.note(s.As.String())
	return c.charge(TemporaryIssue)
}

// lossBefore is the case of the latest loss in force that came before case no, 0 without
// one.
func (a *Account) lossBefore(no uint32) uint32 {
	var latest uint32
	for i := range a.Restrictions {
		if r := &a.Restrictions[i]; r.loss() && r.Case < no {
			latest = max(latest, r.Case)
		}
	}
	return latest
}

// retireTemporary cancels the credential that stood in during a case; its balance goes to
// the main carrier.
func (c *change) retireTemporary(no uint32) {
	for i := range c.next.Carriers {
		if k := &c.next.Carriers[i]; k.Kind == Temporary && k.Case == no {
			c.retire(k.Token, c.cmd.By.Outlet)
			return
		}
	}
}

// MakeCard is the end of the procedure of a replacement or renewal. The old numbers die,
// balance and open journeys move, and the new card is there: in the holder's hands when
// Carrier.Ready, in production otherwise.
type MakeCard struct {
	Case    uint32
	Carrier NewCarrier
}

// Name returns the step's stable name.
func (MakeCard) Name() string { return "make_card" }

func (s MakeCard) decide(c *change) Refusal {
	k, r := c.wanted(s.Case, CaseReplacement, CaseRenewal)
	if r != RefusalNone {
		return r
	}
	switch {
	case k.Accepted == 0 || k.State == Made:
		return CaseNotReady
	case k.Kind == CaseRenewal && c.next.Lost():
		return Frozen
	case s.Carrier.Kind == BankPAN || s.Carrier.Kind == Temporary || s.Carrier.Existing:
		return CarrierKindNotAllowed
	}
	no, old, kind := k.No, k.Carrier, k.Kind
	c.out.Case = no
	purses, r := c.dead(old)
	if r != RefusalNone {
		return r
	}
	if kind == CaseReplacement && !c.chipMissing(no) {
		c.unlose(no, no)
	}
	if r := c.succeed(&s.Carrier, no, purses); r != RefusalNone {
		return r
	}
	c.move(c.next.Case(no), Made)
	c.notify(NoticeReplaced)
	if s.Carrier.Ready {
		return c.handOver(no)
	}
	return RefusalNone
}

// chipMissing reports whether a chip card is still lost that this replacement was not
// for: then its loss goes on, and only the new carrier is spared.
func (c *change) chipMissing(no uint32) bool {
	loss := c.next.lossBefore(no)
	return slices.ContainsFunc(c.next.Carriers, func(k Carrier) bool {
		return k.Kind == Chip && loss > k.Spared
	})
}

// dead makes sure that the old numbers are dead, and returns those whose money is to move.
func (c *change) dead(old pan.Token) ([]pan.Token, Refusal) {
	if c.next.Carrier(old) == nil && c.next.Gone(old) == nil {
		return nil, UnknownCarrier // unbound meanwhile
	}
	if c.next.Carrier(old) != nil {
		c.killAll(old)
	}
	var purses []pan.Token
	for i := range c.next.Former {
		f := &c.next.Former[i]
		waits := f.Status == Replaced || f.Token == old
		if waits && f.Successor.IsZero() && f.Kind != BankPAN {
			purses = append(purses, f.Token)
		}
	}
	return purses, RefusalNone
}

// succeed binds the new card and moves everything to it.
func (c *change) succeed(n *NewCarrier, no uint32, purses []pan.Token) Refusal {
	carrier := *n
	carrier.Ready = false // active only once the money is there
	bound, r := c.bind(&carrier, no)
	if r != RefusalNone {
		return r
	}
	bound.Spared = c.next.lossBefore(no)
	c.next.ExpiresOn, c.next.Stage = c.validity(), StageNone
	for i := range c.next.Carriers {
		if k := &c.next.Carriers[i]; k.Status == Expired {
			k.Status = Active
		}
	}
	c.next.Case(no).Next = n.Token
	c.cards()
	c.marks()
	for _, token := range purses {
		c.push(Effect{Kind: Transfer, Carrier: token, To: n.Token})
		c.push(Effect{Kind: Amend, Carrier: token, To: n.Token,
			Card: CardState{Status: InProduction}})
	}
	for i := range c.next.Former {
		f := &c.next.Former[i]
		if f.Successor.IsZero() && (f.Status == Replaced || slices.Contains(purses, f.Token)) {
			f.Successor = n.Token
		}
	}
	return RefusalNone
}

// SendProduction records that the production data was sent upward (HD16).
type SendProduction struct{ Case uint32 }

// Name returns the step's stable name.
func (SendProduction) Name() string { return "send_production" }

func (s SendProduction) decide(c *change) Refusal {
	k, r := c.wanted(s.Case, CaseApplication, CaseReplacement, CaseRenewal)
	switch {
	case r != RefusalNone:
		return r
	case k.Sent != 0 || k.Accepted == 0:
		return CaseNotReady
	}
	k.Sent = c.now
	state := Sent
	if k.State == Made {
		state = Made
	}
	c.move(k, state)
	return RefusalNone
}

// IssueCard records that the card was handed out; only now can it be used.
type IssueCard struct{ Case uint32 }

// Name returns the step's stable name.
func (IssueCard) Name() string { return "issue_card" }

func (s IssueCard) decide(c *change) Refusal {
	k, r := c.wanted(s.Case, CaseApplication, CaseReplacement, CaseRenewal)
	switch {
	case r != RefusalNone:
		return r
	case k.Kind != CaseApplication && k.State != Made:
		return CaseNotReady
	}
	return c.handOver(s.Case)
}

func (c *change) handOver(no uint32) Refusal {
	k := c.next.Case(no)
	token := k.Next
	if k.Kind == CaseApplication {
		token = k.Carrier
	}
	carrier, r := c.carrier(token)
	if r != RefusalNone {
		return r
	}
	carrier.Status = Active
	c.statuses()
	c.end(k, Completed)
	c.retireTemporary(no)
	return RefusalNone
}
